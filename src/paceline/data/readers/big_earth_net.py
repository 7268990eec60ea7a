"""BigEarthNet v2 (reBEN): patches of Sentinel-2 with the land cover they show, 19 classes (Clasen et al. 2024).

``path`` is a folder with ``metadata.parquet`` and the patches, in either form: an LMDB with safetensors
(``BigEarthNet-V2-LMDB/data.mdb``), of which the package configilm holds one of 24 patches; or the published folders of
GeoTIFFs, ``BigEarthNet-S2/SCENE/PATCH/PATCH_B04.tif``. Files of version 1, whose LMDB holds pickles, are not read.

A patch is shown in true colour: its bands B04, B03 and B02, 120 × 120 pixels of 10 m. They hold reflectance times
10,000; 0 becomes black and ``white`` becomes white, the same for every patch. Patches of one scene are a group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline.data.readers import Complete, Progress, Sample, Skipped, require_columns, sampled, source_folder
from paceline.errors import DataError

if TYPE_CHECKING:
    import numpy as np

ANY_KIND = True
PATHS = ("path",)
READS = {"path": (".parquet", ".mdb")}
BANDS = ("B04", "B03", "B02")
"""Red, green and blue."""
TABLE = "metadata.parquet"
CLOUDED = "metadata_for_patches_with_snow_cloud_or_shadow.parquet"
WANTED = "metadata.parquet and the patches (an LMDB with data.mdb, or the folders of BigEarthNet-S2)"
CLASSES = (
    "Urban fabric",
    "Industrial or commercial units",
    "Arable land",
    "Permanent crops",
    "Pastures",
    "Complex cultivation patterns",
    "Land principally occupied by agriculture, with significant areas of natural vegetation",
    "Agro-forestry areas",
    "Broad-leaved forest",
    "Coniferous forest",
    "Mixed forest",
    "Natural grassland and sparsely vegetated areas",
    "Moors, heathland and sclerophyllous vegetation",
    "Transitional woodland, shrub",
    "Beaches, dunes, sands",
    "Inland wetlands",
    "Coastal wetlands",
    "Inland waters",
    "Marine waters",
)
SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
Bands = Mapping[str, "np.ndarray"]


@dataclass(frozen=True)
class Options:
    """Where patches and their table are, and how they are shown."""

    path: str = field(default="", metadata={"doc": "folder of metadata.parquet and the patches"})
    white: float = field(
        default=2000.0, metadata={"doc": "value of a band, reflectance times 10,000, that is shown white", "above": 0}
    )
    clouded: bool = field(default=False, metadata={"doc": "also takes patches with seasonal snow, clouds or shadows"})
    pictures: dict[str, int] = field(
        default_factory=dict, metadata={"doc": "split -> patches taken of it, at random; without a number, all"}
    )
    seed: int = field(default=0, metadata={"doc": "seed of the patches taken"})
    sentences: bool = field(
        default=False, metadata={"doc": "also gives `references`, sentences made from a patch's labels by a rule"}
    )


def made(options: Options) -> dict[str, str]:
    """Source and licence; of sentences also that they are made."""
    how = "; its references are made from the labels by a rule, and nobody wrote them" if options.sentences else ""
    return {
        "source": f"BigEarthNet v2.0, bigearth.net{how}",
        "licence": "CDLA-Permissive-1.0; contains modified Copernicus Sentinel data 2017-2018",
    }


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """The patches in the order of the table, each as a PNG named by its patch."""
    folder = source_folder(options.path, f"BigEarthNet: {WANTED}")
    rows = list(_rows(folder, clouded=options.clouded))
    bands_of = _patches(folder)
    taken: dict[str, frozenset[str] | None] = {}
    for split in {row["split"] for row in rows}:
        names = (str(row["patch_id"]) for row in rows if row["split"] == split)
        taken[split] = sampled(names, options.pictures.get(split, 0), options.seed)
    seen: set[str] = set()
    told = False  # all classes that there are, by the first sample
    for n, row in enumerate(rows):
        name = str(row["patch_id"])
        if (chosen := taken[row["split"]]) is not None and name not in chosen:
            continue
        progress("reading patches", n + 1, len(rows))
        try:
            if name in seen:
                raise ValueError("patch stands in the table twice")
            seen.add(name)
            fields = _fields(row, sentences=options.sentences)
            if not told:
                fields["vocabulary"] = list(CLASSES)
            kept = complete(fields)
            path = images / f"{name}.png"
            _write(path, bands_of(name), options.white)
        except ValueError as error:
            yield Skipped(name, str(error))
            continue
        told = True
        yield Sample(name, row["split"], path, kept)


def scene_of(patch: str) -> str:
    """The scene of a patch: its name without the row and the column at the end."""
    return re.sub(r"_\d+_\d+$", "", patch)


def sentences_of(labels: list[str]) -> list[str]:
    """Two sentences that say what the labels say, in lower case: the rule of made captions."""
    names = [label.lower() for label in labels]
    listed = "; ".join(names[:-1]) + "; and " + names[-1] if len(names) > 1 else names[0]
    return [f"A satellite image of {listed}.", f"The image shows {listed}."]


def _fields(row: Mapping[str, Any], *, sentences: bool) -> dict[str, Any]:
    if row["split"] not in SPLITS.values():
        raise ValueError("split is none of train, validation, test")
    if not re.fullmatch(r"[\w-]+", str(row["patch_id"])):
        raise ValueError("patch has no name that a file may have")
    labels = [str(label) for label in row.get("labels") or ()]
    fields: dict[str, Any] = {"labels": labels, "group": scene_of(str(row["patch_id"]))}
    if sentences:
        if not labels:
            raise ValueError("no label")
        fields["references"] = sentences_of(labels)
    return fields


# -- the table


def _rows(folder: Path, *, clouded: bool) -> Iterator[dict[str, Any]]:
    """The rows of the tables, with their split by paceline's name."""
    import pyarrow
    from pyarrow import parquet

    for name in (TABLE, CLOUDED) if clouded else (TABLE,):
        if (path := _below(folder, name)) is None:
            raise DataError(f"task.options.path: {folder} holds no {name}; give the folder that holds {WANTED}")
        try:
            columns = parquet.read_schema(path).names
            for column in ("patch_id", "labels", "split"):
                require_columns({f"path ({path.name})": column}, columns)
            rows = parquet.read_table(path, columns=["patch_id", "labels", "split"]).to_pylist()
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{path}: no table of Parquet ({error})") from None
        for row in rows:
            yield {**row, "split": SPLITS.get(str(row["split"]), str(row["split"]))}


