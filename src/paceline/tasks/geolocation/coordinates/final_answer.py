"""Step 4b: the one pair that an answer gives, or that it refuses.

An explicit final answer or tag beats earlier reasoning; text behind ``</think>`` beats what stands before it; a place
chosen by name gives the pair behind that name; otherwise the last answer wins, then the last comparison.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from paceline.tasks.geolocation.coordinates.pair_ranking import ANSWER, COMPARISON, NO_ANSWER
from paceline.tasks.geolocation.coordinates.phrases import (
    ASSERTED,
    BACKWARD,
    CHOICE,
    CORRECTION,
    FINAL,
    FORWARD,
    HEDGE,
    LIKELIER,
    NAME,
    NAME_STOP,
    REFUSAL,
    SENTENCE_END,
    TAG,
    sentence_start,
)
from paceline.tasks.geolocation.coordinates.values import Pair
from paceline.tasks.geolocation.coordinates.words import END_OF_THOUGHT


@dataclass(frozen=True)
class Choice:
    """The chosen pair, or None; ``refused`` where the text refuses instead."""

    pair: Pair | None
    refused: bool = False


_REFUSED = Choice(None, refused=True)


def find_refusals(text: str) -> list[int]:
    """Where words of refusal stand in a plain text: "I cannot determine …", "Unknown"."""
    return [m.start() for m in REFUSAL.finditer(text)]


def choose(text: str, pairs: Sequence[Pair], refusals: Sequence[int]) -> Choice:
    """Choose among the ranked pairs of a plain text; pairs and refusals in its order."""
    low = 0
    thought = text.rfind(END_OF_THOUGHT)
    if thought >= 0:
        if any(p.start > thought and p.rank < NO_ANSWER for p in pairs):
            low = thought
        elif any(at > thought for at in refusals):
            return _REFUSED
    choice = _announced(text, pairs, low)
    if choice is None:
        candidates = [p for p in pairs if p.start >= low]
        pair = _chosen_by_name(text, candidates) or _last(candidates)
        choice = _REFUSED if pair is not None and _is_mere_mention(text, pair, refusals) else Choice(pair)
    elif choice.pair is not None:
        choice = Choice(_corrected(text, pairs, choice.pair))
    if choice.pair is not None and refusals and is_placeholder(choice.pair.latitude, choice.pair.longitude):
        return _REFUSED
    return choice


def is_placeholder(latitude: float, longitude: float) -> bool:
    """Numbers that stand for none beside words of refusal: 0, 0; -1, -1; 999, 999."""
    return abs(latitude) == abs(longitude) and (latitude in (0.0, -1.0) or abs(latitude) >= 99)


def _corrected(text: str, pairs: Sequence[Pair], announced: Pair) -> Pair:
    """The pair that corrects an announced one: "Final answer: 48.8566, 2.3522. Scratch that, 51.5074, -0.1278"."""
    floor = announced.end
    for pair in pairs:
        if pair.start >= floor and pair.rank == ANSWER:
            if CORRECTION.search(text[max(floor, pair.start - 160) : pair.start]):
                announced = pair
            floor = pair.end
    return announced


def _last(pairs: Sequence[Pair]) -> Pair | None:
    """The last answer, or the last comparison where there is none."""
    for rank in (ANSWER, COMPARISON):
        for pair in reversed(pairs):
            if pair.rank == rank:
                return pair
    return None


def _announced(text: str, pairs: Sequence[Pair], low: int) -> Choice | None:
    """What the last tag or, without one, the last "final answer" that has something to announce does announce."""
    starts = [p.start for p in pairs]
    for match in reversed(list(TAG.finditer(text, low))):
        choice = _announced_behind(text, pairs, starts, match.end())
        if choice is not None:
            return choice
    for match in reversed(list(FINAL.finditer(text, low))):
        if BACKWARD.search(text[max(0, match.start() - 14) : match.start()]):
            pair = _announced_before(pairs, starts, match.start())
            choice = None if pair is None else Choice(pair)
        elif FORWARD.match(text, match.end()):
            choice = _announced_behind(text, pairs, starts, match.end())
        else:
            choice = None
        if choice is not None:
            return choice
    return None


def _announced_before(pairs: Sequence[Pair], starts: Sequence[int], at: int) -> Pair | None:
    """The pair right before the words at ``at``: "48.8566, 2.3522 is my final answer"."""
    n = bisect_left(starts, at) - 1
    return pairs[n] if n >= 0 and at - pairs[n].end < 40 and pairs[n].rank < NO_ANSWER else None


def _announced_behind(text: str, pairs: Sequence[Pair], starts: Sequence[int], end: int) -> Choice | None:
    """The pair or refusal behind words that end at ``end``: "Final answer: 48.8566, 2.3522", "<answer>unknown"."""
    n = bisect_left(starts, end)
    line = text[end : end + 300].lstrip().partition("\n")[0]
    if (n >= len(starts) or starts[n] > end + len(line) + 4) and REFUSAL.search(line):
        return _REFUSED
    while n < len(pairs) and pairs[n].rank == NO_ANSWER:
        n += 1
    if n == len(pairs):
        return None
    return Choice(pairs[n].instead or _last_of_sentence(text, pairs, n))


def _last_of_sentence(text: str, pairs: Sequence[Pair], n: int) -> Pair:
    """Of the pairs from the n-th on, the last answer in its sentence: "Final answer: not Paris (…) but Rome (…)"."""
    group = [pairs[n]]
    for pair in pairs[n + 1 : n + 6]:
        between = text[group[-1].end : pair.start]
        if len(between) > 200 or SENTENCE_END.search(between):
            break
        group.append(pair)
    return _last(group) or pairs[n]


def _chosen_by_name(text: str, candidates: Sequence[Pair]) -> Pair | None:
    """ "Paris (…) or London (…)? I choose Paris": the pair that stands behind the chosen name."""
    answers = [p for p in candidates if p.rank < NO_ANSWER]
    if len(answers) < 2:
        return None
    markers = list(CHOICE.finditer(text))
    likelier = LIKELIER.search(text, answers[-1].end)
    if likelier is not None:
        return _named(text, answers, set(NAME.findall(likelier["names"])) - NAME_STOP)
    if not markers or markers[-1].end() < answers[-1].end:
        return None
    rest = text[markers[-1].end() : markers[-1].end() + 90].lstrip(" :")
    return _named(text, answers, set(NAME.findall(_first_sentence(rest))) - NAME_STOP)


def _named(text: str, answers: Sequence[Pair], chosen: set[str]) -> Pair | None:
    """The last of the answers that one of the chosen names stands before."""
    for n in range(len(answers) - 1, -1, -1):
        floor = answers[n - 1].end if n else 0
        before = text[max(floor, answers[n].start - 60) : answers[n].start]
        if chosen & set(NAME.findall(before.rpartition("\n")[2])):
            return answers[n]
    return None


def _is_mere_mention(text: str, pair: Pair, refusals: Sequence[int]) -> bool:
    """The text refuses behind a pair that it does not assert: "Paris is at 48.85, 2.35. I cannot locate the photo."."""
    if not refusals:
        return False
    if pair.rank == COMPARISON:
        return True
    after = bisect_right(refusals, pair.end)
    if after >= len(refusals):
        return False
    before = text[max(0, pair.start - 120) : pair.start]
    if ASSERTED.search(before[sentence_start(before) :]) or ASSERTED.search(text[pair.start : pair.end]):
        return False
    # "I cannot give the exact place" hedges an answer and refuses nothing.
    return not HEDGE.search(_first_sentence(text[refusals[after] : refusals[after] + 160]))


def _first_sentence(text: str) -> str:
    stop = SENTENCE_END.search(text)
    return text[: stop.start()] if stop else text
