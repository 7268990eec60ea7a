"""Rounds of boosting in a sweep: which cells they are, in which order, and what is refused."""

from __future__ import annotations

from pathlib import Path

from paceline.launch import arrays as launching
from paceline.launch import elements as grouping
from paceline.store.root import Store
from paceline.sweep.cell_labels import variants
from paceline.sweep.cells import Sweep, expand, record, recorded
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

BASE = ("model=tiny_qwen2_vl", "task=sport_classification", "prompt=choice_bare", "method=full")


def expanded(*words: str) -> Sweep:
    return expand(compose(words, conf_folders(None)), lambda task: "d" * 64)


def told(sweep: Sweep) -> list[tuple[str, int, str]]:
    splits = [c.config.task.evaluate[0] if c.cell.kind == "evaluate" else "" for c in sweep.cells]
    return [(c.cell.kind, c.config.train.boost, s) for c, s in zip(sweep.cells, splits, strict=True)]


def test_a_tuning_without_boosting_is_the_cell_that_it_was_and_the_round_before_the_first() -> None:
    plain, boosted = expanded(*BASE), expanded(*BASE, "train.boost=1")
    assert plain.cells[0].cell == boosted.cells[0].cell
    assert "boost" not in plain.cells[0].cell.identity.get("train", {}) and plain.cells[0].cell.needs == ()


def test_each_round_stands_behind_the_answers_to_the_training_samples_of_those_before() -> None:
    sweep = expanded(*BASE, "train.boost=2")
    assert not sweep.problems and sweep.points == 1
    test = sweep.cells[-1].config.task.evaluate[0]
    assert told(sweep) == [
        ("finetune", 0, ""),
        ("evaluate", 0, "train"),
        ("finetune", 1, ""),
        ("evaluate", 1, "train"),
        ("finetune", 2, ""),
        ("evaluate", 2, "train"),  # for its voice among the rounds alone
        ("evaluate", 2, test),
    ]
    cells = [c.cell for c in sweep.cells]
    assert cells[2].needs == cells[2].boosted_on == (cells[1].id,)
    assert cells[4].needs == (cells[1].id, cells[3].id)
    assert [c.identity.get("prompt", {}).get("scored", True) for c in cells if c.kind == "evaluate"] == [
        *(False, False, False),
        True,
    ]


def test_rounds_are_shared_by_the_points_of_an_axis() -> None:
    sweep = expanded(*BASE, "train.boost=0,1,2", "seed=0,1")
    assert sum(c.cell.kind == "finetune" for c in sweep.cells) == 6
    assert sum(c.cell.kind == "evaluate" for c in sweep.cells) == 12
    labels = variants(c.cell for c in sweep.cells)
    assert not any("boosted_on" in label or "id=" in label for label in labels.values())
    assert sum("boost=1" in labels[c.id] for c in sweep.cells if c.cell.kind == "finetune") == 2


def test_other_settings_of_generation_weigh_by_other_errors() -> None:
    sweep = expanded(*BASE, "train.boost=1", "generation.temperature=0,0.7")
    assert sum(c.cell.kind == "finetune" for c in sweep.cells) == 3


def test_on_slurm_a_round_waits_for_the_answers_of_its_own_seed_alone() -> None:
    sweep = expanded(*BASE, "train.boost=0,1,2", "seed=0,1", "cluster=slurm")
    elements = grouping.group(sweep.cells)
    index_lists = launching.chunks(elements, {}, None)
    assert sorted(i for indices in index_lists for i in indices) == list(range(len(elements)))
    jobs: dict[str, str] = {}
    for number, indices in enumerate(index_lists, 100):
        waits = launching.dependency(indices, elements, jobs)
        assert all(need in jobs for i in indices for need in elements[i].needs)
        assert waits.startswith("aftercorr:") if any(elements[i].needs for i in indices) else not waits
        for place, index in enumerate(indices):
            jobs |= dict.fromkeys(elements[index].cells, f"{number}_{place}")


def test_a_recorded_sweep_has_its_rounds_again(tmp_path: Path) -> None:
    sweep = expanded(*BASE, "train.boost=0,1", "name=s")
    store = Store(tmp_path)
    again = recorded(record(sweep, store, "c0de", extend=False), store)
    assert [c.cell for c in again.cells] == [c.cell for c in sweep.cells]


def test_an_untuned_model_has_no_rounds() -> None:
    sweep = expanded(*BASE[:3], "method=untuned", "train.boost=0,1")
    assert len(sweep.cells) == 1 and sweep.folded == 1


def test_samples_are_not_drawn_by_weights_and_all_alike() -> None:
    sweep = expanded(*BASE, "train.boost=1", "train.resample=bootstrap")
    assert any("leave one of the two out" in problem for problem in sweep.problems)


def test_a_kind_without_right_and_wrong_answers_is_refused() -> None:
    sweep = expanded("model=tiny_qwen2_vl", "task=captioning", "prompt=caption_short", "method=full", "train.boost=1")
    assert any("answers of kind 'captioning' are not right or wrong" in problem for problem in sweep.problems)


def test_a_kind_that_weighs_no_voices_answers_no_training_samples_for_the_last_round() -> None:
    sweep = expanded("model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare", "method=full", "train.boost=1")
    assert [kind for kind, _, _ in told(sweep)] == ["finetune", "evaluate", "finetune", "evaluate"]


def test_the_training_samples_of_a_transfer_are_those_of_the_task_tuned_on() -> None:
    sweep = expanded(
        *("model=tiny_qwen2_vl", "task=geolocation_earth", "train.task=geolocation_yfcc", "prompt=geo_bare"),
        *("method=full", "train.boost=1"),
    )
    assert [c.config.task.name for c in sweep.cells] == ["geolocation_yfcc"] * 3 + ["geolocation_earth"]
    assert not sweep.problems
