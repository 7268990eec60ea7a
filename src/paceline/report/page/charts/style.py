"""What the charts share: colours, shapes, and scales from values to pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from paceline.report import wording

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's (2008, Color Universal Design), without black and the yellow that white paper swallows."""
UNTUNED = "#767676"
SHAPES = ("circle", "square", "diamond", "triangle")
DASHES = ("", "7 3", "2 3")
WIDTH = 960


@dataclass(frozen=True)
class Scale:
    """Values to pixels between ``left`` and ``right``: logarithmic or linear."""

    low: float
    high: float
    log: bool
    left: float
    right: float

    def __call__(self, value: float) -> float:
        """The pixel of a value, kept inside the plot."""
        value = min(max(value, self.low), self.high)
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return round(self.left + (self.right - self.left) * (at - low) / ((high - low) or 1), 1)

    def values(self) -> list[float]:
        """Round values inside the plot."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(decades) <= 2 else (1, 3) if len(decades) <= 4 else (1,)
            candidates = [m * 10.0**d for d in decades for m in steps]
        else:
            step = round_step((self.high - self.low) / 5)
            candidates = [i * step for i in range(math.floor(self.low / step), math.ceil(self.high / step) + 1)]
        return [t for t in candidates if self.low * 0.999 <= t <= self.high * 1.001]

    def ticks(self, unit: str = "") -> list[dict[str, object]]:
        """Where the axis is marked, and with what."""
        return [{"x": self(t), "text": tick(t, unit)} for t in self.values()]


def round_step(rough: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)


def tick(value: float, unit: str) -> str:
    """A mark of an axis: as a number of its unit, or as short as it is exact."""
    return wording.number(value, unit).removesuffix(".0") if unit else f"{value:,.10g}"


def scale(values: Sequence[float], unit: str, left: float, right: float, log: bool = False) -> Scale:
    """A scale that holds the values: logarithmic where that is asked for and none is 0, for shares from 0."""
    if log and min(values) > 0:
        return log_scale(values, left, right)
    top = max(*values, 1e-9) if any(values) else 1.0  # an axis from 0 to 0 tells nothing
    step = round_step(top / 5)
    high = step * math.ceil(top / step * 1.0001)
    return Scale(min(0.0, *values), min(high, 1.0) if unit == "share" else high, False, left, right)


def log_scale(values: Sequence[float], left: float, right: float) -> Scale:
    """A logarithmic scale from and to whole thirds of a decade, so that no mark sits on the frame."""
    low, high = min(values), max(values)
    ends = 10 ** (math.floor(3 * math.log10(low * 0.97)) / 3), 10 ** (math.ceil(3 * math.log10(high * 1.03)) / 3)
    return Scale(*ends, True, left, right)


def styles(names: Sequence[str], plain: Sequence[str] = ()) -> dict[str, tuple[str, str]]:
    """Name -> its colour and its shape; those that are plain are grey rings."""
    coloured = [name for name in names if name not in plain]
    styled = {
        n: (COLOURS[i % len(COLOURS)], SHAPES[(i + i // len(COLOURS)) % len(SHAPES)]) for i, n in enumerate(coloured)
    }
    return {name: styled.get(name, (UNTUNED, "ring")) for name in names}
