"""What prepared tiles hide: tiles of one scene on both sides of a split are neighbours, and look alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.counted import counted

if TYPE_CHECKING:
    from paceline.config.schema import TaskSpec

SCENES = "scenes_trained_on"


def data_checks(records: Sequence[Mapping[str, Any]], train: str) -> dict[str, Any]:
    """``scenes_trained_on``: per other split, how many of its tiles are cut out of a scene that is trained on."""
    tiles: dict[str, dict[str, str]] = defaultdict(dict)
    for record in records:
        if record.get("scene") and record.get("tile"):
            tiles[str(record["split"])][str(record["tile"])] = str(record["scene"])
    trained = set(tiles.pop(train, {}).values())
    counts = {split: sum(scene in trained for scene in scenes.values()) for split, scenes in sorted(tiles.items())}
    return {SCENES: counts} if any(counts.values()) else {}


def data_notes(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """How many tiles of the splits that are evaluated have neighbours that are trained on."""
    if shown := _shown(manifest, task.evaluate):
        yield f"{task.name}: cut out of a scene of which other tiles are trained on: {shown}."


def data_lines(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """The same of all splits."""
    if shown := _shown(manifest, manifest.get(SCENES, {})):
        yield f"cut out of a scene of which other tiles are in {task.train}: {shown}"


def _shown(manifest: Mapping[str, Any], splits: Sequence[str] | Mapping[str, int]) -> str:
    counts = manifest.get(SCENES, {})
    return ", ".join(f"{split} {counted(counts[split], 'tile')}" for split in splits if counts.get(split))
