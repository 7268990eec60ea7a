"""A dot with its interval per cell, per model and prompt."""

from __future__ import annotations

from typing import Any

from paceline.report import wording
from paceline.report.page.charts import style
from paceline.report.read.sweep_results import Group

LABELS, RIGHT = 210, 24
MOST_LETTERS = 28
"""Of a prompt's name, that stand before the axis; the marks tell the whole name."""
ROW, GAP, MODEL, TOP, BOTTOM = 13, 9, 26, 8, 44
MOST_ROWS = 40
MOST_MARKS = 240
"""In one chart: of a sweep over many ranks and seeds a line has dozens, and more can't be distinguished."""


def chart(group: Group, metric: str) -> dict[str, Any] | None:
    """A dot with its interval per cell: one line per model and prompt, one mark per method."""
    rows = [(row, m) for row in group.rows if (m := group.metric(row, metric)) is not None and m.value is not None]
    if not rows:
        return None
    methods = list(dict.fromkeys(row.label for row, _ in sorted(rows, key=lambda r: bool(r[0].tuned))))
    tuned = [m for m in methods if any(row.label == m and row.tuned for row, _ in rows)]
    marked = style.styles(methods, [m for m in methods if m not in tuned])
    values = [float(v) for _, m in rows for v in (m.value, m.low, m.high) if v is not None]
    unit = rows[0][1].unit
    scale = style.scale(values, unit, LABELS, style.WIDTH - RIGHT, group.kind.metric(metric).log)
    # Rows of one model stand together, whatever the sweep's order.
    by_model: dict[str, dict[str, list[Any]]] = {}
    for row, m in rows:
        by_model.setdefault(row.model, {}).setdefault(row.prompt, []).append((row, m))
    total = sum(len(prompts) for prompts in by_model.values())
    y, drawn, room = TOP, 0, MOST_MARKS
    models, lines = [], []
    for model, prompts in by_model.items():
        if drawn >= MOST_ROWS or room <= 0:
            break
        models.append({"y": y + MODEL - 9, "name": model})
        y += MODEL
        for prompt, members in prompts.items():
            if drawn >= MOST_ROWS or room <= 0:
                break
            room -= len(members)
            marks = []
            for k, (row, m) in enumerate(members):
                colour, shape = marked[row.label]
                low, high = (m.low, m.high) if m.low is not None and m.high is not None else (m.value, m.value)
                shown = f"{wording.with_interval(m)} {wording.unit_name(unit)}, n = {m.n:,}"
                title = f"{model} · {prompt} · {row.label}: {shown}"
                place = {"y": y + 6 + k * ROW, "x": scale(m.value), "low": scale(low), "high": scale(high)}
                marks.append({**place, "colour": colour, "shape": shape, "told": title, "row": row})
            height = ROW * len(members)
            lines.append({"y": y, "height": height, "middle": y + height / 2 + 4, "name": _cut(prompt), "marks": marks})
            y += height + GAP
            drawn += 1
    legend = [{"name": m, "colour": marked[m][0], "shape": marked[m][1]} for m in methods]
    axis = f"{group.heading(metric)}, {wording.unit_name(unit)}" if unit else group.heading(metric)
    return {
        "title": group.heading(metric),
        "metric": metric,
        "axis": axis + (" (logarithmic)" if scale.log else ""),
        "better": "lower is better" if group.lower_is_better(metric) else "higher is better",
        "width": style.WIDTH,
        "labels": LABELS - 8,
        "height": y + BOTTOM,
        "left": LABELS,
        "right": style.WIDTH - RIGHT,
        "bottom": y,
        "models": models,
        "lines": lines,
        "ticks": scale.ticks(unit),
        "legend": legend,
        "left_out": total - drawn,
    }


def _cut(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"
