"""What a frozen vision tower sees in the pictures of a run: looked at once, and kept from epoch to epoch.

Where nothing before the language model is trained, a picture looks the same at every visit. Its features then lie on
the node, and later visits neither decode the picture nor run the tower. They lie under TMPDIR in files without a name,
one of each rank, which all ranks of the node read: however a process ends, nothing is left of them.

Whether they are kept follows from the cell and its placement alone, because a feature made beside other pictures may
differ in its last bit: a run that is resumed does as it did before.
"""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import torch

from paceline.attempts import ranks as distributed
from paceline.attempts.run import Run
from paceline.config.identity import as_loaded
from paceline.counted import counted
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.tensors import Features
from paceline.training.stream import Conversations

SEEN_BY = ("vision", "connector", "backbone")
# Below so many visits of a picture, looking once more before the first step saves too little.
FEWEST_VISITS = 1.5


@dataclass(frozen=True)
class _Place:
    """Where the features of one picture lie: in which rank's file, from which byte, in what shape."""

    rank: int
    offset: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    more: Mapping[str, torch.Tensor]


class Remembered:
    """Samples whose pictures were looked at before."""

    def __init__(
        self, samples: Conversations, places: Mapping[int, Sequence[_Place]], files: Mapping[int, Any]
    ) -> None:
        self.samples = samples
        self.places = places
        self.files = files

    def __len__(self) -> int:
        return len(self.samples)

    def pictured(self, index: int) -> bool:
        """Whether the sample at an index has an image."""
        return self.samples.pictured(index)

    def extent(self, index: int) -> tuple[int, int]:
        """Letters and pixels of the sample at an index."""
        return self.samples.extent(index)

    def worded(self, index: int) -> Conversation:
        """The sample at an index without its picture."""
        return self.samples.worded(index)

    def __getitem__(self, index: int) -> Conversation:
        """The sample at an index, with features in place of its pictures."""
        if index not in self.places:
            return self.samples[index]
        seen = [self._read(place) for place in self.places[index]]
        return dataclasses.replace(self.samples.worded(index), images=seen)

    def _read(self, place: _Place) -> Features:
        size = math.prod(place.shape) * place.dtype.itemsize
        held = self.files[place.rank][place.offset : place.offset + size]
        return Features(torch.from_numpy(held).view(place.dtype).reshape(place.shape), place.more)


def unchanging(family: Family) -> bool:
    """Whether a picture looks the same at each step: nothing that it passes is trained, draws lots, or looks at others.

    LLM.int8() looks at others: a column that is large in one picture of a batch is computed otherwise in all of them.
    """
    network = family.bare_model()
    if not family.takes_features:
        return False
    if any(p.requires_grad and family.component_of(name) in SEEN_BY for name, p in network.named_parameters()):
        return False
    passed = [module for name, module in network.named_modules() if family.component_of(name) in SEEN_BY]
    if family.quantised == "int8":
        from bitsandbytes.nn import Linear8bitLt

        if any(isinstance(module, Linear8bitLt) for module in passed):
            return False
    return not any(map(_draws, passed))


def _draws(module: torch.nn.Module) -> bool:
    if isinstance(module, torch.nn.Dropout):
        return module.p > 0
    drop = getattr(module, "attention_dropout", 0.0)
    return isinstance(drop, int | float) and drop > 0


def worth(visits: int, samples: int, validations: int, validated: int) -> bool:
    """Whether pictures are met often enough.

    Args:
        visits: samples that training takes, of so many different ``samples``.
        validations: passes over the ``validated`` samples.
    """
    return visits + validations * validated >= FEWEST_VISITS * (samples + (validated if validations else 0))


def remember(
    run: Run, family: Family, splits: Sequence[tuple[Conversations, Sequence[int]]], together: int
) -> list[Any]:
    """Look at the pictures of some samples, and keep what was seen. Every rank calls it.

    Args:
        run: the attempt.
        family: loaded, in evaluation or training mode; its tower does not change (:func:`unchanging`).
        splits: samples, each with the different indices that the run will meet.
        together: so many pictures are looked at at a time.

    Returns:
        The splits' samples, as :class:`Remembered`; as they were where their features take more than
        ``placement.feature_gib``, or where one rank can't read what another keeps.
    """
    began = time.monotonic()
    ranks = run.config.placement.ranks if run.world > 1 else 1
    met = [(split, i) for split, (samples, indices) in enumerate(splits) for i in indices if samples.pictured(i)]
    mine = met[run.local_rank :: ranks]
    with tempfile.TemporaryFile(prefix="paceline-features-") as file:
        places: dict[tuple[int, int], list[_Place]] = {}
        _look(run, family, splits, mine[:together], file, places)
        size = distributed.total(torch.tensor([file.tell(), len(places)], dtype=torch.float64)).tolist()
        gib = size[0] / max(size[1], 1) * len(met) / 2**30
        if gib > run.config.placement.feature_gib:
            if run.rank == 0:
                run.note(
                    f"features of {counted(len(met), 'picture')} would take {gib:.1f} GiB: they are made anew "
                    "at each visit"
                )
            return [samples for samples, _ in splits]
        for first in range(together, len(mine), together):
            _look(run, family, splits, mine[first : first + together], file, places)
        file.flush()
        return _shared(run, splits, file, places, ranks, f"{counted(len(met), 'picture')}, {gib:.2f} GiB", began)


def _look(
    run: Run, family: Family, splits: Any, which: Sequence[tuple[int, int]], file: IO[bytes], places: dict[Any, Any]
) -> None:
    """Look at the pictures of some samples together, and write what is seen behind what is there."""
    if not which:
        return
    met = [splits[split][0][i] for split, i in which]
    shown = [conversation.all_images for conversation in met]
    with distributed.autocast(as_loaded(run.config).dtype):
        try:
            seen: Iterator[Features] = iter(family.features([image for row in shown for image in row]))
        except (ValueError, ArithmeticError):
            family.batch(met)  # names the sample whose picture can't be taken
            raise
    for at, row in zip(which, shown, strict=True):
        places[at] = []
        for feature in (next(seen) for _ in row):
            states = feature.states.detach().to("cpu").contiguous()
            places[at].append(_Place(run.rank, file.tell(), tuple(states.shape), states.dtype, feature.shape))
            file.write(states.view(torch.uint8).numpy().tobytes())


def _shared(
    run: Run, splits: Any, file: IO[bytes], places: dict[Any, Any], ranks: int, told: str, began: float
) -> list[Any]:
    """Open every file of this node's ranks, and put their places together."""
    node = run.rank // ranks
    path = f"/proc/{os.getpid()}/fd/{file.fileno()}"
    everything = distributed.gather((node, run.rank, path, places))
    files: dict[int, Any] = {}
    failed = ""
    try:
        for there, rank, name, found in everything:
            if there == node and found:
                files[rank] = np.memmap(name, np.uint8, mode="c")  # privately writable, or torch would warn
    except OSError as error:
        failed = str(error)
    # Once opened by all, a file may lose the name that /proc gives it.
    if distributed.any_rank(bool(failed)):
        run.note(
            f"features can't be shared on this node{f' ({failed})' * bool(failed)}: they are made anew at each visit"
        )
        return [samples for samples, _ in splits]
    if run.rank == 0:
        run.note(f"looked at {told}, in {time.monotonic() - began:.1f} s; later visits find what was seen")
    here: list[dict[int, Any]] = [{} for _ in splits]
    for there, _, _, found in everything:
        if there == node:
            for (split, i), listed in found.items():
                here[split][i] = listed
    return [Remembered(samples, known, files) for (samples, _), known in zip(splits, here, strict=True)]
