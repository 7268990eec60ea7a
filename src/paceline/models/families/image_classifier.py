"""Image classifiers of Transformers: what ``AutoModelForImageClassification`` loads, such as ResNet and ViT.

It takes no question. Untuned it answers out of its own list, such as ImageNet's; a tuning gives it a new output layer
over the answers of the train split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import transformers

from paceline.config.schema import ModelSpec, Quantise
from paceline.counted import counted
from paceline.errors import DataError, UserError, nearest
from paceline.models.classifier import Classifier
from paceline.models.conversation import Conversation
from paceline.models.family import BACKEND
from paceline.models.tensors import Features

# isort: split
# After the operators are defined: some versions import torchvision on the way.
from transformers.modeling_outputs import ImageClassifierOutput


class ImageClassifier(Classifier):
    """``pixel_values`` is (samples, 3, height, width), one size for all; ``labels`` are indices, (samples,)."""

    how = "classifies"
    auto_class: ClassVar[str] = "AutoModelForImageClassification"
    components = {"backbone": (), "head": ("classifier",)}
    masked_encoder: ClassVar[str] = "vit"
    needs_image: ClassVar[bool] = True
    tokenized: ClassVar[bool] = False
    learns_labels: ClassVar[bool] = True
    takes_features: ClassVar[bool] = True
    skips_without_images: ClassVar[bool] = False
    unplanned: ClassVar[str] = "has no language model, around which the planner's formulas are made"
    explained_by: ClassVar[str] = "grad_cam"
    saved_whole: ClassVar[tuple[str, ...]] = ("classifier",)

    def settle(self) -> None:
        """Statistics of normalisation stay as they were published, and the output layer takes what was seen before.

        Statistics that move with a batch would make a result depend on the micro-batch, which is placement.
        """
        super().settle()
        for module in self.model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                _hold(module)
        _take_seen(self.model, self.head_module)

    @classmethod
    def component_of(cls, name: str) -> str | None:
        """The output layer, or all before it: every architecture calls its parts otherwise."""
        return super().component_of(name) or "backbone"

    # -- loading

    @classmethod
    def reading(cls, spec: ModelSpec, device: str, quantise: Quantise = "none") -> dict[str, Any]:
        """Without a word on attention where it is the default: a convolutional network has none, and refuses it."""
        options = super().reading(spec, device, quantise)
        if spec.attention == "sdpa":
            del options["attn_implementation"]
        return options

    @classmethod
    def make_processor(cls, spec: ModelSpec, source: str, revision: str | None) -> Any:
        """The image processor, which is all there is."""
        options = {"revision": revision, "trust_remote_code": spec.remote_code}
        return transformers.AutoImageProcessor.from_pretrained(source, backend=BACKEND, **options, **spec.processor)

    # -- batches

    def batch(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """The pictures; where they were seen before, what was seen: ``seen``, (samples, …).

        Raises:
            UserError: another number of images than one, worked examples, or a picture that can't be taken.
        """
        for one in conversations:
            if len(one.images) != 1 or one.shots:
                raise UserError(
                    f"{one.called}: model {self.spec.name} classifies one image, not {len(one.all_images)} in "
                    f"{counted(len(one.shots) + 1, 'turn')}"
                )
        images = [one.images[0] for one in conversations]
        if not any(isinstance(image, Features) for image in images):
            return self._pixels(images, conversations)
        seen = iter(self.features([image for image in images if not isinstance(image, Features)]))
        states = [image.states if isinstance(image, Features) else next(seen).states for image in images]
        device = self.model.device
        return {"seen": torch.stack([state.to(device) for state in states])}

    def _pixels(self, images: Sequence[Any], conversations: Sequence[Conversation] = ()) -> dict[str, Any]:
        try:
            # RGB whatever the file: many of these processors convert nothing.
            return dict(self.processor(images=[image.convert("RGB") for image in images], return_tensors="pt"))
        except (ValueError, ArithmeticError) as error:
            sizes = ", ".join(f"{image.width} × {image.height}" for image in images[:3])
            which = conversations[0].called if len(conversations) == 1 else "a batch"
            raise UserError(
                f"{which}: the processor of model {self.spec.name} can't take pictures of {sizes} pixels: {error}; "
                "leave them out, or set model.processor"
            ) from error

    @torch.no_grad()
    def features(self, images: Sequence[Any]) -> list[Features]:
        """What the output layer reads of each image. It holds as long as all before it does not change."""
        if not images:
            return []
        head = self.bare_model().get_submodule(self.head_module)
        caught: list[torch.Tensor] = []
        hook = head.register_forward_pre_hook(lambda module, given: caught.append(given[0]))
        try:
            self.bare_model()(**self.to_model(self._pixels(images)))
        finally:
            hook.remove()
        return [Features(state) for state in caught[0]]

    def tokens_read(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """No tokens are read."""
        (images,) = (batch[name] for name in ("pixel_values", "seen") if name in batch)
        return torch.zeros(len(images), dtype=torch.long, device=images.device)

    def wanted(self, conversations: Sequence[Conversation]) -> torch.Tensor:
        """The index of each answer in the list.

        Raises:
            DataError: an answer that is not in the list.
        """
        known = {label: i for i, label in enumerate(self.labels)}
        for one in conversations:
            if one.answer not in known:
                raise DataError(
                    f"{one.called}: its answer {one.answer!r} is none of the {len(known)} that model {self.spec.name} "
                    f"learns: {nearest(str(one.answer), known)}; they are those of the train split"
                )
        return torch.tensor([known[str(one.answer)] for one in conversations])

    def read_back(self, batch: Mapping[str, Any]) -> list[dict[str, float]]:
        """The label of each index."""
        labels: Any = self.bare_model().config.id2label
        return [{str(labels[int(i)]): 1.0} for i in batch["labels"]]

    # -- twins

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """ResNet's processor, ``ConvNextImageProcessor``."""
        from transformers import ConvNextImageProcessor

        return ConvNextImageProcessor(**spec.processor)

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small network of the architecture that ``architecture`` names, such as ``resnet``, with ``labels``."""
        labels = dict(enumerate(config.pop("labels")))
        made = transformers.AutoConfig.for_model(
            config.pop("architecture"), id2label=labels, label2id={label: i for i, label in labels.items()}, **config
        )
        network = transformers.AutoModelForImageClassification.from_config(made)
        _normalise(network, torch.randn(8, 3, *[processor.size["shortest_edge"]] * 2))
        return network


def _normalise(network: torch.nn.Module, pictures: torch.Tensor) -> None:
    """Give batch normalisation the statistics of some pictures (samples, 3, height, width), as training would have."""
    layers = [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    if layers:
        usual = [layer.momentum for layer in layers]
        for layer in layers:
            layer.momentum = 1.0
        with torch.no_grad():
            network.train()(pictures)
        for layer, momentum in zip(layers, usual, strict=True):
            layer.momentum = momentum


def _hold(module: torch.nn.Module) -> None:
    """Keep a module in evaluation mode, whatever mode the network is put into."""
    module.eval()
    module.train = lambda mode=True: module  # type: ignore[method-assign]


def _take_seen(network: Any, head: str) -> None:
    """Let a network answer from what its output layer would read (``seen``) in place of pixels."""
    whole = network.forward

    def forward(*args: Any, seen: torch.Tensor | None = None, labels: torch.Tensor | None = None, **rest: Any) -> Any:
        if seen is None:
            return whole(*args, labels=labels, **rest)
        logits = network.get_submodule(head)(seen)
        loss = None if labels is None else network.loss_function(labels, logits, network.config)
        return ImageClassifierOutput(loss=loss, logits=logits)

    network.forward = forward


FAMILY = ImageClassifier
