"""Labels tell cells apart by the fewest settings: each is true, no two are the same, and a preset's name hides none."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from dataclasses import replace
from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from recorded_sweeps import cell_of

from paceline.config.schema import GenerationSpec, MethodSpec, ModelSpec, PictureSpec, PromptSpec, TaskSpec, TrainSpec
from paceline.store.cell_folder import Cell
from paceline.store.files import canonical
from paceline.sweep.cell_labels import variants

GREEDY = GenerationSpec(name="greedy")
SAMPLED = GenerationSpec(name="sampled", temperature=0.7)
LORA = MethodSpec(name="lora", trains="adapter")


def labels(*cells: Cell) -> list[str]:
    return list(variants(cells).values())


def test_settings_that_differ_under_one_preset_are_told() -> None:
    presets = (GREEDY, replace(GREEDY, beams=4), SAMPLED, replace(SAMPLED, top_p=0.9))
    found = labels(*(cell_of(generation=g) for g in presets))
    assert found == ["beams=1 T=0", "beams=4", "T=0.7 top_p=1", "T=0.7 top_p=0.9"]


def test_crossed_settings_are_all_told() -> None:
    presets = [replace(GREEDY, beams=b, temperature=t) for b in (1, 4) for t in (0.0, 0.7)]
    expected = ["beams=1 T=0", "beams=1 T=0.7", "beams=4 T=0", "beams=4 T=0.7"]
    assert labels(*(cell_of(generation=g) for g in presets)) == expected


def test_crossed_settings_of_the_data_are_told_and_not_its_digest() -> None:
    cells = []
    for n, (equalise, illumination) in enumerate(product(("none", "channels"), ("none", "cosine"))):
        cell = cell_of(task=TaskSpec(name="t", pictures=PictureSpec(equalise=equalise, illumination=illumination)))
        cells.append(replace(cell, identity={**cell.identity, "data": f"{n}" * 64}))
    assert labels(*cells) == [
        "equalise=none illumination=none",
        "equalise=none illumination=cosine",
        "equalise=channels illumination=none",
        "equalise=channels illumination=cosine",
    ]


def test_a_presets_name_stands_for_several_settings_that_come_with_it() -> None:
    trains = (TrainSpec(name="short"), TrainSpec(name="long", epochs=5.0, learning_rate=1e-4, batch=64))
    assert labels(*(cell_of("finetune", method=LORA, train=t) for t in trains)) == ["train=short", "train=long"]


def test_a_setting_has_the_same_label_for_every_model_and_prompt() -> None:
    models = [ModelSpec(name=n, family="qwen2_vl") for n in ("a", "b")]
    cells = [cell_of(model=models[0], generation=g) for g in (GREEDY, SAMPLED)]
    assert labels(*cells, cell_of(model=models[1], generation=GREEDY)) == ["T=0", "T=0.7", "T=0"]


def test_a_name_that_two_settings_share_keeps_its_group() -> None:
    assert labels(*(cell_of(generation=replace(GREEDY, batch=b)) for b in (8, 16))) == [
        "generation.batch=8",
        "generation.batch=16",
    ]


def test_another_text_under_the_same_prompt_name_is_told() -> None:
    """Of the asked prompt, and of the one that the weights were trained on."""
    texts = [PromptSpec(name="p", text=t) for t in ("Where is this?", "Where was this picture taken?")]
    found = labels(*(cell_of(prompt=t) for t in texts))
    assert all(re.fullmatch(r"text=[0-9a-f]{6}", label) for label in found) and len(set(found)) == 2
    tunings = [cell_of("finetune", method=LORA, prompt=t) for t in texts]
    asked = [cell_of(tuned=t.id, method=LORA, prompt=texts[0]) for t in tunings]
    told = variants(asked, {t.id: t for t in tunings})
    assert all(re.fullmatch(r"trained_on.text=[0-9a-f]{6}", label) for label in told.values())
    assert len(set(told.values())) == 2


def test_cells_are_told_apart_even_where_no_setting_is_known_to_differ() -> None:
    asked = [cell_of(tuned=f"finetune-gone-{i}", method=LORA) for i in range(2)]
    found = labels(*asked)
    assert len(set(found)) == 2 and all(label.startswith("id=") for label in found)


@st.composite
def sweeps(draw: st.DrawFn) -> list[Cell]:
    names = st.sampled_from(["greedy", "sampled"])
    presets = st.builds(
        GenerationSpec,
        name=names,
        beams=st.sampled_from([1, 4]),
        temperature=st.sampled_from([0.0, 0.7, 1.0]),
        top_p=st.sampled_from([0.9, 1.0]),
        new_tokens=st.sampled_from([64, 128]),
    )
    models = st.sampled_from([ModelSpec(name=n, family="qwen2_vl", processor=p) for n in "ab" for p in ({}, {"x": 1})])
    prompts = st.builds(
        PromptSpec, name=st.sampled_from("pq"), text=st.sampled_from(["x", "y\nz", "[b]"]), version=st.integers(1, 2)
    )
    seeds = st.integers(0, 3)
    cells = draw(
        st.lists(
            st.builds(lambda **groups: cell_of(**groups), generation=presets, model=models, prompt=prompts, seed=seeds)
        )
    )
    return list({c.id: c for c in cells}.values())


def value_of(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


@given(sweeps(), st.randoms())
def test_labels_are_true_unique_and_the_same_in_any_order(cells: list[Cell], rng: random.Random) -> None:
    found = variants(cells)
    named = defaultdict(list)
    where = {"beams": 1, "T": 0.0, "top_p": 1.0, "new_tokens": 128}
    keys = {"T": "temperature"}
    for cell in cells:
        names = tuple(cell.identity[g]["name"] for g in ("model", "prompt", "method"))
        named[names].append(found[cell.id])
        assert "\n" not in found[cell.id]
        for word in found[cell.id].split():
            key, _, text = word.partition("=")
            if key in where:
                assert value_of(text) == cell.identity["generation"].get(keys.get(key, key), where[key])
            elif key == "seed":
                assert value_of(text) == cell.identity.get("seed", 0)
            elif key == "generation":
                assert text == cell.identity["generation"]["name"]
    assert all(len(set(one)) == len(one) for one in named.values())
    shuffled = list(cells)
    rng.shuffle(shuffled)
    assert variants(shuffled) == found


@given(sweeps())
def test_the_same_settings_have_one_label_whatever_the_names(cells: list[Cell]) -> None:
    """Tables group by labels over models and prompts."""

    def settings(cell: Cell) -> str:
        return canonical({g: {k: v for k, v in plain.items() if k != "name"} for g, plain in nested(cell)})

    def nested(cell: Cell) -> list[tuple[str, Any]]:
        return [(g, v if isinstance(v, dict) and g != "generation" else {"value": v}) for g, v in cell.identity.items()]

    found = variants(cells)
    by_settings = defaultdict(set)
    for cell in cells:
        by_settings[settings(cell)].add(found[cell.id])
    assert all(len(told) == 1 for told in by_settings.values())
