"""Reading coordinates: a table of realistic answers by rule, and properties that hold for any text."""

# ruff: noqa: E501 (answers stand on one line, as models write them)
from __future__ import annotations

import json
import math

import pytest
from hypothesis import example as given_example
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.tasks.geolocation.coordinates import (
    MAX_CHARACTERS,
    OUTCOMES,
    Reading,
    parse_coordinates,
    read_coordinates,
)

PARIS = (48.8566, 2.3522)
NEW_YORK = (40.7128, -74.006)
SYDNEY = (-33.8688, 151.2093)
EIFFEL = (48.858844, 2.294351)

BRACKETS_AND_SEPARATORS = [
    ("48.8566, 2.3522", PARIS),
    ("(48.8566, 2.3522)", PARIS),
    ("[-33.8688, 151.2093]", SYDNEY),
    ("{40.7128, -74.0060}", NEW_YORK),
    ("<48.8566, 2.3522>", PARIS),
    ("48.8566,2.3522", PARIS),
    ("48.8566 2.3522", PARIS),
    ("40.7128 -74.0060", NEW_YORK),
    ("40.7128; -74.0060", NEW_YORK),
    ("40.7128 | -74.0060", NEW_YORK),
    ("48.8566 / 2.3522", PARIS),
    ("(48.8566), (2.3522)", PARIS),
    ("+48.8566, +2.3522", PARIS),
    ("Coordinates: (40.7128, - 74.0060)", NEW_YORK),
    ("The coordinates are 48.8566 and 2.3522.", PARIS),
    ("The coordinates are approximately 48.8566, 2.3522.", PARIS),
    ("~48.8566, ~2.3522", PARIS),
    ("(≈48.8566, ≈2.3522)", PARIS),
    ("48.8566\n2.3522", PARIS),
    ('"48.8566, 2.3522"', PARIS),
    ("['48.8566', '2.3522']", PARIS),
    ("The photo was taken at 48.85, 2.35 in Paris.", (48.85, 2.35)),
    ("Paris, France (48.8566, 2.3522)", PARIS),
    ("Paris – 48.8566, 2.3522", PARIS),
    ("Paris—48.8566, 2.3522", PARIS),
    ("Country: France\nRegion: Île-de-France\nCity: Paris\n(48.8566, 2.3522)", PARIS),
    ("- 48.8566, 2.3522", PARIS),
    ("1. 48.8566, 2.3522", PARIS),
    ("Step 4: (48.8566, 2.3522)", PARIS),
    (".5074, -.1278", (0.5074, -0.1278)),
    ("(0.0, 0.0)", (0.0, 0.0)),
    ("-0.1807, -78.4678", (-0.1807, -78.4678)),
    ("90, 180", (90.0, 180.0)),
    ("(-90.0, -180.0)", (-90.0, -180.0)),
    ("+40.7128-074.0060/", NEW_YORK),
    ("Coordinates: 48.8566° and 2.3522°", PARIS),
    ("48.8566°, 2.3522°", PARIS),
    ("the point [48.8566 2.3522]", PARIS),
]
MARKDOWN = [
    ("**48.8566**, **2.3522**", PARIS),
    ("**Coordinates:** 40.7128° N, 74.0060° W", NEW_YORK),
    ("**Latitude:** 48.8566  \n**Longitude:** 2.3522", PARIS),
    ("`48.8566, 2.3522`", PARIS),
    ("```\n(48.8566, 2.3522)\n```", PARIS),
    ("- **Latitude**: `-33.8688`\n- **Longitude**: `151.2093`", SYDNEY),
    ("*Coordinates*: __(48.8566, 2.3522)__", PARIS),
    ("| Latitude | Longitude |\n|---|---|\n| 48.8566 | 2.3522 |", PARIS),
    ("| Longitude | Latitude |\n|---|---|\n| 2.3522 | 48.8566 |", PARIS),
    ("| City | Latitude | Longitude |\n|:--|--:|--:|\n| Sydney | -33.8688 | 151.2093 |", SYDNEY),
    ("| Latitude | 48.8566 |\n| Longitude | 2.3522 |", PARIS),
    ("## Coordinates\n\n> 48.8566, 2.3522", PARIS),
    ("**Latitude: 40.7128**\n\n**Longitude: -74.0060**", NEW_YORK),
    ("\\(48.8566, 2.3522\\)", PARIS),
    ("<b>48.8566</b>, <b>2.3522</b>", PARIS),
    ("Latitude: 48.8566<br/>Longitude: 2.3522", PARIS),
]
LABELS = [
    ("Latitude: 48.8566, Longitude: 2.3522", PARIS),
    ("Longitude: 2.3522, Latitude: 48.8566", PARIS),
    ("lat=48.8566;lon=2.3522", PARIS),
    ("Lat: 40.7128 Long: -74.0060", NEW_YORK),
    ("lat 40.7128 lng -74.0060", NEW_YORK),
    ("lat48.8566lon2.3522", PARIS),
    ("Lat. 48.8566, Lon. 2.3522", PARIS),
    ("(lat, lon) = (48.8566, 2.3522)", PARIS),
    ("(lon, lat) = (2.3522, 48.8566)", PARIS),
    ("Latitude/Longitude: 48.8566, 2.3522", PARIS),
    ("Longitude, Latitude: 2.3522, 48.8566", PARIS),
    ("Lat/Long: 40.7128/-74.0060", NEW_YORK),
    ("latlng: 48.8566,2.3522", PARIS),
    ("LatLng(48.8566, 2.3522)", PARIS),
    ("2.3522, 48.8566 (longitude, latitude)", PARIS),
    ("48.8566 latitude, 2.3522 longitude", PARIS),
    ("48.8566 (latitude), 2.3522 (longitude)", PARIS),
    ("2.3522 longitude and 48.8566 latitude", PARIS),
    ("48.8566 degrees latitude and 2.3522 degrees longitude", PARIS),
    ("The latitude is approximately 48.8566 and the longitude is about 2.3522.", PARIS),
    ("a latitude of 48.8566 and a longitude of 2.3522", PARIS),
    ("The latitude of Paris is 48.8566 and its longitude is 2.3522.", PARIS),
    ("Latitude (N): 48.8566, Longitude (E): 2.3522", PARIS),
    ("Latitude (decimal degrees): -33.8688\nLongitude (decimal degrees): 151.2093", SYDNEY),
    ("latitude: 46.95, longitude: 7.44, country_name: Switzerland", (46.95, 7.44)),
    (
        "This photo was taken in Switzerland. The nearest region is Bern. "
        "Its coordinates are latitude 46.95, longitude 7.44.",
        (46.95, 7.44),
    ),
    ("Latitude: 48.8566\nCountry: France\nLongitude: 2.3522", PARIS),
    ("Latitude:\n48.8566\nLongitude:\n2.3522", PARIS),
    ("The latitude and longitude of the Opera House are -33.8568, 151.2153.", (-33.8568, 151.2153)),
    ("latitude = 48.8566\nlongitude = 2.3522\nconfidence = 0.8", PARIS),
    ("latitud: 40.4168, longitud: -3.7038", (40.4168, -3.7038)),
    ("Breitengrad: 52.52, Längengrad: 13.405", (52.52, 13.405)),
    ("LATITUDE: 48.8566 LONGITUDE: 2.3522", PARIS),
    ("Latitude - 48.8566, Longitude - 2.3522", PARIS),
    ("Latitude: -33.8688, Longitude: 151.2093, Altitude: 58", SYDNEY),
]
HEMISPHERES = [
    ("40.7128° N, 74.0060° W", NEW_YORK),
    ("40.7128°N 74.0060°W", NEW_YORK),
    ("40.7128N, 74.0060W", NEW_YORK),
    ("40.7128 N 74.0060 W", NEW_YORK),
    ("N40.7128 W74.0060", NEW_YORK),
    ("N 40.7128°, W 74.0060°", NEW_YORK),
    ("S 33.8688, E 151.2093", SYDNEY),
    ("33.8688 S 151.2093 E", SYDNEY),
    ("33.8688S151.2093E", SYDNEY),
    ("2.3522° E, 48.8566° N", PARIS),
    ("W 74.0060, N 40.7128", NEW_YORK),
    ("35.0844° N, −106.3° W", (35.0844, -106.3)),
    ("-33.8688° S, 151.2093° E", SYDNEY),
    ("Latitude: 40.7128° N, Longitude: 74.0060° W", NEW_YORK),
    ("Latitude: 40.7128° N, Longitude: -74.0060° W", NEW_YORK),
    ("Longitude: 74.0060 W; Latitude: 40.7128 N", NEW_YORK),
    ("approximately 48.85 degrees north and 2.35 degrees east", (48.85, 2.35)),
    ("33.87 degrees South, 151.21 degrees East", (-33.87, 151.21)),
    ("40.7128 North, 74.0060 West", NEW_YORK),
    ("North 40.7128, West 74.0060", NEW_YORK),
    ("at 33.8688 degrees south latitude and 151.2093 degrees east longitude", SYDNEY),
    ("33.8688° latitude south, 151.2093° longitude east", SYDNEY),
    ("40.7128° (N), 74.0060° (W)", NEW_YORK),
    ("48.8566° N / 2.3522° E", PARIS),
    ("48.8566° N - 2.3522° E", PARIS),
    ("40.7128° N. 74.0060° W.", NEW_YORK),
    ("35° N, 139° E", (35.0, 139.0)),
    ("35 N, 139 E", (35.0, 139.0)),
    ("40.7128, 74.0060 W", NEW_YORK),
    ("N 48.8566, 2.3522", PARIS),
    ("40.7128° N, -74.0060", NEW_YORK),
    ("40.7128° n, 74.0060° w", NEW_YORK),
    ("Lat: S 33.8688, Lon: E 151.2093", SYDNEY),
    ("N: 48.8566, E: 2.3522", PARIS),
    ("北纬48.8566度，东经2.3522度", PARIS),
    ("纬度：-33.8688，经度：151.2093", SYDNEY),
    ("48.8566, 2.3522 west of the river", PARIS),
    ("In the South (48.8566, 2.3522)", PARIS),
    ("Rio de Janeiro, south of the equator: 22.9068, 43.1729", (22.9068, 43.1729)),
]
SEXAGESIMAL = [
    ("40° 42' 46\" N, 74° 0' 22\" W", (40.712778, -74.006111)),
    ("40°42'46\"N 74°0'22\"W", (40.712778, -74.006111)),
    ("40°42′46″N 74°00′22″W", (40.712778, -74.006111)),
    ("40°42’46”N, 74°00’22”W", (40.712778, -74.006111)),
    ("40°42'46''N 74°00'22''W", (40.712778, -74.006111)),
    ("Latitude: 40° 42' 46\" N\nLongitude: 74° 0' 22\" W", (40.712778, -74.006111)),
    ("N 40° 42' 46\" W 74° 0' 22\"", (40.712778, -74.006111)),
    ("40 deg 42 min 46 sec N, 74 deg 0 min 22 sec W", (40.712778, -74.006111)),
    ("40 degrees 42 minutes 46 seconds North, 74 degrees 0 minutes 22 seconds West", (40.712778, -74.006111)),
    ("40d42m46sN 74d0m22sW", (40.712778, -74.006111)),
    ("40:42:46 N, 74:00:22 W", (40.712778, -74.006111)),
    ("40 42 46 N 74 00 22 W", (40.712778, -74.006111)),
    ("N 40° 42.767' W 074° 00.367'", (40.712783, -74.006117)),
    ("N 40° 42.767 W 074° 00.367", (40.712783, -74.006117)),
    ("48°51'24.2\"N 2°21'07.9\"E", (48.856722, 2.352194)),
    ("48° 51' N, 2° 21' E", (48.85, 2.35)),
    ("-33° 52' 10\", 151° 12' 30\"", (-33.869444, 151.208333)),
    ('{"lat": "40°42\'46\\"N", "lon": "74°0\'22\\"W"}', (40.712778, -74.006111)),
    ("48° 51′ 24″ N, 2° 21′ 08″ E (48.8566, 2.3522)", PARIS),
    ("Latitude: 40° 42' 46\" N (40.7128), Longitude: 74° 0' 22\" W (-74.0061)", (40.712778, -74.006111)),
]
LATEX = [
    ("$48.8566^\\circ$ N, $2.3522^\\circ$ E", PARIS),
    ("$40.7128^{\\circ} \\text{N}, 74.0060^{\\circ} \\text{W}$", NEW_YORK),
    ("$40.7128^\\circ \\mathrm{N}$, $74.0060^\\circ \\mathrm{W}$", NEW_YORK),
    ("\\boxed{(48.8566, 2.3522)}", PARIS),
    ("$\\boxed{48.8566, 2.3522}$", PARIS),
    ("\\boxed{40.7128^\\circ \\text{ N}, 74.0060^\\circ \\text{ W}}", NEW_YORK),
    ("\\[ (48.8566, 2.3522) \\]", PARIS),
    ("$$48.8566, 2.3522$$", PARIS),
    ("$(48.8566, 2.3522)$", PARIS),
    ("\\left(48.8566, 2.3522\\right)", PARIS),
    ("$48.8566$, $2.3522$", PARIS),
    ("40^\\circ 42' 46'' N, 74^\\circ 0' 22'' W", (40.712778, -74.006111)),
    (
        "40^{\\circ} 42^{\\prime} 46^{\\prime\\prime} N, 74^{\\circ} 0^{\\prime} 22^{\\prime\\prime} W",
        (40.712778, -74.006111),
    ),
    ("$\\text{Latitude} = 48.8566, \\text{Longitude} = 2.3522$", PARIS),
    ("I first think of London (51.5074, -0.1278). \\boxed{48.8566, 2.3522} and not (45.0, 4.0)", PARIS),
]
STRUCTURED = [
    ('{"lat": 48.8566, "lon": 2.3522}', PARIS),
    ('{"latitude": 48.8566, "longitude": 2.3522}', PARIS),
    ('{"lng": 2.3522, "lat": 48.8566}', PARIS),
    ("{'longitude': '2.3522', 'latitude': '48.8566'}", PARIS),
    ('{"latitude": "48.8566", "longitude": "2.3522"}', PARIS),
    ('{"place": {"city": "Paris", "coordinates": {"lat": 48.8566, "lng": 2.3522}}, "confidence": 0.87}', PARIS),
    ('```json\n{\n  "country": "France",\n  "latitude": 48.8566,\n  "longitude": 2.3522\n}\n```', PARIS),
    ('{"lat": 48.8566, "city": "Paris", "zip": 75001, "lon": 2.3522}', PARIS),
    ('{"coordinates": [48.8566, 2.3522]}', PARIS),
    ('{"answer": "48.8566, 2.3522"}', PARIS),
    ('{\\"lat\\": 48.8566, \\"lon\\": 2.3522}', PARIS),
    ('{"latitude": 4.88566e+01, "longitude": 2.3522e+00}', PARIS),
    ('{"type":"Point","coordinates":[2.3522,48.8566]}', PARIS),
    ('{"coordinates": [-74.0060, 40.7128], "type": "Point"}', NEW_YORK),
    ('{"type":"Feature","geometry":{"type":"Point","coordinates":[\n 2.3522,\n 48.8566\n]},"properties":{}}', PARIS),
    ("POINT(2.3522 48.8566)", PARIS),
    ("POINT (-74.0060 40.7128)", NEW_YORK),
    ("POINT Z (2.3522 48.8566 35)", PARIS),
    ("SRID=4326;POINT(2.3522 48.8566)", PARIS),
    ("<lat>48.8566</lat><lon>2.3522</lon>", PARIS),
    ("<longitude>2.3522</longitude>\n<latitude>48.8566</latitude>", PARIS),
    ("<coordinates>48.8566, 2.3522</coordinates>", PARIS),
    ("<answer>48.8566, 2.3522</answer>", PARIS),
    ('<wpt lat="48.8566" lon="2.3522"></wpt>', PARIS),
    ("<Point><coordinates>2.3522,48.8566,0</coordinates></Point>", PARIS),
    ("Country: France\nLatitude: 48.8566\nLongitude: 2.3522\nConfidence: 85%", PARIS),
    ("latitude,longitude\n48.8566,2.3522", PARIS),
    ("longitude,latitude\n2.3522,48.8566", PARIS),
]
LINKS = [
    ("https://www.google.com/maps/@48.8566,2.3522,15z", PARIS),
    ("https://maps.google.com/?q=48.8566,2.3522", PARIS),
    ("https://www.google.com/maps/search/?api=1&query=40.7128%2C-74.0060", NEW_YORK),
    ("See https://www.google.com/maps/place/Paris/@48.85,2.30,17z/data=!3d48.8566!4d2.3522", PARIS),
    ("https://www.openstreetmap.org/?mlat=48.8566&mlon=2.3522#map=15/48.85/2.35", PARIS),
    ("https://www.openstreetmap.org/#map=15/48.8566/2.3522", PARIS),
    ("geo:48.8566,2.3522?z=15", PARIS),
    ("[map](https://maps.apple.com/?ll=48.8566,2.3522)", PARIS),
    ("www.google.com/maps?ll=-33.8688,151.2093&z=12", SYDNEY),
]
UNICODE = [
    ("40.7128, −74.0060", NEW_YORK),
    ("40.7128, –74.0060", NEW_YORK),
    ("（48.8566，2.3522）", PARIS),
    ("４８.８５６６，２.３５２２", PARIS),
    ("【48.8566、2.3522】", PARIS),
    ("48.8566º N, 2.3522º E", PARIS),
    ("48.8566˚N, 2.3522˚E", PARIS),
    ("40.7128\u00a0°\u202fN,\u00a074.0060\u00a0°\u202fW", NEW_YORK),
    ("\u200b48.8566,\u200b 2.3522", PARIS),
    ("40.7128&deg; N, 74.0060&deg; W", NEW_YORK),
    ("40.7128\\u00b0 N, 74.0060\\u00b0 W", NEW_YORK),
    ("48,8566° N, 2,3522° E", PARIS),
    ("48,8566°, 2,3522°", PARIS),
    ("48,8566; 2,3522", PARIS),
    ("(-33,8688, 151,2093)", SYDNEY),
    ("48,8566 N 2,3522 E", PARIS),
    ("Latitude: 48,8566, Longitude: 2,3522", PARIS),
]
WHOLE_NUMBERS_AND_THIRD_VALUES = [
    ("35, 139", (35.0, 139.0)),
    ("(35, 139)", (35.0, 139.0)),
    ("Japan, 35, 139", (35.0, 139.0)),
    ("Japan: 35, 139", (35.0, 139.0)),
    ("Country: Japan\n35, 139", (35.0, 139.0)),
    ("Coordinates: 35, 139", (35.0, 139.0)),
    ("Latitude: 35, Longitude: 139", (35.0, 139.0)),
    ("lat, lon: 48, 2", (48.0, 2.0)),
    ("My guess is 35, 139.", (35.0, 139.0)),
    ("[48, 2]", (48.0, 2.0)),
    ("40.7128, -74.0060, 10m", NEW_YORK),
    ("(40.7128, -74.0060, 10)", NEW_YORK),
    ("40.7128, -74.0060, 12z", NEW_YORK),
    ("48.8566, 2.3522, 35.0 m above sea level", PARIS),
    ("48.8566, 2.3522, 85%", PARIS),
    ("48.8566 ± 0.01, 2.3522 ± 0.02", PARIS),
]
FINAL_ANSWERS = [
    (
        "Step 1: Europe. Candidates: London (51.5074, -0.1278), Rome (41.9028, 12.4964).\n\n"
        "Final answer: (48.8566, 2.3522)",
        PARIS,
    ),
    ("Final answer: (48.8566, 2.3522). The Louvre stands at (48.8606, 2.3376).", PARIS),
    ("**Final Answer:**\n\n(48.8566, 2.3522)\n\nThe Eiffel Tower is located at (48.8584, 2.2945).", PARIS),
    ("<answer>48.8566, 2.3522</answer> London is at 51.5074, -0.1278.", PARIS),
    ("Final answer: (51.5074, -0.1278)\nWait, the signs are French.\nFinal answer: (48.8566, 2.3522)", PARIS),
    ("My final answer is 48.8566, 2.3522. Rome (41.9028, 12.4964) was my second thought.", PARIS),
    ("(48.8566, 2.3522) is my final answer. London is at (51.5074, -0.1278).", PARIS),
    (
        "I need a final answer in the form (lat, lon). London? (51.5074, -0.1278). No, it is Paris: (48.8566, 2.3522)",
        PARIS,
    ),
    ("## Final Answer\nCountry: France\nCity: Paris\nCoordinates: (48.8566, 2.3522)", PARIS),
    ("Rome (41.9028, 12.4964) came to mind.\nAnswer: 48.8566, 2.3522\nRome would be 41.9028, 12.4964", PARIS),
    ("<think>London is 51.5074, -0.1278</think>\n48.8566, 2.3522", PARIS),
    ("<think>Perhaps 51.5074, -0.1278; answer: 51.5074, -0.1278</think> Paris, 48.8566, 2.3522", PARIS),
    ("Final coordinates: 48.8566° N, 2.3522° E\n\nConfidence: 75%", PARIS),
    ("The final answer is $\\boxed{(48.8566, 2.3522)}$.", PARIS),
    ("Paris (48.8566, 2.3522) or London (51.5074, -0.1278)? I choose London", (51.5074, -0.1278)),
    ("Paris (48.8566, 2.3522) or London (51.5074, -0.1278)? I choose Paris.", PARIS),
    ('{"reasoning": "like London (51.5074, -0.1278)", "final_answer": {"lat": 48.8566, "lon": 2.3522}}', PARIS),
    ("The answer is (48.8566, 2.3522), not (51.5074, -0.1278).", PARIS),
    ("[ANSWER] 48.8566, 2.3522 [/ANSWER]", PARIS),
]
LAST_PAIR_AND_COMPARISONS = [
    ("It could be London (51.5074, -0.1278), but it is Paris (48.8566, 2.3522).", PARIS),
    ("1. Paris (48.8566, 2.3522)\n2. London (51.5074, -0.1278)", PARIS),
    ("Sydney (-33.8688, 151.2093), unlike Paris (48.8, 2.3).", SYDNEY),
    ("-33.8688, 151.2093. The light is similar to Cape Town (-33.92, 18.42).", SYDNEY),
    ("-33.8688, 151.2093 (not Paris, 48.8566, 2.3522)", SYDNEY),
    ("It is at (-33.8688, 151.2093) compared to London at (51.5074, -0.1278).", SYDNEY),
    ("(-33.8688, 151.2093). Other harbours look alike, e.g. Auckland (-36.85, 174.76).", SYDNEY),
    ("I say 48.8566, 2.3522 rather than London, 51.5074, -0.1278.", PARIS),
    ("Coordinates: 48.8566, 2.3522, about 20 km from Versailles (48.8014, 2.1301).", PARIS),
    ("48.8566, 2.3522\nAlternatively, it could also be Lyon (45.7640, 4.8357).", PARIS),
    ("(48.8566, 2.3522). Unlike London (51.5074, -0.1278) or Rome (41.9028, 12.4964), it has wide boulevards.", PARIS),
    ("This is not London (51.5074, -0.1278) but Paris (48.8566, 2.3522).", PARIS),
    ("Paris (48.8566, 2.3522). London (51.5074, -0.1278) is ruled out by the driving side.", PARIS),
    ("It is not easy, but I think 48.8566, 2.3522", PARIS),
    ("The style resembles Paris (48.8566, 2.3522).", PARIS),
    ("(48.8566, 2.3522)\n(48.8566, 2.3522)\n(48.8566, 2.3522)", PARIS),
    ("48.8566, 2.3522; 51.5074, -0.1278", (51.5074, -0.1278)),
    ("I'm not sure, but my best guess is (48.8566, 2.3522).", PARIS),
    ("I cannot determine the exact location, but a likely place is Paris, France (48.8566, 2.3522).", PARIS),
    ("I'm sorry, I can't be certain. Based on the signs: 48.8566, 2.3522", PARIS),
    ("Coordinates: (48.8566, 2.3522). Note that I cannot determine the exact spot.", PARIS),
    ("Built in 1889, 300 m tall, seen by 7 million a year: 48.8584, 2.2945", (48.8584, 2.2945)),
    ("The image is 1280x720. Coordinates: 48.8566, 2.3522. Confidence: 85%", PARIS),
    ("Call +33 1 44 11 23 23. Location: 48.8566, 2.3522", PARIS),
    ("I-95 and Route 66. 40.7128, -74.0060", NEW_YORK),
]
SWAPPED = [
    ("(139.6917, 35.6895)", (35.6895, 139.6917)),
    ("-122.4194, 37.7749", (37.7749, -122.4194)),
    ("151.2093, -33.8688", SYDNEY),
]
OUT_OF_RANGE = [
    "(95.1234, 200.5678)",
    "Latitude: 95.0, Longitude: 200.0",
    "95.5° N, 20.1° E",
    "(lat, lon) = (139.6917, 35.6895)",
    '{"lat": 139.69, "lon": 35.68}',
    "48.8566, 235.22",
    "I considered Paris (48.8566, 2.3522). Final answer: (148.85, 235.22)",
    "(-91, 181)",
    "https://www.google.com/maps/@139.69,35.68,15z",
]
REFUSED = [
    "I can't determine the location.",
    "I cannot determine the location from this image.",
    "I'm sorry, but I can't help with identifying where this photo was taken.",
    "I'm sorry, but I cannot give coordinates, e.g. (lat, lon).",
    "I'm unable to provide exact coordinates.",
    "Unknown",
    "N/A",
    "There is not enough information to say where this is.",
    "As an AI model, I do not have access to location data.",
    "I can’t identify the place. Please use the format (48.8566, 2.3522).",
    "I don't know.",
    "It is not possible to determine the coordinates from a picture of a wall.",
    "While the Eiffel Tower is at (48.8584, 2.2945), I cannot determine where this photo was taken.",
    "London is at (51.5074, -0.1278). Final answer: I cannot determine the location.",
    "<think>Maybe 51.5, -0.12?</think> Sorry, I can't tell where this is.",
    "I cannot tell. If it were Paris, the coordinates would be (48.8566, 2.3522).",
    "<answer>unknown</answer>",
]
NO_ANSWER = [
    "",
    "   \n ",
    "Paris, France",
    "[lat, lon]",
    "(latitude, longitude)",
    "Latitude: [latitude], Longitude: [longitude]",
    "(XX.XXXX, YY.YYYY)",
    "(00.0000, 00.0000)",
    '{"lat": NaN, "lon": NaN}',
    "(nan, inf)",
    "latitude: inf, longitude: -inf",
    "48.8566",
    "Latitude: 48.8566",
    "48.8566° N",
    "Longitude: 2.3522",
    "Latitude: 48.8566. Confidence: 85",
    "The latitude is 48.8566. It is 35 metres above sea level.",
    "between 40 and 45",
    "between 40 and 45 degrees north",
    "40-45° N",
    "40–45° N, 70–75° W",
    "40° N to 45° N, 5° E to 10° E",
    "between 40° N and 45° N and between 5° E and 10° E",
    "between latitudes 40 and 45 and longitudes 5 and 10",
    "Latitude: 40-45, Longitude: 5-10",
    "Latitude 40 to 45, longitude 5 to 10",
    "lat: [48.1, 48.9], lon: [2.1, 2.9]",
    "latitude 48.8–48.9, longitude 2.3–2.4",
    "somewhere between (48.8566, 2.3522) and (51.5074, -0.1278)",
    "Not Paris (48.8566, 2.3522).",
    "The image is 1280x720",
    "The image is 640 x 480 pixels.",
    "The size is 640, 480.",
    "Resolution: 120, 80",
    "Confidence: 85%",
    "Confidence: 0.85",
    "confidence scores: 0.85, 0.10, 0.05",
    "Probabilities: 0.7, 0.2",
    "Step 1: look at the signs. Step 2: look at the plates.",
    "Step 1, 2 and 3 are done",
    "It is 12.5 km from the coast and 30 miles from the border.",
    "12.5, 14.2 km",
    "The tower is 330 m tall, built in 1889.",
    "In 1990, 45 people lived here.",
    "Population: 2,161,000",
    "population 35,139",
    "Phone: 01 42 34 56 78",
    "+1 (212) 555-0123",
    "Call 212-555-0123",
    "10:30, 14:45",
    "The date is 12/05/2021.",
    "2021-05-12",
    "The sign shows the numbers 35, 42.",
    "Bus 35, 42",
    "See figures (1, 2)",
    "bounding box: [12.5, 34.2, 56.1, 78.9]",
    "[12, 34, 56, 78]",
    "RGB (34, 56, 78)",
    "It costs $12.50, $13.75.",
    "It costs €12.50, €13.75",
    "Temperatures of 23°C, 25°C",
    "Temperature between 20 and 25 degrees",
    "The ratio is 16:9 or 4:3.",
    "Rated 4.5/5",
    "192.168.1.1",
    "version 1.2.3",
    "Take I-90 E and Route 20 N.",
    "123 N Main St, 45 W 34th St",
    "In the 40s, 50s and 60s",
    "5th, 6th",
    "three, four",
    "Top 3, 5 and 10",
    "Latitude: 40° 75' N, Longitude: 74° 0' W",
    "Latitude: 40.7128° W, Longitude: 74.0060° N",
    "48,8566° N, 2,3522° O",
    "(48.8566, -",
    "(48.8566, 2.",
    "48.8566, ",
    "Room 12, 14",
    "Figure 3.2, 4.1",
    "It is 3, 4 or 5 blocks away.",
    "2.3522.48.8566.1.1",
    "https://example.com/48.8566/2.3522.jpg",
    "9" * 400 + ", " + "9" * 400,
    "https://maps.google.com/?q=Paris",
    "latitude longitude latitude longitude",
    "I estimate 5 to 10 km, 20 to 30 minutes",
    "48.8566 - 2.3522",
]
# Written from a fresh mind after the parser was, as a held-out list: an outcome stands for "no answer".
HELD_OUT: list[tuple[str, tuple[float, float] | str]] = [
    (
        "The image appears to show a street in Lisbon, Portugal. Based on the yellow tram and the tiled facades, I would estimate the coordinates to be around 38.7139, -9.1334.",
        (38.7139, -9.1334),
    ),
    (
        "1. Country: Japan\n2. Region: Kanto\n3. City: Tokyo\n4. Exact coordinates: (35.6895, 139.6917)",
        (35.6895, 139.6917),
    ),
    ("Based on the signs, Portugal. City: Lisbon (38.7223° N, 9.1393° W)", (38.7223, -9.1393)),
    ("**Final Answer:** Latitude: 38.7223, Longitude: -9.1393", (38.7223, -9.1393)),
    (
        "The photo was taken in **Kenya**, near **Nairobi**.\n\n**Estimated coordinates: 1.2921° S, 36.8219° E**\n\nConfidence: High (80%)",
        (-1.2921, 36.8219),
    ),
    (
        "Country: Brazil\nRegion: Rio de Janeiro\nCity: Rio\nCoordinates: -22.9068, -43.1729\nConfidence: 0.9",
        (-22.9068, -43.1729),
    ),
    (
        "(-22.9068, -43.1729)\n\nExplanation: the Christ statue, 38 m tall, opened in 1931, stands on the 700-metre Corcovado.",
        (-22.9068, -43.1729),
    ),
    (
        "The coordinates for the location are approximately 51.5074° N latitude and 0.1278° W longitude.",
        (51.5074, -0.1278),
    ),
    ("lat: 51.5074, lng: -0.1278", (51.5074, -0.1278)),
    ("Longitude: -0.1278°, Latitude: 51.5074°", (51.5074, -0.1278)),
    ("Latitude: 51.5074° North\nLongitude: 0.1278° West", (51.5074, -0.1278)),
    ("It is in the Northern Hemisphere, likely at 51.5, -0.12.", (51.5, -0.12)),
    ("Answer: (51.5074,-0.1278)", (51.5074, -0.1278)),
    ("ANSWER: 51.5074 N, 0.1278 W", (51.5074, -0.1278)),
    ("The exact coordinates are [51.5074, -0.1278].", (51.5074, -0.1278)),
    ("Paris, France: 48° 51' 23.76\" N, 2° 21' 7.92\" E", (48.8566, 2.3522)),
    ("Somewhere between 48° N and 49° N.", "malformed"),
    ("The latitude is about 48.85° N; I can't tell the longitude.", "refused"),
    ("I believe this is Reykjavik, Iceland. 64.1466° N, 21.9426° W.", (64.1466, -21.9426)),
    ("I believe it's Reykjavik, not Oslo (59.9139, 10.7522). So 64.1466, -21.9426.", (64.1466, -21.9426)),
    ("64.1466, -21.9426. It looks more like Reykjavik than Oslo (59.9139, 10.7522).", (64.1466, -21.9426)),
    ("Options:\nA) 48.8566, 2.3522\nB) 51.5074, -0.1278\nMy answer: B) 51.5074, -0.1278", (51.5074, -0.1278)),
    (
        "The most likely location is Paris (48.8566, 2.3522). Other possibilities: Brussels (50.85, 4.35), Lyon (45.76, 4.83).",
        (48.8566, 2.3522),
    ),
    ("Most likely: Paris (48.8566, 2.3522)\nSecond guess: Brussels (50.85, 4.35)", (48.8566, 2.3522)),
    (
        "Considering Brussels (50.85, 4.35) and Lyon (45.76, 4.83), I settle on Paris.\n\nFinal coordinates: 48.8566, 2.3522",
        (48.8566, 2.3522),
    ),
    ("```python\nlat, lon = 48.8566, 2.3522\n```", (48.8566, 2.3522)),
    ("coords = (48.8566, 2.3522)", (48.8566, 2.3522)),
    (
        '{"country": "France", "region": "IDF", "city": "Paris", "coordinates": "48.8566° N, 2.3522° E"}',
        (48.8566, 2.3522),
    ),
    (
        '{"country": "France", "location": {"latitude": {"value": 48.8566}, "longitude": {"value": 2.3522}}}',
        (48.8566, 2.3522),
    ),
    ('[{"lat": 48.8566, "lon": 2.3522}]', (48.8566, 2.3522)),
    ('{"lat":48.8566,"lon":2.3522,"zoom":12}', (48.8566, 2.3522)),
    ('{"x": 640, "y": 480}', "malformed"),
    ('{"bbox": [2.1, 48.7, 2.5, 48.9]}', "malformed"),
    ("bbox: (12.5, 34.2), (56.1, 78.9)", "malformed"),
    ("The temperature is 25.5, humidity 60.2", "malformed"),
    ("Latitude 48.8566 Longitude 2.3522 Altitude 35", (48.8566, 2.3522)),
    ("GPS: 48.8566N 2.3522E", (48.8566, 2.3522)),
    ("GPS coordinates: N48°51'24\" E2°21'08\"", (48.856667, 2.352222)),
    ("N48°51.396' E002°21.132'", (48.8566, 2.3522)),
    ("48 degrees 51 minutes north, 2 degrees 21 minutes east", (48.85, 2.35)),
    ("48°51′N 2°21′E", (48.85, 2.35)),
    ("48°N 2°E", (48.0, 2.0)),
    ("Lat 48°N, Long 2°E", (48.0, 2.0)),
    ("48.8566°, -2.3522°", (48.8566, -2.3522)),
    ("The location is 48.8566 degrees N and 2.3522 degrees E.", (48.8566, 2.3522)),
    ("latitude of 48.8566° and longitude of 2.3522°", (48.8566, 2.3522)),
    ("The latitude: 48.8566. The longitude: 2.3522.", (48.8566, 2.3522)),
    ("Its latitude would be 48.8566 and longitude would be 2.3522", (48.8566, 2.3522)),
    ("Lat/Lon ≈ 48.8566/2.3522", (48.8566, 2.3522)),
    ("(Latitude, Longitude): (48.8566, 2.3522)", (48.8566, 2.3522)),
    ("[Latitude, Longitude] = [48.8566, 2.3522]", (48.8566, 2.3522)),
    ("(48.8566°N, 2.3522°E)", (48.8566, 2.3522)),
    ("(48.8566 N, 2.3522 E)", (48.8566, 2.3522)),
    ("(lat: 48.8566, lon: 2.3522)", (48.8566, 2.3522)),
    ("(lat=48.8566, lon=2.3522)", (48.8566, 2.3522)),
    ("<location><latitude>48.8566</latitude><longitude>2.3522</longitude></location>", (48.8566, 2.3522)),
    ("<final_answer>(48.8566, 2.3522)</final_answer>", (48.8566, 2.3522)),
    ("<latitude>48.8566, <longitude>2.3522", (48.8566, 2.3522)),
    ("<|im_start|>assistant\n48.8566, 2.3522<|im_end|>", (48.8566, 2.3522)),
    ("48.8566, 2.3522</s>", (48.8566, 2.3522)),
    ("Coordinates: 48.8566, 2.3522\nUser: thanks", (48.8566, 2.3522)),
    ("https://www.google.com/maps?q=48.8566,2.3522&hl=en", (48.8566, 2.3522)),
    ("https://goo.gl/maps/abc123", "malformed"),
    ("maps.google.com/maps?ll=48.8566,2.3522", (48.8566, 2.3522)),
    ("https://www.bing.com/maps?cp=48.8566~2.3522&lvl=12", (48.8566, 2.3522)),
    ("48.8566 , 2.3522", (48.8566, 2.3522)),
    ("48.8566 ,2.3522", (48.8566, 2.3522)),
    ("48.8566,\n2.3522", (48.8566, 2.3522)),
    ("I cannot provide the exact coordinates. However, if I had to guess: 48.8566, 2.3522", (48.8566, 2.3522)),
    ("I'm sorry, I can't assist with that request.", "refused"),
    ("Sorry, but I'm unable to pinpoint the location without more context.", "refused"),
    ("There are no identifiable landmarks in this photo.", "refused"),
    ("Unfortunately, the image doesn't contain any location clues. It shows 3 cars and 2 people.", "malformed"),
    ("The picture shows a road with 2 lanes, 4 cars.", "malformed"),
    ("A 4, 5 star hotel", "malformed"),
    ("The building has 3, maybe 4 floors.", "malformed"),
    ("License plate: 34 ABC 123", "malformed"),
    ("License plate 12, 345", "malformed"),
    ("Area code 212, 646", "malformed"),
    ("+49 30 1234 5678", "malformed"),
    ("Latitude: unknown, Longitude: unknown", "refused"),
    ("Latitude: XX.XXXX, Longitude: YY.YYYY", "malformed"),
    ("Please give your answer as (latitude, longitude).", "malformed"),
    ("Roughly 35-36°N, 139-140°E", "malformed"),
    ("Latitude: 35° N to 36° N\nLongitude: 139° E to 140° E", "malformed"),
    ("lat 35..36, lon 139..140", "malformed"),
    ("between 35 and 36 degrees north latitude and 139 and 140 degrees east longitude", "malformed"),
    ("The 38th parallel", "malformed"),
    ("about 200 km north of Tokyo", "malformed"),
    ("Tokyo is 35.6895 degrees north.", "malformed"),
    ("The image measures 1024 by 768 pixels, 72 dpi", "malformed"),
    ("Latitude: 135.6895, Longitude: 139.6917", "out_of_range"),
    ("Latitude: 35.6895, Longitude: 239.6917", "out_of_range"),
    ("(35.6895, 239.6917)", "out_of_range"),
    ("35.6895° N, 239.6917° E", "out_of_range"),
    ("(239.6917, 35.6895)", "out_of_range"),
    ("The answer is 139.6917° E, 35.6895° N", (35.6895, 139.6917)),
    ("(139.6917° E, 35.6895° N)", (35.6895, 139.6917)),
    ("(106.8456, -6.2088)", (-6.2088, 106.8456)),
    ("Lat: -6.2088 S, Lon: 106.8456 E", (-6.2088, 106.8456)),
    ("37.7749° N, −122.4194° W", (37.7749, -122.4194)),
    ("37.7749, –122.4194", (37.7749, -122.4194)),
    ("37.7749,−122.4194", (37.7749, -122.4194)),
    ("37.7749° N, 122.4194° W (San Francisco, not Los Angeles at 34.0522° N, 118.2437° W)", (37.7749, -122.4194)),
    ("San Francisco, CA, USA\n37.7749, -122.4194", (37.7749, -122.4194)),
    ("37.7749, -122.4194 (San Francisco, CA 94103)", (37.7749, -122.4194)),
    ("37.7749, -122.4194, San Francisco", (37.7749, -122.4194)),
    ("Step 1: USA\nStep 2: California\nStep 3: San Francisco\nStep 4: 37.7749, -122.4194", (37.7749, -122.4194)),
    (
        "Step 1 - USA (90% confident)\nStep 2 - California (80%)\nStep 3 - (37.7749, -122.4194) (60%)",
        (37.7749, -122.4194),
    ),
    ("Confidence: 8/10. Coordinates: 37.7749, -122.4194", (37.7749, -122.4194)),
    ("Coordinates: 37.7749, -122.4194 (confidence: 0.85)", (37.7749, -122.4194)),
    ("Coordinates: 37.7749, -122.4194 ± 5 km", (37.7749, -122.4194)),
    (
        "The landmark at 37.8199° N, 122.4783° W is the Golden Gate Bridge, built 1937, 2.7 km long.",
        (37.8199, -122.4783),
    ),
    ("In the United States, 37, -122", (37.0, -122.0)),
    ("USA, California, 37, -122", (37.0, -122.0)),
    (
        "Latitude 37 degrees 46 minutes 29.64 seconds North, Longitude 122 degrees 25 minutes 9.84 seconds West",
        (37.7749, -122.4194),
    ),
    ("Lat: 37° 46′ 29.64″ N; Lon: 122° 25′ 9.84″ W", (37.7749, -122.4194)),
    ("$$\\boxed{37.7749^\\circ N, 122.4194^\\circ W}$$", (37.7749, -122.4194)),
    ("\\boxed{37.7749},\\boxed{-122.4194}", (37.7749, -122.4194)),
    ("\\boxed{\\text{Latitude: } 37.7749, \\text{Longitude: } -122.4194}", (37.7749, -122.4194)),
    ("\\begin{aligned} \\text{lat} &= 37.7749 \\\\ \\text{lon} &= -122.4194 \\end{aligned}", (37.7749, -122.4194)),
    ("Latitude: $37.7749^\\circ$ N\nLongitude: $122.4194^\\circ$ W", (37.7749, -122.4194)),
    ("52,5200° N, 13,4050° E", (52.52, 13.405)),
    ("Breite: 52,52 Länge: 13,405", (52.52, 13.405)),
    ("(52,5200; 13,4050)", (52.52, 13.405)),
    ("Koordinaten: 52,5200° Nord, 13,4050° Ost", (52.52, 13.405)),
    ("Coordenadas: 40.4168° N, 3.7038° O", "malformed"),
    ("Coordenadas: 40.4168° Norte, 3.7038° Oeste", (40.4168, -3.7038)),
    ("latitude : 48.8566 ; longitude : 2.3522", (48.8566, 2.3522)),
    ("Latitude → 48.8566, Longitude → 2.3522", (48.8566, 2.3522)),
    ("Latitude is 48.8566; Longitude is 2.3522", (48.8566, 2.3522)),
    ("Latitude (approx.): 48.8566\nLongitude (approx.): 2.3522", (48.8566, 2.3522)),
    ("Latitude: approximately 48.8566° N\nLongitude: approximately 2.3522° E", (48.8566, 2.3522)),
    ("Latitude: ~48.8566, Longitude: ~2.3522", (48.8566, 2.3522)),
    ("Latitude: 48.8566 (N)\nLongitude: 2.3522 (E)", (48.8566, 2.3522)),
    ("Lat = +48.8566; Lon = +002.3522", (48.8566, 2.3522)),
    (
        "The approximate coordinates are: \n\n- Latitude: 48.8566° N\n- Longitude: 2.3522° E\n\nPlease note that these are approximate, and I can't verify the exact position.",
        (48.8566, 2.3522),
    ),
    ("I can't be certain, but it may be Paris, France. Coordinates: 48.8566, 2.3522.", (48.8566, 2.3522)),
    ("Compared to Lyon (45.7640, 4.8357), the architecture better fits Paris (48.8566, 2.3522).", (48.8566, 2.3522)),
    ("Unlike Lyon (45.7640, 4.8357), this has Haussmann facades. So Paris: 48.8566, 2.3522", (48.8566, 2.3522)),
    ("It's not Lyon. It's Paris (48.8566, 2.3522).", (48.8566, 2.3522)),
    ("My first guess was Lyon (45.7640, 4.8357). On reflection: 48.8566, 2.3522", (48.8566, 2.3522)),
    ("Final answer: Paris, France", "malformed"),
    ("Country: France (score 0.9), Region: Île-de-France (score 0.8)", "malformed"),
    ("France 0.9, Belgium 0.05, Spain 0.05", "malformed"),
    ("Top-5: 0.91, 0.05, 0.02, 0.01, 0.01", "malformed"),
    ("A=0.5,b=0.7", "malformed"),
    ("The coordinates are (48.8566, 2.3522, 35).", (48.8566, 2.3522)),
    ("elevation 35 m, 48.8566, 2.3522", (48.8566, 2.3522)),
    ("48.8566,2.3522,17", (48.8566, 2.3522)),
    ("48.8566,2.3522,17z", (48.8566, 2.3522)),
    ("(48.8566, 2.3522) → (48.8566, 2.3522)", (48.8566, 2.3522)),
    ("Lat: 48.8566\r\nLon: 2.3522\r\n", (48.8566, 2.3522)),
    ("  48.8566\t2.3522  ", (48.8566, 2.3522)),
    ("48.8566° N,2.3522° E.", (48.8566, 2.3522)),
    ("48.8566°N. 2.3522°E", (48.8566, 2.3522)),
    ("48.8566 °N, 2.3522 °E", (48.8566, 2.3522)),
    ("48.8566 deg N, 2.3522 deg E", (48.8566, 2.3522)),
    ("48.8566 deg. N, 2.3522 deg. E", (48.8566, 2.3522)),
    ("(48.8566; 2.3522)", (48.8566, 2.3522)),
    ("48.8566:2.3522", (48.8566, 2.3522)),
    ("48.8566 x 2.3522", "malformed"),
    ("Latitude: forty-eight, Longitude: two", "malformed"),
    ("The bus number 48 and 2", "malformed"),
    ("I see 48 cars, 2 bikes", "malformed"),
    ("France, 48.8566", "malformed"),
    ("48.8566, Paris", "malformed"),
    ("48.8566N", "malformed"),
    ("Years 1914-18, 1939-45", "malformed"),
    ("Windows 10, 11", "malformed"),
    ("Chapter 3.1, 3.2", "malformed"),
    ("It was 20.5, 21.3 degrees Celsius", "malformed"),
    ("distance: 12.5, 13.1", "malformed"),
    ("Area: 105.4 km², 2.1 million people", "malformed"),
    ("(1)", "malformed"),
    ("(a) 1, (b) 2", "malformed"),
    ("Page 1 of 2", "malformed"),
    ("E 5, W 6", "malformed"),
    ("Coordinates: N/A", "refused"),
    ("Coordinates: (unknown)", "refused"),
    ("Coordinates: (?, ?)", "malformed"),
    ("Coordinates: not available", "refused"),
    (
        "Looking at the image, I can see palm trees and a red-tiled roof, which suggests a Mediterranean climate. Road signs are in Italian. Region: Sicily. City: Palermo. Coordinates: (38.1157, 13.3615)",
        (38.1157, 13.3615),
    ),
    (
        "Country: Italy (confidence 95%)\nRegion: Sicily (confidence 70%)\nCity: Palermo (confidence 40%)\nCoordinates: 38.1157, 13.3615 (confidence 30%)",
        (38.1157, 13.3615),
    ),
    ("World region: Southern Europe\nCountry: Italy\n38.1157, 13.3615", (38.1157, 13.3615)),
    ("38.1157° N, 13.3615° E is my best estimate.", (38.1157, 13.3615)),
    ("My best guess would be approximately 38.1° N and 13.4° E.", (38.1, 13.4)),
    ("The place lies at lat. 38.1157° / long. 13.3615°", (38.1157, 13.3615)),
    ("Location: 38°06'56.5\"N 13°21'41.4\"E", (38.115694, 13.3615)),
    ("38°06.942′ N, 013°21.690′ E", (38.1157, 13.3615)),
    ("38 06 56 N, 013 21 41 E", (38.115556, 13.361389)),
    ("lat: 38.1157\nlng: 13.3615\nalt: 14", (38.1157, 13.3615)),
    ("Latitude: 38.1157\n\nLongitude: 13.3615\n\nReasoning: ...", (38.1157, 13.3615)),
    ("The GPS coordinate is 38.1157 N, 13.3615 E (WGS84).", (38.1157, 13.3615)),
    ("WGS84: 38.1157, 13.3615", (38.1157, 13.3615)),
    ("EPSG:4326 38.1157, 13.3615", (38.1157, 13.3615)),
    ("(38.1157 degrees N, 13.3615 degrees E)", (38.1157, 13.3615)),
    ("Palermo [38.1157°N, 13.3615°E]", (38.1157, 13.3615)),
    ("Palermo, Sicily, Italy: 38.1157, 13.3615.", (38.1157, 13.3615)),
    ("It is near 38.1157, 13.3615, I think", (38.1157, 13.3615)),
    (
        "Possible locations include Naples (40.8518, 14.2681), Catania (37.5079, 15.0830), and Palermo (38.1157, 13.3615). Considering the cathedral, the best match is Palermo.",
        (38.1157, 13.3615),
    ),
    (
        "Possible locations include Palermo (38.1157, 13.3615), Naples (40.8518, 14.2681). Final answer: Palermo",
        (38.1157, 13.3615),
    ),
    ("Final answer: [38.1157, 13.3615] (Palermo, Italy). Compare with Naples [40.8518, 14.2681].", (38.1157, 13.3615)),
    ("Final Answer: **38.1157, 13.3615**", (38.1157, 13.3615)),
    ("### Final Answer:\n**Latitude**: 38.1157\n**Longitude**: 13.3615", (38.1157, 13.3615)),
    ("### Step 5: Final coordinates\n\\[\n\\boxed{(38.1157, 13.3615)}\n\\]", (38.1157, 13.3615)),
    ("Thus, the final answer is 38.1157, 13.3615 — not Naples, 40.8518, 14.2681.", (38.1157, 13.3615)),
    ("Final answer: Not Naples (40.8518, 14.2681) but Palermo (38.1157, 13.3615)", (38.1157, 13.3615)),
    ("Final answer: I'd say Palermo (38.1157, 13.3615) rather than Naples (40.8518, 14.2681)", (38.1157, 13.3615)),
    ("It reminds me of Naples (40.8518, 14.2681), yet the dome is Arab-Norman: 38.1157, 13.3615.", (38.1157, 13.3615)),
    ("38.1157, 13.3615 – similar to the streets of Naples (40.8518, 14.2681).", (38.1157, 13.3615)),
    ("38.1157, 13.3615 (as opposed to Naples at 40.8518, 14.2681)", (38.1157, 13.3615)),
    ("[13.3615, 38.1157] in [longitude, latitude] order", (38.1157, 13.3615)),
    ("Coordinates (longitude, latitude): 13.3615, 38.1157", (38.1157, 13.3615)),
    ("lng,lat = 13.3615,38.1157", (38.1157, 13.3615)),
    ("lon/lat: 13.3615/38.1157", (38.1157, 13.3615)),
    ('{"geo": {"lng": "13.3615", "lat": "38.1157"}}', (38.1157, 13.3615)),
    ('{"latitude_deg": 38.1157, "longitude_deg": 13.3615}', (38.1157, 13.3615)),
    ('{"Latitude": "38.1157 N", "Longitude": "13.3615 E"}', (38.1157, 13.3615)),
    ('{"lat":"38.1157°N","lon":"13.3615°E"}', (38.1157, 13.3615)),
    ('{"answer": {"country": "Italy", "coords": [38.1157, 13.3615]}}', (38.1157, 13.3615)),
    (
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": {"type": "Point", "coordinates": [13.3615, 38.1157]}}]}',
        (38.1157, 13.3615),
    ),
    ('{"type":"Point","coordinates":[13.3615,38.1157,14.0]}', (38.1157, 13.3615)),
    ("POINT(13.3615 38.1157) -- Palermo", (38.1157, 13.3615)),
    ("`POINT(151.2093 -33.8688)`", (-33.8688, 151.2093)),
    ("<gml:pos>38.1157 13.3615</gml:pos>", (38.1157, 13.3615)),
    ("<coord><lat>38.1157</lat><lng>13.3615</lng></coord>", (38.1157, 13.3615)),
    ("<lon>13.3615</lon><lat>38.1157</lat>", (38.1157, 13.3615)),
    ("<answer>(38.1157, 13.3615)</answer>", (38.1157, 13.3615)),
    ('<answer>\n{"lat": 38.1157, "lon": 13.3615}\n</answer>', (38.1157, 13.3615)),
    ("<think>Naples 40.85, 14.27?</think><answer>38.1157, 13.3615</answer>", (38.1157, 13.3615)),
    ("<answer>38.1157, 13.3615</answer>\nAnother candidate was Naples: 40.8518, 14.2681", (38.1157, 13.3615)),
    ("https://maps.google.com/maps?q=38.1157,13.3615&z=12", (38.1157, 13.3615)),
    ("https://www.google.com/maps/place/38.1157,13.3615", (38.1157, 13.3615)),
    ("https://www.google.com/maps?q=loc:38.1157,13.3615", (38.1157, 13.3615)),
    ("https://www.google.com/maps/dir/?api=1&destination=38.1157,13.3615", (38.1157, 13.3615)),
    ("(https://www.google.com/maps/@38.1157,13.3615,14z)", (38.1157, 13.3615)),
    ("https://www.openstreetmap.org/?mlat=38.1157&mlon=13.3615", (38.1157, 13.3615)),
    ("Open https://www.openstreetmap.org/#map=12/38.1157/13.3615.", (38.1157, 13.3615)),
    ("38,1157°N, 13,3615°E", (38.1157, 13.3615)),
    ("38,1157° ; 13,3615°", (38.1157, 13.3615)),
    ("Latitude: 38,1157° N\nLongitude: 13,3615° E", (38.1157, 13.3615)),
    ("Lat: −33,8688° Lon: 151,2093°", (-33.8688, 151.2093)),
    ("(−33.8688，151.2093)", (-33.8688, 151.2093)),
    ("−33.8688° S, 151.2093° E", (-33.8688, 151.2093)),
    ("35.0844° N, 106.6504° W", (35.0844, -106.6504)),
    ("35.0844° N, -106.6504° W", (35.0844, -106.6504)),
    ("Lat: 35.0844°N Lon: -106.6504°W", (35.0844, -106.6504)),
    ("Albuquerque, NM (35.0844, -106.6504)", (35.0844, -106.6504)),
    ("It's at -106.6504, 35.0844", (35.0844, -106.6504)),
    ("(106.6504° W, 35.0844° N)", (35.0844, -106.6504)),
    ("34.0522° S, 18.4241° E", (-34.0522, 18.4241)),
    ("South Africa: 34.0522, 18.4241", (34.0522, 18.4241)),
    ("Cape Town, South Africa: -33.9249, 18.4241", (-33.9249, 18.4241)),
    ("North Carolina 35.7796, -78.6382", (35.7796, -78.6382)),
    ("In North Dakota: 46.8772, -96.7898", (46.8772, -96.7898)),
    ("West Virginia, 38.3498, -81.6326", (38.3498, -81.6326)),
    ("East Timor -8.5569, 125.5603", (-8.5569, 125.5603)),
    ("In the west, 38.3498, 81.6326", (38.3498, 81.6326)),
    ("Country: South Korea\nCoordinates: 37.5665, 126.9780", (37.5665, 126.978)),
    ("Region: North\n37.5665, 126.9780", (37.5665, 126.978)),
    ("Hemisphere: South\nCoordinates: 37.5665, 126.9780", (37.5665, 126.978)),
    ("Hemisphere: S\n-37.5665, 144.9780", (-37.5665, 144.978)),
    ("37.5665, 126.9780 North of Seoul", (37.5665, 126.978)),
    ("Address: 350 5th Ave, New York, NY 10118 (40.7484, -73.9857)", (40.7484, -73.9857)),
    ("10 Downing St: 51.5034, -0.1276", (51.5034, -0.1276)),
    ("Photo taken on 2021-05-03 at 14:32. 51.5034, -0.1276", (51.5034, -0.1276)),
    ("51.5034, -0.1276 at 14:32", (51.5034, -0.1276)),
    ("I am 85% sure: 51.5034, -0.1276", (51.5034, -0.1276)),
    ("I'm 90% confident it's London, 51.5034, -0.1276, within 5 km", (51.5034, -0.1276)),
    ("51.5034, -0.1276 (error radius 25 km)", (51.5034, -0.1276)),
    ("51.5034, -0.1276 +/- 25 km", (51.5034, -0.1276)),
    ("51.50, -0.13, ±0.05", (51.5, -0.13)),
    ("51, 0", (51.0, 0.0)),
    ("(51, 0)", (51.0, 0.0)),
    ("lat 51 lon 0", (51.0, 0.0)),
    ("51N 0E", (51.0, 0.0)),
    ("51°, 0°", (51.0, 0.0)),
    ("[51, 0]", (51.0, 0.0)),
    ("UK, 51, 0", (51.0, 0.0)),
    ("The country is Japan. 35, 139", (35.0, 139.0)),
    ("Japan\n35, 139", (35.0, 139.0)),
    ("Japan (35, 139)", (35.0, 139.0)),
    ("Coordinates: 35 N, 139 E", (35.0, 139.0)),
    ("Approximately 35 degrees north, 139 degrees east", (35.0, 139.0)),
    ("around 35°N and 139°E", (35.0, 139.0)),
    ("Japan 35 139", "malformed"),
    ("Sorry, I can't assist with that.", "refused"),
    ("I won't be able to provide the location.", "refused"),
    ("It's impossible to tell where this was taken.", "refused"),
    ("I do not have enough information to determine the coordinates.", "refused"),
    ("I cannot determine the location. Please provide more context, e.g. a landmark.", "refused"),
    (
        "I'm sorry, but I can't determine the exact coordinates. Typically an answer looks like (48.8566, 2.3522).",
        "refused",
    ),
    ("Cannot determine coordinates (lat, lon).", "refused"),
    ("The coordinates cannot be determined from the image.", "refused"),
    ("Latitude: Unknown\nLongitude: Unknown", "refused"),
    ("Coordinates: [latitude, longitude]", "malformed"),
    ("(lat, lon)", "malformed"),
    ("The answer in the format (lat, lon)", "malformed"),
    ("<latitude>, <longitude>", "malformed"),
    ("{lat}, {lon}", "malformed"),
    ("(xx.xxxx, yy.yyyy)", "malformed"),
    ("Latitude: __, Longitude: __", "malformed"),
    ("Latitude: 35.6", "malformed"),
    ("Latitude 35.6, but the longitude is unclear", "malformed"),
    ("It lies at 35.6° N in Japan.", "malformed"),
    ("Longitude 139.7 E only", "malformed"),
    ("35.6895", "malformed"),
    ("latitudes 30 to 40 north, longitudes 130 to 145 east", "malformed"),
    ("Between 30°N and 40°N, 130°E and 145°E", "malformed"),
    ("from 30.5 to 40.5 latitude", "malformed"),
    ("30°-40° N, 130°-145° E", "malformed"),
    ("30-40°N; 130-145°E", "malformed"),
    ("lat: 30–40, lon: 130–145", "malformed"),
    ("(30-40, 130-145)", "malformed"),
    ("Latitude: between 30 and 40\nLongitude: between 130 and 145", "malformed"),
    ("Latitude ranges from 30 to 40 and longitude from 130 to 145", "malformed"),
    ("Lat 30.1 to 30.9, lon 120.1 to 120.9", "malformed"),
    ("Latitude: 30.1 - 30.9, Longitude: 120.1 - 120.9", "malformed"),
    ("Image size: 1024 x 768", "malformed"),
    ("Image size: (640, 480)", "malformed"),
    ("size 64x64, patch 14, 14", "malformed"),
    ("The picture is 4000, 3000 pixels", "malformed"),
    ("Step 1. Look. Step 2. Think.", "malformed"),
    ("1. Signs in Thai\n2. Tuk-tuks\n3. Bangkok", "malformed"),
    ("1, 2, 3", "malformed"),
    ("1) sign 2) car", "malformed"),
    ("Confidence: 0.9, 0.8", "malformed"),
    ("Scores: Japan 0.7, China 0.3", "malformed"),
    ("70%, 20%, 10%", "malformed"),
    ("Japan (70%), China (20%)", "malformed"),
    ("Tokyo is 35 km away, Yokohama 12 km.", "malformed"),
    ("About 5.2 km, 3.1 km", "malformed"),
    ("Population 13.96 million, 37.4 million in the metro area", "malformed"),
    ("Between 1960 and 1980", "malformed"),
    ("In 1964, 2020", "malformed"),
    ("Taken in the 1980s, 90s", "malformed"),
    ("Founded in 1457, 1868", "malformed"),
    ("Tel: 03-1234-5678", "malformed"),
    ("Phone +81 3 1234 5678", "malformed"),
    ("License plate: 品川 300 あ 12-34", "malformed"),
    ("Speed limit 40, 60", "malformed"),
    ("The speed limit sign says 40 and 60", "malformed"),
    ("Prices: $3.59, $3.79", "malformed"),
    ("¥350, ¥420", "malformed"),
    ("Route 1, 9", "malformed"),
    ("It is 3:45 pm", "malformed"),
    ("12 h 30 min", "malformed"),
    ("Elevation 35 m, 40 m", "malformed"),
    ("The sun stands at 45°, shadow 30°", "malformed"),
    ("5' 11\" tall", "malformed"),
    ("2/3 of the photo", "malformed"),
    ("Version 4.5, 4.6", "malformed"),
    ("ISBN 978-3-16-148410-0", "malformed"),
    ("GPT-4, 3.5", "malformed"),
    ("A4, B5", "malformed"),
    ("E40, N7", "malformed"),
    ("(95.0, 195.0)", "out_of_range"),
    ("Latitude: 91, Longitude: 10", "out_of_range"),
    ("lat 45, lon 181", "out_of_range"),
    ("100° N, 20° E", "out_of_range"),
    ("45.5, 190.5", "out_of_range"),
    ("(1e5, 2e5)", "malformed"),
    ("NaN, NaN", "malformed"),
    ("(inf, -inf)", "malformed"),
    ("None", "refused"),
    ("???", "malformed"),
    ("Coordinates: (40.7128, -74.0060). This is about 300 km from Boston (42.3601, -71.0589).", (40.7128, -74.006)),
    ("40.7128, -74.0060. Boston (42.3601, -71.0589) has similar buildings.", (40.7128, -74.006)),
    ("40.7128, -74.0060. Boston, by contrast, is at 42.3601, -71.0589.", (40.7128, -74.006)),
    ("40.7128, -74.0060 (previously I thought of Boston, 42.3601, -71.0589)", (40.7128, -74.006)),
    (
        "Initially I was unsure about Boston (42.3601, -71.0589), but it's New York (40.7128, -74.0060)",
        (40.7128, -74.006),
    ),
    ('{"lat": 40.7128, "lon": -74.', "malformed"),
    ("40.7128, -74.0060, 40.7128, -74.0060, 40.7128, -74.0060, 40.7128, -74.00", (40.7128, -74.006)),
    ("(40.7128, -74.0060) (40.7128, -74.0060)", (40.7128, -74.006)),
    ("| Latitude | 40.7128° N |\n| Longitude | 74.0060° W |", (40.7128, -74.006)),
    ("40.7128°N,-74.0060°W", (40.7128, -74.006)),
    ("📍 40.7128, -74.0060", (40.7128, -74.006)),
    ("Coordinates ➡️ 40.7128, -74.0060 🗽", (40.7128, -74.006)),
    ("Lat:40.7128,Lon:-74.0060", (40.7128, -74.006)),
    ("[Answer]: 40.7128, -74.0060", (40.7128, -74.006)),
    ("The coordinates are 40.7128 (latitude) and -74.0060 (longitude).", (40.7128, -74.006)),
    ("N40.7128° W74.0060°", (40.7128, -74.006)),
    ("40.7128°N (latitude) 74.0060°W (longitude)", (40.7128, -74.006)),
    ("It's somewhere between New York (40.7128, -74.0060) and Boston (42.3601, -71.0589).", "malformed"),
    ("Lat 40.7128 N Lon 74.0060 W 10m", (40.7128, -74.006)),
    ("latitude:40.7128 longitude:-74.0060 country_name:United States", (40.7128, -74.006)),
    ("latitude: 40.7128, longitude: -74.006, country_name: United States of America", (40.7128, -74.006)),
    (
        "The image was taken in the United States, in the region of New York, at latitude 40.7128 and longitude -74.0060.",
        (40.7128, -74.006),
    ),
    ("Country: United States, Region: New York, Latitude: 40.7128, Longitude: -74.0060", (40.7128, -74.006)),
    (
        "The photo was taken in the United States. The nearest region is New York. Its coordinates are latitude -40.0, longitude 74.0.",
        (-40.0, 74.0),
    ),
    ("USA; New York; New York City; (40.7128, -74.0060)", (40.7128, -74.006)),
    ("USA|New York|40.7128|-74.0060", (40.7128, -74.006)),
    ("United States,New York,40.7128,-74.0060", (40.7128, -74.006)),
    ("answer=(40.7128,-74.0060)", (40.7128, -74.006)),
    ("The answer would be (40.7128, -74.0060).", (40.7128, -74.006)),
    ("Thus (40.7128, -74.0060)", (40.7128, -74.006)),
    ("So, latitude≈40.7128, longitude≈-74.0060", (40.7128, -74.006)),
    ("lat≈40.7128°, lon≈−74.0060°", (40.7128, -74.006)),
    ("**Latitude:** 40.7128° N **Longitude:** 74.0060° W", (40.7128, -74.006)),
    ("* Latitude: **40.7128**\n* Longitude: **-74.0060**", (40.7128, -74.006)),
    ("1. **Latitude**: 40.7128\n2. **Longitude**: -74.0060", (40.7128, -74.006)),
    ("Latitude: 40.7128 degrees\nLongitude: -74.0060 degrees", (40.7128, -74.006)),
    ("Latitude 40.7128 degrees N; longitude 74.0060 degrees W", (40.7128, -74.006)),
    ("40.7128 degrees north latitude, 74.0060 degrees west longitude", (40.7128, -74.006)),
    ("40.7128° north, 74.0060° west", (40.7128, -74.006)),
    ("40.7128° North and 74.0060° West", (40.7128, -74.006)),
    ("(40.7128° North, 74.0060° West)", (40.7128, -74.006)),
    ("40°42′46″ North, 74°00′22″ West", (40.712778, -74.006111)),
    ("40°42'N, 74°00'W", (40.7, -74.0)),
    ("40°42.767'N 74°0.367'W", (40.712783, -74.006117)),
    ("40° 42' 46.08\" N  74° 0' 21.6\" W", (40.7128, -74.006)),
    ("Lat: 40 deg 42' 46.08\" N, Lon: 74 deg 0' 21.6\" W", (40.7128, -74.006)),
    ("40°42'46.08\" , -74°0'21.6\"", (40.7128, -74.006)),
    ("Latitude = 40^{\\circ}42'46.08''N, Longitude = 74^{\\circ}0'21.6''W", (40.7128, -74.006)),
    ("$(40.7128^\\circ N, 74.0060^\\circ W)$", (40.7128, -74.006)),
    ("$40.7128^{\\circ}\\,\\mathrm{N},\\;74.0060^{\\circ}\\,\\mathrm{W}$", (40.7128, -74.006)),
    ("\\[\\boxed{40.7128^{\\circ} \\text{ N}, 74.0060^{\\circ} \\text{ W}}\\]", (40.7128, -74.006)),
    ("\\boxed{[40.7128, -74.0060]}", (40.7128, -74.006)),
    ("\\boxed{\\left(40.7128, -74.0060\\right)}", (40.7128, -74.006)),
    ("\\text{Final answer: } (40.7128, -74.0060)", (40.7128, -74.006)),
    ("40.7128 \\pm 0.1, -74.0060 \\pm 0.1", (40.7128, -74.006)),
    ("I can't tell exactly where, but 40.7128, -74.0060 is a reasonable guess.", (40.7128, -74.006)),
    ("I am not able to identify the exact place; my estimate is 40.7128, -74.0060.", (40.7128, -74.006)),
    ("Although I cannot be sure, the skyline suggests New York: 40.7128, -74.0060", (40.7128, -74.006)),
    ("It's impossible to be certain, but the coordinates might be (40.7128, -74.0060).", (40.7128, -74.006)),
    ("I do not have access to GPS data. Approximate coordinates: 40.7128, -74.0060", (40.7128, -74.006)),
    ("Unknown street, New York. 40.7128, -74.0060", (40.7128, -74.006)),
    ("This looks like New York (40.7128, -74.0060).", (40.7128, -74.006)),
    (
        "It looks like London (51.5074, -0.1278) at first, however the taxis are yellow: 40.7128, -74.0060",
        (40.7128, -74.006),
    ),
    (
        "The building on the left resembles the Flatiron (40.7411, -73.9897); I place the photo at 40.7128, -74.0060.",
        (40.7128, -74.006),
    ),
    ("Not sure. Perhaps 40.7128, -74.0060?", (40.7128, -74.006)),
    ("Not London. 40.7128, -74.0060", (40.7128, -74.006)),
    ("It is not far from Newark (40.7357, -74.1724). Coordinates: 40.7128, -74.0060", (40.7128, -74.006)),
    (
        "London (51.5074, -0.1278)? No. Paris (48.8566, 2.3522)? No. New York (40.7128, -74.0060)? Yes.",
        (40.7128, -74.006),
    ),
    (
        "Step 1 (Country): USA\nStep 2 (Region): New York\nStep 3 (City): NYC\nStep 4 (Coordinates): (40.7128, -74.0060)",
        (40.7128, -74.006),
    ),
    ("Step 1: The sign reads '42nd St'. Step 2: 5 yellow cabs. Step 3: 40.7128, -74.0060", (40.7128, -74.006)),
    ("1. North America (95%)\n2. USA (90%)\n3. New York (85%)\n4. [40.7128, -74.0060]", (40.7128, -74.006)),
    ("Confidence level: 75%. (40.7128, -74.0060)", (40.7128, -74.006)),
    ("(40.7128, -74.0060), 75% confidence", (40.7128, -74.006)),
    ("(40.7128, -74.0060) with a confidence of 0.75", (40.7128, -74.006)),
    ("Confidence: 7/10\nlat=40.7128, lon=-74.0060", (40.7128, -74.006)),
    ("The area code 212 and the plates say New York, 40.7128, -74.0060", (40.7128, -74.006)),
    ("A 24-hour diner, 40.7128, -74.0060", (40.7128, -74.006)),
    ("In 2019, 8.3 million people; 40.7128, -74.0060", (40.7128, -74.006)),
    ("The bridge is 1,825 m long. 40.7128, -74.0060", (40.7128, -74.006)),
    ("Between 40° and 41° N, roughly 40.7128, -74.0060", (40.7128, -74.006)),
    ("The latitude is between 40 and 41; my point estimate: 40.7128, -74.0060", (40.7128, -74.006)),
    ("It's 40.7128, -74.0060 or thereabouts, between 40 and 41 degrees north.", (40.7128, -74.006)),
    ("longitude -74.0060 latitude 40.7128", (40.7128, -74.006)),
    ("long -74.0060, lat 40.7128", (40.7128, -74.006)),
    ("Long: 74.0060 W, Lat: 40.7128 N", (40.7128, -74.006)),
    ("{'lng': -74.0060, 'lat': 40.7128}", (40.7128, -74.006)),
    ("lng: -74.0060\nlat: 40.7128", (40.7128, -74.006)),
    ("<lng>-74.0060</lng><lat>40.7128</lat>", (40.7128, -74.006)),
    ("<longitude unit='deg'>-74.0060</longitude><latitude unit='deg'>40.7128</latitude>", (40.7128, -74.006)),
    ('<place lat="40.7128" lng="-74.0060"/>', (40.7128, -74.006)),
    ('<output>{"latitude": 40.7128, "longitude": -74.0060}</output>', (40.7128, -74.006)),
    (
        "```xml\n<response>\n  <latitude>40.7128</latitude>\n  <longitude>-74.0060</longitude>\n</response>\n```",
        (40.7128, -74.006),
    ),
    ('{"type": "Point", "coordinates": [-74.0060, 40.7128], "crs": "EPSG:4326"}', (40.7128, -74.006)),
    ("https://www.google.com/maps/place/New+York/@40.7128,-74.0060,11z", (40.7128, -74.006)),
    ("https://maps.app.goo.gl/?q=40.7128,-74.0060", (40.7128, -74.006)),
    ("[40.7128, -74.0060](https://www.google.com/maps/@40.7128,-74.0060,12z)", (40.7128, -74.006)),
    ("google.com/maps/@40.7128,-74.0060,12z", (40.7128, -74.006)),
    ("40.7128，−74.0060", (40.7128, -74.006)),
    ("（40.7128， －74.0060）", (40.7128, -74.006)),
    ("４０.７１２８、－７４.００６０", (40.7128, -74.006)),
    ("纽约：北纬40.7128°，西经74.0060°", (40.7128, -74.006)),
    ("緯度: 40.7128, 経度: -74.0060", (40.7128, -74.006)),
    ("40,7128° N / 74,0060° W", (40.7128, -74.006)),
    ("40,7128 ; -74,0060", (40.7128, -74.006)),
    ("40.7128 and -74.0060", (40.7128, -74.006)),
    ("40.7128 & -74.0060", (40.7128, -74.006)),
    ("41, -74", (41.0, -74.0)),
    ("(41, -74)", (41.0, -74.0)),
    ("New York, USA, 41, -74", (41.0, -74.0)),
    ("lat 41, lon -74", (41.0, -74.0)),
    ("41 N, 74 W", (41.0, -74.0)),
]


