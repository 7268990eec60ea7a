"""`submit` means "make these cells true": what is done, running or claimed is left alone, the rest is run once."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from paceline.attempts import checkpoints
from paceline.errors import UserError
from paceline.launch import elements, local, submit
from paceline.store import causes, files
from paceline.store.owner import this_process
from paceline.store.root import Store
from paceline.sweep import status
from paceline.sweep.cells import PlannedCell, Sweep, expand, recorded
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

WORDS = ("model=tiny_qwen2_vl,tiny_pixtral", "task=geolocation_earth", "prompt=geo_bare,geo_stepwise")
ALL = (*WORDS, "method=untuned,full", "name=s")


pytestmark = pytest.mark.usefixtures("frozen_code")


def sweep(*overrides: str) -> Sweep:
    return expand(compose(overrides, conf_folders(None)), lambda task: "d" * 64)


def finish(root: Store, planned: PlannedCell) -> None:
    """Make a cell done, as a worker would."""
    folder = root.cell(planned.id)
    attempt = folder.new_attempt()
    files.write_jsonl(folder.predictions, [])
    folder.publish(attempt, [folder.predictions], {})


def end(root: Store, planned: PlannedCell, cause: str) -> None:
    """Let an attempt of a cell end with a cause."""
    attempt = root.cell(planned.id).new_attempt()
    files.write_json(attempt.start_json, {"schema": 1, "sweep": "s", "submission": "", "host": "elsewhere", "pid": 1})
    files.write_json(attempt.end_json, {"schema": 1, "cause": cause, "message": "why", "seconds": 1})


def states(root: Store, asked: Sweep) -> dict[str, str]:
    return {k: v.state for k, v in status.states(root, [c.cell for c in asked.cells]).items()}


def test_a_second_submit_starts_nothing_while_the_first_one_runs(tmp_path: Path) -> None:
    first = submit.decide(sweep(*ALL), Store(tmp_path))
    assert sum(len(e.cells) for e in first.elements) == 10
    second = submit.decide(sweep(*ALL), Store(tmp_path))
    assert second.path is None
    assert {s.state for s in second.found.values()} == {"queued"}


def test_a_model_that_is_not_fetched_is_refused_and_nothing_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    hub = ("model.weights=lab/m", f"model.revision={'ab' * 20}")
    with pytest.raises(UserError, match=r"not prepared: lab/m at abab.*paceline prepare model=tiny_qwen2_vl"):
        submit.decide(sweep("model=tiny_qwen2_vl", *WORDS[1:], *hub, "name=s"), Store(tmp_path / "root"))
    assert not (tmp_path / "root" / "sweeps").exists()


def test_one_process_can_not_run_another_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paceline.launch.environments.lacks", lambda *_: [])
    with pytest.raises(UserError, match="needs another environment; give cluster=local"):
        submit.decide(sweep(*ALL, "cluster=debug", "model.environment=/envs/old"), Store(tmp_path))


def test_cells_that_another_sweep_has_claimed_are_left_to_it(tmp_path: Path) -> None:
    submit.decide(sweep(*ALL), Store(tmp_path))
    other = submit.decide(sweep(*WORDS, "method=untuned,lora", "name=other"), Store(tmp_path))
    assert all("untuned" not in cell for e in other.elements for cell in e.cells)


def test_what_a_dead_launcher_had_claimed_is_free_again(tmp_path: Path) -> None:
    first = submit.decide(sweep(*ALL), Store(tmp_path))
    assert first.path is not None
    intent = first.path / "intent.json"
    content = json.loads(intent.read_text())
    files.write_json(intent, {**content, "pid": 2**22 + 1})
    again = submit.decide(sweep(*ALL), Store(tmp_path))
    assert sum(len(e.cells) for e in again.elements) == 10


def test_done_cells_are_skipped_and_their_dependents_run(tmp_path: Path) -> None:
    root, asked = Store(tmp_path), sweep(*ALL)
    first = submit.decide(asked, root)
    tuned = [c for c in asked.cells if c.cell.kind == "finetune"]
    finish(root, tuned[0])
    assert first.path is not None
    submit.close(first.path, {})
    again = submit.decide(asked, root)
    cells = [c for e in again.elements for c in e.cells]
    assert tuned[0].id not in cells
    assert len(cells) == 9


def test_all_done_starts_nothing(tmp_path: Path) -> None:
    root, asked = Store(tmp_path), sweep(*ALL)
    first = submit.decide(asked, root)
    assert first.path is not None
    submit.close(first.path, {})
    for planned in asked.cells:
        finish(root, planned)
    assert submit.decide(asked, root).path is None


@pytest.mark.parametrize("cause", causes.CAUSES[1:])
def test_each_cause_decides_whether_a_resume_takes_the_cell_up(cause: str, tmp_path: Path) -> None:
    root, asked = Store(tmp_path), sweep(*WORDS, "method=untuned", "name=s")
    first = submit.decide(asked, root)
    assert first.path is not None
    submit.close(first.path, {})
    end(root, asked.cells[0], cause)
    again = submit.decide(asked, root)
    cells = [c for e in again.elements for c in e.cells]
    assert (asked.cells[0].id in cells) == (cause not in causes.NOT_RETRIED)
    if cause in causes.NOT_RETRIED:
        assert again.path is not None
        submit.close(again.path, {})
        retried = submit.decide(asked, root, submit.Wishes(retry_failed=True))
        assert asked.cells[0].id in [c for e in retried.elements for c in e.cells]


@pytest.mark.parametrize(
    ("cause", "reached", "state"),
    [
        ("timeout", [0, 0, 0, 0, 0], "failed"),
        ("preempted", [1, 2, 3, 4, 5], "interrupted"),
        ("unknown", [9, 9, 9, 9, 9, 9], "failed"),
        ("cancelled", [0, 0, 0, 0, 0, 0], "interrupted"),
    ],
)
def test_a_cell_is_left_to_the_user_when_it_gets_no_further_and_never_because_it_was_cancelled(
    cause: str, reached: list[int], state: str, tmp_path: Path
) -> None:
    root, asked = Store(tmp_path), sweep(*WORDS, "method=untuned", "name=s")
    for planned in asked.cells:
        root.cell(planned.id).freeze(planned.cell)
    for done in reached:
        assert states(root, asked)[asked.cells[0].id] in ("missing", "interrupted")
        end(root, asked.cells[0], cause)
        attempt = root.cell(asked.cells[0].id).attempts()[-1]
        files.write_json(attempt.heartbeat, {"schema": 1, "done": done, "total": 99})
    assert states(root, asked)[asked.cells[0].id] == state


def test_code_that_was_purged_is_missed_and_not_replaced_by_the_clones(tmp_path: Path) -> None:
    root, asked = Store(tmp_path), sweep(*WORDS, "method=untuned", "name=s")
    first = submit.decide(asked, root)
    assert first.path is not None
    submit.close(first.path, {})
    content = root.sweep("s").read()
    files.write_json(root.sweep("s").sweep_json, {**content, "code": "deadbeef"})
    with pytest.raises(UserError, match=r"deadbeef.*--code=current"):
        submit.decide(asked, root)
    assert submit.decide(asked, root, submit.Wishes(current_code=True)).code == "c0de"


def test_a_placement_that_a_checkpoint_does_not_fit_is_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    root = Store(tmp_path)
    words = (*WORDS[1:2], "model=tiny_qwen2_vl", "prompt=geo_bare", "method=full", "name=s")
    asked = sweep(*words)
    first = submit.decide(asked, root)
    assert first.path is not None
    submit.close(first.path, {})
    end(root, asked.cells[0], "timeout")
    attempt = root.cell(asked.cells[0].id).attempts()[-1]
    path = attempt.checkpoints / "checkpoint-8"
    path.mkdir(parents=True)
    checkpoints.complete(path, step=8, world=1, micro_batch=4, engine="torch", seconds=0.1)
    before = root.sweep("s").sweep_json.read_bytes()
    with pytest.raises(UserError, match="saved without DeepSpeed, and this placement runs under ZeRO stage 2"):
        submit.decide(sweep(*words, "placement.ranks=2", "deepspeed=zero2"), root)
    assert root.sweep("s").sweep_json.read_bytes() == before
    assert submit.decide(asked, root).path is not None


def test_debug_refuses_ranks_that_it_does_not_have(tmp_path: Path) -> None:
    words = (*WORDS[1:2], "model=tiny_qwen2_vl", "prompt=geo_bare", "method=full", "cluster=debug")
    with pytest.raises(UserError, match="cluster=debug is one process"):
        submit.decide(sweep(*words, "placement.ranks=2", "deepspeed=zero2"), Store(tmp_path))


def test_each_element_on_this_machine_has_gpus_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert local.devices() == [3, 5]
    assert local.slots(0) == 2


class _Dead:
    """A process that ended before its attempt began."""

    job_id = "1"

    def done(self) -> bool:
        return True


class _View:
    """Who is told; keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def named(self, cells: Sequence[object]) -> None: ...

    def started(self, element: elements.Element) -> None: ...

    def progress(self, running: Sequence[object]) -> None: ...

    def ended(self, cell: str, state: status.CellState) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_launcher_does_not_wait_for_a_process_that_died_before_its_attempt_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = submit.decide(sweep(*WORDS[:2], "prompt=geo_bare", "method=full", "name=s"), Store(tmp_path))
    assert decided.path is not None
    monkeypatch.setattr(local.Scheduler, "_start", lambda self, index: _Dead())
    steps = iter(range(20))
    monkeypatch.setattr(local.time, "sleep", lambda seconds: next(steps))
    view = _View()
    local.Scheduler(Store(tmp_path), decided.path, decided.elements, decided.code, 4, view).run()
    assert sorted(note.split(":")[0] for note in view.notes) == ["left out"] * 2


