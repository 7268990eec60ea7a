"""Vectors of the texts that a kind compares by meaning, kept beside the cell so that scoring again embeds nothing."""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline.errors import Unavailable, UserError
from paceline.models import embedding
from paceline.store.files import write_bytes

if TYPE_CHECKING:
    import numpy as np

    from paceline.tasks.kind import Vectors

REMEDY = f"{embedding.REMEDY}, then: paceline score SWEEP"


class Embedder:
    """What embeds the texts of one cell.

    Args:
        folder: of the cell, which keeps the vectors; None keeps none.
        root: the storage root, whose pins hold.
    """

    def __init__(self, folder: Path | None, root: Path) -> None:
        self.folder, self.root = folder, root
        self.told: dict[str, Any] = {}
        """What ``metrics.json`` says of it: its name and how many texts it cut, or why there are no vectors."""

    def vectors(self, texts: Sequence[str]) -> Vectors | None:
        """The vectors of different texts by all-MiniLM-L6-v2; None where it is not here or fails, which is told."""
        import numpy as np

        by = embedding.found(self.root)
        source = embedding.source_of(by) if by else ""
        name = hashlib.sha256("\0".join((embedding.MINILM, *texts)).encode("utf-8", "replace")).hexdigest()[:16]
        path = None if self.folder is None else self.folder / f"embedded-{name}.npz"
        kept = _kept(path, len(texts))
        if by is None and kept is None:
            self.told = {"lacking": f"{embedding.MINILM} is not here; {REMEDY}"}
            return None
        if by is not None and (kept is None or kept.source != source):  # without it those of another machine do
            try:
                # An answer may hold half a character, which is none to embed.
                whole = [text.encode("utf-8", "replace").decode() for text in texts]
                found = embedding.embed(whole, by, lambda stage, done, total: None)
            except (UserError, Unavailable) as error:
                self.told = {"lacking": f"{embedding.MINILM}: {error}"}
                return None
            kept = _Kept(found.vectors, found.cut, source)
            if path is not None:
                _keep(path, kept)
        assert kept is not None
        self.told = {"embedder": embedding.MINILM, **({"source": kept.source} if kept.source else {})}
        self.told |= {"cut": kept.cut} if kept.cut else {}
        return dict(zip(texts, np.asarray(kept.vectors), strict=True))


@dataclass(frozen=True)
class _Kept:
    """What a cell keeps of its texts: their vectors, how many were cut, and which files of the embedder made them."""

    vectors: np.ndarray
    cut: int
    source: str


def _kept(path: Path | None, count: int) -> _Kept | None:
    """What a file keeps; None where it is missing or damaged."""
    import numpy as np

    if path is None:
        return None
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        with np.load(path) as held:
            kept = _Kept(held["vectors"], int(held["cut"]), str(held["source"]))
        return kept if kept.vectors.ndim == 2 and len(kept.vectors) == count else None
    return None


def _keep(path: Path, kept: _Kept) -> None:
    import numpy as np

    stream = io.BytesIO()
    np.savez(stream, vectors=kept.vectors, cut=np.array(kept.cut), source=np.array(kept.source))
    write_bytes(path, stream.getvalue())
    for old in path.parent.glob("embedded-*.npz"):  # of other answers, or other references
        if old != path:
            old.unlink(missing_ok=True)
