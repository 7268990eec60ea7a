"""What several cells count together: the median of the numbers that they answered."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from paceline.tasks.answers import Answers
from paceline.tasks.counting.score import ALL_ERROR, ALL_OFF, ERROR, OFF
from paceline.tasks.metrics import PARSED

COMBINED = "median"
COMBINED_NOTE = "the median of the numbers they answered, of two in the middle the smaller one"


def combine(ensembles: Sequence[Sequence[Answers]]) -> list[Answers]:
    """The median of each ensemble's numbers; a member that was not read has no voice."""
    return [_median(members) for members in ensembles]


def _median(members: Sequence[Answers]) -> Answers:
    first = members[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a sample that no member counted
        number = np.nanquantile(np.stack([m.columns["number"] for m in members]), 0.5, axis=0, method="lower")
    read = np.isfinite(number)
    truth = np.asarray(first.columns["truth"])
    counted = np.where(read, number, np.asarray(first.columns["counted"]))
    with np.errstate(divide="ignore", invalid="ignore"):
        error, all_error = np.abs(number - truth), np.abs(counted - truth)
        scores = {
            "right": (error == 0) * 1.0,
            "wrong": (read & (error != 0)) * 1.0,
            ERROR: error,
            OFF: np.where(truth > 0, 100 * error / truth, np.nan),
        }
        if ALL_ERROR in first.scores:
            scores |= {ALL_ERROR: all_error, ALL_OFF: np.where(truth > 0, 100 * all_error / truth, np.nan)}
    outcomes = tuple(PARSED.name if ok else first.outcomes[i] for i, ok in enumerate(read))
    columns = {**first.columns, "number": number, "counted": counted}
    return Answers(first.samples, outcomes, scores, columns, first.group_names, first.ids)
