"""The signal before the walltime comes early enough to save, as long as saving was seen to take."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline.attempts import checkpoints
from paceline.launch import arrays, signal_lead
from paceline.launch.elements import Element, group, recorded
from paceline.store.cell_folder import CellFolder
from paceline.store.files import append_jsonl
from paceline.store.root import Store
from paceline.sweep.cells import Sweep, expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

WORDS = ("model=tiny_qwen2_vl,tiny_pixtral", "task=geolocation_earth", "prompt=geo_bare", "method=full", "seed=1,2")


def sweep(*overrides: str) -> Sweep:
    asked = compose([*WORDS, "cluster=slurm", "name=s", *overrides], conf_folders(None))
    return expand(asked, lambda task: "d" * 64)


def saved(folder: CellFolder, seconds: float, speed: float = 0.0) -> None:
    """An attempt that saved once, and trained so many samples a second."""
    attempt = folder.new_attempt()
    path = attempt.checkpoints / "checkpoint-7"
    path.mkdir(parents=True)
    checkpoints.complete(path, step=7, world=1, micro_batch=1, engine="torch", seconds=seconds)
    if speed:
        points = [{"step": 6, "samples_per_second": 4 * speed}, {"step": 7, "samples_per_second": speed}, {"step": 7}]
        append_jsonl(attempt.path / "history.jsonl", points)


def leads(elements: list[Element], asked: Sweep, root: Path) -> dict[str, int]:
    """Cell -> lead, of the tunings."""
    found, _ = signal_lead.applied(elements, asked.cells, Store(root))
    return {c: e.placement["cluster"]["signal_seconds"] for e in found for c in e.cells if e.kind == "finetune"}


def test_a_tuning_that_never_saved_gets_what_the_cluster_says(tmp_path: Path) -> None:
    asked = sweep()
    elements = group(asked.cells)
    assert set(leads(elements, asked, tmp_path).values()) == {120}
    assert signal_lead.applied(elements, asked.cells, Store(tmp_path)) == (elements, [])


def test_a_slow_save_gives_its_like_the_time_for_a_step_and_three_of_it(tmp_path: Path) -> None:
    asked = sweep("train.batch=32", "cluster.minutes=480")
    tuned = [c for c in asked.cells if c.cell.kind == "finetune"]
    saved(Store(tmp_path).cell(tuned[0].id), 100.0, speed=0.5)
    found = leads(group(asked.cells), asked, tmp_path)
    # 3 × 100 s, and 32 samples at half a sample a second; all of one array, and there is one array.
    assert set(found.values()) == {365} or set(found.values()) == {364}
    elements, notes = signal_lead.applied(group(asked.cells), asked.cells, Store(tmp_path))
    assert len(notes) == 1 and "not 120 s (cluster.signal_seconds)" in notes[0]
    first = next(e for e in elements if e.kind == "finetune")
    assert arrays.parameters(first, "n", {})["signal_delay_s"] in (364, 365)
    # Answering has its own signal, and placements are still few.
    assert {e.placement["cluster"]["signal_seconds"] for e in elements if e.kind == "evaluate"} == {120}
    assert len(recorded(elements)["placements"]) <= 3


def test_another_model_keeps_its_own_array_and_lead(tmp_path: Path) -> None:
    asked = sweep("cluster.minutes=480")
    tuned = {c.config.model.name: c for c in asked.cells if c.cell.kind == "finetune"}
    saved(Store(tmp_path).cell(tuned["tiny_pixtral"].id), 100.0)
    elements = [e for e in group(asked.cells) if e.kind == "finetune"]
    for element in elements:  # as `place` rules would: another model, other resources
        if "pixtral" in element.cells[0]:
            cluster = {**element.placement["cluster"], "gpu": "H100", "gpus": 1}
            element.placement = {**element.placement, "cluster": cluster}
    found = leads(elements, asked, tmp_path)
    assert {lead for cell, lead in found.items() if "qwen2" in cell} == {120}
    assert all(lead >= 300 for cell, lead in found.items() if "pixtral" in cell)


@pytest.mark.parametrize(("minutes", "wanted"), [(10, 300), (480, 3000)])
def test_no_more_than_half_of_the_walltime_is_given_away(minutes: int, wanted: int, tmp_path: Path) -> None:
    asked = sweep(f"cluster.minutes={minutes}")
    tuned = next(c for c in asked.cells if c.cell.kind == "finetune")
    saved(Store(tmp_path).cell(tuned.id), 1000.0)
    found = set(leads(group(asked.cells), asked, tmp_path).values())
    assert all(wanted <= lead <= wanted + 1 for lead in found)


def test_a_lead_that_was_chosen_longer_stays(tmp_path: Path) -> None:
    asked = sweep("cluster.signal_seconds=900")
    tuned = next(c for c in asked.cells if c.cell.kind == "finetune")
    saved(Store(tmp_path).cell(tuned.id), 10.0)
    assert set(leads(group(asked.cells), asked, tmp_path).values()) == {900}
