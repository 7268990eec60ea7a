"""Background facts: what is shipped, and which of them a text finds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from paceline import tasks
from paceline.data import background_facts
from paceline.data.background_facts import NONE_FIT, Entry, Facts, facts_of, shown

COUNTRIES = json.loads((Path(tasks.__file__).parent / "geolocation" / "countries.json").read_text())
LEFT = re.findall(
    "..",
    "AGAIAUBBBDBMBNBSBTBWCCCKCXCYDMFJFKGBGDGGGYHKIDIEIMINJEJMJPKEKIKNKYLCLKLSMO"
    "MSMTMUMVMWMYMZNANFNPNRNUNZPGPKPNSBSCSGSHSRSZTCTHTKTLTOTTTVTZUGVCVGVIWSZAZMZW",
)
"""Where traffic drives on the left."""
CODES = {"AR": "+54", "CH": "+41", "CI": "+225", "EE": "+372", "GH": "+233", "JP": "+81", "KZ": "+7", "XK": "+383"}


def places() -> Facts:
    facts = facts_of("geolocation")
    assert facts is not None
    return facts


def found(text: str, count: int = 3) -> list[str]:
    return [entry.name for entry in places().nearest(text, count)]


def test_every_country_and_territory_has_facts() -> None:
    assert {entry.name for entry in places().entries} == set(COUNTRIES.values())
    assert all(sentence.endswith(".") for entry in places().entries for sentence in entry.sentences)


def test_the_side_that_traffic_drives_on_is_that_of_the_country() -> None:
    told = {e.name: e.sentences[0] for e in places().entries if e.sentences[0].startswith("Traffic")}
    for code, name in COUNTRIES.items():
        if name in told:
            assert told[name] == f"Traffic drives on the {'left' if code in LEFT else 'right'}.", name
    assert {COUNTRIES[code] for code in LEFT} <= told.keys()


@pytest.mark.parametrize("code", CODES)
def test_a_calling_code_is_that_of_the_country(code: str) -> None:
    (entry,) = [e for e in places().entries if e.name == COUNTRIES[code]]
    assert f"Telephone numbers begin with {CODES[code]}" in entry.text


@pytest.mark.parametrize(
    ("text", "country"),
    [
        ("A narrow street with overhead wires and vending machines, kanji on the signs", "Japan"),
        ("Eucalyptus trees with peeling bark, red earth, wide verandas, traffic on the left", "Australia"),
        ("Fjords and steep mountains, wooden houses with turf roofs, tunnels", "Norway"),
        ("Painted jeepneys, tricycles, coconut palms and a volcano", "Philippines"),
        (
            "Mills? Canals, dikes, a greenhouse, many bicycles on red asphalt cycle paths",
            "Netherlands",
        ),
        ("A licence plate with a city number, mosques with PENCIL-SHAPED minarets", "Turkey"),
        ("bouchons: a mairie beside a boulangerie, shutters and plane trees", "France"),
    ],
)
def test_a_description_finds_the_country_that_it_fits(text: str, country: str) -> None:
    assert country in found(text)


def test_words_that_most_entries_hold_find_nothing() -> None:
    assert found("on the telephone numbers begin, web addresses end in languages on signs") == []
    assert found("") == found("системный ответ 12") == []
    assert shown([]) == NONE_FIT


def test_the_same_text_finds_the_same_whatever_its_case_its_accents_and_its_repetitions() -> None:
    once = found("olive groves and white villages with clay tiles", 10)
    assert once == found("OLIVE GROVE and white víllages with clay tiles tiles tiles", 10)
    assert once[:2] == found("olive groves and white villages with clay tiles", 2)


def test_a_changed_sentence_has_another_digest() -> None:
    one, other = (Facts([Entry("a", ("x y.",)), Entry("b", (text,))]) for text in ("z.", "w."))
    assert one.digest != other.digest


def test_a_kind_without_such_a_file_has_none() -> None:
    assert facts_of("vqa") is None
    assert [k for k in tasks.names() if facts_of(k)] == ["geolocation"]


def test_a_damaged_file_is_named() -> None:
    assert not background_facts._whole({"a": []})
    assert not background_facts._whole({"a": ["x", ""]})
    assert not background_facts._whole(["a"])
