"""Sweeps with results, made without a model: what the tests of reports share."""

from __future__ import annotations

import difflib
import io
import math
import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paceline import report
from paceline.config.identity import clear_inactive, identity_of, placement_of
from paceline.config.schema import Config, GenerationSpec, MethodSpec, ModelSpec, PlacementSpec, PromptSpec, TaskSpec
from paceline.data import samples as prepared
from paceline.report.read.sweep_results import Report
from paceline.report.text import terminal
from paceline.store.cell_folder import Attempt, Cell
from paceline.store.files import SCHEMA, append_jsonl, digest, file_digest, read_jsonl, write_json, write_jsonl
from paceline.store.root import Store
from paceline.tasks import load

KIND = load("geolocation")
GOLDEN = Path(__file__).parent / "golden" / "report"
SPLITS = ["test_near", "test_far"]
TASK = TaskSpec(name="geolocation_earth", kind="geolocation", reader="earth", evaluate=SPLITS)
SCRIPT = "<script>alert('x')</script> I think [46.2, 7.4]"
MODELS = ("tiny_qwen2_vl", "tiny_pixtral")
PROMPTS = ("geo_stepwise", "geo_bare")
CITIES = (
    ("CH", "Zurich", "Zurich", 47.37, 8.54),
    ("JP", "Tokyo", "Tokyo", 35.69, 139.69),
    ("NZ", "Auckland", "Auckland", -36.85, 174.76),
    ("BR", "Sao Paulo", "Sao Paulo", -23.55, -46.63),
    ("US", "Alaska", "Anchorage", 61.22, -149.9),
    ("KE", "Nairobi Area", "Nairobi", -1.28, 36.82),
)


def distance_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    (p, l1), (q, l2) = (tuple(map(math.radians, x)) for x in (a, b))
    h = math.sin((q - p) / 2) ** 2 + math.cos(p) * math.cos(q) * math.sin((l2 - l1) / 2) ** 2
    return 2 * 6371.0088 * math.asin(math.sqrt(h))


