"""What a reader must know of test data that is trained on too: in one task, or by weights tuned on another task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from paceline.data import samples as prepared
from paceline.data import transfer_leakage
from paceline.errors import UserError

if TYPE_CHECKING:
    from paceline.config.schema import TaskSpec
    from paceline.report.read.sweep_results import Report


def held_out(task: str, spec: TaskSpec, manifest: Mapping[str, Any]) -> Iterator[str]:
    """How many test images, texts and groups are in the training split too, as counted when it was prepared."""
    for split in spec.evaluate:
        copies = manifest.get("leaks", {}).get(split, 0)
        kinds = manifest.get("leakage", {}).get(split) or {"bytes": copies, "pixels": 0, "looks": 0}
        yield from _told(task, split, spec.train, kinds, "leakage.jsonl beside the prepared data")
    groups = manifest.get("groups", {})
    for splits, count in groups.get("shared", {}).items():
        if spec.train in splits.split(", "):
            yield (
                f"{task}: {count} of {groups['count']} groups by {groups['field']} stand in {splits}; figures of "
                "samples that share a group with training samples may flatter."
            )


def transfer(report: Report) -> Iterator[str]:
    """How many cells are of transfer, and what the test data of each pair of tasks shares with the training data."""
    across = [row for row in report.done if row.transfer]
    if not across:
        return
    pairs = list(dict.fromkeys((row.trained_task, row.task) for row in across))
    shown = "; ".join(f"{trained} → {evaluated}" for trained, evaluated in pairs[:8])
    more = f"; and {len(pairs) - 8} more" if len(pairs) > 8 else ""
    yield f"Weights tuned on one task answer another in {len(across)} of {len(report.done)} cells ({shown}{more})."
    for trained, evaluated in pairs:
        counts = _counts(report, trained, evaluated)
        if counts is None:
            yield (
                f"{trained} → {evaluated}: whether {trained} trains on test data of {evaluated} is not known here; "
                f"run: paceline prepare task={evaluated} train.task={trained}"
            )
            continue
        train = f"{report.trained[trained][0].train} of {trained}"
        for test, kinds in counts.items():
            named = f"transfer/ beside the prepared data of {evaluated}"
            yield from _told(f"{trained} → {evaluated}", test, train, kinds, named)


def _counts(report: Report, trained: str, evaluated: str) -> Mapping[str, Mapping[str, int]] | None:
    """Counts of what is in both, of the data that the cells were made of; None where they are not there."""
    task, digest = report.trained[trained]
    try:
        if prepared.data_digest(report.store.root, task) != digest or not report.manifests[evaluated]:
            return None
        return transfer_leakage.read(report.store.root, task, report.tasks[evaluated])
    except UserError:
        return None


def _told(who: str, test: str, train: str, kinds: Mapping[str, int], named: str) -> Iterator[str]:
    """The counts of one test split by kind, a sentence each."""
    if same := kinds.get("bytes", 0) + kinds.get("pixels", 0):
        how = "byte for byte" if same == kinds["bytes"] else "byte for byte or pixel for pixel"
        yield f"{who}: {same} images of {test} are also in {train}, {how}; its figures flatter."
    if kinds.get("text"):
        yield f"{who}: {kinds['text']} samples of {test} are also in {train}, word for word; its figures flatter."
    if kinds.get("looks"):
        yield (
            f"{who}: {kinds['looks']} images of {test} look like an image of {train} ({named} names them); its figures "
            "may flatter."
        )
