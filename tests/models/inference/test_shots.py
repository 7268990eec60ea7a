"""Examples are shown as interleaved turns, answers with them do not depend on the batch, and a kill changes nothing."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import few_shot
import numpy as np
import pytest
import torch
from conftest import model_spec
from finetune_twin import ToyRun
from PIL import Image
from published import check

import paceline.models.torchvision  # noqa: F401
from paceline.config.schema import Config, GenerationSpec, ModelSpec, PromptSpec
from paceline.data.shots import prepared_shots, vectors
from paceline.data.shots.shot_turns import shot_turns
from paceline.errors import Interrupted
from paceline.inference.evaluate import answer
from paceline.models import embedding, load_family
from paceline.models.embedders.mean_of_map import MeanOfMap
from paceline.models.families.projector.efficientnet_lite import PICTURES, EfficientNetLite, EfficientNetLiteConfig
from paceline.models.family import Family
from paceline.store.cell_folder import Cell, CellFolder

# isort: split
from transformers import CLIPConfig, CLIPModel, ViTConfig, ViTModel

TASK = few_shot.CAPTIONING
SEVERAL = ("tiny_idefics", "tiny_qwen2_vl", "tiny_pixtral")
QUESTION = "Question: What is a caption for this photo?\nAnswer:"


def silent(stage: str, done: int, total: int) -> None:
    """A progress that tells nobody."""


def pinned(root: Path, count: int = 4, **shots: Any) -> PromptSpec:
    asked = dataclasses.replace(few_shot.shown(count=count, **shots), text=QUESTION)
    return prepared_shots.prepare(root, TASK, asked, None, lambda model: model, silent)[0]


@pytest.fixture
def samples(tmp_path: Path) -> list[dict[str, Any]]:
    return few_shot.prepared(tmp_path, TASK, {"train": range(8), "test": range(100, 105)})


@pytest.fixture(scope="module", params=SEVERAL)
def family(request: pytest.FixtureRequest) -> Family:
    spec = model_spec(request.param)
    return load_family(spec.family).load(spec)


def test_four_examples_stand_before_the_question_each_behind_its_picture(
    family: Family, samples: list[dict[str, Any]], tmp_path: Path
) -> None:
    turns = shot_turns(tmp_path, TASK, pinned(tmp_path))
    assert turns is not None
    asked = few_shot.conversation(samples[-1], turns)
    assert len(asked.all_images) == 5
    text = family.render(asked)
    places = [text.index(str(shot.answer)) for shot in asked.shots]
    assert places == sorted(places)
    assert text.count("What is a caption for this photo?") == 5
    read = family.batch([asked])
    assert read["input_ids"].shape[1] > family.batch([dataclasses.replace(asked, shots=[])])["input_ids"].shape[1]
    check(f"four_shots_{family.spec.name}", {"text": text})


def test_answers_with_examples_are_those_of_one_by_one(
    family: Family, samples: list[dict[str, Any]], tmp_path: Path
) -> None:
    turns = shot_turns(tmp_path, TASK, pinned(tmp_path))
    assert turns is not None
    asked = [few_shot.conversation(sample, turns) for sample in samples[-3:]]
    settings = GenerationSpec(new_tokens=6)
    together = family.answer(asked, settings, [0, 0, 0])
    assert [a.text for a in together] == [family.answer([one], settings, [0])[0].text for one in asked]


@dataclasses.dataclass
class Stopped(ToyRun):
    """Asked to stop once so many answers are there."""

    @property
    def root(self) -> Path:
        return self.folder.path.parents[1]

    def stop(self) -> str | None:
        return "timeout" if self.stop_after and self.done >= self.stop_after else None


def test_a_resume_and_another_batch_show_the_same_examples(samples: list[dict[str, Any]], tmp_path: Path) -> None:
    spec = model_spec("tiny_idefics")
    loaded = load_family(spec.family).load(spec)
    made = Config(model=spec, task=TASK, prompt=pinned(tmp_path, 2), generation=GenerationSpec(new_tokens=4, batch=2))
    identity = {"data": few_shot.digest_of(tmp_path, TASK)}

    def attempt(name: str, config: Config, stop_after: int = 0) -> list[dict[str, Any]]:
        folder = CellFolder(tmp_path / "cells" / name)
        run = Stopped(folder, folder.new_attempt(), Cell(name, "evaluate", identity), config, stop_after=stop_after)
        return answer(run, loaded, samples[-5:])

    with pytest.raises(Interrupted):
        attempt("killed", made, stop_after=2)
    resumed = attempt("killed", made)
    whole = attempt("whole", dataclasses.replace(made, generation=dataclasses.replace(made.generation, batch=5)))
    assert [(r["sample"], r["data"]["shots"], r["text"]) for r in resumed] == [
        (r["sample"], r["data"]["shots"], r["text"]) for r in whole
    ]
    assert all(len(r["data"]["shots"]) == 2 for r in whole)


# --- embedders


def tiny(folder: Path, which: str) -> ModelSpec:
    """A tiny vision model of random weights in a folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        vision = {**sizes, "image_size": 32, "patch_size": 8}
        if which == "clip":
            text = {**sizes, "vocab_size": 64, "bos_token_id": 0, "eos_token_id": 1}
            model: Any = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
        elif which == "vit":
            model = ViTModel(ViTConfig(**vision))
        else:
            stages = [(3, 2, 1, 8, 1), (3, 2, 6, 16, 1)]
            model = EfficientNetLite(EfficientNetLiteConfig(stem=8, stages=stages, hidden_size=24, image_size=32))
        model.save_pretrained(folder)
    reads = {**PICTURES, "size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(reads))
    return embedding.embedder(str(folder))


@pytest.mark.parametrize(("which", "width"), [("clip", 8), ("vit", 16), ("efficientnet_lite", 24)])
def test_a_picture_is_embedded_alike_in_any_company(which: str, width: int, tmp_path: Path) -> None:
    by = tiny(tmp_path / which, which)
    model = MeanOfMap.load(tmp_path / which, by.name)
    scenes = [few_shot.scene(n) for n in range(3)]
    alone = np.stack([model.embed([scene]) for scene in scenes])
    assert alone.shape == (3, width)
    assert np.linalg.norm(alone, axis=1) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(model.embed([scenes[1]]), alone[1])
    pair = model.embed(scenes[:2])
    assert pair == pytest.approx((alone[0] + alone[1]) / np.linalg.norm(alone[0] + alone[1]), abs=1e-5)


def test_the_nearest_example_of_a_picture_is_the_picture_that_looks_so(tmp_path: Path) -> None:
    by = tiny(tmp_path / "weights", "efficientnet_lite")
    root = tmp_path / "root"
    seen = tmp_path / "seen.png"
    few_shot.scene(3).rotate(2).point(lambda v: min(255, v + 12)).save(seen)
    samples = few_shot.prepared(root, TASK, {"train": range(6), "test": [seen]})
    prompt = few_shot.shown(how="nearest", embedder=by.weights)
    from paceline.models import local_weights

    fetched, _ = local_weights.prepare(by, root, silent)
    found, told = prepared_shots.prepare(root, TASK, prompt, fetched, lambda model: model, silent)
    assert any("7 vectors" in line for line in told)
    chosen = prepared_shots.choice(root, TASK, found)
    kin = chosen.kin.of(samples[-1])
    near = [shot.id for shot in chosen.of(samples[-1])]
    assert ("train-3" in kin) != (near[-1] == "train-3")
    assert len(near) == 2 and not kin & set(near)
    assert vectors.made(vectors.place(root, TASK, found))


def test_a_folder_that_holds_no_vision_model_is_refused(tmp_path: Path) -> None:
    by = tiny(tmp_path / "weights", "vit")
    (tmp_path / "weights" / "preprocessor_config.json").unlink()
    path = tmp_path / "x.png"
    Image.new("RGB", (8, 8)).save(path)
    from paceline.errors import UserError

    with pytest.raises(UserError, match="can't be read as a vision model"):
        embedding.embed_pictures([[(str(path), "")]], by, silent)


# --- whole


def test_a_sweep_with_examples_runs_from_prepare_to_report(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    photos = tmp_path / "photos"
    for folder in (conf / "prompt", conf / "task", photos):
        folder.mkdir(parents=True)
    rows = ["image,references,split"]
    for n in range(9):
        few_shot.scene(n).save(photos / f"{n}.png")
        rows.append(f"{n}.png,Picture {n}.,{'train' if n < 6 else 'test'}")
    (photos / "rows.csv").write_text("\n".join(rows) + "\n")
    (conf / "prompt" / "few.yaml").write_text("defaults: [caption_question_answer]\nshots: {count: 4}\n")
    (conf / "task" / "pictures.yaml").write_text(
        f"kind: captioning\nreader: table\noptions: {{path: {photos / 'rows.csv'}}}\ntarget: '{{reference}}'\n"
        "prompt: caption_short\n"
    )

    def paceline(*words: str) -> str:
        command = [sys.executable, "-m", "paceline", *words]
        where = [] if words[0] == "report" else ["--conf", str(conf)]
        ran = subprocess.run(
            [*command, *where, f"root={tmp_path / 'root'}"], capture_output=True, text=True, check=False, timeout=600
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    words = ("task=pictures", "prompt=few,caption_question_answer")
    paceline("prepare", *words)
    asked = ("model=tiny_qwen2_vl", "method=untuned", "generation.new_tokens=4", "cluster=debug", "name=few")
    paceline("submit", *words, *asked)
    found = json.loads(paceline("report", "few", "--json"))
    assert {row["prompt"] for row in found["rows"]} == {"few", "caption_question_answer"}
    assert not found["missing"]
