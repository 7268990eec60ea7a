"""Answers of a word or of a choice: every one is refused, unread, wrong or right, and nobody guesses for the model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline import tasks
from paceline.config.schema import Config, PromptSpec, TaskSpec
from paceline.scoring import judge
from paceline.tasks import multiple_choice, vqa
from paceline.tasks.kind import Answer, Answered, Part, letter, lettered
from paceline.tasks.short_answers import completed_choices, normalised, read_choice, read_words

COLOURS = Part(text="Which colour?", choices=("red", "blue", "light blue", "no colour"))
KINDS = ("vqa", "multiple_choice", "text_question")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Dog.", "dog"),
        ("two", "2"),
        ("None", "0"),
        ("1,000 m", "1000 m"),
        ("3.50", "3.50"),
        ("T-shirt!", "t shirt"),
        ("girl's", "girl's"),
        ("10:30", "10:30"),
        ("dont", "don't"),
        ("It’s an   owl", "it's owl"),
        ("the a", ""),
        ("U.S.A.", "usa"),
        (".5 m", ".5 m"),
    ],
)
def test_words_are_compared_as_the_evaluation_of_vqa_v2_describes(text: str, words: str) -> None:
    assert normalised(text) == words


@given(st.text())
def test_normalised_words_stay_as_they_are(text: str) -> None:
    once = normalised(text)
    assert normalised(once) == once


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Red", "red"),
        ("  **Red.** ", "red"),
        ("Answer: the red one", "red 1"),
        ("The answer is two.", "2"),
        ("<think>blue or red?</think> blue", "blue"),
        ("no", "no"),
        ("No parking", "no parking"),
        ("red and white", "red and white"),
        ("The car is red.", "car is red"),
    ],
)
def test_a_word_or_a_few_are_read(text: str, value: str) -> None:
    reading = read_words(Answer(text))
    assert (reading.outcome, reading.value) == ("parsed", value)
    assert reading.span is not None and normalised(text[slice(*reading.span)]) == value


@pytest.mark.parametrize(
    "text",
    [
        "", " \n", "...", "the", "red or blue", "either", "red/blue", "maybe red", "I think red", "probably a dog",
        "not red", "it isn't red", "neither", "yes and no", "Yes. No.", "red\nblue", "It could be a cat",
    ],
)  # fmt: skip
def test_hedges_negations_and_two_answers_are_unread(text: str) -> None:
    assert read_words(Answer(text)).outcome == "malformed"


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't see the image.", "As an AI language model, I have no eyes", "I cannot tell", "unknown",
        "There is no image", "It is not possible to say", "Unfortunately I am unable to answer", "I don’t know",
    ],
)  # fmt: skip
def test_a_refusal_is_no_answer(text: str) -> None:
    assert read_words(Answer(text)).outcome == "refused"
    assert read_choice(Answer(text), COLOURS, by_letter=True).outcome == "refused"


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("red", "red"),
        ("Red.", "red"),
        ("B", "blue"),
        ("b)", "blue"),
        ("(C)", "light blue"),
        ("B. blue", "blue"),
        ("C: Light blue.", "light blue"),
        ("D no colour", "no colour"),
        ("Option A", "red"),
        ("Answer: B", "blue"),
        ("The answer is (B).", "blue"),
        ("It is light blue.", "light blue"),
        ("A light blue one, as the sky.", "light blue"),
        ("no colour", "no colour"),
        ("I pick B", "blue"),
    ],
)
def test_a_choice_is_read_by_its_text_or_its_letter(text: str, choice: str) -> None:
    reading = read_choice(Answer(text), COLOURS, by_letter=True)
    assert (reading.outcome, reading.value) == ("parsed", choice)


@pytest.mark.parametrize(
    "text",
    [
        "", "green", "E", "red or blue", "A or B", "A, B", "B. red", "not red", "It isn't blue", "not B", "maybe red",
        "probably B", "red, no, blue", "neither", "red and blue", "I think blue", "Blues", "A dog", "anything but red",
    ],
)  # fmt: skip
def test_what_names_no_choice_or_two_or_hedges_or_negates_is_unread(text: str) -> None:
    assert read_choice(Answer(text), COLOURS, by_letter=True).outcome == "malformed"


def test_letters_are_answers_only_where_the_prompt_shows_them() -> None:
    assert read_choice(Answer("B"), COLOURS, by_letter=False).outcome == "malformed"
    task = TaskSpec(kind="multiple_choice")
    for text, outcome in (("{question}\n{choices}", "parsed"), ("{question}", "malformed")):
        assert multiple_choice.read(Answer("B"), COLOURS, task, PromptSpec(text=text)).outcome == outcome


def test_a_letter_that_is_another_choices_text_is_unread() -> None:
    grades = Part(choices=("B", "A", "C"))
    assert read_choice(Answer("B"), grades, by_letter=True).outcome == "malformed"
    assert read_choice(Answer("C"), grades, by_letter=True).value == "C"
    assert read_choice(Answer("B"), grades, by_letter=False).value == "B"


def test_a_choice_taken_by_likelihood_is_itself_whatever_its_words() -> None:
    part = Part(choices=("not red", "red or blue", "B"))
    for choice in part.choices:
        assert read_choice(Answer(choice, {"choices": []}), part, by_letter=True).value == choice
    assert (
        read_choice(Answer("", {"choices": [], "tied": ["B", "not red"]}), part, by_letter=True).outcome == "malformed"
    )


@given(st.text(max_size=60), st.booleans())
def test_any_text_is_read_or_told_why_not(text: str, by_letter: bool) -> None:
    for reading in (read_words(Answer(text)), read_choice(Answer(text), COLOURS, by_letter=by_letter)):
        assert reading.outcome in ("parsed", "refused", "malformed")
        assert (reading.value is not None) == (reading.outcome == "parsed")
        if reading.span:
            assert 0 <= reading.span[0] < reading.span[1] <= len(text)


def test_letters_go_on_behind_z() -> None:
    assert [letter(n) for n in (0, 25, 26, 27, 52)] == ["A", "Z", "AA", "AB", "BA"]
    assert lettered(("red", "blue")) == "A. red\nB. blue"


@pytest.mark.parametrize(
    "choices", [["red"], ["red", "Red."], ["red", "?"], [], "red", ["red", None], [["red"], "blue"], [True, "blue"]]
)
def test_choices_that_could_not_be_told_apart_are_refused(choices: Any) -> None:
    with pytest.raises(ValueError, match="choices"):
        completed_choices({"choices": choices})


# -- kinds

FIELDS = {
    "question": "Which colour?",
    "text": "The sky is blue.",
    "answer": "blue",
    "choices": ["red", "blue", "green"],
}


def sample(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "split": "test", **tasks.load(kind).complete({**FIELDS, **fields})}


def outcomes(kind: str, texts: list[str], prompt: str = "{question}\n{choices}") -> dict[str, Any]:
    samples = [sample(kind, str(n)) for n in range(len(texts))]
    config = Config(task=TaskSpec(kind=kind, evaluate=["test"]), prompt=PromptSpec(text=prompt))
    predictions = [{"sample": str(n), "text": text} for n, text in enumerate(texts)]
    return judge.judge(config, predictions, samples)[1]["metrics"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_is_refused_unread_wrong_or_right(kind: str) -> None:
    told = outcomes(kind, ["blue", "red", "blue.", "I can't tell", "blue or red", "", "Blue", "green"])
    shares = {name: told[name]["value"] for name in ("accuracy", "wrong_share", "refused_share", "malformed_share")}
    assert shares == {"accuracy": 3 / 8, "wrong_share": 2 / 8, "refused_share": 1 / 8, "malformed_share": 2 / 8}
    assert told["parsed_share"]["value"] == 5 / 8


def test_any_of_several_references_is_right() -> None:
    kind = tasks.load("vqa")
    asked = {"id": "a", **kind.complete({"question": "What?", "answers": ["a couch", "sofa"]})}
    for text, right in (("Sofa", True), ("the couch", True), ("chair", False)):
        reading = kind.read(Answer(text), Part(), TaskSpec(), PromptSpec())
        (judged,) = kind.score([Answered(asked, Part(), reading)], TaskSpec(), PromptSpec())
        assert (judged.scores["right"], judged.truth) == (right, ["a couch", "sofa"])


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        ("vqa", {"question": " "}, "no question"),
        ("vqa", {"answer": None}, "no answer"),
        ("vqa", {"answer": "the"}, "an answer without a word that is compared"),
        ("vqa", {"answer": True}, "answer is no text"),
        ("multiple_choice", {"answer": "pink"}, "the answer is none of the choices"),
        ("multiple_choice", {"choices": ["blue"]}, "fewer than two choices"),
        ("text_question", {"text": ""}, "no text"),
        ("text_question", {"answer": "pink"}, "the answer is none of the choices"),
    ],
)
def test_a_record_that_cannot_be_asked_is_skipped_with_a_reason(kind: str, fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sample(kind, "a", **fields)


def test_choices_have_an_order_of_their_own_that_each_machine_repeats() -> None:
    orders = [multiple_choice.ordered(sample("multiple_choice", str(n))) for n in range(60)]
    assert orders[0] == multiple_choice.ordered(sample("multiple_choice", "0", choices=["green", "blue", "red"]))
    at = [order.index("blue") for order in orders]
    assert all(at.count(place) >= 10 for place in range(3))
    assert orders[:2] == [("red", "blue", "green"), ("red", "green", "blue")]


def test_a_text_may_be_asked_about_without_choices() -> None:
    kind = tasks.load("text_question")
    bare = {"id": "a", **kind.complete({n: v for n, v in FIELDS.items() if n != "choices"})}
    assert "choices" not in bare
    (part,) = kind.parts(bare, TaskSpec(), PromptSpec())
    assert part.choices == ()
    assert kind.asks.needs == ("text",)


def test_a_cell_of_a_table_may_hold_a_list() -> None:
    fields = {"question": "What is it?", "choices": '["a boat", "a bird"]', "answer": "a bird"}
    assert multiple_choice.complete(fields)["choices"] == ["a boat", "a bird"]
    asked = {"question": "What is it?", "answers": "['a boat', 'boat']"}
    assert vqa.complete(asked)["answers"] == ["a boat", "boat"]
