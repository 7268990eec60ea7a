"""Models that come with their own code and answer by a call of their own, one image and one question at a time.

The weights' repository holds the classes; they are run as they are, never mended here. They are usually written for the
versions of their day: ``transformers:`` in the model's YAML says which, and ``environment:`` where those are installed.

A model with another call is a family of its own that derives from :class:`Remote`: it names the call (``calls``), asks
by it (:meth:`Remote.ask`), and says what becomes of the settings of generation (:meth:`Remote.arguments`).
"""

from __future__ import annotations

import contextlib
import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
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
# Before it, from_pretrained passes this one on to the model's class.
_ATTENTION_SINCE = Version("4.36")

_SETTINGS = {
    "max_new_tokens": "new_tokens",
    "min_new_tokens": "min_new_tokens",
    "do_sample": "temperature",
    "temperature": "temperature",
    "top_p": "top_p",
    "num_beams": "beams",
    "repetition_penalty": "repetition_penalty",
}
"""A setting as the library's ``generate`` calls it -> its key under ``generation``."""

_PLAIN = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "typical_p": 1.0,
    "num_beams": 1,
    "length_penalty": 1.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": None,
}
"""Settings of ``generate`` that do nothing."""


class Remote(Family):
    """A model whose class has ``answer_question(image, question, tokenizer, **generation settings)``.

    It evaluates, and can't be tuned here: what its layers are called and how it labels is its own affair.

    Attributes:
        calls: names of the call, the first that the model's class has; later code may have another one.
        several_images: whether the call takes any number of images; otherwise it takes one, no fewer.
    """

    auto_class: ClassVar[str] = "AutoModelForCausalLM"
    image_arguments = {}
    own_call: ClassVar[bool] = True
    needs_image: ClassVar[bool] = True
    calls: ClassVar[tuple[str, ...]] = ("answer_question",)
    several_images: ClassVar[bool] = False

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
                range, or its class has no such call.
        """
        name = f"conf/model/{spec.name}.yaml"
        if training or tuned is not None:
            raise UserError(
                f"model {spec.name}: family {spec.family} answers by the model's own code and can't be tuned"
            )
        if quantise != "none":
            raise UserError(
                f"model {spec.name}: family {spec.family} is not quantised, which its own code need not survive; give "
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
            raise UserError(f"{name}: weights: family {spec.family} has no twin; give a folder or a hub id")
        cls.require_architecture(spec, source, revision)
        tokenizer = cls._read(spec, lambda: cls.make_processor(spec, source, revision))
        cls.require_images(spec, tokenizer)
        options = cls.reading(spec, device)
        if _quantised(source, revision):  # in the files: the library places such weights while it reads them
            options |= {"device_map": {"": device}, "low_cpu_mem_usage": True}
        model = cls._read(spec, lambda: cls.make_model(spec, source, revision, options))
        _plain(model)
        require_whole(model, f"model {spec.name}: {spec.weights}", lambda name: False)
        torch.nn.Module.to(model, device)
        if not any(hasattr(type(model), call) for call in cls.calls):
            raise UserError(
                f"model {spec.name}: {type(model).__name__} has no {' or '.join(cls.calls)}; these weights are another "
                "family's, or want one to be written"
            )
        return cls(spec, model.eval(), tokenizer)

    @classmethod
    def require_images(cls, spec: ModelSpec, tokenizer: Any) -> None:
        """Refuse ``processor:`` of the model's file where nothing reads it.

        Raises:
            UserError: with what is not read.
        """
        require_taken(spec, tokenizer)

    @classmethod
    def make_processor(cls, spec: ModelSpec, source: str, revision: str | None) -> Any:
        """The tokenizer; images are the model's own business."""
        return transformers.AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=spec.remote_code)

    @classmethod
    def reading(cls, spec: ModelSpec, device: str, quantise: Quantise = "none") -> dict[str, Any]:
        """In the words of the library's version that is here."""
        dtype = "dtype" if Version(transformers.__version__) >= _DTYPE_SINCE else "torch_dtype"
        # Without accelerate's hooks: old code makes parts that they can't place.
        options: dict[str, Any] = {"low_cpu_mem_usage": False, dtype: getattr(torch, spec.dtype)}
        if Version(transformers.__version__) >= _ATTENTION_SINCE:
            options["attn_implementation"] = spec.attention
        return options

    @property
    def tokenizer(self) -> Any:
        """The tokenizer."""
        return self.processor

    def batch(self, conversations: Sequence[Conversation]) -> dict[str, torch.Tensor]:
        """Not to be had: the model makes its own tensors.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"model {self.spec.name}: family {self.spec.family} has no batches; it answers one question at a time"
        )

    def answer(
        self, conversations: Sequence[Conversation], settings: GenerationSpec, seeds: Sequence[int]
    ) -> list[Answer]:
        """Answer conversations one by one, each after seeding torch with its own seed.

        The call tells neither how many tokens it read nor how many it wrote. They are counted where it calls the
        library's ``generate``; where it doesn't, they are those of the words of question and answer.

        Raises:
            UserError: a setting that the call doesn't take, or a conversation of another form than one question with
                the images that it takes.
        """
        arguments = self.arguments(settings)
        return [self._own_answer(c, settings, arguments, seed) for c, seed in zip(conversations, seeds, strict=True)]

    # -- what a family of another call overrides

    def ask(self, conversation: Conversation, arguments: dict[str, Any]) -> Any:
        """Ask the model by its call; its answer, as text or as the ids of it.

        Args:
            conversation: one turn, with the images that the call takes.
            arguments: those of :meth:`arguments`, for every question the same.
        """
        question = merged(conversation)
        return self.model.answer_question(conversation.images[0], question, self.tokenizer, **arguments)

    def arguments(self, spec: GenerationSpec) -> dict[str, Any]:
        """The call's keyword arguments: those that say something, so that a plain class need not take the others.

        Raises:
            UserError: a setting that the call doesn't take.
        """
        return self.taken(said(spec))

    # -- what is common to all of them

    @property
    def call(self) -> str:
        """The name of the call."""
        return next(name for name in self.calls if hasattr(type(self.model), name))

    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The parameters of the call."""
        return inspect.signature(getattr(self.model, self.call)).parameters

    def taken(self, settings: Mapping[str, Any], takes: Sequence[str] | None = None) -> dict[str, Any]:
        """Settings in the words of ``generate``, if the call takes them all.

        Args:
            settings: as :func:`said` or :func:`in_full` give them.
            takes: the names that the call does something with; None asks its signature, in which ``**kwargs`` takes
                any.

        Raises:
            UserError: one that it doesn't take.
        """
        if takes is None:
            parameters = self.parameters()
            if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
                return dict(settings)
            takes = list(parameters)
        kept = {name: value for name, value in settings.items() if name in takes}
        for name in settings:
            # A call without this argument takes the likeliest token too.
            if name not in takes and not (name == "do_sample" and not settings[name]):
                raise UserError(
                    f"model {self.spec.name}: its {self.call} takes no {name} (only {', '.join(takes)}); leave "
                    f"generation.{_SETTINGS.get(name, name)} at its default"
                )
        return kept

    @torch.inference_mode()
    def _own_answer(
        self, conversation: Conversation, spec: GenerationSpec, arguments: dict[str, Any], seed: int
    ) -> Answer:
        images = len(conversation.images)
        if conversation.shots or (images != 1 and not self.several_images):
            taken = "images" if self.several_images else "one image"
            raise UserError(
                f"model {self.spec.name}: {self.call} takes {taken} and one question, not "
                f"{len(conversation.all_images)} images in {len(conversation.shots) + 1} turns"
            )
        torch.manual_seed(seed)
        with _counted(self.model) as counts:
            answer = self.ask(conversation, arguments)
        text = answer if isinstance(answer, str) else self.decode(torch.as_tensor(answer).flatten().tolist())
        read, written = counts[0] if counts else (self._length(merged(conversation)), self._length(text))
        return Answer(text.strip(), read, written, "length" if written >= spec.new_tokens else "stop")

    def _length(self, text: str) -> int:
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def merged(conversation: Conversation) -> str:
    """The question, after the system's turn: for calls that have no place for one."""
    return f"{conversation.system}\n{conversation.prompt}" if conversation.system else conversation.prompt