READ = {
    "brackets": BRACKETS_AND_SEPARATORS,
    "markdown": MARKDOWN,
    "labels": LABELS,
    "hemispheres": HEMISPHERES,
    "sexagesimal": SEXAGESIMAL,
    "latex": LATEX,
    "structured": STRUCTURED,
    "links": LINKS,
    "unicode": UNICODE,
    "whole": WHOLE_NUMBERS_AND_THIRD_VALUES,
    "final": FINAL_ANSWERS,
    "last": LAST_PAIR_AND_COMPARISONS,
}


def _cases(groups: dict[str, list[tuple[str, tuple[float, float]]]]) -> list[object]:
    return [
        pytest.param(text, expected, id=f"{name}-{n}")
        for name, cases in groups.items()
        for n, (text, expected) in enumerate(cases)
    ]


@pytest.mark.parametrize(("text", "expected"), _cases(READ))
def test_reads(text: str, expected: tuple[float, float]) -> None:
    reading = read_coordinates(text)
    assert reading.outcome == "parsed", text
    assert (reading.latitude, reading.longitude) == pytest.approx(expected, abs=2e-6), text
    assert not reading.swapped
    assert parse_coordinates(text) == (reading.latitude, reading.longitude)


@pytest.mark.parametrize(("text", "expected"), SWAPPED)
def test_swaps_only_what_cannot_be_a_latitude(text: str, expected: tuple[float, float]) -> None:
    reading = read_coordinates(text)
    assert (reading.latitude, reading.longitude) == pytest.approx(expected)
    assert reading.swapped and reading.outcome == "parsed"


