"""The vocabulary: words and signs that mark a number as a coordinate or as something else. Words are in lower case."""

from __future__ import annotations

import functools
import re

from paceline.tasks.geolocation.coordinates.languages import vocabulary
from paceline.tasks.geolocation.coordinates.spelling import errors


def words(text: str) -> frozenset[str]:
    """The words of a text that spaces separate."""
    return frozenset(text.split())


# Private-use characters stand for things that plain text cannot hold.
STRUCK = "\ue002"  # struck text begins or ends
NULL = "\ue005"  # null, None
LINK = "\ue000"  # a map link that holds a pair
BOXED = "\ue001"  # \boxed, a final answer
END_OF_THOUGHT = "\ue003"  # </think>

# What a number is: its axis, the order of a pair, its hemisphere.
AXIS_LABEL = {
    **dict.fromkeys(words("lat lats latitude latitudes latt φ"), "lat"),
    **dict.fromkeys(words("lon lng long lons longs longitude longitudes λ"), "lon"),
}
_MOST_ERRORS = 2  # in "latitude" and "longitude"
_SPELT_ALIKE = words("lassitude lentitude longitudinal latitudinal")
ORDER_LABEL = {
    **dict.fromkeys(words("latlng latlon latlong"), "latlon"),
    **dict.fromkeys(words("lnglat lonlat longlat"), "lonlat"),
}
HEMISPHERE_LETTER = {"n": ("lat", 1), "s": ("lat", -1), "e": ("lon", 1), "w": ("lon", -1)}
DOUBTFUL = vocabulary().doubtful  # words that mean something else, too ("este" is "this"): firm only behind degrees
FOREIGN_LETTER = frozenset().union(*vocabulary().letters.values()) - HEMISPHERE_LETTER.keys()
HEMISPHERE_WORD = {
    **DOUBTFUL,
    **dict.fromkeys(words("north northern northerly"), ("lat", 1)),
    **dict.fromkeys(words("south southern southerly"), ("lat", -1)),
    **dict.fromkeys(words("east eastern easterly"), ("lon", 1)),
    **dict.fromkeys(words("west western westerly"), ("lon", -1)),
}

# Marks behind a number, and what stands before it.
DEGREE = words("° degree degrees deg degs")
MINUTE = words("' min mins minute minutes")
SECOND = words('" sec secs second seconds')
# May stand between a label and its number: "latitude is approximately 48.85".
FILLER = words(
    ": = \" ' ( [ { > ) ~ | , # ° ? & → is are was be of at about around approximately approx roughly circa ca est "
    "estimated estimate would likely probably somewhere near close value in the decimal degrees degree deg unit dd "
    "its equals equal to as float string number and coordinates coordinate format"
)
LABEL_SEPARATOR = words(", / & and - | ; \" ' > < . + the")  # between the two labels of "lat/lon"
PLACE_NOUN = words("city place location photo")  # as good as a name in "latitude of the city"
ABBREVIATED = words("lat lon long lng approx ca c est deg coord coords rs")  # a full stop behind these ends no sentence

