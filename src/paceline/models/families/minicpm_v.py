"""MiniCPM-V by the code that comes with its weights: ``chat(image, msgs, tokenizer, sampling, …)``."""

from __future__ import annotations

from typing import Any, ClassVar

import transformers

from paceline.config.checks import locate_weights
from paceline.config.schema import GenerationSpec, ModelSpec
from paceline.models.conversation import Conversation
from paceline.models.families.remote import Remote, in_full


class MiniCPMV(Remote):
    """``MiniCPMV`` of MiniCPM-Llama3-V-2.5.

    Its ``chat`` passes over arguments that it does not know, takes some by one way of generating alone, and has
    defaults of its own (nucleus 0.8 of 100 tokens, penalties of repetition): all that count are given.
    """

    model_types = ("minicpmv",)
    auto_class: ClassVar[str] = "AutoModel"
    calls: ClassVar[tuple[str, ...]] = ("chat",)
    refuses = ("min_new_tokens",)

    def __init__(self, spec: ModelSpec, model: Any, processor: Any) -> None:
        super().__init__(spec, model, processor)
        self.given: dict[str, Any] = {}
        if "processor" in self.parameters():
            # The call would read it anew from the hub id, at whatever commit is the newest.
            source, revision = locate_weights(spec)
            self.given["processor"] = self._read(
                spec,
                lambda: transformers.AutoProcessor.from_pretrained(
                    source, revision=revision, trust_remote_code=spec.remote_code
                ),
            )

    def ask(self, conversation: Conversation, arguments: dict[str, Any]) -> Any:
        """Ask by ``chat``; the system's turn has an argument of its own in later code, and stands in front before."""
        question, given = conversation.prompt, dict(self.given)
        if conversation.system and "system_prompt" in self.parameters():
            given["system_prompt"] = conversation.system
        elif conversation.system:
            question = f"{conversation.system}\n{question}"
        messages = [{"role": "user", "content": question}]
        return self.model.chat(
            image=conversation.images[0], msgs=messages, tokenizer=self.tokenizer, **given, **arguments
        )

    def arguments(self, spec: GenerationSpec) -> dict[str, Any]:
        """``sampling``, and what the call reads beside it."""
        settings = in_full(spec)
        sampled = settings["do_sample"]
        takes = ("temperature", "top_p", "top_k") if sampled else ("num_beams",)
        if sampled:
            del settings["num_beams"]
        settings = self.taken(settings, ("max_new_tokens", "do_sample", "repetition_penalty", *takes))
        del settings["do_sample"]
        return {"sampling": sampled, **settings}


FAMILY = MiniCPMV
