"""Qwen-VL-Chat by the code that comes with its weights: ``chat(tokenizer, query, history, …)``.

Images stand in the query by their paths, and the network reads the files.
"""

from __future__ import annotations

from typing import Any, ClassVar

from paceline.config.schema import GenerationSpec
from paceline.errors import UserError
from paceline.models.conversation import Conversation
from paceline.models.families.remote import Remote, in_full, on_disk

# A path has the place of the image's tokens, a byte each.
_LONGEST_PATH = 256


class QwenVL(Remote):
    """``QWenLMHeadModel`` of Qwen-VL-Chat. Its ``chat`` gives the answer and the history, which is not kept.

    Settings that are left out would be those of the weights' ``generation_config.json``: all are given.
    """

    model_types = ("qwen",)
    calls: ClassVar[tuple[str, ...]] = ("chat",)
    several_images: ClassVar[bool] = True
    needs_image: ClassVar[bool] = False

    def ask(self, conversation: Conversation, arguments: dict[str, Any]) -> Any:
        """Ask by ``chat``; without a system's turn, the call has one of its own."""
        system = {"system": conversation.system} if conversation.system else {}
        with on_disk(conversation.images) as paths:
            if any(len(path.encode()) > _LONGEST_PATH for path in paths):
                raise UserError(
                    f"model {self.spec.name}: it reads images by paths of at most {_LONGEST_PATH} bytes, and the "
                    f"folder for temporary files has a longer one ({paths[0]}); set TMPDIR to a short one, such as /tmp"
                )
            parts = [*({"image": path} for path in paths), {"text": conversation.prompt}]
            query = self.tokenizer.from_list_format(parts)
            answer, _ = self.model.chat(self.tokenizer, query=query, history=None, **system, **arguments)
        return answer

    def arguments(self, spec: GenerationSpec) -> dict[str, Any]:
        """What the call hands to ``generate``."""
        return self.taken(in_full(spec))


FAMILY = QwenVL
