"""Llama and its small relatives (TinyLlama): text alone, `LlamaForCausalLM`.

A task that shows images is never composed with such a model: its YAML says `inputs: [text]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import transformers

from paceline.config.schema import ModelSpec
from paceline.errors import UserError
from paceline.models.conversation import Conversation
from paceline.models.family import Family


class Llama(Family):
    """The tokenizer is the whole processor."""

    auto_class: ClassVar[str] = "AutoModelForCausalLM"
    model_types = ("llama",)
    image_arguments = {}
    components: ClassVar[Mapping[str, tuple[str, ...]]] = {"language": ("model",)}

    @classmethod
    def make_processor(cls, spec: ModelSpec, source: str, revision: str | None) -> Any:
        """The tokenizer, from a folder or a hub id."""
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            source, revision=revision, trust_remote_code=spec.remote_code
        )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer

    @property
    def tokenizer(self) -> Any:
        """The tokenizer."""
        return self.processor

    def message(self, role: str, text: str, images: int = 0) -> dict[str, Any]:
        """One turn; chat templates of text models read plain strings."""
        if images:
            raise UserError(f"model {self.spec.name} reads text alone, and was shown an image")
        return {"role": role, "content": text}

    def _plain(self, turn: Conversation) -> str:
        return f"{self._defused(turn.prompt)}\n"


FAMILY = Llama
