"""A tensor that is not read from the weights would be random and answer all the same: it is refused by its name."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from paceline.config.schema import GenerationSpec, ModelSpec
from paceline.errors import UserError
from paceline.models import hub_files, load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family

Tensors = dict[str, torch.Tensor]


@pytest.fixture
def saved(spec: ModelSpec, twin: Family, tmp_path: Path) -> ModelSpec:
    """The twin as a folder of weights that a user may have."""
    folder = tmp_path / "weights"
    twin.save(twin.model, folder)
    return dataclasses.replace(spec, weights=str(folder), config={})


def change(model: ModelSpec, edit: Callable[[Tensors], Tensors]) -> Tensors:
    """Rewrite a folder's tensors; those that were there."""
    path = Path(model.weights) / "model.safetensors"
    before = load_file(path)
    save_file(edit(dict(before)), path, metadata={"format": "pt"})
    return before


def refusal(model: ModelSpec, *args: Path) -> str:
    with pytest.raises(UserError) as error:
        load_family(model.family).load(model, *args)
    return str(error.value)


def test_whole_weights_are_read(saved: ModelSpec, twin: Family) -> None:
    again = load_family(saved.family).load(saved).model.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in twin.model.state_dict().items())


def test_any_missing_tensor_is_refused_by_name(saved: ModelSpec, twin: Family) -> None:
    whole = change(saved, dict)
    needed = sorted(n for n in whole if not twin.is_idle(n) and not twin.is_idle(f"model.{n}"))  # of older names too
    vision = [n for n in needed if "vision" in n or "visual" in n]
    names = random.Random(0).sample(needed, 3) + vision[:1] + vision[-1:]
    for name in names:
        change(saved, lambda _, left_out=name: {k: v for k, v in whole.items() if k != left_out})
        message = refusal(saved)
        # In a file a tensor may bear an older name than in the network; its own end is the same.
        assert "not there, and would be random: 1 tensor" in message
        assert name.rsplit(".", 3)[-1] in message


def test_a_tensor_that_no_answer_depends_on_may_be_missing(saved: ModelSpec, twin: Family) -> None:
    idle = [name for name, _ in twin.bare_model().named_parameters() if twin.is_idle(name)]
    if not idle:
        pytest.skip("this family has no idle tensor")
    change(saved, lambda tensors: {k: v for k, v in tensors.items() if k not in idle})
    load_family(saved.family).load(saved)


def test_vision_tensors_under_another_prefix_are_refused(saved: ModelSpec) -> None:
    marks = ("vision", "visual")
    before = change(
        saved, lambda tensors: {f"tower.{k}" if any(m in k for m in marks) else k: v for k, v in tensors.items()}
    )
    if not any(m in k for k in before for m in marks):
        pytest.skip("this family sees no pictures")
    message = refusal(saved)
    assert "not there, and would be random" in message
    assert "not used of the files:" in message and "(tower." in message


def test_a_tensor_of_another_shape_is_refused(saved: ModelSpec) -> None:
    name = min(change(saved, dict))
    change(saved, lambda tensors: {**tensors, name: torch.cat([tensors[name], tensors[name]])})
    message = refusal(saved)
    assert "of another shape" in message and name.rsplit(".", 1)[-1] in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(saved: ModelSpec, twin: Family, value: float) -> None:
    name = next(n for n, p in twin.bare_model().named_parameters() if not twin.is_idle(n) and p.ndim > 1)

    def damaged(tensors: Tensors) -> Tensors:
        stored = next(n for n in tensors if n.endswith(name.split(".", 2)[-1]))
        tensors[stored].flatten()[0] = value
        return tensors

    change(saved, damaged)
    assert "not all numbers (NaN or infinite) in the files: 1 tensor" in refusal(saved)


@pytest.mark.asks("tokens")
def test_layers_in_the_files_that_the_config_does_not_count_are_refused(saved: ModelSpec) -> None:
    path = Path(saved.weights) / "config.json"
    config = json.loads(path.read_text())
    text = config.get("text_config") or config.get("decoder") or config
    count = next(key for key in ("num_hidden_layers", "num_layers", "n_layer") if key in text)
    layers = text[count] - 1
    text |= {count: layers}
    if "layer_types" in text:
        text["layer_types"] = text["layer_types"][:layers]
    path.write_text(json.dumps(config))
    message = refusal(saved)
    assert "of layers that config.json does not count" in message and f".{layers}." in message


