"""Whether every tensor of a network came from its file: what is not there would be random, and answer all the same."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from paceline.config.joined_parts import is_twin, source_name
from paceline.config.schema import ModelSpec
from paceline.counted import counted
from paceline.errors import UserError

_NUMBER = re.compile(r"\.\d+\.")
SHOWN = 3
"""Names in a message."""


@dataclass(frozen=True)
class Unread:
    """What ``from_pretrained`` reports of a network.

    Attributes:
        missing: names of tensors that no file holds; tied ones, which another name brings, are not among them.
        mismatched: names, with the shape in the file and that of the network.
        unexpected: names in the files that the network does not have.
        errors: what else the library says of single tensors.
    """

    missing: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Unread:
        """From the library's ``output_loading_info``, whose values are sets or lists."""
        mismatched = (f"{name} {tuple(stored)} for {tuple(own)}" for name, stored, own in report["mismatched_keys"])
        return cls(
            missing=tuple(sorted(report["missing_keys"])),
            mismatched=tuple(sorted(mismatched)),
            unexpected=tuple(sorted(report["unexpected_keys"])),
            errors=tuple(map(str, report.get("error_msgs") or ())),
        )

    def without(self, prefix: str) -> Unread:
        """The same without the tensors below a module that is to be drawn anew."""

        def kept(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(name for name in names if not name.startswith(prefix))

        return Unread(kept(self.missing), kept(self.mismatched), self.unexpected, self.errors)


def require_whole(model: Any, what: str, is_idle: Callable[[str], bool]) -> None:
    """Refuse a network of which a tensor was not read.

    Args:
        model: the network; without a record (``unread``), as a family of a lab's may make it, nothing is known.
        what: the model and its source, for the message.
        is_idle: whether no answer depends on a tensor of that name.

    Raises:
        UserError: with the first names, and those in the files that were not used; or of those that are no numbers.
    """
    unread: Unread = getattr(model, "unread", Unread())
    missing = [name for name in unread.missing if not is_idle(name)]
    mismatched = [name for name in unread.mismatched if not is_idle(name.partition(" ")[0])]
    left_out = _of_left_out_layers(unread.unexpected, model.state_dict())
    if not (missing or mismatched or unread.errors or left_out):
        _require_numbers(model, what, is_idle)
        return
    faults = []
    if left_out:
        faults.append(f"of layers that config.json does not count, and would be left out: {_some(left_out)}")
    if missing:
        faults.append(f"not there, and would be random: {_some(missing)}")
    if mismatched:
        faults.append(f"of another shape: {_some(mismatched)}")
    faults += unread.errors[:1]
    unused = f"; not used of the files: {_some(unread.unexpected)}" if unread.unexpected else ""
    raise UserError(
        f"{what}: {'; '.join(faults)}{unused}. Give weights of this architecture, whole, with the names under which "
        f"{type(model).__name__} saves them"
    )


def require_vocabulary(model: Any, tokenizer: Any, what: str) -> None:
    """Refuse a tokenizer of another model: one without an end of text, or with more tokens than there are embeddings.

    Args:
        model: the network; where ranks hold parts of it (ZeRO-3), or it has embeddings of its own kind, how many there
            are is not asked.
        tokenizer: the processor's.
        what: the model and its source, for the message.

    Raises:
        UserError: with the file to look at.
    """
    if not isinstance(tokenizer.eos_token_id, int):
        raise UserError(
            f"{what}: the tokenizer names no token that ends an answer: eos_token in tokenizer_config.json, and that "
            "token in tokenizer.json; take both from where the weights come from"
        )
    require_embeddings(model, tokenizer, what)


def require_embeddings(model: Any, tokenizer: Any, what: str) -> None:
    """Refuse a tokenizer with more tokens than there are embeddings; as :func:`require_vocabulary`."""
    from torch.nn import Embedding

    embedding = model.get_input_embeddings()
    rows = len(embedding.weight) if type(embedding) is Embedding else 0
    highest, token = max(((number, token) for token, number in tokenizer.get_vocab().items()), default=(0, ""))
    if rows and highest >= rows:
        raise UserError(
            f"{what}: token {token!r} of the tokenizer has number {highest}, and there are "
            f"{counted(rows, 'embedding')}: the tokenizer is of another model; take it from where the weights come from"
        )


def outside(error: BaseException) -> bool:
    """Whether an error arose in a library's code, in the hands of what it was given: not in ours or a lab's."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and "site-packages" in Path(frames[-1].filename).parts


def _of_left_out_layers(unexpected: Iterable[str], own: Iterable[str]) -> list[str]:
    """Names in the files of layers like those of the network and beyond the last of them: its config counts fewer."""
    alike = {_NUMBER.sub(".*.", name) for name in own if _NUMBER.search(name)}
    return [name for name in unexpected if _NUMBER.search(name) and _NUMBER.sub(".*.", name) in alike]


def _require_numbers(model: Any, what: str, is_idle: Callable[[str], bool]) -> None:
    """Refuse weights that are no number (NaN) or without end: every answer of theirs is empty, and looks like one.

    Raises:
        UserError: with the first names.
    """
    bad = [
        name
        for name, tensor in model.named_parameters()
        if tensor.is_floating_point() and not is_idle(name) and not bool(tensor.detach().isfinite().all())
    ]
    if bad:
        raise UserError(
            f"{what}: not all numbers (NaN or infinite) in the files: {_some(bad)}. A training that diverged leaves "
            "such weights, as does a copy in too small a number format; give weights from before"
        )


def require_adapter(model: Any, folder: Path, name: str) -> None:
    """Refuse an adapter of which a tensor did not land, or that lacks one.

    Args:
        model: the ``PeftModel`` that read it.
        folder: the adapter's.
        name: the model's, for the message.

    Raises:
        UserError: with the first names.
    """
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        raise UserError(f"model {name}: there is no {path}; adapters are read as safetensors alone")
    with safe_open(path, framework="pt") as stored:
        in_file = set(stored.keys())
    own = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if in_file == own:
        _require_numbers(model, f"model {name}: adapter {folder}", lambda parameter: "lora_" not in parameter)
        return
    faults = []
    if lost := sorted(in_file - own):
        faults.append(f"not in the model: {_some(lost)}")
    if missing := sorted(own - in_file):
        faults.append(f"not in the adapter: {_some(missing)}")
    raise UserError(
        f"model {name}: adapter {folder}: {'; '.join(faults)}. It was tuned on another model, or is not whole"
    )


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return f"{counted(len(names), 'tensor')} ({', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''})"


def blame_files(spec: ModelSpec, error: Exception) -> None:
    """Say which model's files a library fails on, where it is they: its own words alone name none.

    Raises:
        UserError: the error arose in a library, on weights that the user gave.
    """
    if is_twin(spec) or isinstance(error, UserError) or not outside(error):
        return
    said = " ".join(str(error).split())
    raise UserError(
        f"model {spec.name}: {spec.folder or source_name(spec)} can't be read: {type(error).__name__}: {said[:300]}. "
        "One of its files (config.json, tokenizer, processor, weights) is damaged or of another model, or a package is "
        "missing"
    ) from error


def compute_plainly(model: torch.nn.Module) -> None:
    """Keep 4-bit layers on the CPU to the plain way of computing.

    On processors with AVX512-BF16 bitsandbytes 0.50.2 rewrites such a layer's weights at its first forward pass, which
    fails where the features are no multiple of a block (64) and gives other last bits than other processors do.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def in_order(path: Path) -> None:
    """Write the layers of an adapter's config in order: PEFT holds a set, in another order in each process."""
    config = json.loads(path.read_text())
    listed = {
        name: sorted(value) for name, value in config.items() if name == "target_modules" and isinstance(value, list)
    }
    path.write_text(json.dumps({**config, **listed}, indent=2, sort_keys=True))
