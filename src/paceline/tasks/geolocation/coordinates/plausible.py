"""Whether two bare numbers can be meant as a place. To read nothing is better than to invent."""

from __future__ import annotations

from dataclasses import dataclass

from paceline.tasks.geolocation.coordinates.gaps import left_of
from paceline.tasks.geolocation.coordinates.phrases import sentence_start
from paceline.tasks.geolocation.coordinates.stated import is_cut_off
from paceline.tasks.geolocation.coordinates.tokens import NUMBER, SIGN, WORD, Token, Tokens
from paceline.tasks.geolocation.coordinates.values import Value
from paceline.tasks.geolocation.coordinates.words import (
    BRACKET_CLOSE,
    BRACKET_OPEN,
    CLOSE,
    CUE,
    ENUMERATED,
    GUESSES,
    IN_PICTURE,
    LOCATES,
    MEASURED,
    NUMBERED,
    OF_PICTURE,
    OF_TRADE,
    OPEN,
    PLACE_NOUN,
    SUBJECTS,
)

_MISLEADING = MEASURED | NUMBERED | (ENUMERATED - {"coordinates"})


@dataclass(frozen=True)
class Candidate:
    """Two bare numbers, the last number of their list, and how the two are joined."""

    a: Value
    b: Value
    last: Value
    join: str
    ordered: bool  # the text says which one is the latitude
    in_container: bool  # in a WKT or GeoJSON point
    more: bool  # a third number follows


def is_plausible(tokens: Tokens, candidate: Candidate) -> bool:
    """The rules by how the numbers are joined and written; a cue word, brackets or an order may make up for much."""
    a, b, last, kind = candidate.a, candidate.b, candidate.last, candidate.join
    if is_cut_off(tokens, a, b, last):
        return False
    cue = candidate.ordered or candidate.in_container or _has_cue(tokens, a, last)
    bracketed = _is_bracketed(tokens, a, last)
    whole = a.decimals == 0 and b.decimals == 0
    fewest, most = sorted((a.decimals, b.decimals))
    if most <= 3 and not candidate.ordered and (_is_of_trade(tokens, a) or _is_in_the_picture(tokens, a, last)):
        return False
    keyed = (
        tokens.lower(left_of(tokens, a)) == "[" and tokens.lower(left_of(tokens, a) - 1) == ":"
    )  # a corner, as in ``"sw": [0.5, 0.5]``
    if (
        most <= 3
        and not (cue or keyed or _is_alone(tokens, a, last))
        and all(0 <= v.raw <= 1 and not v.signed for v in (a, b))
    ):
        return False  # shares of a picture's width and height; on the earth it is open sea
    if most <= 2 and not bracketed and _is_named_behind(tokens, last):
        return False
    if most <= 2 and not (cue or bracketed or a.signed or b.signed) and _belongs_to_a_word(tokens, a, most):
        return False
    if bracketed and whole and tokens.lower(left_of(tokens, a) - 1) in NUMBERED:
        return False  # "Room (12, 14)"
    if max(abs(a.raw), abs(b.raw)) > (360 if whole else 1000):
        return False
    if a.marked and b.marked:
        # "turned by 45° and 30°" has degrees, too.
        return kind != "colon" and (not whole or cue or bracketed or _is_alone(tokens, a, last))
    match kind:
        case "and":
            return (cue and (not whole or candidate.ordered)) or fewest >= 4
        case "slash" | "colon":
            return fewest >= (2 if cue else 3)
        case "newline":
            return fewest >= (1 if cue else 3)
        case "space":
            return (cue and not whole) or fewest >= 2 or candidate.ordered
    if whole:
        return _is_whole_pair(tokens, candidate, cue=cue, bracketed=bracketed)
    one_sided = fewest == 0 and most < 3 and not a.signed and not b.signed  # "48.8, 2"
    return not one_sided or bracketed or cue or _is_alone(tokens, a, last)


def _is_of_trade(tokens: Tokens, a: Value) -> bool:
    """ "Opening hours: 9.00, 17.30", "The menu lists 12.50, 8.90"; a name between them begins something else."""
    at = left_of(tokens, a)
    for j in range(at, max(-1, at - 7), -1):
        token = tokens[j]
        if token.lower in OF_TRADE or (j == at and token.lower in NUMBERED):
            return True
        is_name = token.kind == WORD and token.text[0].isupper() and j > tokens.line_first[token.line]
        if is_name or token.kind == NUMBER or token.text == "." or CUE.fullmatch(token.text):
            return False
    return False


def _is_in_the_picture(tokens: Tokens, a: Value, last: Value) -> bool:
    """ "The tower is at (34.2, 61.5) in the image", "normalised coordinates: 45.5, 62.1"."""
    plain = tokens.plain.text
    start, end = tokens[a.first].start, tokens[last.last].end
    before = plain[max(0, start - 80) : start]
    before = before[sentence_start(before) :]
    return IN_PICTURE.match(plain, end, end + 80) is not None or OF_PICTURE.search(before) is not None


def _is_named_behind(tokens: Tokens, last: Value) -> bool:
    """A word straight behind short numbers says what they are: "61.0 humidity"; not "in Paris" nor "is my guess"."""
    token = tokens.at(last.last + 1)
    if token is None or token.kind != WORD or not tokens.same_line(last.last, last.last + 1):
        return False
    after = tokens.lower(last.last + 2)
    leads = after in (":", "=", "is", "of") or tokens.is_number(last.last + 2)  # "48.85, 2.35 confidence: 0.8"
    return token.text.isascii() and token.text.islower() and token.lower in MEASURED | OF_TRADE and not leads


