"""Time to report a large sweep: 1,000 cells of 100 answers each, and how soon its page is there in Chromium.

The store is made as a sweep leaves it, by paceline's own functions: the task's data is prepared, the sweep is composed,
expanded and recorded, each cell is frozen, has attempts (some fail before one succeeds), raw answers as text, scores by
the scorer and a DONE.json; tunings have their histories. Only the models are missing: answers are drawn near the truth,
nearer after tuning, and some are refused or can't be read.

    python benchmarks/report_page.py                      # makes the store, about five minutes, then measures
    python benchmarks/report_page.py --root FOLDER        # keeps the store, or measures one that is there
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from paceline.config.identity import placement_of
from paceline.config.schema import TaskSpec
from paceline.data import prepare
from paceline.data import samples as prepared
from paceline.scoring import judge
from paceline.store.cell_folder import Attempt, CellFolder
from paceline.store.files import SCHEMA, append_jsonl, write_json, write_jsonl
from paceline.store.root import Store
from paceline.sweep.cells import PlannedCell, Sweep, expand, record
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

# A small data set: 50 samples of each test split are asked, 100 a cell.
SIZES = {"train": 64, "validation": 8, "test_near": 50, "test_far": 50, "spacing": 2.0}
MODELS = "tiny_phi35_vision,tiny_qwen2_vl,tiny_llama32_vision,tiny_idefics,tiny_pixtral"
# 5 models × 8 prompts × (untuned and 24 ranks): 1,000 evaluate cells, and 120 tunings that they answer with.
SWEEP = [
    "name=thousand",
    f"model={MODELS}",
    "task=geolocation_earth",
    *(f"++task.options.{key}={value}" for key, value in SIZES.items()),
    "prompt=glob(geo_*)",
    "method=untuned,lora",
    "method.lora.r=range(1,25)",
    "limit=50",
    "cluster=slurm",
    "cluster.gpus=1",
    "cluster.gpu_hour_usd=2.5",
]
STEPS = 200
CAUSES = ("timeout", "preempted", "CUDA out of memory", "node failure", "cancelled", "code bug")


def make(root: Path) -> Sweep:
    """The store of a finished sweep."""
    store = Store(root)
    sweep = expand(compose(SWEEP, conf_folders(None)), lambda task: data_of(root, task))
    record(sweep, store, "0123456789abcdef", extend=False)
    for i, planned in enumerate(sweep.cells):
        finish(store.cell(planned.id), planned, root, random.Random(planned.id))
        print(f"\r{i + 1} of {len(sweep.cells)} cells", end="", file=sys.stderr)
    print(file=sys.stderr)
    return sweep


def data_of(root: Path, task: TaskSpec) -> str:
    """The digest of the task's data, which is made first."""
    prepare.prepare(root, task, lambda *_: None)
    return prepared.data_digest(root, task)


def finish(folder: CellFolder, planned: PlannedCell, root: Path, rng: random.Random) -> None:
    """Give a cell what a finished one has."""
    for _ in range(rng.choice((0, 0, 0, 0, 1, 2))):
        end(begin(folder, planned), rng.choice(CAUSES), rng)
    attempt = begin(folder, planned)
    if planned.cell.kind == "finetune":
        tune(attempt, rng)
        write_json(folder.weights / "adapter_config.json", {"r": planned.config.method.lora.r})
        end(attempt, "done", rng)
        folder.publish(attempt, [folder.weights / "adapter_config.json"], {})
        return
    samples = judge.evaluated_samples(planned.config, root)
    spread = 40.0 * rng.uniform(0.5, 1.5) / (4.0 if planned.cell.needs else 1.0)
    answers = [
        {
            "schema": SCHEMA,
            "sample": sample["id"],
            "text": answer(sample, spread, planned.config.prompt.name == "geo_confidence", rng),
            "prompt_tokens": 98,
            "new_tokens": 24,
            "finish": "stop",
            "batch": i // 8,
        }
        for i, sample in enumerate(samples)
    ]
    append_jsonl(attempt.predictions, answers)
    write_jsonl(folder.predictions, answers)
    judge.score_cell(folder, root)
    end(attempt, "done", rng)
    folder.publish(attempt, [folder.predictions], {"samples": len(answers)})


def begin(folder: CellFolder, planned: PlannedCell) -> Attempt:
    """The next attempt, with its first file."""
    attempt = folder.new_attempt()
    start = {"schema": SCHEMA, "time": 1.7e9, "cell": planned.id, "job": "", "world": 1, "host": "node"}
    write_json(attempt.start_json, {**start, "placement": placement_of(planned.config)})
    return attempt


