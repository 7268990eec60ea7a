"""What prepared documents are like, and what became of them on the way: encodings, pages, chunks that were cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.counted import agree, counted

if TYPE_CHECKING:
    from paceline.config.schema import TaskSpec


def data_checks(records: Sequence[Mapping[str, Any]], train: str) -> dict[str, Any]:
    """``documents``: how many chunks, of these how many were cut by the embedder, pages unread, encodings, truths."""
    encodings = Counter(str(record["encoding"]) for record in records if record.get("encoding"))
    texts = Counter(str(record.get("text_sha256")) for record in records)
    found = {
        "questions": max(len(record["questions"]) for record in records),
        "chunks": sum(int(record.get("chunk_count", 0)) for record in records),
        "chunks_cut": sum(int(record.get("chunks_cut", 0)) for record in records),
        "pages_unread": sum(int(record.get("pages_unread", 0)) for record in records),
        "with_truth": sum(bool(record.get("answers")) for record in records),
        "same_text": sum(count - 1 for count in texts.values()),
        "embedder": next((str(r["embedder"]) for r in records if r.get("embedder")), ""),
    }
    return {"documents": found | ({"encodings": dict(encodings.most_common())} if encodings else {})}


def data_lines(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """What a user should know of the documents, a line each."""
    found = manifest.get("documents") or {}
    if found.get("chunks"):
        yield f"{counted(found['chunks'], 'chunk')}, embedded by {found['embedder']}"
    if cut := found.get("chunks_cut"):
        yield (
            f"{counted(cut, 'chunk')} {agree(cut, 'is', 'are')} longer than the 256 tokens that the embedder reads: "
            "the rest has no part in how near they are to a question, and is shown all the same; smaller ones: "
            "task.options.chunks=300/100"
        )
    if encodings := found.get("encodings"):
        told = ", ".join(f"{name} ({count:,})" for name, count in encodings.items())
        yield f"texts that are no UTF-8, and were read as: {told}"
    if pages := found.get("pages_unread"):
        yield f"{counted(pages, 'page')} of PDFs could not be read; the others of these documents are used"
    if same := found.get("same_text"):
        yield f"{counted(same, 'document')} {agree(same, 'has', 'have')} the text of another"


def data_notes(manifest: Mapping[str, Any], task: TaskSpec) -> Iterator[str]:
    """The same for a report."""
    yield from (f"{task.name}: {line}." for line in data_lines(manifest, task))
    found = manifest.get("documents") or {}
    have, of = int(found.get("with_truth", 0)), sum(manifest.get("splits", {}).values())
    if 0 < have < of:
        yield f"{task.name}: token F1 is over the {have:,} of {counted(of, 'document')} with right answers."
