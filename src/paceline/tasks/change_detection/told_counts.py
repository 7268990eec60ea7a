"""How many of each class an answer tells: from JSON, a table, a list, or plain sentences.

Names of classes are compared without case and without what parts their words: ``Minor_Damage`` is ``minor-damage``.
Words such as ``buildings`` or ``number of`` may stand with them. What is none of the classes is never taken for one.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from paceline.tasks.answer_phrases import (
    DOUBT,
    HEDGE,
    MAX_CHARACTERS,
    NEGATION,
    REFUSAL,
    UNABLE,
    Span,
    plain_marks,
    said,
)
from paceline.tasks.metrics import MALFORMED, PARSED, REFUSED

MOST = 1_000_000
"""A larger number is no count of changes in a picture."""
_DEEPEST = 20
_NEAR = 300  # characters before an object that may take it back


@dataclass(frozen=True)
class Told:
    """What an answer tells."""

    outcome: str
    counts: dict[str, int] = field(default_factory=dict)
    """Class -> count, of the classes that are named."""
    unknown: tuple[str, ...] = ()
    """Names with a count that are none of the classes."""


_MALFORMED, _REFUSED = Told(MALFORMED.name), Told(REFUSED.name)


def read_counts(text: str, classes: Sequence[str]) -> Told:
    """The counts of an answer.

    Args:
        text: the answer.
        classes: names of the classes.
    """
    text = _behind_thought(plain_marks(text[:MAX_CHARACTERS]))
    names = _names(tuple(classes))
    return _from_objects(text, names) if "{" in text else _from_lines(text[slice(*said(text))], names)


def says_nothing_changed(text: str) -> bool:
    """Whether a text says that there is no change, and nothing else."""
    return bool(_NO_CHANGE.fullmatch(" ".join(text.split()).strip(" .!*_`\"'").lower()))


_THOUGHT = re.compile(r"</\s?(?:think|thinking|thought|reasoning|scratchpad)\s?>", re.IGNORECASE)


def _behind_thought(text: str) -> str:
    return text[max((m.end() for m in _THOUGHT.finditer(text)), default=0) :]


# -- names of classes

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[^\W_]+")
_FILLERS = frozenset(
    (
        *("building", "buildings", "house", "houses", "structure", "structures", "roof", "roofs", "home", "homes"),
        *("number", "of", "count", "counts", "num", "n", "the", "class", "category", "with", "total"),
    )
)


def class_key(name: str) -> str:
    """A name of a class as it is compared: its letters and digits, in lower case."""
    return "".join(_WORD.findall(name)).casefold()


def _words(name: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(_CAMEL.sub(" ", name))]


def _bare_key(name: str) -> str:
    return "".join(word for word in _words(name) if word not in _FILLERS)


class _Names:
    """The classes, as keys and in text."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self._whole = {class_key(name): name for name in classes}
        bare: dict[str, set[str]] = {}
        for name in classes:
            bare.setdefault(_bare_key(name), set()).add(name)
        self._bare = {key: next(iter(names)) for key, names in bare.items() if key and len(names) == 1}
        words = sorted((_WORD.findall(name) for name in classes), key=lambda w: -len("".join(w)))
        either = "|".join(r"[\s_-]*".join(map(re.escape, w)) for w in words)
        self.pattern = re.compile(rf"(?<![^\W_])(?:{either})(?![^\W_])", re.IGNORECASE)
        building = r"(?:\w+\s+)?(?:buildings?|houses?|structures?|homes?|changes?|one)"
        self.none_of = re.compile(
            rf"\b(?:no|zero)\s+(?:{building}\s+(?:(?:was|were|is|are|has|have)\s+)?(?:been\s+)?)?"
            rf"((?:{either})(?:(?:,\s*(?:or|nor|and)?|\s+(?:or|nor|and))\s+(?:{either}))+)(?![^\W_])",
            re.IGNORECASE,
        )

    def of(self, key: str) -> str | None:
        """The class that a key of an object names."""
        return self._whole.get(class_key(key)) or self._bare.get(_bare_key(key))


_names = functools.lru_cache(maxsize=16)(_Names)

# -- numbers

