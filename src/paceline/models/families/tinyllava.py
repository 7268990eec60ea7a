"""TinyLLaVA by the code that comes with its weights: ``chat(prompt, tokenizer, image, …)``, an image by its path."""

from __future__ import annotations

from typing import Any, ClassVar

import transformers

from paceline.config.schema import GenerationSpec, ModelSpec
from paceline.models.conversation import Conversation
from paceline.models.families.remote import Remote, merged, on_disk, said


class TinyLlava(Remote):
    """``TinyLlavaForConditionalGeneration``. Its ``chat`` gives the answer and the seconds that it took."""

    model_types = ("tinyllava",)
    calls: ClassVar[tuple[str, ...]] = ("chat",)
    refuses = ("min_new_tokens", "repetition_penalty")

    @classmethod
    def make_processor(cls, spec: ModelSpec, source: str, revision: str | None) -> Any:
        """The slow tokenizer, as the card loads it."""
        return transformers.AutoTokenizer.from_pretrained(
            source, revision=revision, trust_remote_code=spec.remote_code, use_fast=False
        )

    def ask(self, conversation: Conversation, arguments: dict[str, Any]) -> Any:
        """Ask by ``chat``."""
        with on_disk(conversation.images) as paths:
            text, _ = self.model.chat(
                prompt=merged(conversation), image=paths[0], tokenizer=self.tokenizer, **arguments
            )
        return text

    def arguments(self, spec: GenerationSpec) -> dict[str, Any]:
        """The call samples where the temperature is above 0, and has no argument for it."""
        return self.taken({name: value for name, value in said(spec).items() if name != "do_sample"})


FAMILY = TinyLlava
