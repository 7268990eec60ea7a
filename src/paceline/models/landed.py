"""Whether every tensor of a network came from its file: what is not there would be random, and answer all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paceline.counted import counted
from paceline.errors import UserError

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


def require_whole(model: Any, what: str, is_idle: Callable[[str], bool]) -> None:
    """Refuse a network of which a tensor was not read.

    Args:
        model: the network; without a record (``unread``), as a family of a lab's may make it, nothing is known.
        what: the model and its source, for the message.
        is_idle: whether no answer depends on a tensor of that name.

    Raises:
        UserError: with the first names, and those in the files that were not used.
    """
    unread: Unread = getattr(model, "unread", Unread())
    missing = [name for name in unread.missing if not is_idle(name)]
    mismatched = [name for name in unread.mismatched if not is_idle(name.partition(" ")[0])]
    if not (missing or mismatched or unread.errors):
        return
    faults = []
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
