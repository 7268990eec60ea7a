"""What prepared captions hide: a test caption that is also trained on can be had by heart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.tasks.captioning.fields import references_of

if TYPE_CHECKING:
    from paceline.config.schema import TaskSpec


def data_checks(records: Sequence[Mapping[str, Any]], train: str) -> dict[str, Any]:
    """``trained_captions``: per other split, how many samples have a reference that is one of a training sample."""
    texts: dict[str, list[set[str]]] = {}
    for record in records:
        texts.setdefault(record["split"], []).append({text.casefold() for text in references_of(record)})
    trained = set().union(*texts.pop(train, []))
    if not trained:
        return {}
    counts = {split: sum(bool(captions & trained) for captions in samples) for split, samples in sorted(texts.items())}
    return {"trained_captions": counts}


def data_notes(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """How many captions of the splits that are evaluated are also trained on."""
    if shown := _shown(manifest, task.evaluate):
        yield f"{task.name}: samples with a reference that a training sample has too, word for word: {shown}."


def data_lines(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """The same of all splits."""
    if shown := _shown(manifest, manifest.get("trained_captions", {})):
        yield f"samples with a reference that a sample of {task.train} has too: {shown}"


def _shown(manifest: Mapping[str, Any], splits: Sequence[str] | Mapping[str, int]) -> str:
    counts, sizes = manifest.get("trained_captions", {}), manifest.get("splits", {})
    return ", ".join(f"{split} {counts[split]:,} of {sizes.get(split, 0):,}" for split in splits if split in counts)
