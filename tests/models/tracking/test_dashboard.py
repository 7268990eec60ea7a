"""`paceline dashboard`: one definition, W&B's own form of it read back offline, and a workspace that is made once."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile_shell
import pytest
import tracked_sweep
from syncing import KEY, Lab
from tracked_sweep import SPLITS, cell_of
from wandb_server import serving

from paceline import report
from paceline.report.read.sweep_results import Report
from paceline.store.files import read_json, write_json
from paceline.store.root import Store
from paceline.tracking import dashboard


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("written")
    tracked_sweep.make(root, "none")
    for n, folder in enumerate(sorted((root / "cells").iterdir())):
        write_json(folder / "tracking.json", {"schema": 1, "run_id": f"run{n}", "project": "geo", "entity": ""})
    return root


@pytest.fixture
def lab(written: Path, tmp_path: Path) -> Iterator[Lab]:
    shutil.copytree(written, tmp_path / "root")
    with serving() as server:
        yield Lab(tmp_path / "root", server, tmp_path / "home")


def collected(root: Path) -> Report:
    store = Store(root)
    return report.collect(store, store.sweep("places"))


def panels(view: dict[str, Any]) -> list[dict[str, Any]]:
    sections = view["spec"]["section"]["panelBankConfig"]["sections"]
    return [panel for section in sections for panel in section["panels"]]


def test_the_definition_is_printed_without_a_network_or_an_account(lab: Lab) -> None:
    del lab.environment["WANDB_API_KEY"]
    lab.environment["WANDB_BASE_URL"] = "http://127.0.0.1:9"
    code, out, err = lab.command("dashboard", "places", "--dry-run")
    assert (code, err) == (0, "")
    told = json.loads(out)
    view = told["view"]
    assert (view["project"], view["displayName"]) == ("geo", "paceline: places")
    sections = view["spec"]["section"]["panelBankConfig"]["sections"]
    assert [s["name"] for s in sections] == ["places · near", "places · far", "Failures", "Answers", "Training"]
    kinds = [panel["viewType"] for panel in panels(view)]
    assert {"Vega2", "Bar Chart", "Scatter Plot", "Run History Line Plot", "Media Browser", "Weave"} <= set(kinds)
    charts = [p["config"] for p in panels(view) if p["viewType"] == "Vega2"]
    assert {re.sub("-[0-9a-f]{8}$", "", c["panelDefId"]) for c in charts} == {
        "ENTITY/paceline-heat-map",
        "ENTITY/paceline-intervals",
    }
    for chart in charts:  # what a chart reads is there
        (query,) = chart["userQuery"]["queryFields"]
        (key,) = [f["args"][0]["value"] for f in query["fields"] if f["name"] == "summaryTable"]
        assert set(chart["fieldSettings"].values()) <= set(told["tables"][key]["columns"])
    (runs,) = view["spec"]["section"]["runSets"]
    assert '"places"' in json.dumps(runs["filters"])


def test_its_tables_are_the_report_to_the_last_digit(written: Path) -> None:
    found = collected(written)
    store = Store(written)
    tables = dashboard.define(found, store, store.sweep("places"))["tables"]
    rows = {row.id: row for row in found.rows}
    for split in SPLITS:
        content = tables[f"results/places/{split}"]
        assert len(content["rows"]) == 2
        for line in content["rows"]:
            told = dict(zip(content["columns"], line, strict=True))
            row = rows[told.pop("cell")]
            assert (told.pop("model"), told.pop("prompt"), told.pop("method")) == (row.model, row.prompt, row.label)
            assert told.pop("weights") == ("tuned" if row.tuned else "untuned")
            for name in found.groups[0].headline:
                metric = row.metrics[f"{split}/{name}"]
                assert [told.pop(n) for n in (name, f"{name}_low", f"{name}_high")] == [
                    metric.value,
                    metric.low,
                    metric.high,
                ]
            assert not told
    assert json.loads(json.dumps(tables)) == tables


def test_what_panels_read_of_runs_is_what_runs_are_given(written: Path) -> None:
    """Names in the definition are names in ``metrics.json``, of the curve, and of what a run's end tells."""
    store = Store(written)
    made = dashboard.define(collected(written), store, store.sweep("places"))
    named = {p[k] for s in made["sections"] for p in s["panels"] for k in ("x", "y", "key") if k in p}
    metrics = set(read_json(cell_of(written, "evaluate", "lora").metrics)["metrics"])
    assert named <= metrics | {"cost/hours", "cost/gpu_hours", "predictions", "failures"}
    assert named & metrics


