"""Labels in either order: "Latitude: 48.8566", "48.8566 latitude", "lat, lon: …", ``{"lat": 48.8566}``, table heads.

A label claims one number: the nearest one behind it with only fillers and a few names between, or the one before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from paceline.tasks.geolocation.coordinates import hemispheres
from paceline.tasks.geolocation.coordinates.measures import is_count
from paceline.tasks.geolocation.coordinates.tokens import NUMBER, WORD, Tokens
from paceline.tasks.geolocation.coordinates.values import UNSTATED, Bearing, Value
from paceline.tasks.geolocation.coordinates.words import (
    ABBREVIATED,
    DEGREE,
    FILLER,
    HEMISPHERE_LETTER,
    HEMISPHERE_WORD,
    LABEL_SEPARATOR,
    LINK,
    ORDER_LABEL,
    PLACE_NOUN,
    words,
)

_REACH = 16  # tokens that may stand between a label and its number
_ORDER_REACH = 14
_COORDINATE = words("coordinate position value component")
_OTHER_SUBJECT = words("altitude elevation tower height but however while whereas unclear unknown cannot not i'm")
_ASSERTS = words("is would be the as its for my should")
_BEFORE_A_POINT = words("option zone point plan")  # "Option N" is no hemisphere
_BEFORE_A_NUMBER = words("is of about approximately ~ - + ( .")
_MARKS = DEGREE | HEMISPHERE_LETTER.keys() | HEMISPHERE_WORD.keys()
_BEFORE_A_LABEL = words("° degrees of in de di da north south east west")


class Order(NamedTuple):
    """The order of a pair, ``latlon`` or ``lonlat``, and the index of the label's first token."""

    order: str
    first: int


def read_order(tokens: Tokens, i: int) -> Order | None:
    """An order label whose last token is ``i``: "lat/lon", "(longitude, latitude)", "| Latitude | Longitude |"."""
    token = tokens.at(i)
    if token is None:
        return None
    if token.lower.endswith(("lng", "lon", "long", "lat")):
        for label, order in ORDER_LABEL.items():  # "LatLng(…)", "setLngLat([…])", "fromLonLat([…])"
            if token.lower.endswith(label) and (len(token.lower) == len(label) or tokens.lower(i + 1) == "("):
                return Order(order, i)
    axis = tokens.axis(i)
    if axis is None:
        return None
    j = i - 1
    while i - j <= 5 and tokens.lower(j) in LABEL_SEPARATOR:
        j -= 1
    other = tokens.axis(j)
    if other is None or other == axis or (j == i - 1 and tokens.glued(i)):
        return None
    return Order("latlon" if other == "lat" else "lonlat", j)


def read_before(tokens: Tokens, value: Value, left: int) -> Bearing:
    """What stands before a number, from the token ``left`` on: "Latitude (N): ", "lat, lon: ", "Latitude of Paris is ".

    Walks back over fillers and up to three names. Sets ``order``, ``labelled``, ``invalid`` and, where the number
    counts something, ``bad`` and ``breaks``.
    """
    axis: str | None = None
    hemisphere: Bearing | None = None
    hemisphere_at, aside = -1, False
    passed, first_word = _Passed(), True
    immediate = True  # no token between the hemisphere and the number
    for j in range(left, max(-1, left - _REACH), -1):
        token = tokens[j]
        if j in tokens.claimed or token.kind == NUMBER or token.text == LINK:
            break
        order = read_order(tokens, j)
        if order is not None and left - j < _ORDER_REACH:
            value.order = order.order
            break
        axis = tokens.axis(j)
        if axis is not None:
            # A closing bracket belongs to this label ("Latitude (N):"); the label itself is now spoken for.
            tokens.claimed.add(j)
            if hemisphere is None:
                hemisphere, aside = _before_label(tokens, j, axis), False
            break
        direction = _direction(tokens, j)
        if direction is not None:
            value.labelled = True
            return direction
        if hemisphere is None and passed.names == 0:
            letter = _letter_before(tokens, value, j)
            if letter is not None:
                if tokens.lower(j - 1) in _BEFORE_A_POINT or not (immediate or _only_closes(tokens, j, left)):
                    break
                hemisphere, hemisphere_at = letter, j
                continue
            if token.lower in HEMISPHERE_WORD and token.lower not in FILLER:
                hemisphere, hemisphere_at = Bearing(*HEMISPHERE_WORD[token.lower], firm=False), j
                # "in the south (48.85, 2.35)" is no hemisphere unless a label stands before it.
                aside = not immediate
                continue
        if token.lower == "mean" and tokens.lower(j - 1) == "i":
            break
        if first_word and (token.kind == WORD or j == left) and is_count(token.lower, value):
            value.bad = value.breaks = True
            break
        filler = _is_filler(tokens, j)
        if not filler and not passed.passes(tokens, value, j):
            break
        if filler and token.text == "," and j < left and passed.any and tokens.axis(j - 1) is None:
            break
        # "no, 48.85, 2.35": not a count of anything
        first_word = first_word and filler and token.text != "," and token.line == tokens[value.first].line
        immediate = False
    if hemisphere is not None and not aside and hemisphere_at >= 0:
        tokens.claimed.add(hemisphere_at)
    if axis is None:
        return UNSTATED if hemisphere is None or aside else hemisphere
    value.labelled = True
    value.invalid = hemisphere is not None and hemisphere.axis != axis
    return Bearing(axis, hemisphere.sign if hemisphere is not None else 0, True)


