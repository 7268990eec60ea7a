"""What a reader of a report must know: what the cells were made of, and which test data is trained on too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from paceline import tasks
from paceline.counted import agree, counted
from paceline.data import samples as prepared
from paceline.data import transfer_leakage
from paceline.errors import UserError

if TYPE_CHECKING:
    from paceline.config.schema import TaskSpec
    from paceline.report.read.sweep_results import Report


def notes(report: Report) -> Iterator[str]:
    """A sentence for each thing that a reader must know before the tables."""
    for model, folder in report.by_folder.items():
        yield (
            f"{model}: its cells name their weights by the folder {folder}, as an earlier version did; what it held "
            "then is not recorded."
        )
    for line in report.examples:
        yield f"P{line[1:]}; an example is never shown with a sample of its picture, look, text or group."
    weighing = {name for row in report.rows for name in row.weighed_by}
    for what, cells in (
        ("other prompts build on them", [cell for cell in report.unscored if cell.id not in weighing]),
        ("what is wrong of them weighs training samples", [cell for cell in report.unscored if cell.id in weighing]),
    ):
        if cells:
            prompts = ", ".join(sorted({cell.prompt for cell in cells}))
            lacking = {absent.id for absent in report.missing}
            done = sum(cell.id not in lacking for cell in cells)
            yield (
                f"Answers to {prompts} are not scored, and stand in no table: {what} "
                f"({done} of {counted(len(cells), 'cell')} answered, in their predictions.jsonl)."
            )
    others = [row for row in report.done if row.other_prompt]
    if others:
        pairs = sorted({(row.trained_with, row.prompt) for row in others})
        shown = "; ".join(f"trained on {a}, asked {b}" for a, b in pairs[:8])
        more = f"; and {counted(len(pairs) - 8, 'more pair')}" if len(pairs) > 8 else ""
        of = f"{len(others):,} of {counted(len(report.done), 'cell')}"
        yield f"Train and test prompts differ in {of} ({shown}{more})."
    for task, records in report.samples.items():
        if not records and any(row.task == task for row in report.done):
            yield (
                f"The prepared data of {task} is not under this root any more, so pictures are left out, and with "
                f"several splits comparisons too. It comes back with: paceline prepare task={task}"
            )
    for task, kind in report.kinds.items():
        if kind.module is None:
            yield f"{task}: its metrics alone are shown: {_why_not(kind.name)}"
    yield from transfer(report)
    for task, manifest in report.manifests.items():
        yield from held_out(task, report.tasks[task], manifest)
        yield from report.kinds[task].data_notes(manifest, report.tasks[task])


def _why_not(kind: str) -> str:
    """Why a kind can't be used, with the remedy."""
    try:
        tasks.load(kind)
    except UserError as error:
        return str(error)
    return ""


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
                f"{task}: {count} of {counted(groups['count'], 'group')} by {groups['field']} stand in {splits}; "
                "figures of samples that share a group with training samples may flatter."
            )


def transfer(report: Report) -> Iterator[str]:
    """How many cells are of transfer, and what the test data of each pair of tasks shares with the training data."""
    across = [row for row in report.done if row.transfer]
    if not across:
        return
    pairs = list(dict.fromkeys((row.trained_task, row.task) for row in across))
    shown = "; ".join(f"{trained} → {evaluated}" for trained, evaluated in pairs[:8])
    more = f"; and {len(pairs) - 8} more" if len(pairs) > 8 else ""
    of = f"{len(across)} of {counted(len(report.done), 'cell')}"
    yield f"Weights tuned on one task answer another in {of} ({shown}{more})."
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
        images = f"{counted(same, 'image')} of {test} {agree(same, 'is', 'are')}"
        yield f"{who}: {images} also in {train}, {how}; its figures flatter."
    if texts := kinds.get("text", 0):
        samples = f"{counted(texts, 'sample')} of {test} {agree(texts, 'is', 'are')}"
        yield f"{who}: {samples} also in {train}, word for word; its figures flatter."
    if looks := kinds.get("looks", 0):
        images = f"{counted(looks, 'image')} of {test} {agree(looks, 'looks', 'look')}"
        yield f"{who}: {images} like an image of {train} ({named} names them); its figures may flatter."
    if turned := kinds.get("turned", 0):
        images = f"{counted(turned, 'image')} of {test} {agree(turned, 'is', 'are')}"
        yield f"{who}: {images} also in {train}, mirrored or turned ({named} names them); its figures may flatter."
    if near := kinds.get("words", 0):
        samples = f"{counted(near, 'sample')} of {test} {agree(near, 'has', 'have')}"
        yield (
            f"{who}: {samples} a text that stands in {train} too, in nearly the same words ({named} names them); its "
            "figures may flatter."
        )
