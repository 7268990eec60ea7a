"""What an answer says that is JSON: texts, each with what is said of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from paceline.tasks.multi_label.states import CLAIMED, DENIED, DOUBTED

_DEEPEST = 20
_NEGATIVE = re.compile(r"absent|missing|\bno\b|\bnot\b|\bnot_|excluded|negative|false", re.IGNORECASE)
_UNSURE = re.compile(r"possib|uncertain|unsure|maybe|likely|unclear", re.IGNORECASE)
_YES_NO = {"yes": CLAIMED, "true": CLAIMED, "present": CLAIMED, "1": CLAIMED} | dict.fromkeys(
    ("no", "false", "absent", "0", "not present", "none"), DENIED
)


def structured(text: str) -> Any:
    """The list or object that a text is; None where it is none."""
    content = text.strip()
    if not content.startswith(("[", "{")) or not content.endswith(("]", "}")):
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def leaves(value: Any, state: str = CLAIMED, depth: int = 0) -> Iterator[tuple[str, str]]:
    """The texts of a JSON value: what stands in lists, and keys that have yes, no, 1 or 0 as their value.

    A number that is neither says how much or how sure, so its key is doubted.
    """
    if isinstance(value, str):
        yield value, state
    elif isinstance(value, list) and depth < _DEEPEST:
        for one in value:
            yield from leaves(one, state, depth + 1)
    elif isinstance(value, Mapping) and depth < _DEEPEST:
        for key, one in value.items():
            if isinstance(one, bool | int | float | str) and (said := _YES_NO.get(str(one).strip().lower())):
                yield key, said if state == CLAIMED else state
            elif one is None or isinstance(one, int | float) or (isinstance(one, str) and _UNSURE.match(one)):
                yield key, DOUBTED
            else:
                of_key = DENIED if _NEGATIVE.search(key) else DOUBTED if _UNSURE.search(key) else state
                yield from leaves(one, of_key, depth + 1)
