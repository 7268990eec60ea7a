"""A list of texts in a cell of a table, as JSON or as Python writes it: the list, and not one text with brackets."""

from __future__ import annotations

import ast
import contextlib
import json
import re
from typing import Any


def listed(value: Any) -> Any:
    """The list of texts that a text holds; all else as it is."""
    if not isinstance(value, str) or not _LIST.fullmatch(value):
        return value
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            found = read(value.strip())
            if isinstance(found, list) and all(isinstance(text, str) for text in found):
                return found
    return value


_LIST = re.compile(r"\s*\[\s*(['\"].*['\"]\s*,?\s*)?\]\s*", re.DOTALL)