def test_what_needs_a_failed_cell_is_not_started(tmp_path: Path) -> None:
    root, asked = Store(tmp_path), sweep(*WORDS[:2], "prompt=geo_bare", "method=full", "name=s")
    first = submit.decide(asked, root)
    assert first.path is not None
    submit.close(first.path, {})
    end(root, asked.cells[0], "code bug")
    again = submit.decide(asked, root)
    assert [c for e in again.elements for c in e.cells] == [c.id for c in asked.cells[2:]]


def test_an_attempt_without_an_end_runs_while_its_process_or_its_pulse_lives(tmp_path: Path) -> None:
    root, asked = Store(tmp_path), sweep(*WORDS, "method=untuned", "name=s")
    planned = asked.cells[0]
    root.cell(planned.id).freeze(planned.cell)
    attempt = root.cell(planned.id).new_attempt()
    start = {"schema": 1, "sweep": "s", "submission": "", **this_process()}
    files.write_json(attempt.start_json, start)
    assert states(root, asked)[planned.id] == "running"
    files.write_json(attempt.start_json, {**start, "pid_started": "0"})  # the number went to another process
    assert states(root, asked)[planned.id] == "interrupted"
    files.write_json(attempt.start_json, {**start, "host": "another-node"})
    files.write_json(attempt.heartbeat, {"schema": 1, "time": time.time()})
    assert states(root, asked)[planned.id] == "running"
    os.utime(attempt.heartbeat, (0, 0))
    assert states(root, asked)[planned.id] == "interrupted"


