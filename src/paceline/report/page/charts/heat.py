"""Tables whose cells are coloured by their number: model × prompt, and confusion matrices.

One hue, from light to dark: it holds its order for every kind of colour vision and in grey print, and the number stands
in the cell besides.
"""

from __future__ import annotations

import math
from typing import Any

from paceline.counted import counted
from paceline.report import wording
from paceline.report.analysis import differences
from paceline.report.read.sweep_results import Group, Report, Row
from paceline.tasks.panels import CellMatrix

# White to Okabe and Ito's blue and on to a dark one; lightness falls all the way.
STOPS = ((247, 251, 255), (158, 202, 225), (0, 114, 178), (8, 48, 107))
DARK = 0.6  # from here on white text has the better contrast
MOST_METHODS = 12
FEW = 3
MOST_ROWS = 40
MOST_COLUMNS = 16


def colour(share: float) -> tuple[str, bool]:
    """The colour of a share of the scale, and whether it is dark."""
    share = min(max(share, 0.0), 1.0)
    at = share * (len(STOPS) - 1)
    k = min(int(at), len(STOPS) - 2)
    mixed = [round(a + (b - a) * (at - k)) for a, b in zip(STOPS[k], STOPS[k + 1], strict=True)]
    return "#" + "".join(f"{v:02x}" for v in mixed), share >= DARK


def charts(report: Report, group: Group, metric: str) -> dict[str, Any] | None:
    """A map per method of one metric, all on one scale; None where no two cells stand side by side."""
    rows = [row for row in group.rows if group.metric(row, metric)]
    by_method: dict[str, list[Row]] = {}
    for row in rows:
        by_method.setdefault(row.label, []).append(row)
    if len({row.prompt for row in rows}) < 2 and len({row.model for row in rows}) < 2:
        return None
    places = {row.id: i for i, row in enumerate(group.rank(metric))}
    # Of many methods those with the best cells.
    best = sorted(by_method, key=lambda m: min(places.get(row.id, len(places)) for row in by_method[m]))[:MOST_METHODS]
    # A few stand below each other in sweep order; of more one is chosen, the best first.
    shown = best if len(best) > FEW else [label for label in by_method if label in best]
    values = [m.value for row in rows if (m := group.metric(row, metric)) and m.value is not None]
    low, high = min(values), max(values)
    scale = _scale(low, high, group.kind.metric(metric).log, group.lower_is_better(metric))
    standing = differences.standing(report, group, metric)
    first = next(iter(group.rank(metric)), None)
    ends = (low, high) if not group.lower_is_better(metric) else (high, low)
    return {
        "metric": metric,
        "title": group.heading(metric),
        "unit": wording.unit_name(group.unit(metric)),
        "maps": [
            _map(group, metric, label, by_method[label], scale, standing, first.id if first and low < high else "")
            for label in shown
        ],
        "ends": [wording.number(v, group.unit(metric)) for v in ends],
        "stops": [colour(i / 12)[0] for i in range(13)],
        "better": "lower is better" if group.lower_is_better(metric) else "higher is better",
        "chosen": len(best) > FEW,
        "left_out": len(by_method) - len(best),
    }


def _scale(low: float, high: float, log: bool, reverse: bool) -> Any:
    log = log and low > 0

    def share(value: float) -> float:
        if high <= low:
            return 0.0
        a, b, v = (math.log(x) for x in (low, high, value)) if log else (low, high, value)
        return 1 - (v - a) / (b - a) if reverse else (v - a) / (b - a)

    return share


def _map(
    group: Group, metric: str, label: str, rows: list[Row], scale: Any, standing: differences.Standing, best: str
) -> dict[str, Any]:
    models = list(dict.fromkeys(row.model for row in rows))
    prompts = list(dict.fromkeys(row.prompt for row in rows))
    at = {(row.model, row.prompt): row for row in rows}
    lines = []
    for model in models[:MOST_ROWS]:
        cells = [_cell(group, metric, at.get((model, p)), scale, standing, best) for p in prompts[:MOST_COLUMNS]]
        lines.append({"name": model, "cells": cells})
    left_out = len(models) * len(prompts) - min(len(models), MOST_ROWS) * min(len(prompts), MOST_COLUMNS)
    return {"method": label, "prompts": prompts[:MOST_COLUMNS], "lines": lines, "left_out": left_out}


def _cell(
    group: Group, metric: str, row: Row | None, scale: Any, standing: differences.Standing, best: str
) -> dict[str, Any] | None:
    measured = group.metric(row, metric) if row else None
    if row is None or measured is None or measured.value is None:
        return None
    fill, dark = colour(scale(measured.value))
    shown = f"{wording.with_interval(measured)} {wording.unit_name(measured.unit)}, n = {measured.n:,}"
    mark = "★" if row.id == best else standing.mark(row, "★") if best else ""
    title = f"{row.model} · {row.prompt} · {row.label}: {shown}"
    text = wording.number(measured.value, measured.unit)
    return {"fill": fill, "dark": dark, "text": text, "mark": mark, "best": row.id == best, "told": title, "row": row}


def matrix(cell_matrix: CellMatrix) -> dict[str, Any]:
    """A confusion matrix: colours and tooltips give shares of each true row."""
    lines = []
    for truth, counts in zip(cell_matrix.truths, cell_matrix.counts, strict=True):
        n = sum(counts)
        cells = []
        for answer, count in zip(cell_matrix.answers, counts, strict=True):
            fill, dark = colour(count / n)
            title = f"{count:,} of {counted(n, 'image')} of {truth} were answered with {answer}"
            cells.append({"fill": fill, "dark": dark, "count": count, "right": truth == answer, "told": title})
            cells[-1]["text"] = wording.number(count / n, "share")
        lines.append({"name": truth, "n": n, "cells": cells})
    right = wording.with_interval_of(cell_matrix.right, "share")
    return {
        "name": cell_matrix.name,
        "answers": cell_matrix.answers,
        "lines": lines,
        "right": right,
    }
