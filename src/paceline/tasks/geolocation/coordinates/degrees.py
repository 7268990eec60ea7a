"""Degree marks, minutes and seconds behind a number: degrees = d + m/60 + s/3600."""

from __future__ import annotations

from paceline.tasks.geolocation.coordinates import hemispheres
from paceline.tasks.geolocation.coordinates.tokens import Token, Tokens, decimal
from paceline.tasks.geolocation.coordinates.values import Value
from paceline.tasks.geolocation.coordinates.words import DEGREE, MINUTE, SECOND


def read_minutes(tokens: Tokens, value: Value, *, prefixed: bool) -> int:
    """Read what stands behind the whole number or decimal at ``value.first``.

    Adds minutes and seconds to ``value.degrees``; sets ``marked``, ``decimals`` and, where d or m has a fraction that
    it must not have or m or s is 60 or more, ``invalid``.

    Args:
        prefixed: a hemisphere stands before the number, which proves minutes that carry no mark.

    Returns:
        The index of the next token.
    """
    i = value.first
    is_whole = "." not in tokens[i].text
    j = i + 1
    if _is_degree_mark(tokens, i, j):
        value.marked = True
        j += 2 if tokens.lower(j) in ("deg", "degs") and tokens.lower(j + 1) == "." else 1
        parts, j = marked_minutes(tokens, i, j, whole_degrees=is_whole, prefixed=prefixed)
    elif is_whole and tokens.lower(j) == ":":
        parts, j = colon_minutes(tokens, j, prefixed=prefixed)
    elif is_whole and tokens.lower(j) == "-":
        parts, j = dashed_minutes(tokens, j, prefixed=prefixed)
    elif is_whole and tokens.is_number(j) and tokens.same_line(i, j) and tokens.lower(j + 1) == "'":
        parts, j = unmarked_degrees(tokens, i, j, prefixed=prefixed)
    elif is_whole and tokens.is_number(j) and tokens.same_line(i, j):
        parts, j = spaced_minutes(tokens, i, j, prefixed=prefixed)
    else:
        return j
    if parts:
        value.marked = True
        sizes = [decimal(p.text) if len(p.text) < 40 and "e" not in p.lower else 99.0 for p in parts]
        if not is_whole or any(s >= 60 for s in sizes) or (len(parts) == 2 and "." in parts[0].text):
            value.invalid = True
        else:
            value.degrees += sum(size / 60 ** (power + 1) for power, size in enumerate(sizes))
        value.decimals = 6
    return j


def _is_degree_mark(tokens: Tokens, i: int, j: int) -> bool:
    """ "48°", "48 degrees", "48 deg.", and the d of "48d51m24sN"."""
    if tokens.lower(j) in DEGREE:
        return tokens.same_line(i, j)
    return tokens.lower(j) == "d" and tokens.glued(j) and tokens.is_number(j + 1)


def marked_minutes(tokens: Tokens, i: int, j: int, *, whole_degrees: bool, prefixed: bool) -> tuple[list[Token], int]:
    """Minutes and seconds from ``j`` on, behind a degree mark: 40° 42' 46", 40° 42.767', 40 degrees, 42 minutes."""
    k = j
    if tokens.lower(k) in (",", "and") and tokens.is_number(k + 1) and tokens.lower(k + 2) in MINUTE:
        k += 1
    if not tokens.is_number(k) or not tokens.same_line(i, k):
        return [], j
    minutes, after = tokens[k], tokens.lower(k + 1)
    if after not in MINUTE and not (after == "m" and tokens.glued(k + 1)):
        # "N 40° 42.767": the mark is left out, a hemisphere proves that these are minutes.
        proved = prefixed or hemispheres.letter(tokens, k + 1) is not None
        third = k + 1  # "48° 51 24 N"
        if whole_degrees and k == j and "." not in minutes.text and tokens.is_number(third):
            letter = hemispheres.letter(tokens, third + 1)
            if tokens.same_line(i, third) and letter is not None and letter.firm:
                return [minutes, tokens[third]], third + 1
        return ([minutes], k + 1) if k == j and proved and whole_degrees and after not in DEGREE else ([], j)
    seconds, j = _marked_seconds(tokens, i, k + 2)
    return [minutes, *seconds], j


