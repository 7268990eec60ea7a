"""Reading coordinates: a table of realistic answers by rule, and properties that hold for any text."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example as given_example
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.scorers.coordinates import MAX_CHARACTERS, OUTCOMES
from paceline.scorers.geolocation import Reading, parse_coordinates, read_coordinates

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
    ("1. London (51.5074, -0.1278)\n2. Paris (48.8566, 2.3522)", PARIS),
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
    '{"lat": null, "lon": null}',
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
    list("0123456789.,-+;:()[]{}<>|/°'\"NSEWnsew \n*$^\\#~±−–—")
    + ["lat", "latitude", "lon:", "Longitude", "48.8566", "2.3522", "200.5", "not ", "unlike ", "and", "to", "between "]
    + ["final answer: ", "<answer>", "\\boxed{", "^\\circ", "POINT(", '"coordinates":[', "https://maps.x/@1.5,", "度"]
    + [
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
        "\ud800",
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


@settings(max_examples=1500, deadline=None, derandomize=True, database=None)
@given(st.lists(pieces, max_size=40).map("".join))
def test_no_heap_of_pieces_breaks_it(text: str) -> None:
    _check(read_coordinates(text, EIFFEL), text)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Nd", "Nl", "No", "Cs"]), max_size=200))
def test_no_digits_no_answer(text: str) -> None:
    assert parse_coordinates(text) is None
