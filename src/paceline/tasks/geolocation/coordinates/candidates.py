"""Lists of candidates: "1. Paris (48.8566, 2.3522) – 60 %", "2. London (51.5074, -0.1278) – 30 %".

A list that states likelihoods gives its likeliest, the first of equal ones. A numbered list without them gives its
first, unless its items reason: "1. It might be London (…). 2. But the signs are French, so Paris (…)". The others yield
to any other answer. So a list counts as one answer, where it stands.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from paceline.tasks.geolocation.coordinates.pair_ranking import ANSWER, COMPARISON
from paceline.tasks.geolocation.coordinates.values import Pair

_MOST_LINES = 3  # between a pair and its likelihood
_ITEM_REACH = 400  # characters between two pairs of one list
_MARKER = re.compile(
    r"(?:^|\n)[ >#(\[|]{0,4}"
    r"(?:(?:guess|candidate|option|location|place|choice|possibility|hypothesis|rank|number|no\.?)"
    r"[ #]{0,2})?(?P<mark>\d{1,2}|[a-hA-H](?=[.)]))(?: ?[.):|\-–—]|(?= [(\[]))",
    re.IGNORECASE,
)
_REASONS = re.compile(
    r"\b(?:so|therefore|thus|hence|but|however|must|might|may be|maybe|perhaps|could|not|because|since|conclu\w+|"
    r"final\w*|"
    r"first\w*|then|wait|actually|latitude of|think|it is|it's)\b",
    re.IGNORECASE,
)
_WORDS = {
    **{"very unlikely": 5, "unlikely": 10, "less likely": 20, "possible": 40, "likely": 70, "more likely": 75},
    **{"very likely": 90, "highly likely": 92, "most likely": 95},
    **{"very low": 5, "low": 15, "medium": 50, "moderate": 50, "high": 80, "very high": 95},
}
_NAMED = r"(?:probabilit\w+|prob|likelihood|confidence|certainty|chance|score|weight|odds|p)"
_LIKELIHOOD = re.compile(
    rf"""(?<![\d.,])(?P<percent>\d{{1,3}}(?:[.,]\d{{1,4}})?) ?(?:%|percent\b|per cent\b)"""
    rf"""|\b{_NAMED}["' ]{{0,2}}(?:\(?[a-z]{{1,8}}\)? ){{0,2}}[:=~ ]{{1,3}}["' ]{{0,2}}"""
    r"""(?P<share>(?:[01]?\.\d{1,6}|[01](?![\d.,%])))"""
    rf"""|\b{_NAMED}["' ]{{0,2}}[:=~ ]{{1,3}}["' ]{{0,2}}(?P<ten>\d{{1,2}}) ?/ ?10(?!\d)"""
    rf"""|\b{_NAMED}["' ]{{0,2}}[:=~ ]{{1,3}}["' ]{{0,2}}(?P<word>very low|low|medium|moderate|very high|high)\b"""
    rf"""|\b(?P<before>very low|low|medium|moderate|very high|high) (?:probability|likelihood|confidence|chance)\b"""
    r"""|(?<=[\d)\]°NSEW])(?: ?—|,? -) (?P<alone>0?\.\d{1,4}|1\.0{1,4})(?=[ ;.]{0,2}(?:\n|$))"""
    r"""|[-–—:(,\[] ?(?P<said>(?:very |highly |most |more |less )?likely|(?:very )?unlikely|possible)"""
    r"""(?=[ )\].;,]{0,3}(?:\n|$))""",
    re.IGNORECASE,
)
_COLUMN = re.compile(rf"\|[^|\n]{{0,20}}\b{_NAMED}\b[^|\n]{{0,20}}\|? ?\n", re.IGNORECASE)
_CELL = re.compile(r"\| ?(?P<share>[01]?\.\d{1,6}) ?\|? ?$")


def choose_in_lists(text: str, pairs: Sequence[Pair]) -> None:
    """Rank the pairs of each list of candidates in a plain text: the one that it gives stays an answer."""
    answers = [pair for pair in pairs if pair.rank == ANSWER]
    for group in _groups(text, answers):
        best = _best(text, group)
        if best is not None:
            for pair in group:
                pair.instead = best
                if pair is not best:
                    pair.rank = COMPARISON


