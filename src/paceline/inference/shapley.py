"""Shapley values of the patches of an image: what each adds to a score, on average over the orders in which they come.

Of all ways to share out a score these alone sum to the whole, treat equals alike, give nothing to what changes nothing,
and add where scores add (Shapley 1953). They are estimated from orders drawn at random, each with its reverse (Castro,
Gómez and Tejada 2009, doi:10.1016/j.cor.2008.04.004; Mitchell et al. 2022, arXiv:2104.12199): every order's shares sum
to the whole, so their mean does. A model is only asked for scores of pictures; nothing is known of its inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

ORDERS = 16
"""Orders that are drawn, each with its reverse."""
PATCHES = 16
"""Patches of an image, about."""

Score = Callable[[Sequence[np.ndarray]], Sequence[float]]
"""For some sets of players, each (players,) of bool, what each set scores."""


@dataclass(frozen=True)
class Shares:
    """What each player adds.

    Attributes:
        values: (players,), which sum to ``whole - empty``.
        errors: (players,), the standard error of each over the drawn orders.
        whole, empty: scores with all players, and with none.
        scored: sets that were scored.
    """

    values: np.ndarray
    errors: np.ndarray
    whole: float
    empty: float
    scored: int


def shares(score: Score, players: int, seed: int, orders: int = ORDERS) -> Shares:
    """Shapley values by drawn orders.

    Args:
        score: what sets of players score; it must be a function of the set.
        players: how many there are, at least one.
        seed: of the orders.
        orders: orders drawn, each taken forward and backward.
    """
    stream = np.random.default_rng(seed)
    drawn = [stream.permutation(players) for _ in range(orders)]
    known: dict[bytes, float] = {}
    walks = [[_sets(order), _sets(order[::-1])] for order in drawn]
    wanted = {row.tobytes(): row for pair in walks for walk in pair for row in walk}
    known.update(zip(wanted, score(list(wanted.values())), strict=True))
    gains = np.zeros((orders, players))
    for at, (order, pair) in enumerate(zip(drawn, walks, strict=True)):
        for way, walk in zip((order, order[::-1]), pair, strict=True):
            scores = [known[row.tobytes()] for row in walk]
            gains[at, way] += np.diff(scores) / 2
    spread = gains.std(axis=0, ddof=1) / np.sqrt(orders) if orders > 1 else np.full(players, np.nan)
    whole, empty = (known[np.full(players, full).tobytes()] for full in (True, False))
    return Shares(gains.mean(axis=0), spread, whole, empty, len(known))


def _sets(order: np.ndarray) -> np.ndarray:
    """The sets on the way from none to all players, (players + 1, players) of bool."""
    present = np.zeros((len(order) + 1, len(order)), dtype=bool)
    for step, player in enumerate(order, 1):
        present[step] = present[step - 1]
        present[step, player] = True
    return present


def patches(width: int, height: int, most: int = PATCHES) -> np.ndarray:
    """Boxes of about so many patches, as square as can be, that fill an image: left, top, right, bottom in fractions.

    Args:
        width, height: in pixels. No patch is narrower than one.
        most: patches at most.

    Returns:
        (patches, 4), row by row.
    """
    grids = [(d, a) for d in range(1, min(most, height) + 1) for a in range(1, min(most // d, width) + 1)]
    # The squarest of those with the most patches, where twice as many count as much as an aspect of one to two.
    down, across = max(grids, key=lambda grid: np.log(grid[0] * grid[1]) - abs(_skew(width, height, grid)))
    y, x = np.linspace(0, 1, down + 1), np.linspace(0, 1, across + 1)
    return np.array([(x[i], y[j], x[i + 1], y[j + 1]) for j in range(down) for i in range(across)])


def _skew(width: int, height: int, grid: tuple[int, int]) -> float:
    """Logarithm of the aspect of a patch."""
    return float(np.log((width / grid[1]) / (height / grid[0])))


def without(image: Image.Image, boxes: np.ndarray, present: np.ndarray) -> Image.Image:
    """The image with its mean colour in the patches that are not present.

    Args:
        image: the picture, in RGB.
        boxes: (patches, 4) in fractions.
        present: (patches,) of bool.
    """
    pixels = np.asarray(image).copy()
    mean = pixels.reshape(-1, pixels.shape[-1]).mean(axis=0).round().astype(pixels.dtype)
    edges = np.round(boxes * [image.width, image.height, image.width, image.height]).astype(int)
    for left, top, right, bottom in edges[~present]:
        pixels[top:bottom, left:right] = mean
    return Image.fromarray(pixels)
