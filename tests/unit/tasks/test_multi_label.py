"""Several classes at once: figures are scikit-learn's, any table is read, and what is claimed is shown."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline import tasks
from paceline.config.schema import Config, ModelSpec, PromptSpec, TaskSpec
from paceline.data.conversations import lesson, question
from paceline.errors import DataError
from paceline.scoring import judge
from paceline.sweep.combinations import unanswerable
from paceline.tasks.answers import Answers
from paceline.tasks.kind import Answer
from paceline.tasks.multi_label import fields, results, score
from paceline.tasks.panels import CellResult, Results, Table, Texts

KIND = tasks.load("multi_label")
TASK = TaskSpec(name="cover", kind="multi_label", target="{labels}", evaluate=["test"])
PROMPT = PromptSpec(name="p", text="Which of these? {classes}")
CLASSES = ["Beaches, dunes, sands", "Inland waters", "Mixed forest", "Pastures"]


def sample(*labels: str, **more: Any) -> dict[str, Any]:
    return {"id": "s", "split": "test", "labels": list(labels), "classes": CLASSES, **more}


NAMES = st.sampled_from(CLASSES)
SETS = st.sets(NAMES, max_size=4)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_figures_are_scikit_learns_on_every_resample(data: st.DataObject) -> None:
    from sklearn.metrics import average_precision_score, f1_score, jaccard_score, precision_score, recall_score

    n = data.draw(st.integers(1, 25))
    true = data.draw(st.lists(st.sets(NAMES, min_size=1, max_size=4), min_size=n, max_size=n))
    claimed = data.draw(st.lists(SETS, min_size=n, max_size=n))
    values = st.sampled_from([-3.0, -1.5, -1.0, -0.25, 0.5])  # few, so that some are equal
    ranked = [{name: data.draw(values) for name in CLASSES} for _ in range(n)]
    often = np.array([[1] * n, data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n).filter(any))], dtype=float)
    answers = Answers(
        tuple(map(str, range(n))),
        ("parsed",) * n,
        {},
        {"true": tuple(map(tuple, true)), "claimed": tuple(map(tuple, claimed)), "ranked": tuple(ranked)},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score, "LEAST", 0)
        patch.setattr(score, "LEAST_OF_ALL", 0)
        found = score.resample(answers, often)
    y, z = score.table(true, CLASSES), score.table(claimed, CLASSES)
    s = np.array([[of[name] for name in CLASSES] for of in ranked])
    wanted = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
    for row, weights in enumerate(often):
        here = [i for i in range(len(CLASSES)) if (weights @ y)[i] > 0]
        for name, of in wanted.items():
            micro = of(y, z, average="micro", zero_division=0, sample_weight=weights)
            macro = of(y[:, here], z[:, here], average="macro", zero_division=0, sample_weight=weights)
            if len(here) == 1:  # of one column scikit-learn takes two classes, absent and present
                macro = of(y[:, here[0]], z[:, here[0]], zero_division=0, sample_weight=weights)
            assert found[f"micro_{name}"][row] == pytest.approx(micro)
            assert found[f"macro_{name}"][row] == pytest.approx(macro)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            each = [average_precision_score(y[:, i], s[:, i], sample_weight=weights) for i in here]
        assert found["mean_average_precision"][row] == pytest.approx(np.mean(each))
    by_sample = [len(a & b) / len(a | b) for a, b in zip(true, claimed, strict=True)]
    assert np.mean(by_sample) == pytest.approx(jaccard_score(y, z, average="samples", zero_division=0))


def judged(texts: list[str], truths: list[tuple[str, ...]], **data: Any) -> tuple[list[Any], dict[str, Any]]:
    samples = [{**sample(*labels), "id": str(n)} for n, labels in enumerate(truths)]
    records = [{"sample": str(n), "text": text, **({"data": data} if data else {})} for n, text in enumerate(texts)]
    scores, metrics = judge.judge(Config(task=TASK, prompt=PROMPT), records, samples)
    return scores, metrics["metrics"]


def test_an_answer_is_right_partly_right_wrong_or_not_read() -> None:
    truths = [("Pastures", "Mixed forest")] * 5
    texts = ["Mixed forest; pastures", "pastures, water", "Inland waters", "maybe pastures", "I'm sorry, I can't help."]
    scores, found = judged(texts, truths)
    assert [one["outcome"] for one in scores] == ["parsed", "parsed", "parsed", "malformed", "refused"]
    shares = {name: found[name]["value"] for name in ("exact_match", "partly_share", "wrong_share")}
    assert shares == {"exact_match": 0.2, "partly_share": 0.2, "wrong_share": 0.2}
    assert found["jaccard"]["value"] == pytest.approx((1 + 1 / 3) / 5)  # the one water that the data has
    assert "mean_average_precision" not in found


def test_answers_with_a_score_for_every_class_have_a_mean_average_precision_and_claim_the_likeliest() -> None:
    told = [{"choice": name, "sum": -n, "per_character": -n / 10} for n, name in enumerate(CLASSES)]
    scores, found = judged([CLASSES[0], CLASSES[0]], [(CLASSES[0],), (CLASSES[1],)], choices=told)
    assert [one["value"] for one in scores] == [[CLASSES[0]]] * 2
    assert found["mean_average_precision"]["value"] == pytest.approx(0.5)
    _, found = judged([CLASSES[0]], [(CLASSES[0],)], choices=told[:2])
    assert "mean_average_precision" not in found
    _, found = judged([CLASSES[0]], [(CLASSES[0],)], labels=[[name.upper(), 0.25] for name in CLASSES])
    assert found["mean_average_precision"]["value"] == 1.0


def test_means_over_classes_have_no_interval_where_a_class_is_rare() -> None:
    _, found = judged(["Pastures"] * 60, [("Pastures",)] * 59 + [("Mixed forest",)])
    assert found["macro_f1"]["low"] is None
    assert found["macro_f1"]["value"] is not None
    assert found["micro_f1"]["low"] is not None
    _, found = judged(["Pastures"] * 19, [("Pastures", "Mixed forest")] * 19)
    assert found["micro_f1"]["low"] is None
    assert found["micro_f1"]["value"] == pytest.approx(2 / 3)


def test_a_record_of_any_table_has_labels_as_a_list_or_parted_in_a_text() -> None:
    for given_as in (["Pastures", "Mixed forest"], "Pastures; Mixed forest", "Pastures|Mixed forest",
                     '["Pastures", "Mixed forest"]', ["Pastures", "Mixed forest", "Pastures"]):  # fmt: skip
        assert KIND.complete({"labels": given_as})["labels"] == ["Pastures", "Mixed forest"]
    assert KIND.complete({"labels": "Beaches, dunes, sands"})["labels"] == ["Beaches, dunes, sands"]
    for bad in (None, "", [], [""], "; ;"):
        with pytest.raises(ValueError, match="no label"):
            KIND.complete({"labels": bad})
    with pytest.raises(ValueError, match="labels is no text"):
        KIND.complete({"labels": [["a"]]})
    with pytest.raises(ValueError, match="no mapping"):
        KIND.complete({"labels": "a", "aliases": ["b"]})


def test_all_samples_know_the_classes_of_all_splits_and_a_lab_names_them_itself() -> None:
    records = [KIND.complete({"labels": labels, "aliases": {"bog": ["fen"]}}) for labels in ("bog", "heath; bog")]
    shared = KIND.common(records)
    assert shared == {"classes": ["bog", "heath"], "class_names": {"bog": ["fen"]}}
    one = {**shared, "id": "s", "labels": ["bog"]}
    (part,) = KIND.parts(one, TASK, PROMPT)
    assert KIND.read(Answer("A fen, no heath"), part, TASK, PROMPT).value == ["bog"]
    with pytest.raises(DataError, match=r"'Bog' and 'bog' are read as one|'bog' and 'Bog'"):
        KIND.common([{"labels": ["Bog"]}, {"labels": ["bog"]}])


def test_a_prompt_shows_the_classes_and_a_model_is_tuned_to_list_the_true_ones() -> None:
    one = sample("Beaches, dunes, sands", "Pastures")
    assert question(one, PROMPT, TASK).prompt == "Which of these? " + "; ".join(CLASSES)
    assert lesson(one, PROMPT, TASK).answer == "Beaches, dunes, sands; Pastures"
    (part,) = KIND.parts(one, TASK, PROMPT)
    assert KIND.read(Answer(lesson(one, PROMPT, TASK).answer), part, TASK, PROMPT).value == one["labels"]


def test_a_model_that_names_one_of_its_own_list_is_left_out_with_the_reason() -> None:
    lister = ModelSpec(name="lister", family="image_classifier", inputs=["image"])
    assert unanswerable(TASK, lister) == (
        "cover asks for several labels at once, and lister answers out of a list of its own"
    )
    assert unanswerable(TASK, ModelSpec(name="writer", family="git", inputs=["image"])) is None


def cell(name: str, claimed: list[tuple[str, ...]], true: list[tuple[str, ...]]) -> CellResult:
    texts = ["; ".join(names) for names in claimed]
    scores, _ = judged(texts, true)
    return CellResult(name, name, lambda: KIND.answers(scores))


TRUE = [("Pastures",), ("Pastures", "Mixed forest"), ("Inland waters",)]


def test_the_table_of_classes_begins_with_the_weakest_and_says_what_is_claimed_instead() -> None:
    one = cell("m", [("Pastures",), ("Pastures",), ("Mixed forest",)], TRUE)
    what = Results(TASK, "test", [one], [one], None, {}, lambda metric: ["m"])
    by_class, beside = KIND.panels(what)
    assert isinstance(by_class, Table)
    assert isinstance(beside, Texts)
    assert [row[0] for row in by_class.rows] == ["Inland waters", "Mixed forest", "Pastures"]
    assert by_class.rows[0][-1] == "Mixed forest (1×)"
    assert "no mAP" in by_class.caption
    assert {len(row) for row in by_class.rows} == {len(by_class.columns)}
    worst = next(case for case in beside.cases if case.sample == "2")
    assert worst.answers[0].scores == ("0.00", "Inland waters", "Mixed forest")


def test_members_vote_on_each_class() -> None:
    members = [
        cell("a", [("Pastures",), ("Pastures", "Mixed forest"), ()], TRUE).answers,
        cell("b", [("Pastures", "Inland waters"), ("Mixed forest",), ("Pastures",)], TRUE).answers,
        cell("c", [("Mixed forest",), ("Mixed forest",), ("Mixed forest",)], TRUE).answers,
    ]
    (joint,) = KIND.combine([members]) or []
    assert joint.columns["claimed"] == (("Pastures",), ("Mixed forest",), ())
    assert joint.outcomes == ("parsed", "parsed", "malformed")
    assert joint.scores["jaccard"].tolist() == [1.0, 0.5, 0.0]
    assert KIND.aggregate(joint)["micro_f1"]["value"] == pytest.approx(2 * 2 / (4 + 2))
    tied = [one.with_groups(dict.fromkeys(one.sample_ids, "scene")) for one in members]
    assert (KIND.combine([tied]) or [joint])[0].group_names == ("scene",) * 3


def test_truths_are_shown_as_they_are_tuned_on() -> None:
    assert KIND.show(["a", "b"]) == results.show("a; b") == "a; b"
    assert KIND.label(["a"]) == "a"
    assert fields.BETWEEN.join(["a", "b"]) == "a; b"
