"""Which samples of a table are taken by the words that a field of theirs holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paceline.errors import UserError, nearest

NOT_CHOSEN = "lacks the words of task.options.where"


@dataclass(frozen=True)
class Where:
    """Field -> what one of its words must match; with ``least`` values of a list that must hold such a word."""

    patterns: Mapping[str, re.Pattern[str]]
    least: int = 1

    def check(self, fields: Mapping[str, Any]) -> None:
        """Take a sample by its fields, or refuse it.

        Raises:
            ValueError: it is not chosen.
            UserError: there is no such field.
        """
        for name, pattern in self.patterns.items():
            if name not in fields:
                raise UserError(f"task.options.where: no field '{name}': {nearest(name, fields)}")
            value = fields[name]
            values = value if isinstance(value, list | tuple) else [value]
            if sum(bool(pattern.search(text)) for text in values if isinstance(text, str)) < self.least:
                raise ValueError(NOT_CHOSEN)


def where(words: Mapping[str, Any], least: int) -> Where:
    """From the option: field -> words or phrases, of which one must stand in it, whole and in any case.

    Raises:
        UserError: what a field must hold is no list of words.
    """
    patterns = {}
    for name, listed in words.items():
        phrases = [listed] if isinstance(listed, str) else listed
        if not isinstance(phrases, list | tuple) or not all(isinstance(p, str) and p.split() for p in phrases):
            raise UserError(f"task.options.where.{name}: expected a list of words, got {listed!r}")
        if not phrases:
            raise UserError(f"task.options.where.{name}: names no word; take it out, or list some")
        one = "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in phrases)
        patterns[name] = re.compile(rf"(?<!\w)(?:{one})(?!\w)", re.IGNORECASE)
    return Where(patterns, least)