@dataclass
class _Passed:
    """The words, no fillers, that were passed on the way back from a number to its label."""

    names: int = 0
    others: int = 0

    @property
    def any(self) -> bool:
        return bool(self.names or self.others)

    def passes(self, tokens: Tokens, value: Value, j: int) -> bool:
        """Token ``j`` may stand there: a name, or words before a long decimal, "longitude, I would go with 2.3522"."""
        if _is_name(tokens, j) and self.names < 3:
            self.names += 1
            return True
        token = tokens[j]
        if token.kind == WORD and value.decimals >= 3 and self.others < 8 and token.lower not in _OTHER_SUBJECT:
            self.others += 1
            return True
        return False


def _letter_before(tokens: Tokens, value: Value, j: int) -> Bearing | None:
    """A hemisphere letter at ``j``; a small one must be glued to the number, or stand as that of its partner does."""
    letter = hemispheres.letter(tokens, j)
    if letter is None or letter.firm:
        return letter
    glued = tokens.glued(value.first) or hemispheres.are_small_letters(tokens, value.first, -1)
    return letter if j == value.first - 1 and glued else None


def _direction(tokens: Tokens, j: int) -> Bearing | None:
    """The axis of "the north coordinate is 48.8566", "the east-west position is 2.3522"."""
    bearing = HEMISPHERE_WORD.get(tokens.lower(j))
    if bearing is None or tokens.lower(j + 1) not in _COORDINATE or not tokens.same_line(j, j + 1):
        return None
    return Bearing(bearing[0], 0 if tokens.lower(j - 1) == "-" else bearing[1], True)


def _before_label(tokens: Tokens, j: int, axis: str) -> Bearing | None:
    """The hemisphere before a label at ``j``: "South latitude 33.87"; not that of a number, "151.21 east, latitude"."""
    bearing = HEMISPHERE_WORD.get(tokens.lower(j - 1))
    if bearing is None or bearing[0] != axis or j - 1 in tokens.claimed or not tokens.same_line(j - 1, j):
        return None
    tokens.claimed.add(j - 1)
    return Bearing(*bearing, firm=True)


def _only_closes(tokens: Tokens, j: int, left: int) -> bool:
    """Only signs that close a label stand behind token ``j``: the "):" of "Latitude (N): 48.85"."""
    return all(tokens[k].text in ":=)°" for k in range(j + 1, left + 1))


def _is_filler(tokens: Tokens, j: int) -> bool:
    """Token ``j`` may stand between a label and its number: "latitude is approx. 48.85", "Latitude - 48.85"."""
    token = tokens[j]
    if token.text == ".":
        return tokens.lower(j - 1) in ABBREVIATED
    if token.text == "—":
        return token.spaced and not tokens.glued(j + 1)
    if token.text == "-":
        return token.spaced and (not tokens.glued(j + 1) or tokens.lower(j + 1) == ">")
    return token.lower in FILLER


def _is_name(tokens: Tokens, j: int) -> bool:
    """Token ``j`` may be part of a place's name: "Latitude of Buenos Aires: "."""
    token = tokens[j]
    return token.kind == WORD and (token.text[0].isupper() or token.lower in PLACE_NOUN)


