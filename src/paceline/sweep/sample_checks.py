"""What the prepared samples of a sweep lack, found out before a cell is frozen.

A column that is missing would end a cell after its answers were generated, a picture that a processor can't take or a
text that is too long somewhere in between. Of samples that hold the same fields one is looked at.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paceline import plugins, tasks
from paceline.config.cell_kinds import kind_of
from paceline.config.declared import Kind
from paceline.config.joined_parts import is_twin, sources
from paceline.config.schema import Config, ModelSpec, PromptSpec, TaskSpec
from paceline.data import prompts, samples
from paceline.data.conversations import asks_together, conversations_of, lesson, of_parts, question
from paceline.data.images import picture_size
from paceline.data.shots.shot_turns import ShotTurns, shot_turns
from paceline.errors import UserError
from paceline.gpu_memory import image_tokens
from paceline.gpu_memory.image_tokens import Size
from paceline.gpu_memory.shapes import Shape, shape_of
from paceline.models import hub_files
from paceline.models.conversation import Conversation
from paceline.tasks.kind import Answer, Answered, images_of

Record = dict[str, Any]

MOST_LOOKED_AT = 64
"""Samples of different fields that are tried, of each split."""
LONGEST = 3
"""Samples of most letters whose tokens are counted, of each split."""
JOINED = 4
"""Tokens that a text may lose where it is joined to what stands around it."""
_NOT_SHOWN = {"id", "split", "image", "images", "sha256", "sha256s"}


class SampleChecks:
    """The checks of one sweep, each made once.

    Args:
        root: the storage root.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._records: dict[tuple[int, int], dict[str, list[Record]]] = {}
        self._seen: set[tuple[Any, ...]] = set()
        self._turns: dict[tuple[int, int], ShotTurns | None] = {}
        self._longest: dict[tuple[Any, ...], str] = {}
        self._complaints: dict[tuple[Any, ...], list[str]] = {}

    def problems(self, config: Config, prompt: PromptSpec, kind: Kind) -> Iterator[str]:
        """What stands in the way of a cell, as far as another has not been asked the same; nothing where its data is
        not prepared.

        Args:
            config: the cell's.
            prompt: the one that the cell asks, or tunes on.
            kind: the cell's.
        """
        # The composition holds its specs, so an id stands for a content.
        asked = (kind, id(config.task), id(prompt), config.limit, bool(config.train.validations))
        for_model = (*asked, id(config.model), config.generation.new_tokens, config.generation.answer)
        if for_model in self._seen:
            return
        try:
            split_records = self._split_records(config, kind)
        except UserError as error:
            yield str(error)
            return
        first = asked not in self._seen
        self._seen |= {asked, for_model}
        shape = _shape(config.model, self._root)
        for split, records in split_records.items():
            lacking = [*self._lacking(config, prompt, kind, split, records)] if first else []
            if first and (unseen := _unseen(config.task, split, records)):
                lacking.append(unseen)
            if kind_of(kind).answers and config.generation.answer == "likelihood":
                lacking += [*_not_choosable(config, prompt, split, records)]
            yield from lacking
            if shape is not None and records and not lacking:
                yield from self._too_narrow(config, shape, split, records)
                if kind_of(kind).trains or config.method.trains != "nothing":
                    shots = self._shots(config.task, prompt, kind)
                    yield from _too_long(config, prompt, kind, shape, split, records, shots)

    def too_long(self, config: Config, prompt: PromptSpec) -> str:
        """Why an untuned model can't be asked: a sample surely has more tokens than it has positions; empty else."""
        settings = config.generation.new_tokens, config.limit
        key = (id(config.task), id(prompt), id(config.model), *settings)
        if key not in self._longest:
            self._longest[key] = next(self._too_long(config, prompt), "")
        return self._longest[key]

    def _too_long(self, config: Config, prompt: PromptSpec) -> Iterator[str]:
        try:
            split_records = self._split_records(config, "evaluate")
        except UserError:  # told by :meth:`problems`
            return
        shape = _shape(config.model, self._root)
        for split, records in split_records.items():
            if shape is not None and records and not self._lacking(config, prompt, "evaluate", split, records):
                shots = self._shots(config.task, prompt, "evaluate")
                yield from _too_long(config, prompt, "evaluate", shape, split, records, shots)

    def _lacking(
        self, config: Config, prompt: PromptSpec, kind: Kind, split: str, records: Sequence[Record]
    ) -> list[str]:
        """What samples of a split lack for a prompt, found once for all models that are asked it."""
        key = (kind, id(config.task), id(prompt), config.limit, split)
        if key not in self._complaints:
            self._complaints[key] = list(_lacking(config, prompt, kind, split, records))
        return self._complaints[key]

    def _shots(self, task: TaskSpec, prompt: PromptSpec, kind: Kind) -> ShotTurns | None:
        """The examples shown before questions; None too where what they need is not there, which is told elsewhere."""
        if kind_of(kind).trains or not prompt.shots.count:
            return None
        key = (id(task), id(prompt))
        if key not in self._turns:
            try:
                self._turns[key] = shot_turns(self._root, task, prompt, images=False)
            except UserError:
                self._turns[key] = None
        return self._turns[key]

    def _split_records(self, config: Config, kind: Kind) -> dict[str, list[Record]]:
        task = config.task
        there = samples.splits(self._root, task) or {}
        if kind_of(kind).trains:
            used = [task.train, *([task.validation] if config.train.validations else [])]
        else:
            used = task.evaluate
        key = (id(task), config.limit)
        if there and key not in self._records:
            by_split: dict[str, list[Record]] = {split: [] for split in there}
            for record in samples.read_samples(self._root, task, list(there), config.limit):
                by_split[record["split"]].append(record)
            self._records[key] = by_split
        return {split: self._records[key][split] for split in dict.fromkeys(used) if split in there}

    def _too_narrow(self, config: Config, shape: Shape, split: str, records: Sequence[Record]) -> Iterator[str]:
        least = image_tokens.narrowest(shape.image, config.model.processor)
        if least is None or not any(map(images_of, records)):
            return
        listed = samples.read_manifest(self._root, config.task).get("narrowest")
        if listed is not None:
            worst = listed.get(split)
            among = [worst] if worst and any(r["id"] == worst["sample"] for r in records) else []
        else:  # prepared by an earlier version
            shown = [(r["id"], picture_size(p)) for r in records[:MOST_LOOKED_AT] for p in images_of(r)]
            among = [{"sample": name, "width": size[0], "height": size[1]} for name, size in shown if size]
        for one in among:
            width, height = one["width"], one["height"]
            if not image_tokens.takes(shape.image, config.model.processor, (width, height)):
                yield (
                    f"task {config.task.name}: sample '{one['sample']}' of split '{split}' shows a picture of "
                    f"{width} × {height} pixels, which the processor of model {config.model.name} (family "
                    f"{config.model.family}) can't take: scaled to a longest edge of {least} its shorter side is less "
                    "than a pixel; leave it out, or give model.processor.size.longest_edge="
                    f"{-(-max(width, height) // min(width, height))} or more"
                )
                return


