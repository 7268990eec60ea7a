"""What a report promises to the reader of its tables."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from builders import KIND, MODELS, PROMPTS, SPLITS, TASK, check_golden, freeze, make_labels, make_sweep, printed

from paceline import report
from paceline.config.schema import Config, GenerationSpec, MethodSpec, ModelSpec
from paceline.data import samples
from paceline.report.analysis import differences, prompt_sensitivity
from paceline.report.consistency import sweeps
from paceline.report.page import page
from paceline.report.read import report_notes
from paceline.report.read.sweep_results import Report
from paceline.report.text import export, terminal
from paceline.store.files import SCHEMA, write_json
from paceline.store.root import Store
from paceline.tasks.metrics import per_sample


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return make_sweep(tmp_path_factory.mktemp("root"), MODELS, PROMPTS, ("untuned", "full"), 20)


@pytest.fixture(scope="module")
def html(small: Report) -> str:
    return page.write(small).read_text(encoding="utf-8")


def test_every_evaluate_cell_of_the_sweep_has_a_row_in_sweep_order(small: Report) -> None:
    recorded = small.store.sweep("places").read()["cells"]
    assert [row.id for row in small.rows] == [i for i in recorded if i.startswith("evaluate")]
    assert [row["id"] for row in export.as_json(small)["rows"]] == [row.id for row in small.rows]
    assert len(small.rows) == len(MODELS) * len(PROMPTS) * 2


def test_cells_without_a_result_are_named_with_their_state_and_cause(small: Report, html: str) -> None:
    assert [(m.state, m.cause) for m in small.missing] == [("failed", "code bug"), ("missing", "")]
    for cell in small.missing:
        assert cell.id in html
        assert cell.id in export.markdown_text(small)
        assert cell.id in printed(small, 120)
        assert cell.id in export.csv_text(small)
    assert "KeyError: &#39;pixel_values&#39;" in html


def test_a_sweep_with_nothing_done_still_reports_what_it_waits_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    config = Config(model=ModelSpec(name="m"), task=TASK, method=MethodSpec(name="untuned"))
    cell = freeze(store, "evaluate", config)
    content = {"schema": SCHEMA, "name": "new", "experiment": "", "cells": [cell.id, "gone"], "dropped": [], "code": ""}
    write_json(store.sweep("new").sweep_json, content)
    found = report.collect(store, store.sweep("new"))
    assert [m.id for m in found.missing] == [cell.id, "gone"]
    assert "No result yet" in page.html(found)
    assert "not started" in printed(found, 80)


def test_answers_without_metrics_are_called_not_scored(tmp_path: Path) -> None:
    found = make_sweep(tmp_path, MODELS[:1], PROMPTS, ("untuned", "full"), 4)
    row = found.done[0]
    found.store.cell(row.id).metrics.unlink()
    again = report.collect(found.store, found.store.sweep("places"))
    assert {m.id: m.state for m in again.missing}[row.id] == "unscored"


def test_an_adapter_is_compared_with_the_untuned_model_in_the_form_that_it_stands_on(tmp_path: Path) -> None:
    found = make_sweep(tmp_path, MODELS, PROMPTS, ("untuned", "untuned_nf4", "full", "qlora"), 4)
    methods = {row.id: row.method for row in found.done}
    pairs = {(d.method, methods[d.before]) for d in differences.differences(found) if d.model == MODELS[0]}
    assert pairs == {("full", "untuned"), ("qlora", "untuned_nf4")}
    alone = make_sweep(tmp_path / "alone", MODELS, PROMPTS, ("untuned", "full", "qlora"), 4)
    methods = {row.id: row.method for row in alone.done}
    pairs = {(d.method, methods[d.before]) for d in differences.differences(alone) if d.model == MODELS[0]}
    assert pairs == {("full", "untuned"), ("qlora", "untuned")}


@pytest.mark.parametrize("content", ["{", "[]", '{"metrics": {"median_km": {"value": 1}}}', '{"samples": 3}'])
def test_a_damaged_metrics_file_leaves_the_other_cells_reported_and_names_the_remedy(
    content: str, tmp_path: Path
) -> None:
    found = make_sweep(tmp_path, MODELS[:1], PROMPTS, ("untuned", "full"), 4)
    row = found.done[0]
    found.store.cell(row.id).metrics.write_text(content)
    again = report.collect(found.store, found.store.sweep("places"))
    assert {m.id: m.state for m in again.missing}[row.id] == "unscored"
    assert [r.id for r in again.done] == [r.id for r in found.done[1:]]
    for text in (printed(again, 200), page.html(again)):
        assert "paceline score places" in text


def test_brackets_in_names_and_messages_of_a_report_are_shown_as_they_are(tmp_path: Path) -> None:
    found = make_sweep(tmp_path, MODELS[:1], PROMPTS, ("untuned", "full"), 4)
    odd = replace(found.done[0], prompt="[/INST]", method="[rank0]")
    lost = replace(found.missing[0], message="at [/INST] on [rank0]")
    shown = printed(replace(found, rows=(odd, *found.rows[1:]), missing=(lost,)), 120)
    assert shown.count("[/INST]") > 1
    assert shown.count("[rank0]") > 1


def test_dropped_combinations_are_listed_with_their_reason(small: Report, html: str) -> None:
    for text in (html, export.markdown_text(small), printed(small, 120)):
        assert "smollm2_135m" in text
    assert "which smollm2_135m can&#39;t read" in html


def test_a_script_in_an_answer_stays_text(tmp_path: Path) -> None:
    found = make_sweep(tmp_path, MODELS, PROMPTS, ("untuned", "full"), 2)
    text = page.html(found)
    assert "&lt;script&gt;alert(&#39;x&#39;)" in text
    assert "<script>alert" not in text
    # Our own scripts are all that can run, and the policy names each by its digest; the others hold data.
    assert len(re.findall(r"<script>", text)) == len(page.SCRIPTS)
    assert len(re.findall(r"<script(?! type=.(?:application/json|text/plain).)", text)) == len(page.SCRIPTS)
    (policy,) = re.findall(r"script-src([^;]*);", text)
    assert re.fullmatch(r"( 'sha256-[\w+/=]{44}')+", policy) and policy.count("sha256") == len(page.SCRIPTS)


def test_the_page_asks_nothing_of_the_network(html: str) -> None:
    assert re.findall(r"https?://|//[a-z0-9-]+\.[a-z]|@import|url\(", re.sub(r"base64,[\w+/=]+", "", html)) == []
    assert "default-src 'none'" in html
    assert all(source.startswith("data:") for source in re.findall(r'(?:src|href)="([^"#]+)"', html))


def test_the_map_data_can_not_end_its_element() -> None:
    assert "</script" not in page._script_json(["</script><b>"])
    assert json.loads(page._script_json(["</script>"])) == ["</script>"]


def test_the_csv_file_gives_back_every_metric_exactly(small: Report, tmp_path: Path) -> None:
    export.write_csv(small, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    for row in small.done:
        written = {f"{r['split']}/{r['metric']}": r for r in lines if r["cell"] == row.id}
        assert written.keys() == row.metrics.keys()
        for name, metric in row.metrics.items():
            for part in ("value", "low", "high"):
                expected = getattr(metric, part)
                assert (float(written[name][part]) if written[name][part] else None) == expected
            assert (int(written[name]["n"]), written[name]["unit"]) == (metric.n, metric.unit)


def test_a_change_is_measured_on_the_same_samples_and_says_when_it_is_none(small: Report) -> None:
    tested = [d for d in differences.differences(small) if d.p is not None]
    assert {(d.metric, d.split) for d in tested} == {("within_750_km", split) for split in SPLITS}
    for d in differences.differences(small):
        assert ("can't be told apart" in d.verdict) == (d.low <= 0 <= d.high)
        assert d.n <= 20
        if d.metric == "median_km":
            before, after = (next(r for r in small.rows if r.id == i) for i in (d.before, d.after))
            read = [
                {s for s, o in zip(a.samples, a.outcomes, strict=True) if o == "parsed"}
                for a in (small.chosen(before, d.split), small.chosen(after, d.split))
            ]
            assert d.n == len(read[0] & read[1])


def test_p_values_are_corrected_over_the_whole_sweep(small: Report) -> None:
    from paceline import stats

    raw = []
    tested = [d for d in differences.differences(small) if d.p is not None]
    for d in tested:
        before, after = (next(r for r in small.rows if r.id == i) for i in (d.before, d.after))
        hits = [per_sample(small.chosen(row, d.split), KIND.metric(d.metric)).values > 0 for row in (before, after)]
        raw.append(stats.mcnemar_exact(*hits))
    assert [d.p for d in tested] == pytest.approx(stats.holm(raw))


def test_splits_are_never_mixed_when_the_data_is_gone(tmp_path: Path) -> None:
    found = make_sweep(tmp_path, MODELS, PROMPTS, ("untuned", "full"), 4)
    (samples.dataset_folder(tmp_path, TASK) / "manifest.json").unlink()
    again = report.collect(found.store, found.store.sweep("places"))
    assert differences.differences(again) == ()
    assert any("paceline prepare" in note for note in report_notes.notes(again))
    assert "<h1>places</h1>" in page.html(again)


def test_notes_tell_of_other_training_prompts_distances_and_equal_answers(tmp_path: Path) -> None:
    found = make_sweep(tmp_path, MODELS, PROMPTS, ("untuned", "full"), 4)
    first, other = found.done[0], next(row for row in found.done if row.model != found.done[0].model)
    folders = [found.store.cell(row.id) for row in (first, other)]
    folders[1].predictions.write_bytes(folders[0].predictions.read_bytes())
    folders[1].publish(folders[1].attempts()[-1], [folders[1].predictions], {})
    again = report.collect(found.store, found.store.sweep("places"))
    notes = "\n".join(report_notes.notes(again))
    assert "trained on geo_stepwise, asked geo_bare" in notes
    assert "test_near 12 km, test_far 640 km" in notes
    (same,) = sweeps.findings(again)
    assert (same.check, same.severity) == ("same_answers", "suspicious")
    assert other.model in same.row and first.model in same.why
    for text in (printed(again, 200), page.html(again), export.markdown_text(again)):
        assert "hold the same answers, byte for byte" in text


def test_the_results_of_a_sound_sweep_have_no_findings_and_no_section_about_them(small: Report, html: str) -> None:
    assert sweeps.findings(small) == ()
    assert export.as_json(small)["findings"] == []
    assert "Consistency" not in html


def test_metrics_that_are_older_than_the_scores_are_found_and_told_everywhere(tmp_path: Path) -> None:
    found = make_sweep(tmp_path, MODELS[:1], PROMPTS, ("untuned", "full"), 8)
    path = found.store.cell(found.done[0].id).metrics
    content = json.loads(path.read_text())
    for name, value in (("max_km", 30.0), ("within_100_km", 0.875), ("median_km", 2587.0), ("parsed_share", 0.5)):
        content["metrics"][f"test_near/{name}"]["value"] = value
    path.write_text(json.dumps(content))
    again = report.collect(found.store, found.store.sweep("places"))
    checks = {f.check for f in sweeps.findings(again)}
    assert {"order", "median_against_shares", "cases_beyond", "text_against_table"} <= checks
    text = printed(again, 120)
    assert "Consistency: " in text and "more than half within 100 km" in " ".join(text.split())
    assert 'id="consistency"' in page.html(again)
    assert "## Consistency" in export.markdown_text(again)
    assert export.as_json(again)["findings"]


def test_images_that_look_like_a_training_image_are_told_beside_the_tables(tmp_path: Path) -> None:
    found = make_sweep(tmp_path, MODELS[:1], PROMPTS, ("untuned", "full"), 4)
    path = samples.dataset_folder(tmp_path, TASK) / "manifest.json"
    kinds = {"test_near": {"bytes": 1, "pixels": 2, "looks": 13}, "test_far": {"bytes": 0, "pixels": 0, "looks": 0}}
    write_json(path, {**json.loads(path.read_text()), "leakage": kinds})
    notes = "\n".join(report_notes.notes(report.collect(found.store, found.store.sweep("places"))))
    assert "3 images of test_near are also in train, byte for byte or pixel for pixel" in notes
    assert "13 images of test_near look like an image of train" in notes
    assert "images of test_far" not in notes


def test_cells_that_differ_in_a_setting_are_told_apart_by_it(tmp_path: Path) -> None:
    found = make_sweep(tmp_path, MODELS[:1], PROMPTS[:1], ("untuned",), 2)
    config = found.store.cell(found.rows[0].id).read().config
    ids = [
        freeze(found.store, "evaluate", replace(config, generation=GenerationSpec(name="greedy", beams=n))).id
        for n in (1, 4)
    ]
    content = {"schema": SCHEMA, "name": "beams", "experiment": "", "cells": ids, "dropped": [], "code": ""}
    write_json(found.store.sweep("beams").sweep_json, content)
    rows = report.collect(found.store, found.store.sweep("beams")).rows
    assert [row.variant for row in rows] == ["beams=1", "beams=4"]


def test_cases_follow_the_rule_best_cell_then_nearest_median_and_farthest(small: Report) -> None:
    from paceline.report.analysis import examples

    group = small.groups[0]
    chosen = examples.choose(small, group)
    assert chosen is not None
    assert [row.method for row in chosen.rows] == ["full", "untuned"]  # no tuned cell of the second model is done
    for row in chosen.rows:
        answers = small.chosen(row, group.split)
        km = sorted(v for v in answers.scores["distance_km"] if not math.isnan(v))
        own = [r.error for c in chosen.cases if c.model == row.model for r in c.replies if r.model == row.model]
        assert own == [km[0], km[(len(km) - 1) // 2], km[-1]]
    assert all(len(case.replies) == len(chosen.rows) for case in chosen.cases)


def test_pictures_and_map_lines_are_capped_and_the_page_says_so(small: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    from paceline.report.page import pictures
    from paceline.report.page.charts import world_map

    (first, second) = [len(pictures.Pictures(small).get(TASK.name, s)) for s in (f"location_{i:06d}" for i in range(2))]
    monkeypatch.setattr(pictures, "BUDGET", min(first, second) + 1)
    monkeypatch.setattr(world_map, "FEWEST_LINES", 3)
    monkeypatch.setattr(world_map, "BUDGET", 9)
    text = page.html(small)
    assert len(set(re.findall(r'<img src="([^"]+)"', text))) == 2
    assert "To keep the file small, " in text and "pictures left out" in text
    assert "Left out to keep the file small: " in text
    panels = [(g.title, p) for g in small.groups for p in differences.panels(small, g) if p.key == "map"]
    views, _ = world_map.views(panels)
    assert len(views) == 3 and all(len(view["lines"]) <= 3 for view in views)


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_report_reads_well_without_colour(small: Report, width: int) -> None:
    text = printed(small, width)
    assert max(map(len, text.splitlines())) <= width
    check_golden(f"terminal_{width}.txt", text)


def test_the_markdown_report_is_what_was_accepted(small: Report) -> None:
    check_golden("report.md", export.markdown_text(small))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.0851, "share", "8.5"), (1232.4, "km", "1,232"), (5.46, "km", "5.5"), (0.88, "km", "0.88"), (None, "km", "–")],
)
def test_numbers_are_shown_as_precisely_as_they_are_known(value: float | None, unit: str, text: str) -> None:
    from paceline.report import wording

    assert wording.number(value, unit) == text


def test_a_forest_plot_leaves_no_mark_outside_its_frame(small: Report) -> None:
    from paceline.report.page.charts import forest

    for group in small.groups:
        for metric in group.headline:
            chart = forest.chart(group, metric)
            assert chart is not None and len(chart["ticks"]) >= 2
            for mark in (m for line in chart["lines"] for m in line["marks"]):
                assert chart["left"] <= mark["low"] <= mark["x"] <= mark["high"] <= chart["right"]


def test_a_long_table_shows_the_best_cells_and_says_how_many_more_there_are(
    small: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "MOST_RESULTS", 2)
    monkeypatch.setattr(terminal, "SUMMARY", replace(terminal.SUMMARY, rows=2))
    text = " ".join(printed(small, 120).split())
    assert "The best 2 cells by within 750 km; --all, the page and the CSV file have the other 4 too." in text
    assert f"paceline report {small.sweep} --all" in text
    everything = " ".join(printed(small, 120, everything=True).split())
    assert "The best" not in everything and "A summary" not in everything


def test_a_task_without_places_is_reported_without_a_map(tmp_path: Path) -> None:
    found = make_labels(tmp_path)
    (difference,) = differences.differences(found)
    assert (difference.difference, difference.p) == (pytest.approx(0.5), 2 / 2**5)
    text = page.html(found)
    assert "From the truth to the answer" not in text and "exact accuracy" in text
    assert "great-circle" not in printed(found, 80)


def test_agreement_over_prompts_is_not_made_up_from_ties() -> None:
    import numpy as np

    def tau(*rows: list[float]) -> float | None:
        found = prompt_sensitivity.agreement(np.array(rows))
        return found.tau if found else None

    assert tau([1.0, 2.0, 3.0], [10.0, 20.0, 30.0]) == pytest.approx(1.0)
    assert tau([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == pytest.approx(-1.0)
    assert tau([0.0, 0.0, 1.0], [0.0, 0.0, 5.0]) == pytest.approx(1.0)
    assert tau([1.0, 2.0, 3.0], [1.0, 3.0, 2.0]) == pytest.approx(1 / 3)
    assert tau([1.0, 2.0, 3.0], [2.0, 2.0, 2.0], [1.0, 2.0, 3.0]) == pytest.approx(1.0)
    assert tau([0.0, 0.0], [0.0, 0.0]) is None
    assert tau([1.0, 2.0]) is None


def test_the_mean_tau_and_its_interval_are_those_of_all_pairs_and_cover_the_truth() -> None:
    """Judges are drawn from a population of noisy ones, whose mean tau is known from many pairs."""
    import numpy as np
    from scipy.stats import kendalltau

    rng = np.random.default_rng(4)
    worth = np.arange(6) * 0.5
    table = np.round(worth + rng.normal(0, 1, (9, 6)))
    pairs = [kendalltau(table[i], table[j]).statistic for i in range(9) for j in range(i)]
    found = prompt_sensitivity.agreement(table)
    assert found is not None and found.tau == pytest.approx(np.mean(pairs))
    many = prompt_sensitivity.agreement(worth + rng.normal(0, 1, (4000, 6)))
    assert many is not None
    covered = 0
    for _ in range(600):
        one = prompt_sensitivity.agreement(worth + rng.normal(0, 1, (8, 6)))
        assert one is not None and one.low is not None and one.high is not None
        assert one.low <= one.tau <= one.high
        covered += one.low <= many.tau <= one.high
    assert 0.93 <= covered / 600 <= 0.97


def test_prompts_that_no_model_answered_all_of_still_have_their_means(small: Report) -> None:
    group = small.groups[0]
    a, b = group.rows[:2]
    rows = (a, b, replace(a, model="x", prompt="c"), replace(b, model="x", prompt="d"))
    found = prompt_sensitivity.prompt_sensitivity(replace(group, rows=rows), "median_km")
    assert found is not None and found.agreement is None
    assert [p.ranks for p in found.by_prompt] == [(), (), (), ()]


def test_reading_a_report_imports_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, paceline.report.page.page, paceline.report.text.terminal, paceline.report.text.export\n"
        "print([m for m in ('torch', 'transformers', 'wandb', 'PIL', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
