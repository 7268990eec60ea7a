"""What `paceline compare` promises: cells find their partner, and what changed is told, no more and no less."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import MODELS, PROMPTS, TASK, check_golden, finish, freeze, make_samples

from paceline import report, stats
from paceline.config.schema import Config, GenerationSpec, LoraSpec, MethodSpec, ModelSpec, PromptSpec, TrainSpec
from paceline.data import samples as prepared
from paceline.report.read.sweep_results import Report
from paceline.report.two_sweeps import compare, comparison_tables
from paceline.report.two_sweeps.compare import Comparison
from paceline.store.cell_folder import Cell
from paceline.store.files import SCHEMA, digest, read_json, write_json
from paceline.store.root import Store
from paceline.tasks.metrics import per_sample

Paceline = Callable[..., tuple[int, str, str]]
LORA = MethodSpec(name="lora", trains="adapter")


def config(model: str = MODELS[0], prompt: str = PROMPTS[0], method: MethodSpec | None = None, **more: Any) -> Config:
    given = {"generation": GenerationSpec(name="greedy"), "task": TASK, **more}
    asked = PromptSpec(name=prompt, text=f"Where was this taken? ({prompt})")
    return Config(
        model=ModelSpec(name=model, family="qwen2_vl"),
        prompt=asked,
        method=method or MethodSpec(name="untuned"),
        **given,
    )


def tune(store: Store, tuned: Config) -> Cell:
    """A finetune cell that is done."""
    cell = freeze(store, "finetune", tuned)
    folder = store.cell(cell.id)
    write_json(folder.weights / "adapter_config.json", {})
    attempt = folder.new_attempt()
    write_json(attempt.end_json, {"schema": SCHEMA, "cause": "done", "message": "", "seconds": 60.0, "peaks": {}})
    folder.publish(attempt, [folder.weights / "adapter_config.json"], {})
    return cell


def record(store: Store, name: str, cells: list[Cell], code: str = "") -> Report:
    content = {"schema": SCHEMA, "name": name, "experiment": "", "overrides": [], "dropped": [], "code": code}
    write_json(store.sweep(name).sweep_json, {**content, "cells": [c.id for c in cells]})
    return report.collect(store, store.sweep(name))


def snapshot(store: Store, name: str, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        (store.code(name) / path).parent.mkdir(parents=True, exist_ok=True)
        (store.code(name) / path).write_bytes(content)
    write_json(store.code(name) / "SNAPSHOT.json", {"schema": SCHEMA, "digest": name})


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """`first` and `second`: a higher rank and learning rate, other code; one cell is in both, one in each alone."""
    store = Store(tmp_path_factory.mktemp("root"))
    samples = make_samples(store.root, 20)
    cells: dict[str, list[Cell]] = {"first": [], "second": []}
    untuned = freeze(store, "evaluate", config())
    finish(store, untuned, samples, 40, 0.3)
    for name, rank, rate, spread in (("first", 8, 1e-5, 40), ("second", 16, 1e-4, 6)):
        trained = replace(LORA, lora=LoraSpec(r=rank))
        tuned = tune(store, config(method=trained, train=TrainSpec(learning_rate=rate)))
        cells[name] += [untuned, tuned]
        for prompt in PROMPTS:
            asked = freeze(store, "evaluate", config(prompt=prompt, method=LORA), tuned.id)
            cells[name].append(asked)
            finish(store, asked, samples, spread, 0.1)
        # Of these the first sweep has no result.
        late = freeze(store, "evaluate", config(MODELS[1], generation=GenerationSpec(name=name, new_tokens=9 + rank)))
        cells[name].append(late)
        if name == "second":
            finish(store, late, samples, 30, 0.2)
    cells["first"].append(freeze(store, "evaluate", config(prompt="geo_old")))
    cells["second"].append(freeze(store, "evaluate", config(prompt="geo_new")))
    shared = {"src/same.py": b"one\n"}
    snapshot(store, "c0de1", {**shared, "src/parse.py": b"a\nb\nc\n", "src/old.py": b"x\n", "conf/image": b"\xff\x00"})
    snapshot(
        store, "c0de2", {**shared, "src/parse.py": b"a\nB\nc\nd\n", "src/new.py": b"y\nz\n", "conf/image": b"\xff"}
    )
    return compare.side_by_side(
        *(record(store, n, cells[n], code) for n, code in (("first", "c0de1"), ("second", "c0de2")))
    )


def shown(found: Comparison, width: int) -> str:
    from rich.console import Console

    stream = io.StringIO()
    comparison_tables.show(found, Console(file=stream, width=width, color_system=None, legacy_windows=False))
    return "".join(line.rstrip() + "\n" for line in stream.getvalue().splitlines())


def test_cells_are_matched_by_their_names_and_the_others_are_named(two: Comparison) -> None:
    named = [(p.before.model, p.before.prompt, p.before.method) for p in two.pairs]
    assert named == [(p.after.model, p.after.prompt, p.after.method) for p in two.pairs]
    assert len(two.pairs) == 4
    assert [row.prompt for row in two.only_before] == ["geo_old"]
    assert [row.prompt for row in two.only_after] == ["geo_new"]
    assert [p.same for p in two.pairs] == [True, False, False, False]
    assert [p.after.model for p in two.lacking] == [MODELS[1]]


def test_settings_that_differ_are_told_by_dotted_key_with_defaults_named(two: Comparison) -> None:
    told = {key: [(s.before, s.after, n) for s, n in found] for key, found in two.settings.items()}
    assert told == {
        "method.lora.r": [(8, 16, 2)],
        "train.learning_rate": [(1e-5, 1e-4, 2)],
        "generation.name": [("first", "second", 1)],
        "generation.new_tokens": [(17, 25, 1)],
    }
    flags = {s.key: (s.before_default, s.after_default) for p in two.pairs for s in p.settings}
    default = LoraSpec().r
    assert flags["method.lora.r"] == (default == 8, default == 16)


def test_code_is_compared_file_by_file(two: Comparison) -> None:
    assert [(f.path, f.kind, f.added, f.removed) for f in two.code.files or ()] == [
        ("conf/image", "changed", None, None),
        ("src/new.py", "new", 2, 0),
        ("src/old.py", "gone", 0, 1),
        ("src/parse.py", "changed", 2, 1),
    ]


def test_a_snapshot_that_is_gone_is_said_and_not_guessed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    reports = [
        record(store, name, [freeze(store, "evaluate", config())], code) for name, code in (("a", "1"), ("b", "2"))
    ]
    found = compare.side_by_side(*reports)
    assert found.code.files is None
    assert "not under this root any more" in " ".join(shown(found, 80).split())


def test_the_same_samples_are_compared_sample_by_sample_with_holm_over_all(two: Comparison) -> None:
    assert two.effects and all(e.paired for e in two.effects)
    raw = []
    tested = [e for e in two.effects if e.p is not None]
    for e in two.effects:
        pair = next(p for p in two.pairs if p.after.id == e.after)
        metric = two.after.kinds[e.task].metric(e.metric)
        a = per_sample(two.before.chosen(pair.before, e.split), metric)
        b = per_sample(two.after.chosen(pair.after, e.split), metric)
        both = np.isfinite(a.values) & np.isfinite(b.values)
        x, y = a.values[both], b.values[both]
        assert (e.difference, e.low, e.high) == tuple(stats.paired_bootstrap(x, y, a.statistic))
        if e.p is not None:
            raw.append(stats.mcnemar_exact(x > 0, y > 0))
    assert [e.p for e in tested] == pytest.approx(stats.holm(raw))
    assert any(e.verdict == "better" for e in two.effects)


def test_the_same_cell_has_one_result_and_is_not_compared_with_itself(two: Comparison) -> None:
    same = next(p for p in two.pairs if p.same)
    assert same.after.id not in {e.after for e in two.effects}


def test_other_data_is_told_apart_by_the_cells_own_intervals(tmp_path: Path) -> None:
    store = Store(tmp_path)
    samples = make_samples(tmp_path, 20)
    cell = freeze(store, "evaluate", config())
    finish(store, cell, samples, 60, 0.3)
    before = record(store, "a", [cell])
    other = replace(TASK, options={"tiles": 9})
    manifest = read_json(prepared.dataset_folder(tmp_path, TASK) / "manifest.json")
    identity = {
        **cell.identity,
        "data": digest("other data"),
        "task": {**cell.identity["task"], "options": other.options},
    }
    cell = Cell(f"evaluate-x-{digest(identity, 12)}", "evaluate", identity)
    store.cell(cell.id).freeze(cell)
    finish(store, cell, samples, 4, 0.0)
    after = record(store, "b", [cell])
    found = compare.side_by_side(before, after)
    assert [(d.before, d.after, d.splits_before, d.splits_after) for d in found.data] == [
        (digest("data"), digest("other data"), manifest["splits"], {})
    ]
    assert found.effects and not any(e.paired for e in found.effects)
    for e in found.effects:
        assert (e.low, e.high, e.p) == (None, None, None)
        apart = e.own_after[1] < e.own_before[0] or e.own_before[1] < e.own_after[0]  # type: ignore[operator]
        assert (e.verdict == "better") == apart
    text = shown(found, 80)
    assert "‡" in text and "task.options.tiles" in text


def test_cells_of_the_same_names_are_matched_by_what_tells_them_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def sweep(name: str, beams: tuple[int, ...], tokens: int) -> Report:
        made = [GenerationSpec(name="g", beams=b, new_tokens=tokens) for b in beams]
        return record(store, name, [freeze(store, "evaluate", config(generation=g)) for g in made])

    def beams(row: Any) -> int:
        return store.cell(row.id).read().config.generation.beams

    first = sweep("first", (1, 2, 4), 64)
    pairs, only_first, only_second = compare.match(first, sweep("longer", (4, 1, 8), 128))
    assert [(beams(a), beams(b)) for a, b in pairs] == [(4, 4), (1, 1)]
    assert ([beams(r) for r in only_first], [beams(r) for r in only_second]) == ([2], [8])
    pairs, only_first, only_second = compare.match(first, first)
    assert len(pairs) == 3 and not only_first and not only_second
    assert all(a.id == b.id for a, b in pairs)
    pairs, *_ = compare.match(first, sweep("one", (2,), 64))
    assert [(beams(a), beams(b)) for a, b in pairs] == [(2, 2)]


def test_another_scorer_is_told_as_a_cause_of_differences(two: Comparison) -> None:
    assert not two.code.other_scorer
    odd = replace(two, code=replace(two.code, scored_before=("a",), scored_after=("b",)))
    assert "paceline score first; paceline score second" in " ".join(shown(odd, 80).split())


@pytest.mark.parametrize("width", [80, 120])
def test_the_comparison_reads_well_without_colour(two: Comparison, width: int) -> None:
    text = shown(two, width)
    assert max(map(len, text.splitlines())) <= width
    check_golden(f"compare_{width}.txt", text)


def test_the_verb_prints_tables_or_every_headline_metric_as_json(two: Comparison, command_line: Paceline) -> None:
    root = f"root={two.before.store.root}"
    code, out, err = command_line("compare", "first", "second", root)
    assert (code, err) == (0, "")
    assert "first → second: 4 matched cells" in out
    code, out, _ = command_line("compare", "first", "second", root, "--json")
    content = json.loads(out)
    assert code == 0
    assert {e["metric"] for e in content["results"]} == {m for g in two.after.groups for m in g.headline}
    assert (content["before"], content["after"], len(content["matched"])) == ("first", "second", 4)


@pytest.mark.parametrize("words", [[], ["first"], ["first", "first"], ["first", "second", "third"], ["first", "none"]])
def test_other_than_two_known_sweeps_are_an_error_that_names_those_there_are(
    words: list[str], two: Comparison, command_line: Paceline
) -> None:
    code, _, err = command_line("compare", *words, f"root={two.before.store.root}")
    assert code == 2
    assert "second" in err and len(err.splitlines()) == 1
