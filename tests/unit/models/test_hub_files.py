"""A model is fetched once, whole, and used offline; what stands in the way is told with its remedy."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_server import Hub, blob_id, sha256
from hypothesis import given
from hypothesis import strategies as st

from paceline.config.schema import ModelSpec
from paceline.errors import Unavailable, UserError
from paceline.models import hub_download, hub_files
from paceline.store.owner import started, this_process

CONF = Path(__file__).parents[3] / "conf"
Paceline = Callable[..., tuple[int, str, str]]
SOURCE = "lab/photo-model"


def tensors(size: int = 200_000) -> bytes:
    """A whole safetensors file."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + (bytes(range(251)) * (size // 251 + 1))[:size]


def model(revision: str = Hub.commit, **more: object) -> ModelSpec:
    return ModelSpec(name="photo", family="qwen2_vl", weights=SOURCE, revision=revision, **more)  # type: ignore[arg-type]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one sharded model and what such repositories hold beside it."""
    served = Hub()
    index = json.dumps({"metadata": {}, "weight_map": {f"w{n}": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}})
    served.models[SOURCE] = {
        "config.json": b"{}",
        "tokenizer.json": b'{"a": 1}',
        "preprocessor_config.json": b"{ }",
        "chat_template.jinja": b"{{ messages }}",
        "model.safetensors.index.json": index.encode(),
        "model-00001-of-00002.safetensors": tensors(),
        "model-00002-of-00002.safetensors": tensors(400_000),
        "pytorch_model.bin": b"the same again" * 1000,
        "consolidated.safetensors": tensors(),
        "original/consolidated.00.pth": b"and again" * 1000,
        "modeling_photo.py": b"print('code')",
        "README.md": b"# Photo",
    }
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    # Another test may have imported the library in an offline shell; it asks once.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with served.serving():
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


@pytest.fixture
def conf(tmp_path: Path) -> Callable[..., str]:
    """Write conf/model/photo.yaml of a lab's own."""

    def write(revision: str = Hub.commit, more: str = "") -> str:
        (tmp_path / "conf" / "model").mkdir(parents=True, exist_ok=True)
        text = f"# A model of the lab.\nfamily: qwen2_vl\nweights: {SOURCE}\nrevision: '{revision}'\n{more}"
        (tmp_path / "conf" / "model" / "photo.yaml").write_text(text)
        return str(tmp_path / "conf")

    return write


def silent(stage: str, done: int, total: int) -> None:
    """A progress that tells nobody."""


def fetch(spec: ModelSpec) -> Path:
    return hub_download.download(spec, hub_download.listing(spec), silent)


# -- what is fetched


def test_only_what_is_needed_is_fetched_and_then_it_is_whole(hub: Hub) -> None:
    assert "is not in" in hub_files.lacking(model())
    folder = fetch(model())
    assert {p.name for p in folder.iterdir()} == {
        "config.json",
        "tokenizer.json",
        "preprocessor_config.json",
        "chat_template.jinja",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    }
    assert hub_files.lacking(model()) == ""
    assert hub_files.damaged(model(), silent) == []


def test_the_code_of_a_model_comes_only_where_it_is_allowed(hub: Hub) -> None:
    hub.models[SOURCE]["config.json"] = b'{"auto_map": {"AutoModelForCausalLM": "modeling_photo.Photo"}}'
    assert not (fetch(model()) / "modeling_photo.py").exists()
    assert "modeling_photo.py" in hub_files.lacking(model(remote_code=True))
    assert (fetch(model(remote_code=True)) / "modeling_photo.py").exists()


def test_what_is_there_is_not_fetched_again(hub: Hub) -> None:
    fetch(model())
    downloads = hub.downloads()
    fetch(model())
    assert hub.downloads() == downloads == 7


def test_an_interrupted_download_goes_on_where_it_stopped(hub: Hub) -> None:
    # The library writes pieces of 10 MB, so what is smaller begins anew.
    size, name = 24 * 10**6, "model-00002-of-00002.safetensors"
    hub.models[SOURCE][name] = tensors(size)
    hub.cut[name] = 15 * 10**6
    with pytest.raises(Unavailable, match="the hub answers 503; try again later"):
        fetch(model())
    assert "files are missing" in hub_files.lacking(model())
    assert hub_download.listing(model()).to_fetch() < size
    hub.cut.clear()
    hub.resumed.clear()
    fetch(model())
    assert max(hub.resumed) >= 10**7
    assert hub_files.lacking(model()) == ""


