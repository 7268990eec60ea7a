"""How counts of changes are read and held to the truth.

Counting F1 of a class: of all that is told and all that is there, over all pairs, the smaller of both in each pair is
right. Presence F1 asks only whether the class is there, pair by pair, as scikit-learn defines it. xView2's own score is
of pixels; no counts give it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.tasks.answer_phrases import ALTERNATIVE, DENIES_ITS_YES, HEDGE, REFUSAL, plain_marks, said
from paceline.tasks.change_detection.fields import CountsPart, counts_of, unchanged_of
from paceline.tasks.change_detection.told_counts import read_counts, says_nothing_changed
from paceline.tasks.kind import Order
from paceline.tasks.metrics import MALFORMED, PARSED, REFUSED, Judged, Metric, Reading, outcome_shares

if TYPE_CHECKING:
    import numpy as np

    from paceline.config.schema import PromptSpec, TaskSpec
    from paceline.tasks.answers import Answers, Column
    from paceline.tasks.kind import Answer, Answered, Part

OUTCOMES = (PARSED, REFUSED, MALFORMED)
METRICS = (
    Metric("accuracy", score="right", hits=True, leads=True),
    Metric("macro_f1", "macro F1 of counts", statistic="set"),
    Metric("micro_f1", "micro F1 of counts", statistic="set", redundant=True),
    Metric("presence_macro_f1", "macro F1 of presence", statistic="set", redundant=True),
    Metric("balanced_accuracy", "changed or not: balanced accuracy", statistic="set"),
    Metric("changed_accuracy", "changed or not", score="changed_right", hits=True, redundant=True),
    Metric("total_error", "error of the total", unit="changes", score="total_error", lower_is_better=True, decimals=2),
    Metric("total_accuracy", "total right", score="total_right", hits=True, redundant=True),
    Metric(
        "absent_share",
        "leaves out a class",
        score="absent",
        hits=True,
        lower_is_better=True,
        redundant=True,
        optional=True,
    ),
    Metric(
        "unknown_share",
        "names no class",
        score="unknown",
        hits=True,
        lower_is_better=True,
        redundant=True,
        optional=True,
    ),
    Metric("wrong_share", "read and wrong", score="wrong", hits=True, lower_is_better=True, redundant=True),
    *outcome_shares(OUTCOMES),
)
HEADLINE = ("accuracy", "macro_f1", "balanced_accuracy", "total_error", "parsed_share")
NOTE = (
    "Accuracy: every count is the true one; where a prompt asks for yes or no alone, that. F1 is over the classes "
    "that truths or answers have; an unread answer tells of no change. The error of the total is of answers that give "
    "counts. xView2's own score is of pixels, and can't be had from counts."
)
LEAST = {"macro_f1": 50, "presence_macro_f1": 50, "micro_f1": 25, "balanced_accuracy": 25}
"""Groups that hold the rarest class, below which a statistic has no interval: of fewer, resamples lie too low."""

ORDER = Order("total_error", "miscounted", "miscount", off="", metric="total_error")

# -- reading

_YES, _NO = re.compile(r"yes\b", re.IGNORECASE), re.compile(r"no(?=\s*[,.;:!–—-]|\s*$)", re.IGNORECASE)
_SAYS_YES, _SAYS_NO = re.compile(r"\byes\b", re.IGNORECASE), re.compile(r"\bno\b\s*(?:[,.;!]|$)", re.IGNORECASE)
_FLAG = re.compile(
    r"\{\s*\"?(?:has_?|is_?)?(?:any_?)?chang(?:e|es|ed)(?:_detected)?\"?\s*:\s*\"?(?:(true|yes)|false|no)\"?\s*,?\s*\}",
    re.IGNORECASE,
)


def asks_for_counts(prompt: PromptSpec) -> bool:
    """Whether a prompt shows the classes; another may be answered by yes or no."""
    return "{classes}" in prompt.text or "{classes}" in prompt.system


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The counts of an answer, ``{changed, counts}``; where the prompt asks for none, also yes or no: ``{changed}``."""
    classes = part.classes if isinstance(part, CountsPart) else ()
    unchanged = part.unchanged if isinstance(part, CountsPart) else ()
    if not asks_for_counts(prompt) and (changed := _yes_or_no(answer.text)) is not None:
        return Reading(PARSED.name, {"changed": changed})
    told = read_counts(answer.text, classes)
    if told.outcome != PARSED.name:
        return Reading(told.outcome)
    data = {"absent": [name for name in classes if name not in told.counts], "unknown": list(told.unknown)}
    changed = any(count for name, count in told.counts.items() if name not in unchanged)
    return Reading(PARSED.name, {"changed": changed, "counts": told.counts}, data=data)


