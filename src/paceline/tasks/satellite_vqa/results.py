"""How answers about tiles are shown: accuracy by the type of the question, and what is answered instead."""

from __future__ import annotations

from collections.abc import Iterator

from paceline.tasks.labels import confusion
from paceline.tasks.panels import Panel, Results
from paceline.tasks.satellite_vqa.score import METRICS

PICTURES = ("confusion",)


def panels(results: Results) -> Iterator[Panel]:
    """Accuracy by type, and the confusion of classes."""
    from paceline.tasks.by_type import panels as by_type

    yield from by_type(results, METRICS[0])
    yield from confusion(results)
