"""A tuning that ran out of memory goes on with less, one rung at a time, and computes the same."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.attempts import checkpoints
from paceline.config.build import build
from paceline.config.checks import share_out
from paceline.config.gpus import by_name
from paceline.config.identity import identity_of, placement_of
from paceline.config.schema import ClusterSpec, Config, DeepSpeedSpec, MethodSpec, ModelSpec, PlacementSpec, TrainSpec
from paceline.gpu_memory import choose, ladder
from paceline.gpu_memory.parts import Sample
from paceline.gpu_memory.shapes import shape_of
from paceline.launch import submit
from paceline.launch.elements import Element
from paceline.launch.memory_rungs import Ladders
from paceline.store import causes, files
from paceline.store.cell_folder import Attempt
from paceline.store.code import shipped
from paceline.store.root import Store
from paceline.sweep import status
from paceline.sweep.cells import Sweep, expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import ConfTree, conf_folders

TREE = ConfTree([shipped("conf")])
PRESETS = TREE.presets()
CUDA, HOST = causes.OUT_OF_MEMORY


@cache
def named(group: str, cls: type, name: str) -> Any:
    return build(cls, {**TREE.load(group, name), "name": name}, name)


def config(batch: int = 32, how: str = "lora", preset: str = "none", gpu: str = "", **placed: Any) -> Config:
    return Config(
        model=named("model", ModelSpec, "llama32_11b_vision_instruct"),
        method=named("method", MethodSpec, how),
        train=TrainSpec(batch=batch),
        placement=PlacementSpec(**placed),
        deepspeed=PRESETS[preset],
        cluster=ClusterSpec(gpu=gpu, gpus=1),
    )


def below(made: Config, presets: dict[str, DeepSpeedSpec] = PRESETS, cards: tuple[str, ...] = ()) -> list[str]:
    return [ladder.words(c) for c in ladder.rungs(made, presets, [by_name(c) for c in cards])]


# -- the rungs


def test_the_rungs_are_what_costs_least_first() -> None:
    assert below(config(batch=8, ranks=2, micro_batch=4, gpu="a100_40"), cards=("a100_80",)) == [
        "micro-batch 2 × 2 accumulated, a100_40",
        "micro-batch 1 × 4 accumulated, a100_40",
        "micro-batch 1 × 4 accumulated, activation checkpointing, a100_40",
        "micro-batch 1 × 4 accumulated, activation checkpointing, deepspeed=zero2, a100_40",
        "micro-batch 1 × 4 accumulated, activation checkpointing, deepspeed=zero3, a100_40",
        "micro-batch 1 × 4 accumulated, activation checkpointing, deepspeed=zero3_offload, a100_40",
        "micro-batch 1 × 4 accumulated, activation checkpointing, deepspeed=zero3_offload, a100_80",
    ]


def test_one_rank_has_nobody_to_share_with_but_the_host() -> None:
    presets = [c.deepspeed.name for c in ladder.rungs(config(batch=1, activation_checkpointing=True), PRESETS, ())]
    assert presets == ["zero2_offload", "zero3_offload"]


def test_a_stage_that_a_method_does_not_go_with_is_no_rung() -> None:
    made = config(batch=2, how="qlora", preset="zero2", ranks=2, activation_checkpointing=True)
    dora = dataclasses.replace(made.method, lora=dataclasses.replace(made.method.lora, dora=True))
    names = [c.deepspeed.name for c in ladder.rungs(dataclasses.replace(made, method=dora), PRESETS, ())]
    assert names == ["zero2_offload"]


@settings(deadline=None)
@given(
    share=st.integers(1, 96),
    ranks=st.integers(1, 8),
    nodes=st.integers(1, 3),
    pick=st.integers(0, 99),
    checkpointing=st.booleans(),
    preset=st.sampled_from(sorted(PRESETS)),
    how=st.sampled_from(["full", "lora", "qlora"]),
)
def test_no_rung_changes_the_experiment(
    share: int, ranks: int, nodes: int, pick: int, checkpointing: bool, preset: str, how: str
) -> None:
    divisors = [m for m in range(1, share + 1) if share % m == 0]
    made = config(
        batch=share * ranks * nodes, how=how, preset=preset, ranks=ranks, nodes=nodes,
        micro_batch=divisors[pick % len(divisors)], activation_checkpointing=checkpointing,
    )  # fmt: skip
    found = list(ladder.rungs(made, PRESETS, [by_name("h200_141")]))
    before = made
    for rung in found:
        micro, accumulation = share_out(rung.train, rung.placement, ranks * nodes)
        assert ranks * nodes * micro * accumulation == made.train.batch
        assert identity_of(rung, "finetune") == identity_of(made, "finetune")
        assert ladder.changed(before, rung)
        before = rung
    assert len({ladder.words(c) for c in found}) == len(found)
    # Half at most each time, so that few attempts lead down.
    halvings = [c for c in found if c.placement.micro_batch != made.placement.micro_batch]
    assert len({c.placement.micro_batch for c in halvings}) <= (made.placement.micro_batch).bit_length()


@settings(deadline=None, max_examples=30)
@given(ranks=st.sampled_from([1, 2, 4]), micro=st.sampled_from([1, 2, 4, 8]), how=st.sampled_from(["full", "lora"]))
def test_every_rung_takes_less_of_the_card(ranks: int, micro: int, how: str) -> None:
    shape = shape_of(config().model)
    assert shape is not None
    made = config(how=how, ranks=ranks, micro_batch=micro)
    needs = [
        choose.judge(c, "finetune", shape, Sample(), by_name("a100_80")).needed
        for c in [made, *ladder.rungs(made, {}, ())]
    ]
    assert needs == sorted(needs, reverse=True)


def test_rungs_that_the_corrected_plan_rules_out_are_passed_over() -> None:
    shape, card = shape_of(config().model), by_name("a100_40")
    assert shape is not None
    made = config(how="lora", micro_batch=32)
    plain = choose.judge(made, "finetune", shape, Sample(), card)

    def judge(factor: float) -> Any:
        return lambda c: choose.judge(c, "finetune", shape, Sample(), card, factor)

    one = ladder.climb(ladder.rungs(made, PRESETS, ()), judge(1.0))
    other = ladder.climb(ladder.rungs(made, PRESETS, ()), judge(1.35))
    assert one.config is not None and other.config is not None
    assert len(other.passed) > len(one.passed) > 0
    assert all("would take" in why and "of 39.4 GiB" in why for why in other.passed)
    assert judge(1.35)(other.config).fits
    assert ladder.at_least(plain) == 1.0  # what the plan said too
    roomy = choose.judge(made, "finetune", shape, Sample(), dataclasses.replace(card, gib=2 * plain.needed))
    assert ladder.at_least(roomy) == pytest.approx(2.0)


# -- what a submit makes of it


@pytest.fixture(autouse=True)
def no_snapshots(frozen_code: None) -> None:
    """Submits are quick."""


WORDS = ("model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare", "method=full", "name=s")
FOUR = ("train.batch=4", "placement.micro_batch=4")


def sweep(*overrides: str) -> Sweep:
    return expand(compose((*WORDS, *FOUR, *overrides), conf_folders(None)), lambda task: "d" * 64)


def ended(attempt: Attempt, cause: str, gib: float = 0.0) -> None:
    peaks = {"cuda_gib": gib} if gib else {}
    files.write_json(attempt.end_json, {"schema": 1, "cause": cause, "message": "", "seconds": 1, "peaks": peaks})


def begin(root: Store, asked: Sweep, **wishes: bool) -> tuple[Element, Attempt, list[str]]:
    """Submit, and begin the tuning's next attempt as its job would."""
    decided = submit.decide(asked, root, submit.Wishes(**wishes))
    (element,) = [e for e in decided.elements if e.kind == "finetune"]
    assert decided.path is not None
    submit.close(decided.path, {})
    attempt = root.cell(element.cells[0]).new_attempt()
    start = {"schema": 1, "sweep": "s", "submission": str(decided.path), "host": "elsewhere", "pid": 1}
    files.write_json(attempt.start_json, {**start, "placement": json.loads(json.dumps(element.placement))})
    return element, attempt, decided.notes


