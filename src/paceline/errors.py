"""Errors that carry their exit code. The command line prints their text alone; anything else is a bug."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PacelineError(Exception):
    """Base of the errors that a user can act on: named thing, place, remedy; never a traceback."""

    exit_code = 2


class UserError(PacelineError):
    """The input is wrong: a key, a name, a file, a combination. Exit code 2."""


class DataError(UserError):
    """Prepared data is missing, changed or unreadable. A cell that meets it ends with the cause ``bad data``."""


class CellsFailed(PacelineError):
    """The command did its work, and some cells ended badly. Exit code 1."""

    exit_code = 1


class Unavailable(PacelineError):
    """Slurm, the disk or the network can't be used now. Exit code 3."""

    exit_code = 3


class ServiceUnavailable(Unavailable):
    """A service that answers for a model gave no answer for too long: the cause ``service unavailable``."""


class NonFiniteLoss(PacelineError):
    """The training loss became NaN or infinite: the cell ends with the cause ``NaN loss``."""


class FailedAudit(PacelineError):
    """Training would go wrong by the fault of the code: the cell ends with the cause ``code bug``."""


class Interrupted(PacelineError):
    """The cell was asked to stop; its state is saved. ``cause`` is one of :data:`paceline.store.causes.CAUSES`."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"stopped on request: {cause}")
        self.cause = cause


def nearest(name: str, valid: Iterable[str], most: int = 3) -> str:
    """A phrase that leads from a wrong name to the right one: the closest names, or all of a short list."""
    names = sorted(set(valid))
    close = difflib.get_close_matches(name, names, n=most, cutoff=0.5)
    # A user often types the last part of a dotted name: it leads more surely than letters that are alike.
    ends = [n for n in names if n.endswith("." + name)]
    close = list(dict.fromkeys([*ends, *close, *(n for n in names if name and name in n)]))[:most]
    if close:
        return "did you mean " + " or ".join(f"'{n}'" for n in close) + "?"
    if not names:
        return "there are none"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"valid names: {shown}"
