"""Properties of each kind of answer: any pair of any sign, in any form of the kind, is read as it was written.

And of each kind that holds none: whatever the numbers are, no place is read out of it.
"""

# ruff: noqa: E501 (a form of an answer stands on one line)
from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.errors import UserError
from paceline.tasks.geolocation.coordinates import read_coordinates
from paceline.tasks.geolocation.coordinates.languages import FILE, read_vocabulary

Point = tuple[float, float]
LANGUAGES = yaml.load(FILE.read_text(encoding="utf-8"), yaml.BaseLoader)

latitudes = st.integers(-89_9999, 89_9999).map(lambda n: n / 1e4)
longitudes = st.integers(-179_9999, 179_9999).map(lambda n: n / 1e4)
points = st.tuples(latitudes, longitudes)
digits = st.sampled_from(
    ["0123456789", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९", "০১২৩৪৫৬৭৮৯", "๐๑๒๓๔๕๖๗๘๙", "０１２３４５６７８９"]
)


def fixed(value: float) -> str:
    return f"{value:.4f}"


def letters(point: Point, *, small: bool = False) -> tuple[str, str]:
    lat, lon = ("S" if point[0] < 0 else "N"), ("W" if point[1] < 0 else "E")
    return (lat.lower(), lon.lower()) if small else (lat, lon)


def sides(point: Point) -> tuple[str, str]:
    return "south" if point[0] < 0 else "north", "west" if point[1] < 0 else "east"


def bare(point: Point) -> tuple[str, str]:
    return fixed(abs(point[0])), fixed(abs(point[1]))


# -- answers, each a strategy of (text, point)


@st.composite
def in_a_language(draw: st.DrawFn) -> tuple[str, Point]:
    """Labels or hemispheres of a language of the file, in either order, with its digits and decimal sign."""
    words = draw(st.sampled_from([w for w in LANGUAGES.values() if {"latitude", "longitude"} <= w.keys()]))
    point = draw(points)
    comma = draw(st.booleans())
    lat, lon = draw(st.sampled_from(words["latitude"])), draw(st.sampled_from(words["longitude"]))
    if draw(st.booleans()):
        lat, lon = lat.capitalize(), lon.capitalize()
    join = draw(st.sampled_from([": ", " ", " : ", "： ", " = "]))
    between = draw(st.sampled_from(["; ", "\n", " | "] + ([] if comma else [", "])))
    halves = [f"{lat}{join}{fixed(point[0])}", f"{lon}{join}{fixed(point[1])}"]
    side = [words.get(key) for key in sides(point)]
    if all(side) and draw(st.booleans()):
        halves = [f"{number}° {draw(st.sampled_from(w))}" for number, w in zip(bare(point), side, strict=True) if w]
        # A character that is a side by itself has no space before it.
        halves = [half.replace("° ", "°") if half[-1] in "北南东東西" else half for half in halves]
    if draw(st.booleans()):
        halves.reverse()
    text = between.join(halves)
    return (
        text.replace(".", ",")
        if comma
        and "." not in "".join(words["latitude"] + words["longitude"])
        and not any("." in w for key in ("north", "south", "east", "west") for w in words.get(key, []))
        else text
    ), point


@st.composite
def in_digits(draw: st.DrawFn) -> tuple[str, Point]:
    """Any digits that Unicode calls decimal."""
    point, of = draw(points), draw(digits)
    text = f"({fixed(point[0])}{draw(st.sampled_from([', ', '; ', '، ', '，']))}{fixed(point[1])})"
    point_sign = draw(st.sampled_from([".", "٫"])) if of[0] in "٠۰" else "."
    return text.translate(str.maketrans("0123456789", of)).replace(".", point_sign), point


@st.composite
def misspelt(draw: st.DrawFn) -> tuple[str, Point]:
    """One letter of a label doubled, left out, or swapped with the next; never the first."""
    point = draw(points)

    def spoilt(label: str) -> str:
        n = draw(st.integers(1, len(label) - 2))
        return draw(st.sampled_from([label[:n] + label[n:][0] + label[n:], label[:n] + label[n + 1 :],
                                     label[:n] + label[n + 1] + label[n] + label[n + 2 :]]))  # fmt: skip

    halves = [f"{spoilt('latitude')}: {fixed(point[0])}", f"{spoilt('longitude')}: {fixed(point[1])}"]
    text = draw(st.sampled_from([", ", "\n", "; "])).join(halves[:: draw(st.sampled_from([1, -1]))])
    return draw(st.sampled_from([text, text.title(), text.upper()])), point


@st.composite
def in_two_sentences(draw: st.DrawFn) -> tuple[str, Point]:
    point = draw(points)
    lat, lon = bare(point)
    north, east = sides(point)
    n, e = letters(point)
    form = draw(
        st.sampled_from(
            [
                ("The latitude is {0}.", "The longitude is {1}."),
                ("My guess for the latitude is {0}.", "My guess for the longitude would be {1}."),
                ("{0} is the latitude.", "{1} is the longitude."),
                ("For the latitude, I would go with {0}.", "For the longitude, I would go with {1}."),
                ("The {n} coordinate is {a}.", "The {e} coordinate is {o}."),
                ("It is {a} degrees {n} of the equator.", "It is {o} degrees {e} of Greenwich."),
                ("It lies at {a}° {N}.", "It also lies at {o}° {E}."),
            ]
        )
    )
    halves = list(form)
    if "{0}" in form[0] and draw(st.booleans()):
        halves.reverse()
    text = draw(st.sampled_from([" ", "\n", "  "])).join(halves)
    return text.format(fixed(point[0]), fixed(point[1]), a=lat, o=lon, n=north, e=east, N=n, E=e), point


@st.composite
def with_small_letters(draw: st.DrawFn) -> tuple[str, Point]:
    point = draw(points)
    (n, e), (lat, lon) = letters(point, small=True), bare(point)
    space = draw(st.sampled_from(["", " "]))
    before = draw(st.booleans())
    halves = [f"{n}{space}{lat}", f"{e}{space}{lon}"] if before else [f"{lat}{space}{n}", f"{lon}{space}{e}"]
    if draw(st.booleans()):
        halves.reverse()
    text = draw(st.sampled_from([", ", " ", " / ", "; "])).join(halves)
    return draw(st.sampled_from([text, f"({text})", f"It is at {text}."])), point


@st.composite
def in_html(draw: st.DrawFn) -> tuple[str, Point]:
    point = draw(points)
    lat, lon = fixed(point[0]), fixed(point[1])
    cell = draw(st.sampled_from(["td", 'td align="right"', 'td class="num"', "th"]))
    end = cell.split()[0]
    space = draw(st.sampled_from(["", "\n", "  "]))
    rows = [
        f"<tr><th>Latitude</th><th>Longitude</th></tr>{space}<tr><{cell}>{lat}</{end}><{cell}>{lon}</{end}></tr>",
        f"<tr><th>Lon</th><th>Lat</th></tr>{space}<tr><{cell}>{lon}</{end}><{cell}>{lat}</{end}></tr>",
        f"<tr><td>Latitude</td><{cell}>{lat}</{end}></tr>{space}<tr><td>Longitude</td><{cell}>{lon}</{end}></tr>",
        f"<tr><td>Paris</td>{space}<{cell}>{lat}</{end}><{cell}>{lon}</{end}></tr>",
        f"<tr><{cell}>{lat}, {lon}</{end}></tr>",
    ]
    return f"<table>{space}{draw(st.sampled_from(rows))}{space}</table>", point


@st.composite
def in_code(draw: st.DrawFn) -> tuple[str, Point]:
    point = draw(points)
    lat, lon = fixed(point[0]), fixed(point[1])
    form = draw(
        st.sampled_from(
            ["{f}({a}, {o})", "{f}(lat={a}, lon={o})", "{f}(longitude={o}, latitude={a})", "L.marker([{a}, {o}]).addTo(map)",
             "new google.maps.LatLng({a}, {o})", "m.setLngLat([{o}, {a}])", "ol.proj.fromLonLat([{o}, {a}])",
             "ST_MakePoint({o}, {a})", "ee.Geometry.Point([{o}, {a}])", "return ({a}, {o})", "lat, lon = {a}, {o}",
             "float lat = {a}f; float lon = {o}f;", '{f}({{"lat": {a}, "lng": {o}}})']
        )
    )  # fmt: skip
    name = draw(st.sampled_from(["guess", "submit_answer", "geolocate", "pin_location", "final_answer", "print"]))
    code = form.format(a=lat, o=lon, f=name)
    return draw(st.sampled_from([code, f"```python\n{code}\n```", f"I call it:\n{code}"])), point


@st.composite
def corrected(draw: st.DrawFn) -> tuple[str, Point]:
    wrong, right = draw(points), draw(points)
    first, second = (f"{fixed(lat)}, {fixed(lon)}" for lat, lon in (wrong, right))
    lead = draw(st.sampled_from(["", "Final answer: ", "My final answer is ", "Answer: ", "<answer>"]))
    cue = draw(
        st.sampled_from(
            ["Scratch that: ", "Scratch that, it is ", "Correction: ", "On second thought, ", "Wait, no. ", "I take that back: ",
             "Oops, I meant ", "Actually, ", "Let me correct that. ", "No, wait: "]
        )
    )  # fmt: skip
    end = "</answer>" if lead == "<answer>" else ""
    gap = draw(st.sampled_from([". ", "\n", "\n\n"]))
    return f"{lead}{first}{end}{gap}{cue}{second}", right


@st.composite
def in_exponents(draw: st.DrawFn) -> tuple[str, Point]:
    point = draw(points)
    style = draw(st.sampled_from(["e", "E", "e+0", " × 10^", "×10^", " * 10**", r" \times 10^{"]))

    def written(value: float) -> str:
        mantissa, exponent = f"{value:.6e}".split("e")
        power = int(exponent)
        if style in ("e", "E"):
            return f"{mantissa}{style}{power}"
        if style == "e+0":
            return f"{mantissa}e{power:+03d}"
        return f"{mantissa}{style}{power}" + ("}" if style.endswith("{") else "")

    text = draw(st.sampled_from(["{}, {}", "({}, {})", "lat: {}, lon: {}", '{{"lat": {}, "lon": {}}}']))
    return text.format(written(point[0]), written(point[1])), point


@st.composite
def beside_a_range(draw: st.DrawFn) -> tuple[str, Point]:
    lat, lon = draw(st.integers(0, 88)), draw(st.integers(0, 178))
    part = draw(st.integers(1, 9999))
    point = (lat + part / 1e4, lon + part / 1e4)
    values = {"a": fixed(point[0]), "o": fixed(point[1]), "s": lat, "n": lat + 1, "w": lon, "e": lon + 1}
    form = draw(
        st.sampled_from(
            ["Latitude: between {s} and {n} (best guess {a}), Longitude: between {w} and {e} (best guess {o})",
             "Latitude {s}–{n}, best guess {a}; longitude {w}–{e}, best guess {o}",
             "Latitude: {s} to {n}, most likely {a}\nLongitude: {w} to {e}, most likely {o}",
             "Latitude: {a} (range {s}-{n})\nLongitude: {o} (range {w}-{e})",
             "lat {s}-{n}, lon {w}-{e}. Best guess: {a}, {o}", "Best guess: {a}, {o} (lat {s}–{n}, lon {w}–{e})",
             '{{"lat": {a}, "lon": {o}, "lat_range": [{s}.0, {n}.0], "lon_range": [{w}.0, {e}.0]}}',
             '{{"lat_min": {s}.0, "lat_max": {n}.0, "lon_min": {w}.0, "lon_max": {e}.0, "lat": {a}, "lon": {o}}}']
        )
    )  # fmt: skip
    return form.format(**values), point


@st.composite
def in_a_list(draw: st.DrawFn) -> tuple[str, Point]:
    """A numbered list: its likeliest, or its first where no likelihood is stated."""
    places = draw(st.lists(points, min_size=2, max_size=5, unique=True))
    names = draw(st.permutations(["Paris", "London", "Rome", "Sydney", "Lima"]))
    stated = draw(st.booleans())
    shares = draw(st.lists(st.integers(1, 99), min_size=5, max_size=5, unique=True))
    mark = draw(st.sampled_from(["{}. ", "{}) ", "#{}: ", "Guess {}: "]))
    form = draw(st.sampled_from([" ({}%)", " – {}%", ", probability: 0.{:02d}", " [likelihood 0.{:02d}]"]))
    lines = [
        mark.format(n) + f"{name} ({fixed(lat)}, {fixed(lon)})" + (form.format(share) if stated else "")
        for n, (name, (lat, lon), share) in enumerate(zip(names, places, shares, strict=False), 1)
    ]
    best = max(range(len(places)), key=lambda n: shares[n]) if stated else 0
    head = draw(st.sampled_from(["", "My guesses:\n", "Final answer:\n"]))
    return head + "\n".join(lines), places[best]


READ: dict[str, st.SearchStrategy[tuple[str, Point]]] = {
    "languages": in_a_language(),
    "digits": in_digits(),
    "misspelt labels": misspelt(),
    "two sentences": in_two_sentences(),
    "small letters": with_small_letters(),
    "html": in_html(),
    "code": in_code(),
    "corrections": corrected(),
    "exponents": in_exponents(),
    "best guesses": beside_a_range(),
    "lists": in_a_list(),
}


def property_test(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize("kind", READ)
def test_any_pair_is_read_in_any_form_of_its_kind(kind: str) -> None:
    @property_test(150)
    @given(READ[kind])
    def holds(answer: tuple[str, Point]) -> None:
        text, point = answer
        reading = read_coordinates(text)
        assert (reading.latitude, reading.longitude) == pytest.approx(point, abs=1e-6), (text, reading)
        assert reading.span is not None and 0 <= reading.span[0] < reading.span[1] <= len(text)

    holds()


# -- kinds without an answer

shares_of_one = st.integers(1, 9999).map(lambda n: f"{n / 1e4:.4f}")
prices = st.integers(20, 9999).map(lambda n: f"{n / 100:.2f}")
hours = st.tuples(st.integers(6, 12), st.integers(13, 23), st.sampled_from(["00", "15", "30", "45"]))


@st.composite
def boxes(draw: st.DrawFn) -> str:
    lat, lon, side = draw(latitudes), draw(longitudes), draw(st.integers(1, 5))
    values = {"s": fixed(lat), "n": fixed(lat + side / 10), "w": fixed(lon), "e": fixed(lon + side / 10)}
    form = draw(
        st.sampled_from(
            ["lat_min: {s}, lat_max: {n}, lon_min: {w}, lon_max: {e}", "min_lat={s}, min_lon={w}, max_lat={n}, max_lon={e}",
             '{{"lat": {{"min": {s}, "max": {n}}}, "lon": {{"min": {w}, "max": {e}}}}}',
             "Minimum latitude: {s}, minimum longitude: {w}, maximum latitude: {n}, maximum longitude: {e}",
             "SW corner: {s}, {w}; NE corner: {n}, {e}", "Southwest: ({s}, {w})\nNortheast: ({n}, {e})",
             "from ({s}, {w}) to ({n}, {e})", "min: ({s}, {w}), max: ({n}, {e})", "bbox: [{s}, {w}, {n}, {e}]",
             "| | Min | Max |\n|---|---|---|\n| Latitude | {s} | {n} |\n| Longitude | {w} | {e} |",
             "| | Latitude | Longitude |\n|---|---|---|\n| Min | {s} | {w} |\n| Max | {n} | {e} |",
             "North: {n}, South: {s}, East: {e}, West: {w}", "Latitude from {s} to {n}, longitude from {w} to {e}"]
        )
    )  # fmt: skip
    return form.format(**values)


@st.composite
def inequalities(draw: st.DrawFn) -> str:
    lat, lon = draw(latitudes), draw(longitudes)
    less, more = draw(st.sampled_from([("<", ">"), ("<=", ">="), ("≤", "≥"), ("&lt;", "&gt;"), (r"\leq", r"\geq")]))
    values = {"s": fixed(lat), "n": fixed(lat + 0.5), "w": fixed(lon), "e": fixed(lon + 0.5), "l": less, "m": more}
    form = draw(
        st.sampled_from(
            ["{s} {l} lat {l} {n}, {w} {l} lon {l} {e}", "lat {m} {s}, lon {m} {w}", "latitude {l} {n} and longitude {l} {e}",
             "{s} {l} latitude {l} {n} and {w} {l} longitude {l} {e}",
             "The latitude is greater than {s} and the longitude is less than {e}.",
             "latitude above {s}, longitude below {e}", "The latitude is at least {s} and the longitude at least {w}."]
        )
    )  # fmt: skip
    return form.format(**values)


@st.composite
def price_lists(draw: st.DrawFn) -> str:
    a, b = draw(prices), draw(prices)
    form = draw(
        st.sampled_from(
            ["Espresso {}, Cappuccino {}", "Adults {}, children {}", "Tickets: {}, {}", "Price: {} / {}", "€{}, {}", "{} €, {} €",
             "The menu lists {}, {}", "EUR {}, {}", "{} and {} dollars", "Menu: {}, {}", "The receipt says {}, {}", "${}, ${}",
             "It costs {}, or {} for children.", "Fish {}, meat {}"]
        )
    )  # fmt: skip
    text = form.format(a, b)
    return text.replace(".", ",") if draw(st.booleans()) and "," not in text else text


@st.composite
def opening_hours(draw: st.DrawFn) -> str:
    start, end, minutes = draw(hours)
    form = draw(
        st.sampled_from(
            ["Open {a}, {b}", "Opening hours: {a}, {b}", "Mo-Fr {a}, {b}", "Open {a} – {b}", "Mon: {a}, {b}", "Daily {a}, {b}",
             "The shop opens at {a}, closes at {b}.", "Closed {a}, {b}", "Departures {a}, {b}", "Monday {a} / {b}"]
        )
    )  # fmt: skip
    sign = draw(st.sampled_from([".", ":"]))
    return form.format(a=f"{start}{sign}{minutes}", b=f"{end}{sign}{minutes}")


@st.composite
def measurements(draw: st.DrawFn) -> str:
    a, b = draw(prices), draw(prices)
    form = draw(
        st.sampled_from(
            ["elevation {}, {}", "bearing {}, pitch {}", "{} km, {} km", "Temperature {}, humidity {}", "f/{}, 1/{} s",
             "Focal length: {}, {}", "size {} x {}", "resolution {}, {}", "confidence: {}, {}", "bbox ({}, {}, 70.5, 80.5)",
             "Milepost {}, {}", "aperture {}, {}", "azimuth {}°, elevation {}°", "distance {} and {}"]
        )
    )  # fmt: skip
    return form.format(a, b)


NO_ANSWER: dict[str, st.SearchStrategy[str]] = {
    "boxes": boxes(),
    "inequalities": inequalities(),
    "prices": price_lists(),
    "opening hours": opening_hours(),
    "measurements": measurements(),
}


@pytest.mark.parametrize("kind", NO_ANSWER)
def test_no_place_is_read_out_of_any_form_of_a_kind_without_one(kind: str) -> None:
    @property_test(200)
    @given(NO_ANSWER[kind])
    def holds(text: str) -> None:
        reading = read_coordinates(text)
        assert reading.latitude is None, (text, reading)

    holds()


# -- refusals

_REFUSALS = (
    "I cannot determine the location.", "I'm sorry, I can't tell where this is.", "Unknown location.", "No puedo decirlo.",
    "There is not enough information.", "无法确定位置。", "Не могу определить место.", "I don't know.",
)  # fmt: skip


@property_test(150)
@given(
    st.sampled_from(_REFUSALS),
    st.sampled_from(["0.0, 0.0", "(0, 0)", "Latitude: 0.0, Longitude: 0.0", "[0.0000, 0.0000]", '{"lat": 0, "lon": 0}', "(-1, -1)"]),
    st.sampled_from([" ", "\n", "\n\n"]),
    st.booleans(),
)  # fmt: skip
def test_a_placeholder_on_either_side_of_a_refusal_is_no_answer(refusal: str, pair: str, gap: str, first: bool) -> None:
    text = f"{pair}{gap}{refusal}" if first else f"{refusal}{gap}{pair}"
    assert read_coordinates(text).outcome == "refused", text


@property_test(100)
@given(
    st.sampled_from(["null", "None", '"null"', "undefined"]),
    st.sampled_from(
        ['{{"lat": {0}, "lon": {0}}}', "Latitude: {0}\nLongitude: {0}", "coordinates: {0}", '{{"coordinates": {0}}}',
         "lat={0}, lng={0}", '{{"latitude": {0}, "longitude": {0}, "city": "Paris"}}']
    ),
)  # fmt: skip
def test_null_values_are_a_refusal(value: str, form: str) -> None:
    assert read_coordinates(form.format(value)).outcome == "refused"


@property_test(100)
@given(
    points,
    st.sampled_from(["\n", "\n\n", " "]),
    st.sampled_from(["Example: ", "Example. The tower.\nAnswer: ", "(example: "]),
)
def test_an_answer_before_the_prompts_example_is_the_answer(point: Point, gap: str, lead: str) -> None:
    text = f"Answer: {fixed(point[0])}, {fixed(point[1])}{gap}{lead}48.858844, 2.294351"
    reading = read_coordinates(text, (48.858844, 2.294351))
    if abs(point[0] - 48.8588) > 1e-3:
        assert (reading.latitude, reading.longitude) == pytest.approx(point), text


# -- any text

_WORDS = sorted({word for keys in LANGUAGES.values() for of in keys.values() for word in of})
_PIECES = st.sampled_from(
    [*_WORDS, "48,85", "2.35", "-7", "° ", "'", ".", ", ", "; ", "\n", " | ", "|---|\n", "~~", "<td>", "</td>", "&lt;", "<lat>", ">",
     "null", "lattitude ", "min ", "1. ", "60% ", "e1", " × 10^1", "Point(", ")", "[", "]", "n ", "s, ", "\ue004", "wait, ", "answer: "]
)  # fmt: skip


@property_test(600)
@given(st.lists(_PIECES, max_size=40).map("".join))
def test_no_heap_of_words_of_any_language_breaks_it(text: str) -> None:
    reading = read_coordinates(text, (48.858844, 2.294351))
    assert (reading.latitude is None) == (reading.outcome != "parsed")
    if reading.latitude is not None and reading.longitude is not None:
        assert abs(reading.latitude) <= 90 and abs(reading.longitude) <= 180 and reading.span is not None
        assert 0 <= reading.span[0] < reading.span[1] <= len(text)


# -- the file


def test_a_language_is_added_by_its_words_alone() -> None:
    known = read_vocabulary({"Klingon": {"latitude": ["juv"], "longitude": ["ghay"], "letters": {"q": "north"}}})
    assert known.spaced["juv"][0].becomes == {"anywhere": " latitude "}
    assert known.letters == {"Klingon": {"q": "N"}}


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (["latitude"], "languages"),
        ({"Klingon": ["juv"]}, "Klingon"),
        ({"Klingon": {"lattitude": ["juv"]}}, "lattitude"),
        ({"Klingon": {"latitude": "juv"}}, "latitude"),
        ({"Klingon": {"latitude": ["1"]}}, "latitude"),
        ({"Klingon": {"letters": {"q": "up"}}}, "letters"),
        ({"Klingon": {"latitude": ["juv"]}, "Vulcan": {"longitude": ["juv"]}}, "juv"),
    ],
)
def test_a_mistake_in_the_file_of_languages_is_named(content: object, names: str) -> None:
    with pytest.raises(UserError, match=names):
        read_vocabulary(content)


def test_the_file_has_at_least_twenty_languages_with_labels_and_hemispheres() -> None:
    sides_of = ("north", "south", "east", "west")
    told = [
        name
        for name, words in LANGUAGES.items()
        if {"latitude", "longitude"} <= words.keys()
        and all(
            s in words or any(k.startswith(f"{s} ") for k in words) or s in words.get("doubtful", {}).values()
            for s in sides_of
        )
    ]
    assert len(told) >= 20, json.dumps(told)
