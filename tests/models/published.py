"""The published models without their weights: their configs, the networks on the meta device, their processors."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from conftest import model_spec
from PIL import Image
from safetensors.torch import load_file, save_file

from paceline.config.schema import LoraSpec, ModelSpec
from paceline.gpu_memory import count_shape
from paceline.gpu_memory.shapes import file_name
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.training import adapters

GOLDEN = Path(__file__).parent / "golden"
# Model of conf/model/ -> the hub id under which its architecture is published.
CONFIGS = {
    "qwen2_vl_2b": "Qwen/Qwen2-VL-2B-Instruct",
    "pixtral_12b": "mistral-community/pixtral-12b",
    "llama32_11b_vision": "meta-llama/Llama-3.2-11B-Vision",
    "llama32_11b_vision_instruct": "meta-llama/Llama-3.2-11B-Vision-Instruct",
    "idefics_9b": "HuggingFaceM4/idefics-9b",
}


def published(name: str) -> ModelSpec:
    """The spec of ``conf/model/<name>.yaml`` with the published architecture for its config."""
    spec = model_spec(name)
    config = json.loads((count_shape.CONFIGS / file_name(CONFIGS.get(name, spec.weights))).read_text())
    return ModelSpec(name=name, family=spec.family, config=config, processor=spec.processor)


def on_meta(name: str) -> Family:
    """The whole network, which takes no memory there, with the published geometry and a twin's words."""
    spec = published(name)
    family = load_family(spec.family)
    config = transformers.AutoConfig.for_model(**family.config_of(spec.config))
    with torch.device("meta"):
        model = transformers.AutoModelForImageTextToText.from_config(config)
    return family(spec, model, family.twin_processor(spec))


def trained(family: Family, lora: LoraSpec) -> int:
    """Numbers that an adapter of a network on the meta device trains."""
    settings = peft.LoraConfig(r=lora.r, target_modules=adapters.targets(family, lora).names, use_dora=lora.dora)
    return peft.get_peft_model(family.model, settings, low_cpu_mem_usage=True).get_nb_trainable_parameters()[0]


def gradient(width: int, height: int) -> Image.Image:
    """An image in which every place has a colour of its own: left to right in red, top to bottom in green."""
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    return Image.merge("RGB", (across, down, Image.new("L", (width, height), 128)))


def check(name: str, found: Any) -> None:
    """Compare with ``golden/<name>.json``; ``PACELINE_ACCEPT=1`` writes it instead."""
    path = GOLDEN / f"{name}.json"
    if os.environ.get("PACELINE_ACCEPT"):
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    expected = json.loads(path.read_text()) if path.exists() else {}
    keys = sorted(key for key in {*expected, *found} if expected.get(key) != found.get(key))
    if changed := [f"{key}:\n  was {expected.get(key)!r}\n  is  {found.get(key)!r}" for key in keys]:
        told = "\n".join(changed)
        pytest.fail(f"{path.name}:\n{told}\nIf this is meant: PACELINE_ACCEPT=1 pytest tests/models", pytrace=False)


def images_only(name: str, size: tuple[int, int]) -> tuple[Family, dict[str, torch.Tensor]]:
    """The batch of one image and no word, by the published geometry; nothing of it asks the network."""
    spec = published(name)
    cls = load_family(spec.family)
    family = cls.__new__(cls)
    family.spec, family.processor = spec, cls.twin_processor(spec)
    family.tokenizer.model_max_length = 10_000
    family.end_tokens = [family.tokenizer.eos_token_id]
    return family, family.batch([Conversation("", [gradient(*size)])])


def renamed(twin: Family, folder: Path, prefix: str, public: str) -> Family:
    """A twin as its family reads it from files in which ``public`` stands for the ``prefix`` of its tensors' names."""
    twin.save(twin.model, folder)
    with_older_names(folder, {prefix: public})
    spec = dataclasses.replace(twin.spec, weights=str(folder), config={})
    return load_family(spec.family).load(spec)


def holds(found: torch.Tensor, image: Image.Image, mean: Sequence[float], std: Sequence[float]) -> bool:
    """Whether (3, height, width) are an image's colours, from 0 to 1 less ``mean`` over ``std``.

    Pillow made the image and torchvision the pixels: their filters differ by a level or two.
    """
    shown = torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32)).permute(2, 0, 1) / 255
    back = found.float() * torch.tensor(std).view(3, 1, 1) + torch.tensor(mean).view(3, 1, 1)
    return back.shape == shown.shape and bool((back - shown).abs().max() < 3 / 255)


def with_older_names(folder: Path, renamed: dict[str, str]) -> None:
    """Give a saved model's tensors the names of files that an earlier library published: beginning -> beginning."""
    tensors = load_file(folder / "model.safetensors")
    for now, then in renamed.items():
        assert any(name.startswith(now) for name in tensors), now
        tensors = {name.replace(now, then, 1) if name.startswith(now) else name: t for name, t in tensors.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