def _groups(text: str, answers: Sequence[Pair]) -> Iterator[list[Pair]]:
    """Neighbouring answers that may be of one list."""
    group: list[Pair] = []
    for pair in answers:
        if group and (pair.start - group[-1].end > _ITEM_REACH or "\n\n\n" in text[group[-1].end : pair.start]):
            yield group
            group = []
        group.append(pair)
    yield group


def _best(text: str, group: list[Pair]) -> Pair | None:
    """The likeliest of a group, else the first of a numbered list; trims the group to the list. None if it is none."""
    if len(group) < 2:
        return None
    numbers = _numbers(text, group)
    listed = _listed(numbers)
    if len(listed) >= 2:
        group[:] = group[listed.start : listed.stop]
    likelihoods = _likelihoods(text, group)
    if likelihoods is not None:
        return group[likelihoods.index(max(likelihoods))]
    if len(listed) < 2:
        return None
    reasons = any(_REASONS.search(text[max(0, pair.start - 60) : pair.start].rpartition("\n")[2]) for pair in group)
    return None if reasons else group[0]


def _numbers(text: str, group: Sequence[Pair]) -> list[int | None]:
    """The number of the item that each pair opens, 1 for "1." and "A)"; None where it opens none."""
    numbers: list[int | None] = []
    floor = 0
    for pair in group:
        before = text[max(floor - 1, pair.start - _ITEM_REACH, 0) : pair.start]
        marks = [m["mark"] for m in _MARKER.finditer(before if floor else "\n" + before)]
        numbers.append((int(marks[-1]) if marks[-1].isdigit() else ord(marks[-1].lower()) - 96) if marks else None)
        floor = pair.end
    return numbers


def _listed(numbers: Sequence[int | None]) -> range:
    """The positions of the first run 1, 2, 3, …"""
    for start, number in enumerate(numbers):
        if number == 1:
            stop = start + 1
            while stop < len(numbers) and numbers[stop] == stop - start + 1:
                stop += 1
            return range(start, stop)
    return range(0)


def _likelihoods(text: str, group: Sequence[Pair]) -> list[float] | None:
    """The likelihood that stands with each pair, from 0 to 100; None unless each has exactly one."""
    start = max(0, group[0].start - 120)
    head = text[start : group[0].start].rpartition("\n")[0]
    start += len(head)
    end = group[-1].end + 120
    stated = [(m.start(), _value(m)) for m in _LIKELIHOOD.finditer(text, start, end)]
    places = [at for at, _ in stated]
    inside = [
        [v for _, v in stated[bisect_left(places, a.end) : bisect_left(places, b.start)]]
        for a, b in itertools.pairwise(group)
    ]
    before = [v for _, v in stated[: bisect_left(places, group[0].start)]]
    last = group[-1].end
    behind = [v for at, v in stated[bisect_left(places, last) :] if text.count("\n", last, at) <= _MOST_LINES]
    if all(len(found) == 1 for found in inside):
        values = [found[0] for found in inside]
        if behind and not before:
            return [*values, behind[0]]
        if len(before) == 1 and not behind:
            return [before[0], *values]
    return _column(text, group)


def _column(text: str, group: Sequence[Pair]) -> list[float] | None:
    """The last column of a table whose head names a likelihood."""
    if not _COLUMN.search(text, max(0, group[0].start - 400), group[0].start):
        return None
    cells = [_CELL.search(text[pair.end :][:80].partition("\n")[0]) for pair in group]
    return [100 * float(cell["share"]) for cell in cells if cell] if all(cells) else None


def _value(match: re.Match[str]) -> float:
    if match["percent"]:
        return float(match["percent"].replace(",", "."))
    if match["share"] or match["alone"]:
        return 100 * float(match["share"] or match["alone"])
    if match["ten"]:
        return 10 * float(match["ten"])
    return _WORDS[(match["word"] or match["before"] or match["said"]).lower()]
