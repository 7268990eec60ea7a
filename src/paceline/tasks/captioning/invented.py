"""What a caption states and none of its references does: names and numbers.

A name is invented where a word of it is in no reference and not in the question; so is a number whose value is not.
Words are compared without case, accents, possessive and plural, numbers by their value, and the adjective of a nation
with its name. A name that was spelled otherwise than in every reference counts as invented.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paceline.tasks.captioning import proper_names, stated_numbers


@dataclass(frozen=True)
class Invented:
    """What no reference states, as the caption writes it, each once."""

    names: tuple[str, ...]
    numbers: tuple[str, ...]
    named: bool
    """Whether names can be told by the capitals of the caption."""


def invented(caption: str, references: Sequence[str], question: str = "") -> Invented:
    """The names and numbers of a caption that are in none of the references and not in the question."""
    texts = tuple(filter(None, (*references, question)))
    words, values = proper_names.vocabulary(texts), stated_numbers.known(texts)
    return Invented(
        tuple(name.text for name in proper_names.names(caption) if not words.names(name)),
        tuple(number.text for number in stated_numbers.numbers(caption) if not values.issuperset(number.parts)),
        proper_names.tells(caption),
    )
