"""What a sweep left out, and in what it differs from what is asked for, in lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from paceline.counted import counted


def left_out(dropped: Iterable[Mapping[str, Any]]) -> list[str]:
    """What a sweep left out, a line for each reason: the names that its points share, their number, the reason."""
    points: dict[str, list[Mapping[str, str]]] = {}
    for drop in dropped:
        points.setdefault(drop["reason"], []).append(drop["point"])
    lines = []
    for reason, members in points.items():
        shared = [name for group, name in members[0].items() if all(p[group] == name for p in members)]
        count = counted(len(members), "point")
        named = " · ".join(filter(None, shared))
        which = f"{named} ({count})" if named and len(members) > 1 else named or count
        lines.append(f"left out: {which}: {reason}")
    return lines


def difference(name: str, old: set[str], new: set[str]) -> str:
    """What a sweep has and what is asked for, in one line that ends with the remedy."""

    def some(ids: set[str]) -> str:
        shown = sorted(ids)
        return f"{len(shown)} ({', '.join(shown[:3])}{', …' if len(shown) > 3 else ''})"

    parts = []
    if new - old:
        parts.append(f"{some(new - old)} not in it")
    if old - new:
        parts.append(f"without {some(old - new)} of its own")
    return (
        f"sweep '{name}' is taken by other cells: asked for {counted(len(new), 'cell')}, {' and '.join(parts)}; "
        "give name=OTHER for a new sweep or --extend to add to this one"
        + (", or --mend to put them in the place of its own that failed or never began" if old - new else "")
    )
