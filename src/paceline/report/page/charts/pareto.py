"""Cost against score: a mark per cell, and the line of those that no other beats in both."""

from __future__ import annotations

from typing import Any

from paceline.report import wording
from paceline.report.analysis import cost
from paceline.report.page.charts import style
from paceline.report.read.sweep_results import Group, Report

HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 64, 24, 14, 44
MOST_TOLD = 400  # marks with a text of their own


def chart(report: Report, group: Group, tradeoff: cost.Tradeoff) -> dict[str, Any]:
    """The scatter with its Pareto front, whose cells are numbered and listed beside it."""
    rows = {row.id: row for row in group.rows}
    hours = [p.hours for p in tradeoff.points]
    x = style.log_scale(hours, LEFT, style.WIDTH - RIGHT)
    values = [p.value for p in tradeoff.points]
    y = style.scale(values, tradeoff.metric_unit, HEIGHT - BOTTOM, TOP, group.kind.metric(tradeoff.metric).log)
    # By method alone: a sweep over ranks and seeds has more variants than there are colours.
    methods = list(dict.fromkeys(rows[p.id].method for p in tradeoff.points))
    tuned = {rows[p.id].method for p in tradeoff.points if rows[p.id].tuned}
    methods.sort(key=lambda m: m in tuned)
    marked = style.styles(methods, [m for m in methods if m not in tuned])
    costs = cost.of_cells(report)
    front = sorted((p for p in tradeoff.points if p.front), key=lambda p: p.hours)
    numbers = {p.id: i for i, p in enumerate(front, 1)}
    marks, listed = [], []
    for p in sorted(tradeoff.points, key=lambda p: p.front):
        row = rows[p.id]
        colour, shape = marked[row.method]
        shown = f"{wording.number(p.value, tradeoff.metric_unit)} {wording.unit_name(tradeoff.metric_unit)}"
        title = f"{row.model} · {row.prompt} · {row.label}: {shown} for {wording.amount(p.hours)} {tradeoff.unit}"
        title = title if p.front or len(tradeoff.points) <= MOST_TOLD else ""
        marks.append(
            {"x": x(p.hours), "y": y(p.value), "colour": colour, "shape": shape, "told": title, "n": numbers.get(p.id)}
        )
    for p in front:
        listed.append({"n": numbers[p.id], "row": rows[p.id], "cost": costs[p.id], "hours": p.hours, "value": p.value})
    path = ""
    for p in front:
        path += f"M{x(p.hours):g} {y(p.value):g}" if not path else f"H{x(p.hours):g}V{y(p.value):g}"
    return {
        "metric": tradeoff.metric,
        "metric_unit": tradeoff.metric_unit,
        "unit": tradeoff.unit,
        "width": style.WIDTH,
        "height": HEIGHT,
        "frame": (LEFT, style.WIDTH - RIGHT, HEIGHT - BOTTOM, TOP),
        "x": x.ticks(),
        "y": [{"y": t["x"], "text": t["text"]} for t in y.ticks(tradeoff.metric_unit)],
        "x_axis": f"{tradeoff.unit} of tuning and answering, all attempts (logarithmic)",
        "y_axis": ", ".join(filter(None, (group.heading(tradeoff.metric), wording.unit_name(tradeoff.metric_unit))))
        + (" (logarithmic)" if y.log else ""),
        "better": "lower is better" if group.lower_is_better(tradeoff.metric) else "higher is better",
        "marks": marks,
        "front": path + (f"H{style.WIDTH - RIGHT}" if front else ""),
        "listed": listed,
        "priced": any(costs[p.id].usd is not None for p in tradeoff.points),
        "legend": [{"name": m, "colour": c, "shape": s} for m, (c, s) in marked.items()],
    }
