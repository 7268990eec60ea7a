"""Answers about tiles: read by hand before the reader saw them, and held in the classes of RSVQA's authors."""

from __future__ import annotations

import numpy as np
import pytest

from paceline import tasks
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.tasks.kind import Answer, Answered
from paceline.tasks.satellite_vqa.answer_classes import class_of, ranges

TASK = TaskSpec(name="rsvqa", kind="satellite_vqa")
PROMPT = PromptSpec(name="p", text="{question}")
LETTERS = PromptSpec(name="p", text="{question}\n{choices}")
MALFORMED, REFUSED = "malformed", "refused"
KIND = tasks.load("satellite_vqa")
SMALL, MIDDLE, LARGE, HUGE = ranges("area")[1:]
ANSWERS = [
    ("presence", False, "Yes", "yes"),
    ("presence", False, "no.", "no"),
    ("presence", False, "Yes, there is a road.", "yes"),
    ("presence", False, "No, there is none.", "no"),
    ("presence", False, "yes and no", MALFORMED),
    ("presence", False, "5", MALFORMED),
    ("comp", False, "No", "no"),
    ("comp", False, "The answer is yes.", "yes"),
    ("comp", False, "I cannot determine that.", REFUSED),
    ("rural_urban", False, "rural", "rural"),
    ("rural_urban", False, "It is an urban area.", "urban"),
    ("rural_urban", False, "rural or urban", MALFORMED),
    ("count", False, "5", "5"),
    ("count", False, "There are five buildings.", "5"),
    ("count", False, "none", "0"),
    ("count", False, "between 0 and 10", MALFORMED),
    ("count", False, "yes", MALFORMED),
    ("count", True, "5", "between 0 and 10"),
    ("count", True, "0", "0"),
    ("count", True, "10", "between 0 and 10"),
    ("count", True, "11", "between 10 and 100"),
    ("count", True, "1000", "between 100 and 1000"),
    ("count", True, "1,001", "more than 1000"),
    ("count", True, "between 0 and 10", "between 0 and 10"),
    ("count", True, "Between 1 and 10.", "between 0 and 10"),
    ("count", True, "between 11 and 100", "between 10 and 100"),
    ("count", True, "more than 1000", "more than 1000"),
    ("count", True, "There are over 1,000 buildings", "more than 1000"),
    ("count", True, "between 3 and 7", MALFORMED),
    ("count", True, "more than 20", MALFORMED),
    ("count", True, "between 0 and 10 or between 10 and 100", MALFORMED),
    ("count", True, "not more than 1000", MALFORMED),
    ("area", False, "0m2", "0m2"),
    ("area", False, "0", "0m2"),
    ("area", False, "none", "0m2"),
    ("area", False, "There are no buildings, so the area is 0 m².", "0m2"),
    ("area", False, "5 m2", SMALL),
    ("area", False, "11m2", MIDDLE),
    ("area", False, "859m2", LARGE),
    ("area", False, "about 1,200 square meters", HUGE),
    ("area", False, "1200 sq m", HUGE),
    ("area", False, "$1200\\,\\text{m}^2$", HUGE),
    ("area", False, "10.5 m²", MIDDLE),
    ("area", False, "between 10m2 and 100m2", MIDDLE),
    ("area", False, "between 101m2 and 1000m2", LARGE),
    ("area", False, "100 to 1000 m2", LARGE),
    ("area", False, "more than 1000m2", HUGE),
    ("area", False, "500 feet", MALFORMED),
    ("area", False, "2 hectares", MALFORMED),
    ("area", False, "30%", MALFORMED),
    ("area", False, "large", MALFORMED),
    ("area", False, "I'm unable to measure areas.", REFUSED),
    ("scene", False, "high density", "high density"),
]


def sample(sort: str, answer: str, in_ranges: bool = False, question: str = "How many buildings are there?") -> dict:
    return KIND.complete(
        {"question": question, "answer": answer, "type": sort, **({"ranges": True} if in_ranges else {})}
    )


TRUE = {"count": "0", "area": "0m2", "rural_urban": "rural", "scene": "forest"}


@pytest.mark.parametrize(("sort", "in_ranges", "text", "expected"), ANSWERS)
def test_an_answer_is_read_as_its_class(sort: str, in_ranges: bool, text: str, expected: str) -> None:
    question = "What is the area covered by buildings?" if sort == "area" else "How many buildings are there?"
    record = sample(sort, TRUE.get(sort, "yes"), in_ranges, question)
    (part,) = KIND.parts({"id": "1", **record}, TASK, PROMPT)
    reading = KIND.read(Answer(text), part, TASK, PROMPT)
    assert expected in (reading.value, reading.outcome)


