"""A folder of weights is known by its content: exchanged files make other cells, a moved folder makes the same."""

from __future__ import annotations

import dataclasses
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline import report
from paceline.config.checks import locate_weights
from paceline.config.identity import model_placement, with_placement
from paceline.config.schema import Config, MethodSpec, ModelSpec, PromptSpec, TaskSpec
from paceline.errors import DataError, UserError
from paceline.launch import environments
from paceline.models import hub_files, local_weights
from paceline.report.read import report_notes
from paceline.store.root import Store
from paceline.sweep.cells import PlannedCell, Sweep, evaluate_cell, record, recorded

Paceline = Callable[..., tuple[int, str, str]]
FILES = ("config.json", "model.safetensors", "tokenizer.json")


def silent(stage: str, done: int, total: int) -> None:
    """A progress that tells nobody."""


def tensors(fill: int, size: int = 4000) -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes([fill]) * size


def make(folder: Path, fill: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "qwen2_vl"}')
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        (folder / name).write_text("{}")
    (folder / "model.safetensors").write_bytes(tensors(fill))
    (folder / "README.md").write_text("not read by anything")
    return folder


def model(folder: Path) -> ModelSpec:
    return ModelSpec(name="mine", family="qwen2_vl", weights=str(folder))


def config_of(pinned: ModelSpec) -> Config:
    task, prompt = TaskSpec(name="t", kind="geolocation"), PromptSpec(name="p", text="Where?")
    return Config(model=pinned, task=task, prompt=prompt, method=MethodSpec(name="untuned"))


def cell_of(pinned: ModelSpec) -> str:
    return evaluate_cell(config_of(pinned), "data", None).id


def prepare(folder: Path, root: Path) -> ModelSpec:
    return local_weights.prepare(model(folder), root, silent)[0]


def test_equal_content_is_the_same_cell_wherever_it_lies(tmp_path: Path) -> None:
    one, other = (prepare(make(tmp_path / name), tmp_path / "root") for name in ("a", "b/c"))
    assert one.folder != other.folder
    assert cell_of(one) == cell_of(other)
    assert str(tmp_path) not in json.dumps(evaluate_cell(config_of(one), "data", None).as_json())


def test_other_content_under_the_same_name_is_another_cell(tmp_path: Path) -> None:
    before = prepare(make(tmp_path / "w"), tmp_path / "root")
    after = prepare(make(tmp_path / "w", fill=2), tmp_path / "root")
    assert before.folder == after.folder
    assert cell_of(before) != cell_of(after)


@given(edit=st.sampled_from(["append", "replace", "remove", "rename"]), name=st.sampled_from(FILES))
def test_any_change_of_a_file_that_is_read_is_told_by_its_name(
    tmp_path_factory: pytest.TempPathFactory, edit: str, name: str
) -> None:
    home = tmp_path_factory.mktemp("w")
    folder, root = make(home / "weights"), home / "root"
    before = prepare(folder, root)
    path = folder / name
    if edit == "append":
        path.write_bytes(path.read_bytes() + b" ")
    elif edit == "replace":
        path.write_bytes(path.read_bytes()[::-1])
    elif edit == "remove":
        path.unlink()
    else:
        path.rename(folder / f"other_{name}")
    with pytest.raises(DataError, match=f"{name} (changed|gone)"):
        local_weights.pin(model(folder), root)
    with pytest.raises(DataError, match="not those that the cell was made for"):
        local_weights.require(before, root)


@pytest.mark.parametrize("content", ["[]", '"text"', "{", ""])
def test_a_config_that_holds_no_settings_is_refused_when_planned(tmp_path: Path, content: str) -> None:
    folder = make(tmp_path / "w")
    (folder / "config.json").write_text(content)
    assert "config.json" in hub_files.lacking(model(folder))


def test_what_nothing_reads_may_change(tmp_path: Path) -> None:
    folder = make(tmp_path / "w")
    before = prepare(folder, tmp_path / "root")
    (folder / "README.md").write_text("changed")
    (folder / ".gitattributes").write_text("new")
    assert local_weights.pin(model(folder), tmp_path / "root") == before


