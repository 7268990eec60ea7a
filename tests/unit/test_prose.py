"""The form of the documents: short lines of prose, and decision records in three labelled parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 120
MOST_LINES = 20
# Written by `paceline report`, and a list of one-line descriptions from the code.
GENERATED = {"tests/unit/golden/report/report.md", "docs/reference.md"}
FOLDERS = ("docs", "slurm", "src", "tests", "conf", "jobs", "benchmarks")
DOCUMENTS = sorted(
    {str(p.relative_to(ROOT)) for p in (*ROOT.glob("*.md"), *(p for f in FOLDERS for p in (ROOT / f).rglob("*.md")))}
    - GENERATED
)
RECORDS = [name for name in DOCUMENTS if re.fullmatch(r"docs/decisions/\d{4}-[\w-]+\.md", name)]


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines outside code blocks, tables and lines that hold links alone."""
    code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            code = not code
        elif not (code or line.startswith("|") or re.fullmatch(r"\s*(- )?(!?\[[^]]*\]\([^)]*\)[\s.,;·]*)+", line)):
            yield number, line


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_line_of_prose_has_at_most_120_characters(name: str) -> None:
    text = (ROOT / name).read_text()
    assert [f"{name}:{n}: {len(line)} characters" for n, line in prose(text) if len(line) > LONGEST] == []


@pytest.mark.parametrize("name", RECORDS)
def test_a_decision_record_has_a_decision_a_reason_and_a_consequence(name: str) -> None:
    text = (ROOT / name).read_text()
    number = int(Path(name).name[:4])
    assert text.startswith(f"# {number}. ")
    assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == ["Decision", "Reason", "Consequence"]


@pytest.mark.parametrize("name", RECORDS)
def test_a_decision_record_has_at_most_20_lines_outside_tables(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    counted = [line for line in lines if line.strip() and not line.startswith("|")]
    assert len(counted) <= MOST_LINES, f"{name} has {len(counted)} lines: cut it (docs/decisions/README.md)"
