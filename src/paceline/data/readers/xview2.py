"""xView2 (xBD): pairs of satellite pictures before and after a disaster, with the damage of each building.

As it is published, a folder for each set (``train``, ``tier3``, ``hold``, ``test``; ``tier1`` of the GeoTIFFs) with

    images/NAME_pre_disaster.png    images/NAME_post_disaster.png    (or .tif)
    labels/NAME_post_disaster.json

where ``features.xy`` lists buildings with ``properties.subtype`` and a ``wkt`` polygon, and ``metadata.disaster`` names
the event. ``un-classified`` buildings are counted apart and are of no class. The event is the group of a pair.

The layout was read from the files' descriptions and from public code that reads them, not from the files themselves.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.data.readers import Complete, Progress, Sample, Skipped, sampled, source_folder
from paceline.errors import DataError, UserError

PATHS = ("path",)
READS = {"path": (".json",)}
ANY_KIND = True
CLASSES = ("no-damage", "minor-damage", "major-damage", "destroyed")
UNCLASSIFIED = "un-classified"
BEFORE, AFTER = "_pre_disaster", "_post_disaster"
SUFFIXES = (".png", ".tif", ".tiff")


@dataclass(frozen=True)
class Options:
    """Where the sets are, and which become which split."""

    path: str = field(default="", metadata={"doc": "folder that holds train, tier3, hold and test"})
    splits: dict[str, Any] = field(
        default_factory=lambda: {"train": "train", "validation": "hold", "test": "test"},
        metadata={"doc": "split -> its folder, or a list of folders, such as [train, tier3]"},
    )
    pairs: dict[str, int] = field(
        default_factory=dict, metadata={"doc": "split -> pairs taken of it at random; 0, or no number: all"}
    )
    events: list[str] = field(
        default_factory=list, metadata={"doc": "disasters that are read, such as hurricane-harvey; empty: all"}
    )
    seed: int = field(default=0, metadata={"doc": "seed of the pairs taken at random"})


def made(options: Options) -> dict[str, str]:
    """The data set; its licence is told as its publishers name it."""
    return {
        "source": f"xBD, the data of xView2 (Gupta et al. 2019, arXiv:1911.09296), in {options.path}",
        "licence": "CC BY-NC-SA 4.0, as xview2.org names it; pictures by Maxar",
    }


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """Split by split, the pairs of each in the order of their names."""
    root = source_folder(options.path, "xBD")
    if unknown := sorted(set(options.pairs) - set(options.splits)):
        raise UserError(f"task.options.pairs: no split '{unknown[0]}'; splits: {', '.join(options.splits)}")
    folders = {split: [_set(root, str(name)) for name in _listed(named)] for split, named in options.splits.items()}
    for split, places in folders.items():
        found = {place: _pairs(place) for place in places}
        names = [f"{place.name}/{name}" for place, pairs in found.items() for name in pairs]
        # A wrong number is refused by `sampled`, as of other readers, under the name of this option.
        taken = sampled(names, _most(options, split), options.seed)
        done = 0
        for place, pairs in found.items():
            for name, files in pairs.items():
                sample = f"{place.name}/{name}"
                if taken is None or sample in taken:
                    item = _sample(sample, split, place, name, files, options, complete)
                    if item is not None:
                        yield item
                    done += 1
                    progress(f"reading {split}", done, len(taken or names))


def _listed(named: Any) -> list[Any]:
    return list(named) if isinstance(named, list | tuple) else [named]


def _most(options: Options, split: str) -> int:
    most = options.pairs.get(split, 0)
    if isinstance(most, bool) or not isinstance(most, int) or most < 0:
        raise UserError(f"task.options.pairs.{split}: expected a number of pairs (0 takes all), got {most!r}")
    return most


def _set(root: Path, name: str) -> Path:
    """The folder of a set.

    Raises:
        DataError: it is not there, or lacks its two folders.
    """
    place = root / name
    lacking = [part for part in ("images", "labels") if not (place / part).is_dir()]
    if lacking:
        sets = sorted(p.name for p in root.iterdir() if (p / "images").is_dir() and (p / "labels").is_dir())
        there = f"sets there: {', '.join(sets)}" if sets else "no folder in it holds images and labels"
        raise DataError(
            f"task.options.splits: {place} has no folder {' and '.join(lacking)}; {there}; name those to read: "
            "task.options.splits={train: FOLDER, test: FOLDER}"
        )
    return place


def _pairs(place: Path) -> dict[str, dict[str, Path]]:
    """Name of a pair -> what there is of it: ``before``, ``after`` and ``label``."""
    found: dict[str, dict[str, Path]] = {}
    for folder, suffixes, ends in (
        ("images", SUFFIXES, {"before": BEFORE, "after": AFTER}),
        ("labels", (".json",), {"label": AFTER}),
    ):
        for entry in sorted(os.scandir(place / folder), key=lambda entry: entry.name):
            path = Path(entry.path)
            part = next((part for part, end in ends.items() if path.stem.endswith(end)), None)
            if part and path.suffix.lower() in suffixes and not path.name.startswith("."):
                found.setdefault(path.stem.removesuffix(ends[part]), {}).setdefault(part, path)
    return dict(sorted(found.items()))


_LACKS = {"before": "no picture before", "after": "no picture after", "label": "no label of the picture after"}


def _sample(
    sample: str, split: str, place: Path, name: str, files: Mapping[str, Path], options: Options, complete: Complete
) -> Sample | Skipped | None:
    """One pair; None of a disaster that is not read."""
    for part, reason in _LACKS.items():
        if part not in files:
            return Skipped(sample, reason)
    try:
        label = json.loads(files["label"].read_bytes())
        buildings = [feature["properties"] for feature in label["features"]["xy"]]
        metadata = label.get("metadata") or {}
        event = str(metadata.get("disaster") or name.rpartition("_")[0] or name)
        damage = Counter(
            str(one.get("subtype") or UNCLASSIFIED)
            for one in buildings
            if one.get("feature_type", "building") == "building"
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return Skipped(sample, "label is damaged", f"{type(error).__name__}: {error}"[:200])
    if options.events and event not in options.events:
        return None
    if unknown := sorted(set(damage) - {*CLASSES, UNCLASSIFIED}):
        return Skipped(sample, "a damage that xBD does not have", ", ".join(unknown)[:200])
    fields: dict[str, Any] = {
        "counts": {name: damage[name] for name in CLASSES},
        "unchanged": ["no-damage"],
        "group": event,
        "unclassified": damage[UNCLASSIFIED],
    }
    if metadata.get("disaster_type"):
        fields["disaster_type"] = str(metadata["disaster_type"])
    try:
        kept = complete(fields)
    except ValueError as error:
        return Skipped(sample, str(error))
    return Sample(sample, split, fields=kept, images=(files["before"], files["after"]))
