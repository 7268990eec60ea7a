"""The published networks at their full size, without memory: a batch of images, one step, and what the planner says.

``PYTHONPATH=tests:tests/models python tests/models/full_size.py`` measures every case, half a minute each, and writes
``golden/activations.json``; words on the command line choose cases by their names.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import torch
from activation_cases import CASES, GOLDEN, Case, config_of, planned
from live_memory import step

from paceline.config.schema import Config
from paceline.gpu_memory import count_shape
from paceline.gpu_memory.image_tokens import see
from paceline.gpu_memory.parts import Sample
from paceline.gpu_memory.shapes import Shape, shape_of
from paceline.models import load_family
from paceline.models.tensors import IGNORED, answers_alone


def make(case: Case, config: Config, layers: int | None = None) -> Any:
    """The network on the meta device with what the method trains."""
    spec = config.model
    cls = load_family(spec.family)
    dtype = torch.float32 if config.method.trains == "all" and case.engine == "torch" else torch.bfloat16
    model = count_shape.network(spec, cls, dtype=dtype, attn_implementation=spec.attention)
    family = cls.__new__(cls)
    family.spec, family.model = spec, model
    model.train()
    if config.method.trains == "adapter":
        import peft

        lora = config.method.lora
        names = family.linear_layers(lora.components)
        matched = [n for n in names if not lora.targets or any(n.endswith(f".{t}") for t in lora.targets)]
        options = peft.LoraConfig(r=lora.r, lora_dropout=lora.dropout, use_dora=lora.dora, target_modules=matched)
        model = peft.get_peft_model(model, options, low_cpu_mem_usage=True)
        if case.engine == "deepspeed":
            model.to(torch.bfloat16)  # as its engine does with everything
    else:
        for name, p in model.named_parameters():
            if cls.component_of(name) in config.method.frozen and cls.component_of(name):
                p.requires_grad_(False)
    return model


def batch_of(case: Case, config: Config, shape: Shape) -> dict[str, torch.Tensor]:
    """Inputs of the network: ids, masks and sizes real, pixels on the meta device."""
    seen = see(shape.image, config.model.processor, case.image)
    token = shape.image["token"]
    length, b = case.text + seen.tokens, case.batch
    ids = torch.full((b, length), 5)
    pixels: dict[str, torch.Tensor] = {}

    def meta(*size: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
        return torch.empty(size, dtype=dtype, device="meta")

    image = shape.image
    if config.model.family == "llama_vision":
        ids[:, 0] = token
        tiles, edge = image["tiles"], image["size"]
        pixels = {"pixel_values": meta(b, 1, tiles, 3, edge, edge), "aspect_ratio_ids": meta(b, 1, dtype=torch.long)}
        pixels |= {"aspect_ratio_mask": meta(b, 1, tiles, dtype=torch.long)}
        pixels |= {"cross_attention_mask": meta(b, length, 1, tiles, dtype=torch.long)}
    elif config.model.family == "qwen2_vl":
        ids[:, 1 : seen.tokens - 1] = token
        across = _across(seen.patches, case.image)
        grid = torch.tensor([[1, seen.patches // across, across]] * b)
        pixels = {"pixel_values": meta(b * seen.patches, 6 * image["patch"] ** 2), "image_grid_thw": grid}
        pixels |= {"mm_token_type_ids": (ids == token).long()}
        pixels |= {"position_ids": torch.zeros(3, b, length, dtype=torch.long)}
    elif config.model.family == "pixtral":
        ids[:, : seen.patches] = token
        down = seen.tokens - seen.patches
        edge = (down * image["patch"], seen.patches // down * image["patch"])
        pixels = {"pixel_values": meta(b, 3, *edge), "image_sizes": torch.tensor([edge] * b)}
    elif config.model.family == "phi35_vision":
        ids[:, : seen.tokens] = token
        crops = seen.patches // seen.sequence
        grids = ((d, a) for d in range(1, crops) for a in range(1, crops))
        sizes = next(g for g in grids if g[0] * g[1] == crops - 1 and _phi(*g, image) == seen.tokens)
        edges = torch.tensor([[n * image["size"] for n in sizes]] * b)
        pixels = {"pixel_values": meta(b, crops, 3, image["size"], image["size"]), "image_sizes": edges}
    else:
        raise NotImplementedError(f"no batch is written here for family {config.model.family}")
    mask = torch.ones(b, length, dtype=torch.long)
    if b > 1:
        mask[0, -1] = 0  # rows of one length are luck
    labels = torch.full_like(ids, IGNORED)
    labels[:, -Sample().answer :] = 5
    return {"input_ids": ids, "labels": labels, "attention_mask": mask, **answers_alone(labels), **pixels}


def _across(patches: int, size: tuple[int, int]) -> int:
    """Even columns of so many patches, nearest to the picture's shape."""
    wanted = (patches * size[0] / size[1]) ** 0.5
    even = [n for n in range(2, patches + 1, 2) if patches % n == 0 and patches // n % 2 == 0]
    return min(even, key=lambda n: abs(n - wanted))


def _phi(down: int, across: int, image: Mapping[str, Any]) -> int:
    line = image["size"] // image["patch"] // image["merge"]
    return (down * across + 1) * line**2 + 1 + (down + 1) * line


def measure(case: Case) -> dict[str, int]:
    """Bytes that the real network keeps after its forward pass, and at its peak."""
    config = config_of(case)
    shape = shape_of(config.model)
    assert shape is not None
    inputs = batch_of(case, config, shape)
    found = step(lambda: make(case, config), inputs, autocast=case.engine == "torch", checkpointing=case.checkpointing)
    return {name: int(found[name]) for name in ("kept", "peak", "gradients")} | {"largest": found["largest"]}


def main(words: list[str]) -> None:
    known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    for case in CASES:
        if not any(w in case.name for w in words or [""]):
            continue
        found = measure(case)
        found.pop("largest")
        said = planned(case)
        known[case.name] = found
        ratios = ", ".join(f"{k} {said[k] / found[k]:.3f} of {found[k] / 2**30:.2f} GiB" for k in said)
        print(f"{case.name}: {ratios}", flush=True)
        GOLDEN.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
