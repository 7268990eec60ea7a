"""Cells that a service answers: each answer is kept as it comes, and is asked for once, whatever ends an attempt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import builders
import pytest
from chat_server import Asked, Behaviour, ChatServer, Handler

from paceline.config.identity import placement_of
from paceline.config.schema import Config, GenerationSpec, MethodSpec, ModelSpec, PromptSpec, ServiceSpec
from paceline.scoring import judge
from paceline.store.cell_folder import Cell, CellFolder
from paceline.store.files import read_json, read_jsonl
from paceline.store.root import Store
from paceline.sweep import status

KEY = "sk-test-0123456789abcdef"
SERVICE = ServiceSpec(key="TEST_KEY", concurrency=2, patience_minutes=0.001, tries=2, read_usd=2.0)
CONFIG = Config(
    model=ModelSpec(
        name="served",
        family="openai_compatible",
        weights="some-model",
        endpoint="$TEST_ENDPOINT",
        tunable=False,
        service=SERVICE,
    ),
    task=builders.TASK,
    prompt=PromptSpec(name="geo_bare", text="Where?"),
    method=MethodSpec(name="untuned"),
    generation=GenerationSpec(new_tokens=16),
)
# A process without torch, as it may run where torch is not installed.
RUN = """
import json, sys
from pathlib import Path

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "peft", "wandb"):
            raise ImportError(name + " is not here")

sys.meta_path.insert(0, Missing())
from paceline import worker
from paceline.attempts.run import Launch

print(worker.run_cells("evaluate", [Path(sys.argv[1])], Launch(placement=json.loads(sys.argv[2]), sweep="s")))
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "root").mkdir()
    builders.make_samples(tmp_path / "root", 6)
    return Store(tmp_path / "root")


@pytest.fixture
def serving() -> Iterator[Callable[[Behaviour], ChatServer]]:
    servers: list[ChatServer] = []

    def start(behave: Behaviour) -> ChatServer:
        servers.append(ChatServer(behave))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def cell_of(store: Store, config: Config = CONFIG) -> CellFolder:
    return store.cell(builders.freeze(store, "evaluate", config).id)


