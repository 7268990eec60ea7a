"""A small sweep whose cells are done: real cell files, answers judged by the task's own scorer, and its tracking."""

from __future__ import annotations

from pathlib import Path

import pytest
from finetune_twin import ToyRun
from PIL import Image

from paceline.config.identity import clear_inactive, identity_of
from paceline.config.schema import Config, MethodSpec, ModelSpec, PromptSpec, TaskSpec, TrackingSpec
from paceline.scoring import judge
from paceline.store.cell_folder import Cell, CellFolder
from paceline.store.files import digest, write_json, write_jsonl
from paceline.store.root import Store
from paceline.tracking import tracker as tracking

SPLITS = ["near", "far"]
CITIES = [(46.95, 7.44, "CH", "Bern"), (-41.29, 174.78, "NZ", "Wellington"), (61.22, -149.9, "US", "Anchorage")]
ANSWERS = [
    "46.5, 7.1",
    "It lies at -41.3, 174.8.",
    "I can't tell.",
    "62.0, 179.5",
    "95.1, 400.2",
    "46.95, 7.44",
    "0, 0",
]


def config(method: MethodSpec, backend: str) -> Config:
    return Config(
        model=ModelSpec(name="tiny", family="qwen2_vl"),
        task=TaskSpec(name="places", kind="geolocation", reader="sidecar", evaluate=SPLITS),
        prompt=PromptSpec(name="geo_bare", text="Where?"),
        method=method,
        tracking=TrackingSpec(backend=backend, samples=5),
    )


def frozen(store: Store, kind: str, made: Config, needs: tuple[str, ...] = ()) -> Cell:
    identity = {**identity_of(clear_inactive(made, kind), kind), "data": "d"}
    if needs:
        identity["tuned"] = needs[0]
    cell = Cell(f"{kind}-tiny-{made.method.name}-{digest([kind, identity], 12)}", kind, identity, needs)
    store.cell(cell.id).freeze(cell)
    return cell


def begin(store: Store, cell: Cell, made: Config) -> ToyRun:
    folder = store.cell(cell.id)
    return ToyRun(folder, folder.new_attempt(), cell, made, sweep="places")


def end(run: ToyRun, cause: str = "done") -> None:
    write_json(run.attempt.start_json, {"schema": 1})
    write_json(run.attempt.end_json, {"cause": cause, "message": "", "seconds": 7200.0, "gpu_seconds": 3600.0})


def tuned(store: Store, method: MethodSpec, backend: str) -> Cell:
    """A finetune cell that is done, with weights of a few bytes."""
    made = config(method, backend)
    cell = frozen(store, "finetune", made)
    run = begin(store, cell, made)
    (run.folder.weights).mkdir()
    (run.folder.weights / "adapter_model.safetensors").write_bytes(b"weights of " + method.name.encode())
    with tracking.tracked(run) as tracker:
        tracker.log(1, {"loss": 1.0})
        tracker.weights(run.folder.weights)
    assert not run.notes
    end(run)
    run.folder.publish(run.attempt, list(run.folder.weights.iterdir()), {})
    return cell


def answered(
    store: Store, method: MethodSpec, backend: str, needs: tuple[str, ...] = (), interrupted: bool = False
) -> Cell:
    """An evaluate cell that is done, its answers judged by the task's own scorer."""
    made = config(method, backend)
    cell = frozen(store, "evaluate", made, needs)
    if interrupted:
        run = begin(store, cell, made)
        with pytest.raises(KeyError), tracking.tracked(run):
            raise KeyError("pixel_values")
        end(run, "code bug")
    run = begin(store, cell, made)
    samples = []
    for i in range(14):
        lat, lon, country, city = CITIES[i % 3]
        path = store.root / "images" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (640, 320), (i * 17, 90, 120)).save(path)
        place = {"latitude": lat, "longitude": lon, "country": country, "region": None, "city": city}
        samples.append({"id": f"s{i}", "split": SPLITS[i % 2], "image": str(path), **place})
    texts = [ANSWERS[(i + len(method.name)) % len(ANSWERS)] for i in range(14)]
    predictions = [{"sample": s["id"], "text": text} for s, text in zip(samples, texts, strict=True)]
    scores, metrics = judge.judge(made, predictions, samples)
    with tracking.tracked(run) as tracker:
        write_jsonl(run.folder.predictions, predictions)
        write_jsonl(run.folder.scores, scores)
        write_json(run.folder.metrics, metrics)
        run.folder.publish(run.attempt, [run.folder.predictions], {})
        tracker.results(metrics, samples)
    assert not run.notes
    end(run)
    return cell


def make(root: Path, backend: str) -> None:
    """A root with a sweep: untuned, an adapter, and a whole model; one cell was taken up again."""
    store = Store(root)
    adapter, whole = MethodSpec(name="lora", trains="adapter"), MethodSpec(name="full", trains="all")
    tunings = [tuned(store, adapter, backend), tuned(store, whole, backend)]
    cells = [
        answered(store, MethodSpec(name="untuned"), backend, interrupted=True),
        answered(store, adapter, backend, (tunings[0].id,)),
        *tunings,
    ]
    content = {"schema": 1, "name": "places", "cells": [c.id for c in cells], "overrides": [], "dropped": []}
    write_json(store.sweep("places").sweep_json, {**content, "experiment": "cities"})


def cell_of(root: Path, kind: str, method: str) -> CellFolder:
    """The one cell of a kind and a method."""
    (path,) = root.glob(f"cells/{kind}-*-{method}-*")
    return CellFolder(path)
