"""What the report promises of heat maps, curves, regions, confusion, stated confidence, cost and failures."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import (
    MODELS,
    PROMPTS,
    SPLITS,
    TASK,
    again,
    attempted,
    finish,
    freeze,
    history,
    make_samples,
    make_sweep,
    printed,
    with_confidence,
)
from hypothesis import given
from hypothesis import strategies as st

from paceline import report, tasks
from paceline.config.schema import Config, ModelSpec, PromptSpec
from paceline.data import samples as prepared
from paceline.report.analysis import cost, differences, failures, training_curves
from paceline.report.page import page
from paceline.report.page.charts import by_class, calibration, curves, heat, outcomes, style
from paceline.report.page.charts import pareto as cost_chart
from paceline.report.read.sweep_results import Group, Report
from paceline.report.text import export
from paceline.store.cell_folder import Attempt
from paceline.store.files import SCHEMA, read_jsonl, write_json, write_jsonl
from paceline.store.root import Store
from paceline.tasks import labels
from paceline.tasks.calibration_error import calibration_error
from paceline.tasks.geolocation import by_region, gazetteer
from paceline.tasks.panels import (
    Calibration,
    CellClasses,
    CellResult,
    ClassFigures,
    Interval,
    Matrix,
    Measure,
    PerClass,
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return make_sweep(tmp_path_factory.mktemp("root"), MODELS, PROMPTS, ("untuned", "full"), 30)


def the(found: Report, group: Group, form: type) -> Any:
    """The group's panel of a form."""
    (panel,) = [panel for panel in differences.panels(found, group) if isinstance(panel, form)]
    return panel


def renumber(attempt: Attempt, n: int) -> Path:
    return attempt.path.rename(attempt.path.with_name(str(n)))


def with_failures(tmp_path: Path, gpus: int = 1, usd: float = 2.0) -> tuple[Report, str, str]:
    """A sweep whose first tuned cell succeeded at the third attempt, and its tuning at the second."""
    found = make_sweep(tmp_path, MODELS[:1], PROMPTS, ("untuned", "full"), 6)
    row = next(row for row in found.rows if row.tuned)
    row = replace(row) if row.state == "done" else row
    tuning = found.store.cell(row.tuned)
    first = renumber(tuning.attempts()[0], 2)
    attempted(first, "done", 4.0, gpus, usd)
    attempted(first.with_name("1"), "timeout", 1.0, gpus, usd)
    return found, row.id, row.tuned


def test_a_cell_that_succeeded_later_counts_its_failures(tmp_path: Path) -> None:
    found = make_sweep(tmp_path, MODELS, PROMPTS, ("untuned", "full"), 4)
    cell = found.store.cell(found.done[0].id)
    for n, cause in ((1, "preempted"), (2, "CUDA out of memory")):
        if n == 1:
            renumber(cell.attempts()[0], 3)
        attempted(cell.path / "attempts" / str(n), cause, 0.5, 1, message="" if n == 1 else "tried <b>2 GiB</b>")
    told = {f.cause: f for f in failures.of_sweep(again(found))}
    assert set(told) == {"preempted", "CUDA out of memory", "code bug"}
    for cause in ("preempted", "CUDA out of memory"):
        one = told[cause]
        assert (one.attempts, one.cells, one.recovered, one.lost_gpu_hours) == (1, 1, 1, 0.5)
        assert one.remedy and one.example == cell.id
    assert told["code bug"].recovered == 0  # the cell that is reported without a result
    assert told["code bug"].message == "KeyError: 'pixel_values'"
    html = page.html(again(found))
    assert 'id="failures"' in html and "tried &lt;b&gt;2 GiB&lt;/b&gt;" in html
    assert "What ended early" in printed(again(found), 100)
    assert "## What ended early" in export.markdown_text(again(found))
    assert {f["cause"] for f in export.as_json(again(found))["failures"]} == set(told)


def test_every_cause_has_a_remedy() -> None:
    from paceline.store.causes import CAUSES

    assert set(failures.REMEDIES) == set(CAUSES) - {"done"}


