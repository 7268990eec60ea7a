"""The sports study is planned whole in one command, before its data is there, with the study's settings."""

from __future__ import annotations

from collections import Counter

import pytest

from paceline.config.cell_kinds import kind_of
from paceline.sweep.cells import PlannedCell, Sweep, expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders


@pytest.fixture(autouse=True)
def no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPORTS", "SPORT_CAPTIONS", "SPORT_PHOTOS", "SPORT_SHOTS", "SPORT_ART"):
        monkeypatch.delenv(name, raising=False)


def sweep(experiment: str) -> Sweep:
    return expand(compose([f"experiment={experiment}"], conf_folders(None)), lambda task: "d" * 64)


def trained(cells: list[PlannedCell]) -> list[PlannedCell]:
    return [one for one in cells if kind_of(one.cell.kind).trains]


def test_the_study_is_six_evaluations_and_two_tunings_as_it_tells_them() -> None:
    cells = list(sweep("sports").cells)
    asked = Counter((c.config.task.name, c.config.prompt.name, c.config.method.name) for c in cells)
    assert len(cells) == 8
    assert len(asked) == 6
    for tuning in trained(cells):
        method, train = tuning.config.method, tuning.config.train
        assert (method.quantise, method.dtype, method.lora.r, method.lora.alpha) == ("nf4", "float16", 16, 32)
        assert (method.lora.targets, train.epochs) == (["q_proj", "k_proj", "v_proj"], 1)
    assert {c.config.method.dtype for c in cells} == {"float16"}
    (sports,) = {str(c.config.task.options["n_per_class"]) for c in cells if "classification" in c.config.task.name}
    assert sports == "10"
    shown = {c.config.prompt.name: c.config.prompt.shots.count for c in cells}
    assert [n for name, n in shown.items() if name.startswith("four_shots")] == [4, 4]


def test_the_twins_run_every_kind_of_cell_and_one_that_reads_one_question_is_shown_no_examples() -> None:
    twins = sweep("sports_twins")
    assert len(twins.cells) == 22
    assert Counter(c.config.model.name for c in trained(list(twins.cells))) == {
        "tiny_idefics": 2,
        "tiny_qwen2_vl": 2,
        "tiny_blip_vqa": 2,
    }
    reasons = [str(d["reason"]) for d in twins.dropped]
    assert len(reasons) == 2
    assert all("and tiny_blip_vqa reads one question" in reason for reason in reasons)
