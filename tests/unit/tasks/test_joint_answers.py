"""One answer to all questions is taken apart, and nothing is ever given to a question that it does not answer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline import tasks
from paceline.tasks.document_questions.asked_questions import ELEVEN
from paceline.tasks.document_questions.joint_answers import taken_apart
from paceline.tasks.kind import Part

KIND = tasks.load("document_questions")
THREE = {
    "topic": ("What is this document about? [1]", "Topic [1]"),
    "motivation": ("Which problem makes this necessary? [2, 1]", "Motivation [2, 1]"),
    "own_takeaways": ("What should a reader remember?", "Takeaways for the reader"),
}
ALL = {name: (one["question"], one["topic"]) for name, one in ELEVEN.items()}


def three(text: str) -> tuple[str, str, str]:
    found = taken_apart(text, THREE)
    assert list(found) == list(THREE)
    return tuple(found.values())  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # numbers
        ("1. Maps.\n2. None were free.\n3. They are small.", ("Maps.", "None were free.", "They are small.")),
        ("1. Maps.\n\n2. None were free.\n\n3. They are small.", ("Maps.", "None were free.", "They are small.")),
        ("1) Maps\n2) Free\n3) Small", ("Maps", "Free", "Small")),
        ("1: Maps\n2: Free\n3: Small", ("Maps", "Free", "Small")),
        ("**1.** Maps\n**2.** Free\n**3.** Small", ("Maps", "Free", "Small")),
        ("## 1. Maps\n## 2. Free\n## 3. Small", ("Maps", "Free", "Small")),
        ("Answer 1: Maps\nAnswer 2: Free\nAnswer 3: Small", ("Maps", "Free", "Small")),
        ("A1: Maps\nA2: Free\nA3: Small", ("Maps", "Free", "Small")),
        ("Here are the answers:\n1. Maps\n2. Free\n3. Small", ("Maps", "Free", "Small")),
        ("<think>1. hm\n2. hm</think>1. Maps\n2. Free\n3. Small", ("Maps", "Free", "Small")),
        ("1. [1] Maps\n2. [2, 1] Free\n3. Small", ("Maps", "Free", "Small")),
        ("1. Maps\n2. Free", ("Maps", "Free", "")),
        ("1. Maps\n3. Small", ("Maps", "", "Small")),
        ("2. Free\n3. Small", ("", "Free", "Small")),
        ("Maps are shown.\n2. Free\n3. Small", ("Maps are shown.", "Free", "Small")),
        ("Here are my answers:\n2. Free\n3. Small", ("", "Free", "Small")),
        ("3. Small", ("", "", "Small")),
        ("1. Maps\n2. Free\n3. Small\n4. More\n5. Other", ("Maps", "Free", "Small")),
        ("1. Maps\n2. Free\n3. Small\n1. Maps\n2. Free\n3. Small", ("Maps", "Free", "Small")),
        ("1. Maps\nand more maps\n2. Free\n3. Small", ("Maps\nand more maps", "Free", "Small")),
        ("1. Maps. 2. Free. 3. Small.", ("Maps.", "Free.", "Small.")),
        ("1. Maps. 2. Free.", ("Maps.", "Free.", "")),
        # lists inside an answer
        (
            "1. Maps:\n   1. of towns\n   2. of roads\n2. Free\n3. Small",
            ("Maps:\n   1. of towns\n   2. of roads", "Free", "Small"),
        ),
        ("1. Maps:\n1. of towns\n2. of roads\n2. Free\n3. Small", ("Maps:\n1. of towns\n2. of roads", "Free", "Small")),
        # Whether the last 3 is the list's or the answer's, nothing tells.
        ("1. Maps\n2. Free:\n1. of cost\n2. of ads\n3. Small", ("Maps", "Free:\n1. of cost\n2. of ads", "")),
        ("1. Maps\n- of towns\n- of roads\n2. Free\n3. Small", ("Maps\n- of towns\n- of roads", "Free", "Small")),
        ("1. Maps of 1998. And 2. editions\n2. Free\n3. Small", ("Maps of 1998. And 2. editions", "Free", "Small")),
        # a number twice: which is meant is not known
        ("1. Maps\n2. Free\n2. Small\n3. Short", ("Maps", "", "Short")),
        # questions said again
        (
            "1. What is this document about? Maps\n2. Which problem makes this necessary?\nFree\n3. Small",
            ("Maps", "Free", "Small"),
        ),
        (
            "1. What is this document about?\n2. Which problem makes this necessary?\n3. What should a reader remember?"
            "\n\n1. Maps\n2. Free\n3. Small",
            ("Maps", "Free", "Small"),
        ),
        (
            "Q1: What is this document about?\nA1: Maps\nQ2: Which problem makes this necessary?\nA2: Free",
            ("Maps", "Free", ""),
        ),
        ("1. What is this document about?\n2. Which problem makes this necessary?", ("", "", "")),
        # names
        ("Topic: Maps\nMotivation: Free\nTakeaways for the reader: Small", ("Maps", "Free", "Small")),
        ("**Topic:** Maps\n\n**Motivation:** Free\n\n**Takeaways for the reader:** Small", ("Maps", "Free", "Small")),
        ("**Topic**\nMaps\n\n**Motivation**\nFree", ("Maps", "Free", "")),
        ("# Topic\n\nMaps\n\n# Motivation\n\nFree\n\n# Takeaways for the reader\n\nSmall", ("Maps", "Free", "Small")),
        ("Motivation: Free\nTopic: Maps", ("Maps", "Free", "")),
        (
            "1. **Topic:** Maps\n2. **Motivation:** Free\n3. **Takeaways for the reader:** Small",
            ("Maps", "Free", "Small"),
        ),
        ("1. Motivation: Free\n2. Takeaways for the reader: Small", ("", "Free", "Small")),
        ("own_takeaways: Small\ntopic: Maps", ("Maps", "", "Small")),
        ("What is this document about?\nMaps\nWhich problem makes this necessary?\nFree", ("Maps", "Free", "")),
        ("**What is this document about?** Maps\n**Which problem makes this necessary?** Free", ("Maps", "Free", "")),
        # paragraphs
        ("Maps.\n\nFree.\n\nSmall.", ("Maps.", "Free.", "Small.")),
        ("Maps.\nFree.\nSmall.", ("Maps.", "Free.", "Small.")),
        ("Here are the answers:\n\nMaps.\n\nFree.\n\nSmall.", ("Maps.", "Free.", "Small.")),
        # what can't be told apart
        ("Maps.\n\nFree.", ("", "", "")),
        ("Maps.\n\nFree.\n\nSmall.\n\nMore.", ("", "", "")),
        ("Maps, which are free and small.", ("", "", "")),
        ("Sure, here are the answers:\n\nMaps.\n\nFree.", ("", "", "")),
        ("", ("", "", "")),
        (" \n ", ("", "", "")),
        # JSON
        ('{"topic": "Maps", "motivation": "Free", "own_takeaways": "Small"}', ("Maps", "Free", "Small")),
        ('```json\n{"1": "Maps", "2": "Free"}\n```', ("Maps", "Free", "")),
        ('{"Answer 3": "Small"}', ("", "", "Small")),
    ],
)
def test_answers_go_to_the_questions_that_they_answer(text: str, expected: tuple[str, str, str]) -> None:
    assert three(text) == expected


def test_one_question_has_all_of_the_answer() -> None:
    assert taken_apart("1. a\n2. b", {"topic": ("What?", "Topic")}) == {"topic": "1. a\n2. b"}


def test_the_kind_takes_answers_apart_by_its_parts() -> None:
    parts = [Part(name, question, fields={"topic": topic}) for name, (question, topic) in THREE.items()]
    assert list(KIND.split("1. Maps\n3. Small", parts).values()) == ["Maps", "", "Small"]


# --- properties ------------------------------------------------------------------------------------------------------

WORDS = st.lists(
    st.sampled_from(["maps", "roads", "towns", "were", "shown", "free", "of", "cost"]), min_size=1, max_size=8
)
ANSWERS = st.lists(WORDS.map(" ".join), min_size=11, max_size=11)
NUMBERED = st.sampled_from(
    ["{n}. {text}", "{n}) {text}", "**{n}.** {text}", "Answer {n}: {text}", "{n}. **{topic}:** {text}"]
)
NAMED = st.sampled_from(["{topic}: {text}", "**{topic}:** {text}", "## {topic}\n{text}", "{question} {text}"])
GAPS = st.sampled_from(["\n", "\n\n"])


def written(form: str, answers: list[str], chosen: list[int], gap: str) -> str:
    names = list(ALL)
    return gap.join(
        form.format(n=n + 1, text=f"{answers[n]} {names[n]}x", question=ALL[names[n]][0], topic=ALL[names[n]][1])
        for n in chosen
    )


@settings(deadline=None, max_examples=150)
@given(st.one_of(NUMBERED, NAMED), ANSWERS, st.sets(st.integers(0, 10)), GAPS)
def test_a_missing_answer_moves_no_other(form: str, answers: list[str], left_out: set[int], gap: str) -> None:
    chosen = [n for n in range(11) if n not in left_out]
    found = taken_apart(written(form, answers, chosen, gap), ALL)
    names = list(ALL)
    for n, name in enumerate(names):
        expected = f"{answers[n]} {name}x" if n in chosen else ""
        # Left out it may be, where it can't be told; another's it never is.
        assert found[name] in (expected, "")
    # A line or two without anything else to tell by may be all there is; from three on, all are told apart.
    if len(chosen) >= 3:
        assert all(found[names[n]] for n in chosen)


@settings(deadline=None, max_examples=150)
@given(NAMED, ANSWERS, st.permutations(range(11)), GAPS)
def test_named_answers_may_come_in_any_order(form: str, answers: list[str], order: list[int], gap: str) -> None:
    found = taken_apart(written(form, answers, list(order), gap), ALL)
    assert found == {name: f"{answers[n]} {name}x" for n, name in enumerate(ALL)}


@settings(deadline=None, max_examples=100)
@given(ANSWERS, st.integers(0, 10), st.integers(1, 9), st.sampled_from(["", "   "]))
def test_a_list_inside_an_answer_moves_no_other(answers: list[str], at: int, items: int, indent: str) -> None:
    names, lines = list(ALL), []
    for n, name in enumerate(names):
        lines.append(f"{n + 1}. {answers[n]} {name}x")
        if n == at:
            lines += [f"{indent}{k}. {name}x item" for k in range(1, items + 1)]
    found = taken_apart("\n".join(lines), ALL)
    for name in names:
        assert all(word.removesuffix("x") == name for word in found[name].split() if word.endswith("x"))


@settings(deadline=None, max_examples=100)
@given(ANSWERS, st.integers(1, 10))
def test_an_answer_that_breaks_off_keeps_what_was_said(answers: list[str], count: int) -> None:
    found = taken_apart(written("{n}. {text}", answers, list(range(count)), "\n\n"), ALL)
    assert [bool(text) for text in found.values()] == [n < count for n in range(11)]


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet='1234. \n*:#-abTopic?[]{}"', max_size=200))
def test_any_text_is_taken_apart_into_pieces_of_itself(text: str) -> None:
    found = taken_apart(text, THREE)
    assert list(found) == list(THREE)
    assert all(" ".join(part.split()) in " ".join(text.split()) or "\\" in text for part in found.values())


@pytest.mark.parametrize(
    "unit", ["1. ", "1. a\n", "\n", "Topic: ", "Topic: a\n", "a ", "[1] ", "**", "{", "1. a 2. b "]
)
def test_an_endless_answer_is_taken_apart_as_well(unit: str) -> None:
    assert len(taken_apart(unit * (1_000_000 // len(unit)), ALL)) == 11  # in quadratic time, minutes
