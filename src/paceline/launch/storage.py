"""What the planned cells will write, against what is free: files and bytes, so that no sweep dies on a full disk.

Files are counted from what each part of a cell writes. Bytes are those of checkpoints and weights, which are nearly
all of them, where the size of a model's weights can be known without torch; where it can't be, that is said.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
import shutil
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paceline.attempts import checkpoints
from paceline.config.cell_kinds import kind_of
from paceline.config.checks import locate_weights
from paceline.config.identity import as_loaded
from paceline.config.joined_parts import is_joined, setting, source_name, sources
from paceline.config.schema import Config, ModelSpec
from paceline.counted import counted
from paceline.errors import PacelineError, Unavailable
from paceline.launch.elements import Element
from paceline.models.hub_files import cache, snapshot
from paceline.models.registry import says
from paceline.slurm.clients import call
from paceline.slurm.site import user
from paceline.store.cell_folder import Cell
from paceline.store.root import Store
from paceline.sweep.cells import PlannedCell

LFS_SECONDS = 10.0
# Files of one sweep besides its cells': sweep.json, held.json, and a submission's folders and words.
SUBMISSION = 16
# What stays of W&B's files once an attempt has ended: two folders, the log of the run, and an archive of the others.
PACKED = 4
# The library cuts weights into files of 5 GB or more.
SHARD = 5 * 10**9
WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Need:
    """What cells will write, if each comes through in one attempt.

    Attributes:
        files: files and folders while all cells run at once: a folder takes an inode too.
        kept: files and folders once all are done. Checkpoints go then, and what tracking wrote is packed.
        each: kind of cell -> what one cell of it keeps, of those that keep most.
        again: files and folders of one more attempt of every cell.
        bytes: at most, of the checkpoints and weights whose size is known.
        moving: what of that is for a while alone, to put states together for another number of ranks.
        finetunes: cells that write checkpoints.
        unknown: model -> why the size of its weights is not known here.
    """

    files: int
    kept: int
    each: Mapping[str, int]
    again: int
    bytes: int
    moving: int
    finetunes: int
    unknown: Mapping[str, str]

    def files_text(self) -> str:
        """The files in one line, for people."""
        each = " and ".join(f"{count} for each {kind} cell" for kind, count in self.each.items())
        return f"about {counted(self.files, 'file')} while all cells run, {self.kept:,} once they are done ({each})"


@dataclass(frozen=True)
class Room:
    """What may still be written. None: no limit, or none that is known."""

    by: str
    files: int | None
    bytes: int | None


@dataclass(frozen=True)
class Weights:
    """A model's weights as their files tell.

    Attributes:
        numbers: parameters.
        shapes: name -> shape of every tensor; empty where the files don't tell.
    """

    numbers: int
    shapes: Mapping[str, tuple[int, ...]]


# -- what will be written


def need(elements: Sequence[Element], planned: Iterable[PlannedCell], store: Store) -> Need:
    """What the cells of some elements will write under the root."""
    by_id = {p.id: p for p in planned}
    files, kept, again, size, moving, finetunes = SUBMISSION, SUBMISSION, 0, 0, 0, 0
    each: dict[str, int] = {}
    unknown: dict[str, str] = {}
    known: dict[tuple[str, str, str], Weights | str] = {}
    for element in elements:
        files += _element_files(element)
        kept += element.ranks  # a log of each
        for planned_cell in (by_id[c] for c in element.cells):
            cell, config = planned_cell.cell, planned_cell.config
            attempt = _attempt_files(cell, config)
            again += attempt
            files += _cell_files(cell, config) + attempt
            stays = _cell_files(cell, config) + _kept_of_attempt(cell, config)
            if not kind_of(cell.kind).trains:
                kept += stays
                each[cell.kind] = max(stays, each.get(cell.kind, 0))
                continue
            key = (config.model.name, source_name(config.model), config.model.revision)
            if key not in known:
                known[key] = weights_of(config.model)
            found = known[key]
            weights = _weights_files(config, found) + _pretraining_files(config)
            files += weights + 2  # their folder and training.json
            kept += stays + weights + 2
            each[cell.kind] = max(stays + weights + 2, each.get(cell.kind, 0))
            files += _checkpoint_files(config) * config.placement.keep_checkpoints
            files += (_weights_files(config, found) + 2) * _best(config)  # their folder and COMPLETE.json
            finetunes += 1
            if saved := checkpoints.newest(store.cell(cell.id)):
                moving += checkpoints.room_for_universal(saved, element.ranks)
            if isinstance(found, str):
                unknown[config.model.name] = found
            else:
                size += _bytes(config, found)
    return Need(files, kept, each, again, size + moving, moving, finetunes, unknown)


def _element_files(element: Element) -> int:
    """Submitit's folder, the pickled words, a log and a result of every rank; where ranks meet, a file a cell."""
    return 2 + 2 * element.ranks + (len(element.cells) if element.ranks > 1 else 0)