@pytest.mark.asks("tokens")
def test_a_tokenizer_of_another_model_is_refused(saved: ModelSpec, twin: Family) -> None:
    path = Path(saved.weights) / "tokenizer.json"
    whole = json.loads(path.read_text())
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    more = [*whole["added_tokens"], {"id": 20_000, "content": "elsewhere", **flags}]
    vocabulary = {**whole["model"]["vocab"], "elsewhere": 20_000}
    other = {**whole, "added_tokens": more, "model": {**whole["model"], "vocab": vocabulary}}
    path.write_text(json.dumps(other))
    if type(twin.bare_model().get_input_embeddings()) is torch.nn.Embedding:
        assert "token 'elsewhere' of the tokenizer has number 20000" in refusal(saved)
    path.write_text(json.dumps(whole))
    settings = Path(saved.weights) / "tokenizer_config.json"
    settings.write_text(json.dumps({k: v for k, v in json.loads(settings.read_text()).items() if k != "eos_token"}))
    assert "the tokenizer names no token that ends an answer" in refusal(saved)


@pytest.mark.parametrize(
    ("name", "content"), [("tokenizer.json", '{"unknown": 1}'), ("config.json", '{"unknown": 1')], ids=lambda v: v[:6]
)
@pytest.mark.asks("tokens")
def test_what_a_library_fails_to_read_is_told_with_the_folder_and_no_traceback(
    saved: ModelSpec, name: str, content: str
) -> None:
    (Path(saved.weights) / name).write_text(content)
    message = refusal(saved)
    assert message.startswith(f"model {saved.name}: ")
    assert saved.weights in message
    assert "can't be read" in message or "can't read" in message


@pytest.mark.asks("tokens")
def test_answers_of_scores_that_are_no_numbers_end_the_cell_and_are_not_empty(
    spec: ModelSpec, conversations: list[Conversation]
) -> None:
    family = load_family(spec.family).load(spec)
    with torch.no_grad():
        names = (n for n, _ in family.bare_model().named_parameters() if n.endswith("norm.weight"))
        name = next(n for n in names if not family.is_idle(n))
        family.bare_model().get_parameter(name).fill_(float("nan"))
    with pytest.raises(UserError, match=r"scores of tokens are no numbers \(NaN\)"):
        family.answer(conversations[:2], GenerationSpec(new_tokens=2), [0, 0])


@pytest.mark.asks("tokens", "image")
def test_weights_of_another_architecture_are_refused_when_planning_and_when_loading(saved: ModelSpec) -> None:
    path = Path(saved.weights) / "config.json"
    assert hub_files.lacking(saved) == ""
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "fuyu"}))
    assert "model_type 'fuyu'" in hub_files.lacking(saved)
    assert "model_type 'fuyu'" in refusal(saved)


@pytest.mark.asks("tokens")
def test_an_adapter_lands_whole_or_is_refused(spec: ModelSpec, tmp_path: Path) -> None:
    family = load_family(spec.family).load(spec)
    targets = family.linear_layers(["language"])[:4]
    folder = tmp_path / "adapter"
    family.save(get_peft_model(family.model, LoraConfig(r=2, target_modules=targets)), folder)
    path = folder / "adapter_model.safetensors"
    whole = load_file(path)
    load_family(spec.family).load(spec, folder)
    name = sorted(whole)[0]

    def rewritten(tensors: Tensors) -> str:
        save_file(tensors, path, metadata={"format": "pt"})
        return refusal(spec, folder)

    assert f"not in the adapter: 1 tensor ({name})" in rewritten({k: v for k, v in whole.items() if k != name})
    renamed = {f"other.{k}" if k == name else k: v for k, v in whole.items()}
    assert f"not in the model: 1 tensor (other.{name})" in rewritten(renamed)
    assert "is of another model" in rewritten({**whole, name: torch.cat([whole[name], whole[name]])})
