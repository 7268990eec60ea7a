"""The captions of ``captioning``; the land-cover words of a scene's pictures are those of ``multi_label``'s tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.satellite_captioning.score import COVER
from populations import captioning, multi_label

METRICS = tuple(metric.name for metric in COVER)
"""The others are those of ``captioning``, computed by the same functions."""


def draw(rng: np.random.Generator, groups: int) -> Answers:
    """Captions of so many scenes; as words count alone, every picture of a tile has one caption that is not drawn."""
    tiles = multi_label.draw(rng, groups)
    n = len(tiles.samples)
    text = ("a river", ("a river",) * captioning.REFERENCES)
    columns = {**tiles.columns, "caption": (text[0],) * n, "references": (text[1],) * n, "invented": ((),) * n}
    empty = dict.fromkeys(("rouge_l", "words", "invents_name", "invents_number", "invented"), np.zeros(n))
    return replace(tiles, scores=empty, columns={**columns, "ranked": ({},) * n})
