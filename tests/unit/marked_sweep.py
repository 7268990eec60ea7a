"""A sweep of captions to be marked by hand, made without a model: what the tests of marks share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from paceline import report
from paceline.config.identity import identity_of
from paceline.config.schema import Config, MethodSpec, ModelSpec, PromptSpec, TaskSpec
from paceline.data import samples as prepared
from paceline.report.read.sweep_results import Report
from paceline.scoring.judge import judge
from paceline.store.cell_folder import Cell
from paceline.store.files import SCHEMA, digest, file_digest, write_json, write_jsonl
from paceline.store.root import Store

TASK = TaskSpec(name="captions", kind="captioning", reader="stamps", evaluate=["test"])
SAMPLES = 24
SPORTS = ("rowing", "hurdles", "bowling", "rugby", "fencing", "judo")
CELLS = (("caption_short", "untuned"), ("four_examples", "untuned"), ("caption_short", "qlora"))
NASTY = '=HYPERLINK("http://example.org";"A, b")\nsecond line, "quoted"; é 漢'
"""A caption that a spreadsheet program would run, with each of the separators."""


def make_samples(root: Path, count: int = SAMPLES, task: TaskSpec = TASK) -> list[dict]:
    """Prepared captions with flat pictures."""
    from PIL import Image

    folder = prepared.dataset_folder(root, task)
    (folder / "images").mkdir(parents=True)
    samples = []
    for i in range(count):
        name = f"{i:06d}"
        path = folder / "images" / f"{name}.png"
        Image.new("RGB", (96, 64), (60 + 7 * i % 180, 90, 200 - 5 * i)).save(path)
        sport = SPORTS[i % len(SPORTS)]
        samples.append(
            {
                "id": name,
                "split": "test",
                "image": f"images/{name}.png",
                "sha256": file_digest(path),
                "references": [f"Two people at {sport}.", f"A picture of {sport}."],
            }
        )
    write_jsonl(folder / "samples.jsonl", samples)
    manifest = {"schema": SCHEMA, "digest": digest("data"), "splits": {"test": count}, "leaks": {"test": 0}}
    write_json(folder / "manifest.json", manifest)
    return samples


def caption(cell: int, sample: int) -> str:
    """What a cell answers: the first two cells give the same answer to every third picture."""
    if sample == 0 and cell == 2:
        return NASTY
    if sample % 3 == 0 and cell < 2:
        return f"A picture of sport {sample}."
    return f"{('Some', 'Two', 'Three')[cell]} people at {SPORTS[sample % len(SPORTS)]}, number {sample}."


def answer(store: Store, cell: Cell, samples: list[dict], captions: Callable[[int], str]) -> None:
    """Give a cell the files of a finished one, or of one that answered anew."""
    folder = store.cell(cell.id)
    attempt = folder.new_attempt()
    predictions = [{"sample": s["id"], "text": captions(i), "finish": "stop"} for i, s in enumerate(samples)]
    scores, metrics = judge(cell.config, predictions, samples)
    write_json(attempt.start_json, {"schema": SCHEMA})
    write_json(attempt.end_json, {"schema": SCHEMA, "cause": "done", "message": "", "seconds": 3.0, "peaks": {}})
    write_jsonl(folder.predictions, predictions)
    write_jsonl(folder.scores, scores)
    write_json(folder.metrics, metrics)
    folder.publish(attempt, [folder.predictions], {"samples": len(samples)})


def make_sweep(root: Path, count: int = SAMPLES) -> Report:
    """Three cells: zero-shot, four examples, tuned."""
    store, ids = Store(root), []
    samples = make_samples(root, count)
    for c, (prompt, method) in enumerate(CELLS):
        trains = "nothing" if method == "untuned" else "adapter"
        config = Config(
            model=ModelSpec(name="idefics_9b", family="idefics"),
            task=TASK,
            prompt=PromptSpec(name=prompt, text=f"What is a caption for this photo? ({prompt})"),
            method=MethodSpec(name=method, trains=trains),
        )
        identity = {**identity_of(config, "evaluate"), "data": digest("data")}
        if method != "untuned":
            identity["tuned"] = "finetune-elsewhere"
        cell = Cell(f"evaluate-{prompt}-{method}-{digest(identity, 12)}", "evaluate", identity, ())
        store.cell(cell.id).freeze(cell)
        answer(store, cell, samples, lambda i, c=c: caption(c, i))
        ids.append(cell.id)
    content = {"schema": SCHEMA, "name": "sports", "experiment": "", "overrides": [], "cells": ids, "dropped": []}
    placed = {"placements": [{}], "placed": dict.fromkeys(ids, 0), "code": ""}
    write_json(store.sweep("sports").sweep_json, {**content, **placed})
    return again(store)


def again(store: Store) -> Report:
    """The sweep as it is now."""
    return report.collect(store, store.sweep("sports"))