def _below(folder: Path, name: str) -> Path | None:
    """A file or folder of that name here or in a folder here."""
    places = [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]
    return next((place / name for place in places if (place / name).exists()), None)


# -- the patches


def _patches(folder: Path) -> Callable[[str], Bands]:
    """What gives a patch's bands, uint16 (height, width) each; a ValueError with a countable reason where it can't."""
    if database := _below(folder, "data.mdb"):
        return _in_database(database.parent)
    for place in (_below(folder, "BigEarthNet-S2"), folder):
        if place is not None and any(True for _ in place.glob("S2*_MSIL2A_*")):
            return _in_folders(place)
    raise DataError(f"task.options.path: {folder} holds no patches; give the folder that holds {WANTED}")


def _in_database(folder: Path) -> Callable[[str], Bands]:
    import lmdb
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        database = lmdb.open(str(folder), readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise DataError(f"{folder}: no LMDB ({error}); take data.mdb from its source again") from None

    def bands(patch: str) -> Bands:
        with database.begin() as transaction:
            try:
                value = transaction.get(patch.encode())
            except lmdb.Error:  # a damaged page, or a name longer than a key may be
                raise ValueError("patch can't be read in the LMDB") from None
            if value is None:
                raise ValueError("patch is not in the LMDB")
            try:
                found: Bands = load(bytes(value))
            except (SafetensorError, KeyError, ValueError):
                raise ValueError("value in the LMDB is no safetensors; version 1 holds pickles, not read") from None
            return found

    return bands


def _in_folders(folder: Path) -> Callable[[str], Bands]:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    def bands(patch: str) -> Bands:
        place = next((p for p in (folder / scene_of(patch) / patch, folder / patch) if p.is_dir()), None)
        if place is None:
            raise ValueError("patch has no folder")
        found = {}
        for band in BANDS:
            try:
                with Image.open(place / f"{patch}_{band}.tif") as image:
                    found[band] = np.asarray(image)
            except FileNotFoundError:
                raise ValueError("band is missing") from None
            except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError):
                raise ValueError("band can't be read") from None
        return found

    return bands


def _write(path: Path, bands: Bands, white: float) -> None:
    """Write a patch in true colour, 8 bits a channel."""
    import numpy as np
    from PIL import Image

    if not set(BANDS) <= set(bands):
        raise ValueError("band is missing")
    shown = [np.asarray(bands[band], dtype=np.float64) for band in BANDS]
    if shown[0].ndim != 2 or not shown[0].size or any(band.shape != shown[0].shape for band in shown):
        raise ValueError("bands are of different sizes")
    values = np.clip(np.nan_to_num(np.stack(shown, axis=-1)) / white, 0, 1) * 255
    Image.fromarray(values.round().astype(np.uint8)).save(path)
