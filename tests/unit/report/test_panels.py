"""What a kind shows as texts, tables, pictures and points is drawn by the page, the terminal, the exports and W&B."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import numpy as np
import pytest
from rich.console import Console

from paceline import report, tasks
from paceline.config.identity import identity_of
from paceline.config.schema import Config, MethodSpec, ModelSpec, PromptSpec, TaskSpec
from paceline.data import samples as prepared
from paceline.report import wording
from paceline.report.analysis import differences
from paceline.report.page import page, panel_sections
from paceline.report.page import pictures as embedded
from paceline.report.page.charts import marks, scatter
from paceline.report.read.sweep_results import Report
from paceline.report.text import export, terminal
from paceline.stats import Interval
from paceline.store.cell_folder import Cell
from paceline.store.files import SCHEMA, digest, file_digest, write_json, write_jsonl
from paceline.store.root import Store
from paceline.tasks import panels
from paceline.tasks.kind import images_of
from paceline.tasks.metrics import Unit
from paceline.tasks.panels import CellScatter, Mark, Measure, Scatter
from paceline.tracking import answers_table, drawings

TASK = TaskSpec(name="harbour", kind="made_up", reader="earth", evaluate=["test"])
SAMPLES = 30
SCRIPT = "<script>alert('x')</script> \"quoted\" & <b>bold</b>"
BOX = Mark(0.25, 0.125, 0.75, 0.5, "ship", truth=True)

KIND = '''
"""A made-up kind: how many ships, what the picture shows, and where they are."""

import numpy as np

from paceline.stats import Interval
from paceline.tasks.metrics import Judged, Metric, Reading
from paceline.tasks import panels as p
from paceline.tasks.kind import images_of

FIELDS = {"count": "true number of ships"}
IMAGES = ("before", "after")
METRICS = (
    Metric("mean_error", score="error", unit="count", lower_is_better=True, leads=True),
    Metric("exact", score="exact", hits=True, leads=True),
)


def fields(sample, task):
    return {"count": sample["count"]}


def read(answer, part, task, prompt):
    raise NotImplementedError


score = read


def columns(records):
    return {"text": tuple(r["said"] for r in records), "truth": np.array([r["truth"] for r in records], dtype=float),
            "value": np.array([np.nan if r["value"] is None else r["value"] for r in records], dtype=float)}


def panels(results):
    yield texts(results)
    yield p.Table(
        "figures", "Figures of the counts", "Figures",
        columns=(p.TableColumn("sea"), p.TableColumn("right", "share"), p.TableColumn("ships", "count"),
                 p.TableColumn("nearest", "km", largest_first=False)),
        rows=tuple((f"sea {i}", Interval(i / 20, i / 25, i / 15, 40), np.int64(3 * i), 1.5 * i if i else None)
                   for i in range(15)),
        caption="By the sea of the picture.",
    )
    yield boxes(results)
    yield p.Scatter(
        "counts", "Counted against true", "Counts", p.Measure("true", "true number of ships", "count", log=True),
        p.Measure("counted", "counted ships", "count", log=True), diagonal=True,
        cells=tuple(p.CellScatter(c.id, c.name, c.answers.samples, c.answers.columns["truth"],
                                  c.answers.columns["value"]) for c in results.best),
        caption="The best cell of each model.",
    )


def texts(results):
    cases = []
    for i, sample in enumerate(results.cells[0].answers.samples[:14]):
        answers = tuple(
            p.CellText(c.id, c.name, c.answers.columns["text"][i], (f"{31.2 - i:.1f}", f"{0.8 + i / 30:.2f}"),
                       "" if c.answers.parsed[i] else "refused")
            for c in results.cells
        )
        references = ("Several ships lie at anchor in a harbour next to a long breakwater.", "many boats in a port")
        cases.append(p.TextCase(sample, ("best", "median", "worst")[i % 3], references, answers,
                                "What does the picture show?" if i == 1 else ""))
    return p.Texts("captions", "Captions", "Captions", ("BLEU-4", "CIDEr"), tuple(cases), "Chosen by CIDEr.")


def boxes(results):
    def case(i, sample):
        found = p.MarkedImage((
            p.Mark(0.25, 0.125, 0.75, 0.5, "ship", truth=True),
            p.Mark(0.3 + i / 100, 0.2, 1.4, 0.6, "<b>ship</b>", truth=False),
            p.Mark(0.05, 0.7, 0.3, 0.97, "crane", truth=True),
            p.Mark(0.9, 0.9, 0.1, 0.1, "turned round", truth=False),
        ))
        if len(images_of(results.samples.get(sample, {}))) < 2:
            return p.PictureCase(sample, "median", (found,), "2 ships", f"{i} ships")
        return p.PictureCase(
            sample, "worst", (p.MarkedImage((), "before", 0), p.MarkedImage(found.marks, "after", 1)),
            "a new quay in the north", "Nothing has changed between the two pictures.",
        )

    cells = tuple(
        p.CellPictures(c.id, c.name, tuple(case(i, s) for i, s in enumerate(c.answers.samples[:14])))
        for c in results.best
    )
    return p.Pictures("boxes", "Where the ships are", "Boxes", cells, "Chosen by the number of ships.")
'''


def draw_harbour(path: Path, number: int, size: tuple[int, int]) -> None:
    """Water, a quay and some ships, so that one can see what a box is on."""
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(number)
    base = np.array([38, 70, 92]) + rng.normal(0, 5, (size[1], size[0], 1))
    picture = Image.fromarray(np.clip(base, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, int(size[1] * 0.68), int(size[0] * 0.32), size[1]), fill="#8d8a80")
    for _ in range(3 + number % 4):
        x, y = rng.uniform(0.2, 0.8) * size[0], rng.uniform(0.1, 0.6) * size[1]
        draw.polygon([(x, y), (x + 46, y + 6), (x + 52, y + 11), (x + 46, y + 16), (x, y + 20)], fill="#d9d4c8")
    picture.save(path, quality=85)


def make_samples(root: Path) -> list[dict[str, Any]]:
    folder = prepared.dataset_folder(root, TASK)
    (folder / "images").mkdir(parents=True)
    samples = []
    for i in range(SAMPLES):
        name = f"tile_{i:03d}"
        draw_harbour(folder / "images" / f"{name}.jpg", i, (400, 300) if i % 5 else (240, 420))
        samples.append(
            {
                "id": name,
                "split": "test",
                "image": f"images/{name}.jpg",
                "sha256": file_digest(folder / "images" / f"{name}.jpg"),
                "count": [0, 1, 3, 8, 20, 55, 140][i % 7],
            }
        )
    draw_harbour(folder / "images" / "before.jpg", 99, (400, 300))
    write_jsonl(folder / "samples.jsonl", samples)
    manifest = {"schema": SCHEMA, "digest": digest("data"), "splits": {"test": SAMPLES}, "leaks": {"test": 0}}
    write_json(folder / "manifest.json", manifest)
    return samples


def finish(store: Store, cell: Cell, samples: list[dict[str, Any]], off: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    folder, attempt = store.cell(cell.id), store.cell(cell.id).new_attempt()
    scores, predictions = [], []
    for i, sample in enumerate(samples):
        value = None if i % 9 == 4 else max(0, round(sample["count"] * float(np.exp(rng.normal(0, off)))))
        said = SCRIPT if i == 0 else f"{value} ships lie in the harbour near a quay, in calm water with some waves"
        error = None if value is None else abs(value - sample["count"])
        scores.append(
            {
                "sample": sample["id"],
                "outcome": "refused" if value is None else "parsed",
                "truth": sample["count"],
                "value": value,
                "said": "I can't see that." if value is None else said,
                "scores": {"error": error, "exact": error == 0},
            }
        )
        predictions.append({"sample": sample["id"], "text": said})
    write_jsonl(folder.predictions, predictions)
    write_jsonl(folder.scores, scores)
    kind = tasks.load("made_up")
    record = {"schema": SCHEMA, "scorer_digest": "", "samples": len(scores), "parsed": len(scores)}
    write_json(folder.metrics, {**record, "metrics": kind.aggregate(kind.answers(scores))})
    folder.publish(attempt, [folder.predictions], {"samples": len(scores)})


def make_sweep(root: Path) -> Report:
    """Two models with two prompts; the second sample has two images."""
    store, ids = Store(root), []
    samples = make_samples(root)
    for m, model in enumerate(("small_vlm", "large_vlm")):
        for p, prompt in enumerate(("plain", "stepwise")):
            config = Config(
                model=ModelSpec(name=model),
                task=TASK,
                prompt=PromptSpec(name=prompt, text="How many ships are there?"),
                method=MethodSpec(name="untuned"),
            )
            identity = {**identity_of(config, "evaluate"), "data": digest("data")}
            cell = Cell(f"evaluate-{model}-{prompt}-{digest(identity, 12)}", "evaluate", identity, ())
            store.cell(cell.id).freeze(cell)
            finish(store, cell, samples, 0.5 - 0.2 * m + 0.1 * p, 2 * m + p)
            ids.append(cell.id)
    content = {"schema": SCHEMA, "name": "ships", "experiment": "", "cells": ids, "dropped": [], "code": ""}
    write_json(store.sweep("ships").sweep_json, content)
    return again(store)


def again(store: Store) -> Report:
    found = report.collect(store, store.sweep("ships"))
    one = found.samples[TASK.name]["tile_001"]
    one["images"] = [str(Path(one["image"]).parent / "before.jpg"), one["image"]]
    one["sha256s"] = [file_digest(Path(path)) for path in one["images"]]
    del found.samples[TASK.name]["tile_002"]["image"]
    return found


@pytest.fixture(scope="module")
def kind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The made-up kind, found in a folder beside ours."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "made_up.py").write_text(KIND)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "__path__", [*tasks.__path__, str(folder)])
        tasks.load.cache_clear()
        yield
    tasks.load.cache_clear()
    sys.modules.pop("paceline.tasks.made_up", None)


@pytest.fixture(scope="module")
def sweep(kind: None, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return make_sweep(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def html(sweep: Report) -> str:
    return page.write(sweep).read_text(encoding="utf-8")


def part(html: str, key: str) -> str:
    found = re.search(rf'<section id="{key}">.*?</section>', html, re.S)
    assert found, key
    return found.group()


def words(text: str) -> str:
    return " ".join(text.split())


def test_every_panel_is_a_section_with_its_title_and_a_link_in_the_menu(html: str) -> None:
    for key, title, nav in (
        ("captions", "Captions", "Captions"),
        ("figures", "Figures of the counts", "Figures"),
        ("boxes", "Where the ships are", "Boxes"),
        ("counts", "Counted against true", "Counts"),
    ):
        assert f"<h2>{title}</h2>" in part(html, key)
        assert f'<a href="#{key}">{nav}</a>' in html


def test_what_a_model_says_is_text_and_no_markup(html: str) -> None:
    captions = part(html, "captions")
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in captions
    assert "<script" not in captions and "<b>" not in captions
    assert "&lt;b&gt;ship&lt;/b&gt;" in part(html, "boxes") and "<b>" not in part(html, "boxes")


def test_texts_stand_beside_their_references_and_lead_to_the_answer(html: str, sweep: Report) -> None:
    captions = part(html, "captions")
    assert captions.count('<article class="text-case') == panel_sections.MOST_CASES
    assert "The first 12 samples; <code>report --json</code> has 2 more." in words(captions)
    assert "many boats in a port" in captions and "What does the picture show?" in captions
    assert '<span class="miss">refused</span> I can&#39;t see that.' in captions
    row = sweep.rows[0]
    assert f"#cases?task=harbour&amp;split=test&amp;sample=tile_000&amp;cell={row.id[-12:]}" in captions


def test_numbers_of_a_table_sort_by_their_value(html: str) -> None:
    figures = part(html, "figures")
    assert '<th data-sort="text" data-first="ascending"><span class="h">sea</span></th>' in figures
    assert '<th class="n" data-sort="number" data-first="ascending"><span class="h">nearest</span>' in figures
    assert '<td class="n" data-v="0.35">35.0<span class="ci">[28.0–46.7]</span></td>' in figures
    assert '<td class="n" data-v="21">21</td>' in figures
    assert '<td class="n" data-v="">–</td>' in figures


def test_boxes_are_shares_of_the_image_and_told_apart_without_colour(html: str) -> None:
    boxes = part(html, "boxes")
    truth = '<rect x="25.0%" y="12.5%" width="50.0%" height="37.5%" stroke="#56B4E9"/>'
    assert truth in boxes
    # Beyond the image's edge it is cut; one that is turned round is none.
    assert '<rect x="30.0%" y="20.0%" width="70.0%" height="40.0%" stroke="#E69F00" stroke-dasharray="6 4"/>' in boxes
    assert "turned round" not in boxes
    assert "truth, solid" in boxes and "answer, dashed" in boxes
    assert "<title>truth: ship</title>" in boxes


def test_labels_give_way_to_many_boxes_and_stay_on_the_image() -> None:
    (one,) = marks.boxes([BOX])
    assert (one["label"]["text"], one["label"]["y"], one["label"]["dy"]) == ("ship", 12.5, -5)
    (low,) = marks.boxes([Mark(0.7, 0.5, 0.99, 1.0, "ship", truth=False)])
    assert low["label"]["end"] and low["label"]["x"] == 99.0 and low["label"]["dy"] < 0
    assert {box["label"] for box in marks.boxes([BOX] * 11)} == {None}
    assert marks.boxes([Mark(float("nan"), 0, 1, 1, "ship", truth=True), Mark(1.2, 0, 1.4, 1, "", truth=True)]) == []


def test_an_image_is_in_the_page_once_and_several_of_a_sample_stand_side_by_side(html: str) -> None:
    own = re.findall(r'<img src="data:[^"]+" data-picture="([^"]+)"', part(html, "captions") + part(html, "boxes"))
    assert len(own) == len(set(own)) and {"harbour/tile_001", "harbour/tile_001#1"} <= set(own)
    assert 'data-same="harbour/tile_001#1"' in part(html, "boxes")
    assert "<figcaption>before</figcaption>" in part(html, "boxes")
    assert "no picture" in part(html, "boxes")  # tile_002 has none
    assert 'class="text-case bare"' in part(html, "captions")


def test_images_that_the_budget_has_no_room_for_are_told(sweep: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "BUDGET", 30_000)
    text = page.html(sweep)
    urls = set(re.findall(r"data:image/jpeg[^\"]+", text))
    assert 0 < sum(map(len, urls)) < 30_000 + max(map(len, urls))
    assert "left out to keep the file small" in part(text, "boxes")


def test_points_stand_where_their_numbers_say(sweep: Report) -> None:
    (panel,) = (p for p in differences.panels(sweep, sweep.groups[0]) if isinstance(p, Scatter))
    charts = scatter.charts(panel)
    assert [c["name"] for c in charts] == [c.name for c in panel.cells]
    chart, cell = charts[0], panel.cells[0]
    left, right, foot, top = chart["frame"]
    read = [i for i in range(SAMPLES) if np.isfinite(cell.y[i])]
    assert len(chart["points"]) == len(read) and not chart["dots"]
    for i, point in zip(read, chart["points"], strict=True):
        assert point["sample"] == cell.samples[i]
        assert left <= point["x"] <= right and top <= point["y"] <= foot
        if cell.x[i] == cell.y[i]:  # one scale for both, so equal numbers are on the line
            assert point["x"] - left == pytest.approx(foot - point["y"], abs=0.2)
    assert chart["diagonal"] == [left, foot, right, top]
    assert f"{len(read)} of {SAMPLES} samples have both numbers; " in chart["told"]
    assert "of 0 or less stand at the edge of a logarithmic axis" in chart["told"]
    assert [t["text"] for t in chart["x"]] == ["1", "10", "100"]


@pytest.mark.parametrize("diagonal", [True, False])
def test_of_many_points_all_are_drawn_and_some_lead_to_their_sample(diagonal: bool) -> None:
    n = 3000
    x = np.linspace(1990, 2020, n)
    cell = CellScatter("cell", "name", tuple(map(str, range(n))), x, x + np.where(np.arange(n) == 1234, 5.0, 0.1))
    measure = Measure("year", "year", "")
    (chart,) = scatter.charts(Scatter("k", "t", "n", measure, measure, diagonal, (cell,), ""))
    assert chart["dots"].count("M") + len(chart["points"]) == n
    assert len(chart["points"]) == scatter.MOST_LINKED
    assert not diagonal or chart["points"][0]["sample"] == "1234"
    assert chart["x"][0]["text"] == "1,990"  # not from 0, where all would be one dot
    empty = CellScatter("cell", "name", ("a",), np.array([np.nan]), np.array([1.0]))
    assert scatter.charts(Scatter("k", "t", "n", measure, measure, diagonal, (empty,), "")) == []


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_lists_them_and_says_how_many_more(sweep: Report, width: int) -> None:
    console = Console(file=io.StringIO(), width=width, no_color=True)
    terminal.show(sweep, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= width
    assert "harbour · test · captions" in text and "harbour · test · figures of the counts" in text
    assert "<script>alert('x')</script>" in re.sub(r"\s", "", text.replace("\n", ""))
    assert "and 3 more" in text  # of the table's 15 rows
    assert "35.0 [28.0–46.7]" in text
    assert "and 10 more" in text  # of 14 samples with texts
    assert "boxes: ship, crane" in words(text) or width == 80
    assert "Counted against true" not in text


def test_markdown_holds_tables_and_texts(sweep: Report) -> None:
    text = export.markdown_text(sweep)
    assert "### harbour · test: Captions" in text
    assert "\\<script\\>alert('x')\\</script\\>" in text
    assert "| sea | right % | ships | nearest km |\n| --- | ---: | ---: | ---: |" in text
    assert "| sea 7 | 35.0 \\[28.0–46.7\\] | 21 | 10 |" in text
    assert "and 2 more samples" in text
    assert "Where the ships are" not in text and "Counted against true" not in text


def test_json_holds_all_four_with_their_test_set(sweep: Report, tmp_path: Path) -> None:
    export.write_report_json(sweep, tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())
    for key, form in (("captions", "Texts"), ("figures", "Table"), ("boxes", "Pictures"), ("counts", "Scatter")):
        (one,) = found[key]
        assert (one["task"], one["split"], one["form"]) == ("harbour", "test", form)
    assert found["captions"][0]["cases"][0]["answers"][0]["text"] == SCRIPT
    assert found["figures"][0]["rows"][7][1:3] == [{"value": 0.35, "low": 0.28, "high": 7 / 15, "n": 40}, 21]
    assert len(found["boxes"][0]["cells"][0]["cases"]) == 14
    (scatter_of,) = found["counts"]
    assert scatter_of["cells"][0]["x"][:4] == [0.0, 1.0, 3.0, 8.0]
    assert scatter_of["cells"][0]["y"][4] is None  # NaN: not read


def test_numpy_values_become_what_json_knows() -> None:
    given = {"a": np.float32(0.5), "b": np.array([[1, 2]]), "c": np.array([np.nan, np.inf]), "d": np.bool_(True)}
    given |= {"e": Path("x"), "f": (Interval(1.0, None, None, 2),)}
    made = panels.plain(given)
    f = [{"value": 1.0, "low": None, "high": None, "n": 2}]
    assert made == {"a": 0.5, "b": [[1, 2]], "c": [None, None], "d": True, "e": "x", "f": f}
    json.dumps(made, allow_nan=False)


def test_values_of_a_table_are_written_as_their_column_says() -> None:
    assert wording.value(np.float64(0.5), "share") == "50.0"
    assert wording.value("as it is", "share") == "as it is"
    assert wording.value(3, None) == "3"
    assert wording.value(float("nan"), "km") == wording.value(None, None) == "–"
    assert wording.value(1e-9, Unit("", 3)) == "< 0.001"
    assert [wording.value(p, Unit("", 3)) for p in (0.0, 0.0006, 0.25)] == ["0.000", "0.001", "0.250"]


def test_an_unread_answer_of_which_nothing_is_shown_is_not_called_empty() -> None:
    assert wording.answered("malformed", "") == "malformed"
    assert wording.answered("malformed", "Paris or Rome") == "malformed: Paris or Rome"
    assert wording.answered("", "Paris") == "Paris"
    assert wording.answered("", "") == "(empty)"
    assert wording.value_with_interval(Interval(0.5, 0.4, 0.6, 9), "share") == "50.0 [40.0–60.0]"


def test_several_images_of_a_sample_are_found() -> None:
    assert images_of({"image": "a"}) == ["a"]
    assert images_of({"images": ["a", "b"], "image": "c"}) == ["a", "b"]
    assert images_of({}) == images_of({"image": ""}) == []


def test_a_question_is_shown_with_the_images_of_its_sample(sweep: Report) -> None:
    pictures = embedded.Pictures(sweep)
    assert [one.key for one in pictures.all(TASK.name, "tile_001/colour")] == ["harbour/tile_001", "harbour/tile_001#1"]
    assert pictures.get(TASK.name, "tile_003/colour") == pictures.get(TASK.name, "tile_003") != ""
    assert pictures.get(TASK.name, "nothing") == ""


# --- trackers --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tracked(sweep: Report) -> answers_table.Results:
    samples = list(sweep.samples[TASK.name].values())
    folder = sweep.store.cell(sweep.rows[0].id)
    return answers_table.Results.read(folder, folder.read().config.task, {"exact": 0.5}, samples, most=8)


def test_a_tracker_has_tables_of_texts_with_images_and_of_numbers(tracked: answers_table.Results) -> None:
    from PIL import Image

    assert list(tracked.all_tables) == ["predictions", "captions", "figures"]
    assert tracked.columns[:7] == ("sample", "image", "split", "truth", "answer", "read as", "outcome")
    texts = tracked.tables["captions"]
    assert texts.columns == (
        "sample",
        "image",
        "case",
        "question",
        "references",
        "answer",
        "outcome",
        "BLEU-4",
        "CIDEr",
    )
    assert texts.rows[0][5] == SCRIPT and texts.rows[4][6] == "refused"
    sizes = [Image.open(io.BytesIO(row[1])).size if row[1] else None for row in texts.rows]
    assert sizes[:3] == [(146, 256), (256 + drawings.GAP + 256, 192), None]  # one, two side by side, none
    figures = tracked.tables["figures"]
    assert figures.rows[7] == ["sea 7", 0.35, 21.0, 10.5] and figures.rows[0][3] is None


def test_a_tracker_has_images_with_boxes(tracked: answers_table.Results) -> None:
    images = tracked.galleries["boxes"]
    assert len(images) == 13  # tile_002 has no image
    picture, text = images[0]
    assert text == "tile_000 · median · truth: 2 ships · 0 ships"
    assert picture.getpixel((round(0.5 * 239), round(0.125 * 419))) == (86, 180, 233)
    # All of one size, because W&B shows no others well: that of the pair and of the highest.
    assert {image.size for image, _ in images} == {(2 * 400 + drawings.GAP, 420)}
    assert picture.getpixel((300, 100)) == (255, 255, 255)
    assert "Nothing has changed" in images[1][1]


def test_a_tracker_has_a_picture_of_the_points(tracked: answers_table.Results) -> None:
    assert list(tracked.pictures) == ["counts"]
    picture = tracked.pictures["counts"]
    assert picture.size == (drawings.PLOT, drawings.HEIGHT)
    blue = [(r, g, b) for _, (r, g, b) in picture.getcolors(1 << 20) if b > r + 60]
    assert blue


def test_panels_of_one_key_are_told_apart_by_a_number() -> None:
    one = panels.Table("k", "t", "n", (panels.TableColumn("a"),), (("x",),))
    assert list(answers_table.named([one, one, panels.Table("predictions", "t", "n", (), ())])) == [
        "k",
        "k_2",
        "predictions_2",
    ]


@pytest.mark.parametrize("log", [True, False])
def test_an_axis_of_a_drawing_holds_its_values(log: bool) -> None:
    for values in ([0.0], [5.0, 5.0], [-3.0, 4.0], [1990.0, 2020.0], [0.0, 1e-3, 1e5], [-2.0, -1.0]):
        axis = drawings.Axis(np.array(values), log, 70, 540)
        assert all(70 <= axis(v) <= 540 for v in [*values, *axis.ticks()])
        assert len(axis.ticks()) <= 16


# --- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tab(sweep: Report, html: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    if chromium.FOUND is None:
        pytest.skip("no Chromium on PATH")
    with chromium.Chromium(tmp_path_factory.mktemp("profile")) as opened:
        opened.open(sweep.store.sweep("ships").path / "report.html")
        yield opened


def test_the_page_opens_without_an_error(tab: chromium.Chromium) -> None:
    assert tab.problems == []
    assert [url for url in tab.requests if not url.startswith(("file:", "data:", "about:"))] == []
    assert tab.run("document.documentElement.scrollWidth <= innerWidth")


def test_every_image_of_the_page_has_its_data(tab: chromium.Chromium) -> None:
    count = tab.run("document.querySelectorAll('#captions img, #boxes img').length")
    assert count > 30
    assert tab.run("[...document.querySelectorAll('#captions img, #boxes img')].every(i => i.naturalWidth > 0)")


def test_a_box_lies_where_it_should_on_the_shown_image(tab: chromium.Chromium) -> None:
    shares = tab.run(
        """(() => {
          const figure = document.querySelector('#boxes .marked figure'), frame = figure.querySelector('img');
          const a = frame.getBoundingClientRect(), b = figure.querySelector('svg rect').getBoundingClientRect();
          return [(b.left - a.left) / a.width, (b.top - a.top) / a.height, (b.right - a.left) / a.width,
            (b.bottom - a.top) / a.height];
        })()"""
    )
    assert shares == pytest.approx([0.25, 0.125, 0.75, 0.5], abs=0.02)


def test_a_table_sorts_and_a_chooser_shows_another_cell(tab: chromium.Chromium) -> None:
    figures = "document.querySelector('#figures table')"
    tab.run(f"{figures}.querySelector('th:nth-child(4)').click()")
    values = tab.run(f"[...{figures}.querySelectorAll('tbody td:nth-child(4)')].map(cell => cell.dataset.v)")
    assert values[-1] == "" and [float(v) for v in values[:-1]] == sorted(float(v) for v in values[:-1])
    for key in ("boxes", "counts"):
        tab.run(
            f"(() => {{ const s = document.querySelector('#{key} select[data-figures]'); s.selectedIndex = 1;"
            " s.dispatchEvent(new Event('change')); })()"
        )
        seen = f"[...document.querySelector('#{key} [id]').children].map(e => e.getBoundingClientRect().height > 0)"
        assert tab.run(seen) == [False, True]
    assert tab.problems == []


def test_the_case_browser_shows_all_images_of_a_sample(tab: chromium.Chromium, sweep: Report) -> None:
    tab.open(sweep.store.sweep("ships").path / "report.html", "#cases?task=harbour&split=test&sample=tile_001")
    tab.until("document.querySelector('#browser').dataset.shown === 'case 1'")
    assert tab.run("document.querySelectorAll('.case-pictures img').length") == 2
    captions = tab.run("[...document.querySelectorAll('.case-pictures figcaption')].map(e => e.textContent)")
    assert [caption.partition(" · ")[0] for caption in captions] == ["before", "after"]
    assert tab.problems == []


def test_a_tracker_s_picture_of_a_case_names_its_images(tmp_path: Path) -> None:
    from PIL import Image

    for n in range(2):
        Image.new("RGB", (60, 40), (90, 90, 90)).save(tmp_path / f"{n}.png")
    paths = [tmp_path / "0.png", tmp_path / "1.png"]
    bare = drawings.marked(paths, [panels.MarkedImage((), "", at) for at in range(2)])
    named = drawings.marked(paths, [panels.MarkedImage((), name, at) for at, name in enumerate(("before", "after"))])
    assert bare is not None and named is not None and bare.size == named.size
    differs = np.asarray(bare) != np.asarray(named)
    assert not differs[:15].any() and differs[:, :60].any() and differs[:, -60:].any()
