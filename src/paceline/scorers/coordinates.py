"""Reading a latitude and a longitude (decimal degrees, WGS 84) out of a model's free-text answer.

Four steps, each linear in the text:

1. *normalise*: one pass makes a plain copy (LaTeX, HTML, markdown, full-width forms, primes, dashes, CJK terms) with an
   index back into the original, so that spans can be reported. Map links are read here, as a whole.
2. *tokenise*: numbers, words, single signs.
3. *scan*: numbers become values (sign, hemisphere, label, degrees-minutes-seconds), values become candidate pairs.
   A number with a unit, behind a word such as "confidence", or inside a range never becomes part of a pair.
4. *choose*: an explicit final answer or tag beats earlier reasoning; otherwise the last pair wins, unless it is plainly
   a comparison.

The guiding preference is to read nothing rather than to invent: an answer counts only if the text states both halves.
No sign is ever mended from a place name. Every look-around is bounded (a fixed number of tokens or characters), and no
pattern nests one unbounded quantifier inside another, so time grows linearly with the text
(``benchmarks/read_coordinates.py`` shows it).
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

MAX_CHARACTERS = 20_000
ECHO_TOLERANCE_DEGREES = 1e-4
OUTCOMES = ("parsed", "refused", "malformed", "out_of_range", "echoed")


@dataclass(frozen=True)
class Reading:
    """What was read. Degrees are decimal; both are ``None`` unless ``outcome`` is ``parsed``.

    ``span`` is the half-open character range of the pair in the text as given, also for ``out_of_range`` and
    ``echoed``. ``swapped`` is true when an unlabelled longitude-first pair was turned round.
    """

    latitude: float | None
    longitude: float | None
    outcome: str
    span: tuple[int, int] | None
    swapped: bool


# ---------------------------------------------------------------------------------------------------------------------
# 1. normalise

# Private-use characters stand for things that plain text cannot hold.
_LINK = "\ue000"  # a map link that holds a pair
_BOXED = "\ue001"  # \boxed, a final answer
_END_OF_THOUGHT = "\ue003"  # </think>
_PRICE = "€"  # any currency sign does, for a dollar sign that is a price and not LaTeX

_SINGLE = {
    **dict.fromkeys("−‐‑‒–﹣－⁻", "-"),
    **dict.fromkeys("—―", "—"),
    **dict.fromkeys("°º˚∘⁰◦", "°"),
    **dict.fromkeys("'′’‘ʹ´ʼ", "'"),
    **dict.fromkeys('"″”“ʺ〃', '"'),
    **dict.fromkeys("≈∼～≃≅", "~"),
    **dict.fromkeys("、،，", ","),
    **dict.fromkeys("⟨〈【「『", "["),
    **dict.fromkeys("⟩〉】」』", "]"),
    **dict.fromkeys("*_`", " "),  # markdown
    **dict.fromkeys("\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad", ""),  # invisible
    "\u066b": ".",
    "。": ". ",
    "×": "x",
    _LINK: "",
    _BOXED: "",
    _END_OF_THOUGHT: "",
}

# What is longer than one character. Group names say what a match becomes; every repetition is bounded or runs over
# characters that cannot start the next part, so a failed attempt costs a constant.
_SPECIAL = re.compile(
    r"""
      (?P<url>(?:https?://|www\.|maps\.|geo:(?=[-+]?[0-9]))[^\s<>"'\)\]\}|\\]+)
    | (?P<degree>\^\s?\{?\s?\\(?:circ|degree)\b\s?\}?|\^\{\s?o\s?\}|\^o(?![a-z])
        |\\(?:circ|degrees?|deg|textdegree)\b(?:\{\})?
        |\\u00b0|&deg;|&\#176;|&\#x[bB]0;|<sup>\s?[o°]\s?</sup>)
    | (?P<second>\^?\{?\\prime\s?\\prime\}?|\\u2033|&Prime;|(?<=[0-9])(?:''|′′|’’|‘‘))
    | (?P<minute>\^?\{?\\prime\b\}?|\\u2032|&prime;|&\#0?39;|&apos;)
    | (?P<minus>\\u2212|\\u2013|&minus;|&ndash;)
    | (?P<quote>&quot;)
    | (?P<text>\\(?:text|textbf|textrm|mathrm|mathbf|mathit|operatorname|mbox|rm)\s?\{(?P<inner>[^{}\n]{0,40})\})
    | (?P<boxed>\\(?:boxed|fbox)\b)
    | (?P<tilde>\\(?:approx|simeq|sim)\b|&asymp;)
    | (?P<times>\\times\b|&times;)
    | (?P<tolerance>\\pm\b|&plusmn;|\+/-|\+-(?=[\s0-9]))
    | (?P<blank>\\(?:left|right|quad|qquad|bigl|bigr|Bigl|Bigr|big|Big|displaystyle|cdot|t(?![a-z])|r(?![a-z]))
        |\\[,;:!\s]|&nbsp;|&emsp;|&ensp;|&thinsp;|\$\$
        |</?\s?(?:b|i|u|em|strong|span|code|sup|sub|small|mark|p|font)\s?>)
    | (?P<newline>\\n|<br\s?/?>|</(?!\s?(?:think|thinking|reasoning|reflection)\s?>)[^<>\n]{0,40}>)
    | (?P<thought></\s?(?:think|thinking|reasoning|reflection)\s?>)
    | (?P<escaped>\\[-"'()\[\]{}%~.+|/])
    | (?P<cjk>[北南东東西][纬緯经經経][度]?|[纬緯][度]|[经經経][度]|(?<=[0-9])\s?[度分秒])
    | (?P<decimal>(?<=[0-9])·(?=[0-9]))
    | (?P<space>\s+)
    """,
    re.VERBOSE,
)
_REPLACEMENT = {
    "degree": "°",
    "second": '"',
    "minute": "'",
    "minus": "-",
    "quote": '"',
    "boxed": _BOXED,
    "tilde": "~",
    "times": "x",
    "tolerance": "±",
    "blank": " ",
    "newline": "\n",
    "thought": _END_OF_THOUGHT,
    "decimal": ".",
}
_CJK = {"北": " N ", "南": " S ", "东": " E ", "東": " E ", "西": " W ", "度": "°", "分": "'", "秒": '"'}

# Where map links keep a place, best first: Google's place data, OpenStreetMap's marker, query fields, the view.
_N = r"([-+]?[0-9]{1,3}(?:\.[0-9]+)?)"
_SEP = r"(?:,|%2C|%2c|~|\+|%20)(?:\+|%20)?"
_URL_FORMS = tuple(
    re.compile(form)
    for form in (
        rf"!3d{_N}!4d{_N}",
        rf"\bmlat={_N}&(?:amp;)?mlon={_N}",
        rf"[?&;/](?:q|query|ll|sll|daddr|destination|center|cp|coordinates|coords|marker|pin|viewpoint|place)="
        rf"(?:loc:|loc%3A)?{_N}{_SEP}{_N}",
        rf"/(?:place|search|dir)/{_N}{_SEP}{_N}",
        rf"@{_N},{_N}",
        rf"\blat(?:itude)?={_N}&(?:amp;)?(?:lon|lng|long|longitude)={_N}",
        rf"\#map=[0-9.]{{1,5}}/{_N}/{_N}",
        rf"^geo:{_N},{_N}",
    )
)
_URL_LON_FIRST = re.compile(rf"\b(?:mlon|lon|lng|longitude)={_N}&(?:amp;)?(?:mlat|lat|latitude)={_N}")


class _Plain:
    """A plain copy of a text, the place of each of its characters in the original, and the pairs in map links."""

    def __init__(self, text: str) -> None:
        self.pieces: list[str] = []
        self.origin: list[int] = []
        self.links: list[tuple[float, float, int, int]] = []  # latitude, longitude, start, end in the original
        self._emit(_price_marked(text), 0)
        self.text = "".join(self.pieces)

    def _put(self, piece: str, at: int) -> None:
        if piece == " " and (not self.pieces or self.pieces[-1][-1] in " \n"):
            return
        if piece:
            self.pieces.append(piece)
            self.origin.extend([at] * len(piece))

    def _emit(self, text: str, base: int) -> None:
        at = 0
        for match in _SPECIAL.finditer(text):
            self._characters(text, at, match.start(), base)
            at = match.end()
            kind = match.lastgroup or ""
            start = base + match.start()
            if match.group("text") is not None:
                # "\text{ N}": the words inside count, the wrapping does not.
                self._put(" ", start)
                self._emit(match.group("inner"), base + match.start("inner"))
                self._put(" ", base + match.end() - 1)
            elif kind == "url":
                self._link(match.group(), start)
            elif kind == "escaped":
                self._put(match.group()[1], start)
            elif kind == "space":
                self._put("\n" if "\n" in match.group() or "\r" in match.group() else " ", start)
            elif kind == "cjk":
                self._put(_cjk(match.group().strip()), start)
            else:
                self._put(_REPLACEMENT[kind], start)
        self._characters(text, at, len(text), base)

    def _characters(self, text: str, start: int, end: int, base: int) -> None:
        for at in range(start, end):
            character = text[at]
            if character.isascii():
                self._put(_SINGLE.get(character, character) if character in "*_`" else character, base + at)
            else:
                self._put(_single(character), base + at)

    def _link(self, url: str, start: int) -> None:
        for form in _URL_FORMS:
            match = form.search(url)
            if match:
                latitude, longitude = match.group(1), match.group(2)
                break
        else:
            match = _URL_LON_FIRST.search(url)
            if match is None:
                self._put(" ", start)
                return
            longitude, latitude = match.group(1), match.group(2)
        span = start + match.start(1), start + match.end(2)
        self.links.append((_number(latitude), _number(longitude), *span))
        self._put(_LINK, start)


def _single(character: str) -> str:
    """The plain form of one non-ASCII character."""
    if character in _SINGLE:
        return _SINGLE[character]
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    if "\uff01" <= character <= "\uff5e":  # full-width ASCII
        plain = chr(ord(character) - 0xFEE0)
        return _SINGLE.get(plain, plain)
    return character


def _cjk(term: str) -> str:
    if term in ("度", "分", "秒"):
        return _CJK[term]
    if term[0] in _CJK:
        return _CJK[term[0]]
    return " latitude " if term[0] in "纬緯" else " longitude "


def _price_marked(text: str) -> str:
    """Tell prices from LaTeX: an opening ``$`` that another opening ``$`` or the line's end follows is a price."""
    if "$" not in text:
        return text
    out = list(text)
    opened: int | None = None
    for at, character in enumerate(text):
        if character == "\n":
            if opened is not None:
                out[opened] = _PRICE
            opened = None
        elif character == "$":
            before = text[at - 1] if at else " "
            after = text[at + 1] if at + 1 < len(text) else " "
            if before == "$" or after == "$":
                continue  # display mathematics, blanked as a pair
            opening = not after.isspace() and (before.isspace() or before in "([{*:~,")
            if opening and (opened is None or before.isspace()):
                if opened is not None:
                    out[opened] = _PRICE
                opened = at
                out[at] = " "
            else:
                opened = None
                out[at] = " "
    if opened is not None:
        out[opened] = _PRICE
    return "".join(out)


def _number(digits: str) -> float:
    """A decimal number as float; digits beyond the 17th decimal cannot change it and are not converted."""
    whole, _, fraction = digits.partition(".")
    return float(f"{whole or '0'}.{fraction[:17] or '0'}")


# ---------------------------------------------------------------------------------------------------------------------
# 2. tokenise

_NUMBER, _WORD, _SIGN = "number", "word", "sign"
_TOKEN = re.compile(
    r"(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][-+][0-9]{1,2}(?![0-9.]))?|(?<![\w.])\.[0-9]+)"
    r"|(?P<word>(?<=[0-9])[dms](?=[NSEW](?![^\W\d_]))|[^\W\d_]+)|(?P<sign>[^\s])"
)


@dataclass(slots=True)
class _Token:
    kind: str
    text: str
    lower: str
    start: int
    end: int
    spaced: bool  # white space or the text's start stands before it
    line: int


def _tokens(plain: str) -> list[_Token]:
    tokens: list[_Token] = []
    line, end = 0, 0
    for match in _TOKEN.finditer(plain):
        start = match.start()
        if start > end and "\n" in plain[end:start]:
            line += 1
        tokens.append(
            _Token(
                str(match.lastgroup), match.group(), match.group().lower(), start, match.end(),
                start > end or not tokens, line,
            )
        )  # fmt: skip
        end = match.end()
    return tokens


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_AXIS_LABEL = {
    **dict.fromkeys(_words("lat lats latitude latitudes latt latitud latitudine breitengrad breite широта"), "lat"),
    **dict.fromkeys(_words("lon lng long lons longs longitude longitudes longtitude longitud longitudine"), "lon"),
    **dict.fromkeys(_words("längengrad laengengrad länge долгота"), "lon"),
}
_COMBINED_LABEL = {
    **dict.fromkeys(_words("latlng latlon latlong"), "latlon"),
    **dict.fromkeys(_words("lnglat lonlat longlat"), "lonlat"),
}
_HEMISPHERE = {"n": ("lat", 1), "s": ("lat", -1), "e": ("lon", 1), "w": ("lon", -1)}
_HEMISPHERE_WORD = {
    **dict.fromkeys(_words("north northern northerly norte nord nördlich nördlicher septentrional"), ("lat", 1)),
    **dict.fromkeys(_words("south southern southerly sur sud süd südlich südlicher"), ("lat", -1)),
    **dict.fromkeys(_words("east eastern easterly este östlich östlicher ost"), ("lon", 1)),
    **dict.fromkeys(_words("west western westerly oeste ouest westlich westlicher ovest"), ("lon", -1)),
}
_DEGREE = _words("° degree degrees deg degs grad grados degrés gradi")
_MINUTE = _words("' min mins minute minutes minuten minutos")
_SECOND = _words('" sec secs second seconds sekunden segundos')
_FILLER = _words(
    ": = \" ' ( [ { > ) ~ | , # ° ? & → is are was be of at about around approximately approx roughly circa ca est "
    "estimated estimate would likely probably somewhere near close value in the decimal degrees degree deg unit dd "
    "its equals equal to as float string number and coordinates coordinate format beträgt es"
)
_ABBREVIATED = _words("lat lon long lng approx ca c est deg coord coords")
_UNIT = _words(
    "% ‰ percent km kms kilometer kilometers kilometre kilometres m meter meters metre metres mi mile miles ft feet "
    "foot inch inches yd yards cm mm nm px pixel pixels mp year years yr yrs month months week weeks day days hour "
    "hours hr hrs h minute minutes min mins second seconds sec secs ms people persons inhabitants residents million "
    "billion thousand mph kmh kph kg lb lbs th st nd rd am pm usd eur gbp dollars euros stars votes times z zoom c f "
    "celsius fahrenheit kelvin mbar hpa € £ ¥ ₹ ha acres sq story storey storeys floors buildings points dpi fps gb mb"
)
# Numbers right behind one of these are measurements or counts, not coordinates.
_MEASURED = _words(
    "step steps question questions option options figure fig figures page pages chapter chapters section sections "
    "number numbers nr # № version versions v zoom altitude elevation height alt elev confidence confidences score "
    "scores probability probabilities accuracy radius population temperature temperatures rating ratings distance "
    "distances error errors heading bearing pitch yaw fov size sizes resolution width height dimension dimensions "
    "pixel pixels box bbox boxes bounding rgb color colour hsv ratio aspect phone tel telephone fax price prices cost "
    "costs speed weight weights likelihood certainty iso aperture exposure margin uncertainty std variance mean "
    "median iou time times humidity wind pressure similarity seed token tokens timestamp utm epsg € £ ¥ ₹"
)
# These only number things: they matter before whole numbers ("Room 12, 14"), not before "Wall Street: 40.7, -74.0".
_NUMBERED = _words(
    "no age aged ages year years route highway interstate road street avenue bus buses line lines tram exit room floor "
    "level zip postcode postal plate plates zone f focal index indices rank ranks top row rows item items sign class "
    "classes table tables id ids date dates scale magnitude gate platform unit apartment apt building house lane call "
    "windows psalm article volume season episode grade day group team player channel terminal pier district sector "
    "block ward mile"
)
_ENUMERATED = _words(
    "guess candidate candidates location place answer image photo picture step option choice coordinate coordinates "
    "point part prompt question task city hypothesis possibility example case scenario attempt clue hint evidence"
)
_OPEN, _CLOSE = frozenset("([{<|\"'"), frozenset(")]}>|\"'")
_BRACKET_OPEN, _BRACKET_CLOSE = frozenset("([{"), frozenset(")]}")
_CUE = re.compile(
    r"\b(?:coord\w*|gps|lat\w*|lon\w*|lng|location|position|answer|guess|estimate\w*|prediction|point|geoloc\w*|geotag)\b",
    re.IGNORECASE,
)
_PLACE_NOUN = _words("city place location photo")
_LABEL_SEPARATOR = _words(", / & and - | ; \" ' > < . + the")


# ---------------------------------------------------------------------------------------------------------------------
# 3. scan


@dataclass(slots=True)
class _Value:
    """One number that might be a coordinate. ``first``/``last`` are token indices, inclusive."""

    first: int
    last: int
    degrees: float
    decimals: int
    signed: bool
    axis: str | None = None
    labelled: bool = False
    firm: bool = True  # a hemisphere that counts even without a partner
    hemisphere: bool = False
    marked: bool = False  # carries a degree mark or minutes
    order: str | None = None  # "latlon" or "lonlat": a label for the pair that starts here
    bad: bool = False  # has a unit, a disqualifying word, or glued letters
    breaks: bool = False  # bad, and what follows in the same list is of the same kind
    ranged: bool = False
    invalid: bool = False  # written as a coordinate, but impossible (75 minutes, latitude … W)
    raw: float = 0.0  # the number with its written sign only
    listed: bool = False  # a list or step number: ignored altogether


@dataclass(slots=True)
class _Pair:
    latitude: float
    longitude: float
    start: int  # in the plain text
    end: int
    first: int  # token indices
    last: int
    ordered: bool
    valid: bool = True
    span: tuple[int, int] = (0, 0)
    rank: int = 0  # 0 an answer, 1 a comparison that yields to others, 2 never an answer


class _Scanner:
    """Values and pairs of one tokenised text."""

    def __init__(self, plain: _Plain) -> None:
        self.plain = plain
        self.tokens = _merge_decimal_commas(_tokens(plain.text))
        self.consumed: set[int] = set()
        self.has_lat = any(_AXIS_LABEL.get(t.lower) == "lat" for t in self.tokens)
        self.line_first: dict[int, int] = {}
        self.line_last: dict[int, int] = {}
        for at, token in enumerate(self.tokens):
            self.line_first.setdefault(token.line, at)
            self.line_last[token.line] = at

    # -- small questions about tokens

    def _at(self, i: int) -> _Token | None:
        return self.tokens[i] if 0 <= i < len(self.tokens) else None

    def _lower(self, i: int) -> str:
        return self.tokens[i].lower if 0 <= i < len(self.tokens) else ""

    def _glued(self, i: int) -> bool:
        """Token ``i`` follows the one before it without white space."""
        return 0 < i < len(self.tokens) and not self.tokens[i].spaced

    def _same_line(self, i: int, j: int) -> bool:
        a, b = self._at(i), self._at(j)
        return a is not None and b is not None and a.line == b.line

    def _label(self, i: int) -> str | None:
        """``lat`` or ``lon`` if token ``i`` names an axis ("long" only in a text that also says "lat")."""
        if i in self.consumed or not 0 <= i < len(self.tokens):
            return None
        word = self.tokens[i].lower
        if word in ("long", "longs") and not self.has_lat:
            return None
        return _AXIS_LABEL.get(word)

    def _combined(self, i: int) -> tuple[str, int] | None:
        """An order ("latlon"/"lonlat") whose last label is token ``i``, and the index of its first token."""
        token = self._at(i)
        if token is None:
            return None
        if token.lower in _COMBINED_LABEL:
            return _COMBINED_LABEL[token.lower], i
        axis = self._label(i)
        if axis is None:
            return None
        j = i - 1
        while i - j <= 5 and self._lower(j) in _LABEL_SEPARATOR:
            j -= 1
        other = self._label(j)
        if other is None or other == axis or (j == i - 1 and self._glued(i)):
            return None
        return ("latlon" if other == "lat" else "lonlat"), j

    def _hemisphere_letter(self, i: int) -> tuple[str, int, bool] | None:
        """(axis, sign, firm) of a one-letter hemisphere at token ``i``; a small letter is not firm."""
        token = self._at(i)
        if token is None or i in self.consumed or token.lower not in _HEMISPHERE:
            return None
        if self._lower(i - 1) == "'" and self._glued(i) and self.tokens[i - 2].kind == _WORD:
            return None  # "Paris's"
        if self._lower(i - 1) == "." and self._glued(i) and i >= 2 and self.tokens[i - 2].kind == _WORD:
            return None  # "U.S"
        if self._lower(i + 1) == "." and self._glued(i + 1) and self._glued(i + 2):
            follower = self._at(i + 2)
            if follower is not None and follower.kind == _WORD:
                return None  # "E.g"
        axis, sign = _HEMISPHERE[token.lower]
        return axis, sign, token.text.isupper()

    # -- values

    def values(self) -> list[_Value]:
        values: list[_Value] = []
        i = 0
        while i < len(self.tokens):
            token = self.tokens[i]
            if token.kind == _NUMBER:
                value = self._value(i)
                values.append(value)
                i = value.last + 1
            else:
                i += 1
        kept = [v for v in values if not v.listed]
        self._mark_ranges(kept)
        return kept

    def _value(self, i: int) -> _Value:
        token = self.tokens[i]
        whole, _, fraction = token.text.partition(".")
        exponent = "e" in token.lower
        too_long = len(whole.lstrip("0")) > 9
        number = 0.0 if too_long else (float(token.text) if exponent and len(token.text) < 40 else _number(token.text))
        value = _Value(
            i,
            i,
            number,
            6 if exponent else len(fraction),
            signed=False,
            bad=too_long or (exponent and len(token.text) >= 40),
        )
        if len(whole) > 1 and not whole.strip("0") and not fraction.strip("0"):
            value.bad = True  # "00.0000", a template

        # Before the number: sign, then what it is glued to.
        left = i - 1
        negative = False
        previous = self._at(left)
        if previous is not None and previous.text in "+-" and previous.text:
            if self._is_sign(left, i):
                negative = previous.text == "-"
                value.signed = True
                left -= 1
            elif self._glued(i) and self._glued(left) and self._at(left - 1) is not None:
                before = self.tokens[left - 1]
                if before.kind == _WORD and len(whole) <= 3 and not fraction and before.lower not in _HEMISPHERE:
                    value.bad = True  # "I-95"
        elif previous is not None and previous.text == "—" and self._glued(i):
            opener = self._at(left - 1)
            if opener is None or opener.text in "([{,;:=":
                negative, value.signed, left = True, True, left - 1
        if self._lower(left) == "±":
            value.listed = True  # a tolerance belongs to the number before it
            value.last = i
            return value
        prefix = self._at(left)
        if prefix is not None and left == i - 1 and self._glued(i):
            if (
                prefix.kind == _WORD
                and left not in self.consumed
                and self._hemisphere_letter(left) is None
                and self._label(left) is None
            ):
                value.bad = True  # "v1", "WGS84"
            elif self._label(left) is not None and not fraction and self._lower(i + 1) in (":", "=", '"', "'"):
                value.listed = True  # "lat1: …"
                return value
            elif prefix.kind == _SIGN and prefix.text == "." and self._glued(left):
                value.bad = True  # "192.168.1.1"
        if value.listed or self._is_list_number(i, left, fraction):
            value.listed = True
            return value

        # Before that: a hemisphere and a label.
        pre_axis, pre_sign, pre_firm = self._read_prefix(value, i, left)

        # After the number: minutes and seconds, degree mark, hemisphere, label.
        j = self._read_minutes(value, i, whole, fraction, prefixed=pre_sign != 0)
        value.raw = -value.degrees if negative else value.degrees
        value.last = j - 1
        if self._has_unit(value, j):
            value.bad = True
            if pre_axis is None:
                return value
        self._read_suffix(value, j, pre_axis, pre_sign, pre_firm)
        if prefix is not None and prefix.text in ("€", "£", "¥", "₹"):
            value.bad = True
        return value

    def _is_sign(self, at: int, number: int) -> bool:
        """Whether the ``+`` or ``-`` at ``at`` is the sign of the number behind it, not a dash between two things."""
        before = self._at(at - 1)
        opened = before is None or before.text in ",;([{|:=\"'~<>/&@" + _BOXED
        if self._glued(number):
            if before is None or self.tokens[at].spaced or opened:
                return True
            # ISO 6709, "+40.7128-074.0060": a signed decimal followed at once by a signed decimal.
            if before.kind == _NUMBER and "." in before.text and "." in self.tokens[number].text:
                return self._lower(at - 2) in ("+", "-") and not self._glued(at - 2)
            return before.kind == _WORD and self._label(at - 1) is not None
        return opened and before is not None and before.line == self.tokens[number].line

    def _is_list_number(self, i: int, left: int, fraction: str) -> bool:
        """Step and list numbers: "Step 1:", "1. ", "(2) ", "Guess 3)"."""
        token = self.tokens[i]
        if fraction or len(token.text) > 2:
            return False
        after = self._at(i + 1)
        if self._lower(left) in _ENUMERATED and left == i - 1:
            return after is None or after.text in ":.)-—(" or after.kind == _WORD
        first = self.line_first[token.line]
        start_of_line = i == first or (i == first + 1 and self._lower(first) in ("(", "#", "-", ">", "["))
        if not start_of_line or after is None:
            return False
        if after.text == ")" and i == first:
            return True
        if after.text in (")", "]") and i == first + 1:
            return self._at(i + 2) is not None
        if after.text == "." and self._glued(i + 1):
            follower = self._at(i + 2)
            return follower is not None and follower.spaced
        if after.text == ":" and self._glued(i + 1):
            follower = self._at(i + 2)
            return follower is not None and follower.spaced and i == first
        return False

    def _read_prefix(self, value: _Value, i: int, left: int) -> tuple[str | None, int, bool]:
        """Walk back over fillers to a label, a combined label or a hemisphere; returns (axis, sign, firm)."""
        sign, firm, hemisphere_axis = 0, True, None
        hemisphere_at, aside = -1, False
        names, steps, j = 0, 0, left
        immediate = True  # no token between the hemisphere and the number
        order: str | None = None
        axis: str | None = None
        first_word = True
        while j >= 0 and steps < 16:
            token = self.tokens[j]
            if j in self.consumed or token.kind == _NUMBER or token.text == _LINK:
                break
            steps += 1
            combined = self._combined(j)
            if combined is not None and steps <= 14:
                order = combined[0]
                break
            label = self._label(j)
            if label is not None:
                axis = label
                # A closing bracket belongs to this label ("Latitude (N):"); the label itself is now spoken for.
                self.consumed.add(j)
                break
            letter = self._hemisphere_letter(j)
            if (
                letter is not None
                and hemisphere_axis is None
                and names == 0
                and (letter[2] or (j == i - 1 and self._glued(i)))
            ):
                reachable = immediate or all(self.tokens[k].text in ":=)°" for k in range(j + 1, left + 1))
                if reachable and self._lower(j - 1) not in ("option", "zone", "point", "plan"):
                    hemisphere_axis, sign, _ = letter
                    firm, hemisphere_at = letter[2], j
                    j -= 1
                    continue
                break
            if token.lower in _HEMISPHERE_WORD and hemisphere_axis is None and names == 0:
                hemisphere_axis, sign = _HEMISPHERE_WORD[token.lower]
                firm, hemisphere_at = False, j
                # "in the south (48.85, 2.35)" is no hemisphere unless a label stands before it.
                aside = not immediate
                j -= 1
                continue
            if first_word and (token.kind == _WORD or j == left) and self._is_count(token.lower, value):
                value.bad = value.breaks = True
                break
            if self._is_filler(j):
                if token.text == "," and j < left and names:
                    break
                if token.text == "," or token.line != self.tokens[i].line:
                    first_word = False  # "no, 48.85, 2.35": not a count of anything
            elif token.kind == _WORD and names < 3 and (token.text[0].isupper() or token.lower in _PLACE_NOUN):
                names += 1
                first_word = False
            else:
                break
            immediate = False
            j -= 1
        value.order = order
        if axis is None and (hemisphere_axis is None or aside):
            return None, 0, True
        if hemisphere_axis is not None and not aside:
            self.consumed.add(hemisphere_at)
        if axis is None:
            return hemisphere_axis, sign, firm
        value.labelled = True
        value.invalid = hemisphere_axis not in (None, axis)
        return axis, sign, True

    def _is_filler(self, j: int) -> bool:
        """Token ``j`` may stand between a label and its number: "latitude is approx. 48.85", "Latitude - 48.85"."""
        token = self.tokens[j]
        if token.text == ".":
            return self._lower(j - 1) in _ABBREVIATED
        if token.text == "-":
            return token.spaced and (not self._glued(j + 1) or self._lower(j + 1) == ">")
        return token.lower in _FILLER

    @staticmethod
    def _is_count(word: str, value: _Value) -> bool:
        """The word before a number says that it measures or counts something."""
        return word in _MEASURED or (word in _NUMBERED and value.decimals == 0)

    def _read_minutes(self, value: _Value, i: int, whole: str, fraction: str, *, prefixed: bool) -> int:
        """Degree mark, minutes and seconds behind the number at ``i``; returns the index of the next token.

        degrees = d + m/60 + s/3600, with whole d (and whole m where seconds follow), m < 60 and s < 60.
        """
        j = i + 1
        word = self._lower(j)
        parts: list[_Token] = []
        if (word in _DEGREE and self._same_line(i, j)) or (
            word == "d" and self._glued(j) and self._next_is(j + 1, _NUMBER)
        ):
            value.marked = True
            j += 1
            if word in ("deg", "degs") and self._lower(j) == ".":
                j += 1
            parts, j = self._marked_minutes(i, j, whole_degrees=not fraction, prefixed=prefixed)
        elif not fraction and word == ":" and self._glued(j) and self._glued(j + 1) and self._next_is(j + 1, _NUMBER):
            third = self._lower(j + 2) == ":" and self._glued(j + 2) and self._next_is(j + 3, _NUMBER)
            end = j + 4 if third else j + 2
            if prefixed or self._hemisphere_letter(end) is not None:
                parts = [self.tokens[j + 1]] + ([self.tokens[j + 3]] if third else [])
                j = end
        elif not fraction and self._next_is(j, _NUMBER) and self._same_line(i, j):
            # "40 42 46 N" and "N 40 42.767": only with a hemisphere.
            third = self._next_is(j + 1, _NUMBER) and self._same_line(i, j + 1) and "." not in self.tokens[j].text
            end = j + 2 if third else j + 1
            letter = self._hemisphere_letter(end)
            if prefixed or (letter is not None and letter[2]):
                parts = self.tokens[j:end]
                j = end
        if parts:
            value.marked = True
            sizes = [_number(p.text) if len(p.text) < 40 and "e" not in p.lower else 99.0 for p in parts]
            if fraction or any(s >= 60 for s in sizes) or (len(parts) == 2 and "." in parts[0].text):
                value.invalid = True
            else:
                value.degrees += sum(size / 60 ** (power + 1) for power, size in enumerate(sizes))
            value.decimals = 6
        return j

    def _marked_minutes(self, i: int, j: int, *, whole_degrees: bool, prefixed: bool) -> tuple[list[_Token], int]:
        """Minutes and seconds from token ``j`` on, behind the degree mark of the number at ``i``."""
        k = j
        if self._lower(k) in (",", "and") and self._next_is(k + 1, _NUMBER) and self._lower(k + 2) in _MINUTE:
            k += 1  # "40 degrees, 42 minutes"
        if not self._next_is(k, _NUMBER) or not self._same_line(i, k):
            return [], j
        minutes, after = self.tokens[k], self._lower(k + 1)
        if after not in _MINUTE and not (after == "m" and self._glued(k + 1)):
            # "N 40° 42.767": the mark is left out, a hemisphere proves that these are minutes.
            proved = prefixed or self._hemisphere_letter(k + 1) is not None
            return ([minutes], k + 1) if k == j and proved and whole_degrees and after not in _DEGREE else ([], j)
        j = k = k + 2
        if self._lower(k) in (",", "and") and self._next_is(k + 1, _NUMBER) and self._lower(k + 2) in _SECOND:
            k += 1
        if not self._next_is(k, _NUMBER) or not self._same_line(i, k):
            return [minutes], j
        seconds, after = self.tokens[k], self._lower(k + 1)
        if after in _SECOND or (after == "s" and self._glued(k + 1) and self.tokens[k + 1].text == "s"):
            return [minutes, seconds], k + 2
        if after == "'" and self._lower(k + 2) == "'":
            return [minutes, seconds], k + 3
        if k == j and self._hemisphere_letter(k + 1) is not None:
            return [minutes, seconds], k + 1
        return [minutes], j

    def _next_is(self, i: int, kind: str) -> bool:
        token = self._at(i)
        return token is not None and token.kind == kind

    def _has_unit(self, value: _Value, j: int) -> bool:
        token = self._at(j)
        if token is None or not self._same_line(value.last, j):
            return False
        if value.marked:
            return token.text in ("C", "F") or token.lower in ("celsius", "fahrenheit", "kelvin")
        if token.lower in _UNIT:
            if token.lower in ("c", "f", "h", "m", "st", "nm", "z", "am", "in", "min", "no") and not self._glued(j):
                return token.lower in ("m", "h", "am") and token.text.islower()
            return True
        if token.text == "°":
            return False
        if token.kind == _WORD and self._glued(j):
            if token.lower in _HEMISPHERE or token.lower in _DEGREE or token.lower in _AXIS_LABEL:
                return token.text == "s" and value.decimals == 0  # "the 40s"
            return token.lower not in _HEMISPHERE_WORD
        if token.text in ("+", "*", "^") and self._next_is(j + 1, _NUMBER) and not self._is_sign(j, j + 1):
            return True  # arithmetic
        if token.lower == "x" and self._next_is(j + 1, _NUMBER):
            return True  # 640 x 480
        if token.text == "." and self._glued(j) and self._next_is(j + 1, _NUMBER) and self._glued(j + 1):
            return True  # a dotted chain
        if token.text == ":" and self._glued(j) and self._next_is(j + 1, _NUMBER) and self._glued(j + 1):
            return value.decimals < 3  # a time or a ratio
        if token.text == "/" and self._next_is(j + 1, _NUMBER) and value.decimals < 3:
            following = self.tokens[j + 1].text.partition(".")[2]
            return len(following) < 3  # a date, a rating
        return False

    def _read_suffix(self, value: _Value, j: int, axis: str | None, sign: int, firm: bool) -> None:
        """Hemisphere and label behind a number; settles axis, sign and the value's last token."""
        found, at, k = self._suffix_hemisphere(value, j, axis, sign)
        if found is not None and (sign == 0 or found[0] == axis):
            self.consumed.add(at)
            value.last = k - 1
            if axis is None:
                axis, sign, firm = found
            elif axis != found[0] or sign not in (0, found[1]):
                value.invalid = True
            else:
                sign, firm = found[1], True
        else:
            k = j
        if not value.labelled:
            axis, sign, firm = self._suffix_label(value, k, axis, sign, firm)
        value.axis, value.firm, value.hemisphere = axis, firm, sign != 0
        value.degrees = sign * value.degrees if sign else value.raw

    def _suffix_hemisphere(
        self, value: _Value, k: int, axis: str | None, sign: int
    ) -> tuple[tuple[str, int, bool] | None, int, int]:
        """A hemisphere from token ``k`` on, perhaps in brackets: (axis, sign, firm), its token, the token behind it."""
        bracket = self._lower(k) in ("(", "[") and self._lower(k + 2) in (")", "]")
        at = k + 1 if bracket else k
        if self._lower(at) in ("of", "in") and self._lower(at + 1) in _HEMISPHERE_WORD:
            at += 1  # "degrees of northern latitude"
        end = at + 2 if bracket else at + 1
        if not self._same_line(value.last, at):
            return None, at, end
        letter, word, follower = self._hemisphere_letter(at), self._lower(at), self._at(at + 1)
        if letter is not None:
            if not value.marked and value.decimals == 0 and not value.labelled and self._name_follows(at + 1):
                value.bad = True  # "123 N Main Street"
            attached = self._glued(at) or value.marked or letter[2]
            other = sign != 0 and letter[0] != axis  # "N 40.7 W 74.0": the letter belongs to the next number
            if attached and not other and self._lower(at + 1) != "of" and (axis in (None, letter[0]) or letter[2]):
                tentative = (not letter[2] and not value.marked) or self._name_follows(at + 1)
                return (letter[0], letter[1], not tentative), at, end
        elif word in _HEMISPHERE_WORD and self._lower(at + 1) not in ("of", "from", "side", "coast", "part"):
            settled = value.marked or (
                word not in ("este", "sur", "sud", "ost", "nord")
                and (bracket or follower is None or follower.kind == _SIGN or not self._same_line(at, at + 1)
                     or follower.lower in ("and", "latitude", "longitude", "lat", "lon", "long", "by"))
            )  # fmt: skip
            if sign == 0 or _HEMISPHERE_WORD[word][0] == axis:
                return (*_HEMISPHERE_WORD[word], settled), at, end
        elif value.marked and word == "est":
            return ("lon", 1, True), at, end
        elif value.marked and word in ("o", "в", "з"):
            # "O" is east in German and west in Spanish and French; a guess would be an invention.
            value.invalid = True
        return None, at, end

    def _suffix_label(
        self, value: _Value, k: int, axis: str | None, sign: int, firm: bool
    ) -> tuple[str | None, int, bool]:
        """A label behind a number: "48.85 latitude", "2.35 (longitude)", "48.85° N lat.", "48.85 latitude north"."""
        m = k + 1 if self._lower(k) in ("(", "[") else k
        if self._lower(m) in ("°", "degrees", "of", "in", "north", "south", "east", "west"):
            m += 1
        label = self._label(m)
        if label is None or not self._same_line(value.last, m) or self._is_leading_label(m, label, m > k):
            return axis, sign, firm
        if axis is not None and label != axis:
            value.invalid = True
            return axis, sign, firm
        if axis is None:
            value.last = max(value.last, m - 1 if m > k + 1 else k - 1)
        value.labelled = True
        self.consumed.add(m)
        word = self._lower(m + 1)
        if sign == 0 and word in _HEMISPHERE_WORD and _HEMISPHERE_WORD[word][0] == label:
            sign = _HEMISPHERE_WORD[word][1]
            self.consumed.add(m + 1)
        return label, sign, True

    def _name_follows(self, i: int) -> bool:
        """A capitalised word that is neither label nor hemisphere: "5 W Main Street"."""
        token = self._at(i)
        return (
            token is not None and token.kind == _WORD and token.text[0].isupper() and len(token.text) > 1
            and self._same_line(i - 1, i) and token.lower not in _AXIS_LABEL and token.lower not in _HEMISPHERE_WORD
            and token.text.islower() is False and not token.text.isupper()
        )  # fmt: skip

    def _is_leading_label(self, i: int, label: str, bracketed: bool) -> bool:
        """The label at ``i`` belongs to what follows ("…, longitude: 2.35"), not to the number before it."""
        after = self._at(i + 1)
        if after is None:
            return False
        if after.text in (":", "="):
            return True
        if bracketed and after.text in (",", "/", ";") and self._label(i + 2) is not None:
            return True  # "2.35, 48.86 (longitude, latitude)"
        j = i + 1
        while j <= i + 4 and self._lower(j) in ("is", "of", "about", "approximately", "~", "-", "+", "(", "."):
            j += 1
        if self._next_is(j, _NUMBER):
            # "2.35 longitude 48.85 latitude": trailing style if the next number has the other label behind it.
            m = j + 1
            while m <= j + 3 and (
                self._lower(m) in _DEGREE or self._lower(m) in _HEMISPHERE or self._lower(m) in _HEMISPHERE_WORD
            ):
                m += 1
            other = self._label(m)
            return other is None or other == label
        return False

    # -- ranges

    def _gap(self, a: _Value, b: _Value) -> list[str]:
        """The tokens between two values (at most 13; the sign of ``b`` is left out)."""
        end = b.first
        if end - 1 > a.last and self._lower(end - 1) in "+-" and self._is_sign(end - 1, end):
            end -= 1
        gap = [t.lower for t in self.tokens[a.last + 1 : min(end, a.last + 14)]]
        return gap[2:] if gap[:1] == ["±"] else gap

    def _mark_ranges(self, values: list[_Value]) -> None:
        for a, b in itertools.pairwise(values):
            if b.first - a.last > 9:
                continue
            gap = [g for g in self._gap(a, b) if g not in ("~", "about", "approximately", "°", '"')]
            differ = a.axis is not None and b.axis is not None and a.axis != b.axis
            if gap in (["-"], ["—"], ["to"], ["."] * 2, ["."] * 3, ["…"], ["through"], ["until"], ["up", "to"], ["→"]):
                if not differ:
                    a.ranged = b.ranged = True
            elif gap in (["and"], ["or"]) and not differ:
                if (a.axis is not None and a.axis == b.axis) or self._between(a):
                    a.ranged = b.ranged = True
            elif gap in ([","], [";"]) and a.labelled and b.axis is None and not b.bad and self._boxed_in(a, b):
                a.ranged = b.ranged = True  # "lat: [48.1, 48.9]"
            elif a.axis is not None and a.axis == b.axis and gap in ([","], ["/"], ["&"], [";"], [",", "or"]):
                a.ranged = b.ranged = True

    def _boxed_in(self, a: _Value, b: _Value) -> bool:
        return self._lower(self._left_of(a)) in _BRACKET_OPEN and self._lower(b.last + 1) in _BRACKET_CLOSE

    def _between(self, a: _Value) -> bool:
        for i in range(a.first - 1, max(-1, a.first - 9), -1):
            token = self.tokens[i]
            if token.kind == _NUMBER or token.text in (";", "!"):
                return False
            if token.lower in ("between", "entre", "zwischen", "either", "from", "range", "latitudes", "longitudes"):
                return True
        return False

    # -- pairs

    def pairs(self) -> list[_Pair]:
        values = self.values()
        found: list[_Pair] = []
        used: set[int] = set()  # positions in ``values``
        self._pair_known(values, used, found)
        self._pair_bare(values, used, found)
        self._pair_halves(values, used, found)
        found.extend(self._links())
        found.sort(key=lambda p: (p.start, p.end))
        for pair in found:
            if pair.span == (0, 0):
                pair.span = self._span(pair.first, pair.last)
        return found

    def _span(self, first: int, last: int) -> tuple[int, int]:
        start, end = self.tokens[first].start, self.tokens[last].end
        if self._lower(first - 1) in "+-" and first and self._is_sign(first - 1, first):
            start = self.tokens[first - 1].start
        return self.plain.origin[start], self.plain.origin[end - 1] + 1

    def _links(self) -> list[_Pair]:
        places = [i for i, t in enumerate(self.tokens) if t.text == _LINK]
        return [
            _Pair(lat, lon, self.tokens[i].start, self.tokens[i].end, i, i, ordered=True, span=(start, end))
            for i, (lat, lon, start, end) in zip(places, self.plain.links, strict=True)
        ]

    def _make(self, lat: _Value, lon: _Value, *, ordered: bool, latitude: float, longitude: float) -> _Pair:
        first, last = min(lat.first, lon.first), max(lat.last, lon.last)
        return _Pair(
            latitude + 0.0, longitude + 0.0, self.tokens[first].start, self.tokens[last].end, first, last, ordered,
            valid=not (lat.invalid or lon.invalid),
        )  # fmt: skip

    def _pair_known(self, values: list[_Value], used: set[int], found: list[_Pair]) -> None:
        """Consecutive values whose axes are stated and differ."""
        known = [n for n, v in enumerate(values) if v.axis is not None and not v.ranged and not v.bad]
        k = 0
        while k + 1 < len(known):
            a, b = values[known[k]], values[known[k + 1]]
            complete = not self._is_road(a, b) and not self._cut_off(a, b, b.last + 1)
            if a.axis != b.axis and complete and self._close_enough(values, known[k], known[k + 1]):
                lat, lon = (a, b) if a.axis == "lat" else (b, a)
                found.append(self._make(lat, lon, ordered=True, latitude=lat.degrees, longitude=lon.degrees))
                used.update((known[k], known[k + 1]))
                k += 2
            else:
                k += 1

    @staticmethod
    def _is_road(a: _Value, b: _Value) -> bool:
        """ "E40, N7": whole numbers behind bare letters, east or west first, are roads."""
        return a.axis == "lon" and all(
            v.decimals == 0 and v.first == v.last and v.hemisphere and not v.marked and not v.labelled for v in (a, b)
        )

    def _close_enough(self, values: list[_Value], m: int, n: int) -> bool:
        a, b = values[m], values[n]
        distance = self.tokens[b.first].start - self.tokens[a.last].end
        if any(v.ranged and v.axis is not None for v in values[m + 1 : min(n, m + 9)]):
            return False
        if a.labelled and b.labelled:
            return distance <= 250
        if distance > 70:
            return False
        gap = self.tokens[a.last + 1 : b.first]
        words = [t for t in gap if t.kind == _WORD]
        # Hemispheres alone bind only near each other and inside a sentence.
        return not (words and any(t.text == "." for t in gap) and not (a.labelled or b.labelled)) and len(words) <= 8

    def _link_kind(self, a: _Value, b: _Value) -> str | None:
        """How two neighbouring bare numbers are joined: comma, semi, bar, slash, space, newline, and; or not."""
        if b.first - a.last > 12:
            return None
        gap = [
            g for g in self._gap(a, b) if g not in ('"', "'", "~", "about", "approximately", "approx", "roughly", "°")
        ]
        newline = not self._same_line(a.last, b.first)
        if gap and gap[0] in _BRACKET_CLOSE and gap[-1] in _BRACKET_OPEN:
            # each number in its own bracket
            inner = [g for g in gap[1:-1] if g not in (_BOXED,)]
            if self._boxed_in(a, b) and inner in ([","], [";"], [], ["and"]):
                return "comma"
            return None
        if not gap:
            return "newline" if newline else "space"
        kind = {",": "comma", ";": "semi", "|": "bar", "/": "slash", "and": "and", "&": "and", ":": "colon"}.get(gap[0])
        if len(gap) == 1 and kind is not None and (not newline or kind in ("comma", "semi")):
            return kind
        return None

    def _bracket_list(self, a: _Value, b: _Value) -> bool:
        """Only brackets and commas stand between, on one line: "(12.5, 34.2), (56.1, 78.9)"."""
        return self._same_line(a.last, b.first) and all(g in ",()[];" for g in self._gap(a, b))

    def _left_of(self, value: _Value) -> int:
        """Index of the token before a value and its sign and approximations."""
        left = value.first - 1
        if left >= 0 and self._lower(left) in "+-" and self._is_sign(left, value.first):
            left -= 1
        while left >= 0 and value.first - left < 5 and self._lower(left) in ("~", "approximately", "approx", "about"):
            left -= 1
        return left

    def _pair_bare(self, values: list[_Value], used: set[int], found: list[_Pair]) -> None:
        chain: list[int] = []
        kinds: list[str] = []
        tainted = False

        def flush() -> None:
            if not tainted:
                self._chain(values, chain, kinds, used, found)

        for n, value in enumerate(values):
            free = n not in used and (value.axis is None or not value.firm) and not value.ranged
            kind = self._link_kind(values[n - 1], value) if n else None
            if chain and kind is not None and free and not value.bad and chain[-1] == n - 1:
                decimals = min(values[n - 1].decimals, value.decimals)
                marked = values[n - 1].marked and value.marked
                hinted = values[chain[0]].order is not None or self._point_before(values[chain[0]]) is not None
                loose = kind in ("space", "newline") and not (
                    decimals >= 1 or marked or (values[n - 1].decimals and value.signed) or (hinted and kind == "space")
                )
                if not loose:
                    chain.append(n)
                    kinds.append(kind)
                    continue
            if chain:
                flush()
            # "EPSG:4326 48.86, 2.35": a space joins only numbers of the same make.
            alike = n > 0 and (kind != "space" or (values[n - 1].decimals > 0) == (value.decimals > 0))
            inherit = alike and (tainted or values[n - 1].breaks)
            listed = kind in ("comma", "semi", "and", "space", "slash") or (
                bool(n) and self._bracket_list(values[n - 1], value)
            )
            tainted = inherit and listed
            chain, kinds = ([n], []) if free and not value.bad else ([], [])
            if value.breaks:
                tainted = False
        if chain:
            flush()

    def _chain(
        self, values: list[_Value], chain: list[int], kinds: list[str], used: set[int], found: list[_Pair]
    ) -> None:
        if len(chain) < 2:
            return
        if len(chain) > 3 and self._repeats(values, chain):
            chain, kinds = chain[:2], kinds[:1]  # a model in a loop: "48.86, 2.35, 48.86, 2.35, 48.8"
        if len(chain) > 3 or (len(chain) == 3 and "semi" in kinds and "comma" in kinds):
            weak = self._weak_links(values, chain, kinds)
            if not weak:
                return
            cuts = [0, *(w + 1 for w in weak), len(chain)]
            parts = [(chain[a:b], kinds[a : b - 1]) for a, b in itertools.pairwise(cuts)]
            if all(2 <= len(part) <= 3 for part, _ in parts):
                for part, inner in parts:
                    self._chain(values, part, inner, used, found)
            return
        a, b = values[chain[0]], values[chain[1]]
        order = a.order or self._order_nearby(a, values[chain[-1]])
        point = self._point_before(a)
        if (point == "wkt" and kinds[0] == "space") or point == "geojson":
            order = "lonlat"
        if not self._plausible(values, chain, kinds, order, point):
            return
        first, second = a.raw, b.raw
        latitude, longitude = (second, first) if order == "lonlat" else (first, second)
        used.update(chain)
        pair = self._make(a, b, ordered=order is not None, latitude=latitude, longitude=longitude)
        found.append(pair)

    @staticmethod
    def _repeats(values: list[_Value], chain: list[int]) -> bool:
        numbers = [values[n].raw for n in chain]
        # The last number of a longer list may be cut short.
        return all(v == numbers[n % 2] for n, v in enumerate(numbers[:-1] if len(numbers) > 4 else numbers))

    def _weak_links(self, values: list[_Value], chain: list[int], kinds: list[str]) -> list[int]:
        """Links at which a long list falls into pairs: line ends, semicolons, or commas among spaces."""
        lines = [
            n for n in range(len(kinds))
            if not self._same_line(values[chain[n]].last, values[chain[n + 1]].first)
        ]  # fmt: skip
        if lines:
            return lines
        if "semi" in kinds and "comma" in kinds:
            return [n for n, kind in enumerate(kinds) if kind == "semi"]
        if "space" in kinds and "comma" in kinds:
            return [n for n, kind in enumerate(kinds) if kind == ("space" if kinds[0] == "comma" else "comma")]
        return []

    def _order_nearby(self, first: _Value, last: _Value) -> str | None:
        """An order stated right behind the pair, or "longitude, latitude" as a heading shortly before it."""
        i = last.last + 1
        while i <= last.last + 5 and self._lower(i) in (")", "]", "(", "[", "in", "as", "-", '"', "—", "format", ":"):
            i += 1
        if self._same_line(last.last, i):
            for j in (i, i + 2, i + 1):
                combined = self._combined(j)
                if combined is not None and combined[1] >= i and self._lower(j + 1) not in (":", "="):
                    return combined[0]
        for j in range(first.first - 1, max(-1, first.first - 40), -1):
            token = self.tokens[j]
            ended = token.text in ".!?" and (j + 1 >= len(self.tokens) or self.tokens[j + 1].spaced)
            if ended and self._lower(j - 1) not in _ABBREVIATED:
                return None
            combined = self._combined(j)
            if combined is not None:
                return combined[0]
            if self._label(j) is not None:
                return None
        return None

    def _point_before(self, value: _Value) -> str | None:
        """``wkt`` for POINT( and its like, ``geojson`` for "coordinates" beside "type": "Point" and in a <Point>."""
        left = self._left_of(value)
        if self._lower(left) == "(":
            j = left - 1
            while j > left - 4 and self._lower(j) in ("(", "z", "m", "zm"):
                j -= 1
            if self._lower(j) in ("point", "multipoint", "linestring", "polygon"):
                return "wkt"
        j = left
        while j > left - 6 and self._lower(j) in ("[", ":", '"', "'", ">", "="):
            j -= 1
        if self._lower(j) == "coordinates":
            around = range(max(0, j - 16), min(len(self.tokens), j + 22))
            words = {self.tokens[k].lower for k in around}
            lines = any(
                self._lower(k) == "point"
                and self._lower(k - 1) in ('"', "'", "<")
                and self._lower(k + 1) in ('"', "'", ">")
                for k in around
            )
            if lines and ("type" in words or self._lower(j - 1) == "<"):
                return "geojson"
        return None

    def _plausible(
        self, values: list[_Value], chain: list[int], kinds: list[str], order: str | None, point: str | None
    ) -> bool:
        """Whether two bare numbers can be meant as coordinates."""
        a, b = values[chain[0]], values[chain[1]]
        last = values[chain[-1]]
        kind = kinds[0]
        left, right = self._left_of(a), last.last + 1
        bracketed = (
            self._lower(left) in _OPEN and self._lower(right) in _CLOSE
            and (self._lower(left) in _BRACKET_OPEN) == (self._lower(right) in _BRACKET_CLOSE)
        )  # fmt: skip
        if self._cut_off(a, b, right):
            return False
        before = self.plain.text[max(0, self.tokens[a.first].start - 140) : self.tokens[a.first].start]
        cue = order is not None or point is not None or bool(_CUE.search(before[_sentence_start(before) :]))
        cue = cue or bool(_CUE.search(self.plain.text[self.tokens[last.last].end :][:25]))
        largest = max(abs(a.raw), abs(b.raw))
        whole = a.decimals == 0 and b.decimals == 0
        if bracketed and whole and self._lower(left - 1) in _NUMBERED:
            return False
        if largest > 180 and (largest > 360 if whole else largest > 1000):
            return False
        if a.marked and b.marked:
            # "turned by 45° and 30°" has degrees, too.
            return kind != "colon" and (not whole or cue or bracketed or self._alone(a, last))
        if kind == "and":
            return (cue and (not whole or order is not None)) or min(a.decimals, b.decimals) >= 4
        if kind in ("slash", "colon"):
            return min(a.decimals, b.decimals) >= 3 or (cue and min(a.decimals, b.decimals) >= 2)
        if kind == "newline":
            return min(a.decimals, b.decimals) >= 3 or (cue and min(a.decimals, b.decimals) >= 1)
        if kind == "space":
            return (cue and not whole) or min(a.decimals, b.decimals) >= 2 or order is not None
        if not whole:
            one_sided = min(a.decimals, b.decimals) == 0
            if one_sided and max(a.decimals, b.decimals) < 3 and not a.signed and not b.signed:
                return bracketed or cue or self._alone(a, last)
            return True
        # Two whole numbers: in a bracket of their own, or alone behind nothing but a place name or a cue.
        if len(chain) > 2:
            return cue and order is not None
        if bracketed:
            return True
        thousands = kind == "comma" and self._glued(b.first) and len(self.tokens[b.first].text) == 3
        ended = self._ended(right)
        if cue and ended and order is not None:
            return True
        if thousands and a.signed is False and b.signed is False:
            return ended and self._alone(a, last, strict=True)
        return ended and ((cue and kind == "comma" and self._near_cue(a)) or self._alone(a, last))

    def _cut_off(self, a: _Value, b: _Value, right: int) -> bool:
        """The text stops inside the second number: "(48.8566, 2."."""
        token = self._at(right)
        return (
            token is not None and right == len(self.tokens) - 1 and token.text == "." and self._glued(right)
            and b.decimals == 0 and a.decimals >= 3
        )  # fmt: skip

    def _ended(self, right: int) -> bool:
        token = self._at(right)
        return (
            token is None
            or not self._same_line(right - 1, right)
            or (token.kind == _SIGN and token.text not in "-%x/°")
        )

    def _near_cue(self, a: _Value) -> bool:
        """A cue word within a few words before the number, with nothing but small words or names between."""
        start = self.tokens[a.first].start
        before = self.plain.text[max(0, start - 45) : start]
        return bool(_CUE.search(before[_sentence_start(before) :]))

    def _alone(self, a: _Value, last: _Value, *, strict: bool = False) -> bool:
        """The pair ends its line, and only capitalised names (or, if strict, nothing) stand before it there."""
        first_of_line = self.line_first[self.tokens[a.first].line]
        left = self._left_of(a)
        end = self.line_last[self.tokens[last.last].line]
        if any(self.tokens[k].kind != _SIGN for k in range(last.last + 1, min(end, last.last + 6) + 1)):
            return False
        for k in range(left, max(first_of_line, left - 16), -1):
            if self.tokens[k].text in (".", "!", "?") and self.tokens[k + 1].spaced:
                first_of_line = k + 1  # a sentence of its own is as good as a line
                break
        if left - first_of_line > 16:
            return False
        for k in range(first_of_line, left + 1):
            token = self.tokens[k]
            if (
                token.kind == _NUMBER
                or token.lower in _MEASURED | _NUMBERED
                or token.lower in _ENUMERATED - {"coordinates"}
            ):
                return False
            if (
                token.kind == _WORD
                and (strict or not token.text[0].isupper())
                and token.lower not in ("of", "de", "the")
            ):
                return False
        return True

    def _pair_halves(self, values: list[_Value], used: set[int], found: list[_Pair]) -> None:
        """One stated axis and one bare neighbour: "40.7128, 74.0060 W", "N 48.8566, 2.3522"."""
        for n, value in enumerate(values):
            if n in used or value.axis is None or not value.firm or value.bad or value.ranged:
                continue
            for m in (n + 1, n - 1):
                if not 0 <= m < len(values) or m in used:
                    continue
                other = values[m]
                if (other.axis is not None and other.firm) or other.bad or other.ranged:
                    continue
                a, b = (value, other) if m > n else (other, value)
                kind = self._link_kind(a, b)
                if kind not in ("comma", "semi", "space", "slash") or not (other.decimals or other.marked):
                    continue
                if kind in ("space", "slash") and min(a.decimals, b.decimals) < 2 and not (a.marked and b.marked):
                    continue
                if self._cut_off(a, b, b.last + 1) or self._part_of_list(values, m, n):
                    continue
                latitude, longitude = value.degrees, other.raw
                if value.axis == "lon":
                    latitude, longitude = longitude, latitude
                found.append(self._make(value, other, ordered=True, latitude=latitude, longitude=longitude))
                used.update((n, m))
                break

    def _part_of_list(self, values: list[_Value], m: int, n: int) -> bool:
        """The bare neighbour goes on as a list, or the other axis is stated right after it: a range, [48.1, 48.9]."""
        step = 1 if m > n else -1
        k = m + step
        if not 0 <= k < len(values):
            return False
        a, b = (values[m], values[k]) if step > 0 else (values[k], values[m])
        beyond = values[k]
        if beyond.axis is not None and beyond.firm and beyond.axis != values[n].axis:
            return abs(beyond.first - values[m].last) < 12
        return self._link_kind(a, b) == "comma" and beyond.axis is None and not beyond.bad and step < 0


def _merge_decimal_commas(tokens: list[_Token]) -> list[_Token]:
    """Join "48,8566" where the comma can only be a decimal one.

    That is: before a degree mark or hemisphere, behind a single label or hemisphere letter, or twice in a row
    ("48,8566; 2,3522"). Otherwise "35,139" stays two numbers.
    """

    def text(i: int) -> str:
        return tokens[i].lower if 0 <= i < len(tokens) else ""

    def joined(i: int) -> bool:
        if not 0 <= i < len(tokens) - 2:
            return False
        a, comma, b = tokens[i], tokens[i + 1], tokens[i + 2]
        return (
            a.kind == _NUMBER and b.kind == _NUMBER and comma.text == "," and not comma.spaced and not b.spaced
            and a.text.isdigit() and b.text.isdigit() and len(a.text) <= 3
            and not (text(i - 1) == "," and not a.spaced and i >= 2 and tokens[i - 2].kind == _NUMBER)
            and not (text(i + 3) == "," and i + 4 < len(tokens) and not tokens[i + 4].spaced
                     and not tokens[i + 3].spaced and tokens[i + 4].kind == _NUMBER)
        )  # fmt: skip

    def after_marks(i: int) -> bool:
        follower = tokens[i + 3] if i + 3 < len(tokens) else None
        if follower is None or follower.line != tokens[i].line:
            return False
        if follower.lower in _DEGREE or follower.text in tuple("NSEW'\""):
            return follower.text not in ("'", '"') or text(i - 1) in _DEGREE or text(i - 1) in _MINUTE
        return follower.lower in _HEMISPHERE_WORD

    def behind_label(i: int) -> bool:
        j = i - 1
        if text(j) in ("-", "+"):
            j -= 1
        if j == i - 1 and tokens[j].text in ("N", "S", "E", "W") if j >= 0 else False:
            return True
        while i - j < 8 and text(j) in (":", "=", '"', "'", "is", "~", "approximately", ">", "of", "about"):
            j -= 1
        axis = _AXIS_LABEL.get(text(j))
        if axis is None:
            return False
        k = j - 1
        while j - k < 4 and text(k) in (",", "/", "&", "and", "-", "|", ";", '"', ">", "<"):
            k -= 1
        other = _AXIS_LABEL.get(text(k))
        return other is None or other == axis

    def separated(i: int) -> int | None:
        """Index of a second decimal-comma number that follows at once, if any."""
        j = i + 3
        if text(j) in (";", "|", "/", ","):
            j += 1
        if text(j) in ("-", "+"):
            j += 1
        if not joined(j) or tokens[j].line != tokens[i].line:
            return None
        gap = j - (i + 3)
        if gap == 0 and not tokens[j].spaced:
            return None
        comma = text(i + 3) == ","
        if comma and not tokens[i + 4].spaced:
            return None
        long_enough = len(tokens[i + 2].text) >= 2 and len(tokens[j + 2].text) >= 2
        return j if long_enough or (not comma and gap) else None

    merged: list[_Token] = []
    forced = -1
    i = 0
    while i < len(tokens):
        if joined(i):
            second = separated(i)
            if i == forced or second is not None or after_marks(i) or behind_label(i):
                if second is not None:
                    forced = second
                a, b = tokens[i], tokens[i + 2]
                number = f"{a.text}.{b.text}"
                merged.append(_Token(_NUMBER, number, number, a.start, b.end, a.spaced, a.line))
                i += 3
                continue
        merged.append(tokens[i])
        i += 1
    return merged


# ---------------------------------------------------------------------------------------------------------------------
# 4. choose

_SENTENCE_END = re.compile(
    r"(?<!\bapprox)(?<!\be\.g)(?<!\bi\.e)(?<!\bca)(?<!\bvs)(?<!\bcf)(?<!\bSt)(?<!\blat)(?<!\blon)[.!?](?=[ \n])|\n"
)
_TAG = re.compile(
    r"<\|? ?(?:final ?answer|final|answer|result|output|coordinates?|coords|location|gps) ?\|?>"
    r"|\[ ?(?:final )?answer ?\]|" + _BOXED,
    re.IGNORECASE,
)
_FINAL = re.compile(
    r"\bfinal (?:answer|coordinates?|coords|estimate|estimation|guess|location|prediction|decision|response|output|"
    r"result|conclusion|choice|pair|verdict|pick)\b"
    r"|(?:(?<=\n)|(?<=[.!?#:] )|^)(?:the |my |so,? (?:the|my) )?(?:answer|conclusion)(?= ?(?:is\b|:|\n))"
    r"|\b(?:my|the) (?:\w{1,12} )?answer (?=is\b|would be\b)",
    re.IGNORECASE,
)
_FORWARD = re.compile(
    r"""[ "')>\]]{0,4}(?:\([^)\n]{0,40}\) ?)?(?:(?:[a-z']{1,14} ){0,6}(?:is|are|be|:)(?![a-z])"""
    r"""|[:=\n\-—→]|[\d(\[{+]|\ue000)""",
    re.IGNORECASE,
)
_BACKWARD = re.compile(r"\b(?:is|as|be|are) (?:my |the |our )?$", re.IGNORECASE)

# Cues straight before a pair; "name" gaps of a few words may stand between. Hard ones make it no answer at all.
_HARD_CUE = re.compile(
    r"\b(?:unlike|instead of|rather than|as opposed to|not to be confused with|e ?\. ?g ?\.?|for example|for instance|"
    r"excluding|except|if (?:it|this|that|the (?:photo|image|picture)) were)\b[ .,:;(]{0,3}"
    r"(?P<gap>[^.;:!?\n]{0,70}:? ?)$",
    re.IGNORECASE,
)
_SOFT_CUE = re.compile(
    r"\b(?:compared (?:to|with)|comparable to|in comparison (?:to|with)|similar to|resembl(?:es|ing|e)|reminiscent of|"
    r"reminds (?:me )?of|in contrast (?:to|with)|contrary to|versus|vs|such as|different from|differs from|"
    r"far from|away from|(?:km|kilomet(?:er|re)s|miles) (?:from|(?:north|south|east|west) of)|more like|"
    r"than|compare|distance (?:to|from)|cf|looks? like|feels? like|analogous to|akin to|"
    r"confused? (?:it )?with|mistaken for|opposite of|antipode of|not far from|like those in|like in)\b[ .,:;(]{0,3}"
    r"(?P<gap>[^.;:!?\n]{0,60}:? ?)$",
    re.IGNORECASE,
)
_SOFT_SENTENCE = re.compile(
    r"\b(?:alternative(?:ly)?|alternatives|could also|might also|may also|another (?:possib\w*|option|candidate|guess)|"
    r"other (?:possib\w*|candidates?|options?|guess\w*)|second (?:guess|choice|best)|runner-up|less likely|"
    r"for (?:reference|comparison|context)|by comparison|in comparison|(?:in|by) contrast|"
    r"(?:as a )?reference point|backup|fallback|previously|initially|at first|first thought|originally|"
    r"(?:earlier|first|initial|previous) (?:guess|thought|idea|answer|estimate))\b(?P<gap>.*)$",
    re.IGNORECASE,
)
_RELATION = re.compile(
    r"\b(?:near|nearby|close to|next to|from|than|(?:north|south|east|west|km|miles) of|(?:while|whereas) [^.;\n]{0,40}"
    r"(?:is|lies|would be|at)|beside)\b(?P<gap>[^.;:!?\n]{0,45})$",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"\b(?:[Nn]ot|isn't|wasn't|[Nn]either|nor|[Nn]ever)(?: (?:in|at|near|from|around|the|to|located|actually))*"
    r"(?P<names>(?:,? [A-Z][\w'-]{0,30}| of| de| the){0,6})(?: at| is at)?[ ,:(\[]{0,3}$"
)
# Verdicts straight behind a pair. Behind "(?P<far>" the place is only less likely, or compared.
_REJECTED = re.compile(
    r"""[ )\]"',]{0,4}(?:(?:is|was|are|were|has been|can be|could be|seems|looks|appears|which is|but that is)\ )"""
    r"""(?:(?:thus|therefore|clearly|definitely|probably|also|very|quite|rather|much)\ )?"""
    r"""(?:(?P<far>unlikely|less likely|not likely|too far|far|similar|comparable|different)"""
    r"""|ruled out|excluded|rejected|eliminated|wrong|incorrect|not (?:a match|correct|it|right))"""
    r"""|[ )\]"',]{0,4}(?:does not|doesn't|do not|don't) (?:match|fit)"""
    r"""|[ )\]"',]{0,4}(?:has|have) (?:an? |the )?(?P<has>similar|comparable|different)"""
    r"""|[ )\]"']{0,3}\? ?no\b""",
    re.IGNORECASE,
)
_CLAUSE_BREAK = re.compile(
    r"\b(?:but|however|it is|it's|it was|this is|i think|i believe|so|therefore|because|since|then)\b",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\b(?:can ?not|can't|could not|couldn't|unable to|not able to|impossible to|not possible to|not feasible to|"
    r"difficult to|hard to|won't|will not|do not|don't|not comfortable|decline to|refuse to|no way to)"
    r"(?: \w{1,14}){0,3}? "
    r"(?:determine|identify|identifying|provide|tell|pinpoint|give|know|say|locate|guess|assist|help|recogni[sz]e|infer|"
    r"deduce|specify|confirm|offer|answer|establish|estimate|share|see|view|access|discern|ascertain|be determined|"
    r"determined|have enough|have access|have the ability|comply|fulfil|fulfill|process|analy[sz]e)\b"
    r"|\b(?:i'm|i am|we are|we're) (?:very |so |really )?sorry\b|\bsorry,|\bno idea\b"
    r"|\bnot enough (?:information|detail|context|data|evidence)"
    r"|\binsufficient (?:information|detail|context|data|evidence)|\bas an ai\b|\bunknown\b|\bn/a\b|\bnot available\b"
    r"|\bun(?:determined|identifiable|determinable|recogni[sz]able)\b|\bnot determinable\b|\bcannot\b(?= be )"
    r"|\bi apologi[sz]e\b"
    r"|\bnot (?:sure|certain)\b|\bno (?:\w{1,14} ){0,2}(?:coordinates|location|landmarks?|clues|identifying)\b"
    r"|^\W{0,9}(?:none|null)\W{0,9}$|无法|抱歉|不知道|\bno puedo\b|\bje ne peux pas\b|\bkann (?:ich )?nicht\b",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:exact\w*|precis\w*|certain\w*|confirm\w*|guarantee\w*|definitive\w*|verify|accura\w*|sure|specific street|"
    r"without (?:more|additional|further))\b",
    re.IGNORECASE,
)
_FORMAT_CUE = re.compile(r"\b(?:format\w*|in the form|example|such as|like this|should look|sample)\b", re.IGNORECASE)
_ASSERTED = re.compile(
    r"\b(?:coordinates?|guess|estimate\w*|answer|latitude|location is|likely|probably)\b", re.IGNORECASE
)
_CHOICE = re.compile(
    r"\b(?:i(?:'d|'ll| would| will)? (?:choose|pick|select|go with|settle on|opt for|conclude)|"
    r"final answer|(?:my|the) (?:answer|choice|pick|guess) is|(?:best|better|closest) (?:match|fit|candidate) is|"
    r"most likely (?:location|place|city|option|candidate) is|"
    r"it (?:is|must be) (?:most likely|probably|likely|definitely))\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"\b[A-ZÀ-Þ][\w'-]{2,30}")
_NAME_STOP = _words(
    "The This That These Final Answer Coordinates Latitude Longitude North South East West City Country Region Based "
    "My "
    "Its And But However Lat Lon Step Therefore Thus For"
)


def _sentence_start(text: str) -> int:
    """Offset in ``text`` (a bounded window) of its last sentence."""
    start = 0
    for match in _SENTENCE_END.finditer(text):
        start = match.end()
    return start


class _Judge:
    """Chooses among the pairs of one text."""

    def __init__(self, text: str, pairs: list[_Pair], example: tuple[float, float] | None) -> None:
        self.text = text
        self.example = example
        self.pairs = pairs
        self.starts = [p.start for p in pairs]
        self.refusals = [m.start() for m in _REFUSAL.finditer(text)]
        for n, pair in enumerate(pairs):
            pair.rank = self._rank(n)
        self._drop_between()

    def _rank(self, n: int) -> int:
        """0 an answer, 1 a comparison that yields to any answer, 2 never an answer."""
        pair = self.pairs[n]
        previous = self.pairs[n - 1] if n else None
        floor = previous.end if previous is not None else 0
        window = self.text[max(floor, pair.start - 140) : pair.start]
        sentence = window[_sentence_start(window) :]
        # Strip the label of the pair itself: "unlike Paris (lat: 48.8, …", "not at coordinates (…".
        lead = re.sub(r"[-+~(\[{\"']{0,4}$", "", sentence)
        same_sentence = previous is not None and len(sentence) == len(window) and pair.start - floor <= 140
        after = self.text[pair.end : pair.end + 60]
        rejected = _REJECTED.match(after)
        if rejected:
            return 1 if rejected.group("far") or rejected.group("has") else 2
        hard = _HARD_CUE.search(lead)
        if hard and not _CLAUSE_BREAK.search(hard.group("gap")) and hard.group("gap").count(" ") <= 9:
            return 2
        if _NOT.search(lead):
            return 2
        soft = _SOFT_CUE.search(lead)
        if soft and not _CLAUSE_BREAK.search(soft.group("gap")) and soft.group("gap").count(" ") <= 7:
            return 1
        if self.refusals and _FORMAT_CUE.search(sentence):
            return 2
        if _FORMAT_CUE.search(sentence) and _is_echo(pair.latitude, pair.longitude, self.example):
            return 1  # "the example was …"
        aside = _SOFT_SENTENCE.search(sentence)
        if aside and not _CLAUSE_BREAK.search(aside.group("gap")):
            return 1
        if same_sentence:
            relation = _RELATION.search(lead)
            if relation and not _CLAUSE_BREAK.search(relation.group("gap")):
                return 1
            # "unlike Paris (…) or London (…)": the list goes on.
            if previous is not None and previous.rank and re.fullmatch(
                r"[\s)\]\"',;]{0,4}(?:,|and|or|&| ){0,3}[^.;:\n]{0,40}", window
            ) and not _CLAUSE_BREAK.search(window) and len(window.split()) <= 6:  # fmt: skip
                return previous.rank
        return 0

    def _drop_between(self) -> None:
        """ "between (48.8, 2.3) and (51.5, -0.1)" names neither."""
        for a, b in zip(self.pairs, self.pairs[1:], strict=False):
            if re.fullmatch(
                r"[\s)\]]{0,3}and[\s(\[]{0,3}[-+]?|[\s)\]]{0,3}and [A-Z][^.;:\n]{0,30}", self.text[a.end : b.start][:50]
            ):
                before = self.text[max(0, a.start - 60) : a.start]
                if re.search(r"\bbetween\b[^.;:\n]{0,40}$", before, re.IGNORECASE):
                    a.rank = b.rank = 2

    def choose(self) -> tuple[_Pair | None, bool]:
        """The chosen pair, and whether the text refuses instead."""
        low = 0
        thought = self.text.rfind(_END_OF_THOUGHT)
        if thought >= 0:
            if any(p.start > thought and p.rank < 2 for p in self.pairs):
                low = thought
            elif any(at > thought for at in self.refusals):
                return None, True
        pair, refused = self._from_markers(low)
        if pair is not None or refused:
            return pair, refused
        candidates = [p for p in self.pairs if p.start >= low]
        pair = self._named(candidates) or self._last(candidates)
        if pair is not None and self._refused_around(pair):
            return None, True
        return pair, False

    @staticmethod
    def _last(candidates: list[_Pair]) -> _Pair | None:
        for rank in (0, 1):
            for pair in reversed(candidates):
                if pair.rank == rank:
                    return pair
        return None

    def _from_markers(self, low: int) -> tuple[_Pair | None, bool]:
        """The pair that the last explicit final answer or tag announces; or that it is a refusal."""
        tags = list(_TAG.finditer(self.text, low))
        finals = list(_FINAL.finditer(self.text, low))
        for markers, always in ((tags, True), (finals, False)):
            for match in reversed(markers):
                forward = always or _FORWARD.match(self.text, match.end()) is not None
                backward = (
                    not always and _BACKWARD.search(self.text[max(0, match.start() - 14) : match.start()]) is not None
                )
                if backward:
                    n = bisect_left(self.starts, match.start()) - 1
                    if n >= 0 and match.start() - self.pairs[n].end < 40 and self.pairs[n].rank < 2:
                        return self.pairs[n], False
                    continue
                if not forward:
                    continue
                n = bisect_left(self.starts, match.end())
                segment = self.text[match.end() : match.end() + 300].lstrip()
                stop = segment.find("\n")
                segment = segment if stop < 0 else segment[:stop]
                near_end = match.end() + len(segment)
                if (n >= len(self.starts) or self.starts[n] > near_end + 4) and _REFUSAL.search(segment):
                    return None, True
                region = self._first_sentence(n)
                if region:
                    return region, False
        return None, False

    def _first_sentence(self, n: int) -> _Pair | None:
        """Of the pairs from the n-th on, the last answer in the first sentence that holds an answer."""
        while n < len(self.pairs) and self.pairs[n].rank == 2:
            n += 1
        if n >= len(self.pairs):
            return None
        first = self.pairs[n]
        group = [first]
        for m in range(n + 1, min(len(self.pairs), n + 6)):
            between = self.text[group[-1].end : self.pairs[m].start]
            if len(between) > 200 or _SENTENCE_END.search(between):
                break
            group.append(self.pairs[m])
        return self._last(group) or first

    def _named(self, candidates: list[_Pair]) -> _Pair | None:
        """ "Paris (…) or London (…)? I choose Paris": the pair that stands behind the chosen name."""
        answers = [p for p in candidates if p.rank < 2]
        if len(answers) < 2:
            return None
        markers = list(_CHOICE.finditer(self.text))
        if not markers or markers[-1].end() < answers[-1].end:
            return None
        rest = self.text[markers[-1].end() : markers[-1].end() + 90].lstrip(" :")
        stop = _SENTENCE_END.search(rest)
        chosen = set(_NAME.findall(rest[: stop.start() if stop else None])) - _NAME_STOP
        if not chosen:
            return None
        for n in range(len(answers) - 1, -1, -1):
            floor = answers[n - 1].end if n else 0
            before = self.text[max(floor, answers[n].start - 60) : answers[n].start]
            if chosen & set(_NAME.findall(before[before.rfind("\n") + 1 :])):
                return answers[n]
        return None

    def _refused_around(self, pair: _Pair) -> bool:
        """A refusal that leaves the chosen pair a mere mention."""
        if not self.refusals:
            return False
        if pair.rank == 1:
            return True
        after = bisect_right(self.refusals, pair.end)
        if after >= len(self.refusals):
            return False
        at = self.refusals[after]
        sentence = self.text[at : at + 160]
        stop = _SENTENCE_END.search(sentence)
        before = self.text[max(0, pair.start - 120) : pair.start]
        asserted = _ASSERTED.search(before[_sentence_start(before) :]) or _ASSERTED.search(
            self.text[pair.start : pair.end]
        )
        return not asserted and not _HEDGE.search(sentence[: stop.start() if stop else None])


def _in_range(latitude: float, longitude: float) -> bool:
    return abs(latitude) <= 90 and abs(longitude) <= 180


def _is_echo(latitude: float, longitude: float, example: tuple[float, float] | None) -> bool:
    """Equal to the prompt's own example after rounding both to four decimals, to within 1e-4 degrees (11 m)."""
    if example is None:
        return False
    tolerance = ECHO_TOLERANCE_DEGREES + 1e-9
    return (
        abs(round(latitude, 4) - round(example[0], 4)) <= tolerance
        and abs(round(longitude, 4) - round(example[1], 4)) <= tolerance
    )


def read_coordinates(text: str, example: tuple[float, float] | None = None) -> Reading:
    """Read the pair that an answer gives.

    ``example`` is the worked example of the prompt (latitude, longitude); an answer that repeats it is ``echoed``, a
    miss. Only the first 20,000 characters are read.
    """
    kept = text[:MAX_CHARACTERS]
    if len(text) > MAX_CHARACTERS and text[MAX_CHARACTERS] in "0123456789.":
        # A number that the cut goes through is not a number.
        kept = kept.rstrip("0123456789.")
    plain = _Plain(kept)
    pairs = _Scanner(plain).pairs()
    judge = _Judge(plain.text, pairs, example)
    pair, refused = judge.choose()
    if pair is None:
        if not refused and any(_is_echo(p.latitude, p.longitude, example) for p in pairs) and not judge.refusals:
            return Reading(None, None, "echoed", None, False)
        return Reading(None, None, "refused" if refused or judge.refusals else "malformed", None, False)
    if not pair.valid:
        return Reading(None, None, "malformed", pair.span, False)
    latitude, longitude, swapped = pair.latitude, pair.longitude, False
    if not pair.ordered and abs(latitude) > 90 and _in_range(longitude, latitude):
        latitude, longitude, swapped = longitude, latitude, True
    if not _in_range(latitude, longitude):
        return Reading(None, None, "out_of_range", pair.span, False)
    if _is_echo(latitude, longitude, example):
        return Reading(None, None, "echoed", pair.span, False)
    return Reading(latitude, longitude, "parsed", pair.span, swapped)


def parse_coordinates(text: str) -> tuple[float, float] | None:
    """(latitude, longitude) in decimal degrees, or ``None`` where nothing was read."""
    reading = read_coordinates(text)
    if reading.latitude is None or reading.longitude is None:
        return None
    return reading.latitude, reading.longitude
