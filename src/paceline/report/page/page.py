"""The report as one HTML file that needs no network: it can be mailed and archived."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paceline.counted import counted
from paceline.report import wording
from paceline.report.analysis import (
    cost,
    ensembles,
    examples,
    failures,
    per_image,
    prompt_sensitivity,
    training_curves,
    transfer,
)
from paceline.report.analysis import differences as compare
from paceline.report.consistency import sweeps
from paceline.report.marking import marked_cells
from paceline.report.marking.marking_panel import Marking
from paceline.report.page import case_browser, panel_sections
from paceline.report.page.charts import curves, forest, heat, marks, outcomes, world_map
from paceline.report.page.charts import pareto as cost_chart
from paceline.report.page.pictures import Pictures, jpeg
from paceline.report.read.report_notes import notes
from paceline.report.read.sweep_results import Group, Report
from paceline.store.files import write_bytes
from paceline.tasks.metrics import READ_SHARE
from paceline.tasks.panels import Points

MAP_SIZE = (1024, 512)
MOST_ABSENT = 200
MOST_DIFFERENCES = 200
MOST_ROWS = 500
MOST_BARS = 200
STYLES = ("page.css", "sections.css", "panels.css", "browser.css")
SCRIPTS = ("page.js", "browser.js")
HERE = Path(__file__).parent
Names = tuple[str, str, str, str]  # model, prompt with its mark, method, variant


def write(report: Report) -> Path:
    """Write ``sweeps/<name>/report.html``, whole or not at all, and return its path.

    Raises:
        Unavailable: the disk is full or read-only.
    """
    path = report.store.sweep(report.sweep).path / "report.html"
    write_bytes(path, html(report).encode())
    return path


def html(report: Report) -> str:
    """The page."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    environment.globals.update(w=wording, counted=counted, outcome_colours=outcomes.colours(report))
    environment.globals.update(to_cell=case_browser.to_cell, to_change=case_browser.to_change, link=case_browser.link)
    environment.globals.update(marks=marks, placed=panel_sections.placed())
    scripts = [(HERE / name).read_text(encoding="utf-8") for name in SCRIPTS]
    maps = [(g.title, p) for g in report.groups for p in compare.panels(report, g) if isinstance(p, Points)]
    views, views_left_out = world_map.views(maps)
    pictures = Pictures(report)
    sections = [_section(report, group, pictures) for group in report.groups]
    panels = panel_sections.sections(sections)
    embedded = case_browser.embed(report, {s["group"].title: s["cases"] for s in sections}, pictures)
    return environment.get_template("page.html.j2").render(
        report=report,
        sections=sections,
        panels=panels,
        absent=report.missing[:MOST_ABSENT],
        findings=sweeps.findings(report),
        views=_script_json(views),
        world=next((p for _, p in maps if p.cells), None),
        views_left_out=views_left_out,
        backdrop=_backdrop(maps[0][1]) if views else "",
        pictures_left_out=sum(s["pictures_left_out"] for s in sections),
        browser=embedded,
        browser_pictures=_script_json(embedded.pictures),
        style=_trusted("".join((HERE / name).read_text(encoding="utf-8") for name in STYLES)),
        scripts=[_trusted(text) for text in scripts],
        # Only these scripts run, whatever a model's answer holds.
        script_hashes=[base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts],
        notes=list(notes(report)),
        transfers=transfer.matrices(report),
        curves=(drawn_curves := curves.charts(training_curves.curves(report))),
        not_shown=list(_not_shown(report, sections, bool(drawn_curves))),
        failures=failures.of_sweep(report),
        costs=cost.of_cells(report),
        spent=cost.of_sweep(report),
        cost_unit=cost.unit_of(report),
        per_images=per_image.slowest_first(report),
        per_image_note=per_image.NOTE,
    )


def _breakable(text: str) -> Any:
    """A name that a narrow column may break after what joins its parts; what is copied of it is the name still."""
    import markupsafe

    return _trusted(re.sub(r"([_+/-])(?=.)", r"\1<wbr>", str(markupsafe.escape(text))))


def _trusted(text: str) -> Any:
    import markupsafe

    return markupsafe.Markup(text)  # our own files, not a model's answers


