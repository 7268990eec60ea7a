"""A conversation as the one text that a family's network reads."""

from __future__ import annotations

from typing import Any, ClassVar

from paceline.config.schema import ModelSpec
from paceline.errors import UserError
from paceline.models.conversation import Conversation


class ChatText:
    """How a family writes a conversation as one text. Without a chat template it is completed as plain text."""

    # Without a chat template: what parts the turns of a prompt, and thus ends the answer that imitates them.
    turn_end: ClassVar[str] = "\n\n"
    # What stands between the text that asks for an answer and the answer, in a chat template's turns ("Assistant: …"):
    # the model says it itself, and answers are trained on with it.
    answer_opening: str = ""

    # The network was trained on bare questions, or on none: no template, line break or turn stands around a prompt.
    bare_prompt: ClassVar[bool] = False

    spec: ModelSpec
    processor: Any

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end an answer, beside the end tokens, once something other than white space was said.

        A chat model ends its turn by a token. A base model goes on and invents the next question: what parts the turns
        of its prompt ends its answer.
        """
        framed = self.bare_prompt or getattr(self.processor, "chat_template", None)
        return () if framed else (self.turn_end,)

    def render(self, conversation: Conversation) -> str:
        """The text up to where the answer begins, with one placeholder per image.

        Uses the processor's chat template; a base model without one gets plain text to complete: images, prompt, a
        line break; shots likewise, each with its answer and ``turn_end`` behind.

        A family of bare prompts gets the system's words and the question, or the beginning of its answer where it takes
        no question.

        Raises:
            UserError: the template leaves the prompt out, as some do without a word where they expect another layout;
                or shots for a family of bare prompts.
        """
        if self.bare_prompt:
            return self._bare(conversation)
        if getattr(self.processor, "chat_template", None):
            messages = self._messages(conversation)
            dated = {"date_string": DATE} if "date_string" in str(self.processor.chat_template) else {}
            text = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **dated)
            for part in (conversation.system, conversation.prompt):
                if self._defused(part).strip() not in text:
                    raise UserError(f"the chat template of model {self.spec.name} leaves out {part[:60]!r}")
            return text
        turns = [f"{self._plain(shot)}{self._defused(shot.answer or '')}{self.turn_end}" for shot in conversation.shots]
        system = f"{self._defused(conversation.system)}\n" if conversation.system else ""
        return system + "".join(turns) + self._plain(conversation)

    def _bare(self, conversation: Conversation) -> str:
        if conversation.shots:
            raise UserError(
                f"{conversation.called}: model {self.spec.name} reads one question and no earlier turns; leave out the "
                "worked examples"
            )
        if "text" not in self.spec.inputs:
            return self._defused(conversation.prefix)
        return self._defused("\n".join(filter(None, (conversation.system, conversation.prompt))))

    def _plain(self, turn: Conversation) -> str:
        return f"{self.placeholders(len(turn.images))}{self._defused(turn.prompt)}\n"

    def placeholders(self, images: int) -> str:
        """What stands for so many images, side by side, in a text without a chat template."""
        return str(self.processor.image_token) * images

    def _messages(self, conversation: Conversation) -> list[dict[str, Any]]:
        messages = []
        if conversation.system:
            messages.append(self.message("system", self._defused(conversation.system)))
        for shot in conversation.shots:
            messages.append(self.message("user", self._defused(shot.prompt), len(shot.images)))
            messages.append(self.message("assistant", self._defused(shot.answer or "")))
        messages.append(self.message("user", self._defused(conversation.prompt), len(conversation.images)))
        return messages

    def message(self, role: str, text: str, images: int = 0) -> dict[str, Any]:
        """One turn in the layout that the chat template reads; ``images`` stand before the text."""
        return {"role": role, "content": [*[{"type": "image"}] * images, {"type": "text", "text": text}]}

    def _defused(self, text: str) -> str:
        """Text in which no special token can be read: data that holds ``<s>`` or ``[IMG]`` is text, not
        structure."""
        for token in self.tokenizer.added_tokens_encoder:
            if len(token) > 1 and token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def decode(self, ids: Any) -> str:
        """Text of the ids of one answer, without special tokens."""
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


# Some chat templates (Llama 3) write today's date into a prompt that has no image, unless they are given one: this is
# what they say where there is no clock. A cell must ask the same tomorrow.
DATE = "26 Jul 2024"


def space_before(tokenizer: Any) -> str:
    """What stands between ``ASSISTANT:`` and an answer: a space, unless the tokenizer begins every text with one."""
    return "" if tokenizer.tokenize("a")[0][0] in "▁Ġ" else " "
