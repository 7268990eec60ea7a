"""Whether what a model wrote is an answer: not "the passage does not say", nor what it was shown, nor a loop.

An answer is judged sentence by sentence. One that says that the document, or the model, does not know is a refusal,
unless something is answered beside it: ``The passage does not say so, but it suggests …``. One that only repeats the
question, the prompt or the passage from its beginning is an echo. Invented further turns (``Question: …``) and a
repeated end are cut off; what says one thing again and again from its first words is malformed, as are questions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from paceline.tasks.answer_phrases import plain_marks
from paceline.tasks.document_questions.content_words import content_words
from paceline.tasks.document_questions.joint_answers import plain
from paceline.tasks.metrics import ECHOED, MALFORMED, PARSED, REFUSED, Reading

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec
    from paceline.tasks.kind import Part

MAX_CHARACTERS = 20_000
"""Of an answer that are read."""
COPIED = 20
"""Words of the passage's beginning that, copied and broken off, are no answer."""
LOOPED = 60
"""Words of the longest phrase whose repetition is looked for."""
STUTTER = 24
"""Characters of the longest such without a space."""
LEAST = 4
"""Words before a repetition that may be an answer."""


def read_answer(text: str, part: Part, prompt: PromptSpec) -> Reading:
    """An answer's words, or why it is none; linear in its length.

    Args:
        text: what a model wrote, of all answers the part that belongs to this question.
        part: the question, with ``topic`` and ``passage``.
        prompt: in which it was asked.
    """
    start, end = _answer_itself(text[:MAX_CHARACTERS], part)
    said = text[start:end]
    steady = _before_stutter(said)
    if _REFUSES.match(said) and "/" in said[:4]:  # n/a, of which no word is one
        return Reading(REFUSED.name)
    if not _is_language(said[:steady]) or (steady < len(said) and len(said[:steady].split()) < LEAST):
        return Reading(MALFORMED.name)
    said, end = said[:steady], start + steady
    words = said.split()
    kept = _before_repetition(words)
    if kept < len(words):
        if kept < LEAST:
            return Reading(MALFORMED.name)
        end = start + _end_of_word(said, kept)
        said = text[start:end]
    told = _told_by(prompt)
    if _copies(said, part.fields.get("passage", ""), told, cut=kept < len(words)):
        return Reading(ECHOED.name)
    outcome = _outcome(list(_sentences(plain_marks(said))), part, told)
    if outcome != PARSED.name:
        return Reading(outcome)
    value = "\n".join(line for one in said.splitlines() if (line := " ".join(one.split())))
    return Reading(PARSED.name, value, (start, end))


# -- around an answer

_THOUGHT = re.compile(r"</\s?(?:think|thinking|reasoning)\s?>", re.IGNORECASE)
_THINKS = re.compile(r"\s*<(?:think|thinking|reasoning)>", re.IGNORECASE)
_TURN = re.compile(
    r"\n[\s*_#>]*(?:(?:next |new |follow-?up )?(?:question|user|human|assistant|instruction|prompt|q)\s*\d{0,2}"
    r"\s*[*_]*:"
    r"|<\|?[a-z_]{2,20}\|?>|\[/?INST\])|<\|[^<>|]{1,40}\|>|</s>|<eos>|<end_of_turn>",
    re.IGNORECASE,
)
_AROUND = ' \t\r\n*_`"“”„«»#>'
_LABEL = re.compile(
    r"[\s*_#>\"“]*(?:final |short |my |the )?(?:answer|response|question|a|q)\s*[*_]*:[\s*_]*", re.IGNORECASE
)