def said(spec: GenerationSpec) -> dict[str, Any]:
    """What settings say beyond their defaults, in the words of ``generate``."""
    defaults: dict[str, Any] = {
        "top_p": 1.0,
        "num_beams": 1,
        "min_new_tokens": 0,
        "repetition_penalty": 1.0,
        "top_k": 0,
    }
    return {name: value for name, value in in_full(spec).items() if value != defaults.get(name)}


def in_full(spec: GenerationSpec) -> dict[str, Any]:
    """All settings, in the words of ``generate``: for a call whose own defaults would hold for what is left out."""
    sampled = spec.temperature > 0
    settings: dict[str, Any] = {"max_new_tokens": spec.new_tokens, "do_sample": sampled}
    if sampled:  # from all tokens (top_k), as everywhere here
        settings |= {"temperature": spec.temperature, "top_p": spec.top_p, "top_k": 0}
    settings |= {"num_beams": spec.beams, "repetition_penalty": spec.repetition_penalty}
    # None of the models has a default for it, and some of the library's versions refuse it as 0.
    return settings | ({"min_new_tokens": spec.min_new_tokens} if spec.min_new_tokens else {})


def _plain(model: torch.nn.Module) -> None:
    """Let what a call leaves out be nothing: no setting shipped with the weights, nor the library's (``top_k`` 50)."""
    for part in model.modules():
        settings = getattr(part, "generation_config", None)
        if isinstance(settings, transformers.GenerationConfig):
            for name, value in _PLAIN.items():
                setattr(settings, name, value)


@contextlib.contextmanager
def on_disk(images: Sequence[Any]) -> Iterator[list[str]]:
    """Paths of files with the same pixels, while the block runs: for calls that read files."""
    with tempfile.TemporaryDirectory(prefix="p") as folder:
        paths = []
        for n, image in enumerate(images):
            paths.append(f"{folder}/{n}.png")
            image.convert("RGB").save(paths[-1])
        yield paths


def _quantised(source: str, revision: str | None) -> bool:
    """Whether weights are quantised in their files."""
    config, _ = transformers.PretrainedConfig.get_config_dict(source, revision=revision)
    return "quantization_config" in config


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
