"""Captioning's figures, and those of land-cover words: which stand in the references, and which an answer claims.

A word stands in the references where any of them says that it is there; an unread answer claims none. Precision, recall
and F1 are over all words of all samples together, as scikit-learn's micro averages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.tasks.captioning import score as captions
from paceline.tasks.captioning.fields import references_of
from paceline.tasks.captioning.score import ORDER, OUTCOMES, PACKAGES, read, score
from paceline.tasks.metrics import Metric
from paceline.tasks.multi_label import score as several
from paceline.tasks.satellite_captioning.cover_words import found

if TYPE_CHECKING:
    import numpy as np

    from paceline.tasks.answers import Answers

__all__ = ["HEADLINE", "METRICS", "NOTE", "ORDER", "OUTCOMES", "PACKAGES", "columns", "read", "resample", "score"]

COVER = tuple(
    Metric(f"cover_{name}", f"land-cover words {title}", lead="land-cover words", statistic="set", leads=name == "f1")
    for name, title in (("precision", "precision"), ("recall", "recall"), ("f1", "F1"))
)
METRICS = (*captions.METRICS[: -len(OUTCOMES)], *COVER, *captions.METRICS[-len(OUTCOMES) :])
HEADLINE = (*captions.HEADLINE[:-1], "cover_f1", captions.HEADLINE[-1])
NOTE = (
    f"{captions.NOTE} Land-cover words are those of a list, synonyms together: precision is the share of the words "
    "claimed that a reference of the picture has, recall the share of the references' words that are claimed."
)


def columns(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Those of captioning; ``true``, the words of the references, and ``claimed``, tuples; ``ranked`` is empty."""
    references = [references_of({"references": record.get("truth")}) for record in records]
    return captions.columns(records) | {
        "true": tuple(tuple(dict.fromkeys(word for text in texts for word in found(text))) for texts in references),
        "claimed": tuple(found(str(record.get("value") or "")) for record in records),
        "ranked": ({},) * len(records),
    }


def resample(answers: Answers, often: np.ndarray) -> dict[str, np.ndarray]:
    """Captioning's statistics, and the figures of words, on resamples: metric -> float64 (resamples,)."""
    words = several.resample(answers, often)
    return captions.resample(answers, often) | {f"cover_{name}": words[f"micro_{name}"] for name in several.FIGURES}
