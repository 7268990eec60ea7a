"""What the families have in common: loading, batches for generation, batches for training, saving.

Written against the two conventions that most families of Transformers share: ``AutoProcessor`` turns text
with image placeholders and the images into tensors, and ``AutoModelForImageTextToText`` answers. A family
says what differs.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import logging
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

import paceline.models.torchvision  # noqa: F401
from paceline.config.checks import locate_weights
from paceline.config.joined_parts import is_twin, not_joined, source_name
from paceline.config.schema import GenerationSpec, ModelSpec, Quantise
from paceline.errors import UserError
from paceline.models.answerer import Answer, How, Reads
from paceline.models.conversation import Conversation
from paceline.models.generate import generate
from paceline.models.landed import (
    Unread,
    blame_files,
    compute_plainly,
    in_order,
    require_adapter,
    require_vocabulary,
    require_whole,
)
from paceline.models.likelihood import choose
from paceline.models.processor_settings import require_taken
from paceline.models.registry import other_architecture
from paceline.models.tensors import Tensors

# isort: split
# After the operators are defined: some versions import torchvision on the way.
import transformers
from transformers import BitsAndBytesConfig, GenerationConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

# A bar that redraws itself is noise in a log file.
transformers.utils.logging.disable_progress_bar()


# The PIL and torchvision processors resize a little differently, and "auto" takes what is installed: the same
# cell would then answer differently on two machines. torchvision's is the default of the families' own
# authors today.
BACKEND = "torchvision"

# LLM.int8() computes columns whose inputs reach this size in the model's number format (Dettmers et al. 2022,
# arXiv:2208.07339); the value is the authors' and bitsandbytes' own.
INT8_THRESHOLD = 6.0


def _require_format(spec: ModelSpec, device: str) -> None:
    """Refuse bfloat16 on a card that has it only in slow emulation.

    Raises:
        UserError: with the format that the card has.
    """
    if spec.dtype == "bfloat16" and device.startswith("cuda") and torch.cuda.get_device_capability(device) < (8, 0):
        raise UserError(
            f"{torch.cuda.get_device_name(device)} does not compute in bfloat16, the number format of model "
            f"{spec.name}; give method.dtype=float16, or another card"
        )


@contextlib.contextmanager
def whole_weights() -> Iterator[None]:
    """Make models whole for a moment, where a ZeRO-3 run would partition the parts that a model class makes.

    Partitioned parts can't be drawn from one seed nor saved: a twin is made whole, and partitioned when it is read.
    """
    from transformers.integrations import deepspeed

    active = deepspeed._hf_deepspeed_config_weak_ref
    deepspeed.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        deepspeed._hf_deepspeed_config_weak_ref = active


class Family(Tensors):
    """A loaded model with its processor, an :class:`~paceline.models.answerer.Answerer`. Made by :meth:`load`.

    What a family promises, and what it may say otherwise:

    - answers: :meth:`answer`, together for a batch of conversations; a family whose models answer by a call of their
      own says so (``own_call``) and has no batches.
    - text: :meth:`render` and :meth:`message` make one text of a conversation; without a chat template it is completed
      as plain text, in which ``turn_end`` parts the turns and stops an answer (:attr:`stops`).
    - tensors: :meth:`pixel_batch` for ``generate``, padded on the left; :meth:`training_batch` with labels, padded on
      the right (rotary positions are relative, so the side changes no loss, and the right one is what fused losses
      expect). ``token_tensors`` names those with a column per token.
    - images: :meth:`features` takes the vision tower and the connector out of the way, :meth:`feature_batch` makes the
      batch of what they saw. A conversation holds either pictures or features. :meth:`layout` tells where on its
      image each state lies, in the families whose states have places: what `paceline explain` draws.
    - weights: ``components`` for adapters and counts, ``end_tokens``, :attr:`longest`.

    Attributes:
        spec: what was loaded.
        model: the network, or a ``PeftModel`` around it; on the device that was asked for, in evaluation mode
            unless it was loaded for training.
        processor: text and images to tensors.
        end_tokens: ids that end an answer; the first is the one trained on.
        quantised: in what form the linear layers were read; ``none`` where in the model's number format.
    """

    auto_class: ClassVar[str] = "AutoModelForImageTextToText"
    # The network, where it is a class of the family's own and no Auto class makes it.
    network_class: ClassVar[Any] = None
    # What `model_type` of the weights' config.json may be; read by the login side too, so a plain tuple of strings.
    # Empty takes any: another architecture's weights would be read as far as their names agree.
    model_types: ClassVar[tuple[str, ...]] = ()
    # Likewise `architectures`, and `model_type` of `text_config` and `vision_config`, where one class of network holds
    # parts of several kinds.
    architectures: ClassVar[tuple[str, ...]] = ()
    text_types: ClassVar[tuple[str, ...]] = ()
    vision_types: ClassVar[tuple[str, ...]] = ()
    # What its image processor takes (:mod:`paceline.config.processor_arguments`), and the keys of its `size`; read by
    # the login side too. A family that says nothing has its file checked when the processor is loaded.
    image_arguments: ClassVar[Mapping[str, str] | None] = None
    image_sizes: ClassVar[tuple[tuple[str, ...], ...] | None] = None
    # Settings of `generation` that the model's own call has no argument for; read by the login side too.
    refuses: ClassVar[tuple[str, ...]] = ()
    # Component -> prefixes of module names, as `model.named_modules()` of the bare model spells them.
    components: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    # Prefixes of modules that are registered before or among a component's layers and are no part of the way through
    # them (:mod:`paceline.models.layers`).
    beside_layers: ClassVar[tuple[str, ...]] = ()
    # The network's vision encoder, where it may be a ViT, which masked pictures can pre-train; read by the login side.
    masked_encoder: ClassVar[str] = ""
    # Attention implementations that the network has.
    attentions: ClassVar[tuple[str, ...]] = ("sdpa", "eager", "flash_attention_2")
    # Modules that 8- and 4-bit loading leaves in the model's number format (`llm_int8_skip_modules`), by their full
    # names: the library matches from the beginning, and a `vision_model` alone would leave out nothing.
    unquantised: ClassVar[tuple[str, ...]] = ("lm_head",)
    # Last names of linear layers that the library keeps in float32 where others are float16 or quantised.
    kept_in_float32: ClassVar[tuple[str, ...]] = ()
    # A batch without an image passes over some weights. ZeRO-3 gathers weights on all ranks together: there, either
    # every rank's micro-batch has an image or none has, or the ranks wait for one another for ever.
    skips_without_images: ClassVar[bool] = True
    # Whether its network can't read a prompt without an image.
    needs_image: ClassVar[bool] = False
    # Whether its network can be put together of two models (`parts:` of the file); read by the login side too.
    joins_parts: ClassVar[bool] = False
    # Whether answers come of a call of the model's own, which makes its tensors by itself.
    own_call: ClassVar[bool] = False
    # Whether the network takes what it saw of an image in place of its pixels (:meth:`features`).
    takes_features: ClassVar[bool] = True
    # Whether a decoder with a sequence of its own writes the answer (:class:`~paceline.models.own_decoder.OwnDecoder`).
    decoder_apart: ClassVar[bool] = False
    # How it answers; read by the login side too, which drops tasks that ask for another kind of answer.
    how: How = "generates"
    # Whether it reads or writes text, and thus has a tokenizer; read by the login side too.
    tokenized: ClassVar[bool] = True
    # Whether a tuning gives it an output layer of its own, over the distinct answers of the train split.
    learns_labels: ClassVar[bool] = False
    # Modules that are learned whole beside an adapter, such as a new output layer.
    saved_whole: ClassVar[tuple[str, ...]] = ()
    # Why the planner can't compute its memory, as the rest of a sentence about the family; read by the login side too.
    unplanned: ClassVar[str] = ""
    # How `paceline explain` draws what an answer hangs on: a name of `inference.explain.METHODS`.
    explained_by: ClassVar[str] = "integrated_gradients"
    # Modules by which a decoder looks at an image, as a pattern of their names; where it looks at a text that looks at
    # the image, theirs too. Empty where it does so in another way.
    cross_attention: ClassVar[tuple[str, ...]] = ()
    # Which weights begin random, for the log of a run; empty where all were read.
    new_weights: str = ""
    quantised: Quantise = "none"

    def __init__(self, spec: ModelSpec, model: Any, processor: Any) -> None:
        self.spec = spec
        self.model = model
        self.processor = processor
        stored = getattr(model, "generation_config", None)
        ends = getattr(stored, "eos_token_id", None)
        ends = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
        ends = [token for token in (self.tokenizer.eos_token_id, *ends) if isinstance(token, int)]
        self.end_tokens: list[int] = list(dict.fromkeys(ends))

    # -- answering

    @property
    def reads(self) -> Reads:
        """What the model can be shown."""
        return Reads.of(self.spec.inputs)

    def answer(
        self, conversations: Sequence[Conversation], settings: GenerationSpec, seeds: Sequence[int]
    ) -> list[Answer]:
        """Answer conversations together, in their order, each sampled from its own seed, or the likeliest choice.

        Raises:
            UserError: settings that exclude each other, or more tokens than the model has positions for.
        """
        if settings.answer == "likelihood":
            return choose(self, conversations, settings)
        return generate(self, conversations, settings, seeds)

    # -- loading

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
        """Load a model as its spec says, twins included.

        Every model is made by ``from_pretrained``, twins from a folder written a moment before: that is the
        one way in which ZeRO-3 partitions weights while they are read (after its ``TrainingArguments``
        exist).

        Args:
            spec: the model. Empty ``weights`` build the family's twin from ``config``.
            tuned: weights that were tuned: a folder of a whole model, or of a PEFT adapter, which is loaded
                on top.
            training: leave the model in training mode, an adapter's weights trainable.
            device: where the weights go.
            quantise: form of the linear layers outside of ``unquantised``; an adapter wants the form it was tuned on.

        Raises:
            UserError: no such folder, a hub id without a revision, weights that can't be reached, that are of another
                architecture or lack a tensor, an attention that the family does not have, or a number format that the
                device does not have.
        """
        _require_format(spec, device)
        if spec.attention not in cls.attentions:
            raise UserError(
                f"conf/model/{spec.name}.yaml: attention: {spec.attention} is not among those of family "
                f"'{spec.family}': {', '.join(cls.attentions)}"
            )
        adapter = tuned is not None and (tuned / "adapter_config.json").exists()
        if tuned is not None and not adapter and not (tuned / "config.json").exists():
            raise UserError(f"{tuned} holds neither a model (config.json) nor an adapter (adapter_config.json)")
        # Processor classes write into the dictionaries that they are given, and a spec is shared.
        lent = dataclasses.replace(spec, processor=copy.deepcopy(spec.processor))
        with tempfile.TemporaryDirectory(prefix="twin-") as scratch:
            if not is_twin(spec):
                if why := not_joined(spec):
                    raise UserError(why)
                source, revision = locate_weights(spec)
                if source:  # what joined parts may be, their Auto classes say
                    cls.require_architecture(spec, source, revision)
                processor = cls._read(spec, lambda: cls.make_processor(lent, source, revision))
            else:
                source, revision = scratch, None
                processor = cls.make_twin(lent, Path(scratch))
            require_taken(spec, processor)
            if tuned is not None and not adapter:
                source, revision = str(tuned), None
                cls.require_architecture(spec, source, revision)
            options = cls.reading(spec, device, quantise)
            model = cls._read(spec, lambda: cls.make_model(spec, source, revision, options))
        compute_plainly(model)
        # PEFT copies this name into the adapter; a temporary folder's would be noise that differs from run to
        # run.
        model.name_or_path = model.config._name_or_path = source_name(spec) or spec.name
        family = cls(spec, model, processor)
        family.quantised = quantise
        require_whole(model, f"model {spec.name}: {tuned or source_name(spec)}", family.is_idle)
        family.settle()
        if tuned is not None and adapter:
            family.model = family._with_adapter(tuned, training)
        family.model.train(training)
        return family

    def settle(self) -> None:
        """Check a model that was just read, and state what its weights' files must not decide.

        Raises:
            UserError: its tokenizer is of another model.
        """
        require_vocabulary(self.model, self.tokenizer, f"model {self.spec.name}: {source_name(self.spec)}")
        # Sampling settings shipped with the weights (Qwen2-VL: top_k 1) would silently override the sweep's.
        self.model.generation_config = GenerationConfig(
            eos_token_id=self.end_tokens,
            pad_token_id=self.tokenizer.pad_token_id,
            bos_token_id=self.tokenizer.bos_token_id,
        )

    @classmethod
    def require_architecture(cls, spec: ModelSpec, source: str, revision: str | None) -> None:
        """Refuse weights of an architecture that is not among ``model_types``, ``architectures`` or ``text_types``.

        Raises:
            UserError: with what they are.
        """

        def read() -> Any:
            return transformers.PretrainedConfig.get_config_dict(source, revision=revision)

        config, _ = cls._read(spec, read)
        if why := other_architecture(spec.family, config):
            raise UserError(f"model {spec.name}: {source}: {why}")

    @classmethod
    def reading(cls, spec: ModelSpec, device: str, quantise: Quantise = "none") -> dict[str, Any]:
        """Options of ``from_pretrained`` that say in what form the weights are read, and to where."""
        # Without a map the weights stay where they are read, as DeepSpeed needs; with one they skip host memory.
        placed: dict[str, Any] = {} if device == "cpu" else {"device_map": {"": device}}
        dtype = getattr(torch, spec.dtype)
        if quantise != "none":
            # At every layer of every step it tells that LLM.int8() computes in float16.
            logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
            placed["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=quantise == "nf4",
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=dtype,
                load_in_8bit=quantise == "int8",
                llm_int8_threshold=INT8_THRESHOLD,
                llm_int8_skip_modules=list(cls.unquantised),
            )
        return {"dtype": dtype, "attn_implementation": spec.attention, **placed}

    @classmethod
    def make_model(cls, spec: ModelSpec, source: str, revision: str | None, options: dict[str, Any]) -> PreTrainedModel:
        """The network, from a folder or a hub id; ``options`` are those of :meth:`reading`."""
        if cls.network_class is not None:
            return cls.read_weights(cls.network_class, source, revision, **options)
        auto_class = getattr(transformers, cls.auto_class)
        values, _ = transformers.PretrainedConfig.get_config_dict(source, revision=revision)
        if (config := cls.config_of(values)) != values:
            options = {**options, "config": transformers.AutoConfig.for_model(**config)}
        return cls.read_weights(auto_class, source, revision, trust_remote_code=spec.remote_code, **options)

    @classmethod
    def config_of(cls, values: dict[str, Any]) -> dict[str, Any]:
        """``config.json``, with what its files leave to a default that has changed since they were written."""
        return values

    @staticmethod
    def read_weights(network: Any, source: str, revision: str | None, **options: Any) -> Any:
        """``network.from_pretrained``, and on the model a record of what was not read: :meth:`load` refuses it.

        The library draws a tensor that is not there at random, and only logs it. So a family that makes its network in
        a way of its own reads it by this method.
        """
        model, report = network.from_pretrained(
            source, revision=revision or "main", output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
        model.unread = Unread.of(report)
        return model

    @classmethod
    def make_processor(cls, spec: ModelSpec, source: str, revision: str | None) -> Any:
        """The processor, from a folder or a hub id, with the spec's settings of the image processor."""
        options = {"revision": revision, "trust_remote_code": spec.remote_code}
        processor = transformers.AutoProcessor.from_pretrained(source, **options)
        processor.image_processor = transformers.AutoImageProcessor.from_pretrained(
            source, backend=BACKEND, **options, **spec.processor
        )
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token
        return processor

    @classmethod
    def make_twin(cls, spec: ModelSpec, folder: Path) -> Any:
        """Write the twin's weights to ``folder`` and return its processor; the same bytes for the same spec.

        ``spec.config`` holds ``seed`` and the arguments of the family's config class.
        """
        # Config classes write into the dictionaries that they are given, and a spec is shared.
        config = copy.deepcopy(spec.config)
        seed = int(config.pop("seed", 0))
        processor = cls.twin_processor(spec)
        with torch.random.fork_rng(devices=[]), whole_weights():
            torch.manual_seed(seed)
            model = cls.twin_model(config, processor)
            # Each rank writes a folder of its own; once ranks are joined, the library would let rank 0 alone write.
            model.should_save_on_this_rank = lambda is_main_process: is_main_process  # type: ignore[method-assign]
            model.save_pretrained(folder)
        return processor

    @classmethod
    def twin_processor(cls, spec: ModelSpec) -> Any:
        """The family's real processor class around a small tokenizer."""
        raise UserError(f"model.weights: {cls.__module__} has no twin; give weights")

    @classmethod
    def twin_model(cls, config: dict[str, Any], processor: Any) -> PreTrainedModel:
        """The family's real model class, with random weights from torch's global generator."""
        raise UserError(f"model.weights: {cls.__module__} has no twin; give weights")

    @staticmethod
    def _read(spec: ModelSpec, make: Callable[[], Any]) -> Any:
        """Call ``make``, with the library's many ways to say "not there", or "not to be read", turned into one."""
        try:
            return make()
        except OSError as error:
            what = f"{spec.weights}@{spec.revision}" if spec.revision else source_name(spec)
            reason = str(error).splitlines()[0]
            raise UserError(
                f"model {spec.name}: can't read {what}: {reason}; fetch it where there is a network (paceline "
                f"prepare model={spec.name}) or set weights: to a folder that holds it"
            ) from error
        except (RuntimeError, MemoryError):  # a device's, of which the cause of an attempt's end is told
            raise
        except Exception as error:
            if spec.attention == "flash_attention_2" and re.search(r"flash.?attention", str(error), re.IGNORECASE):
                raise UserError(
                    f"model {spec.name}: {str(error).splitlines()[0]} Give model.attention=sdpa, or install what it "
                    "misses"
                ) from error
            blame_files(spec, error)
            raise

    def _with_adapter(self, folder: Path, training: bool) -> Any:
        from peft import PeftModel

        try:
            model = PeftModel.from_pretrained(self.model, str(folder), is_trainable=training)
        except RuntimeError as error:  # tensors of other sizes, each on a line
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise UserError(f"model {self.spec.name}: adapter {folder} is of another model: {lines[-1]}") from error
        require_adapter(model, folder, self.spec.name)
        return model

    @classmethod
    def component_of(cls, name: str) -> str | None:
        """The component that a module or parameter of the bare model belongs to; None outside of all."""
        for component, prefixes in cls.components.items():
            if any(name == p or name.startswith(f"{p}.") for p in prefixes):
                return component
        return None

    def is_idle(self, name: str) -> bool:
        """Whether no answer depends on a parameter of the bare model.

        Such weights come with the published files and are kept and saved with the others; no gradient reaches them.
        """
        return False

    def linear_layers(self, components: Sequence[str]) -> list[str]:
        """Full module names of the linear layers in some components: what an adapter may be put on.

        The output layer is left out: it is as large as the vocabulary, and often shares its weights with the
        input embeddings.
        """
        head = set(self.bare_model().get_output_embeddings().modules())  # some are made of several
        return [
            name
            for name, module in self.bare_model().named_modules()
            if isinstance(module, torch.nn.Linear | Conv1D)  # GPT-2 has its weights turned
            and module not in head
            and self.component_of(name) in components
        ]

    @classmethod
    def image_shape(cls, config: Any) -> dict[str, Any]:
        """What the planner knows of an image: ``kind``, a module of :mod:`paceline.gpu_memory.cuts`, and its numbers.

        Args:
            config: of the network, as the library reads it.
        """
        tower = config.vision_config
        return {"kind": "whole", "size": tower.image_size, "patch": tower.patch_size, "states": 0, "tokens": 0}

    # -- saving

    def save(self, model: Any, folder: Path, state_dict: Mapping[str, torch.Tensor] | None = None) -> None:
        """Write weights (or an adapter) and the processor in the layout that Transformers and PEFT read.

        Args:
            model: the network or ``PeftModel``, unwrapped from DeepSpeed or DDP.
            folder: made where it is missing.
            state_dict: gathered weights, where the model's own are partitioned.
        """
        options: dict[str, Any] = {} if state_dict is None else {"state_dict": state_dict}
        if hasattr(model, "peft_config"):
            # "auto" asks the hub whether the vocabulary grew, from a compute node that may not reach it. It
            # never grows here.
            options["save_embedding_layers"] = False
        model.save_pretrained(folder, **options)
        if hasattr(model, "peft_config"):
            (folder / "README.md").unlink(missing_ok=True)  # PEFT's template of a model card, with nothing filled in
            in_order(folder / "adapter_config.json")
        self.processor.save_pretrained(folder)
