"""Which number an answer gives as its count, as a careful person reads it.

One number is the answer, and so is one that is said twice. Of several that differ: the one that is called a total; the
one that counts what the question asks for, where the others count something else; the one that the others add up to.
Estimates (``about 20``) are answers; bounds, ranges, alternatives and guesses (``maybe 5``) are not.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from paceline.tasks.answer_phrases import REFUSAL, UNABLE, Span, plain_marks, said, sentences
from paceline.tasks.counting.counted_things import things_of
from paceline.tasks.counting.number_mentions import NEAR, Mention, mentions
from paceline.tasks.metrics import MALFORMED, PARSED, REFUSED, Reading

_ASKED = re.compile(
    r"\b(?:how\s+many|(?:number|amount|count|quantity)\s+of|count(?:\s+all)?)\s+(?:the\s+)?(?P<what>[^?.!,]+?)"
    r"(?:\s+(?:are|is|in|at|on|to|next|near|do|does|can|there|that|which|from|within|visible|present|you|of|with)\b"
    r"|[?.!,]|$)",
    re.IGNORECASE,
)
_GUESS = re.compile(
    r"\b(?:maybe|perhaps|possibly|probably|presumably|might|could be|may be|i (?:think|believe|suppose|guess|suspect"
    r"|assume)|not (?:entirely |completely |quite )?(?:sure|certain)|unsure|uncertain|guess(?:ing)?|don't know"
    r"|do not know|no idea|supposedly)\b",
    re.IGNORECASE,
)
_DOUBTED = re.compile(
    r"\b(?:not (?:entirely |completely |quite )?(?:sure|certain)|unsure|uncertain|guess(?:ing)?)\b", re.I
)
_TOTAL_BEFORE = re.compile(
    r"(?:\b(?:total(?:s|ling|ing)?|altogether|overall|in\s+all|sum|makes?|making|equals)\b(?:\s+(?:number|count|of|is|to"
    r"|are|\w+))?[\s:,]*(?:about\s+|approximately\s+)?|=\s*|\b(?:so|thus|therefore|hence),?(?:\s+\w+){0,5}\s+)$",
    re.IGNORECASE,
)
_TOTAL_BEHIND = re.compile(
    r"(?:[ ]+\w+){0,3}?[ ]+(?:in[ ]total|total|altogether|in[ ]all|overall|all[ ]together)\b(?!\s*[:=])", re.IGNORECASE
)
_PART_BEHIND = re.compile(r"\s+of\s+(?:which|them|these|those)\b", re.IGNORECASE)
_CANNOT = re.compile(
    r"(?:it(?:'s| is) )?(?:very |too |quite )?(?:difficult|hard|challenging|impossible) to"
    r" (?:say|tell|determine|count|see|know|give|provide|estimate|identify)\b|no (?:information|data|answer)\b",
    re.IGNORECASE,
)
_IMPOSSIBLE = re.compile(
    r"\b(?:can ?not|can't|could ?not|couldn't|unable to|not able to|(?:im|not )possible to|isn't possible to)\s+"
    r"(?:\w+ly\s+)?(?:be\s+)?(?:\w+ly\s+)?(?:determin|count|tell\b|told\b|identif|answer|known?\b|estimat|verif|view\b|assess)",
    re.IGNORECASE,
)
_KEY = re.compile(r"([^\W\d_]+)[\"']?\s*[:=]\s*[\"']?$")
_OF_SOMETHING = re.compile(r"\s*(?:[(:]|\s[^\W\d_])")
_LISTED = re.compile(r"^[ \t]*(\d{1,3})[.)][ \t]+(?=\S)", re.MULTILINE)
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_CLAUSE_END = re.compile(r"[,.;:!?()\n\d]|\b(?:and|or|but|while)\b", re.IGNORECASE)
_BREAKS = re.compile(r"\b(?:but|however|though|although|still|yet|nevertheless|that said)\b", re.IGNORECASE)
_PLACE = re.compile(
    r"\b(?:near|along|next|beside|around|by|with|on|in|at|from|to|behind|under|over|across|between)\b", re.IGNORECASE
)
_ROWS = re.compile(r"\s+(row|column|group|cluster|type|kind|line|pair|set)s?\s+of\b", re.IGNORECASE)
_ADJECTIVES = {
    "small",
    "medium",
    "large",
    "big",
    "tiny",
    "square",
    "rectangular",
    "circular",
    "round",
    "visible",
    "all",
}
_GENERIC = frozenset("any none such object objects item items instance instances one ones of them here visible".split())  # noqa: SIM905
_ONE = (
    r"(?:\bthere(?:'s| is)|\bsee|\bshows?|\bcontains?|\bhas|\bhave|\bdepicts)\s+(?:only\s+|just\s+|exactly\s+)?an?\s+"
    r"(?:[\w-]+\s+){0,3}?"
)
_LEADS = re.compile(
    r"(?:(?:yes|no)[,.]\s+)?(?:(?:there|it|i|we|the|this)\b(?:\s+\w+){0,5}?\s+)?(?:no|without)\b", re.IGNORECASE
)


def count_in(text: str, question: str = "") -> Reading:
    """The number that an answer gives, an int where it is whole.

    Args:
        text: the answer.
        question: what was asked; of ``How many roads are there?`` a number before ``roads`` counts them.
    """
    start, end = said(text)
    body = plain_marks(text[start:end])
    if not any(c.isalnum() for c in body):
        return Reading(MALFORMED.name)
    head = asked(question)
    listed, body = _without_list_marks(body)
    found = [_as_label(body, mention, head) for mention in mentions(body)]
    spans = list(sentences(body))
    counts, broken = _answers(body, spans, found, head)
    value = None if broken else _one_value(body, counts, head)
    if value is None and not broken and not counts:
        value = _counted_labels(listed, found, body, head) or _article(body, head)
    if value is None:
        refused = bool(_IMPOSSIBLE.search(body)) or any(_refuses(body[slice(*span)]) for span in spans)
        return Reading((REFUSED if refused else MALFORMED).name)
    return Reading(PARSED.name, int(value) if value == int(value) else value, (start, end))


@functools.lru_cache(maxsize=1 << 12)
def asked(question: str) -> str:
    """The stem of what a question counts, such as ``parking``; empty where it does not say."""
    return counted_thing(question).rpartition(" ")[2]


def counted_thing(question: str) -> str:
    """What a question counts, in the singular, without words of size and shape: ``residential building``."""
    match = _ASKED.search(question)
    words = [word.lower() for word in _WORD.findall(match["what"])] if match else []
    kept = [word for word in words[:-1] if word not in _ADJECTIVES]
    return " ".join([*kept, _stem(words[-1])]) if words else ""


def _stem(word: str) -> str:
    word = word.lower()
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def _refuses(sentence: str) -> bool:
    sentence = sentence.strip(" \t\n*_\"'")
    return any(pattern.match(sentence) for pattern in (REFUSAL, UNABLE, _CANNOT))


def _without_list_marks(body: str) -> tuple[list[int], str]:
    """The marks of a numbered list of two lines or more, and the text without them."""
    marks = [int(mark) for mark in _LISTED.findall(body)]
    if len(marks) < 2:
        return [], body
    return marks, _LISTED.sub(lambda match: "-".ljust(len(match[0])), body)


def _answers(body: str, spans: Sequence[Span], found: Sequence[Mention], head: str) -> tuple[list[Mention], bool]:
    """The mentions that may be the count, and whether something takes it back: a bound, a guess."""
    starts = [start for start, _ in spans]
    counts: list[Mention] = []
    broken = bool(_DOUBTED.search(body))
    for mention in found:
        start, end = spans[bisect_right(starts, mention.start) - 1]
        if body[end : end + 1] == "?" or mention.role in ("label", "other", "ruled_out"):
            continue
        if not _stands(body, start, mention, head):
            continue
        nearby = body[max(start, mention.start - 3 * NEAR) : min(end, mention.end + NEAR)]
        broken |= mention.role == "bound" or bool(_GUESS.search(nearby))
        counts.append(mention)
    return counts, broken


def _stands(body: str, start: int, mention: Mention, head: str) -> bool:
    """Whether a mention says something of the picture: none of another thing is no count, nor is a refusal's number."""
    if mention.words and mention.words not in ("none", "any"):
        stems = {_stem(word) for word in mention.words.split()}
        leads = start == 0 and _LEADS.match(body) and mention.start < 2 * NEAR
        if head and head not in stems and not stems & _GENERIC and not leads:
            return False
        if not head or head in stems:
            return True
    before = body[max(start, mention.start - 4 * NEAR) : mention.start]
    return not _refuses(_BREAKS.split(before)[-1]) or bool(mention.words)


