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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from paceline.config.checks import locate_weights
from paceline.config.schema import ModelSpec, Quantise
from paceline.errors import UserError


def _define_missing_operators() -> None:
    """Let the image processors import where torchvision's C library can't be loaded beside a CPU build of
    torch.

    There is no CPU build of torchvision. Its Python side, which resizes and crops, works without the library
    but for one thing: on import it registers shapes for two detection operators, which must exist. Nothing
    here calls them.
    """
    with contextlib.suppress(ImportError):  # loading the library, where it can be, defines the operators
        import importlib.util

        spec = importlib.util.find_spec("torchvision")
        for library in Path(spec.origin).parent.glob("_C*.so") if spec and spec.origin else ():
            with contextlib.suppress(OSError):
                torch.ops.load_library(str(library))
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


_define_missing_operators()

import transformers  # noqa: E402  (after the operators: some versions import torchvision on the way)
from transformers import BitsAndBytesConfig, GenerationConfig, PreTrainedModel  # noqa: E402
from transformers.modeling_outputs import BaseModelOutputWithPooling  # noqa: E402

# A bar that redraws itself is noise in a log file.
transformers.utils.logging.disable_progress_bar()

IGNORED = -100
"""Label of a token that the loss passes over."""

# The PIL and torchvision processors resize a little differently, and "auto" takes what is installed: the same
# cell would then answer differently on two machines. torchvision's is the default of the families' own
# authors today.
BACKEND = "torchvision"

# LLM.int8() computes columns whose inputs reach this size in the model's number format (Dettmers et al. 2022,
# arXiv:2208.07339); the value is the authors' and bitsandbytes' own.
INT8_THRESHOLD = 6.0

# Some chat templates (Llama 3) write today's date into a prompt that has no image, unless they are given one: this is
# what they say where there is no clock. A cell must ask the same tomorrow.
DATE = "26 Jul 2024"


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
def _whole_weights() -> Iterator[None]:
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


@dataclass(frozen=True)
class Conversation:
    """What a model is asked once, and, to train on it, what it should answer.

    Attributes:
        prompt: the user's turn, without image placeholders.
        images: the images of the turn, or their :class:`Features`; they stand before the text.
        system: the system's turn; left out where empty.
        answer: the target; None where the model is to answer.
        shots: earlier turns, each with its answer, shown before the question.
    """

    prompt: str
    images: list[Any] = dataclasses.field(default_factory=list)
    system: str = ""
    answer: str | None = None
    shots: list[Conversation] = dataclasses.field(default_factory=list)

    @property
    def all_images(self) -> list[Any]:
        """Images in the order in which their placeholders stand."""
        return [image for turn in (*self.shots, self) for image in turn.images]


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
    following = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED)
    most = int(following.ne(IGNORED).sum(1).max())
    places = following.eq(IGNORED).int().argsort(dim=1, stable=True)[:, :most]
    return {"logits_to_keep": places, "shift_labels": following.gather(1, places)}


