"""How is a question about a document answered: at all, from which chunk, and in whose words?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from paceline.tasks.document_questions import content_words
from paceline.tasks.document_questions.careful_answers import read_answer
from paceline.tasks.document_questions.fields import asked_together, numbered, shown_for
from paceline.tasks.kind import Answer, Answered, Part
from paceline.tasks.metrics import ECHOED, MALFORMED, PARSED, REFUSED, Judged, Metric, Reading, outcome_shares

if TYPE_CHECKING:
    from paceline.config.schema import PromptSpec, TaskSpec

OUTCOMES = (PARSED, REFUSED, ECHOED, MALFORMED)

SUPPORT = 0.5
"""Share of an answer's content words that a chunk must hold to carry it."""

FEWEST_DOCUMENTS = 20
"""Below which no figure has an interval: questions about a document are drawn together, and two make three draws."""

_MEASURED = (
    Metric("token_f1", "token F1", score="token_f1", leads=True, optional=True),
    Metric("supported", "carried by a chunk", score="supported", hits=True, leads=True),
    Metric("first_support", "by the nearest chunk", score="first_support", hits=True, redundant=True),
    Metric("faithfulness", score="faithfulness", leads=True),
    Metric("words", "words per answer", unit="words", score="words", redundant=True),
    *outcome_shares(OUTCOMES),
)
METRICS = tuple(replace(metric, fewest_groups=FEWEST_DOCUMENTS) for metric in _MEASURED)
HEADLINE = ("parsed_share", "supported", "faithfulness", "token_f1", "refused_share")

NOTE = (
    "An answer is carried by the shown chunk that holds most of its content words, where that is half of them or more; "
    "faithfulness is the share of its content words that are in any shown chunk. Both are over answers that were read. "
    "They say where words come from, not whether they are true. Intervals are over documents, and need "
    f"{FEWEST_DOCUMENTS} of them."
)


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    """The answer's words, where it is one."""
    return read_answer(answer.text, part, prompt)


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    """Hold answers to the chunks that were shown, and to the truth where there is one.

    The details name the chunk that carries an answer, with its rank among those of the question (0: it was shown with
    another question), and the share of content words in it.
    """
    together = asked_together(prompt)
    return [_judged(answered, together) for answered in answers]


def _judged(answered: Answered, together: bool) -> Judged:
    sample, name = answered.sample, answered.part.name
    own = shown_for(sample, name, together)
    others = [chunk for chunk in numbered(sample) if chunk not in own] if together else []
    known = [str(answer) for answer in (sample.get("answers") or {}).get(name, ())]
    text = answered.reading.value
    scores: dict[str, float | bool | None] = {}
    if known:
        scores["token_f1"] = max(content_words.token_f1(text, one) for one in known) if text else 0.0
    details: dict[str, Any] = {"shown": [chunk["index"] for chunk in own]}
    if text:
        scores["words"] = len(text.split())
        found = content_words.carried(text, [chunk["text"] for chunk in (*own, *others)])
        if found is not None:
            supported = found.best >= SUPPORT
            scores["faithfulness"] = found.any
            scores["supported"] = supported
            scores["first_support"] = supported and found.place == 0
            if supported:
                chunk = (*own, *others)[found.place]
                rank = found.place + 1 if found.place < len(own) else 0
                details |= {"chunk": chunk["index"], "rank": rank, "share": round(found.best, 3)}
    return Judged(known or None, scores, details)


def columns(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What panels need, one entry an answer.

    Returns:
        ``text``, the answer, empty where none was read; ``part``; ``chunk`` and ``rank`` of the chunk that carries it,
        None where none does; ``shown``, places of the chunks of the question; ``truth``, right answers.
    """
    details = [record.get("details") or {} for record in records]
    return {
        "text": tuple(str(record.get("value") or "") for record in records),
        "part": tuple(str(record.get("part") or "") for record in records),
        "chunk": tuple(one.get("chunk") for one in details),
        "rank": tuple(one.get("rank") for one in details),
        "shown": tuple(tuple(one.get("shown") or ()) for one in details),
        "truth": tuple(tuple(record.get("truth") or ()) for record in records),
    }