@pytest.mark.parametrize("form", ["area", "count"])
def test_ranges_end_where_the_authors_end_them(form: str) -> None:
    unit = "m2" if form == "area" else ""
    named = [class_of(number, form) for number in (0, 1, 10, 11, 100, 101, 1000, 1001)]
    low, middle, high, above = (
        f"between 0{unit} and 10{unit}",
        f"between 10{unit} and 100{unit}",
        f"between 100{unit} and 1000{unit}",
        f"more than 1000{unit}",
    )
    assert named == [f"0{unit}", low, low, middle, middle, high, high, above]


@pytest.mark.parametrize(
    ("sort", "answer", "reason"),
    [
        ("presence", "3", "none of yes, no"),
        ("rural_urban", "sea", "none of rural, urban"),
        ("count", "many", "no count"),
        ("area", "large", "no area"),
        ("presence", "", "no answer"),
    ],
)
def test_a_record_that_no_answer_could_meet_is_left_out(sort: str, answer: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sample(sort, answer)


def scored(answers: list[tuple[str, str, str]], prompt: PromptSpec = PROMPT) -> list[dict]:
    records = []
    for n, (sort, truth, text) in enumerate(answers):
        record = {"id": str(n), **sample(sort, truth)}
        (part,) = KIND.parts(record, TASK, prompt)
        reading = KIND.read(Answer(text), part, TASK, prompt)
        (judged,) = KIND.score([Answered(record, part, reading)], TASK, prompt)
        records.append(
            {
                "sample": str(n),
                "outcome": reading.outcome,
                "value": reading.value,
                "truth": judged.truth,
                "scores": dict(judged.scores),
                "details": dict(judged.details),
            }
        )
    return records


def test_accuracy_is_overall_and_the_mean_over_types() -> None:
    records = scored(
        [
            ("presence", "yes", "yes"),
            ("presence", "no", "yes"),
            ("presence", "no", "no"),
            ("area", "859m2", "500 m2"),
            ("count", "3", "three"),
            ("count", "3", "I don't know"),
        ]
    )
    figures = KIND.aggregate(KIND.answers(records))
    assert figures["accuracy"]["value"] == pytest.approx(4 / 6)
    assert figures["average_accuracy"]["value"] == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)
    assert figures["exact_accuracy"]["value"] == pytest.approx(3 / 6)  # 500 m2 is not 859 m2
    shares = ("accuracy", "wrong_share", "refused_share", "malformed_share")
    assert sum(figures[name]["value"] for name in shares) == pytest.approx(1)


def test_the_average_accuracy_of_a_resample_counts_the_types_that_it_has() -> None:
    answers = KIND.answers(scored([("presence", "yes", "yes"), ("count", "3", "4"), ("area", "0m2", "0")]))
    often = np.array([[1, 1, 1], [2, 0, 1], [0, 3, 0]], dtype=float)
    assert KIND.get("resample")(answers, often)["average_accuracy"] == pytest.approx([2 / 3, 1, 0])


def test_what_may_be_chosen_are_the_classes() -> None:
    (area,) = KIND.parts({"id": "1", **sample("area", "0m2")}, TASK, LETTERS)
    assert area.choices == ("0m2", SMALL, MIDDLE, LARGE, HUGE)
    assert KIND.read(Answer("C"), area, TASK, LETTERS).value == MIDDLE
    assert KIND.read(Answer(HUGE, {"choices": {}}), area, TASK, PROMPT).value == HUGE
    counts = KIND.common([{"split": "train", **sample("count", n)} for n in ("3", "0", "3")])
    (count,) = KIND.parts({"id": "1", **sample("count", "9"), **counts}, TASK, PROMPT)
    assert count.choices == ("0", "3")


def test_tiles_of_a_scene_that_is_trained_on_are_told() -> None:
    records = [
        {"split": "train", "tile": "1", "scene": "a"},
        {"split": "test", "tile": "2", "scene": "a"},
        {"split": "test", "tile": "2", "scene": "a"},
        {"split": "test", "tile": "3", "scene": "b"},
    ]
    checks = KIND.data_checks(records, "train")
    assert list(KIND.data_lines({**checks}, TASK)) == [
        "cut out of a scene of which other tiles are in train: test 1 tile"
    ]
    assert not list(KIND.data_lines(KIND.data_checks(records[3:], "train"), TASK))
