"""Pairs whose numbers have a stated axis: both of them, or one beside a bare number."""

from __future__ import annotations

from collections.abc import Sequence

from paceline.tasks.geolocation.coordinates.gaps import join
from paceline.tasks.geolocation.coordinates.tokens import WORD, Token, Tokens
from paceline.tasks.geolocation.coordinates.values import Pair, Value
from paceline.tasks.geolocation.coordinates.words import words

_REACH_OF_LABELS = 250  # characters between two labelled numbers
_REACH_OF_HEMISPHERES = 70
_SAME_PLACE = words("it its the and also this my i in for longitude latitude that with")


def make_pair(tokens: Tokens, a: Value, b: Value, latitude: float, longitude: float, *, ordered: bool) -> Pair:
    """The pair of two values in either order, with the place of both in the original text, a sign included."""
    first, last = min(a.first, b.first), max(a.last, b.last)
    start, end = tokens[first].start, tokens[last].end
    signed = tokens[first - 1].start if tokens.signed(first) else start
    span = tokens.plain.origin[signed], tokens.plain.ends[end - 1]
    # Adding 0.0 turns -0.0 into 0.0.
    return Pair(latitude + 0.0, longitude + 0.0, start, end, span, ordered, valid=not (a.invalid or b.invalid))


def pair_stated(tokens: Tokens, values: Sequence[Value], used: set[int]) -> list[Pair]:
    """Consecutive values of different axes: "Latitude: 48.8566, Longitude: 2.3522", "40.7128° N, 74.0060° W".

    Args:
        used: positions in ``values`` that belong to a pair; those found are added.
    """
    pairs: list[Pair] = []
    known = [n for n, v in enumerate(values) if v.axis is not None and not v.ranged and not v.bad]
    k = 0
    while k + 1 < len(known):
        m, n = known[k], known[k + 1]
        a, b = values[m], values[n]
        if a.axis == b.axis or _is_road(a, b) or is_cut_off(tokens, a, b) or not _is_near(tokens, values, m, n):
            k += 1
            continue
        lat, lon = (a, b) if a.axis == "lat" else (b, a)
        pairs.append(make_pair(tokens, lat, lon, lat.degrees, lon.degrees, ordered=True))
        used.update((m, n))
        k += 2
    return pairs


def _is_road(a: Value, b: Value) -> bool:
    """ "E40, N7": whole numbers behind bare letters, east or west first, are roads."""
    return a.axis == "lon" and all(
        v.decimals == 0 and v.first == v.last and v.hemisphere and not v.marked and not v.labelled for v in (a, b)
    )


def is_cut_off(tokens: Tokens, a: Value, b: Value, last: Value | None = None) -> bool:
    """The text stops inside the second number: "(48.8566, 2.". ``last`` is the last number of a longer list."""
    right = (last or b).last + 1
    return (
        right == len(tokens) - 1 and tokens[right].text == "." and tokens.glued(right)
        and b.decimals == 0 and a.decimals >= 3
    )  # fmt: skip


def _is_near(tokens: Tokens, values: Sequence[Value], m: int, n: int) -> bool:
    """The values ``m`` and ``n`` are near enough to be meant together."""
    a, b = values[m], values[n]
    if not b.best and any(v.ranged and v.axis is not None for v in values[m + 1 : min(n, m + 9)]):
        return False
    distance = tokens[b.first].start - tokens[a.last].end
    if a.labelled and b.labelled:
        return distance <= _REACH_OF_LABELS
    between = tokens[a.last + 1 : b.first]
    word_count = sum(t.kind == WORD for t in between)
    if a.hemisphere and b.hemisphere and a.marked and b.marked and _goes_on(between) and word_count <= 14:
        return distance <= 2 * _REACH_OF_HEMISPHERES
    if distance > _REACH_OF_HEMISPHERES:
        return False
    # Hemispheres alone bind only near each other and inside a sentence.
    same_sentence = not word_count or a.labelled or b.labelled or all(t.text != "." for t in between)
    return same_sentence and word_count <= 8


def _goes_on(between: Sequence[Token]) -> bool:
    """A new sentence of the same place: "It lies at 48.8566° N. It also lies at 2.3522° E"; it names no other."""
    stops = [n for n, token in enumerate(between) if token.text in (".", ";", "!", "?")]
    if len(stops) != 1 or stops[0] + 1 == len(between):
        return False
    behind = between[stops[0] + 1 :]
    named = any(token.kind == WORD and token.text[0].isupper() and token.text != "I" for token in behind[1:])
    return behind[0].lower in _SAME_PLACE and not named


def pair_half_stated(tokens: Tokens, values: Sequence[Value], used: set[int]) -> list[Pair]:
    """One stated axis and one bare neighbour: "40.7128, 74.0060 W", "N 48.8566, 2.3522". ``used`` as above."""
    pairs: list[Pair] = []
    for n, value in enumerate(values):
        if n in used or value.axis is None or not value.firm or value.bad or value.ranged:
            continue
        for m in (n + 1, n - 1):
            if 0 <= m < len(values) and m not in used and _completes(tokens, values, m, n):
                other = values[m]
                latitude, longitude = (value.degrees, other.raw) if value.axis == "lat" else (other.raw, value.degrees)
                pairs.append(make_pair(tokens, value, other, latitude, longitude, ordered=True))
                used.update((n, m))
                break
    return pairs


def _completes(tokens: Tokens, values: Sequence[Value], m: int, n: int) -> bool:
    """The bare value ``m`` is the other half of its neighbour ``n``."""
    value, other = values[n], values[m]
    if (other.axis is not None and other.firm) or other.bad or other.ranged:
        return False
    a, b = (value, other) if m > n else (other, value)
    kind = join(tokens, a, b)
    if kind not in ("comma", "semi", "space", "slash") or not (other.decimals or other.marked):
        return False
    if kind in ("space", "slash") and min(a.decimals, b.decimals) < 2 and not (a.marked and b.marked):
        return False
    return not is_cut_off(tokens, a, b) and not _is_part_of_list(tokens, values, m, n)


def _is_part_of_list(tokens: Tokens, values: Sequence[Value], m: int, n: int) -> bool:
    """The bare neighbour goes on as a list, or the other axis is stated right after it: a range, [48.1, 48.9]."""
    step = 1 if m > n else -1
    k = m + step
    if not 0 <= k < len(values):
        return False
    beyond = values[k]
    if beyond.axis is not None and beyond.firm and beyond.axis != values[n].axis:
        return abs(beyond.first - values[m].last) < 12
    return step < 0 and beyond.axis is None and not beyond.bad and join(tokens, beyond, values[m]) == "comma"
