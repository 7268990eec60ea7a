"""Ask a service one small question about a picture: what ``paceline doctor model=NAME`` runs in a process of its own.

Reads a model's spec as JSON from its input, and prints one line of JSON. Imports no torch.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from paceline.config.schema import GenerationSpec, ModelSpec
from paceline.inference.one_question import NEW_TOKENS, answer_parent, question_for
from paceline.models import load_family

# Somebody waits at the keyboard.
PATIENCE_MINUTES = 0.5


def ask(spec: ModelSpec) -> dict[str, Any]:
    """What it answered, with what that took; times in seconds.

    Raises:
        PacelineError: it did not answer.
    """
    service = dataclasses.replace(spec.service, patience_minutes=min(PATIENCE_MINUTES, spec.service.patience_minutes))
    answerer = load_family(spec.family).load(dataclasses.replace(spec, service=service))
    (answer,) = answerer.answer([question_for(spec)], GenerationSpec(new_tokens=NEW_TOKENS), [0])
    return dataclasses.asdict(answer)


if __name__ == "__main__":
    sys.exit(answer_parent(ask))