def test_a_file_that_comes_damaged_is_told_removed_and_fetched_anew(hub: Hub) -> None:
    name = "model-00001-of-00002.safetensors"
    hub.spoiled.add(name)
    with pytest.raises(Unavailable, match=f"{name} is not what the hub says, and was removed; run it again"):
        fetch(model())
    assert hub_files.lacking(model())
    hub.spoiled.clear()
    assert (fetch(model()) / name).read_bytes() == tensors()


def test_a_small_file_is_checked_too(hub: Hub) -> None:
    hub.spoiled.add("tokenizer.json")
    with pytest.raises(Unavailable, match=r"tokenizer\.json"):
        fetch(model())


def test_damage_that_comes_later_is_found_by_a_deep_check(hub: Hub) -> None:
    folder = fetch(model())
    shard = (folder / "model-00001-of-00002.safetensors").resolve()
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    assert hub_files.lacking(model()) == ""
    assert hub_files.damaged(model(), silent) == [folder / "model-00001-of-00002.safetensors"]


def test_a_repository_without_weights_that_are_read_is_refused_before_anything_comes(hub: Hub) -> None:
    hub.models[SOURCE] = {"consolidated.safetensors": tensors(), "params.json": b"{}"}
    with pytest.raises(UserError, match="holds no weights that transformers reads"):
        hub_download.listing(model())
    assert hub.downloads() == 0


# -- many at once, and broken off


FETCH = """
import sys, time
from paceline.config.schema import ModelSpec
from paceline.models import hub_download
model = ModelSpec(name="photo", family="qwen2_vl", weights={source!r}, revision={commit!r})
hub_download.download(model, hub_download.listing(model), lambda *told: None)
"""


def fetching() -> subprocess.Popen[bytes]:
    """A process that fetches the model."""
    script = FETCH.format(source=SOURCE, commit=Hub.commit)
    return subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)


def blobs(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder.parents[1] / "blobs").iterdir())


def test_processes_that_fetch_at_once_publish_whole_files_without_a_lock(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.models[SOURCE]["model-00002-of-00002.safetensors"] = tensors(24 * 10**6)
    processes = [fetching() for _ in range(4)]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    folder = hub_files.snapshot(SOURCE, Hub.commit)
    assert hub_files.lacking(model()) == ""
    assert hub_files.damaged(model(), silent) == []
    assert {p.name: p.read_bytes() for p in folder.iterdir()}.items() <= hub.models[SOURCE].items()
    assert not [name for name in blobs(folder) if "partial" in name]


def test_a_process_that_is_killed_leaves_what_the_next_goes_on_with_and_nothing_else(hub: Hub) -> None:
    name = "model-00002-of-00002.safetensors"
    hub.models[SOURCE][name] = tensors(64 * 10**6)
    listing = hub_download.listing(model())
    (file,) = [f for f in listing.files if f.name == name]
    hub.slow[name] = 12 * 10**6  # the rest never comes
    process = fetching()
    while not any(p.stat().st_size >= 10**7 for p in listing.partials(file)):
        assert process.poll() is None, process.communicate()[1]
    process.kill()
    process.communicate()
    hub.slow.clear()
    assert 0 < listing.to_fetch() < listing.bytes - 10**7
    hub.resumed.clear()
    folder = fetch(model())
    assert max(hub.resumed) >= 10**7
    assert hub_files.damaged(model(), silent) == []
    assert not [blob for blob in blobs(folder) if "partial" in blob]


LEFT = {
    "of an earlier version": "{digest}.partial",
    "of a process that ended": "{digest}.{host}+4194305+1+abcdef01.partial",
    "of this process, given up": "{digest}.{host}+{pid}+{pid_started}+abcdef01.partial",
    "of another machine, hours ago": "{digest}.gone+1+1+abcdef01.partial",
}


@pytest.mark.parametrize("content", ["a half", "garbage", "all", "too much", "nothing"])
@pytest.mark.parametrize("left", LEFT)
def test_whatever_was_left_of_a_download_what_is_published_is_whole(left: str, content: str, hub: Hub) -> None:
    whole = hub.models[SOURCE]["model.safetensors.index.json"]
    listing = hub_download.listing(model())
    (file,) = [f for f in listing.files if f.name == "model.safetensors.index.json"]
    path = listing.blob(file).with_name(LEFT[left].format(digest=file.digest, **this_process()))
    path.parent.mkdir(parents=True)
    contents = {"a half": whole[:50], "garbage": b"?" * 50, "all": whole, "too much": whole * 4, "nothing": b""}
    path.write_bytes(contents[content])
    os.utime(path, (1, 1))
    if content == "garbage":
        with pytest.raises(Unavailable, match="was removed; run it again"):
            fetch(model())
    folder = fetch(model())
    assert (folder / file.name).read_bytes() == whole
    assert bool(hub.resumed) == (content in ("a half", "garbage"))
    assert not [blob for blob in blobs(folder) if "partial" in blob]


def test_what_another_process_or_machine_fetches_now_is_not_waited_for_and_not_touched(hub: Hub) -> None:
    listing = hub_download.listing(model())
    (file,) = [f for f in listing.files if f.name == "config.json"]
    parent = {"host": this_process()["host"], "pid": os.getppid(), "pid_started": started(os.getppid())}
    others = [
        listing.blob(file).with_name(f"{file.digest}.{'+'.join(map(str, words))}+abcdef01.partial")
        for words in (parent.values(), ("another", 1, 1))
    ]
    others[0].parent.mkdir(parents=True)
    for path in others:
        path.write_bytes(b"?")
    folder = fetch(model())
    assert (folder / "config.json").read_bytes() == b"{}"
    assert [path.read_bytes() for path in others] == [b"?", b"?"]


def test_what_was_left_of_a_download_that_another_process_completed_is_removed(hub: Hub) -> None:
    folder = fetch(model())
    left = (folder / "config.json").resolve()
    left = left.with_name(f"{left.name}.{this_process()['host']}+4194305+1+abcdef01.partial")
    left.write_bytes(b"{")
    fetch(model())
    assert not left.exists()


def test_a_file_that_was_published_too_long_is_fetched_anew_and_counted(hub: Hub) -> None:
    folder = fetch(model())
    path = (folder / "model-00001-of-00002.safetensors").resolve()
    path.write_bytes(tensors() * 4)
    assert "cut short or damaged" in hub_files.lacking(model())
    assert hub_download.listing(model()).to_fetch() == len(tensors())
    fetch(model())
    assert path.read_bytes() == tensors()
    assert hub_files.lacking(model()) == ""


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "chat_template.jinja", "model-00001-of-00002.safetensors", "merges.txt"]
)
@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_a_copy_of_the_cache_that_broke_off_is_told_offline_by_its_file(name: str, harm: str, hub: Hub) -> None:
    hub.models[SOURCE]["merges.txt"] = b"a b\nc d\n"
    folder = fetch(model())
    path = (folder / name).resolve()
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-1])
        assert f"{folder / name} is cut short or damaged" in hub_files.lacking(model())
    else:
        path.unlink()
        assert name in hub_files.lacking(model())
    fetch(model())
    assert hub_files.lacking(model()) == ""


