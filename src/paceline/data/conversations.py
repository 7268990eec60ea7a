"""From a task's sample and a prompt to the conversation that a model is asked, or trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline import tasks
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.data import prompts
from paceline.data.images import load_image, picture_size
from paceline.data.samples import without_images
from paceline.errors import UserError
from paceline.models.conversation import Conversation
from paceline.tasks.kind import Kind, Part, digests_of, images_of, lettered

if TYPE_CHECKING:
    from PIL import Image


def of_one(kind: Kind) -> tuple[str, ...]:
    """What a prompt may name of one question; it then asks a sample's parts one by one."""
    return ("question", *kind.get("PART_FIELDS", ())) if kind.get("parts") else ()


def of_all(kind: Kind) -> tuple[str, ...]:
    """What a prompt may name of all questions about a sample, which it then asks together."""
    return tuple(f"{name}s" for name in of_one(kind))


def of_parts(kind: Kind) -> tuple[str, ...]:
    """What a prompt may name of a kind's parts, beside the fields that the kind shows."""
    return (*of_one(kind), *of_all(kind), "choices") if kind.get("parts") else ()


EARLIER = ("earlier_answer", "facts")
"""What a prompt may name that builds on another prompt's answers."""


def asks_together(prompt: PromptSpec, task: TaskSpec) -> bool:
    """Whether a prompt asks all parts of a sample in one conversation: it names ``{questions}``.

    A field of that name that the kind shows is that field. What else a kind gives of its parts counts likewise.

    Raises:
        UserError: it names ``{question}`` too.
    """
    kind = tasks.load(task.kind)
    named = [
        [name for name in names if name not in kind.shown and _names(prompt, name)]
        for names in (of_one(kind), of_all(kind))
    ]
    if all(named):
        raise UserError(
            f"prompt {prompt.name} names {{{named[0][0]}}} and {{{named[1][0]}}}: the first asks a sample's parts one "
            "by one, the second all together; name one of them"
        )
    return bool(named[1])


def _names(prompt: PromptSpec, name: str) -> bool:
    return any(prompts.names(text, {name: None}) for text in (prompt.text, prompt.system))


def conversations_of(
    sample: Mapping[str, Any], prompt: PromptSpec, task: TaskSpec, inputs: Sequence[str] = ("text",)
) -> list[tuple[Part, ...]]:
    """The parts of a sample, in order, by the conversation in which they are asked.

    Args:
        sample: a prepared record.
        prompt: the template.
        task: names the kind that gives the parts.
        inputs: what the model reads; of one that takes no question, parts that it can't be led to are left out.

    Raises:
        UserError: the kind gives none, or two with one name, or a name that can't be told apart in a key; the model
            can't be asked any.
    """
    parts = tasks.load(task.kind).parts(sample, task, prompt)
    names = [part.name for part in parts]
    if not parts or len(set(names)) < len(names) or any("/" in name for name in names):
        raise UserError(
            f"task kind '{task.kind}' asks the parts {names} of sample '{sample['id']}'; it must ask at least one, "
            "each with a name of its own that holds no '/'"
        )
    if asks_together(prompt, task):
        return [parts]
    asked: list[tuple[Part, ...]] = [
        (part,) for part in parts if not part.prefix or "text" in inputs or "prefix" in inputs
    ]
    if not asked:
        raise UserError(
            f"task {task.name}: of the parts {names} a model that takes no question and no beginning of its answer "
            "(inputs: [image]) can be asked none; leave it out of the sweep"
        )
    return asked


def question(
    sample: Mapping[str, Any],
    prompt: PromptSpec,
    task: TaskSpec,
    shots: Sequence[Conversation] = (),
    parts: Sequence[Part] = (),
    earlier: Mapping[str, str] | None = None,
) -> Conversation:
    """A sample as it is asked. The prompt sees only the fields that its task shows, so no answer leaks into it.

    Args:
        sample: a prepared record.
        prompt: the template.
        task: names what the prompt may see.
        shots: lessons of other samples, shown before the question with their images and answers.
        parts: what is asked in this conversation: ``{question}`` becomes the text of the one part, ``{questions}``
            those of all, a numbered line each. Without a text both stay as they are. So do a part's own fields.
            ``{choices}`` becomes the one part's choices, a lettered line each; without choices it stays as it is.
        earlier: what another prompt's answer about the sample gives to this one, by field (``EARLIER``).
    """
    kind = tasks.load(task.kind)
    fields = kind.fields(sample, task)
    shown = {name: fields[name] for name in kind.shown}
    shown |= _asked(parts, asks_together(prompt, task), kind.shown)
    shown |= earlier or {}
    return Conversation(
        prompt=_filled(prompt.text, shown, sample),
        images=pictures(sample),
        system=_filled(prompt.system, shown, sample),
        shots=list(shots),
        choices=parts[0].choices if len(parts) == 1 else (),
        prefix=_prefix(prompt, parts) or _filled(prompt.prefix, shown, sample),
        sample=str(sample.get("id", "")),
    )


