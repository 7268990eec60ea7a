"""From an answer to a caption, and from a caption to the words that ROUGE-L and CIDEr-D compare."""

from __future__ import annotations

import re

from paceline.tasks.metrics import MALFORMED, PARSED, REFUSED

MAX_CHARACTERS = 20_000
"""Of an answer that are read."""

_THOUGHT = re.compile(r"</\s?(?:think|thinking|reasoning)\s?>", re.IGNORECASE)
_LABEL = re.compile(r"[\s*_#\"“]*(?:caption|answer)\s*:[\s*_]*", re.IGNORECASE)
_AROUND = " \t\r\n*_`\"“”'‘’"

# An answer that begins so is no caption. The reader of coordinates finds words of refusal anywhere ("unknown", "hard to
# tell"): that fits answers which must hold numbers, but "an unknown man who can't see" is a caption. So only the
# beginning counts here, and only an inability of the model itself; a sign that says "Sorry, we're closed" is one, too.
_REFUSAL = re.compile(
    r"(?:(?:unfortunately|i'?m (?:very |so |really )?sorry|i am (?:very |so |really )?sorry|sorry|i apologi[sz]e)"
    r"\W{1,3}(?:but |however,? )?)?"
    r"(?:as an? (?:ai|language model)\b"
    r"|(?:i|we)(?:'m| am|'re| are)? (?:can ?not|can't|could not|couldn't|unable to|not able to|do not|don't|won't)"
    r" (?:\w{1,14} ){0,3}?(?:see|view|access|open|display|process|analy[sz]e|describe|identify|caption|recogni[sz]e|"
    r"determine|tell|provide|give|help|assist|comply|know|have)\b"
    r"|(?:there is|there's|i see) no (?:image|picture|photo)\b"
    r"|no (?:image|picture|photo) (?:was |is |has been )?(?:provided|given|attached|found|shown)\b"
    r"|(?:unknown|n/a|none|null|not available)\W*$)",
    re.IGNORECASE,
)


def read_caption(text: str) -> tuple[str, str | None, tuple[int, int] | None]:
    """Outcome, caption and its half-open range of characters in the answer.

    The caption is the whole answer behind the model's thoughts, without a label (``Caption:``) before it, quotation
    marks or asterisks around it; white space becomes single spaces. Nothing else is cut: "Sure! Here is a caption" is
    words of the caption, and the metrics count them. An answer without a letter or a digit is malformed.
    """
    text = text[:MAX_CHARACTERS]
    start = max((m.end() for m in _THOUGHT.finditer(text)), default=0)
    if label := _LABEL.match(text, start):
        start = label.end()
    kept = text[start:].rstrip(_AROUND)
    start += len(kept) - len(kept.lstrip(_AROUND))
    span = (start, start + len(kept.lstrip(_AROUND)))
    caption = " ".join(text[slice(*span)].split())
    if not any(c.isalnum() for c in caption):
        return MALFORMED.name, None, None
    if _REFUSAL.match(caption.replace("’", "'")):
        return REFUSED.name, None, None
    return PARSED.name, caption, span


_SPLIT = (
    (re.compile(r"[‘’´`]"), "'"),
    (re.compile(r"\b(can)(not)\b|\b(gon|wan)(na)\b"), r"\1\3 \2\4"),
    (re.compile(r"n't\b"), " n't"),
    (re.compile(r"(?<=\w)'(?=(?:s|re|ve|ll|d|m)\b)"), " '"),
)
_TOKEN = re.compile(
    r"(?:[^\W\d_]\.){2,}"  # u.s.a.
    r"|\.?\d+(?:[.,:/]\d+)*\w*(?:-\w+)*"  # 3.50, .05, 1,000, 5:30, 2nd-hand
    r"|n't\b|'(?:s|re|ve|ll|d|m)\b"
    r"|\w+(?:[-./@&']\w+)*"  # t-shirt, half/whole
    r"|[^\s\w.?!,:;\-–—…'\"“”„«»()\[\]{}]"  # &, $, %
)


def tokens(text: str) -> tuple[str, ...]:
    """The words of a caption in lower case, split as the Penn Treebank does, without punctuation.

    In place of Stanford's PTBTokenizer of COCO's evaluation code, which needs Java. What differs: brackets are left out
    (COCO keeps ``-lrb-``), currency signs stay what they are (``€`` is COCO's ``$``), an abbreviation keeps its full
    stop only if it is initials (``u.s.a.``, but ``mr``), and runs such as ``!!!`` are punctuation too.
    """
    text = text.lower()
    for pattern, by in _SPLIT:
        text = pattern.sub(by, text)
    return tuple(_TOKEN.findall(text))