def read_behind(tokens: Tokens, value: Value, j: int, known: Bearing) -> None:
    """Hemisphere and label from token ``j`` on, behind a number; settles its axis, sign and last token."""
    k = j
    if not known.firm and not value.labelled and hemispheres.behind(tokens, value, j, UNSTATED) is not None:
        known = UNSTATED  # "Jakarta Timur 6.2° S", "Việt Nam 21.0° N": the word before is part of a name
    hemisphere = hemispheres.behind(tokens, value, j, known)
    if hemisphere is not None and (known.sign == 0 or hemisphere[0].axis == known.axis):
        bearing, at, k = hemisphere
        tokens.claimed.add(at)
        value.invalid = value.invalid or _is_contradicted(tokens, k, bearing)
        value.last = k - 1
        if known.axis is None:
            known = bearing
        elif known.axis != bearing.axis or known.sign not in (0, bearing.sign):
            value.invalid = True  # "latitude 48.85 W", "N 48.85 S"
        else:
            known = Bearing(known.axis, bearing.sign, True)
    if not value.labelled:
        known = _label_behind(tokens, value, k, known)
    if value.signed and value.raw < 0 and known.sign > 0:
        value.invalid = True  # "-33.87° N"
    value.axis, value.firm, value.hemisphere = known.axis, known.firm, known.sign != 0
    value.degrees = known.sign * value.degrees if known.sign else value.raw


def _is_contradicted(tokens: Tokens, k: int, bearing: Bearing) -> bool:
    """The other hemisphere of the same axis stands at ``k`` or behind a slash there: "36.1 N S", "36.1 N/S"."""
    k = k + 1 if tokens.lower(k) in ("/", "or") else k
    other = hemispheres.letter(tokens, k)
    beside = tokens.same_line(k - 1, k) and not tokens.is_number(k + 1)
    return other is not None and other.firm and beside and (other.axis, -other.sign) == (bearing.axis, bearing.sign)


def _label_behind(tokens: Tokens, value: Value, k: int, known: Bearing) -> Bearing:
    """A label behind a number: "48.85 latitude", "2.35 (longitude)", "48.85° N lat.", "48.85 latitude north"."""
    m = k + 1 if tokens.lower(k) in ("(", "[") else k
    if tokens.lower(m) in _BEFORE_A_LABEL or (tokens.lower(m) == "." and k - 1 in tokens.claimed):
        m += 1  # "48° 51' N. lat."
    said = m
    while m == k and said < k + 4 and tokens.lower(said) in _ASSERTS:
        said += 1  # "48.8566 is the latitude", "2.3522 the longitude"
    asserted = said > m and tokens.lower(said + 1) not in (":", "=", "is")
    if asserted:
        m = k = said
    label = tokens.axis(m)
    if label is None or not tokens.same_line(value.last, m):
        return known
    if not asserted and _leads(tokens, m, label, bracketed=m > k):
        return known
    if known.axis not in (None, label):
        value.invalid = True
        return known
    if known.axis is None:
        value.last = max(value.last, m - 1 if m > k + 1 else k - 1)
    value.labelled = True
    tokens.claimed.add(m)
    axis, sign = HEMISPHERE_WORD.get(tokens.lower(m + 1), (None, 0))
    if known.sign == 0 and axis == label:
        tokens.claimed.add(m + 1)
        return Bearing(label, sign, True)
    return Bearing(label, known.sign, True)


def _leads(tokens: Tokens, i: int, label: str, *, bracketed: bool) -> bool:
    """The label at ``i`` belongs to what follows ("…, longitude: 2.35"), not to the number before it."""
    after = tokens.at(i + 1)
    if after is None:
        return False
    if after.text in (":", "="):
        return True
    if bracketed and after.text in (",", "/", ";", "and", "&") and tokens.axis(i + 2) is not None:
        return True  # "2.35, 48.86 (longitude, latitude)"
    j = i + 1
    while j <= i + 4 and tokens.lower(j) in _BEFORE_A_NUMBER:
        j += 1
    if not tokens.is_number(j):
        return False
    # "2.35 longitude 48.85 latitude": trailing style if the next number has the other label behind it.
    m = j + 1
    while m <= j + 3 and tokens.lower(m) in _MARKS:
        m += 1
    return tokens.axis(m) in (None, label)
