"""What prepared labels hide: texts of several labels that commas part, each of which is taken as one class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paceline.config.schema import TaskSpec

JOINED = "labels_with_commas"


def data_checks(records: Sequence[Mapping[str, Any]], train: str) -> dict[str, Any]:
    """``labels_with_commas``: labels whose parts between commas are all labels, or parts of other such labels."""
    labels = sorted({str(label) for record in records for label in record["labels"]})
    parts = {label: [part.strip() for part in label.split(",")] for label in labels}
    known = Counter(part for of_label in parts.values() for part in set(of_label))
    joined = [label for label in labels if len(parts[label]) > 1 and all(known[part] > 1 for part in parts[label])]
    return {JOINED: joined} if joined else {}


def data_notes(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """The same for the report."""
    for line in data_lines(manifest, task):
        yield f"{task.name}: {line}."


def data_lines(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """How many there are, the first of them, and the remedy."""
    if joined := manifest.get(JOINED):
        yield (
            f"labels that look like several, and count as one class each: {len(joined)}, such as '{joined[0]}'; "
            "labels of one picture are parted by ';' or '|', or are a list"
        )
