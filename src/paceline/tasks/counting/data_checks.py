"""What prepared counts hide: how many are 0, which MAPE leaves out, and what an unread answer counts as."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.tasks.counting.fields import MEDIANS, TRAIN

if TYPE_CHECKING:
    from paceline.config.schema import TaskSpec

ZEROS = "counts_of_zero"


def data_checks(records: Sequence[Mapping[str, Any]], train: str) -> dict[str, Any]:
    """``counts_of_zero``: per split, how many of the true counts are 0."""
    zeros = Counter(str(record["split"]) for record in records if not record["count"])
    return {ZEROS: dict(sorted(zeros.items()))} if zeros else {}


def data_notes(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """The same of the splits that are evaluated, and the training median, or that there is none."""
    zeros, sizes = manifest.get(ZEROS, {}), manifest.get("splits", {})
    shown = [f"{split} {zeros[split]:,} of {sizes.get(split, 0):,}" for split in task.evaluate if zeros.get(split)]
    if shown:
        yield f"{task.name}: samples with a true count of 0, which MAPE leaves out: {', '.join(shown)}."
    yield f"{task.name}: {_median(manifest)}."


def data_lines(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """The same for ``prepare``."""
    zeros, sizes = manifest.get(ZEROS, {}), manifest.get("splits", {})
    if zeros:
        shown = ", ".join(f"{split} {n:,} of {sizes.get(split, 0):,}" for split, n in zeros.items())
        yield f"true counts of 0, which MAPE leaves out: {shown}"
    yield _median(manifest)


def _median(manifest: Mapping[str, Any]) -> str:
    median = manifest.get("common", {}).get(MEDIANS, {}).get(TRAIN)
    if median is None:
        return (
            f"no split '{TRAIN}', whose median an answer that was not read would count as: MAE, RMSE, MAPE and R² "
            "are those of read answers alone"
        )
    return f"an answer that was refused or not read counts as {median:g}, the median of split '{TRAIN}'"