def make_samples(root: Path, per_split: int) -> list[dict]:
    """Prepared data as ``paceline prepare`` leaves it, with flat-coloured pictures."""
    from PIL import Image

    rng = random.Random(3)
    folder = prepared.dataset_folder(root, TASK)
    (folder / "images").mkdir(parents=True)
    samples = []
    for split in SPLITS:
        for i in range(per_split):
            country, region, city, lat, lon = rng.choice(CITIES)
            name = f"location_{len(samples):06d}"
            colour = tuple(rng.randrange(40, 220) for _ in range(3))
            Image.effect_mandelbrot((64, 64), (-2 + i % 20 / 40, -1.2, 0.6, 1.2), 40).convert("RGB").point(
                [min(255, v * colour[c] // 128) for c in range(3) for v in range(256)]
            ).save(folder / "images" / f"{name}.jpg")
            samples.append(
                {
                    "id": name,
                    "split": split,
                    "image": f"images/{name}.jpg",
                    "sha256": file_digest(folder / "images" / f"{name}.jpg"),
                    "latitude": round(lat + rng.uniform(-6, 6), 4),
                    "longitude": round(lon + rng.uniform(-4, 4), 4),
                    "country": country,
                    "region": region,
                    "city": city,
                }
            )
    write_jsonl(folder / "samples.jsonl", samples)
    manifest = {
        "schema": SCHEMA,
        "digest": digest("data"),
        "splits": dict.fromkeys(SPLITS, per_split),
        "leaks": dict.fromkeys(SPLITS, 0),
        "separation_km": {"test_near": 12.4, "test_far": 640.2},
    }
    write_json(folder / "manifest.json", manifest)
    return samples


def answer(sample: dict, spread: float, unread: float, rng: random.Random) -> tuple[str, dict]:
    """A raw answer and its scores, ``spread`` degrees from the truth; no model and no parser is asked."""
    truth = {k: sample[k] for k in ("latitude", "longitude", "country", "region", "city")}
    record = {"sample": sample["id"], "truth": truth, "value": None}
    none = {"distance_km": None, "geoscore": 0.0, "country": False, "region": False, "swapped": False}
    if rng.random() < unread:
        text, outcome = rng.choice(
            [
                ("I can't tell from this picture.", "refused"),
                ("A place with hills", "malformed"),
                ("[95.1, 400.2]", "out_of_range"),
                ("[48.858844, 2.294351]", "echoed"),
            ]
        )
        return text, {**record, "outcome": outcome, "scores": none}
    lat = max(-89.0, min(89.0, sample["latitude"] + rng.gauss(0, spread / 2)))
    lon = (sample["longitude"] + rng.gauss(0, spread) + 180) % 360 - 180
    km = distance_km((sample["latitude"], sample["longitude"]), (lat, lon))
    scores = {
        "distance_km": km,
        "geoscore": 5000 * math.exp(-km / 1492.7),
        "country": km < 500,
        "region": km < 100,
        "swapped": False,
    }
    value = [round(lat, 4), round(lon, 4)]
    return f"[{lat:.4f}, {lon:.4f}]", {**record, "outcome": "parsed", "value": value, "scores": scores}


def freeze(store: Store, kind: str, config: Config, tuned: str = "") -> Cell:
    identity = {**identity_of(clear_inactive(config, kind), kind), "data": digest("data")}
    if tuned:
        identity["tuned"] = tuned
    slug = "-".join(x.name for x in (config.model, config.task, config.prompt, config.method))
    cell = Cell(f"{kind}-{slug}-{digest(identity, 12)}", kind, identity, (tuned,) if tuned else ())
    store.cell(cell.id).freeze(cell)
    return cell


def finish(store: Store, cell: Cell, samples: list[dict], spread: float, unread: float) -> None:
    """Give an evaluate cell the files of a finished one."""
    folder = store.cell(cell.id)
    rng = random.Random(cell.id)
    answers = [answer(s, spread * (1.6 if s["split"] == "test_far" else 1.0), unread, rng) for s in samples]
    predictions = [
        {
            "schema": SCHEMA,
            "sample": s["id"],
            "text": text,
            "prompt_tokens": 40,
            "new_tokens": 9,
            "finish": "stop",
            "batch": 0,
        }
        for s, (text, _) in zip(samples, answers, strict=True)
    ]
    predictions[0]["text"] = SCRIPT
    scores = [record for _, record in answers]
    of = {s["id"]: s["split"] for s in samples}
    metrics = {
        f"{split}/{name}": m
        for split in SPLITS
        for name, m in KIND.aggregate(KIND.answers([s for s in scores if of[s["sample"]] == split])).items()
    }
    attempt = folder.new_attempt()
    write_json(attempt.start_json, {"schema": SCHEMA})
    write_json(attempt.end_json, {"schema": SCHEMA, "cause": "done", "message": "", "seconds": 12.5, "peaks": {}})
    write_jsonl(folder.predictions, predictions)
    write_jsonl(folder.scores, scores)
    parsed = sum(s["outcome"] == "parsed" for s in scores)
    record = {"schema": SCHEMA, "scorer_digest": "", "samples": len(scores), "parsed": parsed, "metrics": metrics}
    write_json(folder.metrics, record)
    folder.publish(attempt, [folder.predictions], {"samples": len(scores)})


def _prompt(name: str) -> PromptSpec:
    return PromptSpec(name=name, text=f"Where was this taken? ({name})")


def make_sweep(
    root: Path, models: tuple[str, ...], prompts: tuple[str, ...], methods: tuple[str, ...], per_split: int
) -> Report:
    """A sweep in which tuning helps the more the later the method, one cell fails and the last never began."""
    store = Store(root)
    samples = make_samples(root, per_split)
    ids: list[str] = []
    for m, model in enumerate(models):
        for method in methods:
            trains = {"untuned": "nothing", "untuned_nf4": "nothing", "full": "all"}.get(method, "adapter")
            config = Config(
                model=ModelSpec(name=model, family="qwen2_vl"),
                task=TASK,
                method=MethodSpec(
                    name=method, trains=trains, quantise="nf4" if method in ("untuned_nf4", "qlora") else "none"
                ),
                generation=GenerationSpec(name="greedy"),
            )
            tuned = ""
            if trains != "nothing":
                tuned = freeze(store, "finetune", replace(config, prompt=_prompt(prompts[0]))).id
                folder = store.cell(tuned)
                write_json(folder.weights / "adapter_config.json", {})
                attempt = folder.new_attempt()
                write_json(
                    attempt.end_json, {"schema": SCHEMA, "cause": "done", "message": "", "seconds": 60.0, "peaks": {}}
                )
                folder.publish(attempt, [folder.weights / "adapter_config.json"], {})
                ids.append(tuned)
            for p, name in enumerate(prompts):
                cell = freeze(store, "evaluate", replace(config, prompt=_prompt(name)), tuned)
                ids.append(cell.id)
                last = model == models[-1] and method == methods[-1]
                if last and p == len(prompts) - 1:
                    continue
                if last and p == len(prompts) - 2:
                    attempt = store.cell(cell.id).new_attempt()
                    end = {"cause": "code bug", "message": "KeyError: 'pixel_values'", "seconds": 3.0, "peaks": {}}
                    write_json(attempt.end_json, {"schema": SCHEMA, **end})
                    continue
                step = methods.index(method)
                finish(
                    store, cell, samples, [60, 6, 9, 14][step] + 5 * p + 3 * m, [0.5, 0.03, 0.06, 0.1][step] + 0.1 * p
                )
    point = {"model": "smollm2_135m", "task": TASK.name, "prompt": prompts[0], "method": "untuned"}
    reason = "geolocation_earth shows image, which smollm2_135m can't read"
    content = {
        "schema": SCHEMA,
        "name": "places",
        "overrides": ["model=" + ",".join(models)],
        "experiment": "geolocator",
        "cells": ids,
        "dropped": [{"point": point, "reason": reason}],
        "code": "0123456789abcdef",
    }
    write_json(store.sweep("places").sweep_json, content)
    return report.collect(store, store.sweep("places"))


def check_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("PACELINE_ACCEPT"):
        path.write_text(text, encoding="utf-8")
    expected = path.read_text(encoding="utf-8") if path.exists() else ""
    if text != expected:
        lines = difflib.unified_diff(expected.splitlines(), text.splitlines(), "accepted", "now", lineterm="")
        told = "\n".join(lines)
        pytest.fail(f"{told}\n\nIf this is meant: PACELINE_ACCEPT=1 pytest tests/unit/report", pytrace=False)


def printed(found: Report, width: int, everything: bool = False) -> str:
    from rich.console import Console

    stream = io.StringIO()
    terminal.show(found, Console(file=stream, width=width, color_system=None, legacy_windows=False), everything)
    return "".join(line.rstrip() + "\n" for line in stream.getvalue().splitlines())


def make_labels(root: Path) -> Report:
    """A sweep of a task without places, of a kind that this checkout lacks: 4 of 10 right untuned, 9 tuned."""
    store = Store(root)
    task = TaskSpec(name="sports", kind="a_kind_of_another_checkout", reader="earth", evaluate=["test"])
    ids = []
    for method, right in (("untuned", 4), ("full", 9)):
        config = Config(
            model=ModelSpec(name="m"), task=task, prompt=PromptSpec(name="p"), method=MethodSpec(name=method)
        )
        cell = freeze(store, "evaluate", config, tuned="" if method == "untuned" else "finetune-elsewhere")
        folder, attempt = store.cell(cell.id), store.cell(cell.id).new_attempt()
        write_jsonl(folder.predictions, [{"sample": str(i), "text": "rowing"} for i in range(10)])
        write_jsonl(
            folder.scores,
            [
                {
                    "sample": str(i),
                    "outcome": "parsed",
                    "value": "rowing",
                    "truth": "golf",
                    "scores": {"exact": i < right},
                }
                for i in range(10)
            ],
        )
        metric = {"value": right / 10, "low": 0.1, "high": 0.95, "n": 10, "unit": "share"}
        record = {"schema": SCHEMA, "scorer_digest": "", "samples": 10, "parsed": 10}
        write_json(folder.metrics, {**record, "metrics": {"exact_accuracy": metric}})
        folder.publish(attempt, [folder.predictions], {})
        ids.append(cell.id)
    content = {"schema": SCHEMA, "name": "s", "experiment": "", "cells": ids, "dropped": [], "code": ""}
    write_json(store.sweep("s").sweep_json, content)
    return report.collect(store, store.sweep("s"))


def again(found: Report) -> Report:
    return report.collect(found.store, found.store.sweep(found.sweep))


def attempted(path: Path, cause: str, hours: float, gpus: int = 0, usd: float = 0.0, message: str = "") -> None:
    """Give an attempt the files of one that took so long."""
    config = Config()
    cluster = replace(config.cluster, name="slurm", executor="slurm", gpus=gpus, gpu_hour_usd=usd)
    placed = placement_of(replace(config, cluster=cluster, placement=PlacementSpec(nodes=2)))
    write_json(path / "start.json", {"schema": SCHEMA, "time": 1.0, "job": "", "world": 1, "placement": placed})
    told = {"cause": cause, "message": message, "seconds": 3600 * hours, "gpu_seconds": 3600 * hours * gpus}
    write_json(path / "end.json", {"schema": SCHEMA, "time": 2.0, **told, "peaks": {}})


def history(attempt: Attempt, points: list[dict]) -> None:
    append_jsonl(attempt.path / "history.jsonl", [{"schema": SCHEMA, **p} for p in points])


def with_confidence(found: Report) -> Report:
    """The sweep with stated confidences in every score; those of one cell are few."""
    rng = np.random.default_rng(2)
    for i, row in enumerate(found.done):
        path = found.store.cell(row.id).scores
        records = list(read_jsonl(path))
        for record in records[:4] if i == 0 else records:
            record["scores"]["confidence_country"] = round(float(rng.uniform()), 2)
        write_jsonl(path, records)
    return again(found)
