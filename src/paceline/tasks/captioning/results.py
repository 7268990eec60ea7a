"""How captions are shown: beside their references, and how they are written; and what people mark them by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.captioning.score import ORDER, OUTCOMES
from paceline.tasks.kind import Criterion
from paceline.tasks.metrics import Unit
from paceline.tasks.panels import CellResult, CellText, Panel, Results, Table, TableColumn, TextCase, Texts, Value

LABELS = {outcome.name: outcome.label for outcome in OUTCOMES}
MARKS = (
    Criterion("accurate", "Is all that it says in the picture, without invented names, numbers or events?"),
    Criterion("style", "Is it worded as a caption of such a picture should be, in length, tone and grammar?"),
)
"""A caption is acceptable where both are marked yes."""
MOST_SHOWN = 60  # characters of the most frequent caption


def panels(results: Results) -> Iterator[Panel]:
    """Captions beside references, and a table of how captions are written."""
    if any(ORDER.score in cell.answers.scores for cell in results.cells):
        yield beside_references(results)
        yield writing(results)


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
        headings=("CIDEr-D", "ROUGE-L", "in no reference"),
        cases=tuple(cases),
        caption=f"The best, the median and the worst caption by CIDEr-D of {lead.name if lead else 'no cell'}, which "
        "leads, and what the best cells of each model, untuned and tuned, say of the same pictures; and the names and "
        "numbers of each answer that are in no reference.",
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
    words = answers.columns["invented"][at]
    scores = (_number(answers, "cider_d", at), _number(answers, "rouge_l", at), ", ".join(words) or "–")
    outcome = "" if caption else LABELS.get(answers.outcomes[at], "not read")
    return CellText(cell.id, cell.name, caption, scores, outcome)


def _number(answers: Answers, score: str, at: int) -> str:
    value = float(answers.scores[score][at]) if score in answers.scores else np.nan
    return f"{value:.2f}" if np.isfinite(value) else "–"


def writing(results: Results) -> Table:
    """How long captions are beside their references, how many differ, how many are empty, and what they invent."""
    rows: list[tuple[Value, ...]] = []
    seen = next((cell.answers for cell in results.best), None)
    if seen is not None:
        references = [text for texts in seen.columns["references"] for text in texts]
        rows.append(("references", *_written(references, len(references)), None, None))
    for cell in results.best:
        captions = cell.answers.columns["caption"]
        invents = (_share(cell.answers, score) for score in ("invents_name", "invents_number"))
        rows.append((cell.name, *_written([text for text in captions if text], len(captions)), *invents))
    return Table(
        "variety",
        "How captions are written",
        "Writing",
        columns=(
            TableColumn("model · prompt · method"),
            TableColumn("read", "count"),
            TableColumn("empty", "share"),
            TableColumn("different", "count"),
            TableColumn("words\nper caption", Unit("", 1)),
            TableColumn("fewest\nwords", "count"),
            TableColumn("most\nwords", "count"),
            TableColumn("most frequent caption"),
            TableColumn("times", "count"),
            TableColumn("invented\nname", "share"),
            TableColumn("invented\nnumber", "share"),
        ),
        rows=tuple(rows),
        caption="Empty: answers without a caption, unread ones. Few different captions: the model tells the pictures "
        "apart little. Words per caption: the mean. Invented: the share of the captions read with a name or a number "
        "that is in no reference of the picture; of captions whose capitals tell no names there is no share.",
    )


def _written(captions: Sequence[str], asked: int) -> tuple[Value, ...]:
    counts = Counter(captions)
    often, times = counts.most_common(1)[0] if counts else ("–", 0)
    lengths = [len(text.split()) for text in captions]
    spread = (float(np.mean(lengths)), min(lengths), max(lengths)) if lengths else (None, None, None)
    shown = often if len(often) <= MOST_SHOWN else f"{often[:MOST_SHOWN]}…"
    empty = (asked - len(captions)) / asked if asked else None
    return len(captions), empty, len(counts), *spread, shown, times


def _share(answers: Answers, score: str) -> float | None:
    values = answers.scores.get(score, np.array([]))
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def show(value: Any) -> str:
    """A caption, or all references of a sample."""
    return " / ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")


def name(value: Any) -> str:
    """A caption, or the first reference."""
    return str(value[0]) if isinstance(value, list | tuple) and value else show(value)


label = show
