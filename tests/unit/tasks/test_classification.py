"""Labels: a sentence is read by the names that labels have, nobody guesses for the model, and flips are counted."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline import tasks
from paceline.config.schema import Config, PromptSpec, TaskSpec
from paceline.data.conversations import lesson, question
from paceline.errors import DataError
from paceline.report.analysis import differences
from paceline.scoring import judge
from paceline.scoring.digest import scorer_sources
from paceline.tasks.answers import Answers
from paceline.tasks.classification import fields, results, score
from paceline.tasks.classification.names import names_of
from paceline.tasks.kind import Answer
from paceline.tasks.panels import CellResult, Interval, Results, Table, Texts

KIND = tasks.load("classification")
TASK = TaskSpec(name="sports", kind="classification", target="{label}", evaluate=["test"])
PROMPT = PromptSpec(name="p", text="What sport is in this image?")
GPIOSENKA = (
    "air hockey",
    "bobsled",
    "field hockey",
    "figure skating men",
    "figure skating women",
    "football",
    "hockey",
    "ice climbing",
    "rock climbing",
    "rings",
    "snow boarding",
    "table tennis",
    "tennis",
    "water polo",
)


def sample(label: str, labels: tuple[str, ...] = GPIOSENKA, **more: Any) -> dict[str, Any]:
    return {"id": label, "split": "test", "label": label, "labels": list(labels), **more}


def reading(text: str, labels: tuple[str, ...] = GPIOSENKA, prompt: PromptSpec = PROMPT, **more: Any) -> Any:
    (part,) = KIND.parts(sample(labels[0], labels, **more), TASK, prompt)
    return KIND.read(Answer(text), part, TASK, prompt)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("tennis", "tennis"),
        ("  Tennis.\n", "tennis"),
        ("This is a photo of ice hockey.", "hockey"),
        ("They are playing field hockey", "field hockey"),
        ("table tennis", "table tennis"),
        ("A game of ping-pong!", "table tennis"),
        ("Bobsleigh", "bobsled"),
        ("It is bobsled (also bobsleigh).", "bobsled"),
        ("American football", "football"),
        ("The sport is 'snowboarding'", "snow boarding"),
        ("Question answered. Answer: water-polo", "water polo"),
        ("<think>tennis? no</think> rings", "rings"),
        ("Tennis, of course: tennis.", "tennis"),
    ],
)
def test_an_answer_is_the_one_label_that_it_names_by_any_of_its_names(text: str, label: str) -> None:
    assert (reading(text).outcome, reading(text).value) == ("parsed", label)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("tennis or table tennis", "malformed"),
        ("tennis, rings, water polo", "malformed"),
        ("not tennis", "malformed"),
        ("It isn't tennis", "malformed"),
        ("maybe tennis", "malformed"),
        ("probably rugby or tennis", "malformed"),
        ("figure skating", "malformed"),  # men's or women's
        ("climbing", "malformed"),  # on ice or on rock
        ("soccer", "malformed"),  # no label: football is another sport there
        ("a man with a racket", "malformed"),
        ("tabletennisball", "malformed"),
        ("", "malformed"),
        ("I cannot tell from this picture.", "refused"),
        ("I'm sorry, I can't help with that.", "refused"),
    ],
)
def test_two_labels_a_hedge_a_negation_a_list_and_no_label_are_unread(text: str, outcome: str) -> None:
    assert (reading(text).outcome, reading(text).value) == (outcome, None)


def test_a_word_that_may_mean_several_labels_means_the_one_that_the_data_has() -> None:
    art = ("american football", "ice hockey", "field hockey", "soccer")
    assert reading("football", art).value is None
    assert reading("hockey", art).value is None
    assert reading("football", ("american football", "tennis")).value == "american football"
    assert reading("football", ("soccer", "tennis")).value == "soccer"
    assert reading("football", ("football", "soccer")).value == "football"


def test_a_word_that_says_something_else_in_a_sentence_is_a_name_as_a_whole_answer() -> None:
    labels = ("billiards", "boxing", "swimming")
    assert reading("Pool.", labels).value == "billiards"
    assert reading("A woman swimming in a pool", labels).value == "swimming"
    assert reading("a box", labels).value is None
    assert reading("pool", ("pool", "billiards")).value == "pool"


def test_a_lab_names_its_labels_itself_and_its_names_win() -> None:
    more = {"label_names": {"tennis": ["racket game", "ice hockey"], "rings": ["hockey"]}}
    assert reading("a racket game", **more).value == "tennis"
    assert reading("ice hockey", **more).value == "tennis"
    assert reading("hockey", **more).value == "hockey"  # a label is itself


def test_letters_count_where_the_prompt_shows_them_and_a_choice_by_likelihood_is_a_label() -> None:
    shown = PromptSpec(name="q", text="{question}\n{choices}")
    asked = question(sample("rings"), shown, TASK, parts=KIND.parts(sample("rings"), TASK, shown))
    assert "B. bobsled" in asked.prompt
    assert reading("B", prompt=shown).value == "bobsled"
    assert reading("B").value is None
    (part,) = KIND.parts(sample("rings"), TASK, PROMPT)
    chosen = KIND.read(Answer("figure skating men", {"choices": {}}), part, TASK, PROMPT)
    assert chosen.value == "figure skating men"


def judged(answers: dict[str, str], labels: dict[str, str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    samples = [{**sample(label), "id": name} for name, label in labels.items()]
    predictions = [{"sample": name, "text": text} for name, text in answers.items()]
    scores, metrics = judge.judge(Config(task=TASK, prompt=PROMPT), predictions, samples)
    return scores, {name: metric["value"] for name, metric in metrics["metrics"].items()}


def test_exact_is_the_label_as_it_stands_and_right_is_its_name_in_a_sentence() -> None:
    answers = {"a": " Bobsled\n", "b": "bobsleigh", "c": "tennis", "d": "maybe rings", "e": "Sorry, I can't."}
    labels = {"a": "bobsled", "b": "bobsled", "c": "rings", "d": "rings", "e": "rings"}
    scores, found = judged(answers, labels)
    assert [s["scores"]["exact"] for s in scores] == [True, False, False, False, False]
    assert [s["scores"]["right"] for s in scores] == [True, True, False, False, False]
    assert (found["exact_accuracy"], found["accuracy"], found["wrong_share"]) == (0.2, 0.4, 0.2)
    assert found["balanced_accuracy"] == 0.5


@given(st.lists(st.tuples(st.sampled_from(GPIOSENKA), st.text() | st.sampled_from(GPIOSENKA)), min_size=1, max_size=20))
@settings(deadline=None)
def test_refused_unread_wrong_and_right_are_all(pairs: list[tuple[str, str]]) -> None:
    answers = {str(n): text for n, (_, text) in enumerate(pairs)}
    _, found = judged(answers, {str(n): label for n, (label, _) in enumerate(pairs)})
    shares = ("accuracy", "wrong_share", "refused_share", "malformed_share")
    assert sum(found[name] for name in shares) == pytest.approx(1.0)
    assert found["exact_accuracy"] <= found["accuracy"]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_figures_over_classes_are_scikit_learns_on_every_resample(data: st.DataObject) -> None:
    from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score

    n = data.draw(st.integers(1, 30))
    names = st.sampled_from(["a", "b", "c", "d"])
    truths = tuple(data.draw(st.lists(names, min_size=n, max_size=n)))
    said = tuple(data.draw(st.lists(names | st.just(""), min_size=n, max_size=n)))
    often = np.array([[1] * n, data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n).filter(any))], dtype=float)
    answers = Answers(tuple(map(str, range(n))), ("parsed",) * n, {}, {"class": truths, "label": said})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score, "LEAST", dict.fromkeys(score.LEAST, 0))
        patch.setattr(score, "LEAST_OF_ALL", 0)
        found = score.resample(answers, often)
    for row, weights in enumerate(often):
        here = weights > 0
        y, z = np.array(truths)[here], np.array(said)[here]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of answers that are no class
            balanced = balanced_accuracy_score(y, z, sample_weight=weights[here])
            f1 = f1_score(y, z, labels=np.unique(y), average="macro", zero_division=0, sample_weight=weights[here])
            more = {"zero_division": 0, "sample_weight": weights[here]}
            precision = precision_score(y, z, labels=np.unique(y), average="macro", **more)
            classes = sorted({*y, *z} - {""})
            micro_f1 = f1_score(y, z, labels=classes, average="micro", **more)
            micro_precision = precision_score(y, z, labels=classes, average="micro", **more)
        assert found["balanced_accuracy"][row] == pytest.approx(balanced)
        assert found["macro_f1"][row] == pytest.approx(f1)
        assert found["macro_precision"][row] == pytest.approx(precision)
        assert found["micro_f1"][row] == pytest.approx(micro_f1)
        assert found["micro_precision"][row] == pytest.approx(micro_precision)


def test_statistics_of_classes_have_no_interval_where_a_class_is_rare() -> None:
    def answers(of_rare: int) -> Answers:
        truths = ("a",) * 60 + ("b",) * of_rare
        n = len(truths)
        return Answers(tuple(map(str, range(n))), ("parsed",) * n, {}, {"class": truths, "label": ("a",) * n})

    for name, least in score.LEAST.items():
        rare, enough = (KIND.aggregate(answers(n))[name] for n in (least - 1, least))
        assert rare["value"] is not None and rare["low"] is None
        assert enough["low"] is not None and enough["low"] <= enough["value"] <= enough["high"]


def test_without_an_interval_there_is_no_difference_and_few_samples_drawn_whole_by_chance_make_none() -> None:
    few = cell("untuned", ["rings", "tennis"], ["rings", "tennis"]).answers
    assert KIND.aggregate(few)["macro_f1"]["low"] is None
    assert differences.measure(KIND, few, cell("lora", ["rings", ""], ["rings", "tennis"]).answers, "macro_f1") is None


# -- data


def test_a_record_of_any_table_has_a_label_and_perhaps_names_of_it() -> None:
    assert fields.complete({"class": "table_tennis", "x": 1}) == {"label": "table tennis", "x": 1}
    assert fields.complete({"label": " a  b ", "class": "c"}) == {"label": "a b"}
    named = {"label": "rings", "aliases": {"Rings": ["still rings"], "tennis": "lawn tennis"}}
    assert fields.complete(named) == {"label": "rings", "aliases": ["still rings"]}
    assert fields.complete({"label": "rings", "aliases": "['a', 'b']"})["aliases"] == ["a", "b"]
    for lacking in ({}, {"label": ""}, {"class": "_"}):
        with pytest.raises(ValueError, match="no label"):
            fields.complete(lacking)
    with pytest.raises(ValueError, match="label is no text"):
        fields.complete({"label": ["a"]})


def test_all_samples_know_the_labels_of_all_splits_and_two_that_are_read_as_one_are_refused() -> None:
    records = [
        {"label": "tennis", "split": "train", "aliases": ["lawn tennis"]},
        {"label": "rings", "split": "test"},
        {"label": "tennis", "split": "test"},
    ]
    assert KIND.common(records) == {"labels": ["rings", "tennis"], "label_names": {"tennis": ["lawn tennis"]}}
    with pytest.raises(DataError, match="'ice-hockey' and 'ice hockey' are read as one"):
        KIND.common([{"label": "ice-hockey"}, {"label": "ice hockey"}])


def test_a_model_is_tuned_to_say_the_label_and_one_with_a_list_to_know_its_names() -> None:
    taught = lesson(sample("bobsled"), PROMPT, TASK)
    assert taught.answer == "bobsled"
    assert taught.accepted["bobsled"] == taught.accepted["bobsleigh"] == 1.0
    assert "ice hockey" not in KIND.accepted(sample("hockey", ("hockey", "ice hockey")), TASK)


def test_the_file_of_aliases_makes_metrics_old_and_a_panel_does_not() -> None:
    sources = scorer_sources(KIND)
    assert "classification/aliases.yaml" in sources
    assert "paceline.tasks.classification.results" not in sources


def test_no_shipped_name_means_two_things_of_the_hundred_sports_or_is_written_twice() -> None:
    from paceline.tasks.classification.names import _shipped

    same, either, alone, _ = _shipped()
    names = [name for group in same for name in group]
    assert len(names) == len(set(names))
    assert not set(names) & set(alone)
    assert set(alone.values()) <= set(names)
    assert all(len(set(candidates)) == len(candidates) for candidates in either.values())
    assert names_of(("bobsled",)).of("bobsled")[0] == "bobsled"


# -- panels


def cell(
    method: str, labels: list[str], truths: list[str], prompt: str = "p", groups: tuple[str, ...] = ()
) -> CellResult:
    right = np.array([t == s for t, s in zip(truths, labels, strict=True)], dtype=float)
    outcomes = tuple("parsed" if s else "refused" for s in labels)
    quoted = [tuple(f'"{name}"' if name else "" for name in names) for names in (truths, labels)]
    answers = Answers(
        tuple(f"s{n}" for n in range(len(truths))),
        outcomes,
        {"right": right, "exact": right * 0},
        {"class": quoted[0], "label": quoted[1]},
        groups,
    )
    return CellResult(
        f"{method}-{prompt}", f"m · {prompt} · {method}", lambda: answers, model="m", prompt=prompt, method=method
    )


def shown(*cells: CellResult) -> dict[str, list[Any]]:
    what = Results(TASK, "test", cells, cells, None, {}, lambda metric: [c.id for c in cells])
    by_key: dict[str, list[Any]] = {}
    for panel in KIND.panels(what):
        by_key.setdefault(panel.key, []).append(panel)
    return by_key


TRUTHS = ["tennis"] * 3 + ["rings"] * 2


def test_the_table_of_classes_begins_with_the_weakest_and_says_what_is_answered_instead() -> None:
    (table,) = shown(cell("untuned", ["tennis", "tennis", "", "tennis", "tennis"], TRUTHS))["classes"]
    assert [(row[0], row[1], row[4]) for row in table.rows] == [("rings", 2, "tennis (2×)"), ("tennis", 3, "")]
    right = table.rows[1][2]
    assert isinstance(right, Interval)
    assert right.value == pytest.approx(2 / 3)
    assert right.low is not None


def test_flips_are_counted_between_untuned_and_tuned_and_between_a_prompt_and_its_shots() -> None:
    cells = (
        cell("untuned", ["tennis", "", "tennis", "tennis", "rings"], TRUTHS),
        cell("lora", ["tennis", "tennis", "rings", "rings", "rings"], TRUTHS),
        cell("untuned", ["tennis", "tennis", "tennis", "rings", "rings"], TRUTHS, prompt="four_shots_p"),
    )
    table, texts = shown(*cells)["flips"]
    assert isinstance(table, Table) and isinstance(texts, Texts)
    assert [row[:7] for row in table.rows] == [
        ("m · p", "untuned → lora", 5, 2, 1, 2, 0),
        ("m · untuned", "p → four_shots_p", 5, 2, 0, 3, 0),
    ]
    assert [row[7] for row in table.rows] == [1.0, 1.0]
    first = texts.cases[0]
    assert (first.sample, first.references, first.label) == ("s1", ("tennis",), "became right: m · p, untuned → lora")
    assert [(a.text, a.outcome, a.scores) for a in first.answers] == [
        ("", "refused", ("no",)),
        ("tennis", "", ("yes",)),
    ]
    assert {case.label.partition(":")[0] for case in texts.cases} == {"became right", "became wrong"}


def test_classes_of_a_confusion_are_ordered_by_size_then_by_name() -> None:
    truths = ["b", "c", "a", "c"]
    (matrix,) = shown(cell("untuned", truths, truths))["confusion"]
    assert matrix.cells[0].truths == ("c", "a", "b")


def test_grouped_samples_have_no_test_and_a_sweep_without_pairs_no_rows() -> None:
    groups = ("a", "a", "b", "c", "d")
    cells = [cell(m, TRUTHS, TRUTHS, groups=groups) for m in ("untuned", "lora")]
    assert shown(*cells)["flips"][0].rows[0][7] is None
    alone = shown(cells[0])["flips"]
    assert alone[0].rows == () and alone[1].cases == ()


def test_an_ensemble_votes_on_labels() -> None:
    members = [cell(m, labels, TRUTHS).answers for m, labels in (("a", ["rings"] * 5), ("b", TRUTHS), ("c", TRUTHS))]
    (joint,) = KIND.combine([members]) or []
    assert joint.scores["right"].sum() == 5


def test_the_results_name_a_cell_without_names_alone() -> None:
    unnamed = CellResult("x", "", lambda: cell("untuned", TRUTHS, TRUTHS).answers)
    assert results.flips([unnamed, unnamed]) == []
    assert SimpleNamespace(**vars(unnamed)).method == ""