def _script_json(value: Any) -> Any:
    """JSON that can't end the element it stands in."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _trusted(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _section(report: Report, group: Group, pictures: Pictures) -> dict[str, Any]:
    """What the template shows of one task and split."""
    differences, differences_left_out = _differences(report, group)
    chosen = examples.choose(report, group)
    tested = compare.tested_metric(group)
    leading = compare.leading(group)
    first = next(iter(leading), "")
    panels = [drawn for p in compare.panels(report, group) if (drawn := panel_sections.draw(p, group, pictures))]
    before = pictures.left_out
    shown = {c.sample: pictures.get(group.task, c.sample) for c in chosen.cases} if chosen else {}
    return {
        "group": group,
        "rows": compare.shortened(group, first, MOST_ROWS).rows,
        "anchor": f"{group.task}-{group.split}",
        "standings": {m: compare.standing(report, group, m) for m in group.headline},
        "read": {row.id: _read(report, group, row) for row in group.rows},
        "denominators": wording.denominators(report, group),
        "tested": tested,
        "leading": leading,
        "differences": differences,
        "differences_left_out": differences_left_out,
        "no_differences": _no_differences(group),
        "compared": [m for m in _spread_out(group, tested) if any(m in changes for changes in differences.values())],
        "forests": [chart for m in group.headline if (chart := forest.chart(group, m))],
        "sensitivities": [s for m in leading if (s := prompt_sensitivity.prompt_sensitivity(group, m))],
        "ensembles": ensembles.ensembles(report)[group.task, group.split],
        "outcomes": outcomes.bars(report, compare.shortened(group, first, MOST_BARS)),
        "heats": [chart for m in leading if (chart := heat.charts(report, group, m))],
        "panels": panels,
        "cost": (tradeoff := cost.tradeoff(report, group)) and cost_chart.chart(report, group, tradeoff),
        "cases": chosen,
        "pictures": shown,
        "pictures_left_out": pictures.left_out - before,
    }


def _differences(report: Report, group: Group) -> tuple[dict[Names, dict[str, compare.Difference]], int]:
    """Names of a cell -> metric -> what tuning changed, of many those with the best cells; how many more."""
    best = group.rank(next(iter(compare.leading(group)), ""))
    places = {row.id: i for i, row in enumerate(best)}
    group_differences = [d for d in compare.differences(report) if (d.task, d.split) == (group.task, group.split)]
    tuned = sorted(dict.fromkeys(d.after for d in group_differences), key=lambda cell: places.get(cell, len(places)))
    shown = set(tuned[:MOST_DIFFERENCES])
    rows = {row.id: row for row in group.rows}
    shown_differences: dict[Names, dict[str, compare.Difference]] = {}
    for d in group_differences:
        if d.after in shown:
            row = rows[d.after]
            shown_differences.setdefault((row.model, row.asked, row.method, row.variant), {})[d.metric] = d
    return shown_differences, len(tuned) - len(shown)


def _no_differences(group: Group) -> str:
    """Why no tuned cell of a group is compared with its untuned model."""
    if not any(row.tuned for row in group.rows):
        return "No tuned cell has a result."
    if all(row.tuned for row in group.rows):
        return "No untuned cell has a result: with method=untuned beside the tuned ones the sweep has both."
    return "No untuned cell answered the same samples with the same prompt and generation as a tuned one."


def _not_shown(report: Report, sections: Sequence[Mapping[str, Any]], curves: bool) -> Iterator[tuple[str, str]]:
    """Sections that have nothing to show, and why."""
    if not sections:
        return
    if not any(s["heats"] for s in sections):
        yield "Model × prompt", "Every cell with a result has the same model and prompt."
    if not any(s["ensembles"].found for s in sections):
        combined = any(s["group"].kind.combined for s in sections)
        few = "No three cells that differ in their prompt or model alone answered the same samples."
        yield "Cells together", few if combined else "This kind of task has no rule that puts answers together."
    if not curves:
        why = "No finetune cell has recorded its loss." if report.tunings else "The sweep has no finetune cell."
        yield "Learning curves", why
    if not any(s["cases"] for s in sections):
        yield "Easy, medium and hard images", "No read answer can be ordered by how far off it is."
    for s in sections:
        if s["group"].kind.get("MARKS") and not any(isinstance(one["panel"], Marking) for one in s["panels"]):
            command = marked_cells.command(report, s["group"])
            yield f"Marked by hand: {s['group'].title}", f"No answer is marked yet; a sheet: {command}"
    if not any(s["cost"] for s in sections):
        yield "Cost against score", "Fewer than two cells recorded how long they took."


def _spread_out(group: Group, tested: str | None) -> list[str]:
    """Headline metrics that add information to the tested one, so that the table stays readable."""
    return [m for m in group.headline if m == tested or (m != READ_SHARE and not group.kind.metric(m).redundant)]


def _read(report: Report, group: Group, row: Any) -> tuple[int, int]:
    outcomes = report.chosen(row, group.split).outcomes
    return outcomes.count("parsed"), len(outcomes)


def _backdrop(panel: Points) -> str:
    """The map's picture, small; empty where there is none: the grid stands alone."""
    from PIL import Image

    if panel.backdrop is None:
        return ""
    with Image.open(panel.backdrop) as opened:
        opened.draft("RGB", MAP_SIZE)  # the decoder leaves out what the small size has no room for
        return jpeg(opened.convert("RGB").resize(MAP_SIZE), 72)
