"""`transformers serve` for a folder of weights: python serving_twin.py PORT FOLDER

torchvision is usually built for CUDA, and beside a CPU torch its decoder of pictures can't be loaded. There Pillow
decodes in its place; PNG is lossless, so the pixels are the same.
"""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import torch
from PIL import Image

import paceline.models.torchvision  # noqa: F401  (before torchvision, which else does not import here)


def decode_by_pillow(content: torch.Tensor, **options: Any) -> torch.Tensor:
    """RGB of a file's bytes, uint8 (3, height, width)."""
    image = Image.open(io.BytesIO(content.numpy().tobytes())).convert("RGB")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def main(port: str, folder: str) -> None:
    import torchvision.io

    stream = io.BytesIO()
    Image.new("RGB", (1, 1)).save(stream, "PNG")
    try:
        torchvision.io.decode_image(torch.frombuffer(bytearray(stream.getvalue()), dtype=torch.uint8))
    except RuntimeError:
        torchvision.io.decode_image = decode_by_pillow
    torch.set_num_threads(1)
    from transformers.cli.transformers import main as command

    sys.argv = ["transformers", "serve", "--host", "127.0.0.1", "--port", port, "--device", "cpu", folder]
    command()


if __name__ == "__main__":
    main(*sys.argv[1:])
