"""Counts are held to the truth as scikit-learn does, with unread answers as the training median and without them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from paceline import tasks
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.tasks.kind import Answer, Answered
from paceline.tasks.panels import CellResult, PerClass, Results, Scatter

KIND = tasks.load("counting")
TASK = TaskSpec(name="counting", kind="counting")
PROMPT = PromptSpec(name="p", text="{question}")
QUESTION = "How many buildings are there?"


def scored(pairs: list[tuple[float, str]], median: float | None = 2.0) -> list[dict[str, Any]]:
    shared = {} if median is None else {"count_medians": {"train": median}}
    records = []
    for n, (count, text) in enumerate(pairs):
        sample = {"id": str(n), "question": QUESTION, "count": count, **shared}
        (part,) = KIND.parts(sample, TASK, PROMPT)
        reading = KIND.read(Answer(text), part, TASK, PROMPT)
        (judged,) = KIND.score([Answered(sample, part, reading)], TASK, PROMPT)
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


COUNTS = st.integers(0, 2000)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(COUNTS, st.none() | COUNTS), min_size=3, max_size=30), st.integers(0, 50))
def test_figures_equal_those_of_scikit_learn(pairs: list[tuple[int, int | None]], median: int) -> None:
    texts = [(truth, "I cannot tell." if number is None else f"There are {number}.") for truth, number in pairs]
    figures = KIND.aggregate(KIND.answers(scored(texts, median)))
    everything = [(truth, median if number is None else number) for truth, number in pairs]
    read = [(truth, number) for truth, number in pairs if number is not None]
    for ending, both in (("", everything), ("_read", read)):
        truths, numbers = (np.array([pair[i] for pair in both], dtype=float) for i in (0, 1))
        if len(both) < 2:
            continue
        assert figures[f"mae{ending}"]["value"] == pytest.approx(metrics.mean_absolute_error(truths, numbers))
        squared = metrics.root_mean_squared_error(truths, numbers)
        assert figures[f"rmse{ending}"]["value"] == pytest.approx(squared)
        known = truths > 0
        if known.any():
            off = metrics.mean_absolute_percentage_error(truths[known], numbers[known])
            assert figures[f"mape{ending}"]["value"] == pytest.approx(100 * off)
        assert figures[f"mape{ending}"]["n"] == known.sum()
        if len(set(truths)) > 1:
            assert figures[f"r2{ending}"]["value"] == pytest.approx(metrics.r2_score(truths, numbers))
    right = sum(number == truth for truth, number in pairs)
    assert figures["accuracy"]["value"] == pytest.approx(right / len(pairs))


def test_figures_of_squares_show_no_interval() -> None:
    figures = KIND.aggregate(KIND.answers(scored([(n % 12, str(n % 12 + n % 3)) for n in range(120)])))
    assert figures["rmse"]["value"] == pytest.approx((5 / 3) ** 0.5)
    assert [figures[name][end] for name in ("rmse", "r2") for end in ("low", "high")] == [None] * 4
    assert figures["mae"]["low"] < 1 < figures["mae"]["high"]


def test_the_four_shares_are_everything() -> None:
    figures = KIND.aggregate(KIND.answers(scored([(3, "3"), (3, "4"), (3, "three or four"), (3, "I can't count.")])))
    shares = ("accuracy", "wrong_share", "refused_share", "malformed_share")
    assert [figures[name]["value"] for name in shares] == [0.25] * 4


def test_without_a_training_split_figures_are_those_of_read_answers() -> None:
    figures = KIND.aggregate(KIND.answers(scored([(3, "5"), (4, "many")], median=None)))
    assert "mae" not in figures
    assert figures["mae_read"]["value"] == 2
    assert "no split 'train'" in next(iter(KIND.data_lines({}, TASK)))


def test_a_truth_that_never_differs_has_no_share_of_its_variance() -> None:
    figures = KIND.aggregate(KIND.answers(scored([(3, "3"), (3, "4"), (3, "5")])))
    assert figures["r2"]["value"] is None


@pytest.mark.parametrize(
    ("value", "count"), [(3, 3), ("3", 3), ("1,234", 1234), (2.0, 2), ("2.5", 2.5), (" 7 ", 7), (["4"], 4)]
)
def test_a_true_count_is_a_number_or_its_digits(value: Any, count: float) -> None:
    assert KIND.complete({"question": QUESTION, "answer": value})["count"] == count


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "no count"),
        (None, "no count"),
        ("many", "no number"),
        (-1, "below 0"),
        (True, "no number"),
        ("3-4", "no number"),
        (float("nan"), "no number"),
        (float("inf"), "no number"),
        ({"a": 1}, "no number"),
        ("-1", "no number"),
    ],
)
def test_what_is_no_count_is_told(value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        KIND.complete({"question": QUESTION, "count": value})


def test_questions_are_sorted_by_what_they_count() -> None:
    sorts = {
        "How many roads are there?": "road",
        "What is the amount of small parkings at the top of a building?": "parking",
        "How many large residential buildings are there in the image?": "residential building",
        "Count the trees.": "tree",
    }
    for question, sort in sorts.items():
        assert KIND.complete({"question": question, "answer": 1, "type": "count"})["type"] == sort
    assert KIND.complete({"question": QUESTION, "answer": 1, "type": "easy"})["type"] == "easy"


def test_training_counts_may_be_chosen_and_their_median_is_kept() -> None:
    records = [{"split": split, "count": n} for split, n in [("train", 3), ("train", 0), ("train", 4), ("test", 9)]]
    common = KIND.common(records)
    assert common["count_medians"] == {"train": 3.0, "test": 9.0}
    (part,) = KIND.parts({"question": QUESTION, "count": 9, **common}, TASK, PROMPT)
    assert part.choices == ("0", "3", "4")
    assert KIND.read(Answer("4", {"choices": {}}), part, TASK, PROMPT).value == 4
    letters = PromptSpec(name="p", text="{question}\n{choices}")
    assert KIND.read(Answer("B"), part, TASK, letters).value == 3
    assert KIND.read(Answer("There are 12 buildings."), part, TASK, letters).value == 12


def test_cells_count_together_by_their_median() -> None:
    members = [KIND.answers(scored([(3, text), (0, other)])) for text, other in [("3", "no"), ("9", "no"), ("4", "no")]]
    (joint,) = KIND.combine([members])
    figures = KIND.aggregate(joint)
    assert figures["mae_read"]["value"] == 1  # 4 of 3, 9 and 4
    assert figures["mae"]["value"] == 1.5  # and the training median 2 where no member was read
    assert figures["malformed_share"]["value"] == 0.5


def test_a_reader_sees_counts_against_the_truth_and_figures_by_range() -> None:
    records = scored([(0, "0"), (3, "5"), (50, "40"), (3, "many")])
    cell = CellResult("a", "model", lambda: KIND.answers(records))
    samples = {str(n): {"type": "building"} for n in range(4)}
    results = Results(TASK, "test", [cell], [cell], None, samples, lambda metric: ["a"])
    scatter, ranges, types = KIND.panels(results)
    assert isinstance(scatter, Scatter)
    assert isinstance(ranges, PerClass)
    assert isinstance(types, PerClass)
    assert [(row.name, row.n) for row in ranges.cells[0].classes] == [("0", 1), ("1 to 10", 2), ("11 to 100", 1)]
    assert [row.figures[1].value for row in ranges.cells[0].classes] == [0, 2, 10]
    assert scatter.cells[0].y[:3].tolist() == [0, 5, 40]
    assert np.isnan(scatter.cells[0].y[3])