def test_a_change_that_keeps_size_and_time_is_found_by_the_cell(tmp_path: Path) -> None:
    folder = make(tmp_path / "w")
    pinned = prepare(folder, tmp_path / "root")
    path = folder / "model.safetensors"
    times = path.stat()
    path.write_bytes(tensors(2))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert local_weights.pin(model(folder), tmp_path / "root") == pinned
    with pytest.raises(DataError, match=r"what differs: model\.safetensors changed"):
        local_weights.require(pinned, tmp_path / "root")


def test_files_that_were_only_written_again_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "w")
    pinned = prepare(folder, tmp_path / "root")
    os.utime(make(tmp_path / "w") / "model.safetensors", (1, 1))
    assert local_weights.pin(model(folder), tmp_path / "root") == pinned
    monkeypatch.setattr(local_weights, "READ_BYTES", 100)
    with pytest.raises(DataError, match=r"model\.safetensors changed"):
        local_weights.pin(model(folder), tmp_path / "root")
    assert prepare(folder, tmp_path / "root") == pinned == local_weights.pin(model(folder), tmp_path / "root")


def test_a_folder_is_read_once(tmp_path: Path) -> None:
    folder = make(tmp_path / "w")
    assert local_weights.prepare(model(folder), tmp_path / "root", silent)[1] is True
    assert local_weights.prepare(model(folder), tmp_path / "root", silent)[1] is False


def test_a_relative_folder_is_recorded_from_the_root_of_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "w")
    monkeypatch.chdir(tmp_path)
    pinned = prepare(Path("w"), tmp_path / "root")
    assert pinned.folder == str(tmp_path / "w")
    monkeypatch.chdir("/")
    assert locate_weights(pinned) == (str(tmp_path / "w"), None)


def test_a_pinned_hub_model_is_the_hubs_though_a_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "lab" / "photo")
    monkeypatch.chdir(tmp_path)
    hub = ModelSpec(name="m", family="qwen2_vl", weights="lab/photo", revision="ab" * 20)
    assert locate_weights(hub) == ("lab/photo", "ab" * 20)
    assert local_weights.pin(hub, tmp_path / "root") is hub


def test_a_damaged_record_is_refused_with_its_remedy(tmp_path: Path) -> None:
    folder, root = make(tmp_path / "w"), tmp_path / "root"
    prepare(folder, root)
    path = local_weights.record_path(root, folder)
    content = json.loads(path.read_text())
    for damaged in ("", "[]", json.dumps({**content, "digest": "0" * 64}), json.dumps({**content, "files": None})):
        path.write_text(damaged)
        with pytest.raises(UserError, match="damaged"):
            local_weights.pin(model(folder), root)


