"""Answers as models write them, labelled by hand before a reader saw them: `labelled_answers/KIND.jsonl`, a line each.

``label`` is what a careful person reads, ``read`` what the reader gives where that is something else: mostly nothing,
as hedges and corrections are unread by the rules of docs/answers.md. The share of other values is held in each kind.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_cover_answers import CLASSES as COVER

from paceline import tasks
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.tasks.document_questions.asked_questions import ELEVEN
from paceline.tasks.document_questions.joint_answers import taken_apart
from paceline.tasks.kind import Answer, Part
from paceline.tasks.metrics import Reading

FOLDER = Path(__file__).parent / "labelled_answers"
NONE = ("malformed", "refused", "echoed", "out_of_range")
WORDS = PromptSpec(name="p", text="{question}")
LETTERS = PromptSpec(name="p", text="{question}\n{choices}")
LANDMARKS = ["Eiffel Tower", "Notre-Dame de Paris", "Sagrada Família", "Cologne Cathedral"]
LABELS = {
    "eurosat": "AnnualCrop Forest HerbaceousVegetation Highway Industrial Pasture PermanentCrop Residential River "
    "SeaLake",
    "uc_merced": "agricultural airplane baseballdiamond beach buildings chaparral denseresidential forest freeway "
    "golfcourse harbor intersection mediumresidential mobilehomepark overpass parkinglot river runway "
    "sparseresidential storagetanks tenniscourt",
}
DAMAGE = ["no-damage", "minor-damage", "major-damage", "destroyed"]
ANSWERS = {"presence": "yes", "comp": "yes", "rural_urban": "rural", "count": "3", "area": "10m2"}
PASSAGE = (
    "Pannellum is an interactive web-based panorama viewer that is free and open source. Built using HTML5, CSS3, "
    "JavaScript, and WebGL, it is plug-in free. It can be deployed easily as a single file, just 21 kB gzipped, and "
    "then embedded into pages as an iframe. A configuration utility is included to generate the required code for "
    "embedding. An API is included for more advanced integrations. Existing viewers needed plug-ins or were sold."
)
REVIEWER = PromptSpec(
    name="p",
    text="Here is a part of a document:\n\n{passage}\n\nAs a reviewer, answer this question about the document, from "
    "what stands above: {question}",
    system="You are an experienced reviewer who reads papers with care.",
)
THREE = {
    "topic": ("What is this document about? [1]", "Topic [1]"),
    "motivation": ("Which problem makes this necessary? [2, 1]", "Motivation [2, 1]"),
    "own_takeaways": ("What should a reader remember?", "Takeaways for the reader"),
}


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines()]


def reading(kind: str, sample: dict[str, Any], text: str, prompt: PromptSpec, part: Part | None = None) -> Reading:
    held, task = tasks.load(kind), TaskSpec(name="t", kind=kind, evaluate=["test"])
    return held.read(Answer(text), part or held.parts({"id": "a", **sample}, task, prompt)[0], task, prompt)


def counted(row: dict[str, Any]) -> tuple[Reading, Any]:
    found = reading("counting", {"question": row["asked"], "count": 1}, row["text"], WORDS)
    return found, found.value


def of_tile(row: dict[str, Any]) -> tuple[Reading, Any]:
    sort, question = row["asked"]
    given = {"question": question, "answer": ANSWERS[sort], "type": sort}
    sample = tasks.load("satellite_vqa").complete(given)
    found = reading("satellite_vqa", {"sha256": "x", **sample}, row["text"], WORDS)
    number = found.data.get("number")
    return found, found.value if number is None or isinstance(row["label"], str) else number


def covered(row: dict[str, Any]) -> tuple[Reading, Any]:
    sample = {"labels": ["Pastures"], "classes": list(COVER.values())}
    found = reading("multi_label", sample, row["text"], PromptSpec(name="p", text="Which? {classes}"))
    keys = {name: key for key, name in COVER.items()}
    return found, " ".join(sorted(keys[name] for name in found.value or ()))


def classified(row: dict[str, Any]) -> tuple[Reading, Any]:
    labels = LABELS[row["asked"]].split()
    found = reading("classification", {"label": labels[0], "labels": labels}, row["text"], LETTERS)
    return found, found.value


def placed(row: dict[str, Any]) -> tuple[Reading, Any]:
    part = Part(text="Which of these landmarks does the photo show?", choices=tuple(LANDMARKS))
    found = reading("landmark", {}, row["text"], LETTERS, part)
    return found, found.value


def located(row: dict[str, Any]) -> tuple[Reading, Any]:
    several = row["asked"] == "many"
    sample = {"phrase": "the ship", "boxes": [[1, 1, 2, 2]], "several": several, "width": 640, "height": 480}
    prompt = PromptSpec(name="p", text="Where is {phrase}?", boxes="" if several else row["asked"])
    found = reading("localisation", sample, row["text"], prompt)
    boxes = [[round(end, 2) for end in box] for box in found.value or ()]
    return found, boxes[0] if len(boxes) == 1 and not several else boxes


def changed(row: dict[str, Any]) -> tuple[Reading, Any]:
    counts = row["asked"] == "counts"
    text = "How many of each: {classes}? Answer with JSON." if counts else "Has anything changed? Answer yes or no."
    sample = {"counts": dict.fromkeys(DAMAGE, 0), "classes": DAMAGE}
    found = reading("change_detection", sample, row["text"], PromptSpec(name="p", text=text))
    value = found.value or {}
    return found, [value.get("counts", {}).get(name, 0) for name in DAMAGE] if counts else value.get("changed")


def of_document(row: dict[str, Any]) -> tuple[Reading, Any]:
    asked = ELEVEN[row["asked"]]
    part = Part(row["asked"], asked["question"], fields={"topic": asked["topic"], "passage": PASSAGE})
    return reading("document_questions", {}, row["text"], REVIEWER, part), "parsed"


def judged(row: dict[str, Any]) -> tuple[Reading, Any]:
    found = reading("failure_judge", {}, row["text"], PromptSpec(name="p", text="{failures}"))
    return found, found.value


READERS = {
    "counting": counted,
    "satellite_vqa": of_tile,
    "multi_label": covered,
    "classification": classified,
    "landmark": placed,
    "localisation": located,
    "change_detection": changed,
    "document_questions": of_document,
    "failure_judge": judged,
}


@pytest.mark.parametrize("kind", READERS)
def test_an_answer_is_read_as_it_was_labelled_or_as_the_rules_say(kind: str) -> None:
    wrong = []
    for row in rows(kind):
        found, value = READERS[kind](row)
        read = value if found.outcome == "parsed" else found.outcome
        if read != row.get("read", row["label"]):
            wrong.append((row, read))
    assert wrong == []


@pytest.mark.parametrize("kind", READERS)
def test_a_value_that_no_careful_person_reads_is_rare(kind: str) -> None:
    every = rows(kind)
    invented = [row for row in every if "read" in row and not (isinstance(row["read"], str) and row["read"] in NONE)]
    assert len(invented) <= 0.08 * len(every), invented


def test_an_answer_to_all_questions_is_taken_apart_as_it_was_labelled() -> None:
    for row in rows("joint"):
        assert list(taken_apart(row["text"], THREE).values()) == row.get("read", row["label"]), row
