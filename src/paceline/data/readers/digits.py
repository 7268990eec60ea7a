"""Handwritten digits: 1,797 scans of 8 × 8 pixels that scikit-learn holds, which is installed anyway.

They are the test half of UCI's data set: on each of 14 forms somebody copied about 130 digits. Scans of one form look
alike, so a random split would ask about hands that were trained on; here whole forms are tested. The file does not name
them, but each begins with the same row of digits. Thirteen people wrote them, so that one hand may be on both sides.

At 8 × 8 pixels one person's six also looks like another's: half of the tested scans have a like in training. Such
training scans are left out, so that what is tested has not been shown.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline.data.readers import Complete, Progress, Sample, Skipped, fraction
from paceline.errors import DataError, UserError

if TYPE_CHECKING:
    from PIL import Image

ANY_KIND = True
SCANS = 1797
FORMS = (0, 130, 256, 386, 516, 646, 776, 915, 1029, 1157, 1287, 1415, 1545, 1667)
"""The scan with which each form begins, in the order of the file."""
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MOST_INK = 16
"""The pixels of a scan are counts of 4 × 4 dots, from 0 to this."""


@dataclass(frozen=True)
class Options:
    """How forms are split, and how large a scan is shown."""

    validation: int = field(default=1, metadata={"doc": "forms to validate on, of 14", "low": 0})
    test: int = field(default=3, metadata={"doc": "forms to test on; what looks unlike these is trained on", "low": 0})
    pixels: int = field(
        default=64, metadata={"doc": "width and height to which the 8 × 8 pixels are smoothly enlarged", "low": 8}
    )
    seed: int = field(default=0, metadata={"doc": "seed of the choice of forms, and of the order"})


def made(options: Options) -> dict[str, str]:
    """Source and licence of the scans."""
    return {
        "source": f"digits of scikit-learn {metadata.version('scikit-learn')}: test half of UCI's Optical Recognition "
        "of Handwritten Digits",
        "licence": "CC BY 4.0: E. Alpaydin, C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine "
        "Learning Repository, doi.org/10.24432/C50P49",
    }


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """Write the scans as dark ink on white, ``digit_NNNN.png`` by their place in the file, in a random order."""
    from PIL import Image
    from sklearn.datasets import load_digits

    if options.validation + options.test >= len(FORMS):
        raise UserError(
            f"task.options: {options.validation} forms to validate and {options.test} to test on leave none of the "
            f"{len(FORMS)} to train on"
        )
    found = load_digits()
    if found.images.shape != (SCANS, 8, 8):
        raise DataError(
            f"scikit-learn {metadata.version('scikit-learn')} holds digits of shape {found.images.shape}, and "
            f"({SCANS}, 8, 8) is read; install the version that pyproject.toml names"
        )
    form_splits = _splits(options)
    splits = [form_splits[_form(number)] for number in range(SCANS)]
    shown: list[Image.Image] = []
    for n, scan in enumerate(found.images):
        grey = Image.fromarray((255 - scan * (255 / MOST_INK)).round().astype("uint8"))
        shown.append(grey.resize((options.pixels, options.pixels), Image.Resampling.BICUBIC).convert("RGB"))
        progress("enlarging scans", n + 1, SCANS)
    known = _like_tested(shown, splits)
    for number in sorted(range(SCANS), key=lambda number: fraction(options.seed, f"order {number}")):
        name, label = f"digit_{number:04d}", int(found.target[number])
        if number in known:
            yield Skipped(name, "looks like a scan that is not trained on", f"digit_{known[number]:04d}")
            continue
        fields: dict[str, Any] = {"label": str(label), "aliases": [WORDS[label]], "form": f"form {_form(number)}"}
        try:
            kept = complete(fields)
        except ValueError as error:
            yield Skipped(name, str(error))
            continue
        path = images / f"{name}.png"
        shown[number].save(path)
        yield Sample(name, splits[number], path, kept)


def _form(number: int) -> int:
    """The form of a scan, counted from 1."""
    return bisect_right(FORMS, number)


def _splits(options: Options) -> dict[int, str]:
    """Form, counted from 1, to its split."""
    forms = sorted(range(1, len(FORMS) + 1), key=lambda form: fraction(options.seed, f"form {form}"))
    tested, validated = options.test, options.test + options.validation
    named = ["test"] * tested + ["validation"] * options.validation + ["train"] * (len(forms) - validated)
    return dict(zip(forms, named, strict=True))


def _like_tested(shown: Sequence[Image.Image], splits: Sequence[str]) -> dict[int, int]:
    """Scans to train on -> a scan of another split that looks much the same, as ``prepare`` finds them."""
    from paceline.data.leakage import alike, thumbnail

    trained = [number for number, split in enumerate(splits) if split == "train"]
    others = [number for number, split in enumerate(splits) if split != "train"]
    looks = [thumbnail(image) for image in shown]
    pairs = alike([looks[number] for number in trained], [looks[number] for number in others])
    return {trained[i]: others[j] for i, j in pairs}
