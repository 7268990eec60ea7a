"""The study of questions about papers is planned whole in one command, before its documents are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from paceline.cli.verbs.prepare import tasks
from paceline.sweep.cells import Sweep, expand
from paceline.sweep.compose import Composition, compose
from paceline.sweep.config_files import conf_folders

TOGETHER = "_together"


@pytest.fixture(autouse=True)
def a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERS", "papers-of-mine")
    monkeypatch.setenv("SMOLLM2", "weights-of-mine")


def composed(experiment: str, *words: str) -> Composition:
    return compose([f"experiment={experiment}", *words], conf_folders(None))


def sweep(experiment: str) -> Sweep:
    return expand(composed(experiment), lambda task: "d" * 64)


def test_the_study_is_72_cells_with_the_settings_that_it_tells() -> None:
    found = sweep("paper_questions")
    configs = [planned.cell.config for planned in found.cells]
    assert len(configs) == 72 and not found.dropped
    assert {c.model.weights for c in configs} == {
        "meta-llama/Llama-3.2-3B-Instruct",
        "TinyLlama/TinyLlama-1.1B-Chat-v0.1",
        "TinyLlama/TinyLlama-1.1B-step-50K-105b",
    }
    asked = Counter((c.model.name, c.task.options["chunks"], c.task.options["top"]) for c in configs)
    assert set(asked.values()) == {6} and len(asked) == 12
    assert {(chunks, top) for _, chunks, top in asked} == {
        (chunks, top) for chunks in ("1000/200", "300/100") for top in (1, 3)
    }
    phrasings = {c.prompt.name for c in configs}
    assert phrasings == {f"document_{one}{mode}" for one in ("role", "plain", "topic") for mode in ("", TOGETHER)}
    assert {(c.method.trains, c.generation.temperature) for c in configs} == {("nothing", 0.0)}
    assert {(c.generation.new_tokens, c.prompt.name.endswith(TOGETHER)) for c in configs} == {(48, False), (528, True)}


def test_tinyllama_is_shown_as_many_chunks_at_once_as_it_has_room_for_and_no_fewer_one_by_one() -> None:
    limited = {
        (c.model.name.partition("_")[0], c.prompt.name.endswith(TOGETHER), c.task.options.get("together"))
        for c in (planned.cell.config for planned in sweep("paper_questions").cells)
    }
    assert limited == {
        ("llama32", False, None),
        ("llama32", True, None),
        ("tinyllama", False, None),
        ("tinyllama", True, 3000),
    }


def test_prepare_makes_the_data_of_every_cell_that_a_rule_gives_other_options_too() -> None:
    made = [task.options for task in tasks(composed("paper_questions"))]
    assert len(made) == 8
    assert Counter(options.get("together") for options in made) == {None: 4, 3000: 4}
    asked = {str(planned.cell.config.task.options) for planned in sweep("paper_questions").cells}
    assert asked == {str(options) for options in made}


def test_the_twins_are_asked_all_and_the_small_model_of_real_weights_on_short_chunks() -> None:
    found = sweep("paper_questions_twins")
    asked = Counter((p.cell.config.model.name, p.cell.config.task.options["chunks"]) for p in found.cells)
    assert asked == {
        ("smollm2_135m_instruct", "300/100"): 12,
        **{(twin, chunks): 12 for twin in ("tiny_causal_lm", "tiny_qwen2_vl") for chunks in ("1000/200", "300/100")},
    }


def test_its_published_figures_contradict_nothing(command_line: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = command_line("check", "published/paper_questions.yaml")
    assert code == 0 and "no findings" in out