# -- of several numbers


def _one_value(body: str, counts: Sequence[Mention], head: str) -> float | None:
    counts = [m for m in counts if not _PART_BEHIND.match(body, m.end)] or counts
    values = {mention.value for mention in counts}
    if len(values) <= 1:
        of_another = counts and all(_counts_another(body, m, head) for m in counts)
        return None if of_another else next(iter(values), None)
    totals = {m.value for m in counts if _is_total(body, m)}
    if len(totals) == 1:
        return next(iter(totals))
    own = [m for m in counts if _counts(body, m, head)]
    others = [m for m in counts if m not in own]
    if len({m.value for m in own}) == 1 and all(_counts_something(body, m) for m in others):
        return own[0].value
    return _sum_of_the_others(body, counts)


def _is_total(body: str, mention: Mention) -> bool:
    before = body[max(0, mention.start - NEAR) : mention.start]
    return bool(_TOTAL_BEFORE.search(before) or _TOTAL_BEHIND.match(body, mention.end))


def _behind(body: str, mention: Mention) -> list[str]:
    """The words behind a number, up to the end of its clause, at most four."""
    if mention.words:
        return _WORD.findall(mention.words)
    clause = _CLAUSE_END.split(body[mention.end : mention.end + NEAR], maxsplit=1)[0]
    return _WORD.findall(_PLACE.split(clause, maxsplit=1)[0])[:4]


