"""Data is held to the files that it was made from: what changed under it is told by name, and nothing is mixed."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
from PIL import Image

from paceline.config.schema import PromptSpec, TaskSpec
from paceline.data import conversations, prepare, samples, source_files
from paceline.errors import DataError
from paceline.store.files import read_jsonl

Paceline = Callable[..., tuple[int, str, str]]
COMMAND = "paceline prepare task=x"


def silent(stage: str, done: int, total: int) -> None:
    """A progress that tells nobody."""


def picture(path: Path, colour: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((40, 40), 60 + colour).convert("RGB").save(path, "PNG")
    return path


@pytest.fixture
def task(tmp_path: Path) -> TaskSpec:
    """A table of ten pictures in a folder of the user's, with a text beside them."""
    rows = []
    for n in range(10):
        picture(tmp_path / "photos" / f"{n}.png", n)
        rows.append(
            {"id": str(n), "image": f"photos/{n}.png", "references": ["a"], "split": "test" if n < 5 else "train"}
        )
    table = tmp_path / "table.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {name: name for name in ("id", "image", "references", "split")}
    options = {"path": str(table), "images": str(tmp_path), "columns": columns}
    return TaskSpec(name="x", kind="captioning", reader="table", options=options)


@pytest.fixture
def root(tmp_path: Path, task: TaskSpec) -> Path:
    prepare.prepare(tmp_path / "root", task, silent)
    return tmp_path / "root"


def note(root: Path, task: TaskSpec) -> str:
    return source_files.require(root, task, COMMAND)


def test_sources_that_are_as_they_were_are_not_mentioned(root: Path, task: TaskSpec) -> None:
    assert note(root, task) == ""
    assert source_files.renew(root, task, COMMAND) == ""


def test_a_picture_that_is_overwritten_is_refused_by_name(root: Path, task: TaskSpec, tmp_path: Path) -> None:
    picture(tmp_path / "photos" / "3.png", 90)
    with pytest.raises(DataError, match=r"1 file is other \(3\.png changed\).*prepare task=x --refresh"):
        note(root, task)


def test_a_picture_that_is_gone_is_refused_by_name(root: Path, task: TaskSpec, tmp_path: Path) -> None:
    (tmp_path / "photos" / "7.png").unlink()
    with pytest.raises(DataError, match=r"7\.png gone"):
        note(root, task)


def test_a_picture_that_was_only_touched_is_the_same(root: Path, task: TaskSpec, tmp_path: Path) -> None:
    os.utime(tmp_path / "photos" / "3.png", (1, 1))
    assert note(root, task) == ""


def test_files_that_come_are_told_and_refuse_nothing(root: Path, task: TaskSpec, tmp_path: Path) -> None:
    for n in range(10):
        picture(tmp_path / "photos" / f"new{n}.png", n)
    picture(tmp_path / "photos" / "deeper" / "still" / "more.png")
    assert "prepared on " in note(root, task)
    assert "11 files are new" in note(root, task) and f"{COMMAND} --refresh" in note(root, task)


def test_a_table_that_changed_is_told(root: Path, task: TaskSpec, tmp_path: Path) -> None:
    with (tmp_path / "table.jsonl").open("a") as table:
        table.write("\n")
    assert "1 file is changed (table.jsonl)" in note(root, task)


def test_a_table_that_changed_is_told_among_any_number_of_pictures_until_the_data_is_made_anew(
    root: Path, task: TaskSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_files, "LOOKED_AT", 2)
    os.utime(tmp_path / "photos" / "3.png", (1, 1))
    with (tmp_path / "table.jsonl").open("a") as table:
        table.write("\n")
    for _ in range(2):
        assert "1 file is changed (table.jsonl)" in source_files.renew(root, task, COMMAND)
        assert "1 file is changed (table.jsonl)" in note(root, task)
    prepare.prepare(root, task, silent, refresh=True)
    assert note(root, task) == ""


