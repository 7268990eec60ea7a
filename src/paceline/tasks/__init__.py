"""Kinds of task: what a sample of a dataset holds, what judges an answer, and how results are shown.

:mod:`paceline.tasks.kind` holds the contract. A kind is a module or a folder beside it; ``geolocation`` is a folder.
A lab's own lie in ``tasks/`` of its folder (:mod:`paceline.plugins`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

from paceline import plugins
from paceline.config.schema import TaskSpec
from paceline.errors import UserError, nearest
from paceline.tasks.kind import Kind

HELPERS = {
    "answer_phrases",
    "answers",
    "by_type",
    "calibration_error",
    "consensus",
    "failure_kinds",
    "figures",
    "kind",
    "labels",
    "listed_texts",
    "metrics",
    "named_choices",
    "panels",
    "questions",
    "picture_change",
    "short_answers",
}
"""Modules of this folder that are no kinds."""


def names() -> list[str]:
    """The kinds there are, a lab's own among them."""
    modules = {p.stem for folder in __path__ for p in Path(folder).glob("*.py")}
    folders = {p.parent.name for folder in __path__ for p in Path(folder).glob("*/__init__.py")}
    return sorted(((modules | folders) - HELPERS - {"__init__"}).union(plugins.names("tasks")))


def packages(kinds: Iterable[str]) -> list[str]:
    """What judging answers of some kinds imports, beside what every cell needs."""
    return sorted({package for kind in dict.fromkeys(kinds) for package in load(kind).get("PACKAGES", ())})


def known(kind: str) -> Kind:
    """A kind by its name; of one that this checkout lacks, a kind of which stored results can be shown."""
    return load(kind) if kind in names() else Kind(kind, None)


@functools.cache
def load(kind: str) -> Kind:
    """A kind by its name.

    Raises:
        UserError: there is none of that name; of a lab's also: it can't be imported, or lacks a required name.
    """
    if kind not in names():
        raise UserError(f"task.kind: no task kind '{kind}': {nearest(kind, names())}; {plugins.FOUND_BY}")
    loaded = Kind(kind, plugins.load("tasks", kind))
    if plugin := plugins.find("tasks", kind):
        loaded.check(plugin.file)
    return loaded


def needs(task: TaskSpec) -> tuple[str, ...]:
    """What a model must be able to read for a task: what its file states, else what its kind requires.

    A task that states what is the schema's default states nothing.
    """
    if task.needs != TaskSpec().needs:
        return tuple(task.needs)
    try:
        return load(task.kind).asks.needs  # kept, so that a sweep of many cells looks at no folder
    except UserError:
        if task.kind in names():
            raise
        return tuple(task.needs)  # a kind that this checkout lacks


def shows_images(task: TaskSpec) -> bool:
    """Whether a task shows pictures, one a question or several."""
    return bool({"image", "images"} & set(needs(task)))


def answer_asked(task: TaskSpec) -> str:
    """What kind of answer a task asks for; empty of a kind that this checkout lacks."""
    try:
        return load(task.kind).asks.answer
    except UserError:
        if task.kind in names():
            raise
        return ""


plugins.on_change(load.cache_clear)
