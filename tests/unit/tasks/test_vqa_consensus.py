"""Answers held to what ten people said, the figure of VQA v2's own evaluation, types, and GQA's consistency."""

from __future__ import annotations

import re
from statistics import mean
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline import tasks
from paceline.config.schema import Config, PromptSpec, TaskSpec
from paceline.scoring import judge
from paceline.tasks.consensus import credit, normalised_credit, official_credit, official_words
from paceline.tasks.kind import Answer, Part
from paceline.tasks.panels import CellResult, PerClass, Results
from paceline.tasks.short_answers import normalised

PEOPLE = ["red"] * 5 + ["dark red"] * 3 + ["Maroon", "no idea"]
WORDS = st.sampled_from(
    [
        "yes",
        "Yes",
        "no",
        "2",
        "two",
        "the dog",
        "dog",
        "dont",
        "don't",
        "1,000",
        "1000",
        "red/blue",
        "red blue",
        "a",
        "",
    ]
)
TEXTS = st.text(alphabet="aA1 .,;:!?'\"()-_/\\tThe\n", max_size=20)


# -- the credit


@pytest.mark.parametrize(("given_by", "worth"), enumerate([0, 0.3, 0.6, 0.9, 1, 1, 1, 1, 1, 1, 1]))
def test_of_ten_people_four_are_enough(given_by: int, worth: float) -> None:
    assert credit(given_by, 10) == pytest.approx(worth)


@given(WORDS, st.lists(WORDS, min_size=4, max_size=12))
def test_credit_is_the_mean_over_the_people_left_out_one_by_one(said: str, people: list[str]) -> None:
    others = [people[:i] + people[i + 1 :] for i in range(len(people))]
    by_hand = mean(min(sum(normalised(one) == normalised(said) for one in rest) / 3, 1) for rest in others)
    assert normalised_credit(normalised(said), people) == pytest.approx(by_hand)


