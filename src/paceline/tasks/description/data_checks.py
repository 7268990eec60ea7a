"""What prepared data has that descriptions can be judged by, and names of objects that are no class of COCO."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.counted import agree, counted
from paceline.tasks.description.fields import texts

if TYPE_CHECKING:
    from paceline.config.schema import TaskSpec

MOST_NAMED = 5


def data_checks(records: Sequence[Mapping[str, Any]], train: str) -> dict[str, Any]:
    """``truths``: split -> field -> samples that have it. ``unknown_objects``: name -> samples, the most frequent."""
    from paceline.tasks.description.object_claims import class_of

    truths: dict[str, Counter[str]] = {}
    unknown: Counter[str] = Counter()
    for record in records:
        counts = truths.setdefault(record["split"], Counter())
        counts.update(name for name in ("references", "objects", "categories") if record.get(name) is not None)
        unknown.update(name for name in texts(record, "objects") if not class_of(name))
    found: dict[str, Any] = {
        "truths": {split: dict(sorted(counts.items())) for split, counts in sorted(truths.items())}
    }
    return found | ({"unknown_objects": dict(unknown.most_common(MOST_NAMED))} if unknown else {})


def data_notes(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """What descriptions of the evaluated splits are not judged by, and why."""
    truths, sizes = manifest.get("truths", {}), manifest.get("splits", {})
    for name, judged in _JUDGED_BY.items():
        have = sum(truths.get(split, {}).get(name, 0) for split in task.evaluate)
        of = sum(sizes.get(split, 0) for split in task.evaluate)
        if 0 < have < of:
            those = f"{have:,} of {counted(of, 'picture')} that {agree(have, 'has', 'have')} {name}"
            yield f"{task.name}: {judged} is over the {those}."
    yield from (f"{task.name}: {line}." for line in data_lines(manifest, task))


def data_lines(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """Names of objects that no claim can be held to."""
    if unknown := manifest.get("unknown_objects"):
        shown = ", ".join(f"{name} ({count:,})" for name, count in unknown.items())
        yield f"objects that are none of COCO's 80 classes, and so are not looked for in answers: {shown}"


_JUDGED_BY = {"references": "search", "objects": "CHAIR", "categories": "F1 of categories"}
