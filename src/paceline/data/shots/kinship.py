"""Which examples give the answer to a sample away: the same sample, picture, text or group, or much the same look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from paceline import tasks
from paceline.config.schema import TaskSpec
from paceline.store.files import digest
from paceline.tasks.kind import digests_of, images_of

Record = Mapping[str, Any]


class Kin:
    """The examples that must not be shown with a sample.

    Args:
        task: names the kind, which says what ties samples together.
        examples: records of what may be shown, by ids of their own.
        alike: pairs of an evaluated sample's id and an example's, whose pictures look alike.
    """

    def __init__(self, task: TaskSpec, examples: Sequence[Record], alike: Iterable[tuple[str, str]]) -> None:
        kind = tasks.load(task.kind)
        self._group = kind.group or "group"
        self._shown = kind.shown
        self._by_trait: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._alike: dict[str, set[str]] = defaultdict(set)
        for example in examples:
            for trait in self._traits(example):
                self._by_trait[trait].add(example["id"])
        there = {example["id"] for example in examples}
        for sample, like in alike:
            if like in there:  # what was found when data was prepared is of the training split, whatever is shown
                self._alike[sample].add(like)

    def of(self, sample: Record) -> set[str]:
        """Ids of the examples that are kin to a sample."""
        found = set(self._alike.get(sample["id"], ()))
        for trait in self._traits(sample):
            found |= self._by_trait.get(trait, set())
        return found

    def _traits(self, record: Record) -> list[tuple[str, str]]:
        """What two samples must not share."""
        traits = [("id", str(record["id"])), *(("picture", sha256) for sha256 in digests_of(record))]
        if record.get(self._group) not in (None, ""):
            traits.append(("group", str(record[self._group])))
        if not images_of(record):
            shown = {name: record[name] for name in self._shown if name in record}
            own = ("id", "split", self._group)
            traits.append(("text", digest(shown or {k: v for k, v in record.items() if k not in own})))
        return traits
