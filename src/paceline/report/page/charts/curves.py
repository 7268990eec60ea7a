"""Learning curves, a panel a model: the loss by optimiser step, and the validation loss beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paceline.report.analysis.training_curves import MOST_POINTS, Curve, thinned
from paceline.report.page.charts import style

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 290, 54, 14, 10, 40
MOST_NAMED = 6
MOST_GREY = 60
LOG_FROM = 5.0
"""A panel whose losses differ by this factor has a logarithmic axis."""


def charts(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """A panel for each model. Of many tunings those that came to the lowest loss are named; more stand in grey."""
    by_model: dict[str, list[Curve]] = {}
    for curve in curves:
        by_model.setdefault(curve.tuning.model, []).append(curve)
    return [_panel(model, members) for model, members in by_model.items()]


def _panel(model: str, members: list[Curve]) -> dict[str, Any]:
    best = sorted(members, key=lambda c: c.last)
    named = {c.tuning.id for c in best[:MOST_NAMED]}
    first = [c for c in members if c.tuning.id in named]
    grey = [c for c in best if c.tuning.id not in named][:MOST_GREY]
    drawn = [*first, *grey]
    steps = max(step for c in drawn for step, _ in (*c.loss, *c.validation))
    losses = [v for c in drawn for _, v in (*thinned(c.loss), *c.validation)]
    log = min(losses) > 0 and max(losses) / min(losses) >= LOG_FROM
    x = style.scale([float(steps)], "", LEFT, WIDTH - RIGHT)
    ends = HEIGHT - BOTTOM, TOP
    y = style.log_scale(losses, *ends) if log else style.scale(losses, "", *ends)
    names = [_name(c, members) for c in first]
    marked = style.styles(names)
    lines: list[dict[str, Any]] = []
    for curve in grey:
        line = {"d": _path(thinned(curve.loss), x, y), "colour": "#9aa4ab", "width": 0.6, "told": _name(curve, members)}
        lines.append({**line, "dashed": "", "points": [], "resumed": []})
    for curve, name in zip(first, names, strict=True):
        colour, shape = marked[name]
        points = [
            {"x": x(step), "y": y(loss), "told": f"{name}: validation {loss:.4g} at step {step:,}"}
            for step, loss in curve.validation
        ]
        title = f"{name}: {curve.last:.4g}" + (
            f"; resumed at step {', '.join(map(str, curve.resumed))}" if curve.resumed else ""
        )
        lines.append(
            {
                "d": _path(thinned(curve.loss), x, y),
                "dashed": _path(curve.validation, x, y) if len(curve.validation) > 1 else "",
                "points": points,
                "colour": colour,
                "shape": shape,
                "width": 1.5,
                "told": title,
                "resumed": [x(step) for step in curve.resumed],
            }
        )
    longest = max(len(c.loss) for c in drawn)
    return {
        "model": model,
        "width": WIDTH,
        "height": HEIGHT,
        "frame": (LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP),
        "x": x.ticks(),
        "y": [{"y": t["x"], "text": t["text"]} for t in y.ticks()],
        "axis": "loss" + (" (logarithmic)" if log else ""),
        "lines": lines,
        "legend": [{"name": n, "colour": c, "shape": s} for n, (c, s) in marked.items()],
        "validated": any(c.validation for c in first),
        "resumed": any(c.resumed for c in first),
        "grey": len(grey),
        "left_out": len(members) - len(drawn),
        "mean_of": -(-longest // MOST_POINTS),
    }


def _name(curve: Curve, members: Sequence[Curve]) -> str:
    tuning = curve.tuning
    prompts = {c.tuning.prompt for c in members}
    return f"{tuning.label} · {tuning.prompt}" if len(prompts) > 1 else tuning.label


def _path(points: Sequence[tuple[int, float]], x: style.Scale, y: style.Scale) -> str:
    return "M" + "L".join(f"{x(step):g} {y(value):g}" for step, value in points) if points else ""
