"""Which examples are shown with a sample: a function of the data, the prompt and its seed alone.

Draws are ranks of a hash of the seed and an id, so that they are the same everywhere, and a sample that is added
changes few of them. Examples that are kin to a sample (:mod:`paceline.data.shots.kinship`) are never shown with it;
what is shown with all samples is kin to none that is evaluated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from paceline import tasks
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.counted import agree, counted
from paceline.data.shots.kinship import Kin
from paceline.errors import DataError, UserError

if TYPE_CHECKING:
    from paceline.data.shots.vectors import Vectors

Record = Mapping[str, Any]
KIN_TO_NONE = "are left that are kin to no evaluated sample"


@dataclass(frozen=True)
class Shot:
    """What may be shown as an example.

    Attributes:
        record: as of a prepared sample; of a row of a file with an id of its own.
        answer: written by hand; None where the prompt's template gives it.
        part: name of the question that it answers; empty for all.
    """

    record: Record
    answer: str | None = None
    part: str = ""

    @property
    def id(self) -> str:
        """The record's."""
        return str(self.record["id"])


class Choice:
    """The choice of a prompt for a task.

    Args:
        task: whose samples are asked.
        prompt: with its shots in full (:func:`paceline.config.identity.with_settled_shots`).
        shots: what may be shown; of a file in its order.
        evaluated: every sample of the evaluated splits.
        alike: pairs of an evaluated sample's id and an example's, whose pictures look alike.
        vectors: of samples, where the nearest are shown.
    """

    def __init__(
        self,
        task: TaskSpec,
        prompt: PromptSpec,
        shots: Sequence[Shot],
        evaluated: Sequence[Record],
        alike: Iterable[tuple[str, str]],
        vectors: Vectors | None = None,
    ) -> None:
        self.task, self.prompt, self.spec = task, prompt, prompt.shots
        self.vectors = vectors
        self.evaluated = evaluated
        # In the order of their ids, which breaks ties; those of a file stay in its order.
        self.shots = list(shots) if self.spec.how == "file" else sorted(shots, key=lambda shot: shot.id)
        self.kin = Kin(task, [shot.record for shot in shots], alike)

    def of(self, sample: Record, part: str = "") -> list[Shot]:
        """What is shown with a sample before one of its questions, in the order in which it is shown.

        Raises:
            UserError: too few are left.
            DataError: one would give the sample's answer away.
        """
        kin = self.kin.of(sample)
        if self.spec.how == "nearest":
            return self._nearest(sample, kin)
        shown = self._for_part(part) if self.spec.how == "file" else self._same_for_all
        if len(shown) < self.spec.count:
            by_hand = self.spec.how == "file"
            few = self._too_few_rows(part, len(shown)) if by_hand else self._too_few(len(shown), KIN_TO_NONE)
            raise UserError(few)
        if leaks := [shot.id for shot in shown if shot.id in kin]:
            raise DataError(
                f"prompt {self.prompt.name}: example '{leaks[0]}' is kin to sample '{sample['id']}', so it is not "
                "shown with it: prepare the data and the prompt again, and submit again"
            )
        return shown

    def problems(self) -> list[str]:
        """Why the choice can't be made for every sample that is evaluated, with numbers; empty where it can."""
        name, count = self.prompt.name, self.spec.count
        if self.spec.how == "file":
            rows = [shot for shot in self.shots if shot.id in self._kin_of_any]
            if rows:
                more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
                return [
                    f"prompt {name}: example {rows[0].id}{more} of its file {agree(len(rows), 'is', 'are')} kin to "
                    f"samples that are evaluated (the same picture, look, text or group, such as "
                    f"'{self._kin_of_any[rows[0].id]}'): show others"
                ]
            parts = sorted({shot.part for shot in self.shots} - {""}) or [""]
            few = [(part, found) for part in parts if (found := len(self._for_part(part))) < count]
            return [self._too_few_rows(*few[0])] if few else []
        if self.spec.how == "nearest":
            left = {str(s["id"]): len(self.shots) - len(self.kin.of(s)) for s in self.evaluated}
            least = min(left, key=lambda sample: left[sample], default="")
            if least and left[least] < count:
                return [self._too_few(left[least], f"are left that are not kin to sample '{least}'")]
            return []
        try:
            found = len(self._same_for_all)
        except UserError as error:
            return [str(error)]
        if found < count:
            return [self._too_few(found, KIN_TO_NONE)]
        return []

    def _too_few(self, left: int, why: str) -> str:
        return (
            f"prompt {self.prompt.name} shows {counted(self.spec.count, 'example')}: of "
            f"{counted(len(self.shots), 'sample')} of split '{self.spec.split}' {left} {why} (the same picture, look, "
            "text or group); lower prompt.shots.count, or give another prompt.shots.split"
        )

    def _too_few_rows(self, part: str, there: int) -> str:
        of = f" for question '{part}'" if part else ""
        return f"prompt {self.prompt.name} shows {counted(self.spec.count, 'example')}, and its file has {there}{of}"

    def _for_part(self, part: str) -> list[Shot]:
        return [shot for shot in self.shots if shot.part in ("", part)][: self.spec.count]

    @cached_property
    def _kin_of_any(self) -> dict[str, str]:
        """Example -> an evaluated sample that it is kin to."""
        return {shot: str(sample["id"]) for sample in self.evaluated for shot in self.kin.of(sample)}

    @cached_property
    def _same_for_all(self) -> list[Shot]:
        free = [shot for shot in self.shots if shot.id not in self._kin_of_any]
        ranked = sorted(free, key=lambda shot: self._rank(shot.id))
        if self.spec.how == "fixed":
            return ranked[: self.spec.count]
        classes: dict[str, list[Shot]] = {}
        for shot in ranked:
            classes.setdefault(self._class_of(shot), []).append(shot)
        drawn = sorted(classes, key=lambda name: self._rank("class", name))
        rounds = max(map(len, classes.values()), default=0)
        spread = [classes[name][k] for k in range(rounds) for name in drawn if k < len(classes[name])]
        return spread[: self.spec.count]

    def _rank(self, *names: str) -> bytes:
        return hashlib.sha256("\0".join((str(self.spec.seed), *names)).encode()).digest()

    def _class_of(self, shot: Shot) -> str:
        field = self.spec.field
        value = shot.record.get(field)
        if value is None:
            value = tasks.load(self.task.kind).fields(shot.record, self.task).get(field)
        if value is None or isinstance(value, list | dict):
            there = ", ".join(sorted(k for k, v in shot.record.items() if isinstance(v, str | int)))
            raise UserError(
                f"prompt {self.prompt.name}: prompt.shots.field: sample '{shot.id}' of task {self.task.name} has no "
                f"class in '{field}' (its fields: {there})"
            )
        return str(value)

    def _nearest(self, sample: Record, kin: set[str]) -> list[Shot]:
        if self.vectors is None:
            raise DataError(f"prompt {self.prompt.name}: there are no vectors to compare samples by")
        order = self.vectors.nearest(str(sample["id"]), [shot.id for shot in self.shots])
        near: list[Shot] = []
        for place in order:
            if len(near) == self.spec.count:
                break
            if self.shots[place].id not in kin:
                near.append(self.shots[place])
        if len(near) < self.spec.count:
            raise UserError(self._too_few(len(near), f"are left that are not kin to sample '{sample['id']}'"))
        return near[::-1]
