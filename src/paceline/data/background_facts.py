"""Background facts of a kind of task, and which of them fit a text: a lexical score, so that no model is asked.

A kind that is a folder may hold ``facts.json`` beside its modules: name of an entry -> its sentences. Entries are
ranked by BM25 (Robertson and Zaragoza 2009, doi:10.1561/1500000019) over their names and sentences. The text is what a
model said of the picture: no truth of a sample is ever looked at.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paceline import plugins, tasks
from paceline.errors import UserError
from paceline.store.files import digest, read_json

FILE = "facts.json"
DIGEST_LENGTH = 12
NONE_FIT = "none found"
"""What stands for the facts where no entry shares a word with the text."""
# The usual constants: how soon a repeated word counts no more, and how much a long entry is discounted.
K1, B = 1.5, 0.75


@dataclass(frozen=True)
class Entry:
    """What is known of one thing."""

    name: str
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """A line of a prompt."""
        return f"{self.name}: {' '.join(self.sentences)}"


class Facts:
    """The entries of a kind, ready to be searched."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        self.digest = digest([[entry.name, *entry.sentences] for entry in entries], DIGEST_LENGTH)
        self._counts = [Counter(words(entry.text)) for entry in entries]
        lengths = [sum(counts.values()) for counts in self._counts]
        mean = sum(lengths) / max(1, len(lengths)) or 1.0
        self._discounts = [K1 * (1 - B + B * length / mean) for length in lengths]
        having = Counter(word for counts in self._counts for word in counts)
        # A word that most entries hold, such as an article, tells none of them from the others.
        rare = {word: n for word, n in having.items() if n <= max(1, len(entries) // 2)}
        self._weights = {word: math.log(1 + (len(entries) - n + 0.5) / (n + 0.5)) for word, n in rare.items()}

    def nearest(self, text: str, count: int) -> list[Entry]:
        """The entries that fit a text best, the best first; ties stand in the order of the file.

        Fewer than ``count`` where fewer share a word with the text. A word counts once, however often the text has it:
        a model that repeats itself says nothing new.
        """
        asked = [word for word in dict.fromkeys(words(text)) if word in self._weights]
        scores = []
        for place, (counts, discount) in enumerate(zip(self._counts, self._discounts, strict=True)):
            parts = (self._weights[w] * counts[w] * (K1 + 1) / (counts[w] + discount) for w in asked if w in counts)
            if (score := sum(parts)) > 0:
                scores.append((-score, place))
        return [self.entries[place] for _, place in sorted(scores)[:count]]


def words(text: str) -> list[str]:
    """Words of a text without case, accents and the ending of the plural."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    found = re.findall(r"[^\W_]+", "".join(c for c in plain if not unicodedata.combining(c)))
    return [singular(word) for word in found]


def singular(word: str) -> str:
    """A word without the ending of an English plural: roads and road, berries and berry are one."""
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def shown(entries: Sequence[Entry]) -> str:
    """Entries as a prompt shows them, a line each."""
    return "\n".join(f"- {entry.text}" for entry in entries) or NONE_FIT


@functools.cache
def facts_of(kind: str) -> Facts | None:
    """The background facts of a kind; None where it has none.

    Raises:
        UserError: its file is damaged.
    """
    module = tasks.load(kind).module
    if module is None or not hasattr(module, "__path__"):
        return None
    path = Path(next(iter(module.__path__))) / FILE
    if not path.is_file():
        return None
    content = read_json(path)
    if not _whole(content):
        raise UserError(f"{path} is no file of facts: it must hold a name and a list of sentences for each entry")
    return Facts([Entry(name, tuple(sentences)) for name, sentences in content.items()])


def _whole(content: object) -> bool:
    return isinstance(content, Mapping) and all(
        isinstance(sentences, list) and sentences and all(isinstance(s, str) and s.strip() for s in sentences)
        for sentences in content.values()
    )


plugins.on_change(facts_of.cache_clear)
