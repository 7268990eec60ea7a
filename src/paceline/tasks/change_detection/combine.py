"""What several cells answer together: class by class the median of their counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paceline.store.files import canonical
from paceline.tasks.answers import Answers
from paceline.tasks.change_detection.score import scores_of
from paceline.tasks.metrics import PARSED

COMBINED = "median count"
COMBINED_NOTE = "the median of their counts, class by class; of yes and no the more frequent"


def combine(ensembles: Sequence[Sequence[Answers]]) -> list[Answers]:
    """What the members of each ensemble answer together; of an even number the lower median, of a tie no change."""
    return [_together(members) for members in ensembles]


def _together(members: Sequence[Answers]) -> Answers:
    first = members[0]
    truth, told = np.asarray(first.columns["truth"]), np.stack([np.asarray(m.columns["told"]) for m in members])
    flags = np.stack([m.scores["told_changed"] for m in members])
    joint = np.full(truth.shape, np.nan)
    outcomes, said, scores = [], [], []
    for i in range(len(first)):
        changes = first.columns["changes"][i]
        counts = told[np.isfinite(told[:, i, 0]), i]
        votes = flags[np.isfinite(flags[:, i]), i]
        changed: bool | None = None
        if len(counts):
            joint[i] = np.sort(counts, axis=0)[(len(counts) - 1) // 2]
            changed = bool(joint[i][np.array(changes)].any())
        elif len(votes):
            changed = bool(votes.sum() * 2 > len(votes))
        own = None if not len(counts) else [int(n) for n in joint[i]]
        scores.append(scores_of([int(n) for n in truth[i]], own, changes, changed))
        outcomes.append(PARSED.name if changed is not None else first.outcomes[i])
        value = {"changed": changed} | (
            {"counts": dict(zip(first.columns["classes"][i], own, strict=True))} if own else {}
        )
        said.append("" if changed is None else canonical(value))
    names = list(scores[0]) if scores else []
    values = {name: np.array([np.nan if s[name] is None else float(s[name] or 0) for s in scores]) for name in names}
    columns = {**first.columns, "told": joint, "label": tuple(said)}
    return Answers(first.samples, tuple(outcomes), values, columns, first.group_names, first.ids)
