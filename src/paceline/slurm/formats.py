"""Values as Slurm's clients print them: times, resources, lists of names."""

from __future__ import annotations

import re

_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


def seconds(text: str) -> int | None:
    """A time limit as Slurm writes it, in seconds; None for UNLIMITED, INFINITE, nothing, and what is no time.

    ``M``, ``M:S``, ``H:M:S``, ``D-H``, ``D-H:M``, ``D-H:M:S``.
    """
    match = _TIME.fullmatch(text.strip())
    if not match:
        return None
    days, *rest = match.groups()
    parts = [int(p) for p in rest if p is not None]
    if days is not None:
        hours, minutes, left = (*parts, 0, 0)[:3]
        return ((int(days) * 24 + hours) * 60 + minutes) * 60 + left
    if len(parts) == 3:
        return (parts[0] * 60 + parts[1]) * 60 + parts[2]
    return parts[0] * 60 + (parts[1] if len(parts) == 2 else 0)


def minutes(text: str) -> int | None:
    """A time limit in whole minutes, rounded down."""
    total_seconds = seconds(text)
    return None if total_seconds is None else total_seconds // 60


def tres(text: str) -> dict[str, int]:
    """``cpu=8,mem=64G,gres/gpu:a100=2`` -> numbers, memory in MiB. What can't be read is passed over."""
    amounts = {}
    for entry in text.split(","):
        name, _, value = entry.rpartition("=")
        number = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGTP]?)", value)
        if name and number:
            scale = {"K": 1 / 1024, "": 1, "M": 1, "G": 1024, "T": 1024**2, "P": 1024**3}[number[2]]
            amounts[name.lower()] = int(float(number[1]) * scale)
    return amounts


def fields(line: str) -> dict[str, str]:
    """``Key=value Key=value`` of ``scontrol --oneliner``. A token without ``=`` is part of the value before it."""
    values: dict[str, str] = {}
    last = ""
    for token in line.split():
        key, equals, value = token.partition("=")
        if equals and key[:1].isupper():
            last = key
            values.setdefault(key, value)  # a later one would stand in a comment or a command line
        elif last:
            values[last] += f" {token}"
    return values


def name_list(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name and name not in ("(null)", "NONE"))


def names_or_all(text: str) -> tuple[str, ...] | None:
    return None if text in ("", "ALL", "(null)") else name_list(text)


def number_or_none(text: str) -> int | None:
    return int(text) if text.isdigit() else None
