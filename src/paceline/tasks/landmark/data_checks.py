"""What landmarks can be asked about: how many each category has, and where it has too few for choices of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.counted import counted
from paceline.tasks.landmark.fields import CHOICES, DISTRACTORS, data_counts

if TYPE_CHECKING:
    from paceline.config.schema import TaskSpec

CATEGORIES, FILLED, FEW = "landmark_categories", "filled_from_others", "fewer_choices"


def data_checks(records: Sequence[Mapping[str, Any]], train: str) -> dict[str, Any]:
    """``landmark_categories``: how many landmarks of each; ``filled_from_others``: per split, samples that have choices
    of another category because theirs has too few; ``fewer_choices``: those that have fewer choices than asked for.
    """
    sizes = data_counts(records)
    every = sum(sizes.values())
    filled, few = Counter[str](), Counter[str]()
    for record in records:
        if record.get("choices"):
            continue
        wanted, how = int(record.get("n_choices", CHOICES)), record.get("distractors", DISTRACTORS[0])
        own = sizes[str(record["category"])]
        there = {"same": own, "other": every - own + 1, "any": every}[how]
        filled[record["split"]] += there < wanted <= every
        few[record["split"]] += every < wanted
    found = {FILLED: filled, FEW: few}
    told = {name: {split: n for split, n in sorted(counts.items()) if n} for name, counts in found.items()}
    return {CATEGORIES: sizes, **{name: counts for name, counts in told.items() if counts}}


def data_notes(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """The samples whose choices are not all as the task wants them, of the splits that are evaluated."""
    for line in _told(manifest, task.evaluate):
        yield f"{task.name}: {line}."


def data_lines(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """The same of all splits, and the categories."""
    if sizes := manifest.get(CATEGORIES, {}):
        yield "landmarks: " + ", ".join(f"{name} {n:,}" for name, n in sizes.items())
    yield from _told(manifest, manifest.get("splits", {}))


def _told(manifest: Mapping[str, Any], splits: Sequence[str] | Mapping[str, int]) -> Iterator[str]:
    for name, what in (
        (FILLED, "choices of another category, as there are too few landmarks of the wanted one"),
        (FEW, "fewer choices than asked for, as there are too few landmarks"),
    ):
        counts = manifest.get(name, {})
        if shown := [f"{split} {counted(counts[split], 'sample')}" for split in splits if counts.get(split)]:
            yield f"{what}: {', '.join(shown)}"