def _answer_itself(text: str, part: Part) -> tuple[int, int]:
    """Where the answer stands: without thoughts, labels, the question or topic before it, and invented turns behind."""
    start = max((m.end() for m in _THOUGHT.finditer(text)), default=0)
    end = len(text)
    if not start and _THINKS.match(text):  # and never came to an end
        return end, end
    begin = start + len(text[start:]) - len(text[start:].lstrip())
    if turn := _TURN.search(text, begin + 1):
        end = turn.start()
    for _ in range(3):
        if label := _LABEL.match(text, start, end):
            start = label.end()
        first = text[start:end].lstrip(_AROUND)
        at = end - len(text[start:end]) + len(text[start:end]) - len(first)
        for head in (part.text, part.fields.get("topic", "")):
            behind = _behind_head(text, at, end, head)
            if behind:
                start = behind
                break
        else:
            break
    if held := _in_json(text, start, end):
        start, end = held
    kept = text[start:end].rstrip(_AROUND)
    return start + len(kept) - len(kept.lstrip(_AROUND)), start + len(kept)


def _behind_head(text: str, at: int, end: int, head: str) -> int:
    """Where what follows the question, or the topic with a colon, begins; 0 where it does not stand there or alone."""
    head = re.sub(r"\s*\[[\d, ]+\]", "", head).strip()
    if not head or text[at : at + len(head)].lower() != head.lower():
        return 0
    closed = re.compile(r"[*_\s]*[:?][*_]*\s*|[*_]+\s*|\s*\n\s*" if not head.endswith("?") else r"[*_]*\s*").match(
        text, at + len(head), end
    )
    return closed.end() if closed and text[closed.end() : end].strip(_AROUND) else 0