def test_a_name_taken_by_other_cells_is_refused_with_the_difference_unless_extended(tmp_path: Path) -> None:
    root = Store(tmp_path)
    submit.decide(sweep(*WORDS, "method=untuned", "name=s"), root)
    wider = sweep(*WORDS, "method=untuned,full", "name=s")
    with pytest.raises(UserError, match=r"6 \(.*not in it; give name=OTHER .* or --extend"):
        submit.decide(wider, root)
    assert len(root.sweep("s").read()["cells"]) == 4
    submit.decide(wider, root, submit.Wishes(extend=True))
    assert len(root.sweep("s").read()["cells"]) == 10


def test_a_recorded_sweep_comes_back_with_its_cells_and_placement(tmp_path: Path) -> None:
    asked = sweep(*ALL, "placement.micro_batch=4", "cluster=debug")
    submit.decide(asked, Store(tmp_path))
    again = recorded(Store(tmp_path).sweep("s"), Store(tmp_path))
    assert [c.cell for c in again.cells] == [c.cell for c in asked.cells]
    assert {c.config.placement.micro_batch for c in again.cells} == {4}
    assert {c.config.cluster.name for c in again.cells} == {"debug"}


def test_a_resume_may_change_how_but_not_what(tmp_path: Path) -> None:
    composition = compose(["placement.micro_batch=2", "deepspeed=zero2"], conf_folders(None))
    config = sweep(*ALL).cells[1].config
    changed = composition.replaced(config, "finetune")
    assert changed.placement.micro_batch == 2
    assert changed.deepspeed.name == "zero2"
    same = dataclasses.replace(changed, placement=config.placement, deepspeed=config.deepspeed)
    assert same == config


