"""Geometry of the page's charts, in pixels; the templates draw it. Colours are Okabe and Ito's, told apart by all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paceline.report import wording
from paceline.report.results import Group, Report

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
UNTUNED = "#767676"
SHAPES = ("circle", "square", "diamond", "triangle")
OUTCOME_COLOURS = {
    "parsed": "#0072B2",
    "refused": "#E69F00",
    "malformed": "#D55E00",
    "out_of_range": "#CC79A7",
    "echoed": "#56B4E9",
}

WIDTH, LABELS, RIGHT = 960, 210, 24
ROW, GAP, MODEL, TOP, BOTTOM = 13, 9, 26, 8, 44
MOST_ROWS = 40
MOST_LINES = 150  # answers on a map
MAP_BUDGET = 24_000  # answers in the whole page
FEWEST_LINES = 30


@dataclass(frozen=True)
class Scale:
    """Values to pixels: logarithmic for distances, linear else."""

    low: float
    high: float
    log: bool

    def __call__(self, value: float) -> float:
        """The x of a value, kept inside the plot."""
        value = min(max(value, self.low), self.high)
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return round(LABELS + (WIDTH - LABELS - RIGHT) * (at - low) / ((high - low) or 1), 1)

    def ticks(self) -> list[float]:
        """Round values inside the plot."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 3) if len(decades) <= 4 else (1,)
            found = [m * 10.0**d for d in decades for m in steps]
        else:
            step = _round_step((self.high - self.low) / 5)
            found = [i * step for i in range(math.floor(self.low / step), math.ceil(self.high / step) + 1)]
        return [t for t in found if self.low * 0.999 <= t <= self.high * 1.001]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)


def _scale(values: Sequence[float], unit: str) -> Scale:
    if unit == "km" and min(values) > 0:
        low, high = min(values), max(values)
        # Whole thirds of a decade, so that no mark sits on the frame.
        return Scale(
            10 ** (math.floor(3 * math.log10(low * 0.97)) / 3), 10 ** (math.ceil(3 * math.log10(high * 1.03)) / 3), True
        )
    top = max(*values, 1e-9)
    step = _round_step(top / 5)
    high = step * math.ceil(top / step * 1.0001)
    return Scale(min(0.0, *values), min(high, 1.0) if unit == "share" else high, False)


def forest(group: Group, metric: str) -> dict[str, Any] | None:
    """A dot with its interval per cell: one line per model and prompt, one mark per method."""
    rows = [(row, m) for row in group.rows if (m := group.metric(row, metric)) is not None and m.value is not None]
    if not rows:
        return None
    methods = list(dict.fromkeys(row.label for row, _ in sorted(rows, key=lambda r: bool(r[0].tuned))))
    tuned = [m for m in methods if any(row.label == m and row.tuned for row, _ in rows)]
    style = {m: (COLOURS[i % len(COLOURS)], SHAPES[i % len(SHAPES)]) for i, m in enumerate(tuned)}
    values = [float(v) for _, m in rows for v in (m.value, m.low, m.high) if v is not None]
    unit = rows[0][1].unit
    scale = _scale(values, unit)
    # Rows of one model stand together, whatever the sweep's order.
    by_model: dict[str, dict[str, list[Any]]] = {}
    for row, m in rows:
        by_model.setdefault(row.model, {}).setdefault(row.prompt, []).append((row, m))
    y, drawn, total = TOP, 0, sum(len(prompts) for prompts in by_model.values())
    models, lines = [], []
    for model, prompts in by_model.items():
        if drawn >= MOST_ROWS:
            break
        models.append({"y": y + MODEL - 9, "name": model})
        y += MODEL
        for prompt, members in prompts.items():
            if drawn >= MOST_ROWS:
                break
            marks = []
            for k, (row, m) in enumerate(members):
                colour, shape = style.get(row.label, (UNTUNED, "ring"))
                low, high = (m.low, m.high) if m.low is not None and m.high is not None else (m.value, m.value)
                shown = f"{wording.with_interval(m)} {wording.unit_name(unit)}, n = {m.n:,}"
                told = f"{model} · {prompt} · {row.label}: {shown}"
                place = {"y": y + 6 + k * ROW, "x": scale(m.value), "low": scale(low), "high": scale(high)}
                marks.append({**place, "colour": colour, "shape": shape, "told": told})
            height = ROW * len(members)
            lines.append({"y": y, "height": height, "middle": y + height / 2 + 4, "name": prompt, "marks": marks})
            y += height + GAP
            drawn += 1
    ticks = [{"x": scale(t), "text": wording.number(t, unit).removesuffix(".0")} for t in scale.ticks()]
    legend = [
        {"name": m, "colour": style.get(m, (UNTUNED, ""))[0], "shape": style.get(m, ("", "ring"))[1]} for m in methods
    ]
    axis = f"{wording.title(metric)}, {wording.unit_name(unit)}" if unit else wording.title(metric)
    return {
        "title": wording.title(metric),
        "metric": metric,
        "axis": axis + (" (logarithmic)" if scale.log else ""),
        "better": "lower is better" if metric in group.lower_is_better else "higher is better",
        "width": WIDTH,
        "height": y + BOTTOM,
        "left": LABELS,
        "right": WIDTH - RIGHT,
        "bottom": y,
        "models": models,
        "lines": lines,
        "ticks": ticks,
        "legend": legend,
        "left_out": total - drawn,
    }


def outcomes(report: Report, group: Group) -> list[dict[str, Any]]:
    """Counts of every outcome per cell, as parts of a bar 100 wide."""
    found = []
    for row in group.rows:
        answers = report.chosen(row, group.split)
        n = len(answers.outcomes)
        if not n:
            continue
        x, parts = 0.0, []
        for name, colour in OUTCOME_COLOURS.items():
            count = answers.outcomes.count(name)
            width = 100 * count / n
            parts.append({"name": name, "count": count, "x": round(x, 2), "width": round(width, 2), "colour": colour})
            x += width
        found.append({"row": row, "parts": parts, "n": n})
    return found


def maps(report: Report) -> tuple[list[dict[str, Any]], int]:
    """Truth and answer of every cell and split that has places, and the number of views left out.

    Each line is ``[lat, lon, lat, lon, km]`` from truth to answer. Of many, some are
    kept, spread evenly over the data's order.
    """
    views = [(g, row) for g in report.groups for row in g.rows if report.chosen(row, g.split).has_places]
    kept = views[: MAP_BUDGET // FEWEST_LINES]
    most = max(FEWEST_LINES, min(MOST_LINES, MAP_BUDGET // max(1, len(kept))))
    best = {(g.title, *(row.id for row in g.rank("median_km")[:1])) for g in report.groups}
    found = []
    for group, row in kept:
        answers = report.chosen(row, group.split)
        km = answers.scores["distance_km"]
        read = np.flatnonzero(np.isfinite(km) & np.isfinite(answers.value).all(axis=1))
        picked = read if len(read) <= most else read[np.linspace(0, len(read) - 1, most).astype(int)]
        lines = [
            [*(round(float(v), 2) for v in (*answers.truth[i], *answers.value[i])), round(float(km[i]), 1)]
            for i in picked
        ]
        view = {"group": group.title, "name": f"{row.model} · {row.prompt} · {row.label}", "lines": lines}
        found.append({**view, "n": len(km), "read": len(read), "best": (group.title, row.id) in best})
    return found, len(views) - len(kept)
