"""The network of Phi-3-vision and Phi-3.5-vision (Abdin et al. 2024, arXiv:2404.14219) on Transformers' parts.

The published network is code shipped with the weights, which runs on no current version of Transformers. Here it is
put together from the library's Phi-3 decoder and CLIP tower; new are the embedding of images cut into crops and the
rotary positions, whose factors every row of a batch chooses for itself. Parameters are named as in the published
checkpoint, so that its files load as they are.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel, GenerationMixin, Phi3Config
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.configuration_utils import SubConfigSpec
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_utils import slice_logits_to_keep
from transformers.models.phi3.modeling_phi3 import Phi3Model, Phi3PreTrainedModel

MERGED = 2
"""Patches along each edge of the square that becomes one token."""

# openai/clip-vit-large-patch14-336, which the published configuration knows by name alone.
_CLIP = {
    "hidden_act": "quick_gelu",
    "hidden_size": 1024,
    "image_size": 336,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "patch_size": 14,
    "projection_dim": 768,
}


class Phi3VConfig(Phi3Config):
    """Phi-3's configuration, and the tower's.

    Attributes:
        vision_config: the CLIP tower; left out, as in the published file, it is ViT-L/14 at 336 pixels.
        img_processor: of the published file; ``layer_idx`` is the layer whose output is read (-2: before the last).
        embd_layer: of the published file; one arrangement is written here, the one of the published weights.
        image_token_id: stands where a feature of an image goes; so does every negative id.
    """

    model_type = "phi3_v"
    sub_configs_defaults: ClassVar[dict[str, SubConfigSpec]] = {
        "vision_config": SubConfigSpec(config_class=CLIPVisionConfig, init_kwargs=_CLIP)
    }

    vision_config: Any = None
    img_processor: dict[str, Any] | None = None
    embd_layer: dict[str, Any] | None = None
    image_token_id: int = 32044

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        # The published window is twice the longest sequence: it masks nothing, and costs a mask of its own.
        if self.sliding_window is not None and self.sliding_window >= self.max_position_embeddings:
            self.sliding_window = None
        arrangement = self.embd_layer or {}
        expected = {"hd_transform_order": "sub_glb", "projection_cls": "mlp", "use_hd_transform": True}
        for name, value in expected.items():
            if arrangement.get(name, value) != value:
                raise ValueError(f"embd_layer.{name} is {arrangement[name]!r}; only {value!r} is implemented")

    def convert_rope_params_to_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The library's, with the stretch written out, for which it would ask in the log."""
        rest = super().convert_rope_params_to_dict(*args, **kwargs)
        if self.rope_parameters and self.rope_parameters["rope_type"] == "longrope":
            self.rope_parameters["factor"] = self.max_position_embeddings / self.original_max_position_embeddings
        return rest

    @property
    def feature_layer(self) -> int:
        """Index of the CLIP layer whose output is read; negative from the end, over the embeddings and all layers."""
        return (self.img_processor or {}).get("layer_idx", -2)


