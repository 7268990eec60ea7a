"""`paceline explain` says on the login node what can't be explained, before anything heavy is loaded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paceline.cli.verbs import explain
from paceline.config.schema import ModelSpec
from paceline.errors import Unavailable, UserError
from paceline.inference import relevance_picture
from paceline.launch import environments
from paceline.scoring import judge
from paceline.store import files
from paceline.store.cell_folder import CellFolder
from paceline.store.root import Store
from paceline.sweep.cells import expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

CommandLine = Callable[..., tuple[int, str, str]]
WORDS = ("model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare", "method=full", "name=s")


@pytest.fixture
def cells(tmp_path: Path) -> dict[str, CellFolder]:
    """A finetune cell and the evaluate cell that needs it, both done; one answer."""
    root = Store(tmp_path / "root")
    planned = expand(compose(WORDS, conf_folders(None)), lambda task: "d" * 64).cells
    root.freeze(p.cell for p in planned)
    for folder in (found := {p.cell.kind: root.cell(p.id) for p in planned}).values():
        files.write_jsonl(folder.predictions, [{"sample": "a=b/1", "text": "(1.0, 2.0)"}])
        folder.publish(folder.new_attempt(), [folder.predictions], {})
    return found


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The samples that the data holds."""
    samples = [{"id": "a=b/1", "image": "1.jpg"}]
    monkeypatch.setattr(judge, "evaluated_samples", lambda config, root, data: samples)
    return samples


def test_the_model_is_asked_in_a_process_of_its_own(
    cells: dict[str, CellFolder], images: Any, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    told = {"sample": "a=b/1", "answer": "(1.0, 2.0)", "part": "1.0, 2.0", "weight": "w", "check": "c", "notes": ["n"]}

    def ask(module: str, model: ModelSpec, question: Any) -> Any:
        asked.append((module, model.name, question))
        return {"explained": [{**told, "path": "map.png"}]}

    monkeypatch.setattr(environments, "ask_module", ask)
    folder = cells["evaluate"]
    code, out, _ = command_line("explain", folder.id, "a=b/1", f"root={folder.path.parents[1]}")
    assert code == 0
    question = {"cell": str(folder.path), "samples": ["a=b/1"], "whole": False, "method": ""}
    assert asked == [("paceline.inference.explain", "tiny_qwen2_vl", question)]
    assert "explained: '1.0, 2.0'" in out
    assert "note:      n" in out


def test_what_cannot_be_explained_is_said_before_torch_is_loaded(
    cells: dict[str, CellFolder], images: list[dict[str, Any]], command_line: CommandLine
) -> None:
    folder = cells["evaluate"]
    for words, said in (
        ([], "which answer?"),
        ([folder.id], "which answer?"),
        (["evaluate-tiny_quen2", "a=b/1"], "no cell 'evaluate-tiny_quen2'"),
        ([folder.id, "a=b/2"], "did you mean 'a=b/1'?"),
        ([cells["finetune"].id, "a=b/1"], "tunes, and answers nothing"),
    ):
        code, _, err = command_line("explain", *words)
        assert (code, said in err) == (2, True), err
    images[0]["image"] = ""
    assert "has no image" in command_line("explain", folder.id, "a=b/1")[2]
    folder.done_json.unlink()
    assert "is not done" in command_line("explain", folder.id, "a=b/1")[2]


def test_a_model_that_reads_text_alone_has_nothing_to_draw_on(cells: dict[str, CellFolder]) -> None:
    config = cells["evaluate"].read().config
    blind = dataclasses.replace(config, model=dataclasses.replace(config.model, inputs=["text"]))
    with pytest.raises(UserError, match="reads text alone"):
        explain.require_images(cells["evaluate"], blind, ["a=b/1"])


def test_full_size_weights_are_not_loaded_on_a_login_node(monkeypatch: pytest.MonkeyPatch) -> None:
    large = ModelSpec(name="large", family="qwen2_vl", weights="owner/name")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("paceline.launch.local.devices", list)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(UserError, match="srun --gres=gpu:1 paceline explain 3e0f06 'a photo'"):
        explain.require_place(large, ["3e0f06", "a photo"])
    explain.require_place(dataclasses.replace(large, weights=""), ["3e0f06", "a"])  # a twin
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    explain.require_place(large, ["3e0f06", "a"])


def test_a_sample_of_any_name_has_a_picture_of_its_own(tmp_path: Path) -> None:
    folder = CellFolder(tmp_path / "cell")
    names = ["a", "a/b", "a%2Fb", "../a", "ä ö", ".", ".."]
    paths = [folder.explanation(name) for name in names]
    assert len(set(paths)) == len(names)
    assert all(p.parent == folder.path / "explanations" for p in paths)


def test_a_full_disk_is_told_as_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho 'can not write: disk full' >&2\nexit 3\n")
    python.chmod(0o755)
    model = ModelSpec(name="m", family="qwen2_vl", environment=str(tmp_path))
    with pytest.raises(Unavailable, match="disk full"):
        environments.ask_module("paceline.inference.explain", model, {})


def test_relevance_is_spread_evenly_and_its_sum_is_kept() -> None:
    boxes = np.array([[0, 0, 0.3, 1], [0.3, 0, 1, 1], [0, 0, 1, 1], [0.5, 0.5, 1.5, 1], [np.nan] * 4, [0, 1, 1, 1.5]])
    density = relevance_picture.spread(boxes, np.array([3.0, 7.0, -5.0, 2.0, 100.0, 100.0]), 10, 4)
    assert density.shape == (4, 10)
    assert density.sum() == pytest.approx(3 + 7 - 5 + 1)  # half of the fourth lies beyond the image, the others nowhere
    assert density[0] == pytest.approx([(3 / 3 + 0) / 4 - 5 / 40] * 3 + [7 / 7 / 4 - 5 / 40] * 7)


def test_colours_go_from_dark_blue_to_yellow_and_only_brighten() -> None:
    colours = relevance_picture.coloured(np.linspace(0, 1, 101)).astype(float)
    assert colours[0] == pytest.approx([0, 32, 81], abs=1)
    assert colours[-1] == pytest.approx([253, 234, 69], abs=1)
    assert (np.diff(colours @ [0.2126, 0.7152, 0.0722]) > 0).all()


def test_a_picture_keeps_the_images_aspect_and_its_facts(tmp_path: Path) -> None:
    image = Image.new("RGB", (300, 100), "green")
    width, height = relevance_picture.size_of(image)
    assert (width, height) == (relevance_picture.EDGE, relevance_picture.EDGE // 3)
    facts = {"paceline:sample": "Zürich / 1", "paceline:answer": "(47.37, 8.54)"}
    content = relevance_picture.png(image, np.zeros((height, width)), ["one line", "another " * 60], facts)
    (tmp_path / "map.png").write_bytes(content)
    assert relevance_picture.facts_of(tmp_path / "map.png") == facts
    assert content == relevance_picture.png(image, np.zeros((height, width)), ["one line", "another " * 60], facts)


def test_the_part_that_is_judged_is_the_pair_that_was_read() -> None:
    config = compose(WORDS, conf_folders(None))
    cell = next(p.cell for p in expand(config, lambda task: "d" * 64).cells if p.cell.kind == "evaluate")
    text = "Paris is at 48.86, 2.35; the answer: 47.37, 8.54."
    begin, end = judge.judged_part(cell.config, text) or (0, 0)
    assert text[begin:end] == "47.37, 8.54"
    assert judge.judged_part(cell.config, "I can't tell") is None
