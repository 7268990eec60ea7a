"""Any text model that ``AutoModelForCausalLM`` loads: Llama 3, SmolLM2, Qwen2, GPT-2 and their like.

``config.json`` says which network it is. A task that shows images is never composed with such a model: its YAML says
``inputs: [text]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import transformers

from paceline.config.schema import ModelSpec
from paceline.errors import UserError
from paceline.models.family import Family
from paceline.models.twins import begins_itself, twin_tokenizer

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Turns of the twin, as ChatML marks them."""


class CausalLM(Family):
    """The tokenizer is the whole processor."""

    auto_class: ClassVar[str] = "AutoModelForCausalLM"
    image_arguments = {}
    # The names under which networks hold their layers, and their output layers.
    components: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "language": ("model", "transformer", "gpt_neox", "lm_head", "embed_out")
    }
    # Without images there is nothing that a batch could skip.
    skips_without_images = False

    @classmethod
    def make_processor(cls, spec: ModelSpec, source: str, revision: str | None) -> Any:
        """The tokenizer, from a folder or a hub id."""
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            source, revision=revision, trust_remote_code=spec.remote_code
        )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """A tokenizer of words and characters, which begins each text itself, as Llama's."""
        special = ["<pad>", "<s>", "<|im_start|>", "<|im_end|>"]
        tokenizer = twin_tokenizer(special, pad="<pad>", eos="<|im_end|>", bos="<s>", chat_template=TEMPLATE)
        begins_itself(tokenizer)
        return tokenizer

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """The network that ``config.model_type`` names."""
        ids = {f"{name}_token_id": getattr(processor, f"{name}_token_id") for name in ("pad", "bos", "eos")}
        made = transformers.AutoConfig.for_model(**{**config, "vocab_size": len(processor), **ids})
        return transformers.AutoModelForCausalLM.from_config(made)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer."""
        return self.processor

    def message(self, role: str, text: str, images: int = 0) -> dict[str, Any]:
        """One turn; chat templates of text models read plain strings."""
        if images:
            raise UserError(f"model {self.spec.name} reads text alone, and was shown an image")
        return {"role": role, "content": text}

    def placeholders(self, images: int) -> str:
        """Nothing stands for an image: there is none."""
        if images:
            raise UserError(f"model {self.spec.name} reads text alone, and was shown an image")
        return ""


FAMILY = CausalLM