def _shape(model: ModelSpec, root: Path) -> Shape | None:
    try:
        return shape_of(model, root)
    except UserError:  # told where its memory is planned
        return None


# -- fields


def _unseen(task: TaskSpec, split: str, records: Sequence[Record]) -> str:
    """Why a split without a picture can't be asked about by a task of pictures; empty where it can."""
    if not records or not tasks.shows_images(task) or any(map(images_of, records)):
        return ""
    fields = ", ".join(sorted(records[0].keys() - _NOT_SHOWN)) or "none"
    return (
        f"task {task.name}: no sample of split '{split}' shows a picture (fields of '{records[0]['id']}': {fields}); "
        "name the table's column of pictures: task.options.columns.image=COLUMN, with the other columns that are used; "
        "where text alone is asked about: task.needs=[text]"
    )


def _lacking(config: Config, prompt: PromptSpec, kind: Kind, split: str, records: Sequence[Record]) -> Iterator[str]:
    task = config.task
    alike: dict[Any, list[Record]] = {}
    for record in records:
        alike.setdefault(samples.form_of(record), []).append(record)
    complaints: dict[str, tuple[Record, int]] = {}
    for members in list(alike.values())[:MOST_LOOKED_AT]:
        if complaint := _complaint(config, prompt, kind, members[0]):
            first, count = complaints.get(complaint, (members[0], 0))
            complaints[complaint] = (first, count + len(members))
    for complaint, (record, count) in complaints.items():
        more = f" and {count - 1:,} more" if count > 1 else ""
        fields = ", ".join(sorted(record.keys() - _NOT_SHOWN)) or "none"
        yield (
            f"task {task.name}: sample '{record['id']}'{more} of split '{split}': {complaint} (fields of the sample: "
            f"{fields}); mend task.options, or leave such samples out"
        )


def _not_choosable(config: Config, prompt: PromptSpec, split: str, records: Sequence[Record]) -> Iterator[str]:
    """The first question whose choices can't be scored."""
    task_kind = tasks.load(config.task.kind)
    for record in records:
        for part in task_kind.parts(samples.without_images(record), config.task, prompt):
            if part.generation.get("answer", "likelihood") != "likelihood":
                continue
            choices = dict.fromkeys(part.choices)
            if len(choices) > 1 and all(choice.strip() for choice in choices):
                continue
            told = "an empty choice" if len(choices) > 1 else f"{len(choices) or 'no'} choice{'s' * (not choices)}"
            yield (
                f"task {config.task.name}: sample '{record['id']}' of split '{split}' gives {told}, and "
                "generation.answer=likelihood takes the likeliest of two or more; mend the data, leave such samples "
                "out, or give generation.answer=generate"
            )
            return


