"""Refused, unread, partly right, wrong and right answers are all answers, in each kind and whatever models wrote."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline import tasks
from paceline.config.schema import Config, PromptSpec, TaskSpec
from paceline.scoring import judge
from paceline.tasks.failure_kinds import FAILURE

FOLDER = Path(__file__).parent / "labelled_answers"
LABELS = ["Forest", "Highway", "Pasture", "River", "SeaLake"]
PLACES = ["Eiffel Tower", "Notre-Dame de Paris", "Sagrada Família", "Cologne Cathedral"]
DAMAGE = ["no-damage", "minor-damage", "major-damage", "destroyed"]
BASE = ("accuracy", "wrong_share", "refused_share", "malformed_share")


def of_tile(n: int) -> dict[str, Any]:
    given_ = [("presence", "yes"), ("rural_urban", "rural"), ("count", "3"), ("area", "500m2")][n % 4]
    return tasks.load("satellite_vqa").complete({"question": "What is it?", "type": given_[0], "answer": given_[1]})


SAMPLES = {
    "counting": lambda n: {"question": "How many buildings are there?", "count": n, "count_medians": {"train": 2.0}},
    "satellite_vqa": of_tile,
    "multi_label": lambda n: {"labels": LABELS[n % 5 : n % 5 + 1 + n % 3], "classes": LABELS},
    "classification": lambda n: {"label": LABELS[n % 5], "labels": LABELS},
    "landmark": lambda n: {"name": PLACES[n % 4], "category": "church", "choices": PLACES, "question": "Which?"},
    "localisation": lambda n: {
        "phrase": "the ship",
        "boxes": [[64, 48, 320 + n, 240]],
        "several": False,
        "width": 640,
        "height": 480,
    },
    "change_detection": lambda n: {"counts": dict(zip(DAMAGE, (n, n % 2, 0, n % 3), strict=True)), "classes": DAMAGE},
    "failure_judge": lambda n: {"failure": list(FAILURE.choices)[n % 7] if n % 2 else None},
}
PARTS = {
    "multi_label": ("exact_match", "partly_share", "wrong_share", "refused_share", "malformed_share"),
    "localisation": ("precision_50", *BASE[1:], "out_of_range_share", "echoed_share"),
    "failure_judge": (*(f"{name}_share" for name in FAILURE.choices), *BASE[2:]),
}
PROMPTS = {
    "counting": "{question}",
    "satellite_vqa": "{question}",
    "multi_label": "Which? {classes}",
    "classification": "Which?\n{choices}",
    "landmark": "{question}\n{choices}",
    "localisation": "Where is {phrase}?",
    "change_detection": "How many of each: {classes}?",
    "failure_judge": "{failures}",
}


def texts_of(kind: str) -> list[str]:
    return [json.loads(line)["text"] for line in (FOLDER / f"{kind}.jsonl").read_text("utf-8").splitlines()]


def metrics_of(kind: str, answers: list[tuple[int, str]], sha256: str = "x") -> dict[str, Any]:
    config = Config(
        task=TaskSpec(name="t", kind=kind, evaluate=["test"]), prompt=PromptSpec(name="p", text=PROMPTS[kind])
    )
    samples = [
        {"id": f"s{i}", "split": "test", "sha256": f"{sha256}{i % 3}", **SAMPLES[kind](n)}
        for i, (n, _) in enumerate(answers)
    ]
    found = [{"sample": f"s{i}", "text": text} for i, (_, text) in enumerate(answers)]
    return judge.judge(config, found, samples)[1]["metrics"]


@pytest.mark.parametrize("kind", SAMPLES)
@given(st.data())
@settings(max_examples=5, deadline=None)
def test_the_shares_of_what_became_of_answers_are_the_whole(kind: str, data: st.DataObject) -> None:
    texts = st.sampled_from(texts_of(kind)) | st.text(max_size=20)
    answers = data.draw(st.lists(st.tuples(st.integers(0, 30), texts), min_size=1, max_size=15))
    found = metrics_of(kind, answers)
    shares = PARTS.get(kind, BASE)
    assert math.fsum(found[name]["value"] for name in shares) == pytest.approx(1)
    for one in found.values():
        ends = [one[key] for key in ("low", "value", "high") if one.get(key) is not None]
        assert all(map(math.isfinite, ends))
        assert one["n"] <= len(answers) or one["value"] is None


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("often", [1, 25])
def test_where_nothing_was_read_figures_are_none_or_finite(kind: str, often: int) -> None:
    found = metrics_of(kind, [(n, ("", "I'm sorry, I can't help with that.")[n % 2]) for n in range(often)])
    shares = PARTS.get(kind, BASE)
    assert sum(found[name]["value"] for name in ("refused_share", "malformed_share")) == pytest.approx(1)
    assert all(found[name]["value"] == 0 for name in shares[: len(shares) - 2] if "share" not in name)
    assert all(one["value"] is None or math.isfinite(one["value"]) for one in found.values())


@pytest.mark.parametrize("kind", SAMPLES)
def test_an_answer_given_many_times_has_the_figures_of_one(kind: str) -> None:
    for text in texts_of(kind)[7:8]:  # no letter, which is another choice in each sample
        one, many = metrics_of(kind, [(3, text)]), metrics_of(kind, [(3, text)] * 30)
        assert {name: f["value"] for name, f in many.items()} == pytest.approx(
            {name: f["value"] for name, f in one.items()}
        )


def test_a_count_of_a_billion_is_wrong_and_has_a_finite_error() -> None:
    found = metrics_of("counting", [(3, "1000000000"), (4, "4")])
    assert (found["accuracy"]["value"], found["mae_read"]["value"]) == (0.5, pytest.approx((10**9 - 3) / 2))
    assert metrics_of("counting", [(3, "10000000000000")])["malformed_share"]["value"] == 1
