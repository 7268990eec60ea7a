"""What families have in common whose models classify: one pass over a picture, a score for each label of a list."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
import transformers

from paceline.config.schema import GenerationSpec, ModelSpec, Quantise
from paceline.errors import UserError
from paceline.models.answerer import Answer
from paceline.models.conversation import Conversation
from paceline.models.family import Family

BEST = 5
"""Labels that are kept of an answer, with their probabilities."""
_DIGITS = 6


class Classifier(Family):
    """A model with an output layer over a list of labels, which its config names (``id2label``). It generates nothing.

    A family derived from it says ``how = "classifies"`` in its own module, where a login node reads it, how logits
    become probabilities (:meth:`probabilities`), and what the loss is taken against (:meth:`wanted`).
    """

    needs_image: ClassVar[bool] = True
    # The output layer, as a component and as the name of its module.
    HEAD: ClassVar[str] = "head"
    head_module: ClassVar[str] = "classifier"
    unquantised: ClassVar[tuple[str, ...]] = ("classifier",)
    # Labels of an output layer that takes the place of the weights' own.
    learned: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, spec: ModelSpec, model: Any, processor: Any) -> None:
        self.spec = spec
        self.model = model
        self.processor = processor
        self.end_tokens = []
        # Its loss is a mean over samples: of micro-batches of one size, the mean is that of the step.
        model.accepts_loss_kwargs = False

    def settle(self) -> None:
        """Nothing is generated: there is no token that ends an answer, and no sampling."""
        names = dict(self.model.named_modules())
        if self.head_module not in names:
            raise UserError(
                f"model {self.spec.name}: {type(self.model).__name__} has no layer '{self.head_module}' to classify "
                "with; write it a family of its own"
            )
        if self.quantised != "none" and not any(type(m).__module__.startswith("bitsandbytes") for m in names.values()):
            raise UserError(
                f"model {self.spec.name}: {type(self.model).__name__} has no linear layers before its output, so "
                f"quantise={self.quantised} changes nothing; give a method without it"
            )

    @property
    def labels(self) -> list[str]:
        """What it can answer, by the index of its output."""
        config: Any = self.bare_model().config
        return [str(config.id2label[i]) for i in range(config.num_labels)]

    # -- answering

    @torch.inference_mode()
    def answer(
        self, conversations: Sequence[Conversation], settings: GenerationSpec, seeds: Sequence[int]
    ) -> list[Answer]:
        """Answer conversations together, each by its likeliest label; settings and seeds change nothing.

        Where choices are given, the likeliest of those that are in the list; the answer is empty where none is.

        Raises:
            UserError: a conversation that it can't take, or scores that are no numbers.
        """
        network = self.model.eval()
        batch = self.to_model(self.batch(conversations))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # ViLT's network shuffles patches, which shows in the last bits
            found = self.probabilities(network(**batch).logits.float()).cpu()
        read = self.tokens_read(batch).tolist()
        for row, one in zip(found, conversations, strict=True):
            if bool(row.isnan().any()):
                raise UserError(
                    f"{one.called}: of model {self.spec.name} ({self.model.dtype}) the scores of labels are no numbers "
                    "(NaN): a number format with too small a range (give model.dtype=float32), or settings of the "
                    "processor under which a picture has none"
                )
        return [self._likeliest(*row) for row in zip(found, read, conversations, strict=True)]

    def _likeliest(self, probabilities: torch.Tensor, read: int, asked: Conversation) -> Answer:
        labels = self.labels
        spelt = {_key(choice): choice for choice in asked.choices}
        among = [i for i, label in enumerate(labels) if not spelt or _key(label) in spelt]
        # Equal ones stay in the order of the list.
        among.sort(key=lambda i: -float(probabilities[i]))
        best = [[labels[i], round(float(probabilities[i]), _DIGITS)] for i in among[:BEST]]
        text = spelt.get(_key(labels[among[0]]), labels[among[0]]) if among else ""
        known = {"known_choices": len({_key(labels[i]) for i in among})} if spelt else {}
        return Answer(text, read, 0, "stop", {"labels": best, **known})

    def index_of(self, answer: str, logits: torch.Tensor) -> int:
        """The output that an answer stands for; of several of one name the likeliest by their logits (labels,).

        Raises:
            UserError: an answer that is not in the list.
        """
        named = [i for i, label in enumerate(self.labels) if _key(label) == _key(answer)]
        if not named:
            raise UserError(f"the answer {answer!r} is none of the labels of model {self.spec.name}")
        return max(named, key=lambda i: logits[i].item())

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Of logits (samples, labels); by default they sum to 1."""
        return logits.softmax(dim=-1)

    # -- training

    def training_batch(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """Tensors for the loss: those to answer, and ``labels``, what :meth:`wanted` makes of the answers.

        Raises:
            UserError: a conversation without an answer.
        """
        if any(c.answer is None for c in conversations):
            raise UserError("a conversation to train on has no answer; set task.target")
        return {**self.batch(conversations), "labels": self.wanted(conversations)}

    def wanted(self, conversations: Sequence[Conversation]) -> torch.Tensor:
        """What the network's loss is taken against; samples first."""
        raise NotImplementedError

    def linear_layers(self, components: Sequence[str]) -> list[str]:
        """Full module names of the linear layers in some components; the output layer is left out."""
        return [
            name
            for name, module in self.bare_model().named_modules()
            if isinstance(module, torch.nn.Linear)
            and self.component_of(name) in components
            and self.component_of(name) != self.HEAD
        ]

    # -- loading and saving

    @classmethod
    def over(cls, labels: Sequence[str]) -> type[Classifier]:
        """The family with an output layer over another list, which is yet to be drawn or read."""
        return type(
            cls.__name__, (cls,), {"learned": tuple(labels), "__doc__": cls.__doc__, "__module__": cls.__module__}
        )

    @classmethod
    def load(
        cls,
        spec: ModelSpec,
        tuned: Path | None = None,
        *,
        training: bool = False,
        device: str = "cpu",
        quantise: Quantise = "none",
    ) -> Family:
        """As every family; under an adapter with the list that was learned with it, which its ``config.json`` names."""
        family = cls
        if tuned is not None and cls.learns_labels and (tuned / "adapter_config.json").exists():
            config = transformers.AutoConfig.from_pretrained(tuned)
            family = cls.over([str(config.id2label[i]) for i in range(config.num_labels)])
        options = {"training": training, "device": device, "quantise": quantise}
        return super(Classifier, family).load(spec, tuned, **options)  # type: ignore[arg-type]

    @classmethod
    def make_model(cls, spec: ModelSpec, source: str, revision: str | None, options: dict[str, Any]) -> Any:
        """The network, with an output layer over ``learned`` where that is given."""
        if cls.learned is None:
            return super().make_model(spec, source, revision, options)
        config = transformers.AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=spec.remote_code)
        config.id2label = dict(enumerate(cls.learned))
        config.label2id = {label: i for i, label in enumerate(cls.learned)}
        config.problem_type = "single_label_classification"
        with _quiet():  # the library tells at length that an output layer of another size is not read
            model: Any = super().make_model(spec, source, revision, {**options, "config": config})
        model.unread = model.unread.without(f"{cls.head_module}.")
        return model

    def save(self, model: Any, folder: Path, state_dict: Mapping[str, torch.Tensor] | None = None) -> None:
        """As every family; beside an adapter the config too, which names the labels."""
        super().save(model, folder, state_dict)
        if hasattr(model, "peft_config"):
            model.get_base_model().config.save_pretrained(folder)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.utils.logging.set_verbosity(before)


def _key(text: str) -> str:
    """What of a label or a choice is compared: neither capitals nor spaces around words."""
    return " ".join(text.casefold().split())
