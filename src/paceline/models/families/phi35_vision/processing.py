"""Images and text to tensors, as the published processor of Phi-3.5-vision makes them."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import BatchFeature, PreTrainedTokenizerBase
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from transformers.processing_utils import ImagesKwargs, ProcessorMixin

from paceline.models.families.phi35_vision.modeling import token_count

PLACEHOLDER = re.compile(r"<\|image_(\d+)\|>")


class Phi3VImagesKwargs(ImagesKwargs, total=False):
    """Settings that :class:`Phi3VImageProcessor` takes besides the library's."""

    num_crops: int
    num_img_tokens: int
    edge: int


class Phi3VImageProcessor(BaseImageProcessor):
    """An image as square crops and a small view of the whole (InternLM-XComposer2-4KHD, arXiv:2404.06512).

    The image is scaled so that its long side is a whole number of crops, as many as fit, and filled with white to
    whole crops along the other. The published sizes and roundings are kept to the pixel.

    Attributes:
        num_crops: most crops of an image. 16 is advised for one image, 4 for several.
        num_img_tokens: tokens of one crop, a square number.
        edge: height and width of a crop in pixels.
    """

    model_input_names = ["pixel_values", "image_sizes"]
    valid_kwargs = Phi3VImagesKwargs

    def __init__(
        self,
        num_crops: int = 4,
        num_img_tokens: int = 144,
        edge: int = 336,
        image_mean: Sequence[float] = tuple(OPENAI_CLIP_MEAN),
        image_std: Sequence[float] = tuple(OPENAI_CLIP_STD),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_crops = num_crops
        self.num_img_tokens = num_img_tokens
        self.edge = edge
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)

    def preprocess(self, images: Sequence[Image.Image], return_tensors: str | None = "pt") -> BatchFeature:
        """Tensors of a flat list of images.

        Returns:
            ``pixel_values`` (images, 1 + crops, 3, edge, edge), the whole first, zeros behind the crops of an image
            that has fewer than the others (the published processor fills up to ``num_crops``, to no effect);
            ``image_sizes`` (images, 2), height and width of the cropped image; ``num_img_tokens``, a list.
        """
        fitted = [self._fitted(image) for image in images]
        sizes = [(image.shape[1], image.shape[2]) for image in fitted]
        grids = [(height // self.edge, width // self.edge) for height, width in sizes]
        most = max(down * across for down, across in grids)
        pixels = torch.zeros(len(fitted), 1 + most, 3, self.edge, self.edge)
        for row, image, (down, across) in zip(pixels, fitted, grids, strict=True):
            row[0] = torch.nn.functional.interpolate(image[None], size=(self.edge, self.edge), mode="bicubic")[0]
            crops = image.view(3, down, self.edge, across, self.edge).permute(1, 3, 0, 2, 4)
            row[1 : 1 + down * across].view_as(crops).copy_(crops)
        counts = [self._tokens(*size) for size in sizes]
        return BatchFeature(
            {"pixel_values": pixels, "image_sizes": torch.tensor(sizes), "num_img_tokens": counts},
            tensor_type=None if return_tensors == "pt" else return_tensors,
        )

    def count_tokens(self, width: int, height: int) -> int:
        """Tokens of an image of that size in pixels."""
        long, short = max(width, height), min(width, height)
        across, down = self._scaled(long, short)
        down = math.ceil(down / self.edge) * self.edge
        return self._tokens(across, down) if width < height else self._tokens(down, across)

    def _tokens(self, height: int, width: int) -> int:
        return token_count(height // self.edge, width // self.edge, math.isqrt(self.num_img_tokens))

    def _scaled(self, long: int, short: int) -> tuple[int, int]:
        """Long and short side after scaling, before filling."""
        ratio = long / short
        across = 1
        while (across + 1) * math.ceil((across + 1) / ratio) <= self.num_crops:
            across += 1
        return across * self.edge, max(1, int(across * self.edge / ratio))

    def place(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Where an image of that size is drawn on the filled one: left, top, width and height, in pixels."""
        across, down = self._scaled(max(width, height), min(width, height))
        margin = (math.ceil(down / self.edge) * self.edge - down) // 2
        return (margin, 0, down, across) if width < height else (0, margin, across, down)

    def _fitted(self, image: Image.Image) -> torch.Tensor:
        """The image scaled and filled to whole crops, normalised: (3, height, width)."""
        image = image.convert("RGB")
        upright = image.width < image.height
        if upright:
            image = image.transpose(Image.Transpose.TRANSPOSE)
        width, height = self._scaled(*image.size)
        filled = Image.new("RGB", (width, math.ceil(height / self.edge) * self.edge), "white")
        scaled = image.resize((width, height), Image.Resampling.BILINEAR)
        filled.paste(scaled, (0, (filled.height - height) // 2))
        if upright:
            filled = filled.transpose(Image.Transpose.TRANSPOSE)
        pixels = torch.from_numpy(np.array(filled)).permute(2, 0, 1).contiguous().float().div_(255)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.image_mean, self.image_std))
        return pixels.sub_(mean).div_(std)


class Phi3VProcessor(ProcessorMixin):
    """Text with ``<|image_1|>`` … ``<|image_n|>`` and images to tensors.

    The text between two images is tokenised by itself, as the published processor does: with a tokenizer that begins
    every text with a token, one stands after each image. The place of a feature is ``<|image|>``; the published
    processor writes the image's number, negated, which no tokenizer can decode.
    """

    image_token = "<|image|>"

    def __init__(
        self, image_processor: Phi3VImageProcessor, tokenizer: PreTrainedTokenizerBase, chat_template: Any = None
    ) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template)
        self.image_token_id = int(tokenizer.convert_tokens_to_ids(self.image_token))  # type: ignore[arg-type]

    def __call__(
        self,
        text: str | Sequence[str],
        images: Sequence[Sequence[Image.Image]] | None = None,
        *,
        padding: bool = True,
        padding_side: str = "left",
        add_special_tokens: bool = True,
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """Tensors of a batch, padded to its longest text.

        Args:
            text: one text, or one per row.
            images: one list per row, in the order of the placeholders.
            padding: must be true where the rows have unequal lengths.
            padding_side: ``left`` or ``right``.
            add_special_tokens: let the tokenizer begin every piece of text with its token.
            return_tensors: ``pt``.

        Raises:
            ValueError: a row's placeholders are not numbered 1 to n, or n is not the number of its images.
        """
        texts = [text] if isinstance(text, str) else list(text)
        rows = [list(row) for row in images] if images is not None else [[] for _ in texts]
        if len(rows) != len(texts):
            raise ValueError(f"{len(texts)} texts, and images for {len(rows)}")
        flat = list(itertools.chain.from_iterable(rows))
        tensors = self.image_processor(flat) if flat else {}
        counts = iter(tensors.pop("num_img_tokens") if flat else ())
        text_tensors = self.read(
            texts,
            [[next(counts) for _ in row] for row in rows],
            padding=padding,
            padding_side=padding_side,
            add_special_tokens=add_special_tokens,
        )
        return BatchFeature({**text_tensors, **tensors})

    def read(
        self,
        texts: Sequence[str],
        counts: Sequence[list[int]],
        *,
        padding: bool = True,
        padding_side: str = "left",
        add_special_tokens: bool = True,
    ) -> dict[str, torch.Tensor]:
        """``input_ids`` and ``attention_mask`` of texts, with a place for each token of each image.

        Args:
            texts: one per row.
            counts: tokens of each image, one list per row.
            padding, padding_side, add_special_tokens: as for a call.

        Raises:
            ValueError: as for a call.
        """
        ids = [self._ids(text, list(row), add_special_tokens) for text, row in zip(texts, counts, strict=True)]
        if not padding and len({len(row) for row in ids}) > 1:
            raise ValueError("rows of unequal length need padding")
        width = max(len(row) for row in ids)
        input_ids = torch.full((len(ids), width), self.tokenizer.pad_token_id)
        mask = torch.zeros((len(ids), width), dtype=torch.long)
        for i, row in enumerate(ids):
            where = slice(width - len(row), width) if padding_side == "left" else slice(0, len(row))
            input_ids[i, where] = torch.tensor(row, dtype=torch.long)
            mask[i, where] = 1
        return {"input_ids": input_ids, "attention_mask": mask}

    def _ids(self, text: str, counts: list[int], add_special_tokens: bool) -> list[int]:
        pieces = PLACEHOLDER.split(text)  # text, number, text, number, … text
        numbers = [int(number) for number in pieces[1::2]]
        if numbers != [*range(1, len(counts) + 1)]:
            raise ValueError(f"{len(counts)} images, and the text shows {numbers}; they are numbered from 1, in order")
        ids: list[int] = []
        place = self.image_token_id
        for piece, count in zip(pieces[::2], [*counts, 0], strict=True):
            ids += [*self.tokenizer(piece, add_special_tokens=add_special_tokens)["input_ids"], *[place] * count]
        return ids
