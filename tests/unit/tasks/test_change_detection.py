"""Counts of changes are held to the truth: equal to scikit-learn where it defines a figure, and nothing is lost."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, f1_score

from paceline import tasks
from paceline.config.schema import Config, PromptSpec, TaskSpec
from paceline.data.conversations import lesson, question
from paceline.errors import DataError
from paceline.scoring import judge
from paceline.scoring.digest import scorer_sources
from paceline.store import files
from paceline.tasks.answers import Answers
from paceline.tasks.change_detection import results
from paceline.tasks.panels import CellResult, Matrix, Pictures, Results, Scatter, Table

KIND = tasks.load("change_detection")
CLASSES = ("built", "removed", "damaged")
TASK = TaskSpec(name="changes", kind="change_detection", target="{counts}", evaluate=["test"])
COUNTS = PromptSpec(name="counts", text="How many of each: {classes}?")
YES_NO = PromptSpec(name="yes_no", text="Has anything changed?")
UNREAD = ("I can't see the images.", "some buildings changed")


def samples(truths: Sequence[Sequence[int]], classes: Sequence[str] = CLASSES, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": f"p{n}",
            "split": "test",
            "counts": dict(zip(classes, truth, strict=True)),
            "classes": list(classes),
            "group": f"tile {n}",
            **more,
        }
        for n, truth in enumerate(truths)
    ]


def judged(
    truths: Sequence[Sequence[int]], texts: Sequence[str], prompt: PromptSpec = COUNTS, **more: Any
) -> tuple[list[dict[str, Any]], Answers]:
    records = samples(truths, **more)
    predictions = [{"sample": r["id"], "text": text} for r, text in zip(records, texts, strict=True)]
    by_id = {r["id"]: r for r in records}
    scores = judge.score_predictions(KIND, Config(task=TASK, prompt=prompt), predictions, by_id, None)
    stored = [json.loads(files.canonical(score)) for score in scores]  # keys in the order of their names
    return scores, KIND.answers(stored, by_id)


def as_json(counts: Sequence[int], classes: Sequence[str] = CLASSES) -> str:
    return json.dumps(dict(zip(classes, counts, strict=True)))


def cell(answers: Answers) -> CellResult:
    return CellResult("evaluate-x-0", "model · counts", lambda: answers, model="m", prompt="p", method="untuned")


def result(answers: Answers, records: Sequence[dict[str, Any]] = ()) -> Results:
    shown = [cell(answers)]
    by_id = {record["id"]: record for record in records}
    return Results(TASK, "test", shown, shown, KIND.metric("accuracy"), by_id, lambda metric: ["evaluate-x-0"])


counts = st.lists(st.integers(0, 3), min_size=3, max_size=3)
answers_of = st.lists(st.tuples(counts, st.one_of(st.none(), counts)), min_size=1, max_size=25)


@settings(max_examples=60, deadline=None)
@given(answers_of)
def test_f1_and_balanced_accuracy_equal_those_of_scikit_learn(pairs: list[tuple[list[int], list[int] | None]]) -> None:
    texts = [UNREAD[n % 2] if told is None else as_json(told) for n, (_, told) in enumerate(pairs)]
    truths = [truth for truth, _ in pairs]
    _, answers = judged(truths, texts)
    value = {name: metric["value"] for name, metric in KIND.aggregate(answers).items()}
    truth, told = np.array(truths), np.array([t or [0, 0, 0] for _, t in pairs])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        present = f1_score(truth > 0, told > 0, average="macro", zero_division=np.nan)
        # Of counts: each building is a sample of one class; a pair has as many hits as both sides hold.
        each = [f1_score(*_buildings(truth[:, at], told[:, at]), zero_division=np.nan) for at in range(len(CLASSES))]
        said = [2 if t is None else int(any(t)) for _, t in pairs]
        balanced = balanced_accuracy_score(truth.any(axis=1).astype(int), said)
        counted = float(np.nanmean(each)) if np.isfinite(each).any() else None
    assert value["presence_macro_f1"] == (None if np.isnan(present) else pytest.approx(present))
    assert value["macro_f1"] == (None if counted is None else pytest.approx(counted))
    assert value["balanced_accuracy"] == pytest.approx(balanced)


def _buildings(truth: np.ndarray, told: np.ndarray) -> tuple[list[int], list[int]]:
    """Pair by pair a building each: there and told, there alone, or told alone."""
    of, said = [], []
    for t, s in zip(truth.tolist(), told.tolist(), strict=True):
        both = min(t, s)
        of += [1] * t + [0] * (s - both)
        said += [1] * both + [0] * (t - both) + [1] * (s - both)
    return of or [0], said or [0]


@settings(max_examples=40, deadline=None)
@given(answers_of)
def test_right_wrong_refused_and_unread_are_the_whole(pairs: list[tuple[list[int], list[int] | None]]) -> None:
    texts = [UNREAD[n % 2] if told is None else as_json(told) for n, (_, told) in enumerate(pairs)]
    _, answers = judged([truth for truth, _ in pairs], texts)
    found = KIND.aggregate(answers)
    names = ("accuracy", "wrong_share", "refused_share", "malformed_share")
    assert math.fsum(found[name]["value"] for name in names) == pytest.approx(1)
    read = [told for _, told in pairs if told is not None]
    errors = [abs(sum(told) - sum(truth)) for truth, told in pairs if told is not None]
    assert found["total_error"]["value"] == (pytest.approx(np.mean(errors)) if read else None)
    assert found["total_error"]["n"] == len(read)


def test_a_total_counts_what_is_a_change_and_not_what_stayed() -> None:
    classes = ("no-damage", "minor-damage", "destroyed")
    scores, _ = judged(
        [[9, 1, 0], [5, 0, 0]], [as_json([3, 0, 2], classes), as_json([5, 0, 0], classes)], classes=classes
    )
    assert scores[0]["scores"] == {
        **{"right": False, "wrong": True, "changed_right": True, "total_error": 1, "total_right": False},
        **{"true_total": 1, "told_total": 2, "told_changed": True, "absent": False, "unknown": False},
    }
    assert scores[1]["scores"]["right"] and scores[1]["scores"]["told_changed"] is False


def test_classes_keep_the_order_of_the_data_and_what_is_no_change_stays_so_once_stored() -> None:
    classes = ("no-damage", "minor-damage", "destroyed")
    _, answers = judged([[9, 1, 0]], [as_json([9, 1, 0], classes)], classes=classes)
    assert answers.columns["classes"][0] == classes and answers.columns["changes"][0] == (False, True, True)
    (joint,) = KIND.combine([[answers]]) or []
    assert (joint.scores["true_total"], joint.scores["told_total"]) == ([1], [1])


def test_the_data_says_which_classes_are_no_change() -> None:
    scores, _ = judged([[2, 0, 0]], ['{"built": 2}'], unchanged_classes=["built"])
    assert (scores[0]["scores"]["true_total"], scores[0]["scores"]["told_changed"]) == (0, False)


def test_classes_left_out_count_as_none_and_are_told_as_are_names_of_none() -> None:
    scores, answers = judged([[2, 0, 0], [1, 0, 0], [0, 0, 0]], ['{"built": 2}', '{"built": 1, "gone": 4}', "no"])
    assert scores[0]["scores"]["right"] and scores[0]["details"]["absent"] == ["removed", "damaged"]
    assert scores[1]["details"]["unknown"] == ["gone"]
    found = KIND.aggregate(answers)
    assert (found["absent_share"]["value"], found["absent_share"]["n"]) == (1.0, 2)
    assert (found["unknown_share"]["value"], found["malformed_share"]["value"]) == (0.5, pytest.approx(1 / 3))


def test_yes_and_no_are_judged_by_what_was_asked_and_have_no_counts() -> None:
    scores, answers = judged([[2, 0, 0], [0, 0, 0], [1, 0, 0]], ["Yes.", "no", "No"], YES_NO)
    assert [s["scores"]["right"] for s in scores] == [True, True, False]
    found = KIND.aggregate(answers)
    assert found["balanced_accuracy"]["value"] == pytest.approx(0.75)
    assert found["macro_f1"]["value"] is None and found["total_error"]["value"] is None
    assert "absent_share" not in found
    assert [type(panel) for panel in KIND.panels(result(answers))] == [Matrix, Scatter, Pictures]


def test_statistics_have_an_interval_where_enough_groups_hold_the_rarest_class() -> None:
    rng = np.random.default_rng(0)
    for groups, shown in ((30, False), (120, True)):
        truths = rng.integers(0, 3, (groups, 3)).tolist()
        _, answers = judged(truths, [as_json(rng.permutation(t).tolist()) for t in truths])
        found = KIND.aggregate(answers)
        assert (found["macro_f1"]["low"] is not None) is shown
        assert found["macro_f1"]["value"] is not None


def test_a_target_is_the_json_of_all_classes_and_a_prompt_shows_no_count() -> None:
    sample = samples([[2, 0, 1]])[0] | {"counts": {"built": 2, "damaged": 1}}
    parts = KIND.parts(sample, TASK, COUNTS)
    assert question(sample, COUNTS, TASK, parts=parts).prompt == "How many of each: built, removed, damaged?"
    taught = lesson(sample, COUNTS, TASK)
    assert taught.answer == '{"built": 2, "removed": 0, "damaged": 1}'
    assert KIND.read(tasks.kind.Answer(taught.answer), parts[0], TASK, COUNTS).value["counts"] == {
        **{"built": 2, "removed": 0, "damaged": 1},
    }
    assert KIND.fields(sample, TASK) | {"counts": ""} == {
        **{"counts": "", "classes": "built, removed, damaged", "changed": "yes", "total": 3},
    }


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"counts": {"built": 2, "removed": 0}}, {"built": 2, "removed": 0}),
        ({"counts": '{"built": "2", "removed": 1.0}'}, {"built": 2, "removed": 1}),
        ({"classes": ["built", "removed"], "built": "3", "removed": 0}, {"built": 3, "removed": 0}),
        ({"classes": "['built']", "built": 1, "other": "x"}, {"built": 1}),
    ],
)
def test_counts_of_a_table_come_as_an_object_or_as_a_column_a_class(
    record: dict[str, Any], expected: dict[str, int]
) -> None:
    assert KIND.complete(record)["counts"] == expected


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({}, "no counts: give `counts`"),
        ({"counts": {}}, "counts is no object"),
        ({"counts": "[1, 2]"}, "counts is no object"),
        ({"counts": "{built: 1}"}, "counts is no JSON"),
        ({"counts": {"built": 1.5}}, "a count is no whole number"),
        ({"counts": {"built": -1}}, "a count is no whole number"),
        ({"counts": {"built": True}}, "a count is no whole number"),
        ({"counts": {"built": float("inf")}}, "a count is no whole number"),
        ({"counts": {"-": 1}}, "a class without a name"),
        ({"classes": ["built"], "built": ""}, "a count is no whole number from 0, or is missing"),
        ({"classes": ["built", "removed"], "built": 1}, "no field of the class 'removed'"),
    ],
)
def test_a_record_without_counts_says_why(record: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        KIND.complete(record)


def test_a_sample_that_does_not_show_two_pictures_is_refused() -> None:
    image = Image.new("RGB", (8, 8))
    assert KIND.pictured({}, [image, image]) == {}
    for images in ([image], [image] * 3):
        with pytest.raises(ValueError, match="not two pictures"):
            KIND.pictured({}, images)
    with pytest.raises(DataError, match="has no two pictures"):
        KIND.data_checks(samples([[1, 0, 0]]), "train")


def test_classes_are_those_of_all_samples_and_two_that_are_read_as_one_are_refused() -> None:
    told = KIND.common([{"counts": {"built": 1}}, {"counts": {"no-damage": 2, "built": 0}}])
    assert told == {"classes": ["built", "no-damage"]}
    with pytest.raises(DataError, match="'no-damage' and 'No damage' are read as one"):
        KIND.common([{"counts": {"no-damage": 1, "x": 0}}, {"counts": {"No damage": 1}}])
    with pytest.raises(DataError, match="unchanged: no class 'same' is counted; classes: built"):
        KIND.common([{"counts": {"built": 1}, "unchanged": ["same"]}])
    with pytest.raises(DataError, match="no class of no-damage is a change"):
        KIND.common([{"counts": {"no-damage": 1}}])


def test_what_the_data_holds_is_told_by_split() -> None:
    records = samples([[2, 0, 0], [0, 0, 0]], image="", images=["a", "b"], sha256s=["a", "b"])
    records[0] |= {"split": "train"}
    manifest = KIND.data_checks(records, "train")
    assert list(KIND.data_lines(manifest, TASK)) == [
        "test: 1 pair, 1 of them unchanged; 0 built, 0 removed, 0 damaged",
        "train: 1 pair, 0 of them unchanged; 2 built, 0 removed, 0 damaged",
    ]
    assert list(KIND.data_notes(manifest, TASK)) == [
        "changes: in split 'test' no pair changed, so that balanced accuracy is of one side alone."
    ]


def test_members_answer_together_by_the_median_of_each_class() -> None:
    truths = [[2, 0, 0], [0, 0, 0], [1, 1, 1]]
    told = [[[2, 1, 0], [0, 0, 0], None], [[3, 0, 0], [0, 1, 0], None], [[2, 0, 0], None, None]]
    members = [judged(truths, [UNREAD[0] if t is None else as_json(t) for t in texts])[1] for texts in told]
    (joint,) = KIND.combine([members]) or []
    np.testing.assert_array_equal(joint.columns["told"][:2], [[2, 0, 0], [0, 0, 0]])
    assert joint.outcomes == ("parsed", "parsed", "refused")
    assert joint.scores["right"].tolist() == [1, 1, 0]
    assert json.loads(joint.columns["label"][0]) == {
        "changed": True,
        "counts": {"built": 2, "removed": 0, "damaged": 0},
    }
    assert KIND.aggregate(joint)["accuracy"]["value"] == pytest.approx(2 / 3)
    votes = [judged(truths, list(texts), YES_NO)[1] for texts in (("yes", "no", "yes"), ("yes", "yes", "no"))]
    (voted,) = KIND.combine([votes]) or []
    assert voted.scores["told_changed"].tolist() == [1, 0, 0]


def test_panels_show_classes_a_matrix_totals_and_both_pictures_with_their_boxes() -> None:
    truths = [[2, 0, 0], [0, 0, 0], [1, 2, 0], [0, 0, 1]]
    texts = [as_json([2, 0, 0]), as_json([1, 0, 0]), as_json([0, 0, 0]), UNREAD[0]]
    places = [
        {"class": "built", "at": "after", "box": [0.1, 0.1, 0.2, 0.2]},
        {"class": "removed", "at": "before", "box": [0.5, 0.5, 0.6, 0.6]},
    ]
    records = samples(truths, places=places)
    _, answers = judged(truths, texts)
    table, matrix, scatter, pairs = KIND.panels(result(answers, records))
    assert isinstance(table, Table) and [row[:3] for row in table.rows] == [
        ("built", 3, 3), ("removed", 2, 0), ("damaged", 1, 0),
    ]  # fmt: skip
    assert table.rows[0][5].value == pytest.approx(2 * 2 / 6)
    assert isinstance(matrix, Matrix) and matrix.cells[0].truths == ("changed", "unchanged")
    assert matrix.cells[0].counts == ((1, 1, 1), (1, 0, 0))
    assert isinstance(scatter, Scatter) and scatter.cells[0].x.tolist() == [2, 0, 3, 1]
    assert isinstance(pairs, Pictures)
    cases = {case.label: case for case in pairs.cells[0].cases}
    assert cases["best"].truth == "built 2, removed 0, damaged 0" and cases["not read"].answer == "refused"
    assert cases["worst"].sample == "p2"
    before, after = cases["best"].images
    assert [(i.name, i.at, [m.label for m in i.marks]) for i in (before, after)] == [
        ("before", 0, ["removed"]), ("after", 1, ["built"]),
    ]  # fmt: skip


def test_what_was_read_is_shown_as_counts_or_as_changed() -> None:
    assert results.show({"built": 1200, "removed": 0}) == "built 1,200, removed 0"
    assert results.show({"changed": True, "counts": {"built": 1}}) == "built 1"
    assert results.show({"changed": False}) == "unchanged"
    assert results.show({"changed": 3}) == "changed 3"  # a class of that name


def test_how_answers_are_read_is_part_of_the_scorer() -> None:
    assert any("told_counts" in str(source) for source in scorer_sources(KIND))
