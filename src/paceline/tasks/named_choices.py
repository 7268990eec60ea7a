"""Which of several choices a text names as its answer, and which it rules out: as a careful person reads it.

A mention is a choice's words, or its letter where letters were shown. Mentions with nothing but commas, ``and`` or
``or`` between them stand or fall together. They are ruled out by a negation before them in the same clause (``not``,
``rather than``, ``anything but``) or behind them (``is wrong``); those in a question name nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from paceline.tasks.answer_phrases import DOUBT, HEDGE, sentences
from paceline.tasks.kind import letter

_MASK = "\ue000"
_GAP = re.compile(
    r"[\s,;:.)\]\"'*/&–-]*(?:(?:and|or|nor|both|either|neither|as well as)\b[\s*\"']*)?"
    r"(?:(?:an?|the|option|choice)\s+)?[\s\"'(\[*]*",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"[.!?;:\n,()–—]|\b(?:but|because|since|while|whereas|(?<!not )so|though|although|however|thus|therefore|hence"
    r"|and|then|sondern|mais|sino)\b",
    re.IGNORECASE,
)
_RULES_OUT = re.compile(
    r"\b(?:not|never|neither|nor|cannot|without|except|excluding|unlike|instead\s+of|(?:rather|other|different)\s+(?:than|from)"
    r"|far\s+from|rul(?:e|es|ed|ing)\s+out|eliminat\w+|exclud\w+|reject\w*|nicht|kein\w*|pas|нет|не)\b|n't\b",
    re.IGNORECASE,
)
_NO = re.compile(r"\bno\s+(?:\w+\s+)?(?:\w*\s*)$", re.IGNORECASE)
_ALL_BUT = re.compile(r"\b(?:anything|everything|all|any(?:one)?)\s+(?:but|except)\b", re.IGNORECASE)
_NO_NEGATION = re.compile(
    r"\b(?:not\s+(?:only|just|surprising\w*)|no\s+doubt|without\s+(?:a\s+|any\s+)?doubt|why\s+not|if\s+not)\b",
    re.IGNORECASE,
)
_WRONG = (
    r"(?:wrong|incorrect|false|impossible|excluded|eliminated|ruled\s+out|implausible|inconsistent|unlikely|irrelevant"
    r"|inaccurate|a\s+distractor|out\b)"
)
_RULED_OUT = re.compile(
    r"[\s\"')\]*.]{0,3}(?:,?\s*(?:which|that)\s+)?\s*"
    r"(?:(?:is|are|was|were|can|could|would|should|do|does|did|has|have|will)\s*(?:n't\b|not\b)"
    rf"(?!\s+(?:an?\s+|the\s+)?{_MASK})|cannot\b|can't\b|won't\b"
    r"|(?:is|are|was|were|'s|seems?|looks?)\s+(?:\w+ly\s+|also\s+|both\s+|all\s+|just\s+)*"
    + _WRONG
    + r"|[(\[]"
    + _WRONG
    + ")",
    re.IGNORECASE,
)
_NEXT_TO_OR_BEFORE = re.compile(r"(?:\b(?:or|either)|/)\s*(?:an?\s+|the\s+)?$", re.IGNORECASE)
_NEXT_TO_OR_BEHIND = re.compile(r"[\s\"')\]*,]*(?:or\b|/)", re.IGNORECASE)


@dataclass(frozen=True)
class Named:
    """What a text says of the choices."""

    answers: frozenset[str]
    ruled_out: frozenset[str]
    doubtful: bool
    """Whether a hedge stands in a sentence that names an answer, or an alternative that is no choice beside one."""


@dataclass(frozen=True)
class _Mention:
    start: int
    end: int
    choice: str


def named(text: str, choices: Sequence[str], *, by_letter: bool) -> Named:
    """The choices that a text gives as its answer, and those that it rules out.

    Args:
        text: with plain apostrophes and quotes.
        choices: their texts.
        by_letter: whether letters stand for choices.
    """
    mentions, masked = _mentions(text, choices, by_letter)
    masked = _ALL_BUT.sub(lambda m: "not".ljust(len(m[0])), masked)
    masked = _NO_NEGATION.sub(lambda m: " " * len(m[0]), masked)
    answers, ruled_out, doubtful = set[str](), set[str](), bool(DOUBT.search(masked))
    spans = list(sentences(masked))
    at = 0
    previous = 0
    for chain in _chains(mentions, masked):
        first, last = chain[0], chain[-1]
        while at + 1 < len(spans) and spans[at + 1][0] <= first.start:
            at += 1
        start, end = spans[at]
        if masked[end : end + 1] == "?" and last.end <= end:
            previous = last.end
            continue
        before = masked[max(start, previous, first.start - _NEAR) : first.start]
        clause = _CLAUSE.split(before)[-1]
        found = {mention.choice for mention in chain}
        if _RULES_OUT.search(clause) or _NO.search(clause) or _RULED_OUT.match(masked, last.end):
            ruled_out |= found
        else:
            answers |= found
            sentence = masked[max(start, first.start - _NEAR) : min(max(end, last.end), last.end + _NEAR)]
            doubtful |= bool(HEDGE.search(sentence) or _beside_or(masked, first.start, last.end))
        previous = last.end
    return Named(frozenset(answers), frozenset(ruled_out), doubtful)


_NEAR = 200
"""Characters around a mention that are looked at: a longer sentence does not make reading slow."""


def _beside_or(text: str, start: int, end: int) -> bool:
    before = text[max(0, start - 20) : start]
    return bool(_NEXT_TO_OR_BEFORE.search(before) or _NEXT_TO_OR_BEHIND.match(text, end))


def _chains(mentions: Sequence[_Mention], text: str) -> Iterator[list[_Mention]]:
    """Mentions that stand or fall together."""
    chain: list[_Mention] = []
    for mention in mentions:
        if chain and not _together(chain[-1], mention, text):
            yield chain
            chain = []
        chain.append(mention)
    if chain:
        yield chain


_LONGEST_GAP = 40


def _together(one: _Mention, other: _Mention, text: str) -> bool:
    """Whether nothing stands between two mentions but what parts the items of a list, or a letter and its text."""
    gap = text[one.end : min(other.start, one.end + _LONGEST_GAP + 1)]
    if len(gap) > _LONGEST_GAP or not _GAP.fullmatch(gap):
        return False
    return one.choice == other.choice or not re.search(r"[.;:\n]", gap)


# -- mentions

_ARTICLE = re.compile(r"(?:an?|the)\s+(?=\S)", re.IGNORECASE)
_NUMBERS = {w: str(n) for n, w in enumerate("zero one two three four five six seven eight nine ten".split()) if n != 1}  # noqa: SIM905
"""Without ``one``, which more often stands for a thing than for a number."""
_INTERJECTION = (
    r"(?=\s*(?:[,.!;:)\]\"*/–—-]|$)"
    r"|\s+(?:and|or|nor|because|since|as|but|so|it|there|they|he|she|this|that|these|those|i|we|you)\b)"
)
"""Behind ``yes`` or ``no`` that is an answer, and no word of a sentence."""


def _mentions(text: str, choices: Sequence[str], by_letter: bool) -> tuple[list[_Mention], str]:
    """Where choices are named, in order, and the text with those places masked; a longer choice goes first."""
    found = []
    for choice in sorted(choices, key=len, reverse=True):
        pattern = _pattern(choice, choices)
        found += [_Mention(*match.span(), choice) for match in pattern.finditer(text)]
        text = pattern.sub(lambda match: _MASK * len(match[0]), text)
    if by_letter:
        letters = list(_letters(text, choices))
        found += letters
        at, pieces = 0, []
        for mention in letters:
            pieces += [text[at : mention.start], _MASK * (mention.end - mention.start)]
            at = mention.end
        text = "".join([*pieces, text[at:]])
    return sorted(found, key=lambda mention: mention.start), text


def _pattern(choice: str, choices: Sequence[str]) -> re.Pattern[str]:
    words = " ".join(choice.split())
    bare = _ARTICLE.sub("", words, count=1) if _ARTICLE.match(words) else words
    if sum(_bare(other) == bare.lower() for other in choices) > 1:
        bare = words
    if bare.count(".") <= bare.endswith("."):  # a sentence's end is none of its words; that of ``U.S.`` is
        bare = bare.rstrip(".,;:!?") or bare
    body = re.escape(bare).replace(r"\ ", r"\s+")
    for name, digit in _NUMBERS.items():
        if bare.lower() in (name, digit) and not any(o.lower() in (name, digit) and o != choice for o in choices):
            body = f"(?:{name}|{digit})"
    behind = _INTERJECTION if bare.lower() in ("yes", "no") else ""
    return re.compile(rf"(?<![\w'-])(?<!\d[.,]){body}(?![\w-])(?!'\w)(?![.,]\d){behind}", re.IGNORECASE)


def _bare(choice: str) -> str:
    return _ARTICLE.sub("", " ".join(choice.split()), count=1).lower()


_LETTER = re.compile(
    r"(?<![\w'.])(?:(?P<open>[(\[])(?P<a>[A-Za-z]{1,2})[)\]]"
    r"|(?i:option|choice|answer|letter|pick|choose|select|chose|selected|go with|going with)\s+"
    r"(?i:is\s+)?[(\[]?(?P<b>[A-Za-z]{1,2})[)\]]?(?![\w'-])"
    r"|(?P<c>[A-Z]{1,2})(?![\w'-])(?P<behind>[)\].:])?)"
)
_GOES_ON = re.compile(rf"\s+(?P<next>[a-z;{_MASK}]\w*)")
_BEHIND_A_LETTER = frozenset(
    "is are was were because since as and or but would can cannot should seems looks has in though for".split()  # noqa: SIM905
)
"""Words that no article stands before."""
_SMALL_WORDS = frozenset("a i am an as at be by do go he if in is it me my no of on or so to up us we".split())  # noqa: SIM905


def _letters(text: str, choices: Sequence[str]) -> Iterator[_Mention]:
    """Letters that stand for choices: capitals, or small ones in brackets or behind ``option``. ``A`` and ``I`` before
    a word are words.
    """
    of = {letter(n): choice for n, choice in enumerate(choices)}
    for match in _LETTER.finditer(text):
        group = next(name for name in "abc" if match[name])
        shown = match[group]
        choice = of.get(shown.upper())
        onward = _GOES_ON.match(text, match.end())
        word = False
        if onward and group == "b":
            word = shown in _SMALL_WORDS
        elif onward and group == "c" and not match["behind"]:
            word = shown == "I" or (shown == "A" and onward["next"] not in _BEHIND_A_LETTER)
        if choice is not None and not word:
            # What closes a letter's bracket belongs to it, a full stop does not: it may end the sentence.
            end = match.end() - (match["behind"] in (".", ":"))
            yield _Mention(match.start(group), end, choice)
