"""Vectors of texts for readers, by all-MiniLM-L6-v2 in a process of its own; what was embedded once is kept.

<root>/data/.embedded_texts/<digest>.npz    a list of texts, such as the chunks of a document: rows, cut
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

from paceline.data.readers import Progress, TextVectors
from paceline.errors import UserError
from paceline.models import embedding
from paceline.store.files import write_bytes

TOGETHER = 4000
"""Texts that one process embeds: what it did is kept before the next begins."""


class TextEmbedder:
    """What embeds texts.

    Args:
        root: the storage root, whose pins hold and which keeps vectors.
        progress: told how many texts are done.

    Raises:
        UserError: all-MiniLM-L6-v2 is not here.
    """

    def __init__(self, root: Path, progress: Progress) -> None:
        by = embedding.found(root)
        if by is None:
            raise UserError(
                f"texts are compared by {embedding.MINILM}, which is not here: {embedding.REMEDY}, then: "
                "paceline prepare task=NAME"
            )
        self._by = by
        self._folder = root / "data" / ".embedded_texts"
        self._progress = progress

    @property
    def source(self) -> str:
        """Which files embed: part of what the data is known by."""
        return f"{embedding.MINILM} {embedding.source_of(self._by)}".strip()

    def vectors(self, lists: Sequence[Sequence[str]]) -> list[TextVectors]:
        """The vectors of several lists of texts.

        Raises:
            UserError: files of the embedder that are not whole.
            Unavailable: no room, or a process that was killed.
        """
        found = [self._kept(texts) for texts in lists]
        missing = [n for n, kept in enumerate(found) if kept is None]
        while missing:
            batch: list[int] = []
            count = 0
            while missing and (not batch or count + len(lists[missing[0]]) <= TOGETHER):
                count += len(lists[missing[0]])
                batch.append(missing.pop(0))
            texts = [text for n in batch for text in lists[n]]
            made = embedding.embed(texts, self._by, self._progress)
            rows, begin = embedding.in_whole_numbers(made.vectors), 0
            for n in batch:
                end = begin + len(lists[n])
                cut = sum(begin <= at < end for at in made.cut_at)
                found[n] = one = TextVectors(rows[begin:end], cut, embedding.SCALE)
                self._keep(lists[n], one)
                begin = end
        return [one for one in found if one is not None]

    def _path(self, texts: Sequence[str]) -> Path:
        name = hashlib.sha256("\0".join((self.source, *texts)).encode()).hexdigest()[:24]
        return self._folder / f"{name}.npz"

    def _kept(self, texts: Sequence[str]) -> TextVectors | None:
        """What is kept of a list; None where nothing is, or it is damaged."""
        import numpy as np

        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
            with np.load(self._path(texts), allow_pickle=False) as held:
                kept = TextVectors(held["rows"], int(held["cut"]), embedding.SCALE)
            return kept if kept.rows.ndim == 2 and len(kept.rows) == len(texts) else None
        return None

    def _keep(self, texts: Sequence[str], vectors: TextVectors) -> None:
        import numpy as np

        stream = io.BytesIO()
        np.savez(stream, rows=vectors.rows, cut=np.array(vectors.cut))
        self._folder.mkdir(parents=True, exist_ok=True)
        write_bytes(self._path(texts), stream.getvalue())
