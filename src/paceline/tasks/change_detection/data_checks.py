"""What changes prepared data holds, split by split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.counted import counted
from paceline.errors import DataError
from paceline.tasks.change_detection.fields import common
from paceline.tasks.kind import images_of

if TYPE_CHECKING:
    from paceline.config.schema import TaskSpec


def data_checks(records: Sequence[Mapping[str, Any]], train: str) -> dict[str, Any]:
    """``changes``: split -> its pairs, those without a change, and the count of each class.

    Raises:
        DataError: samples show no pictures.
    """
    if lacking := next((r["id"] for r in records if len(images_of(r)) != 2), None):
        raise DataError(f"sample '{lacking}' has no two pictures; name both: columns: {{images: [BEFORE, AFTER]}}")
    shared = common(records)
    classes = dict.fromkeys(shared["classes"], 0)
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        split = found.setdefault(record["split"], {"pairs": 0, "unchanged": 0, "counts": Counter(classes)})
        split["pairs"] += 1
        split["unchanged"] += not _total({**record, **shared})
        split["counts"].update(record["counts"])
    return {"changes": {name: {**one, "counts": dict(one["counts"])} for name, one in sorted(found.items())}}


def _total(sample: Mapping[str, Any]) -> int:
    from paceline.tasks.change_detection.fields import counts_of, unchanged_of

    unchanged = unchanged_of(sample)
    return sum(count for name, count in counts_of(sample).items() if name not in unchanged)


def data_lines(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """The counts of each split, and classes that are asked about and not trained on."""
    changes = manifest.get("changes", {})
    for split, one in changes.items():
        counts = ", ".join(f"{count:,} {name}" for name, count in one["counts"].items())
        yield f"{split}: {counted(one['pairs'], 'pair')}, {one['unchanged']:,} of them unchanged; {counts}"


def data_notes(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """Classes of the evaluated splits that nothing is trained on, and splits in which all pairs changed, or none."""
    changes = manifest.get("changes", {})
    trained = changes.get(task.train, {}).get("counts", {})
    for split in task.evaluate:
        one = changes.get(split)
        if one is None:
            continue
        new = [name for name, count in one["counts"].items() if count and trained and not trained.get(name)]
        if new:
            yield f"{task.name}: split '{split}' holds {', '.join(new)}, of which split '{task.train}' has none."
        if one["unchanged"] in (0, one["pairs"]):
            what = "no pair is unchanged" if not one["unchanged"] else "no pair changed"
            yield f"{task.name}: in split '{split}' {what}, so that balanced accuracy is of one side alone."
