"""What a cell's settings, its task, its prompts and its prepared samples must hold, found out before it is frozen.

On a compute node the same would end a cell after its wait in the queue, or train a model to say braces. Each check is
made once, however many cells share what it looks at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from paceline import tasks
from paceline.config import conflicts, processor_arguments, service_settings
from paceline.config.cell_kinds import kind_of
from paceline.config.checks import check
from paceline.config.identity import asked_of
from paceline.config.schema import Config, Kind, PromptSpec, TaskSpec
from paceline.data import prompts
from paceline.data.conversations import ASKED
from paceline.errors import UserError, nearest
from paceline.gpu_memory.shapes import shape_of, targets
from paceline.models.registry import components
from paceline.sweep.sample_checks import SampleChecks


def contradictions(config: Config, kind: Kind, splits: Mapping[str, int] | None) -> Iterator[str]:
    """Settings of a cell that can't hold together.

    Args:
        config: the cell's, with the placement that holds for it.
        kind: the cell's.
        splits: split -> samples of the task's prepared data; None where they are not known.
    """
    try:
        service_settings.check(config)
        check(config, kind, splits)
        conflicts.check(config, kind)
    except UserError as error:
        yield str(error)
    try:
        processor_arguments.check(config.model)
    except UserError as error:
        yield str(error)


def untrainable(config: Config, root: Path | None) -> Iterator[str]:
    """What a method names that its model does not have: parts, and linear layers as far as they are known.

    Args:
        config: a tuning's.
        root: the storage root, where the layers of a prepared model are recorded.
    """
    method, known = config.method, components(config.model.family)
    key, named = (
        ("lora.components", method.lora.components) if method.trains == "adapter" else ("frozen", method.frozen)
    )
    if unknown := [name for name in named if known and name not in known]:
        yield f"method.{key}: model '{config.model.name}' has no '{unknown[0]}': {nearest(unknown[0], known)}"
    elif method.trains == "adapter" and not named:
        yield f"method.lora.components names no part of the model: {nearest('', known)}"
    elif method.trains == "all" and known and not set(known) - set(named):
        yield (
            f"method.frozen: method '{method.name}' leaves nothing of model '{config.model.name}' to train, whose "
            f"parts are {' and '.join(sorted(known))}; give a method that freezes less"
        )
    elif method.trains == "adapter" and (shape := shape_of(config.model, root)):
        try:
            targets(shape, method.lora)
        except UserError as error:
            yield str(error)


class TaskChecks:
    """The checks of one sweep.

    Args:
        root: the storage root, whose prepared samples are looked at too; None looks at none.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._seen: dict[tuple[Kind, int, int, bool], bool] = {}
        self._asked: dict[tuple[int, bool, bool], PromptSpec] = {}
        self._samples = SampleChecks(root) if root else None

    def problems(self, config: Config, prompt: PromptSpec, kind: Kind) -> Iterator[str]:
        """What stands in the way of a cell; nothing where another cell has been asked the same.

        Args:
            config: the cell's.
            prompt: the one that the cell asks, or tunes on.
            kind: the cell's.
        """
        # A composition makes each spec once and holds it, so its id stands for its content; what is asked of a prompt
        # is held here.
        takes = ("text" in config.model.inputs, "prefix" in config.model.inputs)
        prompt = self._asked.setdefault((id(prompt), *takes), asked_of(prompt, config.model.inputs))
        question = takes[0]
        key = (kind, id(config.task), id(prompt), question)
        if key not in self._seen:
            found = [
                *_prompt_fields(config.task, prompt, question),
                *(_target_fields(config.task) if kind_of(kind).trains else ()),
            ]
            self._seen[key] = not found
            yield from found
        if self._samples and self._seen[key]:
            yield from self._samples.problems(config, prompt, kind)


def _prompt_fields(task: TaskSpec, prompt: PromptSpec, question: bool) -> Iterator[str]:
    kind = tasks.load(task.kind)
    if question and not prompt.text.strip():
        yield f"conf/prompt/{prompt.name}.yaml asks nothing; give it a text: text: Where is this?"
    fields = [*kind.shown, *(ASKED if kind.get("parts") else ())]
    for name, text in (("text", prompt.text), ("system", prompt.system), ("prefix", prompt.prefix)):
        for brace in prompts.unfilled(text, fields):
            field = _name(brace)
            if field in fields:
                yield f"prompt {prompt.name}: {name}: {brace} is not filled in; write {{{field}}}"
                continue
            truth = "which the model is to find out, so it is not filled in"
            why = truth if field in kind.documented_fields else f"and {_fields_of(task.kind, field, fields)}"
            yield (
                f"prompt {prompt.name}: {name} names {brace}, {why}; a brace that is meant as it stands takes a space "
                f"behind it: {{ {field} }}"
            )


def _target_fields(task: TaskSpec) -> Iterator[str]:
    fields = tasks.load(task.kind).documented_fields
    if not task.target.strip():
        yield (
            f"task {task.name}: target is empty, so there is nothing to train on; give one with fields of kind "
            f"'{task.kind}': {', '.join(f'{{{f}}}' for f in fields)}"
        )
    for brace in prompts.unfilled(task.target, fields, trained_on=True):
        name = _name(brace)
        if name in fields:
            yield (
                f"task {task.name}: target: {brace} is not filled in; write {{{name}}}, or for a number with a format "
                f"{{{name}:.4f}}"
            )
        else:
            yield (
                f"task {task.name}: target names {brace}, which a model would be trained to say: "
                f"{_fields_of(task.kind, name, fields)}"
            )


def _name(brace: str) -> str:
    """The first name in what :func:`prompts.unfilled` tells, which has one."""
    return re.findall(r"[A-Za-z_]\w*", brace)[0]


def _fields_of(kind: str, name: str, fields: Iterable[str]) -> str:
    shown = list(fields)
    return f"kind '{kind}' fills in no '{name}': {nearest(name, shown)}" if shown else f"kind '{kind}' fills in nothing"
