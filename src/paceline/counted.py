"""Counts with their nouns: ``1 cell``, ``1,234 cells``. Every message that counts takes its words from here."""

from __future__ import annotations


def counted(n: int, noun: str, plural: str = "") -> str:
    """A number with its noun, in the plural where it is not 1.

    Args:
        n: how many.
        noun: in the singular; of several words the last takes the plural.
        plural: where it is not made by an s.
    """
    return f"{n:,} {noun if n == 1 else plural or plural_of(noun)}"


def plural_of(noun: str) -> str:
    """The regular plural of a noun: ``entry`` -> ``entries``, ``batch`` -> ``batches``, ``cell`` -> ``cells``."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"


def agree(n: int, one: str, several: str) -> str:
    """The verb that a counted noun takes: ``one`` for 1."""
    return one if n == 1 else several
