"""The lock of a folder: of a root, held while a process decides what to submit."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from paceline.errors import Unavailable
from paceline.store.files import unwritable
from paceline.store.owner import age_of, alive, this_process

MUTEX_WAIT_SECONDS = 20.0
MUTEX_STALE_SECONDS = 120.0


def _left(held: Path) -> bool:
    """Whether the holder of a mutex died: known at once on its own host, and by an age that no decision reaches."""
    for token in held.glob("*"):  # one, or none for a moment
        with contextlib.suppress(OSError, ValueError):
            owner = json.loads(token.read_text())
            if owner["host"] == this_process()["host"] and not alive(owner, None):
                return True
    return (age_of(held) or 0.0) > MUTEX_STALE_SECONDS


def _move_away(held: Path) -> None:
    """Take a left-over mutex away. Another process may have put a fresh one in its place meanwhile: that goes back."""
    aside = held.with_name(f".{held.name}.{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        held.rename(aside)
        if _left(aside):
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(held)


@contextlib.contextmanager
def mutex(root: Path, name: str = "submitting", held_by: str = "another submit is deciding") -> Iterator[None]:
    """Only one process at a time decides what to submit under this root. Held for a moment, never while cells run.

    Under another ``name`` it holds for something else; ``held_by`` says who has it, for the message.

    A folder made by ``mkdir``, because shared file systems break locks. One that is older than any decision
    takes was left by a process that died, and is moved away.

    Raises:
        Unavailable: another process holds it for longer than we wait.
    """
    held = root / name
    token = secrets.token_hex(8)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(error, root) from error
    deadline = time.monotonic() + MUTEX_WAIT_SECONDS
    while True:
        try:
            held.mkdir()
            (held / token).write_text(json.dumps(this_process()))
            break
        except FileExistsError:
            if _left(held):
                _move_away(held)
                continue
        except OSError as error:
            with contextlib.suppress(OSError):  # on a full disk the folder can be made, but not the file in it
                (held / token).unlink()
                held.rmdir()
            raise unwritable(error, held) from error
        if time.monotonic() > deadline:
            raise Unavailable(f"{held_by} under {root}; try again in a minute (or remove {held} if none runs)")
        time.sleep(0.1)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (held / token).unlink()  # gone where another took it for left over; then the folder is not ours
            held.rmdir()
