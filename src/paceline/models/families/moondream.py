"""Moondream 2 by the code that comes with its weights, which has had two calls.

Up to 2024: ``answer_question(encode_image(image), question, tokenizer, …)``. From 2025: ``query(image, question, …)``.
"""

from __future__ import annotations

from typing import Any, ClassVar

from paceline.config.schema import GenerationSpec
from paceline.errors import UserError
from paceline.models.conversation import Conversation
from paceline.models.families.remote import Remote, in_full, merged, said


class Moondream(Remote):
    """``HfMoondream``, or ``Moondream`` before it.

    Later code has ``answer_question`` too, which passes over the settings; so ``query`` is taken where it is.
    """

    model_types = ("moondream1",)
    calls: ClassVar[tuple[str, ...]] = ("query", "answer_question")

    def ask(self, conversation: Conversation, arguments: dict[str, Any]) -> Any:
        """Ask by the call that the code has; ``query`` gives a mapping with the answer."""
        (image,), question = conversation.images, merged(conversation)
        if self.call == "query":
            return self.model.query(image, question, **arguments)["answer"]
        return self.model.answer_question(self.model.encode_image(image), question, self.tokenizer, **arguments)

    def arguments(self, spec: GenerationSpec) -> dict[str, Any]:
        """What the call takes; without a length among it, as in the first revisions, it can't be used."""
        length = "settings" if self.call == "query" else "max_new_tokens"
        if length not in self.parameters():
            raise UserError(
                f"model {self.spec.name}: the {self.call} of this revision takes no length of an answer, and writes as "
                "many tokens as it likes; pin a later revision"
            )
        if self.call != "query":
            return self.taken(in_full(spec))
        settings = self.taken(said(spec), ("max_new_tokens", "do_sample", "temperature", "top_p"))
        return {
            "settings": {
                "max_tokens": settings["max_new_tokens"],
                "temperature": settings.get("temperature", 0.0),
                "top_p": settings.get("top_p", 1.0),
            }
        }


FAMILY = Moondream
