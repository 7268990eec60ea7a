"""Ask a service one small question about a picture: what ``paceline doctor model=NAME`` runs in a process of its own.

Reads a model's spec as JSON from its input, and prints one line of JSON. Imports no torch.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from paceline import plugins
from paceline.config.build import build
from paceline.config.schema import GenerationSpec, ModelSpec
from paceline.errors import PacelineError
from paceline.models import load_family
from paceline.models.conversation import Conversation

PICTURE = Path(__file__).with_name("picture.png")
QUESTION = "Describe this image in one sentence."
NEW_TOKENS = 48
# Somebody waits at the keyboard.
PATIENCE_MINUTES = 0.5


def ask(spec: ModelSpec) -> dict[str, Any]:
    """What it answered, with what that took; times in seconds.

    Raises:
        PacelineError: it did not answer.
    """
    service = dataclasses.replace(spec.service, patience_minutes=min(PATIENCE_MINUTES, spec.service.patience_minutes))
    images = [Image.open(PICTURE).convert("RGB")] if "image" in spec.inputs else []
    question = Conversation(QUESTION if images else "Name three seas.", images)
    answerer = load_family(spec.family).load(dataclasses.replace(spec, service=service))
    (answer,) = answerer.answer([question], GenerationSpec(new_tokens=NEW_TOKENS), [0])
    return dataclasses.asdict(answer)


def main() -> int:
    plugins.inherit()
    spec = build(ModelSpec, json.load(sys.stdin), "model")
    try:
        print(json.dumps(ask(spec)))  # noqa: T201  (the parent reads it)
    except PacelineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
