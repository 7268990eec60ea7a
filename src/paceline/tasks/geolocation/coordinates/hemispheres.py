"""Hemispheres: "N", "W", "north", "östlich", before a number or behind it."""

from __future__ import annotations

from paceline.tasks.geolocation.coordinates.tokens import SIGN, WORD, Tokens
from paceline.tasks.geolocation.coordinates.values import Bearing, Value
from paceline.tasks.geolocation.coordinates.words import (
    DOUBTFUL,
    FILLER,
    FOREIGN_LETTER,
    HEMISPHERE_LETTER,
    HEMISPHERE_WORD,
    axis_of,
)

_BEFORE_A_HALF = ("(", "[", ",", "in", "of", "the", "-")
_FIELD_OF_A_HALF = ("dir", "direction", "ref", "hemisphere", "hemi")
_AROUND_A_FIELD = frozenset([",", '"', "'", ":", "=", ";", "|", "-", ">", "}", "{", "gps"])
_FIELD_REACH = 10  # tokens between a number and the letter of its field
_FOLLOWERS = ("and", "latitude", "longitude", "lat", "lon", "long", "by")


def letter(tokens: Tokens, i: int) -> Bearing | None:
    """A free hemisphere letter at token ``i``: "N", "s"; a small letter is not firm. Not the "S" of "U.S"."""
    token = tokens.at(i)
    if token is None or i in tokens.claimed or token.lower not in HEMISPHERE_LETTER:
        return None
    if tokens.lower(i - 1) == "'" and tokens.glued(i) and i >= 2 and tokens[i - 2].kind == WORD:
        return None  # "Paris's"
    if tokens.lower(i - 1) == "." and tokens.glued(i) and i >= 2 and tokens[i - 2].kind == WORD:
        return None  # "U.S"
    if tokens.lower(i + 1) == "." and tokens.glued(i + 1) and tokens.glued(i + 2) and tokens[i + 2].kind == WORD:
        return None  # "E.g"
    return Bearing(*HEMISPHERE_LETTER[token.lower], token.text.isupper())


def behind(tokens: Tokens, value: Value, k: int, known: Bearing) -> tuple[Bearing, int, int] | None:
    """A hemisphere from token ``k`` on, perhaps in brackets: "48.8566° N", "48.8566 (N)", "48.8566 degrees north".

    Returns:
        The bearing, its token, and the token behind it; None where no hemisphere of this number stands there.
    """
    if tokens.lower(k) == ")" and tokens.lower(value.first - 1) == "(" and letter(tokens, k + 1) is not None:
        k += 1  # "(33.45°)S"
    half = _half_behind(tokens, value, k) or _field_behind(tokens, value, k)
    if half is not None:
        return half
    bracket = tokens.lower(k) in ("(", "[") and tokens.lower(k + 2) in (")", "]")
    at = k + 1 if bracket else k
    if tokens.lower(at) in ("of", "in") and tokens.lower(at + 1) in HEMISPHERE_WORD:
        at += 1  # "degrees of northern latitude"
    end = at + 2 if bracket else at + 1
    if not tokens.same_line(value.last, at):
        return None
    token = tokens.lower(at)
    by_letter = letter(tokens, at)
    if by_letter is not None:
        bearing = _letter_behind(tokens, value, at, known, by_letter)
    elif token in HEMISPHERE_WORD and (value.marked or token not in FILLER):
        bearing = _word_behind(tokens, value, at, known, bracket=bracket)
    else:
        bearing = None
        if (value.marked or (value.labelled and _ends_like_one(tokens, at))) and _is_of_some_language(tokens, at):
            # "O" is east in German and west in Spanish and French; a guess would be an invention.
            value.invalid = True
    return None if bearing is None else (bearing, at, end)


def _half_behind(tokens: Tokens, value: Value, k: int) -> tuple[Bearing, int, int] | None:
    """ "33.45 (southern hemisphere)", "33.45, in the Southern Hemisphere"."""
    at = k
    while at < k + 4 and tokens.lower(at) in _BEFORE_A_HALF:
        at += 1
    if tokens.lower(at) not in HEMISPHERE_WORD or tokens.lower(at + 1) not in ("hemisphere", "hemi"):
        return None
    if not (value.labelled or value.marked) or not tokens.same_line(value.last, at + 1):
        return None
    return Bearing(*HEMISPHERE_WORD[tokens.lower(at)], firm=True), at, at + 2


def _field_behind(tokens: Tokens, value: Value, k: int) -> tuple[Bearing, int, int] | None:
    """A field of its own: ``33.4489, "lat_dir": "S"``, "GPSLatitude=33.4489 GPSLatitudeRef=S", (33.4489, 'S', …)."""
    at, named = k, False
    while at < k + _FIELD_REACH and not (tokens.lower(at) in HEMISPHERE_WORD or tokens.lower(at) in HEMISPHERE_LETTER):
        lower = tokens.lower(at)
        named = named or lower.endswith(_FIELD_OF_A_HALF)
        if lower not in _AROUND_A_FIELD and not lower.endswith(_FIELD_OF_A_HALF) and axis_of(lower) is None:
            return None
        at += 1
    bearing = HEMISPHERE_WORD.get(tokens.lower(at)) or HEMISPHERE_LETTER.get(tokens.lower(at))
    quoted = at == k + 2 and tokens.lower(k) == "," and tokens.lower(k + 1) == tokens.lower(k + 3) != ","
    quoted = quoted and tokens.lower(at + 2) not in (":", "=")  # ``"n": 48.9, "s": 48.8``
    if (
        bearing is None
        or at in tokens.claimed
        or not (named or quoted)
        or tokens[at].line > tokens[value.last].line + 1
    ):
        return None
    if value.labelled and not named:
        return None
    tokens.claimed.update(j for j in range(k, at) if axis_of(tokens.lower(j)) is not None)
    return Bearing(*bearing, firm=True), at, k


