"""Every number that a text states, with what it stands for: a count, a bound, a label, a measure.

Digits (``1,234``, ``2.5``, ``1.5k``), words (``twenty-one``, ``a dozen``), and what says zero (``none``, ``no
buildings``, ``not any``). What stands before and behind a number is looked at for ``NEAR`` characters, so that the time
to read a text is in proportion to its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from paceline.tasks.captioning.stated_numbers import TEENS, TENS, TIMES, UNITS

Role = Literal["count", "bound", "label", "other", "ruled_out"]
"""``bound``: a limit, a range, an alternative, or a number that can't be a count; ``other``: a year, a measure."""

NEAR = 60
LARGEST = 10**9
"""No picture shows more."""
_MOST_DIGITS = 12


@dataclass(frozen=True)
class Mention:
    """A number in a text."""

    start: int
    end: int
    value: float
    role: Role = "count"
    words: str = ""
    """Of a zero: what there is none of."""


_SMALL = {word: n for n, word in enumerate((*UNITS, *TEENS))}
_TENS = {word: 10 * n for n, word in enumerate(TENS, 2)}
_LOOSE = {"couple": 2, "pair": 2, "single": 1}
_WORDS = {**_SMALL, **_TENS, **_LOOSE, **TIMES}
_TOKEN = re.compile(
    r"(?<!\w)(?P<digits>\d+(?:[.,]\d+)*)(?P<power>e\+?\d)?(?P<kilo>k\b)?"
    r"|\b(?P<word>" + "|".join(sorted(_WORDS, key=len, reverse=True)) + r")\b",
    re.IGNORECASE,
)
_SPACED = re.compile(r"(?<![\w.,])(\d{1,3})((?:[ \u00a0\u2009\u202f]\d{3})+)(?![\w.,]\d|\d)")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DECIMAL = re.compile(r"\d+(?:\.\d+)?")
_GAP = re.compile(r"(?:\s|-|\s+and\s+)")

