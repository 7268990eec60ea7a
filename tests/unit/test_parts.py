"""Several questions about a sample: how they are worded, put into batches, answered, resumed and judged."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import two_questions

from paceline import tasks
from paceline.config.identity import clear_inactive
from paceline.config.schema import Config, GenerationSpec, ModelSpec, PromptSpec, TaskSpec
from paceline.data.conversations import conversations_of, lesson, question
from paceline.errors import Interrupted, UserError
from paceline.inference.evaluate import answer, asks_of, batches, sample_seed
from paceline.models.answerer import Answer, Answerer, Reads
from paceline.models.conversation import Conversation
from paceline.scoring import judge
from paceline.store.cell_folder import CellFolder
from paceline.store.files import append_jsonl, read_jsonl
from paceline.tasks.kind import Kind, Part
from paceline.tasks.metrics import Judged

SAMPLES = [
    {"id": f"s{n}", "split": "test", "place": "a shelf", "colour": "red", "shape": "round", "settings": {}}
    for n in range(3)
]
ALONE = PromptSpec(name="alone", text="On {place}: {question}")
TOGETHER = PromptSpec(name="together", text="On {place}:\n{questions}")
TASK = TaskSpec(name="t", kind="two_questions", evaluate=["test"], target="{colour}")


def config(prompt: PromptSpec = ALONE, **generation: Any) -> Config:
    return Config(task=TASK, prompt=prompt, generation=GenerationSpec(**{"batch": 4, **generation}), seed=3)


@pytest.fixture(autouse=True)
def kind(monkeypatch: pytest.MonkeyPatch) -> Kind:
    found = Kind("two_questions", two_questions)
    monkeypatch.setattr(tasks, "load", lambda name: found)
    return found


@pytest.fixture
def one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("one_question")
    vars(module).update({k: v for k, v in vars(two_questions).items() if k not in ("parts", "split")})
    plain = Kind("one_question", module)
    monkeypatch.setattr(tasks, "load", lambda name: plain)


class Scripted:
    """Answers what a function makes of a conversation, its settings and its seed."""

    reads, how = Reads(), "generates"

    def __init__(self, say: Callable[[Conversation, GenerationSpec, int], str], **told: Any) -> None:
        self.say, self.told, self.sizes = say, told, list[int]()

    def answer(self, conversations: Sequence[Conversation], settings: GenerationSpec, seeds: Sequence[int]) -> list:
        self.sizes.append(len(conversations))
        texts = [self.say(c, settings, seed) for c, seed in zip(conversations, seeds, strict=True)]
        return [
            Answer(**{"text": t, "prompt_tokens": 5, "new_tokens": 2, "finish": "stop", **self.told}) for t in texts
        ]


def seeded(asked: Conversation, settings: GenerationSpec, seed: int) -> str:
    return f"{asked.prompt} {settings.temperature} {seed}"


def run(folder: Path, made: Config, batches_left: int = 99) -> Any:
    """An attempt of a cell that is asked to stop once it has answered so many batches."""
    cell = CellFolder(folder)
    left = iter([None] * batches_left)
    progressed: list[tuple[int, int, str]] = []
    return SimpleNamespace(
        folder=cell,
        attempt=cell.new_attempt(),
        config=made,
        stop=lambda: next(left, "timeout"),
        note=lambda text: None,
        progress=lambda *words: progressed.append(words),
        progressed=progressed,
        told={},
    )


def test_a_prompt_asks_one_part_or_all() -> None:
    colour, shape = parts = two_questions.parts(SAMPLES[0], TASK, ALONE)
    assert question(SAMPLES[0], ALONE, TASK, parts=[shape]).prompt == "On a shelf: Which shape has it?"
    assert (
        question(SAMPLES[0], TOGETHER, TASK, parts=parts).prompt
        == "On a shelf:\n1. Which colour is it?\n2. Which shape has it?"
    )
    assert conversations_of(SAMPLES[0], ALONE, TASK) == [(colour,), (shape,)]
    assert conversations_of(SAMPLES[0], TOGETHER, TASK) == [(colour, shape)]
    with pytest.raises(UserError, match="name one of them"):
        conversations_of(SAMPLES[0], PromptSpec(text="{question}", system="{questions}"), TASK)


def test_a_prompt_of_one_question_keeps_its_braces(one_question: None) -> None:
    for text in ("{question}", "{questions}", "{question} {questions}"):
        (parts,) = conversations_of(SAMPLES[0], PromptSpec(text=text), TASK)
        assert parts == (Part(),)
        assert question(SAMPLES[0], PromptSpec(text=text), TASK, parts=parts).prompt == text


@pytest.mark.parametrize("names", [[], ["a", "a"], ["a/b"]])
def test_parts_that_cannot_be_told_apart_are_refused(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_questions, "parts", lambda *_: tuple(Part(name) for name in names))
    with pytest.raises(UserError, match="two_questions"):
        conversations_of(SAMPLES[0], ALONE, TASK)


def test_a_captioner_is_led_to_a_part_by_a_beginning_or_not_asked_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    caption, colours = Part("caption", "Describe it."), Part("colours", "Which colours?", prefix="the colours are")
    monkeypatch.setattr(two_questions, "parts", lambda *_: (caption, colours))
    monkeypatch.setattr(two_questions, "score", lambda answers, *_: [Judged(None, {}) for _ in answers])

    def asked(inputs: list[str], prompt: PromptSpec) -> list[tuple[str, str]]:
        made = dataclasses.replace(config(prompt), model=ModelSpec(inputs=inputs))
        reduced = clear_inactive(made, "evaluate")
        found: list[tuple[str, str]] = []
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        records = answer(
            run(folder, reduced), Scripted(lambda c, *_: found.append((c.prompt, c.prefix)) or "x"), SAMPLES[:1]
        )
        scored = judge.score_predictions(tasks.load(""), reduced, records, {"s0": SAMPLES[0]})
        assert [s["part"] for s in scored] == [r["part"] for r in records] == ["caption", "colours"][: len(found)]
        return found

    plain, led = PromptSpec(name="p", text="{question}"), PromptSpec(name="p", text="{question}", prefix="a photo of")
    assert asked(["image"], led) == [("", "")]
    assert asked(["image", "prefix"], led) == [("", "a photo of"), ("", "the colours are")]
    assert asked(["image", "prefix"], plain) == [("", ""), ("", "the colours are")]
    assert asked(["image", "text"], led) == [("Describe it.", ""), ("Which colours?", "")]
    assert asked(["image", "text", "prefix"], led) == [("Describe it.", "a photo of"), ("Which colours?", "a photo of")]
    monkeypatch.setattr(two_questions, "parts", lambda *_: (colours,))
    with pytest.raises(UserError, match="can be asked none"):
        conversations_of(SAMPLES[0], plain, TASK, ["image"])


def test_parts_of_one_sample_are_drawn_by_seeds_of_their_own_also_by_a_service() -> None:
    warm = [{**SAMPLES[0], "settings": {"temperature": 0.5}}]
    first, second = asks_of(warm[0], config(temperature=0.7))
    assert (first.settings.temperature, second.settings.temperature) == (0.7, 0.5)
    assert first.seed(3) != second.seed(3)


def test_a_lesson_has_one_target() -> None:
    assert lesson(SAMPLES[0], TOGETHER, TASK).answer == "red"
    assert lesson(SAMPLES[0], TOGETHER, TASK).prompt.endswith("2. Which shape has it?")
    with pytest.raises(UserError, match="one target"):
        lesson(SAMPLES[0], ALONE, TASK)


def planned(samples: Sequence[dict[str, Any]], made: Config) -> list[list[str]]:
    return [["/".join(k) for a in b for k in a.keys] for b in batches([asks_of(s, made) for s in samples])]


def test_the_parts_of_a_sample_stand_in_one_batch() -> None:
    assert planned(SAMPLES, config(batch=3)) == [[f"s{n}/colour", f"s{n}/shape"] for n in range(3)]
    assert planned(SAMPLES, config(batch=4)) == [
        ["s0/colour", "s0/shape", "s1/colour", "s1/shape"],
        ["s2/colour", "s2/shape"],
    ]
    assert planned(SAMPLES[:1], config(batch=1)) == [["s0/colour"], ["s0/shape"]]
    assert planned([], config()) == []


def test_parts_with_other_settings_have_batches_of_their_own(tmp_path: Path) -> None:
    warm = [{**s, "settings": {"temperature": 0.5}} for s in SAMPLES]
    assert planned(warm, config(batch=2)) == [
        ["s0/colour", "s1/colour"],
        ["s2/colour"],
        ["s0/shape", "s1/shape"],
        ["s2/shape"],
    ]
    found = answer(run(tmp_path, config(batch=2)), Scripted(seeded), warm)
    assert [(r["sample"], r["part"], r["batch"]) for r in found][:3] == [
        ("s0", "colour", 0),
        ("s0", "shape", 2),
        ("s1", "colour", 0),
    ]
    assert [" 0.5 " in r["text"] for r in found] == [False, True] * 3
    with pytest.raises(UserError, match=r"generation of 'shape'.*temprature"):
        asks_of({**SAMPLES[0], "settings": {"temprature": 1}}, config())


def test_one_unnamed_part_is_recorded_as_ever(tmp_path: Path, one_question: None) -> None:
    def seed(sample: str) -> int:
        return int.from_bytes(hashlib.sha256(f"3\0{sample}".encode()).digest()[:7], "big")

    here, answerer = run(tmp_path, config(batch=2)), Scripted(seeded)
    assert isinstance(answerer, Answerer)
    found = answer(here, answerer, SAMPLES)
    assert [list(r.items()) for r in found] == [
        [
            ("schema", 1),
            ("sample", f"s{n}"),
            ("text", f"On a shelf: {{question}} 0.0 {seed(f's{n}')}"),
            ("prompt_tokens", 5),
            ("new_tokens", 2),
            ("finish", "stop"),
            ("batch", n // 2),
        ]
        for n in range(3)
    ]
    assert answerer.sizes == [2, 1]
    assert here.progressed[-1] == (3, 3, "samples")
    assert list(read_jsonl(here.attempt.predictions)) == found


@pytest.mark.parametrize("told", [{"data": {"size": [3, 4]}}, {"finish": "content_filter"}])
def test_what_schema_1_does_not_know_is_schema_2(tmp_path: Path, one_question: None, told: dict[str, Any]) -> None:
    (record,) = answer(run(tmp_path, config()), Scripted(seeded, **told), SAMPLES[:1])
    assert (record["schema"], record["part"]) == (2, "")
    assert told.items() <= record.items()


def test_each_part_has_a_seed_and_a_record(tmp_path: Path) -> None:
    here = run(tmp_path, config())
    found = answer(here, Scripted(seeded), SAMPLES)
    assert [(r["sample"], r["part"]) for r in found] == [(s["id"], p) for s in SAMPLES for p in ("colour", "shape")]
    assert {r["schema"] for r in found} == {2} and not any("data" in r for r in found)
    assert [int(r["text"].split()[-1]) for r in found[:2]] == [sample_seed(3, "s0", p) for p in ("colour", "shape")]
    assert len({r["text"].split()[-1] for r in found}) == 6
    assert here.progressed[-1] == (6, 6, "answers")


def test_a_joint_answer_is_taken_apart_and_kept_whole(tmp_path: Path) -> None:
    whole = "1. red\n2. square"
    found = answer(run(tmp_path, config(TOGETHER)), Scripted(lambda *_: whole), SAMPLES[:1])
    assert [(r["part"], r["text"], r.get("data")) for r in found] == [
        ("colour", "red", {"together": whole}),
        ("shape", "square", None),
    ]
    (lost, _) = answer(run(tmp_path / "b", config(TOGETHER)), Scripted(lambda *_: "I see\n2. a ball"), SAMPLES[:1])
    assert lost["text"] == ""
    scores = judge.score_predictions(tasks.load(""), config(), found, {s["id"]: s for s in SAMPLES})
    assert [(s["part"], s["scores"]["right"]) for s in scores] == [("colour", True), ("shape", False)]


@pytest.mark.parametrize("prompt", [ALONE, TOGETHER], ids=lambda p: p.name)
def test_a_resume_repeats_no_whole_batch_and_changes_nothing(tmp_path: Path, prompt: PromptSpec) -> None:
    made = config(prompt, batch=2 if prompt is ALONE else 1)
    wanted = answer(run(tmp_path / "undisturbed", made), Scripted(seeded), SAMPLES)
    first = run(tmp_path / "killed", made, batches_left=1)
    with pytest.raises(Interrupted):
        answer(first, Scripted(seeded), SAMPLES)
    # Half of the next batch: one part of a sample, of another text, which must not count.
    append_jsonl(first.attempt.predictions, [{**wanted[2], "text": "half"}])
    again = Scripted(seeded)
    assert answer(run(tmp_path / "killed", made), again, SAMPLES) == wanted
    assert len(again.sizes) == 2


def test_an_answer_to_a_part_that_is_not_asked_is_refused() -> None:
    with pytest.raises(ValueError, match="'weight'"):
        judge.score_predictions(
            tasks.load(""), config(), [{"sample": "s0", "part": "weight", "text": ""}], {"s0": SAMPLES[0]}
        )


def test_settings_of_a_part_leave_the_rest_of_the_cells() -> None:
    made = config(batch=7, new_tokens=9)
    _, shape = asks_of({**SAMPLES[0], "settings": {"temperature": 0.5}}, made)
    assert shape.settings == dataclasses.replace(made.generation, temperature=0.5)
