"""A model as the judge of another's answers: why is this one wrong, or right for no sufficient reason?

A sample is a row of a sheet of answers (reader ``marking_sheet``): pictures, ``asked``, ``judged`` (the answer),
``references`` (the right answer). The judge chooses one kind of failure (:mod:`paceline.tasks.failure_kinds`). What it
chose is a filled sheet: ``paceline report --files`` writes it, ``paceline marks SWEEP --read`` takes it, and the table
of failures stands in the report of the sweep that was judged. Where people filled the sheet in before, the judge is
held to their marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.store.spreadsheet import csv_bytes
from paceline.tasks import short_answers
from paceline.tasks.answer_phrases import MAX_CHARACTERS, plain_marks, said
from paceline.tasks.failure_kinds import FAILURE
from paceline.tasks.kind import Answer, Answered, Asks, Part
from paceline.tasks.metrics import MALFORMED, PARSED, Judged, Metric, Reading

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.panels import CellResult, Panel, Results

FIELDS = {
    "asked": "what was asked; empty where the task asks the same of every sample",
    "judged": "the answer that is judged",
    "references": "the right answer",
    "failures": "the kinds of failure, each with what it means, a line each",
    "failure": "what people marked, where they did",
}
SHOWN = ("asked", "judged", "references", "failures")
ASKS = Asks(answer="choice", images="one")
GROUP = "sha256"
"""Answers about one picture are resampled together."""
OUTCOMES = short_answers.OUTCOMES
METRICS = (
    *(Metric(f"{name}_share", title=name, score=name, hits=True) for name in FAILURE.choices),
    Metric("accuracy", title="as people marked", score="as_marked", hits=True, leads=True, optional=True),
)
HEADLINE = tuple(metric.name for metric in METRICS)
NOTE = "Shares of all answers that were judged: what a model says of them, not what people do."
MARKS = ()
LINES = "\n".join(f"{name}: {meaning}" for name, meaning in FAILURE.choices.items())
combine = short_answers.combine
weighted = short_answers.weighted


def fields(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
    """The fields of a sample for templates."""
    names = ("asked", "judged", "references", "failure")
    return {**{name: sample.get(name) for name in names}, "failures": LINES}


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a row of a sheet; the column ``answer`` is what is judged.

    Raises:
        ValueError: it has no right answer, or a mark that is no kind of failure.
    """
    references, failure = fields.get("references", ""), str(fields.get(FAILURE.name) or "").strip().lower()
    if not references:
        raise ValueError("no right answer in the column references")
    if failure and failure not in FAILURE.choices:
        raise ValueError("a mark that is no kind of failure")
    kept = {"asked": fields.get("question", ""), "judged": fields.get("answer", ""), "references": references}
    return {**kept, **({"failure": failure} if failure else {})}


def parts(sample: Mapping[str, Any], task: TaskSpec, prompt: PromptSpec) -> tuple[Part, ...]:
    """The one question: which kind of failure."""
    return (Part(text=FAILURE.question, choices=tuple(FAILURE.choices)),)


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The kind of failure that the judge names.

    Kinds are called by common words (``text``, ``other``, ``none``): one that stands in a sentence as such, as in ``The
    text is cut off``, names no kind. The kind that an answer begins with, or gives behind ``Kind:`` or in JSON, is the
    one that it means, whatever its explanation mentions.
    """
    reading = short_answers.read_choice(answer, part, by_letter=short_answers.shows_letters(prompt))
    if "choices" in answer.data:
        return reading
    start, end = said(answer.text[:MAX_CHARACTERS])
    text = plain_marks(answer.text[start:end])
    if reading.outcome == PARSED.name:
        words = {word.lower() for word in re.findall(r"\w+", text)}
        as_a_name = words == {reading.value} or any(m[1].lower() == reading.value for m in _AS_A_NAME.finditer(text))
        return reading if as_a_name or all(len(word) == 1 for word in words) else Reading(MALFORMED.name)
    led = {m[1].lower() for m in (_LEADS.match(text), *_KEYED.finditer(text)) if m is not None}
    if reading.outcome != MALFORMED.name or len(led) != 1 or len(_LINES.findall(text)) > 1:
        return reading
    return Reading(PARSED.name, led.pop(), (start, end))


_KIND = rf"({'|'.join(sorted(FAILURE.choices, key=len, reverse=True))})"
_SIGNS = r"[\s\"'*_`(\[]"
_AS_A_NAME = re.compile(
    rf"(?:^|[:=\"'`*(\[\n,;.-]|\b(?:is|was|it's|as|in|of|an?|the|be|say|choose|pick|but|so|not|kind|answer|failure))"
    rf"{_SIGNS}{{0,4}}\b{_KIND}\b[\"'*_`]{{0,3}}"
    r"(?=\s{0,2}(?:$|[.,;:!)\]}\n(–—<-]|(?:errors?|failures?|mistakes?|problems?|issues?|faults?|kind|category|because"
    r"|since|not|rather)\b))",
    re.IGNORECASE,
)
_LEADS = re.compile(
    rf"{_SIGNS}{{0,6}}{_KIND}\b[\"'*_`]{{0,3}}"
    r"(?:\s?[:–—(]|\s-\s|\n|\.\s(?!\W*(?:wait|no|actually|sorry|hmm|or|but)\b)|,?\s(?:because|since|as)\b)",
    re.IGNORECASE,
)
_KEYED = re.compile(
    rf"(?:^|\n|[{{,])\s{{0,4}}[\"'*_]{{0,3}}(?:kind|failure|category|type|label|error)(?: of failure|[ _]kind)?"
    rf"[\"'*_]{{0,3}}\s?[:=]{_SIGNS}{{0,4}}{_KIND}\b",
    re.IGNORECASE,
)
_LINES = re.compile(rf"^\W{{0,6}}{_KIND}\b\W{{0,3}}[:–—-]", re.IGNORECASE | re.MULTILINE)


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    """Which kind it is; and whether people marked the same, where any of the data was marked."""
    marked = any(answered.sample.get("failure") for answered in answers)
    judged = []
    for answered in answers:
        value, truth = answered.reading.value, answered.sample.get("failure")
        scores: dict[str, float | bool | None] = {name: value == name for name in FAILURE.choices}
        if marked:
            scores["as_marked"] = value == truth if truth else None
        judged.append(Judged(truth, scores))
    return judged


def columns(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What was chosen, one a record; empty where nothing was read."""
    return {"chosen": tuple(record.get("value") or "" for record in records)}


def panels(results: Results) -> Iterator[Panel]:
    """The sheets that were filled in."""
    from paceline.tasks.panels import CellFiles, Files, TextFile

    def files(cell: CellResult) -> CellFiles:
        return CellFiles(
            cell.id, cell.name, len(cell.answers), (TextFile("judged.csv", lambda: _filled(cell).decode("utf-8")),)
        )

    yield Files(
        "saved",
        "The sheets that each judge filled in",
        "Files",
        "answers",
        tuple(files(cell) for cell in results.cells),
        "Taken back by: paceline marks SWEEP --read judged.csv --marker judge-NAME.",
    )


def _filled(cell: CellResult) -> bytes:
    chosen = cell.answers.columns["chosen"]
    rows = zip(cell.answers.sample_ids, chosen, strict=True)
    return csv_bytes(("key", FAILURE.name), ((key, str(name)) for key, name in rows))