def independent_words(text: str) -> str:
    """The rules of the evaluation code, mark by mark and word by word."""
    out = text
    for mark in ';/[]"{}()=+\\_-><@`,?!':
        beside = f"{mark} " in text or f" {mark}" in text or re.search(r"[0-9],[0-9]", text)
        out = out.replace(mark, "" if beside else " ")
    kept = "".join(c for i, c in enumerate(out) if c != "." or out[i + 1 : i + 2].isdigit())
    numbers = dict(
        zip(
            ["none", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
            ["0", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"],
            strict=True,
        )
    )
    words = [numbers.get(word, word) for word in kept.lower().split()]
    shortened = {"dont": "don't", "whats": "what's", "oclock": "o'clock", "hed've": "he'd've", "he'dve": "he'd've"}
    return " ".join(shortened.get(word, word) for word in words if word not in ("a", "an", "the"))


@given(TEXTS | st.lists(WORDS | st.sampled_from(["whats", "o'clock", "oclock", "he'dve", "-", "3.5"])).map(" ".join))
def test_the_official_words_follow_the_evaluation_codes_rules(text: str) -> None:
    assert official_words(text) == independent_words(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("T-shirt!", "t shirt"),
        ("hot-dog , bun - big", "hotdog bun big"),
        ("1,000 red-ish", "1000 redish"),
        ("The U.S.A.", "usa"),
        ("3.5 .5 5.", "3.5 .5 5"),
        ("It’s", "it’s"),
        ("somebody'd", "somebodyd"),
        ("wed've weve wed", "we'd've we've wed"),
        ("10:30 None", "10:30 0"),
    ],
)
def test_the_official_words_keep_the_quirks_that_published_figures_have(text: str, words: str) -> None:
    assert official_words(text) == words


@pytest.mark.parametrize(
    ("said", "people", "worth"),
    [
        ("Yes.", ["yes"] * 10, 0.0),  # where all agree, the code compares texts as they are
        (" yes\n", ["yes"] * 10, 1.0),
        ("Yes.", ["yes"] * 9 + ["no"], 1.0),
        ("two", ["2"] * 3 + ["two"] * 3 + ["3"] * 4, 1.0),
        ("no idea", PEOPLE, 0.3),  # the code knows no refusals
        ("the dark\tred", PEOPLE, 0.9),
        ("it is red", PEOPLE, 0.0),
    ],
)
def test_the_official_credit_is_that_of_the_evaluation_code(said: str, people: list[str], worth: float) -> None:
    assert official_credit(said, people) == pytest.approx(worth)


@given(TEXTS | WORDS, st.lists(WORDS, min_size=10, max_size=10))
def test_the_official_credit_is_the_same_worked_out_with_each_person_left_out(said: str, people: list[str]) -> None:
    said, people = said.replace("\n", " ").strip(), [one.strip() for one in people]
    if len(set(people)) > 1:
        compared, others = independent_words(said), [independent_words(one) for one in people]
    else:
        compared, others = said, people
    left_out = [others[:i] + others[i + 1 :] for i in range(10)]
    assert official_credit(said, people) == pytest.approx(mean(min(1, rest.count(compared) / 3) for rest in left_out))


# -- the kind


def judged(kind: str, samples: list[dict[str, Any]], texts: list[str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    config = Config(task=TaskSpec(kind=kind, evaluate=["test"]), prompt=PromptSpec(text="{question}"))
    whole = [{"id": str(n), "split": "test", **s} for n, s in enumerate(samples)]
    predictions = [{"sample": s["id"], "text": text} for s, text in zip(whole, texts, strict=True)]
    scores, told = judge.judge(config, predictions, whole)
    return scores, told["metrics"]


def asked(**fields: Any) -> dict[str, Any]:
    return dict(tasks.load("vqa_consensus").complete({"question": "Which colour?", "answers": PEOPLE, **fields}))


def test_refused_unread_wrong_partly_right_and_right_are_all_answers() -> None:
    texts = ["red", "Red.", "maroon", "dark red", "green", "I can't tell", "red or blue", "", "no idea", "blue"]
    _, metrics = judged("vqa_consensus", [asked()] * len(texts), texts)
    names = ("right_share", "partly_right_share", "wrong_share", "refused_share", "malformed_share")
    shares = [metrics[name]["value"] for name in names]
    assert shares == [0.2, 0.2, 0.2, 0.2, 0.2]
    assert metrics["accuracy"]["value"] == pytest.approx((1 + 1 + 0.3 + 0.9) / 10)
    # The evaluation code of VQA v2 takes `no idea` for an answer, which one person gave.
    assert metrics["official_accuracy"]["value"] == pytest.approx((1 + 1 + 0.3 + 0.9 + 0.3) / 10)


@settings(deadline=None, max_examples=25)
@given(st.lists(TEXTS | WORDS | st.sampled_from(PEOPLE), min_size=1, max_size=8))
def test_the_five_shares_are_always_the_whole(texts: list[str]) -> None:
    _, metrics = judged("vqa_consensus", [asked()] * len(texts), texts)
    names = ("right_share", "partly_right_share", "wrong_share", "refused_share", "malformed_share")
    assert sum(metrics[name]["value"] for name in names) == pytest.approx(1)
    right, partly = metrics["right_share"]["value"], metrics["partly_right_share"]["value"]
    assert right - 1e-9 <= metrics["accuracy"]["value"] <= right + partly + 1e-9


def test_a_request_that_a_service_did_not_answer_is_a_miss() -> None:
    config = Config(task=TaskSpec(kind="vqa_consensus", evaluate=["test"]), prompt=PromptSpec(text="{question}"))
    sample = {"id": "0", "split": "test", **asked()}
    prediction = {"sample": "0", "text": "red", "finish": "content_filter"}
    ((score,), _) = judge.judge(config, [prediction], [sample])
    assert (score["outcome"], score["scores"]["credit"]) == ("content_filter", 0.0)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"answers": ["red"] * 3}, "fewer than four people's answers"),
        ({"answers": None}, "fewer than four people's answers"),
        ({"answers": ["the"] * 10}, "no answer with a word that is compared"),
        ({"answers": [True] * 10}, "an answer is no text"),
        ({"question": ""}, "no question"),
    ],
)
def test_a_record_without_enough_answers_is_skipped_with_a_reason(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        asked(**fields)


def test_answers_may_be_objects_or_a_list_in_a_cell_and_empty_ones_count_as_people() -> None:
    assert asked(answers=[{"answer": one, "answer_id": n} for n, one in enumerate(PEOPLE)])["answers"] == PEOPLE
    assert asked(answers="['red', 'blue', 'red', 'green']")["answers"] == ["red", "blue", "red", "green"]
    sample = asked(answers=["", "", "red", None])
    assert (sample["answers"], sample["answer"]) == (["", "", "red", ""], "red")
    assert asked(answers=PEOPLE, answer="dark red")["answer"] == "dark red"


def test_a_classifier_is_trained_on_how_many_people_gave_each_answer() -> None:
    accepted = tasks.load("vqa_consensus").accepted(asked(answers=["two"] * 2 + ["2"] + ["A dog"] * 7), TaskSpec())
    assert accepted == pytest.approx({"two": 0.9, "2": 0.9, "A dog": 1.0, "dog": 1.0})


def test_people_are_shown_with_how_many_gave_an_answer() -> None:
    kind = tasks.load("vqa_consensus")
    assert kind.show(["red", "blue", "red"]) == "red (2), blue (1)"
    assert (kind.brief(["red", "blue", "red"]), kind.show("red"), kind.brief([])) == ("red", "red", "")


# -- by type


def results(kind: str, samples: list[dict[str, Any]], texts: list[str]) -> Results:
    scores, _ = judged(kind, samples, texts)
    by_id = {str(n): {"id": str(n), "sha256": str(n // 2), **sample} for n, sample in enumerate(samples)}
    answers = tasks.load(kind).answers(scores, by_id)
    cell = CellResult("c", "cell", lambda: answers)
    return Results(TaskSpec(name="t", kind=kind), "test", [cell], [cell], None, by_id, lambda metric: ["c"])


def test_accuracy_is_told_by_each_way_in_which_the_data_sorts_its_questions() -> None:
    ways = [{"answer": "yes/no", "question": "is"}, {"answer": "other", "question": "what"}] * 3
    samples = [asked(types=way) for way in ways]
    panels = tasks.load("vqa_consensus").panels(
        results("vqa_consensus", samples, ["red", "red", "maroon", "", "blue", "red"])
    )
    told = {}
    for panel in panels:
        assert isinstance(panel, PerClass)
        told[panel.noun] = {c.name: (c.n, round(c.figures[0].value or 0, 4)) for c in panel.cells[0].classes}
    assert told == {
        "answer type": {"other": (3, 0.6667), "yes/no": (3, 0.4333)},
        "question type": {"is": (3, 0.4333), "what": (3, 0.6667)},
    }
    for panel in panels:
        for figures in panel.cells[0].classes:
            accuracy, read = figures.figures
            assert accuracy.low is not None and read.n == 3


@pytest.mark.parametrize("kind", ["vqa", "multiple_choice"])
def test_one_type_is_enough_and_rare_ones_stand_together(kind: str) -> None:
    sample = {"question": "?", "answer": "red", "answers": ["red"], "choices": ["red", "blue"]}
    samples = [{**sample, "type": f"t{min(n // 2, 21 + n % 5)}"} for n in range(60)]
    (panel,) = tasks.load(kind).panels(results(kind, samples, ["red"] * 60))
    assert isinstance(panel, PerClass)
    classes = panel.cells[0].classes
    assert len(classes) == 21 and classes[-1].name == "all other types"
    assert sum(one.n for one in classes) == 60


def test_a_rare_type_that_was_always_right_is_not_certain() -> None:
    samples = [asked(types={"answer": "number"}) for _ in range(8)]
    (panel,) = tasks.load("vqa_consensus").panels(results("vqa_consensus", samples, ["red"] * 8))
    assert isinstance(panel, PerClass)
    accuracy, read = panel.cells[0].classes[0].figures
    assert accuracy.value == read.value == 1
    assert accuracy.low == read.low == pytest.approx(0.2836, abs=1e-4)  # Wilson's, of four pictures


def test_data_without_types_has_no_such_table() -> None:
    assert tasks.load("vqa").panels(results("vqa", [{"question": "?", "answers": ["red"]}], ["red"])) == []


# -- consistency


def linked(rng: np.random.Generator, n: int) -> list[dict[str, Any]]:
    """Questions, three to a picture, some of which entail others of their picture, themselves, or none there are."""
    samples = []
    for i in range(n):
        near = [str(j) for j in range(3 * (i // 3), 3 * (i // 3) + 3)]
        entailed = [name for name in [*near, "elsewhere"] if rng.random() < 0.5]
        samples.append({"question": "?", "answers": ["yes"], "entailed": entailed, "sha256": str(i // 3)})
    return samples


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_consistency_is_that_of_hudson_and_manning(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    samples, right = linked(rng, n), rng.random(n) < 0.6
    _, metrics = judged("vqa", samples, ["yes" if hit else "no" for hit in right])
    shares = []
    for i, sample in enumerate(samples):
        others = [int(name) for name in sample["entailed"] if name.isdigit() and int(name) != i and int(name) < n]
        if right[i] and others:
            shares.append(np.mean([right[j] for j in others]))
    told = metrics["consistency"]
    assert told["n"] == len(shares)
    assert told["value"] == (pytest.approx(np.mean(shares)) if shares else None)
    assert metrics["accuracy"]["value"] == pytest.approx(right.mean())


def test_data_without_entailed_questions_has_no_such_metric() -> None:
    _, metrics = judged("vqa", [{"question": "?", "answers": ["yes"]}], ["yes"])
    assert "consistency" not in metrics


def test_a_question_entails_neither_itself_nor_one_of_another_split() -> None:
    config = Config(task=TaskSpec(kind="vqa", evaluate=["a", "b"]), prompt=PromptSpec(text="{question}"))
    samples = [
        {"id": "1", "split": "a", "question": "?", "answers": ["yes"], "entailed": ["1", "2"]},
        {"id": "2", "split": "b", "question": "?", "answers": ["yes"], "entailed": []},
    ]
    _, told = judge.judge(config, [{"sample": name, "text": "yes"} for name in ("1", "2")], samples)
    assert {name: m["value"] for name, m in told["metrics"].items() if "consistency" in name} == {
        "a/consistency": None,
        "b/consistency": None,
    }


def test_the_interval_of_consistency_draws_whole_pictures() -> None:
    rng = np.random.default_rng(1)
    samples = linked(rng, 300)
    right = np.repeat(rng.random(100) < 0.5, 3) ^ (rng.random(300) < 0.1)
    scores, _ = judged("vqa", samples, ["yes" if hit else "no" for hit in right])
    kind = tasks.load("vqa")
    by_id = {str(n): {"id": str(n), **s} for n, s in enumerate(samples)}
    tied, loose = (kind.aggregate(kind.answers(scores, ids))["consistency"] for ids in (by_id, None))
    assert tied["value"] == loose["value"]
    assert tied["high"] - tied["low"] > 1.1 * (loose["high"] - loose["low"])


def test_what_is_read_carries_the_whole_answer_for_the_official_figure() -> None:
    reading = tasks.load("vqa_consensus").read(Answer("Answer: Red"), Part(), TaskSpec(), PromptSpec())
    assert (reading.value, reading.data) == ("red", {"answer": "Answer: Red"})
