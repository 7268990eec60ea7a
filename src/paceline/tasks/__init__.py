"""Task kinds: what a sample of a dataset holds, and what judges an answer.

A kind is one module in this folder, named by ``kind:`` in ``conf/task/NAME.yaml``. It gives

``SCORER: str``
    the module in ``paceline/scorers/`` that judges predictions.
``FIELDS: dict[str, str]``
    every field that a target may name as ``{field}``, with a line that says what it holds.
``SHOWN: tuple[str, ...]``
    those that a prompt may name too; never the truth.
``fields(sample) -> dict[str, Any]``
    those fields of one prepared sample (a record of ``prepared.read_samples``), derived ones included. A
    value that the sample does not have is None, and a template that names it is refused.

Adding a kind is adding one file; nothing registers it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from paceline.errors import UserError, nearest


def names() -> list[str]:
    """The kinds there are: the modules of this folder."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem != "__init__")


def load(kind: str) -> ModuleType:
    """The module of a kind.

    Raises:
        UserError: there is none of that name.
    """
    if kind not in names():
        raise UserError(f"task.kind: no task kind '{kind}': {nearest(kind, names())}")
    return importlib.import_module(f"{__name__}.{kind}")
