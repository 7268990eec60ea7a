"""One table says in what kinds of cells differ; elsewhere code asks for a property, not for a name."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path
from typing import get_args

import pytest

from paceline.config import declared, schema
from paceline.config.cell_kinds import KINDS, kind_of
from paceline.errors import UserError

SOURCE = Path(__file__).parents[3] / "src" / "paceline"
JOBS = SOURCE.parents[1] / "jobs"

# Comparisons that ask for the name itself: which settings belong to a cell's identity is declared in the schema by
# name (``only``), and recorded ids depend on it.
BY_NAME = {"config/cell_kinds.py", "config/identity.py", "sweep/cells.py"}


def literals(node: ast.expr) -> set[object]:
    """Constants of an operand, those in a tuple, list or set included."""
    parts = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    return {p.value for p in parts if isinstance(p, ast.Constant)}


def comparisons(source: str) -> list[int]:
    """Lines that compare something with the name of a kind."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            operands = [node.value]
        else:
            continue
        if any(literals(o) & set(KINDS) for o in operands):
            found.append(node.lineno)
    return found


def test_the_table_has_the_kinds_of_the_schema() -> None:
    assert tuple(KINDS) == get_args(declared.Kind)


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_has_its_job_and_leaves_out_groups_that_there_are(name: str) -> None:
    kind = kind_of(name)
    assert (JOBS / kind.job).is_file()
    assert set(kind.unused) <= {f.name for f in dataclasses.fields(schema.Config)}
    for group in kind.unused:
        only = next(f for f in dataclasses.fields(schema.Config) if f.name == group).metadata["only"]
        assert only not in (None, name), "a group that belongs to the identity of a kind is not unused"


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"no kind of cell 'merge'.*finetune, evaluate"):
        kind_of("merge")


@pytest.mark.parametrize(
    "line",
    ['cell.kind == "finetune"', '"evaluate" != kind', 'kind in ("finetune", "other")', 'kind not in {"evaluate"}'],
)
def test_a_comparison_with_a_name_is_noticed(line: str) -> None:
    assert comparisons(line) == [1]


def test_no_module_compares_the_kind_of_a_cell_with_a_literal() -> None:
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name not in BY_NAME:
            lines = comparisons(path.read_text())
            assert not lines, f"{name}, line {lines[0]}: ask for a property of the kind (paceline.config.cell_kinds)"
