"""A text model answers text through the same protocol, and is never shown an image."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from PIL import Image

from paceline.config.schema import GenerationSpec, ModelSpec
from paceline.errors import UserError
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.generate import generate
from paceline.models.tensors import IGNORED
from paceline.models.twins import twin_tokenizer

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    folder: Path = tmp_path_factory.mktemp("llama")
    tokenizer = twin_tokenizer(["<pad>", "<s>", "</s>"], pad="<pad>", eos="</s>", bos="<s>", chat_template=TEMPLATE)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    spec = ModelSpec(name="small", family="llama", weights=str(folder), dtype="float32", inputs=["text"])
    return load_family("llama").load(spec)


def test_a_batch_of_texts_answers_as_one_by_one(family: Family) -> None:
    asked = [
        Conversation("Where is Lyon?"),
        Conversation("And a much longer question about rivers?", system="Be brief."),
    ]
    settings = GenerationSpec(new_tokens=6)
    together = [a.text for a in generate(family, asked, settings, [0, 0])]
    assert together == [generate(family, [c], settings, [0])[0].text for c in asked]


def test_labels_are_the_answer_and_its_end(family: Family) -> None:
    batch = family.training_batch([Conversation("Where is Lyon?", answer="France")])
    supervised = batch["labels"][0][batch["labels"][0] != IGNORED]
    assert family.decode(supervised) == "France"
    assert int(supervised[-1]) == family.end_tokens[0]


def test_an_image_is_refused_by_name(family: Family) -> None:
    with pytest.raises(UserError, match="small reads text alone"):
        family.batch([Conversation("What is this?", images=[Image.new("RGB", (8, 8))])])
