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

from paceline.tasks.answer_phrases import (
    ALTERNATIVE,
    HEDGE,
    NEGATION,
    REFUSAL,
    UNABLE,
    plain_marks,
    said,
    sentences,
)
from paceline.tasks.kind import Answered, letter
from paceline.tasks.listed_texts import listed
from paceline.tasks.metrics import MALFORMED, PARSED, REFUSED, Judged, Metric, Reading, outcome_shares
from paceline.tasks.named_choices import named

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


# -- normalisation

DIGITS = {w: str(n) for n, w in enumerate("zero one two three four five six seven eight nine ten".split())}  # noqa: SIM905
DIGITS["none"] = "0"
ARTICLES = {"a", "an", "the"}
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
    words = (_CONTRACTIONS.get(word, DIGITS.get(word, word)) for word in text.split())
    return " ".join(word for word in words if word not in ARTICLES)


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


def weighted(members: Sequence[Answers], weights: Sequence[float]) -> Answers:
    """What members whose voices have weights answer together: by a vote."""
    from paceline.tasks.labels import vote  # likewise

    return vote(members, weights)


# -- reading

_LED = re.compile(r"(?:yes|no)\s*[,.;:!–—-]", re.IGNORECASE)
_YES, _NO = re.compile(r"\byes\b", re.IGNORECASE), re.compile(r"\bno\b", re.IGNORECASE)


def read_words(answer: Answer) -> Reading:
    """A word or a few, normalised.

    The whole answer counts, behind the model's thoughts and a label (``Answer:``, ``The answer is``), out of a box, a
    tag or JSON (:func:`paceline.tasks.answer_phrases.said`): a sentence is compared as it is. Unread is what gives no
    single answer: several lines, alternatives (``red or blue``, ``red/blue``, ``yes and no``), a hedge (``maybe``, ``I
    think``) or a negation (``not red``), save behind ``yes`` or ``no``. ``no`` is an answer, and so is a list (``red
    and white``), as people give such ones. Of ``2 (two)``, which says one thing twice, the first counts.
    """
    start, end = said(answer.text)
    text = answer.text[start:end]
    if not any(c.isalnum() for c in text):
        return Reading(MALFORMED.name)
    plain = plain_marks(text)
    if REFUSAL.match(plain):
        return Reading(REFUSED.name)
    negated = NEGATION.search(plain) and not _LED.match(plain)
    unsure = negated or HEDGE.search(plain) or ALTERNATIVE.search(plain) or (_YES.search(plain) and _NO.search(plain))
    value = normalised(text)
    first, bracket, again = text.partition("(")
    if bracket and normalised(first) and normalised(first) == normalised(again):
        value, end = normalised(first), start + len(first.rstrip())
    if "\n" in text or unsure or not value:
        return Reading(MALFORMED.name)
    return Reading(PARSED.name, value, (start, end))


def read_choice(answer: Answer, part: Part, *, by_letter: bool) -> Reading:
    """One of a question's choices: its text, or its letter where the prompt shows letters, or both where they agree.

    An answer that is a choice is that choice, whatever its words; so is one whose first sentence is, where the others
    take nothing back and name no other. Of a longer one, the choice that it names alone: in whole words, a choice
    inside the words of a longer one not counted, and those that it rules out (``not A but B``, ``B because A is
    wrong``) not either. Unread is what names none or two, or hedges (``maybe B``).

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
    span = said(answer.text)
    text = _without_marks(answer.text[slice(*span)])
    if not any(c.isalnum() for c in text):
        return Reading(MALFORMED.name)
    whole = _is_choice(text, choices, by_letter)
    if not whole:
        whole = _first_is_choice(text, choices, by_letter)
    if whole:
        # `B` may be the letter of another choice than the one whose text it is.
        return Reading(PARSED.name, whole.pop(), span) if len(whole) == 1 else Reading(MALFORMED.name)
    told = named(text, [_without_marks(choice) for choice in choices], by_letter=by_letter)
    if len(told.answers) == 1 and not told.doubtful:
        of = {_without_marks(choice): choice for choice in choices}
        return Reading(PARSED.name, of[next(iter(told.answers))], span)
    refuses = UNABLE.match(text) or (not told.ruled_out and REFUSAL.match(text))
    return Reading(REFUSED.name if not told.answers and refuses else MALFORMED.name)


def _without_marks(text: str) -> str:
    """A text with plain apostrophes, without quotes, Markdown's stars and repeated spaces."""
    bare = re.sub(r"[*`\"]+", "", plain_marks(text)).strip()
    return re.sub(r"\s+", lambda space: "\n" if "\n" in space[0] else " ", bare)


def _plain(text: str) -> str:
    """A choice as it is compared: in lower case, without punctuation around it. Articles and numbers stay: they may be
    all that tells two choices apart.
    """
    return " ".join(plain_marks(text).lower().split()).strip(".,;:!?\"'()[]* ")


def _is_choice(text: str, choices: Sequence[str], by_letter: bool) -> set[str]:
    """The choices that a text is: by its words, by its letter, or by both."""
    plain = _plain(text)
    found = {choice for choice in choices if _plain(choice) == plain} if plain else set()
    if by_letter and (lettered := _letter_alone(text, choices)):
        found.add(lettered)
    return found


_TAKES_BACK = re.compile(
    r"\b(?:actually|wait|correction|sorry|no|hmm+|on second thoughts?|however|but|instead|rather|or|alternatively|maybe"
    r"|perhaps|possibly|probably|also|could|might|may|sure|unsure|guess|think|although|unless|if)\b",
    re.IGNORECASE,
)
_SAYS = re.compile(
    r"\b(?:it|this|that|they|these|those|answer|option|choice|i)(?:'s| (?:is|are|was|were|say|choose|pick|select))\b",
    re.IGNORECASE,
)


def _first_is_choice(text: str, choices: Sequence[str], by_letter: bool) -> set[str]:
    """The choice that the first sentence is, and nothing else in it; empty where what follows may change it."""
    first, *others = [told for span in sentences(text) if (told := text[slice(*span)].strip())]
    found = _is_choice(first, choices, by_letter)
    if len(found) != 1 or not others or any(_TAKES_BACK.search(one) or _SAYS.search(one) for one in others):
        return set()
    return found if all(_is_choice(one, choices, by_letter) <= found for one in others) else set()


_LETTER_ALONE = re.compile(
    r"(?:(?:option|choice)\s+)?[(\[]?([A-Za-z]{1,2})[)\]]?(?:\s*[.:)?!–-]?|\s*[.:)–-]\s*(\S.*)|\s+(\S.*))",
    re.DOTALL | re.IGNORECASE,
)


def _letter_alone(text: str, choices: Sequence[str]) -> str | None:
    """The choice of an answer that is a letter, or a letter before the text of its choice."""
    match = _LETTER_ALONE.fullmatch(text)
    choice = {letter(n): choice for n, choice in enumerate(choices)}.get(match[1].upper()) if match else None
    if match is None or choice is None:
        return None
    behind = match[2] or match[3]
    return choice if behind is None or _plain(behind) == _plain(choice) else None


# -- counting


def judged(answered: Answered, truth: Any, right: bool) -> Judged:
    """An answer held to the truth; an unread one is neither right nor wrong."""
    read = answered.reading.outcome == PARSED.name
    return Judged(truth, {"right": read and right, "wrong": read and not right})


def shows_letters(prompt: PromptSpec) -> bool:
    """Whether a prompt shows the choices with their letters."""
    return "{choices}" in prompt.text or "{choices}" in prompt.system
