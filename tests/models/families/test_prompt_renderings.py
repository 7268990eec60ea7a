"""Every prompt of ``conf/prompt/``, as each kind of family writes it: what a model reads is seen before it changes.

Examples of a prompt are shown out of a small pool, and a kind that asks several questions asks each of them. A golden
file per prompt, ``tests/models/golden/renderings/<prompt>.txt``. A prompt without one fails here, with how to
accept it.
"""

from __future__ import annotations

import csv
import dataclasses
import difflib
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import few_shot
import pytest
from conftest import model_spec
from PIL import Image

from paceline import tasks
from paceline.config.build import build
from paceline.config.identity import asked_of
from paceline.config.schema import Config, ModelSpec, PromptSpec, ShotsSpec, TaskSpec
from paceline.data import background_facts, prompts
from paceline.data.conversations import EARLIER, conversations_of, of_parts, question
from paceline.data.shots import prepared_shots
from paceline.data.shots.shot_turns import ShotTurns, shot_turns
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.families.openai_compatible import messages
from paceline.models.families.remote import merged
from paceline.sweep.combinations import unanswerable
from paceline.sweep.config_files import ConfTree, conf_folders
from paceline.sweep.shot_checks import unshowable

GOLDEN = Path(__file__).parents[1] / "golden" / "renderings"
TREE = ConfTree(conf_folders(None))
PROMPTS = TREE.choices("prompt")
PICTURE = Image.new("RGB", (32, 32), (90, 120, 150))

SAMPLE: Mapping[str, Any] = {
    "id": "sample-1",
    "split": "test",
    "image": "sample-1.png",
    "latitude": 47.497912,
    "longitude": 19.040235,
    "country": "HU",
    "region": "Budapest",
    "city": "Budapest",
    "references": ["a red bus in a street", "a bus is waiting"],
    "reference": "a red bus in a street",
    "text": "The bus from the airport was red. It stopped at every corner.",
    "question": "What colour is the bus?",
    "choices": ["red", "green", "blue"],
    "answer": "red",
    "answers": ["red", "dark red"],
    "asked": "What colour is the bus?",
    "judged": "blue",
    "class": "red",
    "count": 3,
    "name": "red",
    "category": "urban infrastructure",
    "landmarks": {"red": "urban infrastructure", "green": "tombs", "blue": "tombs"},
    "label": "archery",
    "labels": ["archery", "judo", "rowing"],
    "sport": "archery",
    "categories": ["street"],
    "objects": ["bus"],
    "colours": {"red": 0.6, "grey": 0.4},
    "counts": {"built": 2, "removed": 0, "damaged": 1},
    "document": "buses.pdf",
    "questions": [
        {"name": "topic", "topic": "Topic", "question": "What is this document about?"},
        {"name": "use", "topic": "Use", "question": "For what can this be used, and by whom?"},
    ],
    "nearest": {"topic": [[0, 0.7], [3, 0.4]], "use": [[3, 0.6], [0, 0.5]]},
    "top": 2,
    "chunks": [{"index": 0, "text": "Buses go to the airport."}, {"index": 3, "text": "Travellers may use them."}],
    "phrase": "the striped red patch",
    "boxes": [[64, 48, 320, 240]],
    "width": 640,
    "height": 480,
}
"""One sample with the fields of every kind of task."""

POOL: Mapping[str, Any] = {
    "references": [["a dog on a beach"], ["two red chairs"], ["snow on a roof"], ["a boat at sea"], ["a green door"]],
    "text": [f"The {vehicle} was late." for vehicle in ("train", "tram", "taxi", "ferry", "plane")],
    "question": [f"What colour is the {thing}?" for thing in ("dog", "chair", "roof", "boat", "door")],
    "answer": ["blue", "red", "blue", "red", "green"],
    "answers": [["blue"], ["red"], ["blue"], ["red"], ["green"]],
    "class": ["blue", "red", "blue", "red", "green"],
    "count": [0, 1, 2, 12, 40],
    "label": ["judo", "rowing", "archery", "judo", "rowing"],
    "latitude": [46.9, 48.2, 52.5, 55.7, 59.3],
    "longitude": [7.4, 16.4, 13.4, 12.6, 18.1],
    "country": ["CH", "AT", "DE", "DK", "SE"],
}
"""Fields of five samples that a prompt may show as examples; what is not here is as in SAMPLE."""