def micro(element: Element) -> tuple[int, bool]:
    placed = element.placement["placement"]
    return placed["micro_batch"], placed["activation_checkpointing"]


def tuning(asked: Sweep) -> str:
    return asked.cells[0].id


def test_each_submit_takes_the_next_rung_and_says_why(tmp_path: Path) -> None:
    root, asked = Store(tmp_path), sweep()
    element, attempt, notes = begin(root, asked)
    assert micro(element) == (4, False) and "ladder" not in element.placement and not notes
    ended(attempt, CUDA, 38.9)
    element, attempt, notes = begin(root, asked)
    assert micro(element) == (2, False)
    why = "micro-batch 4 → 2 after CUDA out of memory (peak 38.9 GiB)"
    assert notes == [f"{tuning(asked)}: {why}"]
    assert attempt.start()["placement"]["ladder"]["why"] == why  # type: ignore[index]
    assert status.descent(attempt) == why
    ended(attempt, CUDA)
    found = status.states(root, [c.cell for c in asked.cells])[tuning(asked)]
    # Two attempts of one cause are the cap, but these were not the same try.
    assert (found.state, found.cause) == ("interrupted", CUDA)
    assert [micro(begin(root, asked)[0])] == [(1, False)]


def test_after_the_last_rung_the_cell_is_failed_with_what_was_tried(tmp_path: Path) -> None:
    root, asked = Store(tmp_path), sweep()
    seen = []
    for _ in range(6):
        element, attempt, _ = begin(root, asked)
        seen.append((*micro(element), element.placement["deepspeed"]["name"]))
        ended(attempt, CUDA, 15.0)
    assert seen == [
        (4, False, "none"), (2, False, "none"), (1, False, "none"), (1, True, "none"),
        (1, True, "zero2_offload"), (1, True, "zero3_offload"),
    ]  # fmt: skip
    over = submit.decide(asked, root)
    assert over.path is None and not over.elements
    (note,) = over.notes
    assert "no rung is left: attempt 1: CUDA out of memory with micro-batch 4 × 1 accumulated (peak 15.0 GiB)" in note
    assert "deepspeed=zero3_offload" in note and "cluster.gpu" in note
    found = status.states(root, [c.cell for c in asked.cells])
    assert found[tuning(asked)].state == "failed" and found[tuning(asked)].detail in note
    assert {s.state for c, s in found.items() if c != tuning(asked)} == {"waiting"}
    # A person may want it once more, or another way.
    again, _, _ = begin(root, asked, retry_failed=True)
    assert again.placement["deepspeed"]["name"] == "zero3_offload"


