"""The code that a sweep runs: where it lies, what state it is in, and a frozen copy of it.

A queued job must not change because its author goes on editing. So a submission copies ``src``, ``conf`` and ``jobs``
(tracked and new files, not ignored ones), with a lab's own modules in the places that they are imported from, under the
storage root, named by their content, and jobs import from there.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from paceline import plugins
from paceline.errors import Unavailable
from paceline.plugins import STAMP
from paceline.store.files import SCHEMA, write_json
from paceline.store.root import Store

PARTS = ("src", "conf", "jobs")


def shipped(name: str) -> Path:
    """The folder ``conf`` or ``jobs``: beside ``src`` in a clone or snapshot, inside the package in a wheel."""
    package = Path(__file__).resolve().parents[1]
    beside = package.parents[1] / name
    return beside if beside.is_dir() else package / "shipped" / name


def source_tree() -> Path:
    """The folder that holds ``src``, ``conf`` and ``jobs`` of the running code."""
    return shipped("jobs").parent


def code_state(source: Path) -> dict[str, Any]:
    """``{commit, changed: [files]}`` of a clone; empty where there is no git."""
    try:
        commit = _git(source, "rev-parse", "HEAD").strip()
        changed = _git(source, "status", "--porcelain", "--", *PARTS).splitlines()
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": commit, "changed": changed}


def _git(source: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(source), *words], capture_output=True, text=True, timeout=20, check=True)
    return done.stdout


def code_files(source: Path) -> dict[Path, Path]:
    """The files that a snapshot holds: place in it -> file, in order; a lab's own modules among them."""
    files = {path: source / path for path in _own_files(source)}
    if not (source / "src").is_dir():  # installed from a wheel, which has the package elsewhere
        package = Path(__file__).resolve().parents[1]
        modules = (p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        files |= {Path("src/paceline", p.relative_to(package)): p for p in modules if not p.is_relative_to(source)}
    files |= {Path(place): file for place, file in plugins.frozen_files().items()}
    return dict(sorted(files.items()))


def _own_files(source: Path) -> list[Path]:
    try:
        listed = _git(source, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PARTS)
        paths = [Path(name) for name in listed.split("\0") if name]
    except (OSError, subprocess.SubprocessError):
        paths = [p.relative_to(source) for part in PARTS for p in (source / part).rglob("*")]
    return [p for p in paths if (source / p).is_file() and "__pycache__" not in p.parts]


def code_digest() -> str:
    """The name under which the running code is frozen: of the names and the content of its files."""
    source = source_tree()
    if (source / STAMP).exists():  # already running from a snapshot
        return source.name
    total = hashlib.sha256()
    for path, file in code_files(source).items():
        content = file.read_bytes()
        total.update(f"{path}\0{len(content)}\0".encode() + content)
    return total.hexdigest()[:16]


def freeze(store: Store) -> str:
    """Copy the running code under the root, once per content, and return its digest."""
    source, code = source_tree(), code_digest()
    target = store.code(code)
    if target.exists() or (source / STAMP).exists():
        return code
    files = code_files(source)
    draft = target.with_name(f".{code}.{secrets.token_hex(4)}.tmp")
    try:
        for path, file in files.items():
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, draft / path)
            # What a lab keeps from others stays kept from them; the clone is for whoever resumes the sweep.
            (draft / path).chmod(0o444 if file == source / path else file.stat().st_mode & 0o444)
        stamp = {"schema": SCHEMA, "digest": code, "time": time.time(), "plugins": plugins.frozen_names()}
        write_json(draft / STAMP, {**stamp, **code_state(source)})
        draft.rename(target)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        if target.exists():  # another submission froze the same code in the meantime
            return code
        raise Unavailable(f"can't write {target}: {error.strerror}; free space or choose another root=") from error
    return code


def environment(store: Store, code: str) -> dict[str, str]:
    """Variables with which a process imports the snapshot instead of the clone."""
    before = os.environ.get("PYTHONPATH")
    path = str(store.code(code) / "src")
    return {"PYTHONPATH": f"{path}:{before}" if before else path, "PYTHONDONTWRITEBYTECODE": "1"}