def _in_json(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The one text of an object in JSON that is all of the answer."""
    held = text[start:end].strip().removeprefix("```json").strip("` \n")
    if not held.startswith("{"):
        return None
    try:
        values = json.loads(held)
    except (ValueError, RecursionError):
        return None
    texts = [v for v in values.values() if isinstance(v, str)] if isinstance(values, dict) else []
    if len(texts) != 1 or len(values) != 1 or (at := text.find(texts[0], start, end)) < 0:
        return None
    return at, at + len(texts[0])


_LANGUAGE = re.compile(r"[^\W\d_]{2,}|\d")


def _is_language(text: str) -> bool:
    """Whether a text has a word or a number, and is not mostly signs."""
    if not _LANGUAGE.search(text):
        return False
    return sum(c.isalnum() or c.isspace() for c in text) >= 0.6 * len(text)


# -- loops


def _before_stutter(text: str) -> int:
    """How many characters stand before the end repeats a few of them without a space, or a sign, many times."""
    length = len(text)
    kept = length
    for period in range(1, min(STUTTER, length // 5) + 1):
        run = 0
        while run < length - period and text[-1 - run] == text[-1 - run - period]:
            run += 1
        if run >= max(4 * period, 12):
            kept = min(kept, length - run)
    return kept


def _before_repetition(words: Sequence[str]) -> int:
    """How many words stand before the end repeats what was said: a phrase three times in a row, or more."""
    bare = [word.lower().strip(".,;:!?*\"'") for word in words]
    kept = len(bare)
    for period in range(1, min(LOOPED, len(bare) // 3) + 1):
        run = 0
        while run < len(bare) - period and bare[-1 - run] == bare[-1 - run - period]:
            run += 1
        if run >= max(2 * period, 4):
            kept = min(kept, len(bare) - run)
    return kept


def _end_of_word(text: str, count: int) -> int:
    """Where the word of a number ends."""
    end = 0
    for number, match in enumerate(re.finditer(r"\S+", text), 1):
        end = match.end()
        if number == count:
            break
    return end


# -- echoes


def _copies(said: str, passage: str, told: Sequence[str], cut: bool) -> bool:
    """Whether an answer is the passage itself: most of it, or its beginning, broken off in a sentence.

    What the prompt says around the passage may stand around it here, too.
    """
    answer, shown = plain(said), plain(passage)
    for piece in told:
        if len(piece.split()) >= 3 and answer.startswith(piece):
            answer = answer[len(piece) :].strip()
    if len(shown.split()) >= COPIED and answer.startswith(shown):
        rest = answer[len(shown) :].strip()
        return not rest or any(rest in piece for piece in told)
    count = len(answer.split())
    if count < COPIED or answer not in shown:
        return False
    broken = cut or not re.search(r"[.!?][\"'”’)\]]*$", said)
    return count >= 0.8 * len(shown.split()) or (shown.startswith(answer) and broken)


def _is_echo(sentence: str, part: Part, told: Sequence[str]) -> bool:
    """Whether a sentence is the question, its topic, or one of the prompt."""
    bare, question, topic = (
        plain(re.sub(r"\s*\[[\d, ]+\]", "", text)) for text in (sentence, part.text, part.fields.get("topic", ""))
    )
    if bare in (question, topic) or f"{topic} ".startswith(f"{bare} "):
        return True
    count = len(bare.split())
    if count >= 3 and question.startswith(bare) and count >= 0.6 * len(question.split()):
        return True
    return count >= 4 and any(bare in one for one in told)


def _told_by(prompt: PromptSpec) -> list[str]:
    """What a prompt says itself."""
    return [plain(piece) for text in (prompt.text, prompt.system) for piece in re.split(r"\{\w+\}", text)]


# -- refusals

_IT = r"(?:passage|text|excerpt|context|document|paper|article|section|speech|address|chunk|snippet|part|content|study|information|authors?|writers?|speaker|it|this|they)"  # noqa: E501
_OPEN = (
    r"(?:(?:unfortunately|sorry|apologies|however|no|well|i(?:'m| am) (?:so |very |really )?sorry|i apologi[sz]e"
    r"|(?:based|going|judging) (?:on|by|from) (?:\w+ ){1,6}?(?:passage|text|excerpt|context|document|information|above)"
    r"|(?:from|in|according to) (?:\w+ ){1,4}?(?:passage|text|excerpt|context|document|above))"
    r"(?: provided| given| above)?"
    r"[,:;.!]?\s+(?:but\s+)?){0,3}"
)
_IS_NOT = r"(?:(?:is|are|was|were|'s) (?:not|never|nowhere)|isn't|aren't|wasn't|weren't)"
_NOT = r"(?:does not|doesn't|do not|don't|did not|didn't|never|fails? to|cannot|can't|is not able to|isn't able to)"
_HOW = r"(?:(?:explicitly|directly|clearly|specifically|actually|really|even|seem to|appear to|further|itself)\s+){0,2}"
_SAY = (
    r"(?:say|state|mention|specify|provide|give|contain|include|discuss|describe|address|answer|explain|indicate|reveal"
    r"|tell|cover|offer|make (?:it )?clear|talk about|refer to|have (?:any|enough|sufficient)|go into|elaborate|list)\b"
)
_TOLD = (
    r"(?:mentioned|stated|specified|discussed|described|addressed|answered|explained|indicated|clear|said|reported"
    r"|determinable|answerable|possible to (?:tell|say|know|determine|answer))"
)
_GIVEN = r"(?:given|provided|included|covered|found|available|present|listed|shown)"
_HERE = (
    r"\s+(?:in|by|from|within|anywhere in|on|at) (?:the |this |that |these |any |given |provided |above |whole )*"
    rf"{_IT}\b[^.!?]{{0,60}}"
)
_ABOUT = r"(?:it|this|that|(?:the |this |that |such |any )?(?:\w+ )?(?:information|answer|question|detail|details))"
_WHERE = r"(?:\s+(?:here|anywhere|at all|explicitly|directly|clearly|in|by|from|within|with|on|to)\b[^.!?]{0,80})?\W*$"
_FIND = r"(?:answer|determine|tell|say|find|provide|see|infer|know|identify|give|help|assist|comment|access|read|locate|summari[sz]e)\b"  # noqa: E501
_SUBJECT = rf"(?:(?:the|this|that|these|any|provided|given|above|shown|quoted|following|selected) ){{0,3}}{_IT}(?: of (?:the|this) \w+)?(?: (?:above|provided|given|shown|itself|you provided|you gave))?"  # noqa: E501
_REFUSES = re.compile(
    rf"{_OPEN}(?:"
    rf"{_SUBJECT} {_NOT} {_HOW}{_SAY}"
    rf"|(?:there|there's)(?: is| are| was|'s)? (?:no|not (?:any|enough|sufficient)|insufficient|nothing) {_HOW}"
    r"(?:\w+ ){0,2}?(?:mention|information|indication|reference|discussion|details?|answer|evidence|context"
    r"|statement|data"
    r"|(?:in|from|about) (?:the|this) \w+)\b"
    r"|(?:no|not enough|insufficient|too little) (?:\w+ ){0,2}?(?:information|mention|details?|answers?|indication"
    r"|context|data|evidence)\b"
    r"(?: (?:is|are|was|were|can be|could be|about|on|of|for|to|in|given|provided|available)\b.{0,120})?\W*$"
    rf"|(?:[^.!?,;]{{1,80}} )?{_IS_NOT} {_HOW}(?:{_TOLD}{_WHERE}|{_GIVEN}{_HERE}\W*$)"
    rf"|{_ABOUT} {_IS_NOT} {_HOW}{_GIVEN}{_WHERE}"
    rf"|there (?:is|are|was|were) no (?:[\w-]+ ){{1,5}}?(?:{_TOLD}{_WHERE}|{_GIVEN}{_HERE}\W*$)"
    rf"|(?:[^.!?,;]{{1,60}} )?(?:cannot|can't|can not|could not|couldn't) be "
    rf"(?:determined|judged|answered|inferred|known|told|identified|assessed|found){_HERE}\W*$"
    rf"|no (?:[\w-]+ ){{1,5}}?(?:is|are|was|were) {_HOW}(?:{_TOLD}{_WHERE}|{_GIVEN}{_HERE}\W*$)"
    rf"|(?:i|we)(?:'m| am|'re| are)? (?:\w+ )?(?:can ?not|can't|could not|couldn't|unable to"
    r"|not able to|do not|don't|am not sure|not sure|unsure|won't|have no|would need"
    r"|need (?:to see|more|the (?:whole|full|rest)))\b(?! (?:think|believe)\b)"
    r"|as an? (?:ai|artificial intelligence|(?:large )?language model)(?: (?:language )?(?:model|assistant))?,?"
    r" (?:i|my)\b"
    r"|(?:it|this|that|the (?:question|answer)|which|what[^.!?]{1,60}) (?:is|remains|was) "
    r"(?:impossible|not possible|unclear|unknown|hard|difficult)\b(?: (?:to|from|based|in)\b.{0,120})?\W*$"
    rf"|(?:it|this|that|the (?:question|answer)|one) (?:cannot|can't|can not|could not) (?:be )?(?:reliably )?"
    rf"(?:{_FIND}|answered|determined|known|inferred|told|said|found|seen|identified)"
    rf"|(?:impossible|not possible|unable|hard|difficult) to {_FIND}"
    r"|(?:unknown|n/?a|null|not applicable|not available|no answer|no idea|unanswerable|unclear|undetermined|not known"
    rf"|(?:none|not|nothing)(?: \w+)? (?:{_TOLD}|{_GIVEN}))(?: (?:in|by|from|here)\b.{{0,80}})?\W*$"
    r"|[^.!?。，]{0,20}(?:不知道|不清楚|无法|没有(?:提到|提及|说明|给出|足够)|未(?:提到|提及|说明)|抱歉|对不起)[^.!?。]{0,40}\W*$"
    r")",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"[,;:–—]\s*(?:but|however|though|although|yet|still|nevertheless|instead|rather)\b(?P<rest>.*)"
    r"|\b(?:but|however) (?P<other>.*)",
    re.IGNORECASE | re.DOTALL,
)
_ONLY = re.compile(
    r"\W*(?:instead,? |rather,? |here,? )?(?:it|they|the \w+|this \w+|that)?,?\s*(?:instead |rather )?"
    r"(?:only|just|merely|simply|focuses|is (?:only|just|merely|about)|i (?:can|could|would)"
    r"|you (?:can|could|may|might)"
    r"|please|if you)\b",
    re.IGNORECASE,
)
_TALK = re.compile(
    r"(?:sure|certainly|of course|okay|ok|no problem|great question|thank(?:s| you)|sorry|i apologi[sz]e|apologies"
    r"|i(?:'m| am) (?:so |very )?sorry)\W*$"
    r"|(?:(?:sure|certainly|of course|okay|ok)[,.!]? )?here(?:'s| is| are) (?:\w+ ){1,6}?"
    r"(?:answers?|summary|response)\b[^.!?]{0,60}:?$"
    r"|(?:(?:the|this) (?:main )?(?:answer|document|paper|text|passage|article|topic)|it) (?:is|was)(?: about)?\W*$"
    r"|(?:please|could you|can you|would you|if you|let me know|feel free|i hope|i(?:'d| would) be happy"
    r"|i(?:'d| would) need"
    r"|you (?:may|might|could|can|should) (?:want|need|look|check|refer|read|consult))\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]*]*\s+(?=\S)|\n+")


def _sentences(text: str) -> Iterator[str]:
    for one in _SENTENCE_END.split(re.sub(r"^\s*\(?\d{1,2}[.)]\s+", "", text)):
        bare = re.sub(r"^(?:[-*•>#]+|\(?\d{1,2}[.):])\s+", "", one.strip()).strip("*_\"' \t")
        if bare:
            yield bare


def _outcome(sentences: Sequence[str], part: Part, told: Sequence[str]) -> str:
    """What sentences come to together: one that answers is an answer, else a refusal counts before an echo."""
    refused = echoed = asked = False
    for sentence in sentences:
        if not plain(sentence):
            continue
        if _is_echo(sentence, part, told):
            echoed = True
        elif (refusal := _REFUSES.match(sentence)) and not _concedes(sentence):
            if _answers_behind(sentence[refusal.end() :]):
                return PARSED.name
            refused = True
        elif _leaves_open(sentence, part):
            refused = True
        elif _TALK.match(sentence) or (refused and _ONLY.match(sentence)):
            continue
        elif sentence.endswith("?"):
            asked = True
        else:
            return PARSED.name
    if refused:
        return REFUSED.name
    return ECHOED.name if echoed and not asked else MALFORMED.name


_BUT = re.compile(r"[,;:–—]\s*(?:but|however|though|although|yet)\b,?\s*(?P<rest>.+)", re.IGNORECASE | re.DOTALL)
_UNCLEAR = re.compile(
    r"(?:it|this|that) (?:is|remains|was) (?:\w+ )?(?:unclear|not clear|unknown|uncertain|not known) (?P<rest>.+)",
    re.IGNORECASE | re.DOTALL,
)


def _leaves_open(sentence: str, part: Part) -> bool:
    """Whether a sentence says at its end that the document does not tell, or that what was asked is unclear."""
    found = _BUT.search(sentence)
    clause = found["rest"] if found else sentence
    if found and _REFUSES.match(clause):
        return True
    unclear = _UNCLEAR.match(clause)
    asked = set(content_words(re.sub(r"\s*\[[\d, ]+\]", "", part.text)))
    return bool(unclear and asked and len(asked & set(content_words(unclear["rest"]))) >= 0.6 * len(asked))


_CONCEDES = re.compile(
    r"(?:although|though|while|whilst|even though|even if)\b[^,]{3,120},\s*(?P<rest>.+)", re.I | re.S
)


def _concedes(sentence: str) -> bool:
    """Whether a sentence answers behind a clause that says that nothing is said."""
    found = _CONCEDES.match(sentence)
    return found is not None and not _REFUSES.match(found["rest"]) and not _ONLY.match(found["rest"])


def _answers_behind(rest: str) -> bool:
    """Whether a sentence goes on to answer behind its refusal."""
    found = _GOES_ON.search(rest)
    if not found:
        return False
    behind = (found["rest"] or found["other"] or "").strip(" ,")
    return len(behind.split()) >= 3 and not _ONLY.match(behind) and not _REFUSES.match(behind)