def test_an_attempt_that_lives_is_no_failure_and_one_that_was_killed_is(tmp_path: Path) -> None:
    from paceline.store.owner import this_process

    found = make_sweep(tmp_path, MODELS, PROMPTS, ("untuned", "full"), 4)
    waiting = found.store.cell(next(m.id for m in found.missing if not m.cause))
    attempt = waiting.new_attempt()
    write_json(attempt.start_json, {"schema": SCHEMA, "time": 1.0, "job": "", "world": 1, **this_process()})
    attempt.heartbeat.write_text(json.dumps({"schema": SCHEMA, "time": 2.0}))
    assert [f.cause for f in failures.of_sweep(again(found))] == ["code bug"]
    write_json(attempt.start_json, {"schema": SCHEMA, "time": 1.0, "job": "", "world": 1, **this_process(), "pid": 0})
    assert [f.cause for f in failures.of_sweep(again(found))] == ["code bug", "unknown"]


def test_cost_counts_all_attempts_and_a_shared_tuning_once_in_the_total(tmp_path: Path) -> None:
    found, _, tuned = with_failures(tmp_path)
    cells = [row for row in found.rows if row.tuned == tuned]
    for row in found.rows:
        for attempt in found.store.cell(row.id).attempts():
            attempted(attempt.path, "done" if row.state == "done" else "code bug", 0.25, 1, 2.0)
    now = again(found)
    costs = cost.of_cells(now)
    for row in cells:
        own = 0.25 * len(found.store.cell(row.id).attempts())
        one = costs[row.id]
        assert one.gpu_hours == pytest.approx(5 + own)
        assert one.usd == pytest.approx(2 * (5 + own))
        assert one.lost_gpu_hours == pytest.approx(1 + (own if row.state != "done" else 0))
        assert one.node_hours == 0
    total = cost.of_sweep(now)
    tries = sum(len(found.store.cell(row.id).attempts()) for row in found.rows)
    assert total.gpu_hours == pytest.approx(5 + 0.25 * tries)
    assert total.attempts == tries + 2
    assert f"{total.gpu_hours:.2f} GPU-hours ($" in wordings(now)


def wordings(found: Report) -> str:
    from paceline.report import wording

    return wording.cost(cost.of_sweep(found))


def test_hours_without_a_gpu_are_called_those_of_nodes_and_cost_no_dollars(tmp_path: Path) -> None:
    found, cell, _ = with_failures(tmp_path, gpus=0)
    now = again(found)
    one = cost.of_cells(now)[cell]
    assert one.gpu_hours == 0 and one.usd is None
    assert one.node_hours >= 2 * 5  # two nodes
    assert cost.unit_of(now) == "node-hours on CPU"
    html = page.html(now)
    assert "node-hours on CPU" in html and "GPU-hours" not in html.partition("<main>")[2].replace("GPU-hours held", "")


def test_dollars_are_told_only_where_every_attempt_has_a_rate(tmp_path: Path) -> None:
    found, cell, tuned = with_failures(tmp_path)
    attempted(found.store.cell(tuned).attempts()[0].path, "timeout", 1.0, 1, usd=0.0)
    assert cost.of_cells(again(found))[cell].usd is None


def test_the_rate_is_placement_and_changes_no_cell() -> None:
    from paceline.config.identity import identity_of
    from paceline.config.schema import ClusterSpec

    assert identity_of(replace(Config(), cluster=ClusterSpec(gpu_hour_usd=3.5)), "evaluate") == identity_of(
        Config(), "evaluate"
    )


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8)), min_size=1, max_size=24), st.booleans())
def test_the_front_is_what_no_other_beats(points: list[tuple[int, int]], lower: bool) -> None:
    sign = 1 if lower else -1
    found = cost.front([(float(a), float(b)) for a, b in points], lower)

    def beaten(i: int) -> bool:
        a, b = points[i][0], sign * points[i][1]
        return any((x <= a and sign * y <= b) and (x < a or sign * y < b) for x, y in points)

    assert {points[i] for i in found} == {points[i] for i in range(len(points)) if not beaten(i)}
    assert len({points[i] for i in found}) == len(found)


