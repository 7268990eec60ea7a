"""The first layers of a part stay as they are, bit for bit, and the others are tuned, by adapters or themselves."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_twin import FULL, ZERO2, attempt, config, group, load, method, tune, twin, weights

from paceline.config.schema import LoraSpec, MethodSpec
from paceline.errors import UserError
from paceline.gpu_memory.shapes import shape_of, trainable
from paceline.models.layers import layers_of
from paceline.store.cell_folder import CellFolder

# Family -> what is frozen, and prefixes of names that must stay, and that must not.
CASES: dict[str, tuple[dict[str, int], list[str], list[str]]] = {
    "tiny_vit_gpt2": (
        {"vision": 1},
        ["encoder.embeddings", "encoder.layers.0."],
        ["encoder.layers.1.", "encoder.layernorm", "decoder.transformer.h.0."],
    ),
    "tiny_joined": (
        {"vision": 2, "language": 1},
        ["encoder.embeddings", "encoder.layers", "decoder.transformer.wte", "decoder.transformer.h.0.attn"],
        # What looks at the picture is the connector, and the last norm comes behind the layers.
        ["encoder.layernorm", "decoder.transformer.h.0.crossattention", "decoder.transformer.h.1.mlp"],
    ),
    # An encoder and a decoder in one part: the first three are both of the encoder's and one of the decoder's.
    "tiny_instructblip_t5": (
        {"language": 3},
        ["language_model.shared", "language_model.encoder.", "language_model.decoder.block.0."],
        ["language_model.decoder.block.1.", "language_model.lm_head", "language_projection"],
    ),
    # A norm that is registered before the layers and read behind them; layers that look at the picture among others.
    "tiny_llama32_vision": (
        {"vision": 2, "language": 1},
        ["vision_model.patch_embedding", "vision_model.layernorm_pre", "vision_model.transformer.layers"],
        ["vision_model.layernorm_post", "vision_model.global_transformer", "language_model.layers.1", "lm_head"],
    ),
    "tiny_idefics": (
        {"language": 2},
        ["model.embed_tokens", "model.layers."],
        ["model.gated_cross_attn_layers.0", "model.norm", "vision_model.encoder.layers.0"],
    ),
    "tiny_qwen2_vl": ({"vision": 1}, ["visual.patch_embed", "visual.blocks.0"], ["visual.blocks.1", "visual.merger"]),
}


@pytest.mark.parametrize("name", CASES)
def test_frozen_layers_stay_to_the_bit_and_the_planner_knows_how_much_is_trained(name: str, tmp_path: Path) -> None:
    held, stays, changes = CASES[name]
    made = config(dataclasses.replace(FULL, frozen_layers=held), model=twin(name), max_steps=3, learning_rate=1e-2)
    before = {n: p.detach().clone() for n, p in load(made).bare_model().named_parameters()}
    run = attempt(tmp_path / "cell", made)
    told = tune(run)
    after = dict(load(made, run.attempt.path / "weights").bare_model().named_parameters())
    same = {n for n in before if torch.equal(before[n], after[n])}
    for part in stays:
        assert {n for n in before if part in n} and {n for n in before if part in n} <= same, part
    for part in changes:
        # Of a tensor of zeros a gate may hide the gradient; of a whole part nothing may.
        assert {n for n in before if part in n} - same, part
    found = shape_of(made.model)
    assert found is not None and sum(trainable(found, made.method).values()) == told["trainable"]
    component, count = next(iter(held.items()))
    assert any(f"frozen: the first {count} of " in note and component in note for note in run.notes)


def test_stages_of_a_convolutional_network_are_its_layers() -> None:
    family = load(config(FULL, model=twin("tiny_resnet")))
    assert layers_of(family, "backbone") == [f"resnet.encoder.stages.{i}" for i in range(3)]
    assert layers_of(family, "head") == []


def test_an_adapter_is_put_on_the_layers_that_are_not_frozen(tmp_path: Path) -> None:
    how = MethodSpec(
        name="lora",
        trains="adapter",
        lora=LoraSpec(r=4, components=["vision", "language"]),
        frozen_layers={"vision": 1, "language": 1},
    )
    made = config(how, model=twin("tiny_qwen2_vl"), max_steps=2)
    told = tune(attempt(tmp_path / "cell", made))
    names = weights(tmp_path / "cell")
    assert not [n for n in names if "blocks.0." in n or "layers.0." in n]
    assert [n for n in names if "blocks.1." in n] and [n for n in names if "layers.1." in n]
    found = shape_of(made.model)
    assert found is not None and sum(trainable(found, how).values()) == told["trainable"]


@pytest.mark.parametrize(
    ("name", "held", "said"),
    [
        ("tiny_qwen2_vl", {"vision": 3}, "'vision' of model tiny_qwen2_vl has 2 layers; give a smaller number"),
        ("tiny_qwen2_vl", {"connector": 1}, "'connector' of model tiny_qwen2_vl has no layers one after another"),
    ],
)
def test_more_layers_than_there_are_end_a_run_at_its_start(
    name: str, held: dict[str, int], said: str, tmp_path: Path
) -> None:
    made = config(dataclasses.replace(FULL, frozen_layers=held), model=twin(name))
    with pytest.raises(UserError, match=said):
        tune(attempt(tmp_path / "cell", made))


def test_adapters_that_would_all_be_on_frozen_layers_are_refused(tmp_path: Path) -> None:
    how = dataclasses.replace(method("lora"), frozen_layers={"language": 2})
    with pytest.raises(UserError, match="freezes every layer that an adapter would be put on"):
        tune(attempt(tmp_path / "cell", config(how, model=twin("tiny_qwen2_vl"))))


def test_two_ranks_that_share_out_weights_freeze_the_same(tmp_path: Path) -> None:
    held = {"vision": 1, "language": 1}
    changes: dict[str, Any] = {"max_steps": 2, "micro_batch": 1}
    made = config(dataclasses.replace(FULL, frozen_layers=held), model=twin("tiny_qwen2_vl"), **changes)
    tune(attempt(tmp_path / "alone", made))
    jobs = [
        {"cell": str(tmp_path / stage), "model": "tiny_qwen2_vl", "deepspeed": stage, "frozen_layers": held}
        for stage in ("zero2", "zero3")
    ]
    group(2, ZERO2, [{**job, "changes": changes} for job in jobs], tmp_path)

    def published(cell: str) -> dict[str, torch.Tensor]:
        folder = CellFolder(tmp_path / cell).attempts()[-1].path / "weights"
        return dict(load(made, folder).bare_model().named_parameters())

    base, alone = dict(load(made).bare_model().named_parameters()), published("alone")
    for stage in ("zero2", "zero3"):
        found = published(stage)
        assert max((found[n] - alone[n]).abs().max().item() for n in alone) < 1e-5
        still = [n for n in found if torch.equal(found[n], base[n])]
        assert [n for n in still if "blocks.0." in n] == [n for n in found if "blocks.0." in n]
        assert not [n for n in still if "blocks.1." in n and "norm" not in n]