def test_prompts_of_one_model_share_an_element_and_weights_never_mix() -> None:
    grouped = elements.group(sweep(*ALL).cells)
    assert [(e.kind, len(e.cells)) for e in grouped] == [
        ("evaluate", 2),
        ("finetune", 1),
        ("evaluate", 2),
        ("evaluate", 2),
        ("finetune", 1),
        ("evaluate", 2),
    ]
    arrays = elements.arrays(grouped)
    assert [(a["kind"], a["cells"]) for a in arrays] == [("evaluate", 4), ("finetune", 2), ("evaluate", 4)]


def test_weights_in_another_form_are_other_weights() -> None:
    grouped = elements.group(sweep(*WORDS, "method=untuned,untuned_nf4").cells)
    assert [(e.kind, len(e.cells)) for e in grouped] == [("evaluate", 2)] * 4
    changed = elements.group(sweep(*WORDS, "method=untuned", "method.dtype=float32,float16").cells)
    assert [(e.kind, len(e.cells)) for e in changed] == [("evaluate", 2)] * 4


def test_an_element_holds_no_more_cells_than_the_cluster_says() -> None:
    grouped = elements.group(sweep(*WORDS, "method=untuned", "cluster.cells_per_element=1").cells)
    assert [len(e.cells) for e in grouped] == [1, 1, 1, 1]


def test_no_secret_of_the_environment_reaches_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "s3cr3t-key")
    monkeypatch.setenv("HF_TOKEN", "s3cr3t-token")
    submit.decide(sweep(*ALL), Store(tmp_path))
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"s3cr3t" not in path.read_bytes(), path


def test_cells_that_failed_on_a_wrong_setting_are_replaced_in_their_sweep(tmp_path: Path) -> None:
    root = Store(tmp_path)
    models = ("model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare", "method=untuned,full", "name=s")
    wrong = sweep(*models, "train.learning_rate=5")
    untuned, tuned, evaluated = wrong.cells
    first = submit.decide(wrong, root)
    assert first.path is not None
    submit.close(first.path, {})
    finish(root, untuned)
    end(root, tuned, "bad data")
    mended = sweep(*models, "train.learning_rate=1e-4")
    with pytest.raises(UserError, match=r"or --mend to put them in the place of its own that failed or never began"):
        submit.decide(mended, root)
    again = submit.decide(mended, root, submit.Wishes(mend=True))
    assert [c for e in again.elements for c in e.cells] == [c.id for c in mended.cells[1:]]
    after = recorded(root.sweep("s"), root)
    assert [c.id for c in after.cells] == [c.id for c in mended.cells]
    assert not {tuned.id, evaluated.id} & set(root.sweep("s").read()["placed"])
    assert root.cell(tuned.id).cell_json.exists()  # what was tried can still be looked at
    assert submit.decide(mended, root, submit.Wishes(mend=True)).path is None


def test_mending_never_takes_a_result_or_a_running_cell_out_of_a_sweep(tmp_path: Path) -> None:
    root, asked = Store(tmp_path), sweep(*WORDS, "method=untuned", "name=s")
    first = submit.decide(asked, root)
    other = sweep(*WORDS, "method=untuned", "name=s", "limit=3")
    with pytest.raises(UserError, match=r"4 of its cells are not asked for now and did begin"):
        submit.decide(other, root, submit.Wishes(mend=True))
    assert first.path is not None
    submit.close(first.path, {})
    finish(root, asked.cells[0])
    with pytest.raises(UserError, match=rf"1 of its cells .* did begin \({asked.cells[0].id}\)"):
        submit.decide(other, root, submit.Wishes(mend=True))
    assert root.sweep("s").read()["cells"] == [c.id for c in asked.cells]


def test_a_first_submit_may_say_mend_and_extend_is_as_before(tmp_path: Path) -> None:
    root = Store(tmp_path)
    submit.decide(sweep(*WORDS, "method=untuned", "name=s"), root, submit.Wishes(mend=True))
    submit.decide(sweep(*WORDS, "method=untuned,full", "name=s"), root, submit.Wishes(mend=True))
    assert len(root.sweep("s").read()["cells"]) == 10
