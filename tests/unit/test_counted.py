"""Counts read well: one cell, two cells, and every message takes its words from one place."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.counted import agree, counted

SOURCE = Path(__file__).parents[2] / "src" / "paceline"
# What people count in messages; tokens, ranks and minutes stand in formulas too, and in limits that are no counts.
NOUNS = "cells attempts files samples images pictures answers elements jobs checks findings pieces rows folders"
COUNT = re.compile(rf"^ (?:(?:done|running|more|matched|raw|evaluate|finetune) )?(?:{'|'.join(NOUNS.split())})\b")
# Messages that are sent only where there are at least two, or that still say it in their own words.
PLURAL = {"store/root.py", "cli/verbs/run.py", "cli/verbs/explain.py"}
PLURAL |= {"inference/explain.py", "report/consistency/published.py", "training/audits.py"}
PLURAL |= {"models/families/remote.py", "models/families/phi35_vision/processing.py", "data/readers/table/rows.py"}
PLURAL |= {"models/families/phi35_vision/modeling.py", "scoring/judge.py", "report/page/case_browser.py"}


@pytest.mark.parametrize(
    ("n", "noun", "text"),
    [
        (0, "cell", "0 cells"),
        (1, "cell", "1 cell"),
        (1234, "cell", "1,234 cells"),
        (2, "entry", "2 entries"),
        (2, "day", "2 days"),
        (2, "batch", "2 batches"),
        (1, "batch", "1 batch"),
        (2, "matched cell", "2 matched cells"),
    ],
)
def test_a_count_has_its_noun_in_the_right_number(n: int, noun: str, text: str) -> None:
    assert counted(n, noun) == text


@given(st.integers(0, 10**6), st.text("abcdy", min_size=1))
def test_only_one_thing_is_in_the_singular(n: int, noun: str) -> None:
    assert (counted(n, noun) == f"{n:,} {noun}") == (n == 1)
    assert agree(n, "is", "are") == ("is" if n == 1 else "are")


def test_messages_take_their_counts_from_one_place() -> None:
    """A number before a plural noun would say ``1 cells``."""
    bare = []
    for path in sorted(SOURCE.rglob("*.py")):
        if str(path.relative_to(SOURCE)) in PLURAL:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else []
            for before, after in pairwise(parts):
                if isinstance(before, ast.FormattedValue) and isinstance(after, ast.Constant):
                    # A constant of the module is no count, and never 1.
                    constant = isinstance(before.value, ast.Name) and before.value.id.isupper()
                    # ``model x answers by its own code``: a name, and a verb.
                    name = ast.unparse(before.value).endswith("name")
                    if not constant and not name and COUNT.match(str(after.value)):
                        bare.append(f"{path.relative_to(SOURCE)}:{node.lineno}: {ast.unparse(node)[:100]}")
    assert not bare, "\n".join(bare)
