"""Which classes an answer claims: those that it names, and neither denies nor doubts.

An answer is read sentence by sentence. Names with nothing but commas, ``and`` or ``or`` between them are a chain. What
stands before a chain in its clause, or right behind it, says whether it is claimed. A heading (``Absent:``) holds for
what follows it; JSON is read by its keys and values.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from paceline.tasks.answer_phrases import HEDGE, plain_marks, sentences
from paceline.tasks.classification.names import Names
from paceline.tasks.multi_label.class_names import Mention, mentions, whole_names
from paceline.tasks.multi_label.json_claims import leaves, structured
from paceline.tasks.multi_label.states import CLAIMED, DENIED, DOUBTED, PASSED

_NO = re.compile(
    r"\b(?:no|not|none\s+of|never|neither|nor|cannot|without|except(?:ing)?|excluding|unlike|instead\s+of|lacks?|lacking"
    r"|(?:rather|other|different)\s+(?:than|from)|absence\s+of|absent|missing|free\s+of|fails?\s+to|rul(?:es|ed|ing)\s+out"
    r"|false|incorrect|excluded)\b|n't\b|[✗✘❌☐]|\[ ?\]",
    re.IGNORECASE,
)
_NO_DENIAL = re.compile(
    r"\b(?:not\s+(?:only|just|merely)|no\s+doubt|without\s+(?:a\s+|any\s+)?doubt|if\s+not|none\s+other\s+than)\b",
    re.IGNORECASE,
)
_HEDGE_OF_ALL = re.compile(
    r"\b(?:may|might|could|seems?|appears?|i\s+(?:think|believe|suppose|suspect|assume)|if|assuming)\b", re.IGNORECASE
)
"""Holds for a whole clause, and not for the one name that follows."""
_POSSIBLE = re.compile(r"\b(?:possible|uncertain|unclear|doubtful|ambiguous|questionable|either)\b", re.IGNORECASE)
_UNSURE = re.compile(
    r"\b(?:not\s+(?:\w+ly\s+)?(?:sure|certain)|unsure|(?:just\s+)?(?:a|my)\s+guess|i(?:'m|\s+am)?\s+guess(?:ing)?)\b",
    re.IGNORECASE,
)
"""In a sentence that names no class: holds for all that are named."""
_TAKES_BACK = re.compile(
    r"\b(?:(?:no,?\s+|oh,?\s+)wait\b|wait,?\s+(?:no\b|actually|that)|scratch\s+that|correction:|actually,?\s+no\b"
    r"|on\s+second\s+thoughts?|let\s+me\s+correct)",
    re.IGNORECASE,
)
"""Leaves open which of the classes before and behind it still hold."""
_CLAUSE = re.compile(
    r"[.!?;:\n|()]|\b(?:but|however|although|though|while|whereas|because|since|thus|only|so)\b", re.IGNORECASE
)
_JOINED = re.compile(
    r"[\s,;|&+/*•·#\"'\d.)\]\[(–—-]*(?:(?:and/or|and|or|nor|as\s+well\s+as|plus|also)\b)?[\s*\"']*"
    r"(?:(?:the|an?|any|some|both)\s+)?[\s*\"'#\[(]*",
    re.IGNORECASE,
)
_AND = re.compile(r"\band\b", re.IGNORECASE)
_OR = re.compile(r"\bn?or\b|^/$", re.IGNORECASE)
_RESTATES = re.compile(
    r"\b(?:options|choices|possible\s+(?:classes|labels|categories)|(?:given|available|listed)\s+(?:classes|labels"
    r"|categories|options)|(?:classes|labels|categories|list)\s+(?:given|provided|to\s+choose\s+from)|choose\s+from)"
    r"\W*(?:(?:are|were|is|was|include)\b)?\W*$",
    re.IGNORECASE,
)
_QUESTION = re.compile(r"[\s*_#>\"'\d.)-]*(?:which|what|is|are|does|do|can|could|how|where|would)\b", re.IGNORECASE)
_REPLY = re.compile(r"[?\s*_\"']*(yes|no)\b", re.IGNORECASE)
_IS = r"(?:\s+(?:is|are|was|were|do|does|has|have)\b|[*_\"')\]]*\s*(?:[:=(\[|–—-]|->))[\s*_\"'(\[]*"
_THERE = r"(?:present|visible|seen|shown|there|found|detected|observed|identified|included|applicable|clear)"
_DENIED_BEHIND = re.compile(
    rf"{_IS}(?:not\s+(?:\w+ly\s+)?{_THERE}\b|0(?:[.,]0+)?\s?%|(?:no|none|absent|missing|false|excluded|lacking|unlikely|0(?![\d.%]))"
    r"(?![\w%])(?!\s+\w)|[✗✘❌])|\s+(?:is|are|was|were|do|does|can)\s*(?:not|n't)\b|\s+cannot\b|\s*[✗✘❌]",
    re.IGNORECASE,
)
_DOUBTED_BEHIND = re.compile(
    rf"{_IS}(?:maybe|perhaps|possibly|possible|probabl[ey]|likely|unclear|uncertain|unsure|unknown|not\s+sure"
    r"|questionable|\?|0?\.\d)|\s+(?:may|might|could)\b",
    re.IGNORECASE,
)
_OF_SEVERAL = re.compile(r"\s+(?:are|were|do|may|might|could|can)\b", re.IGNORECASE)
_NEAR = 160
"""Characters around a name that are looked at: a longer sentence does not make reading slow."""


@dataclass(frozen=True)
class Claims:
    """What an answer says of the classes."""

    claimed: frozenset[str]
    denied: bool
    """Whether it says of any class that it is not there."""


def claims(text: str, names: Names, *, by_letter: bool) -> Claims:
    """The classes that a text claims; what it both claims and denies it does not.

    Args:
        text: the answer, without what stands around it.
        names: of the classes.
        by_letter: whether letters stand for classes too.
    """
    found: list[tuple[Mention, str]] = []
    content = structured(text)
    if content is None:
        found += [(mention, mention.state) for mention in _judged(text, names, by_letter)]
    else:
        for said, state in leaves(content):
            found += [(m, state if m.state == CLAIMED else m.state) for m in _judged(said, names, by_letter)]
    every = frozenset(names.labels)
    states: dict[str, set[str]] = {}
    for mention, state in found:
        if len(mention.classes) == 1 or (mention.classes == every and state == CLAIMED):
            for name in mention.classes:
                states.setdefault(name, set()).add(state)
    claimed = {name for name, said in states.items() if CLAIMED in said and DENIED not in said}
    return Claims(frozenset(claimed), any(state == DENIED for _, state in found))


def _judged(text: str, names: Names, by_letter: bool) -> Sequence[Mention]:
    """Every name in a text, with what is said of it."""
    text = _NO_DENIAL.sub(lambda m: " " * len(m[0]), whole_names(plain_marks(text), names))
    found = sorted(mentions(text, names, by_letter), key=lambda mention: mention.start)
    section, at, unsure = CLAIMED, 0, bool(_TAKES_BACK.search(text))
    for start, end in _sentences(text, found):
        here = []
        while at < len(found) and found[at].start < end:
            here.append(found[at])
            at += 1
        if not here:
            told = text[max(start, end - _NEAR) : end].strip(" *_#\t")
            unsure = unsure or bool(_UNSURE.search(told))
            if told.endswith(":"):
                section = _of_heading(told)
            elif told:
                section = CLAIMED
            continue
        _judge_sentence(text, start, end, here, section)
        if text[end : end + 1] == "?":
            _judge_question(text, start, end, here)
    for mention in found:
        if unsure and mention.state == CLAIMED:
            mention.state = DOUBTED
    return found


def _sentences(text: str, found: Sequence[Mention]) -> Iterator[tuple[int, int]]:
    """Where sentences stand; a mark inside a name ends none."""
    at, begun = 0, -1
    for start, end in sentences(text):
        while at < len(found) and found[at].end <= end:
            at += 1
        begun = start if begun < 0 else begun
        if at == len(found) or found[at].start >= end:
            yield begun, end
            begun = -1


def _of_heading(text: str) -> str:
    if _RESTATES.search(text):
        return PASSED
    if _NO.search(text):
        return DENIED
    return DOUBTED if _hedged(text) else CLAIMED


def _hedged(text: str) -> bool:
    return bool(HEDGE.search(text) or _POSSIBLE.search(text) or _HEDGE_OF_ALL.search(text))


def _judge_question(text: str, start: int, end: int, here: Sequence[Mention]) -> None:
    """What is asked is not claimed, unless the text itself says yes; of ``A, B?`` the last is asked."""
    whole = _QUESTION.match(text, start)
    reply = _REPLY.match(text, end)
    said = {"yes": CLAIMED, "no": DENIED}[reply[1].lower()] if reply else PASSED if whole else DOUBTED
    for mention in here if whole else here[-1:]:
        mention.state = said


def _judge_sentence(text: str, start: int, end: int, here: Sequence[Mention], section: str) -> None:
    """Set what is said of each name in a sentence, chain by chain."""
    doubted = False  # a hedge of the whole clause
    begin = start
    chain: list[Mention] = []
    for n, mention in enumerate(here):
        lead = text[max(begin, mention.start - _NEAR) : mention.start]
        if n and begin == here[n - 1].end and _JOINED.fullmatch(lead):
            chain.append(mention)
        else:
            chain = [mention]
            if _CLAUSE.search(lead):
                doubted = False
            heading = lead.rstrip(" *_\"'[(#\n").endswith(":")
            if heading:
                section = _of_heading(re.split(r"[.;\n]", lead)[-1].rstrip(" *_\"'[(#\n"))
            clause = "" if heading else _CLAUSE.split(lead)[-1]
            doubted = doubted or bool(_HEDGE_OF_ALL.search(clause))
            but = n and len(here[n - 1].classes) > 1 and re.match(r"\s*but\b", lead, re.IGNORECASE)
            if _RESTATES.search(lead):
                mention.state = section = PASSED
            elif but or _NO.search(clause):
                mention.state = DENIED
            else:
                mention.state = DOUBTED if doubted or _hedged(clause) else section
        begin = mention.end
        behind = text[mention.end : min(end if n + 1 == len(here) else here[n + 1].start, mention.end + _NEAR)]
        joined_on = n + 1 < len(here) and _JOINED.fullmatch(behind)
        if joined_on:
            continue
        _judge_chain(text, chain, DOUBTED if doubted else section)
        denied = _DENIED_BEHIND.match(text, mention.end, end)
        if said := denied or _DOUBTED_BEHIND.match(text, mention.end, end):
            for one in chain if _OF_SEVERAL.match(behind) else [mention]:
                one.state = DENIED if denied else DOUBTED
            begin = said.end()


def _judge_chain(text: str, chain: Sequence[Mention], otherwise: str) -> None:
    """How far what is said of the first name of a chain holds for the others.

    A denial goes on over ``or``, ``nor`` and ``and``, and over commas where such an ``or`` follows; a hedge over
    ``and`` and ``or``. Of claimed ones ``or`` leaves both beside it open; behind a comma, all of the chain.
    """
    gaps = [text[one.end : other.start] for one, other in itertools.pairwise(chain)]
    ors = [bool(_OR.search(gap)) for gap in gaps]
    ahead = [False] * (len(gaps) + 1)
    for n in reversed(range(len(gaps))):
        ahead[n] = ors[n] or ahead[n + 1]
    for n, gap in enumerate(gaps):
        before, mention = chain[n], chain[n + 1]
        together = ors[n] or bool(_AND.search(gap))
        mention.state = otherwise
        if (before.state == DENIED and (together or ahead[n])) or (before.state == DOUBTED and together):
            mention.state = before.state
        elif ors[n] and before.state == CLAIMED:
            for one in chain[: n + 1] if "," in gap else [before]:
                one.state = DOUBTED if one.state == CLAIMED else one.state
            mention.state = DOUBTED
