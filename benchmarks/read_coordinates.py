"""Time to read coordinates out of worst-case texts of doubling length.

A parser that backtracks takes four times as long for twice the text; this one should take about twice as long up to the
cut of 20,000 characters, and no longer beyond it. Run: python benchmarks/read_coordinates.py
"""

from __future__ import annotations

import time

from paceline.tasks.geolocation.coordinates import MAX_CHARACTERS, read_coordinates

LENGTHS = (2_500, 5_000, 10_000, 20_000, 40_000, 80_000)
REPEATS = 3
PATTERNS = {
    "digits": "7",
    "dotted": "1.",
    "open": "(",
    "brackets": "()[]{}",
    "spaces": " ",
    "newlines": "\n",
    "signs": "+-",
    "degrees": "°",
    "minutes": "4°4'",
    "quotes": "\"'",
    "letters": "N",
    "hemispheres": "1N ",
    "lat": "lat ",
    "lat lon": "lat lon ",
    "labelled": "lat 1.5 ",
    "commas": "4,5,",
    "decimal commas": "4,55; ",
    "numbers": "1.5 ",
    "pairs": "(1.5, 2.5) ",
    "ranges": "40-45 N ",
    "not": "not ",
    "compared": "unlike Rome (1.5, 2.5), ",
    "final": "final answer: ",
    "final pairs": "final answer: 1.5, 2.5 ",
    "tags": "<answer>",
    "refusals": "I can't tell ",
    "can't": "can't a a ",
    "backslashes": "\\",
    "boxed": "\\boxed{",
    "text": "\\text{",
    "dollars": "$1 ",
    "links": "https://maps.x/@1.5,2.5 ",
    "long link": "/@1.5,",
    "cjk": "北纬4度",
    "capitals": "Rome ",
    "arabic": "خط العرض ٣٠٫٥ ",
    "thai": "ละติจูด",
    "turkish": "enlem ve boylam ",
    "phrases": "est d'environ ",
    "stops": "с. ш. ",
    "misspelt": "lattitude 1.5 ",
    "long words": "längengrat ",
    "foreign letters": "48,8° K ",
    "small letters": "4.5 n, 7.5 w ",
    "list": "1. Rome (1.5, 2.5) 60%\n",
    "likelihoods": "60% ",
    "pairs and likelihoods": "(1.5, 2.5) 60% 7% ",
    "table": "| 1.5 | 2.5 |\n",
    "wide table": "| 1.5 ",
    "bounds": "lat min 1.5 ",
    "compared numbers": "1.5 < lat < 2.5, ",
    "labels in tags": "<lat>1.5</lat>",
    "cells": "<td>1.5</td>",
    "struck": "~~1.5, 2.5~~ ",
    "exponents": "1.5e1, ",
    "powers": "1.5 × 10^1 ",
    "corrected": "final answer: 1.5, 2.5. wait, ",
    "calls": "Point(1.5, 2.5) shapely ",
    "nulls": "lat: null, ",
    "prose": "latitude of the place that I see 1.5678 ",
    "names": "Rome Not ",
}


def seconds(text: str) -> float:
    """The best of a few runs, in seconds."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        read_coordinates(text)
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Print a table: milliseconds per length, and the largest ratio per doubling below and above the cut."""
    print(f"milliseconds by length; the text is cut at {MAX_CHARACTERS}")
    head = "".join(f"{n:>9}" for n in LENGTHS)
    print(f"{'pattern':<16}{head}{'below':>9}{'above':>9}")
    cut = LENGTHS.index(MAX_CHARACTERS)
    worst_below = worst_above = slowest = 0.0
    for name, pattern in PATTERNS.items():
        head = "https://maps.x" if name == "long link" else ""
        times = [seconds((head + pattern * (n // len(pattern) + 1))[:n]) for n in LENGTHS]
        # One doubling is noisy; the mean ratio over the doublings is what tells linear (2) from quadratic (4).
        below = (times[cut] / times[0]) ** (1 / cut)
        above = (times[-1] / times[cut]) ** (1 / (len(times) - 1 - cut))
        worst_below, worst_above = max(worst_below, below), max(worst_above, above)
        slowest = max(slowest, *times)
        row = "".join(f"{1000 * t:9.2f}" for t in times)
        print(f"{name:<16}{row}{below:9.2f}{above:9.2f}")
    print(f"\nlargest ratio per doubling: {worst_below:.2f} below the cut, {worst_above:.2f} above")
    print(f"slowest: {1000 * slowest:.0f} ms")


if __name__ == "__main__":
    main()
