"""Answer the samples of a cell in batches, so that a kill loses one batch and a resume repeats none that is whole.

What a service answers is a batch of its own, kept as soon as it comes: a kill loses the requests under way.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from paceline import tasks
from paceline.attempts.run import Run
from paceline.config.build import build
from paceline.config.schema import Config, GenerationSpec
from paceline.counted import agree, counted
from paceline.data.conversations import asks_together, conversations_of, question
from paceline.data.shots.shot_turns import ShotTurns, shot_turns
from paceline.errors import Interrupted
from paceline.inference.earlier_answers import EarlierAnswers
from paceline.inference.stopwatch import Stopwatch
from paceline.models.answerer import Answer, Answerer, Request, Service
from paceline.models.conversation import Conversation
from paceline.store.cell_folder import CellFolder
from paceline.store.files import SCHEMA, append_jsonl, read_jsonl
from paceline.tasks.kind import Kind, Part

Record = dict[str, Any]
Key = tuple[str, str]
"""Sample and part: what a prediction answers."""

PARTS_SCHEMA = 2
"""Schema of a prediction that has a part, data, or an end that only a service gives."""


@dataclass(frozen=True)
class Ask:
    """One conversation of a cell."""

    sample: Record
    parts: tuple[Part, ...]
    """What is asked in it: one part, or all of the sample's."""
    together: bool
    settings: GenerationSpec

    @property
    def keys(self) -> list[Key]:
        """What it answers."""
        return [(self.sample["id"], part.name) for part in self.parts]

    def seed(self, seed: int) -> int:
        """The seed of its answer. All parts together are drawn as the sample's one answer."""
        return sample_seed(seed, self.sample["id"], "" if self.together else self.parts[0].name)


def asks_of(sample: Record, config: Config) -> list[Ask]:
    """The conversations about a sample. Parts that are asked together have the cell's settings."""
    together = asks_together(config.prompt, config.task)
    return [
        Ask(sample, parts, together, config.generation if together else settings_of(parts[0], config.generation))
        for parts in conversations_of(sample, config.prompt, config.task, config.model.inputs)
    ]


def settings_of(part: Part, settings: GenerationSpec) -> GenerationSpec:
    """A cell's generation settings with those of a part.

    Raises:
        UserError: no such setting, or a value that it can't have.
    """
    if not part.generation:
        return settings
    return build(GenerationSpec, {**dataclasses.asdict(settings), **part.generation}, f"generation of '{part.name}'")


def batches(asked: Sequence[Sequence[Ask]]) -> list[list[Ask]]:
    """The conversations of a cell as they are answered together: a pure function of the cell, whatever was answered.

    Samples stand in their prepared order. A batch has one kind of settings, which say how many it holds; what is asked
    of a sample under them is not parted, unless it is more than that.

    Args:
        asked: for each sample its conversations.
    """
    found: dict[GenerationSpec, list[list[Ask]]] = {}
    for of_sample in asked:
        alike: dict[GenerationSpec, list[Ask]] = {}
        for ask in of_sample:
            alike.setdefault(ask.settings, []).append(ask)
        for settings, asks in alike.items():
            own = found.setdefault(settings, [[]])
            if own[-1] and len(own[-1]) + len(asks) > settings.batch:
                own.append([])
            for ask in asks:
                if len(own[-1]) == settings.batch:
                    own.append([])
                own[-1].append(ask)
    return [batch for own in found.values() for batch in own]


def key_of(record: Record) -> Key:
    """What a prediction answers."""
    return record["sample"], record.get("part", "")


def committed(
    folder: CellFolder, planned: Sequence[Sequence[Ask]], earlier: EarlierAnswers | None = None
) -> dict[int, list[Record]]:
    """Batch index -> its records, for every batch that some attempt wrote whole; the first attempt's win.

    What built on other earlier answers than there are now, because these were given anew, is no answer any more.
    """
    found: dict[int, list[Record]] = {}
    for attempt in folder.attempts():
        by_batch: dict[int, dict[Key, Record]] = {}
        for record in read_jsonl(attempt.predictions):
            by_batch.setdefault(record["batch"], {}).setdefault(key_of(record), record)
        for index, records in by_batch.items():
            wanted = [key for ask in planned[index] for key in ask.keys] if 0 <= index < len(planned) else []
            if index not in found and wanted and all(w in records for w in wanted):
                if earlier and any(
                    not _built_so(ask, records[key], earlier) for ask in planned[index] for key in ask.keys
                ):
                    continue
                found[index] = [records[w] for w in wanted]
    return found


def _built_so(ask: Ask, record: Record, earlier: EarlierAnswers) -> bool:
    told = earlier.told(ask.sample, ask.parts)
    return all((record.get("data") or {}).get(name) == value for name, value in told.items())


def sample_seed(seed: int, sample: str, part: str = "") -> int:
    """A seed for one answer, which must not depend on what else is answered beside it."""
    name = f"{seed}\0{sample}\0{part}" if part else f"{seed}\0{sample}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")


