"""Answers about landmarks are read with care for refusals, and their choices are drawn the same everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from paceline import tasks
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.errors import DataError
from paceline.tasks.kind import Answer, Answered, Part
from paceline.tasks.landmark.results import position_tests
from paceline.tasks.panels import CellResult, PerClass, Results, Table

KIND = tasks.load("landmark")
TASK = TaskSpec(name="landmarks", kind="landmark")
LETTERS = PromptSpec(name="p", text="{question}\n{choices}")
CHOICES = TOWER, BRIDGE, CASTLE, GATE = ("Eiffel Tower", "Pont du Gard", "Château de Chambord", "Brandenburg Gate")
MALFORMED, REFUSED = "malformed", "refused"
ANSWERS = [
    ("A", TOWER),
    ("B.", BRIDGE),
    ("(C)", CASTLE),
    ("**D**", GATE),
    ("d", GATE),
    ("The Eiffel Tower", TOWER),
    ("eiffel tower", TOWER),
    ("Chateau de Chambord", CASTLE),
    ("Château de Chambord.", CASTLE),
    ("This is the Brandenburg Gate in Berlin.", GATE),
    ("It looks like the Pont du Gard.", BRIDGE),
    ("The photo shows the Eiffel Tower, an iron tower in Paris.", TOWER),
    ("B. Pont du Gard", BRIDGE),
    ("B) Eiffel Tower", MALFORMED),
    ("Answer: C", CASTLE),
    ("The answer is B.\nThe arches show a Roman aqueduct.", BRIDGE),
    ("B. The three tiers of arches show a Roman aqueduct.", BRIDGE),
    ("B\n\nThe three tiers of arches over a river show it.", BRIDGE),
    ("C. The many towers and the moat are those of a Loire castle.", CASTLE),
    ("A. The iron lattice is unmistakable, unlike the Brandenburg Gate.", TOWER),
    ("A or B", MALFORMED),
    ("Eiffel Tower or Brandenburg Gate", MALFORMED),
    ("Maybe A", MALFORMED),
    ("I think it is the Eiffel Tower", MALFORMED),
    ("not A", MALFORMED),
    ("None of these", MALFORMED),
    ("E", MALFORMED),
    ("", MALFORMED),
    ("A landmark in France", MALFORMED),
    ("Paris", MALFORMED),
    ("I can't identify the landmark.", REFUSED),
    ("I cannot identify this landmark from the image.", REFUSED),
    ("As an AI, I can't identify places.", REFUSED),
    ("As an AI language model, I am unable to view images.", REFUSED),
    ("It is not possible to tell from this image.", REFUSED),
    ("I'm sorry, but I can't help with that.", REFUSED),
    ("Sorry, I can't assist with identifying locations.", REFUSED),
    ("Unable to determine.", REFUSED),
    ("I don't know.", REFUSED),
    ("I am not able to recognise the landmark in this photo.", REFUSED),
    ("I'm unable to determine which landmark it is without more context.", REFUSED),
    ("There is no image provided.", REFUSED),
    ("The image does not provide enough detail to identify the landmark.", REFUSED),
    ("Not enough information.", REFUSED),
    ("I cannot tell whether it is A or B.", REFUSED),
    ("I cannot tell if it is the Eiffel Tower or the Brandenburg Gate.", REFUSED),
    ("I can't see any people, but it is B.", BRIDGE),
    ("I can't see any people, but it is the Pont du Gard.", BRIDGE),
    ("I can't be certain, but the answer is B.", MALFORMED),
    ("I cannot read the sign. The landmark is the Brandenburg Gate.", GATE),
    ("Although I can't see the top, this is the Eiffel Tower.", TOWER),
    ("There is no one in the picture. B", BRIDGE),
    ("No people are visible. Answer: D", GATE),
    ("Unfortunately, the photo is dark. It is C.", CASTLE),
    ("I'm sorry, the answer is B.", BRIDGE),
    ("Sure! It's B.", BRIDGE),
    ("I refuse to answer.", REFUSED),
    ("I must decline to identify this place.", REFUSED),
    ("This question cannot be answered from the image.", REFUSED),
    ("It isn't possible to identify the landmark with certainty.", REFUSED),
    ("The landmark cannot be identified.", REFUSED),
    ("The landmark in the photo cannot be determined.", REFUSED),
    ("We can't tell.", REFUSED),
    ("As an AI, I would say B.", BRIDGE),
    ("As a language model I can't see, but I choose B.", BRIDGE),
    ("I do not have the ability to see images.", REFUSED),
    ("My apologies, I can't view the image.", REFUSED),
    ("I have no way to know.", REFUSED),
    ("Can't tell.", REFUSED),
    ("unknown", REFUSED),
    ("It's not A, it's B.", BRIDGE),
    ("Neither A nor B; it's D.", GATE),
    ("A is wrong because there is no tower. The answer is D.", GATE),
    ("<answer>B</answer>", BRIDGE),
    ('{"answer": "B"}', BRIDGE),
    ("\\boxed{B}", BRIDGE),
    ("<think>A? B?</think>B", BRIDGE),
    ("B, C", MALFORMED),
    ("A, B, C, D", MALFORMED),
    ("A. Eiffel Tower\nB. Pont du Gard\nC. Château de Chambord\nD. Brandenburg Gate", MALFORMED),
    ("Option B is the landmark shown.", BRIDGE),
    ("I choose D since the quadriga is on top.", GATE),
    ("The image shows a bridge with three tiers of arches, which is the Pont du Gard (B).", BRIDGE),
    ("Château", MALFORMED),
    ("Definitely B!", BRIDGE),
    ("B?", BRIDGE),
    ("It could be B.", MALFORMED),
    ("Probably the Eiffel Tower.", MALFORMED),
    ("The photo is too blurry to identify the landmark.", REFUSED),
    ("The picture is unclear, so I can't answer.", REFUSED),
    ("I'm just a text model and cannot see the photo.", REFUSED),
    ("Without more information, I cannot identify it.", REFUSED),
    ("It is impossible to say.", REFUSED),
    ("No idea.", REFUSED),
    ("I do not recognize this landmark.", REFUSED),
    ("I don't recognise it.", REFUSED),
    ("I'm not familiar with this landmark.", REFUSED),
    ("I won't identify it.", REFUSED),
    ("Identifying landmarks is not something I can do.", REFUSED),
    ("I am not sure", REFUSED),
    ("Sorry, no.", REFUSED),
]


@pytest.mark.parametrize(("text", "expected"), ANSWERS)
def test_an_answer_is_a_landmark_a_refusal_or_neither(text: str, expected: str) -> None:
    reading = KIND.read(Answer(text), Part(text="q", choices=CHOICES), TASK, LETTERS)
    assert (reading.value or reading.outcome) == expected


def landmarks(sizes: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {"id": f"{category} {n}", "split": "test", "name": f"{category} {n}", "category": category}
        for category, size in sizes.items()
        for n in range(size)
    ]


def asked(records: list[dict[str, Any]], **more: Any) -> dict[str, tuple[str, ...]]:
    common = KIND.common(records)
    samples = [{**common, **record, **more} for record in records]
    return {s["id"]: KIND.parts(s, TASK, LETTERS)[0].choices for s in samples}


def test_choices_are_of_the_wanted_category_and_hold_the_right_one() -> None:
    records = landmarks({"castle": 9, "park": 9})
    for how, wanted in (("same", {"castle"}), ("other", {"park"})):
        drawn = asked(records, distractors=how, n_choices=4)
        for n in range(9):
            choices = drawn[f"castle {n}"]
            assert len(set(choices)) == 4
            assert f"castle {n}" in choices
            assert {c.split()[0] for c in choices if c != f"castle {n}"} == wanted
    drawn = asked(records, distractors="any", n_choices=18)
    assert all(len(choices) == 18 for choices in drawn.values())


def test_the_right_choice_has_no_place_of_its_own() -> None:
    drawn = asked(landmarks({"castle": 400}))
    at = np.bincount([choices.index(name) for name, choices in drawn.items()], minlength=4)
    assert stats.chisquare(at).pvalue > 0.01


def test_another_landmark_changes_few_choices_and_no_order() -> None:
    before, after = asked(landmarks({"castle": 40})), asked(landmarks({"castle": 41}))
    changed = [name for name, choices in before.items() if choices != after[name]]
    assert len(changed) <= 10
    assert all("castle 40" in after[name] for name in changed)
    assert asked(landmarks({"castle": 40})) == before
    assert asked(landmarks({"castle": 40}), choice_seed=1) != before


def test_too_few_of_a_category_are_filled_and_told() -> None:
    records = landmarks({"castle": 2, "park": 9})
    drawn = asked(records)
    assert "castle 1" in drawn["castle 0"]
    assert len(drawn["castle 0"]) == 4
    checks = KIND.data_checks(records, "train")
    assert checks["filled_from_others"] == {"test": 2}
    lines = list(KIND.data_lines({**checks, "splits": {"test": 11}}, TASK))
    assert lines[0] == "landmarks: castle 2, park 9"
    assert lines[1].endswith("too few landmarks of the wanted one: test 2 samples")
    few = landmarks({"castle": 3})
    assert KIND.data_checks(few, "train")["fewer_choices"] == {"test": 3}
    assert {len(choices) for choices in asked(few).values()} == {3}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"category": "park"}, "no name"),
        ({"name": "x"}, "no category"),
        ({"name": "x", "category": "park", "n_choices": 1}, "number from 2 on"),
        ({"name": "x", "category": "park", "n_choices": "many"}, "number from 2 on"),
        ({"name": "x", "category": "park", "distractors": "none"}, "same, other, any"),
        ({"name": "x", "category": "park", "choices": ["y", "z"]}, "none of the choices"),
    ],
)
def test_a_record_that_can_not_be_asked_is_told(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        KIND.complete(fields)


def test_a_tables_own_choices_are_asked() -> None:
    record = KIND.complete({"name": "x", "category": "park", "choices": '["x", "y", "z"]'})
    (part,) = KIND.parts({"id": "1", **record}, TASK, LETTERS)
    assert sorted(part.choices) == ["x", "y", "z"]
    assert KIND.fields({"id": "1", **record}, TASK)["letter"] == "ABC"[part.choices.index("x")]


def test_landmarks_that_can_not_be_told_apart_are_refused() -> None:
    with pytest.raises(DataError, match="of two categories"):
        KIND.common([{"name": "x", "category": "a"}, {"name": "x", "category": "b"}])
    with pytest.raises(DataError, match="read as one"):
        KIND.common([{"name": "Château", "category": "a"}, {"name": "chateau", "category": "a"}])


def records_of(texts: list[str]) -> list[dict[str, Any]]:
    half = max(40, len(texts) // 2)
    data = landmarks({"castle": half, "park": half})[: len(texts)]
    common = KIND.common(landmarks({"castle": half, "park": half}))
    records = []
    for sample, text in zip(data, texts, strict=True):
        sample = {**common, **sample}
        (part,) = KIND.parts(sample, TASK, LETTERS)
        reading = KIND.read(Answer(sample["name"] if text == "right" else text), part, TASK, LETTERS)
        (judged,) = KIND.score([Answered(sample, part, reading)], TASK, LETTERS)
        scored = {"truth": judged.truth, "scores": dict(judged.scores), "details": dict(judged.details)}
        records.append({"sample": sample["id"], "outcome": reading.outcome, "value": reading.value, **scored})
    return records


def shown(texts: list[str]) -> tuple[PerClass, Table]:
    answers = KIND.answers(records_of(texts))
    cell = CellResult("a", "model", lambda: answers)
    categories, places = KIND.panels(Results(TASK, "test", [cell], [cell], None, {}, lambda metric: ["a"]))
    assert isinstance(categories, PerClass)
    assert isinstance(places, Table)
    return categories, places


def test_accuracy_and_refusals_are_shown_by_category() -> None:
    texts = ["right"] * 30 + ["I can't identify it."] * 10 + ["right"] * 10 + ["A or B"] * 30
    (cell,) = shown(texts)[0].cells
    figures = {row.name: [figure.value for figure in row.figures] for row in cell.classes}
    assert figures == {"castle": [0.75, 0.25, 0.75], "park": [0.25, 0, 0.25]}


def test_a_bias_of_position_is_shown() -> None:
    _, biased = shown(["A"] * 160)
    _, fair = shown(["right"] * 160)
    assert float(str(biased.rows[0][6])) < 0.001
    assert float(str(biased.rows[0][7])) < 0.001
    assert float(str(fair.rows[0][6])) > 0.05
    assert [row[3] for row in biased.rows] == [160, 0, 0, 0]
    assert [row[4] for row in biased.rows] == [40, 40, 40, 40]
    assert shown(["A"] * 12)[1].rows[0][6] is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=60, max_size=120))
def test_tests_of_places_are_those_of_scipy(pairs: list[tuple[int, int]]) -> None:
    right_at, answered_at = (np.array(column) for column in zip(*pairs, strict=True))
    hits = right_at == answered_at
    n = len(pairs)
    records = [
        {
            "sample": str(i),
            "outcome": "parsed",
            "scores": {"right": bool(hits[i])},
            "details": {"choices": 4, "right_at": int(right_at[i]), "answered_at": int(answered_at[i])},
        }
        for i in range(n)
    ]
    of_places, of_accuracy = position_tests(KIND.answers(records))
    counts = [int((answered_at == place).sum()) for place in range(4)]
    assert of_places == pytest.approx(stats.chisquare(counts).pvalue)
    if of_accuracy is not None:
        table = [[int((kept & (right_at == place)).sum()) for place in range(4)] for kept in (hits, ~hits)]
        assert of_accuracy == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)


def test_people_mark_whether_it_is_right_and_why() -> None:
    assert [criterion.name for criterion in KIND.marks] == ["accurate", "sufficient_reasons"]
