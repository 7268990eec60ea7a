"""Which land cover and land use a text says is there, by the words of ``cover_words.yaml`` and their plurals."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml

from paceline.tasks.description.lexicon import Lexicon
from paceline.tasks.description.object_claims import plurals


@functools.cache
def _listed() -> dict[str, Any]:
    return dict(yaml.safe_load(Path(__file__).with_name("cover_words.yaml").read_text(encoding="utf-8")))


@functools.cache
def words() -> tuple[str, ...]:
    """The words there are, each with its synonyms under one name."""
    return tuple(_listed()["words"])


@functools.cache
def _lexicon() -> Lexicon:
    meanings: dict[str, str] = {}
    for phrase in _listed()["none"]:
        meanings |= dict.fromkeys((phrase, *plurals(phrase)), "")
    for name, synonyms in _listed()["words"].items():
        for phrase in (name, *(synonyms or ())):
            meanings |= dict.fromkeys((phrase, *plurals(phrase)), name)
    return Lexicon(meanings)


def found(text: str) -> tuple[str, ...]:
    """The words that a text says are there, each once, in its order; "no river" says none."""
    return tuple(dict.fromkeys(one.meaning for one in _lexicon().named(text) if not one.denied))
