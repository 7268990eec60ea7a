"""Phi-3.5-vision (Abdin et al. 2024, arXiv:2404.14219): CLIP on square crops, Phi-3 with long rotary positions.

Transformers has no class for it, and the code published with the weights runs on no current version: the network is
in :mod:`.modeling`, the processor in :mod:`.processing`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import Any

import torch
import transformers

import paceline.models.torchvision  # noqa: F401  # before the network, whose parts are imported with torchvision
from paceline.config.schema import ModelSpec
from paceline.models.conversation import Conversation
from paceline.models.families.phi35_vision.modeling import MERGED, Phi3VConfig, Phi3VForCausalLM
from paceline.models.families.phi35_vision.processing import PLACEHOLDER, Phi3VImageProcessor, Phi3VProcessor
from paceline.models.family import Family
from paceline.models.tensors import Features, grid
from paceline.models.twins import twin_tokenizer

_CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
_SPECIAL = ("<s>", "</s>", "<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>", "<|image|>")

# What is saved here is found again by the library's own Auto classes, once this module is imported.
transformers.AutoConfig.register(Phi3VConfig.model_type, Phi3VConfig)
transformers.AutoModelForCausalLM.register(Phi3VConfig, Phi3VForCausalLM)
transformers.AutoModelForImageTextToText.register(Phi3VConfig, Phi3VForCausalLM)
transformers.AutoImageProcessor.register(Phi3VConfig, image_processor_classes={"pil": Phi3VImageProcessor})
transformers.AutoProcessor.register(Phi3VConfig, Phi3VProcessor)


class Phi35Vision(Family):
    """:class:`Phi3VForCausalLM`. ``pixel_values`` is (images, 1 + crops, 3, height, width)."""

    model_types = ("phi3_v",)
    image_arguments = {"num_crops": "count", "image_mean": "numbers", "image_std": "numbers"}
    components = {
        "vision": ("model.vision_embed_tokens.img_processor",),
        "connector": (
            "model.vision_embed_tokens.img_projection",
            "model.vision_embed_tokens.sub_GN",
            "model.vision_embed_tokens.glb_GN",
        ),
        "language": ("model.embed_tokens", "model.layers", "model.norm", "lm_head"),
    }

    def __init__(self, spec: ModelSpec, model: Any, processor: Any) -> None:
        super().__init__(spec, model, processor)
        # The tokenizer's own end, `<|endoftext|>`, ends a document; `<|end|>` ends a turn.
        turn = self.tokenizer.convert_tokens_to_ids("<|end|>")
        self.end_tokens = list(dict.fromkeys([turn, *self.end_tokens]))

    @classmethod
    def make_model(
        cls, spec: ModelSpec, source: str, revision: str | None, options: dict[str, Any]
    ) -> Phi3VForCausalLM:
        """The network, of the class here: the weights' own code is never run."""
        network: Phi3VForCausalLM = cls.read_weights(Phi3VForCausalLM, source, revision, **options)
        return network

    @classmethod
    def make_processor(cls, spec: ModelSpec, source: str, revision: str | None) -> Phi3VProcessor:
        """The processor; crops are the published file's, unless ``spec.processor`` sets others."""
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, revision=revision)
        images = Phi3VImageProcessor.from_pretrained(source, revision=revision or "main", **spec.processor)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return Phi3VProcessor(images, tokenizer, chat_template=tokenizer.chat_template or _CHAT_TEMPLATE)

    @torch.no_grad()
    def features(self, images: Sequence[Any]) -> list[Features]:
        """States are (tokens, hidden) of the crops and the whole, separators among them."""
        if not images:
            return []
        inputs = self.processor.image_processor(list(images))
        placed = self.to_model({name: inputs[name] for name in ("pixel_values", "image_sizes")})
        network: Any = self.bare_model()
        states = network.get_image_features(**placed)
        return [Features(state, {"image_sizes": inputs["image_sizes"][i]}) for i, state in enumerate(states)]

    def feature_batch(self, texts: list[str], features: Sequence[Sequence[Features]]) -> dict[str, Any]:
        """``pixel_values`` is (images, tokens, hidden), padded."""
        flat = [f for row in features for f in row]
        states = torch.nn.utils.rnn.pad_sequence([f.states for f in flat], batch_first=True)
        counts = [[len(f.states) for f in row] for row in features]
        inputs = self.processor.read(texts, counts)
        return {**inputs, "pixel_values": states, "image_sizes": torch.stack([f.shape["image_sizes"] for f in flat])}

    def layout(self, image: Any, seen: Features) -> torch.Tensor:
        """The crops' tokens line by line, a separator, the lines of the whole: every place is seen twice.

        Each line ends with a separator of its own.
        """
        images = self.processor.image_processor
        height, width = (int(n) for n in seen.shape["image_sizes"])
        left, top, drawn_width, drawn_height = images.place(image.width, image.height)
        edges = {
            "left": -left / drawn_width,
            "top": -top / drawn_height,
            "right": (width - left) / drawn_width,
            "bottom": (height - top) / drawn_height,
        }
        line = math.isqrt(images.num_img_tokens)

        def lines(down: int, across: int) -> torch.Tensor:
            boxes = grid(down * line, across * line, **edges)
            return torch.cat([boxes, boxes.new_full((down * line, 1, 4), math.nan)], dim=1).flatten(0, 1)

        between = torch.full((1, 4), math.nan)
        return torch.cat([lines(height // images.edge, width // images.edge), between, lines(1, 1)])

    def is_idle(self, name: str) -> bool:
        """What stands behind the layer of CLIP that is read: its last layer, and the norm of the class token."""
        tower = "model.vision_embed_tokens.img_processor"
        read: Any = self.bare_model().get_submodule(tower).layers
        match = re.fullmatch(re.escape(tower) + r"\.vision_model\.(?:encoder\.layers\.(\d+)|post_layernorm)\..*", name)
        return match is not None and (match[1] is None or int(match[1]) >= int(read))

    def render(self, conversation: Conversation) -> str:
        """The text with the images numbered in the order in which they stand, over all turns."""
        numbers = itertools.count(1)
        text = super().render(conversation)
        return re.sub(re.escape(self.processor.image_token), lambda _: f"<|image_{next(numbers)}|>", text)

    def message(self, role: str, text: str, images: int = 0) -> dict[str, Any]:
        """A turn is a string; every image stands on a line of its own."""
        return {"role": role, "content": f"{self.processor.image_token}\n" * images + text}

    def _defused(self, text: str) -> str:
        # Numbered placeholders are the processor's, no tokens: the tokenizer does not know them.
        return PLACEHOLDER.sub(r"< |image_\1|>", super()._defused(text))

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """Up to 16 crops and a view of the whole."""
        tower = config.vision_config
        return {"kind": "crops", "size": tower.image_size, "patch": tower.patch_size, "merge": 2, "crops": 16}

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Phi3VProcessor:
        """A :class:`Phi3VProcessor`; crops are as large as the tower's image, and as many as ``processor`` sets."""
        from tokenizers.processors import TemplateProcessing

        tower = spec.config["vision_config"]
        tokenizer = twin_tokenizer(
            _SPECIAL, pad="<|endoftext|>", eos="<|endoftext|>", bos="<s>", chat_template=_CHAT_TEMPLATE
        )
        # As the published one, it begins every text with a token.
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
        )
        images = Phi3VImageProcessor(
            edge=tower["image_size"],
            num_img_tokens=(tower["image_size"] // tower["patch_size"] // MERGED) ** 2,
            **spec.processor,
        )
        return Phi3VProcessor(images, tokenizer, chat_template=_CHAT_TEMPLATE)

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Phi3VForCausalLM:
        """A small :class:`Phi3VForCausalLM` whose vocabulary is the twin tokenizer's."""
        tokenizer = processor.tokenizer
        twin_config = Phi3VConfig(
            **config,
            vocab_size=len(tokenizer),
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            image_token_id=processor.image_token_id,
        )
        return Phi3VForCausalLM(twin_config)


FAMILY = Phi35Vision
