"""Two small tasks of different kinds, for the tests of tuning on one and evaluating on the other."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

PLACES = [(47.37, 8.54), (-33.87, 151.21), (40.71, -74.01), (35.68, 139.69)]
SPLITS = ("train", "train", "validation", "test")


def scene(seed: int, side: int = 48) -> Image.Image:
    """A picture like no other seed's."""
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def write_tasks(folder: Path, shared: int = 0) -> Path:
    """A config folder with the tasks ``words`` (captioning) and ``places`` (geolocation), of twelve pictures each.

    Args:
        folder: gets the config folder and the data.
        shared: test pictures of ``places`` that ``words`` trains on, byte for byte.
    """
    conf = folder / "conf"
    (conf / "task").mkdir(parents=True)
    for t, (name, kind, prompt, target) in enumerate(
        [
            ("words", "captioning", "caption_short", "{reference}"),
            ("places", "geolocation", "geo_bare", "({latitude:.2f}, {longitude:.2f})"),
        ]
    ):
        data = folder / name
        data.mkdir()
        with (data / "table.csv").open("w", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(["id", "image", "split", "reference", "latitude", "longitude"])
            for n in range(12):
                split, (latitude, longitude) = SPLITS[n % 4], PLACES[n % 4]
                is_shared = name == "places" and split == "test" and n // 4 < shared
                scene((4 * (n // 4) if is_shared else n) + (0 if is_shared else 100 * t)).save(data / f"{n}.png")
                table.writerow([f"{name}-{n}", f"{n}.png", split, f"a drawing of {n} things", latitude, longitude])
        columns = "id: id, image: image, split: split"
        columns += ", reference: reference" if kind == "captioning" else ", latitude: latitude, longitude: longitude"
        (conf / "task" / f"{name}.yaml").write_text(
            f"kind: {kind}\nreader: table\noptions: {{path: {data / 'table.csv'}, columns: {{{columns}}}}}\n"
            f'target: "{target}"\nprompt: {prompt}\nevaluate: [test]\n'
        )
    return conf
