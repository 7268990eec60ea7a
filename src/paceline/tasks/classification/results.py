"""How classification is shown: class by class, what is answered instead, and the samples that flipped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from paceline import stats
from paceline.stats import Interval
from paceline.tasks.answers import Answers
from paceline.tasks.classification.score import OUTCOMES
from paceline.tasks.labels import confusion
from paceline.tasks.metrics import Unit
from paceline.tasks.panels import (
    CellResult,
    CellText,
    Panel,
    Results,
    Table,
    TableColumn,
    TextCase,
    Texts,
    Value,
)

OUTCOME = {outcome.name: outcome.label for outcome in OUTCOMES}
MOST_CELLS = 4  # with a table of classes each
MOST_CASES = 12
PICTURES = ("confusion",)


def panels(results: Results) -> Iterator[Panel]:
    """A table of classes for each of the best cells, their confusion, and what flipped between methods."""
    yield from map(per_class, results.best[:MOST_CELLS])
    yield from confusion(results)
    pairs = flips(results.cells)
    yield flip_table(pairs)
    yield flip_cases(pairs)


# -- by class


def per_class(cell: CellResult) -> Table:
    """Every class with its samples, the share that was right and exact, and what is answered instead; weakest first."""
    answers = cell.answers
    truths, said = answers.columns["class"], answers.columns["label"]
    rows: list[tuple[Value, ...]] = []
    for label in sorted(set(filter(None, truths))):
        at = [i for i, truth in enumerate(truths) if truth == label]
        instead = Counter(said[i] for i in at if said[i] not in ("", label)).most_common(1)
        wrong = f"{_text(instead[0][0])} ({instead[0][1]}×)" if instead else ""
        shares = [_share(answers, score, at) for score in ("right", "exact")]
        rows.append((_text(label), len(at), *shares, wrong))
    rows.sort(key=_strength)
    return Table(
        "classes",
        "Class by class",
        "Classes",
        columns=(
            TableColumn("class"),
            TableColumn("samples", "count"),
            TableColumn("accuracy", "share"),
            TableColumn("exact match", "share"),
            TableColumn("most often instead"),
        ),
        rows=tuple(rows),
        caption=f"{cell.name}: the weakest class first.",
    )


def _strength(row: tuple[Value, ...]) -> tuple[float, int]:
    """By what was right; of equal ones that with more samples says more."""
    _, samples, right, *_ = row
    return (right.value or 0.0) if isinstance(right, Interval) else 0.0, -int(str(samples))


def _share(answers: Answers, score: str, at: Sequence[int]) -> Interval:
    values = answers.scores.get(score, np.full(len(answers), np.nan))[list(at)]
    hits, n = int(np.nansum(values)), int(np.isfinite(values).sum())
    if answers.grouped:  # the groups of one class are too few for an interval
        return Interval(hits / n if n else None, None, None, n)
    return stats.wilson_interval(hits, n)


def _text(label: str) -> str:
    """A label without the quotes that its canonical JSON has."""
    return str(json.loads(label)) if label.startswith('"') else label


# -- flips


@dataclass(frozen=True)
class Flip:
    """Two cells that answered the same samples."""

    what: str
    """What both have in common, for people."""
    change: str
    """From which to which."""
    before: CellResult
    after: CellResult
    samples: tuple[str, ...]
    """Those that both answered."""
    was: np.ndarray
    """Which the first got right, bool (n,)."""
    now: np.ndarray

    @property
    def p(self) -> float | None:
        """McNemar's exact p; None where samples come in groups, as it takes them for independent."""
        return None if self.before.answers.grouped else stats.mcnemar_exact(self.was, self.now)


def flips(cells: Sequence[CellResult]) -> list[Flip]:
    """Untuned against tuned for each model and prompt; a prompt against itself with shots for each model and method."""
    found = []
    for after in cells:
        bases = [c for c in cells if (c.model, c.prompt) == (after.model, after.prompt) and _untuned(c)]
        if bases and after.method and not _untuned(after):
            before = next((c for c in bases if _variant(c) == _variant(after)), bases[0])
            found.append(_flip(f"{after.model} · {after.prompt}", f"{before.method} → {after.method}", before, after))
    for after in cells:
        plain = [
            c
            for c in cells
            if (c.model, c.method) == (after.model, after.method) and _with_shots(c.prompt, after.prompt)
        ]
        if plain:
            before = max(plain, key=lambda c: len(c.prompt))
            found.append(_flip(f"{after.model} · {after.method}", f"{before.prompt} → {after.prompt}", before, after))
    return [flip for flip in found if flip.samples]


