"""Fetching a model's files from the hub: asked for once, resumed, and checked against the hub's digests."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from paceline.config.checks import locate_weights
from paceline.config.schema import ModelSpec
from paceline.errors import Unavailable, UserError
from paceline.models.hub_files import (
    MEGABYTE,
    Progress,
    cache,
    fetched_lengths,
    lacking,
    lengths_file,
    mismatches,
    needed,
    snapshot,
)
from paceline.store.files import SCHEMA, write_json
from paceline.store.owner import age_of, alive, this_process

_POLL_SECONDS = 0.5
_STREAMS = 4
# A download on another machine that has brought nothing for so long has ended; what it left is gone on with.
_STALLED_SECONDS = 600.0


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
        return sum(f.size - self._begun(f) for f in self.absent())

    def here(self) -> int:
        """Bytes in the cache, those of an interrupted download counted."""
        return self.bytes - self.to_fetch()

    def _begun(self, file: File) -> int:
        if _size(self.blob(file)) == file.size:
            return file.size
        return max((size for size in map(_size, self.partials(file)) if size <= file.size), default=0)

    def blob(self, file: File) -> Path:
        """Where the content of a file lies."""
        return self.folder.parents[1] / "blobs" / file.digest

    def partials(self, file: File) -> list[Path]:
        """Where the content of a file lies while it comes: a file for each process that fetches it, or that ended."""
        return list(self.blob(file).parent.glob(f"{file.digest}.*partial"))


def _size(path: Path) -> int:
    """Bytes of a file; -1 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


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


def newest(model: ModelSpec) -> tuple[str, str]:
    """The newest commit of a hub model's main branch, and its day in parentheses, or nothing.

    Raises:
        UserError: no such model, or the hub must not be asked here.
        Unavailable: the hub gives no answer.
    """
    info = _info(model, None)
    return str(info.sha), f" ({info.last_modified:%Y-%m-%d})" if getattr(info, "last_modified", None) else ""


def _dated(info: Any) -> str:
    return f", of {info.last_modified:%Y-%m-%d}" if getattr(info, "last_modified", None) else ""


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _info(model: ModelSpec, revision: str | None) -> Any:
    from huggingface_hub import HfApi

    with _said_plainly(model):
        return HfApi(endpoint=_endpoint()).model_info(model.weights, revision=revision, files_metadata=True)


def page_of(model: ModelSpec) -> str:
    """The address of a model's page on the hub."""
    return f"{_endpoint() or 'https://huggingface.co'}/{model.weights}"


@contextlib.contextmanager
def _said_plainly(model: ModelSpec) -> Iterator[None]:
    """The hub library's errors as ours: what to do about them, and nothing of the request, which may hold a token."""
    offline = UserError("HF_HUB_OFFLINE is set here, so the hub is not asked; unset it to fetch a model")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise offline
    from huggingface_hub import errors

    page = page_of(model)
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
            second call fetches anew.
    """
    absent = sorted(wanted.absent(), key=lambda f: f.name == "config.json")
    if absent:
        with _said_plainly(model):
            wanted.blob(absent[0]).parent.mkdir(parents=True, exist_ok=True)
            with _told(wanted, progress):
                _fetch_all(model, wanted, absent)
    for left in (path for file in wanted.files for path in wanted.partials(file) if _left(path)):
        with contextlib.suppress(OSError):  # another user's
            left.unlink()
    _keep_lengths(wanted)
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

    blob = wanted.blob(file)
    if _size(blob) != file.size:
        with _partial(wanted, file) as partial, partial.open("ab") as stream:
            if stream.tell() > file.size:
                stream.seek(stream.truncate(0))
            url = hf_hub_url(wanted.source, file.name, revision=wanted.revision, endpoint=_endpoint())
            headers = build_hf_headers()
            place = get_hf_file_metadata(url).location
            if urlsplit(place).netloc != urlsplit(url).netloc:  # a content network, which the login is none of
                headers.pop("authorization", None)
            if (begun := stream.tell()) < file.size:
                http_get(place, stream, resume_size=begun, headers=headers, expected_size=file.size, tqdm_class=bar)
            stream.flush()
            os.fsync(stream.fileno())
            if list(mismatches([(partial, file.digest)], 0, lambda *_: None)):
                partial.unlink(missing_ok=True)
                raise Unavailable(
                    f"model {model.name}: {file.name} is not what the hub says, and was removed; run it again"
                )
            partial.replace(blob)
    _link(wanted.folder / file.name, blob)


@contextlib.contextmanager
def _partial(wanted: Listing, file: File) -> Iterator[Path]:
    """A file of this process alone for what comes, so that no lock is needed: many file systems honour none.

    It goes on with the longest one of a process that ended. Of several that take it over, one can rename it.
    """
    words = {**this_process(), "token": secrets.token_hex(4)}
    own = wanted.blob(file).with_name(f"{file.digest}.{'+'.join(map(str, words.values()))}.partial")
    _coming.add(own)
    try:
        for left in sorted(filter(_left, wanted.partials(file)), key=_size, reverse=True):
            with contextlib.suppress(OSError):  # another process took it, or it is another user's
                if os.access(left, os.W_OK):
                    left.rename(own)
                    break
        yield own
    finally:
        _coming.discard(own)


# Of the threads of this process.
_coming: set[Path] = set()


def _left(partial: Path) -> bool:
    """Whether nothing writes to a partial file any more. Earlier versions named no process; they end at our rename."""
    words = partial.name.split(".", 1)[1].removesuffix("partial").rstrip(".").rsplit("+", 3)
    if len(words) < 4:
        return True
    host, pid, started, _ = words
    if host == this_process()["host"] and pid == str(os.getpid()) and started == this_process()["pid_started"]:
        return partial not in _coming
    if host == this_process()["host"] and started != "None":
        return not alive({"host": host, "pid": pid, "pid_started": started}, None)
    return (age_of(partial) or 0.0) > _STALLED_SECONDS


def _keep_lengths(wanted: Listing) -> None:
    """Keep what the hub said of lengths, by which a copy of the cache that broke off is told offline."""
    lengths = {**fetched_lengths(wanted.folder), **{f.name: f.size for f in wanted.files}}
    if lengths != fetched_lengths(wanted.folder):
        with contextlib.suppress(Unavailable):  # a cache that others wrote, and that this user may only read
            write_json(lengths_file(wanted.folder), {"schema": SCHEMA, "files": lengths})


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
