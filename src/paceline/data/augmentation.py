"""Pictures that training shows otherwise at every visit, drawn by the sample and the visit alone. Imports no torch.

``flip``      mirrored left to right, every second time.
``rotate90``  turned by 0, 1, 2 or 3 quarter turns.
``crop``      a part with sides of 80 to 100 % of the picture's, scaled back to its size.
``colour``    brightness, contrast and saturation, each times 0.8 to 1.2; hues stay.

What is drawn is a function of the cell's seed, the sample's id, which visit of the sample it is (the epoch), and the
word: neither ranks, workers, an interruption nor the other words change it. All pictures of a sample are changed alike.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paceline import tasks
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.data.conversations import Lessons, lesson, pictures
from paceline.data.samples import without_images
from paceline.models.conversation import Conversation
from paceline.tasks.picture_change import Change

if TYPE_CHECKING:
    from PIL import Image

LEAST_SIDE = 0.8
COLOUR = 0.2
WHOLE = (1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Drawn:
    """What is done to all pictures of a sample at one visit.

    Attributes:
        part: side of the part that is shown, as a share of the picture's, and where it begins, as shares of what is
            left over.
        mirrored: left to right.
        turns: quarter turns counterclockwise.
        factors: of brightness, contrast and saturation.
    """

    part: tuple[float, float, float] = WHOLE
    mirrored: bool = False
    turns: int = 0
    factors: tuple[float, ...] = ()

    def of(self, size: tuple[int, int]) -> Change:
        """The change of a picture of a size."""
        side, x, y = self.part
        if side == 1:
            return Change(size, (0, 0, *size), self.mirrored, self.turns)
        width, height = side * size[0], side * size[1]
        left, top = x * (size[0] - width), y * (size[1] - height)
        return Change(size, (left, top, left + width, top + height), self.mirrored, self.turns)

    def image(self, image: Image.Image) -> Image.Image:
        """A picture, changed."""
        from PIL import ImageEnhance

        image = self.of(image.size).image(image)
        enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for enhancer, factor in zip(enhancers, self.factors, strict=False):
            image = enhancer(image).enhance(factor)
        return image


def draw(words: Sequence[str], seed: int, sample: str, visit: int) -> Drawn:
    """What is done to a sample's pictures.

    Args:
        words: of ``train.augment``, in any order.
        seed: of the cell.
        sample: id of the sample.
        visit: how often it was trained on before.
    """
    drawn = Drawn()
    if "crop" in words:
        side, x, y = _numbers(seed, sample, visit, "crop")
        drawn = dataclasses.replace(drawn, part=(LEAST_SIDE + (1 - LEAST_SIDE) * side, x, y))
    if "flip" in words:
        drawn = dataclasses.replace(drawn, mirrored=_numbers(seed, sample, visit, "flip")[0] < 0.5)
    if "rotate90" in words:
        drawn = dataclasses.replace(drawn, turns=int(4 * _numbers(seed, sample, visit, "rotate90")[0]))
    if "colour" in words:
        factors = tuple(1 + COLOUR * (2 * n - 1) for n in _numbers(seed, sample, visit, "colour"))
        drawn = dataclasses.replace(drawn, factors=factors)
    return drawn


def _numbers(seed: int, sample: str, visit: int, word: str) -> tuple[float, float, float]:
    """Three numbers in [0, 1) that look random and are the same on every machine."""
    content = hashlib.sha256(f"{seed}\0{visit}\0{word}\0{sample}".encode()).digest()
    first, second, third = (int.from_bytes(content[i : i + 8], "big") >> 11 for i in (0, 8, 16))
    return first / 2**53, second / 2**53, third / 2**53


class AugmentedLessons(Lessons):
    """The lessons of the training split, their pictures changed anew at every visit, and their truth with them.

    A sample whose truth bears no crop, or no change of sides, is shown without it.

    Args:
        samples: prepared records.
        prompt: the template.
        task: whose kind says how its truth follows a change.
        words: of ``train.augment``.
        seed: of the cell.
    """

    def __init__(
        self,
        samples: Sequence[Mapping[str, Any]],
        prompt: PromptSpec,
        task: TaskSpec,
        words: Sequence[str],
        seed: int,
    ) -> None:
        super().__init__(samples, prompt, task)
        self.words, self.seed = tuple(words), seed
        # Of samples that were drawn with replacement, each copy is a visit.
        self._copies = Counter(str(sample["id"]) for sample in samples)
        met: Counter[str] = Counter()
        self._before: list[int] = []
        for sample in samples:
            self._before.append(met[name := str(sample["id"])])
            met[name] += 1

    def visited(self, index: int, visit: int) -> Conversation:
        """The lesson at an index as it is shown at one visit of that index, counted from 0."""
        sample = self.samples[index]
        images = pictures(sample)
        if not images:
            return lesson(sample, self.prompt, self.task)
        name = str(sample["id"])
        drawn = draw(self.words, self.seed, name, visit * self._copies[name] + self._before[index])
        plain = dataclasses.replace(drawn, mirrored=False, turns=0)
        follow = tasks.load(self.task.kind).get("augmented", lambda fields, change: {})
        for candidate in (drawn, dataclasses.replace(drawn, part=WHOLE), plain):
            turned = follow(sample, candidate.of(images[0].size))  # of several pictures the first tells
            if turned is not None:
                drawn, sample = candidate, {**sample, **turned}
                break
        else:
            drawn = dataclasses.replace(plain, part=WHOLE)
        made = lesson(without_images(sample), self.prompt, self.task)
        return dataclasses.replace(made, images=[drawn.image(image) for image in images])


def lessons(
    samples: Sequence[Mapping[str, Any]], prompt: PromptSpec, task: TaskSpec, words: Sequence[str], seed: int
) -> Lessons:
    """The lessons of a training split: as they are where there are no words of ``train.augment``."""
    return AugmentedLessons(samples, prompt, task, words, seed) if words else Lessons(samples, prompt, task)
