"""Repositories of models that answer by code of their own: that code from ``remote_calls/``, random weights."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers.dynamic_module_utils
from PIL import Image
from safetensors.torch import save_file

from paceline.config.schema import GenerationSpec, ModelSpec
from paceline.errors import UserError
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.families.remote import Remote
from paceline.models.twins import twin_tokenizer

CODE = Path(__file__).with_name("remote_calls")
# The library copies such code to where it imports it from: here not into the home folder.
_IMPORTED = tempfile.TemporaryDirectory(prefix="modules-")
transformers.dynamic_module_utils.HF_MODULES_CACHE = _IMPORTED.name
_PIXELS = 4


def repository(
    folder: Path, model_type: str, module: str, network: str, auto: str = "AutoModelForCausalLM", **config: Any
) -> Path:
    """A folder as the hub holds such a model: config, code, weights, tokenizer.

    Args:
        folder: made here; under a name of its own, by which the library knows the code in it.
        model_type: of ``config.json``.
        module: of ``remote_calls/``, without ``.py``.
        network: the class in it.
        auto: the Auto class that its card loads it by.
        config: more keys of ``config.json``.
    """
    shutil.copytree(CODE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    tokenizer = twin_tokenizer(("<pad>", "</s>", "<s>"), pad="<pad>", eos="</s>", bos="<s>", chat_template=template)
    tokenizer.save_pretrained(folder)
    hidden, inner, vocabulary = 32, 64, len(tokenizer)
    text = {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": vocabulary,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    auto_map = {"AutoConfig": "configuration_standin.StandInConfig", auto: f"{module}.{network}"}
    told = {"architectures": [network], "auto_map": auto_map, "text_config": text, "pixels": _PIXELS, **config}
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, **told}))
    processor = {
        "processor_class": "StandInProcessor",
        "auto_map": {"AutoProcessor": "processing_standin.StandInProcessor"},
    }
    (folder / "processor_config.json").write_text(json.dumps(processor))
    layer = "llm.model.layers.0."
    shapes: dict[str, tuple[int, ...]] = {
        "projector.weight": (hidden, 3 * _PIXELS**2),
        "projector.bias": (hidden,),
        "llm.lm_head.weight": (vocabulary, hidden),
        "llm.model.embed_tokens.weight": (vocabulary, hidden),
        "llm.model.norm.weight": (hidden,),
        **{f"{layer}self_attn.{n}_proj.weight": (hidden, hidden) for n in "qkvo"},
        **{f"{layer}mlp.{n}_proj.weight": (inner, hidden) for n in ("gate", "up")},
        f"{layer}mlp.down_proj.weight": (hidden, inner),
        **{f"{layer}{n}_layernorm.weight": (hidden,) for n in ("input", "post_attention")},
    }
    random = torch.Generator().manual_seed(0)
    tensors = {n: torch.randn(s, generator=random) * 0.3 for n, s in shapes.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def spec_of(family: str, folder: Path, **more: Any) -> ModelSpec:
    """A model of such a repository, whose code is allowed."""
    allowed: dict[str, Any] = {"remote_code": True, "dtype": "float32", "attention": "eager", "tunable": False, **more}
    return ModelSpec(name=family, family=family, weights=str(folder), **allowed)


def loaded(family: str, folder: Path, **more: Any) -> Remote:
    """The loaded model, by its own code."""
    model = load_family(family).load(spec_of(family, folder, **more))
    assert isinstance(model, Remote)
    return model


def picture(seed: int = 0, size: tuple[int, int] = (12, 8)) -> Image.Image:
    """Noise, another for each seed."""
    values = torch.randint(0, 256, (size[1], size[0], 3), generator=torch.Generator().manual_seed(seed))
    return Image.fromarray(values.to(torch.uint8).numpy())


def asked(prompt: str = "Where is it?", seed: int = 0, **more: Any) -> Conversation:
    """A question about one picture."""
    return Conversation(prompt, [picture(seed)], **more)


def requires_leave(family: str, folder: Path) -> None:
    """Its code runs where it is allowed, pinned and in range; it is not tuned, and weights of another kind are told."""
    load, spec = load_family(family).load, spec_of(family, folder)
    with pytest.raises(UserError, match="off by default: read it at the pinned revision"):
        load(replace(spec, remote_code=False))
    with pytest.raises(UserError, match=r"its code runs on transformers <4\.0"):
        load(replace(spec, transformers="<4.0"))
    with pytest.raises(UserError, match="has no revision"):
        load(replace(spec, weights="owner/name"))
    with pytest.raises(UserError, match=f"family {family} answers by the model's own code and can't be tuned"):
        load(spec, training=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "another"}))
    try:
        with pytest.raises(UserError, match=f"config.json says model_type 'another', and family '{family}' reads"):
            load(spec)
    finally:
        (folder / "config.json").write_text(json.dumps(config))


def each_by_its_own_seed(family: Remote, settings: GenerationSpec) -> None:
    """Answers depend on their seed, and on nothing that is answered beside them."""
    questions = [asked(), asked("Why?"), asked(seed=1), asked()]
    together = family.answer(questions, settings, [1, 2, 1, 3])
    alone = [family.answer([q], settings, [s])[0] for q, s in zip(questions, (1, 2, 1, 3), strict=True)]
    assert together == alone
    assert together[0].text != together[3].text


def counted_in_tokens(family: Remote, prompt: str, images: int, new_tokens: int = 5) -> None:
    """Tokens are those that the network read and wrote, and an answer as long as allowed was cut."""
    settings = GenerationSpec(new_tokens=new_tokens)
    (answer,) = family.answer([asked()], settings, [0])
    assert answer.prompt_tokens == len(family.tokenizer(prompt)["input_ids"]) + images
    assert 0 < answer.new_tokens <= new_tokens
    assert answer.finish == ("length" if answer.new_tokens == new_tokens else "stop")


def refused(family: Remote, **settings: Any) -> str:
    """The message that a setting is refused with."""
    with pytest.raises(UserError) as caught:
        family.answer([asked()], GenerationSpec(**settings), [0])
    assert "leave generation." in str(caught.value)
    return str(caught.value)


def same(one: Image.Image, other: Image.Image) -> bool:
    """Whether two pictures have the same pixels."""
    return one.size == other.size and one.tobytes() == other.tobytes()


def of_one_turn(family: Remote, wrong: Sequence[Conversation]) -> None:
    """Conversations of another form are refused."""
    for conversation in wrong:
        with pytest.raises(UserError, match="one question, not"):
            family.answer([conversation], GenerationSpec(), [0])
