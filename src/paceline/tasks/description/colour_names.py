"""Colours by name: the main colours of a picture, from its pixels, and those that an answer names.

Both have the eleven basic colour terms. ``colours.yaml`` holds the words of each, and the points that stand for it in
colour space, so a word that is read as a term and a pixel of the colour that the word names agree.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from paceline.tasks.description.lexicon import Lexicon, words

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

MAIN = 0.1
"""Share of the pixels from which a colour is one of the main ones."""
KEPT = 0.01
"""Share of the pixels from which a colour is kept at all."""
SIDE = 256
"""Pixels of the longer side that are looked at, taken at even steps: colours are not mixed."""
BITS = 5
"""Of each channel that are looked at, so that a decoder's last bit seldom matters."""


@functools.cache
def _listed() -> dict[str, dict[str, str | None]]:
    return dict(yaml.safe_load(Path(__file__).with_name("colours.yaml").read_text(encoding="utf-8")))


@functools.cache
def terms() -> tuple[str, ...]:
    """The basic colour terms."""
    return tuple(_listed())


# -- in an answer

_ISH = "ish"


@functools.cache
def _lexicon() -> Lexicon:
    meanings = {word: term for term, listed in _listed().items() for word in listed}
    several = {f"{word}s": term for word, term in meanings.items() if word in _listed()}  # "blues and greens"
    # "A bluish green" is a green. What is no colour: the sky, the grass, the sand, unless it is said of one.
    tinted = {f"{word} {other}": meanings[other] for word in meanings if word.endswith(_ISH) for other in meanings}
    things = ("sky", "snow", "sand", "grass", "forest", "pine", "cherry", "lemon", "royal", "brick", "coffee",
              "slate", "ash", "smoke", "straw", "steel", "powder", "jet", "pearl", "copper", "wooden", "walnut",
              "chestnut", "camel", "moss", "pumpkin", "denim", "chocolate")  # fmt: skip
    said_of = {f"{word} {other}": meanings[other] for word in things for other in _listed()}
    bare = {word: term for word, term in meanings.items() if word not in things}
    return Lexicon({**bare, **several, **tinted, **said_of})


def named(text: str) -> list[str]:
    """The basic terms that a text names, each once, in its order; "no red" names none."""
    return list(dict.fromkeys(one.meaning for one in _lexicon().named(text) if not one.denied))


def term_of(name: str) -> str:
    """The basic term that a name of the data means; empty where it means none."""
    found = named(name)
    return found[0] if len(found) == 1 else next((t for t, w in _listed().items() if " ".join(words(name)) in w), "")


# -- in a picture


def shares(images: Sequence[Image.Image]) -> dict[str, float]:
    """The colours of some pictures, the largest share first, to two decimals; those below ``KEPT`` are left out.

    Args:
        images: RGB, of any size; each counts alike.
    """
    import numpy as np

    total = np.zeros(len(terms()))
    for image in images:
        step = max(1, -(-max(image.size) // SIDE))
        pixels = np.asarray(image)[step // 2 :: step, step // 2 :: step] if min(image.size) > step else image
        levels = np.asarray(pixels, dtype=np.uint8).reshape(-1, 3).astype(np.int64) >> (8 - BITS)
        flat = (levels[:, 0] << 2 * BITS) | (levels[:, 1] << BITS) | levels[:, 2]
        counts = np.bincount(_nearest()[flat], minlength=len(terms()))
        total += counts / counts.sum()
    mean = total / max(1, len(images))
    order = sorted(range(len(mean)), key=lambda i: (-round(float(mean[i]), 2), terms()[i]))
    return {terms()[i]: round(float(mean[i]), 2) for i in order if mean[i] >= KEPT}


def main_colours(of: Mapping[str, float]) -> list[str]:
    """The main colours: those of a tenth of the pixels or more, and always the largest; the largest first."""
    order = sorted(of, key=lambda term: -of[term])
    return [term for n, term in enumerate(order) if n == 0 or of[term] >= MAIN]


@functools.cache
def _nearest() -> np.ndarray:
    """The term's number of each colour of ``BITS`` bits a channel, int64 (2^(3·BITS),)."""
    import numpy as np

    points = [
        (number, [int(value[i : i + 2], 16) for i in (0, 2, 4)])
        for number, listed in enumerate(_listed().values())
        for value in listed.values()
        if value
    ]
    of_point = np.array([number for number, _ in points])
    known = lab(np.array([rgb for _, rgb in points], dtype=np.float64))
    level = (np.arange(1 << BITS) + 0.5) * (1 << (8 - BITS)) - 0.5
    level[0], level[-1] = 0, 255  # so that black and white are themselves
    red, green, blue = np.meshgrid(level, level, level, indexing="ij")
    colours = lab(np.stack([red, green, blue], axis=-1).reshape(-1, 3))
    nearest = np.empty(len(colours), dtype=np.int64)
    for begin in range(0, len(colours), 4096):
        block = colours[begin : begin + 4096]
        offsets = ((block[:, None, :] - known[None]) ** 2).sum(axis=-1)
        nearest[begin : begin + 4096] = of_point[offsets.argmin(axis=1)]
    return nearest


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB of sRGB, D65 (IEC 61966-2-1, CIE 15).

    Args:
        rgb: float64 (n, 3), 0 to 255.

    Returns:
        float64 (n, 3): lightness 0 to 100, green to red, blue to yellow.
    """
    import numpy as np

    c = rgb / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
