"""Examples as turns of a conversation, which stand before the question with their images and answers."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paceline import tasks
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.data import prompts
from paceline.data.conversations import conversations_of, of_parts, pictures, question
from paceline.data.samples import form_of, without_images
from paceline.data.shots import prepared_shots
from paceline.data.shots.drawn import Choice, Shot
from paceline.errors import DataError, UserError
from paceline.models.conversation import Conversation
from paceline.tasks.kind import Part, images_of

LOOKED_AT = 100
"""Evaluated samples of which it is looked at what they are asked, before anything is submitted."""
DECODED = 64
"""Examples whose pictures are kept decoded: those that all samples are shown are decoded once."""


class ShotTurns:
    """The turns that are shown before a cell's questions.

    Args:
        chosen: the choice.
        images: whether pictures are shown, each held to its digest; planning needs none.
    """

    def __init__(self, chosen: Choice, images: bool = True) -> None:
        self.chosen, self._images = chosen, images
        self._of_shot = functools.lru_cache(maxsize=DECODED)(self._turn)
        self._shots: dict[int, Shot] = {}

    def turns(self, sample: Mapping[str, Any], parts: Sequence[Part]) -> list[Conversation]:
        """What is shown before the parts of a sample that are asked in one conversation.

        Raises:
            UserError: too few examples are left, or one has no answer to this question.
            DataError: a picture is missing or another than was prepared, or an example gives the answer away.
        """
        names = tuple(part.name for part in parts)
        shown = self.chosen.of(sample, names[0] if len(names) == 1 else "")
        turns = []
        for shot in shown:
            self._shots[id(shot)] = shot  # two rows of a file may show one sample and differ in any other column
            turns.append(self._of_shot(id(shot), names))
        return turns

    def ids(self, sample: Mapping[str, Any], parts: Sequence[Part]) -> list[str]:
        """Ids of these examples, in their order."""
        return [shot.id for shot in self.chosen.of(sample, parts[0].name if len(parts) == 1 else "")]

    def images(self, sample: Mapping[str, Any], parts: Sequence[Part]) -> list[str]:
        """Paths of the pictures of these examples, in the order in which they are shown."""
        shown = self.chosen.of(sample, parts[0].name if len(parts) == 1 else "")
        return [path for shot in shown for path in images_of(shot.record)]

    def problems(self) -> Iterator[str]:
        """Why examples that may be shown can't be; of the evaluated samples the first are asked, as the others are."""
        prompt, task = self.chosen.prompt, self.chosen.task
        asked: dict[tuple[str, ...], tuple[Mapping[str, Any], Sequence[Part]]] = {}
        for sample in self.chosen.evaluated[:LOOKED_AT]:
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, IndexError):  # told elsewhere
                for parts in conversations_of(sample, prompt, task):
                    asked.setdefault(tuple(part.name for part in parts), (sample, parts))
        known = {part for names in asked for part in names}
        if known and (idle := sorted({shot.part for shot in self.chosen.shots} - known - {""})):
            there = f"there is {', '.join(sorted(known))}" if known != {""} else "leave the column part out"
            yield f"prompt {prompt.name}: its file answers part '{idle[0]}', which {task.name} does not ask; {there}"
        told: dict[str, None] = {}
        # Any may be the nearest of some sample; a pool of thousands has few forms.
        forms = {form_of(shot.record): shot for shot in self.chosen.shots} if self.chosen.spec.how == "nearest" else {}
        self._shots |= {id(shot): shot for shot in forms.values()}
        for names, (sample, together) in asked.items():
            try:
                self.turns(sample, together)
                for shot in forms.values():
                    self._turn(id(shot), names)
            except UserError as error:
                told[str(error)] = None
        yield from told

    def _turn(self, key: int, names: tuple[str, ...]) -> Conversation:
        shot, task, prompt = self._shots[key], self.chosen.task, self.chosen.prompt
        where = f"prompt {prompt.name}: example '{shot.id}'"
        try:
            asked = conversations_of(shot.record, prompt, task)
            parts = asked[0] if len(asked) == 1 else next((a for a in asked if tuple(p.name for p in a) == names), ())
            if len(asked) > 1 and not (parts and shot.part):
                raise UserError(
                    f"{where}: task {task.name} asks {len(asked)} questions about a sample, one by one, and its "
                    "target answers all; give prompt.shots.how=file with the column part, or a prompt that names "
                    "{questions}"
                )
            bare = type(shot.record)(without_images(shot.record))  # type: ignore[call-arg]  # a dict, or one by hand
            turn = question(bare, prompt, task, parts=parts)
            answer = shot.answer if shot.answer is not None else self._answer(shot)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise UserError(
                f"{where} can't be asked as kind '{task.kind}' asks: {error}; give what it needs in the file of "
                "examples (docs/adding.md)"
            ) from None
        if lacking := [name for name in _named(prompt, task) if not all(_told(name, part) for part in parts)]:
            raise UserError(f"{where} has no {lacking[0]}, which the prompt names; add the column {lacking[0]}")
        # The system's turn stands once, before all.
        images = pictures(shot.record) if self._images else []
        return dataclasses.replace(turn, answer=answer, images=images, system="", choices=(), prefix="")

    def _answer(self, shot: Shot) -> str:
        fields = tasks.load(self.chosen.task.kind).fields(shot.record, self.chosen.task)
        where = f"prompt {self.chosen.prompt.name}: example '{shot.id}'"
        try:
            answer = prompts.render(self.chosen.spec.answer, fields)
        except UserError as error:
            raise type(error)(f"{where}: {error}") from None
        if not answer.strip():
            raise DataError(f"{where}: its answer, {self.chosen.spec.answer}, is empty")
        return answer


def _named(prompt: PromptSpec, task: TaskSpec) -> list[str]:
    """What a prompt names of the questions that it asks."""
    return prompts.names(prompt.text, dict.fromkeys(of_parts(tasks.load(task.kind))))


def _told(name: str, part: Part) -> bool:
    if name in ("question", "questions"):
        return bool(part.text)
    return bool(part.choices if name == "choices" else part.fields.get(name) or part.fields.get(name[:-1]))


def shot_turns(root: Path, task: TaskSpec, prompt: PromptSpec, data: str = "", images: bool = True) -> ShotTurns | None:
    """The turns that a prompt shows before its questions; None where it shows none.

    Args:
        root: the storage root.
        task: whose samples are asked.
        prompt: pinned, as a cell holds it.
        data: digest of the data that a cell was made for; empty: the data prepared last.
        images: as in :class:`ShotTurns`.

    Raises:
        UserError: the choice can't be made.
        DataError: something is missing or damaged.
    """
    return ShotTurns(prepared_shots.choice(root, task, prompt, data), images) if prompt.shots.count else None


def problems(root: Path, task: TaskSpec, prompt: PromptSpec, remedy: str) -> list[str]:
    """Why samples can't be asked with examples as a pinned prompt says: what is not prepared, too few, or unshowable.

    Args:
        root: the storage root.
        task: whose samples are asked.
        prompt: pinned, as a cell holds it.
        remedy: the command that makes what is missing.
    """
    return list(
        prepared_shots.problems(root, task, prompt, remedy, lambda chosen: ShotTurns(chosen, images=False).problems())
    )
