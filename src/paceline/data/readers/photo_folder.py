"""Any folder of pictures, with its subfolders. Pictures are not copied, and nothing has to be known of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from paceline.data.folders import files_below
from paceline.data.images import SUFFIXES
from paceline.data.readers import Complete, Progress, Sample, Skipped, check_shares, source_folder, split_of

PATHS = ("path",)
ANY_KIND = True


@dataclass(frozen=True)
class Options:
    """Which folder to read, and how to split it."""

    path: str = field(default="", metadata={"doc": "folder of the pictures, searched with its subfolders"})
    shares: dict[str, float] = field(
        default_factory=lambda: {"test": 1.0}, metadata={"doc": "share of the pictures that each split gets"}
    )
    seed: int = field(default=0, metadata={"doc": "seed of the splits"})


def made(options: Options) -> dict[str, str]:
    """The user's folder; its licence is not recorded."""
    return {"source": options.path, "licence": "that of the pictures' owner; they are not copied"}


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """The pictures in the order of their names; the split depends on the name alone."""
    folder, shares = source_folder(options.path, "pictures"), check_shares(options.shares)
    paths, passed_over = files_below(folder, SUFFIXES)
    yield from passed_over
    for n, path in enumerate(paths):
        name = path.relative_to(folder).as_posix()
        try:
            yield Sample(name, split_of(options.seed, name, shares), path, complete({}))
        except ValueError as error:  # the task's kind needs a field
            yield Skipped(name, str(error))
        progress("reading pictures", n + 1, len(paths))  # whoever takes a sample decodes its picture
