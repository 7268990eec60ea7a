"""GIT (Wang et al. 2022, arXiv:2205.14100): a decoder reads the patches of an image, then writes its caption."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import transformers

from paceline.config.schema import ModelSpec
from paceline.models.one_square import OneSquare, positions
from paceline.models.twins import bert_twin_tokenizer

# isort: split
# After the families' base, which defines the operators that these imports may want.
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutputWithPast
from transformers.modeling_utils import slice_logits_to_keep
from transformers.models.git.modeling_git import GitVisionModel


class _Tower(GitVisionModel):
    """The library's tower, which gives states back as they are.

    The network hands it whatever has four axes: pictures are (samples, 3, height, width), states (samples, 1, patches,
    width).
    """

    def forward(self, pixel_values: torch.Tensor, **kwargs: Any) -> Any:  # type: ignore[override]
        if pixel_values.shape[1] == 1:
            return BaseModelOutput(last_hidden_state=pixel_values.squeeze(1))  # type: ignore[arg-type]
        return super().forward(pixel_values=pixel_values, **kwargs)


class GitForCausalLM(transformers.GitForCausalLM):
    """The library's network, which also takes states in place of pixels, and gives logits of the text alone.

    The library's loss cuts the image's places off the logits even where logits are asked for at the text's places.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.git.image_encoder.__class__ = _Tower

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        image_states: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        past_key_values: Any = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Any,
    ) -> Any:
        """Logits (samples, tokens of the text or those kept, vocabulary), and the loss where there are labels."""
        if position_ids is None and attention_mask is not None:
            position_ids = positions(attention_mask)[:, -input_ids.shape[1] :]
        output = self.git(
            input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            pixel_values=pixel_values if image_states is None else image_states.unsqueeze(1),
            past_key_values=past_key_values,
            **kwargs,
        )
        text = output.last_hidden_state[:, -input_ids.shape[1] :]
        logits = self.output(slice_logits_to_keep(text, logits_to_keep))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=output.past_key_values)

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The library's, which shows the image once: its states go the way of its pixels."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(*args, **kwargs)  # type: ignore[misc]
        past = inputs.get("past_key_values")
        if past is not None and past.get_seq_length() > 0:
            inputs = {**inputs, "pixel_values": None, "image_states": None}
        return inputs


class Git(OneSquare):
    """``GitForCausalLM``. The image's tokens have no places in ``input_ids``: the network puts them before the text,
    which begins with ``[CLS]`` and the caption's given beginning.
    """

    network_class = GitForCausalLM
    model_types = ("git",)
    image_arguments = {"common": "cropped", "pad_size": "sizes"}
    image_sizes = (("shortest_edge",), ("height", "width"))
    components = {
        "vision": ("git.image_encoder",),
        "connector": ("git.visual_projection",),
        "language": ("git.embeddings", "git.encoder", "output"),
    }
    attentions = ("eager",)
    unquantised = ("output",)
    needs_image = True
    bare_prompt = True

    def __init__(self, spec: ModelSpec, model: Any, processor: Any) -> None:
        super().__init__(spec, model, processor)
        self.end_tokens = [self.tokenizer.sep_token_id]

    def tower(self) -> torch.nn.Module:
        """The tower, before the projection."""
        network: Any = self.bare_model()
        return network.git.image_encoder  # type: ignore[no-any-return]

    def tokens_read(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """The text's and the image's."""
        network: Any = self.bare_model()
        return super().tokens_read(batch) + network.git.encoder.layer[0].attention.self.image_patch_tokens

    def text_batch(self, texts: list[str]) -> dict[str, torch.Tensor]:
        """``[CLS]`` and the caption's beginning, padded on the left."""
        start = self.tokenizer.cls_token_id
        rows = [[start, *self.tokenizer(text, add_special_tokens=False)["input_ids"]] for text in texts]
        told = self.tokenizer.pad({"input_ids": rows}, padding_side="left", return_tensors="pt")
        return {"input_ids": told["input_ids"], "attention_mask": told["attention_mask"]}

    def on_image(self, image: Any, square: torch.Tensor) -> torch.Tensor:
        """The square is cut from the middle of the image, after its shorter edge was scaled."""
        settings = self.processor.image_processor
        if not settings.do_center_crop:
            return square
        size, crop = settings.size, settings.crop_size
        width, height = size.get("width"), size.get("height")
        if shortest := size.get("shortest_edge"):
            width, height = (shortest * edge / min(image.width, image.height) for edge in (image.width, image.height))
        edges = torch.tensor([crop["width"] / width, crop["height"] / height] * 2)
        return square * edges + (1 - edges) / 2

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """A ``GitProcessor`` around a tokenizer with BERT's special tokens."""
        edge = spec.config["vision_config"]["image_size"]
        own = {"size": {"shortest_edge": edge}, "crop_size": {"height": edge, "width": edge}}
        images = transformers.CLIPImageProcessor(**{**own, **spec.processor})
        return transformers.GitProcessor(images, bert_twin_tokenizer())

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small network over the tokenizer's words."""
        tokenizer = processor.tokenizer
        words = {
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.cls_token_id,
            "eos_token_id": tokenizer.sep_token_id,
        }
        return GitForCausalLM(transformers.GitConfig(**config, **words, attn_implementation="eager"))  # type: ignore[call-arg]


FAMILY = Git
