"""What can be wrong with places in prepared data, and how far test images are from training images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.counted import agree, counted
from paceline.tasks.geolocation.gazetteer import country_code, smallest_distance_km, swapped

if TYPE_CHECKING:
    from paceline.config.schema import TaskSpec


def data_checks(records: Sequence[Mapping[str, Any]], train: str) -> dict[str, Any]:
    """``separation_km``, per other split the smallest distance to a training sample; ``swapped_truths``, ids."""
    checks: dict[str, Any] = {}
    if distances := _separation(records, train):
        checks["separation_km"] = distances
    if wrong := _swapped(records):
        checks["swapped_truths"] = wrong
    return checks


def data_notes(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """How far each test split is from what was trained on, as measured when the data was prepared."""
    distances = manifest.get("separation_km", {})
    shown = [f"{split} {distances[split]:,.0f} km" for split in task.evaluate if split in distances]
    if shown:
        yield (
            f"{task.name}: smallest distance of a test image to a training image: {', '.join(shown)}. The nearer a "
            "split is, the more of its figures is memory of places seen; a split held out as whole blocks asks for new "
            "ones."
        )


def data_lines(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """The distances between splits, and truths whose axes look swapped."""
    if distances := manifest.get("separation_km"):
        shown = ", ".join(f"{split} {km:,.1f} km" for split, km in distances.items())
        yield f"smallest distance to an image of {task.train}: {shown}"
    if wrong := manifest.get("swapped_truths"):
        yield (
            f"{counted(len(wrong), 'sample')} {agree(len(wrong), 'lies', 'lie')} in the stated country only with "
            f"latitude and longitude swapped (the first: {wrong[0]}); look at the source's columns"
        )


def _swapped(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Ids of samples that lie in the country given for them only with latitude and longitude swapped."""
    placed: list[tuple[str, tuple[float, float], str]] = []
    for r in records:
        country = stated_country(r)
        if country and isinstance(r.get("latitude"), float) and isinstance(r.get("longitude"), float):
            placed.append((r["id"], (r["latitude"], r["longitude"]), country))
    wrong = swapped([point for _, point, _ in placed], [country for *_, country in placed])
    return [name for (name, *_), is_wrong in zip(placed, wrong, strict=True) if is_wrong]


def stated_country(record: Mapping[str, Any]) -> str | None:
    """The code of the country that a record's source names; where it named none, of the one that was looked up.

    The nearest region is the source's too, and begins with its country: ``Switzerland_Zurich_CH``.
    """
    region = str(record.get("nearest_region") or "").split("_")
    of_region = region[0] if len(region) >= 3 else None
    named = (record.get("stated_country"), of_region, record.get("country"), record.get("country_name"))
    codes = (country_code(str(name)) for name in named if name)
    return next((code for code in codes if code), None)


def _separation(records: Iterable[Mapping[str, Any]], train: str) -> dict[str, float]:
    """Where samples have coordinates: per other split, the smallest distance to a training sample in km."""
    places: dict[str, list[tuple[float, float]]] = {}
    for r in records:
        if not (isinstance(r.get("latitude"), float) and isinstance(r.get("longitude"), float)):
            return {}
        places.setdefault(r["split"], []).append((r["latitude"], r["longitude"]))
    trained = places.pop(train, None)
    if not trained:
        return {}
    return {
        split: round(smallest_distance_km(split_places, trained), 3) for split, split_places in sorted(places.items())
    }
