"""Prompts that build on another prompt's answers: what is asked, and what an attempt holds these answers to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import builders
import pytest
from chat_server import Asked, ChatServer, Handler

from paceline.config.build import build
from paceline.config.identity import placement_of
from paceline.config.schema import Config, GenerationSpec, MethodSpec, ModelSpec, PromptSpec, ServiceSpec, TaskSpec
from paceline.data.background_facts import Entry, Facts
from paceline.errors import DataError, UserError
from paceline.inference import earlier_answers, evaluate
from paceline.inference.earlier_answers import NO_ANSWER, EarlierAnswers
from paceline.report.read import report_notes, sweep_results
from paceline.store.cell_folder import Cell, CellFolder
from paceline.store.files import read_json, read_jsonl, write_jsonl
from paceline.store.root import Store
from paceline.sweep.built_on import BuiltOn
from paceline.sweep.cells import PlannedCell, Sweep, evaluate_cell, record
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders
from paceline.tasks.kind import Part

CONF = conf_folders(None)
CONFIG = Config(
    model=ModelSpec(
        name="served",
        family="openai_compatible",
        weights="some-model",
        endpoint="$TEST_ENDPOINT",
        tunable=False,
        service=ServiceSpec(key="TEST_KEY", concurrency=2, patience_minutes=0.001, tries=2),
    ),
    task=builders.TASK,
    method=MethodSpec(name="untuned"),
    generation=GenerationSpec(new_tokens=64),
)
SAID = "Vending machines, overhead wires, katakana"
RUN = """
import json, sys
from pathlib import Path
from paceline import worker
from paceline.attempts.run import Launch