SAID = "A narrow street with overhead wires and vending machines. Writing in katakana and kanji."
"""What a model said of the picture, for a prompt that builds on such an answer."""

WAYS: Mapping[str, tuple[str, Callable[[ModelSpec, Conversation], str]]] = {}
"""Name of a way -> the model that stands for it, and how it writes a conversation."""


def _family(spec: ModelSpec, template: bool) -> Any:
    cls = load_family(spec.family)
    family = cls.__new__(cls)  # its text needs no network
    family.spec, family.processor = spec, cls.twin_processor(spec)
    if not template:
        family.processor.chat_template = None
    return family


def _chat(spec: ModelSpec, conversation: Conversation) -> str:
    return str(_family(spec, template=True).render(conversation))


def _plain(spec: ModelSpec, conversation: Conversation) -> str:
    return str(_family(spec, template=False).render(conversation))


def _own_call(spec: ModelSpec, conversation: Conversation) -> str:
    return f"{'<an image> ' * len(conversation.images)}{merged(conversation)}"


def _request(spec: ModelSpec, conversation: Conversation) -> str:
    def short(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: "data:…" if k == "url" else short(v) for k, v in value.items()}
        return [short(v) for v in value] if isinstance(value, list) else value

    return json.dumps(short(messages(conversation)), indent=1, ensure_ascii=False)


WAYS = {
    "chat template with image parts": ("tiny_qwen2_vl", _chat),
    "chat template of a text model": ("tiny_causal_lm", _chat),
    "chat template with numbered images": ("tiny_phi35_vision", _chat),
    "text to complete": ("tiny_pixtral", _plain),
    "text to complete, with marks around images": ("tiny_idefics", _plain),
    "text to complete, begun behind its image": ("tiny_llama32_vision", _plain),
    "text to complete, behind all images": ("tiny_paligemma2", _plain),
    "beginning of a caption": ("tiny_blip", _plain),
    "picture alone": ("tiny_vit_gpt2", _plain),
    "bare question": ("tiny_blip_vqa", _plain),
    "question of a classifier": ("tiny_vilt", _plain),
    "the model's own call": ("moondream2", _own_call),
    "request to a service": ("gpt4v", _request),
}


def _prompt(name: str) -> PromptSpec:
    return build(PromptSpec, {"name": name, **TREE.load("prompt", name)}, f"prompt/{name}")


def _task_for(prompt: PromptSpec) -> TaskSpec:
    """The task that a prompt is written for: of those that fill in all of its braces the one that names it, or whose
    own prompt has the most like name.
    """
    if builders := [p for p in map(_prompt, PROMPTS) if p.builds_on.prompt == prompt.name]:
        return _task_for(builders[0])
    called = prompt.name.removeprefix("four_shots_")
    found: list[tuple[int, str, TaskSpec]] = []
    for name in TREE.choices("task"):
        task = build(TaskSpec, {"name": name, **TREE.load("task", name)}, f"task/{name}")
        kind = tasks.load(task.kind)
        if prompt.builds_on.facts and background_facts.facts_of(task.kind) is None:
            continue
        fields = [*kind.shown, *of_parts(kind), *(EARLIER if prompt.builds_on.prompt else ())]
        if not any(list(prompts.unfilled(text, fields)) for text in (prompt.text, prompt.system, prompt.prefix)):
            pairs = zip(task.prompt, called, strict=False)
            alike = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
            found.append((-alike, name, task))
    assert found, f"no task fills in the braces of prompt {prompt.name}"
    return min(found, key=lambda one: one[:2])[2]


ALSO: Mapping[str, tuple[str, ...]] = {
    "choice_letter": ("sport_classification",),
    "choice_words": ("sport_classification",),
}
"""Further tasks whose kinds fill in the braces of a prompt with something else."""


def _tasks_for(prompt: PromptSpec) -> list[TaskSpec]:
    further = [build(TaskSpec, {"name": name, **TREE.load("task", name)}, name) for name in ALSO.get(prompt.name, ())]
    return [_task_for(prompt), *further]


