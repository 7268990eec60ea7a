"""Descriptions: repetition, claims, categories, colours and search equal their definitions, and scikit-learn."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor

from paceline import tasks
from paceline.tasks.answers import Answers
from paceline.tasks.description import categories, colour_names, object_claims, repetition, score, search

KIND = tasks.load("description")
WORDS = st.lists(st.sampled_from("a b c dog".split()), max_size=40)  # noqa: SIM905


# --- repetition ------------------------------------------------------------------------------------------------------


@given(WORDS)
@settings(deadline=None)
def test_the_longest_run_is_the_longest_that_is_said_twice_in_a_row(words: list[str]) -> None:
    runs = [
        length
        for length in range(1, len(words) // 2 + 1)
        for at in range(len(words) - 2 * length + 1)
        if words[at : at + length] == words[at + length : at + 2 * length]
    ]
    assert repetition.longest_run(words) == max(runs, default=0)


@given(WORDS, st.integers(1, 4))
@settings(deadline=None)
def test_distinct_n_counts_different_runs_of_words(words: list[str], n: int) -> None:
    runs = [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
    counts = Counter(runs)
    assert repetition.distinct(words, n) == (len(counts) / len(runs) if runs else None)
    if runs:
        again = sum(run in runs[:at] for at, run in enumerate(runs)) / len(runs)
        assert 1 - (repetition.distinct(words, n) or 0) == pytest.approx(again)


def test_words_are_compared_in_lower_case_without_punctuation_around_them() -> None:
    assert repetition.words_of('The dog, "the DOG" — a dog\'s dog.') == [
        "the",
        "dog",
        "the",
        "dog",
        "a",
        "dog's",
        "dog",
    ]
    assert repetition.longest_run(repetition.words_of("Red and, red and blue")) == 2


# --- claims ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "claimed"),
    [
        ("A hot dog on a table, next to a teddy bear.", ["hot dog", "dining table", "teddy bear"]),
        ("An orange cat and three oranges", ["cat", "orange"]),
        ("Toilet paper and a toilet brush", []),
        ("A doghouse, a bookshelf and a car park", []),
        ("There is no dog, but two cats.", ["cat"]),
        ("There isn't a big brown bear here.", []),
        ("No cars, buses or trucks; a person waits.", ["person"]),
        ("Neither cats nor dogs", []),
        ("Without a cat, a dog sits", ["dog"]),
        ("Not only a dog but also a cat", ["dog", "cat"]),
        ("A dog with no collar next to a cat", ["dog", "cat"]),
        ("The women's mice; knives, sheep, puppies", ["person", "mouse", "knife", "sheep", "dog"]),
        ("a Fire-Hydrant", ["fire hydrant"]),
        ("a couple of birds", ["bird"]),
        ("A baseball player throws a baseball", ["person", "sports ball"]),
        ("people playing football", ["person"]),
        ("a scarf, a carpet, a catalogue, begin", []),
        ("", []),
    ],
)
def test_claims_are_read_as_a_careful_person_would(text: str, claimed: list[str]) -> None:
    assert object_claims.claimed(text) == claimed


def test_every_class_is_named_by_each_of_its_words_and_their_plurals() -> None:
    ambiguous = {"orange", "remote"}
    assert len(object_claims.classes()) == 80
    for name in object_claims.classes():
        for word in object_claims.synonyms(name):
            for said in object_claims.plurals(word) + ((word,) if word not in ambiguous else ()):
                assert object_claims.claimed(f"I see the {said} there.") == [name], said


NAMES = st.lists(st.sampled_from(["dog", "cat", "person", "bus", "kite"]), unique=True, max_size=5)


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=12))
@settings(deadline=None)
def test_chair_counts_claims_that_are_not_there(pairs: list[tuple[list[str], list[str]]]) -> None:
    records, _ = judged(
        [{"objects": true} for true, _ in pairs], [" and ".join(said) or "Nothing." for _, said in pairs]
    )
    metrics = KIND.aggregate(KIND.answers(records))
    invented = [set(said) - set(true) for true, said in pairs]
    claims = sum(len(said) for _, said in pairs)
    assert metrics["chair_s"]["value"] == pytest.approx(np.mean([bool(names) for names in invented]))
    if claims:
        assert metrics["chair_i"]["value"] == pytest.approx(sum(map(len, invented)) / claims)
    else:
        assert metrics["chair_i"]["value"] is None


def test_what_a_reference_names_is_there_and_only_complete_lists_are_judged() -> None:
    samples = [{"objects": ["dog"], "references": ["A dog beside a man."]}, {"references": ["A dog."]}, {"objects": []}]
    records, _ = judged(samples, ["A man and a kite.", "A kite.", "A kite."])
    assert [r["scores"].get("invented") for r in records] == [1, None, 1]
    assert [r["scores"].get("claimed") for r in records] == [2, None, 1]


def judged(samples: list[dict[str, Any]], texts: list[str], part: str = "description") -> tuple[list[Any], Any]:
    from paceline.config.schema import Config, PromptSpec, TaskSpec
    from paceline.scoring.judge import judge

    config = Config(
        task=TaskSpec(name="d", kind="description", evaluate=["test"]), prompt=PromptSpec(name="p", text="{question}")
    )
    named = [{"id": f"s{n}", "split": "test", "sha256": f"s{n}", **sample} for n, sample in enumerate(samples)]
    answers = [{"sample": f"s{n}", "part": part, "text": text, "finish": "stop"} for n, text in enumerate(texts)]
    return judge(config, answers, named)


# --- categories ------------------------------------------------------------------------------------------------------

LABELS = ["beach", "city", "forest", "night"]
SETS = st.lists(st.sampled_from(LABELS), unique=True, max_size=4)


@given(st.lists(st.tuples(SETS, SETS), min_size=1, max_size=15))
@settings(deadline=None)
def test_f1_of_categories_is_that_of_scikit_learn(pairs: list[tuple[list[str], list[str]]]) -> None:
    from sklearn.metrics import f1_score

    samples = [{"categories": true} for true, _ in pairs]
    metrics = judged(samples, [f"Here: {' and '.join(said)}" for _, said in pairs])[1]["metrics"]
    judged_pairs = [(true, said) for true, said in pairs if true]
    known = sorted({label for true, _ in judged_pairs for label in true})
    if not known:
        assert metrics["category_micro_f1"]["value"] is None
        return
    truth, answer = (
        np.array([[label in labels for label in known] for labels in column], dtype=int)
        for column in zip(*judged_pairs, strict=True)
    )
    for average in ("micro", "macro"):
        # One column of zeros and ones is to scikit-learn two classes, and not one label.
        one = {"average": "binary"} if len(known) == 1 else {"average": average}
        expected = f1_score(truth, answer, zero_division=0, **one)
        assert metrics[f"category_{average}_f1"]["value"] == pytest.approx(expected), average


def test_a_category_without_a_word_is_named_by_nothing() -> None:
    assert categories.named("A red heart \u2665 on a beach.", ("\u2665", "\u2665|heart", "beach")) == [
        "\u2665",
        "beach",
    ]
    assert categories.named("No sign.", ("\u26bd", "_")) == []


def test_categories_are_named_by_their_other_words_and_by_those_of_the_objects() -> None:
    listed = ("coast|shore|beach", "city", "dog", "Traffic_Light")
    assert categories.named("Dogs on the beaches, and a puppy; no city", listed) == ["dog", "coast"]
    assert categories.named("a stoplight in cities", listed) == ["Traffic_Light", "city"]


# --- colours ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("The main colors are navy blue and off-white, with no red.", ["blue", "white"]),
        ("Light blue, dark green.", ["blue", "green"]),
        ("A reddish brown and beige", ["brown"]),
        ("no red, green or blue, but yellow", ["yellow"]),
        ("crimson; GREY", ["red", "gray"]),
        ("blue-green", ["blue", "green"]),
        ("sky blue over sand", ["blue"]),
        ("Blues and greens", ["blue", "green"]),
        ("not only red but also gold", ["red", "yellow"]),
        ("multicoloured", []),
        ("Fred is bored in Greenland", []),
    ],
)
def test_colours_are_read_as_basic_terms(text: str, named: list[str]) -> None:
    assert colour_names.named(text) == named


def test_a_word_for_a_colour_and_a_picture_of_that_colour_have_one_term() -> None:
    listed = yaml.safe_load((tasks.Path(colour_names.__file__).with_name("colours.yaml")).read_text())
    words = [(term, word, value) for term, words in listed.items() for word, value in words.items()]
    assert len({word for _, word, _ in words}) == len(words)
    assert list(listed) == list(colour_names.terms())
    for term, word, value in words:
        assert colour_names.term_of(word) == term, word
        if value:
            picture = Image.new("RGB", (4, 4), ImageColor.getrgb(f"#{value}"))
            assert colour_names.shares([picture]) == {term: 1.0}, word


@pytest.mark.parametrize(
    ("css", "term"),
    [("blue", "blue"), ("lime", "green"), ("navy", "blue"), ("saddlebrown", "brown"), ("hotpink", "pink"),
     ("rebeccapurple", "purple"), ("gold", "yellow"), ("darkorange", "orange"), ("dimgray", "gray"),
     ("firebrick", "red"), ("snow", "white"), ("#050505", "black"), ("skyblue", "blue"), ("forestgreen", "green")],
)  # fmt: skip
def test_colours_of_the_web_have_the_terms_that_people_use(css: str, term: str) -> None:
    assert colour_names.shares([Image.new("RGB", (3, 3), css)]) == {term: 1.0}


def test_lab_is_cies() -> None:
    known = {(255, 255, 255): (100, 0, 0), (255, 0, 0): (53.24, 80.09, 67.20), (0, 0, 255): (32.30, 79.19, -107.86)}
    found = colour_names.lab(np.array(list(known), dtype=float))
    assert found == pytest.approx(np.array(list(known.values()), dtype=float), abs=0.02)


def test_shares_are_of_the_pixels_and_the_main_colours_are_the_large_ones() -> None:
    picture = Image.new("RGB", (100, 10), "white")
    picture.paste((255, 0, 0), (0, 0, 30, 10))
    picture.paste((0, 0, 0), (30, 0, 35, 10))
    found = colour_names.shares([picture])
    assert found == {"white": 0.65, "red": 0.3, "black": 0.05}
    assert colour_names.main_colours(found) == ["white", "red"]
    assert colour_names.main_colours(dict.fromkeys(colour_names.terms(), 0.09)) == ["black"]
    large = picture.resize((3000, 301), Image.Resampling.NEAREST)
    assert colour_names.shares([large])["red"] == pytest.approx(0.3, abs=0.02)
    assert colour_names.shares([Image.new("RGB", (5000, 1), "red")]) == {"red": 1.0}


@given(st.lists(st.sampled_from(colour_names.terms()), unique=True, max_size=6))
@settings(deadline=None)
def test_precision_recall_and_f1_of_colours_are_those_of_sets(said: list[str]) -> None:
    truth = {"red": 0.5, "white": 0.3, "black": 0.15, "gray": 0.05}
    records, metrics = judged([{"colours": truth}], [", ".join(said) or "?"], "colours")
    right, main = len({"red", "white", "black"} & set(said)), 3
    scores = records[0]["scores"]
    assert scores["colour_precision"] == (right / len(said) if said else None)
    assert scores["colour_recall"] == right / main
    assert scores["colour_f1"] == pytest.approx(2 * right / (main + len(said)))
    assert scores["colour_cover"] == pytest.approx(sum(truth.get(term, 0) for term in said))
    shares = [metrics["metrics"][f"{outcome.name}_share"]["value"] for outcome in KIND.outcomes]
    assert sum(shares) == pytest.approx(1)


# --- search ----------------------------------------------------------------------------------------------------------


def vectors_of(texts: list[str]) -> dict[str, np.ndarray]:
    """A vector for each text: how often it has each letter."""
    rows = {text: np.array([text.count(letter) for letter in "abcdefgh"], dtype=np.float32) + 0.01 for text in texts}
    return {text: row / np.linalg.norm(row) for text, row in rows.items()}


TEXT = st.text("abcdefgh", min_size=1, max_size=4)


@given(st.lists(st.tuples(TEXT, st.lists(TEXT, max_size=2)), min_size=1, max_size=25))
@settings(deadline=None)
def test_a_description_is_found_at_its_rank_and_equal_ones_by_chance(pairs: list[tuple[str, list[str]]]) -> None:
    descriptions, references = [d for d, _ in pairs], [r for _, r in pairs]
    vectors = vectors_of([*descriptions, *(text for texts in references for text in texts)])
    found = search.found_at(descriptions, references, vectors)
    for n, texts in enumerate(references):
        if not texts:
            assert found[n] is None
            continue
        expected = []
        for text in texts:
            near = [round(float(vectors[text].astype(float) @ vectors[d].astype(float)), 5) for d in descriptions]
            before, equal = sum(one > near[n] for one in near), sum(one == near[n] for one in near)
            expected.append([sum(place < k for place in range(before, before + equal)) / equal for k in search.RANKS])
        assert found[n] == pytest.approx(np.mean(expected, axis=0))


def test_one_description_for_all_finds_by_chance_and_an_unread_one_never() -> None:
    vectors = vectors_of(["a", "b", "c"])
    assert search.found_at(["a"] * 20, [["b"]] * 20, vectors) == [(0.05, 0.25, 0.5)] * 20
    assert search.found_at(["a", None], [["a"], ["b"]], vectors) == [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0)]
    assert search.found_at([None], [["b"]], {}) == [(0.0, 0.0, 0.0)]


# --- statistics of the set -------------------------------------------------------------------------------------------


def test_resamples_are_the_statistic_of_repeated_samples() -> None:
    rng = np.random.default_rng(0)
    samples = [{"objects": [n for n in ("dog", "cat") if rng.random() < 0.5] or ["bus"],
                "categories": [c for c in LABELS if rng.random() < 0.5] or ["city"]} for _ in range(30)]  # fmt: skip
    texts = [" and ".join(n for n in ("dog", "cat", "bus", *LABELS) if rng.random() < 0.4) or "none" for _ in samples]
    records, _ = judged(samples, texts)
    answers = KIND.answers(records)
    drawn = rng.integers(0, 30, 30)
    often = np.bincount(drawn, minlength=30)[None].astype(float)
    again: Answers = answers.take(list(drawn))
    whole = score.resample(again, np.ones((1, 30)))
    for name, value in score.resample(answers, often).items():
        assert value[0] == pytest.approx(whole[name][0]), name
        assert math.isfinite(value[0])