@pytest.mark.parametrize("text", OUT_OF_RANGE)
def test_out_of_range(text: str) -> None:
    reading = read_coordinates(text)
    assert reading.outcome == "out_of_range"
    assert reading.latitude is None and reading.longitude is None and reading.span is not None


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    assert read_coordinates(text) == Reading(None, None, "refused", None, False)


@pytest.mark.parametrize("text", NO_ANSWER)
def test_invents_nothing(text: str) -> None:
    reading = read_coordinates(text)
    assert reading.outcome == "malformed", reading
    assert reading.latitude is None and reading.longitude is None


@pytest.mark.parametrize(("text", "expected"), HELD_OUT, ids=range(len(HELD_OUT)))
def test_held_out(text: str, expected: tuple[float, float] | str) -> None:
    reading = read_coordinates(text)
    if isinstance(expected, str):
        assert reading.outcome == expected, text
    else:
        assert (reading.latitude, reading.longitude) == pytest.approx(expected, abs=1e-5), text


# -- the prompt's own example


@pytest.mark.parametrize(
    "text",
    [
        "48.858844, 2.294351",
        "Eiffel Tower, Paris: 48.858844, 2.294351",
        "(48.8588, 2.2944)",
        "Final answer: 48.85884° N, 2.29435° E",
        "I considered Rome (41.9028, 12.4964). Final answer: (48.858844, 2.294351)",
        "For example, the Eiffel Tower, Paris: 48.858844, 2.294351",
    ],
)
def test_an_echoed_example_is_a_miss(text: str) -> None:
    reading = read_coordinates(text, EIFFEL)
    assert reading.outcome == "echoed"
    assert reading.latitude is None and reading.longitude is None


