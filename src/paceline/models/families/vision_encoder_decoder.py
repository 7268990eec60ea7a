"""A vision model whose states a language model looks at by cross-attention (``VisionEncoderDecoderModel``), as the
captioner of ViT and GPT-2 (``nlpconnect/vit-gpt2-image-captioning``).

Whole, or joined of two models that were trained alone (``parts:`` of the model's file): then the cross-attention begins
random, and an untuned model says nothing of its picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import transformers
from transformers.modeling_outputs import BaseModelOutput

from paceline.config.schema import ModelSpec
from paceline.errors import UserError
from paceline.models.conversation import Conversation
from paceline.models.joined import Joined, Pair
from paceline.models.own_decoder import OwnDecoder
from paceline.models.tensors import Features, grid
from paceline.models.twins import twin_tokenizer

_SPECIAL = ("<|endoftext|>", "<pad>")
# What looks at the states: GPT-2's and BERT's names, and those of the decoders of BART's kind.
_CROSS = ("crossattention", "ln_cross_attn", "encoder_attn", "encoder_attn_layer_norm")


class VisionEncoderDecoder(OwnDecoder, Joined):
    """``VisionEncoderDecoderModel``. ``pixel_values`` is (samples, 3, height, width): one picture each, and no text.

    The decoder begins with ``decoder_start_token_id`` of the published config; GPT-2, which has none, with the token
    that ends a text.
    """

    network_class = transformers.VisionEncoderDecoderModel
    model_types = ("vision-encoder-decoder",)
    joins_parts = True
    image_arguments = {"common": "resized"}
    # The connector is the decoder's cross-attention: see `component_of`.
    components = {"vision": ("encoder",), "connector": ("enc_to_dec_proj",), "language": ("decoder",)}
    prefixes: ClassVar[dict[str, str]] = {"vision": "encoder", "language": "decoder"}
    config_names: ClassVar[dict[str, str]] = {"vision": "encoder", "language": "decoder"}
    unquantised = ("decoder.lm_head",)
    cross_attention = (r"decoder\.transformer\.h\.\d+\.crossattention",)
    masked_encoder = "encoder"
    needs_image = True
    decoder_apart = True

    def __init__(self, spec: ModelSpec, model: Any, processor: Any) -> None:
        super().__init__(spec, model, processor)
        network: Any = self.bare_model()
        if not any(map(_looks, dict(network.decoder.named_modules()))):
            raise UserError(
                f"model {spec.name}: its language model ({type(network.decoder).__name__}) has no cross-attention, and "
                "would never look at a picture: give one that has it, such as GPT-2, or family: projector"
            )
        config = network.config
        # By which DeepSpeed's buckets are sized: the library looks for it here, or at a `text_config`.
        config.hidden_size = config.decoder.hidden_size
        named = (
            getattr(config, "decoder_start_token_id", None),
            getattr(config.decoder, "bos_token_id", None),
            self.tokenizer.bos_token_id,
            self.tokenizer.cls_token_id,
        )
        self.start_token = next((token for token in named if isinstance(token, int)), self.end_tokens[0])

    @classmethod
    def joined_config(cls, vision: Any, language: Any) -> Any:
        """As ``from_encoder_decoder_configs``, which would write into what it is given."""
        begin, end, pad = language.bos_token_id, language.eos_token_id, language.pad_token_id
        tokens: dict[str, Any] = {"decoder_start_token_id": end if begin is None else begin, "eos_token_id": end}
        return transformers.VisionEncoderDecoderConfig(
            encoder=vision.to_dict(),
            decoder={**language.to_dict(), "is_decoder": True, "add_cross_attention": True},
            **tokens,
            pad_token_id=end if pad is None else pad,  # type: ignore[call-arg]  # one of all configs
        )

    @classmethod
    def spread(cls, name: str, shape: tuple[int, ...], config: Any) -> float:
        """As the decoder's own weights began: its range, smaller where a residual is added once for each layer."""
        decoder = config.decoder
        layers = getattr(decoder, "num_hidden_layers", 0)
        own = float(getattr(decoder, "initializer_range", 0.02))
        return own / (2 * layers) ** 0.5 if name.endswith("c_proj.weight") and layers else own

    @classmethod
    def component_of(cls, name: str) -> str | None:
        """The decoder's cross-attention is the connector: what a joined model has to learn first."""
        if name.startswith("decoder.") and _looks(name):
            return "connector"
        return super().component_of(name)

    def is_idle(self, name: str) -> bool:
        """What makes one vector of a whole picture: the decoder looks at the patches."""
        return name.startswith("encoder.pooler.")

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """One square, at whose patches the decoder looks; its own first token is the start."""
        tower = config.encoder
        patches = (tower.image_size // tower.patch_size) ** 2 + 1
        return {"kind": "whole", "size": tower.image_size, "patch": tower.patch_size, "states": patches, "tokens": 1}

    # -- tensors

    def render(self, conversation: Conversation) -> str:
        """Nothing: the network reads no text."""
        return ""

    def pixel_batch(self, texts: list[str], images: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """The picture of each sample."""
        shown = [row[0].convert("RGB") for row in self._one_each(images)]
        return {"pixel_values": self.processor.image_processor(shown, return_tensors="pt")["pixel_values"]}

    def _one_each(self, images: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        if odd := [len(row) for row in images if len(row) != 1]:
            raise UserError(f"model {self.spec.name} reads one image with each question, and was shown {odd[0]}")
        return images

    @torch.no_grad()
    def features(self, images: Sequence[Any]) -> list[Features]:
        """States are (1 + patches, width) of the encoder."""
        if not images:
            return []
        network: Any = self.bare_model()
        inputs = self.to_model(self.pixel_batch([""] * len(images), [[image] for image in images]))
        return [Features(state) for state in network.encoder(**inputs).last_hidden_state]

    def feature_batch(self, texts: list[str], features: Sequence[Sequence[Features]]) -> dict[str, Any]:
        """``encoder_outputs`` in place of pixels."""
        states = torch.stack([row[0].states for row in self._one_each(features)])
        return {"encoder_outputs": BaseModelOutput(last_hidden_state=states)}  # type: ignore[arg-type]

    def layout(self, image: Any, seen: Features) -> torch.Tensor:
        """A token of no place, then the patches row by row; the picture was stretched to a square."""
        tower: Any = self.bare_model().config.encoder
        edge = tower.image_size // tower.patch_size
        boxes = grid(edge, edge).flatten(0, 1)
        return torch.cat([boxes.new_full((len(seen.states) - len(boxes), 4), torch.nan), boxes])

    # -- twins

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Pair:
        """ViT's image processor, and a small tokenizer without a beginning token."""
        edge = cls.twin_configs(spec.config)["vision"]["image_size"]
        tokenizer = twin_tokenizer(_SPECIAL, pad="<pad>", eos="<|endoftext|>", bos=None, chat_template="")
        tokenizer.chat_template = None
        given = {"size": {"height": edge, "width": edge}, **spec.processor}
        return Pair(transformers.ViTImageProcessor(**given), tokenizer)


def _looks(name: str) -> bool:
    """Whether a module or parameter belongs to what looks at the picture's states."""
    return any(part in _CROSS for part in name.split("."))


FAMILY = VisionEncoderDecoder