class Family:
    """A loaded model with its processor. Made by :meth:`load`.

    What a family promises, and what it may say otherwise:

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
    # Component -> prefixes of module names, as `model.named_modules()` of the bare model spells them.
    components: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    # Attention implementations that the network has.
    attentions: ClassVar[tuple[str, ...]] = ("sdpa", "eager", "flash_attention_2")
    # Modules that 8- and 4-bit loading leaves in the model's number format (`llm_int8_skip_modules`), by their full
    # names: the library matches from the beginning, and a `vision_model` alone would leave out nothing.
    unquantised: ClassVar[tuple[str, ...]] = ("lm_head",)
    # A batch without an image passes over some weights. ZeRO-3 gathers weights on all ranks together: there, either
    # every rank's micro-batch has an image or none has, or the ranks wait for one another for ever.
    skips_without_images: ClassVar[bool] = True
    # Without a chat template: what parts the turns of a prompt, and thus ends the answer that imitates them.
    turn_end: ClassVar[str] = "\n\n"
    # Tensors with a column per token, and what stands there for the tokens of an answer: their own value, zero, or
    # what stood at the prompt's last token.
    token_tensors: ClassVar[Mapping[str, Literal["own", "zero", "last"]]] = {
        "input_ids": "own",
        "attention_mask": "own",
        "mm_token_type_ids": "zero",  # type 0 is text in every family that marks types
        "token_type_ids": "zero",
    }

    quantised: Quantise = "none"

    def __init__(self, spec: ModelSpec, model: Any, processor: Any) -> None:
        self.spec = spec
        self.model = model
        self.processor = processor
        stored = getattr(model, "generation_config", None)
        ends = getattr(stored, "eos_token_id", None)
        ends = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
        self.end_tokens: list[int] = list(dict.fromkeys([self.tokenizer.eos_token_id, *ends]))

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
            UserError: no such folder, a hub id without a revision, weights that can't be reached, an attention that
                the family does not have, or a number format that the device does not have.
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
        with tempfile.TemporaryDirectory(prefix="twin-") as scratch:
            if spec.weights:
                source, revision = locate_weights(spec)
                processor = cls._read(spec, lambda: cls.make_processor(spec, source, revision))
            else:
                source, revision = scratch, None
                processor = cls.make_twin(spec, Path(scratch))
            if tuned is not None and not adapter:
                source, revision = str(tuned), None
            options = cls.reading(spec, device, quantise)
            model = cls._read(spec, lambda: cls.make_model(spec, source, revision, options))
        _compute_plainly(model)
        # PEFT copies this name into the adapter; a temporary folder's would be noise that differs from run to
        # run.
        model.name_or_path = model.config._name_or_path = spec.weights or spec.name
        family = cls(spec, model, processor)
        family.quantised = quantise
        # Sampling settings shipped with the weights (Qwen2-VL: top_k 1) would silently override the sweep's.
        model.generation_config = GenerationConfig(
            eos_token_id=family.end_tokens,
            pad_token_id=family.tokenizer.pad_token_id,
            bos_token_id=family.tokenizer.bos_token_id,
        )
        if tuned is not None and adapter:
            family.model = family._with_adapter(tuned, training)
        family.model.train(training)
        return family

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
        return getattr(transformers, cls.auto_class).from_pretrained(
            source, revision=revision, trust_remote_code=spec.remote_code, **options
        )

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
        with torch.random.fork_rng(devices=[]), _whole_weights():
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
        """Call ``make``, with the library's many ways to say "not there" turned into one."""
        try:
            return make()
        except (ImportError, ValueError) as error:
            if spec.attention != "flash_attention_2" or not re.search(r"flash.?attention", str(error), re.IGNORECASE):
                raise
            raise UserError(
                f"model {spec.name}: {str(error).splitlines()[0]} Give model.attention=sdpa, or install what it misses"
            ) from error
        except OSError as error:
            what = f"{spec.weights}@{spec.revision}" if spec.revision else spec.weights
            reason = str(error).splitlines()[0]
            raise UserError(
                f"model {spec.name}: can't read {what}: {reason}; fetch it where there is a network (paceline "
                f"prepare model={spec.name}) or set weights: to a folder that holds it"
            ) from error

    def _with_adapter(self, folder: Path, training: bool) -> Any:
        from peft import PeftModel

        return PeftModel.from_pretrained(self.model, str(folder), is_trainable=training)

    # -- text

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end an answer, beside the end tokens, once something other than white space was said.

        A chat model ends its turn by a token. A base model goes on and invents the next question: what parts the turns
        of its prompt ends its answer.
        """
        return () if getattr(self.processor, "chat_template", None) else (self.turn_end,)

    @property
    def longest(self) -> int:
        """Most tokens, prompt and answer together, that the network has positions for."""
        return int(self.bare_model().config.get_text_config().max_position_embeddings)

    def render(self, conversation: Conversation) -> str:
        """The text up to where the answer begins, with one placeholder per image.

        Uses the processor's chat template; a base model without one gets plain text to complete: images, prompt, a
        line break; shots likewise, each with its answer and ``turn_end`` behind.

        Raises:
            UserError: the template leaves the prompt out, as some do without a word where they expect another layout.
        """
        if getattr(self.processor, "chat_template", None):
            messages = self._messages(conversation)
            dated = {"date_string": DATE} if "date_string" in str(self.processor.chat_template) else {}
            text = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **dated)
            for part in (conversation.system, conversation.prompt):
                if self._defused(part).strip() not in text:
                    raise UserError(f"the chat template of model {self.spec.name} leaves out {part[:60]!r}")
            return text
        turns = [f"{self._plain(shot)}{self._defused(shot.answer or '')}{self.turn_end}" for shot in conversation.shots]
        system = f"{self._defused(conversation.system)}\n" if conversation.system else ""
        return system + "".join(turns) + self._plain(conversation)

    def _plain(self, turn: Conversation) -> str:
        return f"{self.placeholders(len(turn.images))}{self._defused(turn.prompt)}\n"

    def placeholders(self, images: int) -> str:
        """What stands for so many images, side by side, in a text without a chat template."""
        return str(self.processor.image_token) * images

    def _messages(self, conversation: Conversation) -> list[dict[str, Any]]:
        messages = []
        if conversation.system:
            messages.append(self.message("system", self._defused(conversation.system)))
        for shot in conversation.shots:
            messages.append(self.message("user", self._defused(shot.prompt), len(shot.images)))
            messages.append(self.message("assistant", self._defused(shot.answer or "")))
        messages.append(self.message("user", self._defused(conversation.prompt), len(conversation.images)))
        return messages

    def message(self, role: str, text: str, images: int = 0) -> dict[str, Any]:
        """One turn in the layout that the chat template reads; ``images`` stand before the text."""
        return {"role": role, "content": [*[{"type": "image"}] * images, {"type": "text", "text": text}]}

    def _defused(self, text: str) -> str:
        """Text in which no special token can be read: data that holds ``<s>`` or ``[IMG]`` is text, not
        structure."""
        for token in self.tokenizer.added_tokens_encoder:
            if len(token) > 1 and token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def decode(self, ids: Any) -> str:
        """Text of the ids of one answer, without special tokens."""
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    # -- tensors

    def batch(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """Tensors for ``generate``, padded on the left so that every answer begins in the same column.

        ``input_ids`` and ``attention_mask`` are (samples, tokens); the image tensors are the family's own.
        """
        texts = [self.render(c) for c in conversations]
        images = [c.all_images for c in conversations]
        if not any(isinstance(image, Features) for row in images for image in row):
            return self.pixel_batch(texts, images)
        seen = iter(self.features([image for row in images for image in row if not isinstance(image, Features)]))
        return self.feature_batch(
            texts, [[image if isinstance(image, Features) else next(seen) for image in row] for row in images]
        )

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
        written = [self.processor.replace_image_token(shape, i) for i in range(len(flat))]
        texts, _ = self.processor.get_text_with_replacements(list(texts), written)
        inputs = dict(self.tokenizer(texts, **self._text_options(texts)))
        if "mm_token_type_ids" in self.processor.model_input_names:
            types = self.processor.create_mm_token_type_ids(inputs["input_ids"].tolist())
            inputs["mm_token_type_ids"] = torch.tensor(types)
        seen = BaseModelOutputWithPooling(pooler_output=tuple(f.states for f in flat))  # type: ignore[arg-type]
        return {**inputs, **shape, "mm_encoder_outputs": {"image": seen}}

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
        labels = torch.full_like(batch["input_ids"], IGNORED)
        batch = self.append_answers(batch, ids, mask)
        batch["labels"] = torch.cat([labels, ids.masked_fill(mask == 0, IGNORED)], dim=1)
        batch = self._right_padded(batch)
        batch |= answers_alone(batch["labels"])
        if (width := batch["input_ids"].shape[1]) > self.longest:
            raise UserError(
                f"model {self.spec.name} has {self.longest} positions, and a prompt with its answer takes {width} "
                "(images counted); show fewer or smaller images, or shorten task.target"
            )
        return batch

    def _answer_ids(self, conversation: Conversation) -> list[int]:
        if conversation.answer is None:
            raise UserError("a conversation to train on has no answer; set task.target")
        text = self._defused(conversation.answer)
        return [*self.tokenizer(text, add_special_tokens=False)["input_ids"], self.end_tokens[0]]

    def append_answers(self, batch: dict[str, Any], ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
        """The batch with ``ids`` after the prompts, in every tensor that has a column per token."""
        own = {"input_ids": ids, "attention_mask": mask}
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
        mask = batch["attention_mask"]
        order = torch.argsort(mask, dim=1, descending=True, stable=True)[:, : int(mask.sum(1).max())]
        rows = torch.arange(len(mask)).unsqueeze(1)
        moved = {*self.token_tensors, "labels"}
        return {name: value[rows, order] if name in moved else value for name, value in batch.items()}

    def to_model(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch on the model's device, its images in the model's number format."""
        return {name: self._placed(value) for name, value in batch.items()}

    def _placed(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)
        if isinstance(value, Mapping):
            return type(value)(**{name: self._placed(part) for name, part in value.items()})
        return tuple(self._placed(part) for part in value)

    # -- parts

    def bare_model(self) -> PreTrainedModel:
        """The network without an adapter around it."""
        model = self.model
        return model.get_base_model() if hasattr(model, "peft_config") else model

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
            if isinstance(module, torch.nn.Linear) and module not in head and self.component_of(name) in components
        ]

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
        self.processor.save_pretrained(folder)


def _compute_plainly(model: torch.nn.Module) -> None:
    """Keep 4-bit layers on the CPU to the plain way of computing.

    On processors with AVX512-BF16 bitsandbytes 0.50.2 rewrites such a layer's weights at its first forward pass, which
    fails where the features are no multiple of a block (64) and gives other last bits than other processors do.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
