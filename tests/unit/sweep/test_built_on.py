"""Prompts that build on another prompt's answers: which cells they are, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline.config.schema import Config, PromptSpec
from paceline.errors import UserError
from paceline.launch import arrays as launching
from paceline.launch import elements as grouping
from paceline.launch.planned import choose
from paceline.store.root import Store
from paceline.sweep.cell_labels import variants
from paceline.sweep.cells import Sweep, expand, record, recorded
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders
from paceline.sweep.sample_checks import SampleChecks
from paceline.sweep.status import CellState

BASE = ("model=tiny_qwen2_vl", "task=geolocation_earth", "method=untuned")


def expanded(*words: str, conf: Path | None = None) -> Sweep:
    return expand(compose(words, conf_folders(str(conf) if conf else None)), lambda task: "d" * 64)


def names(sweep: Sweep) -> list[str]:
    return [c.cell.identity["prompt"]["name"] for c in sweep.cells]


def prompt_file(folder: Path, name: str, text: str) -> None:
    (folder / "prompt").mkdir(parents=True, exist_ok=True)
    (folder / "prompt" / f"{name}.yaml").write_text(text)


def test_the_answers_that_a_prompt_builds_on_are_a_cell_of_their_own_before_it() -> None:
    sweep = expanded(*BASE, "prompt=place_facts")
    first, second = sweep.cells
    assert names(sweep) == ["place_details", "place_facts"]
    assert first.cell.needs == () and second.cell.needs == (first.id,)
    assert second.cell.identity["built_on"] == first.id == second.cell.built_on
    assert sweep.folded == 0


def test_the_needed_cell_is_the_one_that_asking_its_prompt_alone_gives() -> None:
    alone = expanded(*BASE, "prompt=place_details").cells[0].cell
    together = expanded(*BASE, "prompt=place_facts,place_details")
    assert [c.cell for c in together.cells if c.id == alone.id] == [alone]
    assert len(together.cells) == 2 and together.folded == 0


def test_a_prompt_is_left_out_where_the_one_that_it_builds_on_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_long(checks: SampleChecks, config: Config, prompt: PromptSpec) -> str:
        return f"{prompt.name} is too long" if prompt.name == "place_details" else ""

    monkeypatch.setattr(SampleChecks, "too_long", too_long)
    composition = compose([*BASE, "prompt=place_facts,geo_bare"], conf_folders(None))
    sweep = expand(composition, lambda task: "d" * 64, root=tmp_path)
    assert names(sweep) == ["geo_bare"]
    assert [drop["reason"] for drop in sweep.dropped] == ["place_details is too long"]


def test_other_settings_of_generation_need_other_earlier_answers() -> None:
    sweep = expanded(*BASE, "prompt=place_facts", "generation.temperature=0,0.7", "seed=0,1")
    awaited = {c.cell.built_on for c in sweep.cells if c.cell.built_on}
    assert len(awaited) == 3  # greedy answers don't depend on the seed
    labels = variants(c.cell for c in sweep.cells)
    assert not any("built_on" in label for label in labels.values())
    assert len({(n, labels[c.id]) for n, c in zip(names(sweep), sweep.cells, strict=True)}) == len(sweep.cells)


def test_a_tuned_model_is_asked_first_with_its_own_weights() -> None:
    sweep = expanded(*BASE[:2], "method=full", "prompt=place_facts")
    tuned, first, second = (c.cell for c in sweep.cells)
    assert first.needs == (tuned.id,) and second.needs == (tuned.id, first.id)
    assert (second.tuned, second.built_on) == (tuned.id, first.id)


def test_earlier_answers_are_generated_where_choices_are_scored(tmp_path: Path) -> None:
    text = "text: 'It was said: {earlier_answer} {question} {choices}'\nbuilds_on: {prompt: vqa_short}"
    prompt_file(tmp_path, "after", text)
    words = ("model=tiny_qwen2_vl", "task=coco_qa_choices", "method=untuned", "generation=likelihood", "prompt=after")
    first, second = expanded(*words, conf=tmp_path).cells
    assert second.config.generation.answer == "likelihood"
    assert first.config.generation.answer == "generate"


def test_a_model_that_takes_no_question_is_asked_neither() -> None:
    sweep = expanded("model=tiny_git", "task=captioning", "method=untuned", "prompt=caption_short")
    assert len(sweep.cells) == 1


def test_prompts_may_build_on_prompts_that_build_on_others(tmp_path: Path) -> None:
    prompt_file(tmp_path, "b", "text: 'b {earlier_answer}'\nbuilds_on: {prompt: place_details}\nscored: false")
    prompt_file(tmp_path, "c", "text: 'c {earlier_answer}'\nbuilds_on: {prompt: b}")
    sweep = expanded(*BASE, "prompt=c", conf=tmp_path)
    assert names(sweep) == ["place_details", "b", "c"]
    assert not sweep.problems


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("text: 'x {earlier_answer}'\nbuilds_on: {prompt: nowhere}", "nowhere"),
        ("text: 'x {earlier_answer}'\nbuilds_on: {prompt: own}", "no answer could be the first"),
        ("text: 'x'\nbuilds_on: {prompt: geo_bare}", "names neither"),
        ("text: 'x {facts}'\nbuilds_on: {prompt: geo_bare}", "builds_on.facts is 0"),
        ("text: 'x {earlier_answer}'\nbuilds_on: {prompt: geo_bare, facts: 2}", "does not name {facts}"),
        ("text: 'x'\nbuilds_on: {facts: 2}", "give builds_on.prompt too"),
        ("text: 'x {facts}'", "builds on no prompt"),
        ("text: 'x {earlier_answer}'\nshots: {count: 1}\nbuilds_on: {prompt: geo_bare}", "leave one of the two out"),
    ],
)
def test_what_a_prompt_says_of_earlier_answers_and_can_not_hold_is_refused(
    tmp_path: Path, text: str, told: str
) -> None:
    prompt_file(tmp_path, "own", text)
    sweep = expanded(*BASE, "prompt=own", conf=tmp_path)
    assert any(told in problem for problem in sweep.problems), sweep.problems


def test_facts_of_a_kind_that_has_none_are_refused() -> None:
    sweep = expanded("model=tiny_qwen2_vl", "task=captioning", "method=untuned", "prompt=place_facts")
    assert any("kind 'captioning' of task captioning has none" in p for p in sweep.problems)


def test_nothing_is_tuned_on_a_prompt_that_builds_on_answers() -> None:
    words = (*BASE[:2], "method=full", "prompt=place_facts")
    with pytest.raises(UserError, match="nothing is tuned on such"):
        expanded(*words, "train.prompt=place_facts")
    with pytest.raises(UserError, match="nothing is tuned on such"):
        expanded(*words, "train.prompt=same")


def test_a_recorded_sweep_has_them_again(tmp_path: Path) -> None:
    sweep = expanded(*BASE, "prompt=place_facts", "name=s")
    store = Store(tmp_path)
    again = recorded(record(sweep, store, "c0de", extend=False), store)
    assert [c.cell for c in again.cells] == [c.cell for c in sweep.cells]
    assert again.cells[1].config.prompt == sweep.cells[1].config.prompt


def test_a_failed_needed_cell_is_named_as_the_reason_why_another_is_not_run() -> None:
    sweep = expanded(*BASE, "prompt=place_facts")
    first, second = (c.id for c in sweep.cells)
    states = {first: CellState(first, "failed", "bug"), second: CellState(second, "waiting")}
    chosen, left = choose(sweep.cells, states)
    assert not chosen and left[second] == f"needs {first}, which failed"


def test_on_slurm_each_cell_waits_for_the_answers_that_it_builds_on_and_for_no_others() -> None:
    sweep = expanded(
        "model=tiny_qwen2_vl,tiny_pixtral",
        "task=geolocation_earth",
        "method=untuned,full",
        "prompt=geo_bare,place_facts",
        "cluster=slurm",
    )
    elements = grouping.group(sweep.cells)
    of_cell = {cell: element for element in elements for cell in element.cells}
    for planned in sweep.cells:
        if planned.cell.built_on:
            assert len(of_cell[planned.cell.built_on].cells) == 1  # what it waits for waits for nothing else
    index_lists = launching.chunks(elements, {}, None)
    assert sorted(i for indices in index_lists for i in indices) == list(range(len(elements)))
    jobs: dict[str, str] = {}
    for number, indices in enumerate(index_lists, 100):
        waits = launching.dependency(indices, elements, jobs)
        needs = [elements[i].needs for i in indices]
        assert all(need in jobs for some in needs for need in some)
        assert bool(waits) == any(needs)
        if any(of_cell[n].kind == "evaluate" for some in needs for n in some):
            assert waits.startswith("aftercorr:")
        for place, index in enumerate(indices):
            jobs |= dict.fromkeys(elements[index].cells, f"{number}_{place}")


def test_examples_of_the_prompt_that_is_built_on_are_those_that_it_shows_alone(tmp_path: Path) -> None:
    prompt_file(tmp_path, "shown", "defaults: [place_details]\nshots: {count: 2, answer: 'a hill'}")
    prompt_file(tmp_path, "after", "text: 'x {earlier_answer}'\nbuilds_on: {prompt: shown}")
    words = (*BASE[1:], "model=tiny_idefics")
    alone, together = (expanded(*words, f"prompt={p}", conf=tmp_path) for p in ("shown", "after"))
    assert together.cells[0].cell == alone.cells[0].cell
    one_picture = expanded(
        "task=geolocation_earth", "method=untuned", "model=tiny_idefics,tiny_blip_vqa", "prompt=after", conf=tmp_path
    )
    assert [d["point"]["model"] for d in one_picture.dropped] == ["tiny_blip_vqa"]
    assert "shows 2 examples before the question" in str(one_picture.dropped[0]["reason"])