def _belongs_to_a_word(tokens: Tokens, a: Value, most: int) -> bool:
    """Short numbers straight behind a word are of what it names: "pH 7.25, 7.40", "It scored 88.5, 92.3".

    A word that locates is none of these ("at 48.85, 2.35"), nor a name before two decimals ("Paris 48.85, 2.35"), which
    one decimal alone is not enough for ("Depth 12.5, 14.0").
    """
    left = tokens.at(left_of(tokens, a))
    if left is None or not tokens.same_line(left_of(tokens, a), a.first):
        return False
    if left.text == "=":
        return True  # "R² = 0.85, 0.91"
    subject = left_of(tokens, a)
    while a.first - subject < 8 and (tokens.lower(subject) in LOCATES or tokens.lower(subject) in (":", "~", "=")):
        subject -= 1
    if subject < left_of(tokens, a) and _says_of_a_thing(tokens, subject):
        return True  # "two clocks: 12.30, 18.45", "The index is at 7.5, 8.1"
    if left.kind != WORD or left.lower in LOCATES:
        return False
    return not left.text[0].isupper() or (most < 2 and left_of(tokens, a) == tokens.line_first[left.line])


def _says_of_a_thing(tokens: Tokens, i: int) -> bool:
    """The subject that ends at token ``i`` names a thing: "the reading on the meter is 23.5, 61.0", not "Paris is"."""
    subject = tokens.at(i)
    if subject is not None and subject.kind == NUMBER and len(subject.text) < 4:
        return tokens.same_line(i, i + 1)  # "0-100 in 5.2, 6.1"
    is_acronym = subject is not None and subject.text.isupper() and 2 <= len(subject.text) <= 3
    if subject is None or subject.kind != WORD or not subject.text.isascii():
        return False
    if not subject.text.islower() and not is_acronym:
        return False
    if subject.lower in SUBJECTS or not tokens.same_line(i, i + 1):
        return False
    first = max(tokens.line_first[subject.line], i - 10)
    for k in range(i, first - 1, -1):
        token = tokens[k]
        if token.text in ".!?;:,":
            return True
        if CUE.fullmatch(token.text) or token.lower in PLACE_NOUN or _is_name(token, first=k == first):
            return False
    return True


def _is_name(token: Token, *, first: bool) -> bool:
    """A capitalised word inside a sentence; "UV" is none."""
    return not first and token.text[0].isupper() and not (token.text.isupper() and len(token.text) <= 3)


def _is_whole_pair(tokens: Tokens, candidate: Candidate, *, cue: bool, bracketed: bool) -> bool:
    """Two whole numbers: in a bracket of their own, or alone behind nothing but a place name or a cue."""
    a, b, last = candidate.a, candidate.b, candidate.last
    if candidate.more:
        return cue and candidate.ordered
    if bracketed:
        return True
    if not _has_ended(tokens, last.last + 1):
        return False
    if cue and candidate.ordered:
        return True
    if (a.signed or b.signed) and candidate.join == "comma" and tokens.lower(left_of(tokens, a)) in GUESSES:
        return True  # "maybe 64, -22?"
    grouped = candidate.join == "comma" and tokens.glued(b.first) and len(tokens[b.first].text) == 3
    if grouped and not a.signed and not b.signed:
        return _is_alone(tokens, a, last, strict=True)  # "35,139" may be a thousand and some
    return (cue and candidate.join == "comma" and _is_near_cue(tokens, a)) or _is_alone(tokens, a, last)


def _is_bracketed(tokens: Tokens, a: Value, last: Value) -> bool:
    """Brackets or quotation marks stand around the list: "(48, 2)", not "(48, 2|"."""
    left, right = tokens.lower(left_of(tokens, a)), tokens.lower(last.last + 1)
    return left in OPEN and right in CLOSE and (left in BRACKET_OPEN) == (right in BRACKET_CLOSE)


def _has_cue(tokens: Tokens, a: Value, last: Value) -> bool:
    """A word such as "coordinates" stands in the sentence before the numbers, or right behind them."""
    plain = tokens.plain.text
    end = tokens[last.last].end
    return _is_near_cue(tokens, a, reach=140) or bool(CUE.search(plain[end : end + 25]))


def _is_near_cue(tokens: Tokens, a: Value, reach: int = 45) -> bool:
    """A cue word stands in the same sentence before the number, at most ``reach`` characters away."""
    start = tokens[a.first].start
    before = tokens.plain.text[max(0, start - reach) : start]
    return bool(CUE.search(before[sentence_start(before) :]))


def _has_ended(tokens: Tokens, right: int) -> bool:
    """Token ``right``, behind a pair, does not go on with it: not the "%" of "48, 2%" nor a word."""
    token = tokens.at(right)
    return token is None or not tokens.same_line(right - 1, right) or (token.kind == SIGN and token.text not in "-%x/°")


def _is_alone(tokens: Tokens, a: Value, last: Value, *, strict: bool = False) -> bool:
    """The pair ends its line, and only capitalised names (or, if strict, nothing) stand before it there."""
    left = left_of(tokens, a)
    end = tokens.line_last[tokens[last.last].line]
    if any(tokens[k].kind != SIGN for k in range(last.last + 1, min(end, last.last + 6) + 1)):
        return False
    first = tokens.line_first[tokens[a.first].line]
    for k in range(left, max(first, left - 16), -1):
        if tokens[k].text in (".", "!", "?") and tokens[k + 1].spaced:
            first = k + 1  # a sentence of its own is as good as a line
            break
    if left - first > 16:
        return False
    for token in tokens[first : left + 1]:
        if token.kind == NUMBER or token.lower in _MISLEADING:
            return False
        is_name = not strict and token.text[0].isupper()
        if token.kind == WORD and not is_name and token.lower not in ("of", "de", "the"):
            return False
    return True
