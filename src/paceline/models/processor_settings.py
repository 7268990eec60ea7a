"""Whether a loaded image processor has taken the arguments that a model's file gives it.

The library's processors pass over what they do not know, and what the published file says in another word wins over
what is given. What is known before is refused by :mod:`paceline.config.processor_arguments`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from paceline.config.processor_arguments import contradiction
from paceline.config.schema import ModelSpec
from paceline.errors import UserError, nearest

# Arguments that are kept under another name.
_KEPT_AS = {
    "min_pixels": ("size", "shortest_edge"),
    "max_pixels": ("size", "longest_edge"),
    "image_size": ("size", "height"),
}


def require_taken(spec: ModelSpec, processor: Any) -> None:
    """Refuse ``processor:`` of a model's file where the loaded processor does not do what it says.

    Args:
        spec: the model.
        processor: the processor, or a tokenizer or an image processor alone.

    Raises:
        UserError: an argument that it does not take, or that has no effect.
    """
    where = f"conf/model/{spec.name}.yaml: processor"
    if not spec.processor:
        return
    # A classifier's processor is its image processor, which alone has `preprocess`.
    images = getattr(processor, "image_processor", processor if hasattr(processor, "preprocess") else None)
    if images is None:
        raise UserError(f"{where}: family '{spec.family}' has no image processor; remove it")
    kind = type(images).__name__
    own = [
        name
        for name, parameter in inspect.signature(type(images).__init__).parameters.items()
        if parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL) and name != "self"
    ]
    accepted = {*own, *getattr(getattr(images, "valid_kwargs", None), "__annotations__", {})}
    for name, value in spec.processor.items():
        if name not in accepted:
            raise UserError(f"{where}: {kind} takes no '{name}': {nearest(name, accepted)}")
        kept = _kept(images, name)
        if (kept is None and name not in own) or (kept is not None and not _same(value, kept)):
            shown = "nothing" if kept is None else f"{name}: {kept}"
            raise UserError(
                f"{where}: {name}: {value} has no effect: {kind} has {shown}; something else of this file, or of the "
                "weights' preprocessor_config.json, sets it"
            )
    contradiction(spec.processor, where)
    least, most = _kept(images, "min_pixels"), _kept(images, "max_pixels")
    if least and most and least > most:
        raise UserError(f"{where}: the least size, {least}, is more than the most, {most}; give both")


def _kept(images: Any, name: str) -> Any:
    value = getattr(images, name, None)
    if value is None and name in _KEPT_AS:
        holder, key = _KEPT_AS[name]
        value = _item(getattr(images, holder, None), key)
    return value


def _item(holder: Any, key: str) -> Any:
    return holder.get(key) if isinstance(holder, Mapping) else getattr(holder, key, None)


def _same(given: Any, kept: Any) -> bool:
    """Whether a value is the one that was given; true where it can't be told, as of a class of the library's."""
    if isinstance(given, Mapping):
        return all(_same(value, _item(kept, key)) for key, value in given.items())
    if isinstance(given, list | tuple):
        sequence = isinstance(kept, Sequence) and not isinstance(kept, str)
        return sequence and len(given) == len(kept) and all(map(_same, given, kept))
    return bool(given == kept) if isinstance(kept, bool | int | float | str) or kept is None else True
