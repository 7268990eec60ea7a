"""Conversations as tensors: for generation, for training, and what a model sees in an image."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

import paceline.models.torchvision  # noqa: F401
from paceline.errors import UserError
from paceline.models.chat_text import ChatText
from paceline.models.conversation import Conversation, Verbatim

# isort: split
# After the operators are defined: some versions import torchvision on the way.
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling


class Tensors(ChatText):
    """How a family makes tensors of conversations: batches to answer and to train on, and what it sees in images."""

    # Tensors with a column per token, and what stands there for the tokens of an answer: their own value, zero, or
    # what stood at the prompt's last token.
    token_tensors: ClassVar[Mapping[str, Literal["own", "zero", "last"]]] = {
        "input_ids": "own",
        "attention_mask": "own",
        "mm_token_type_ids": "zero",  # type 0 is text in every family that marks types
        "token_type_ids": "zero",
    }

    # The ids behind which an answer is written, and their mask: two of ``token_tensors``.
    sequence_tensors: ClassVar[tuple[str, str]] = ("input_ids", "attention_mask")
    # Labels stand at the place that predicts them, because the network's loss does not shift them by one.
    labels_ahead: ClassVar[bool] = False
    # The network's loss is the mean over the labels that it is given, even where it is told how many the step has.
    mean_loss: ClassVar[bool] = False
    # The id that a decoder of its own begins with; None where the answer goes on behind the prompt.
    start_token: int | None = None

    model: Any
    end_tokens: list[int]

    def sequence(self, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """The ids behind which the network writes an answer, and their mask; both (samples, tokens)."""
        ids, mask = self.sequence_tensors
        return batch[ids], batch[mask]

    def tokens_read(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """How many tokens the network reads of each sample, padding not counted; (samples,), on the batch's device."""
        return self.sequence(batch)[1].sum(dim=1)

    @property
    def longest(self) -> int:
        """Most tokens, prompt and answer together, that the network has positions for."""
        return int(self.bare_model().config.get_text_config().max_position_embeddings)

    def batch(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """Tensors for ``generate``, padded on the left so that every answer begins in the same column.

        ``input_ids`` and ``attention_mask`` are (samples, tokens); the image tensors are the family's own.
        """
        texts = [self.render(c) for c in conversations]
        images = [c.all_images for c in conversations]
        if not any(isinstance(image, Features) for row in images for image in row):
            try:
                return self.pixel_batch(texts, images)
            except (ValueError, ArithmeticError) as error:
                if taken := self._not_taken(texts, conversations):
                    raise UserError(taken) from error
                raise
        seen = iter(self.features([image for row in images for image in row if not isinstance(image, Features)]))
        return self.feature_batch(
            texts, [[image if isinstance(image, Features) else next(seen) for image in row] for row in images]
        )

    def _not_taken(self, texts: Sequence[str], conversations: Sequence[Conversation]) -> str:
        """Which conversation has a picture that the processor can't take; empty where each is taken by itself."""
        for text, one in zip(texts, conversations, strict=True):
            try:
                self.pixel_batch([text], [one.all_images])
            except (ValueError, ArithmeticError) as error:
                sizes = ", ".join(f"{image.width} × {image.height}" for image in one.all_images)
                return (
                    f"{one.called}: the processor of model {self.spec.name} (family {self.spec.family}) can't take its "
                    f"pictures of {sizes or 'no'} pixels: {error}; leave it out, or set model.processor"
                )
        return ""

    def pixel_batch(self, texts: list[str], images: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """The batch of rendered texts with the pictures of each, in the order of their placeholders."""
        options = {"images": images} if any(images) else {}
        return dict(self.processor(text=texts, **self._text_options(texts), **options))

    def feature_batch(self, texts: list[str], features: Sequence[Sequence[Features]]) -> dict[str, Any]:
        """The batch of rendered texts with features in place of pictures.

        As the families need it whose processor writes a placeholder per visual token and whose network takes
        ``mm_encoder_outputs``.
        """
        flat = [f for row in features for f in row]
        shape = {name: torch.stack([f.shape[name] for f in flat]) for name in flat[0].shape}
        texts, _ = self.processor.get_text_with_replacements(list(texts), [self.written(f) for f in flat])
        inputs = dict(self.tokenizer(texts, **self._text_options(texts)))
        if "mm_token_type_ids" in self.processor.model_input_names:
            types = self.processor.create_mm_token_type_ids(inputs["input_ids"].tolist())
            inputs["mm_token_type_ids"] = torch.tensor(types)
        seen = BaseModelOutputWithPooling(pooler_output=tuple(f.states for f in flat))  # type: ignore[arg-type]
        return {**inputs, **shape, "mm_encoder_outputs": {"image": seen}}

    def written(self, seen: Features) -> str:
        """What takes the place of an image's placeholder in a text: a token for each state, and what parts them."""
        shape = {name: tensor.unsqueeze(0) for name, tensor in seen.shape.items()}
        return str(self.processor.replace_image_token(shape, 0))

    def _text_options(self, texts: Sequence[str]) -> dict[str, Any]:
        bos = self.tokenizer.bos_token
        options: dict[str, Any] = {"padding": True, "padding_side": "left", "return_tensors": "pt"}
        if bos and bos in texts[0]:
            options["add_special_tokens"] = False  # the rendered text has its beginning token already
        return options

    @torch.no_grad()
    def features(self, images: Sequence[Any]) -> list[Features]:
        """What the model sees in each image. Put them into conversations in place of the pictures.

        They hold as long as the vision tower and the connector do not change. All images are encoded together: how
        many fit into memory is the caller's to know.
        """
        if not images:
            return []
        inputs = self.to_model(dict(self.processor(images=list(images), return_tensors="pt")))
        network: Any = self.bare_model()
        states = network.get_image_features(**inputs, return_dict=True).pooler_output
        inputs.pop("pixel_values")
        return [
            Features(state, {name: tensor[i].cpu() for name, tensor in inputs.items()})
            for i, state in enumerate(states)
        ]

    def layout(self, image: Any, seen: Features) -> torch.Tensor:
        """Where on its image each of an image's states lies.

        Args:
            image: the picture, for its size.
            seen: what :meth:`features` made of it.

        Returns:
            (states, 4), in the order of ``seen.states`` with its leading axes flattened: left, top, right and bottom in
            fractions of the image's width and height. NaN where a state has no place, such as a separator; what lies
            beyond 0 or 1 is padding.

        Raises:
            UserError: the family's states have no places, or nobody wrote down which.
        """
        raise UserError(f"model {self.spec.name}: family '{self.spec.family}' has no layout of what it sees")

    def training_batch(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """Tensors for the loss, padded on the right: labels are the answer's tokens and the token that ends
        it.

        Logits are made for these alone (:func:`answers_alone`). The answer is tokenised by itself and appended to the
        ids of the prompt, which are thus the same ids that the model will see when it is asked; nothing is searched
        for in a text.
        """
        answers = [self._answer_ids(c) for c in conversations]
        width = max(len(ids) for ids in answers)
        ids = torch.full((len(answers), width), self.tokenizer.pad_token_id)
        mask = torch.zeros((len(answers), width), dtype=torch.long)
        for row, answer in enumerate(answers):
            ids[row, : len(answer)] = torch.tensor(answer)
            mask[row, : len(answer)] = 1
        batch = self.batch(conversations)
        labels = torch.full_like(self.sequence(batch)[0], IGNORED)
        batch = self.append_answers(batch, ids, mask)
        batch["labels"] = torch.cat([labels, ids.masked_fill(mask == 0, IGNORED)], dim=1)
        batch = self._right_padded(batch)
        if (width := batch["labels"].shape[1]) > self.longest:
            longest = conversations[int(self.sequence(batch)[1].sum(dim=1).argmax())]
            raise UserError(
                f"{longest.called}: model {self.spec.name} has {self.longest} positions, and a prompt with its answer "
                f"takes {width} (images counted); {longest.shorter}, or shorten task.target"
            )
        return batch | self.supervised(batch["labels"])

    def supervised(self, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the network is told of the labels, (samples, tokens), beside them: where to make logits.

        A family whose network makes all logits says so by an override.
        """
        return answers_alone(labels)

    def answer_logits(self, logits: torch.Tensor, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Of a training batch of one sample, and the logits that it gave: those that predict the answer's tokens,
        (tokens, vocabulary), and the tokens, (tokens,).
        """
        if "shift_labels" in batch:
            return logits[0], batch["shift_labels"][0]
        labels = batch["labels"] if self.labels_ahead else ahead(batch["labels"])
        places = labels[0].ne(IGNORED)
        # Some put logits of the image's tokens before those of the text.
        return logits[0, -len(places) :][places], labels[0][places]

    def _answer_ids(self, conversation: Conversation) -> list[int]:
        if conversation.answer is None:
            raise UserError("a conversation to train on has no answer; set task.target")
        text = self._defused(conversation.answer)
        if not isinstance(conversation.answer, Verbatim) and not text[:1].isspace():
            text = f"{self.answer_opening}{text}"
        return [*self.tokenizer(text, add_special_tokens=False)["input_ids"], self.end_tokens[0]]

    def append_answers(self, batch: dict[str, Any], ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
        """The batch with ``ids`` after the prompts, in every tensor that has a column per token."""
        own = dict(zip(self.sequence_tensors, (ids, mask), strict=True))
        appended = dict(batch)
        for name in self.token_tensors.keys() & batch.keys():
            tensor = batch[name]
            block = own[name] if name in own else tensor[:, -1:].repeat(1, ids.shape[1], *[1] * (tensor.dim() - 2))
            if self.token_tensors[name] == "zero":
                block = torch.zeros_like(block)
            appended[name] = torch.cat([tensor, block.to(tensor.dtype)], dim=1)
        return appended

    def _right_padded(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Move every row's tokens to its left end, in all tensors with a column per token."""
        _, mask = self.sequence(batch)
        order = torch.argsort(mask, dim=1, descending=True, stable=True)[:, : int(mask.sum(1).max())]
        rows = torch.arange(len(mask)).unsqueeze(1)
        moved = {*self.token_tensors, "labels"}
        return {name: value[rows, order] if name in moved else value for name, value in batch.items()}

    def read_back(self, batch: Mapping[str, Any]) -> list[dict[str, float]] | None:
        """What is supervised in a training batch of a family without answer tokens: for each sample, label -> weight.

        None where the answers are tokens, which are read back as such.
        """
        return None

    def to_model(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch on the model's device, its images in the model's number format."""
        return {name: self._placed(value) for name, value in batch.items()}

    def _placed(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)
        if isinstance(value, Mapping):
            return type(value)(**{name: self._placed(part) for name, part in value.items()})
        return tuple(self._placed(part) for part in value)

    def bare_model(self) -> PreTrainedModel:
        """The network without an adapter around it."""
        model = self.model
        return model.get_base_model() if hasattr(model, "peft_config") else model


IGNORED = -100
"""Label of a token that the loss passes over."""


@dataclass(frozen=True)
class Features:
    """What a model sees in one image, before it reads a word: made once, kept, and shared by any number of prompts.

    Attributes:
        states: what takes the image's place in the language model, on the model's device; (tokens, width), or with a
            leading axis where the family cuts an image into tiles.
        shape: what else the family must know of the image, such as its grid of patches, by the processor's names.
    """

    states: torch.Tensor
    shape: Mapping[str, torch.Tensor] = dataclasses.field(default_factory=dict)


def grid(
    down: int, across: int, *, left: float = 0.0, top: float = 0.0, right: float = 1.0, bottom: float = 1.0
) -> torch.Tensor:
    """Boxes (down, across, 4) of equal cells that fill a rectangle: left, top, right, bottom of each, in its units."""
    y, x = torch.meshgrid(torch.linspace(top, bottom, down + 1), torch.linspace(left, right, across + 1), indexing="ij")
    return torch.stack([x[:-1, :-1], y[:-1, :-1], x[1:, 1:], y[1:, 1:]], dim=-1)


def ahead(labels: torch.Tensor) -> torch.Tensor:
    """Labels (samples, tokens) at the places that predict them: one to the left."""
    return torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED)


def answers_alone(labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Arguments that let a network make logits where a label is predicted, and nowhere else.

    A vocabulary of 128,256 costs 1.5 MB a token (logits, log-softmax and gradient in float32), and most tokens of a
    sample are its image. The loss is the same sum over the same tokens.

    Args:
        labels: (samples, tokens), ``IGNORED`` where nothing is to be learned.

    Returns:
        ``logits_to_keep``, the places before the labels, and ``shift_labels``, the labels themselves; both (samples,
        most labels of a sample), filled up with other places and ``IGNORED``. Places and not a mask: a mask's size
        has to be waited for on a GPU.
    """
    following = ahead(labels)
    most = int(following.ne(IGNORED).sum(1).max())
    places = following.eq(IGNORED).int().argsort(dim=1, stable=True)[:, :most]
    return {"logits_to_keep": places, "shift_labels": following.gather(1, places)}
