"""Step 3a: each number of a text with its sign, minutes, hemisphere and label."""

from __future__ import annotations

from paceline.tasks.geolocation.coordinates import axis_labels, hemispheres
from paceline.tasks.geolocation.coordinates.boxes import mark_bounds
from paceline.tasks.geolocation.coordinates.degrees import read_minutes
from paceline.tasks.geolocation.coordinates.measures import has_unit, is_list_number, mark_ranges
from paceline.tasks.geolocation.coordinates.tokens import NUMBER, WORD, Token, Tokens, decimal
from paceline.tasks.geolocation.coordinates.values import Value
from paceline.tasks.geolocation.coordinates.words import HEMISPHERE_LETTER

_CURRENCY = ("€", "£", "¥", "₹")


def read_values(tokens: Tokens) -> list[Value]:
    """All numbers that might be coordinates, and those that stand between them; list numbers are left out."""
    values: list[Value] = []
    done = -1  # the last token of the number before
    for i, token in enumerate(tokens):
        if token.kind == NUMBER and i > done:
            value = _bare_number(token, i)
            if _read_value(tokens, value):
                values.append(value)
            done = value.last
    mark_ranges(tokens, values)
    mark_bounds(tokens, values)
    return values


def _bare_number(token: Token, i: int) -> Value:
    """The number alone: "48.8566", ".5", "4.8e+01"; one of more than nine places before the point is no degree."""
    whole, _, fraction = token.text.partition(".")
    exponent = "e" in token.lower
    too_long = len(whole.lstrip("0")) > 9 or (exponent and len(token.text) >= 40)
    template = len(whole) > 1 and not whole.strip("0") and not fraction.strip("0")  # "00.0000"
    degrees = 0.0 if too_long else float(token.text) if exponent else decimal(token.text)
    return Value(i, i, degrees, 6 if exponent else len(fraction), bad=too_long or template)


def _read_value(tokens: Tokens, value: Value) -> bool:
    """Read what stands around a number; False if it is a list number or a tolerance, which counts for nothing."""
    i = value.first
    left, negative = _read_sign(tokens, value)
    if tokens.lower(left) == "±":
        return False  # a tolerance belongs to the number before it
    if left == i - 1 and tokens.glued(i):
        if _numbers_a_label(tokens, i, left):
            return False
        value.bad = value.bad or _is_part_of_name(tokens, left)
    if is_list_number(tokens, i, left):
        return False
    before = axis_labels.read_before(tokens, value, left)
    j = read_minutes(tokens, value, prefixed=before.sign != 0)
    value.raw = -value.degrees if negative else value.degrees
    value.last = j - 1
    if has_unit(tokens, value, j):
        value.bad = True
        if before.axis is None:
            return True
    axis_labels.read_behind(tokens, value, j, before)
    if tokens.lower(left) in _CURRENCY:
        value.bad = True
    return True


def _read_sign(tokens: Tokens, value: Value) -> tuple[int, bool]:
    """The token before a number and its sign, and whether the sign is a minus: "-33.8", "− 33.8", "(—33.8"."""
    i = value.first
    left = i - 1
    if tokens.lower(left) in ("+", "-"):
        if tokens.is_sign(left, i):
            value.signed = True
            return left - 1, tokens.lower(left) == "-"
        if tokens.glued(i) and tokens.glued(left) and _is_road_name(tokens[left - 1], tokens[i]):
            value.bad = True
    elif tokens.lower(left) == "—" and tokens.glued(i) and (left == 0 or tokens[left - 1].text in "([{,;:="):
        value.signed = True
        return left - 1, True
    return left, False


def _is_road_name(before: Token, number: Token) -> bool:
    """ "I-95", "B-52"; not "N-48"."""
    is_short = len(number.text) <= 3 and "." not in number.text
    return before.kind == WORD and is_short and before.lower not in HEMISPHERE_LETTER


def _numbers_a_label(tokens: Tokens, i: int, left: int) -> bool:
    """A whole number glued to a label is part of its name: "lat1: 48.85"."""
    is_name = tokens.axis(left) is not None and "." not in tokens[i].text
    return is_name and tokens.lower(i + 1) in (":", "=", '"', "'")


def _is_part_of_name(tokens: Tokens, left: int) -> bool:
    """What a number is glued to makes it no number: "v1", "192.168.1.1"; not "N48" nor "lat48.85"."""
    prefix = tokens[left]
    if prefix.kind == WORD:
        return left not in tokens.claimed and tokens.axis(left) is None and hemispheres.letter(tokens, left) is None
    return prefix.text == "." and tokens.glued(left)
