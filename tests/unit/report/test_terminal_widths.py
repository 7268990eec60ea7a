"""The terminal's report at any width: figures are whole, what differs comes first, a large sweep is a summary."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from builders import MODELS, PROMPTS, TASK, again, finish, freeze, make_samples, make_sweep, printed
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from paceline import report
from paceline.config.schema import Config, GenerationSpec, MethodSpec, ModelSpec, PromptSpec
from paceline.report.read import report_notes
from paceline.report.read.sweep_results import Group, Report
from paceline.report.text import export, terminal_sections
from paceline.report.text.fitted import ruled
from paceline.store.files import write_json
from paceline.store.root import Store
from paceline.tasks.panels import CellText, TextCase, Texts

WORDS = st.text("abc_()=†.", min_size=1, max_size=40)


def rendered(table: object, width: int) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(table, crop=False)
    return stream.getvalue()


@given(
    st.lists(st.tuples(st.lists(WORDS, min_size=1, max_size=6), st.integers(0, 10**9)), min_size=1, max_size=5),
    st.integers(1, 120),
)
def test_a_figure_is_whole_and_a_text_loses_no_letter_at_any_width(
    rows: list[tuple[list[str], int]], width: int
) -> None:
    table = ruled("", "name")
    table.add_column("n", justify="right", no_wrap=True)
    for words, n in rows:
        table.add_row(Text(" ".join(words)), Text(f"{n:,} [{n}]"))
    text = rendered(table, width)
    assert all(f"{n:,} [{n}]" in text for _, n in rows)
    letters = [
        re.sub(r"[^abc_()=†.]", "", line[: line.rindex(" ")] if " " in line else line) for line in text.splitlines()
    ]
    assert "".join("".join(words) for words, _ in rows) in "".join(letters).replace("name", "", 1)
    console = Console(width=width)
    if table.least_width(console) <= width:
        assert max(map(len, text.splitlines())) <= width


def settings_sweep(root: Path, generations: list[GenerationSpec], prompts: tuple[str, ...] = PROMPTS[:1]) -> Report:
    store, samples = Store(root), make_samples(root, 6)
    ids = []
    for model in MODELS[:1]:
        for prompt in prompts:
            for generation in generations:
                config = Config(
                    model=ModelSpec(name=model, family="qwen2_vl"),
                    task=TASK,
                    method=MethodSpec(name="untuned"),
                    prompt=PromptSpec(name=prompt, text="where?"),
                    generation=generation,
                )
                cell = freeze(store, "evaluate", config)
                finish(store, cell, samples, 9, 0.1)
                ids.append(cell.id)
    content = {"schema": 1, "name": "s", "experiment": "", "cells": ids, "dropped": [], "code": ""}
    write_json(store.sweep("s").sweep_json, content)
    return report.collect(store, store.sweep("s"))


@pytest.mark.parametrize("width", [80, 120, 200])
def test_what_differs_comes_first_and_what_is_shared_is_told_once(tmp_path: Path, width: int) -> None:
    presets = [GenerationSpec(name="g", beams=b, temperature=t) for b, t in ((1, 0.0), (4, 0.7), (4, 0.0), (1, 0.7))]
    text = printed(settings_sweep(tmp_path, presets), width)
    lines = [line.strip() for line in text.splitlines()]
    assert f"all: {MODELS[0]} · {PROMPTS[0]} · untuned" in lines
    assert any(line.startswith("beams=4 T=0.7") for line in lines)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [50, 80, 120])
def test_every_figure_of_a_wide_terminal_is_whole_in_a_narrow_one_too(tmp_path: Path, width: int) -> None:
    presets = [
        GenerationSpec(name="g", new_tokens=n, temperature=t, beams=b)
        for n in (64, 128)
        for t, b in ((0.0, 4), (0.7, 1))
    ]
    found = settings_sweep(tmp_path, presets, PROMPTS)
    text = printed(found, width)
    for group in found.groups:
        for row in group.rows:
            assert row.variant.split()[0] in text
            measured = group.metric(row, "within_750_km")
            assert measured is not None and f"{100 * (measured.value or 0):.1f}" in text


def test_hundreds_of_results_are_a_summary_that_says_how_to_see_all(tmp_path: Path) -> None:
    presets = [GenerationSpec(name="g", new_tokens=n) for n in range(64, 104)]
    found = settings_sweep(tmp_path, presets)
    text = printed(found, 80)
    assert len(text.splitlines()) < 100
    assert "paceline report s --all" in " ".join(text.split())
    everything = printed(found, 80, everything=True)
    assert all(f"new_tokens={n}" in everything for n in range(64, 104))


def test_many_cells_without_a_result_are_counted_by_their_reason(tmp_path: Path) -> None:
    found = make_sweep(tmp_path, MODELS, PROMPTS, ("untuned",), 4)
    (missing,) = [cell for cell in found.missing if cell.state == "missing"]
    many = tuple(replace(missing, id=f"evaluate-m-{i}") for i in range(300))
    text = printed(replace(found, missing=many), 80)
    assert "300 cells: not started" in text and "evaluate-m-0 and others" in text
    assert "paceline status places --all" in " ".join(text.split())


def test_another_text_under_the_name_of_the_prompt_trained_on_is_marked(tmp_path: Path) -> None:
    """As another prompt is: in the terminal, in Markdown and in the notes."""
    found = make_sweep(tmp_path, MODELS[:1], PROMPTS, ("untuned", "full"), 4)
    store = found.store
    tuned = store.cell(found.tunings[0].id).read()
    other = replace(tuned.config, prompt=replace(tuned.config.prompt, text="Name the place."))
    swapped = freeze(store, "finetune", other)
    row = next(row for row in found.rows if row.tuned)
    cell = freeze(store, "evaluate", store.cell(row.id).read().config, swapped.id)
    finish(store, cell, list(found.samples[TASK.name].values()), 9, 0.1)
    record = store.sweep("places").read()
    write_json(store.sweep("places").sweep_json, {**record, "cells": [*record["cells"], cell.id]})
    after = again(found)
    added = next(row for row in after.rows if row.id == cell.id)
    assert added.other_prompt and added.trained_with == f"{PROMPTS[0]} with another text"
    assert f"{PROMPTS[0]} †" in printed(after, 120)
    assert any(
        f"trained on {PROMPTS[0]} with another text, asked {PROMPTS[0]}" in note for note in report_notes.notes(after)
    )
    assert f"{PROMPTS[0]} †" in export.markdown_text(after)


@pytest.mark.parametrize("width", [80, 140])
def test_words_beside_an_answer_are_wrapped_and_numbers_stay_whole(width: int) -> None:
    missed = "; ".join(f"land cover class number {n}" for n in range(6))
    answers = (CellText("a", "cell a", "a forest", ("0.25", missed, "–")),)
    cases = (TextCase("s", "", ("x",), answers),)
    shown = Texts("claims", "Claims", "Claims", ("Jaccard", "missed", "not there"), cases, caption="")
    group = cast(Group, SimpleNamespace(title="task · test"))
    lines = rendered(terminal_sections.texts(group, shown, lambda name: ruled("", name)), width).splitlines()
    assert max(map(len, lines)) <= width
    assert any("0.25" in line for line in lines)
    assert sum(line.count("number") for line in lines) == 6