def start(folder: CellFolder, server: ChatServer, service: ServiceSpec = SERVICE) -> subprocess.Popen[str]:
    config = replace(CONFIG, model=replace(CONFIG.model, service=service))
    words = [sys.executable, "-c", RUN, str(folder.path), json.dumps(placement_of(config))]
    variables = {**os.environ, "TEST_KEY": KEY, "TEST_ENDPOINT": server.url}
    return subprocess.Popen(words, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(folder: CellFolder, server: ChatServer, service: ServiceSpec = SERVICE) -> tuple[str, str]:
    """What ended the last attempt, and its message."""
    process = start(folder, server, service)
    _, errors = process.communicate(timeout=120)
    end = folder.attempts()[-1].end()
    assert end is not None, errors
    return end["cause"], end["message"]


def kept(folder: CellFolder) -> list[str]:
    """Samples that some attempt has an answer of."""
    return [r["sample"] for a in folder.attempts() for r in read_jsonl(a.predictions)]


def place(handler: Handler, number: int, asked: Asked) -> None:
    handler.say("(47.4, 8.5)")


def test_a_cell_is_answered_without_torch_and_its_attempt_says_by_whom(
    store: Store, serving: Callable[[Behaviour], ChatServer]
) -> None:
    server, folder = serving(place), cell_of(store)
    assert run(folder, server) == ("done", "")
    records = list(read_jsonl(folder.predictions))
    samples = judge.evaluated_samples(CONFIG, store.root)
    assert [r["sample"] for r in records] == [s["id"] for s in samples]
    assert all(r["data"]["served"] == "served-model-2" and r["data"]["asked"].endswith("Z") for r in records)
    assert (records[0]["prompt_tokens"], records[0]["new_tokens"]) == (11, 3)
    assert len(server.asked) == len(samples)
    log = folder.attempts()[-1].log.read_text()
    assert f"asks some-model at {server.url}" in log and "132 tokens read, 36 written, $0.0003" in log


def test_every_outcome_of_a_service_is_counted_and_all_make_the_whole(
    store: Store, serving: Callable[[Behaviour], ChatServer]
) -> None:
    replies: list[Behaviour] = [
        place,
        lambda h, n, a: h.say("(47.4, 8.5) and", "content_filter"),
        lambda h, n, a: h.fail(422, "no such picture"),
        lambda h, n, a: h.say(None, refusal="(47.4, 8.5) is what I can't say"),
        lambda h, n, a: h.say("a hill"),
    ]
    server, folder = serving(lambda h, n, a: replies[n % 5](h, n, a)), cell_of(store)
    assert run(folder, server)[0] == "done"
    outcomes = Counter(r["outcome"] for r in read_jsonl(folder.scores))
    assert outcomes == {"parsed": 3, "content_filter": 3, "error": 2, "refused": 2, "malformed": 2}
    metrics = read_json(folder.metrics)["metrics"]
    for split in builders.SPLITS:
        shares = {n: m for n, m in metrics.items() if n.startswith(f"{split}/") and n.endswith("_share")}
        shares.pop(f"{split}/swapped_share")
        assert sum(m["value"] for m in shares.values()) == pytest.approx(1)
    error = next(r for r in read_jsonl(folder.predictions) if r["finish"] == "error")
    assert error["data"]["reason"] == "HTTP 422: no such picture"


def test_a_cell_without_such_outcomes_has_no_metrics_of_them(
    store: Store, serving: Callable[[Behaviour], ChatServer]
) -> None:
    folder = cell_of(store)
    run(folder, serving(place))
    assert not [n for n in read_json(folder.metrics)["metrics"] if "content_filter" in n or "error" in n]


def test_after_a_kill_no_answer_that_was_kept_is_asked_for_again(
    store: Store, serving: Callable[[Behaviour], ChatServer]
) -> None:
    """Killed while the sixth request hangs: at most the requests under way are asked again."""
    let, sixth = threading.Event(), threading.Event()
    samples: list[str] = []

    def behave(handler: Handler, number: int, asked: Asked) -> None:
        picture = asked.body["messages"][0]["content"][0]["image_url"]["url"]
        samples.append(picture)
        if number == 5 and not let.is_set():
            sixth.set()
            handler.server.hang()
        handler.say("(47.4, 8.5)")

    server, folder = serving(behave), cell_of(store)
    process = start(folder, server)
    assert sixth.wait(60)
    while len(kept(folder)) < 4:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    let.set()
    before = kept(folder)
    assert folder.attempts()[-1].end() is None and folder.done() is None
    assert run(folder, server) == ("done", "")
    assert len(kept(folder)) == len(set(kept(folder))) == 12
    asked_again = sum(n - 1 for n in Counter(samples).values())
    assert asked_again <= SERVICE.concurrency
    assert len(samples) <= 12 + SERVICE.concurrency and len(before) >= 4


@pytest.mark.parametrize(("number", "cause"), [(signal.SIGUSR2, "timeout"), (signal.SIGINT, "cancelled")])
def test_a_signal_ends_a_cell_whose_service_hangs_and_resume_goes_on(
    store: Store, serving: Callable[[Behaviour], ChatServer], number: int, cause: str
) -> None:
    hanging, let = threading.Event(), threading.Event()

    def behave(handler: Handler, n: int, asked: Asked) -> None:
        if n >= 3 and not let.is_set():
            hanging.set()
            handler.server.hang()
        handler.say("(47.4, 8.5)")

    server, folder = serving(behave), cell_of(store)
    process = start(folder, server)
    assert hanging.wait(60)
    while len(kept(folder)) < 3:
        time.sleep(0.02)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)  # the service would hold it until the test is over
    assert out.strip() == cause and not server.over.is_set()
    end = folder.attempts()[-1].end()
    assert end is not None and end["cause"] == cause
    let.set()
    assert run(folder, server) == ("done", "")
    assert len(kept(folder)) == len(set(kept(folder))) == 12


def test_a_service_that_fails_for_too_long_ends_the_attempt_and_a_resume_takes_it_up(
    store: Store, serving: Callable[[Behaviour], ChatServer]
) -> None:
    down = threading.Event()
    down.set()
    server = serving(lambda h, n, a: h.fail(503, "loading") if n >= 4 and down.is_set() else h.say("(47.4, 8.5)"))
    folder = cell_of(store)
    cause, message = run(folder, server)
    assert cause == "service unavailable" and "loading" in message
    found = status.states(store, [folder.read()])[folder.id]
    assert (found.state, found.cause, found.needed) == ("interrupted", "service unavailable", True)
    down.clear()
    assert run(folder, server) == ("done", "")
    assert len(kept(folder)) == len(set(kept(folder))) == 12


