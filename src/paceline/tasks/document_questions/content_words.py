"""Words that carry what a text says, where they come from, and how far two short texts agree.

Content words are words of letters and numbers in lower case, without the stop words of English, an ending ``'s`` and
the letter that stands alone. Numbers count, with their decimals; ``1,000`` is ``1000``. Endings that plurals and verbs
take are cut by a few rules, so that ``maps`` is ``map`` and ``rendered`` is ``render``: this is no dictionary, and it
treats both sides alike.
"""

from __future__ import annotations

import functools
import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_STOP = """
a about above after again against all also although always am among an and any are aren't as at be because been
before being below between both but by can cannot can't could couldn't did didn't do does doesn't doing don't down
during each either else especially etc ever every few for from further had hadn't has hasn't have haven't having he
hence her here hers herself him himself his how however i if in instead into is isn't it its itself just let like
many may me might more most much must mustn't my myself neither no nor not now of off often on once one only onto or
other others otherwise ought our ours ourselves out over own per perhaps rather same shall she should shouldn't
since so some such than that the their theirs them themselves then there thereby therefore these they this those
though through thus to too toward towards under until up upon us very via was wasn't we were weren't what when
where whereas whether which while who whom whose why will with within without won't would wouldn't yes yet you your
yours yourself yourselves
answer author authors article chunk context document excerpt page paper passage question section speech text
"""
STOP_WORDS = frozenset(_STOP.split())
"""Words of grammar, and those by which an answer speaks of the document itself."""

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*")


def content_words(text: str) -> list[str]:
    """The content words of a text, in its order, as they are compared."""
    found = []
    for match in _WORD.finditer(text.lower()):
        word = match.group().replace("’", "'")
        if word[0].isdigit():
            found.append(word.replace(",", ""))
        elif word not in STOP_WORDS:
            word = word.removesuffix("'s")
            if len(word) > 1 and word not in STOP_WORDS:
                found.append(stem(word))
    return found


@functools.lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """A word without the endings of plurals, of verbs and of adverbs; short words stay."""
    if len(word) <= 3 or "'" in word:
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and re.search("[aeiouy]", word[: -len(ending)]):
            word = word[: -len(ending)]
            if word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


@dataclass(frozen=True)
class Carried:
    """Which chunk carries an answer.

    Attributes:
        place: of the chunk that holds most of its content words; of equal ones the first.
        best: the share of its different content words in that chunk.
        any: the share in any of the chunks.
    """

    place: int
    best: float
    any: float


def carried(answer: str, chunks: Sequence[str]) -> Carried | None:
    """Where the words of an answer come from; None of an answer without a content word, or without chunks.

    Args:
        answer: what a model said.
        chunks: those that it was shown.
    """
    wanted = set(content_words(answer))
    if not wanted or not chunks:
        return None
    held = [wanted & _words_of(chunk) for chunk in chunks]
    place = max(range(len(chunks)), key=lambda n: (len(held[n]), -n))
    return Carried(place, len(held[place]) / len(wanted), len(set().union(*held)) / len(wanted))


@functools.lru_cache(maxsize=4096)
def _words_of(chunk: str) -> frozenset[str]:
    return frozenset(content_words(chunk))


# -- F1 of words, as the evaluation of SQuAD defines it

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def squad_words(text: str) -> list[str]:
    """The words of a short answer as SQuAD's evaluation compares them (Rajpurkar et al. 2016, arXiv:1606.05250).

    In lower case, without ASCII's punctuation, and then without articles.
    """
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def token_f1(answer: str, truth: str) -> float:
    """The harmonic mean of precision and recall of the words of an answer, each counted as often as it stands there.

    Where one side has no word that is compared, both must have none.
    """
    said, true = squad_words(answer), squad_words(truth)
    if not said or not true:
        return float(said == true)
    common = sum((Counter(said) & Counter(true)).values())
    return 2 * common / (len(said) + len(true))
