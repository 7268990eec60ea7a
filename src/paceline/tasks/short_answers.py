"""Answers of a word or a few, or one of several choices: how they are normalised, read and counted. Shared by kinds.

Words are compared as the evaluation of VQA v2 describes it (Antol et al. 2015, arXiv:1505.00468, and
https://visualqa.org/evaluation.html): lower case, full stops gone except in numbers, number words up to ten as digits
(``none`` is 0), no articles, apostrophes put back into contractions, and other punctuation, save apostrophes and
colons, a space; a comma inside a number is gone. That evaluation leaves both sides as they are where all people gave
one answer; here both are always normalised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paceline.tasks.kind import Answered, letter
from paceline.tasks.listed_texts import listed
from paceline.tasks.metrics import MALFORMED, PARSED, REFUSED, Judged, Metric, Reading, outcome_shares

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec
    from paceline.tasks.answers import Answers
    from paceline.tasks.kind import Answer, Part

OUTCOMES = (PARSED, REFUSED, MALFORMED)
METRICS = (
    Metric("accuracy", score="right", hits=True, leads=True),
    Metric("wrong_share", "read and wrong", score="wrong", hits=True, lower_is_better=True, redundant=True),
    *outcome_shares(OUTCOMES),
)
"""``accuracy``, ``wrong_share`` and the shares of refused and malformed answers are 1 together."""

MAX_CHARACTERS = 20_000
"""Of an answer that are read."""


# -- normalisation

_DIGITS = {w: str(n) for n, w in enumerate("zero one two three four five six seven eight nine ten".split())}  # noqa: SIM905
_DIGITS["none"] = "0"
_ARTICLES = {"a", "an", "the"}
_NEGATED = (
    "are ca could did does do had has have is might must need should was were wo would sha".split()  # noqa: SIM905
)
_CONTRACTIONS = {f"{verb}nt": f"{verb}n't" for verb in _NEGATED}
_WHOLE = """
i'm i've you're you've they're they've that's what's where's who's how's here's there's could've should've would've
might've must've you'll they'll that'll it'll they'd you'd it'd somebody's someone's something's
"""
_CONTRACTIONS |= {whole.replace("'", ""): whole for whole in _WHOLE.split()}
_STOP = re.compile(r"\.(?!\d)")
_COMMA = re.compile(r"(?<=\d),(?=\d)")
_PUNCTUATION = re.compile(r"[^\w\s.':]|_")


def normalised(text: str) -> str:
    """A text as it is compared."""
    text = text.lower().replace("’", "'")
    text = _PUNCTUATION.sub(" ", _STOP.sub("", _COMMA.sub("", text)))
    words = (_CONTRACTIONS.get(word, _DIGITS.get(word, word)) for word in text.split())
    return " ".join(word for word in words if word not in _ARTICLES)


# -- what a sample holds


def text_of(fields: Mapping[str, Any], name: str) -> str:
    """A field's text, with single spaces; a number as its digits, and nothing where there is none.

    Raises:
        ValueError: it is neither.
    """
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise ValueError(f"{name} is no text")
    return "" if value is None else " ".join(str(value).split())


def texts_of(fields: Mapping[str, Any], name: str) -> list[str]:
    """The texts of a field that holds one or a list, which a cell of CSV may hold too; the empty ones left out.

    Raises:
        ValueError: one is no text.
    """
    value = listed(fields.get(name))
    every = value if isinstance(value, list | tuple) else [value]
    return [text for one in every if (text := text_of({name: one}, name))]


def completed_question(fields: Mapping[str, Any]) -> str:
    """The question of a record.

    Raises:
        ValueError: it has none.
    """
    if question := text_of(fields, "question"):
        return question
    raise ValueError("no question")


def completed_answers(fields: Mapping[str, Any]) -> list[str]:
    """The reference answers of a record, from ``answers`` or ``answer``.

    Raises:
        ValueError: it has none, or one of which nothing is left to compare, such as an article.
    """
    answers = texts_of(fields, "answers" if fields.get("answers") else "answer")
    if not answers:
        raise ValueError("no answer")
    if not all(map(normalised, answers)):
        raise ValueError("an answer without a word that is compared")
    return answers


def completed_choices(fields: Mapping[str, Any]) -> list[str]:
    """The choices of a record, in its order.

    Raises:
        ValueError: there are fewer than two, two that are read as one, or one without a word.
    """
    choices = texts_of(fields, "choices")
    if len(choices) < 2:
        raise ValueError("fewer than two choices")
    if len({_plain(choice) for choice in choices}) < len(choices) or not all(map(_plain, choices)):
        raise ValueError("two choices that are read as one, or one without a word")
    return choices


# -- ensembles


def combine(ensembles: Sequence[Sequence[Answers]]) -> list[Answers]:
    """What the members of each ensemble answer together: by a vote."""
    from paceline.tasks.labels import votes  # numpy, which reading and asking need not load

    return votes(ensembles)


# -- reading

_THOUGHT = re.compile(r"</\s?(?:think|thinking|reasoning)\s?>", re.IGNORECASE)
_LABEL = re.compile(
    r"[\s*_#\"“]*(?:(?:the|final|my|correct|short)\s+)*answer\s*(?::|is\b:?)[\s*_]*",
    re.IGNORECASE,
)
_AROUND = " \t\r\n*_`\"“”'‘’"
_REFUSAL = re.compile(
    r"(?:as an? (?:ai|artificial|(?:large )?language)\b"
    r"|(?:(?:i'm |i am )?(?:very |so |really )?sorry|unfortunately|apologies)\b"
    r"|(?:i|we)(?: am| are|'m|'re)? (?:can ?not|can't|could not|couldn't|unable|not able|do not|don't|won't|will not)\b"
    r"|(?:it|this) (?:is not|isn't|is im|cannot|can't)(?: be)? ?(?:possible|determined|clear|answered|visible|shown)"
    r"|(?:there is|there's|i see) no (?:image|picture|photo|text|question)\b"
    r"|no (?:image|picture|photo|text) (?:was |is |has been )?(?:provided|given|attached|found|shown)\b"
    r"|(?:unknown|n/a|null|not available|not applicable|no answer|no idea)\W*$)",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:maybe|perhaps|possibly|probably|presumably|likely|might|could be|may be|seems?|appears?|apparently|not sure"
    r"|unsure|uncertain|i (?:think|guess|believe|suppose)|either|or|it depends|hard to (?:say|tell))\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(r"\b(?:not|never|neither|nor|cannot|except)\b|n't\b", re.IGNORECASE)
_NO = re.compile(r"\b(?:no|none|nothing|nobody|without|rather than|instead of|but)\b", re.IGNORECASE)
_PARTED = re.compile(r"[^\W\d_]\s*/\s*[^\W\d_]")
_YES_AND_NO = re.compile(r"\byes\b.*\bno\b|\bno\b.*\byes\b", re.IGNORECASE | re.DOTALL)


def read_words(answer: Answer) -> Reading:
    """A word or a few, normalised.

    The whole answer counts, behind the model's thoughts and a label (``Answer:``, ``The answer is``): a sentence is
    compared as it is. Unread is what gives no single answer: several lines, alternatives (``red or blue``,
    ``red/blue``, ``yes and no``), a hedge (``maybe``, ``I think``) or a negation (``not red``). ``no`` is an answer,
    and so is a list (``red and white``), as people give such ones.
    """
    text, start = _said(answer.text)
    if not any(c.isalnum() for c in text):
        return Reading(MALFORMED.name)
    if _REFUSAL.match(text.replace("’", "'")):
        return Reading(REFUSED.name)
    plain = text.replace("’", "'")
    unsure = _HEDGE.search(plain) or _NEGATION.search(plain) or _PARTED.search(plain) or _YES_AND_NO.search(plain)
    value = normalised(text)
    if "\n" in text or unsure or not value:
        return Reading(MALFORMED.name)
    return Reading(PARSED.name, value, (start, start + len(text)))


def read_choice(answer: Answer, part: Part, *, by_letter: bool) -> Reading:
    """One of a question's choices: its text, or its letter where the prompt shows letters, or both where they agree.

    An answer that is a choice is that choice, whatever its words. Of a longer one, the choice that it names alone, in
    whole words; a choice inside the words of a longer one does not count. Unread is what names none or two, or names
    one beside a hedge or a negation: ``not B`` rules out one, ``A, but B is likelier`` decides nothing.

    Args:
        answer: of the model; one that was chosen by likelihood is a choice's own text.
        part: with its choices.
        by_letter: whether letters stand for choices.
    """
    choices = part.choices
    if "choices" in answer.data:
        if answer.text in choices:
            return Reading(PARSED.name, answer.text, (0, len(answer.text)))
        return Reading(MALFORMED.name)
    text, start = _said(answer.text)
    span = (start, start + len(text))
    named = {c for c in choices if _plain(c) == _plain(text)} if _plain(text) else set()
    lettered = _letter_alone(text, choices) if by_letter else None
    if lettered:
        named.add(lettered)
    if named:
        # `B` may be the letter of another choice than the one whose text it is.
        return Reading(PARSED.name, named.pop(), span) if len(named) == 1 else Reading(MALFORMED.name)
    if not any(c.isalnum() for c in text):
        return Reading(MALFORMED.name)
    plain = text.replace("’", "'")
    found, rest = _mentioned(plain, choices)
    if by_letter:
        found |= _letters(rest, choices)
    if len(found) == 1 and not (_HEDGE.search(rest) or _NEGATION.search(rest) or _NO.search(rest)):
        return Reading(PARSED.name, found.pop(), span)
    return Reading(REFUSED.name if not found and _REFUSAL.match(plain) else MALFORMED.name)


def _said(text: str) -> tuple[str, int]:
    """An answer without thoughts, label and marks around it, and where that begins."""
    text = text[:MAX_CHARACTERS]
    start = max((m.end() for m in _THOUGHT.finditer(text)), default=0)
    if label := _LABEL.match(text, start):
        start = label.end()
    kept = text[start:].rstrip(_AROUND)
    begin = len(kept) - len(kept.lstrip(_AROUND))
    return kept[begin:], start + begin


def _plain(text: str) -> str:
    """A choice as it is compared: in lower case, without punctuation around it. Articles and numbers stay: they may be
    all that tells two choices apart.
    """
    return " ".join(text.lower().replace("’", "'").split()).strip(".,;:!?\"'()[]* ")


_LETTER_ALONE = re.compile(
    r"(?:(?:option|choice)\s+)?[(\[]?([A-Za-z]{1,2})[)\]]?(?:\s*[.:)–-]?|\s*[.:)–-]\s*(\S.*)|\s+(\S.*))",
    re.DOTALL | re.IGNORECASE,
)


def _letter_alone(text: str, choices: Sequence[str]) -> str | None:
    """The choice of an answer that is a letter, or a letter before the text of its choice."""
    match = _LETTER_ALONE.fullmatch(text)
    choice = _by_letter(choices).get(match[1].upper()) if match else None
    if match is None or choice is None:
        return None
    behind = match[2] or match[3]
    return choice if behind is None or _plain(behind) == _plain(choice) else None


def _by_letter(choices: Sequence[str]) -> dict[str, str]:
    return {letter(n): choice for n, choice in enumerate(choices)}


def _mentioned(text: str, choices: Sequence[str]) -> tuple[set[str], str]:
    """The choices named in a text by whole words, the longest first, and what is left of it."""
    found = set()
    for choice in sorted(choices, key=len, reverse=True):
        words = re.escape(choice.replace("’", "'")).replace(r"\ ", r"\s+")
        pattern = re.compile(rf"(?<![\w'-]){words}(?![\w'-])", re.IGNORECASE)
        if pattern.search(text):
            found.add(choice)
            text = pattern.sub(" ; ", text)
    return found, text


_LETTER = re.compile(
    r"(?<![\w'])(?P<before>[(\[]|(?:option|choice|answer)\s+(?:is\s+)?)?(?P<letter>[A-Z]{1,2})(?![\w'])(?P<behind>[)\].:])?"
)
_GOES_ON = re.compile(r"\s+[a-z;]")


def _letters(text: str, choices: Sequence[str]) -> set[str]:
    """The choices whose letters stand in a text, in capitals; `A` and `I` before a word are words."""
    found = set()
    for match in _LETTER.finditer(text):
        choice = _by_letter(choices).get(match["letter"])
        marked = match["before"] or match["behind"]
        word = match["letter"] in ("A", "I") and not marked and _GOES_ON.match(text, match.end())
        if choice is not None and not word:
            found.add(choice)
    return found


# -- counting


def judged(answered: Answered, truth: Any, right: bool) -> Judged:
    """An answer held to the truth; an unread one is neither right nor wrong."""
    read = answered.reading.outcome == PARSED.name
    return Judged(truth, {"right": read and right, "wrong": read and not right})


def shows_letters(prompt: PromptSpec) -> bool:
    """Whether a prompt shows the choices with their letters."""
    return "{choices}" in prompt.text or "{choices}" in prompt.system
