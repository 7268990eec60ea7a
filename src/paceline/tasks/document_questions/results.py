"""How answers about documents are shown: tables by question and by document, and a summary sheet of each document."""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from paceline.counted import counted
from paceline.stats import Interval
from paceline.tasks.answers import Answers
from paceline.tasks.document_questions.score import METRICS, OUTCOMES
from paceline.tasks.metrics import READ_SHARE, Metric, aggregate
from paceline.tasks.panels import (
    CellClasses,
    CellFiles,
    CellResult,
    CellText,
    ClassFigures,
    Files,
    Measure,
    Panel,
    PerClass,
    Results,
    TextCase,
    TextFile,
    Texts,
)

LABELS = {outcome.name: outcome.label for outcome in OUTCOMES}
MOST_DOCUMENTS = 20
"""Rows of the table by document; the others stand together in a last one."""
MOST_SHEETS = 2
"""Documents whose answers the page shows; the files hold all."""
_BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}
READ = _BY_NAME[READ_SHARE]


def panels(results: Results) -> Iterator[Panel]:
    """Tables by question and by document, answers on the page, and the sheets."""
    if any("part" in cell.answers.columns for cell in results.cells):
        yield by_class(results, "question")
        yield by_class(results, "document")
        yield sheet_on_page(results)
        yield saved(results)


# -- tables


def by_class(results: Results, noun: str) -> PerClass:
    """Answered, carried, faithful: by question, or by document."""
    of_part = noun == "question"
    cells = []
    for cell in results.best:
        answers = cell.answers
        names = answers.columns["part"] if of_part else _documents(answers, results)
        cells.append(CellClasses(cell.id, cell.name, tuple(_rows(answers, list(names), intervals=of_part))))
    shown = [READ, _BY_NAME["supported"], _BY_NAME["faithfulness"]]
    return PerClass(
        f"by_{noun}",
        f"Answered by {noun}",
        "Questions" if of_part else "Documents",
        about=f"answered, carried by a chunk and faithful by {noun}",
        noun=noun,
        counted="questions" if not of_part else "documents",
        measures=tuple(
            Measure(heading, heading if metric is READ else metric.heading, metric.unit)
            for metric, heading in zip(shown, ("answered", "carried", "faithful"), strict=True)
        ),
        cells=tuple(cells),
        caption=f"By {noun}: the share answered; of answers the share that a shown chunk carries, and the share of "
        "their content words that are in any of them.",
    )


def _documents(answers: Answers, results: Results) -> list[str]:
    return [str(results.samples.get(sample, {}).get("document", sample)) for sample in answers.sample_ids]


def _rows(answers: Answers, names: list[str], intervals: bool) -> Iterator[ClassFigures]:
    """The figures of each name; without intervals where a name is one document, which says nothing of others."""
    order = list(dict.fromkeys(names))
    if len(order) > MOST_DOCUMENTS:
        rest = f"all other {len(order) - MOST_DOCUMENTS + 1}"
        kept = set(order[: MOST_DOCUMENTS - 1])
        names = [name if name in kept else rest for name in names]
        order = [*order[: MOST_DOCUMENTS - 1], rest]
    metrics = [READ, *(m for name in ("supported", "faithfulness") if (m := _BY_NAME[name]).score in answers.scores)]
    for name in order:
        at = [place for place, one in enumerate(names) if one == name]
        made = aggregate(answers.take(at), metrics)
        figures = [made.get(n) for n in (READ.name, "supported", "faithfulness")]
        yield ClassFigures(name, False, len(at), tuple(_interval(one, intervals) for one in figures))


def _interval(made: Mapping[str, Any] | None, whole: bool) -> Interval:
    if not made:
        return Interval(None, None, None, 0)
    low, high = (made["low"], made["high"]) if whole else (None, None)
    return Interval(made["value"], low, high, made["n"])


# -- sheets


