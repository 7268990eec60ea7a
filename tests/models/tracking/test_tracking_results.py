"""What W&B shows of a cell's results: the numbers of the report, a sample of answers with their images, files and where
they came from. Written by the SDK, read back from its files and from a service on loopback."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tracked_sweep
import wandb
from PIL import Image
from syncing import KEY, Lab
from tracked_sweep import SPLITS, cell_of
from wandb_server import serving

from paceline import report, tasks
from paceline.config.schema import Config, TaskSpec
from paceline.report.text import export
from paceline.store.cell_folder import CellFolder
from paceline.store.files import read_jsonl, write_json, write_jsonl
from paceline.store.root import Store
from paceline.tracking import answers_table, wandb_log
from paceline.tracking import wandb as backend


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("written")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_API_KEY", raising=False)
        patch.setenv("NETRC", str(root / "no-netrc"))
        tracked_sweep.make(root, "wandb")
    return root


@pytest.fixture
def lab(written: Path, tmp_path: Path) -> Iterator[Lab]:
    shutil.copytree(written, tmp_path / "root")
    shutil.move(written / "cells", written / "away")  # the pieces name it by its whole path, and it is elsewhere now
    try:
        with serving() as server:
            yield Lab(tmp_path / "root", server, tmp_path / "home")
    finally:
        shutil.move(written / "away", written / "cells")


def check_numbers(metrics: dict[str, Any], summary: dict[str, Any]) -> int:
    """Every value and interval of a report's row stands in a run's summary, to 1e-9, and no other."""
    expected = {}
    for name, metric in metrics.items():
        expected |= {name: metric["value"], f"{name}_low": metric["low"], f"{name}_high": metric["high"]}
    for name, value in expected.items():
        if value is None:
            assert name not in summary, name
        else:
            assert abs(summary[name] - value) <= 1e-9, name
    assert {name for name in summary if name.startswith(tuple(f"{s}/" for s in SPLITS))} <= set(expected)
    return len(expected)


def test_what_wandb_holds_equals_the_report(written: Path) -> None:
    store = Store(written)
    rows = export.as_json(report.collect(store, store.sweep("places")))["rows"]
    assert len(rows) == 2
    for row in rows:
        log = wandb_log.pieces(store.cell(row["id"]).attempts()[-1])[-1].path
        assert check_numbers(row["metrics"], wandb_log.summary(log)) > 100


def test_a_run_tells_what_it_cost_with_its_tuning_and_why_it_ended(written: Path) -> None:
    one = [wandb_log.summary(wandb_log.pieces(a)[-1].path) for a in cell_of(written, "evaluate", "untuned").attempts()]
    assert [s["cause"] for s in one] == ["code bug", "done"]
    assert one[0]["cost/hours"] < 0.1
    assert 2 < one[1]["cost/hours"] < 2.1  # the first attempt took two
    assert one[1]["cost/gpu_hours"] == pytest.approx(1, abs=1e-3)
    (tuned_one,) = cell_of(written, "evaluate", "lora").attempts()
    assert wandb_log.summary(wandb_log.pieces(tuned_one)[-1].path)["cost/gpu_hours"] == pytest.approx(1, abs=1e-3)


def test_the_table_holds_answers_of_all_the_data_with_their_images(lab: Lab) -> None:
    assert lab.sync()[:1] == (0,)
    run = lab.run_id(cell_of(lab.root, "evaluate", "lora").id)
    (made,) = [a for a in lab.server.artifacts.values() if a["type"] == "run_table" and a["run"] == run]
    assert made["state"] == "COMMITTED"
    content = json.loads(made["files"]["predictions.table.json"])
    rows = [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    assert [row["sample"] for row in rows] == ["s0", "s3", "s6", "s9", "s13"]
    assert {row["outcome"] for row in rows} > {"parsed"}
    truths = {s["sample"]: s for s in read_jsonl(cell_of(lab.root, "evaluate", "lora").scores)}
    for row in rows:
        picture = Image.open(io.BytesIO(made["files"][row["image"]["path"]]))
        assert (picture.format, picture.size) == ("JPEG", (256, 128))
        assert row["distance_km"] == truths[row["sample"]]["scores"]["distance_km"]
        assert row["truth"].endswith(")")
    told = lab.server.history(run)[-1]["predictions"]
    assert told["artifact_path"].startswith(f"wandb-client-artifact://{made['client']}")


def test_the_map_and_the_confusion_are_pictures_of_the_run(lab: Lab) -> None:
    assert lab.sync()[:1] == (0,)
    run = lab.run_id(cell_of(lab.root, "evaluate", "untuned").id)
    files = lab.server.runs[run]["files"]
    found = {n.split("/")[-1].partition("_")[0]: files[n] for n in files if n.startswith("media/images/")}
    assert sorted(found) == ["confusion", "map"]
    assert Image.open(io.BytesIO(found["map"])).size == answers_table.MAP_SIZE


def test_files_are_artifacts_and_a_cell_names_the_tuning_that_it_answers_with(lab: Lab) -> None:
    assert lab.sync()[:1] == (0,)
    made = {a["name"]: a for a in lab.server.artifacts.values() if a["type"] != "run_table"}
    assert all(a["state"] == "COMMITTED" for a in made.values())
    adapter, whole = (cell_of(lab.root, "finetune", m) for m in ("lora", "full"))
    cell = cell_of(lab.root, "evaluate", "lora")
    assert made[adapter.id]["type"] == "model"
    assert made[adapter.id]["files"]["adapter_model.safetensors"] == b"weights of lora"
    assert made[adapter.id]["metadata"]["uploaded"] is True
    # A whole model stays where it is: its place and its sizes are told.
    assert sorted(made[whole.id]["files"]) == ["manifest.json"]
    assert b'"ref":"file:///' in made[whole.id]["files"]["manifest.json"].replace(b" ", b"")
    assert made[whole.id]["metadata"]["bytes"] == {"adapter_model.safetensors": 15}
    assert made[cell.id]["type"] == "predictions"
    assert made[cell.id]["files"]["predictions.jsonl"] == cell.predictions.read_bytes()
    assert made[cell.id]["files"]["scores.jsonl"] == cell.scores.read_bytes()
    assert lab.server.used == [(lab.run_id(cell.id), adapter.id)]
    assert lab.sync()[:2] == (0, "places: 0 pieces of 0 cells uploaded, 0 left\n")
    assert len(lab.server.used) == 1


def test_a_failure_rings_once_and_runs_tell_what_they_are(lab: Lab) -> None:
    assert lab.sync()[:1] == (0,)
    cell = cell_of(lab.root, "evaluate", "untuned")
    (alert,) = lab.server.alerts
    assert (alert["runName"], alert["severity"]) == (lab.run_id(cell.id), "ERROR")
    assert alert["title"] == "code bug: tiny"
    assert "KeyError: 'pixel_values'" in alert["text"]
    assert f"paceline logs {cell.id[-12:]}" in alert["text"]
    run = lab.server.runs[lab.run_id(cell.id)]
    assert run["notes"].startswith("tiny asked geo_bare, untuned; sweep places, ")
    assert run["tags"] == ["tiny", "places", "geo_bare", "untuned"]
    assert run["state"] == "finished"


def test_scores_that_were_mended_are_shown_after_the_next_sync(lab: Lab) -> None:
    assert lab.sync()[:1] == (0,)
    store = Store(lab.root)
    cell = cell_of(lab.root, "evaluate", "lora")
    metrics = json.loads(cell.metrics.read_text())
    metrics["metrics"]["near/median_km"] |= {"value": 1 / 3, "low": 0.1, "high": 2 / 3}
    write_json(cell.metrics, metrics)
    assert lab.sync()[:2] == (0, "places: 1 piece of 1 cell uploaded, 0 left\n")
    (row,) = (r for r in report.collect(store, store.sweep("places")).rows if r.id == cell.id)
    assert row.metrics["near/median_km"].value == 1 / 3
    summary = lab.server.summary(lab.run_id(cell.id))
    flat = summary | {f"{s}/{k}": v for s in SPLITS for k, v in summary.get(s, {}).items()}
    assert check_numbers(row.as_json()["metrics"], flat) > 100
    assert lab.server.rows_received(lab.run_id(cell.id)) == 1
    assert lab.sync()[:2] == (0, "places: 0 pieces of 0 cells uploaded, 0 left\n")


def test_an_artifact_that_did_not_arrive_is_told_and_sent_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.hurry(monkeypatch)
    lab.server.refuse = lambda what, body: what == "put" and body["path"].endswith("adapter_model.safetensors")
    assert "W&B lacks 1 of 1 artifact" in lab.sync_here()[1]
    assert not lab.server.used
    lab.server.refuse = lambda what, body: False
    assert lab.sync_here()[1].startswith("places: 1 piece of 1 cell uploaded")
    assert len(lab.server.used) == 1


def test_a_table_is_capped_in_bytes_and_rows_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CellFolder(tmp_path)
    Image.effect_noise((300, 300), 90).save(tmp_path / "a.png")
    samples = [{"id": str(i), "image": str(tmp_path / "a.png")} for i in range(40)]
    write_jsonl(folder.predictions, [{"sample": s["id"], "text": "red"} for s in samples])
    scores = [{"sample": s["id"], "outcome": "parsed", "truth": "red", "value": "blue", "scores": {}} for s in samples]
    write_jsonl(folder.scores, scores)
    one = len(answers_table.thumbnail(tmp_path / "a.png") or b"")
    monkeypatch.setattr(answers_table, "MOST_BYTES", 3 * one + 10)
    found = answers_table.Results.read(folder, TaskSpec(kind="a_kind_of_another_checkout"), {}, samples, most=10)
    at = found.columns.index("image")
    assert [bool(row[at]) for row in found.rows] == [True] * 3 + [False] * 7
    assert [row[0] for row in found.rows][-1] == "39"
    assert list(found.pictures) == ["confusion"]


def drawn(kind: str, scores: list[dict[str, Any]]) -> list[str]:
    """The pictures that are made of some scores."""
    records = [{"sample": str(i), "outcome": "parsed", "scores": {}, **s} for i, s in enumerate(scores)]
    results = answers_table.results_of(tasks.known(kind), TaskSpec(kind=kind), "cell", records, [])
    return list(answers_table.pictures_of(answers_table.named(tasks.known(kind).panels(results))))


def test_pictures_of_odd_answers(tmp_path: Path) -> None:
    place = {"latitude": 64.0, "longitude": -179.0, "country": "RU"}
    over_the_date_line = {"truth": place, "value": [60.0, 179.0], "outcome": "parsed", "scores": {"distance_km": 400.0}}
    unread = {"truth": place, "value": None, "outcome": "refused", "scores": {"distance_km": None}}
    labels = [{"truth": f"label {i}", "value": f"label {i % 7}"} for i in range(40)]
    assert drawn("geolocation", [over_the_date_line, unread]) == ["map", "confusion"]
    assert drawn("geolocation", []) == drawn("other", []) == drawn("other", [{"truth": None, "value": None}]) == []
    assert drawn("other", labels) == ["confusion"]
    assert [answers_table.evenly(n, m) for n, m in ((0, 5), (3, 5), (5, 1), (9, 3), (4, 0))] == [
        [],
        [0, 1, 2],
        [0],
        [0, 4, 8],
        [],
    ]


def test_online_a_cell_names_its_tuning_at_once_and_a_sync_sends_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline = tracked_sweep.config
    monkeypatch.setattr(tracked_sweep, "config", lambda method, backend: online(offline(method, backend)))
    monkeypatch.setattr(backend, "STAGGER_SECONDS", 0.0)
    with serving() as server:
        lab = Lab(tmp_path / "root", server, tmp_path / "home")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        wandb.teardown()  # the SDK reads the environment once
        tracked_sweep.make(lab.root, "wandb")
        wandb.teardown()
        cell, adapter = cell_of(lab.root, "evaluate", "lora"), cell_of(lab.root, "finetune", "lora")
        assert server.used == [(lab.run_id(cell.id), adapter.id)]
        assert len(server.alerts) == 1
        assert {a["state"] for a in server.artifacts.values()} == {"COMMITTED"}
        posts = len(server.posts)
        assert lab.sync()[:2] == (0, "places: 5 pieces of 4 cells uploaded, 0 left\n")
        assert len(server.posts) == posts
        assert len(server.alerts) == 1


def online(made: Config) -> Config:
    return replace(made, tracking=replace(made.tracking, mode="online"))