def end(attempt: Attempt, cause: str, rng: random.Random) -> None:
    """Its last file."""
    seconds = rng.lognormvariate(6.0, 0.7)
    message = "" if cause in ("done", "cancelled") else f"RuntimeError: an example of {cause}"
    told = {"schema": SCHEMA, "time": 1.7e9 + seconds, "cause": cause, "message": message, "seconds": seconds}
    write_json(attempt.end_json, {**told, "gpu_seconds": seconds, "peaks": {"host_gib": 4.2, "cuda_gib": 17.0}})


def tune(attempt: Attempt, rng: random.Random) -> None:
    """A history that falls from 6 to about 1."""
    floor, speed = rng.uniform(0.8, 1.3), rng.uniform(10, 30)
    points: list[dict[str, float]] = []
    for step in range(1, STEPS + 1):
        loss = floor + 5 / (1 + step / speed) * rng.uniform(0.9, 1.1)
        points.append({"step": step, "loss": loss, "learning_rate": 1e-4, "samples_per_second": 30.0})
        if step % 50 == 0:
            points.append({"step": step, "validation_loss": loss * 1.05})
    append_jsonl(attempt.path / "history.jsonl", [{"schema": SCHEMA, **p} for p in points])


def answer(sample: dict[str, object], spread: float, sure: bool, rng: random.Random) -> str:
    """What a model might say of a sample: near the truth, refused, or unreadable."""
    if rng.random() < 0.1:
        return rng.choice(("I can't tell from this picture.", "A place with hills.", "(95.1, 400.2)"))
    lat = max(-89.0, min(89.0, float(str(sample["latitude"])) + rng.gauss(0, spread / 2)))
    lon = (float(str(sample["longitude"])) + rng.gauss(0, spread) + 180) % 360 - 180
    place = f"({lat:.4f}, {lon:.4f})"
    if not sure:
        return place
    country, region, city = (round(max(0.0, min(100.0, rng.gauss(m, 15)))) for m in (80, 60, 40))
    return f"Country: Ruritania ({country}%)\nRegion: Strelsau ({region}%)\nCity: Zenda ({city}%)\n{place}"


def measure(root: Path) -> dict[str, object]:
    """Seconds of ``paceline report``, the page's size, and when Chromium has painted and loaded it."""
    words = [sys.executable, "-m", "paceline", "report", "thousand", f"root={root}"]
    began = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    seconds = time.monotonic() - began
    page = root / "sweeps" / "thousand" / "report.html"
    found: dict[str, object] = {
        "report_seconds": round(seconds, 1),
        "page_mb": round(page.stat().st_size / 1e6, 2),
        "terminal_lines": len(done.stdout.splitlines()),
    }
    return found | in_chromium(page)


def in_chromium(page: Path) -> dict[str, object]:
    """Milliseconds from the start of the navigation: first paint, and loaded; empty without a Chromium."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if binary is None:
        return {}
    script = (
        "<script>addEventListener('load',()=>setTimeout(()=>{const n=performance.getEntriesByType('navigation')[0],"
        "p=performance.getEntriesByName('first-contentful-paint')[0];document.title='TIMES '+JSON.stringify("
        "{first_paint_ms:Math.round(p?p.startTime:-1),loaded_ms:Math.round(n.loadEventEnd)})},0))</script></head>"
    )
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "page.html"
        # A copy that tells its times: the page's own policy lets no other script run.
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
        copy.write_text(text.replace("</head>", script, 1), encoding="utf-8")
        words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
        words += ["--virtual-time-budget=100000", "--dump-dom", copy.as_uri()]
        told = subprocess.run([binary, *words], capture_output=True, text=True, check=True).stdout
    found = re.search(r"TIMES (\{.*?\})", told.replace("&quot;", '"'))
    return dict(json.loads(found[1])) if found else {}


def main() -> None:
    """Make the store where it is not there, measure, and print what was found as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--root", type=Path, help="keep the store there, or measure the one that is")
    root = parser.parse_args().root
    with tempfile.TemporaryDirectory() as folder:
        root = (root or Path(folder)).resolve()
        if not (root / "sweeps" / "thousand").exists():
            make(root)
        print(json.dumps(measure(root), indent=1))


if __name__ == "__main__":
    main()
