"""`prepare` pins a hub model at the newest commit, so that nobody copies 40 digits; a pin stands like a YAML's own."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hub_server import Hub

from paceline.cli.verbs import prepare
from paceline.config.schema import ModelSpec
from paceline.errors import UserError
from paceline.models.revision_pins import Pins, read

Paceline = Callable[..., tuple[int, str, str]]
SOURCE = "lab/photo-model"
OLD, NEW = "0123456789" * 4, "ab" * 20


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one small model, whose newest commit is OLD until a test moves it."""
    served = Hub()
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    served.models[SOURCE] = {
        "config.json": b"{}",
        "tokenizer.json": b"{}",
        "modeling_photo.py": b"print('code')",
        "model.safetensors": struct.pack("<Q", len(header)) + header + b"\0" * 4,
    }
    served.commit = OLD
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE", "PACELINE_CONF"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    # It would need torch, and is not what is asked here.
    monkeypatch.setattr(prepare, "count_shape", lambda model, store: None)
    with served.serving():
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A lab's folder with a model that gives no revision."""
    folder = tmp_path / "conf"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "photo.yaml").write_text(f"# Ours.\nfamily: qwen2_vl\nweights: {SOURCE}\n")
    (folder / "model" / "coded.yaml").write_text(
        f"# Ours.\nfamily: remote\nweights: {SOURCE}\nremote_code: true\ntunable: false\ntransformers: '>=4'\n"
    )
    return folder


def shown(command_line: Paceline, *words: str) -> tuple[list[dict[str, object]], str]:
    code, out, err = command_line(
        "show", "task=geolocation_earth", "prompt=geo_bare", "method=untuned", *words, "--json"
    )
    assert code == 0, err
    return [json.loads(out)] if out.startswith("{") else json.loads(f"[{out}]"), err


def test_prepare_pins_the_newest_commit_fetches_it_and_plans_with_it(
    hub: Hub, conf: Path, command_line: Paceline
) -> None:
    code, out, err = command_line("prepare", "model=photo", "--conf", str(conf))
    assert code == 0, err
    assert f"photo: pinned {SOURCE} at {OLD} (2024-11-05), in " in out
    assert f"{SOURCE} at {OLD[:12]}: 3 files, 0.0 GiB fetched and checked" in out
    (pin,) = read(conf / "pins.yaml").values()
    assert (pin.source, pin.revision, pin.code_read) == (SOURCE, OLD, False)
    (cell,), told = shown(command_line, "model=photo", "--conf", str(conf))
    assert cell["model"]["revision"] == OLD  # type: ignore[index]
    assert "photo has the revision that is pinned in " in told
    code, out, _ = command_line("plan", "model=photo", "task=geolocation_earth", "prompt=geo_bare", "--conf", str(conf))
    assert "revision" not in out


def test_a_pin_makes_the_same_cells_as_a_revision_in_the_file(hub: Hub, conf: Path, command_line: Paceline) -> None:
    (unpinned,), told = shown(command_line, "model=photo", "--conf", str(conf))
    assert "has no revision" in told
    assert "run: paceline prepare model=photo, which pins the hub's newest" in told
    assert command_line("prepare", "model=photo", "--conf", str(conf))[0] == 0
    (pinned,), _ = shown(command_line, "model=photo", "--conf", str(conf))
    (conf / "pins.yaml").unlink()
    with (conf / "model" / "photo.yaml").open("a") as file:
        file.write(f"revision: '{OLD}'\n")
    (written,), told = shown(command_line, "model=photo", "--conf", str(conf))
    assert pinned["id"] == written["id"] != unpinned["id"]
    assert told == ""


def test_a_files_own_revision_comes_before_a_pin(hub: Hub, conf: Path, command_line: Paceline) -> None:
    (conf / "pins.yaml").write_text(f"{SOURCE}: {NEW}\n")
    with (conf / "model" / "photo.yaml").open("a") as file:
        file.write(f"revision: '{OLD}'\n")
    (cell,), _ = shown(command_line, "model=photo", "--conf", str(conf))
    assert cell["model"]["revision"] == OLD  # type: ignore[index]
    (cell,), _ = shown(command_line, "model=photo", f"model.revision={'c' * 40}", "--conf", str(conf))
    assert cell["model"]["revision"] == "c" * 40  # type: ignore[index]
    code, _, err = command_line("prepare", "--refresh", "model=photo", "--conf", str(conf))
    assert code == 0
    assert "no pin holds for it" in err
    assert read(conf / "pins.yaml")[SOURCE].revision == NEW