def _marked_seconds(tokens: Tokens, i: int, j: int) -> tuple[list[Token], int]:
    """Seconds from ``j`` on, behind minutes: 46", 46'', 46s, "and 46 seconds", or 46 before a hemisphere."""
    k = j
    if tokens.lower(k) in (",", "and") and tokens.is_number(k + 1) and tokens.lower(k + 2) in SECOND:
        k += 1
    if not tokens.is_number(k) or not tokens.same_line(i, k):
        return [], j
    seconds, after = tokens[k], tokens.lower(k + 1)
    if after in SECOND or (after == "s" and tokens.glued(k + 1) and tokens[k + 1].text == "s"):
        return [seconds], k + 2
    if after == "'" and tokens.lower(k + 2) == "'":
        return [seconds], k + 3
    if k == j and hemispheres.letter(tokens, k + 1) is not None:
        return [seconds], k + 1
    return [], j


def colon_minutes(tokens: Tokens, j: int, *, prefixed: bool) -> tuple[list[Token], int]:
    """Minutes and seconds from the colon ``j`` on, with a hemisphere: "40:42:46 N", "N 40:42.767"."""
    if not _glued_number(tokens, j):
        return [], j
    third = tokens.lower(j + 2) == ":" and _glued_number(tokens, j + 2)
    end = j + 4 if third else j + 2
    if not prefixed and hemispheres.letter(tokens, end) is None:
        return [], j
    return tokens[j + 1 : end : 2], end


def _glued_number(tokens: Tokens, j: int) -> bool:
    """The sign ``j`` has a number right before and right behind it."""
    return tokens.glued(j) and tokens.glued(j + 1) and tokens.is_number(j + 1)


def spaced_minutes(tokens: Tokens, i: int, j: int, *, prefixed: bool) -> tuple[list[Token], int]:
    """Minutes and seconds from ``j`` on, with a hemisphere: "40 42 46 N", "N 40 42.767"."""
    third = tokens.is_number(j + 1) and tokens.same_line(i, j + 1) and "." not in tokens[j].text
    end = j + 2 if third else j + 1
    letter = hemispheres.letter(tokens, end)
    if tokens.lower(i - 1) == "°" and tokens.is_number(i - 2):
        return [], j  # what stands behind degrees are no degrees
    if not prefixed and (letter is None or not letter.firm):
        return [], j
    return tokens[j:end], end


def dashed_minutes(tokens: Tokens, j: int, *, prefixed: bool) -> tuple[list[Token], int]:
    """Minutes and seconds from the dash ``j`` on, with a hemisphere: "40-42-46 N"; both, as "40-42 N" is a range."""
    if not (_glued_number(tokens, j) and tokens.lower(j + 2) == "-" and _glued_number(tokens, j + 2)):
        return [], j
    letter = hemispheres.letter(tokens, j + 4)
    proved = prefixed or (letter is not None and letter.firm)
    short = len(tokens[j + 1].text) <= 2 and len(tokens[j - 1].text) <= 3
    return (tokens[j + 1 : j + 4 : 2], j + 4) if proved and short else ([], j)


def unmarked_degrees(tokens: Tokens, i: int, j: int, *, prefixed: bool) -> tuple[list[Token], int]:
    """Marked minutes from ``j`` on behind degrees without a mark, with a hemisphere: 40 42' 46" N."""
    seconds, end = _marked_seconds(tokens, i, j + 2)
    letter = hemispheres.letter(tokens, end)
    if not prefixed and (letter is None or not letter.firm):
        return [], j
    return [tokens[j], *seconds], end