def _cell_files(cell: Cell, config: Config) -> int:
    """What a cell has once: two folders, ``cell.json``, ``DONE.json``; predictions, scores and metrics."""
    return kind_of(cell.kind).cell_files + (config.tracking.backend != "none")


def _attempt_files(cell: Cell, config: Config) -> int:
    """What each attempt has: a folder, start, heartbeat, end and log; a log and an end of every further rank."""
    kind = kind_of(cell.kind)
    ranks = config.placement.nodes * config.placement.ranks
    files = 5 + 2 * (ranks - 1) + kind.attempt_files
    if config.tracking.backend != "none":
        files += kind.tracking_files + (config.tracking.samples if kind.tracks_samples else 0)
    return files


def _kept_of_attempt(cell: Cell, config: Config) -> int:
    """What stays of an attempt that ended well: a folder, start, end and log; the history or the predictions."""
    ranks = config.placement.nodes * config.placement.ranks
    return 4 + (ranks - 1) + 1 + (PACKED if config.tracking.backend == "wandb" else 0)


def _weights_files(config: Config, found: Weights | str) -> int:
    """The weights, their config, and what the processor and the tokenizer need; more where the weights are cut."""
    if config.method.trains != "all":
        return 6
    shards = 1 if isinstance(found, str) else math.ceil(_published(config, found) / SHARD)
    return 7 + (shards if shards > 1 else 0)


def _checkpoint_files(config: Config) -> int:
    ranks = config.placement.nodes * config.placement.ranks
    if checkpoints.engine(config.deepspeed) == "torch":
        return 6 + ranks
    split = ranks if checkpoints.engine(config.deepspeed) == "zero3" else 1
    return 8 + split + 2 * ranks


def _pretraining_files(config: Config) -> int:
    """Of the phase of masked pictures: its folders, its attempt with a history, the encoder's folder and four files.

    Its checkpoints are gone before the tuning writes any.
    """
    return 9 if config.train.masked_image.epochs else 0


def _best(config: Config) -> int:
    """Validated weights kept beside the checkpoints: at most one for each, and the best."""
    if config.train.keep != "best":
        return 0
    return min(config.placement.keep_checkpoints + 1, config.train.validations)


def _trained(config: Config, weights: Weights) -> int:
    """Parameters that change, at most: frozen components are counted too."""
    if config.method.trains == "all":
        return weights.numbers
    lora = config.method.lora
    ends = tuple(f"{t}.weight" for t in lora.targets)
    return sum(
        lora.r * sum(shape) + lora.dora * shape[0]
        for name, shape in weights.shapes.items()
        if len(shape) == 2 and "embed" not in name and "lm_head" not in name and (not ends or name.endswith(ends))
    )


def _published(config: Config, weights: Weights) -> int:
    # Adapters are made in float32, whatever they stand on.
    width = WIDTHS[as_loaded(config).dtype] if config.method.trains == "all" else 4
    return _trained(config, weights) * width


def _bytes(config: Config, weights: Weights) -> int:
    """Weights, best weights, and checkpoints: those kept, and the one being written before an old one goes."""
    trained, published = _trained(config, weights), _published(config, weights)
    # Two moments of AdamW and the float32 weights; DeepSpeed keeps the weights in the model's format besides.
    checkpoint = 12 * trained + (0 if checkpoints.engine(config.deepspeed) == "torch" else published)
    encoder = _pretrained(config, weights)
    # Checkpoints of the pre-training are gone before the tuning's; the encoder, in float32, stays.
    largest = max(checkpoint, 12 * encoder)
    return published * (1 + _best(config)) + largest * (config.placement.keep_checkpoints + 1) + 4 * encoder