def test_without_a_folder_of_the_labs_the_root_holds_the_pins(
    hub: Hub, conf: Path, command_line: Paceline, tmp_path: Path
) -> None:
    hub.models["Qwen/Qwen2-VL-2B-Instruct"] = hub.models[SOURCE]
    code, _, err = command_line("prepare", "model=qwen2_vl_2b", f"root={tmp_path / 'other'}")
    assert code == 0, err
    assert read(tmp_path / "other" / "pins.yaml")["Qwen/Qwen2-VL-2B-Instruct"].revision == OLD
    (cell,), _ = shown(command_line, "model=qwen2_vl_2b", f"root={tmp_path / 'other'}")
    assert cell["model"]["revision"] == OLD  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "value", "code"), [("HF_ENDPOINT", "http://127.0.0.1:9", 3), ("HF_HUB_OFFLINE", "1", 2)]
)
def test_without_a_network_nothing_is_pinned(
    name: str,
    value: str,
    code: int,
    hub: Hub,
    conf: Path,
    command_line: Paceline,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv(name, value)
    found, _, err = command_line("prepare", "model=photo", "--conf", str(conf))
    assert found == code
    assert "can't be reached" in err or "HF_HUB_OFFLINE is set here" in err
    assert not list(tmp_path.rglob("pins.yaml"))


def test_a_repository_without_weights_is_not_pinned(hub: Hub, conf: Path, command_line: Paceline) -> None:
    del hub.models[SOURCE]["model.safetensors"]
    code, _, err = command_line("prepare", "model=photo", "--conf", str(conf))
    assert code == 2
    assert "holds no weights" in err
    assert not (conf / "pins.yaml").exists()


def test_a_pin_moves_only_when_it_is_asked_to_and_tells_old_and_new(
    hub: Hub, conf: Path, command_line: Paceline
) -> None:
    command_line("prepare", "model=photo", "--conf", str(conf))
    newest = "GET", f"api/models/{SOURCE}"
    assert hub.asked[newest] == 1
    code, out, _ = command_line("prepare", "model=photo", "--conf", str(conf))
    assert code == 0
    assert "pinned" not in out
    assert hub.asked[newest] == 1  # nobody asked what is newest by now
    code, out, _ = command_line("prepare", "--refresh", "model=photo", "--conf", str(conf))
    assert f"{SOURCE} is pinned at the hub's newest, {OLD[:12]}" in out
    hub.commit = NEW
    code, out, err = command_line("prepare", "--refresh", "model=photo", "--conf", str(conf))
    assert code == 0, err
    assert f"photo: pinned {SOURCE} at {NEW} (2024-11-05) in place of {OLD}, in " in out
    assert read(conf / "pins.yaml")[SOURCE].revision == NEW
    assert len(read(conf / "pins.yaml")) == 1


# -- code that comes with the weights


def test_a_model_whose_code_runs_is_pinned_by_its_user_alone(
    hub: Hub, conf: Path, command_line: Paceline, tmp_path: Path
) -> None:
    code, out, err = command_line("prepare", "model=coded,photo", "--conf", str(conf))
    assert code == 2
    assert "comes with code that would run here, so it is pinned by you alone" in err
    assert f"read its Python files ({hub.url}/{SOURCE}/tree/{OLD}), then write this line into " in err
    line = f'{SOURCE}: {{revision: "{OLD}", code: read}}'
    assert line in err
    # The other model of the same repository runs no code, and is pinned and fetched.
    assert f"photo: pinned {SOURCE} at {OLD}" in out
    # For the model with code that pin says nothing.
    (cell,), told = shown(command_line, "model=coded", "--conf", str(conf))
    assert cell["model"]["revision"] == ""  # type: ignore[index]
    assert "so read it at one commit, then pin that: paceline prepare model=coded" in told
    code, _, err = command_line("prepare", "model=coded", "--conf", str(conf))
    assert code == 2
    number = read(conf / "pins.yaml")[SOURCE].line
    assert f"pins.yaml (in place of line {number}):" in err
    (conf / "pins.yaml").write_text(line + "\n")
    (cell,), _ = shown(command_line, "model=coded", "--conf", str(conf))
    assert cell["model"]["revision"] == OLD  # type: ignore[index]
    code, out, err = command_line("prepare", "model=coded", "--conf", str(conf))
    assert code == 0, err
    assert "coded: lab/photo-model at 012345678901: 4 files" in out


def test_code_that_was_read_is_not_read_at_another_commit(hub: Hub, conf: Path, command_line: Paceline) -> None:
    (conf / "pins.yaml").write_text(f"{SOURCE}: {{revision: {OLD}, code: read}}\n")
    hub.commit = NEW
    code, _, err = command_line("prepare", "--refresh", "model=coded", "--conf", str(conf))
    assert code == 2
    assert f'{SOURCE}: {{revision: "{NEW}", code: read}}' in err
    assert read(conf / "pins.yaml")[SOURCE].revision == OLD
    # Moved for a model that runs no code, it is no longer what somebody read.
    assert command_line("prepare", "--refresh", "model=photo", "--conf", str(conf))[0] == 0
    pin = read(conf / "pins.yaml")[SOURCE]
    assert (pin.revision, pin.code_read) == (NEW, False)


# -- the file


def model(**more: object) -> ModelSpec:
    return ModelSpec(name="photo", family="qwen2_vl", weights=SOURCE, **more)  # type: ignore[arg-type]


def test_of_two_folders_the_first_has_its_way(tmp_path: Path) -> None:
    for name, revision in (("a", OLD), ("b", NEW)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pins.yaml").write_text(f"{SOURCE}: '{revision}'\n")
    assert Pins([tmp_path / "a", tmp_path / "b"]).applied(model()).revision == OLD
    assert Pins([tmp_path / "none", tmp_path / "b"]).applied(model()).revision == NEW
    assert Pins([tmp_path / "none"]).applied(model()).revision == ""


def test_a_folder_that_is_not_ours_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = tmp_path / "others"
    others.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != others)
    pin = Pins([others, tmp_path / "root" / "of" / "mine"]).add(SOURCE, OLD, "")
    assert pin.path == tmp_path / "root" / "of" / "mine" / "pins.yaml"
    assert not list(others.iterdir())


def test_what_people_wrote_stays(tmp_path: Path) -> None:
    path = tmp_path / "pins.yaml"
    first = f"---\n# Why: the paper's.\na/b:\n  revision: {OLD}  # read on a Monday\n  code: read\n\n"
    before = f"{first}c/d: '{OLD}'\n# the end"
    path.write_text(before)
    pins = Pins([tmp_path])
    assert [(p.source, p.line, p.last, p.code_read) for p in pins.all()] == [("a/b", 3, 5, True), ("c/d", 7, 7, False)]
    added = pins.add(SOURCE, NEW, "today")
    assert path.read_text() == f'{before}\n{SOURCE}: "{NEW}"  # today\n'
    pins.change(read(path)["a/b"], NEW, "moved")
    assert "# Why: the paper's." in path.read_text()
    assert {p.source: p.revision for p in pins.all()} == {"c/d": OLD, SOURCE: NEW, "a/b": NEW}
    assert added.revision == NEW


def test_a_commit_of_digits_needs_no_quotes(tmp_path: Path) -> None:
    for text in ("0123456789" * 4, "1" * 40, "1234567890123456789012345678901234567e10"):
        (tmp_path / "pins.yaml").write_text(f"{SOURCE}: {text}\n")
        assert read(tmp_path / "pins.yaml")[SOURCE].revision == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{SOURCE}: {OLD[:-1]}\n", "line 1: lab/photo-model: .* is no commit of 40 hex digits; correct it, or remove"),
        (f"# ours\n{SOURCE}: {OLD[:-1]}g\n", "line 2: "),
        (f"{SOURCE}: main\n", "main is no commit"),
        (f"{SOURCE}:\n", "nothing is no commit"),
        (f"{SOURCE}: {OLD}\na/b: {OLD}\n{SOURCE}: {NEW}\n", "line 3: lab/photo-model stands in line 1 too; keep one"),
        (f"photo-model: {OLD}\n", "line 1: expected owner/name"),
        (f"{SOURCE}: {{revision: {OLD}, codes: read}}\n", "unknown key 'codes'; there are revision and code"),
        (f"{SOURCE}: {{revision: {OLD}, code: yes}}\n", "code: yes is not 'read'"),
        (f"{SOURCE}: {{code: read}}\n", "nothing is no commit"),
        (f"- {SOURCE}\n", "each on a line of its own"),
        (f"{{{SOURCE}: {OLD}}}\n", "each on a line of its own"),
        (f"{SOURCE}: '{OLD}\n", "quoted scalar"),
        ("a/b: {x\n", "expected"),
    ],
)
def test_a_file_with_a_slip_is_refused_by_its_line_and_left_as_it_is(
    text: str, told: str, tmp_path: Path, hub: Hub, conf: Path, command_line: Paceline
) -> None:
    (conf / "pins.yaml").write_text(text)
    for words in (["plan", "model=photo", "task=geolocation_earth", "prompt=geo_bare"], ["prepare", "model=photo"]):
        code, _, err = command_line(*words, "--conf", str(conf))
        assert code == 2
    with pytest.raises(UserError, match=told):
        read(conf / "pins.yaml")
    assert "pins.yaml" in err
    assert (conf / "pins.yaml").read_text() == text
    # A twin asks no file.
    code, _, _ = command_line(
        "show", "model=tiny_pixtral", "task=geolocation_earth", "prompt=geo_bare", "--conf", str(conf)
    )
    assert code == 0


