"""Families that see one image, scaled or cropped to one square, by a tower that gives a state per patch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from paceline.errors import UserError
from paceline.models.family import Family
from paceline.models.tensors import Features, grid


def seen(tower: Any, pixels: torch.Tensor | None, states: torch.Tensor | None) -> torch.Tensor:
    """The states of images that a network is given, or those that its tower makes of their pixels."""
    return tower(pixel_values=pixels).last_hidden_state if states is None else states


def positions(mask: torch.Tensor) -> torch.Tensor:
    """The place of each token among those of its row that a mask shows; (samples, tokens)."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


class OneSquare(Family):
    """The network takes ``pixel_values`` (samples, 3, height, width), or in their place ``image_states``.

    ``image_states`` is (samples, patches + 1, width): what the tower makes of the patches, row by row, and before them
    of a class token.
    """

    needs_image = True
    skips_without_images = False  # there is no such batch
    bare_prompt = True

    def tower(self) -> torch.nn.Module:
        """The module that makes states of pixels."""
        network: Any = self.bare_model()
        return network.vision_model  # type: ignore[no-any-return]

    def text_batch(self, texts: list[str]) -> dict[str, torch.Tensor]:
        """The tensors of rendered texts, without those of images."""
        return dict(self.tokenizer(texts, **self._text_options(texts)))

    def pixel_batch(self, texts: list[str], images: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """One picture for each text.

        Raises:
            UserError: a text without a picture, or with several.
        """
        pictures = [row[0] for row in self._one_each(images)]
        pixels = self.processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
        return {**self.text_batch(texts), "pixel_values": pixels}

    def feature_batch(self, texts: list[str], features: Sequence[Sequence[Features]]) -> dict[str, Any]:
        """One picture's states for each text; errors as :meth:`pixel_batch`."""
        states = torch.stack([row[0].states for row in self._one_each(features)])
        return {**self.text_batch(texts), "image_states": states}

    def _one_each(self, images: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        if odd := [len(row) for row in images if len(row) != 1]:
            raise UserError(f"model {self.spec.name} reads one image with each question, and was shown {odd[0]}")
        return images

    @torch.no_grad()
    def features(self, images: Sequence[Any]) -> list[Features]:
        """What the tower makes of each image: a class token's state, then one per patch."""
        if not images:
            return []
        inputs = self.processor.image_processor(list(images), return_tensors="pt")
        placed = self.to_model({"pixel_values": inputs["pixel_values"]})
        return [Features(states) for states in self.tower()(**placed).last_hidden_state]

    def layout(self, image: Any, seen: Features) -> torch.Tensor:
        """A class token without a place, and the patches of the square."""
        edge = math.isqrt(len(seen.states) - 1)
        patches = self.on_image(image, grid(edge, edge)).flatten(0, 1)
        return torch.cat([patches.new_full((1, 4), math.nan), patches])

    def on_image(self, image: Any, square: torch.Tensor) -> torch.Tensor:
        """Boxes in fractions of the square, as fractions of the image: the same, where it is scaled without a crop."""
        return square
