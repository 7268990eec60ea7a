"""What the scorer reads of how sure an answer says it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_geolocation_scorer import aggregate, score

from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders
from paceline.tasks.geolocation.stated_confidence import LEVELS, stated_confidence

PERCENT = st.integers(0, 100)
NAME = st.text(st.characters(categories=("Lu", "Ll")), min_size=1, max_size=12).filter(
    lambda name: name.lower() not in ("percent", "country", "countries", "nation", "region", "province", "city", "town")
)
FORMS = [
    "Country: {0} ({3}%)\nRegion: {1} ({4}%)\nCity: {2} ({5}%)\n(46.2, 7.4)",
    "1. Country: {0} - {3} % sure\n2. Region: {1} - {4} % sure\n3. City: {2} - {5} % sure\n[46.2, 7.4]",
    "**Country:** {0}\n**Confidence:** {3}%\n\n**Region:** {1}\n**Confidence:** {4}%\n\n"
    "**City:** {2}\n**Confidence:** {5}%",
    "The country is {0}. I am {3} percent sure. The region is {1}. I am {4} percent sure. The city is {2}. "
    "I am {5} percent sure.",
    "Country: {0} ({3}%), region: {1} ({4}%), city: {2} ({5}%).\n46.2, 7.4",
    "I am {3}% confident that the country is {0}, {4}% that the region is {1} and {5}% that the city is {2}.",
    "{0} ({3}%), {1} ({4}%), {2} ({5}%)\n(46.2, 7.4)",
    "Country: {0}\nConfidence: {3}\nState: {1}\nConfidence: {4}\nTown: {2}\nConfidence: {5}\n",
    "Country: {0}, confidence {3}/100\nRegion: {1}, confidence {4}/100\nCity: {2}, confidence {5}/100",
]


@pytest.mark.parametrize("form", FORMS)
@given(names=st.tuples(NAME, NAME, NAME), shares=st.tuples(PERCENT, PERCENT, PERCENT))
def test_confidence_is_read_back_however_it_is_laid_out(form: str, names: tuple, shares: tuple) -> None:
    found = stated_confidence(form.format(*names, *shares))
    assert found == {level: share / 100 for level, share in zip(LEVELS, shares, strict=True)}


@given(st.text())
def test_any_text_gives_shares_or_nothing(text: str) -> None:
    found = stated_confidence(text)
    assert tuple(found) == LEVELS
    assert all(value is None or 0 <= value <= 1 for value in found.values())


@given(st.text(st.characters(exclude_characters="%")).filter(lambda t: "per" not in t.lower() and "c" not in t.lower()))
def test_a_text_that_states_none_has_none(text: str) -> None:
    assert set(stated_confidence(text).values()) == {None}


@pytest.mark.parametrize(
    ("text", "country", "region", "city"),
    [
        ("Country: Spain (110%)", None, None, None),  # no percentage
        ("Country: Spain (80-90%)", 0.85, None, None),
        ("Country: Spain (confidence: 0.9)", None, None, None),  # a share or a percentage?
        ("Country: Spain, 70%. On reflection: country: France, 60%.", 0.6, None, None),
        ("I'm not 100% sure. Country: France (90%).", 0.9, None, None),
        ("About 70% of such houses have red roofs. Country: Spain", None, None, None),
        ("Roofs: 70%. Walls: 20%.", None, None, None),
        ("Country: Spain\nThe signs are in Spanish.\nI am 80% sure.", None, None, None),
    ],
)
def test_what_is_doubtful_is_not_read(
    text: str, country: float | None, region: float | None, city: float | None
) -> None:
    assert stated_confidence(text) == {"country": country, "region": region, "city": city}


def test_no_prompt_states_a_confidence_by_itself() -> None:
    composition = compose(["prompt=glob(geo_*)", "task=geolocation_earth"], conf_folders(None))
    texts = [composition.spec("prompt", name, {}).text for name in composition.tree.choices("prompt")]
    assert len(texts) > 5
    assert all(set(stated_confidence(text).values()) == {None} for text in texts)


def test_a_score_is_there_only_where_the_answer_states_one() -> None:
    samples = {"a": {"latitude": 46.2, "longitude": 7.4}}
    texts = ["Country: Switzerland (90%)\n(46.2, 7.4)", "(46.2, 7.4)"]
    found = score([{"sample": "a", "text": text} for text in texts], samples)
    assert [r["scores"].get("confidence_country") for r in found] == [0.9, None]
    assert "confidence_city" not in found[0]["scores"] and "confidence_country" not in found[1]["scores"]
    assert aggregate(found)["within_25_km"]["value"] == 1.0
