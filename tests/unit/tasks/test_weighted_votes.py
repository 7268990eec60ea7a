"""Voices with weights: what rounds of boosting answer together."""

from __future__ import annotations

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.labels import vote
from paceline.tasks.metrics import MALFORMED, PARSED


def member(*labels: str) -> Answers:
    outcomes = tuple(PARSED.name if label else MALFORMED.name for label in labels)
    scores = {"right": np.array([float(label == "a") for label in labels])}
    return Answers(("1", "2", "3"), outcomes, scores, {"label": labels, "class": ("a", "a", "a")})


MEMBERS = (member("a", "b", ""), member("b", "a", ""), member("b", "a", "a"))


def test_the_answer_whose_givers_weigh_most_wins() -> None:
    assert vote(MEMBERS, [3.0, 1.0, 1.0]).columns["label"] == ("a", "b", "a")
    assert vote(MEMBERS, [1.5, 1.0, 1.0]).columns["label"] == ("b", "a", "a")


def test_who_weighs_nothing_has_no_voice() -> None:
    assert vote(MEMBERS, [1.0, 0.0, 0.0]).columns["label"] == ("a", "b", "")


def test_equal_weights_are_a_vote_without() -> None:
    assert vote(MEMBERS, [2.0] * 3).columns["label"] == vote(MEMBERS).columns["label"]