def test_a_rung_is_kept_whatever_ends_the_next_attempt(tmp_path: Path) -> None:
    root, asked = Store(tmp_path), sweep("placement.ranks=2", "deepspeed=zero2", "placement.micro_batch=1")
    for _ in range(2):
        ended(begin(root, asked)[1], CUDA)
    element, attempt, _ = begin(root, asked)
    assert element.placement["deepspeed"]["name"] == "zero3"
    saved = attempt.checkpoints / "checkpoint-8"
    saved.mkdir(parents=True)
    checkpoints.complete(saved, step=8, world=2, micro_batch=1, engine="zero3", seconds=0.1)
    ended(attempt, "preempted")
    element, attempt, notes = begin(root, asked)  # and is not refused for the stage that was asked for
    assert element.placement["deepspeed"]["name"] == "zero3" and micro(element) == (1, True)
    assert notes == [f"{tuning(asked)}: as attempt 3: activation checkpointing, deepspeed zero2 → zero3"]
    ended(attempt, CUDA)
    (note,) = submit.decide(asked, root).notes
    assert "the checkpoint of step 8 keeps the rest as it is" in note and str(attempt.path.parent / "3") in note


def test_what_is_asked_for_otherwise_is_done_as_asked(tmp_path: Path) -> None:
    root = Store(tmp_path)
    ended(begin(root, sweep())[1], CUDA)
    ended(begin(root, sweep())[1], CUDA)
    element, _, _ = begin(root, sweep("placement.activation_checkpointing=true"))
    assert micro(element) == (2, True)  # the micro-batch of the rung, and no rung further
    root = Store(tmp_path / "other")
    ended(begin(root, sweep())[1], CUDA)
    element, _, notes = begin(root, sweep("placement.micro_batch=1"))
    assert micro(element) == (1, False) and not notes


def test_what_the_probe_settled_counts_as_the_rung(tmp_path: Path) -> None:
    root, asked = Store(tmp_path), sweep()
    _, attempt, _ = begin(root, asked)
    rung = {"change": "micro-batch 4 → 2 after CUDA out of memory", "placement": {"micro_batch": 2}}
    files.append_jsonl(attempt.rungs, [rung])
    assert attempt.placement()["placement"]["micro_batch"] == 2
    assert status.descent(attempt) == f"{rung['change']}, in a trial of the largest batch"
    ended(attempt, CUDA)
    assert micro(begin(root, asked)[0]) == (1, False)


