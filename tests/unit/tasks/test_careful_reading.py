"""Answers as models give them, each labelled by hand with what a careful person reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.tasks.answer_phrases import MAX_CHARACTERS, said
from paceline.tasks.kind import Answer, Part, lettered
from paceline.tasks.short_answers import normalised, read_choice, read_words

UNREAD, REFUSED = "(unread)", "(refused)"
COLOURS = ("red", "blue", "light blue", "no colour")
ANIMALS = ("cat", "dog", "horse", "a bird")
YES_NO = ("yes", "no")
NUMBERS = ("1", "2", "3", "12")
ABOVE = ("red", "blue", "Both A and B", "None of the above")
MIXED = ("black", "white", "black and white", "grey")
PLACES = ("the kitchen", "the bathroom", "a living room", "outdoors")

CHOICES: list[tuple[tuple[str, ...], str, str]] = [
    # the plain answer
    (COLOURS, "red", "red"),
    (COLOURS, "B", "blue"),
    (COLOURS, "b", "blue"),
    (COLOURS, "B.", "blue"),
    (COLOURS, "B:", "blue"),
    (COLOURS, "(B)", "blue"),
    (COLOURS, "[B]", "blue"),
    (COLOURS, "B) blue", "blue"),
    (COLOURS, "(C) light blue.", "light blue"),
    (COLOURS, "B) red", UNREAD),
    (COLOURS, "B - blue", "blue"),
    (COLOURS, "Option B", "blue"),
    (COLOURS, "B?", "blue"),
    (COLOURS, "Yes, B.", "blue"),
    (COLOURS, "(A) red\n(B) blue\nAnswer: (B) blue", "blue"),
    (COLOURS, "Final Answer: The final answer is B. I hope it is correct.", "blue"),
    (COLOURS, "B\n\nExplanation: A and C are incorrect.", "blue"),
    (COLOURS, "Blue? No. Red.", "red"),
    (COLOURS, "The car isn't blue or light blue, it's red.", "red"),
    (COLOURS, "The image shows a blue car next to a red one.", UNREAD),
    (COLOURS, "Red is the colour of the car, while blue is that of the sky.", UNREAD),
    (COLOURS, "It's red, isn't it?", UNREAD),
    (COLOURS, "option b.", "blue"),
    (COLOURS, "Choice (A)", "red"),
    (COLOURS, "LIGHT BLUE", "light blue"),
    (COLOURS, "No colour!", "no colour"),
    (COLOURS, "A", "red"),
    (ANIMALS, "a dog", "dog"),
    (ANIMALS, "bird", "a bird"),
    (ANIMALS, "The bird.", "a bird"),
    (PLACES, "kitchen", "the kitchen"),
    (PLACES, "It was taken in a bathroom.", "the bathroom"),
    (NUMBERS, "two", "2"),
    (NUMBERS, "There are three of them.", "3"),
    (NUMBERS, "12", "12"),
    (NUMBERS, "There are 1,200 of them.", UNREAD),
    (NUMBERS, "2.5", UNREAD),
    (MIXED, "It is black and white.", "black and white"),
    (MIXED, "Black.", "black"),
    # wrappings
    (COLOURS, "**B**", "blue"),
    (COLOURS, "**B**.", "blue"),
    (COLOURS, "**B) blue**", "blue"),
    (COLOURS, "“B”.", "blue"),
    (COLOURS, "«blue»", "blue"),
    (COLOURS, "`B`", "blue"),
    (COLOURS, "\\boxed{B}", "blue"),
    (COLOURS, "$\\boxed{\\text{B}}$", "blue"),
    (COLOURS, "The car matches the second one, so \\(\\boxed{B}\\).", "blue"),
    (COLOURS, "\\boxed{A} or \\boxed{B}", UNREAD),
    (COLOURS, '{"answer": "B"}', "blue"),
    (COLOURS, "{'answer': 'B'}", "blue"),
    (COLOURS, '```json\n{"answer": "B", "confidence": 0.9}\n```', "blue"),
    (COLOURS, '{"reasoning": "it is not red", "answer": "blue"}', "blue"),
    (COLOURS, '{"answer": ["A", "B"]}', UNREAD),
    (COLOURS, '["B"]', "blue"),
    (COLOURS, "<answer>B</answer>", "blue"),
    (COLOURS, "<think>A? no, B.</think>\n<answer>B</answer>", "blue"),
    (COLOURS, "<b>B</b>", "blue"),
    (COLOURS, "B</s>", "blue"),
    (COLOURS, "B<|im_end|>", "blue"),
    (COLOURS, "Answer: B", "blue"),
    (COLOURS, "Answer: **B) blue**", "blue"),
    (COLOURS, "**Answer:** (B)", "blue"),
    (COLOURS, "The answer is (B).", "blue"),
    (COLOURS, "The correct option is B", "blue"),
    (COLOURS, "The correct answer is: B. blue", "blue"),
    (COLOURS, "### Final Answer\nB", "blue"),
    # an answer with its reason
    (COLOURS, "B because the sky is clear.", "blue"),
    (COLOURS, "B. The sky is clear in the picture.", "blue"),
    (COLOURS, "Red. The sky is blue though.", "red"),
    (COLOURS, "B) blue. Red is only the roof.", "blue"),
    (COLOURS, "Red. It is blue.", UNREAD),
    (COLOURS, "Red. No, blue.", UNREAD),
    (COLOURS, "B. A.", UNREAD),
    (COLOURS, "Option B because A is wrong", "blue"),
    (COLOURS, "B, since A and C are wrong.", "blue"),
    (COLOURS, "C because B is not correct", "light blue"),
    (COLOURS, "Blue, not red.", "blue"),
    (COLOURS, "B, not A", "blue"),
    (COLOURS, "Blue rather than red", "blue"),
    (COLOURS, "Blue instead of red.", "blue"),
    (COLOURS, "A is correct.", "red"),
    (COLOURS, "A is the right one, B is wrong.", "red"),
    (COLOURS, "I would say red", "red"),
    (COLOURS, "I'd go with B.", "blue"),
    (COLOURS, "I pick b.", "blue"),
    (COLOURS, "My answer would be B", "blue"),
    (COLOURS, "The colour of the car is red.", "red"),
    (COLOURS, "What colour is the car? Red.", "red"),
    (COLOURS, "Is it red or blue? It is blue.", "blue"),
    # reasoning, then the answer
    (COLOURS, "The roof is red. The car has another colour. Answer: B", "blue"),
    (COLOURS, "A is not right. C is not right. So the answer is B.", "blue"),
    (COLOURS, "It can't be A. It can't be C. Therefore, B.", "blue"),
    (COLOURS, "Let me look. The car looks like the sky.\n\nFinal answer: (B) blue", "blue"),
    (COLOURS, "The answer is A. Wait, the answer is B.", UNREAD),
    (COLOURS, "Answer: A\nAnswer: B", UNREAD),
    (COLOURS, "Answer: B\nAnswer: B", "blue"),
    # negations
    (COLOURS, "not B", UNREAD),
    (COLOURS, "The answer is not B.", UNREAD),
    (COLOURS, "It isn't red.", UNREAD),
    (COLOURS, "It isn’t red.", UNREAD),
    (COLOURS, "neither", UNREAD),
    (COLOURS, "Neither red nor blue.", UNREAD),
    (COLOURS, "not red, blue or light blue", UNREAD),
    (COLOURS, "anything but red", UNREAD),
    (COLOURS, "Everything except red", UNREAD),
    (COLOURS, "I don't think it is red.", UNREAD),
    (COLOURS, "It is not A but B.", "blue"),
    (COLOURS, "Not A. B.", "blue"),
    (COLOURS, "Not red; blue", "blue"),
    (ANIMALS, "It's not a cat but a dog", "dog"),
    (ANIMALS, "There is no cat, it is a dog.", "dog"),
    (ANIMALS, "This is no dog.", UNREAD),
    (ANIMALS, "It is a dog, which is not a cat.", "dog"),
    (ANIMALS, "Without doubt a dog", "dog"),
    (COLOURS, "nicht B", UNREAD),
    (COLOURS, "Die Antwort ist B.", "blue"),
    # two and lists
    (COLOURS, "A or B", UNREAD),
    (COLOURS, "A and B", UNREAD),
    (COLOURS, "A, B and C", UNREAD),
    (COLOURS, "A/B", UNREAD),
    (COLOURS, "red/blue", UNREAD),
    (COLOURS, "both", UNREAD),
    (COLOURS, "Both A and B", UNREAD),
    (COLOURS, "either red or blue", UNREAD),
    (COLOURS, "red or green", UNREAD),
    (COLOURS, "Not only red but also blue", UNREAD),
    (COLOURS, "red, no, blue", UNREAD),
    (COLOURS, "B, but A is also possible", UNREAD),
    (COLOURS, lettered(COLOURS), UNREAD),
    (COLOURS, "All of the above", UNREAD),
    (ABOVE, "Both A and B", "Both A and B"),
    (ABOVE, "None of the above.", "None of the above"),
    (ABOVE, "The answer is D: none of the above", "None of the above"),
    (ABOVE, "It's both A and B.", "Both A and B"),
    # hedges
    (COLOURS, "maybe red", UNREAD),
    (COLOURS, "Probably B", UNREAD),
    (COLOURS, "I think it is blue", UNREAD),
    (COLOURS, "I think the answer is B", UNREAD),
    (COLOURS, "It could be red", UNREAD),
    (COLOURS, "It seems to be red", UNREAD),
    (COLOURS, "I'm not sure, but B", UNREAD),
    (COLOURS, "Not sure. B.", UNREAD),
    (COLOURS, "The most likely answer is B.", "blue"),
    (COLOURS, "It is B. The roof might be of tin.", "blue"),
    # yes and no
    (YES_NO, "Yes, there are two.", "yes"),
    (YES_NO, "No, it is not.", "no"),
    (YES_NO, "No", "no"),
    (YES_NO, "yes.", "yes"),
    (YES_NO, "There is no dog.", UNREAD),
    (YES_NO, "yes and no", UNREAD),
    (YES_NO, "yes/no", UNREAD),
    (YES_NO, "The answer is no.", "no"),
    (YES_NO, "No, there isn't. The yard is empty.", "no"),
    (YES_NO, "The answer is yes because there's no cloud.", "yes"),
    (YES_NO, "There are no dogs, so no.", "no"),
    (YES_NO, "Yep", UNREAD),
    # neither choice nor refusal, and refusals
    (COLOURS, "green", UNREAD),
    (COLOURS, "E", UNREAD),
    (COLOURS, "A dog", UNREAD),
    (COLOURS, "I am a model.", UNREAD),
    (COLOURS, "?", UNREAD),
    (COLOURS, "bluish", UNREAD),
    (COLOURS, "I'm sorry, but I can't help with that.", REFUSED),
    (COLOURS, "I cannot determine whether it is red or blue.", REFUSED),
    (COLOURS, "Unable to determine from the image.", REFUSED),
    (COLOURS, "There is not enough information to answer.", REFUSED),
    (COLOURS, "As an AI, I do not see pictures.", REFUSED),
    (COLOURS, "The question cannot be answered.", REFUSED),
    (COLOURS, "I’m not able to view images.", REFUSED),
    (COLOURS, "Not enough information", REFUSED),
    (COLOURS, "I'm not sure.", REFUSED),
    (COLOURS, "It is impossible to tell.", REFUSED),
]

WORDS: list[tuple[str, str]] = [
    # a word or a few, and what stands around it
    ("red", "red"),
    ("Red.", "red"),
    ("**Red**", "red"),
    ("“red”", "red"),
    ("Answer: red", "red"),
    ("The answer is red.", "red"),
    ("Final answer: two dogs", "2 dogs"),
    ("The roof is tiled.\nAnswer: red", "red"),
    ("So the answer is: red", "red"),
    ("\\boxed{7}", "7"),
    ("$\\boxed{\\text{red}}$", "red"),
    ('{"answer": "red"}', "red"),
    ('{"color": "red"}', "red"),
    ('{"answer": 3}', "3"),
    ('```json\n{"answer": "red"}\n```', "red"),
    ("<answer>red</answer>", "red"),
    ("<answer>red", "red"),
    ("<think>It may be blue or red.</think>red", "red"),
    ("red</s>", "red"),
    ("2 (two)", "2"),
    ("two (2)", "2"),
    ("yes", "yes"),
    ("No.", "no"),
    ("none", "0"),
    ("nothing", "nothing"),
    ("red and white", "red and white"),
    ("red, white", "red white"),
    ("rot", "rot"),
    ("rouge et blanc", "rouge et blanc"),
    ("红色", "红色"),
    ("It’s raining", "it's raining"),
    ("don't walk", UNREAD),
    # sentences are answers, compared as they are
    ("The car is red.", "car is red"),
    ("The color of the car is red", "color of car is red"),
    ("I would say red", "i would say red"),
    ("Yes, there are two", "yes there are 2"),
    ("No, it isn't.", "no it isn't"),
    ("Red. The sky is blue though.", "red sky is blue though"),
    # no single answer
    ("red or blue", UNREAD),
    ("red/blue", UNREAD),
    ("yes/no", UNREAD),
    ("yes and no", UNREAD),
    ("not red", UNREAD),
    ("It's not a cat but a dog", UNREAD),
    ("neither", UNREAD),
    ("maybe", UNREAD),
    ("I think red", UNREAD),
    ("Answer: red\nAnswer: blue", UNREAD),
    ("red\n\nThe car stands in the sun.", UNREAD),
    ("", UNREAD),
    ("...", UNREAD),
    # refusals
    ("I can't see the image.", REFUSED),
    ("I’m sorry, I can’t assist with that.", REFUSED),
    ("Unanswerable", REFUSED),
    ("cannot tell", REFUSED),
    ("I'm unable to determine that.", REFUSED),
    ("The image does not show a car.", REFUSED),
    ("It is not possible to tell.", REFUSED),
    ("I don't have access to the image", REFUSED),
    ("No image was provided.", REFUSED),
    ("Not enough information.", REFUSED),
    ("I would need to see the picture.", REFUSED),
    ("not sure", REFUSED),
]


def read(text: str, choices: tuple[str, ...], by_letter: bool = True) -> str:
    reading = read_choice(Answer(text), Part(choices=choices), by_letter=by_letter)
    return str(reading.value) if reading.outcome == "parsed" else f"({reading.outcome})".replace("malformed", "unread")


@pytest.mark.parametrize(("choices", "text", "meant"), CHOICES)
def test_a_choice_is_read_as_a_careful_person_reads_it(choices: tuple[str, ...], text: str, meant: str) -> None:
    assert read(text, choices) == meant


@pytest.mark.parametrize(("text", "meant"), WORDS)
def test_words_are_read_as_a_careful_person_reads_them(text: str, meant: str) -> None:
    reading = read_words(Answer(text))
    told = reading.value if reading.outcome == "parsed" else f"({reading.outcome})".replace("malformed", "unread")
    assert told == meant
    if reading.span:
        assert normalised(text[slice(*reading.span)]) == meant


PAGE = (Path(__file__).parents[3] / "docs" / "answers.md").read_text()
ROWS = re.findall(r"^\| (`.*`) \| (red|blue|light blue|unread) \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("answers", "meant"), ROWS)
def test_the_examples_of_the_page_are_read_as_it_says(answers: str, meant: str) -> None:
    read_as = {text: read(text, COLOURS[:3]) for text in re.findall(r"`([^`]+)`", answers)}
    assert set(read_as.values()) == {meant if meant != "unread" else UNREAD}, read_as
    assert len(ROWS) == 12


PIECES = st.sampled_from(
    [*COLOURS, *"ABCDE", "not", "but", "or", "and", "is", "wrong", "because", "the answer is", "it", "maybe", "green",
     ",", ".", ";", "\n", "(", ")", "no", "/", "I", "a", "\\boxed{", "}", "<answer>", "</answer>", "Answer:", "*"]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=12).map(" ".join)


@given(TEXTS, st.booleans())
def test_no_choice_is_read_that_the_text_does_not_name(text: str, by_letter: bool) -> None:
    value = read(text, COLOURS, by_letter)
    if not value.startswith("("):
        named = value.split()[-1] in text or (by_letter and "ABCD"[COLOURS.index(value)] in text.upper())
        assert named


@given(TEXTS)
def test_case_and_spaces_change_nothing_where_there_are_no_letters(text: str) -> None:
    meant = read(text, COLOURS, by_letter=False)
    assert read(text.upper(), COLOURS, by_letter=False) == meant
    assert read(f"  {text}  ".replace(" ", "  "), COLOURS, by_letter=False) == meant


@given(
    st.lists(st.sampled_from([*ANIMALS, "maybe", "x", "not", ",", "."]), max_size=8).map(" ".join),
    st.permutations(ANIMALS),
)
def test_the_order_of_the_choices_changes_nothing_where_there_are_no_letters(text: str, order: list[str]) -> None:
    assert read(text, tuple(order), by_letter=False) == read(text, ANIMALS, by_letter=False)


@settings(deadline=None)
@given(st.permutations(COLOURS).map(tuple), st.integers(0, 3))
def test_every_way_to_name_one_choice_is_that_choice(choices: tuple[str, ...], at: int) -> None:
    choice, shown = choices[at], "ABCD"[at]
    forms = (
        "{c}", "{l}", "({l})", "{l}.", "{l}) {c}", "**{l}**", "Answer: {l}", "The answer is {c}.",
        '{{"answer": "{l}"}}',
        "\\boxed{{{l}}}", "<answer>{c}</answer>", "Option {l}", "I would say {c}.", "{l}. {c}\n",
    )  # fmt: skip
    for form in forms:
        assert read(form.format(c=choice, l=shown), choices) == choice, form


@given(TEXTS | st.text(max_size=80))
def test_what_is_said_lies_in_the_answer(text: str) -> None:
    start, end = said(text)
    assert 0 <= start <= end <= len(text)


@pytest.mark.parametrize(
    "piece",
    ["yes ", "no ", "red, ", "not ", "A ", "(", "answer is ", "Answer: red\n", "\\boxed{", "<answer>", "{", "```",
     "or ", "the ", "most likely ", "red is also ",
     "</think>", "'", " ", "\n", ".", "A. ", '"answer": "', "n't ", "i think ", "red and "],
)  # fmt: skip
def test_an_answer_of_any_length_is_read_in_the_blink_of_an_eye(piece: str) -> None:
    text = piece * (2 * MAX_CHARACTERS // len(piece))
    assert read(text, COLOURS) in (UNREAD, REFUSED, *COLOURS)
    assert read_words(Answer(text)).outcome in ("parsed", "malformed", "refused")
