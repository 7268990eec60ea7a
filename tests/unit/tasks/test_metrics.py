"""The metrics of a cell promise intervals that claim no more than the answers tell."""

from __future__ import annotations

import numpy as np
import pytest

from paceline import stats
from paceline.tasks.answers import Answers
from paceline.tasks.metrics import Metric, aggregate

NAMES = tuple("abcdefgh")
CREDIT = Metric("credit", score="credit")


def answers(values: list[float], groups: str = "") -> Answers:
    return Answers(NAMES, ("parsed",) * 8, {"credit": np.array(values)}, group_names=tuple(groups))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_parts_of_one_that_are_all_0_or_all_1_are_not_certain(value: float) -> None:
    wilson = stats.wilson_interval(8 * int(value), 8)
    figure = aggregate(answers([value] * 8), (CREDIT,))["credit"]
    assert (figure["low"], figure["high"]) == (wilson.low, wilson.high)
    assert figure["high"] - figure["low"] > 0.3
    of_four = aggregate(answers([value] * 8, "aabbccdd"), (CREDIT,))["credit"]
    assert of_four["high"] - of_four["low"] > 0.5


def test_numbers_that_are_no_parts_of_one_keep_their_interval() -> None:
    figure = aggregate(answers([0.0] * 8), (Metric("words", score="credit", unit="words"),))["words"]
    assert (figure["value"], figure["low"], figure["high"]) == (0, 0, 0)