def test_an_echo_is_an_answer_under_another_prompt() -> None:
    assert read_coordinates("48.858844, 2.294351").outcome == "parsed"
    assert read_coordinates("48.858844, 2.294351", NEW_YORK).outcome == "parsed"


@pytest.mark.parametrize(
    "text",
    [
        "As in the example (48.858844, 2.294351), I answer with a pair: 40.7128, -74.0060",
        "Eiffel Tower, Paris: 48.858844, 2.294351\nThis photo: 40.7128, -74.0060",
        "Final answer: 40.7128, -74.0060 (the example was 48.858844, 2.294351)",
        "40.7128, -74.0060. Unlike the example (48.858844, 2.294351), this is Manhattan.",
        "<answer>40.7128, -74.0060</answer> The example was 48.858844, 2.294351.",
    ],
)
def test_a_mention_of_the_example_does_not_hide_the_answer(text: str) -> None:
    reading = read_coordinates(text, EIFFEL)
    assert (reading.latitude, reading.longitude) == NEW_YORK, reading


def test_a_neighbour_of_the_example_is_an_answer() -> None:
    assert read_coordinates("48.8600, 2.2950", EIFFEL).outcome == "parsed"


# -- the cut


def test_text_beyond_the_cut_is_not_read() -> None:
    filler = "word " * (MAX_CHARACTERS // 5)
    assert read_coordinates("40.7128, -74.0060\n" + filler + "\n48.8566, 2.3522").latitude == NEW_YORK[0]
    assert read_coordinates(filler + "48.8566, 2.3522").outcome == "malformed"


def test_a_number_that_the_cut_goes_through_is_not_read() -> None:
    head = "word " * (MAX_CHARACTERS // 5)
    pair = "48.8566, 12.3522"
    for inside in range(1, len(pair)):
        text = head[: MAX_CHARACTERS - inside] + " " + pair
        assert read_coordinates(text).outcome == "malformed", inside


# -- spans


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("It is (48.8566, 2.3522).", "48.8566, 2.3522"),
        ("At 40.7128° N, 74.0060° W.", "40.7128° N, 74.0060° W"),
        ("**40.7128**, **-74.0060**", "40.7128**, **-74.0060"),
        ("Look: -33.8688, 151.2093!", "-33.8688, 151.2093"),
        ("$40.7128^\\circ \\text{N}, 74.0060^\\circ \\text{W}$", "40.7128^\\circ \\text{N}, 74.0060^\\circ \\text{W"),
        ("（４８.８５６６，２.３５２２）", "４８.８５６６，２.３５２２"),
        ("map https://www.google.com/maps/@48.8566,2.3522,15z", "48.8566,2.3522"),
        ("no (95.5, 200.5) no", "95.5, 200.5"),
    ],
)
def test_span_is_where_the_pair_stands(text: str, part: str) -> None:
    span = read_coordinates(text).span
    assert span is not None
    assert text[span[0] : span[1]] == part


