"""How captions are shown: beside their references, and how varied they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.captioning.score import ORDER, OUTCOMES
from paceline.tasks.panels import CellResult, CellText, Panel, Results, Table, TableColumn, TextCase, Texts, Value

LABELS = {outcome.name: outcome.label for outcome in OUTCOMES}
MOST_SHOWN = 60  # characters of the most frequent caption


def panels(results: Results) -> Iterator[Panel]:
    """Captions beside references, and a table of how captions are written."""
    if any(ORDER.score in cell.answers.scores for cell in results.cells):
        yield beside_references(results)
        yield variety(results)


def beside_references(results: Results) -> Texts:
    """The best, the median and the worst caption of the leading cell, and those of the best cells of each model."""
    by_id = {cell.id: cell for cell in results.cells}
    lead = next((by_id[id] for id in results.rank(ORDER.metric) if id in by_id), None)
    cases = []
    if lead is not None:
        others = [cell for cell in results.best if cell.id != lead.id]
        for label, at in _picked(lead.answers):
            sample = lead.answers.samples[at]
            answers = [text for cell in (lead, *others) if (text := _text(cell, sample)) is not None]
            cases.append(TextCase(sample, label, lead.answers.columns["references"][at], tuple(answers)))
    return Texts(
        "captions",
        "Captions beside their references",
        "Captions",
        headings=("CIDEr-D", "ROUGE-L"),
        cases=tuple(cases),
        caption=f"The best, the median and the worst caption by CIDEr-D of {lead.name if lead else 'no cell'}, which "
        "leads, and what the best cells of each model, untuned and tuned, say of the same pictures.",
    )


def _picked(answers: Answers) -> list[tuple[str, int]]:
    values = answers.scores.get(ORDER.score, np.full(len(answers), np.nan))
    order = [int(i) for i in np.argsort(-values, kind="stable") if np.isfinite(values[i])]
    middle = (len(order) - 1) // 2
    places = {"best": 0, "median": middle, "worst": len(order) - 1}
    return [(label, order[at]) for label, at in places.items()] if order else []


def _text(cell: CellResult, sample: str) -> CellText | None:
    answers = cell.answers
    if sample not in answers.samples:
        return None
    at = answers.samples.index(sample)
    caption = answers.columns["caption"][at]
    scores = (_number(answers, "cider_d", at), _number(answers, "rouge_l", at))
    outcome = "" if caption else LABELS.get(answers.outcomes[at], "not read")
    return CellText(cell.id, cell.name, caption, scores, outcome)


def _number(answers: Answers, score: str, at: int) -> str:
    value = float(answers.scores[score][at]) if score in answers.scores else np.nan
    return f"{value:.2f}" if np.isfinite(value) else "–"


def variety(results: Results) -> Table:
    """How many different captions a cell writes, how long they are, and which it writes most often."""
    rows: list[tuple[Value, ...]] = []
    seen = next((cell.answers for cell in results.best), None)
    if seen is not None:
        rows.append(("first reference", *_written([texts[0] for texts in seen.columns["references"]])))
    for cell in results.best:
        rows.append((cell.name, *_written([text for text in cell.answers.columns["caption"] if text])))
    return Table(
        "variety",
        "How varied captions are",
        "Variety",
        columns=(
            TableColumn("model · prompt · method"),
            TableColumn("read", "count"),
            TableColumn("different", "count"),
            TableColumn("words per caption", ""),
            TableColumn("most frequent caption"),
            TableColumn("times", "count"),
        ),
        rows=tuple(rows),
        caption="Few different captions: the model tells the pictures apart little. Words per caption: the mean.",
    )


def _written(captions: Sequence[str]) -> tuple[Value, ...]:
    counts = Counter(captions)
    often, times = counts.most_common(1)[0] if counts else ("–", 0)
    mean_length = float(np.mean([len(text.split()) for text in captions])) if captions else None
    shown = often if len(often) <= MOST_SHOWN else f"{often[:MOST_SHOWN]}…"
    return len(captions), len(counts), mean_length, shown, times


def show(value: Any) -> str:
    """A caption, or all references of a sample."""
    return " / ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")


def name(value: Any) -> str:
    """A caption, or the first reference."""
    return str(value[0]) if isinstance(value, list | tuple) and value else show(value)


label = show
