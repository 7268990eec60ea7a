"""Which objects an answer claims: the 80 classes of COCO, by the words of ``objects.yaml`` and their plurals."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from paceline.tasks.description.lexicon import Lexicon

_IRREGULAR = {
    "person": ("people", "persons"),
    "child": ("children",),
    "mouse": ("mice",),
    "knife": ("knives",),
    "goose": ("geese",),
    "ox": ("oxen",),
    "wife": ("wives",),
    "sheep": ("sheep",),
    "aircraft": ("aircraft",),
    "by": ("bys",),
}


def plurals(phrase: str) -> tuple[str, ...]:
    """The plurals of a phrase, formed at its last word."""
    head, _, last = phrase.rpartition(" ")
    if last in _IRREGULAR:
        made: tuple[str, ...] = _IRREGULAR[last]
    elif last.endswith("man") and last != "human":
        made = (f"{last[:-3]}men",)
    elif last.endswith("y") and last[-2:-1] not in ("a", "e", "i", "o", "u"):
        made = (f"{last[:-1]}ies",)
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        made = (f"{last}es",)
    elif last.endswith("o"):
        made = (f"{last}s", f"{last}es")
    else:
        made = (f"{last}s",)
    return tuple(f"{head} {word}".strip() for word in made)


@functools.cache
def _listed() -> dict[str, Any]:
    return dict(yaml.safe_load(Path(__file__).with_name("objects.yaml").read_text(encoding="utf-8")))


@functools.cache
def classes() -> tuple[str, ...]:
    """The names of the classes."""
    return tuple(_listed()["objects"])


@functools.cache
def synonyms(name: str) -> tuple[str, ...]:
    """The words for a class, its name first; of a name that is no class that name alone."""
    return (name, *_listed()["objects"].get(name, ()))


@functools.cache
def _lexicon() -> Lexicon:
    singular_means_else = set(_listed()["only_plural"])
    meanings: dict[str, str] = {}
    for phrase in _listed()["none"]:
        meanings |= dict.fromkeys((phrase, *plurals(phrase)), "")
    for name in classes():
        for phrase in synonyms(name):
            meanings |= dict.fromkeys(plurals(phrase), name)
            if phrase not in singular_means_else:
                meanings[phrase] = name
    return Lexicon(meanings)


def claimed(text: str) -> list[str]:
    """The classes that a text claims to be there, each once, in its order; "no dog" claims none."""
    return list(dict.fromkeys(one.meaning for one in _lexicon().named(text) if not one.denied))


@functools.cache
def class_of(name: str) -> str:
    """The class that a name of the data means; empty where it means none."""
    folded = " ".join(name.lower().replace("_", " ").split())
    if folded in classes():
        return folded
    return next((one.meaning for one in _lexicon().named(folded)), "")


def known(names: Iterable[str]) -> list[str]:
    """The classes that some names mean, each once."""
    return list(dict.fromkeys(filter(None, map(class_of, names))))
