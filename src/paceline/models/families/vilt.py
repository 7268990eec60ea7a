"""ViLT (Kim, Son and Kim 2021, arXiv:2102.03334), tuned on visual questions: it chooses among the answers of its list.

Words and patches go through one transformer together. Trained as published, with a score for each answer that people
gave, and a binary cross-entropy over the whole list.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from paceline.config.schema import ModelSpec
from paceline.counted import counted
from paceline.errors import UserError
from paceline.models.classifier import Classifier
from paceline.models.conversation import Conversation
from paceline.models.landed import require_embeddings
from paceline.models.tensors import Features
from paceline.models.twins import twin_tokenizer

_SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
# Longer and shorter edge of the pictures that the processor makes, as one number: in Transformers' ViltImageProcessor.
_RATIO = 1333 / 800


class Vilt(Classifier):
    """``ViltForQuestionAnswering``. ``pixel_values`` is (samples, 3, height, width), padded to the largest, with
    ``pixel_mask`` (samples, height, width); ``labels`` is (samples, answers), a score from 0 to 1 for each.
    """

    how = "classifies"
    auto_class: ClassVar[str] = "AutoModelForVisualQuestionAnswering"
    model_types = ("vilt",)
    image_arguments = {"common": "resized", "do_pad": "flag"}
    image_sizes = (("shortest_edge",),)
    components = {
        "vision": (
            "vilt.embeddings.patch_embeddings",
            "vilt.embeddings.position_embeddings",
            "vilt.embeddings.cls_token",
        ),
        "language": (
            "vilt.embeddings.text_embeddings",
            "vilt.embeddings.token_type_embeddings",
            "vilt.encoder",
            "vilt.layernorm",
            "vilt.pooler",
        ),
        "head": ("classifier",),
    }
    needs_image: ClassVar[bool] = True
    skips_without_images: ClassVar[bool] = False
    # Its attention is written out in the network.
    attentions: ClassVar[tuple[str, ...]] = ("eager",)
    unplanned: ClassVar[str] = "reads words and patches in one stack, which the planner's formulas do not know"
    takes_features: ClassVar[bool] = False

    def settle(self) -> None:
        """As every classifier; and refuse a tokenizer of another model."""
        super().settle()
        require_embeddings(self.model, self.tokenizer, f"model {self.spec.name}: {self.spec.weights}")

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Of each answer by itself, as it is trained: several may hold, and they do not sum to 1."""
        return logits.sigmoid()

    def render(self, conversation: Conversation) -> str:
        """The question alone, behind the system's words where there are any."""
        words = [self._defused(part).strip() for part in (conversation.system, conversation.prompt)]
        return " ".join(word for word in words if word)

    def batch(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """Questions and pictures.

        Raises:
            UserError: worked examples, another number of images than one, or a question of more tokens than there are
                positions.
        """
        for one in conversations:
            if len(one.images) != 1 or one.shots:
                raise UserError(
                    f"{one.called}: model {self.spec.name} takes a question about one image, not "
                    f"{counted(len(one.all_images), 'image')} in {counted(len(one.shots) + 1, 'turn')}"
                )
        batch = super().batch(conversations)
        lengths = batch["attention_mask"].sum(dim=1)
        if (most := int(lengths.max())) > self.longest:
            longest = conversations[int(lengths.argmax())]
            raise UserError(
                f"{longest.called}: model {self.spec.name} has {self.longest} positions for words, and its question "
                f"takes {most}; give a shorter prompt"
            )
        return batch

    def pixel_batch(self, texts: list[str], images: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """The batch, padded on the right, as the processor pads."""
        shown = [self._stretched(row[0]) for row in images]
        return dict(self.processor(images=shown, text=texts, padding=True, return_tensors="pt"))

    def _stretched(self, image: Any) -> Any:
        """A picture so narrow that the processor would leave it no row of patches, widened to one."""
        settings = self.processor.image_processor
        longest = int(_RATIO * settings.size["shortest_edge"])
        least = math.ceil(max(image.size) * settings.size_divisor / longest)
        if min(image.size) >= least:
            return image.convert("RGB")
        return image.convert("RGB").resize((max(image.width, least), max(image.height, least)))

    def features(self, images: Sequence[Any]) -> list[Features]:
        """Not to be had: patches and words are read together from the first layer on.

        Raises:
            UserError: always, unless there are none.
        """
        if images:
            raise UserError(f"model {self.spec.name}: family vilt sees an image only together with its question")
        return []

    def tokens_read(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """Words, patches, and the token that stands before the patches."""
        step = self.bare_model().config.patch_size
        patches = batch["pixel_mask"][:, ::step, ::step].sum(dim=(1, 2))
        found: torch.Tensor = batch["attention_mask"].sum(dim=1) + patches + 1
        return found

    def wanted(self, conversations: Sequence[Conversation]) -> torch.Tensor:
        """How far each answer of the list is right: as people answered where that is known, else 1 for the target.

        All are 0 where no right answer is in the list, as published.
        """
        known = {label: i for i, label in enumerate(self.labels)}
        scores = torch.zeros(len(conversations), len(known))
        for row, one in zip(scores, conversations, strict=True):
            for answer, score in (one.accepted or {str(one.answer): 1.0}).items():
                if answer in known:
                    row[known[answer]] = score
        return scores

    def read_back(self, batch: Mapping[str, Any]) -> list[dict[str, float]]:
        """The labels whose score is not 0."""
        labels: Any = self.bare_model().config.id2label
        return [{str(labels[int(i)]): float(row[i]) for i in row.nonzero()} for row in batch["labels"]]

    # -- twins

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """A ``ViltProcessor``; its edges are multiples of the patches of ``config``."""
        from tokenizers.processors import TemplateProcessing
        from transformers import ViltImageProcessor, ViltProcessor

        tokenizer = twin_tokenizer(_SPECIAL, pad="[PAD]", eos="[SEP]", bos="[CLS]", chat_template="")
        tokenizer.chat_template = None
        marks = [(mark, tokenizer.convert_tokens_to_ids(mark)) for mark in ("[CLS]", "[SEP]")]
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
        settings: dict[str, Any] = {"size_divisor": spec.config["patch_size"], **spec.processor}
        images = ViltImageProcessor(**settings)
        return ViltProcessor(image_processor=images, tokenizer=tokenizer)

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> Any:
        """A small ``ViltForQuestionAnswering`` with the answers that ``labels`` names."""
        from transformers import ViltConfig, ViltForQuestionAnswering

        tokenizer = processor.tokenizer
        labels = dict(enumerate(config.pop("labels")))
        made = ViltConfig(
            id2label=labels,
            label2id={label: i for i, label in labels.items()},
            vocab_size=len(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            **config,
        )
        network = ViltForQuestionAnswering(made)
        # The library begins at zero what a published network has learned.
        torch.nn.init.normal_(network.vilt.embeddings.cls_token, std=made.initializer_range)
        torch.nn.init.normal_(network.vilt.embeddings.position_embeddings, std=made.initializer_range)
        return network


FAMILY = Vilt
