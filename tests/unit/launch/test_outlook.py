"""What a submit would refuse, plan refuses, with the same words; and both say first how long it takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slurm_answers import ICE, PHOENIX, told

from paceline.config.identity import placement_of
from paceline.config.schema import Config, MaskedImageSpec, MethodSpec, TaskSpec, TrainSpec
from paceline.errors import PacelineError, Unavailable, UserError
from paceline.gpu_memory.shapes import shape_of
from paceline.launch import expected, gpu_fit, preflight_checks
from paceline.launch.elements import Element
from paceline.launch.expected import Expected
from paceline.launch.outlook import look_ahead, together
from paceline.slurm.remembered import Answers
from paceline.slurm.site import Site
from paceline.store import files
from paceline.store.root import Store
from paceline.sweep.cells import PlannedCell, Sweep, expand, record
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

Run = Callable[..., tuple[int, str, str]]
TWIN = ("model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare", "method=untuned,full")
A100 = ("cluster=slurm", "cluster.gpus=1", "cluster.gpu=a100_80", "cluster.minutes=120")
PHOENIX_WORDS = ("cluster=pace_phoenix", "cluster.account=gts-lab")


@pytest.fixture
def paceline(command_line: Run, monkeypatch: pytest.MonkeyPatch, frozen_code: None) -> Run:
    """A command line on prepared data, with a cluster that answers as Phoenix does and an sbatch that takes all."""
    for name in (*preflight_checks._SETTINGS, *preflight_checks._FORBIDDEN):
        monkeypatch.delenv(f"SBATCH_{name}", raising=False)
    monkeypatch.setattr("paceline.data.samples.data_digest", lambda root, task: "d" * 64)
    monkeypatch.setattr("paceline.slurm.queue.ask", list)
    monkeypatch.setattr("paceline.slurm.history.ask", lambda jobs: {})
    monkeypatch.setattr("paceline.launch.storage.shutil.which", lambda name: None)
    monkeypatch.setenv("COLUMNS", "160")
    answered(monkeypatch, told(PHOENIX))
    return command_line


def answered(
    monkeypatch: pytest.MonkeyPatch, site: Site, sbatch: Callable[[list[str]], str] = lambda words: ""
) -> None:
    monkeypatch.setattr("paceline.slurm.site.ask", lambda root: site)
    monkeypatch.setattr("paceline.launch.preflight.shutil.which", lambda name: f"/bin/{name}")
    monkeypatch.setattr("paceline.launch.preflight.call", sbatch)


def sweep(*words: str) -> Sweep:
    return expand(compose([*TWIN, "name=s", *words], conf_folders(None)), lambda task: "d" * 64)


# -- refusing


REFUSED = {
    "no account": ("cluster=pace_phoenix",),
    "another account": ("cluster=pace_phoenix", "cluster.account=gts-x"),
    "walltime": (*PHOENIX_WORDS, "cluster.minutes=481"),
    "memory twice": (*PHOENIX_WORDS, "cluster.memory_per_cpu_gib=4"),
    "contradiction": (*PHOENIX_WORDS, "train.validations=1", "train.keep=last", "train.batch=7", "placement.ranks=2"),
    "too large": ("model=llama32_11b_vision", f"model.revision={'0' * 40}", *A100, "cluster.gpu=v100_16"),
    "two executors": ("place=[{match: {kind: finetune}, set: {cluster: local}}]", "cluster=slurm"),
    "ranks of debug": ("cluster=debug", "placement.ranks=2", "method=full"),
    "chain here": ("--chain",),
    "two at once": (*PHOENIX_WORDS, "cluster.minutes=481", "train.batch=7", "placement.ranks=2"),
}


@pytest.mark.parametrize("words", REFUSED.values(), ids=REFUSED.keys())
def test_plan_exits_2_where_submit_would_and_with_its_words(
    words: tuple[str, ...], paceline: Run, tmp_path: Path
) -> None:
    code, out, err = paceline("plan", *TWIN, *words)
    assert code == 2
    assert paceline("submit", *TWIN, *words)[::2] == (code, err)
    assert "Traceback" not in err
    assert not (tmp_path / "root" / "sweeps").exists()
    assert " cells under " in out  # the plan is shown all the same
    found = json.loads(paceline("plan", *TWIN, *words, "--json")[1])
    assert all(line.strip() in err for problem in found["problems"] for line in problem.splitlines())


def test_plan_exits_2_for_a_name_that_other_cells_have_taken(paceline: Run, tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    record(sweep(), store, "c0de", extend=False)
    more = (*TWIN, "name=s", "seed=1")
    code, _, err = paceline("plan", *more, "--code=current")
    assert code == 2 and "sweep 's' is taken by other cells" in err
    assert paceline("plan", *more, "--extend", "--code=current")[0] == 0
    code, _, err = paceline("plan", *TWIN, "name=s")
    assert code == 2 and "the code that sweep 's' was recorded with is gone" in err


def test_plan_shows_slurms_whole_refusal(paceline: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def sbatch(words: list[str]) -> str:
        raise Unavailable(
            "sbatch: Projects end on Friday.\nSee https://docs.example.edu\nallocation failure: Invalid qos"
        )

    answered(monkeypatch, told(ICE), sbatch)
    code, _, err = paceline("plan", *TWIN, "cluster=pace_ice")
    assert code == 2
    assert all(words in err for words in ("Projects end on Friday.", "https://docs.example.edu\n", "Invalid qos"))
    assert "give another cluster.qos" in err


def test_what_is_not_known_from_here_stops_a_submit_and_not_a_plan(
    paceline: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(monkeypatch, Site(unanswered={"scontrol": "scontrol is not installed"}))
    monkeypatch.setattr("paceline.launch.preflight.shutil.which", lambda name: None)
    assert paceline("plan", *TWIN, *PHOENIX_WORDS)[0] == 0
    code, _, err = paceline("submit", *TWIN, *PHOENIX_WORDS)
    assert code == 3 and "sbatch is not installed" in err


def test_a_disk_that_is_full_is_told_by_plan_as_by_submit(paceline: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from paceline.launch.storage import Room

    monkeypatch.setattr("paceline.launch.storage.rooms", lambda root: [Room("your quota", 1, None)])
    code, _, err = paceline("plan", *TWIN, *PHOENIX_WORDS)
    assert (code, err) == paceline("submit", *TWIN, *PHOENIX_WORDS)[::2]
    assert code == 3 and "1 files free (your quota)" in err


@given(st.lists(st.tuples(st.sampled_from([UserError, Unavailable]), st.text(min_size=1)), min_size=1))
def test_of_several_refusals_every_one_is_said(found: list[tuple[type[PacelineError], str]]) -> None:
    error = together([kind(text) for kind, text in found])
    for _, text in found:
        assert text.replace("\n", "\n  ") in str(error) or text == str(error)
    # What the user can mend comes first: the disk alone, or Slurm, is another exit code.
    if len({text for _, text in found}) == len(found):
        assert error.exit_code == (2 if any(kind is UserError for kind, _ in found) else 3)


# -- scripts


def test_plan_says_a_line_for_each_array_and_the_scripts_only_when_asked(paceline: Run) -> None:
    code, out, _ = paceline("plan", *TWIN, *PHOENIX_WORDS)
    assert code == 0 and "#SBATCH" not in out
    lines = [line for line in out.splitlines() if line.startswith("array ")]
    assert [line.partition(":")[0] for line in lines] == [
        "array 0 of 1 finetune element, 1 cell",
        "array 1 of 1 evaluate element, 1 cell",
        "array 2 of 1 evaluate element, 1 cell",
    ]
    code, out, _ = paceline("plan", *TWIN, *PHOENIX_WORDS, "--sbatch")
    assert code == 0 and out.count("#!/bin/bash") == 3
    code, _, err = paceline("plan", *TWIN, "--sbatch")
    assert code == 2 and "nothing of this goes to Slurm" in err


# -- how long


def looked(store: Store, *words: str) -> tuple[Expected, Sequence[Element], Sweep]:
    asked = compose([*TWIN, "name=s", *words], conf_folders(None))
    found = expand(asked, lambda task: "d" * 64)
    ahead = look_ahead(found, store, Answers(store.root, fresh=True), asked.tree, code="c0de")
    takes = expected.expected(ahead, found, gpu_fit.look(ahead.plan.chosen, store, {}), store)
    return takes, ahead.plan.elements, found


def ended(store: Store, planned: PlannedCell, seconds: float) -> None:
    """A cell that is done, after one attempt of so many seconds."""
    folder = store.cell(planned.id)
    if folder.done():  # the untuned cell of every seed is the same
        return
    folder.freeze(planned.cell)
    attempt = folder.new_attempt()
    start = {"schema": 1, "time": 1.0, "world": 1, "placement": placement_of(planned.config)}
    files.write_json(attempt.start_json, start)
    files.write_json(attempt.end_json, {"schema": 1, "cause": "done", "message": "", "seconds": seconds})
    files.write_jsonl(folder.predictions, [])
    folder.publish(attempt, [folder.predictions], {})


def test_before_a_submit_its_time_and_gpu_hours_are_those_of_cells_like_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for seed, tuning in ((1, 3600.0), (2, 7200.0), (3, 3600.0)):
        for planned in sweep(*A100, f"seed={seed}", "prompt=geo_stepwise").cells:
            ended(store, planned, tuning if planned.cell.kind == "finetune" else 1800.0)
    takes, elements, _ = looked(store, *A100, "cluster.gpu_hour_usd=2")
    assert takes.cells == {"measured": 3}
    assert takes.seconds == 3600 + 1800  # the tuning, then its evaluation; the other one beside them
    assert (takes.gpu_hours, takes.usd) == (2.0, 4.0)
    assert takes.words == (
        "about 1 h 30 min of running, if all run at once; about 2.0 GPU-hours, $4.00 "
        "(as cells like them took under this root)"
    )
    assert takes.of([i for i, e in enumerate(elements) if e.kind == "finetune"]) == "60 min"


def test_a_cell_of_other_steps_or_on_another_card_is_not_like_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for planned in sweep(*A100, "seed=1").cells:
        ended(store, planned, 3600.0)
    for words in ((*A100, "train.epochs=3"), (*A100, "train.batch=16"), (*A100, "limit=8")):
        assert looked(store, *words)[0].cells.get("measured", 0) <= 2
    assert "measured" not in looked(store, *A100, "cluster.gpu=h100_80")[0].cells
    assert "measured" not in looked(store, *A100, "model=tiny_pixtral")[0].cells
    for words in ("train.masked_image.epochs=1", "train.augment=[colour]"):
        assert looked(store, *A100, words)[0].cells.get("measured", 0) <= 2
    assert looked(store, *A100, "train.learning_rate=0.5")[0].cells == {"measured": 2}  # the third is done


def test_where_nothing_like_it_has_ended_an_estimate_says_that_it_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"train": 64_000, "validation": 1000, "test": 1000, "test_near": 1000, "test_far": 1000}
    monkeypatch.setattr("paceline.data.samples.splits", lambda root, task: counts)
    takes, _, asked = looked(Store(tmp_path), *A100, "model=qwen2_vl_2b", f"model.revision={'0' * 40}")
    assert shape_of(asked.cells[0].config.model) is not None
    assert takes.cells == {"estimated": 3}
    assert takes.words.endswith(
        "(an estimate from the model's size and the card, which may be wrong by a factor of three)"
    )
    assert takes.usd is None and "$" not in takes.words
    # 64,000 samples of some hundred tokens through 2 billion weights three times: hours on one card, not days.
    assert takes.gpu_hours is not None and 0.5 < takes.gpu_hours < 24


def test_an_estimate_grows_with_what_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"train": 640, "test": 1000, "test_near": 1000, "test_far": 1000}
    monkeypatch.setattr("paceline.data.samples.splits", lambda root, task: counts)
    base = (*A100, "model=qwen2_vl_2b", f"model.revision={'0' * 40}", "method=full")

    def seconds(*words: str, kind: str = "") -> float:
        takes, elements, _ = looked(Store(tmp_path), *base, *words)
        lengths = zip(elements, takes.element_seconds, strict=True)
        return sum(length or 0.0 for element, length in lengths if kind in element.kind)

    assert seconds("train.epochs=2") > seconds() > seconds("limit=8")
    assert seconds("generation.new_tokens=256") > seconds()
    assert seconds("placement.activation_checkpointing=true") > seconds()
    tuning, answers = {"kind": "finetune"}, {"kind": "evaluate"}
    assert seconds("cluster.gpu=h200_141", **tuning) < seconds(**tuning) < seconds("cluster.gpu=v100_32", **tuning)
    assert seconds("placement.ranks=4", **tuning) < seconds(**tuning)
    assert seconds("cluster.gpu=h200_141", **answers) < seconds(**answers)


def test_an_estimate_counts_a_phase_of_masked_pictures_by_what_the_encoder_takes() -> None:
    def seconds(masked: float, language: float = 10.0) -> float:
        train = TrainSpec(batch=8, epochs=1, masked_image=MaskedImageSpec(epochs=masked))
        config = Config(task=TaskSpec(train="train"), method=MethodSpec("full", trains="all"), train=train)
        return expected._tuning_seconds(config, {"train": 800}, language, 1.0, 100.0)

    assert seconds(2) - seconds(1) == pytest.approx(seconds(1) - seconds(0)) and seconds(1) > seconds(0)
    assert seconds(1) - seconds(0) == pytest.approx(seconds(1, 0.0) - seconds(0, 0.0))


def test_without_shape_or_card_the_walltime_is_the_bound_and_it_says_so(tmp_path: Path) -> None:
    takes, _, _ = looked(Store(tmp_path), "cluster=slurm", "cluster.minutes=90")
    assert takes.cells == {"walltime": 3}
    assert (
        takes.words
        == "at most 3 h 00 min of running, if all run at once (the walltime, as none like them has ended here)"
    )


def test_on_this_machine_what_is_not_known_is_not_guessed(paceline: Run, tmp_path: Path) -> None:
    code, out, _ = paceline("plan", *TWIN)
    assert code == 0
    assert "how long is not known: of 3 of 3 cells no like has ended under this root" in out
    found = json.loads(paceline("plan", *TWIN, "--json")[1])["expected"]
    assert (found["seconds"], found["gpu_hours"], found["usd"]) == (None, None, None)
    assert found["cells"] == {"unknown": 3}


def test_places_on_this_machine_are_shared_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for planned in sweep("seed=1").cells:
        ended(store, planned, 60.0)
    words = ("seed=2,3,4,5", "method=untuned,full", "cluster.cells_per_element=1")
    one, two = (looked(store, *words, f"cluster.slots={n}")[0].seconds for n in (1, 2))
    assert (one, two) == (8 * 60, 4 * 60)  # 4 tunings and their evaluations


def test_of_a_cell_that_was_begun_only_the_rest_is_counted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for planned in sweep(*A100, "seed=1").cells:
        ended(store, planned, 3600.0)
    (tuning,) = (c for c in sweep(*A100, "seed=2").cells if c.cell.kind == "finetune")
    store.cell(tuning.id).freeze(tuning.cell)
    attempt = store.cell(tuning.id).new_attempt()
    files.write_json(attempt.start_json, {"schema": 1, "time": 1.0, "placement": placement_of(tuning.config)})
    files.write_json(attempt.heartbeat, {"schema": 1, "time": 2.0, "done": 3, "total": 4})
    files.write_json(attempt.end_json, {"schema": 1, "cause": "timeout", "message": "", "seconds": 9.0})
    assert looked(store, *A100, "seed=2")[0].seconds == 3600 / 4 + 3600


def test_submit_says_how_long_before_it_submits(paceline: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(*more: Any) -> dict[str, str]:
        raise Unavailable("sbatch is called only now")

    monkeypatch.setattr("paceline.launch.arrays.launch", launch)
    code, _, err = paceline("submit", *TWIN, *PHOENIX_WORDS, "cluster.gpu_hour_usd=1.5")
    lines = err.splitlines()
    assert code == 3 and lines[-1].endswith("sbatch is called only now")
    assert "GPU-hours, $" in lines[-2]


def test_a_cell_of_another_version_is_passed_over(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for planned in sweep(*A100, "seed=1").cells:
        ended(store, planned, 3600.0)
        (attempt,) = store.cell(planned.id).attempts()
        files.write_json(attempt.start_json, {"schema": 1, "time": 1.0, "placement": {"cluster": {"gpu": 3}}})
    assert "measured" not in looked(store, *A100)[0].cells
    assert looked(Store(tmp_path / "not there"), *A100)[0].cells
