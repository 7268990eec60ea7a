"""The code that configs name: the kind and the reader of a task, the family of a model."""

from __future__ import annotations

from collections.abc import Iterable

from paceline import plugins, tasks
from paceline.config.schema import Config
from paceline.data import readers
from paceline.errors import UserError


def require_code(configs: Iterable[Config]) -> None:
    """Refuse configs whose kind of task or reader there is not, or whose code is a lab's and can't be used.

    Raises:
        UserError: the file and the line of a lab's.
    """
    for task, model, kind, reader, family in {
        (c.task.name, c.model.name, c.task.kind, c.task.reader, c.model.family) for c in configs
    }:
        _require_named("task", task, kind=kind, reader=reader)
        _require_named("model", model, family=family)
        tasks.load(kind)
        readers.load(reader)
        plugins.check("readers", reader)
        plugins.check("models", family)


def _require_named(group: str, name: str, **named: str) -> None:
    """Refuse a file that does not say what it is, as an empty one."""
    if lacking := [key for key, value in named.items() if not value]:
        raise UserError(
            f"conf/{group}/{name}.yaml does not say its {' and '.join(lacking)}: write {lacking[0]}: NAME into it "
            "(docs/adding.md shows whole files)"
        )