def _shots(prompt: PromptSpec, task: TaskSpec, root: Path) -> tuple[ShotTurns | None, dict[str, Any]]:
    """The turns of a prompt's examples, prepared as for a cell, and the sample that is asked behind them."""
    sample = {k: v for k, v in SAMPLE.items() if k not in ("image", "id", "split")}
    if not prompt.shots.count:
        return None, {"id": SAMPLE["id"], **sample}
    pool = len(POOL["label"])
    task = dataclasses.replace(task, evaluate=task.evaluate[:1])
    fields = {k: [*POOL.get(k, [v] * pool), v] for k, v in sample.items()}
    records = few_shot.prepared(root, task, {task.train: range(pool), task.evaluate[0]: [100]}, **fields)
    shots = prompt.shots
    if shots.how == "file":
        table = root / "by_hand.csv"
        rows = [{"image": r["image"], "answer": f"Written by hand: {r['references'][0]}."} for r in records[:pool]]
        with table.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, ["image", "answer"])
            writer.writeheader()
            writer.writerows(rows)
        shots = dataclasses.replace(shots, file=str(table))
    elif shots.how == "nearest":  # how they are chosen changes nothing in how they are written
        shots = ShotsSpec(count=shots.count, split=shots.split, answer=shots.answer)
    shown = dataclasses.replace(prompt, shots=shots)
    pinned, _ = prepared_shots.prepare(root, task, shown, None, lambda model: model, lambda *_: None)
    return shot_turns(root, task, pinned), {k: v for k, v in records[-1].items() if k != "image"}


def _earlier(prompt: PromptSpec, task: TaskSpec) -> dict[str, str]:
    """What an earlier answer gives to a prompt that builds on one."""
    if not prompt.builds_on.prompt:
        return {}
    facts = background_facts.facts_of(task.kind)
    found = facts.nearest(SAID, prompt.builds_on.facts) if facts else []
    return {"earlier_answer": SAID, "facts": background_facts.shown(found)}


def _renderings(prompt: PromptSpec, task: TaskSpec, root: Path) -> Iterator[tuple[str, str]]:
    turns, sample = _shots(prompt, task, root)
    for way, (model, write) in WAYS.items():
        spec = model_spec(model)
        if why := unanswerable(task, spec) or unshowable(Config(model=spec, task=task, prompt=prompt)):
            yield way, f"(not asked: {why})"
            continue
        asked = asked_of(prompt, spec.inputs)
        # As the kind is asked, with the picture made here, twice where it shows several; a task about text shows none.
        needs = tasks.needs(task)
        shown = [PICTURE] * (2 if "images" in needs else 1 if "image" in needs else 0)
        for parts in conversations_of(sample, asked, task, spec.inputs):
            shots = turns.turns(sample, parts) if turns else ()
            conversation = question(sample, asked, task, shots, parts, _earlier(asked, task))
            conversation.images.extend(shown)
            name = " · ".join(filter(None, (way, *(part.name for part in parts))))
            yield name, write(spec, conversation)


def _written(name: str, root: Path) -> str:
    prompt = _prompt(name)
    told = []
    for task in _tasks_for(prompt):
        told.append(f"prompt {name}, task {task.name}\n")
        for way, rendered in _renderings(prompt, task, root):
            told.append(f"\n==== {way}\n{rendered}\n---- the answer begins here\n")
    return "".join(told)


@pytest.mark.parametrize("name", PROMPTS)
def test_every_way_writes_a_prompt_as_accepted(name: str, tmp_path: Path) -> None:
    path, now = GOLDEN / f"{name}.txt", _written(name, tmp_path)
    if os.environ.get("PACELINE_ACCEPT"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(now, encoding="utf-8")
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if now != before:
        told = "\n".join(difflib.unified_diff(before.splitlines(), now.splitlines(), "accepted", "now", lineterm=""))
        new = "" if before else f"prompt {name} is new, and nobody has looked at what models read of it:\n\n"
        pytest.fail(f"{new}{told}\n\nIf this is meant: PACELINE_ACCEPT=1 pytest {__file__} -k {name}", pytrace=False)


def test_no_golden_rendering_is_of_a_prompt_that_is_gone() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.txt")) == sorted(PROMPTS)


def test_every_kind_of_family_is_among_the_ways() -> None:
    """A model of ``conf/model/`` reads what the model of one of the ways reads."""
    specs = [model_spec(model) for model, _ in WAYS.values()]
    inputs = {frozenset(spec.inputs) - {"images"} for spec in specs}
    for name in TREE.choices("model"):
        spec = model_spec(name)
        assert frozenset(spec.inputs) - {"images"} in inputs, f"no way stands for the inputs of {name}: {spec.inputs}"
