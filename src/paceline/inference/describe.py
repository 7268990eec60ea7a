"""Load one model and let it describe a picture: what ``paceline doctor model=NAME`` runs in a process of its own.

Reads a model's spec as JSON from its input, and prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from paceline import plugins
from paceline.config.build import build
from paceline.config.schema import GenerationSpec, ModelSpec
from paceline.errors import PacelineError
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family

# Drawn for this purpose: a red house with a blue door on a green hill, a yellow sun, 448 × 448 pixels.
PICTURE = Path(__file__).with_name("picture.png")
QUESTION = "Describe this image in one sentence."
NEW_TOKENS = 48


def describe(spec: ModelSpec) -> dict[str, Any]:
    """Load, count, ask; times in seconds.

    Raises:
        PacelineError: it can't be loaded.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    began = time.monotonic()
    family = load_family(spec.family).load(spec, device=device)
    loaded = time.monotonic()
    images = [Image.open(PICTURE).convert("RGB")] if "image" in spec.inputs else []
    question = Conversation(QUESTION if images else "Name three seas.", images)
    (answer,) = family.answer([question], GenerationSpec(new_tokens=NEW_TOKENS), [0])
    apart = images and not family.own_call and not family.needs_image
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "the CPU",
        "versions": {name: metadata.version(name) for name in ("torch", "transformers")},
        "parameters": sum(p.numel() for p in family.model.parameters()),
        "image_tokens": image_tokens(family, question) if apart else None,
        "text": answer.text,
        "new_tokens": answer.new_tokens,
        "finish": answer.finish,
        "seconds": {"load": loaded - began, "answer": time.monotonic() - loaded},
    }


def image_tokens(family: Family, question: Conversation) -> int:
    """By how many tokens the picture lengthens the prompt, its separators counted."""
    lengths = [
        int(family.tokens_read(family.batch([Conversation(question.prompt, images)])).sum())
        for images in (question.images, [])
    ]
    return lengths[0] - lengths[1]


def main() -> int:
    plugins.inherit()
    spec = build(ModelSpec, json.load(sys.stdin), "model")
    try:
        print(json.dumps(describe(spec)))  # noqa: T201  (the parent reads it)
    except PacelineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
