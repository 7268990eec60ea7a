"""From a task's sample and a prompt to the conversation that a model is asked, or trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from paceline import tasks
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.data import prompts
from paceline.data.images import load_image, picture_size
from paceline.data.samples import without_images
from paceline.models.conversation import Conversation
from paceline.tasks.kind import images_of


def question(
    sample: Mapping[str, Any], prompt: PromptSpec, task: TaskSpec, shots: Sequence[Conversation] = ()
) -> Conversation:
    """A sample as it is asked. The prompt sees only the fields that its task shows, so no answer leaks into it.

    Args:
        sample: a prepared record.
        prompt: the template.
        task: names what the prompt may see.
        shots: lessons of other samples, shown before the question with their images and answers.
    """
    kind = tasks.load(task.kind)
    fields = kind.fields(sample, task)
    shown = {name: fields[name] for name in kind.shown}
    return Conversation(
        prompt=prompts.render(prompt.text, shown),
        images=[load_image(path) for path in images_of(sample)],
        system=prompts.render(prompt.system, shown),
        shots=list(shots),
    )


def lesson(sample: Mapping[str, Any], prompt: PromptSpec, task: TaskSpec) -> Conversation:
    """A sample as it is trained on: the question, and the task's target as its answer."""
    answer = prompts.render(task.target, tasks.load(task.kind).fields(sample, task))
    return dataclasses.replace(question(sample, prompt, task), answer=answer)


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
