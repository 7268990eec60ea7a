"""Which chunks of a document are nearest to a question: by the cosine of their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

DECIMALS = 3
"""Of a cosine: more would differ from machine to machine."""


def ranked(questions: np.ndarray, chunks: np.ndarray, most: int, scale: int) -> list[list[tuple[int, float]]]:
    """Of each question its nearest chunks, the nearest first; of equal ones the first of the document.

    Args:
        questions: int16 [questions, width].
        chunks: int16 [chunks, width].
        most: how many are given.
        scale: length of a vector.

    Returns:
        Places of chunks, each with the cosine, rounded.
    """
    import numpy as np

    products = questions.astype(np.int64) @ chunks.astype(np.int64).T
    return [
        [(int(n), round(float(row[n]) / scale**2, DECIMALS)) for n in np.argsort(-row, kind="stable")[:most]]
        for row in products
    ]


def fitting(questions: np.ndarray, chunks: np.ndarray, top: int, lengths: Sequence[int], most: int) -> list[list[int]]:
    """Of each question the places of its chunks where all are shown together and there is room for so many characters.

    The nearest chunks of all questions come first, then the second nearest, each rank in the order of its cosines; what
    does not fit is left out, save the very first. A question of which nothing is left has the nearest of those that
    others have.

    Args:
        questions: int16 [questions, width].
        chunks: int16 [chunks, width].
        top: chunks of a question, where there is room.
        lengths: characters of each chunk.
        most: characters of all together.
    """
    import numpy as np

    products = questions.astype(np.int64) @ chunks.astype(np.int64).T
    order = np.argsort(-products, axis=1, kind="stable")
    kept: dict[int, None] = {}
    room = most
    for rank in range(min(top, len(lengths))):
        for number in np.argsort(-products[np.arange(len(order)), order[:, rank]], kind="stable"):
            place = int(order[number, rank])
            if place not in kept and (lengths[place] <= room or not kept):
                kept[place] = None
                room -= lengths[place]
    found = []
    for row in order:
        own = [int(place) for place in row[:top] if int(place) in kept]
        found.append(own or [next(int(place) for place in row if int(place) in kept)])
    return found
