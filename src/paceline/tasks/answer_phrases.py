"""What stands around a short answer, and what shows that there is none: boxes, labels, refusals, hedges, negations."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator

MAX_CHARACTERS = 20_000
"""Of an answer that are read."""

Span = tuple[int, int]

# -- around an answer

_AROUND = " \t\r\n*_`\"“”„«»「」『』'‘’‹›"
_THOUGHT = re.compile(r"</\s?(?:think|thinking|thought|reasoning|scratchpad)\s?>", re.IGNORECASE)
_THINKS = re.compile(r"\s*<(?:think|thinking|thought|reasoning|scratchpad)\s?>", re.IGNORECASE)
_TURN = re.compile(
    r"\n[\s*_#>]{0,8}(?:(?:next |new |another |follow-?up )?(?:question|instruction|prompt|q)[ ]?\d{0,3}"
    r"|user|human)\s?[*_]{0,3}:|<\|(?:user|im_start|start_header_id|begin_of_text|human)\|?>",
    re.IGNORECASE,
)
_PREFACE = re.compile(
    r"(?:let(?:'s|’s| me| us)|here(?:'s|’s| is| are)|sure|ok(?:ay)?|certainly|of course|first|to answer"
    r"|i(?:'ll| will))\b",
    re.IGNORECASE,
)
_END_TOKEN = re.compile(r"(?:<\|[^<>|]{0,40}\|>|</s>|<eos>|<end_of_turn>|<\|?endoftext\|?>)[\s*_`]*$", re.IGNORECASE)
_TAGGED = re.compile(
    r"<\s?(answer|final_answer|final|ans|response|output|choice)\s?>([^<>]*)(?:<\s?/\s?\1\s?>|$)", re.IGNORECASE
)
_WHOLE_TAG = re.compile(r"<([a-z]\w{0,20})>([^<>]*)</\1>", re.IGNORECASE)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_LONGEST_BOX, _MOST_BOXES = 200, 50
_TEXT_MACRO = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|textrm|boxed)\s*\{([^{}]*)\}")
_MATH = re.compile(r"\$\$?([^$]*)\$\$?|\\[(\[](.*)\\[)\]]", re.DOTALL)
_PAIR = re.compile(r"\{\s*([\"'])([\w ]{1,40})\1\s*:\s*(?:([\"'])(.*)\3|([-\d.]+))\s*,?\s*\}", re.DOTALL)
_QUOTED = re.compile(r"\[\s*'[^'\[\]]*'\s*\]")
_ANSWER_KEY = re.compile(
    r"[\"'](?:final[ _]?|correct[ _]?)?(?:answer|choice|option)[\"']\s*:\s*(?:\"([^\"\\]*)\"|([-\d.]+))", re.I
)
_LABEL = re.compile(
    r"\b(?:(?:the|my|final|correct|right|best|short|most likely|most probable|only) ){0,4}(?:answer|choice|option)\b"
    r"[\s*_\"”]*(?:[:=][\s*_]*|(?:is|was|would\s+be|should\s+be|must\s+be)\b[\s*_]*(?::[\s*_]*)?|\n\s*(?=\S))",
    re.IGNORECASE,
)


def said(text: str) -> Span:
    """Where the answer itself stands in what a model wrote, as a half-open range.

    Thoughts before it are left away, and what stands around it: quotes and Markdown, a fence, tags, LaTeX's box, JSON
    with one answer in it, a token that ends a turn, further questions that the model asks itself, and a label such as
    ``Final answer:`` or ``So the answer is`` with all that stands before it. Of a thought without an end nothing stays.
    Where two labels or two boxes name different things, or a hedge stands before the label, all of the text stays.
    """
    span = _stripped(text, 0, min(len(text), MAX_CHARACTERS))
    for _ in range(8):
        inner = next((found for narrowed in _NARROWING if (found := narrowed(text, span)) is not None), None)
        if inner is None:
            break
        inner = _stripped(text, *inner)
        if inner == span:
            break
        span = inner
    return span


def _stripped(text: str, start: int, end: int) -> Span:
    kept = text[start:end].rstrip(_AROUND)
    return start + len(kept) - len(kept.lstrip(_AROUND)), start + len(kept)


def _behind_thought(text: str, span: Span) -> Span | None:
    last = max((m.end() for m in _THOUGHT.finditer(text, *span)), default=None)
    if last is not None:
        return last, span[1]
    if not _THINKS.match(text, *span) or _TAGGED.search(text, *span) or _BOXED.search(text, *span):
        return None
    return span[1], span[1]  # a thought that never came to an end


def _before_next_turn(text: str, span: Span) -> Span | None:
    """An answer before a further question that the model asks itself, as one that was never tuned to stop does."""
    turn = _TURN.search(text, span[0] + 1, span[1])
    if turn is None:
        return None
    before = text[span[0] : turn.start()].strip(_AROUND)
    if not any(c.isalnum() for c in before) or before.endswith(":") or _PREFACE.match(before):
        return None
    return span[0], turn.start()


def _before_end_token(text: str, span: Span) -> Span | None:
    found = _END_TOKEN.search(text, max(span[0], span[1] - 60), span[1])
    return (span[0], found.start()) if found else None


def _in_fence(text: str, span: Span) -> Span | None:
    # The marks around were stripped, the fence with them: its language is left, on a line of its own.
    head = re.compile(r"(?:json|xml|text|plaintext|markdown|latex)[ \t]*\n", re.IGNORECASE).match(text, *span)
    if head:
        return head.end(), span[1]
    opened, closed = text.find("```", *span), text.rfind("```", *span)
    begin = text.find("\n", opened, closed) if 0 <= opened < closed else -1
    return (begin + 1, closed) if begin >= 0 and text.count("```", *span) == 2 else None


def _in_tags(text: str, span: Span) -> Span | None:
    found = list(_TAGGED.finditer(text, *span))
    if found and len({m[2].strip().lower() for m in found}) == 1:
        return found[-1].span(2)
    whole = _WHOLE_TAG.fullmatch(text, *span)
    return whole.span(2) if whole else None


def _in_box(text: str, span: Span) -> Span | None:
    opened = [m.end() for m in itertools.islice(_BOXED.finditer(text, *span), _MOST_BOXES)]
    boxes = [inside for at in opened if (inside := _braced(text, at, span[1])) is not None]
    if boxes and len({text[a:b].strip() for a, b in boxes}) == 1:
        return boxes[-1]
    if macro := _TEXT_MACRO.fullmatch(text, *span):
        return macro.span(1)
    math = _MATH.fullmatch(text, *span)
    return math.span(1 if math[2] is None else 2) if math else None


def _braced(text: str, start: int, end: int) -> Span | None:
    """What stands before the brace that closes the one before ``start``; a box is not searched for far."""
    depth = 1
    for at in range(start, min(end, start + _LONGEST_BOX)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return start, at
    return None


def _in_json(text: str, span: Span) -> Span | None:
    content = text[slice(*span)]
    if not content.startswith(("{", "[")) or not content.endswith(("}", "]")):
        return None
    if pair := _PAIR.fullmatch(text, *span):
        inner = pair.span(5) if pair[4] is None else pair.span(4)
        return inner if '": ' not in text[slice(*inner)] else _answer_key(text, span)
    if content.startswith("["):
        if _QUOTED.fullmatch(content):  # a list as Python writes it
            return span[0] + 1, span[1] - 1
        try:
            items = json.loads(content)
        except (ValueError, RecursionError):
            return None
        return (span[0] + 1, span[1] - 1) if isinstance(items, list) and len(items) == 1 else None
    return _answer_key(text, span)


def _answer_key(text: str, span: Span) -> Span | None:
    found = list(_ANSWER_KEY.finditer(text, *span))
    return found[0].span(2 if found[0][1] is None else 1) if len(found) == 1 else None


def _behind_label(text: str, span: Span) -> Span | None:
    labels = list(_LABEL.finditer(text, *span))
    if not labels:
        return None
    ends = [m.start() for m in labels[1:]] + [span[1]]
    named = [text[m.end() : end].strip(_AROUND + ".,;:!()[]").lower() for m, end in zip(labels, ends, strict=True)]
    firsts = {re.split(r"[\n.;,]|\b(?:so|because)\b", one, maxsplit=1)[0].strip() for one in named}
    last = labels[-1]
    before = text[max(span[0], last.start() - 200) : last.start()]
    sentence = re.split(r"[.!?\n;]", before)[-1]
    if len(firsts) > 1 or not named[-1] or HEDGE.search(sentence) or NEGATION.search(sentence):
        return None
    return last.end(), span[1]


_NARROWING = (
    _behind_thought, _before_end_token, _in_tags, _before_next_turn, _in_fence, _in_box, _in_json, _behind_label,
)  # fmt: skip

# -- no answer

_BARE = (
    r"unknown|n/a|null|unanswerable|not available|not applicable|no answer|no idea|not possible|not visible|not clear"
    r"|not sure|unsure|uncertain|unclear|impossible|cannot tell|can't tell|cannot say|can't say"
    r"|not enough info(?:rmation)?|insufficient information|indeterminate|undetermined"
    r"|i(?:'m| am) (?:not sure|unsure|uncertain)"
)
REFUSAL = re.compile(
    r"(?:as an? (?:ai|artificial|(?:large |vision[- ])?language|text[- ])"
    r"|(?:(?:i'm |i am )?(?:very |so |really |terribly )?sorry|unfortunately|apologies|i apologi[sz]e)\b"
    r"|(?:i|we)(?: am| are|'m|'re)? (?:can ?not|can't|could not|couldn't|unable|not able|not allowed|do not|don't|won't"
    r"|will not|must decline|refuse|have no|(?:would|will|'d) need|need (?:to see|more|the))\b"
    r"|(?:it|this)(?: is|'s) (?:not|im)\s?(?:possible|determined|clear|answerable|visible|shown)"
    r"|(?:it|this|that|the (?:question|answer|[a-z]+))(?: is not|isn't| cannot| can't| can not)"
    r" (?:be )?(?:possible|determined|clear|answered|visible|shown|seen|told|known|inferred|identified|provided)"
    r"|(?:there is|there's|i see) (?:no|not enough) (?:image|picture|photo|text|question|information|context)\b"
    r"|no (?:image|picture|photo|text) (?:was |is |has been )?(?:provided|given|attached|found|shown|visible)\b"
    r"|(?:unable|not able|impossible) to (?:tell|say|determine|answer|see|identify|know)\b"
    r"|(?:cannot|can't|can not|could not|couldn't) (?:be )?"
    r"(?:determined?|answer|see|identify|tell|say|help|assist|know)\b"
    r"|(?:the|this) (?:image|picture|photo|text|question) (?:does not|doesn't|is not|isn't|cannot|can't)\b"
    r"|(?:not enough|insufficient) (?:information|context|detail)"
    r"|(?:很)?抱歉|对不起|我?(?:不知道|不清楚|不确定|不能确定)|我?无法|作为(?:一个)?(?:AI|人工智能)"
    rf"|(?:{_BARE})\W*$)",
    re.IGNORECASE,
)
_UNSURE = (
    r"not (?:entirely |completely |fully |quite |100 ?% )?(?:sure|certain)|unsure|uncertain|it depends|don't know"
    r"|do not know|no idea|(?:hard|difficult|impossible) to (?:say|tell|see)|can't tell|cannot tell|guess(?:ing)?"
)
HEDGE = re.compile(
    r"\b(?:maybe|perhaps|possibly|probably|presumably|likely|likelier|might|could be|may be|seems?|appears?|apparently"
    r"|supposedly|potentially|similar to|resembl(?:es?|ing)|reminiscent of"
    r"|(?:at|on) first (?:glance|sight|look)|assuming|if (?:it|this|that|there|the|i|we|you)"
    rf"|not clear|unclear|i (?:think|believe|suppose|suspect|assume)|{_UNSURE})\b",
    re.IGNORECASE,
)
"""What says that an answer is none that its giver stands by."""
DOUBT = re.compile(rf"\b(?:{_UNSURE})\b", re.IGNORECASE)
"""A hedge that holds for all of a text, in whichever sentence it stands."""
UNABLE = re.compile(
    r"(?:i|we|it|one)?(?:'m|'re| am| are| is)?\s*(?:cannot|can't|can not|unable to|not able to|(?:im|not )possible to)"
    r" (?:be )?(?:reliably |confidently |really |definitively )?"
    r"(?:determined?|tell|see|say|identify|answer|view|know)\b",
    re.IGNORECASE,
)
"""How a refusal begins that may name what it can't tell apart."""
ALTERNATIVE = re.compile(r"\b(?:either|or)\b|[^\W\d_]\s*/\s*[^\W\d_]", re.IGNORECASE)
"""What stands between two answers that are given together."""
NEGATION = re.compile(r"\b(?:not|never|neither|nor|cannot|except)\b|n't\b", re.IGNORECASE)


DENIES_ITS_YES = re.compile(
    r"\W{0,10}yes\b[^.!?;\n]{0,80}?\b(?:there(?:'s| is| are| was| were) (?:no\b(?! doubt| question)|not\b)"
    r"|no (?!doubt\b|question\b)\w+ (?:is|are|was|were|has|have)\b|nothing (?:is|has|was)\b)",
    re.IGNORECASE,
)
"""How ``Yes, there is no road`` begins, of which it is not known what it means."""


def plain_marks(text: str) -> str:
    """A text with the apostrophe, the quotes and the widths of a keyboard, as long as it was."""
    return text.translate(_PLAIN)


_PLAIN = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | str.maketrans("’‘ʼ＇“”„«»", '\'\'\'\'"""""')


def sentences(text: str) -> Iterator[Span]:
    """Where the sentences of a text stand, without the mark that ends each, which is the character behind."""
    start = 0
    for end in _SENTENCE_END.finditer(text):
        yield start, end.start()
        start = end.end()
    yield start, len(text)


_SENTENCE_END = re.compile(r"[.!?;](?=[\s\"')\]*]|$)|\n")