def _prefix(prompt: PromptSpec, parts: Sequence[Part]) -> str:
    """What leads a model that takes no question, and so gets a prompt without a text, to the one part."""
    return parts[0].prefix if len(parts) == 1 and not prompt.text.strip() else ""


def _filled(template: str, fields: Mapping[str, Any], sample: Mapping[str, Any]) -> str:
    """A template filled in; an error names the sample."""
    try:
        return prompts.render(template, fields)
    except UserError as error:
        raise type(error)(f"sample '{sample.get('id', '')}': {error}") from None


def pictures(sample: Mapping[str, Any]) -> list[Image.Image]:
    """A sample's images, in order, each held to the digest that it was prepared with.

    Raises:
        DataError: one is missing, broken, or another than was prepared.
    """
    paths = images_of(sample)
    digests = (digests_of(sample) or [""] * len(paths)) if paths else []
    return [load_image(path, sha256=digest) for path, digest in zip(paths, digests, strict=True)]


def _asked(parts: Sequence[Part], together: bool, shown: Sequence[str] = ()) -> dict[str, str]:
    if not parts:
        return {}
    told = [{"question": part.text, **part.fields} for part in parts]
    if together:
        return {
            f"{name}s": "\n".join(f"{number}. {one.get(name, '')}" for number, one in enumerate(told, 1))
            for name in told[0]
            if f"{name}s" not in shown
        }
    asked = {**told[0], "choices": lettered(parts[0].choices)}
    return {name: text for name, text in asked.items() if text}


def lesson(sample: Mapping[str, Any], prompt: PromptSpec, task: TaskSpec) -> Conversation:
    """A sample as it is trained on: the question, and the task's target as its answer.

    Raises:
        UserError: the prompt asks several parts one by one, and the task has one target.
    """
    asked = conversations_of(sample, prompt, task)
    if len(asked) > 1:
        raise UserError(
            f"task {task.name} asks {len(asked)} questions about a sample and has one target; train on a prompt that "
            "names {questions}, which asks them together, or on another task: train.task=NAME"
        )
    accepted = tasks.load(task.kind).accepted(sample, task)
    asked_of = question(sample, prompt, task, parts=asked[0])
    return dataclasses.replace(asked_of, answer=target(sample, task), accepted=accepted)


def target(sample: Mapping[str, Any], task: TaskSpec) -> str:
    """The answer that a sample is trained on."""
    return _filled(task.target, tasks.load(task.kind).fields(sample, task), sample)


class Lessons(Sequence[Conversation]):
    """The lessons of a split, made when asked for, because making one decodes an image."""

    def __init__(self, samples: Sequence[Mapping[str, Any]], prompt: PromptSpec, task: TaskSpec) -> None:
        self.samples, self.prompt, self.task = samples, prompt, task

    def __len__(self) -> int:
        return len(self.samples)

    def pictured(self, index: int) -> bool:
        """Whether the sample at an index has an image, told without decoding it."""
        return bool(images_of(self.samples[index]))

    def extent(self, index: int) -> tuple[int, int]:
        """Letters and pixels of the lesson at an index, told without decoding an image; of several images the sum."""
        lesson_text = self.worded(index)
        sizes = [picture_size(path) or (0, 0) for path in images_of(self.samples[index])]
        letters = len(lesson_text.system) + len(lesson_text.prompt) + len(lesson_text.answer or "")
        return letters, sum(width * height for width, height in sizes)

    def worded(self, index: int) -> Conversation:
        """The lesson at an index without its images, which are not decoded."""
        return lesson(without_images(self.samples[index]), self.prompt, self.task)

    def __getitem__(self, index: Any) -> Any:
        """The lesson at an index."""
        return lesson(self.samples[index], self.prompt, self.task)