def test_a_cell_that_another_sweep_ran_is_in_and_failures_are_told(lab: Lab) -> None:
    lost = cell_of(lab.root, "evaluate", "lora")
    lost.done_json.unlink()
    write_json(lost.attempts()[0].end_json, {"cause": "code bug", "message": "KeyError: 'x'", "seconds": 1})
    other = cell_of(lab.root, "finetune", "full")
    write_json(other.attempts()[0].start_json, {"schema": 1, "sweep": "before"})
    store = Store(lab.root)
    made = dashboard.define(collected(lab.root), store, store.sweep("places"))
    assert made["others"] == [other.id]
    assert made["tables"]["failures"]["rows"] == [[lost.id, "evaluate", "failed", "code bug", "KeyError: 'x'", 1]]
    view = dashboard.show(made)
    (text,) = [p["config"]["value"] for p in panels(view) if p["viewType"] == "Markdown Panel"]
    assert text == "**1 of 4 cells without a result**: 1 × code bug"
    assert other.id in json.dumps(view["spec"]["section"]["runSets"])


def test_a_workspace_is_made_and_brought_up_to_date(lab: Lab) -> None:
    code, out, err = lab.command("dashboard", "cities")  # the experiment's name
    assert (code, err) == (0, "")
    assert re.fullmatch(r"places: http://127\.0\.0\.1:\d+/lab/geo\?nw=\w+\n", out)
    ((key, view),) = lab.server.views.items()
    assert (view["entityName"], view["projectName"], view["type"]) == ("lab", "geo", "project-view")
    presets = {f"lab/{chart['chartName']}" for chart in lab.server.charts}
    assert {p["config"]["panelDefId"] for p in panels(view) if p["viewType"] == "Vega2"} == presets
    ((run_id, run),) = lab.server.runs.items()
    assert (run["group"], run["job_type"], run["state"]) == ("places", "report", "finished")
    made = [a for a in lab.server.artifacts.values() if a["run"] == run_id]
    assert len(made) == 3
    # What another experiment left in the shell makes no other.
    lab.environment.update(hostile_shell.variables(), WANDB_ENTITY="other-team")
    code, out, _ = lab.command("dashboard", "places", "--json")
    assert code == 0
    assert json.loads(out)["url"].endswith(view["name"].removeprefix("nw-").removesuffix("-v"))
    assert (list(lab.server.views), list(lab.server.runs)) == ([key], [run_id])
    assert len(lab.server.charts) == 2
    assert not lab.server.unknown
    files = [p for p in lab.root.rglob("*") if p.is_file()]
    assert not [p for p in files if KEY.encode() in p.read_bytes()]


@pytest.mark.parametrize(
    ("harm", "code", "said"), [("no key", 2, "wandb login"), ("unreachable", 3, "can't be reached")]
)
def test_what_hinders_is_told_with_the_remedy(
    harm: str, code: int, said: str, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    if harm == "no key":
        del lab.environment["WANDB_API_KEY"]
    else:
        lab.environment["WANDB_BASE_URL"] = "http://127.0.0.1:9"
    found, out, err = lab.command("dashboard")
    assert (found, out) == (code, "")
    assert said in err
    assert not (lab.root / "sweeps" / "places" / "dashboard.json").exists()


def test_a_sweep_without_tracking_says_what_to_do(lab: Lab) -> None:
    for folder in (lab.root / "cells").iterdir():
        (folder / "tracking.json").unlink()
    code, _, err = lab.command("dashboard", "places", "--dry-run")
    assert code == 2
    assert "tracking=wandb" in err
