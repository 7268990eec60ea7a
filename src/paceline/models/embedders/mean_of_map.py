"""Vision models whose vector of a picture is the mean over the places of its map, of length 1.

CLIP, SigLIP and their like give a vector of their own, which was trained to be compared; of every other model of
``AutoModel`` (ViT, DINOv2, ResNet, EfficientNet, EfficientNet-Lite) the mean of what it sees is taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import paceline.models.families.projector  # noqa: F401  # registers EfficientNet-Lite with the library
from paceline.errors import UserError
from paceline.models.family import Family
from paceline.models.landed import require_whole

# isort: split
import transformers

if TYPE_CHECKING:
    from PIL import Image


class MeanOfMap:
    """A loaded vision model, on the CPU, in float32: one thread, one picture at a time, so that a vector does not
    depend on its company.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor

    @classmethod
    def load(cls, folder: Path, name: str) -> MeanOfMap:
        """Load a vision model from its folder.

        Raises:
            UserError: it is none, or a tensor is missing.
        """
        torch.set_num_threads(1)
        options = {"dtype": torch.float32, "attn_implementation": "eager"}
        try:
            processor = transformers.AutoImageProcessor.from_pretrained(folder)
            model = Family.read_weights(transformers.AutoModel, str(folder), None, **options)
        except (OSError, ValueError) as error:
            raise UserError(
                f"embedder {name}: {folder} can't be read as a vision model: {str(error).splitlines()[0]}"
            ) from error
        compared = hasattr(model, "get_image_features")
        require_whole(model, f"embedder {name}: {folder}", lambda t: not compared and ("pooler." in t or "head." in t))
        return cls(model.eval(), processor)

    @torch.inference_mode()
    def embed(self, pictures: list[Image.Image]) -> np.ndarray:
        """The vector of a sample's pictures, float32 [width]: the mean of theirs, of length 1."""
        vectors = [self._vector(picture) for picture in pictures]
        mean: np.ndarray = torch.nn.functional.normalize(torch.stack(vectors).mean(dim=0), dim=0).numpy()
        return mean

    def _vector(self, picture: Image.Image) -> torch.Tensor:
        read = self.processor(images=[picture], return_tensors="pt")
        if hasattr(self.model, "get_image_features"):
            seen = self.model.get_image_features(**read)
            vector = seen if isinstance(seen, torch.Tensor) else seen.pooler_output
            return torch.nn.functional.normalize(vector[0].flatten(), dim=0)
        states = self.model(**read).last_hidden_state[0]
        # A map has channels first, patches have them last.
        mean = states.flatten(1).mean(dim=1) if states.dim() == 3 else states.mean(dim=0)
        return torch.nn.functional.normalize(mean, dim=0)
