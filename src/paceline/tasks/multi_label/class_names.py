"""Where a text names classes: by their names, in singular or plural, with or without their commas, or by letters."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from paceline.tasks.classification.names import Names, folded
from paceline.tasks.kind import letter
from paceline.tasks.multi_label.states import CLAIMED

_SMALL = frozenset(["and", "or", "with", "of", "by"])
_LOOSE = r"[\s,/_&()-]+(?:(?:and|or|with|of|by)\s+)?"
"""Between the words of a name that has commas or small words: ``Beaches, dunes and sands``."""
_TIGHT = r"[\s_-]+"
_ALL = re.compile(
    r"\b(?:all(?:\s+of)?(?:\s+(?:the|these|those))?(?:\s+(?:\d+|given|listed|possible|nineteen))?\s+"
    r"(?:above|them|these|classes|labels|categories|options|choices|land[\s-]covers?(?:\s+(?:classes|types))?)\b"
    r"|every(?:thing|\s+(?:class|label|category))\b(?=\s*(?:$|[.,!]|but\b|except|above|listed|in\s+the\s+list|is\s+there\b)))",
    re.IGNORECASE,
)
_LETTER = re.compile(
    r"(?<![\w'.-])[(\[]?([A-Z])(?:[)\].:]+(?=\s|$|[,;])|(?=\s*(?:[,;&\n\"'*)\]?!.:]|$)|\s+(?:and|or|is|are)\b))"
)
_MOST_ELLIPSES = 6


@dataclass
class Mention:
    """One name in a text."""

    start: int
    end: int
    classes: frozenset[str]
    """What it may mean; with several, which are not all there are, it decides nothing."""
    state: str = CLAIMED


def mentions(text: str, names: Names, by_letter: bool) -> Iterator[Mention]:
    """Every name in a text, the longest at a place, in no order; and ``all of these``, which means every class."""
    ordered, pattern = _pattern(names.labels, tuple(names.meaning))
    taken = []
    for match in pattern.finditer(text):
        taken.append(match.span())
        yield Mention(*match.span(), names.meaning[ordered[(match.lastindex or 1) - 1]])
    for match in _ALL.finditer(text):
        yield Mention(*match.span(), frozenset(names.labels))
    if by_letter:
        yield from _letters(text, names.labels, taken)


def _letters(text: str, classes: Sequence[str], taken: Sequence[tuple[int, int]]) -> Iterator[Mention]:
    """Capitals that stand for classes, none inside of a name; ``A`` before a word is an article."""
    of = {letter(n): name for n, name in enumerate(classes)}
    at = 0
    for match in _LETTER.finditer(text):
        while at < len(taken) and taken[at][1] <= match.start(1):
            at += 1
        if match[1] in of and not (at < len(taken) and taken[at][0] <= match.start(1)):
            yield Mention(match.start(1), match.end(1), frozenset([of[match[1]]]))


@functools.lru_cache(maxsize=16)
def _pattern(labels: tuple[str, ...], every: tuple[str, ...]) -> tuple[tuple[str, ...], re.Pattern[str]]:
    ordered = tuple(sorted((name for name in every if _words(name)), key=lambda name: (-len(name), name)))
    written = "|".join(f"({_written(name)})" for name in ordered) or "(?!)"
    return ordered, re.compile(rf"(?<![\w-])(?<!\w')(?:{written})(?![\w-])(?!'\w)", re.IGNORECASE)


def _words(name: str) -> list[str]:
    return [word for word in re.findall(r"[^\W_]+", name) if word not in _SMALL]


def _written(name: str) -> str:
    """A pattern of a name, of which each word may be singular or plural."""
    words = _words(name)
    loose = "," in name or len(words) < len(name.split())
    return (_LOOSE if loose else _TIGHT).join(map(_singular_or_plural, words))


def _singular_or_plural(word: str) -> str:
    for ending, both in (("ies", "(?:y|ies)"), ("ches", "ch(?:es)?"), ("shes", "sh(?:es)?")):
        if word.endswith(ending):
            return re.escape(word[: -len(ending)]) + both
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return re.escape(word[:-1]) + "(?:y|ies)"
    if word.endswith(("ch", "sh")):
        return re.escape(word) + "(?:es)?"
    if word.endswith("s") and not word.endswith("ss"):
        return re.escape(word) + "?"
    return re.escape(word) + "s?"


def whole_names(text: str, names: Names) -> str:
    """A text in which names that share their last word are whole: ``coniferous and mixed forest``."""
    for pattern, first in _ellipses(names.labels):
        text = pattern.sub(functools.partial(_completed, first), text)
    return text


def _completed(first: re.Pattern[str], match: re.Match[str]) -> str:
    return first.sub(lambda one: f"{one[0]}{match['head']}", match["firsts"])


@functools.lru_cache(maxsize=16)
def _ellipses(labels: tuple[str, ...]) -> tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]:
    firsts: dict[str, list[str]] = {}
    for label in labels:
        first, _, head = folded(label).rpartition(" ")
        if first and "," not in first:
            firsts.setdefault(head, []).append(first)
    made = []
    for head, several in firsts.items():
        if len(several) > 1:
            one = _one_of(several)
            between = r"(?:\s*,\s*(?:(?:and|or)\s+)?|\s+(?:and|or|nor)\s+|\s*[/&]\s*)"
            whole = (
                rf"\b(?P<firsts>{one}(?:{between}{one}){{0,{_MOST_ELLIPSES}}})"
                rf"(?={between}{one}(?P<head>\s+{_singular_or_plural(head)})\b)"
            )
            made.append((re.compile(whole, re.IGNORECASE), re.compile(one, re.IGNORECASE)))
    return tuple(made)


def _one_of(names: Iterable[str]) -> str:
    return "(?:" + "|".join(re.escape(name).replace(r"\ ", r"[\s-]+") for name in sorted(names, key=len)[::-1]) + ")"
