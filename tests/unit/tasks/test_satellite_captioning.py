"""Captions of pictures from above: which land-cover words are found and claimed, beside captioning's own figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline import tasks
from paceline.config.schema import Config, PromptSpec, TaskSpec
from paceline.scoring import judge
from paceline.tasks.multi_label import score as several
from paceline.tasks.multi_label.score import table
from paceline.tasks.panels import CellResult, Results, Table
from paceline.tasks.satellite_captioning import cover_words

KIND = tasks.load("satellite_captioning")
TASK = TaskSpec(name="tiles", kind="satellite_captioning", target="{reference}", evaluate=["test"])
PROMPT = PromptSpec(name="p", text="Describe it.")

FOUND = [
    ("Many green trees are around a pond.", ["tree", "lake"]),
    ("there is a piece of farmland .", ["arable land"]),
    ("Some planes are parked near a terminal in an airport.", ["airplane", "airport"]),
    ("A road and a freeway next to buildings", ["road", "building"]),
    ("two tennis courts are surrounded by trees", ["tennis court", "tree"]),
    ("There is no river, but a lake.", ["lake"]),
    ("A church, not a school.", ["church"]),
    ("A forest without houses", ["forest"]),
    ("A mixed forest beside coniferous forests", ["mixed forest", "coniferous forest"]),
    ("a square building with a white roof", ["building"]),
    ("a baseball field and a football field", ["baseball field", "playground"]),
    ("A satellite image of urban fabric; inland waters; and pastures.", ["residential area", "water", "pasture"]),
    ("land principally occupied by agriculture, with significant areas of natural vegetation", ["arable land"]),
    ("moors, heathland and sclerophyllous vegetation", ["heathland"]),
    ("There are 47 roads, 136 buildings and 1 water area.", ["road", "building", "water"]),
    ("Lots of ships are docked at the harbour.", ["ship", "harbor"]),
    ("the beaches of an island", ["beach", "island"]),
    ("A beautiful picture.", []),
    ("a water tower", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_words_are_found_with_their_synonyms_and_plurals_and_denied_ones_are_not(
    text: str, expected: list[str]
) -> None:
    assert list(cover_words.found(text)) == expected


def judged(pairs: list[tuple[str, list[str]]]) -> tuple[list[Any], dict[str, Any]]:
    samples = [{"id": str(n), "split": "test", "references": refs} for n, (_, refs) in enumerate(pairs)]
    records = [{"sample": str(n), "text": text} for n, (text, _) in enumerate(pairs)]
    scores, metrics = judge.judge(Config(task=TASK, prompt=PROMPT), records, samples)
    return scores, metrics["metrics"]


TEXTS = st.sampled_from([text for text, _ in FOUND if text])


@given(st.lists(st.tuples(TEXTS | st.just(""), st.lists(TEXTS, min_size=1, max_size=3)), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_precision_recall_and_f1_of_words_are_scikit_learns(pairs: list[tuple[str, list[str]]]) -> None:
    from sklearn.metrics import f1_score, precision_score, recall_score

    answers = KIND.answers(judged(pairs)[0])
    often = np.array([[1] * len(pairs), [n % 3 for n in range(1, len(pairs) + 1)]], dtype=float)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(several, "LEAST_OF_ALL", 0)
        found = KIND.get("resample")(answers, often)
    true = [{word for text in refs for word in cover_words.found(text)} for _, refs in pairs]
    said = [set(cover_words.found(text)) for text, _ in pairs]
    y, z = (table(column, cover_words.words()) for column in (true, said))
    for row, weights in enumerate(often):
        for name, of in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
            expected = of(y, z, average="micro", zero_division=0, sample_weight=weights)
            assert found[f"cover_{name}"][row] == pytest.approx(expected)


def test_captionings_figures_are_those_of_captioning() -> None:
    pairs = [("a lake and a road", ["A lake beside a road."]), ("a church", ["A school."]), ("", ["A park."])]
    scores, found = judged(pairs)
    plain = Config(task=TaskSpec(name="t", kind="captioning", target="{reference}"), prompt=PROMPT)
    samples = [{"id": str(n), "split": "test", "references": refs} for n, (_, refs) in enumerate(pairs)]
    records = [{"sample": str(n), "text": text} for n, (text, _) in enumerate(pairs)]
    _, metrics = judge.judge(plain, records, samples)
    assert {name: found[name] for name in metrics["metrics"]} == metrics["metrics"]
    assert found["cover_precision"]["value"] == pytest.approx(2 / 3)
    assert found["cover_recall"]["value"] == pytest.approx(2 / 4)
    assert sum(found[f"{name}_share"]["value"] for name in ("parsed", "refused", "malformed")) == pytest.approx(1)
    assert scores[0]["outcome"] == "parsed"


def test_each_word_is_shown_with_how_often_it_is_there_and_claimed() -> None:
    scores, _ = judged([("a lake and a road", ["A lake."]), ("a river", ["A lake."])])
    cell = CellResult("m", "m", lambda: KIND.answers(scores))
    panels = {
        panel.key: panel for panel in KIND.panels(Results(TASK, "test", [cell], [cell], None, {}, lambda m: ["m"]))
    }
    assert {"captions", "variety", "cover"} == set(panels)
    words = panels["cover"]
    assert isinstance(words, Table)
    rows = {row[0]: row for row in words.rows}
    assert rows["lake"][1:3] == (2, 1)
    assert rows["lake"][-1] == "river (1×)"
    assert [c.heading for c in words.columns][:3] == ["word", "in references", "claimed"]


def test_no_word_means_two_things() -> None:
    listed = cover_words._listed()
    phrases = [phrase for name, more in listed["words"].items() for phrase in (name, *more)]
    assert len(phrases) == len(set(phrases))
    assert not set(phrases) & set(listed["none"])
