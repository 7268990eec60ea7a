"""What several cells answer together: by a vote on each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from paceline.tasks.metrics import MALFORMED, PARSED

if TYPE_CHECKING:
    from paceline.tasks.answers import Answers

COMBINED = "vote by class"
COMBINED_NOTE = "the classes that more than half of the members claim"


def combine(ensembles: Sequence[Sequence[Answers]]) -> list[Answers]:
    """What the members of each ensemble answer together; where no class has a majority, their answer is unread."""
    return [_majority(members) for members in ensembles]


def _majority(members: Sequence[Answers]) -> Answers:
    from paceline.tasks.answers import Answers

    first = members[0]
    claimed = []
    for ballot in zip(*(member.columns["claimed"] for member in members), strict=True):
        votes = Counter(name for names in ballot for name in names)
        claimed.append(tuple(name for name, n in votes.items() if 2 * n > len(members)))
    pairs = [(set(true), set(names)) for true, names in zip(first.columns["true"], claimed, strict=True)]
    right = np.array([len(true & names) for true, names in pairs], dtype=float)
    read = np.array([bool(names) for names in claimed])
    exact = np.array([true == names for true, names in pairs])
    scores = {
        "jaccard": right / np.array([len(true | names) for true, names in pairs]),
        "exact": exact * 1.0,
        "partly": (read & ~exact & (right > 0)) * 1.0,
        "wrong": (read & (right == 0)) * 1.0,
    }
    outcomes = tuple(PARSED.name if names else MALFORMED.name for names in claimed)
    columns: dict[str, Any] = {"true": first.columns["true"], "claimed": tuple(claimed), "ranked": ({},) * len(claimed)}
    return Answers(first.samples, outcomes, scores, columns, first.group_names, first.ids)