def _untuned(cell: CellResult) -> bool:
    return cell.method.startswith("untuned")


def _variant(cell: CellResult) -> str:
    """What tells cells of one method apart: ``T=0.7`` of ``lora (T=0.7)``."""
    return cell.method.partition(" (")[2]


def _with_shots(plain: str, prompt: str) -> bool:
    """Whether a prompt is another with examples, by its name: ``four_shots_NAME`` or ``NAME_four_shots``."""
    ends = prompt.startswith(f"{plain}_") or prompt.endswith(f"_{plain}")
    return bool(plain) and ends and "shot" in prompt.replace(plain, "", 1)


def _flip(what: str, change: str, before: CellResult, after: CellResult) -> Flip:
    was, now = (dict(zip(c.answers.samples, c.answers.scores.get("right", ()), strict=False)) for c in (before, after))
    both = tuple(sample for sample in was if sample in now)
    return Flip(
        what,
        change,
        before,
        after,
        both,
        np.array([was[sample] == 1 for sample in both], dtype=bool),
        np.array([now[sample] == 1 for sample in both], dtype=bool),
    )


def flip_table(pairs: Sequence[Flip]) -> Table:
    """How many samples became right, and how many wrong."""
    tested = [flip.p for flip in pairs]
    corrected = iter(stats.holm([p for p in tested if p is not None]))
    rows = [
        (
            flip.what,
            flip.change,
            len(flip.samples),
            int((flip.now & ~flip.was).sum()),
            int((flip.was & ~flip.now).sum()),
            int((flip.was & flip.now).sum()),
            int((~flip.was & ~flip.now).sum()),
            None if p is None else next(corrected),
        )
        for flip, p in zip(pairs, tested, strict=True)
    ]
    headings = ("samples", "became right", "became wrong", "stayed right", "stayed wrong")
    return Table(
        "flips",
        "Samples that flipped",
        "Flips",
        columns=(
            TableColumn("compared in"),
            TableColumn("from → to"),
            *(TableColumn(heading, "count") for heading in headings),
            TableColumn("p", Unit("", 3), largest_first=False),
        ),
        rows=tuple(rows),
        caption="An unread answer is not right. p: McNemar's exact test of those that became right against those that "
        "became wrong, Holm-corrected over the rows; none where samples come in groups.",
    )


def flip_cases(pairs: Sequence[Flip]) -> Texts:
    """Some samples that flipped, of every pair in turn, and of each pair those that became right and wrong in turn."""
    queues = []
    for flip in pairs:
        right, wrong = np.flatnonzero(flip.now & ~flip.was), np.flatnonzero(flip.was & ~flip.now)
        mixed = [int(i) for both in zip_longest(right, wrong) for i in both if i is not None]
        queues.append([(flip, i) for i in mixed])
    turns = (one for row in zip_longest(*queues) for one in row if one is not None)
    first: dict[str, tuple[Flip, int]] = {}  # a sample once: each shows another picture
    for flip, i in turns:
        first.setdefault(flip.samples[i], (flip, i))
    return Texts(
        "flips",
        "Samples that flipped",
        "Flips",
        headings=("right",),
        cases=tuple(_case(flip, i) for flip, i in list(first.values())[:MOST_CASES]),
        caption="What was read of both answers.",
    )


def _case(flip: Flip, i: int) -> TextCase:
    sample = flip.samples[i]
    cells = [(flip.before, flip.was[i]), (flip.after, flip.now[i])]
    at = flip.before.answers.samples.index(sample)
    truth = _text(flip.before.answers.columns["class"][at])
    label = f"{'became right' if flip.now[i] else 'became wrong'}: {flip.what}, {flip.change}"
    return TextCase(sample, label, (truth,), tuple(_said(cell, sample, bool(right)) for cell, right in cells))


def _said(cell: CellResult, sample: str, right: bool) -> CellText:
    at = cell.answers.samples.index(sample)
    said, outcome = _text(cell.answers.columns["label"][at]), cell.answers.outcomes[at]
    return CellText(
        cell.id, cell.name, said, ("yes" if right else "no",), "" if said else OUTCOME.get(outcome, outcome)
    )
