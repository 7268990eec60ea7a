"""What can be wrong with places in prepared data, and how far test images are from training images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.counted import agree, counted
from paceline.tasks.geolocation.gazetteer import country_code, lies_in, smallest_distance_km, swapped

if TYPE_CHECKING:
    from paceline.config.schema import TaskSpec


def data_checks(records: Sequence[Mapping[str, Any]], train: str) -> dict[str, Any]:
    """What there is of these.

    ``separation_km``: per other split the smallest distance to a training sample. ``swapped_truths``: ids of samples
    that lie in their stated country only with latitude and longitude swapped. ``outside_truths``: of those that do not
    lie in it either way. ``unknown_countries``: name -> samples that state a country which is not known.
    """
    checks: dict[str, Any] = {}
    if distances := _separation(records, train):
        checks["separation_km"] = distances
    swapped_ids, outside = _misplaced(records)
    if swapped_ids:
        checks["swapped_truths"] = swapped_ids
    if outside:
        checks["outside_truths"] = outside
    names = Counter(str(r["stated_country"]) for r in records if r.get("stated_country"))
    if unknown := {name: count for name, count in names.most_common() if country_code(name) is None}:
        checks["unknown_countries"] = unknown
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
    if outside := manifest.get("outside_truths"):
        yield (
            f"{counted(len(outside), 'sample')} {agree(len(outside), 'does', 'do')} not lie in the stated country (the "
            f"first: {outside[0]}), and would be judged by it; look at the source, where NA is Namibia"
        )
    if unknown := manifest.get("unknown_countries"):
        count = sum(unknown.values())
        yield (
            f"{counted(count, 'sample')} {agree(count, 'states', 'state')} a country that is neither an ISO 3166-1 "
            f"alpha-2 code nor an English name ({', '.join(list(unknown)[:3])}): that of the nearest city is taken"
        )


def _misplaced(records: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Ids of samples that lie in the country given for them only with latitude and longitude swapped; not even then."""
    placed: list[tuple[str, tuple[float, float], str]] = []
    for r in records:
        country = stated_country(r)
        if country and isinstance(r.get("latitude"), float) and isinstance(r.get("longitude"), float):
            placed.append((r["id"], (r["latitude"], r["longitude"]), country))
    points, countries = [point for _, point, _ in placed], [country for *_, country in placed]
    ids, are_swapped, are_inside = [name for name, *_ in placed], swapped(points, countries), lies_in(points, countries)
    return (
        [name for name, wrong in zip(ids, are_swapped, strict=True) if wrong],
        [n for n, wrong, inside in zip(ids, are_swapped, are_inside, strict=True) if not (wrong or inside)],
    )


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