# -- properties

latitudes = st.integers(-90_000_000, 90_000_000).map(lambda n: n / 1e6)
longitudes = st.integers(-180_000_000, 180_000_000).map(lambda n: n / 1e6)


def _fixed(value: float) -> str:
    return f"{value:.6f}"


def _letters(lat: float, lon: float, mark: str = "° ") -> tuple[str, str]:
    return (
        f"{_fixed(abs(lat))}{mark}{'S' if lat < 0 else 'N'}",
        f"{_fixed(abs(lon))}{mark}{'W' if lon < 0 else 'E'}",
    )


def _sexagesimal(value: float, letters: str) -> str:
    """Degrees, minutes and seconds to 1e-4 of a second (3e-8 degrees)."""
    total = round(abs(value) * 36_000_000)
    degrees, rest = divmod(total, 36_000_000)
    minutes, rest = divmod(rest, 600_000)
    return f"{degrees}°{minutes:02d}'{rest // 10_000:02d}.{rest % 10_000:04d}\"{letters[value < 0]}"


FORMATS = {
    "plain": lambda a, o: f"{_fixed(a)}, {_fixed(o)}",
    "round": lambda a, o: f"The coordinates are ({_fixed(a)}, {_fixed(o)}).",
    "square": lambda a, o: f"[{_fixed(a)},{_fixed(o)}]",
    "space": lambda a, o: f"{_fixed(a)} {_fixed(o)}",
    "semicolon": lambda a, o: f"{_fixed(a)}; {_fixed(o)}",
    "labels": lambda a, o: f"Latitude: {_fixed(a)}, Longitude: {_fixed(o)}",
    "reversed labels": lambda a, o: f"Longitude: {_fixed(o)}\nLatitude: {_fixed(a)}",
    "study": lambda a, o: f"latitude: {_fixed(a)}, longitude: {_fixed(o)}, country_name: France",
    "sentence": lambda a, o: f"It is France. Its coordinates are latitude {_fixed(a)}, longitude {_fixed(o)}.",
    "json": lambda a, o: json.dumps({"lat": a, "lon": o}),
    "reversed json": lambda a, o: json.dumps({"place": {"lng": o, "lat": a}, "confidence": 0.5}),
    "geojson": lambda a, o: json.dumps({"type": "Point", "coordinates": [o, a]}),
    "wkt": lambda a, o: f"POINT({_fixed(o)} {_fixed(a)})",
    "xml": lambda a, o: f"<lat>{_fixed(a)}</lat><lon>{_fixed(o)}</lon>",
    "letters": lambda a, o: ", ".join(_letters(a, o)),
    "letters first": lambda a, o: f"{'S' if a < 0 else 'N'} {_fixed(abs(a))}, {'W' if o < 0 else 'E'} {_fixed(abs(o))}",
    "glued letters": lambda a, o: " ".join(_letters(a, o, "")),
    "reversed letters": lambda a, o: ", ".join(reversed(_letters(a, o))),
    "words": lambda a, o: (
        f"{_fixed(abs(a))} degrees {'south' if a < 0 else 'north'} and {_fixed(abs(o))} degrees "
        f"{'west' if o < 0 else 'east'}"
    ),
    "sexagesimal": lambda a, o: f"{_sexagesimal(a, 'NS')} {_sexagesimal(o, 'EW')}",
    "latex": lambda a, o: "\\boxed{" + ", ".join(_letters(a, o, "^\\circ \\text{ }")) + "}",
    "boxed": lambda a, o: f"$\\boxed{{({_fixed(a)}, {_fixed(o)})}}$",
    "decimal comma": lambda a, o: ", ".join(_letters(a, o)).replace(".", ","),
    "link": lambda a, o: f"https://www.google.com/maps/@{_fixed(a)},{_fixed(o)},15z",
    "minus": lambda a, o: f"{_fixed(a)}, {_fixed(o)}".replace("-", "−"),
    "bold": lambda a, o: f"**{_fixed(a)}**, **{_fixed(o)}**",
    "altitude": lambda a, o: f"({_fixed(a)}, {_fixed(o)}, 12)",
    "final": lambda a, o: f"London (51.507400, -0.127800)? No.\n\n**Final answer:** ({_fixed(a)}, {_fixed(o)})",
    "table": lambda a, o: f"| Longitude | Latitude |\n|---|---|\n| {_fixed(o)} | {_fixed(a)} |",
}


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(latitude=latitudes, longitude=longitudes)
@given_example(latitude=0.0, longitude=0.0)
@given_example(latitude=-90.0, longitude=180.0)
@given_example(latitude=90.0, longitude=-180.0)
@given_example(latitude=-0.000001, longitude=-0.000001)
def test_any_pair_survives_its_rendering(name: str, latitude: float, longitude: float) -> None:
    text = FORMATS[name](latitude, longitude)
    reading = read_coordinates(text)
    assert reading.outcome == "parsed", text
    assert not reading.swapped
    assert reading.latitude == pytest.approx(latitude, abs=1e-7), text
    assert reading.longitude == pytest.approx(longitude, abs=1e-7), text
    assert reading.span is not None
    part = text[reading.span[0] : reading.span[1]]
    assert sum(character.isdigit() for character in part) >= 2


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in ("link", "latex", "boxed", "geojson")])
@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(latitude=latitudes, longitude=longitudes)
def test_case_and_space_do_not_matter(name: str, latitude: float, longitude: float) -> None:
    text = FORMATS[name](latitude, longitude)
    expected = parse_coordinates(text)
    variants = [text.upper(), f"\n\n  {text}\t \n", text.replace(" ", "  "), text.replace(" ", "\u00a0")]
    if "glued" not in name and name != "letters first":  # a small letter needs a degree mark beside it
        variants.append(text.lower())
    for variant in variants:
        assert parse_coordinates(variant) == expected, variant