def test_the_word_of_the_rank_that_ran_out_counts(tmp_path: Path) -> None:
    root, asked = Store(tmp_path), sweep("placement.ranks=2", "placement.micro_batch=2")
    _, attempt, _ = begin(root, asked)
    ended(attempt, "unknown")  # the first rank knows only that its peer is gone
    files.write_json(attempt.path / "end.rank1.json", {"schema": 1, "cause": CUDA, "message": "", "peaks": {}})
    assert status.attempt_end(attempt)[0] == CUDA
    assert micro(begin(root, asked)[0]) == (1, False)


def test_on_the_cpu_host_memory_has_the_rungs_of_a_process_and_beside_a_gpu_none(tmp_path: Path) -> None:
    root, asked = Store(tmp_path / "cpu"), sweep()
    ended(begin(root, asked)[1], HOST)
    assert micro(begin(root, asked)[0]) == (2, False)
    root, asked = Store(tmp_path / "gpu"), sweep("cluster.gpus=1")
    ended(begin(root, asked)[1], HOST)
    assert micro(begin(root, asked)[0]) == (4, False)
    ended(root.cell(tuning(asked)).attempts()[-1], HOST)
    assert status.states(root, [c.cell for c in asked.cells])[tuning(asked)].state == "failed"


def test_a_rung_may_be_a_preset_of_the_labs_own_folder(tmp_path: Path) -> None:
    lab = tmp_path / "lab" / "deepspeed"
    lab.mkdir(parents=True)
    (lab / "lab_offload.yaml").write_text("defaults: [zero2_offload]\n")
    tree = ConfTree(conf_folders(str(lab.parent)))
    asked = sweep("placement.micro_batch=1", "placement.activation_checkpointing=true")
    chosen = []
    for number, told in enumerate((tree, None)):
        root = Store(tmp_path / str(number))
        ended(begin(root, asked)[1], CUDA)
        decided = submit.decide(asked, root, tree=told)
        (element,) = [e for e in decided.elements if e.kind == "finetune"]
        chosen.append(element.placement["deepspeed"]["name"])
    # Of two that are as quick the first by name.
    assert chosen == ["lab_offload", "zero2_offload"]


def test_a_card_that_reports_its_memory_is_left_for_a_larger_one_that_the_cluster_may_give(tmp_path: Path) -> None:
    root = Store(tmp_path)
    base = sweep("placement.activation_checkpointing=true", "placement.micro_batch=1", "placement.fit=ignore")
    offload = dataclasses.replace(
        base.cells[0].config, deepspeed=PRESETS["zero3_offload"], cluster=ClusterSpec(gpu="A100", gpus=1)
    )
    planned = dataclasses.replace(base.cells[0], config=offload)
    attempt = root.cell(planned.id).new_attempt()
    start = {"schema": 1, "placement": placement_of(offload), "provenance": {"gpu_gib": [39.5]}}
    files.write_json(attempt.start_json, start)
    ended(attempt, CUDA)
    state = status.CellState(planned.id, "interrupted", CUDA)
    taken = Ladders(root, PRESETS).take_up(planned, state, False)
    assert taken is not None and taken.config.cluster.gpu == "a100_80"
    files.write_json(attempt.start_json, {**start, "provenance": {"gpu_gib": [79.2]}})
    taken = Ladders(root, PRESETS).take_up(planned, state, False)
    assert taken is not None and taken.ended


def test_a_card_that_ran_out_teaches_the_plan_how_low_it_was(tmp_path: Path) -> None:
    """The plan sees room for micro-batch 2 where micro-batch 4 ran out; it is corrected by the least that must be."""
    root = Store(tmp_path)
    made = config(how="lora", batch=32, micro_batch=4, gpu="h100_80", activation_checkpointing=True)
    base = sweep().cells[0]
    planned = dataclasses.replace(base, config=dataclasses.replace(made, task=base.config.task))
    attempt = root.cell(planned.id).new_attempt()
    files.write_json(attempt.start_json, {"schema": 1, "placement": placement_of(made)})
    ended(attempt, CUDA, 78.0)
    taken = Ladders(root, PRESETS).take_up(planned, status.CellState(planned.id, "interrupted", CUDA), False)
    assert taken is not None and taken.config.placement.micro_batch < 4
    assert taken.why.startswith("micro-batch 4 → ") and "(peak 78.0 GiB)" in taken.why
