"""Every method of conf/method/ tunes the twins that it is for, and what it publishes is what was trained."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from finetune_twin import TREE, Squares, attempt, config, load, method, tune, twin, weights
from peft import PeftModel

from paceline.config.identity import as_loaded
from paceline.config.schema import MethodSpec
from paceline.data.conversations import question
from paceline.models import load_family
from paceline.models.family import Family
from paceline.scoring import judge
from paceline.store.cell_folder import CellFolder
from paceline.store.files import read_jsonl
from paceline.store.root import Store
from paceline.training import adapters

FAMILIES = ("tiny_llama32_vision", "tiny_pixtral", "tiny_qwen2_vl")
# A study's adapter is for the model that it was made for.
STUDIES = {
    "lora_phi35": ("tiny_phi35_vision",),
    "lora_phi35_study": ("tiny_phi35_vision",),
    "qlora_idefics_study": ("tiny_idefics",),
    "dora_8bit_llama_study": (),  # needs a GPU, and is unproven until it ran on one
    # For models of other parts.
    "connector": ("tiny_joined", "tiny_projector"),
    # Of models that classify, which have tests of their own (test_image_classifier.py, test_learned_labels.py).
    "head": (),
    # Of more layers than a twin has: test_frozen_layers.py freezes theirs.
    "full_last_layers": (),
    "lora_backbone": (),
}
UNTUNED = {name for name in TREE.choices("method") if TREE.load("method", name).get("trains", "nothing") == "nothing"}
CASES = [
    (name, model) for name in TREE.choices("method") if name not in UNTUNED for model in STUDIES.get(name, FAMILIES)
]


@pytest.mark.parametrize(("name", "model"), CASES)
def test_a_method_takes_two_steps_and_publishes_what_was_trained(name: str, model: str, tmp_path: Path) -> None:
    made = config(method(name), model=twin(model), max_steps=2, validations=1, learning_rate=1e-2)
    run = attempt(tmp_path / "cell", made)
    result = tune(run)
    assert result["steps"] == 2 and math.isfinite(result["loss"])
    published = run.attempt.path / "weights"
    assert min(tensor.numel() for tensor in weights(tmp_path / "cell").values()) > 0
    # As an evaluation reads it: its base in the same form as in training.
    family = load(made, published)
    batch = family.to_model(family.training_batch([Squares(5, first=3)[i] for i in range(5)]))
    with torch.no_grad():
        loss = family.model(**batch)["loss"].item()
    # Float16 rounds sums in another way under autocast, which training computes in.
    assert loss == pytest.approx(result["validation_loss"], abs=1e-2 if made.method.dtype == "float16" else 1e-4)


@pytest.mark.parametrize("name", ["lora", "dora", "qlora", "lora_8bit"])
def test_a_saved_adapter_names_its_base_and_loads_in_plain_peft(name: str, tmp_path: Path) -> None:
    made = config(method(name), model=twin("tiny_pixtral"), max_steps=1)
    run = attempt(tmp_path / "cell", made)
    tune(run)
    folder = run.attempt.path / "weights"
    told = json.loads((folder / "adapter_config.json").read_text())
    assert told["base_model_name_or_path"] == "tiny_pixtral"
    assert told["use_dora"] == (name == "dora")
    base = load(made).model
    wrapped = PeftModel.from_pretrained(base, folder)
    loaded = {n for n, _ in wrapped.named_parameters() if "lora_" in n}
    assert len(loaded) == len(weights(tmp_path / "cell"))


def test_the_methods_say_what_their_names_promise() -> None:
    said = {name: method(name) for name in TREE.choices("method")}
    assert {n for n, m in said.items() if m.quantise == "nf4"} == {"qlora", "qlora_idefics_study", "untuned_nf4"}
    assert {n for n, m in said.items() if m.quantise == "int8"} == {"lora_8bit", "dora_8bit_llama_study"}
    assert {n for n, m in said.items() if m.lora.dora} == {"dora", "dora_8bit_llama_study"}
    assert {"untuned", "untuned_nf4"} == UNTUNED
    whole = {"full", "full_frozen_vision", "full_last_layers", "connector", "head"}
    assert {n for n, m in said.items() if m.trains == "all"} == whole


def test_a_frozen_component_is_not_touched(tmp_path: Path) -> None:
    made = config(method("full_frozen_vision"), model=twin("tiny_pixtral"), max_steps=2, learning_rate=1e-2)
    run = attempt(tmp_path / "cell", made)
    result = tune(run)
    assert "trainable_vision" not in result
    before, after = load(made), load(made, run.attempt.path / "weights")
    kept = {n for n, p in before.model.named_parameters() if torch.equal(p, after.model.get_parameter(n))}
    assert kept == {n for n, _ in before.model.named_parameters() if before.component_of(n) == "vision"}


def test_a_gaussian_start_is_drawn_with_deviation_one_over_the_rank() -> None:
    spreads = {}
    for init in ("default", "gaussian"):
        family = load(config())
        adapters.adapt(family, dataclasses.replace(method("lora", r=8, init=init)), seed=1)
        drawn = torch.cat([p.flatten() for n, p in family.model.named_parameters() if "lora_A" in n])
        spreads[init] = drawn.std().item()
    assert spreads["gaussian"] == pytest.approx(1 / 8, rel=0.05)
    assert spreads["default"] != pytest.approx(1 / 8, rel=0.05)


def test_a_methods_number_format_is_that_of_the_weights() -> None:
    made = config(MethodSpec(name="full", trains="all", dtype="bfloat16"), model=twin("tiny_pixtral"))
    assert as_loaded(made).dtype == "bfloat16"
    assert {p.dtype for p in load(made).model.parameters()} == {torch.bfloat16}


def test_a_base_of_few_bits_stays_frozen_and_small() -> None:
    whole, small = (load(config(method(n), model=twin("tiny_pixtral"))) for n in ("lora", "qlora"))

    def held(family: Family) -> int:
        return sum(p.nbytes for p in family.model.parameters())

    before = held(small)
    counts = adapters.adapt(small, method("qlora"), seed=0)
    assert counts == adapters.adapt(whole, method("lora"), seed=0)
    trained = {n for n, p in small.model.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in n for n in trained)
    assert before < 0.35 * sum(p.nbytes for n, p in whole.model.named_parameters() if "lora_" not in n)
    # Nothing was made float32 that was not, and no hook asks for the inputs' gradient.
    assert held(small) - before == 4 * counts["trainable"]
    assert not small.bare_model().get_input_embeddings()._forward_hooks


SWEEP = (
    "model=tiny_qwen2_vl",
    "task=geolocation_earth",
    "task.options={train: 16, validation: 8, test_near: 4, test_far: 4, spacing: 2.0}",
    "prompt=geo_bare",
    "method=untuned,untuned_nf4,qlora",
    "train=quick",
    "train.max_steps=2",
    "generation.new_tokens=8",
    "tracking=disabled",
    "name=forms",
)


def test_a_sweep_answers_with_weights_in_the_form_that_they_were_tuned_in(tmp_path: Path) -> None:
    for verb, words in (("prepare", [w for w in SWEEP if w.startswith("task")]), ("submit", [*SWEEP, "cluster=debug"])):
        done = subprocess.run(
            [sys.executable, "-m", "paceline", verb, *words, f"root={tmp_path}"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    store = Store(tmp_path)
    cells = {c.name: CellFolder(c) for c in (tmp_path / "cells").iterdir()}
    by_method = {f.read().config.method.name: f for n, f in cells.items() if n.startswith("evaluate")}
    texts = {name: [r["text"] for r in read_jsonl(folder.predictions)] for name, folder in by_method.items()}
    assert texts["untuned"] != texts["untuned_nf4"]
    answered = by_method["qlora"].read()
    made = store.cell(answered.needs[0]).read().config
    assert made.method.quantise == "nf4"
    samples = judge.evaluated_samples(answered.config, tmp_path)
    asked = [question(s, answered.config.prompt, answered.config.task) for s in samples]
    for quantise in ("nf4", "none"):
        family = load_family("qwen2_vl").load(as_loaded(made), store.cell(answered.needs[0]).weights, quantise=quantise)
        said = [a.text for a in family.answer(asked, answered.config.generation, [0] * len(asked))]
        assert (said == texts["qlora"]) == (quantise == "nf4"), quantise
