"""What a sweep over services asks of a cluster, and what is said of it before it is submitted."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import builders
import pytest
from chat_server import Behaviour, ChatServer

from paceline.errors import UserError
from paceline.launch import elements as grouping
from paceline.launch import request_estimate
from paceline.launch.local import Scheduler
from paceline.store.root import Store
from paceline.sweep.cells import Sweep, expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

KEY = "sk-test-0123456789abcdef"
ASKED = ("task=geolocation_earth", "prompt=geo_bare", "method=untuned")
Run = Callable[..., tuple[int, str, str]]


def sweep(*words: str) -> Sweep:
    return expand(compose([*ASKED, *words], conf_folders(None)), lambda task: "d" * 64)


def problems(*words: str) -> str:
    try:
        return "; ".join(sweep("model=local_endpoint", *words).problems)
    except UserError as error:
        return str(error)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "root").mkdir()
    builders.make_samples(tmp_path / "root", 4)
    monkeypatch.setenv("LOCAL_ENDPOINT", "http://127.0.0.1:9/v1")
    return tmp_path / "root"


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Behaviour], ChatServer]]:
    servers: list[ChatServer] = []

    def start(behave: Behaviour) -> ChatServer:
        servers.append(ChatServer(behave))
        monkeypatch.setenv("LOCAL_ENDPOINT", servers[-1].url)
        return servers[-1]

    yield start
    for server in servers:
        server.close()


# -- where it runs


def test_no_gpu_is_asked_for_where_a_service_answers() -> None:
    words = ("cluster=slurm", "cluster.gpus=2", "cluster.gpu=a100", "cluster.constraint=A100-80GB")
    served, local = grouping.group(sweep("model=gpt4v,tiny_qwen2_vl", *words).cells)
    assert {"gpus", "gpu", "constraint"}.isdisjoint(served.resources)
    assert (local.resources["gpus"], local.resources["gpu"]) == (2, "a100")
    assert [a["cells"] for a in grouping.arrays([served, local])] == [1, 1]


def test_cells_of_one_service_are_one_element_so_that_its_limits_hold() -> None:
    words = ("model=gpt4v,tiny_qwen2_vl", "generation.new_tokens=range(1,6)", "cluster.cells_per_element=2")
    found = grouping.group(sweep(*words).cells)
    assert sorted((len(e.cells), e.served) for e in found) == [(1, False), (2, False), (2, False), (5, True)]


def test_on_this_machine_a_cell_of_a_service_takes_neither_gpu_nor_place(tmp_path: Path) -> None:
    served, local = grouping.group(sweep("model=gpt4v,tiny_qwen2_vl").cells)
    scheduler = Scheduler(Store(tmp_path), tmp_path, [served, local], "c", 1, None)  # type: ignore[arg-type]
    assert [scheduler._cost(i) for i in (0, 1)] == [0, 1]


def test_models_of_services_are_not_tuned_or_quantised() -> None:
    found = sweep("model=gpt4v", "method=untuned,lora,untuned_nf4")
    assert [c.cell.kind for c in found.cells] == ["evaluate"]
    assert sorted(d["reason"] for d in found.dropped) == [
        "gpt4v is answered by a service and can't be tuned (tunable: false in its file)",
        "gpt4v is answered by a service, whose weights method 'untuned_nf4' can't reach",
    ]


# -- what is refused


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["generation.beams=4"], "generation.beams=4: chat completions have no field"),
        (["generation.min_new_tokens=2"], "model.request.min_tokens=generation.min_new_tokens"),
        (["generation.repetition_penalty=1.2"], "generation.repetition_penalty=1.2"),
        (["model.endpoint=''"], "write its base URL into endpoint"),
        (["model.endpoint=ftp://x/v1"], "no base URL"),
        (["model.endpoint=http://host:99999/v1"], "no base URL"),
        (["model.endpoint=http://host/v1/chat/completions"], "leave out /chat/completions"),
        (["model.family=qwen2_vl"], "give family: openai_compatible"),
        (["model.weights=''"], "the name by which the service knows the model"),
        (["+model.request.max_tokens=3"], "request.max_tokens is set by paceline"),
        (["+model.request.temperature=0.3"], "give generation.temperature"),
        (["+model.request.x=generation.beam"], "did you mean 'beams'"),
        (["+model.request.n=2"], "request.n is set by paceline"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_what_a_service_can_not_do_is_refused_at_plan(words: list[str], told: str) -> None:
    assert told in problems(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["+model.request.temperature=null"],
        ["generation.repetition_penalty=1.2", "+model.request.repetition_penalty=generation.repetition_penalty"],
        ["+model.request.reasoning_effort=low"],
        ["generation=sampled"],
        [],
    ],
    ids=" ".join,
)
def test_what_it_can_do_is_not(words: list[str]) -> None:
    assert problems(*words) == ""


@pytest.mark.parametrize(
    "word",
    [
        f"model.service.key={KEY}",
        f"model.endpoint=https://me:{KEY}@host/v1",
        f"model.endpoint='https://host/v1?key={KEY}'",
        f"+model.request.api_key={KEY}",
        f"+model.request.Authorization='Bearer {KEY}'",
    ],
)
def test_a_key_where_none_belongs_is_refused_and_not_repeated(word: str) -> None:
    told = problems(word)
    assert told and KEY not in told


# -- what is said


def test_plan_says_how_many_requests_and_about_what_they_cost(command_line: Run, root: Path) -> None:
    prices = ("model.service.read_usd=2", "model.service.written_usd=8")
    code, out, err = command_line("plan", "model=local_endpoint", *ASKED, *prices, "--json")
    assert code == 0, err
    (asked,) = json.loads(out)["requests"]
    assert (asked["requests"], asked["written"]) == (8, 8 * 128)
    assert asked["usd"] == [asked["read"] * 2 / 1e6, asked["read"] * 2 / 1e6 + 8 * 128 * 8 / 1e6]
    code, out, _ = command_line("plan", "model=local_endpoint", *ASKED, "limit=1")
    assert "2 requests to $LOCAL_ENDPOINT; an estimate: about" in out and "no prices are given" in out
    assert json.loads(command_line("plan", "model=tiny_qwen2_vl", *ASKED, "--json")[1])["requests"] == []


def test_without_its_data_how_many_requests_is_not_known(command_line: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_ENDPOINT", "http://127.0.0.1:9/v1")
    _, out, _ = command_line("plan", "model=local_endpoint", *ASKED)
    assert "not known before the data is prepared" in out


@pytest.mark.parametrize(
    ("size", "tokens"), [((1, 1), 255), ((512, 512), 255), ((1024, 1024), 765), ((2048, 4096), 1105), ((4000, 20), 765)]
)
def test_tokens_of_a_picture_are_counted_as_its_maker_publishes(size: tuple[int, int], tokens: int) -> None:
    assert request_estimate.picture_tokens(size) == tokens


def test_a_key_or_an_address_that_is_not_set_is_told_before_the_queue(
    command_line: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    code, _, err = command_line("plan", "model=gpt4v", *ASKED)
    assert code == 2 and "OPENAI_API_KEY is not set here" in err
    monkeypatch.delenv("LOCAL_ENDPOINT")
    code, _, err = command_line("plan", "model=local_endpoint", *ASKED)
    assert code == 2 and "LOCAL_ENDPOINT is not set here; export it" in err


def test_there_is_no_memory_to_plan_and_nothing_to_fetch(command_line: Run) -> None:
    code, out, _ = command_line("fit", "model=gpt4v")
    assert (code, out) == (0, "gpt4v: no memory: answered by a service\n")
    code, out, _ = command_line("prepare", "model=gpt4v")
    assert (code, out) == (0, "gpt4v: answered by a service (https://api.openai.com/v1); nothing to fetch\n")


# -- doctor


def test_doctor_asks_once_and_says_what_that_costs(
    command_line: Run, serving: Callable[[Behaviour], ChatServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server = serving(lambda h, n, a: h.say("A red house on a hill."))
    words = ("doctor", "model=local_endpoint", "model.service.key=MY_KEY", "model.service.read_usd=2")
    code, out, err = command_line(*words)
    assert code == 0, out + err
    assert "'A red house on a hill.' as served-model-2" in out
    assert "11 tokens to read and 3 to write: $0.000022 at the model's prices" in out
    assert len(server.asked) == 1 and KEY not in out + err


def test_doctor_says_what_is_wrong(command_line: Run, serving: Callable[[Behaviour], ChatServer]) -> None:
    serving(lambda h, n, a: h.fail(404, "The model `x` does not exist"))
    code, out, _ = command_line("doctor", "model=local_endpoint")
    assert code == 2 and "The model `x` does not exist" in out and "model.weights" in out


# -- a whole sweep


def test_no_key_is_written_anywhere(
    command_line: Run, root: Path, serving: Callable[[Behaviour], ChatServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep through the launcher's pickles, logs and cells, by a service that repeats the key where it can."""
    monkeypatch.setenv("MY_KEY", KEY)

    def behave(handler: Any, number: int, asked: Any) -> None:
        said = asked.headers["authorization"]
        assert said == f"Bearer {KEY}"
        handler.fail(400, f"bad {said}") if number % 3 == 2 else handler.say("(1.0, 2.0)")

    server = serving(behave)
    words = ("model=local_endpoint", *ASKED, "model.service.key=MY_KEY", "tracking=disabled", "name=s")
    code, out, err = command_line("submit", *words)
    assert code == 0, out + err
    assert len(server.asked) == 8
    files = [p for p in root.rglob("*") if p.is_file() and "code" not in p.relative_to(root).parts[:1]]
    assert any(p.name == "predictions.jsonl" for p in files)
    assert not [p for p in files if KEY.encode() in p.read_bytes()]
    assert KEY not in out + err
    code, _, err = command_line("submit", *words)
    assert code == 0 and len(server.asked) == 8  # nothing is asked twice


def test_limits_of_a_recorded_sweep_change_with_a_resume(command_line: Run, root: Path) -> None:
    from paceline.sweep import cells

    composed = compose(["model=local_endpoint", *ASKED], conf_folders(None))
    (planned,) = expand(composed, lambda task: "d" * 64).cells
    resumed = compose(["model.service.concurrency=1"], conf_folders(None)).replaced(planned.config, "evaluate")
    assert resumed.model.service.concurrency == 1
    assert cells.evaluate_cell(resumed, planned.cell.data, None).id == planned.id
    code, _, err = command_line("resume", "model.service.concurrency=1", "model.weights=x")
    assert code == 2 and "model.weights" in err


def test_the_script_for_slurm_names_no_secret(command_line: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    words = ("plan", "model=local_endpoint", *ASKED, "cluster=slurm", "cluster.gpus=1", "model.service.key=MY_KEY")
    _, out, _ = command_line(*words, "--sbatch")
    assert "#SBATCH" in out and "--gres" not in out and KEY not in out
    assert shlex.quote(os.environ["LOCAL_ENDPOINT"]) not in out
