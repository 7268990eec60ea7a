"""Labels of cells whose names are the same: the settings in which they differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from paceline.config.build import plain
from paceline.config.schema import Config
from paceline.store.cell_folder import Cell
from paceline.store.files import canonical

NAMED = ("model", "task", "prompt", "method")
DIGEST_LENGTH = 6


def variants(cells: Iterable[Cell], tunings: Mapping[str, Cell] | None = None) -> dict[str, str]:
    """Cell id -> the settings that differ among cells of the same kind, model, task, prompt and method.

    Args:
        cells: cells that are shown together.
        tunings: finetune cells that are not among them, by id: an evaluate cell differs by how its weights were made.

    Returns:
        Text such as ``lora.r=8, generation.temperature=0.7`` for each cell; empty where its names are unique. Of a cell
        whose weights were tuned on another task it begins with ``train.task=NAME``, unique or not.
    """
    cells = list(cells)
    known = {**(tunings or {}), **{cell.id: cell for cell in cells}}
    elsewhere = {cell.id: _trained_elsewhere(cell, known) for cell in cells}
    alike: dict[tuple[str, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        alike[cell.kind, elsewhere[cell.id], *(_name(cell, group) for group in NAMED)].append(cell)
    labels: dict[str, str] = {}
    laid: dict[str, dict[str, Any]] = {}
    for members in alike.values():
        if len(members) == 1:
            labels[members[0].id] = ""
            continue
        settings = [_settings(cell, laid, known.get(str(cell.identity.get("tuned", "")))) for cell in members]
        differing = [
            k for k in sorted(set().union(*settings)) if _differ(said(cell_settings, k) for cell_settings in settings)
        ]
        # A preset's name stands for the settings that come with it.
        named = {k.rsplit(".", 1)[0] for k in differing if k.endswith(".name")}
        shown = [k for k in differing if k.endswith(".name") or k.rsplit(".", 1)[0] not in named]
        for cell, cell_settings in zip(members, settings, strict=True):
            labels[cell.id] = ", ".join(f"{_short(k)}={_value(k, said(cell_settings, k))}" for k in shown)
    return {cell: ", ".join(filter(None, (elsewhere[cell], text))) for cell, text in labels.items()}


def _trained_elsewhere(cell: Cell, known: Mapping[str, Cell]) -> str:
    """The task that a cell's weights were tuned on, as a setting; empty where it is the cell's own, or not known."""
    tuning = known.get(str(cell.identity.get("tuned", "")))
    return f"train.task={_name(tuning, 'task')}" if tuning and _name(tuning, "task") != _name(cell, "task") else ""


def said(settings: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key: what an identity leaves out is the default."""
    return settings[key] if key in settings else DEFAULTS.get(key, "default")


def _differ(values: Iterator[Any]) -> bool:
    """Whether two of the values are not the same JSON: 1 and 1.0 are not, as in a cell's id."""
    first = next(values)
    text = canonical(first)
    plain = isinstance(first, str | int)
    return any(
        v is not first and not (plain and type(v) is type(first) and v == first) and canonical(v) != text
        for v in values
    )


def _name(cell: Cell, group: str) -> str:
    return str(cell.identity.get(group, {}).get("name", ""))


def _settings(cell: Cell, laid: dict[str, dict[str, Any]], tuning: Cell | None) -> dict[str, Any]:
    """The settings of a cell and of what it needs. ``laid`` keeps what was laid flat: most cells share most of it."""
    settings: dict[str, Any] = {}
    for part in (tuning, cell):
        for key, value in part.identity.items() if part else ():
            if part is cell and key == "tuned":
                continue
            text = canonical({key: value})
            if text not in laid:
                laid[text] = dict(flat({key: value}))
            settings |= laid[text]
    if tuning:
        settings["trained on"] = _name(tuning, "prompt")
    return settings


def _short(key: str) -> str:
    return key.removeprefix("method.").removesuffix(".name")


def _value(key: str, value: Any) -> str:
    return str(value)[:DIGEST_LENGTH] if key == "data" else str(value)


def flat(value: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested mappings."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from flat(inner, f"{start}{key}.")
        else:
            yield f"{start}{key}", inner


# An identity leaves defaults out.
DEFAULTS = dict(flat(plain(Config())))
