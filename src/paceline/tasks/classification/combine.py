"""What several cells answer together: by a vote on labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from paceline.tasks import short_answers

if TYPE_CHECKING:
    from paceline.tasks.answers import Answers

COMBINED_NOTE = "a vote on the labels that they named"


def combine(ensembles: Sequence[Sequence[Answers]]) -> list[Answers]:
    """What the members of each ensemble answer together; exact where its first giver's answer is."""
    return short_answers.combine(ensembles)


def weighted(members: Sequence[Answers], weights: Sequence[float]) -> Answers:
    """The same of members whose voices have weights."""
    return short_answers.weighted(members, weights)
