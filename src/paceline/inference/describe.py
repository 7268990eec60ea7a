"""Load one model and let it describe a picture: what ``paceline doctor model=NAME`` runs in a process of its own.

Reads a model's spec as JSON from its input, and prints one line of JSON.
"""

from __future__ import annotations

import sys
import time
from importlib import metadata
from typing import Any

import torch

from paceline.config.schema import GenerationSpec, ModelSpec
from paceline.inference.one_question import NEW_TOKENS, answer_parent, question_for
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family


def describe(spec: ModelSpec) -> dict[str, Any]:
    """Load, count, ask; times in seconds.

    Raises:
        PacelineError: it can't be loaded.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    began = time.monotonic()
    family = load_family(spec.family).load(spec, device=device)
    loaded = time.monotonic()
    question = question_for(spec)
    (answer,) = family.answer([question], GenerationSpec(new_tokens=NEW_TOKENS), [0])
    apart = question.images and not family.own_call and not family.needs_image
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


if __name__ == "__main__":
    sys.exit(answer_parent(describe))
