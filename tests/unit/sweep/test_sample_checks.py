"""What prepared samples lack is told by their names when a sweep is planned, not after the queue."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from paceline import tasks
from paceline.data import prepare, samples
from paceline.errors import PacelineError, UserError
from paceline.store.files import read_json, write_json
from paceline.sweep.cells import Sweep, expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders
from paceline.tasks.kind import Answer, Answered, Part

PLACES = {"latitude": 46.9, "longitude": 7.4, "country": "CH", "region": "Bern", "city": "Bern"}


def silent(*progress: Any) -> None:
    pass


def planned(folder: Path, rows: list[dict[str, Any]], *words: str, kind: str = "geolocation") -> list[str]:
    """The problems of a sweep over the rows of a table."""
    return swept(folder, rows, *words, kind=kind).problems


def swept(folder: Path, rows: list[dict[str, Any]], *words: str, kind: str = "geolocation") -> Sweep:
    """A sweep over the rows of a table."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = "captioning" if kind == "captioning" else "geolocation_earth"
    prompt = "caption_short" if kind == "captioning" else "geo_bare"
    base = [f"task={task}", f"prompt={prompt}", "task.reader=table", "tracking=disabled"]
    options = f"task.options={{path: '{folder / 'rows.jsonl'}'}}"
    chosen = [*base, options, "task.evaluate=[test]", *(w for w in words if not w.startswith("model="))]
    model = next((w for w in words if w.startswith("model=")), "model=tiny_qwen2_vl")
    composition = compose([*chosen, model], conf_folders(None))
    root = folder / "root"
    prepare.prepare(root, next(composition.points()).config.task, silent)
    return expand(
        composition,
        lambda task: samples.data_digest(root, task),
        lambda task: samples.splits(root, task),
        root=root,
    )


def picture(path: Path, size: tuple[int, int] = (40, 30)) -> str:
    Image.effect_noise(size, 40).save(path)
    return str(path)


def rows(folder: Path, count: int = 4, **fields: Any) -> list[dict[str, Any]]:
    shown = [picture(folder / f"{n}.png") for n in range(count)]
    splits = ["train", "test"]
    return [{"id": f"s{n}", "image": p, "split": splits[n % 2], **fields} for n, p in enumerate(shown)]


