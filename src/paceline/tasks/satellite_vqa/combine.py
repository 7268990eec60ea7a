"""What several cells answer together about a tile: by a vote on the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from paceline.tasks.answers import Answers
from paceline.tasks.labels import vote

COMBINED = "vote"
COMBINED_NOTE = "a vote on their answers"


def combine(ensembles: Sequence[Sequence[Answers]]) -> list[Answers]:
    """The class that most members gave; the types of the questions stay."""
    return [_with_type(vote(members), members) for members in ensembles]


def weighted(members: Sequence[Answers], weights: Sequence[float]) -> Answers:
    """The same of members whose voices have weights."""
    return _with_type(vote(members, weights), members)


def _with_type(answers: Answers, members: Sequence[Answers]) -> Answers:
    return replace(answers, columns={**answers.columns, "type": members[0].columns["type"]})
