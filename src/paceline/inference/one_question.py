"""One small question to a model, about a picture where it reads one: what ``paceline doctor model=NAME`` asks.

Asked in a process of its own, which reads a model's spec as JSON from its input and prints one line of JSON. Imports no
torch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from paceline import plugins
from paceline.config.build import build
from paceline.config.schema import ModelSpec
from paceline.errors import PacelineError
from paceline.models.conversation import Conversation

# Drawn for this purpose: a red house with a blue door on a green hill, a yellow sun, 448 × 448 pixels.
PICTURE = Path(__file__).with_name("picture.png")
NEW_TOKENS = 48


def question_for(spec: ModelSpec) -> Conversation:
    """What a model is asked: for a sentence about the picture, or for three seas."""
    if "image" not in spec.inputs:
        return Conversation("Name three seas.")
    return Conversation("Describe this image in one sentence.", [Image.open(PICTURE).convert("RGB")])


def answer_parent(ask: Callable[[ModelSpec], dict[str, Any]]) -> int:
    """Ask the model whose spec the parent wrote, and print what came of it; the exit status."""
    plugins.inherit()
    spec = build(ModelSpec, json.load(sys.stdin), "model")
    try:
        print(json.dumps(ask(spec)))  # noqa: T201  (the parent reads it)
    except PacelineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0
