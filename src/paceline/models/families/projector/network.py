"""Any vision model and any causal language model, joined by two linear layers (LLaVA, Liu et al. 2023,
arXiv:2304.08485, and its successor's two layers, arXiv:2310.03744).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.configuration_utils import SubConfigSpec

PICTURES = ("pixel_values", "image_states", "mm_token_type_ids")


class ProjectorConfig(PreTrainedConfig):
    """The parts' configs.

    Attributes:
        vision_config: of the part that sees.
        text_config: of the language model.
        projector_hidden_act: between the two layers of the connector.
    """

    model_type = "projector"
    sub_configs_defaults: ClassVar[dict[str, SubConfigSpec]] = {
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_vision_model"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama"),
    }

    vision_config: Any = None
    text_config: Any = None
    projector_hidden_act: str = "gelu"


class Connector(nn.Module):
    """Two linear layers from the vision part's width to the language model's."""

    def __init__(self, inputs: int, outputs: int, act: str) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(inputs, outputs)
        self.act = ACT2FN[act]
        self.linear_2 = nn.Linear(outputs, outputs)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """(images, tokens, width of the vision part) to (images, tokens, width of the language model)."""
        return self.linear_2(self.act(self.linear_1(seen)))


class ProjectorForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """What the vision part sees stands before the text, one token for each place of its map.

    Its tokens stand where ``mm_token_type_ids`` is 1. What id stands there is not looked at, so that the language
    model's vocabulary stays as it was published.
    """

    config_class = ProjectorConfig
    main_input_name = "input_ids"
    base_model_prefix = ""
    input_modalities = ["image", "text"]
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__(config)
        self.vision = AutoModel.from_config(config.vision_config, **_attention(config.vision_config))
        outputs = config.text_config.hidden_size
        self.connector = Connector(width(config.vision_config), outputs, config.projector_hidden_act)
        self.language = AutoModelForCausalLM.from_config(config.text_config)
        self.post_init()

    def train(self, mode: bool = True) -> ProjectorForConditionalGeneration:
        """As of any network, but that batch norms go on by what they learnt: a picture looks the same beside others."""
        super().train(mode)
        for module in self.vision.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def get_input_embeddings(self) -> nn.Module:
        """The language model's."""
        return self.language.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Give the language model others."""
        self.language.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """The language model's."""
        return self.language.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Give the language model others."""
        self.language.set_output_embeddings(new_embeddings)

    def get_image_states(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """What stands in the place of each image in the text: (images, tokens, width), from (images, 3, h, w)."""
        seen = self.vision(pixel_values=pixel_values).last_hidden_state
        if seen.dim() == 4:  # a feature map, row by row
            return self.connector(seen.flatten(2).transpose(1, 2))
        # Before the patches stand tokens of no place: one of the class, registers.
        return self.connector(seen[:, seen.shape[1] - places(self.config.vision_config, seen.shape[1]) :])

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        image_states: torch.Tensor | None = None,
        mm_token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Logits, and the loss where there are labels, as the language model gives them.

        Args:
            input_ids: (samples, tokens).
            attention_mask: likewise.
            pixel_values: (samples, images, 3, height, width); behind a sample's last image stands anything.
            image_states: (samples, images, tokens, width), what was seen before, in place of pixels.
            mm_token_type_ids: (samples, tokens), 1 at the tokens of an image.
            position_ids: (samples, tokens); by default tokens are counted where the mask is 1.
            inputs_embeds: in place of ``input_ids``.
            **kwargs: the language model's.
        """
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
            if mm_token_type_ids is not None and (pixel_values is not None or image_states is not None):
                inputs_embeds = self._with_images(inputs_embeds, mm_token_type_ids == 1, pixel_values, image_states)
        if position_ids is None and attention_mask is not None and attention_mask.dim() == 2:
            position_ids = (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)[:, -inputs_embeds.shape[1] :]
        return self.language(
            inputs_embeds=inputs_embeds, attention_mask=attention_mask, position_ids=position_ids, **kwargs
        )

    def _with_images(
        self,
        embeds: torch.Tensor,
        here: torch.Tensor,
        pixels: torch.Tensor | None,
        states: torch.Tensor | None,
    ) -> torch.Tensor:
        given = states if states is not None else pixels
        assert given is not None
        counts = here.sum(dim=1)
        if not bool(counts.any()):
            return embeds
        height, width = given.shape[-2:]
        each = states.shape[2] if states is not None else tokens_of(self.config.vision_config, (height, width))
        used = torch.arange(given.shape[1], device=given.device) < (counts // each).unsqueeze(1)
        seen = given[used] if states is not None else self.get_image_states(given[used])
        return embeds.masked_scatter(here.unsqueeze(-1), seen.to(embeds))

    def prepare_inputs_for_generation(self, input_ids: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The library's; images are read once, with the prompt."""
        inputs = super().prepare_inputs_for_generation(input_ids, *args, **kwargs)  # type: ignore[misc]
        if not kwargs.get("is_first_iteration", False) and kwargs.get("use_cache", True):
            for name in PICTURES:
                inputs.pop(name, None)
        return dict(inputs)


def _attention(vision: Any) -> dict[str, str]:
    """Of a vision part without attention the library asks for none of its implementations but this."""
    network: Any = AutoModel._model_mapping[type(vision)]  # type: ignore[index]
    network = network[0] if isinstance(network, tuple) else network
    return {} if network._supports_sdpa else {"attn_implementation": "eager"}


def width(vision: Any) -> int:
    """Channels of a vision part's feature map, by its config."""
    if sizes := getattr(vision, "hidden_sizes", None):
        return int(sizes[-1])
    return int(getattr(vision, "hidden_dim", None) or vision.hidden_size)


def grid_of(vision: Any, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a vision part's map of a picture of that height and width; a map of a 32nd without patches.

    A network of convolutions halves a picture five times, and rounds up.
    """
    patch = getattr(vision, "patch_size", None)
    if isinstance(patch, int) and not getattr(vision, "depths", None):
        return size[0] // patch, size[1] // patch
    return -(-size[0] // 32), -(-size[1] // 32)


def tokens_of(vision: Any, size: tuple[int, int]) -> int:
    """Tokens of a picture of that height and width."""
    down, across = grid_of(vision, size)
    return down * across


def places(vision: Any, tokens: int) -> int:
    """Of the tokens that a vision part gives, how many have a place on the picture."""
    size = getattr(vision, "image_size", None)
    edge = (size, size) if isinstance(size, int) else tuple(size or (0, 0))
    count = tokens_of(vision, edge)
    return count if 0 < count <= tokens else tokens
