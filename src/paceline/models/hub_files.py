"""A hub model's weights in the hub library's own cache: fetched once where there is a network, then read offline.

    <cache>/models--<owner>--<name>/
        snapshots/<revision>/<file>   links into blobs/; config.json is linked last, so where it is all of them are
        blobs/<digest>                named by its content: sha256 of large files, git's sha1 of small ones
        blobs/<digest>.partial        as far as an interrupted download came

The library reads this layout and could write it too, but begins an interrupted file anew, and trusts what comes if only
its length is right. So its request and its sign-in are used here, and the file is ours until its digest is right.

Whether a model is whole is read from these files each time and never stored. Imports no torch, and the hub library only
where the hub is asked.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache as kept
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from paceline.config.checks import locate_weights
from paceline.config.schema import ModelSpec
from paceline.errors import Unavailable, UserError

Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``, in whole megabytes."""

MEGABYTE = 10**6
_POLL_SECONDS = 0.5
_STREAMS = 4
_CHUNK = 1 << 22

# What transformers looks for, in its order; of several sets of the same weights only one is fetched.
_WEIGHTS = (
    re.compile(r"model\.safetensors"),
    re.compile(r"model-\d{5}-of-\d{5}\.safetensors|model\.safetensors\.index\.json"),
    re.compile(r"pytorch_model\.bin"),
    re.compile(r"pytorch_model-\d{5}-of-\d{5}\.bin|pytorch_model\.bin\.index\.json"),
)
_INDEX = re.compile(r".*\.(safetensors|bin|pt|h5|msgpack)\.index\.json")
# Configs, vocabularies, chat templates: kilobytes, except for the vocabularies.
_SMALL = (".json", ".jinja", ".txt", ".model", ".tiktoken")
_TEMPLATES = "additional_chat_templates/"


@dataclass(frozen=True)
class File:
    """A file of a hub repository.

    Attributes:
        digest: sha256 of a large file; of a small one, git's sha1 of its blob.
    """

    name: str
    size: int
    digest: str


@dataclass(frozen=True)
class Listing:
    """The files of a hub model that are needed, as the hub lists them at one commit."""

    source: str
    revision: str
    files: tuple[File, ...]

    @property
    def folder(self) -> Path:
        """Where the files lie once they are fetched."""
        return snapshot(self.source, self.revision)

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(f.size for f in self.files)

    def absent(self) -> list[File]:
        """Files that are not in the cache, or of another length there."""
        return [f for f in self.files if _size(self.folder / f.name) != f.size]

    def to_fetch(self) -> int:
        """Bytes that a download would bring: of absent files, less what an interrupted one left."""
        return sum(f.size - min(f.size, self._begun(f)) for f in self.absent())

    def here(self) -> int:
        """Bytes in the cache, those of an interrupted download counted."""
        return self.bytes - self.to_fetch()

    def _begun(self, file: File) -> int:
        return max(_size(self.blob(file)), _size(self.partial(file)), 0)

    def blob(self, file: File) -> Path:
        """Where the content of a file lies."""
        return self.folder.parents[1] / "blobs" / file.digest

    def partial(self, file: File) -> Path:
        """Where the content of a file lies while it comes."""
        return self.blob(file).with_name(f"{file.digest}.partial")


def _size(path: Path) -> int:
    """Bytes of a file; -1 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


# -- where weights are


def cache() -> Path:
    """The hub library's cache, by its own variables; asked without importing it, which would take half a second."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{base}/huggingface"
    return Path(os.path.expandvars(named or f"{home}/hub")).expanduser()


def snapshot(source: str, revision: str) -> Path:
    """The folder of a hub model's files at one commit; it need not be there."""
    return cache() / f"models--{source.replace('/', '--')}" / "snapshots" / revision


def folder_of(model: ModelSpec) -> Path | None:
    """Where a model's files are, or would be once fetched; None for a twin.

    Raises:
        UserError: no such folder, or no pinned revision.
    """
    source, revision = locate_weights(model)
    if not source:
        return None
    return Path(source) if revision is None else snapshot(source, revision)


