"""InternVL-Chat 1.5 by the code that comes with its weights: ``chat(tokenizer, pixel_values, question, config)``.

How an image becomes tiles stands on the model's card, not in its code: it is written here.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image

from paceline.config.schema import GenerationSpec, ModelSpec
from paceline.models.conversation import Conversation
from paceline.models.families.remote import Remote, in_full, merged

# Of ImageNet, which the vision tower was trained with.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class InternVLChat(Remote):
    """``InternVLChatModel`` of Mini-InternVL-Chat-4B-V1-5."""

    model_types = ("internvl_chat",)
    auto_class: ClassVar[str] = "AutoModel"
    calls: ClassVar[tuple[str, ...]] = ("chat",)
    image_arguments = {"max_tiles": "count"}

    @classmethod
    def require_images(cls, spec: ModelSpec, tokenizer: Any) -> None:
        """Nothing more than planning checks: ``max_tiles`` is read here."""

    def ask(self, conversation: Conversation, arguments: dict[str, Any]) -> Any:
        """Ask by ``chat``, which writes into the settings that it is given."""
        config = self.model.config
        size = getattr(config, "force_image_size", None) or config.vision_config.image_size
        most = int(self.spec.processor.get("max_tiles", config.max_dynamic_patch)) if config.dynamic_image_size else 1
        pixels = pixel_values(conversation.images[0], most, size, bool(config.use_thumbnail))
        weights = next(self.model.parameters())
        # By place: the published call's first three names are its own, and later code adds to what follows them.
        return self.model.chat(
            self.tokenizer,
            pixels.to(device=weights.device, dtype=weights.dtype),
            merged(conversation),
            dict(arguments["generation_config"]),
        )

    def arguments(self, spec: GenerationSpec) -> dict[str, Any]:
        """``generation_config``, a mapping that the call hands to ``generate``."""
        return {"generation_config": in_full(spec)}


def tiling(width: int, height: int, most: int, size: int) -> tuple[int, int]:
    """Columns and rows of tiles: the grid of at most so many whose shape is closest to the image's.

    Of grids of one shape, a larger one is taken where the image has more than half of its pixels.

    Args:
        width: of the image, in pixels.
        height: likewise.
        most: tiles.
        size: edge of a tile in pixels.
    """
    grids = ((columns, rows) for columns in range(1, most + 1) for rows in range(1, most // columns + 1))
    best, least = (1, 1), math.inf
    for columns, rows in sorted(grids, key=math.prod):
        off = abs(width / height - columns / rows)
        if off < least or (off == least and width * height > 0.5 * size * size * columns * rows):
            best, least = (columns, rows), off
    return best


def pixel_values(image: Image.Image, most: int, size: int, thumbnail: bool) -> torch.Tensor:
    """An image as tiles, row by row, and as a whole behind them where there are several: [tiles, 3, size, size].

    Args:
        image: any mode; shown as RGB.
        most: tiles, the whole not counted.
        size: edge of a tile in pixels.
        thumbnail: whether the whole is shown too.
    """
    image = image.convert("RGB")
    columns, rows = tiling(*image.size, most, size)
    # Pillow's own filter first, as the card has it; a tile is then of the network's size.
    grid = np.asarray(image.resize((columns * size, rows * size), Image.Resampling.BICUBIC))
    tiles = grid.reshape(rows, size, columns, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3)
    if thumbnail and len(tiles) > 1:
        whole = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
        tiles = np.concatenate([tiles, whole[None]])
    values = torch.tensor(tiles).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (_MEAN, _STD))
    return (values - mean) / std


FAMILY = InternVLChat
