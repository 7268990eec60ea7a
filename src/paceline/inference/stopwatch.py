"""How long an attempt took to answer about an image: what was measured of the batches that it answered itself.

A batch's seconds are shared out evenly over what it asks. An image that is asked about in several conversations has
the seconds of all of them, and counts once the last was answered. What an earlier attempt answered was timed by that
attempt, and an image of which it answered a part has no time of its own. Loading the weights is not in it.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from paceline.tasks.kind import images_of

Sample = Mapping[str, Any]


class Stopwatch:
    """Seconds per image of one attempt.

    Args:
        asked: the sample of each conversation of the cell.
    """

    def __init__(self, asked: Iterable[Sample]) -> None:
        self._left: Counter[str] = Counter(sample["id"] for sample in asked)
        self._spent: Counter[str] = Counter()
        self._images: dict[str, int] = {}
        self._most = 0

    def answered(self, batch: Sequence[Sample], seconds: float) -> None:
        """Count a batch that this attempt answered, by the sample of each conversation, and how long that took."""
        self._most = max(self._most, len(batch))
        for sample in batch:
            name = sample["id"]
            self._left[name] -= 1
            self._spent[name] += seconds / len(batch)  # type: ignore[assignment]
            self._images[name] = len(images_of(sample))

    def as_json(self) -> dict[str, Any]:
        """``{samples, images, of, seconds, median_seconds, batch}``: ``of`` tells what the seconds are of, an image, or
        a sample where none is shown; ``batch`` is the most conversations that were answered together. Empty where no
        sample was answered whole.
        """
        whole = {sample: seconds for sample, seconds in self._spent.items() if not self._left[sample]}
        if not whole:
            return {}
        images = sum(self._images[sample] for sample in whole)
        each = [seconds / max(1, self._images[sample]) for sample, seconds in whole.items()]
        return {
            "samples": len(whole),
            "images": images,
            "of": "image" if images else "sample",
            "seconds": sum(whole.values()) / (images or len(whole)),
            "median_seconds": statistics.median(each),
            "batch": self._most,
        }
