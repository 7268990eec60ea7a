"""A text in chunks of at most so many characters, each overlapping the one before by at most so many.

A chunk ends at the last break between paragraphs in its last part; without one at the last line break there, the last
end of a sentence, the last space; a word that is longer than all of it is cut. The next chunk begins at the first word
that lies inside the overlap. Spaces around a chunk are no part of it: all other characters are in one chunk or more.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from paceline.errors import UserError

_SIZES = re.compile(r"\s*(\d{1,7})\s*/\s*(\d{1,7})\s*")
LEAST = 20
"""Characters of the smallest chunks that are made."""


@dataclass(frozen=True)
class Chunk:
    """A part of a document's text.

    Attributes:
        begin: its first character, counted from 0.
        end: the character behind its last.
        text: what stands there.
    """

    begin: int
    end: int
    text: str


def sizes(option: str) -> tuple[int, int]:
    """Characters of a chunk and of the overlap, of an option such as ``1000/200``.

    Raises:
        UserError: it is none, or the overlap is more than half of the chunk.
    """
    match = _SIZES.fullmatch(str(option))
    size, overlap = (int(match[1]), int(match[2])) if match else (0, 0)
    if size < LEAST or overlap > size // 2:
        raise UserError(
            f"task.options.chunks: expected characters of a chunk ({LEAST} or more), a slash, and characters of the "
            f"overlap (half of it at most), such as 1000/200; got {option!r}"
        )
    return size, overlap


def chunked(text: str, size: int, overlap: int) -> list[Chunk]:
    """A text in chunks, in order; the time is linear in its length.

    Args:
        text: any text.
        size: most characters of a chunk.
        overlap: most characters that two chunks in a row share; at most half of ``size``.
    """
    return list(_chunks(text, size, overlap))


def _chunks(text: str, size: int, overlap: int) -> Iterator[Chunk]:
    begin = _behind_spaces(text, 0)
    while begin < len(text):
        end = _end(text, begin, size, overlap)
        whole = text[begin:end].rstrip()
        yield Chunk(begin, begin + len(whole), whole)
        if _behind_spaces(text, end) == len(text):
            return
        begin = _behind_spaces(text, _begin(text, end, overlap))


def _behind_spaces(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


_BREAKS = (re.compile(r"\n[^\S\n]*\n\s*"), re.compile(r"\n\s*"), re.compile(r"[.!?][\"'”’)\]]*\s+"), re.compile(r"\s+"))


def _end(text: str, begin: int, size: int, overlap: int) -> int:
    """Where a chunk ends: behind the overlap of the one before, so that each goes on."""
    if len(text) - begin <= size:
        return len(text)
    least, most = begin + overlap + (size - overlap) // 2, begin + size
    for gap in _BREAKS:
        if gaps := list(gap.finditer(text, least, most)):
            return gaps[-1].end()
    return most


_WORD = re.compile(r"(?<!\S)\S")


def _begin(text: str, end: int, overlap: int) -> int:
    """Where the chunk behind one begins: at the first word inside the overlap, or in a word that fills it."""
    at = end - overlap
    word = _WORD.search(text, at, end)
    if word is not None:
        return word.start()
    return end if not overlap or text[at:end].isspace() else at


def page_of(starts: Sequence[int], at: int) -> int:
    """The page, counted from 1, of a character.

    Args:
        starts: the first character of each page.
        at: the character.
    """
    return max(1, bisect_right(starts, at))
