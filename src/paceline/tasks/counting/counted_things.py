"""What pictures, above all of the ground, are asked to be counted in: words that may name the same thing, or can't.

A word that stands in no group is never taken for another thing than the one that is asked for.
"""

from __future__ import annotations

_GROUPS = (
    "building house home apartment warehouse garage shed barn villa skyscraper hut cabin church school rooftop roof",
    "road street highway path lane motorway avenue freeway pathway footpath",
    "car vehicle truck bus van lorry automobile taxi motorcycle bicycle bike",
    "tree bush shrub palm",
    "river stream creek lake pond pool reservoir canal",
    "person people man men woman women child children pedestrian player",
    "boat ship vessel yacht ferry",
    "airplane plane aircraft jet helicopter",
    "parking",
    "window door chimney",
    "bridge overpass",
    "dog cat horse cow sheep bird",
)
_OF: dict[str, frozenset[str]] = {}
for _group in _GROUPS:
    for _word in _group.split():
        _OF[_word] = _OF.get(_word, frozenset()) | {_group}


def things_of(stem: str) -> frozenset[str]:
    """The groups of a word in the singular; empty where it is not known what it names."""
    return _OF.get(stem, frozenset())
