"""A sheet as one HTML file that needs no network: pictures inside, marked by keyboard, saved as the CSV file."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from paceline.report.marking.answer_sheet import AnswerSheet
from paceline.report.page.pictures import Pictures
from paceline.report.read.sweep_results import Group, Report
from paceline.store.files import digest
from paceline.store.spreadsheet import FORMULA

HERE = Path(__file__).parent
SIDE = 448  # pixels of the longest side of a picture: more of them fit, and a sport or a scene can still be seen


def html(report: Report, group: Group, sheet: AnswerSheet, name: str) -> str:
    """The page.

    Args:
        report: whose pictures are shown.
        group: the test set.
        sheet: its answers.
        name: of the sheet's file, without its ending: the saved file has it too.
    """
    import jinja2

    pictures = Pictures(report)
    images: dict[str, str] = {}
    rows = []
    for row in sheet.rows:
        shown = pictures.all(group.task, row.sample, SIDE)
        images.update({picture.key: picture.url for picture in shown if picture.url})
        rows.append(
            {
                "key": row.key,
                "images": [picture.key for picture in shown if picture.url],
                "left_out": sum(not picture.url for picture in shown),
                "picture": "\n".join(row.pictures),
                "question": row.question,
                "answer": row.answer,
                "references": row.references,
            }
        )
    data = {
        "id": digest([row.key for row in sheet.rows], 16),
        "name": name,
        "columns": sheet.columns,
        "criteria": [{"name": c.name, "values": list(c.choices) or ["yes", "no"]} for c in sheet.criteria],
        "rows": rows,
        "images": images,
        "formula": FORMULA,
        "by_truth": any(c.by_truth for c in sheet.criteria),
    }
    script = (HERE / "sheet.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("sheet.html.j2").render(
        title=sheet.title,
        n=len(rows),
        criteria=sheet.criteria,
        references=sheet.references,
        by_truth=any(c.by_truth for c in sheet.criteria),
        choices=any(c.choices for c in sheet.criteria),
        yes_or_no=any(not c.choices for c in sheet.criteria),
        style=_trusted((HERE / "sheet.css").read_text(encoding="utf-8")),
        script=_trusted(script),
        # Only this script runs, whatever a model's answer holds.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=_trusted(_script_json(data)),
    )


def _trusted(text: str) -> Any:
    import markupsafe

    return markupsafe.Markup(text)  # our own files, not a model's answers


def _script_json(value: Any) -> str:
    """JSON that can't end the element it stands in."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