_WORDS = {
    **{"no": 0, "none": 0, "nil": 0, "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6},
    **{"seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14},
    **{"fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20},
}
_COUNTED = r"(?:\s+(?:new\s+)?(?:buildings?|houses?|structures?|roofs?|homes?|changes?))?"
_PLAIN_NUMBER = rf"(?:\d{{1,7}}|\d{{1,3}}(?:,\d{{3}})+|{'|'.join(_WORDS)})"
_WHOLE_NUMBER = re.compile(rf"({_PLAIN_NUMBER})(?:\.0+)?{_COUNTED}(?:\s*\([^()]*\))?\.?", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"(?:[nxyz]|<[^<>]*>|\[[^\[\]]*\]|\.{2,}|…|numbers?|counts?|int(?:eger)?|#|_+)", re.IGNORECASE
)
Value = int | Literal["bad", "placeholder"]


def _count(value: Any) -> Value:
    """The count that a value of an object is; ``placeholder`` where it only shows where one stands."""
    if isinstance(value, bool):
        return "bad"
    if isinstance(value, int | float):
        whole = math.isfinite(value) and 0 <= value <= MOST and value == int(value)
        return int(value) if whole else "bad"
    if not isinstance(value, str):
        return "bad"
    text = value.strip()
    if _PLACEHOLDER.fullmatch(text):
        return "placeholder"
    match = _WHOLE_NUMBER.fullmatch(text)
    if not match:
        return "bad"
    digits = match[1].replace(",", "")
    number = int(digits) if digits.isdecimal() else _WORDS[digits.lower()]
    return number if number <= MOST else "bad"


# -- JSON


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of an object in their order: a key that stands twice is kept twice."""


@dataclass
class _Object:
    """What one object of an answer tells."""

    span: Span
    values: dict[str, list[Value]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int] | None:
        """Its counts; None where one is none, or a class has two."""
        counts = {name: values[0] for name, values in self.values.items() if len(set(values)) == 1}
        if len(counts) < len(self.values) or any(isinstance(count, str) for count in counts.values()):
            return None
        return {name: count for name, count in counts.items() if isinstance(count, int)}

    @property
    def is_form(self) -> bool:
        """Whether it shows where counts stand, and no count."""
        return all(value == "placeholder" for values in self.values.values() for value in values)


_NAME_KEYS = frozenset(("class", "type", "category", "label", "name", "change", "changetype", "damage"))
_COUNT_KEYS = frozenset(("count", "number", "n", "value", "amount", "total", "quantity", "buildings"))
_NO_CLASS = frozenset(
    (
        "total",
        "sum",
        "overall",
        "all",
        "confidence",
        "probability",
        "certainty",
        "score",
        "id",
        "image",
        "images",
        "year",
    )
)
_EXAMPLE = re.compile(r"(?:\bfor (?:example|instance)|\be\.g\.?|\bsuch as)[\s,:`]*$", re.IGNORECASE)
_APOLOGY = re.compile(
    r"^(?:(?:i'm|i am|my|i) )?(?:sincere )?(?:sorry|apologi[sz]e|apologies) (?:for|about) [^.,!:\n]*[.,!:]?\s*"
    r"(?:but\s+)?",
    re.IGNORECASE,
)
_FINAL = re.compile(r"\b(?:final(?:ly)?|correct(?:ion|ed)|revised|updated)\b", re.IGNORECASE)
_TAKEN_BACK = re.compile(
    r"\b(?:(?:that|this|it)(?:'s| is) (?:wrong|incorrect|not (?:right|correct))|(?:just|only) a guess|guessing"
    r"|i(?:'m| am) not (?:sure|certain))\b",
    re.IGNORECASE,
)
_NOT = re.compile(r"\b(?:not|never)\b[\s:`*]*$|n't\b[\s:`*]*$", re.IGNORECASE)


def _from_objects(text: str, names: _Names) -> Told:
    spans, closed = _objects(text)
    found = [one for span in spans if (one := _object(text, span, names)).values or one.unknown]
    told = [
        one
        for one in found
        if one.values and not one.is_form and not _EXAMPLE.search(text, max(0, one.span[0] - 40), one.span[0])
    ]
    before = _APOLOGY.sub("", text[: spans[0][0] if spans else text.index("{")].strip())
    if REFUSAL.match(before) or UNABLE.match(before):
        return _REFUSED
    if not closed or not told:
        return _MALFORMED
    counts: dict[str, int] | None = {}
    for one in told:
        own = one.counts
        if own is None or counts is None or any(counts.get(name, n) != n for name, n in own.items()):
            counts = None
        else:
            counts |= own
    first, last = told[0], told[-1]
    if counts is None and len(told) > 1 and _FINAL.search(text, told[-2].span[1], last.span[0]):
        counts, first = last.counts, last
    if not counts or _doubtful(text, first, last):
        return _MALFORMED
    unknown = dict.fromkeys(name for one in found if not one.is_form or not one.values for name in one.unknown)
    return Told(PARSED.name, counts, tuple(unknown))


def _doubtful(text: str, first: _Object, last: _Object) -> bool:
    """Whether the words around objects take them back."""
    before = text[max(0, first.span[0] - _NEAR) : first.span[0]]
    sentence = re.split(r"[.!?\n}]", before)[-1]
    around = HEDGE.search(sentence) or _NOT.search(sentence) or DOUBT.search(before)
    return bool(around or _TAKEN_BACK.search(text, last.span[1]))


def _objects(text: str) -> tuple[list[Span], bool]:
    """Where the outermost objects of a text stand, and whether all are closed."""
    spans, depth, start = [], 0, 0
    for match in re.finditer(r"[{}]", text):
        if match[0] == "{":
            start = match.start() if not depth else start
            depth += 1
        elif depth:
            depth -= 1
            if not depth:
                spans.append((start, match.end()))
    return spans, not depth


def _object(text: str, span: Span, names: _Names) -> _Object:
    found = _Object(span)
    content = text[slice(*span)]
    for _ in range(_DEEPEST):  # \boxed{{…}}
        inner = content[1:-1].strip()
        if not (inner.startswith("{") and inner.endswith("}")):
            break
        content = inner
    value = _parsed(content)
    if value is None:
        found.values |= {name: ["bad"] for match in names.pattern.finditer(content) if (name := names.of(match[0]))}
    else:
        _collect(value, names, found, 0)
    return found


def _parsed(content: str) -> Any:
    """An object as JSON or nearly JSON; None where it is neither."""
    for form in (str, _mended):
        try:
            return json.loads(form(content), object_pairs_hook=_Pairs)
        except (ValueError, RecursionError):
            continue
    return None


_MENDS = (
    (re.compile(r"//[^\n]*"), ""),
    (re.compile(r"'([^'\"\n{}]{0,200})'"), r'"\1"'),
    (re.compile(r"([{,]\s{0,80})([^\W\d][\w-]{0,40}(?: [\w-]{1,40}){0,5})\s{0,20}:"), r'\1"\2":'),
    (re.compile(r"(:\s{0,20})([^\W\d]\w{0,40}(?: \w{1,40}){0,5})(\s{0,80}[,}\]])"), r'\1"\2"\3'),
    (re.compile(r",(\s{0,80}[}\]])"), r"\1"),
)


def _mended(content: str) -> str:
    """What is nearly JSON as JSON: single quotes, bare words, comments, a comma too many."""
    for pattern, replacement in _MENDS:
        content = pattern.sub(replacement, content)
    return content


def _collect(value: Any, names: _Names, found: _Object, depth: int) -> None:
    if depth > _DEEPEST or not isinstance(value, list):
        return
    if not isinstance(value, _Pairs):
        for item in value:
            _collect(item, names, found, depth + 1)
        return
    named = next((v for k, v in value if class_key(k) in _NAME_KEYS and isinstance(v, str)), None)
    of_class = any(names.of(key) for key, _ in value)
    if named is not None and not of_class and (counted := _counted(value)) is not None:
        _add(named, counted, names, found)
        return
    for key, item in value:
        if names.of(key) is not None:
            inner = _counted(item) if isinstance(item, _Pairs) else None
            _add(key, item if inner is None else inner, names, found)
        elif isinstance(item, list):
            _collect(item, names, found, depth + 1)
        else:
            _add(key, item, names, found)


def _counted(pairs: _Pairs) -> Any:
    return next((v for k, v in pairs if class_key(k) in _COUNT_KEYS), None)


def _add(key: str, value: Any, names: _Names, found: _Object) -> None:
    name, count = names.of(key), _count(value)
    if name is not None:
        found.values.setdefault(name, []).append(count)
    elif isinstance(count, int) and _NO_CLASS.isdisjoint(_words(key)):
        found.unknown.append(key)


# -- lists, tables and sentences

_IMAGES = r"(?:images?|pictures?|photos?|photographs?|tiles?|scenes?|dates?)"
_WHERE = rf"(?: (?:between|in|across|of) (?:the |these |both )?(?:two |2 )?{_IMAGES})?"
_SEEN = r"(?:detected|visible|found|observed|seen|present|noticed|identified)"
_NO_CHANGE = re.compile(
    rf"(?:(?:there (?:is|are|was|were|has been|have been)|i (?:see|notice|observe|detect|find)) )?(?:no|zero) "
    rf"(?:visible |detectable |observable )?(?:changes?|differences?|damage)"
    rf"(?: (?:is|are|was|were|has been|have been))?(?: {_SEEN})?{_WHERE}"
    rf"|(?:no (?:buildings?|houses?|structures?)|nothing)(?: has| have| was| were)?(?: been)? changed{_WHERE}"
    rf"|(?:the |both |these |the two |these two |the 2 ){_IMAGES} are (?:exactly )?(?:identical|the same|unchanged)"
    r"|none|zero|0|unchanged"
)
_SEES_NO_CHANGE = re.compile(
    r"i (?:can ?not|can't|do not|don't) (?:see|notice|detect|find) any (?:changes?|diff)", re.I
)
_MARKER = re.compile(r"^[ \t]*(?:[-*•–]|\d{1,3}[.)])[ \t]+", re.MULTILINE)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_SEGMENT = re.compile(r"[;\n]|,(?!\d)|[.!?](?=\s|$)|\b(?:and|but|while|whereas)\b", re.IGNORECASE)
_NUMBER = re.compile(
    rf"(?<![\w.])-?\d+(?:[.,]\d+)*|\b(?:{'|'.join(_WORDS)})\b"
    r"|\b(?:a|an)(?=\s+(?:new\s+|single\s+)?(?:building|house|structure|home)\b)",
    re.IGNORECASE,
)
_VAGUE = re.compile(
    r"[~≈<>±%?]|\d\s?\+|\b(?:about|around|approx\w*|roughly|at least|at most|more than|less than|fewer than|up to"
    r"|nearly|almost|several|many|some|few|multiple|various|couple|or|all|half|most)\b",
    re.IGNORECASE,
)
_REMARK = re.compile(rf"(\b{_PLAIN_NUMBER}\b{_COUNTED})\s*\(([^()\n]*)\)", re.IGNORECASE)
_ALONE = re.compile(rf"[\s:=–-]*({_PLAIN_NUMBER})\b{_COUNTED}\s*", re.IGNORECASE)
_ASIDE = re.compile(
    rf"\b(?:total|overall|altogether|in all|sum)\b|\b(?:one|two|2|both|1) (?:of )?(?:the |these )?(?:\w+ )?{_IMAGES}\b"
    rf"|\b{_IMAGES} (?:one|two|[12])\b"
    rf"|^\W*(?:in )?(?:the )?(?:first|second)(?: {_IMAGES})?(?: has| had| shows| contains)? \w+"
    r"(?: (?:buildings?|houses?|structures?))?\W*$",
    re.IGNORECASE,
)


def _from_lines(text: str, names: _Names) -> Told:
    plain = text.replace("*", "").replace("`", "").strip()
    if says_nothing_changed(plain):
        return Told(PARSED.name, dict.fromkeys(names.classes, 0))
    if REFUSAL.match(plain):
        return _MALFORMED if _SEES_NO_CHANGE.match(plain) else _REFUSED
    if HEDGE.search(plain):
        return _MALFORMED
    if (across := _across(plain, names)) is not None:
        return across
    plain = _THOUSANDS.sub("", _MARKER.sub("", plain)).replace("|", ":")
    plain = _REMARK.sub(lambda m: m[0] if names.pattern.search(m[2]) else m[1], plain)
    plain = names.none_of.sub(lambda m: "; ".join(f"{c[0]}: 0" for c in names.pattern.finditer(m[1])), plain)
    counts: dict[str, int] = {}
    for segment in _SEGMENT.split(plain):
        for name, count in _in_segment(segment, names):
            if name is None or count is None or counts.setdefault(name, count) != count:
                return _MALFORMED
    return Told(PARSED.name, counts) if counts else _MALFORMED


def _in_segment(segment: str, names: _Names) -> Iterator[tuple[str | None, int | None]]:
    """The class and the count of a part of a sentence; None for either that is not plain; nothing of an aside."""
    matches = list(names.pattern.finditer(segment))
    mentioned = {names.of(match[0]) for match in matches}
    if len(mentioned) > 1 and not segment[: matches[0].start()].strip():  # built 2 removed 1
        starts = [match.start() for match in matches[1:]]
        for match, end in zip(matches, [*starts, len(segment)], strict=True):
            alone = _ALONE.fullmatch(segment, match.end(), end)
            count = _count(alone[1]) if alone else "bad"
            yield names.of(match[0]), count if isinstance(count, int) else None
        return
    rest = names.pattern.sub(" ", segment)
    numbers = _NUMBER.findall(rest)
    if not mentioned:
        if numbers and not _ASIDE.search(rest):
            yield None, None
        return
    doubtful = len(mentioned) > 1 or len(numbers) != 1 or _VAGUE.search(rest) or NEGATION.search(rest)
    count = "bad" if doubtful else _count("1" if numbers[0].lower() in ("a", "an") else numbers[0])
    yield next(iter(mentioned)), count if isinstance(count, int) else None


def _across(text: str, names: _Names) -> Told | None:
    """A table with a class a column and one row of counts; None where it is none."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines() if "|" in line]
    rows = [cells for cells in rows if not all(re.fullmatch(r":?-*:?", cell) for cell in cells)]
    if len(rows) != 2 or len(rows[0]) < 2:
        return None
    head, body = rows
    pairs = [(names.of(key), cell) for key, cell in zip(head, body, strict=False) if names.of(key)]
    if len(pairs) < 2 or len(head) != len(body):
        return None
    counts = {name: _count(cell) for name, cell in pairs if name}
    if len(counts) < len(pairs) or any(isinstance(count, str) for count in counts.values()):
        return _MALFORMED
    return Told(PARSED.name, {name: count for name, count in counts.items() if isinstance(count, int)})