class LongRotaryEmbedding(nn.Module):
    """Rotary positions with short and long factors (LongRoPE, Ding et al. 2024, arXiv:2402.13753).

    A row takes the short factors while it fits the window the model was first trained on, and the long ones when it
    is longer; the published code decides once for the whole batch, so that there a sample's answer depends on its
    neighbours.
    """

    def __init__(self, config: Phi3VConfig) -> None:
        super().__init__()
        rope: dict[str, Any] = dict(config.rope_parameters or {})
        self.theta: float = rope["rope_theta"]
        self.width = config.hidden_size // config.num_attention_heads
        ones = [1.0] * (self.width // 2)
        # Plain numbers: a buffer would be cast with the weights, and bfloat16 can't tell far positions apart.
        self.factors = (rope.get("short_factor") or ones, rope.get("long_factor") or ones)
        self.window = config.original_max_position_embeddings
        stretch = config.max_position_embeddings / self.window
        self.scaling = math.sqrt(1 + math.log(stretch) / math.log(self.window)) if stretch > 1 else 1.0

    @torch.no_grad()
    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine, (rows, tokens, head width), in the number format of ``x``.

        ``position_ids`` is (rows, tokens). The largest of a row is its length less one: true of a whole sequence, and
        of the one token that follows a cache.
        """
        exponents = torch.arange(0, self.width, 2, dtype=torch.int64, device=x.device).float() / self.width
        factors = torch.tensor(self.factors, dtype=torch.float32, device=x.device)
        frequencies = 1.0 / (factors * self.theta**exponents)
        long = (position_ids.amax(dim=1) >= self.window).long()
        angles = position_ids[..., None].float() * frequencies[long][:, None, :]
        angles = torch.cat((angles, angles), dim=-1)
        return (angles.cos() * self.scaling).to(x.dtype), (angles.sin() * self.scaling).to(x.dtype)


class ClipTower(nn.Module):
    """CLIP's vision tower, read before its last layer and without its class token.

    The checkpoint holds the last layer and the norm behind it too; they are kept, and never run.
    """

    def __init__(self, config: Phi3VConfig) -> None:
        super().__init__()
        self.vision_model = CLIPVisionModel._from_config(config.vision_config)
        depth = config.vision_config.num_hidden_layers
        # Of `depth + 1` states, the first is the embeddings'.
        self.layers = config.feature_layer % (depth + 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features (crops, patches, width) of crops (crops, 3, height, width)."""
        tower = self.vision_model
        states = tower.pre_layrnorm(tower.embeddings(pixels))
        for layer in tower.encoder.layers[: self.layers]:
            states = layer(states, None)
        return states[:, 1:]


class ImageEmbedding(nn.Module):
    """Images to tokens of the language model: crops, then the whole, with a learned separator after every line.

    An image is ``down * across`` crops and a small view of the whole. Squares of ``MERGED`` by ``MERGED`` patches
    become one token; the tokens of all crops stand line by line, as the image is read.
    """

    def __init__(self, config: Phi3VConfig) -> None:
        super().__init__()
        self.crop = config.vision_config.image_size
        self.img_processor = ClipTower(config)
        width = config.vision_config.hidden_size * MERGED**2
        self.glb_GN = nn.Parameter(torch.empty(1, 1, width))  # between the crops and the whole
        self.sub_GN = nn.Parameter(torch.empty(1, 1, 1, width))  # ends a line
        self.img_projection = nn.Sequential(
            nn.Linear(width, config.hidden_size), nn.GELU(), nn.Linear(config.hidden_size, config.hidden_size)
        )

    def forward(self, pixel_values: torch.Tensor, image_sizes: torch.Tensor) -> list[torch.Tensor]:
        """Features (tokens, hidden) of each image.

        Args:
            pixel_values: (images, 1 + crops, 3, edge, edge): the whole first, and zeros behind an image's own crops.
            image_sizes: (images, 2): height and width of the cropped image in pixels.
        """
        grids = [(height // self.crop, width // self.crop) for height, width in image_sizes.tolist()]
        counts = [1 + down * across for down, across in grids]
        crops = [pixels[:count] for pixels, count in zip(pixel_values, counts, strict=True)]
        features = self.img_processor(torch.cat(crops)).split(counts)
        tokens = [
            torch.cat([self._lines(f[1:], *grid), self.glb_GN.view(1, -1), self._lines(f[:1], 1, 1)])
            for f, grid in zip(features, grids, strict=True)
        ]
        lengths = [len(t) for t in tokens]
        return list(self.img_projection(torch.cat(tokens)).split(lengths))

    def _lines(self, features: torch.Tensor, down: int, across: int) -> torch.Tensor:
        edge, width = math.isqrt(features.shape[1]) // MERGED, features.shape[2]
        squares = features.view(down, across, edge, MERGED, edge, MERGED, width)
        lines = squares.permute(0, 2, 1, 4, 3, 5, 6).reshape(down * edge, across * edge, -1)
        ends = self.sub_GN.view(1, 1, -1).expand(len(lines), -1, -1)
        return torch.cat([lines, ends], dim=1).flatten(0, 1)


class Phi3VPreTrainedModel(Phi3PreTrainedModel):
    """What the library asks of the classes below."""

    config: Phi3VConfig
    config_class = Phi3VConfig
    input_modalities = ["image", "text"]
    _no_split_modules = ["Phi3DecoderLayer", "CLIPEncoderLayer"]
    # A copy of the token embedding, which the published code ties and a checkpoint may hold.
    _keys_to_ignore_on_load_unexpected = [r"vision_embed_tokens\.wte\.weight"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ImageEmbedding):
            # The published code begins with zeros; at random, a twin shows whether they are in their places.
            for separator in (module.glb_GN, module.sub_GN):
                init.normal_(separator, std=self.config.initializer_range)


class Phi3VModel(Phi3VPreTrainedModel, Phi3Model):
    """The decoder with images among its inputs."""

    def __init__(self, config: Phi3VConfig) -> None:
        super().__init__(config)
        self.rotary_emb = LongRotaryEmbedding(config)  # type: ignore[assignment]
        self.vision_embed_tokens = ImageEmbedding(config)
        self.post_init()

    def get_image_features(self, pixel_values: torch.Tensor, image_sizes: torch.Tensor) -> list[torch.Tensor]:
        """Features (tokens, hidden) of each image; they depend on no prompt."""
        return self.vision_embed_tokens(pixel_values, image_sizes)

    def forward(
        self,
        input_ids: Any = None,
        pixel_values: torch.Tensor | None = None,
        image_sizes: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: Any = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Any = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """States of the last layer. Images fill the places marked in ``input_ids``, row by row.

        ``pixel_values`` may hold, instead of pixels, the features of each image, padded: (images, tokens, hidden).

        Raises:
            ValueError: the images have more or fewer features than places are marked.
        """
        if inputs_embeds is None and input_ids is not None:
            inputs_embeds = self._embed(input_ids, pixel_values, image_sizes)
        if position_ids is None and attention_mask is not None and attention_mask.dim() == 2:
            position_ids = (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)[:, -inputs_embeds.shape[1] :]
        return super().forward(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )

    def _embed(
        self, input_ids: torch.Tensor, pixel_values: torch.Tensor | None, image_sizes: torch.Tensor | None
    ) -> torch.Tensor:
        places = image_places(input_ids, self.config)
        embeds = self.embed_tokens(input_ids.masked_fill(places, 0))
        if pixel_values is None or image_sizes is None:
            return embeds
        if pixel_values.dim() == 3:  # features that were made before
            counts = token_counts(image_sizes, self.config)
            seen = [row[:count] for row, count in zip(pixel_values, counts, strict=True)]
        else:
            seen = self.get_image_features(pixel_values, image_sizes)
        features = torch.cat(seen).to(embeds)
        if int(places.sum()) != len(features):
            raise ValueError(f"{int(places.sum())} places for images, and {len(features)} features of images")
        return embeds.masked_scatter(places[..., None], features)


def image_places(input_ids: torch.Tensor, config: Phi3VConfig) -> torch.Tensor:
    """Where features of images go, as a mask: our processor writes an id, the published one negative numbers."""
    return (input_ids < 0) | (input_ids == config.image_token_id)


class Phi3VForCausalLM(Phi3VPreTrainedModel, GenerationMixin):
    """Phi-3.5-vision."""

    def __init__(self, config: Phi3VConfig) -> None:
        super().__init__(config)
        self.model = Phi3VModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_image_features(self, pixel_values: torch.Tensor, image_sizes: torch.Tensor) -> list[torch.Tensor]:
        """Features (tokens, hidden) of each image; they depend on no prompt."""
        return self.model.get_image_features(pixel_values, image_sizes)

    def forward(
        self,
        input_ids: Any = None,
        pixel_values: torch.Tensor | None = None,
        image_sizes: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: Any = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits, and the loss where there are labels."""
        kwargs.pop("return_dict", None)
        outputs = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            image_sizes=image_sizes,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        logits = self.lm_head(slice_logits_to_keep(outputs.last_hidden_state, logits_to_keep))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.vocab_size, **kwargs)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def prepare_inputs_for_generation(self, input_ids: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The library's, but that the whole sequence is read again when a row outgrows the first window.

        Keys in a cache are rotated already, with the short factors; the long ones, which the row takes from its next
        token on, rotate otherwise. Reading again (once for each row that gets there, images too) makes every step
        what it would be without a cache, for that row and for its neighbours.
        """
        cache, positions = kwargs.get("past_key_values"), kwargs.get("position_ids")
        if cache is not None and positions is not None and self._outgrown(positions, kwargs["next_sequence_length"]):
            if positions.shape[1] != input_ids.shape[1]:
                raise ValueError("a prompt given as embeddings can't be read again beyond the first window")
            cache.reset()
            kwargs |= {"next_sequence_length": None, "is_first_iteration": True}
        return super().prepare_inputs_for_generation(input_ids, *args, **kwargs)  # type: ignore[misc]

    def _outgrown(self, position_ids: torch.Tensor, new: int | None) -> bool:
        """Whether the cache holds a row of short factors that the ``new`` tokens make long."""
        window = self.config.original_max_position_embeddings
        if not new or position_ids.shape[1] <= window:
            return False
        lengths = position_ids[:, -1] + 1
        return bool(((lengths > window) & (lengths > new) & (lengths - new <= window)).any())

    def _expand_inputs_for_generation(self, *args: Any, **kwargs: Any) -> tuple[torch.LongTensor, dict[str, Any]]:
        """Repeat rows for beams, and with each row all of its images: the library would repeat image by image."""
        images = {n: kwargs.pop(n) for n in ("pixel_values", "image_sizes") if kwargs.get(n) is not None}
        beams, input_ids = kwargs.get("expand_size", 1), kwargs.get("input_ids")
        if beams > 1 and images and input_ids is not None:
            order = self._images_of_beams(input_ids, images["image_sizes"], beams)
            images = {name: tensor[order] for name, tensor in images.items()}
        input_ids, kwargs = super()._expand_inputs_for_generation(*args, **kwargs)  # type: ignore[misc]
        return input_ids, kwargs | images

    def _images_of_beams(self, input_ids: torch.Tensor, image_sizes: torch.Tensor, beams: int) -> list[int]:
        """Indices of the images of all rows, each row ``beams`` times."""
        counts = token_counts(image_sizes, self.config)
        order: list[int] = []
        first = 0
        for places in image_places(input_ids, self.config).sum(dim=1).tolist():
            last = first
            while sum(counts[first:last]) < places:
                last += 1
            order += [*range(first, last)] * beams
            first = last
        return order


def token_count(down: int, across: int, edge: int) -> int:
    """Tokens of an image of ``down`` by ``across`` crops, each ``edge`` by ``edge`` tokens.

    The crops and the whole, a separator between them, and one after each of their lines.
    """
    return (down * across + 1) * edge**2 + 1 + (down + 1) * edge


def token_counts(image_sizes: torch.Tensor, config: Phi3VConfig) -> list[int]:
    """Tokens of each image, from (images, 2): height and width of the cropped images in pixels."""
    tower = config.vision_config
    edge = tower.image_size // tower.patch_size // MERGED
    return [token_count(down, across, edge) for down, across in (image_sizes // tower.image_size).tolist()]