def test_the_cost_chart_marks_every_cell_inside_its_frame(tmp_path: Path) -> None:
    found = make_sweep(tmp_path, MODELS, PROMPTS, ("untuned", "full"), 8)
    for i, row in enumerate(found.done):
        attempted(found.store.cell(row.id).attempts()[0].path, "done", 0.1 + i, 2, 1.0)
    now = again(found)
    for group in now.groups:
        tradeoff = cost.tradeoff(now, group)
        assert tradeoff is not None and {p.id for p in tradeoff.points} == {row.id for row in group.rows}
        chart = cost_chart.chart(now, group, tradeoff)
        left, right, bottom, top = chart["frame"]
        assert all(left < m["x"] < right and top <= m["y"] <= bottom for m in chart["marks"])
        assert [p["n"] for p in chart["listed"]] == list(range(1, len(chart["listed"]) + 1))
        assert "GPU-hours" in chart["x_axis"] and "%" in chart["y_axis"]


def test_a_step_that_was_repeated_counts_once_as_it_went_into_the_weights(tmp_path: Path) -> None:
    found = make_sweep(tmp_path, MODELS[:1], PROMPTS, ("untuned", "full"), 2)
    folder = found.store.cell(found.tunings[0].id)
    history(folder.attempts()[0], [{"step": s, "loss": 10.0 - s} for s in range(1, 7)])
    history(folder.attempts()[0], [{"step": 4, "validation_loss": 7.5}, {"step": 6, "validation_loss": 9.9}])
    history(folder.new_attempt(), [{"step": s, "loss": 5.0 - s / 10} for s in (5, 6)])
    folder.new_attempt()  # one that was killed before its first step
    history(folder.new_attempt(), [{"step": s, "loss": 2.0} for s in (6, 7)] + [{"step": 7, "validation_loss": 2.5}])
    (curve,) = training_curves.curves(again(found))
    assert curve.loss == ((1, 9.0), (2, 8.0), (3, 7.0), (4, 6.0), (5, 4.5), (6, 2.0), (7, 2.0))
    assert curve.validation == ((4, 7.5), (7, 2.5))
    assert curve.resumed == (5, 6)
    assert curve.last == 2.5
    (told,) = export.as_json(again(found))["curves"]
    assert told["cell"] == folder.id and told["loss"][-1] == (7, 2.0)
    assert 'id="curves"' in page.html(again(found))


def test_many_and_long_curves_are_drawn_within_their_frame_and_said_to_be_left_out(
    small: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "MOST_GREY", 3)
    rng = np.random.default_rng(0)
    made = [
        training_curves.Curve(
            replace(small.tunings[0], id=str(i), variant=f"lora.r={i}"),
            tuple((s, float(6 / s**0.3 * rng.uniform(0.9, 1.1))) for s in range(1, 1001)),
            ((500, 2.0 + i), (1000, 1.5 + i)),
            (),
        )
        for i in range(12)
    ]
    (panel,) = curves.charts(made)
    assert (panel["grey"], panel["left_out"]) == (3, 3)
    assert [m["name"] for m in panel["legend"]] == [f"full (lora.r={i})" for i in range(6)]
    assert len({(m["colour"], m["shape"]) for m in panel["legend"]}) == 6
    assert panel["mean_of"] == 9
    left, right, bottom, top = panel["frame"]
    for line in panel["lines"]:
        pairs = [tuple(map(float, p.split())) for p in line["d"].lstrip("M").split("L")]
        assert len(pairs) <= training_curves.MOST_POINTS
        assert all(left <= x <= right and top <= y <= bottom for x, y in pairs)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=700))