def _pretrained(config: Config, weights: Weights) -> int:
    """Parameters of the encoder that is pre-trained on masked pictures; all where the files don't tell it apart."""
    if not config.train.masked_image.epochs:
        return 0
    begins = (f"{says(config.model.family, 'masked_encoder', '')}.", "model.parts.vision.")
    found = sum(math.prod(shape) for name, shape in weights.shapes.items() if name.startswith(begins))
    return found or weights.numbers


# -- how large weights are


def weights_of(model: ModelSpec) -> Weights | str:
    """A model's weights by their files on this machine; or why they are not known here.

    Of a joined model those of its parts: the connector, which begins random, is small beside them.
    """
    if is_joined(model):
        parts = {setting(source): weights_of(source) for source in sources(model)}
        shapes: dict[str, tuple[int, ...]] = {}
        for name, found in parts.items():
            if isinstance(found, str):
                return f"{name}: {found}"
            shapes |= {f"{name}.{tensor}": shape for tensor, shape in found.shapes.items()}
        return Weights(sum(math.prod(shape) for shape in shapes.values()), shapes)
    try:
        source, revision = locate_weights(model)
    except PacelineError as error:
        return str(error)
    if not source:
        return "a twin is built on the node"
    if revision is None:
        return _weights_in(Path(source))
    folder = snapshot(source, revision)
    return _weights_in(folder) if folder.is_dir() else f"not in {cache()}"


@functools.cache
def _weights_in(folder: Path) -> Weights | str:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return f"no *.safetensors in {folder}"
    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        try:
            header = _header(path)
            shapes |= {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
            return f"{path} can't be read"
    return Weights(sum(math.prod(shape) for shape in shapes.values()), shapes)


def _header(path: Path) -> dict[str, dict[str, list[int]]]:
    """The header of a safetensors file: name -> dtype, shape, offsets."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > path.stat().st_size:
            raise ValueError("the header is longer than the file")
        header = json.loads(stream.read(length))
    if not isinstance(header, dict):
        raise ValueError("the header is no mapping")
    return header


# -- what is free


def rooms(root: Path) -> list[Room]:
    """What the file system of the root, and a Lustre quota where there is one, still let this user write."""
    folder = next(p for p in (root, *root.parents) if p.exists())
    found = os.statvfs(folder)
    # Some network file systems count no inodes, and say so by zeros.
    files = found.f_favail if found.f_files else None
    return [Room("the file system", files, found.f_bavail * found.f_frsize), *lustre_quota(folder)]


def lustre_quota(folder: Path) -> list[Room]:
    """The user's quota by Lustre's own client; none where there is none, or it gives no answer in time."""
    if not shutil.which("lfs"):
        return []
    try:
        text = call(["lfs", "quota", "-q", "-u", user(), str(folder)], LFS_SECONDS)
    except Unavailable:  # not a Lustre folder, too
        return []
    room = parse_quota(text)
    return [room] if room else []


def parse_quota(text: str) -> Room | None:
    """``lfs quota -q``: file system, KiB used, quota, limit, grace, files used, quota, limit, grace.

    A long path stands on a line of its own; a star marks what is over its quota; 0 is no limit.
    """
    words = text.split()
    start = next((i for i, word in enumerate(words) if word.startswith("/")), None)
    values = [] if start is None else words[start + 1 : start + 9]
    numbers = [re.sub(r"[^\d]", "", values[i]) for i in (0, 1, 2, 4, 5, 6)] if len(values) == 8 else []
    if not all(numbers) or not numbers:
        return None
    kib, kib_quota, kib_limit, files, files_quota, files_limit = map(int, numbers)
    most_kib, most_files = kib_limit or kib_quota, files_limit or files_quota
    return Room(
        "your Lustre quota",
        max(0, most_files - files) if most_files else None,
        max(0, most_kib - kib) * 1024 if most_kib else None,
    )
