"""What labels are called: by their own names, by the shipped ones of :data:`FILES`, and by those of the data.

Names are compared in lower case; spaces, hyphens and underscores are alike, and so are the widths of letters.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from paceline.tasks.answer_phrases import NEGATION

FILES = tuple(Path(__file__).parent / name for name in ("aliases.yaml", "land_cover.yaml"))
"""Sports, and land cover: a word may stand in both."""
OTHER = "\ue001"
"""Stands in a text for a thing that is none of the labels, though its name may hold one: ``association football``."""


def plain(text: str) -> str:
    """A text with the letters, apostrophes and hyphens of a keyboard, without characters that are not seen."""
    compatible = unicodedata.normalize("NFKC", text).replace("’", "'")
    return re.sub("[‐‑‒]", "-", re.sub("[\u200b\u00ad\ufeff]", "", compatible))


def folded(name: str) -> str:
    """A name as it is compared."""
    return " ".join(re.sub(r"[-_()]", " ", plain(name).casefold()).split())


@dataclass(frozen=True)
class Names:
    """The names of some labels."""

    labels: tuple[str, ...]
    meaning: Mapping[str, frozenset[str]]
    """Folded name -> the labels that it may mean, at least one; with several it decides nothing."""
    alone: Mapping[str, str] = field(default_factory=dict)
    """Folded name that is one as a whole answer -> its label."""
    others: frozenset[str] = frozenset()
    """Folded names of what is none of the labels, and could be taken for one."""

    def of(self, label: str) -> tuple[str, ...]:
        """Every name that means this label alone, its own first."""
        others = [name for name, labels in self.meaning.items() if labels == {label} and name != folded(label)]
        return (label, *others, *(name for name, meant in self.alone.items() if meant == label))

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        names = sorted({*self.meaning, *self.others}, key=lambda name: (-len(name), name))
        # ``figure skating (women)`` is ``figure skating women``.
        written = "|".join(re.escape(name).replace(r"\ ", r"[\s_-]+\(?") for name in names)
        return re.compile(rf"(?<![\w'-])'?({written})'?(?![\w'-])", re.IGNORECASE)

    def spelt_out(self, text: str) -> str:
        """A text with every name in it, the longest first, replaced by its label; by all that it may mean.

        A word that may mean several labels means the one of them that the text names otherwise, where it names one and
        rules nothing out: ``football (soccer)``, ``bull riding at a rodeo``. Names of what is no label become
        :data:`OTHER`.
        """
        if not self.meaning:
            return text
        whole = self.alone.get(folded(text.strip(" \t\r\n*_`\"'“”‘’.,!")))
        if whole:
            return whole
        text = plain(text)
        matches = [(folded(match[1]), match) for match in self._pattern.finditer(text)]
        clear = {label for name, _ in matches if len(meant := self.meaning.get(name, ())) == 1 for label in meant}
        settles = len(clear) == 1 and not NEGATION.search(text)

        def label(match: re.Match[str]) -> str:
            meant = self.meaning.get(folded(match[1]), frozenset())
            if settles and clear < meant and not _BESIDE_OR.search(text[max(0, match.start() - 9) : match.end() + 5]):
                meant = frozenset(clear)
            return " or ".join(sorted(meant)) or OTHER

        return self._pattern.sub(label, text)


_BESIDE_OR = re.compile(r"\bor\b|/", re.IGNORECASE)


@functools.lru_cache(maxsize=16)
def names_of(labels: tuple[str, ...], own: tuple[tuple[str, tuple[str, ...]], ...] = ()) -> Names:
    """The names of labels.

    Args:
        labels: of the data.
        own: label and its names that come with the data, which shipped ones do not contradict.
    """
    meaning: dict[str, set[str]] = {}
    for label in labels:
        meaning.setdefault(folded(label), set()).add(label)
    known = set(meaning)
    theirs: dict[str, set[str]] = {}
    for label, names in own:
        for name in map(folded, names):
            if name and name not in known and label in labels:
                theirs.setdefault(name, set()).add(label)
    same, either, alone, other = _shipped()
    shipped: dict[str, set[str]] = {}
    for group in same:
        _add(shipped, group, {label for name in group for label in meaning.get(name, ())})
    every = {**shipped, **meaning}
    for word, candidates in either.items():
        _add(shipped, [word], {label for name in candidates for label in every.get(name, ())})
    merged = {**shipped, **theirs, **meaning}
    whole = {word: next(iter(found)) for word, name in alone.items() if len(found := merged.get(name, ())) == 1}
    return Names(
        labels,
        {name: frozenset(found) for name, found in merged.items()},
        {word: label for word, label in whole.items() if word not in merged},
        frozenset(name for label, names in other.items() if label in merged for name in names if name not in merged),
    )


def _add(meaning: dict[str, set[str]], names: Iterable[str], labels: set[str]) -> None:
    for name in names if labels else ():
        meaning.setdefault(name, set()).update(labels)


@functools.cache
def _shipped() -> tuple[
    tuple[tuple[str, ...], ...], dict[str, tuple[str, ...]], dict[str, str], dict[str, tuple[str, ...]]
]:
    """The content of :data:`FILES`, folded: ``same``, ``either``, ``alone``, ``other``."""
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    same: list[tuple[str, ...]] = []
    either: dict[str, tuple[str, ...]] = {}
    alone: dict[str, str] = {}
    other: dict[str, tuple[str, ...]] = {}
    for file in FILES:
        content = yaml.load(file.read_text(encoding="utf-8"), loader)
        same += [tuple(map(folded, group)) for group in content["same"]]
        for kept, key in ((either, "either"), (other, "other")):
            for word, names in content[key].items():
                kept[folded(word)] = (*kept.get(folded(word), ()), *map(folded, names))
        alone |= {folded(word): folded(name) for word, name in content["alone"].items()}
    return tuple(same), either, alone, other
