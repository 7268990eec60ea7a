"""Weights of training samples in rounds of boosting, held to an independent computation."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from paceline.data.drawn_again import drawn_by_weights
from paceline.scoring.boosting import loss_of, reweighted
from paceline.tasks.metrics import Metric


def freund_and_schapire(losses: np.ndarray) -> tuple[list[float], np.ndarray]:
    """AdaBoost.M1 as it is printed: w times beta ** (1 - loss), and log(1 / beta) as the say."""
    w, says = np.ones(losses.shape[1]), []
    for loss in losses:
        p = w / w.sum()
        error = float((p * loss).sum())
        beta = error / (1 - error)
        w = w * beta ** (1 - loss)
        says.append(math.log(1 / beta))
    return says, w / w.sum()


def drawn_losses(rounds: int, samples: int, wrong: float, seed: int) -> list[list[float]]:
    chance = random.Random(seed)
    return [[float(chance.random() < wrong) for _ in range(samples)] for _ in range(rounds)]


@pytest.mark.parametrize("seed", range(5))
def test_two_classes_have_the_weights_of_adaboost_m1(seed: int) -> None:
    losses = drawn_losses(3, 200, 0.2, seed)
    rounds, weights = reweighted(losses, 2)
    says, expected = freund_and_schapire(np.array(losses))
    assert [one.say for one in rounds] == pytest.approx(says)
    assert weights == pytest.approx(list(expected)) and math.fsum(weights) == pytest.approx(1)


@pytest.mark.parametrize("classes", [3, 10])
def test_more_classes_have_the_weights_of_samme(classes: int) -> None:
    losses = drawn_losses(2, 100, 0.55, 1)
    rounds, weights = reweighted(losses, classes)
    w = np.ones(100) / 100
    for loss, one in zip(np.array(losses), rounds, strict=True):
        error = (w * loss).sum() / w.sum()
        assert one.error == pytest.approx(error)
        assert one.say == pytest.approx(max(0.0, math.log((1 - error) / error) + math.log(classes - 1)))
        w = w * np.exp(one.say * loss)
    assert weights == pytest.approx(list(w / w.sum()))


def test_behind_a_round_half_of_the_weight_is_on_what_it_got_wrong() -> None:
    losses = drawn_losses(1, 50, 0.3, 2)
    weights = reweighted(losses, 2)[1]
    assert math.fsum(w for w, loss in zip(weights, losses[0], strict=True) if loss) == pytest.approx(0.5)


def test_a_round_no_better_than_chance_has_no_say_and_the_weights_begin_anew() -> None:
    good, bad = [1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]
    for losses, classes in (([good, bad], 2), ([[1.0] * 4], 10)):
        rounds, weights = reweighted(losses, classes)
        assert rounds[-1].say == 0 and weights == [0.25] * 4
    assert reweighted([bad], 10)[0][0].say > 0  # of ten classes a quarter right is better than chance


def test_a_round_without_an_error_has_a_finite_say_and_the_weights_begin_anew() -> None:
    rounds, weights = reweighted([[1.0, 0.0, 0.0, 0.0], [0.0] * 4], 2)
    assert weights == [0.25] * 4 and rounds[1].error == 0
    assert rounds[0].say < rounds[1].say == pytest.approx(math.log(7))  # half of four samples' one is wrong


def test_unread_answers_are_errors_and_those_without_a_truth_are_none() -> None:
    right, within = Metric("accuracy", score="right", hits=True), Metric("near", score="km", at_most=25)
    assert [loss_of({"outcome": "parsed", "scores": {"right": s}}, right) for s in (True, False, None)] == [0, 1, 0]
    assert loss_of({"outcome": "malformed", "scores": {"right": None}}, right) == 1
    assert [loss_of({"outcome": "parsed", "scores": {"km": s}}, within) for s in (25.0, 25.1)] == [0, 1]


def test_samples_are_drawn_as_often_as_their_weights_say_and_the_same_by_the_same_seed() -> None:
    samples = [{"id": str(n)} for n in range(400)]
    weights = {str(n): 3.0 if n < 100 else 1.0 for n in range(400)}
    drawn = drawn_by_weights(samples, weights, 0, 1)
    assert len(drawn) == 400 and drawn == drawn_by_weights(samples, weights, 0, 1)
    assert drawn != drawn_by_weights(samples, weights, 1, 1) and drawn != drawn_by_weights(samples, weights, 0, 2)
    assert sum(int(s["id"]) < 100 for s in drawn) == pytest.approx(200, abs=40)
