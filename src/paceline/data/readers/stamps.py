"""Captioned pictures of Tux Paint: the rubber stamps of Debian's package ``tuxpaint-stamps-default``.

``animals/birds/cardinal.png`` lies beside ``cardinal.txt``, whose first line is the caption in English; translations
follow. Drawings without a PNG are left out, and so are mirrored copies. Pictures are not copied.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from paceline.data.readers import Complete, Progress, Sample, Skipped, absolute, check_shares, split_of
from paceline.errors import DataError

ANY_KIND = True
PATHS = ("path",)
READS = {"path": (".txt",)}
PACKAGE = "tuxpaint-stamps-default"
INSTALLED = "/usr/share/tuxpaint/stamps"


@dataclass(frozen=True)
class Options:
    """Where the pictures are, and how to split them."""

    path: str = field(default="", metadata={"doc": f"folder of the stamps; empty for {INSTALLED}"})
    shares: dict[str, float] = field(
        default_factory=lambda: {"train": 0.7, "validation": 0.1, "test": 0.2},
        metadata={"doc": "share of the pictures that each split gets"},
    )
    seed: int = field(default=0, metadata={"doc": "seed of the splits"})


def made(options: Options) -> dict[str, str]:
    """Source and licence of pictures and captions."""
    version = _version(absolute(options.path or INSTALLED))
    return {
        "source": f"Debian package {PACKAGE} {version}".rstrip() + "; https://tuxpaint.org/stamps",
        "licence": "GPL-2; Copyright 2002-2022 Bill Kendrick and the authors of the stamps",
    }


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """The pictures in the order of their names, each with its caption as ``references``."""
    folder, shares = _folder(options), check_shares(options.shares)
    paths = sorted(p for p in folder.rglob("*") if p.suffix in (".png", ".svg") and p.is_file())
    for n, path in enumerate(paths):
        progress("reading stamps", n + 1, len(paths))
        name = path.relative_to(folder).with_suffix("").as_posix()
        if path.suffix == ".svg":
            if not path.with_suffix(".png").exists():
                yield Skipped(name, "a drawing without a PNG")
            continue
        try:
            fields = complete({"references": [_caption(path.with_suffix(".txt"))]})
        except ValueError as error:
            yield Skipped(name, str(error))
            continue
        yield Sample(name, split_of(options.seed, name, shares), path, fields)


def _caption(path: Path) -> str:
    """The first line of a stamp's text; ValueError with a countable reason without one."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError("no caption beside the picture") from None
    except (OSError, UnicodeDecodeError):
        raise ValueError("the caption can't be read") from None
    return text.partition("\n")[0].strip()


def _folder(options: Options) -> Path:
    folder = absolute(options.path or INSTALLED)
    if not folder.is_dir():
        raise DataError(
            f"task.options.path: no folder {folder}; run: apt-get install {PACKAGE}; or, without root: "
            f"apt-get download {PACKAGE}; dpkg -x {PACKAGE}_*.deb DIR; and say task.options.path=DIR{INSTALLED}"
        )
    return folder


def _version(folder: Path) -> str:
    """The package's version by its changelog, which lies beside ``tuxpaint`` in the same tree; empty without it."""
    try:
        with gzip.open(folder.parents[1] / "doc" / PACKAGE / "changelog.Debian.gz", "rt", encoding="utf-8") as file:
            return file.readline().partition("(")[2].partition(")")[0]
    except (OSError, EOFError, UnicodeDecodeError):
        return ""