def test_a_table_that_is_edited_while_it_is_read_is_told(
    task: TaskSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edit(stage: str, done: int, total: int) -> None:
        with (tmp_path / "table.jsonl").open("a") as table:
            table.write("\n")

    prepare.prepare(tmp_path / "root", task, edit)
    assert "1 file is changed (table.jsonl)" in note(tmp_path / "root", task)


@pytest.mark.parametrize("path", ["tables", "tables/t*.jsonl"])
def test_one_of_several_tables_that_changed_is_told(task: TaskSpec, tmp_path: Path, path: str) -> None:
    (tmp_path / "tables").mkdir()
    for split in ("train", "test"):
        shutil.copy(tmp_path / "table.jsonl", tmp_path / "tables" / f"{split}.jsonl")
    several = dataclasses.replace(task, options={**task.options, "path": str(tmp_path / path)})
    prepare.prepare(tmp_path / "root", several, silent)
    assert note(tmp_path / "root", several) == ""
    (tmp_path / "tables" / "test.jsonl").write_text((tmp_path / "table.jsonl").read_text().replace('"a"', '"b c"'))
    assert "1 file is changed (test.jsonl)" in note(tmp_path / "root", several)


def test_a_sidecar_that_was_mended_is_told(tmp_path: Path) -> None:
    for n in range(3):
        picture(tmp_path / "photos" / f"{n}.png", n)
        (tmp_path / "photos" / f"{n}.json").write_text(json.dumps({"lat": 47.0, "lng": 8.0 + n}))
    options = {"path": str(tmp_path / "photos"), "shares": {"test": 1.0}}
    task = TaskSpec(name="x", kind="geolocation", reader="sidecar", options=options)
    prepare.prepare(tmp_path / "root", task, silent)
    assert note(tmp_path / "root", task) == ""
    (tmp_path / "photos" / "1.json").write_text(json.dumps({"lat": 47.0, "lng": 9.25}))
    assert "1 file is changed (1.json)" in note(tmp_path / "root", task)


def test_a_table_that_was_only_touched_is_the_same(root: Path, task: TaskSpec, tmp_path: Path) -> None:
    os.utime(tmp_path / "table.jsonl", (1, 1))
    assert note(root, task) == ""
    assert source_files.renew(root, task, COMMAND) == ""
    entries = read_jsonl(samples.dataset_folder(root, task) / "sources.jsonl")
    assert next(e for e in entries if e["file"].endswith("table.jsonl"))["mtime_ns"] == 10**9


def test_hidden_files_and_the_storage_root_are_no_sources(root: Path, task: TaskSpec, tmp_path: Path) -> None:
    (tmp_path / "photos" / ".DS_Store").write_text("x")
    (root / "anything").write_text("x")
    assert note(root, task) == ""


def test_too_many_pictures_of_another_time_are_left_to_prepare(
    root: Path, task: TaskSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_files, "READ_BYTES", 0)
    for n in range(10):
        os.utime(tmp_path / "photos" / f"{n}.png", (1, 1))
    with pytest.raises(DataError, match=r"10 files are of another size or time .*; read them all once with: paceline"):
        note(root, task)
    assert source_files.renew(root, task, COMMAND) == ""
    assert note(root, task) == ""


def test_of_many_pictures_a_plan_looks_at_some_and_finds_every_one_that_is_gone(
    root: Path, task: TaskSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_files, "LOOKED_AT", 2)
    (tmp_path / "photos" / "8.png").unlink()
    with pytest.raises(DataError, match=r"8\.png gone"):
        note(root, task)


def test_a_model_is_shown_no_picture_but_the_prepared_one(root: Path, task: TaskSpec, tmp_path: Path) -> None:
    sample = samples.read_samples(root, task, ["test"], 0)[3]
    assert len(conversations.question(sample, PromptSpec(text="What?"), task).images) == 1
    times = (tmp_path / "photos" / "3.png").stat()
    picture(tmp_path / "photos" / "3.png", 90)
    os.utime(tmp_path / "photos" / "3.png", ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(DataError, match=r"3\.png: this is not the picture that was prepared"):
        conversations.question(sample, PromptSpec(text="What?"), task)


def test_data_that_an_earlier_version_prepared_is_read_once_and_then_held_to(
    root: Path, task: TaskSpec, tmp_path: Path
) -> None:
    folder = samples.dataset_folder(root, task)
    for name in ("sources.jsonl", "folders.jsonl"):
        (folder / name).unlink()
    assert note(root, task) == ""
    assert source_files.renew(root, task, COMMAND) == ""
    picture(tmp_path / "photos" / "3.png", 90)
    with pytest.raises(DataError, match=r"3\.png changed"):
        note(root, task)


# -- made anew


def test_a_refresh_makes_other_data_and_cells_keep_the_old(root: Path, task: TaskSpec, tmp_path: Path) -> None:
    before = samples.data_digest(root, task)
    picture(tmp_path / "photos" / "3.png", 90)
    after = prepare.prepare(root, task, silent, refresh=True)["digest"]
    assert after != before == samples.read_manifest(root, task, before)["digest"]
    assert samples.data_digest(root, task) == after and note(root, task) == ""
    samples.require(root, task, before)
    samples.require(root, task, after)
    old, new = (samples.read_samples(root, task, ["test"], 0, digest)[3]["sha256"] for digest in (before, after))
    assert old != new


def test_a_refresh_of_equal_data_changes_no_digest_and_records_the_new_times(
    root: Path, task: TaskSpec, tmp_path: Path
) -> None:
    before = samples.data_digest(root, task)
    (tmp_path / "photos" / "notes.txt").write_text("x")
    assert "1 file is new (notes.txt)" in note(root, task)
    assert prepare.prepare(root, task, silent, refresh=True)["digest"] == before
    assert note(root, task) == ""
    assert sorted(p.name for p in (root / "data").iterdir()) == [samples.first_folder(root, task).name]


def test_going_back_to_the_old_pictures_is_going_back_to_the_old_data(
    root: Path, task: TaskSpec, tmp_path: Path
) -> None:
    before = samples.data_digest(root, task)
    path = tmp_path / "photos" / "3.png"
    old = path.read_bytes()
    picture(path, 90)
    other = prepare.prepare(root, task, silent, refresh=True)["digest"]
    path.write_bytes(old)
    assert prepare.prepare(root, task, silent, refresh=True)["digest"] == before != other
    assert samples.data_digest(root, task) == before and note(root, task) == ""


def test_prepare_and_plan_say_what_changed(tmp_path: Path, task: TaskSpec, command_line: Paceline) -> None:
    words = ["task=captioning", "task.reader=table"]
    words += [f"task.options.path={tmp_path / 'table.jsonl'}", f"task.options.images={tmp_path}"]
    words += ["task.options.columns={id: id, image: image, references: references, split: split}"]
    assert command_line("prepare", *words)[0] == 0
    picture(tmp_path / "photos" / "3.png", 90)
    plan = ["plan", *words, "model=tiny_qwen2_vl", "prompt=caption_short", "method=untuned"]
    for verb in (plan, ["prepare", *words]):
        code, _, err = command_line(*verb)
        assert code != 0 and "3.png changed" in err and "--refresh" in err
        assert err.count("task.options.path=") == 1, "the command is given once"
    assert command_line("prepare", "--refresh", *words)[0] == 0
    picture(tmp_path / "photos" / "11.png")
    code, _, err = command_line(*plan)
    assert code == 0 and "1 file is new (11.png)" in err


def test_data_made_anew_that_is_removed_gives_way_to_what_was_there_before(
    root: Path, task: TaskSpec, tmp_path: Path
) -> None:
    before = samples.data_digest(root, task)
    picture(tmp_path / "photos" / "3.png", 90)
    prepare.prepare(root, task, silent, refresh=True)
    shutil.rmtree(samples.dataset_folder(root, task))
    assert samples.data_digest(root, task) == before


def test_a_refresh_of_equal_data_keeps_the_pictures_that_it_made(tmp_path: Path) -> None:
    # The reader numbers the pictures that it takes out of a table by their rows.
    rows = [[str(n), io.BytesIO()] for n in range(3)]
    for n, (_, stream) in enumerate(rows):
        Image.new("RGB", (20, 20), (80 * n, 9, 9)).save(stream, "PNG")
    path = tmp_path / "table.parquet"

    def write(names: list[str], pictures: list[bytes]) -> None:
        columns = {
            "id": names,
            "image": [{"bytes": p, "path": None} for p in pictures],
            "references": [["a"]] * len(names),
        }
        datasets.Dataset.from_dict({**columns, "split": ["test"] * len(names)}).to_parquet(str(path))

    good = [(name, stream.getvalue()) for name, stream in rows]
    write(["broken", *(n for n, _ in good)], [b"no picture", *(p for _, p in good)])
    columns = {name: name for name in ("id", "image", "references", "split")}
    task = TaskSpec(name="x", kind="captioning", reader="table", options={"path": str(path), "columns": columns})
    digest = prepare.prepare(tmp_path / "root", task, silent)["digest"]
    write([n for n, _ in good], [p for _, p in good])
    assert prepare.prepare(tmp_path / "root", task, silent, refresh=True)["digest"] == digest
    for sample in samples.read_samples(tmp_path / "root", task, ["test"], 0):
        assert len(conversations.question(sample, PromptSpec(text="What?"), task).images) == 1