def _is_of_some_language(tokens: Tokens, i: int) -> bool:
    """Token ``i`` is the letter of a hemisphere in a language that is not plain: "2,3522° O"."""
    text, lower = tokens[i].text, tokens.lower(i)
    return lower in FOREIGN_LETTER and (text.isupper() or lower == "o" or not text.isascii())


def _ends_like_one(tokens: Tokens, i: int) -> bool:
    """A letter behind a label's number that no word follows: "longitude 2,3578 O."; not the "I" of "2.35 I think"."""
    follower = tokens.at(i + 1)
    ends = follower is None or follower.kind == SIGN or not tokens.same_line(i, i + 1)
    return ends and (tokens.lower(i) == "o" or not tokens[i].text.isascii())


def _letter_behind(tokens: Tokens, value: Value, at: int, known: Bearing, by_letter: Bearing) -> Bearing | None:
    """ "74.0060 W", "74.0060w", "74.0060° w"; not in "123 N Main Street" nor the W of "N 40.7 W 74.0"."""
    named = name_follows(tokens, at + 1)
    if not value.marked and value.decimals == 0 and not value.labelled and named:
        value.bad = True
    counts = tokens.lower(at + 1) == "of" and _counts_from_zero(tokens, at + 2)
    if (tokens.lower(at + 1) == "of" and not counts) or (known.sign != 0 and by_letter.axis != known.axis):
        return None
    if not by_letter.firm and are_small_letters(tokens, value.last if at > value.last else at - 1, 1):
        return Bearing(by_letter.axis, by_letter.sign, True)
    attached = tokens.glued(at) or value.marked or by_letter.firm
    if not attached or (known.axis not in (None, by_letter.axis) and not by_letter.firm):
        return None
    tentative = (not by_letter.firm and not value.marked) or named
    return Bearing(by_letter.axis, by_letter.sign, not tentative)


def _word_behind(tokens: Tokens, value: Value, at: int, known: Bearing, *, bracket: bool) -> Bearing | None:
    """ "48.8566 degrees north", "48.8566 (North)"; not "5 north of Paris"."""
    if tokens.lower(at + 1) in ("of", "from", "side", "coast", "part") and not _counts_from_zero(tokens, at + 2):
        return None
    axis, sign = HEMISPHERE_WORD[tokens.lower(at)]
    if known.sign != 0 and axis != known.axis:
        return None
    follower = tokens.at(at + 1)
    alone = (
        bracket or follower is None or follower.lower == "of" or follower.kind == SIGN
        or not tokens.same_line(at, at + 1) or follower.lower in _FOLLOWERS
    )  # fmt: skip
    return Bearing(axis, sign, value.marked or (alone and tokens.lower(at) not in DOUBTFUL))


def _counts_from_zero(tokens: Tokens, i: int) -> bool:
    """ "north of the equator", "west of Greenwich"."""
    j = i + 1 if tokens.lower(i) == "the" else i
    return tokens.lower(j) in ("equator", "greenwich", "prime")


def are_small_letters(tokens: Tokens, number: int, step: int) -> bool:
    """Small letters of both axes stand at two numbers, both behind (``step`` 1) or both before: "40.7 n, 74.0 w"."""
    own = _small_letter(tokens, number + step)
    if own is None:
        return False
    others = [k for k in (*range(number + 1, number + 5), *range(number - 1, number - 5, -1)) if tokens.is_number(k)]
    return any((other := _small_letter(tokens, k + step)) is not None and other != own for k in others)


def _small_letter(tokens: Tokens, i: int) -> str | None:
    """The axis of a small letter that no word follows."""
    token = tokens.at(i)
    if token is None or token.text not in HEMISPHERE_LETTER or tokens.lower(i - 1) == "'" or tokens.lower(i + 1) == "'":
        return None
    follower = tokens.at(i + 1)
    if (
        follower is not None
        and follower.kind == WORD
        and follower.lower not in _FOLLOWERS
        and follower.line == token.line
    ):
        return None
    return HEMISPHERE_LETTER[token.text][0]


def name_follows(tokens: Tokens, i: int) -> bool:
    """Token ``i`` is a capitalised word that is neither label nor hemisphere: "5 W Main Street"."""
    token = tokens.at(i)
    return (
        token is not None and token.kind == WORD and token.text[0].isupper() and len(token.text) > 1
        and tokens.same_line(i - 1, i) and axis_of(token.lower) is None and token.lower not in HEMISPHERE_WORD
        and not token.text.isupper()
    )  # fmt: skip