def prepared_without(folder: Path, sample: str, field: str) -> None:
    """Take a field from a prepared sample, as a reader of a lab's may leave it out."""
    (path,) = (folder / "root" / "data").glob("table-*/samples.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    next(r for r in records if r["id"] == sample).pop(field)
    path.write_text("".join(json.dumps(r) + "\n" for r in records))


def test_a_table_without_what_the_kind_judges_by_is_refused_by_name(tmp_path: Path) -> None:
    (problem,) = planned(tmp_path, rows(tmp_path, label="x"))
    assert problem == (
        "task geolocation_earth: sample 's1' and 1 more of split 'test': kind 'geolocation' needs 'latitude', which it "
        "does not have (fields of the sample: label); mend task.options, or leave such samples out"
    )


def test_a_task_of_pictures_is_refused_where_its_table_names_no_column_of_them(tmp_path: Path) -> None:
    table = [{("Photo" if key == "image" else key): value for key, value in row.items()} for row in rows(tmp_path)]
    (problem,) = planned(tmp_path, [row | PLACES for row in table])
    assert problem.startswith(
        "task geolocation_earth: no sample of split 'test' shows a picture (fields of 's1': Photo,"
    )
    assert "task.options.columns.image=COLUMN" in problem
    assert not planned(tmp_path, [row | PLACES for row in table], "task.needs=[text]")


def test_one_sample_among_many_that_lacks_it_is_found_unless_it_is_beyond_the_limit(tmp_path: Path) -> None:
    table = rows(tmp_path, 40, **PLACES)
    assert planned(tmp_path, table) == []
    prepared_without(tmp_path, "s33", "latitude")
    (problem,) = planned(tmp_path, table)
    assert "sample 's33' of split 'test'" in problem
    assert planned(tmp_path, table, "limit=10") == []


def test_a_target_that_names_a_field_which_a_sample_lacks_is_refused(tmp_path: Path) -> None:
    table = rows(tmp_path, **PLACES)
    table[2]["city"] = None
    words = ["method=full", "task.target='{city}'"]
    (problem,) = planned(tmp_path, table, *words)
    assert "sample 's2' of split 'train': the template names {city}, and this sample has no 'city'" in problem
    assert planned(tmp_path, table, "method=untuned", "task.target='{city}'") == []


def test_a_format_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    (problem,) = planned(tmp_path, rows(tmp_path, **PLACES), "method=full", "task.target='{city:.2f}'")
    assert "{city:.2f} does not fit the value 'Bern'" in problem


def test_sound_data_is_planned(tmp_path: Path) -> None:
    assert planned(tmp_path, rows(tmp_path, **PLACES), "method=untuned,full") == []


def test_a_caption_that_is_missing_is_refused(tmp_path: Path) -> None:
    table = rows(tmp_path, reference="a red house")
    assert planned(tmp_path, table, kind="captioning") == []
    prepared_without(tmp_path, "s3", "references")
    (problem,) = planned(tmp_path, table, kind="captioning")
    assert "sample 's3'" in problem and "has no reference caption" in problem


# -- pictures


def narrow(folder: Path) -> list[dict[str, Any]]:
    table = rows(folder, **PLACES)
    picture(folder / "1.png", (200, 1))
    return table


def test_a_picture_that_one_familys_processor_cannot_take_is_refused_by_name_for_that_family(tmp_path: Path) -> None:
    (problem,) = planned(tmp_path, narrow(tmp_path), "model=tiny_pixtral,tiny_qwen2_vl,tiny_idefics,tiny_phi35_vision")
    assert "sample 's1' of split 'test' shows a picture of 200 × 1 pixels" in problem
    assert "model tiny_pixtral (family pixtral) can't take" in problem
    assert "give model.processor.size.longest_edge=200 or more" in problem


@pytest.mark.parametrize("words", [["limit=1", "task.evaluate=[train]"], ["model.processor.size.longest_edge=200"]])
def test_a_picture_that_a_cell_does_not_show_or_can_take_is_not_refused(words: list[str], tmp_path: Path) -> None:
    assert planned(tmp_path, narrow(tmp_path), "model=tiny_pixtral", *words) == []


def test_data_that_an_earlier_version_prepared_is_looked_at_by_its_pictures(tmp_path: Path) -> None:
    table = narrow(tmp_path)
    assert planned(tmp_path, table, "model=tiny_pixtral")
    (manifest,) = (tmp_path / "root" / "data").glob("table-*/manifest.json")
    before = read_json(manifest)
    assert before.pop("narrowest")["test"] == {"sample": "s1", "width": 200, "height": 1}
    write_json(manifest, before)
    (problem,) = planned(tmp_path, table, "model=tiny_pixtral")
    assert "200 × 1" in problem


# -- lengths


def test_a_sample_too_long_to_train_on_is_refused_with_its_name_and_length(tmp_path: Path) -> None:
    table = rows(tmp_path, reference="a house")
    table[2]["reference"] = "a " * 5000
    (problem,) = planned(tmp_path, table, "method=full", "task.target='{references}'", kind="captioning")
    assert "sample 's2' of split 'train' is too long for model tiny_qwen2_vl, which has 4,096 positions" in problem
    assert "its prompt and target take at least 5,0" in problem


def test_a_prompt_that_leaves_no_room_for_the_answer_is_refused(tmp_path: Path) -> None:
    table = rows(tmp_path, **PLACES)
    with pytest.raises(UserError, match=r"generation\.new_tokens=4096 come behind"):
        planned(tmp_path, table, "generation.new_tokens=4096")
    assert planned(tmp_path, table, "generation.new_tokens=4000") == []


def test_a_model_that_can_not_be_asked_so_much_is_left_out_with_the_reason_and_others_are_asked(tmp_path: Path) -> None:
    sweep = swept(tmp_path, rows(tmp_path, **PLACES), "generation.new_tokens=32,4096")
    assert not sweep.problems and len(sweep.cells) == 1
    (drop,) = sweep.dropped
    assert "is too long for model tiny_qwen2_vl, which has 4,096 positions" in drop["reason"]


def test_a_length_that_is_not_certain_is_left_to_the_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paceline.sweep.sample_checks._counter", lambda model: None)
    assert planned(tmp_path, rows(tmp_path, **PLACES), "generation.new_tokens=4096") == []


def test_tokens_are_counted_by_the_weights_own_tokenizer(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    from paceline.config.schema import ModelSpec
    from paceline.sweep.sample_checks import _counter

    tokenizer = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    count: Callable[[str], int] | None = _counter(ModelSpec(weights=str(tmp_path)))
    assert count is not None and count("a a a word") == 4
    (tmp_path / "tokenizer.json").write_text("{")
    assert _counter(ModelSpec(weights=str(tmp_path))) is None


# -- every table


values = st.none() | st.floats(-90, 90) | st.text("ab1.-", max_size=3) | st.lists(st.text("ab", max_size=2), max_size=2)
records = st.dictionaries(st.sampled_from([*PLACES, "reference", "references", "label"]), values, max_size=4)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["geolocation", "captioning"]), st.lists(records, min_size=1, max_size=4))
def test_samples_that_are_planned_can_be_judged(kind: str, fields: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        table = [{"id": f"s{n}", "split": "test", **record} for n, record in enumerate(fields)]
        try:
            problems = planned(Path(name), table, kind=kind)
        except PacelineError:
            return  # refused as it is prepared
        if problems:
            return
        root = Path(name) / "root"
        (prepared,) = (root / "data").glob("table-*/samples.jsonl")
        task_kind = tasks.load(kind)
        task, prompt = compose_specs(kind)
        lines = map(json.loads, prepared.read_text().splitlines())
        reading = task_kind.read(Answer("1.0, 2.0"), Part(), task, prompt)
        assert task_kind.score([Answered(sample, Part(), reading) for sample in lines], task, prompt)


def compose_specs(kind: str) -> tuple[Any, Any]:
    from paceline.config.schema import PromptSpec, TaskSpec

    return TaskSpec(kind=kind), PromptSpec()
