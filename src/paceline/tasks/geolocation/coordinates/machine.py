"""Places as machines write them, where the format defines which number is which: map links, WKT, GeoJSON.

JSON keys and XML tags need nothing of their own: ``{"lat": 48.8566}`` and ``<lat>48.8566</lat>`` are labels with signs
behind them (:mod:`paceline.tasks.geolocation.coordinates.axis_labels`).
"""

from __future__ import annotations

import re

from paceline.tasks.geolocation.coordinates.tokens import Tokens, decimal
from paceline.tasks.geolocation.coordinates.values import MapLink, Pair
from paceline.tasks.geolocation.coordinates.words import LINK

_LAT = r"(?P<lat>[-+]?[0-9]{1,3}(?:\.[0-9]+)?)"
_LON = r"(?P<lon>[-+]?[0-9]{1,3}(?:\.[0-9]+)?)"
_COMMA = r"(?:,|%2C|%2c|~|\+|%20)(?:\+|%20)?"

# Where map links keep a place, best first.
_LINK_FORMS = tuple(
    re.compile(form)
    for form in (
        rf"!3d{_LAT}!4d{_LON}",  # Google's place data: …!3d48.8566!4d2.3522
        rf"\byandex\.[^\s?#]{{1,60}}[?#](?:[^&\s]{{1,60}}&){{0,4}}(?:ll|pt)={_LON}{_COMMA}{_LAT}",  # longitude first
        rf"\bmlat={_LAT}&(?:amp;)?mlon={_LON}",  # OpenStreetMap's marker
        rf"[?&;/](?:q|query|ll|sll|daddr|destination|center|cp|coordinates|coords|marker|pin|viewpoint|place)="
        rf"(?:loc:|loc%3A)?{_LAT}{_COMMA}{_LON}",  # ?q=48.8566,2.3522
        rf"/(?:place|search|dir)//?{_LAT}{_COMMA}{_LON}",  # /maps/place/48.8566,2.3522
        rf"@{_LAT},{_LON}",  # Google's view: /@48.8566,2.3522,15z
        rf"\blat(?:itude)?={_LAT}&(?:amp;)?(?:lon|lng|long|longitude)={_LON}",  # ?lat=48.8566&lon=2.3522
        rf"\#map=[0-9.]{{1,5}}/{_LAT}/{_LON}",  # OpenStreetMap's view: #map=15/48.8566/2.3522
        rf"^geo:{_LAT},{_LON}",  # RFC 5870: geo:48.8566,2.3522
        rf"\b(?:mlon|lon|lng|longitude)={_LON}&(?:amp;)?(?:mlat|lat|latitude)={_LAT}",  # ?lon=2.3522&lat=48.8566
    )
)


def read_map_link(url: str, start: int) -> MapLink | None:
    """The place in a link that stands at ``start``: "https://www.google.com/maps/@48.8566,2.3522,15z"."""
    for form in _LINK_FORMS:
        match = form.search(url)
        if match:
            return MapLink(decimal(match["lat"]), decimal(match["lon"]), start + match.start(1), start + match.end(2))
    return None


def pair_map_links(tokens: Tokens) -> list[Pair]:
    """The pairs of the map links that were read when the text was copied."""
    places = [t for t in tokens if t.text == LINK]
    return [
        Pair(link.latitude, link.longitude, place.start, place.end, (link.start, link.end), ordered=True)
        for place, link in zip(places, tokens.plain.links, strict=True)
    ]


def container(tokens: Tokens, left: int) -> str | None:
    """``wkt``, ``geojson`` or ``call`` if token ``left``, the one before two bare numbers, opens such a point."""
    if _is_call(tokens, left):
        return "call"
    if is_wkt(tokens, left):
        return "wkt"
    return "geojson" if is_geojson(tokens, left) else None


def _is_call(tokens: Tokens, left: int) -> bool:
    """Longitude first: "ST_MakePoint(2.3522, 48.8566)", "ee.Geometry.Point([2.3522, 48.8566])", shapely's Point."""
    j = left
    while j > left - 3 and tokens.lower(j) in ("(", "["):
        j -= 1
    if j == left or tokens.lower(j + 1) != "(":
        return False
    if tokens.lower(j) != "point":
        return tokens.lower(j) == "makepoint"
    owner = tokens.lower(j - 2) if tokens.lower(j - 1) == "." else tokens.lower(j - 1)
    return owner in ("turf", "geometry", "st") or (tokens.lower(j - 1) != "." and tokens.names_shapely)


def is_wkt(tokens: Tokens, left: int) -> bool:
    """Well-known text, longitude first: "POINT(2.3522 48.8566)", "MULTIPOINT ((2.3522 48.8566))", "POINT Z (…"."""
    if tokens.lower(left) != "(":
        return False
    j = left - 1
    while j > left - 4 and tokens.lower(j) in ("(", "z", "m", "zm"):
        j -= 1
    return tokens.lower(j) in ("point", "multipoint", "linestring", "polygon")


def _is_glued_triple(tokens: Tokens, i: int) -> bool:
    """A place of KML has a height, and no space: "2.3522,48.8566,0"."""
    commas = 0
    for k in range(i, i + 9):
        if tokens.lower(k) == ",":
            commas += 1
        elif not (tokens.is_number(k) or tokens.lower(k) in ("-", "+")):
            break
        if k > i and not tokens.glued(k):
            return False
    return commas == 2


def is_geojson(tokens: Tokens, left: int) -> bool:
    """Longitude first: ``{"type": "Point", "coordinates": [2.3522, 48.8566]}``, ``<Point><coordinates>2.3522,…``."""
    j = left
    while j > left - 6 and tokens.lower(j) in ("[", ":", '"', "'", ">", "="):
        j -= 1
    if tokens.lower(j) == "coordinates" and tokens.lower(j - 1) == "<" and left == j + 1:
        return _is_glued_triple(tokens, left + 1)
    if tokens.lower(j) != "coordinates":
        return False
    around = range(max(0, j - 16), min(len(tokens), j + 22))
    names_a_point = any(
        tokens.lower(k) == "point" and tokens.lower(k - 1) in ('"', "'", "<") and tokens.lower(k + 1) in ('"', "'", ">")
        for k in around
    )
    return names_a_point and (tokens.lower(j - 1) == "<" or any(tokens[k].lower == "type" for k in around))
