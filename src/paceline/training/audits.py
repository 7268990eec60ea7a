"""What is looked at while a run is young, so that a wrong one ends after seconds and not after a night.

Two things, and both have spoilt published results: a family that trains on more than the answers (the user's turn,
headers, padding), and weights that were to learn and do not (an adapter that no gradient reaches). Neither shows in a
loss curve, which falls all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from paceline.attempts import ranks
from paceline.errors import DataError, FailedAudit, NonFiniteLoss, UserError
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.tensors import IGNORED

# Of the first batch: enough for prompts of unequal length, and thus for padding.
SAMPLES = 8
SHOWN = 3
_TAIL, _ANSWER = 100, 120  # characters
# Optimiser steps that move weights, after which each trainable tensor must have had a gradient.
STEPS = 10
ZEROS = 3
# float16 begins with a scale of 2^16 and halves it with each step that it skips.
SKIPPED = 50
# Adam moves a weight by about the learning rate. Once the rates add up to this, a move shows in 16 bits too: in the
# small weights first, and in those of an adapter that begins at zero.
MOVED = 1e-5
_SAMPLED = 256


@dataclass(frozen=True)
class Supervised:
    """What the loss is taken over in one sample.

    Attributes:
        prompt: the end of the text before it, special tokens included.
        text: the supervised tokens, the end token included.
    """

    prompt: str
    text: str


def labels(family: Family, lessons: Sequence[Conversation]) -> list[Supervised]:
    """Read back what a family supervises, and hold it to the answers.

    Nothing is taken from how the labels were made: they are decoded, and looked up by what kind of token stands there.

    Args:
        family: loaded.
        lessons: conversations with answers; they are put into one batch, as they are for training.

    Returns:
        What is supervised, one for each lesson.

    Raises:
        DataError: a lesson has an empty answer.
        FailedAudit: anything but the answer and the token that ends it is supervised, or nothing is.
    """
    for number, lesson in enumerate(lessons, 1):
        if not (lesson.answer or "").strip():
            raise DataError(
                f"sample {number} of the first batch has an empty answer ({lesson.prompt[:60]!r}); look at task.target "
                "and at the fields that it names"
            )
    batch = family.training_batch(lessons)
    if (classes := family.read_back(batch)) is not None:
        return _classes(family, lessons, classes)
    # One further left than their tokens, where the loss does not shift them; then the last place has none.
    marks_of = batch["labels"].roll(1, dims=1) if family.labels_ahead else batch["labels"]
    rows = zip(*family.sequence(batch), marks_of, lessons, strict=True)
    found = []
    for number, (ids, mask, marks, lesson) in enumerate(rows, 1):
        if why := _mislabelled(family, ids, mask, marks, str(lesson.answer)):
            raise FailedAudit(
                f"family '{family.spec.family}' mislabels sample {number} of the first batch of {family.spec.name}: "
                f"{why}. This is a bug in the family's training_batch, which no setting mends"
            )
        found.append(_supervised(family, ids, marks))
    if not family.decoder_apart or "input_ids" not in batch:
        return found
    asked = [ids[mask.bool()] for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)]
    return [Supervised(f"{_decoded(family, a)[-_TAIL:]}{f.prompt}", f.text) for a, f in zip(asked, found, strict=True)]


def _classes(
    family: Family, lessons: Sequence[Conversation], classes: Sequence[Mapping[str, float]]
) -> list[Supervised]:
    """Hold the labels that a classifier is trained on to the answers.

    An answer may be missing in a list that the model came with; a label that is no answer may not be there.
    """
    for number, (lesson, found) in enumerate(zip(lessons, classes, strict=True), 1):
        right = lesson.accepted or {str(lesson.answer): 1.0}
        odd = [n for n, weight in found.items() if not math.isclose(weight, right.get(n, 0.0), abs_tol=1e-3)]
        if odd:
            raise FailedAudit(
                f"family '{family.spec.family}' mislabels sample {number} of the first batch of {family.spec.name}: "
                f"supervised is {odd[0][:_ANSWER]!r} with {found[odd[0]]:g}, and right is {_few(right)}. This is a bug "
                "in the family's training_batch, which no setting mends"
            )
    if not any(found for found in classes):
        raise DataError(
            f"none of the first {len(lessons)} answers is in the list of model {family.spec.name}, such as "
            f"{str(lessons[0].answer)[:_ANSWER]!r}: look at task.target"
        )
    return [
        Supervised(lesson.prompt[-_TAIL:], " | ".join(found) or "nothing: not in the model's list")
        for lesson, found in zip(lessons, classes, strict=True)
    ]


def _mislabelled(family: Family, ids: torch.Tensor, mask: torch.Tensor, marks: torch.Tensor, answer: str) -> str | None:
    """What is wrong with one row, or None. ``ids``, ``mask`` and ``marks`` (the labels) are (tokens,)."""
    if marks.shape != ids.shape:
        return f"it has {len(marks)} labels for {len(ids)} tokens"
    where = marks.ne(IGNORED)
    if not where.any():
        return "nothing is supervised"
    if (where & mask.eq(0)).any():
        return f"{int((where & mask.eq(0)).sum())} tokens of padding are supervised"
    if (other := where & marks.ne(ids)).any():
        at = int(other.nonzero()[0])
        named = family.tokenizer.convert_ids_to_tokens([int(marks[at]), int(ids[at])])
        return (
            f"at token {at} the label is {named[0]!r} and the text {named[1]!r}; the loss itself shifts labels by one"
        )
    said = ids[where].tolist()
    if odd := [i for i in said[:-1] if i in _structure(family)]:
        names = family.tokenizer.convert_ids_to_tokens(sorted(set(odd)))
        return f"{len(odd)} tokens that are no text are supervised: {', '.join(map(str, names[:5]))}"
    places = where.nonzero().flatten().tolist()
    text = int(mask.nonzero()[-1]) + 1
    if places != list(range(text - len(places), text)):
        return f"the {len(places)} supervised tokens are not one run up to the end of the text"
    if said[-1] not in family.end_tokens:
        return "the token that ends the answer is not supervised, so the model would not learn to stop"
    spoken = _decoded(family, said[:-1])
    if not _reads(family, spoken, answer):
        return f"supervised is {spoken[:_ANSWER]!r}, and the answer is {answer[:_ANSWER]!r}"
    return None


def _structure(family: Family) -> set[int]:
    """Ids that are no text: what begins, ends and parts turns, and what stands for images and padding."""
    tokenizer = family.tokenizer
    # Single characters that were added to a vocabulary are text; an unknown one is, too.
    ids = {i for token, i in tokenizer.added_tokens_encoder.items() if len(token) > 1}
    ids |= set(tokenizer.all_special_ids)
    for holder in (family.processor, family.bare_model().config):
        ids |= {getattr(holder, name, None) for name in ("image_token_id", "video_token_id", "image_token_index")}
    return ids - {tokenizer.unk_token_id}


def _reads(family: Family, spoken: str, answer: str) -> bool:
    """Whether a decoded text is an answer, by its text alone.

    Special tokens inside an answer are broken up by spaces, so inner ones do not count; those around it would be part
    of a header. A tokenizer may not give back what it was given: then what it makes of the answer is the measure.
    """
    answer = answer if answer[:1].isspace() else f"{family.answer_opening}{answer}"
    again = _decoded(family, family.tokenizer(answer, add_special_tokens=False)["input_ids"])
    return any(_packed(spoken) == _packed(wanted) for wanted in (answer, again))


def _packed(text: str) -> tuple[str, str, str]:
    """The white space around a text, and the text without any: before, inside, behind."""
    left = text.lstrip()
    inner = left.rstrip()
    return text[: len(text) - len(left)], "".join(inner.split()), left[len(inner) :]


def _decoded(family: Family, ids: Any) -> str:
    return str(family.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _supervised(family: Family, ids: torch.Tensor, marks: torch.Tensor) -> Supervised:
    where = marks.ne(IGNORED)
    before = ids[: int(where.nonzero()[0])]
    # Families may write places of images as negative ids, which no tokenizer reads.
    return Supervised(_decoded(family, before[before >= 0])[-_TAIL:], _decoded(family, ids[where]))


def shown(found: Sequence[Supervised]) -> list[str]:
    """Lines for the log: the prompt's end, and in brackets what is learnt."""
    lines = [f"supervised, in brackets, in {min(SHOWN, len(found))} of the first {len(found)} samples:"]
    for one in found[:SHOWN]:
        text = one.text if len(one.text) <= _ANSWER else f"{one.text[: _ANSWER // 2]} … {one.text[-_ANSWER // 2 :]}"
        lines.append(f"  …{one.prompt}[{text}]".replace("\n", "\\n"))
    return lines


