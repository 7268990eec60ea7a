"""What kinds of task show, as sections of the page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from paceline.report import wording
from paceline.report.marking.marking_panel import Marking
from paceline.report.page import case_browser, text_files
from paceline.report.page.charts import by_class, calibration, heat, marks, scatter
from paceline.report.page.pictures import Picture, Pictures
from paceline.report.read.sweep_results import Group
from paceline.tasks import panels as data
from paceline.tasks.panels import Panel

FORMS = {
    "PerClass": "r",
    "Matrix": "m",
    "Calibration": "c",
    "Texts": "t",
    "Table": "b",
    "Pictures": "g",
    "Scatter": "s",
    "Files": "f",
    "Marking": "h",
}
"""How a panel is drawn -> what the ids of its elements begin with."""
MOST_ROWS = 500
MOST_CASES = 12  # of one panel of texts, and of each cell's pictures
MOST_ANSWERS = 12  # to one sample
MOST_REFERENCES = 8
MOST_LETTERS = 1_200  # of one text
SIDE = 448  # pixels of the longest side of an image with boxes
TALLEST = 400  # pixels of an image's height on the page


def draw(panel: Panel, group: Group, pictures: Pictures) -> dict[str, Any] | None:
    """A panel as the template draws it; None where it has nothing to show. The map is one for all test sets."""
    drawn: Any
    match panel:
        case data.PerClass():
            drawn = by_class.charts(panel)
        case data.Matrix():
            drawn = [heat.matrix(cell) for cell in panel.cells]
        case data.Calibration():
            drawn = calibration.charts(panel)
        case data.Texts():
            drawn = [_text(panel, case, group, pictures) for case in panel.cases[:MOST_CASES]]
        case data.Table():
            drawn = [_row(panel, row) for row in panel.rows[:MOST_ROWS]]
        case data.Pictures():
            drawn = [_pictures(cell, group, pictures) for cell in panel.cells if cell.cases]
        case data.Scatter():
            drawn = _scatter(panel, group)
        case data.Files():
            drawn = text_files.drawn(panel)
        case Marking():
            drawn = _marking(panel, group)
        case _:
            return None
    return {"panel": panel, "form": type(panel).__name__, "drawn": drawn} if drawn else None


def sections(drawn: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The panels of all test sets by their key: sections of the page, in the order in which the kinds give them.

    Args:
        drawn: the sections of the test sets, each with what :func:`draw` made as ``panels``.
    """
    by_key: dict[str, dict[str, Any]] = {}
    counts: Counter[str] = Counter()
    for section in drawn:
        for one in section["panels"]:
            panel, prefix = one["panel"], FORMS[one["form"]]
            counts[prefix] += 1
            entry = {**one, "section": section, "id": f"{prefix}-{counts[prefix]}"}
            panel_section = by_key.setdefault(
                panel.key, {"key": panel.key, "title": panel.title, "nav": panel.nav, "entries": []}
            )
            panel_section["entries"].append(entry)
    return list(by_key.values())


def placed() -> Callable[[Picture], bool]:
    """Says of a picture whether it stands in the page for the first time: only then is its data written out."""
    known: set[str] = set()

    def first(picture: Picture) -> bool:
        new = picture.key not in known
        known.add(picture.key)
        return new

    return first


def _link(group: Group, sample: str, cell: str = "") -> str:
    """The address of a sample, or of one cell's answer to it, in the case browser."""
    return case_browser.link(task=group.task, split=group.split, sample=sample, cell=cell[-case_browser.LINK :])


def cut(text: str, most: int = MOST_LETTERS) -> str:
    """A text that is not too long for a page, or its beginning with how much more there is."""
    return text if len(text) <= most else f"{text[:most]} … and {len(text) - most:,} more characters"


def _text(panel: data.Texts, case: data.TextCase, group: Group, pictures: Pictures) -> dict[str, Any]:
    answers = [
        {
            "name": a.name,
            "href": _link(group, case.sample, a.id),
            "text": cut(a.text),
            "scores": [cut(score) for score in a.scores],
            "outcome": a.outcome,
        }
        for a in case.answers[:MOST_ANSWERS]
    ]
    return {
        "case": case,
        "href": _link(group, case.sample),
        "references": [cut(text) for text in case.references[:MOST_REFERENCES]],
        "references_left_out": max(0, len(case.references) - MOST_REFERENCES),
        "answers": answers,
        "answers_left_out": len(case.answers) - len(answers),
        "pictures": pictures.all(group.task, case.sample),
    }


def _row(panel: data.Table, row: Sequence[data.Value]) -> list[dict[str, Any]]:
    """Cells with what they are sorted by."""
    cells = []
    for value, column in zip(row, panel.columns, strict=True):
        sort_by = value.value if isinstance(value, data.Interval) else value
        numeric = column.unit is not None
        known = isinstance(sort_by, int | float) and math.isfinite(sort_by)
        cells.append(
            {
                "text": wording.value(value, column.unit),
                "interval": wording.interval(value.low, value.high, column.unit or "")
                if isinstance(value, data.Interval)
                else "",
                "sort": f"{sort_by:.7g}" if numeric and known else "",
                "numeric": numeric,
            }
        )
    return cells


def _marking(panel: Marking, group: Group) -> list[dict[str, Any]]:
    """The lines of the table of shares, each with the answers that it is of; one without cells tells its caption."""
    rows = [
        {"cell": c, "href": case_browser.link(task=group.task, cell=c.id[-case_browser.LINK :])}
        for c in panel.cells[:MOST_ROWS]
    ]
    return rows or [{"cell": None}]


def _pictures(cell: data.CellPictures, group: Group, pictures: Pictures) -> dict[str, Any]:
    cases = []
    for case in cell.cases[:MOST_CASES]:
        images = []
        for image in case.images:
            picture = pictures.picture(group.task, case.sample, image.at, SIDE)
            width, height = picture.size
            # Small ones are enlarged, high ones are not higher than the window.
            widest = round(TALLEST * width / height) if height else 0
            boxes = marks.boxes(image.marks)
            images.append({"picture": picture, "name": image.name, "boxes": boxes, "widest": widest})
        cases.append({"case": case, "href": _link(group, case.sample, cell.id), "images": images})
    return {"name": cell.name, "cases": cases, "left_out": len(cell.cases) - len(cases)}


def _scatter(panel: data.Scatter, group: Group) -> list[dict[str, Any]]:
    charts = scatter.charts(panel)
    for chart in charts:
        for point in chart["points"]:
            point["href"] = _link(group, point["sample"], chart["id"])
    return charts
