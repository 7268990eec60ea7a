"""Which of the data's categories a description names."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from paceline.tasks.description.lexicon import Lexicon
from paceline.tasks.description.object_claims import plurals, synonyms


def label_of(category: str) -> str:
    """A category's name: what stands before the first bar."""
    return category.partition("|")[0].strip()


@functools.lru_cache(maxsize=8)
def lexicon(categories: tuple[str, ...]) -> Lexicon:
    """The words of some categories: the name, what stands behind bars, COCO's synonyms of it, and all plurals.

    A word that two categories share names the one whose own name it is, else the first.
    """
    meanings: dict[str, str] = {}
    for own in (True, False):
        for category in categories:
            name, *others = (word.strip() for word in category.split("|"))
            for word in [name] if own else [*others, *synonyms(name.lower().replace("_", " "))[1:]]:
                plain = word.replace("_", " ")
                for phrase in (plain, *plurals(plain.lower())):
                    meanings.setdefault(phrase.lower(), name)
    return Lexicon({phrase: name for phrase, name in meanings.items() if phrase.strip()})


def named(text: str, categories: Sequence[str]) -> list[str]:
    """The names of the categories that a text names, each once, in its order; "no beach" names none."""
    found = lexicon(tuple(categories)).named(text)
    return list(dict.fromkeys(one.meaning for one in found if not one.denied))


def vocabulary(of_samples: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """All categories of some samples, in the order of the alphabet."""
    return tuple(sorted({category for categories in of_samples for category in categories}))