def needed(names: Iterable[str], code: bool = False) -> list[str]:
    """Of a repository's files those that transformers reads: one set of weights, configs, vocabularies, templates.

    Left out are second copies (``original/``, ``consolidated*``, ``.bin`` beside ``.safetensors``), other
    frameworks' weights, and pictures.

    Args:
        names: paths inside the repository.
        code: also its Python files.
    """
    names = sorted(names)
    top = [n for n in names if "/" not in n]
    sets = ([n for n in top if pattern.fullmatch(n)] for pattern in _WEIGHTS)
    # An index alone holds no weights.
    weights = next((found for found in sets if any(not _INDEX.fullmatch(n) for n in found)), [])
    small = [n for n in top if n.endswith(_SMALL) and not _INDEX.fullmatch(n)]
    templates = [n for n in names if n.startswith(_TEMPLATES) and n.endswith(".jinja")]
    modules = [n for n in names if code and n.endswith(".py")]
    return sorted({*weights, *small, *templates, *modules})


def lacking(model: ModelSpec) -> str:
    """What stands in the way of loading a model offline, in one line; empty where nothing does.

    Reads names and the headers of safetensors files, so that a plan may ask it; :func:`damaged` reads all.

    Raises:
        UserError: as :func:`folder_of`.
    """
    folder = folder_of(model)
    if folder is None:
        return ""
    from_hub = not Path(model.weights).expanduser().is_dir()
    what = f"{model.weights} at {model.revision[:12]}" if from_hub else model.weights
    if not folder.is_dir():
        return f"{what} is not in {cache()}"
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    absent = [] if "config.json" in there else ["config.json"]
    if model.remote_code:
        absent += sorted(_modules(folder / "config.json") - there)
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        absent += sorted(set(_shards(folder / index)) - there - set(absent))
    if absent:
        return f"{what}: {len(absent)} files are missing in {folder}, such as {absent[0]}"
    weights = [n for n in needed(there) if n.endswith((".safetensors", ".bin"))]
    if not weights:
        return f"{what}: no weights (model*.safetensors, pytorch_model*.bin) in {folder}"
    cut = [n for n in weights if n.endswith(".safetensors") and not _whole(folder / n)]
    return f"{what}: {folder / cut[0]} is cut short or damaged" if cut else ""


def _modules(config: Path) -> set[str]:
    """Files of the code that a config names: ``auto_map: {AutoConfig: configuration_x.Name}``."""
    try:
        named = json.loads(config.read_bytes()).get("auto_map", {}).values()
    except (OSError, ValueError, AttributeError):
        return set()
    # `owner/name--module.Class` is code of another repository.
    words = [n for value in named for n in (value if isinstance(value, list) else [value]) if isinstance(n, str)]
    return {f"{n.partition('.')[0]}.py" for n in words if "--" not in n}


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [index.name]


