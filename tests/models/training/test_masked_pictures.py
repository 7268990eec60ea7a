"""A ViT pre-trained on masked pictures: without labels, killed and resumed to the same bytes, published, then tuned."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from deaths import dying
from finetune_twin import FULL, Squares, attempt, config, group, load, tune, twin, weights
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from paceline.config.build import build
from paceline.config.schema import Config, MaskedImageSpec, ModelSpec
from paceline.errors import Interrupted, UserError
from paceline.models.conversation import Conversation
from paceline.store.files import read_json, read_jsonl
from paceline.training import masked_pictures

VIT: dict[str, Any] = {
    "name": "tiny_vit",
    "family": "image_classifier",
    "inputs": ["image"],
    "dtype": "float32",
    "config": {
        "seed": 0, "architecture": "vit", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64, "image_size": 64, "patch_size": 16, "labels": ["one", "two"],
    },
    "processor": {"size": {"shortest_edge": 64}, "crop_pct": 1.0},
}  # fmt: skip
# Ten pictures in batches of four: twelve steps and a half, so thirteen.
THIRTEEN = MaskedImageSpec(epochs=5, learning_rate=1e-3)


def made(model: ModelSpec | str = "tiny_vit_gpt2", masked: MaskedImageSpec = THIRTEEN, **changes: Any) -> Config:
    spec = twin(model) if isinstance(model, str) else model
    return config(FULL, model=spec, masked_image=masked, **{"max_steps": 3, **changes})


def encoder(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((folder / "pretraining" / "encoder").iterdir())}


def losses(folder: Path) -> dict[int, float]:
    found = {}
    for path in sorted(folder.glob("pretraining/attempts/*/history.jsonl")):
        found |= {r["step"]: r[masked_pictures.LOSS] for r in read_jsonl(path)}
    return found


@given(st.integers(2, 24), st.floats(0.01, 0.99), st.integers(0, 2**32 - 1), st.integers(0, 10**6))
def test_a_mask_hides_the_share_that_was_asked_for_in_blocks_and_never_all(
    edge: int, ratio: float, seed: int, place: int
) -> None:
    found = masked_pictures.mask(edge, ratio, seed, place)
    assert found.shape == (edge * edge,) and 0 < found.sum() < edge * edge
    assert np.array_equal(found, masked_pictures.mask(edge, ratio, seed, place))
    block = 2 if edge % 2 == 0 and edge > 2 else 1
    assert found.mean() == pytest.approx(ratio, abs=block**2 / edge**2 + 1e-9)
    tiles = found.reshape(edge // block, block, edge // block, block)
    assert (tiles.min(axis=(1, 3)) == tiles.max(axis=(1, 3))).all()


def test_pictures_are_hidden_in_another_way_at_each_visit() -> None:
    stream = masked_pictures.MaskedStream(Squares(2), np.array([0, 1, 0, 1]), edge=8, ratio=0.5, seed=0)
    masks = [stream[place][1].tobytes() for place in range(4)]
    assert len(set(masks)) == 4


@pytest.mark.parametrize("model", ["tiny_vit_gpt2", "tiny_joined", "tiny_vit"])
def test_an_encoder_learns_to_predict_what_is_hidden_and_publishes_what_it_learned(model: str, tmp_path: Path) -> None:
    spec = build(ModelSpec, VIT, "vit") if model == "tiny_vit" else twin(model)
    run = attempt(tmp_path / "cell", made(spec, MaskedImageSpec(epochs=40, learning_rate=3e-3)))
    family = load(run.config)
    before = {n: p.detach().clone() for n, p in family.bare_model().named_parameters()}
    told = masked_pictures.pretrain(run, family, Squares(10))["masked_image"]  # type: ignore[arg-type]
    points = losses(tmp_path / "cell")
    assert told["steps"] == 100 == max(points)
    assert np.mean([points[s] for s in range(91, 101)]) < 0.7 * np.mean([points[s] for s in range(1, 11)])
    assert told[masked_pictures.LOSS] == points[100]
    changed = {n for n, p in family.bare_model().named_parameters() if not torch.equal(p, before[n])}
    part = f"{family.masked_encoder}."
    assert changed == {n for n in before if n.startswith(part) and "pooler" not in n}
    assert any("masked pictures" in note or "masked" in note for note in run.notes)


def test_an_encoder_of_16_bits_is_pretrained_in_32_and_tuned_in_its_own(tmp_path: Path) -> None:
    settings = made(dataclasses.replace(twin("tiny_vit_gpt2"), dtype="bfloat16"))
    run = attempt(tmp_path / "cell", settings)
    family = load(settings)
    masked_pictures.pretrain(run, family, Squares(10))  # type: ignore[arg-type]
    assert {p.dtype for p in family.bare_model().parameters()} == {torch.bfloat16}
    assert {
        t.dtype for t in load_file(tmp_path / "cell" / "pretraining" / "encoder" / "model.safetensors").values()
    } == {torch.float32}


def test_labels_are_not_read(tmp_path: Path) -> None:
    class Unlabelled(Squares):
        def __getitem__(self, index: int) -> Conversation:
            return dataclasses.replace(super().__getitem__(index), answer=None, prompt="")

    for name, samples in (("with", Squares(10)), ("without", Unlabelled(10))):
        run = attempt(tmp_path / name, made())
        masked_pictures.pretrain(run, load(run.config), samples)  # type: ignore[arg-type]
    assert encoder(tmp_path / "with") == encoder(tmp_path / "without")


@pytest.mark.parametrize("where", ["pretraining", "pretraining's save", "tuning"])
def test_a_kill_at_any_moment_changes_no_byte(where: str, tmp_path: Path) -> None:
    settings = made(micro_batch=2, checkpoint_steps=2)
    tune(attempt(tmp_path / "whole", settings))
    chance = random.SystemRandom()
    # Two micro-steps make a step: 26 of the pre-training, then six of the tuning.
    place = {
        "pretraining": f"micro-step {chance.randint(1, 25)}",
        "pretraining's save": f"save {2 * chance.randint(1, 6)}",
        "tuning": f"micro-step {chance.randint(27, 31)}",
    }[where]
    with dying(place):
        tune(attempt(tmp_path / "cut", settings))
    assert (tmp_path / "cut" / "pretraining" / "encoder").exists() == (where == "tuning")
    tune(attempt(tmp_path / "cut", settings))
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    assert encoder(tmp_path / "cut") == encoder(tmp_path / "whole")
    mine, others = weights(tmp_path / "cut"), weights(tmp_path / "whole")
    assert all(torch.equal(mine[name], others[name]) for name in others)
    assert not list((tmp_path / "cut").glob("pretraining/attempts/*/checkpoints/*")), "states that nobody needs"


def test_asked_to_stop_it_saves_and_goes_on_with_the_same_bytes(tmp_path: Path) -> None:
    tune(attempt(tmp_path / "whole", made()))
    with pytest.raises(Interrupted, match="timeout"):
        tune(attempt(tmp_path / "cut", made(), stop_after=5))
    run = attempt(tmp_path / "cut", made())
    tune(run)
    assert any("going on after step 5" in note for note in run.notes)
    assert encoder(tmp_path / "cut") == encoder(tmp_path / "whole")


def test_a_damaged_encoder_is_made_again(tmp_path: Path) -> None:
    tune(attempt(tmp_path / "cell", made()))
    whole = encoder(tmp_path / "cell")
    (tmp_path / "cell" / "pretraining" / "encoder" / "model.safetensors").write_bytes(b"half")
    tune(attempt(tmp_path / "cell", made()))
    assert encoder(tmp_path / "cell") == whole


def test_two_ranks_pretrain_as_one(tmp_path: Path) -> None:
    settings = {"max_steps": 2, "masked_image": {"epochs": 2, "learning_rate": 1e-3}}
    tune(attempt(tmp_path / "one", made(masked=MaskedImageSpec(epochs=2, learning_rate=1e-3), max_steps=2)))
    group(2, {}, [{"cell": str(tmp_path / "two"), "model": "tiny_vit_gpt2", "changes": settings}], tmp_path)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert one.keys() == two.keys()
    assert [two[s] for s in one] == pytest.approx([one[s] for s in one], abs=1e-5)
    mine, others = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert max((mine[name] - others[name]).abs().max().item() for name in mine) < 1e-4


def test_a_published_encoder_is_a_part_of_a_joined_model(tmp_path: Path) -> None:
    import transformers

    run = attempt(tmp_path / "cell", made())
    masked_pictures.pretrain(run, load(run.config), Squares(10))  # type: ignore[arg-type]
    folder = tmp_path / "cell" / "pretraining" / "encoder"
    assert read_json(folder / "pretraining.json")["told"]["steps"] == 13
    model, report = transformers.ViTModel.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    tuned = dict(load(run.config).bare_model().encoder.named_parameters())
    assert any(not torch.equal(p, tuned[n]) for n, p in model.named_parameters())
    assert transformers.AutoImageProcessor.from_pretrained(folder).size["height"] == 32


@pytest.mark.parametrize(
    ("model", "said"),
    [("tiny_resnet", "is ResNetForImageClassification, and only a ViT"), ("tiny_qwen2_vl", "only a ViT")],
)
def test_another_encoder_ends_a_run_at_its_start(model: str, said: str, tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", made(model))
    with pytest.raises(UserError, match=said):
        masked_pictures.pretrain(run, load(run.config), Squares(10))  # type: ignore[arg-type]
