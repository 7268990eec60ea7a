"""Members that differ in the seed of their tuning: told as an ensemble, against the best by validation."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import pytest
from builders import TASK, finish, freeze, make_samples, printed

from paceline import report
from paceline.config.schema import Config, GenerationSpec, MethodSpec, ModelSpec, PromptSpec, TrainSpec
from paceline.report.analysis import ensembles
from paceline.report.page import page
from paceline.report.read.sweep_results import Report
from paceline.report.text import export
from paceline.store.files import SCHEMA, write_json
from paceline.store.root import Store

SEEDS = range(5)


def swept(
    root: Path,
    *,
    resample: str = "bootstrap",
    losses: tuple[float | None, ...] = (),
    rates: tuple[float, ...] = (1e-3,),
    rounds: bool = False,
) -> Report:
    """Five seeds of a tuning, or rounds of boosting, the later the worse on the test split."""
    store, ids = Store(root), []
    samples = make_samples(root, 30)
    for rate in rates:
        for seed in SEEDS:
            config = Config(
                model=ModelSpec(name="tiny_qwen2_vl", family="qwen2_vl"),
                task=TASK,
                prompt=PromptSpec(name="geo_bare", text="Where?"),
                method=MethodSpec(name="full", trains="all"),
                train=TrainSpec(resample=resample, learning_rate=rate, boost=seed * rounds),  # type: ignore[arg-type]
                generation=GenerationSpec(name="greedy"),
                seed=seed * (not rounds),
            )
            tuned = freeze(store, "finetune", config)
            folder = store.cell(tuned.id)
            told = {"schema": SCHEMA, "validation_loss": losses[seed] if losses else None}
            write_json(folder.weights / "training.json", told)
            attempt = folder.new_attempt()
            end = {"schema": SCHEMA, "cause": "done", "message": "", "seconds": 60.0, "peaks": {}}
            write_json(attempt.end_json, end)
            folder.publish(attempt, [folder.weights / "training.json"], {})
            cell = freeze(store, "evaluate", config, tuned.id)
            finish(store, cell, samples, 4 + seed, 0.05 * seed)
            ids += [tuned.id, cell.id]
    content = {"schema": SCHEMA, "name": "bags", "overrides": [], "experiment": None, "cells": ids, "dropped": []}
    write_json(store.sweep("bags").sweep_json, {**content, "code": "0123456789abcdef"})
    return report.collect(store, store.sweep("bags"))


def of_seeds(found: Report, split: str = "test_near") -> list[ensembles.Ensemble]:
    return [e for e in ensembles.ensembles(found)["geolocation_earth", split].found if e.over == "seeds"]


@pytest.mark.parametrize(("resample", "called"), [("bootstrap", "bagging of 5 seeds"), ("none", "5 seeds")])
def test_seeds_of_one_tuning_are_one_ensemble_and_told_as_what_they_are(
    tmp_path: Path, resample: str, called: str
) -> None:
    found = swept(tmp_path, resample=resample)
    (one,) = of_seeds(found)
    assert one.name == f"{called}: tiny_qwen2_vl · geo_bare · full"
    assert len(one.members) == 5
    for text in (printed(found, 120), export.markdown_text(found), page.html(found)):
        assert called in " ".join(text.split()).replace("\u200b", "").replace("<wbr>", "")


def test_tunings_that_differ_in_more_than_the_seed_are_ensembles_of_their_own(tmp_path: Path) -> None:
    found = of_seeds(swept(tmp_path, rates=(1e-3, 1e-4)))
    assert sorted(e.name for e in found) == [
        "bagging of 5 seeds: tiny_qwen2_vl · geo_bare · full (lr=0.0001)",
        "bagging of 5 seeds: tiny_qwen2_vl · geo_bare · full (lr=0.001)",
    ]


def test_the_best_member_is_that_of_the_least_validation_loss(tmp_path: Path) -> None:
    found = swept(tmp_path, losses=(0.9, 0.8, 0.2, 0.7, 0.6))
    (one,) = of_seeds(found)
    rows = {row.id: row for row in found.rows}
    for gain in one.gains:
        assert (gain.best_name, gain.chosen_on) == ("seed=2", "validation loss")
        assert rows[gain.best].seed == 2
    assert "The best member was chosen by its tuning's validation loss." in " ".join(printed(found, 120).split())


def test_the_best_member_is_that_of_the_validation_split_where_it_was_answered(tmp_path: Path) -> None:
    found = swept(tmp_path, losses=(0.9, 0.8, 0.2, 0.7, 0.6))
    trained = {"geolocation_earth": (replace(TASK, validation="test_far"), "data")}
    found = dataclasses.replace(found, trained=trained)
    validated = next(g for g in found.groups if g.split == "test_far")
    (near,), (far,) = of_seeds(found), of_seeds(found, "test_far")
    for gain in near.gains:
        assert (gain.best, gain.chosen_on) == (validated.rank(gain.metric)[0].id, "test_far")
    # On the validation split itself, what else there is to choose by is the loss.
    assert {(gain.best_name, gain.chosen_on) for gain in far.gains} == {("seed=2", "validation loss")}


@pytest.mark.parametrize("losses", [(), (0.9, None, 0.2, 0.7, 0.6)])
def test_without_a_validation_of_each_member_the_choice_on_the_test_is_told(
    tmp_path: Path, losses: tuple[float | None, ...]
) -> None:
    found = swept(tmp_path, losses=losses)
    (one,) = of_seeds(found)
    assert {gain.chosen_on for gain in one.gains} == {""}
    assert "gains are understated" in " ".join(printed(found, 120).split())


def test_rounds_of_boosting_are_one_ensemble_whose_voices_are_equal_where_the_kind_weighs_none(tmp_path: Path) -> None:
    found = swept(tmp_path, resample="none", losses=(0.9, 0.8, 0.2, 0.7, 0.6), rounds=True)
    ensemble = ensembles.ensembles(found)["geolocation_earth", "test_near"].found
    (one,) = [e for e in ensemble if e.over == "rounds"]
    assert one.name == "boosting of 5 rounds: tiny_qwen2_vl · geo_bare · full" and len(one.members) == 5
    assert {(gain.best_name, gain.chosen_on) for gain in one.gains} == {("boost=2", "validation loss")}
    text = " ".join(printed(found, 120).split())
    assert "Rounds of boosting have equal voices, without the weights of AdaBoost." in text
    assert not of_seeds(found)
