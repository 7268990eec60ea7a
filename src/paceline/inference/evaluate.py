"""Answer the samples of a cell in batches, so that a kill loses one batch and a resume repeats none that is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from paceline.attempts.run import Run
from paceline.data.conversations import question
from paceline.errors import Interrupted
from paceline.models.answerer import Answerer
from paceline.store.cells import CellFolder
from paceline.store.files import SCHEMA, append_jsonl, read_jsonl

Record = dict[str, Any]


def batches(samples: Sequence[Record], size: int) -> list[Sequence[Record]]:
    """Samples in their prepared order, ``size`` at a time: a pure function of the cell, whatever was answered."""
    return [samples[i : i + size] for i in range(0, len(samples), size)]


def committed(folder: CellFolder, planned: Sequence[Sequence[Record]]) -> dict[int, list[Record]]:
    """Batch index -> its records, for every batch that some attempt wrote whole; the first attempt's win."""
    found: dict[int, list[Record]] = {}
    for attempt in folder.attempts():
        by_batch: dict[int, dict[str, Record]] = {}
        for record in read_jsonl(attempt.predictions):
            by_batch.setdefault(record["batch"], {}).setdefault(record["sample"], record)
        for index, records in by_batch.items():
            wanted = [s["id"] for s in planned[index]] if 0 <= index < len(planned) else []
            if index not in found and wanted and all(w in records for w in wanted):
                found[index] = [records[w] for w in wanted]
    return found


def sample_seed(seed: int, sample: str) -> int:
    """A seed for one sample: its answer must not depend on what else is answered beside it."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{sample}".encode()).digest()[:7], "big")


def answer(run: Run, answerer: Answerer, samples: Sequence[Record]) -> list[Record]:
    """Generate what is missing and return every prediction, in the order of the samples.

    Raises:
        Interrupted: a signal asked to stop; the batches before it are on the disk.
    """
    config = run.config
    planned = batches(samples, config.generation.batch)
    done = committed(run.folder, planned)
    if done:
        run.note(f"{len(done)} of {len(planned)} batches were answered by earlier attempts")
    answered = sum(len(records) for records in done.values())
    run.progress(answered, len(samples), "samples")
    for index, batch in enumerate(planned):
        if index in done:
            continue
        if cause := run.stop():
            raise Interrupted(cause)
        asked = [question(s, config.prompt, config.task) for s in batch]
        seeds = [sample_seed(config.seed, s["id"]) for s in batch]
        answers = answerer.answer(asked, config.generation, seeds)
        done[index] = [
            {
                "schema": SCHEMA,
                "sample": sample["id"],
                "text": a.text,
                "prompt_tokens": a.prompt_tokens,
                "new_tokens": a.new_tokens,
                "finish": a.finish,
                "batch": index,
            }
            for sample, a in zip(batch, answers, strict=True)
        ]
        append_jsonl(run.attempt.predictions, done[index])
        answered += len(batch)
        run.progress(answered, len(samples), "samples")
    return list(_in_order(done))


def _in_order(done: dict[int, list[Record]]) -> Iterator[Record]:
    for index in sorted(done):
        yield from done[index]
