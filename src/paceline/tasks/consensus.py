"""How far an answer is right by what several people answered, as VQA v2 counts it. Shared by kinds.

Each of the people is left out once: against the others an answer is worth a third for each one who gave it, at most 1;
the credit is the mean over those left out (Antol et al. 2015, arXiv:1505.00468; https://visualqa.org/evaluation.html).
With ten people, an answer of one has 0.3, of two 0.6, of three 0.9, of four or more 1.

:func:`official_credit` is the figure that the authors' evaluation code gives (GT-Vision-Lab/VQA, its last version),
with what the published description does not say: where all people gave one answer, texts are compared as they are, in
their case too; a mark goes without a space where one of its kind stands beside a space, or where the text has a comma
between digits; and of full stops 32 go at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from paceline.tasks.short_answers import ARTICLES, DIGITS, normalised

FULL = 3
"""So many of the others give an answer full credit."""


def credit(matches: int, people: int) -> float:
    """The credit of an answer that some of the people gave, from 0 to 1."""
    of_others = [min(max(given, 0) / FULL, 1.0) for given in (matches - 1, matches)]
    return (matches * of_others[0] + (people - matches) * of_others[1]) / people


def normalised_credit(value: str, people: Sequence[str]) -> float:
    """The credit of a text that is normalised already; both sides are, whether people agree or not."""
    return credit(sum(normalised(one) == value for one in people), len(people))


def official_credit(text: str, people: Sequence[str]) -> float:
    """The credit of a whole answer by the evaluation code of VQA v2."""
    said, given = _one_line(text), [_one_line(one) for one in people]
    if len(set(given)) > 1:
        said, given = official_words(said), [official_words(one) for one in given]
    return credit(given.count(said), len(given))


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


# -- the words of the evaluation code

_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_MARK = re.compile(f"[{re.escape(_MARKS)}]")
_BESIDE_SPACE = re.compile(rf"(?<= )[{re.escape(_MARKS)}]|[{re.escape(_MARKS)}](?= )")
_THOUSANDS = re.compile(r"\d,\d")
_STOP = re.compile(r"\.(?!\d)")
_MOST_STOPS = 32

_SHORTENED = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've o'clock
oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've
someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's they'd
they'd've they'll they're they've wasn't we'd've we've weren't what'll what're what's what've when's where'd where's
where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'd've
y'all'll you'd you'd've you'll you're you've 'twas 'ow's'at
""".split()  # noqa: SIM905


def _spelled() -> Iterator[tuple[str, str]]:
    """Each word with one apostrophe left out, and the word."""
    for word in _SHORTENED:
        for at in (i for i, c in enumerate(word) if c == "'"):
            yield word[:at] + word[at + 1 :], word
    yield "somebody'd", "somebodyd"  # as the code has it


_APOSTROPHES = dict(_spelled())


def official_words(text: str) -> str:
    """A text as the evaluation code of VQA v2 compares it."""
    gone = set(_MARKS if _THOUSANDS.search(text) else _BESIDE_SPACE.findall(text))
    text = _MARK.sub(lambda mark: "" if mark[0] in gone else " ", text)
    words = (DIGITS.get(word, word) for word in _STOP.sub("", text, count=_MOST_STOPS).lower().split())
    return " ".join(_APOSTROPHES.get(word, word) for word in words if word not in ARTICLES)
