"""Step 1: a plain copy of an answer, in which each thing is written in one way only.

LaTeX, HTML, markdown, full-width forms, primes, dashes and the words of other languages become plain ASCII (and ``°``,
``±``, ``—``, ``≤``, ``≥``), runs of white space become one space or newline, and every character keeps its place in the
original, so that spans can be reported. Map links are read here, as a whole.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence

from paceline.tasks.geolocation.coordinates.foreign_letters import translate_letters
from paceline.tasks.geolocation.coordinates.languages import REFUSES, Word, find_words
from paceline.tasks.geolocation.coordinates.machine import read_map_link
from paceline.tasks.geolocation.coordinates.values import MapLink, Plain
from paceline.tasks.geolocation.coordinates.words import BOXED, END_OF_THOUGHT, LINK, NULL, STRUCK

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
    LINK: "",
    BOXED: "",
    END_OF_THOUGHT: "",
    REFUSES: "",
    STRUCK: "",
    NULL: "",
}

# What is longer than one character. Group names say what a match becomes; every repetition is bounded or runs over
# characters that cannot start the next part, so a failed attempt costs a constant.
_SPECIAL = re.compile(
    r"""
      (?P<url>(?:https?://|www\.|(?<![\w.])maps\.|geo:(?=[-+]?[0-9]))[^\s<>"'\)\]\}|\\]+)
    | (?P<degree>\^\s?\{?\s?\\(?:circ|degree)\b\s?\}?|\^\{\s?o\s?\}|\^o(?![a-z])
        |\\(?:circ|degrees?|deg|textdegree)\b(?:\{\})?
        |(?<=[0-9])\s?[oO*](?=\s?[0-9]{1,2}\s?['′’´`])
        |\\u00b0|&deg;|&\#176;|&\#x[bB]0;|<sup>\s?[o°]\s?</sup>)
    | (?P<second>\^?\{?\\prime\s?\\prime\}?|\\u2033|&Prime;|(?<=[0-9])(?:''|′′|’’|‘‘|´´|``(?=\s?[NSEWnsewO])))
    | (?P<minute>\^?\{?\\prime\b\}?|\\u2032|&prime;|&\#0?39;|&apos;
        |(?:(?<=[°º˚0-9][0-9])|(?<=[°º˚]\s[0-9])|(?<=[°º˚]\s[0-9][0-9]))`(?=\s?(?:[0-9]{1,2}(?:[.,][0-9]+)?(?:[`"″”´']|\s?[NSEW])|[NSEW](?!\w))))
    | (?P<minus>\\u2212|\\u2013|&minus;|&ndash;|\b[Mm]inus\s(?=[0-9])|\b[Nn]egative\s(?=[0-9])
        |(?<=[^\W\d_]\s)−\s(?=[0-9])|(?<=[:=,(]\s)−\s(?=[0-9])
        |(?:(?m:^)|(?<=[(\[{,;:=/|])|(?<=[,;:=/|]\s))[—―](?=[0-9]))
    | (?P<plus>\b[Pp]ositive\s(?=[0-9]))
    | (?P<quote>&quot;)
    | (?P<text>\\(?:text|textbf|textrm|mathrm|mathbf|mathit|operatorname|mbox|rm)\s?\{(?P<inner>[^{}\n]{0,40})\})
    | (?P<boxed>\\(?:boxed|fbox)\b)
    | (?P<tilde>\\(?:approx|simeq|sim)\b|&asymp;)
    | (?P<power>(?<=[0-9])\s?(?:[×x*·]|\\times|\\cdot|&times;)\s?10
        (?:\s?(?:\^|\*\*)\s?\{?\s?(?P<exponent>[-+−]?[0-9]{1,2})(?![0-9.])(?:\s?\})?|(?P<raised>[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,2})))
    | (?P<times>\\times\b|&times;)
    | (?P<tolerance>\\pm\b|&plusmn;|\+/-|\+-(?=[\s0-9]))
    | (?P<blank>\\(?:left|right|quad|qquad|bigl|bigr|Bigl|Bigr|big|Big|displaystyle|cdot|t(?![a-z])|r(?![a-z]))
        |\\[,;:!\s]|&nbsp;|&emsp;|&ensp;|&thinsp;|\$\$
        |</?\s?(?:b|i|u|em|strong|span|code|sup|sub|small|mark|font|ins|a|kbd)\s?>|</\s?t[hd]\s?>)
    | (?P<struck>~~|</?\s?(?:s|del|strike)\s?>)
    | (?P<cell><\s?t[hd]\b(?![^<>]{0,80}\b(?:lat|lon|lng))[^<>]{0,80}>)
    | (?P<newline>\\n|<br\s?/?>
        |<\s?(?:table|thead|tbody|tr|ul|ol|li|dl|dt|dd|p|div|h[1-6])\b[^<>"]{0,80}>|</(?!\s?(?:think|thinking|reasoning|reflection)\s?>)[^<>\n]{0,40}>|&lt;/[^&\n]{0,40}&gt;)
    | (?P<thought></\s?(?:think|thinking|reasoning|reflection)\s?>)
    | (?P<escaped>\\[-"'()\[\]{}%~.+|/])
    | (?P<less>&lt;|\\lt\b)
    | (?P<more>&gt;|\\gt\b)
    | (?P<at_most>&le;|\\(?:leq?|leqslant)\b|<=)
    | (?P<at_least>&ge;|\\(?:geq?|geqslant)\b|>=)
    | (?P<decimal>(?<=[0-9])·(?=[0-9]))
    | (?P<leader>(?<=[^\W\d_])\s?\.{4,}\s?(?=[-+−–]?[0-9]))
    | (?P<space>\s+)
    """,
    re.VERBOSE,
)
_REPLACEMENT = {
    "degree": "°",
    "second": '"',
    "minute": "'",
    "minus": "-",
    "plus": "+",
    "quote": '"',
    "boxed": BOXED,
    "tilde": "~",
    "times": "x",
    "tolerance": "±",
    "blank": " ",
    "newline": "\n",
    "thought": END_OF_THOUGHT,
    "decimal": ".",
    "struck": STRUCK,
    "leader": ": ",
    "cell": " | ",
    "less": "<",
    "more": ">",
    "at_most": "≤",
    "at_least": "≥",
}
_ODD = re.compile(r"[^\x00-\x7f]|[*_`]")  # every character that a table may change


def plain_copy(text: str) -> Plain:
    """The plain copy of an answer: "48.8566° N" for "$48.8566^\\circ \\text{N}$"."""
    writer = _Writer()
    text = _with_prices_marked(text)
    words = find_words(text)
    _copy(text, 0, len(text), words, writer)
    told = frozenset().union(*(word.languages for word in words))
    return Plain(translate_letters("".join(writer.pieces), told), writer.origin, writer.ends, writer.links)


class _Writer:
    """Collects the copy piece by piece; a space behind white space is dropped."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.origin: list[int] = []
        self.ends: list[int] = []
        self.links: list[MapLink] = []

    def put(self, piece: str, at: int, end: int) -> None:
        """Add a piece that stands for the original's characters from ``at`` to ``end``."""
        if piece == " " and (not self.pieces or self.pieces[-1][-1] in " \n"):
            return
        if piece:
            self.pieces.append(piece)
            self.origin.extend([at] * len(piece))
            self.ends.extend([end] * len(piece))

    def put_as_is(self, piece: str, at: int) -> None:
        """Add characters without white space that stay as they are; the first is the original's ``at``."""
        self.pieces.append(piece)
        self.origin.extend(range(at, at + len(piece)))
        self.ends.extend(range(at + 1, at + 1 + len(piece)))


def _copy(text: str, start: int, end: int, words: Sequence[Word], writer: _Writer) -> None:
    """Copy the characters from ``start`` to ``end``, the words of other languages that stand there translated."""
    at = start
    match = _SPECIAL.search(text, at, end)
    n = bisect_left(words, start, key=lambda word: word.start)
    while True:
        while n < len(words) and words[n].start < at:
            n += 1
        word = words[n] if n < len(words) and words[n].end <= end else None
        if word is not None and (match is None or word.start <= match.start()):
            _copy_characters(text, at, word.start, writer)
            writer.put(word.becomes, word.start, word.end)
            at = word.end
            if match is not None and match.start() < at:
                match = _SPECIAL.search(text, at, end)
        elif match is not None:
            _copy_characters(text, at, match.start(), writer)
            _copy_special(text, match, words, writer)
            at = match.end()
            match = _SPECIAL.search(text, at, end)
        else:
            break
    _copy_characters(text, at, end, writer)


def _copy_special(text: str, match: re.Match[str], words: Sequence[Word], writer: _Writer) -> None:
    kind = str(match.lastgroup)
    start, end = match.span()
    if kind in _REPLACEMENT:
        writer.put(_REPLACEMENT[kind], start, end)
    elif kind == "space":
        writer.put("\n" if "\n" in match.group() or "\r" in match.group() else " ", start, end)
    elif kind == "text":
        # "\text{ N}": the words inside count, the wrapping does not.
        writer.put(" ", start, match.start("inner"))
        _copy(text, *match.span("inner"), words, writer)
        writer.put(" ", match.end("inner"), end)
    elif kind == "power":
        writer.put(_exponent(match["exponent"] or match["raised"]), start, end)
    elif kind == "escaped":
        writer.put(match.group()[1], start, end)
    else:
        link = read_map_link(match.group(), start)
        if link is None:
            writer.put(" ", start, end)
        else:
            writer.links.append(link)
            writer.put(LINK, start, end)


def _exponent(digits: str) -> str:
    """ "e+1" for the "1" of "4.88566 × 10^1"."""
    digits = unicodedata.normalize("NFKC", digits).replace("−", "-")
    return f"e{digits}" if digits[0] in "+-" else f"e+{digits}"


def _copy_characters(text: str, start: int, end: int, writer: _Writer) -> None:
    at = start
    for match in _ODD.finditer(text, start, end):
        if match.start() > at:
            writer.put_as_is(text[at : match.start()], at)
        writer.put(_plain_character(match.group()), *match.span())
        at = match.end()
    if end > at:
        writer.put_as_is(text[at:end], at)


def _plain_character(character: str) -> str:
    """The plain form of one character: "4" for "٤", "N" for "Ｎ", a space for a markdown star."""
    if character in _SINGLE:
        return _SINGLE[character]
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    if "\uff01" <= character <= "\uff5e":  # full-width ASCII
        plain = chr(ord(character) - 0xFEE0)
        return _SINGLE.get(plain, plain)
    return character


def _with_prices_marked(text: str) -> str:
    """Tell prices from LaTeX: an opening ``$`` that another opening ``$`` or the line's end follows is a price.

    "It costs $5." keeps its price (as ``€``); the dollars of "$48.85$" become spaces.
    """
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
            else:
                opened = None
            out[at] = " "
            if after == " " and text[at + 2 : at + 3].isdigit() and text.count("$", max(0, at - 200), at + 200) == 1:
                out[at] = _PRICE  # "$ 45.50"
    if opened is not None:
        out[opened] = _PRICE
    return "".join(out)