# -- what is refused


def test_a_revision_that_is_not_pinned_is_refused_with_the_commit_to_write(hub: Hub) -> None:
    for revision in ("", "main"):
        with pytest.raises(UserError, match=f"the hub names {hub.commit} now, of 2024-11-05"):
            hub_download.listing(model(revision))


def test_a_commit_that_the_hub_does_not_know_is_named(hub: Hub) -> None:
    with pytest.raises(UserError, match=f"has no commit {'0' * 40}"):
        hub_download.listing(model("0" * 40))


def test_a_model_that_is_not_there_or_private_is_a_users_error(hub: Hub) -> None:
    hub.models.clear()
    with pytest.raises(UserError, match=r"the hub has no lab/photo-model, or it is private.*hf auth login"):
        hub_download.listing(model())


@pytest.mark.parametrize("token", ["", "hf_SECRETsecret"])
def test_a_gated_model_tells_how_to_get_access_and_never_the_token(
    hub: Hub,
    token: str,
    conf: Callable[..., str],
    command_line: Paceline,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    hub.gated.add(SOURCE)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    code, out, err = command_line("prepare", "model=photo", "--conf", conf())
    assert code == 2
    assert f"ask for access on {hub.url}/{SOURCE}" in err
    assert "hf auth login" in err
    assert ("Bearer hf_SECRETsecret" in hub.logins) == bool(token)
    assert "SECRET" not in out + err
    for path in (tmp_path / "root", tmp_path / "hf"):
        assert not any("SECRET" in p.read_text(errors="replace") for p in path.rglob("*") if p.is_file())


def test_no_network_is_told_as_such_and_is_no_users_error(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="can't be reached"):
        hub_download.listing(model())


def test_an_offline_shell_is_told_of(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set here"):
        hub_download.listing(model())


# -- the command


def test_prepare_says_what_it_fetches_what_is_free_and_where_it_went(
    hub: Hub, conf: Callable[..., str], command_line: Paceline, tmp_path: Path
) -> None:
    code, out, err = command_line("prepare", "model=photo,tiny_pixtral", "--conf", conf())
    assert code == 0, err
    assert "0.0 GiB to fetch into" in err
    assert "GiB free (the file system)" in err
    assert f"photo: {SOURCE} at c0ffeec0ffee: 7 files, 0.0 GiB fetched and checked" in out
    assert "tiny_pixtral: a twin, built where it runs; nothing to fetch" in out
    downloads = hub.downloads()
    code, out, err = command_line("prepare", "model=photo", "--conf", conf())
    assert code == 0
    assert "was there" in out
    assert "to fetch" not in err
    assert hub.downloads() == downloads


def test_prepare_asks_for_room_before_it_fetches(
    hub: Hub, conf: Callable[..., str], command_line: Paceline, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs

    def full(path: object) -> os.statvfs_result:
        found = list(real(path))  # type: ignore[call-overload]
        found[3] = found[4] = 10
        return os.statvfs_result(found)

    monkeypatch.setattr(os, "statvfs", full)
    code, _, err = command_line("prepare", "model=photo", "--conf", conf())
    assert code == 3
    assert "no room; set HF_HOME to a folder on a larger disk" in err
    assert hub.downloads() == 0


def test_prepare_of_a_model_at_a_branch_ends_with_two_and_the_hash(
    hub: Hub, conf: Callable[..., str], command_line: Paceline
) -> None:
    code, _, err = command_line("prepare", "model=photo", "--conf", conf("main"))
    assert code == 2
    assert hub.commit in err
    # ... which may be given at once, to try it
    assert command_line("prepare", "model=photo", f"model.revision={hub.commit}", "--conf", conf("main"))[0] == 0


def test_fetching_imports_no_torch(hub: Hub, conf: Callable[..., str], tmp_path: Path) -> None:
    script = (
        "import sys\n"
        f"sys.argv = ['paceline', 'prepare', 'model=photo', '--conf', {conf()!r}]\n"
        "from paceline.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'wandb'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    own = {**os.environ, "PACELINE_ROOT": str(tmp_path / "root")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=own)
    assert done.returncode == 0, done.stderr


# -- what is there


def test_a_shard_that_is_cut_short_is_no_whole_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    path = tmp_path / "model.safetensors"
    path.write_bytes(tensors())
    spec = ModelSpec(name="mine", weights=str(tmp_path))
    assert hub_files.lacking(spec) == ""
    path.write_bytes(tensors()[:-1])
    assert "cut short or damaged" in hub_files.lacking(spec)
    path.unlink()
    assert "no weights" in hub_files.lacking(spec)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"w": "model-00001-of-00001.safetensors"}}')
    assert "model-00001-of-00001.safetensors" in hub_files.lacking(spec)


def test_a_twin_lacks_nothing() -> None:
    assert hub_files.lacking(ModelSpec(name="t")) == ""


def test_the_cache_is_where_the_hubs_library_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)"
    for changed in (
        {},
        {"HF_HOME": str(tmp_path)},
        {"HF_HUB_CACHE": str(tmp_path / "c")},
        {"XDG_CACHE_HOME": str(tmp_path)},
    ):
        for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "HUGGINGFACE_HUB_CACHE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in changed.items():
            monkeypatch.setenv(name, value)
        said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
        assert str(hub_files.cache()) == said


names = st.sampled_from(
    [
        "config.json",
        "tokenizer.model",
        "vocab.txt",
        "a.py",
        "sub/b.py",
        "model.safetensors",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
        "pytorch_model-00001-of-00001.bin",
        "model.fp16.safetensors",
        "consolidated.00.pth",
        "original/params.json",
        "original/consolidated.00.pth",
        "onnx/model.onnx",
        "flax_model.msgpack",
        "tf_model.h5",
        "training_args.bin",
        "photo.png",
        "additional_chat_templates/tool.jinja",
    ]
)


@given(st.sets(names), st.booleans())
def test_of_any_repository_one_set_of_weights_is_taken(found: set[str], code: bool) -> None:
    taken = hub_files.needed(found, code)
    assert set(taken) <= found
    assert taken == sorted(taken)
    kinds = {(n.endswith(".bin"), "-of-" in n) for n in taken if n.endswith((".safetensors", ".bin"))}
    assert len(kinds) <= 1
    if any(n.startswith("model") and n.endswith(".safetensors") and "fp16" not in n for n in found):
        assert kinds and not any(n.endswith(".bin") for n in taken)
    assert code or not any(n.endswith(".py") for n in taken)
    assert not any(n.startswith("original/") or "consolidated" in n or n.endswith((".png", ".h5")) for n in taken)


@given(st.binary(max_size=100))
def test_digests_are_the_hubs_own(content: bytes) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        path = Path(file.name)
        good = [(path, sha256(content)), (path, blob_id(content))]
        assert list(hub_files.mismatches(good, 0, silent)) == []
        assert list(hub_files.mismatches([(path, "0" * 64), (path, "0" * 40)], 0, silent)) == [path, path]
