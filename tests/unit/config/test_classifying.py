"""What of a cell's settings is nothing to a model that classifies: its cells fold together."""

from __future__ import annotations

import dataclasses

from paceline.config.identity import clear_inactive, identity_of
from paceline.config.schema import Config, GenerationSpec, ModelSpec, PromptSpec

LOOKS = ModelSpec(name="r", family="image_classifier", inputs=["image"])
ASKED = ModelSpec(name="v", family="vilt")
WRITES = ModelSpec(name="q", family="qwen2_vl")
SETTINGS = [
    GenerationSpec(name="greedy"),
    GenerationSpec(name="sampled", temperature=0.7, top_p=0.9),
    GenerationSpec(name="beams", beams=4, new_tokens=20, repetition_penalty=1.2, min_new_tokens=2),
]


def evaluated(model: ModelSpec, settings: GenerationSpec, **changes: object) -> Config:
    return clear_inactive(Config(model=model, generation=settings, **changes), "evaluate")  # type: ignore[arg-type]


def test_how_answers_are_generated_is_nothing_to_a_model_that_classifies() -> None:
    for model in (LOOKS, ASKED):
        cells = [identity_of(evaluated(model, s, seed=seed), "evaluate") for s in SETTINGS for seed in (0, 3)]
        assert all(cell == cells[0] for cell in cells)
        assert cells[0]["generation"] == {"name": "none"}
    cells = [identity_of(evaluated(WRITES, settings), "evaluate") for settings in SETTINGS]
    assert all(cell != other for i, cell in enumerate(cells) for other in cells[:i])


def test_how_many_are_answered_together_stays_part_of_a_cell() -> None:
    few = dataclasses.replace(SETTINGS[0], batch=4)
    assert evaluated(LOOKS, few).generation == GenerationSpec(name="none", batch=4)


def test_a_prompt_is_asked_of_a_model_that_reads_text_and_of_no_other() -> None:
    prompt = PromptSpec(name="p", text="Which?")
    assert evaluated(ASKED, SETTINGS[0], prompt=prompt).prompt == prompt
    assert evaluated(LOOKS, SETTINGS[0], prompt=prompt).prompt == PromptSpec(name="no_prompt")


def test_the_seed_of_a_tuning_stays_because_it_draws_the_output_layer() -> None:
    tuned = clear_inactive(Config(model=LOOKS, seed=5), "finetune")
    assert tuned.seed == 5
