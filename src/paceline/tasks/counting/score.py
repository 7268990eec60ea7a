"""How counts are read and held to the true ones.

An answer is right where its number is the true one. How far it is off is told in two ways: over all answers, where one
that was refused or not read counts as the median of the training split's true counts, and over the answers read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.tasks import short_answers
from paceline.tasks.counting.fields import MEDIANS, TRAIN
from paceline.tasks.counting.stated_count import count_in
from paceline.tasks.kind import Order
from paceline.tasks.metrics import MALFORMED, PARSED, Judged, Metric, Reading, Unit, outcome_shares

if TYPE_CHECKING:
    import numpy as np

    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.answers import Answers, Column
    from paceline.tasks.kind import Answer, Answered, Part

OUTCOMES = short_answers.OUTCOMES
ERROR, ALL_ERROR, OFF, ALL_OFF = "error", "all_error", "percentage_off", "all_percentage_off"


def _far(name: str, title: str, unit: str, score: str, *, of_set: bool = False, **more: Any) -> tuple[Metric, Metric]:
    """A figure over all answers, and over those read."""
    kind: dict[str, Any] = {"statistic": "set"} if of_set else {"skewed": True}
    both = ((name, title, f"all_{score}"), (f"{name}_read", f"{title} of read answers", score))
    return tuple(  # type: ignore[return-value]
        Metric(n, t, unit=unit, score=s, optional=s != score, redundant=s == score, **kind, **more) for n, t, s in both
    )


METRICS = (
    Metric("accuracy", score="right", hits=True, leads=True),
    Metric("wrong_share", "read and wrong", score="wrong", hits=True, lower_is_better=True, redundant=True),
    *_far("mae", "MAE", Unit("", 2), ERROR, lower_is_better=True),
    *_far("rmse", "RMSE", Unit("", 2), ERROR, of_set=True, lower_is_better=True),
    *_far("mape", "MAPE", Unit("%", 1), OFF, lower_is_better=True),
    *_far("r2", "R²", Unit("", 3), ERROR, of_set=True),
    *outcome_shares(OUTCOMES),
)
"""``accuracy``, ``wrong_share`` and the shares of refused and malformed answers are 1 together."""
HEADLINE = ("accuracy", "mae", "rmse", "r2", "parsed_share")
ORDER = Order(score=ERROR, unit="", name="error", metric="mae")
NOTE = (
    "In MAE, RMSE, MAPE and R² an answer that was refused or not read counts as the median of the training split's "
    "true counts; in those of read answers it does not count. MAPE leaves out answers whose true count is 0. "
    "RMSE and R² have no interval: it would be too short where a few large counts make them up."
)


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The number that an answer gives."""
    if "choices" in answer.data:
        if answer.text not in part.choices:
            return Reading(MALFORMED.name)
        number = float(answer.text)
        return Reading(PARSED.name, int(number) if number == int(number) else number, (0, len(answer.text)))
    if part.choices and short_answers.shows_letters(prompt):
        chosen = short_answers.read_choice(answer, part, by_letter=True)
        if chosen.outcome == PARSED.name:
            number = float(chosen.value)
            return Reading(PARSED.name, int(number) if number == int(number) else number, chosen.span)
    return count_in(answer.text, part.text)


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    """Right is the true number; without a training split there is no figure over all answers."""
    judged = []
    for answered in answers:
        truth = answered.sample["count"]
        median = (answered.sample.get(MEDIANS) or {}).get(TRAIN)
        number = answered.reading.value if answered.reading.outcome == PARSED.name else None
        scores: dict[str, float | bool | None] = {
            "right": number is not None and number == truth,
            "wrong": number is not None and number != truth,
            ERROR: None if number is None else abs(number - truth),
            OFF: None if number is None or not truth else 100 * abs(number - truth) / truth,
        }
        details: dict[str, Any] = {}
        if median is not None:
            counted = median if number is None else number
            scores |= {
                ALL_ERROR: abs(counted - truth),
                ALL_OFF: 100 * abs(counted - truth) / truth if truth else None,
            }
            details = {"counted_as": counted} if number is None else {}
        judged.append(Judged(truth, scores, details))
    return judged


def columns(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Column]:
    """``truth`` and ``number``, what was answered, float64 (n,), NaN where nothing was read; ``counted``, what the
    figures over all answers take.
    """
    import numpy as np

    numbers = [r.get("value") for r in records]
    counted = [
        value if value is not None else (r.get("details") or {}).get("counted_as")
        for r, value in zip(records, numbers, strict=True)
    ]
    return {
        "truth": np.array([_float(r.get("truth")) for r in records]),
        "number": np.array([_float(value) for value in numbers]),
        "counted": np.array([_float(value) for value in counted]),
    }


def _float(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


def resample(answers: Answers, often: np.ndarray) -> Mapping[str, np.ndarray]:
    """Root mean squared error, and the share of the true counts' variance that answers explain (R²).

    Resamples other than the whole have no value. Of counts a few are large, and their squares are most of all squares:
    percentile intervals of RMSE hold the truth in 77 to 86 % of draws of such counts, those of R² in 88 to 90 %.
    """
    import numpy as np

    names = [f"{name}{ending}" for ending in ("", "_read") for name in ("rmse", "r2")]
    found = {name: np.full(len(often), np.nan) for name in names}
    if len(often) > 1 or not (often == 1).all():
        return found
    truths = np.asarray(answers.columns["truth"])
    for ending, score in (("", ALL_ERROR), ("_read", ERROR)):
        errors = answers.scores.get(score, np.full(len(truths), np.nan))
        there = np.isfinite(errors)
        if there.any():
            squared = (errors[there] ** 2).mean()
            spread = truths[there].var()
            found[f"rmse{ending}"][:] = np.sqrt(squared)
            found[f"r2{ending}"][:] = 1 - squared / spread if spread else np.nan
    return found
