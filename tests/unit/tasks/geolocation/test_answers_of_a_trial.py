"""Answers in the manner of vision-language models, each with what its writer meant, and properties of their kinds.

``answers/tuned.jsonl`` was read while the reader was worked on, ``answers/held_out.jsonl`` was written before it was
tried. A line has an ``answer`` and its ``truth``: a latitude and a longitude, ``refused``, ``unread`` (nothing, and no
refusal) or ``not read`` (nothing, whatever the reason). Lines with ``missed`` are not understood; they must not be read
as another place.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.tasks.geolocation.coordinates import parse_coordinates, read_coordinates

Point = tuple[float, float]
ANSWERS = [
    json.loads(line)
    for name in ("tuned", "held_out")
    for line in (Path(__file__).parent / "answers" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
]
ROUNDED = 6e-4  # degrees: the truths of minutes and seconds have four decimals

points = st.tuples(
    st.integers(-89_9999, 89_9999).filter(bool).map(lambda n: n / 1e4),
    st.integers(-179_9999, 179_9999).filter(bool).map(lambda n: n / 1e4),
)
short = st.integers(15, 899).map(lambda n: n / 10)  # a number that could be a coordinate, with one decimal


def near(point: Point) -> Any:
    return pytest.approx(point, abs=ROUNDED)


@pytest.mark.parametrize("row", [r for r in ANSWERS if not r.get("missed")], ids=lambda r: r["answer"][:40])
def test_an_answer_of_the_trial_is_read_as_it_was_meant(row: dict[str, Any]) -> None:
    reading, truth = read_coordinates(row["answer"]), row["truth"]
    if isinstance(truth, list):
        assert (reading.latitude, reading.longitude) == near((truth[0], truth[1]))
    else:
        assert reading.latitude is None, reading
        assert truth == "not read" or (reading.outcome == "refused") == (truth == "refused"), reading


@pytest.mark.parametrize("row", [r for r in ANSWERS if r.get("missed")], ids=lambda r: r["answer"][:40])
def test_an_answer_of_the_trial_that_is_missed_is_not_read_as_another_place(row: dict[str, Any]) -> None:
    reading, truth = read_coordinates(row["answer"]), row["truth"]
    if reading.latitude is not None:
        assert isinstance(truth, list)
        assert (reading.latitude, reading.longitude) == near((truth[0], truth[1]))


@settings(deadline=None, max_examples=100)
@given(
    points,
    points,
    st.sampled_from(
        [
            "\n\nQuestion: Where was this photo taken?\nAnswer: ",
            "\nQ: Where?\nA: ",
            "\n\nUser: And this one?\nAssistant: ",
            "\n\nHuman: next\n\nAssistant: ",
            "\n\n### Instruction:\nLocate it.\n\n### Response:\n",
            "<|im_end|>\n<|im_start|>user\nNext<|im_end|>\n<|im_start|>assistant\n",
            "<|endoftext|>",
            "</s>[INST] next [/INST] ",
        ]
    ),
)
def test_a_dialogue_that_the_model_makes_up_behind_its_answer_changes_nothing(a: Point, b: Point, turn: str) -> None:
    assert parse_coordinates(f"{a[0]:.4f}, {a[1]:.4f}{turn}{b[0]:.4f}, {b[1]:.4f}") == near(a)


@settings(deadline=None, max_examples=100)
@given(
    short,
    short,
    st.sampled_from(["display", "barometer", "index", "meter", "counter", "tag"]),
    st.sampled_from(["The {} is {}, {}.", "The {} says {}, {}", "A {} at {}, {}", "I see one {}: {}, {}."]),
)
def test_short_numbers_that_are_said_of_a_thing_are_no_place(a: float, b: float, thing: str, form: str) -> None:
    text = form.format(thing, a, b)
    assert parse_coordinates(text) is None, text


@settings(deadline=None, max_examples=100)
@given(
    short,
    short,
    st.sampled_from(
        [
            "The tower is at ({}, {}) in the image.",
            "It stands at {}, {} in normalised image coordinates.",
            "Pixel coordinates: ({}, {})",
            "({}, {}) of the frame",
            "{}, {} humidity",
            "Levels of {}, {} dBm",
        ]
    ),
)
def test_numbers_in_the_picture_and_measures_are_no_place(a: float, b: float, form: str) -> None:
    text = form.format(a, b)
    assert parse_coordinates(text) is None, text


@settings(deadline=None, max_examples=100)
@given(
    st.integers(0, 88),
    st.integers(0, 178),
    st.sampled_from(
        [
            "N: {n}.5, S: {s}.5, E: {e}.5, W: {w}.5",
            '{{"northeast": {{"lat": {n}.5, "lng": {e}.5}}, "southwest": {{"lat": {s}.5, "lng": {w}.5}}}}',
            '{{"low": {{"latitude": {s}.5, "longitude": {w}.5}}, "high": {{"latitude": {n}.5, "longitude": {e}.5}}}}',
            "at most {n}.5 N and at least {e}.5 E",
            '{{"sw": [{s}.5, {w}.5], "ne": [{n}.5, {e}.5]}}',
        ]
    ),
)
def test_the_sides_and_corners_of_a_box_are_no_place(south: int, west: int, form: str) -> None:
    text = form.format(n=south + 1, s=south, e=west + 1, w=west)
    assert parse_coordinates(text) is None, text


FIELDS = [
    '{{"latitude": {a}, "lat_dir": "{n}", "longitude": {b}, "lon_dir": "{e}"}}',
    '{{"lat": {{"degrees": {a}, "direction": "{n}"}}, "lon": {{"degrees": {b}, "direction": "{e}"}}}}',
    "GPSLatitude={a} GPSLatitudeRef={n} GPSLongitude={b} GPSLongitudeRef={e}",
    "({a}, '{n}', {b}, '{e}')",
    "Lat: {a} ({north}ern hemisphere), Lon: {b} ({east}ern hemisphere)",
    "\\({a}^\\circ\\){n}, \\({b}^\\circ\\){e}",
    "{a} degrees {n} of the equator and {b} degrees {e} of the prime meridian",
]


@settings(deadline=None, max_examples=150)
@given(points, st.sampled_from(FIELDS))
def test_a_hemisphere_in_a_field_of_its_own_gives_the_sign(point: Point, form: str) -> None:
    north, east = ("south" if point[0] < 0 else "north"), ("west" if point[1] < 0 else "east")
    values = {"a": f"{abs(point[0]):.4f}", "b": f"{abs(point[1]):.4f}", "north": north, "east": east}
    text = form.format(n=north[0].upper(), e=east[0].upper(), **values)
    assert parse_coordinates(text) == near(point), text


@settings(deadline=None, max_examples=100)
@given(points, st.sampled_from(["- {a}, - {b}", "minus {a}, minus {b}", "—{a}, —{b}", "lat − {a}, lon − {b}"]))
def test_a_minus_is_a_minus_however_it_is_written(point: Point, form: str) -> None:
    text = form.format(a=f"{abs(point[0]):.4f}", b=f"{abs(point[1]):.4f}")
    assert parse_coordinates(text) == near((-abs(point[0]), -abs(point[1]))), text


@settings(deadline=None, max_examples=100)
@given(
    st.tuples(st.integers(1, 89), st.integers(0, 59), st.integers(0, 59)),
    st.tuples(st.integers(1, 179), st.integers(0, 59), st.integers(0, 59)),
    st.sampled_from(
        [
            "{}°{}`{}``{}",
            "{}o{}'{}\"{}",
            "{}*{}'{}\"{}",
            "{}-{:02}-{:02} {}",
            "{} {}' {}\" {}",
            "{}° {} {} {}",
            "{}°{}´{}´´{}",
        ]
    ),
    st.sampled_from("NS"),
    st.sampled_from("EW"),
)
def test_minutes_and_seconds_are_read_in_any_spelling(
    lat: tuple[int, int, int], lon: tuple[int, int, int], form: str, north: str, east: str
) -> None:
    text = f"{form.format(*lat, north)}, {form.format(*lon, east)}"
    degrees = [d + m / 60 + s / 3600 for d, m, s in (lat, lon)]
    assert parse_coordinates(text) == near(
        (degrees[0] * (1 - 2 * (north == "S")), degrees[1] * (1 - 2 * (east == "W")))
    )


@pytest.mark.parametrize(
    "text",
    [
        "Latitude: -47.5° N, Longitude: 19.0° E",
        "Latitude: 36.1 N S, Longitude: 5.3 E",
        "Latitude 51,3829 N, longitude 2,3578 O",
    ],
)
def test_a_hemisphere_that_is_contradicted_or_of_no_plain_language_is_no_answer(text: str) -> None:
    assert parse_coordinates(text) is None


@settings(deadline=None, max_examples=60)
@given(
    points,
    points,
    st.sampled_from(
        [
            "{} is my answer. Oslo ({}) is also possible.",
            "Rome ({}). I considered Oslo ({}) too.",
            "Primary: {}. Secondary: {}.",
            "Best: {}\n2nd best: {}",
            "Rome: {} (Oslo would be {}).",
            "Rome ({}) or Oslo ({}); Rome is more likely.",
        ]
    ),
)
def test_a_second_candidate_is_not_the_answer(a: Point, b: Point, form: str) -> None:
    text = form.format(f"{a[0]:.4f}, {a[1]:.4f}", f"{b[0]:.4f}, {b[1]:.4f}")
    assert parse_coordinates(text) == near(a), text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Latitud: menos 34,6037; longitud: menos 58,3816", (-34.6037, -58.3816)),
        ("Широта минус 34,6037, долгота минус 58,3816", (-34.6037, -58.3816)),
        ("纬度：负34.6037，经度：负58.3816", (-34.6037, -58.3816)),
        ("Las coordenadas aproximadas son 19,43° N y 99,13° O.", (19.43, -99.13)),
        ("Es könnte Linz sein (48,3069° N, 14,2858° O).", (48.3069, 14.2858)),
    ],
)
def test_other_words_of_a_language_tell_its_letters_and_its_minus(text: str, expected: Point) -> None:
    assert parse_coordinates(text) == near(expected)