def _whole(path: Path) -> bool:
    """Whether a safetensors file is as long as its own header says."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            size = path.stat().st_size
            if length > size:
                return False
            header = json.loads(stream.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, struct.error):
        return False
    return bool(size == 8 + length + max(ends, default=0))


# -- what is known of a model


@kept
def _facts() -> dict[str, dict[str, Any]]:
    return dict(json.loads(Path(__file__).with_name("model_facts.json").read_bytes()))


def facts(model: ModelSpec) -> dict[str, Any]:
    """What is known of a hub model before it is fetched, by its hub id; empty where nothing is."""
    return _facts().get(model.weights, {})


# -- fetching


def listing(model: ModelSpec) -> Listing:
    """Ask the hub which files a model has.

    Raises:
        UserError: a twin or a folder, which need no fetching; no such model or commit; a revision that is not
            pinned (with the commit that the hub names now); a gated model without access.
        Unavailable: the hub gives no answer.
    """
    try:
        source, revision = locate_weights(model)
    except UserError as unpinned:
        if model.weights.startswith(("/", ".", "~")) or model.weights.count("/") != 1:
            raise
        info = _info(model, model.revision or None)
        raise UserError(f"{unpinned}; the hub names {info.sha} now{_dated(info)}") from None
    if not source or revision is None:
        raise UserError(f"model {model.name}: {source or 'a twin'} needs no fetching")
    info = _info(model, revision)
    files = {s.rfilename: s for s in info.siblings or ()}
    names = needed(files, model.remote_code)
    if not any(n.endswith((".safetensors", ".bin")) for n in names):
        raise UserError(
            f"model {model.name}: {source} holds no weights that transformers reads (model*.safetensors, "
            f"pytorch_model*.bin); look for its repository in Transformers' format"
        )
    found = []
    for name in names:
        entry = files[name]
        lfs = entry.lfs
        found.append(File(name, int(entry.size or 0), str(lfs["sha256"] if lfs else entry.blob_id)))
    return Listing(source, revision, tuple(found))


def _dated(info: Any) -> str:
    return f", of {info.last_modified:%Y-%m-%d}" if getattr(info, "last_modified", None) else ""


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _info(model: ModelSpec, revision: str | None) -> Any:
    from huggingface_hub import HfApi

    with _said_plainly(model):
        return HfApi(endpoint=_endpoint()).model_info(model.weights, revision=revision, files_metadata=True)


@contextlib.contextmanager
def _said_plainly(model: ModelSpec) -> Iterator[None]:
    """The hub library's errors as ours: what to do about them, and nothing of the request, which may hold a token."""
    offline = UserError("HF_HUB_OFFLINE is set here, so the hub is not asked; unset it to fetch a model")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise offline
    from huggingface_hub import errors

    page = f"{_endpoint() or 'https://huggingface.co'}/{model.weights}"
    try:
        yield
    except errors.GatedRepoError:
        raise UserError(
            f"model {model.name}: {model.weights} is gated: ask for access on {page} with your account, then log in "
            f"here with that account's token: hf auth login (or set HF_TOKEN)"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(
            f"conf/model/{model.name}.yaml: revision: {model.weights} has no commit {model.revision}; see {page}"
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"conf/model/{model.name}.yaml: weights: the hub has no {model.weights}, or it is private: check the id, "
            f"or log in with an account that may see it: hf auth login"
        ) from None
    except errors.HfHubHTTPError as error:
        code = getattr(getattr(error, "response", None), "status_code", None)
        if code in (401, 403):
            raise UserError(
                f"model {model.name}: the hub refuses {model.weights} to this login ({code}): see {page}, and log in "
                f"with an account that has access: hf auth login (or set HF_TOKEN)"
            ) from None
        raise Unavailable(f"{page}: the hub answers {code or type(error).__name__}; try again later") from None
    except errors.OfflineModeIsEnabled:
        raise offline from None
    except OSError as error:
        if error.errno is None:
            raise Unavailable(f"{page}: the download broke off; run it again to go on where it stopped") from None
        raise Unavailable(f"can't write {cache()}: {error.strerror}; free space or set HF_HOME") from None
    except Exception as error:
        # The library's client has a tree of errors of its own, and has changed it between versions.
        client = type(error).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2", "requests")
        if not client and not isinstance(error, RuntimeError):  # what the library's part in Rust raises
            raise
        raise Unavailable(
            f"{page} can't be reached ({type(error).__name__}); run it again to go on where it stopped"
        ) from None


def download(model: ModelSpec, wanted: Listing, progress: Progress) -> Path:
    """Fetch what is absent, going on where an interrupted call stopped. What comes is checked before it counts.

    Raises:
        UserError: a gated model without access.
        Unavailable: the network or the disk gave out, which a second call goes on from; a file came damaged, which a
            second call fetches anew; or another process fetches the same.
    """
    absent = sorted(wanted.absent(), key=lambda f: f.name == "config.json")
    if absent:
        with _said_plainly(model):
            wanted.partial(absent[0]).parent.mkdir(parents=True, exist_ok=True)
            with _told(wanted, progress):
                _fetch_all(model, wanted, absent)
    if told := lacking(model):
        raise UserError(f"model {model.name}: {told}; the repository does not hold what transformers needs")
    return wanted.folder


def _fetch_all(model: ModelSpec, wanted: Listing, files: Sequence[File]) -> None:
    """Bring files into the cache, some at a time, the last of them last; an error or Ctrl-C stops all of them."""
    from huggingface_hub import utils

    utils.disable_progress_bars()
    utils.logging.set_verbosity_error()  # it would tell addresses, and that it tries again
    stop = threading.Event()

    class Bar(utils.tqdm):  # type: ignore[misc,unused-ignore]
        """Shows nothing: it is what the library calls with every piece that comes."""

        def update(self, n: float | None = 1) -> bool | None:
            if stop.is_set():
                raise Unavailable("stopped")
            return super().update(n)

    pool = ThreadPoolExecutor(_STREAMS)
    try:
        coming = [pool.submit(_fetch, model, wanted, file, Bar) for file in files[:-1]]
        for done in as_completed(coming):
            done.result()
        _fetch(model, wanted, files[-1], Bar)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _fetch(model: ModelSpec, wanted: Listing, file: File, bar: type) -> None:
    """Bring one file into the cache."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    blob, partial = wanted.blob(file), wanted.partial(file)
    if _size(blob) != file.size:
        with partial.open("ab") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unavailable(f"model {model.name}: another process fetches {file.name}; wait for it") from None
            except OSError:
                pass  # a file system without locks: two that write the same file spoil it, and its digest tells
            if stream.tell() > file.size:
                stream.truncate(0)
            url = hf_hub_url(wanted.source, file.name, revision=wanted.revision, endpoint=_endpoint())
            headers = build_hf_headers()
            place = get_hf_file_metadata(url).location
            if urlsplit(place).netloc != urlsplit(url).netloc:  # a content network, which the login is none of
                headers.pop("authorization", None)
            if file.size:
                begun = stream.tell()
                http_get(place, stream, resume_size=begun, headers=headers, expected_size=file.size, tqdm_class=bar)
            stream.flush()
            os.fsync(stream.fileno())
            if list(mismatches([(partial, file.digest)], 0, lambda *_: None)):
                partial.unlink()
                raise Unavailable(
                    f"model {model.name}: {file.name} is not what the hub says, and was removed; run it again"
                )
            partial.replace(blob)
    _link(wanted.folder / file.name, blob)


def _link(path: Path, blob: Path) -> None:
    """Let a file of a snapshot stand for its content, as the library does: by a relative link where there are links."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        draft.symlink_to(os.path.relpath(blob, path.parent))
    except OSError:
        shutil.copyfile(blob, draft)
    draft.replace(path)


@contextlib.contextmanager
def _told(wanted: Listing, progress: Progress) -> Iterator[None]:
    """Tell how many bytes have come, by looking at the files."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(_POLL_SECONDS):
            progress("MB", wanted.here() // MEGABYTE, wanted.bytes // MEGABYTE)

    thread = threading.Thread(target=look, daemon=True, name="download")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# -- digests


def damaged(model: ModelSpec, progress: Progress) -> list[Path]:
    """Files of a hub model whose content is not what its name in the cache says. Reads every byte.

    Files that are no links into the cache (a folder of the user's, a file system without links) tell no digest.
    """
    folder = folder_of(model)
    links = [p for p in sorted(folder.rglob("*")) if p.is_symlink()] if folder else []
    named = [(p, p.resolve().name) for p in links]
    return list(mismatches(named, sum(p.stat().st_size for p in links if p.exists()), progress))


def mismatches(files: Iterable[tuple[Path, str]], total: int, progress: Progress) -> Iterator[Path]:
    """Of files and their digests (sha256, or git's sha1 of a blob), those that differ or can't be read."""
    done = 0
    for path, digest in files:
        try:
            size = path.stat().st_size
            found = hashlib.sha256() if len(digest) == 64 else hashlib.sha1(f"blob {size}\0".encode())
            with path.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    found.update(chunk)
                    done += len(chunk)
                    progress("MB checked", done // MEGABYTE, total // MEGABYTE)
        except OSError:
            yield path
            continue
        if found.hexdigest() != digest:
            yield path
