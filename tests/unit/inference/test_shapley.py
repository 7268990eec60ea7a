"""Shapley values are what their definition says, sum to the whole, and are the same each time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from paceline.inference.shapley import Score, patches, shares, without


def by_definition(score: Score, players: int) -> np.ndarray:
    """Shapley's sum over all sets that lack a player."""
    worth = dict(zip(every := [tuple(s) for s in itertools.product((False, True), repeat=players)],
                     score([np.array(s) for s in every]), strict=True))  # fmt: skip
    values = np.zeros(players)
    for own in range(players):
        for s in every:
            if not s[own]:
                weight = math.factorial(sum(s)) * math.factorial(players - sum(s) - 1) / math.factorial(players)
                values[own] += weight * (worth[(*s[:own], True, *s[own + 1 :])] - worth[s])
    return values


def game(seed: int, players: int) -> Score:
    """A score with pairs and triples that matter together."""
    stream = np.random.default_rng(seed)
    single, pair = stream.normal(size=players), stream.normal(size=(players, players))

    def score(sets: Sequence[np.ndarray]) -> list[float]:
        return [float(single @ s + s @ pair @ s + 3 * np.prod(s[:3])) for s in (x.astype(float) for x in sets)]

    return score


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), players=st.integers(1, 12), orders=st.integers(1, 6))
def test_the_values_sum_to_what_all_players_add(seed: int, players: int, orders: int) -> None:
    told = shares(game(seed, players), players, seed, orders)
    assert told.values.sum() == pytest.approx(told.whole - told.empty, abs=1e-9)
    again = shares(game(seed, players), players, seed, orders)
    assert np.array_equal(told.values, again.values)


@pytest.mark.parametrize("seed", range(3))
def test_many_orders_come_to_the_values_of_the_definition(seed: int) -> None:
    exact = by_definition(game(seed, 5), 5)
    told = shares(game(seed, 5), 5, seed, orders=400)
    assert np.allclose(told.values, exact, atol=5 * told.errors.max() + 1e-9)


def test_where_scores_add_one_order_is_exact() -> None:
    weights = np.array([3.0, -1.0, 0.0, 0.5])
    told = shares(lambda sets: [float(weights @ s) + 7 for s in sets], 4, 0, orders=1)
    assert told.values == pytest.approx(weights)
    assert told.empty == 7


def test_no_set_is_scored_twice() -> None:
    asked: list[bytes] = []

    def score(sets: Sequence[np.ndarray]) -> list[float]:
        asked.extend(s.tobytes() for s in sets)
        return [float(s.sum()) for s in sets]

    shares(score, 3, 0, orders=50)
    assert len(asked) == len(set(asked)) == 8


@settings(max_examples=80, deadline=None)
@given(width=st.integers(1, 5000), height=st.integers(1, 5000), most=st.integers(1, 64))
def test_patches_fill_the_image_once(width: int, height: int, most: int) -> None:
    boxes = patches(width, height, most)
    assert 1 <= len(boxes) <= most
    assert ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sum() == pytest.approx(1)
    edges = np.round(boxes * [width, height, width, height])
    assert (edges[:, 2] > edges[:, 0]).all()
    assert (edges[:, 3] > edges[:, 1]).all()


@pytest.mark.parametrize(("size", "grid"), [((64, 64), (4, 4)), ((200, 50), (2, 8)), ((50, 200), (8, 2))])
def test_patches_are_about_square(size: tuple[int, int], grid: tuple[int, int]) -> None:
    boxes = patches(*size)
    assert (len(set(boxes[:, 1])), len(set(boxes[:, 0]))) == grid


def test_what_is_absent_has_the_mean_colour_and_the_rest_stays() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 40, 3), dtype=np.uint8))
    boxes = patches(40, 20, 2)
    present = np.array([True, False])
    left, right = np.split(np.asarray(without(image, boxes, present)), 2, axis=1)
    before = np.asarray(image)
    assert np.array_equal(left, before[:, :20])
    assert (right == before.reshape(-1, 3).mean(axis=0).round()).all()
    assert np.array_equal(np.asarray(without(image, boxes, np.array([True, True]))), before)