def _complaint(config: Config, prompt: PromptSpec, kind: Kind, record: Record) -> str:
    """Why a sample can't be asked about, judged or trained on; empty where it can."""
    task = config.task
    # A lab's kind may dislike an empty answer for reasons of its own.
    ours = plugins.find("tasks", task.kind) is None
    try:
        if kind_of(kind).trains:
            lesson(samples.without_images(record), prompt, task)
        else:
            return _ask_and_judge(task, prompt, record, config.model.inputs)
    except KeyError as error:
        name = error.args[0] if error.args else ""
        if name not in record:
            return f"kind '{task.kind}' needs '{name}', which it does not have"
    except UserError as error:
        return str(error).removeprefix(f"sample '{record['id']}': ")
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        return f"kind '{task.kind}' can't use it: {error}" if ours else ""
    except ImportError:  # what the kind needs is perhaps installed where cells run
        pass
    return ""


def _ask_and_judge(task: TaskSpec, prompt: PromptSpec, record: Record, inputs: Sequence[str]) -> str:
    task_kind = tasks.load(task.kind)
    bare = samples.without_images(record)
    asked = dict.fromkeys(of_parts(task_kind))
    names = [name for text in (prompt.text, prompt.system) for name in prompts.names(text, asked)]
    for parts in conversations_of(bare, prompt, task, inputs):
        question(bare, prompt, task, parts=parts)
        if "choices" in names and asks_together(prompt, task):
            return f"prompt {prompt.name} names {{choices}}, of one question, and {{questions}}, which asks all"
        if "choices" in names and any(not part.choices for part in parts):
            return f"prompt {prompt.name} names {{choices}}, and its question has none"
        silent = [part.name for part in parts if not part.text]
        if silent and set(names) - set(task_kind.shown):
            return f"prompt {prompt.name} names {{{names[0]}}}, and its part '{silent[0]}' has no text"
        read = (Answered(record, p, task_kind.read(Answer(""), p, task, prompt)) for p in parts)
        task_kind.score(list(read), task, prompt)
    return ""


# -- lengths


def _too_long(
    config: Config,
    prompt: PromptSpec,
    kind: Kind,
    shape: Shape,
    split: str,
    records: Sequence[Record],
    shots: ShotTurns | None,
) -> Iterator[str]:
    """The longest sample, where it surely has more tokens than the model has positions."""
    trains = kind_of(kind).trains
    new = 0 if trains else config.generation.new_tokens
    for record in heapq.nlargest(LONGEST, records, key=_letters):
        for asked, images in _conversations(config, prompt, record, trains, shots):
            told = [text for turn in asked.shots for text in (turn.prompt, turn.answer or "")]
            pieces = [text for text in (asked.system, *told, asked.prompt, asked.answer or "") if text]
            seen = sum(_image_tokens(shape, config.model, images))
            if sum(len(text.encode()) for text in pieces) + seen + new <= shape.positions:
                continue  # no token is shorter than a byte
            count = _counter(config.model)
            if count is None:
                return
            least = sum(max(0, count(text) - JOINED) for text in pieces) + seen
            if least + new > shape.positions:
                answer = "its prompt and target take" if trains else "its prompt takes"
                more = "" if trains else f", and generation.new_tokens={new} come behind"
                remedy = "shorten task.target or the prompt" if trains else "shorten the prompt, or lower new_tokens"
                yield (
                    f"task {config.task.name}: sample '{record['id']}' of split '{split}' is too long for model "
                    f"{config.model.name}, which has {shape.positions:,} positions: with prompt {prompt.name} {answer} "
                    f"at least {least:,} tokens (pictures counted){more}; leave it out, or {remedy}"
                )
                return


def _letters(record: Mapping[str, Any]) -> int:
    shown = (value for name, value in record.items() if name not in _NOT_SHOWN)
    return sum(len(value) if isinstance(value, str) else len(str(value)) for value in shown)


def _conversations(
    config: Config, prompt: PromptSpec, record: Record, trains: bool, shots: ShotTurns | None
) -> Iterator[tuple[Conversation, list[str]]]:
    """What is asked of a sample, or trained on, with the paths of the pictures that are shown."""
    task = config.task
    bare, own = samples.without_images(record), images_of(record)
    if trains:
        yield lesson(bare, prompt, task), own
        return
    for parts in conversations_of(bare, prompt, task, config.model.inputs):
        turns = shots.turns(record, parts) if shots else []
        images = shots.images(record, parts) if shots else []
        yield question(bare, prompt, task, turns, parts), [*images, *own]


def _image_tokens(shape: Shape, model: ModelSpec, paths: Sequence[str]) -> Iterator[int]:
    for path in paths:
        size: Size | None = picture_size(path)
        if size is not None:
            yield image_tokens.see(shape.image, model.processor, size).tokens


def _counter(model: ModelSpec) -> Callable[[str], int] | None:
    """A function that counts a text's tokens, from the tokenizer's own file; None where that is not here."""
    if model.served:
        return None
    if is_twin(model):
        # A twin's tokenizer cuts here, and spells what it has no word for (:mod:`paceline.models.twins`).
        return lambda text: len(re.findall(r" ?[A-Za-z]+|[\s\S]", text))
    try:
        folder = hub_files.folder_of(sources(model)[-1])  # a joined model reads with its language part's
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(Path(folder or "") / "tokenizer.json"))
    except Exception:  # the library raises a plain one where the file is not there or not whole
        return None
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