_BOUND_BEFORE = re.compile(
    r"(?:\b(?:at\s+(?:least|most)|(?:more|less|fewer|greater|larger|higher|lower)\s+than|over|under|above|below|beyond"
    r"|exceed(?:s|ing)?|up\s+to|upwards?\s+of|(?:minimum|maximum)\s+(?:of|is)?|between|anywhere\s+from|(?:a\s+)?few"
    r"|several|many|some)|[<>≥≤]=?)\s*(?:an?\s+|about\s+|approximately\s+|around\s+|roughly\s+)?$",
    re.IGNORECASE,
)
_BOUND_BEHIND = re.compile(r"\s?\+(?!\s*\d)|\s+(?:or|and)\s+(?:more|fewer|less|above|over|up|higher)\b|\s+plus\b", re.I)
_LABEL_BEFORE = re.compile(
    r"(?:\b(?:images?|fig(?:ure)?\.?|step|example|option|choice|version|no\.|numbered|item|tile|picture|photo|page|zone"
    r"|section|object|level|class|type|group|area|region|row|column|line|band|sentinel|question|part|point)\s+"
    r"|#|\b(?:confidence(?:\s+(?:score|level))?|certainty|probability|score)(?:\s+(?:of|is))?\s*[:=]?\s*)$",
    re.IGNORECASE,
)
_YEAR_BEFORE = re.compile(r"(?:\b(?:in|since|from|of|by|during|year|dated|until|as\s+of)|©)\s+$", re.IGNORECASE)
_NOT_BEFORE = re.compile(
    r"(?:\bnot|n't|\bnever|\bcannot|\brather\s+than|\binstead\s+of)\s+(?:(?:exactly|just|see|count|have|show|contain|be"
    r"|the|really|actually)\s+){0,2}$",
    re.IGNORECASE,
)
_MEASURE_BEHIND = re.compile(
    r"\s?(?:%|°|[ckm]?m(?:\s?\^\s?)?[2²]|[ckm]?m\b|px\b|ft\b|in\.|\"|mp\b|[gm]b\b|ha\b|(?:st|nd|rd|th)\b|-(?=[a-z]))"
    r"|[\s-]+(?:per\s?cent|met(?:er|re)s?|feet|foot|yards?|miles?|inch(?:es)?|pixels?|degrees?|acres?|hectares?|years?"
    r"|months?|days?|hours?|minutes?|seconds?|dollars?|(?:sq\.?|square|cubic)\s+(?:m|ft|met|feet|foot|yard|mile|inch)"
    r"|thirds?|hal(?:f|ves)|quarters?|fifths?|tenths?|times|per\b|out\s+of|first|second|third|fourth|fifth|sixth"
    r"|seventh|eighth|ninth|and\s+an?\s+(?:half|quarter|third))\b",
    re.IGNORECASE,
)
_PRONOUN_BEFORE = re.compile(
    r"\b(?:the|this|that|these|each|every|another|other|which|no|any|first|last|larger?|smaller?)\s+$", re.IGNORECASE
)
_PRONOUN_BEHIND = re.compile(
    r"\s+(?:of\s+(?:the|these|those|them)|can|could|may|might|would|must|should|side|another|corner|end|at\s+a\s+time)\b",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\s*(?:[-–—−~]|\bto\b|\bor(?:\s+(?:maybe|perhaps|possibly|even))?\b|\.{2,3}|…)\s*", re.IGNORECASE)
_RATIO = re.compile(r"\s?[/:]\s?|\s?[x×*]\s?|\s+(?:by|out\s+of)\s+", re.IGNORECASE)

_NO_SUCH = (
    r"(?!(?:more|fewer|less|one|doubt|way|info\w*|images?|pictures?|photos?|answer|idea|need|data|exact|clear|problem"
    r"|question|text|context|longer|matter|specific|definite|numbers?|evidence|reason|attachment|file|indication"
    r"|means|clue|other|further|additional)\b)"
)
_ZERO = re.compile(
    r"(?:\b(?:not|never|cannot)|n't)\b(?:[ ]\w+){0,3}?[ ](?:any|a[ ]single)\b"
    + rf"(?P<any>(?:[ ]{_NO_SUCH}\w+){{1,6}}|(?![ ]\w))"
    rf"|\b(?:no|without(?:[ ]any)?)(?P<no>(?:[ ]{_NO_SUCH}[\w-]+)(?:[ ](?!and|or|but\b)[\w-]+){{0,5}})"
    r"|\bnone\b(?P<none>)",
    re.IGNORECASE,
)


def mentions(text: str) -> list[Mention]:
    """The numbers of a text with plain marks, in their order."""
    zeros = list(_zeros(text))
    masked = _masked(text, zeros)
    found = list(_numbers(masked))
    judged = [_judged(masked, mention) for mention in found]
    return sorted([*zeros, *_related(masked, judged)], key=lambda mention: mention.start)


def _zeros(text: str) -> Iterator[Mention]:
    for match in _ZERO.finditer(text):
        words = match["any"] if match["any"] is not None else match["no"]
        yield Mention(*match.span(), 0, words="none" if words is None else (words.strip() or "any"))


def _masked(text: str, zeros: list[Mention]) -> str:
    pieces, at = [], 0
    for zero in zeros:
        pieces += [text[at : zero.start], "·" * (zero.end - zero.start)]
        at = zero.end
    text = "".join([*pieces, text[at:]])
    return _SPACED.sub(lambda m: m[1] + re.sub(r"\D", ",", m[2]), text)


# -- values


def _numbers(text: str) -> Iterator[Mention]:
    tokens = list(_TOKEN.finditer(text))
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token["word"] is None:
            mention = _of_digits(text, token)
            behind = tokens[at + 1] if at + 1 < len(tokens) else None
            times = TIMES.get(behind["word"].lower()) if behind is not None and behind["word"] else None
            if behind is not None and times and text[token.end() : behind.start()].isspace():
                mention = replace(mention, end=behind.end(), value=mention.value * times)
                at += 1
        else:
            mention, at = _of_words(text, tokens, at)
        at += 1
        yield replace(mention, role="bound") if mention.value > LARGEST else mention


def _of_digits(text: str, token: re.Match[str]) -> Mention:
    digits = token["digits"]
    if len(digits) > _MOST_DIGITS:
        return Mention(*token.span(), 0, "bound")
    if _THOUSANDS.fullmatch(digits):
        value = float(digits.replace(",", ""))
    elif _DECIMAL.fullmatch(digits):
        value = float(digits)
    else:
        return Mention(*token.span(), 0, "bound")  # 1,2,3
    start = token.start()
    if text[token.end() : token.end() + 1] == "_":
        return Mention(start, token.end(), value, "bound")
    if (token["power"] or token["kilo"]) is None and text[token.end() : token.end() + 1].isalpha():
        suffix = bool(_MEASURE_BEHIND.match(text, token.end()))
        return Mention(start, token.end(), value, "other" if suffix else "label")
    value *= 10 ** int(token["power"][-1]) if token["power"] else 1
    value *= 1000 if token["kilo"] else 1
    before = text[max(0, start - 2) : start]
    negative = before.endswith(("-", "−")) and not before[:-1].strip(" \t([=:{,\"'")
    return Mention(
        start, token.end(), value, "bound" if negative or "½" in text[token.end() : token.end() + 2] else "count"
    )


def _of_words(text: str, tokens: list[re.Match[str]], at: int) -> tuple[Mention, int]:
    """The number that words spell from a token on, and the last of its tokens."""
    first = tokens[at]
    word = first["word"].lower()
    total, current = 0.0, float(_WORDS[word])
    if word in TIMES and re.search(r"\bhalf\s+an?\s+$", text[max(0, first.start() - NEAR) : first.start()], re.I):
        current /= 2
    last = word
    while at + 1 < len(tokens):
        behind, gap = tokens[at + 1], text[tokens[at].end() : tokens[at + 1].start()]
        if behind["word"] is None or not _GAP.fullmatch(gap) or last in _LOOSE:
            break
        word = behind["word"].lower()
        if word in TIMES and "and" not in gap:
            times = TIMES[word]
            total, current = (
                (total, max(current, 1) * times) if times <= 100 else (total + max(current, 1) * times, 0.0)
            )
        elif ("and" in gap and last not in TIMES) or not _goes_on(last, word):
            break
        else:
            current += _WORDS[word]
        last, at = word, at + 1
    return Mention(first.start(), tokens[at].end(), total + current), at


def _goes_on(last: str, word: str) -> bool:
    """Whether a number word adds to the one before it: ``twenty one``, ``hundred five``."""
    if word in _LOOSE:
        return False
    if last in _TENS:
        return 0 < _SMALL.get(word, 0) < 10
    return last in TIMES and last != "dozen" and _WORDS[word] > 0


# -- roles


def _judged(text: str, mention: Mention) -> Mention:
    """A mention with the role that the words around it give it."""
    if mention.role != "count":
        return mention
    before = text[max(0, mention.start - NEAR) : mention.start]
    spelled = text[mention.start : mention.end].lower()
    if _NOT_BEFORE.search(before):
        return replace(mention, role="ruled_out")
    if _BOUND_BEFORE.search(before) or _BOUND_BEHIND.match(text, mention.end):
        return replace(mention, role="bound")
    if _MEASURE_BEHIND.match(text, mention.end):
        return replace(mention, role="other")
    if _LABEL_BEFORE.search(before):
        return replace(mention, role="label")
    if 1900 <= mention.value < 2100 and spelled.isdecimal() and _YEAR_BEFORE.search(before):
        return replace(mention, role="other")
    if spelled == "one" and (_PRONOUN_BEFORE.search(before) or _PRONOUN_BEHIND.match(text, mention.end)):
        return replace(mention, role="other")
    return mention


def _related(text: str, found: list[Mention]) -> list[Mention]:
    """Ranges and ratios: what stands between two numbers may take the sense of a count from both."""
    roles = [mention.role for mention in found]
    for i in range(1, len(found)):
        one, other = found[i - 1], found[i]
        gap = text[one.end : min(other.start, one.end + NEAR)]
        if _RATIO.fullmatch(gap):
            roles[i - 1] = roles[i] = "other"
        elif _RANGE.fullmatch(gap) or (gap.strip().lower() == "and" and roles[i - 1] == "bound"):
            roles[i - 1] = roles[i] = "bound"
    return [replace(mention, role=role) for mention, role in zip(found, roles, strict=True)]