pieces = st.sampled_from(
    [
        *list("0123456789.,-+;:()[]{}<>|/°'\"NSEWnsew \n*$^\\#~±−–—"),
        "lat",
        "latitude",
        "lon:",
        "Longitude",
        "48.8566",
        "2.3522",
        "200.5",
        "not ",
        "unlike ",
        "and",
        "to",
        "between ",
        "final answer: ",
        "<answer>",
        "\\boxed{",
        "^\\circ",
        "POINT(",
        '"coordinates":[',
        "https://maps.x/@1.5,",
        "度",
        "I cannot tell",
        "e.g. ",
        "km",
        "%",
        "step ",
        "nan",
        "inf",
        "</think>",
        "Paris",
        "E+09",
        "٤٢",
        "\ue000",
        "�",
    ]
)


def _check(reading: Reading, text: str) -> None:
    assert reading.outcome in OUTCOMES
    assert (reading.latitude is None) == (reading.longitude is None) == (reading.outcome != "parsed")
    if reading.span is not None:
        assert 0 <= reading.span[0] < reading.span[1] <= len(text)
    if reading.latitude is not None and reading.longitude is not None:
        assert math.isfinite(reading.latitude) and abs(reading.latitude) <= 90
        assert math.isfinite(reading.longitude) and abs(reading.longitude) <= 180
        assert reading.span is not None
        assert sum(character.isdigit() for character in text[slice(*reading.span)]) >= 2


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    _check(read_coordinates(text, EIFFEL), text)


@settings(max_examples=800, deadline=None, derandomize=True, database=None)
@given(st.lists(pieces, max_size=40).map("".join))
def test_no_heap_of_pieces_breaks_it(text: str) -> None:
    _check(read_coordinates(text, EIFFEL), text)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Nd", "Nl", "No", "Cs"]), max_size=200))
def test_no_digits_no_answer(text: str) -> None:
    assert parse_coordinates(text) is None
