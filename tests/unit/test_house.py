"""The folders keep what they promise: one meaning a name, short files, and a kind of task known to itself alone."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from paceline import tasks
from paceline.tasks.kind import FILES

SOURCE = Path(__file__).parents[2] / "src" / "paceline"
JOBS = SOURCE.parents[1] / "jobs"
MOST_LINES, MOST_LINES_OF_FUNCTION = 500, 80

# What is geolocation's own. A place's readers know it, and the words of the twins' tokenizer are part of every twin.
OF_GEOLOCATION = re.compile(
    r"(?<![a-z])(distances?|latitudes?|longitudes?|km|kilomet(?:er|re)s?|countr(?:y|ies)|gazetteer)(?![a-z])", re.I
)
MAY_KNOW_PLACES = ("tasks/geolocation/", "data/readers/earth.py", "data/readers/exif.py", "data/readers/sidecar.py")
TOKENIZER = "models/twins.py"

NAMED_BY_OTHERS = (("cli", "verbs"), ("gpu_memory", "cuts"))
CONTRACT = {*FILES, "__init__"}
"""Files that have one name, and one meaning, in the folder of every kind of task."""


def sources(*suffixes: str) -> list[Path]:
    return [p for p in sorted(SOURCE.rglob("*")) if p.suffix in suffixes and "__pycache__" not in p.parts]


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@pytest.mark.parametrize("path", sources(".py", ".js", ".j2", ".css"), ids=name_of)
def test_no_other_module_knows_geolocation(path: Path) -> None:
    name = name_of(path)
    if name.startswith(MAY_KNOW_PLACES) or name == TOKENIZER:
        return
    text = path.read_text(encoding="utf-8").replace("_", " ")
    assert not (words := sorted({m[0].lower() for m in OF_GEOLOCATION.finditer(text)})), (
        f"{name} names {', '.join(words)}: let the kind say it (docs/adding.md)"
    )


def test_a_modules_name_has_one_meaning() -> None:
    """A verb has the name of what it calls, a way to cut images the one that stored shapes give it, and the files of a
    kind of task have those of the contract.
    """
    places: dict[str, list[str]] = defaultdict(list)
    for path in sources(".py"):
        if path.parts[-3:-1] not in NAMED_BY_OTHERS and path.stem not in CONTRACT:
            places[path.stem].append(name_of(path))
    folders = {path.name: path for path in SOURCE.rglob("*") if path.is_dir()}
    for stem, names in places.items():
        beside = (SOURCE / names[0]).parent
        if stem in folders and folders[stem] not in (beside, beside / stem):
            names.append(f"{name_of(folders[stem])}/")
    twice = {stem: names for stem, names in places.items() if len(names) > 1}
    assert twice == {}


@pytest.mark.parametrize("path", [*sources(".py", ".js"), *sorted(JOBS.glob("*.py"))], ids=lambda p: p.name)
def test_a_file_and_a_function_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES, f"{path.name}: part it by what its definitions are about"
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= MOST_LINES_OF_FUNCTION, f"{path.name}: {node.name} has {length} lines"


def test_the_helpers_of_tasks_are_no_kinds() -> None:
    """A helper that was renamed would be taken for a kind of task."""
    for name in tasks.names():
        tasks.load(name).check()
