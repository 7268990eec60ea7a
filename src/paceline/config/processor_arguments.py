"""The arguments that each family's image processor takes, known without importing it.

The library's processors take any argument and pass over what they do not know: a misspelt ``maxpixels`` would change
nothing, in silence. A family says what its own takes; ``tests/models/families/test_processor_settings.py`` holds that
to the real classes. Of one that says nothing :mod:`paceline.models.processor_settings` asks the loaded processor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from paceline.config.schema import ModelSpec
from paceline.errors import UserError, nearest
from paceline.models.registry import says

_VALUES = {
    "do_rescale": "flag",
    "rescale_factor": "number",
    "do_normalize": "flag",
    "image_mean": "numbers",
    "image_std": "numbers",
    "do_convert_rgb": "flag",
    "resample": "filter",
}
_RESIZED = {**_VALUES, "do_resize": "flag", "size": "sizes"}
_CROPPED = {**_RESIZED, "do_center_crop": "flag", "crop_size": "sizes", "do_pad": "flag"}
COMMON: Mapping[str, Mapping[str, str]] = {"values": _VALUES, "resized": _RESIZED, "cropped": _CROPPED}
"""What many processors take: values alone, sizes too, crops and borders too."""

_SQUARE = ({"height", "width"},)


def arguments_of(family: str) -> dict[str, str] | None:
    """The arguments of a family's image processor, and what their values are; None where the family does not say.

    A family declares them as ``image_arguments``: argument -> what its value is, and under ``common`` a name of
    :data:`COMMON`. Left out is what the network decides: sizes of patches, of tiles, of what is merged.
    """
    declared = says(family, "image_arguments", None)
    if not isinstance(declared, dict):
        return None
    return {**COMMON.get(declared.get("common", ""), {}), **{k: v for k, v in declared.items() if k != "common"}}


def sizes_of(family: str) -> tuple[set[str], ...]:
    """The sets of keys that a family's ``size`` may have: ``image_sizes`` where it declares them."""
    declared = says(family, "image_sizes", None)
    return tuple(map(set, declared)) if isinstance(declared, tuple) else _SQUARE


# Two names of one thing: the library lets one of them win.
_SAME = (("size", "min_pixels"), ("size", "max_pixels"), ("size", "image_size"))
# What is switched off by the first has no use for the others.
_SWITCHES = {
    "do_resize": ("size", "min_pixels", "max_pixels", "image_size", "resample"),
    "do_rescale": ("rescale_factor",),
    "do_normalize": ("image_mean", "image_std"),
}
# What is off unless it is switched on.
_OPT_IN = {"do_center_crop": "crop_size", "do_pad": "pad_size"}
_WANTED = {
    "flag": "true or false",
    "count": "a whole number above 0",
    "number": "a number above 0",
    "numbers": "a number, or a list of three",
    "filter": "a filter of Pillow by its number, 0 to 5",
}


def check(model: ModelSpec) -> None:
    """Refuse arguments of a family's image processor that it does not take, or that contradict each other.

    Raises:
        UserError: with the nearest argument, or the two that exclude each other.
    """
    arguments = arguments_of(model.family)
    if not model.processor or arguments is None:
        return
    where = f"conf/model/{model.name}.yaml: processor"
    for name, value in model.processor.items():
        if name not in arguments:
            takes = nearest(name, arguments) if arguments else "it takes none"
            raise UserError(f"{where}: the image processor of family '{model.family}' takes no '{name}': {takes}")
        if arguments[name] == "sizes":
            keys = sizes_of(model.family) if name == "size" else _SQUARE
            _check_size(value, keys, f"{where}: {name}")
        elif not _fits(value, arguments[name]):
            raise UserError(f"{where}: {name}: {value!r} is not {_WANTED[arguments[name]]}")
    contradiction(model.processor, where)


def contradiction(given: Mapping[str, Any], where: str) -> None:
    """Refuse arguments of which one leaves another without effect, of whatever family.

    Raises:
        UserError: the two.
    """
    for pair in _SAME:
        if all(name in given for name in pair):
            raise UserError(f"{where}: {pair[0]} and {pair[1]} say the same twice; give one of them")
    for switch, names in _SWITCHES.items():
        if given.get(switch) is False and (useless := [n for n in names if n in given]):
            raise UserError(f"{where}: {switch}: false leaves {useless[0]} without effect; give one of them")
    for switch, name in _OPT_IN.items():
        if name in given and not given.get(switch):
            raise UserError(f"{where}: {name} has no effect without {switch}: true")
    size = given.get("size")
    edges = size if isinstance(size, Mapping) else {}
    for low, high in (("min_pixels", "max_pixels"), ("shortest_edge", "longest_edge")):
        values = {**given, **edges}
        if low in values and high in values and values[low] > values[high]:
            raise UserError(f"{where}: {low}: {values[low]} is more than {high}: {values[high]}")


def _check_size(value: Any, keys: tuple[set[str], ...], where: str) -> None:
    names = " or ".join(f"{{{', '.join(f'{k}: …' for k in sorted(options))}}}" for options in keys)
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: {value!r} is no mapping; write {names}")
    known = set().union(*keys)
    for name in value:
        if name not in known:
            raise UserError(f"{where}: unknown key '{name}': {nearest(str(name), known)}")
    if set(value) not in keys:
        raise UserError(f"{where}: has {' and '.join(map(str, value)) or 'no key'}; write {names}")
    for name, number in value.items():
        if not _fits(number, "count"):
            raise UserError(f"{where}.{name}: {number!r} is not {_WANTED['count']}")


def _fits(value: Any, kind: str) -> bool:
    if kind == "flag":
        return isinstance(value, bool)
    if kind == "numbers" and isinstance(value, list | tuple):
        return len(value) == 3 and all(_fits(v, "numbers") and not isinstance(v, list | tuple) for v in value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    if kind == "filter":
        return value in range(6)
    if kind == "count":
        return isinstance(value, int) and value > 0
    return kind == "numbers" or value > 0
