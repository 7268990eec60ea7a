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
from paceline.config.declared import Kind
from paceline.config.frozen_layers import misnamed
from paceline.config.identity import asked_of
from paceline.config.schema import Config, ModelSpec, PromptSpec, TaskSpec
from paceline.data import prompts
from paceline.data.conversations import EARLIER, of_parts
from paceline.errors import UserError, nearest
from paceline.gpu_memory.shapes import shape_of, trainable
from paceline.models.registry import components
from paceline.sweep.pretraining_checks import unpretrainable
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
    """What a method names that its model does not have, parts and linear layers as far as they are known; and changes
    of pictures that make the truth of the task wrong.

    Args:
        config: a tuning's.
        root: the storage root, where the layers of a prepared model are recorded.
    """
    yield from _not_augmented(config)
    method, known = config.method, components(config.model.family)
    key, named = (
        ("lora.components", method.lora.components) if method.trains == "adapter" else ("frozen", method.frozen)
    )
    if why := unpretrainable(config):
        yield why
    if why := misnamed(method, known):
        yield why
    elif unknown := [name for name in named if known and name not in known]:
        yield f"method.{key}: model '{config.model.name}' has no '{unknown[0]}': {nearest(unknown[0], known)}"
    elif method.trains == "adapter" and not named:
        yield f"method.lora.components names no part of the model: {nearest('', known)}"
    elif method.trains == "all" and known and not set(known) - set(named):
        yield (
            f"method.frozen: method '{method.name}' leaves nothing of model '{config.model.name}' to train, whose "
            f"parts are {' and '.join(sorted(known))}; give a method that freezes less"
        )
    elif (method.trains == "adapter" or method.frozen_layers) and (shape := shape_of(config.model, root)):
        try:
            if not sum(trainable(shape, method).values()):
                yield f"method.frozen_layers of method '{method.name}' leaves nothing to train; freeze fewer"
        except UserError as error:
            yield str(error)


def _not_augmented(config: Config) -> Iterator[str]:
    """Words of ``train.augment`` that a task can't be trained with."""
    words, task = config.train.augment, config.task
    if words and not tasks.shows_images(task):
        yield f"train.augment={words} changes pictures, and task '{task.name}' shows none; leave it out"
        return
    bears = (*tasks.load(task.kind).get("AUGMENTED_BY", ()), "colour") if words else ()
    if wrong := [word for word in words if word not in bears]:
        yield (
            f"train.augment: {' and '.join(wrong)} would make the truth of task '{task.name}' wrong, or its kind "
            f"'{task.kind}' does not say how it follows; train.augment=[{','.join(w for w in bears if w in words)}] "
            f"is what is left of it, and it bears {', '.join(bears)}"
        )


def unfit_prompt(prompt: PromptSpec, trained: TaskSpec, evaluated: TaskSpec) -> str | None:
    """Why a prompt can't be trained on: it names a field that the evaluated task alone shows; or None."""
    known = dict.fromkeys(_shown(evaluated) - _shown(trained))
    named = [name for text in (prompt.text, prompt.system) for name in prompts.names(text, known)]
    if not named:
        return None
    return (
        f"prompt '{prompt.name}' names {{{named[0]}}}, which task '{evaluated.name}' shows and '{trained.name}', the "
        f"task trained on, does not: give train.prompt=NAME, a prompt for '{trained.name}'"
    )


def _shown(task: TaskSpec) -> set[str]:
    """The fields that a prompt for a task may name."""
    kind = tasks.load(task.kind)
    return {*kind.shown, *of_parts(kind)}


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
        prompt, question = self._prompt(prompt, config.model), "text" in config.model.inputs
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

    def too_long(self, config: Config) -> str:
        """Why an untuned model can't be asked: a sample has more tokens than it has positions; empty where it can."""
        if not self._samples or any(_prompt_fields(config.task, config.prompt, "text" in config.model.inputs)):
            return ""
        return self._samples.too_long(config, self._prompt(config.prompt, config.model))

    def _prompt(self, prompt: PromptSpec, model: ModelSpec) -> PromptSpec:
        """What a model is asked of a prompt."""
        takes = ("text" in model.inputs, "prefix" in model.inputs)
        return self._asked.setdefault((id(prompt), *takes), asked_of(prompt, model.inputs))


def _prompt_fields(task: TaskSpec, prompt: PromptSpec, question: bool) -> Iterator[str]:
    kind = tasks.load(task.kind)
    if question and not prompt.text.strip():
        yield f"conf/prompt/{prompt.name}.yaml asks nothing; give it a text: text: Where is this?"
    fields = [*kind.shown, *of_parts(kind), *(EARLIER if prompt.builds_on.prompt else ())]
    for name, text in (("text", prompt.text), ("system", prompt.system), ("prefix", prompt.prefix)):
        for brace in prompts.unfilled(text, fields):
            field = _name(brace)
            if field in fields:
                yield f"prompt {prompt.name}: {name}: {brace} is not filled in; write {{{field}}}"
                continue
            if field in EARLIER:
                yield f"prompt {prompt.name}: {name} names {brace}, and builds on no prompt: give builds_on.prompt"
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
