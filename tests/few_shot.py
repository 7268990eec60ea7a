"""Prepared data of which examples are shown, for the tests of prompts with shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from paceline.config.identity import with_settled_shots
from paceline.config.schema import PromptSpec, ShotsSpec, TaskSpec
from paceline.data import samples
from paceline.data.conversations import question
from paceline.data.shots.shot_turns import ShotTurns
from paceline.models.conversation import Conversation
from paceline.store import files
from paceline.tasks.kind import Part

CAPTIONING = TaskSpec(
    name="captioning", kind="captioning", reader="stamps", target="{reference}", needs=["image", "text"]
)
COLOURS = ("red", "green", "blue")


def scene(seed: int, side: int = 64) -> Image.Image:
    """A picture that looks like no other seed's."""
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def prepared(
    root: Path, task: TaskSpec, pictures: Mapping[str, Sequence[int | Path]], **fields: Sequence[Any]
) -> list[dict[str, Any]]:
    """Data as ``prepare`` leaves it: split -> seeds of scenes, or files; ``fields`` hold a value for each sample."""
    folder = samples.dataset_folder(root, task)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    records = []
    for split, shown in pictures.items():
        for n, one in enumerate(shown):
            path = one if isinstance(one, Path) else folder / "images" / f"{split}-{n}.png"
            if not isinstance(one, Path):
                scene(one).save(path)
            record = {"id": f"{split}-{n}", "split": split, "references": [f"Picture {n} of {split}."]}
            own = {name: values[len(records)] for name, values in fields.items()}
            records.append({**record, **own, "image": str(path), "sha256": files.file_digest(path)})
    frozen(root, task, records)
    return records


def frozen(root: Path, task: TaskSpec, records: Sequence[Mapping[str, Any]]) -> None:
    """Write records as prepared data."""
    folder = samples.dataset_folder(root, task)
    folder.mkdir(parents=True, exist_ok=True)
    files.write_jsonl(folder / "samples.jsonl", records)
    splits = {split: sum(r["split"] == split for r in records) for split in dict.fromkeys(r["split"] for r in records)}
    bare = [{k: v for k, v in r.items() if k not in ("image", "images")} for r in records]
    files.write_json(folder / "manifest.json", {"digest": files.digest(bare), "splits": splits})


def shown(**shots: Any) -> PromptSpec:
    """A prompt of captions with shots, two if not said otherwise."""
    return PromptSpec(name="few", text="What is this?", shots=ShotsSpec(**{"count": 2, **shots}))


def settled(prompt: PromptSpec, task: TaskSpec = CAPTIONING) -> PromptSpec:
    """As a cell has it, where nothing is to be pinned."""
    return with_settled_shots(prompt, task)


def conversation(sample: Mapping[str, Any], turns: ShotTurns) -> Conversation:
    """A sample of captions as it is asked with its examples."""
    parts = (Part(),)
    shots = turns.turns(sample, parts)
    return question(sample, turns.chosen.prompt, turns.chosen.task, shots, parts)


def digest_of(root: Path, task: TaskSpec) -> str:
    """Of prepared data."""
    return samples.data_digest(root, task)
