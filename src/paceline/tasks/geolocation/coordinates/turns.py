"""Where an answer ends because a next turn of a dialogue begins, which a model that does not stop makes up.

"40.4168, -3.7038\\n\\nQuestion: Where was this photo taken?\\nAnswer: 41.9028, 12.4964": the first pair answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from paceline.tasks.geolocation.coordinates.pair_ranking import ANSWER, is_echo
from paceline.tasks.geolocation.coordinates.values import Pair

# Every repetition is bounded, as it is searched in the whole text. The marks are those of the plain copy.
_TURN = re.compile(
    r"<\|? ?(?:im.?start|im.?end|endoftext|end.?of.?text|eot.?id|end.?of.?turn|start.?of.?turn|start.?header.?id|user|"
    r"eos|end) ?\|?>|\[/?INST\]|</?s>"
    r"|(?:^|\n)[ #>\[<|(]{0,6}(?:user|human|usr|question|q|instruction|prompt|task|input)(?: ?\d{1,2})?"
    r"[ \]>|)]{0,3}(?::(?!//)|\n)",
    re.IGNORECASE,
)


def end_of_turn(text: str, pairs: Sequence[Pair], refusals: Sequence[int], example: tuple[float, float] | None) -> int:
    """Where the next turn of a dialogue begins behind an answer or a refusal in a plain text, or the text's end."""
    answered = [p.end for p in pairs if p.rank == ANSWER and not is_echo(p.latitude, p.longitude, example)]
    first = min([*answered[:1], *refusals[:1]], default=None)
    turn = _TURN.search(text, first) if first is not None else None
    return turn.start() if turn is not None else len(text)
