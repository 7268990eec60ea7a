"""A hub model's weights in the hub library's own cache: fetched once where there is a network, then read offline.

    <cache>/models--<owner>--<name>/
        snapshots/<revision>/<file>   links into blobs/
        blobs/<digest>                named by what the hub says of the content: sha256 of large files, git's sha1 of small
        trees/<revision>.json         the hub's list of files, as the library keeps it

Whether a model is whole is read from these files each time and never stored. Imports no torch; the hub library only
where the hub is asked.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache as kept
from pathlib import Path
from typing import Any

from paceline.errors import Unavailable, UserError
from paceline.spec import ModelSpec, locate_weights

Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``, in whole megabytes."""

MEGABYTE = 10**6
_POLL_SECONDS = 0.5
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
        """Files that are not in the cache."""
        return [f for f in self.files if not (self.folder / f.name).exists()]

    def to_fetch(self) -> int:
        """Bytes that a download would bring: of absent files, less what an interrupted one left."""
        return sum(f.size - min(f.size, self._begun(f)) for f in self.absent())

    def here(self) -> int:
        """Bytes in the cache, those of an interrupted download counted."""
        return self.bytes - self.to_fetch()

    def _begun(self, file: File) -> int:
        blob = self.folder.parents[1] / "blobs" / file.digest
        for path in (blob, blob.with_name(blob.name + ".incomplete")):
            with contextlib.suppress(OSError):
                return path.stat().st_size
        return 0


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
    if from_hub:
        absent += sorted(set(needed(_listed(folder), model.remote_code)) - there - {"config.json"})
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        absent += sorted(set(_shards(folder / index)) - there - set(absent))
    if absent:
        return f"{what}: {len(absent)} files are missing in {folder}, such as {absent[0]}"
    weights = [n for n in needed(there) if n.endswith((".safetensors", ".bin"))]
    if not weights:
        return f"{what}: no weights (model*.safetensors, pytorch_model*.bin) in {folder}"
    cut = [n for n in weights if n.endswith(".safetensors") and not _whole(folder / n)]
    return f"{what}: {folder / cut[0]} is cut short or damaged" if cut else ""


def _listed(folder: Path) -> list[str]:
    """Names in the hub's list, where the library left it; a list of another form than known tells nothing."""
    try:
        content = json.loads((folder.parents[1] / "trees" / f"{folder.name}.json").read_bytes())
        return list(content["files"]) if content["format_version"] == 1 else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


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
        raise UserError(f"model {model.name}: {'a twin' if not source else source} needs no fetching")
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
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise UserError("HF_HUB_OFFLINE is set here, so the hub is not asked; unset it to fetch a model")
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
    except errors.LocalEntryNotFoundError:
        raise Unavailable(f"{page} can't be reached; run this where there is a network, then again here") from None
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
    """Fetch what is absent, go on where an interrupted call stopped, and check all of it against the hub's digests.

    Raises:
        UserError: a gated model without access.
        Unavailable: the network or the disk gave out, which a second call goes on from; or a file came damaged, which
            is removed.
    """
    if wanted.absent():
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
        with _said_plainly(model), _told(wanted, progress):
            snapshot_download(
                wanted.source,
                revision=wanted.revision,
                cache_dir=cache(),
                endpoint=_endpoint(),
                allow_patterns=[re.sub(r"([\[*?])", r"[\1]", f.name) for f in wanted.files],
            )
    if gone := wanted.absent():
        raise Unavailable(f"model {model.name}: {gone[0].name} did not come; run it again to go on where it stopped")
    bad = list(mismatches(((wanted.folder / f.name, f.digest) for f in wanted.files), wanted.bytes, progress))
    for path in bad:
        with contextlib.suppress(OSError):
            path.resolve().unlink()
            path.unlink()
    if bad:
        raise Unavailable(
            f"model {model.name}: {len(bad)} files are not what the hub says ({bad[0].name}): they are removed; "
            f"run it again"
        )
    if told := lacking(model):
        raise UserError(f"model {model.name}: {told}; the repository does not hold what transformers needs")
    return wanted.folder


@contextlib.contextmanager
def _told(wanted: Listing, progress: Progress) -> Iterator[None]:
    """Tell how many bytes have come, by looking at the cache: whichever way the library fetches them."""
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