def _key(body: str, mention: Mention) -> str:
    match = _KEY.search(body[max(0, mention.start - NEAR) : mention.start])
    return match[1] if match else ""


def _counts(body: str, mention: Mention, head: str) -> bool:
    """Whether a number counts what is asked for."""
    named = [key] if (key := _key(body, mention)) else _behind(body, mention)
    return bool(head) and (head in map(_stem, named) or "ones" in named)


def _counts_another(body: str, mention: Mention, head: str) -> bool:
    """Whether a number is one of things that are surely not those asked for: cars, or rows, where it is buildings."""
    if mention.words or not head:
        return False
    rows = _ROWS.match(body, mention.end)
    if rows and rows[1].lower() != head:
        return True
    stems = {_stem(word) for word in _behind(body, mention)}
    others = frozenset[str]().union(*map(things_of, stems))
    wanted = things_of(head)
    return bool(others and wanted) and head not in stems and not others & wanted


def _counts_something(body: str, mention: Mention) -> bool:
    """Whether a number has a thing of its own: a key before it, a plural behind it, or behind a one any noun."""
    behind = _behind(body, mention)[:2]
    known = mention.value == 1 and any(things_of(_stem(word)) for word in behind)
    return known or bool(_key(body, mention)) or any(w.endswith("s") and len(w) > 3 for w in behind)


def _sum_of_the_others(body: str, counts: Sequence[Mention]) -> float | None:
    whole = sum(m.value for m in counts)
    for total in (counts[0], counts[-1]):
        if len(counts) > 2 and 2 * total.value == whole and _OF_SOMETHING.match(body, total.end):
            return total.value
    return None


# -- without a number of its own


def _as_label(body: str, mention: Mention, head: str) -> Mention:
    """A number right behind the one thing that is asked for tells it from others: ``Building 2``."""
    before = body[max(0, mention.start - NEAR) : mention.start]
    if head and mention.role == "count" and re.search(rf"\b{re.escape(head)}\s+$", before, re.IGNORECASE):
        return replace(mention, role="label")
    return mention


def _counted_labels(listed: Sequence[int], found: Sequence[Mention], body: str, head: str) -> float | None:
    """How many a list has: ``1. a house`` and so on, or ``Building 1, Building 2``."""
    labels = [m.value for m in found if m.role == "label"]
    for marks in (list(listed), labels):
        if len(marks) > 1 and marks == list(range(1, len(marks) + 1)):
            return float(len(marks))
    return None


def _article(body: str, head: str) -> float | None:
    """One, of ``There is a building.``"""
    return 1.0 if head and re.search(rf"{_ONE}{re.escape(head)}\b", body, re.IGNORECASE) else None