def answer(
    run: Run, answerer: Answerer, samples: Sequence[Record], earlier: EarlierAnswers | None = None
) -> list[Record]:
    """Answer what is missing and return every prediction, in the order of the samples and their parts.

    Args:
        run: the attempt.
        answerer: the model.
        samples: prepared records.
        earlier: the answers that the prompt builds on, where it does.

    Raises:
        Interrupted: a signal asked to stop; the batches before it are on the disk.
    """
    config = run.config
    kind = tasks.load(config.task.kind)
    asked = [asks_of(sample, config) for sample in samples]
    wanted = [key for asks in asked for ask in asks for key in ask.keys]
    unit = "samples" if len(wanted) == len(samples) else "answers"
    service = answerer if isinstance(answerer, Service) else None
    planned = [[ask] for asks in asked for ask in asks] if service else batches(asked)
    done = committed(run.folder, planned, earlier)
    if done:
        run.note(
            f"{len(done):,} of {counted(len(planned), 'batch')} {agree(len(done), 'was', 'were')} answered by "
            "earlier attempts"
        )
    answered = sum(len(records) for records in done.values())
    run.progress(answered, len(wanted), unit)
    left = [(index, batch) for index, batch in enumerate(planned) if index not in done]
    shots = shot_turns(run.root, config.task, config.prompt, run.cell.data) if config.prompt.shots.count else None
    before = Before(shots, earlier)
    if service:
        answering = _requested(run, service, left, bool(done), before)
    else:  # the requests of a service are under way together: none has seconds of its own
        stopwatch = Stopwatch(ask.sample for asks in asked for ask in asks)
        run.told["answering"] = stopwatch.as_json
        answering = _batched(run, answerer, left, before, stopwatch)
    for index, answers in answering:
        pairs = zip(planned[index], answers, strict=True)
        done[index] = [record for ask, got in pairs for record in predictions(kind, ask, got, index, before)]
        append_jsonl(run.attempt.predictions, done[index])
        answered += len(done[index])
        run.progress(answered, len(wanted), unit)
    by_key = {key_of(record): record for records in done.values() for record in records}
    note_ties(run, list(by_key.values()))
    return [by_key[key] for key in wanted]


Batch = tuple[int, list[Ask]]


@dataclass(frozen=True)
class Before:
    """What goes into a cell's questions beside their samples: examples, and the answers that its prompt builds on."""

    shots: ShotTurns | None = None
    earlier: EarlierAnswers | None = None

    def told(self, ask: Ask) -> Record:
        """What is kept of it with an answer."""
        shown = {"shots": self.shots.ids(ask.sample, ask.parts)} if self.shots else {}
        return shown | (self.earlier.told(ask.sample, ask.parts) if self.earlier else {})


def asked_of(ask: Ask, config: Config, before: Before) -> Conversation:
    """A conversation as it is asked."""
    turns = before.shots.turns(ask.sample, ask.parts) if before.shots else ()
    earlier = before.earlier.fields(ask.sample, ask.parts) if before.earlier else None
    return question(ask.sample, config.prompt, config.task, turns, ask.parts, earlier)


def _batched(
    run: Run, answerer: Answerer, left: Iterable[Batch], before: Before, stopwatch: Stopwatch
) -> Iterator[tuple[int, Sequence[Answer]]]:
    """Answer batches one after the other."""
    config = run.config
    for index, batch in left:
        if cause := run.stop():
            raise Interrupted(cause)
        conversations = [asked_of(ask, config, before) for ask in batch]
        began = time.monotonic()
        answers = answerer.answer(conversations, batch[0].settings, [a.seed(config.seed) for a in batch])
        stopwatch.answered([ask.sample for ask in batch], time.monotonic() - began)
        yield index, answers


def _requested(
    run: Run, service: Service, left: Sequence[Batch], proved: bool, before: Before
) -> Iterator[tuple[int, Sequence[Answer]]]:
    """Let a service answer batches of one, in whatever order its answers come."""
    config = run.config

    def request(index: int, ask: Ask) -> Request:
        def conversation() -> Conversation:
            return asked_of(ask, config, before)

        return Request(index, conversation, ask.settings, ask.seed(config.seed))

    requests = (request(index, batch[0]) for index, batch in left)
    answered = 0
    for index, answer in service.answers(requests, lambda: run.stop() is not None, run.note, proved):
        answered += 1
        yield index, [answer]
    if answered < len(left):
        raise Interrupted(run.stop() or "cancelled")


def note_ties(run: Run, records: Sequence[Record]) -> None:
    """Write into the log how many questions had no likeliest choice: their answers are empty, and count as unread."""
    if tied := [record for record in records if record.get("data", {}).get("tied")]:
        choices = ", ".join(map(repr, tied[0]["data"]["tied"]))
        run.note(
            f"{counted(len(tied), 'answer')} {agree(len(tied), 'is', 'are')} unread, as several choices are exactly as "
            f"likely; of sample '{tied[0]['sample']}': {choices}"
        )


def predictions(kind: Kind, ask: Ask, answer: Answer, batch: int, before: Before) -> Iterator[Record]:
    """The records of one answer, one a part, each with the ids of the examples and of the facts that were shown.

    Of parts that were asked together each has the part of the text that is its own, and the tokens of the whole; the
    first keeps the whole text, so that it can be taken apart otherwise.
    """
    texts = kind.split(answer.text, ask.parts) if ask.together else {ask.parts[0].name: answer.text}
    shown = before.told(ask)
    for number, part in enumerate(ask.parts):
        data = {**answer.data, **shown, **({"together": answer.text} if ask.together and number == 0 else {})}
        plain = not part.name and not data and answer.finish in ("stop", "length")
        yield {
            "schema": SCHEMA if plain else PARTS_SCHEMA,
            "sample": ask.sample["id"],
            **({} if plain else {"part": part.name}),
            "text": texts.get(part.name, ""),
            "prompt_tokens": answer.prompt_tokens,
            "new_tokens": answer.new_tokens,
            "finish": answer.finish,
            "batch": batch,
            **({"data": data} if data else {}),
        }