def _yes_or_no(text: str) -> bool | None:
    plain = plain_marks(text[slice(*said(text))])
    if flag := _FLAG.fullmatch(plain):
        return flag[1] is not None
    if says_nothing_changed(plain):
        return False
    yes, no = _YES.match(plain), _NO.match(plain)
    unsure = HEDGE.search(plain) or ALTERNATIVE.search(plain) or REFUSAL.match(plain) or DENIES_ITS_YES.match(plain)
    if unsure or not (yes or no) or (_SAYS_YES.search(plain) and _SAYS_NO.search(plain)):
        return None
    return bool(yes)


# -- scoring


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    """Hold counts, their total, and whether anything changed to the truth."""
    return [_judged(one) for one in answers]


def _judged(one: Answered) -> Judged:
    truth, unchanged = counts_of(one.sample), unchanged_of(one.sample)
    value: Mapping[str, Any] = one.reading.value or {}
    counts = value.get("counts")
    told = None if counts is None else [counts.get(name, 0) for name in truth]
    changes = [name not in unchanged for name in truth]
    changed = value.get("changed") if one.reading.outcome == PARSED.name else None
    scores = scores_of(list(truth.values()), told, changes, changed)
    if told is not None:
        scores |= {name: bool(one.reading.data.get(name)) for name in ("absent", "unknown")}
    details = {name: one.reading.data[name] for name in ("absent", "unknown") if one.reading.data.get(name)}
    return Judged(truth, scores, {"classes": list(truth), "changes": changes, **details})


def scores_of(
    truth: Sequence[int], told: Sequence[int] | None, changes: Sequence[bool], changed: bool | None
) -> dict[str, float | bool | None]:
    """The scores of one answer.

    Args:
        truth: the count of each class.
        told: that of the answer; None where it gives none.
        changes: which classes are a change.
        changed: whether the answer says that anything changed; None where it was not read.
    """
    true_total = sum(n for n, is_change in zip(truth, changes, strict=True) if is_change)
    told_total = None if told is None else sum(n for n, is_change in zip(told, changes, strict=True) if is_change)
    read, changed_right = changed is not None, changed == bool(true_total)
    right = read and (changed_right if told is None else list(told) == list(truth))
    only_changed = read and told is None  # it was not asked for more
    return {
        "right": right,
        "wrong": read and not right,
        "changed_right": read and changed_right,
        "total_error": None if told_total is None else abs(told_total - true_total),
        "total_right": None if only_changed else told_total == true_total,
        "true_total": true_total,
        "told_total": told_total,
        "told_changed": changed,
    }


# -- statistics of the set