launch = Launch(placement=json.loads(sys.argv[1]), sweep="s")
worker.run_cells("evaluate", [Path(word) for word in sys.argv[2:]], launch)
"""


def behave(handler: Handler, number: int, asked: Asked) -> None:
    handler.say(SAID if asked.text.startswith("Describe") else "(35.7, 139.7)")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    serving = ChatServer(behave)
    yield serving
    serving.close()


def frozen(root: Path) -> tuple[Store, Cell, Cell]:
    """Two cells: a description of each picture, and the prompt that is built on it."""
    composition = compose(["model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=place_facts"], CONF)
    config = BuiltOn(composition).pinned(replace(CONFIG, prompt=composition.prompt("place_facts")))
    describing = replace(CONFIG, prompt=composition.prompt("place_details"))
    data = builders.digest("data")
    first = evaluate_cell(describing, data, None)
    second = evaluate_cell(config, data, None, first)
    store = Store(root)
    sweep = Sweep("s", (), None, [PlannedCell(first, describing), PlannedCell(second, config)])
    record(sweep, store, "c0de", extend=False)
    return store, first, second


@pytest.fixture
def cells(tmp_path: Path) -> tuple[Store, Cell, Cell]:
    (tmp_path / "root").mkdir()
    builders.make_samples(tmp_path / "root", 3)
    return frozen(tmp_path / "root")


def run(store: Store, server: ChatServer, *cells: Cell) -> str:
    words = [sys.executable, "-c", RUN, json.dumps(placement_of(CONFIG)), *(str(store.cell(c.id).path) for c in cells)]
    variables = {**os.environ, "TEST_KEY": "sk-test-0123456789abcdef", "TEST_ENDPOINT": server.url}
    subprocess.run(words, env=variables, capture_output=True, text=True, timeout=120, check=False)
    end = store.cell(cells[-1].id).attempts()[-1].end() if store.cell(cells[-1].id).attempts() else None
    return f"{end['cause']} {end['message']}" if end else ""


def prompts(server: ChatServer) -> list[str]:
    return sorted(asked.text for asked in server.asked if not asked.text.startswith("Describe"))


def published(folder: CellFolder, texts: dict[tuple[str, str], str], samples: int | None = None) -> None:
    attempt = folder.new_attempt()
    predictions = [{"sample": s, "part": p, "text": text} for (s, p), text in texts.items()]
    write_jsonl(folder.predictions, predictions)
    folder.publish(attempt, [folder.predictions], {"samples": samples or len({s for s, _ in texts})})


def test_a_picture_is_described_then_asked_about_with_the_facts_that_its_description_found(
    cells: tuple[Store, Cell, Cell], server: ChatServer
) -> None:
    store, first, second = cells
    assert run(store, server, first, second).startswith("done")
    assert len(server.asked) == 12
    for text in prompts(server):
        assert SAID in text and "- Japan: Traffic drives on the left." in text
        assert text.count("\n- ") == 3 and "{" not in text
    for prediction in read_jsonl(store.cell(second.id).predictions):
        assert prediction["data"]["facts"][0] == "Japan" and len(prediction["data"]["facts"]) == 3


def test_exchanged_truths_change_no_prompt(cells: tuple[Store, Cell, Cell], server: ChatServer) -> None:
    store, first, second = cells
    run(store, server, first, second)
    before = prompts(server)
    server.asked.clear()
    samples = next((store.root / "data").glob("*/samples.jsonl"))
    records = list(read_jsonl(samples))
    places = [{k: r[k] for k in ("latitude", "longitude", "country", "region", "city")} for r in records]
    write_jsonl(samples, [r | place for r, place in zip(records, places[1:] + places[:1], strict=True)])
    for cell in (first, second):
        store.cell(cell.id).done_json.unlink()
        for path in sorted(store.cell(cell.id).path.glob("attempts/*/predictions.jsonl")):
            path.unlink()
    assert run(store, server, first, second).startswith("done")
    assert prompts(server) == before


def test_answers_that_are_only_material_have_no_scores_and_no_row(
    cells: tuple[Store, Cell, Cell], server: ChatServer
) -> None:
    store, first, second = cells
    run(store, server, first, second)
    assert read_json(store.cell(first.id).metrics)["metrics"] == {}
    report = sweep_results.collect(store, store.sweep("s"))
    assert [row.id for row in report.rows] == [second.id] and report.rows[0].built_on == first.id
    assert [cell.id for cell in report.unscored] == [first.id] and not report.missing
    (note,) = [n for n in report_notes.notes(report) if "not scored" in n]
    assert "place_details" in note and "1 of 1 cell answered" in note


def test_answers_that_are_not_those_attested_are_refused_before_anything_is_asked(
    cells: tuple[Store, Cell, Cell], server: ChatServer
) -> None:
    store, first, second = cells
    run(store, server, first)
    server.asked.clear()
    path = store.cell(first.id).predictions
    path.write_text(path.read_text().replace("Vending", "Selling"))
    told = run(store, server, second)
    assert told.startswith("bad data") and f"{first.id}: predictions.jsonl is not what its answers were" in told
    assert not server.asked


def test_batches_that_were_built_on_other_answers_are_asked_again(
    cells: tuple[Store, Cell, Cell], server: ChatServer
) -> None:
    store, first, second = cells
    run(store, server, first, second)
    answers = {(p["sample"], ""): p["text"] for p in read_jsonl(store.cell(first.id).predictions)}
    changed = next(iter(answers))
    published(store.cell(first.id), answers | {changed: "Eucalyptus and red earth"})
    store.cell(second.id).done_json.unlink()
    server.asked.clear()
    assert run(store, server, second).startswith("done")
    assert len(server.asked) == 1 and "Eucalyptus" in server.asked[0].text
    assert len(list(read_jsonl(store.cell(second.id).predictions))) == len(answers)


def test_a_needed_cell_that_is_not_done_or_lacks_answers_is_named(cells: tuple[Store, Cell, Cell]) -> None:
    store, first, second = cells
    with pytest.raises(UserError, match=f"{first.id} is not done"):
        earlier_answers.of_cell(second, store.cell(second.id))
    published(store.cell(first.id), {("a", ""): "x"}, samples=2)
    with pytest.raises(DataError, match="about 1 sample, and 2 are attested"):
        earlier_answers.of_cell(second, store.cell(second.id))
    assert earlier_answers.of_cell(first, store.cell(first.id)) is None


def test_facts_that_are_not_those_of_the_cell_are_refused(
    cells: tuple[Store, Cell, Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, first, second = cells
    published(store.cell(first.id), {("a", ""): "x"})
    other = Facts([Entry("Atlantis", ("Under water.",))])
    monkeypatch.setattr("paceline.data.background_facts.facts_of", lambda kind: other)
    with pytest.raises(DataError, match="not those that the cell was made for"):
        earlier_answers.of_cell(second, store.cell(second.id))


def test_a_part_builds_on_the_answer_to_the_same_part_else_on_all() -> None:
    earlier = EarlierAnswers("c", {("a", "colour"): " red\n", ("a", "shape"): "round", ("b", ""): ""})
    a, b = {"id": "a"}, {"id": "b"}
    assert earlier.fields(a, [Part("shape")]) == {"earlier_answer": "round"}
    assert earlier.fields(a, [Part()])["earlier_answer"] == "red\nround"
    assert earlier.fields(a, [Part("shape"), Part("colour")])["earlier_answer"] == "round\nred"
    assert earlier.fields(b, [Part("shape")])["earlier_answer"] == NO_ANSWER
    with pytest.raises(DataError, match="no answer about sample 'z'"):
        earlier.text("z", [Part()])


def test_braces_in_an_earlier_answer_stay_as_they_are() -> None:
    prompt = build(PromptSpec, {"text": "{earlier_answer}!", "builds_on": {"prompt": "p"}}, "p")
    task = TaskSpec(name="t", kind="geolocation")
    earlier = EarlierAnswers("c", {("a", ""): "{facts} {latitude} \\boxed{1}"})
    sample = {"id": "a", "latitude": 1.0, "longitude": 2.0}
    ask = evaluate.asks_of(sample, Config(task=task, prompt=prompt, model=CONFIG.model))[0]
    asked = evaluate.asked_of(ask, Config(task=task, prompt=prompt), evaluate.Before(earlier=earlier))
    assert asked.prompt == "{facts} {latitude} \\boxed{1}!"