def sheet_on_page(results: Results) -> Texts:
    """The questions about the first documents, with what the best cells answer and which chunk carries it."""
    cases = []
    documents = list(dict.fromkeys(s for cell in results.best for s in cell.answers.sample_ids))[:MOST_SHEETS]
    lead = next(iter(results.best), None)
    if lead is not None:
        for at, (question, sample) in enumerate(zip(lead.answers.samples, lead.answers.sample_ids, strict=True)):
            if sample in documents:
                record = results.samples.get(sample, {})
                part = lead.answers.columns["part"][at]
                asked = _question(record, part).get("question", part)
                shown = tuple(map(_told, _chunks(record, lead.answers.columns["shown"][at])))
                truth = tuple(f"right: {one}" for one in lead.answers.columns["truth"][at])
                texts = [text for cell in results.best if (text := _text(cell, question, record)) is not None]
                cases.append(TextCase(question, sample, (*truth, *shown), tuple(texts), asked))
    return Texts(
        "sheet",
        "Summary sheets",
        "Sheets",
        headings=("carried by chunk", "faithful"),
        cases=tuple(cases),
        caption=f"What the best cells answer about the first {'document' if len(documents) == 1 else 'documents'}, "
        "beside the chunks that the first of them was shown. `paceline report --files FOLDER` writes the sheets of all "
        "cells.",
    )


def _text(cell: CellResult, question: str, record: Mapping[str, Any]) -> CellText | None:
    answers = cell.answers
    if question not in answers.samples:
        return None
    at = list(answers.samples).index(question)
    text, outcome = answers.columns["text"][at], answers.outcomes[at]
    faithful = answers.scores["faithfulness"][at] if "faithfulness" in answers.scores else np.nan
    scores = (_carrier(cell, at, record) if text else "–", f"{faithful:.2f}" if np.isfinite(faithful) else "–")
    return CellText(cell.id, cell.name, text or "–", scores, "" if text else LABELS.get(outcome, "not read"))


def _carrier(cell: CellResult, at: int, record: Mapping[str, Any]) -> str:
    chunk, rank = cell.answers.columns["chunk"][at], cell.answers.columns["rank"][at]
    if chunk is None:
        return "none"
    held = next(iter(_chunks(record, (chunk,))), {})
    page = f", page {held['page']}" if "page" in held else ""
    return f"{chunk}{page} ({_ordinal(rank)})"


def _ordinal(rank: int | None) -> str:
    if not rank:
        return "of another question"
    return "the nearest" if rank == 1 else f"rank {rank}"


def _question(record: Mapping[str, Any], part: str) -> Mapping[str, str]:
    return next((one for one in record.get("questions", ()) if one["name"] == part), {})


def _chunks(record: Mapping[str, Any], places: Sequence[int]) -> list[Mapping[str, Any]]:
    held = {chunk["index"]: chunk for chunk in record.get("chunks", ())}
    return [held[place] for place in places if place in held]


def _told(chunk: Mapping[str, Any]) -> str:
    page = f", page {chunk['page']}" if "page" in chunk else ""
    return f"chunk {chunk['index']}{page}: {' '.join(chunk['text'].split())}"


def saved(results: Results) -> Files:
    """Of each cell a filled summary sheet of every document, to read and as JSON lines."""

    def files(cell: CellResult) -> CellFiles:
        return CellFiles(
            cell.id,
            cell.name,
            len(set(cell.answers.sample_ids)),
            (*_sheet_files(cell, results), TextFile("sheets.jsonl", lambda: lines(cell, results))),
        )

    return Files(
        "saved",
        "Summary sheets as files",
        "Files",
        "documents",
        tuple(files(cell) for cell in results.cells),
        "A sheet a document: each question with its answer, the chunks that were shown, and which of them carries it.",
    )


def _sheet_files(cell: CellResult, results: Results) -> Iterator[TextFile]:
    """A sheet of each document, named like it."""
    taken: Counter[str] = Counter()
    for sample in dict.fromkeys(cell.answers.sample_ids):
        stem = re.sub(r"[^\w.-]+", "_", str(results.samples.get(sample, {}).get("document", sample)))[-60:]
        taken[stem.lower()] += 1
        again = f"-{taken[stem.lower()]}" if taken[stem.lower()] > 1 else ""
        yield TextFile(f"{stem}{again}-sheet.md", functools.partial(sheet, cell, results, sample))


