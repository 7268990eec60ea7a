"""Pictures with three references each, of which one to five show one scene: the model knows its thing well or not.

Things are as unequally frequent as real ones. Some captions say a place or a number that no reference has, in some
scenes more often than in others; some answers are not read.
"""

from __future__ import annotations

import functools

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.captioning.caption_tokens import tokens
from paceline.tasks.captioning.overlap import rouge_l
from paceline.tasks.captioning.score import METRICS as SCORED

METRICS = tuple(metric.name for metric in SCORED)
THINGS = 120
OFTEN = (1 / np.arange(1, THINGS + 1)) / (1 / np.arange(1, THINGS + 1)).sum()
COLOURS = ("red", "blue", "old", "small", "wooden", "wet")
PLACES = ("the street", "a beach", "a table", "the grass")
NAMES, NUMBERS = (" at Wembley", " in Paris", " of Team Sky"), (" with number 23", " in 2014")
REFERENCES = 3


def draw(rng: np.random.Generator, groups: int) -> Answers:
    """Answers about the pictures of so many scenes."""
    sizes = rng.integers(1, 6, groups)
    scene = np.repeat(np.arange(groups), sizes)
    n = len(scene)
    # A scene's thing, place and how well the model knows it; a picture's colour.
    thing, place = rng.choice(THINGS, groups, p=OFTEN)[scene], rng.integers(0, len(PLACES), groups)[scene]
    known = rng.beta(2, 1, groups)[scene]
    colour = rng.integers(0, len(COLOURS), n)
    references = [_texts(rng, thing, colour, place, np.full(n, 0.85)) for _ in range(REFERENCES)]
    captions = _texts(rng, thing, colour, place, known)
    names = rng.random(n) < rng.beta(1, 4, groups)[scene]
    numbers = rng.random(n) < rng.beta(1, 9, groups)[scene]
    which = rng.integers(0, 6, n)
    read = rng.random(n) > 0.05
    for i in range(n):
        captions[i] += NAMES[which[i] % len(NAMES)] if names[i] else ""
        captions[i] = captions[i] + (NUMBERS[which[i] % len(NUMBERS)] if numbers[i] else "") if read[i] else ""
    pairs = list(zip(captions, zip(*references, strict=True), strict=True))

    def over_read(values: np.ndarray) -> np.ndarray:
        return np.where(read, values.astype(float), np.nan)

    return Answers(
        samples=tuple(map(str, range(n))),
        outcomes=tuple("parsed" if one else "refused" if i % 2 else "malformed" for i, one in enumerate(read)),
        scores={
            "rouge_l": np.array([_rouge(*pair) for pair in pairs]),
            "words": over_read(np.array([len(text.split()) for text in captions])),
            "invents_name": over_read(names),
            "invents_number": over_read(numbers),
            "invented": over_read(names.astype(int) + numbers),
        },
        columns={
            "caption": tuple(captions),
            "references": tuple(texts for _, texts in pairs),
            "invented": ((),) * n,
        },
        group_names=tuple(map(str, scene)),
    )


WORDS = 8000
LONG_REFERENCES = 5
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


def long(rng: np.random.Generator, samples: int) -> Answers:
    """Different captions of 8 to 15 words with five references each, one to five to a scene: as many as real ones."""
    letter = 1 / np.arange(1, len(LETTERS) + 1)
    spelt = rng.choice(list(LETTERS), (WORDS, 9), p=letter / letter.sum())
    words = ["".join(row[:size]) for row, size in zip(spelt, rng.integers(2, 10, WORDS), strict=True)]
    often = 1 / np.arange(1, WORDS + 1)
    shown = rng.choice(WORDS, (samples, 15), p=often / often.sum())

    def text(picture: np.ndarray) -> str:
        said = np.where(rng.random(15) < 0.4, picture, rng.choice(WORDS, 15, p=often / often.sum()))
        return " ".join(words[i] for i in said[: rng.integers(8, 16)]).capitalize() + "."

    scores = ("rouge_l", "words", "invents_name", "invents_number", "invented")
    return Answers(
        samples=tuple(map(str, range(samples))),
        outcomes=("parsed",) * samples,
        scores={name: rng.integers(0, 2, samples).astype(float) for name in scores},
        columns={
            "caption": tuple(text(picture) for picture in shown),
            "references": tuple(tuple(text(picture) for _ in range(LONG_REFERENCES)) for picture in shown),
            "invented": ((),) * samples,
        },
        group_names=tuple(map(str, np.repeat(np.arange(samples), rng.integers(1, 6, samples))[:samples])),
    )


def _texts(
    rng: np.random.Generator, thing: np.ndarray, colour: np.ndarray, place: np.ndarray, right: np.ndarray
) -> list[str]:
    n = len(thing)
    said = np.where(rng.random(n) < right, thing, rng.choice(THINGS, n, p=OFTEN))
    shade = np.where(rng.random(n) < right, colour, rng.integers(0, len(COLOURS), n))
    long = rng.random(n) < 0.6
    return [
        f"A {COLOURS[c]} thing{t}" + (f" on {PLACES[p]}" if more else "") + "."
        for c, t, p, more in zip(shade, said, place, long, strict=True)
    ]


@functools.lru_cache(maxsize=1 << 16)
def _rouge(caption: str, references: tuple[str, ...]) -> float:
    return rouge_l(tokens(caption), [tokens(text) for text in references])
