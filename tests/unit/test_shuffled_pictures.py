"""Whether a model looks at its pictures is measured against pictures that are truly others', and by honest tests."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from few_shot import CAPTIONING
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.config.schema import Config
from paceline.data import samples
from paceline.errors import UserError
from paceline.store import files

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "shuffled_pictures.py"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


shuffled = _script()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 19), min_size=40, max_size=80), st.integers(0, 2**32 - 1))
def test_others_pictures_are_never_ones_own_nor_of_the_same_reference_nor_shown_twice(
    numbers: list[int], seed: int
) -> None:
    references = [f"a thing {n}" for n in numbers]
    if max(references.count(r) for r in references) > len(references) // 4:
        return  # may be refused, as the next test has it
    rows = shuffled.other_pictures(references, seed)
    n = len(references)
    assert rows.shape == (9, n)
    for row in rows:
        assert sorted(row) == list(range(n)), "every picture is shown as often as every other"
    for sample in range(n):
        shown = [int(row[sample]) for row in rows]
        assert len(set(shown)) == len(shown) and sample not in shown
        assert references[sample] not in [references[other] for other in shown]


def test_samples_too_few_or_too_alike_to_be_shuffled_are_refused() -> None:
    with pytest.raises(UserError, match="5 samples are too few, or too alike"):
        shuffled.other_pictures(list("abcde"), 0)
    with pytest.raises(UserError, match="40 samples are too few, or too alike"):
        shuffled.other_pictures(["a frog"] * 30 + [f"a bird {n}" for n in range(10)], 0)


def _nats(gain: float, samples: int = 120, seed: int = 1) -> np.ndarray:
    """Of a model that finds every reference likelier by that much beside its own picture, and noise."""
    rng = np.random.default_rng(seed)
    found = 12 + rng.normal(0, 3, samples) + rng.normal(0, 1, (10, samples))
    found[0] -= gain
    return found


def test_a_model_that_looks_is_told_from_one_that_does_not() -> None:
    references = [f"a thing {n}" for n in range(120)]
    looks = shuffled.compared(_nats(1.0), references, 0)
    assert looks.p_flips < 1e-4 and looks.p_wilcoxon < 1e-4 and looks.p_first < 1e-4
    assert looks.low < looks.gain < looks.high and looks.gain == pytest.approx(looks.shuffled - looks.own)
    blind = shuffled.compared(_nats(0.0), references, 0)
    assert min(blind.p_flips, blind.p_wilcoxon, blind.p_first) > 0.05
    assert blind.low < 0 < blind.high and blind.first / blind.samples < 0.2


def test_of_blind_models_about_one_in_twenty_is_below_five_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shuffled, "FLIPS", 999)
    references = [f"a thing {n}" for n in range(60)]
    below = [shuffled.compared(_nats(0.0, 60, seed), references, seed).p_flips < 0.05 for seed in range(200)]
    assert 2 <= sum(below) <= 20  # 10 are expected; so far off, fewer than one time in five hundred


def test_samples_with_one_reference_are_one_piece_of_evidence() -> None:
    found = np.repeat(_nats(0.6, 12), 10, axis=1)
    alone = shuffled.compared(found, [f"a thing {n}" for n in range(120)], 0)
    tied = shuffled.compared(found, [f"a thing {n // 10}" for n in range(120)], 0)
    assert (tied.references, alone.references) == (12, 120)
    assert tied.gain == pytest.approx(alone.gain)
    assert tied.p_flips > alone.p_flips and tied.p_wilcoxon > alone.p_wilcoxon
    assert tied.high - tied.low > alone.high - alone.low


def test_a_tie_is_not_the_first() -> None:
    found = np.ones((10, 50))
    found[0, ::2] = 0.5
    assert shuffled.compared(found, [str(n) for n in range(50)], 0).first == 25


def test_references_of_training_are_those_of_the_data_that_the_cell_was_made_for(tmp_path: Path) -> None:
    task = dataclasses.replace(CAPTIONING, target="{reference}")
    first = samples.first_folder(tmp_path, task)
    for folder, seen in ((first, "old"), (first.with_name("anew"), "new")):
        rows = [
            {"id": f"{split}-0", "split": split, "references": [f"The {seen} {split}."], "image": "x", "sha256": seen}
            for split in ("train", "test")
        ]
        files.write_jsonl(folder / "samples.jsonl", rows)
        files.write_json(folder / "manifest.json", {"digest": seen, "splits": {"train": 1, "test": 1}})
    files.write_json(samples.current_json(first), {"folder": "anew"})
    _, seen_then, _ = shuffled.held_out(Config(task=task), tmp_path, "old", None)
    assert seen_then == {"the old train"}


def test_references_are_compared_without_capitals_and_the_last_stop() -> None:
    assert shuffled._plain("A  Frog.") == shuffled._plain("a frog") != shuffled._plain("a frog, green")
