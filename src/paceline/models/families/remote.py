"""Models that come with their own code and answer by a call of their own, one image and one question at a time.

The weights' repository holds the classes; they are run as they are, never mended here. They are usually written for the
versions of their day: ``transformers:`` in the model's YAML says which, and ``environment:`` where those are installed.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
import transformers
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from paceline.config.checks import locate_weights
from paceline.config.schema import GenerationSpec, ModelSpec, Quantise
from paceline.errors import UserError
from paceline.models.answerer import Answer
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.landed import require_whole
from paceline.models.processor_settings import require_taken

# Before it, from_pretrained reads the number format under another name and passes this one on to the model's class.
_DTYPE_SINCE = Version("4.56")


class Remote(Family):
    """A model whose class has ``answer_question(image, question, tokenizer, **generation settings)``.

    It evaluates, and can't be tuned here: what its layers are called and how it labels is its own affair.
    """

    auto_class: ClassVar[str] = "AutoModelForCausalLM"
    image_arguments = {}
    own_call: ClassVar[bool] = True

    @classmethod
    def load(
        cls,
        spec: ModelSpec,
        tuned: Path | None = None,
        *,
        training: bool = False,
        device: str = "cpu",
        quantise: Quantise = "none",
    ) -> Remote:
        """Load the tokenizer and, by its own code, the model.

        Raises:
            UserError: it is to be tuned or quantised, its code is not allowed, the library's version is out of its
                range, or its class has no ``answer_question``.
        """
        name = f"conf/model/{spec.name}.yaml"
        if training or tuned is not None:
            raise UserError(f"model {spec.name}: family remote answers by the model's own code and can't be tuned")
        if quantise != "none":
            raise UserError(
                f"model {spec.name}: family remote is not quantised, which its own code need not survive; give "
                "method=untuned"
            )
        if not spec.remote_code:
            raise UserError(
                f"{name}: the weights come with code, which is off by default: read it at the pinned revision, then "
                "write remote_code: true"
            )
        versions = SpecifierSet(spec.transformers)
        if not versions.contains(transformers.__version__, prereleases=True):
            raise UserError(
                f"{name}: its code runs on transformers {spec.transformers}, this is {transformers.__version__}: name "
                "an environment that has it (model.environment)"
            )
        source, revision = locate_weights(spec)
        if not source:
            raise UserError(f"{name}: weights: family remote has no twin; give a folder or a hub id")
        tokenizer = cls._read(spec, lambda: cls.make_processor(spec, source, revision))
        require_taken(spec, tokenizer)
        model = cls._read(spec, lambda: cls.make_model(spec, source, revision, cls.reading(spec, device)))
        require_whole(model, f"model {spec.name}: {spec.weights}", lambda name: False)
        torch.nn.Module.to(model, device)
        if not hasattr(model, "answer_question"):
            raise UserError(f"model {spec.name}: {type(model).__name__} has no answer_question; write it a family")
        return cls(spec, model.eval(), tokenizer)

    @classmethod
    def make_processor(cls, spec: ModelSpec, source: str, revision: str | None) -> Any:
        """The tokenizer; images are the model's own business."""
        return transformers.AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=spec.remote_code)

    @classmethod
    def reading(cls, spec: ModelSpec, device: str, quantise: Quantise = "none") -> dict[str, Any]:
        """In the words of the library's version that is here."""
        dtype = "dtype" if Version(transformers.__version__) >= _DTYPE_SINCE else "torch_dtype"
        # Without accelerate's hooks: old code makes parts that they can't place.
        options = {"attn_implementation": spec.attention, "low_cpu_mem_usage": False}
        return {**options, dtype: getattr(torch, spec.dtype)}

    @property
    def tokenizer(self) -> Any:
        """The tokenizer."""
        return self.processor

    def batch(self, conversations: Sequence[Conversation]) -> dict[str, torch.Tensor]:
        """Not to be had: the model makes its own tensors.

        Raises:
            UserError: always.
        """
        raise UserError(f"model {self.spec.name}: family remote has no batches; it answers one question at a time")

    def answer(
        self, conversations: Sequence[Conversation], settings: GenerationSpec, seeds: Sequence[int]
    ) -> list[Answer]:
        """Answer conversations one by one, each after seeding torch with its own seed.

        The call tells neither how many tokens it read nor how many it wrote. They are counted where it calls the
        library's ``generate``; where it doesn't, they are those of the words of question and answer.

        Raises:
            UserError: a setting that the call doesn't take, or a conversation of another form than one image and one
                question.
        """
        words = self._settings(settings)
        return [self._own_answer(c, settings, words, seed) for c, seed in zip(conversations, seeds, strict=True)]

    @torch.inference_mode()
    def _own_answer(self, conversation: Conversation, spec: GenerationSpec, words: dict[str, Any], seed: int) -> Answer:
        if len(conversation.images) != 1 or conversation.shots:
            raise UserError(
                f"model {self.spec.name}: answer_question takes one image and one question, not "
                f"{len(conversation.all_images)} images in {len(conversation.shots) + 1} turns"
            )
        question = f"{conversation.system}\n{conversation.prompt}" if conversation.system else conversation.prompt
        torch.manual_seed(seed)
        with _counted(self.model) as counts:
            answer = self.model.answer_question(conversation.images[0], question, self.tokenizer, **words)
        text = answer if isinstance(answer, str) else self.decode(torch.as_tensor(answer).flatten().tolist())
        read, written = counts[0] if counts else (self._length(question), self._length(text))
        return Answer(text.strip(), read, written, "length" if written >= spec.new_tokens else "stop")

    def _length(self, text: str) -> int:
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _settings(self, spec: GenerationSpec) -> dict[str, Any]:
        """The call's keyword arguments: those that say something, so that a plain class need not take the others."""
        sampled = spec.temperature > 0
        arguments: dict[str, Any] = {"max_new_tokens": spec.new_tokens, "do_sample": sampled}
        if sampled:
            arguments["temperature"] = spec.temperature
        if spec.top_p < 1:
            arguments["top_p"] = spec.top_p
        if spec.beams > 1:
            arguments["num_beams"] = spec.beams
        if spec.min_new_tokens:
            arguments["min_new_tokens"] = spec.min_new_tokens
        if spec.repetition_penalty != 1:
            arguments["repetition_penalty"] = spec.repetition_penalty
        accepted = inspect.signature(self.model.answer_question).parameters
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values()):
            for name in [n for n in arguments if n not in accepted]:
                if name == "do_sample" and not sampled:
                    del arguments[name]  # a call without this argument does the same
                    continue
                raise UserError(
                    f"model {self.spec.name}: its answer_question takes no {name} (only {', '.join(accepted)}); leave "
                    "that setting of generation at its default"
                )
        return arguments


@contextlib.contextmanager
def _counted(model: torch.nn.Module) -> Iterator[list[tuple[int, int]]]:
    """Tokens read and written by each call of ``generate`` inside a model, the innermost first."""
    counts: list[tuple[int, int]] = []

    def watch(generate: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            output = generate(*args, **kwargs)
            ids = next((i for i in (*args[:1], kwargs.get("inputs"), kwargs.get("input_ids")) if i is not None), None)
            embedded = kwargs.get("inputs_embeds")
            rows = getattr(output, "sequences", output)
            if isinstance(rows, torch.Tensor) and rows.ndim == 2 and (ids is not None or embedded is not None):
                # What was read as vectors has no ids to be given back.
                before = ids.shape[1] if ids is not None else 0
                counts.append((embedded.shape[1] if embedded is not None else before, rows.shape[1] - before))
            return output

        return watched

    parts: list[Any] = [m for m in model.modules() if callable(getattr(m, "generate", None))]
    for part in parts:
        part.generate = watch(part.generate)
    try:
        yield counts
    finally:
        for part in parts:
            del part.generate


FAMILY = Remote