class Learning:
    """Whether all that is to learn does: watched over the first steps of an attempt, then never again.

    Gradients are seen by hooks as they are made, before DeepSpeed divides or drops them, so the same code serves every
    engine. Nothing waits for the device except :meth:`look`, which is called where the losses are read anyway.

    Args:
        parameters: name -> weight, of those to be trained, in the same order on every rank.
        float16: whether a loss scale is found by trial, which makes infinite norms.
    """

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter], float16: bool) -> None:
        self._parameters = dict(parameters)
        self._float16 = float16
        self._reached: dict[str, torch.Tensor] = {}
        self._before = {name: _sample(p) for name, p in parameters.items()}
        self._hooks = [p.register_hook(self._seen(name)) for name, p in parameters.items()]
        self._steps = self._still = self._zeros = self._skipped = 0
        self._moved = 0.0

    def _seen(self, name: str) -> Callable[[torch.Tensor], None]:
        def seen(gradient: torch.Tensor) -> None:
            some = gradient.detach().any()
            self._reached[name] = self._reached[name] | some if name in self._reached else some

        return seen

    def look(self, points: Iterable[tuple[int, float, Any]]) -> None:
        """Judge the steps since the last time. Every rank calls it at the same step.

        Args:
            points: step, learning rate and norm of the gradients (None where it is not known) of each.

        Raises:
            NonFiniteLoss: the gradients are no numbers, where no loss scale explains it.
            UserError: the settings leave nothing, or some of what is trained, without a gradient.
            FailedAudit: gradients arrive, and the weights do not change.
        """
        for step, rate, norm in points:
            size = math.nan if norm is None else float(norm)
            if norm is not None and not math.isfinite(size):
                self._not_finite(step, size)
                continue
            self._skipped = 0
            self._zeros = self._zeros + 1 if size == 0 else 0
            if self._zeros >= ZEROS:
                raise UserError(
                    f"no gradient reaches any of the {len(self._parameters)} trained weights "
                    f"({_few(self._parameters)}): their norm has been exactly 0 for {ZEROS} steps, up to step {step}; "
                    "train a component that the answers depend on (method.frozen, method.lora.components)"
                )
            self._still = self._still + 1 if rate == 0 else 0
            self._steps += rate > 0
            self._moved += rate
        if self._hooks and self._still >= STEPS:
            raise UserError(f"the learning rate has been 0 for {self._still} steps; set train.learning_rate above it")
        if self._hooks and self._steps >= STEPS:
            self._judge()

    def _not_finite(self, step: int, size: float) -> None:
        self._skipped += 1
        if not self._float16:
            raise NonFiniteLoss(
                f"the gradients of step {step} have the norm {size}, though its loss is finite; lower "
                "train.learning_rate, raise train.warmup, or look at the samples of that step"
            )
        if self._skipped >= SKIPPED:
            raise NonFiniteLoss(
                f"float16 made gradients that are not finite in each of {self._skipped} steps up to step {step}, and "
                "no step was taken: no loss scale is small enough; use model.dtype=bfloat16 or float32"
            )

    def _judge(self) -> None:
        names = list(self._parameters)
        reached = self._anywhere(bool(self._reached.get(name, False)) for name in names)
        filled = self._anywhere(bool(_local(p).detach().any()) for p in self._parameters.values())
        changed = self._anywhere(not torch.equal(_sample(p), self._before[n]) for n, p in self._parameters.items())
        # Weights that DeepSpeed keeps on a disk can't be looked at here.
        here = {n: p for n, p in self._parameters.items() if self._before[n].numel()}
        visible = {n for n, p in here.items() if p.dtype == torch.float32 or self._moved >= MOVED}
        self._release()
        # First, because a matrix that stays zero hides its partner's gradient.
        if zero := [n for n in names if "lora_B" in n and n in visible & reached - filled]:
            raise FailedAudit(
                f"the adapter is frozen: after {self._steps} steps with gradients {len(zero)} of its matrices are "
                f"still zero: {_few(zero)}. The optimiser does not hold them, which no setting mends"
            )
        if dead := [name for name in names if name not in reached]:
            raise UserError(
                f"in {self._steps} steps no gradient has reached {len(dead)} of the {len(names)} trained weights: "
                f"{_few(dead)}; no answer depends on them. Leave them out (method.frozen, method.lora.targets, "
                "method.lora.components), or look whether the samples show what they read, such as images"
            )
        if not changed and len(visible) == len(names):
            raise FailedAudit(
                f"after {self._steps} steps with gradients none of the {len(names)} trained weights has changed "
                f"({_few(names)}): the optimiser does not hold them, which no setting mends"
            )

    def _anywhere(self, flags: Iterable[bool]) -> set[str]:
        """The weights whose flag is set on any rank."""
        told = ranks.agree([int(flag) for flag in flags])
        return {name for name, flag in zip(self._parameters, told, strict=True) if flag}

    def _release(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._reached, self._before = [], {}, {}


def _local(parameter: torch.nn.Parameter) -> torch.Tensor:
    """What this rank holds of a weight: all, or under ZeRO-3 its part."""
    return getattr(parameter, "ds_tensor", parameter)


def _sample(parameter: torch.nn.Parameter) -> torch.Tensor:
    """Some of a weight's values from all over it, copied."""
    flat = _local(parameter).detach().reshape(-1)
    return flat[:: max(1, flat.numel() // _SAMPLED)].clone()


def _few(names: Iterable[str], most: int = 4) -> str:
    plain = [name.removeprefix("base_model.model.").replace(".default.", ".") for name in names]
    return ", ".join(plain[:most]) + (f" and {len(plain) - most} more" if len(plain) > most else "")
