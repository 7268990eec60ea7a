"""One answer to all questions, taken apart: by names of the questions, by their numbers, or by its paragraphs.

What can't be told apart belongs to no question: an answer is rather left out than given to another question.

- A line that begins with a question, its topic or its name, in bold, as a heading or before a colon, belongs to that
  question, whatever its number.
- Else a line that begins with a question's number does, where numbers rise. A list inside an answer begins again at 1,
  or is indented. A number that stands twice for no such reason names nothing.
- Else numbers inside a line, where all follow one another from 1.
- Else paragraphs, or lines, where there are exactly as many as questions.
- An object in JSON is read by its keys.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_CHARACTERS = 100_000
"""Of an answer that are read."""

Names = Mapping[str, tuple[str, str]]
"""Name of a question -> its words and its topic, as the prompt has them."""


def taken_apart(text: str, names: Names) -> dict[str, str]:
    """Name of a question -> its part of an answer; empty where it has none. Linear in the answer's length.

    Args:
        text: what a model wrote.
        names: in the order in which they were asked.
    """
    text = text[:MAX_CHARACTERS]
    text = text[max((m.end() for m in _THOUGHT.finditer(text)), default=0) :]
    if len(names) < 2:
        return dict.fromkeys(names, text.strip())
    heads = _Heads(names)
    found = _by_keys(text, heads) or _by_lines(text, heads)
    if found is None:
        found = _by_paragraphs(text, heads)
    return {name: found.get(name, "") for name in names}


_THOUGHT = re.compile(r"</\s?(?:think|thinking|reasoning)\s?>", re.IGNORECASE)
_PLACES = re.compile(r"\s*\[\d{1,3}(?:\s*,\s*\d{1,3})*\]")
"""The numbers of passages, as they stand behind a question."""


def plain(text: str) -> str:
    """A text as it is compared: words in lower case with single spaces."""
    return " ".join(re.findall(r"\w+", text.lower().replace("’", "").replace("'", "").replace("_", " ")))


@dataclass(frozen=True)
class _Mark:
    """A line that may begin an answer.

    Attributes:
        begin, end: characters of the mark; the answer stands behind.
        number: that it begins with, counted from 1; 0 where there is none.
        name: the question that it names; empty where it names none.
        indent: spaces before it.
    """

    begin: int
    end: int
    number: int
    name: str
    indent: int


class _Heads:
    """What may head the answer to a question."""

    def __init__(self, names: Names) -> None:
        self.names = list(names)
        self._of: dict[str, str] = {}
        for name, (question, topic) in names.items():
            for text in (question, topic, name):
                self._of.setdefault(plain(_PLACES.sub("", text)), name)
        self._of.pop("", None)
        self.questions = {name: plain(_PLACES.sub("", question)) for name, (question, _) in names.items()}
        self._most = max((len(head.split()) for head in self._of), default=0)

    def at(self, line: str) -> tuple[str, int]:
        """The question that the beginning of a line names, and where the name ends; an empty name where it does not."""
        words = list(re.finditer(r"\w+(?:['’]\w+)*", line[:400]))[: self._most + 2]
        best = ("", 0)
        for count in range(1, len(words) + 1):
            end = words[count - 1].end()
            name = self._of.get(plain(line[:end]))
            if name is not None and (closed := _CLOSED.match(line, end)):
                best = (name, closed.end())
        return best

    def is_question(self, name: str, text: str) -> bool:
        """Whether a text is no more than the question, or a part of it that was cut off, or nothing."""
        bare = plain(_PLACES.sub("", text))
        return not bare or (len(bare) > 3 and self.questions[name].startswith(bare))


# What stands behind a name that heads an answer: a colon, the end of bold or of a question, the end of the line.
_CLOSED = re.compile(
    r"(?:[ \t]*\[\d[\d, ]*\])?[ \t]*(?:[?]?[*_]{1,3}[ \t]*[:–—-]?|[:?][*_]{0,3}|[–—]|-(?= )|(?=\n|$))[ \t]*:?[ \t]*"
)
_LINE = re.compile(r"^([ \t]*)(?:[>#*_•-]{1,4}[ \t]*)*", re.MULTILINE)
_NUMBER = re.compile(
    r"(?P<label>(?:answer|question|paragraph|q|a)[ \t]*(?:no\.?[ \t]*|#)?)?(?P<number>\d{1,2})[ \t]*"
    r"(?:[.):、．：][*_]{0,3}|\ufe0f?\u20e3|(?P<alone>(?=\n))|[*_]{1,3}[.):]?|[–—]|-(?= ))[ \t]*(?:[*_]{1,3}(?=\S))?",
    re.IGNORECASE,
)


def _marks(text: str, heads: _Heads) -> list[_Mark]:
    marks = []
    for line in _LINE.finditer(text):
        number = _NUMBER.match(text, line.end())
        if number and number["alone"] is not None and not number["label"] and "#" not in line[0]:
            number = None  # a line that is a number may belong to an answer
        at = number.end() if number else line.end()
        stop = text.find("\n", at)
        name, behind = heads.at(text[at : stop if stop >= 0 else len(text)])
        if number or name:
            indent = len(line.group(1).expandtabs(4))
            marks.append(_Mark(line.start(), at + behind, int(number["number"]) if number else 0, name, indent))
    return marks


def _by_lines(text: str, heads: _Heads) -> dict[str, str] | None:
    """By names, or by numbers, at the beginnings of lines; None where there are none of either."""
    marks = _marks(text, heads)
    again = _said_again(text, marks, heads)
    stops = [mark.begin for mark in again]
    marks = [mark for mark in marks if mark not in again] if again else marks
    named = [mark for mark in marks if mark.name]
    order = {name: n for n, name in enumerate(heads.names, 1)}
    contradicted = any(mark.number and mark.number != order[mark.name] for mark in named)
    numbered = [mark for mark in marks if mark.number]
    if named and (contradicted or not numbered or len({m.name for m in named}) * 2 > len(heads.names)):
        return _named(text, marks, heads, stops, numbers=not contradicted)
    if numbered and [mark.number for mark in numbered] != [1]:
        return _numbered(text, numbered, heads, stops)
    return _by_numbers_inside(text, heads) or (_numbered(text, numbered, heads, stops) if numbered else None)


def _said_again(text: str, marks: Sequence[_Mark], heads: _Heads) -> set[_Mark]:
    """Lines that only say a question again, whose number comes again later."""
    later = Counter(mark.number for mark in marks)
    found = set()
    for mark, following in zip(marks, [*marks[1:], None], strict=False):
        later[mark.number] -= 1
        name = mark.name or _name_of(mark, heads)
        if mark.number and later[mark.number] and name:
            body = text[mark.end : following.begin if following else len(text)].strip()
            if (mark.name and not body) or (body and heads.is_question(name, body)):
                found.add(mark)
    return found


def _named(text: str, marks: Sequence[_Mark], heads: _Heads, stops: Sequence[int], numbers: bool) -> dict[str, str]:
    """By the names; where ``numbers`` do not contradict them, what has a number alone ends the answer before it."""
    several = Counter(mark.name for mark in marks if mark.name)
    begins = [mark for mark in marks if mark.name]
    if numbers:  # a number without a name is another answer, of which it is not known whether it is numbered alike
        least = min(mark.indent for mark in begins)
        loose = [m for m in marks if not m.name and m.indent <= least and several[_name_of(m, heads)] == 0]
        begins = sorted([*begins, *loose], key=lambda mark: mark.begin)
    found: dict[str, str] = {}
    for mark, body in zip(begins, _bodies(text, begins, stops), strict=True):
        name = mark.name or _name_of(mark, heads)
        if name and name not in found and body and not heads.is_question(name, body):
            found[name] = _without_question(body, name, heads)
    return found


def _name_of(mark: _Mark, heads: _Heads) -> str:
    return heads.names[mark.number - 1] if 1 <= mark.number <= len(heads.names) else ""


def _numbered(text: str, marks: Sequence[_Mark], heads: _Heads, stops: Sequence[int]) -> dict[str, str] | None:
    least = min(mark.indent for mark in marks)
    top = [mark for mark in marks if mark.indent == least]
    places, end, doubtful = _rising([mark.number for mark in top], len(heads.names))
    if not places:
        return None
    found: dict[str, str] = {}
    begins = [top[place] for place in places]
    last = [] if end is None else [top[end].begin]
    for mark, body in zip(begins, _bodies(text, begins, [*stops, *last]), strict=True):
        if (name := _name_of(mark, heads)) and mark.number not in doubtful:
            found[name] = "" if heads.is_question(name, body) else _without_question(body, name, heads)
    before = text[: min([begins[0].begin, *stops])].strip()
    if begins[0].number == 2 and before and not _leads_in(before) and "\n\n" not in before:
        found[heads.names[0]] = _without_question(before, heads.names[0], heads)
    return found


def _rising(numbers: Sequence[int], most: int) -> tuple[list[int], int | None, set[int]]:
    """Places of the numbers that begin an answer, the place where the last ends, and numbers that are in doubt.

    Args:
        numbers: of the lines, in order.
        most: how many questions there are.
    """
    later = Counter(numbers)
    if len(numbers) > 2 and set(numbers) == set(range(1, len(numbers) + 1)) <= set(range(1, most + 1)):
        return list(range(len(numbers))), None, set()  # each once, in whatever order
    places: list[int] = []
    doubtful: set[int] = set()
    last, inside = 0, 0  # the last answer's number; the last of a list inside it, 0 outside
    for place, number in enumerate(numbers):
        later[number] -= 1
        if last == most and (number == 1 or number == most + 1):  # all of it once more, or a question of its own
            return places, place, doubtful
        if not 1 <= number <= most:
            continue
        if number == 1 and last:
            inside = 1
        elif inside and number == inside + 1 and number <= last:
            inside = number
        elif inside and number == inside + 1 and number == last + 1:
            # The list's next, or the next answer: the former where another such follows, unknown where nothing does.
            if later[number]:
                inside = number
                continue
            if not any(later[n] for n in range(number + 1, most + 1)):
                doubtful.add(number)
            places.append(place)
            last, inside = number, 0
        elif number > last:
            places.append(place)
            last, inside = number, 0
        else:
            doubtful.add(number)
            inside = 0
    return places, None, doubtful


def _bodies(text: str, marks: Sequence[_Mark], stops: Sequence[int]) -> list[str]:
    """What stands behind each mark, up to the next mark or stop."""
    ends = sorted([*(mark.begin for mark in marks), *stops, len(text)])
    return [_trimmed(text[mark.end : ends[bisect_right(ends, mark.begin)]]) for mark in marks]


_LED_PLACES = re.compile(r"^\s*\[\d{1,3}(?:\s*,\s*\d{1,3})*\]\s*[:.-]?\s*")


def _trimmed(body: str) -> str:
    body = _LED_PLACES.sub("", body.strip()).strip()
    body = re.sub(r"\n\s*(?:[-*_]{3,}|#{1,6})\s*$", "", body).strip()
    if body.count("**") % 2 and body.endswith("**"):
        body = body[:-2].rstrip()
    return body


def _without_question(body: str, name: str, heads: _Heads) -> str:
    """An answer without the question, or a label, before it."""
    for _ in range(2):
        first = body.partition("\n")[0]
        at, end = heads.at(first)
        if at == name and body[end:].strip():
            body = _trimmed(body[end:])
        body = _LABEL.sub("", body, count=1)
    return body


_LABEL = re.compile(r"^\s*[*_]{0,2}(?:answer|a)[ \t]*[*_]{0,2}:[*_]{0,2}[ \t]*", re.IGNORECASE)
_LEADS = re.compile(
    r"(?:sure|certainly|of course|okay|ok|here (?:are|is)|below|based on|the answers?)\b", re.IGNORECASE
)


def _leads_in(paragraph: str) -> bool:
    """Whether a paragraph announces answers and is none."""
    bare = paragraph.strip().strip("*_# ")
    return bare.endswith(":") or (bool(_LEADS.match(bare)) and len(bare.split()) < 15 and "answer" in bare.lower())


_INSIDE = re.compile(r"(?:(?<=[.!?;:]\s)|(?<=[.!?;:]\s\s)|^\s*)\(?(\d{1,2})[.)](?=\s+\S)")


def _by_numbers_inside(text: str, heads: _Heads) -> dict[str, str] | None:
    """By numbers inside lines that follow one another from 1, the first at the beginning; None where they do not."""
    found = list(_INSIDE.finditer(text))
    wanted: list[re.Match[str]] = []
    for match in found:
        if int(match.group(1)) == len(wanted) + 1 <= len(heads.names):
            wanted.append(match)
    if len(wanted) < 2 or text[: wanted[0].start()].strip():
        return None
    if len(found) > len(wanted):  # some number stands twice, or out of its order
        return None
    ends = [*(match.start() for match in wanted[1:]), len(text)]
    parts = [_trimmed(text[match.end() : end]) for match, end in zip(wanted, ends, strict=True)]
    return {
        name: "" if heads.is_question(name, part) else _without_question(part, name, heads)
        for name, part in zip(heads.names, parts, strict=False)
    }


def _by_paragraphs(text: str, heads: _Heads) -> dict[str, str]:
    """In their order, where there are as many paragraphs, or lines, as questions; else nothing."""
    for gap in (r"\n[^\S\n]*\n\s*", r"\n\s*"):
        parts = [part for one in re.split(gap, text.strip()) if (part := one.strip())]
        if len(parts) == len(heads.names) + 1 and _leads_in(parts[0]):
            parts = parts[1:]
        if len(parts) == len(heads.names) and not _leads_in(parts[0]):
            return dict(zip(heads.names, map(_trimmed, parts), strict=True))
    return {}


def _by_keys(text: str, heads: _Heads) -> dict[str, str] | None:
    """By the keys of an object in JSON; None where the answer is none."""
    begin, end = text.find("{"), text.rfind("}")
    if begin < 0 or end < begin or len(plain(text[:begin] + text[end + 1 :]).split()) > 12:
        return None
    try:
        held = json.loads(text[begin : end + 1])
    except (ValueError, RecursionError):
        return None
    if not isinstance(held, dict):
        return None
    found: dict[str, str] = {}
    for key, value in held.items():
        number = re.fullmatch(r"\D{0,10}(\d{1,2})\D?", key.strip())
        name = heads.at(key.strip())[0]
        if not name and number and 1 <= int(number.group(1)) <= len(heads.names):
            name = heads.names[int(number.group(1)) - 1]
        if name and isinstance(value, str | int | float):
            found.setdefault(name, str(value).strip())
    return found or None