# What is no coordinate. Units stand behind a number.
UNIT = words(
    "% ‰ percent km kms kilometer kilometers kilometre kilometres m meter meters metre metres mi mile miles ft feet "
    "foot inch inches yd yards cm mm nm px pixel pixels mp year years yr yrs month months week weeks day days hour "
    "hours hr hrs h minute minutes min mins second seconds sec secs ms people persons inhabitants residents million "
    "billion thousand mph kmh kph kg lb lbs th st nd rd am pm usd eur gbp dollars euros stars votes times z zoom c f "
    "celsius fahrenheit kelvin mbar hpa € £ ¥ ₹ ha acres sq story storey storeys floors buildings points dpi fps gb mb "
    "dbm db hz khz mhz ghz kw kwh mw mwh volt volts watt watts amp amps rpm ppm ppb mah mg ml cl gram grams oz ounces "
    "knots lux mpg kpa hectares carat carats calories kcal cal bpm "
    "bar psi baht litre litres liter liters gallon gallons rupees rupee yen yuan won chf cents pence kr ₽ ₺ ₩ ₫ ₪ ฿"
)
# Numbers right behind one of these are measurements or counts, not coordinates.
MEASURED = words(
    "step steps question questions option options figure fig figures page pages chapter chapters section sections "
    "number numbers nr # № version versions v zoom altitude elevation height alt elev confidence confidences score "
    "scores probability probabilities accuracy radius population temperature temperatures rating ratings distance "
    "distances error errors heading bearing pitch yaw fov size sizes resolution width height dimension dimensions "
    "pixel pixels box bbox boxes bounding rgb color colour hsv ratio aspect phone tel telephone fax price prices cost "
    "costs speed weight weights likelihood certainty iso aperture exposure margin uncertainty std variance mean "
    "median iou time times humidity wind pressure similarity seed token tokens timestamp utm epsg "
    "density ndvi ev azimuth slope eur usd gbp chf jpy cny inr rs czk pln sek nok dkk € £ ¥ ₹ ₽ ₺ ₩ ₫ ₪ ฿"
)
# These only number things: they matter before whole numbers ("Room 12, 14"), not before "Wall Street: 40.7, -74.0".
NUMBERED = words(
    "no age aged ages year years route highway interstate road street avenue bus buses line lines tram exit room floor "
    "level zip postcode postal plate plates zone f focal index indices rank ranks top row rows item items sign class "
    "classes table tables id ids date dates scale magnitude gate platform unit apartment apt building house lane call "
    "windows psalm article volume season episode grade day group team player channel terminal pier district sector "
    "block ward mile"
)
# Prices, hours and the like: numbers with up to three decimals shortly behind one of these are no place.
OF_TRADE = words(
    "gauge gpa reads shows lists displays rate rated rates rating normalised normalized signal strength "
    "menu menus ticket tickets price prices fee fees fare fares cost costs sale tag receipt bill diesel petrol gas "
    "fuel gasoline adults adult children child espresso coffee tea beer open opens opened opening hours closed closes "
    "daily weekdays weekends mon tue wed thu fri sat sun mo tu we th fr sa su monday tuesday wednesday thursday "
    "friday saturday sunday departure departures arrival arrivals leaves departs arrives timetable schedule clock "
    "service pixel pixels ndvi scale focal camera cam aperture shutter marker markers milepost stone stones january "
    "february march april may june july august september october november december jan feb mar apr jun jul aug sep "
    "sept oct nov dec"
)
# A pair may stand straight behind one of these: "taken at 48.85, 2.35".
LOCATES = words(
    "at around about near in is be are was it's approximately approx roughly say says guess think to from by probably "
    "perhaps maybe possibly likely so answer that here with as or and it there therefore thus"
)
GUESSES = words("maybe perhaps probably say guess around approximately about roughly likely possibly")
# "It is 48.85, 2.35": these are, or are found at, a place; other nouns are things ("the index is 7.5, 8.1").
SUBJECTS = words(
    "it this that there here scene answer guess estimate one which where and or i we you me my taken took shot "
    "captured located situated found seen lies lie sits stands standing placed put pin village town country region "
    "area coast centre center downtown beach harbour harbor airport station spot site somewhere go going pick choose "
    "result output final best photograph picture street would could should might think believe lat lon"
)
# Numbers in the picture, not on the earth: behind them, and before them.
IN_PICTURE = re.compile(
    r"[ )\]\"',]{0,4}(?:(?:in|of|on|within|from|relative to|with respect to) (?:the |this |its )?"
    r"(?:(?:normali[sz]ed|relative|input|pixel|whole) ){0,2}(?:image|picture|frame|canvas|screen|pixels?|pixel)\b"
    r"|(?:in )?(?:normali[sz]ed|relative|pixel|percent|image|screen) (?:\w{1,12} )?"
    r"(?:coordinates|coords|units|position))",
    re.IGNORECASE,
)
OF_PICTURE = re.compile(
    r"\b(?:pixel|pixels|normali[sz]ed|relative|screen|canvas|frame)[- ](?:\w{1,12} ){0,2}"
    r"(?:coordinates?|coords|positions?|units|location)\b",
    re.IGNORECASE,
)
# A small number behind one of these is its number in a list ("Guess 2:").
ENUMERATED = words(
    "guess candidate candidates location place answer image photo picture step option choice coordinate coordinates "
    "point part prompt question task city hypothesis possibility example case scenario attempt clue hint evidence"
)

# What stands around a pair.
OPEN, CLOSE = frozenset("([{<|\"'"), frozenset(")]}>|\"'")
BRACKET_OPEN, BRACKET_CLOSE = frozenset("([{"), frozenset(")]}")
CUE = re.compile(
    r"\b(?:coord\w*|gps|lat\w*|lon\w*|lng|location|position|answer|guess|estimate\w*|prediction|point|geoloc\w*|geotag)\b",
    re.IGNORECASE,
)


@functools.lru_cache(maxsize=8192)
def axis_of(lower: str) -> str | None:
    """``lat`` or ``lon`` if a word in lower case is a label, perhaps misspelt: "lattitude", "longtitude".

    The first letter must be right: "altitude" is one error away from "latitude".
    """
    axis = AXIS_LABEL.get(lower)
    if axis is not None or not (6 <= len(lower) <= 12 and lower[0] == "l") or lower in _SPELT_ALIKE:
        return axis
    of_latitude, of_longitude = errors(lower, "latitude"), errors(lower, "longitude")
    if min(of_latitude, of_longitude) > _MOST_ERRORS or of_latitude == of_longitude:
        return None
    return "lat" if of_latitude < of_longitude else "lon"
