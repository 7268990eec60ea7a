"""Labels of cells whose names are the same: the fewest settings that tell them apart, under their shortest names."""

from __future__ import annotations

import string
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from paceline.config.build import plain
from paceline.config.schema import PLACEMENT_GROUPS, Config
from paceline.store.cell_folder import Cell
from paceline.store.files import canonical, digest

NAMED = ("model", "task", "prompt", "method")
DIGEST_LENGTH = 6
MOST_LETTERS = 32  # of a value; a longer one is told by its digest
ABBREVIATED = {"generation.temperature": "T", "train.learning_rate": "lr"}
# Numbers of mappings whose keys are free, and mean this where they are not given.
BELOW_FREE_KEYS = {f"method.frozen_layers.{part}": 0 for part in ("vision", "language", "backbone")}
ABBREVIATED |= {key: key.removeprefix("method.") for key in BELOW_FREE_KEYS}
TRAINED_ON = "trained_on"

Settings = Mapping[str, Any]


def variants(cells: Iterable[Cell], tunings: Mapping[str, Cell] | None = None) -> dict[str, str]:
    """Cell id -> the settings that tell it from cells of the same kind, model, task, prompt and method.

    The same settings have the same label over all models and prompts of a task and method. Where several settings are
    needed, one that is at its default is left out as long as no other cell fits the rest.

    Args:
        cells: cells that are shown together.
        tunings: finetune cells that are not among them, by id: an evaluate cell differs by how its weights were made.

    Returns:
        Text such as ``beams=4 T=0.7`` for each cell; empty where the names tell all cells of its task and method. Of a
        cell whose weights were tuned on another task it begins with ``train.task=NAME``, needed or not.
    """
    cells = list(cells)
    known = {**(tunings or {}), **{cell.id: cell for cell in cells}}
    elsewhere = {cell.id: _trained_elsewhere(cell, known) for cell in cells}
    # (kind, task, method, task tuned on) -> (model, prompt) -> cells of the same names
    scopes: dict[tuple[str, ...], dict[tuple[str, ...], list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        model, task, prompt, method = (_name(cell, group) for group in NAMED)
        scopes[cell.kind, task, method, elsewhere[cell.id]][model, prompt].append(cell)
    labels = {cell.id: "" for cell in cells}
    laid: dict[str, dict[str, Any]] = {}
    for by_names in scopes.values():
        if any(len(members) > 1 for members in by_names.values()):
            settings = {
                cell.id: _settings(cell, laid, known.get(str(cell.identity.get("tuned", ""))))
                for members in by_names.values()
                for cell in members
            }
            labels |= _labels([[cell.id for cell in members] for members in by_names.values()], settings)
    return {cell: " ".join(filter(None, (elsewhere[cell], text))) for cell, text in labels.items()}


def _trained_elsewhere(cell: Cell, known: Mapping[str, Cell]) -> str:
    """The task that a cell's weights were tuned on, as a setting; empty where it is the cell's own, or not known."""
    tuning = known.get(str(cell.identity.get("tuned", "")))
    return f"train.task={_name(tuning, 'task')}" if tuning and _name(tuning, "task") != _name(cell, "task") else ""


def titles(cells: Iterable[Cell]) -> tuple[str, dict[str, str]]:
    """What cells share, and cell id -> the kind and what tells it from the others, for a line about one of them.

    Returns:
        Text such as ``tiny_qwen2_vl · geo_bare``, and for each cell such as ``evaluate untuned (beams=4)``.
    """
    cells = list(cells)
    labels = variants(cells)
    names = {cell.id: [_name(cell, group) for group in NAMED] for cell in cells}
    differ = [len({names[cell.id][i] for cell in cells}) > 1 or len(cells) == 1 for i in range(len(NAMED))]
    shared = [name for name, apart in zip(names[cells[0].id], differ, strict=True) if not apart] if cells else []
    told = {}
    for cell in cells:
        own = " · ".join(name for name, apart in zip(names[cell.id], differ, strict=True) if apart)
        variant = labels[cell.id] and (f"({labels[cell.id]})" if own else labels[cell.id])
        told[cell.id] = " ".join(filter(None, (cell.kind, own, variant)))
    return " · ".join(filter(None, shared)), told


def _labels(alike: Sequence[Sequence[str]], settings: Mapping[str, Settings]) -> dict[str, str]:
    """The labels of the cells of one task and method.

    Args:
        alike: ids of cells, those of the same names together.
        settings: id -> its settings.
    """
    found = [_differing([settings[i] for i in members]) for members in alike if len(members) > 1]
    differing = sorted(set().union(*found))
    tokens = {i: {k: _token(said(one, k)) for k in differing} for i, one in settings.items()}
    shown = sorted(_telling(alike, tokens, differing))
    short = _short_names(shown)
    texts = {k: _texts({tokens[i][k]: said(settings[i], k) for i in settings}) for k in shown}
    defaults = {k: _token(said({}, k)) for k in shown}
    vectors = {tuple(tokens[i][k] for k in shown): "" for i in settings}
    # Of each setting and value the places of the vectors that have it, as bits.
    having: dict[tuple[str, str], int] = defaultdict(int)
    for place, vector in enumerate(vectors):
        for pair in zip(shown, vector, strict=True):
            having[pair] |= 1 << place
    for vector in vectors:
        kept = list(zip(shown, vector, strict=True))
        for pair in reversed(list(kept)):
            if pair[1] == defaults[pair[0]] and _one(having, [p for p in kept if p != pair]):
                kept.remove(pair)
        vectors[vector] = " ".join(f"{short[k]}={texts[k][token]}" for k, token in kept)
    labels = {i: vectors[tuple(tokens[i][k] for k in shown)] for i in settings}
    for members in alike:
        if len({labels[i] for i in members}) < len(members):  # by what their identity holds beside settings
            labels |= {i: f"{labels[i]} id={i.rpartition('-')[2][:DIGEST_LENGTH]}".lstrip() for i in members}
    return labels


def _one(having: Mapping[tuple[str, str], int], pairs: Iterable[tuple[str, str]]) -> bool:
    """Whether exactly one vector has all of these values."""
    left = -1
    for pair in pairs:
        left &= having[pair]
    return left > 0 and left.bit_count() == 1


def _differing(settings: Sequence[Settings]) -> set[str]:
    return {k for k in set().union(*settings) if len({_token(said(one, k)) for one in settings}) > 1}


def _token(value: Any) -> str:
    """Equal for the same JSON alone: 1 and 1.0 are not the same, as in a cell's id."""
    return f"{type(value).__name__} {value}" if isinstance(value, str | int) else canonical(value)


OPAQUE = 3
"""Rank of a setting whose value says nothing to a person."""


def _telling(
    alike: Sequence[Sequence[str]], tokens: Mapping[str, Mapping[str, str]], differing: Sequence[str]
) -> list[str]:
    """Few settings that tell cells of the same names apart: always the one that tells the most of those left.

    The digest of the data is none where settings tell as much, however many it takes: a reader knows what they say.
    """
    if "data" in differing and _told_apart(alike, tokens, stated := [k for k in differing if k != "data"]):
        differing = stated
    preference = {k: _preference(k, tokens, differing) for k in differing}
    chosen: list[str] = []
    classes = [list(members) for members in alike if len(members) > 1]
    # What is opaque, such as a digest, comes in where nothing else tells cells apart.
    for among in ([k for k in differing if preference[k][0] < OPAQUE], differing):
        while classes:
            left = {k: sum(map(_pairs, _split(classes, tokens, k))) for k in among}
            best = min(left, key=lambda k: (left[k], preference[k]), default=None)
            if best is None or left[best] == sum(map(_pairs, classes)):
                break
            chosen.append(best)
            classes = _split(classes, tokens, best)
    for k in list(chosen):
        rest = [list(members) for members in alike]
        for other in chosen:
            rest = rest if other == k else _split(rest, tokens, other)
        if not classes and not any(len(c) > 1 for c in rest):
            chosen.remove(k)
    return chosen


def _split(classes: Sequence[Sequence[str]], tokens: Mapping[str, Mapping[str, str]], key: str) -> list[list[str]]:
    """Classes split by the values of a setting; those of one cell are told apart and left out."""
    split = []
    for members in classes:
        by_value: dict[str, list[str]] = defaultdict(list)
        for i in members:
            by_value[tokens[i][key]].append(i)
        split += [c for c in by_value.values() if len(c) > 1]
    return split


def _told_apart(alike: Sequence[Sequence[str]], tokens: Mapping[str, Mapping[str, str]], keys: Sequence[str]) -> bool:
    """Whether no two cells of the same names have the same values of some settings."""
    return all(len({tuple(tokens[i][k] for k in keys) for i in members}) == len(members) for members in alike)


def _pairs(members: Sequence[str]) -> int:
    return len(members) * (len(members) - 1) // 2


def _preference(key: str, tokens: Mapping[str, Mapping[str, str]], differing: Sequence[str]) -> tuple[int, int, str]:
    """Of settings that tell as much: a preset's name that stands for several, a setting, a name, what is opaque."""
    if key.endswith(".name"):
        group = key.removesuffix("name")
        follows = [k for k in differing if k != key and k.startswith(group) and _follows(tokens, key, k)]
        rank = 0 if len(follows) > 1 else 2
    else:
        # Of two that tell as much, which split is answered says more than whether that is a result.
        rank = OPAQUE if key == "data" or key.endswith(".text") else 2 if key == "prompt.scored" else 1
    return rank, len(ABBREVIATED.get(key, key.rpartition(".")[2])), key


def _follows(tokens: Mapping[str, Mapping[str, str]], name: str, key: str) -> bool:
    """Whether a setting is the same in all cells of the same name."""
    return len({(one[name], one[key]) for one in tokens.values()}) == len({one[name] for one in tokens.values()})


def said(settings: Settings, key: str) -> Any:
    """The value of a dotted key: what an identity leaves out is the default."""
    return settings[key] if key in settings else DEFAULTS.get(key, "default")


def _name(cell: Cell, group: str) -> str:
    return str(cell.identity.get(group, {}).get("name", ""))


def _settings(cell: Cell, laid: dict[str, dict[str, Any]], tuning: Cell | None) -> dict[str, Any]:
    """The settings of a cell and of what it needs. ``laid`` keeps what was laid flat: most cells share most of it."""
    settings: dict[str, Any] = {}
    for part in (tuning, cell):
        for key, value in part.identity.items() if part else ():
            if key in ("tuned", "built_on", "boosted_on"):
                continue
            start = TRAINED_ON if part is tuning and key == "prompt" else key
            text = canonical({start: value})
            if text not in laid:
                laid[text] = dict(flat({start: value}))
            settings |= laid[text]
    return settings


def _short_names(keys: Iterable[str]) -> dict[str, str]:
    """Key -> its last part, or as many as no other setting ends with."""
    known = [_parts(k) for k in DEFAULTS if k.partition(".")[0] not in PLACEMENT_GROUPS]
    names = {}
    for key in keys:
        parts = _parts(key)
        others = [p for p in [*known, *map(_parts, keys)] if p != parts]
        n = next(
            n for n in range(1, len(parts) + 1) if n == len(parts) or not any(p[-n:] == parts[-n:] for p in others)
        )
        names[key] = ABBREVIATED.get(key) or ".".join(parts[-n:])
    return names


def _parts(key: str) -> list[str]:
    return key.removesuffix(".name").split(".")


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Token -> a short text of its value, another for each."""
    texts = {token: _text(value) for token, value in values.items()}
    if len(set(texts.values())) < len(texts):
        texts = {token: canonical(value) for token, value in values.items()}
    if any(len(text) > MOST_LETTERS or " " in text or not text.isprintable() for text in texts.values()):
        hexes = {t: text if set(text) <= set(string.hexdigits) else digest(values[t]) for t, text in texts.items()}
        n = DIGEST_LENGTH
        while len({text[:n] for text in hexes.values()}) < len(set(hexes.values())):
            n += 1
        texts = {token: text[:n] for token, text in hexes.items()}
    return texts


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
        return str(int(value))
    if isinstance(value, list) and value and all(isinstance(entry, str) for entry in value):
        return "+".join(value)
    return value if isinstance(value, str) and value else canonical(value)


def flat(value: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested mappings."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from flat(inner, f"{start}{key}.")
        else:
            yield f"{start}{key}", inner


# An identity leaves defaults out.
DEFAULTS = dict(flat(plain(Config()))) | BELOW_FREE_KEYS