def test_a_recorded_cell_keeps_its_folder_and_is_held_to_its_content(tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    pinned = prepare(make(tmp_path / "w"), store.root)
    config = config_of(pinned)
    cell = evaluate_cell(config, "data", None)
    folder = record(Sweep("s", (), None, [PlannedCell(cell, config)]), store, "code", extend=False)
    (again,) = recorded(folder, store).cells
    assert again.config.model == pinned
    assert again.cell.config.model.folder == ""
    assert environments.lacks([again.config.model], store) == []
    make(tmp_path / "w", fill=2)
    (line,) = environments.lacks([again.config.model], store)
    assert "model.safetensors changed" in line and "paceline prepare" in line
    prepare(tmp_path / "w", store.root)
    (line,) = environments.lacks([again.config.model], store)
    assert "not those that the cell was made for" in line


def test_the_folder_is_placement_and_recorded_only_where_there_is_one(tmp_path: Path) -> None:
    assert model_placement(ModelSpec(name="m")) == {}
    pinned = prepare(make(tmp_path / "w"), tmp_path / "root")
    placed = {"model": model_placement(pinned)}
    stripped = dataclasses.replace(pinned, folder="")
    assert with_placement(Config(model=stripped), placed).model == pinned


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab's model: a YAML that names a folder of weights."""
    conf = tmp_path / "conf" / "model"
    conf.mkdir(parents=True)
    (conf / "mine.yaml").write_text(f"family: qwen2_vl\nweights: {make(tmp_path / 'w')}\n")
    monkeypatch.setattr("paceline.cli.verbs.prepare.count_shape", lambda model, store: None)
    return tmp_path


def test_a_folder_that_was_not_read_is_planned_and_not_submitted(lab: Path, command_line: Paceline) -> None:
    words = ["model=mine", "task=geolocation_earth", "prompt=geo_bare", "method=untuned", "--conf", str(lab / "conf")]
    code, _, err = command_line("plan", *words)
    assert code == 2 and "prepare" in err
    code, _, err = command_line("submit", *words)
    assert code == 2


def test_prepare_reads_the_folder_and_tells_its_digest(lab: Path, command_line: Paceline) -> None:
    code, out, _ = command_line("prepare", "model=mine", "--conf", str(lab / "conf"))
    assert code == 0 and "sha256:" in out and "read and recorded" in out
    assert "as recorded" in command_line("prepare", "model=mine", "--conf", str(lab / "conf"))[1]


def test_show_prints_a_cell_with_its_weights_and_where_they_lie(lab: Path, command_line: Paceline) -> None:
    words = ["--conf", str(lab / "conf")]
    assert command_line("prepare", "model=mine", *words)[0] == 0
    choices = ["model=mine", "task=geolocation_earth", "prompt=geo_bare", "method=untuned"]
    code, out, _ = command_line("show", *choices, *words, "--json")
    content = json.loads(out)
    assert code == 0 and content["model"]["family"] == "qwen2_vl"
    assert content["model"]["weights"].startswith("sha256:") and content["model"]["folder"] == str(lab / "w")


def test_cells_of_an_earlier_version_are_told_apart_and_noted(tmp_path: Path) -> None:
    store, folder = Store(tmp_path / "root"), make(tmp_path / "w")
    old, new = config_of(model(folder)), config_of(prepare(folder, store.root))
    sweeps = [Sweep("s", (), None, [PlannedCell(evaluate_cell(c, "data", None), c)]) for c in (old, new)]
    recorded_before = record(sweeps[0], store, "code", extend=False)
    with pytest.raises(UserError, match="1 of its own name a folder of weights whose content"):
        record(sweeps[1], store, "code", extend=False)
    assert any(f"by the folder {folder}" in note for note in report_notes.notes(report.collect(store, recorded_before)))
    (again,) = recorded(recorded_before, store).cells
    assert locate_weights(again.config.model) == (str(folder), None)


def test_the_folder_of_some_content_is_found_under_its_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    pinned = prepare(make(tmp_path / "w"), root)
    later = prepare(make(tmp_path / "copy"), root)
    (root / "weights" / "damaged.json").write_text("{")
    assert pinned.weights == later.weights
    assert local_weights.folders(root) == {pinned.weights: later.folder}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", None, "its tokenizer is not whole"),
        ("tokenizer_config.json", None, "its tokenizer is not whole"),
        ("preprocessor_config.json", None, "says how pictures are read"),
        ("adapter_config.json", "{}", "holds an adapter"),
        ("model-00001-of-00002.safetensors", "", "model.safetensors.index.json is missing"),
        ("model.safetensors", "F8_E4M3", "holds numbers of few bits (w: F8_E4M3)"),
        ("model.safetensors", "I8", "holds numbers of few bits (w: I8)"),
    ],
)
def test_a_folder_that_would_fail_or_answer_otherwise_is_refused_when_it_is_prepared(
    name: str, content: str | None, said: str, tmp_path: Path
) -> None:
    folder = make(tmp_path / "w")
    if content is None:
        (folder / name).unlink()
    elif "-of-" in name:
        (folder / "model.safetensors").rename(folder / name)
    elif name == "model.safetensors":
        header = json.dumps({"w": {"dtype": content, "shape": [8], "data_offsets": [0, 8]}}).encode()
        (folder / name).write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    else:
        (folder / name).write_text(content)
    with pytest.raises(UserError) as error:
        local_weights.prepare(model(folder), tmp_path / "root", silent)
    assert said in str(error.value)


def test_of_folders_with_one_content_one_that_is_still_there_is_named(tmp_path: Path) -> None:
    first, later = make(tmp_path / "first"), make(tmp_path / "later")
    for folder in (first, later):
        local_weights.prepare(model(folder), tmp_path / "root", silent)
    later.rename(tmp_path / "away")
    assert list(local_weights.folders(tmp_path / "root").values()) == [str(first)]


def test_the_remedy_names_the_folder_that_was_meant_wherever_it_was_given(tmp_path: Path) -> None:
    folder = make(tmp_path / "w")
    assert local_weights.difference(model(folder), tmp_path / "root").endswith(
        f"run: paceline prepare model=mine model.weights={folder}"
    )