def test_a_wrong_key_waits_for_a_person_and_nothing_is_kept(
    store: Store, serving: Callable[[Behaviour], ChatServer]
) -> None:
    server = serving(lambda h, n, a: h.fail(401, f"Incorrect API key provided: {a.headers['authorization']}"))
    folder = cell_of(store)
    cause, message = run(folder, server)
    assert cause == "bad data" and "TEST_KEY" in message
    assert kept(folder) == []
    written = b"".join(p.read_bytes() for p in store.root.rglob("*") if p.is_file())
    assert KEY.encode() not in written


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"weights": "other-model"}},
        {"model": {"endpoint": "https://elsewhere/v1"}},
        {"model": {"request": {"reasoning_effort": "low"}}},
        {"prompt": {"text": "Where is this?"}},
        {"prompt": {"system": "Be brief."}},
        {"generation": {"new_tokens": 17}},
        {"generation": {"temperature": 0.5}},
        {"limit": 3},
    ],
    ids=str,
)
def test_another_question_setting_or_model_is_another_cell(store: Store, change: dict[str, Any]) -> None:
    parts = {k: replace(getattr(CONFIG, k), **v) if isinstance(v, dict) else v for k, v in change.items()}
    assert cell_of(store, replace(CONFIG, **parts)).id != cell_of(store).id


def test_other_pictures_are_another_cell_and_changed_ones_are_not_asked_about(
    store: Store, serving: Callable[[Behaviour], ChatServer]
) -> None:
    """The digest of the data is identity; a picture that changed beneath it is refused before it is sent."""
    cell = builders.freeze(store, "evaluate", CONFIG)
    assert cell.identity["data"] == builders.digest("data")
    image = next((store.root / "data").rglob("location_000000.jpg"))
    image.write_bytes(image.read_bytes() + b"\0")
    server = serving(place)
    cause, message = run(store.cell(cell.id), server)
    assert cause == "bad data" and "location_000000" in message
    assert not any(a.body["messages"][0]["content"] == [] for a in server.asked)
    assert "location_000000" not in kept(store.cell(cell.id))


@pytest.mark.parametrize("service", [ServiceSpec(), replace(SERVICE, concurrency=9, read_usd=0, read_seconds=5)])
def test_limits_prices_and_time_outs_leave_the_cell_as_it_is(store: Store, service: ServiceSpec) -> None:
    other = replace(CONFIG, model=replace(CONFIG.model, service=service))
    batched = replace(other, generation=replace(CONFIG.generation, batch=99))
    assert cell_of(store, other).id == cell_of(store).id == cell_of(store, batched).id


def test_what_is_said_of_a_service_comes_back_from_what_was_recorded() -> None:
    from paceline.config.identity import with_placement

    recorded = placement_of(CONFIG)
    assert recorded["model"] == {
        "service": {"key": "TEST_KEY", "concurrency": 2, "patience_minutes": 0.001, "tries": 2, "read_usd": 2.0}
    }
    bare = replace(CONFIG, model=replace(CONFIG.model, service=ServiceSpec()))
    assert with_placement(bare, json.loads(json.dumps(recorded))).model == CONFIG.model
    assert "model" not in placement_of(Config())


def test_the_report_counts_what_answers_cost(store: Store, serving: Callable[[Behaviour], ChatServer]) -> None:
    from paceline.report.read.attempt_records import _tried

    folder = cell_of(store)
    run(folder, serving(place))
    assert _tried(folder.id, folder.attempts()[-1]).service_usd == pytest.approx(12 * 11 * 2.0 / 1e6)


def test_a_prediction_of_a_service_is_judged_by_how_it_ended() -> None:
    assert judge.unanswered({"finish": "stop"}) is None
    assert judge.unanswered({"finish": "length", "data": {}}) is None
    for finish in ("content_filter", "error"):
        outcome = judge.unanswered({"finish": finish, "data": {"refusal": True}})
        assert outcome is not None and outcome.name == finish
    refused = judge.unanswered({"finish": "stop", "data": {"refusal": True}})
    assert refused is not None and refused.name == "refused"


def test_a_cell_of_a_service_is_a_cell_like_others(store: Store) -> None:
    cell = cell_of(store).read()
    assert isinstance(cell, Cell) and cell.config.model.endpoint == "$TEST_ENDPOINT"
    assert "service" not in cell.identity["model"]
