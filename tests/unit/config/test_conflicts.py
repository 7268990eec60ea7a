"""What fails in the pinned versions, or on the card that is named, is refused before the queue, with what works."""

from __future__ import annotations

import pytest

from paceline.config.gpus import before_ampere
from paceline.errors import UserError
from paceline.sweep.cells import expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

BASE = ("model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare")
ON_SLURM = ("cluster=pace_phoenix", "cluster.account=gts-x")


def problems(*overrides: str) -> list[str]:
    return expand(compose([*BASE, *overrides], conf_folders(None)), lambda task: "d" * 64).problems


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["method=full", "method.quantise=nf4"], ["trains=all", "method=qlora"]),
        (["method=full_frozen_vision", "method.quantise=int8"], ["method=lora_8bit"]),
        (["method=dora_8bit_llama_study", *ON_SLURM, "cluster.gpus=0"], ["cluster.gpus=1", "method.quantise=nf4"]),
        (["method=qlora", "method.lora.dora=true", "deepspeed=zero3"], ["ZeRO-3", "deepspeed=zero2"]),
        (["method=dora_8bit_llama_study", "deepspeed=zero3_offload"], ["ZeRO-3", "deepspeed=zero2"]),
        (["method=qlora_idefics_study", "deepspeed=zero2", *ON_SLURM, "cluster.gpus=0"], ["method.dtype=float32"]),
        (["method=lora", "model.dtype=bfloat16", *ON_SLURM, "cluster.gpu=V100"], ["V100", "method.dtype=float16"]),
        (["model.dtype=bfloat16", *ON_SLURM, "cluster.gpu=RTX_6000"], ["RTX_6000", "method.dtype=float16"]),
        (["model.attention=flash_attention_2"], ["method.dtype=bfloat16", "model.attention=sdpa"]),
        (
            ["model.attention=flash_attention_2", "method.dtype=float16", *ON_SLURM, "cluster.gpu=V100"],
            ["does not run on a V100", "model.attention=sdpa"],
        ),
        (
            ["model.attention=flash_attention_2", "method.dtype=bfloat16", *ON_SLURM, "cluster.gpus=0"],
            ["needs a GPU", "cluster.gpus=1"],
        ),
        (["method=full", "train.kernels=liger", *ON_SLURM, "cluster.gpus=0"], ["needs a GPU", "cluster.gpus=1"]),
        (["model=tiny_idefics", "method=full", "train.kernels=liger"], ["family 'idefics'", "train.kernels=torch"]),
    ],
)
def test_what_fails_is_refused_with_what_works(words: list[str], said: list[str]) -> None:
    found = problems(*words)
    assert found, "not refused"
    assert all(part in " ".join(found) for part in said), found


@pytest.mark.parametrize(
    "words",
    [
        ["method=untuned,untuned_nf4,full,lora,dora,qlora,lora_8bit"],
        ["method=full,lora,dora,qlora,lora_8bit", "deepspeed=zero3", "placement.ranks=2"],
        ["method=dora_8bit_llama_study", "model=tiny_llama32_vision", *ON_SLURM],
        ["method=qlora", "model.dtype=bfloat16", "method.dtype=float16", *ON_SLURM, "cluster.gpu=V100"],
        ["method=qlora", "model.dtype=bfloat16", *ON_SLURM, "cluster.gpu=A100"],
        # Whether this machine has a GPU is not known before a rank runs on it.
        ["method=dora_8bit_llama_study"],
        ["model.attention=flash_attention_2", "method.dtype=bfloat16"],
        ["method=full", "train.kernels=liger"],
        # Nothing of a tuning is held against a model that is asked as it is.
        ["method=untuned", "method.lora.dora=true", "method.quantise=int8", "deepspeed=zero3"],
    ],
)
def test_what_works_is_not_refused(words: list[str]) -> None:
    assert problems(*words) == []


def test_a_resume_on_a_card_without_the_number_format_is_refused() -> None:
    words = [*BASE, "method=lora", "model.dtype=bfloat16"]
    tuned, answered = (c.cell for c in expand(compose(words, conf_folders(None)), lambda task: "d" * 64).cells)
    moved = compose([*ON_SLURM, "cluster.gpu=V100"], conf_folders(None))
    with pytest.raises(UserError, match=r"V100 does not have; give method\.dtype=float16"):
        moved.replaced(tuned.config, "finetune")
    # In what form a tuned model is read is its finetune cell's affair; the rank refuses what it can't do.
    moved.replaced(answered.config, "evaluate")


@pytest.mark.parametrize(
    "card", ["V100", "v100", "Tesla-V100-PCIE-32GB", "v100_16", "RTX_6000", "rtx6000", "quadro_rtx_6000", "T4", "P100"]
)
def test_old_cards_are_known_however_a_cluster_spells_them(card: str) -> None:
    assert before_ampere(card)


@pytest.mark.parametrize("card", ["", "A100", "a100_80", "H100", "H200", "L40S", "RTX_A6000", "rtx_6000_ada", "A40"])
def test_other_cards_are_not_taken_for_old_ones(card: str) -> None:
    assert not before_ampere(card)