def test_thinning_a_curve_keeps_its_mean(values: list[float]) -> None:
    points = list(enumerate(values, 1))
    size = math.ceil(len(values) / training_curves.MOST_POINTS)
    thinned = training_curves.thinned(points)
    assert len(thinned) <= training_curves.MOST_POINTS
    whole = thinned[: len(values) // size]
    assert np.mean([v for _, v in whole]) == pytest.approx(np.mean(values[: len(whole) * size]), abs=1e-9)


def test_every_country_lies_in_one_region() -> None:
    assert set(by_region.regions()) == set(gazetteer.country_names())
    names = Counter(subregion for _, subregion in set(by_region.regions().values()))
    assert set(names.values()) == {1} and len(names) == 23  # the 22 of M49, and Antarctica
    for code, region, subregion in (
        ("CH", "Europe", "Western Europe"),
        ("MX", "Latin America and the Caribbean", "Central America"),
        ("CY", "Asia", "Western Asia"),
        ("RU", "Europe", "Eastern Europe"),
        ("SD", "Africa", "Northern Africa"),
        ("GU", "Oceania", "Micronesia"),
    ):
        assert by_region.regions()[code] == (region, subregion)


def test_error_by_region_counts_each_image_once_and_an_unread_answer_as_a_miss(small: Report) -> None:
    group = small.groups[0]
    panel = the(small, group, PerClass)
    records, charts = panel.records or (), by_class.charts(panel)
    assert len(records) == len(charts) > 1
    for found, chart in zip(records, charts, strict=True):
        row = next(row for row in group.rows if row.id == found["id"])
        answers = small.chosen(row, group.split)
        wholes = [r for r in found["regions"] if not r.subregion]
        assert sum(r.n for r in wholes) == len(answers.samples)
        for whole in wholes:
            parts = [r for r in found["regions"] if r.region == whole.region and r.subregion]
            assert not parts or sum(r.n for r in parts) == whole.n
            own = [
                km
                for km, code in zip(answers.scores["distance_km"], answers.columns["country"], strict=True)
                if by_region.regions()[code][0] == whole.region
            ]
            near = sum(km <= found["threshold_km"] for km in own)
            assert whole.within.value == pytest.approx(near / len(own))
            read = [km for km in own if not math.isnan(km)]
            assert whole.median_km.n == len(read)
            assert whole.median_km.value == (pytest.approx(np.median(read)) if read else None)
        for side, i in zip(chart["panels"], (0, 1), strict=True):
            low, high = side["ends"]
            marks = [line["marks"][i] for line in chart["lines"] if len(line["marks"]) > i]
            assert all(low <= m["low"] <= m["x"] <= m["high"] <= high for m in marks)


def test_figures_by_class_without_an_interval_are_drawn_on_an_axis_that_has_a_length() -> None:
    def line(name: str, *values: float | None) -> ClassFigures:
        return ClassFigures(name, False, 11, tuple(Interval(v, None, None, 11) for v in values))

    classes = (line("a.pdf", 0.45, 0.0), line("b.pdf", 0.64, None))
    measures = (Measure("answered", "answered", "share"), Measure("carried", "carried", "share"))
    cells = (CellClasses("x", "x", classes),)
    panel = PerClass("d", "D", "D", about="", noun="", counted="", measures=measures, cells=cells, caption="")
    (chart,) = by_class.charts(panel)
    assert [len(line["marks"]) for line in chart["lines"]] == [2, 1]
    assert all(mark["low"] == mark["x"] == mark["high"] for line in chart["lines"] for mark in line["marks"])
    assert [tick["text"] for tick in chart["panels"][1]["ticks"]][-1] == "100"


def test_a_table_of_outcomes_has_a_column_for_what_its_kind_knows_and_what_was_found(small: Report) -> None:
    group = small.groups[0]
    found = {name for row in group.rows for name in small.chosen(row, group.split).outcomes}
    for kind in ("geolocation", "classification"):
        known = {outcome.name for outcome in tasks.load(kind).outcomes}
        for bar in outcomes.bars(small, replace(group, kind=tasks.load(kind))):
            assert {part["name"] for part in bar["parts"]} == known | found
            assert sum(part["count"] for part in bar["parts"]) == bar["n"]


def test_a_confusion_matrix_holds_every_image_and_what_was_not_read(small: Report) -> None:
    for group in small.groups:
        for found in the(small, group, Matrix).cells:
            row = next(row for row in group.rows if row.id == found.id)
            outcomes = small.chosen(row, group.split).outcomes
            assert sum(map(sum, found.counts)) == len(outcomes)
            unread = found.answers.index(labels.UNREAD)
            assert sum(counts[unread] for counts in found.counts) == len(outcomes) - outcomes.count("parsed")
            right = sum(found.counts[i][found.answers.index(t)] for i, t in enumerate(found.truths))
            assert found.right.value == pytest.approx(right / len(outcomes))


def test_a_perfect_answer_is_in_its_own_region(tmp_path: Path) -> None:
    samples = make_samples(tmp_path, 12)
    store = Store(tmp_path)
    cell = freeze(store, "evaluate", Config(model=ModelSpec(name="m"), task=TASK, prompt=PromptSpec(name="p")))
    # The places of the cities, not the blurred ones: those may lie in the sea between two regions.
    from builders import CITIES

    truth = {city: (lat, lon) for _, _, city, lat, lon in CITIES}
    for sample in samples:
        sample["latitude"], sample["longitude"] = truth[sample["city"]]
    finish(store, cell, samples, 0.0, 0.0)
    content = {"schema": SCHEMA, "name": "s", "experiment": "", "cells": [cell.id], "dropped": [], "code": ""}
    write_json(store.sweep("s").sweep_json, content)
    found = report.collect(store, store.sweep("s"))
    (confusion,) = the(found, found.groups[0], Matrix).cells
    assert confusion.right.value == 1.0


def test_classes_beyond_the_most_frequent_are_put_together(small: Report) -> None:
    group = small.groups[0]
    cell = CellResult("c", "a cell", lambda: small.chosen(group.rows[0], group.split))
    pairs = [("a", "a")] * 5 + [("b", "c")] * 3 + [("c", "")] + [("d", "a")]
    order = ["a", "b"]
    found = labels.matrix_of(cell, pairs, order)
    assert found.truths == ("a", "b", "other")
    assert found.answers == ("a", "b", "other", labels.UNREAD)
    assert found.counts == ((5, 0, 0, 0), (0, 0, 3, 0), (1, 0, 0, 1))
    assert found.right.value == 0.5


def test_calibration_error_by_hand() -> None:
    stated = np.array([0.9, 0.9, 0.95, 0.2, 0.25, 1.0])
    hits = np.array([True, False, True, False, True, True])
    error, bins = calibration_error(stated, hits)
    # Three bins: 0.2–0.3 (2 answers, stated 0.225, right 0.5), 0.9–1.0 (4, stated 0.9375, right 0.75).
    assert [(b.low, b.right.n) for b in bins] == [(0.2, 2), (0.9, 4)]
    assert error == pytest.approx((2 * abs(0.5 - 0.225) + 4 * abs(0.75 - 0.9375)) / 6)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_bins_hold_every_answer_once(answers: list[tuple[float, bool]]) -> None:
    stated = np.array([c for c, _ in answers])
    error, bins = calibration_error(stated, np.array([h for _, h in answers]))
    assert sum(b.right.n for b in bins) == len(answers)
    assert 0 <= error <= 1
    for b in bins:
        assert b.low - 1e-9 <= b.confidence <= b.high + 1e-9


def test_who_is_as_right_as_he_says_has_a_small_error_and_who_boasts_a_large_one() -> None:
    rng = np.random.default_rng(1)
    stated = rng.uniform(0, 1, 20_000)
    honest, _ = calibration_error(stated, rng.random(20_000) < stated)
    boast, _ = calibration_error(stated, rng.random(20_000) < stated / 2)
    assert honest < 0.02
    assert boast == pytest.approx(0.25, abs=0.02)


def test_reliability_is_told_where_enough_answers_state_it(tmp_path: Path) -> None:
    found = with_confidence(make_sweep(tmp_path, MODELS, PROMPTS, ("untuned", "full"), 30))
    for group in found.groups:
        panel = the(found, group, Calibration)
        told = panel.cells
        assert {r.id for r in told} == {row.id for row in group.rows} - {found.done[0].id}
        assert {r.level for r in told} == {"country"}
        for one in told:
            answers = found.chosen(next(row for row in group.rows if row.id == one.id), group.split)
            hits = np.nan_to_num(answers.scores["distance_km"], nan=np.inf) <= 750
            assert one.right.value == pytest.approx(hits.mean())
        for cell in calibration.charts(panel):
            for level in cell["panels"]:
                left, right, foot, top = level["frame"]
                marks = level["marks"]
                assert all(left <= m["x"] <= right and top <= m["high"] <= m["y"] <= m["low"] <= foot for m in marks)
    assert 'id="reliability"' in page.html(found)
    assert "stated confidence" in printed(found, 120)
    assert export.as_json(found)["reliability"][0]["bins"]


def test_no_section_stands_where_there_is_nothing_to_show(small: Report) -> None:
    html = page.html(small)
    assert 'id="reliability"' not in html and 'id="curves"' not in html
    for section in ("heat", "regions", "confusion"):
        assert f'<section id="{section}">' in html and f'href="#{section}"' in html


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_the_heat_scale_darkens_all_the_way_and_its_text_can_be_read() -> None:
    """Luminance is what grey print and every kind of colour vision keep; contrast as WCAG 2.2 defines it."""
    levels = [luminance(heat.colour(i / 100)[0]) for i in range(101)]
    assert all(a > b for a, b in itertools.pairwise(levels))
    ink = luminance("#10202b")
    for i, level in enumerate(levels):
        contrast = 1.05 / (level + 0.05) if heat.colour(i / 100)[1] else (level + 0.05) / (ink + 0.05)
        assert contrast >= 4


def test_the_best_cell_of_a_heat_map_is_marked_and_darkest_whichever_way_is_better(small: Report) -> None:
    for group in small.groups:
        for metric in ("median_km", "within_750_km"):
            chart = heat.charts(small, group, metric)
            assert chart is not None
            cells = [c for m in chart["maps"] for line in m["lines"] for c in line["cells"] if c]
            assert len(cells) == len([row for row in group.rows if group.metric(row, metric)])
            (best,) = [c for c in cells if c["best"]]
            value = group.metric(group.rank(metric)[0], metric)
            assert value is not None and best["text"] in best["told"]
            ranked = {row.model + " · " + row.prompt + " · " + row.label for row in group.rank(metric)}
            raced = [c for c in cells if c["told"].partition(":")[0] in ranked]
            assert luminance(best["fill"]) == min(luminance(c["fill"]) for c in raced)


def test_styles_tell_twelve_things_apart() -> None:
    names = [str(i) for i in range(12)]
    assert len(set(style.styles(names).values())) == 12
    assert style.styles(["a", "b"], plain=["a"])["a"] == (style.UNTUNED, "ring")


def test_the_new_figures_are_in_the_json_too(small: Report) -> None:
    told = json.loads(json.dumps(export.as_json(small)))
    assert {r["split"] for r in told["regions"]} == set(SPLITS)
    assert {c["split"] for c in told["confusions"]} == set(SPLITS)
    assert told["cost"]["sweep"]["attempts"] == cost.of_sweep(small).attempts
    assert set(told["cost"]["cells"]) <= {row.id for row in small.rows}


def test_a_report_without_its_data_still_has_its_regions_and_no_country_is_no_error(tmp_path: Path) -> None:
    found = make_sweep(tmp_path, MODELS[:1], PROMPTS, ("untuned", "full"), 4)
    for row in found.done:
        path = found.store.cell(row.id).scores
        write_jsonl(path, [{**r, "truth": {**r["truth"], "country": None}} for r in read_jsonl(path)])
    now = again(found)
    assert all(the(now, group, form).cells == () for group in now.groups for form in (PerClass, Matrix))
    assert "<h1>places</h1>" in page.html(now)
    assert prepared.dataset_folder(tmp_path, TASK).exists()


def test_many_methods_and_tunings_are_chosen_from_and_the_rest_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heat, "FEW", 1)
    monkeypatch.setattr(curves, "MOST_NAMED", 0)
    found = make_sweep(tmp_path, MODELS[:1], PROMPTS, ("untuned", "full", "qlora"), 6)
    for tuning in found.tunings:
        history(found.store.cell(tuning.id).attempts()[0], [{"step": s, "loss": 3.0 / s} for s in range(1, 5)])
    html = page.html(again(found))
    assert 'data-figures="h-1-within_750_km"' in html
    assert "2 more</span>" in html  # the tunings, in grey


def test_a_long_table_of_the_page_shows_the_best_cells_and_says_how_many_more_there_are(
    small: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MOST_ROWS", 3)
    monkeypatch.setattr(page, "MOST_BARS", 2)
    monkeypatch.setattr(page, "MOST_DIFFERENCES", 1)
    html = page.html(small)
    for group in small.groups:
        left = len(group.rows) - 3
        assert f"The best 3 cells by within 750 km; the CSV file has the other {left} too." in html
        assert f"Of {len(group.rows)} cells the best 2 by within 750 km." in html
        best = {row.id for row in group.rank("within_750_km")[:3]}
        assert all(f'<tr title="{cell}">' in html for cell in best)
    assert "has the other 1 too" in html
