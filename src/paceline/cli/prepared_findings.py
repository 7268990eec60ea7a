"""What `prepare` tells of data that it made: pictures shown otherwise, what splits share, groups in several splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from paceline.counted import agree, counted

SCALED = {
    "type": "from the range of their file's type",
    "data": "from the least and most value of each",
    "percentiles": "from percentiles of each one's values",
    "range": "from one range of values",
}


def told_of_pictures(manifest: Mapping[str, Any], where: str) -> Iterator[str]:
    """What models are shown that is not the whole file as it is, a line each."""
    told, named = manifest.get("pictures", {}), f"(named in {where}/pictures.jsonl)"
    for rule, count in told.get("scaled", {}).items():
        scaled = f"{_pictures(count)} of more than 8 bits scaled {SCALED[rule]}"
        yield f"{scaled} {named}; task.pictures.scale has other rules"
    for bands, count in told.get("bands", {}).items():
        yield f"{_pictures(count)} shown by bands {bands} {named}"
    if count := told.get("illuminated"):
        yield f"{_pictures(count)} corrected by the sun's zenith {named}"
    for how, count in told.get("equalised", {}).items():
        yield f"{_pictures(count)} with an equalised histogram ({how}) {named}"
    for form, count in told.get("first_of", {}).items():
        yield f"{_pictures(count)} of several frames or pages ({form}): the first is shown {named}"
    if count := told.get("one_colour"):
        yield f"{_pictures(count)} of nearly one colour {named}: look at one before you train on it"


def _pictures(count: int) -> str:
    return f"{count} picture{'s' * (count != 1)}"


def told_of_leakage(manifest: Mapping[str, Any], train: str, where: str) -> Iterator[str]:
    """What the test splits share with the training split, a line each, with what to do about it."""
    leakage = manifest.get("leakage")
    if leakage is None:
        yield (
            "not searched for images that are tested and trained on: an earlier version prepared it; "
            f"move {where} away and prepare again (cells keep their ids)"
        )
    yield from leaks(leakage or {}, train, f"{where}/leakage.jsonl")


def leaks(leakage: Mapping[str, Mapping[str, int]], train: str, named: str) -> Iterator[str]:
    """The counts of each test split, a line each.

    Args:
        leakage: split -> kind of leakage -> images or samples.
        train: what is trained on.
        named: the file that names them.
    """
    clean: dict[str, list[str]] = {}
    remedy = f"(named in {named}). To keep its figures honest, take one of each pair out of the source"
    for split, kinds in leakage.items():
        same, turned = sum(kinds.get(k, 0) for k in ("bytes", "pixels", "looks")), kinds.get("turned", 0)
        if same:
            yield (
                f"{counted(same, 'image')} of {split} {agree(same, 'is', 'are')} also in {train} or "
                f"{agree(same, 'looks', 'look')} like one of it: "
                f"{kinds['bytes']} byte for byte, {kinds['pixels']} pixel for pixel, {kinds['looks']} alike "
                f"{remedy}, or hold out whole places"
            )
        elif "bytes" in kinds:
            clean.setdefault(f"no image of %s is in {train} too, by bytes, pixels or looks", []).append(split)
        if turned:
            yield (
                f"{counted(turned, 'image')} of {split} {agree(turned, 'is', 'are')} also in {train}, mirrored or "
                f"turned {remedy}"
            )
        if texts := kinds.get("text", 0):
            yield (
                f"{counted(texts, 'sample')} of {split} without an image {agree(texts, 'is', 'are')} also in "
                f"{train}, word for word {remedy}"
            )
        elif "text" in kinds:
            clean.setdefault(f"no sample without an image of %s is in {train} too, word for word", []).append(split)
        if near := kinds.get("words", 0):
            yield (
                f"{counted(near, 'sample')} of {split} {agree(near, 'has', 'have')} a text of eight words or more that "
                f"stands in {train} too, in nearly the same words {remedy}, unless texts follow a template"
            )
    for text, splits in clean.items():
        yield text % ", ".join(splits)


def shared_groups(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Groups of samples that stand in several splits, a line for each set of splits, with what to do about it."""
    groups = manifest.get("groups", {})
    for splits, count in groups.get("shared", {}).items():
        named = ", ".join(groups["named"][:5])
        yield (
            f"{count} of {counted(groups['count'], 'group')} by {groups['field']} stand in several splits: "
            f"{splits} (such as "
            f"{named}). What is learned of a group then helps in its test samples: move each group into one split of "
            "the source, or let task.options.shares part the table by task.options.group"
        )
