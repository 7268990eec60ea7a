"""What is refused when a sweep is composed does fail in the pinned versions: once it works, its refusal can go."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_twin import ZERO2, attempt, config, group, load, method, sharding, tune, twin

from paceline.config import conflicts
from paceline.config.schema import MethodSpec
from paceline.errors import UserError
from paceline.models import load_family

QUANTISED_FULL = MethodSpec(name="full", trains="all", quantise="nf4")


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conflicts, "check", lambda *args: None)


def test_weights_of_few_bits_do_not_train(tmp_path: Path, unchecked: None) -> None:
    # They are no floating-point numbers, so that torch refuses first; the Trainer would too.
    with pytest.raises((RuntimeError, ValueError), match=r"floating point|purely quantized"):
        tune(attempt(tmp_path / "cell", config(QUANTISED_FULL, max_steps=1)))


def test_dora_on_eight_bits_fails_on_the_cpu(tmp_path: Path, unchecked: None) -> None:
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute"):
        tune(attempt(tmp_path / "cell", config(method("lora_8bit", dora=True), max_steps=2)))


@pytest.mark.parametrize(
    ("job", "says"),
    [
        (
            {"method": "qlora", "lora": {"dora": True}, "deepspeed": "zero3"},
            "'Params4bit' object has no attribute 'ds_",
        ),
        ({"method": "qlora_idefics_study", "deepspeed": "zero2"}, "Type fp16 is not supported on your device"),
    ],
    ids=["dora on four bits under ZeRO-3", "float16 under DeepSpeed on the CPU"],
)
def test_a_combination_under_deepspeed_fails(job: dict[str, Any], says: str, tmp_path: Path) -> None:
    asked = {"cell": str(tmp_path / "cell"), "model": "tiny_idefics", "changes": {"max_steps": 2}, "unchecked": True}
    with pytest.raises(AssertionError, match=says):
        group(1, ZERO2, [{**asked, **job}], log=tmp_path)


@pytest.mark.parametrize(
    ("made", "remedy"),
    [
        (config(QUANTISED_FULL), "method=qlora"),
        (config(method("dora_8bit_llama_study")), "method.quantise=nf4"),
        (config(method("qlora", dora=True), deepspeed=sharding("zero3")), "deepspeed=zero2"),
        (config(method("qlora_idefics_study"), deepspeed=sharding("zero2")), "method.dtype=float32"),
    ],
    ids=lambda x: "" if isinstance(x, str) else x.method.name,
)
def test_a_rank_refuses_them_too_where_composing_could_not_know_its_machine(
    made: Any, remedy: str, tmp_path: Path
) -> None:
    if torch.cuda.is_available():
        pytest.skip("on a GPU some of them run")
    with pytest.raises(UserError, match=remedy):
        tune(attempt(tmp_path / "cell", made))


def test_flash_attention_that_is_not_there_says_what_to_give_instead() -> None:
    if torch.cuda.is_available():
        pytest.skip("on a GPU it may be there")
    spec = dataclasses.replace(twin("tiny_pixtral"), attention="flash_attention_2", dtype="bfloat16")
    with pytest.raises(UserError, match=r"model tiny_pixtral: .*Flash.*model\.attention=sdpa"):
        load_family("pixtral").load(spec)


def test_mllama_in_eight_bits_leaves_its_vision_tower_whole() -> None:
    family = load(config(method("lora_8bit"), model=twin("tiny_llama32_vision")))
    kinds = {
        component: {type(family.model.get_submodule(n)).__name__ for n in family.linear_layers([component])}
        for component in family.components
    }
    assert kinds == {"vision": {"Linear"}, "connector": {"Linear"}, "language": {"Linear8bitLt"}}