def entries(cell: CellResult, results: Results, of: str = "") -> Iterator[dict[str, Any]]:
    """Of each question what was answered, and from what; ``answer`` is None where none was read.

    Args:
        cell: whose answers.
        results: with the prepared documents.
        of: the sample whose answers are given; empty gives all.
    """
    answers, columns = cell.answers, cell.answers.columns
    for at, sample in enumerate(answers.sample_ids):
        if of and sample != of:
            continue
        record = results.samples.get(sample, {})
        part = columns["part"][at]
        asked = _question(record, part)
        cosines = dict((record.get("nearest") or {}).get(part, ()))
        shown = [
            {key: chunk[key] for key in ("index", "page", "from", "to", "text") if key in chunk}
            | {"similarity": cosines.get(chunk["index"])}
            for chunk in _chunks(record, columns["shown"][at])
        ]
        yield {
            "document": str(record.get("document", sample)),
            "question": part,
            "topic": asked.get("topic", part),
            "asked": asked.get("question", ""),
            "answer": columns["text"][at] or None,
            "outcome": LABELS.get(answers.outcomes[at], answers.outcomes[at]),
            "chunk": columns["chunk"][at],
            "rank": columns["rank"][at],
            "truth": list(columns["truth"][at]),
            "faithfulness": _finite(answers, "faithfulness", at),
            "token_f1": _finite(answers, "token_f1", at),
            "shown": shown,
        }


def _finite(answers: Answers, score: str, at: int) -> float | None:
    value = float(answers.scores[score][at]) if score in answers.scores else float("nan")
    return round(value, 3) if np.isfinite(value) else None


def lines(cell: CellResult, results: Results) -> str:
    """A line of JSON a question."""
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries(cell, results))


def sheet(cell: CellResult, results: Results, sample: str) -> str:
    """The filled summary sheet of a document in Markdown: a heading a question, its answer, and where it is from."""
    record = results.samples.get(sample, {})
    options = results.task.options
    told = list(entries(cell, results, sample))
    read = sum(entry["answer"] is not None for entry in told)
    parts = [
        f"# {_line(record.get('document', sample))}",
        f"Task {results.task.name}, {results.split}. Asked: {cell.name}. Chunks of {options.get('chunks', '1000/200')} "
        f"characters, the nearest {record.get('top', options.get('top', 1))} shown with each question. "
        f"{read} of {counted(len(told), 'question')} answered.",
    ]
    for entry in told:
        parts.append(f"## {_line(entry['topic'])}")
        if entry["asked"]:
            parts.append(f"*{_line(entry['asked'])}*")
        parts.append(_own_words(entry["answer"]) or f"**No answer was read: {entry['outcome']}.**")
        if entry["truth"]:
            parts.append(f"Right: {' / '.join(map(_line, entry['truth']))}")
        parts.append(_sources(entry))
    return "\n\n".join(filter(None, parts)) + "\n"


def _own_words(answer: str | None) -> str:
    """An answer whose headings are none of the sheet's."""
    return re.sub(r"(?m)^(\s*)(#{1,6}\s)", r"\1\\\2", answer or "")


def _sources(entry: Mapping[str, Any]) -> str:
    """The chunks that were shown, and which of them carries the answer."""
    told = []
    for chunk in entry["shown"]:
        place = f"chunk {chunk['index']}" + (f", page {chunk['page']}" if "page" in chunk else "")
        near = f", cosine {chunk['similarity']}" if chunk["similarity"] is not None else ""
        carries = "; carries the answer" if chunk["index"] == entry["chunk"] else ""
        told.append(f"> *{place}{near}{carries}:* {_line(chunk['text'])}")
    if entry["answer"] and entry["chunk"] is None:
        told.append("> *None of the chunks carries the answer: less than half of its words are in one.*")
    elif entry["answer"] and not entry["rank"]:
        told.append(f"> *Chunk {entry['chunk']}, which was shown with another question, carries the answer.*")
    return "\n>\n".join(told)


def _line(text: str) -> str:
    return " ".join(str(text).split())


def show(value: Any) -> str:
    """An answer, or the right ones."""
    return " / ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "–")


name = show
label = show
