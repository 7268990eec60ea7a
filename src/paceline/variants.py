"""What tells cells apart whose names are the same: the settings in which they differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from paceline.spec import Config, plain
from paceline.store import Cell, canonical

NAMED = ("model", "task", "prompt", "method")
DIGEST_LENGTH = 6


def variants(cells: Iterable[Cell], tunings: Mapping[str, Cell] | None = None) -> dict[str, str]:
    """Cell id -> the settings that differ among cells of the same kind, model, task, prompt and method.

    Args:
        cells: cells that are shown together.
        tunings: finetune cells that are not among them, by id: an evaluate cell differs by how its weights were made.

    Returns:
        Text such as ``lora.r=8, generation.temperature=0.7`` for each cell; empty where its names tell it already.
    """
    cells = list(cells)
    known = {**(tunings or {}), **{cell.id: cell for cell in cells}}
    alike: dict[tuple[str, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        alike[cell.kind, *(_name(cell, group) for group in NAMED)].append(cell)
    found: dict[str, str] = {}
    for members in alike.values():
        if len(members) == 1:
            found[members[0].id] = ""
            continue
        settings = {cell.id: _settings(cell, known.get(str(cell.identity.get("tuned", "")))) for cell in members}
        keys = sorted({key for values in settings.values() for key in values})
        for values in settings.values():
            values.update({key: _DEFAULTS.get(key, "default") for key in keys if key not in values})
        differing = [k for k in keys if len({canonical(v[k]) for v in settings.values()}) > 1]
        # A preset's name stands for the settings that come with it.
        named = {k.rsplit(".", 1)[0] for k in differing if k.endswith(".name")}
        shown = [k for k in differing if k.endswith(".name") or k.rsplit(".", 1)[0] not in named]
        for cell in members:
            found[cell.id] = ", ".join(f"{_short(k)}={_value(k, settings[cell.id][k])}" for k in shown)
    return found


def _name(cell: Cell, group: str) -> str:
    return str(cell.identity.get(group, {}).get("name", ""))


def _settings(cell: Cell, tuning: Cell | None) -> dict[str, Any]:
    own = {k: v for k, v in cell.identity.items() if k != "tuned"}
    found = dict(_flat(tuning.identity if tuning else {})) | dict(_flat(own))
    if tuning:
        found["trained on"] = _name(tuning, "prompt")
    return found


def _short(key: str) -> str:
    return key.removeprefix("method.").removesuffix(".name")


def _value(key: str, value: Any) -> str:
    return str(value)[:DIGEST_LENGTH] if key == "data" else str(value)


def _flat(value: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{start}{key}.")
        else:
            yield f"{start}{key}", inner


# An identity leaves defaults out.
_DEFAULTS = dict(_flat(plain(Config())))