def columns(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Column]:
    """What is counted, as arrays.

    ``classes`` names the classes and ``changes`` which of them are a change, the same tuples for every question.
    ``truth`` and ``told``, float64 (n, classes): NaN where an answer gives no counts. ``label``: what was read, as
    canonical JSON, or empty text.
    """
    import numpy as np

    from paceline.store.files import canonical

    told_of = [record["details"] for record in records]  # what is stored has no order of its keys
    of = {name: flag for d in told_of for name, flag in zip(d["classes"], d["changes"], strict=True)}
    classes = tuple(of)
    truth, told = np.zeros((len(records), len(classes))), np.full((len(records), len(classes)), np.nan)
    label = []
    for row, record in enumerate(records):
        value = record.get("value") or {}
        truth[row] = [record["truth"].get(name, 0) for name in classes]
        if "counts" in value:
            told[row] = [value["counts"].get(name, 0) for name in classes]
        label.append(canonical(value) if value else "")
    same = tuple(of[name] for name in classes)
    return {
        "classes": (classes,) * len(records),
        "changes": (same,) * len(records),
        "truth": truth,
        "told": told,
        "label": tuple(label),
    }


def changed_name(changed: object) -> str:
    """What a pair is called in a matrix."""
    return "changed" if changed else "unchanged"


def resample(answers: Answers, often: np.ndarray) -> Mapping[str, np.ndarray]:
    """F1 of counts and of presence, class by class (``f1 NAME``, ``presence NAME``) and over all; balanced accuracy.

    Means are over the classes that truths or answers of the resample have, as scikit-learn's of ``zero_division=nan``.
    Where too few groups hold the rarest class, resamples other than the whole have no value.
    """
    import numpy as np

    truth, told = np.asarray(answers.columns["truth"]), np.asarray(answers.columns["told"])
    classes = answers.columns["classes"][0]
    given = np.nan_to_num(told)
    whole = len(often) == 1 and bool((often == 1).all())
    there = _least_groups(answers, truth > 0)
    found: dict[str, np.ndarray] = {}
    nothing = np.full(len(often), np.nan)
    asked = bool(np.isfinite(told).any()) or not answers.parsed.any()
    for prefix, of, tells in (("f1", truth, given), ("presence", truth > 0, given > 0)):
        both = often @ np.minimum(of, tells).astype(float)
        sums = often @ (of.astype(float) + tells)
        with np.errstate(divide="ignore", invalid="ignore"):
            by_class = np.where(sums > 0, 2 * both / sums, np.nan)
            over_all = 2 * both.sum(axis=1) / sums.sum(axis=1)
            macro = np.nansum(by_class, axis=1) / np.isfinite(by_class).sum(axis=1)
        known = asked and (whole or there >= LEAST["macro_f1"])
        found["macro_f1" if prefix == "f1" else "presence_macro_f1"] = macro if known else nothing
        if prefix == "f1":
            found["micro_f1"] = over_all if asked and (whole or there >= LEAST["micro_f1"]) else nothing
        for at, name in enumerate(classes):
            enough = whole or _least_groups(answers, truth[:, at : at + 1] > 0) >= LEAST["macro_f1"]
            found[f"{prefix} {name}"] = by_class[:, at] if asked and enough else nothing
    found["balanced_accuracy"] = _balanced(answers, often, whole)
    return found


def _balanced(answers: Answers, often: np.ndarray, whole: bool) -> np.ndarray:
    """Mean over changed and unchanged pairs of the share told right; an unread answer is a miss."""
    import numpy as np

    changed = answers.scores["true_total"] > 0
    right = np.nan_to_num(answers.scores["changed_right"])
    sides = np.stack([changed, ~changed], axis=1)
    of, hits = often @ sides.astype(float), often @ (sides * right[:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = np.where(of > 0, hits / of, 0.0).sum(axis=1) / (of > 0).sum(axis=1)
    enough = whole or _least_groups(answers, sides) >= LEAST["balanced_accuracy"]
    return np.asarray(recall if enough else np.full(len(often), np.nan))


def _least_groups(answers: Answers, holds: np.ndarray) -> int:
    """How many groups hold the rarest of some classes that are there; ``holds`` is bool (n, classes)."""
    import numpy as np

    return min((len(np.unique(answers.groups[column])) for column in holds.T if column.any()), default=0)