def test_a_form_that_no_line_can_be_added_to_is_refused_before_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "pins.yaml").write_text(f"a/b: '{OLD}'\n...\n")
    with pytest.raises(UserError, match=r"pins\.yaml"):
        Pins([tmp_path]).add(SOURCE, NEW, "today")
    assert (tmp_path / "pins.yaml").read_text() == f"a/b: '{OLD}'\n...\n"


def test_what_a_killed_prepare_left_is_no_pin(tmp_path: Path) -> None:
    (tmp_path / ".pins.yaml.0a1b2c3d.tmp").write_text(f"{SOURCE}: '{OLD}'\nlab/oth")
    pins = Pins([tmp_path])
    assert pins.find(SOURCE) is None
    assert pins.add(SOURCE, NEW, "").revision == NEW


def test_of_processes_that_pin_at_once_one_is_first_and_none_is_lost(tmp_path: Path) -> None:
    def add(n: int) -> tuple[str, str]:
        source = f"lab/model-{n % 4}"
        return source, Pins([tmp_path]).add(source, f"{n:040x}", "").revision

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(add, range(16)))
    kept = {source: pin.revision for source, pin in read(tmp_path / "pins.yaml").items()}
    assert len(kept) == 4
    assert all(kept[source] == revision for source, revision in found)
    assert [p.name for p in tmp_path.iterdir()] == ["pins.yaml"]


def test_of_two_that_refresh_at_once_the_second_takes_the_firsts(tmp_path: Path) -> None:
    old = Pins([tmp_path]).add(SOURCE, OLD, "")
    assert Pins([tmp_path]).change(old, NEW, "").revision == NEW
    assert Pins([tmp_path]).change(old, "c" * 40, "").revision == NEW


# -- doctor


def test_doctor_tells_where_a_revision_is_pinned_and_which_pin_is_nobodys(
    hub: Hub, conf: Path, command_line: Paceline
) -> None:
    command_line("prepare", "model=photo", "--conf", str(conf))
    with (conf / "pins.yaml").open("a") as file:
        file.write(f"lab/foto-model: {NEW}\n")
    _, out, _ = command_line("doctor", "--conf", str(conf))
    assert f"pins: {SOURCE} at {OLD[:12]}" in out
    assert "no file of conf/model names lab/foto-model" in out
    _, out, _ = command_line("doctor", "model=photo", "--conf", str(conf))
    assert f"revision: {OLD}, pinned in " in out
    (conf / "pins.yaml").write_text("lab/foto-model: main\n")
    code, out, _ = command_line("doctor", "--conf", str(conf))
    assert code == 2
    assert "main is no commit of 40 hex digits" in out
