"""Why an answer is wrong, or right for no sufficient reason: what people or a judge mark any right-or-wrong answer by.

The four kinds of errors are those by which studies of vision-language models sort their failures: what was seen
(perception), what is known (knowledge), what was concluded (reasoning), and how question or answer were put in words
(text). An answer that is right by luck is one too.
"""

from __future__ import annotations

from paceline.tasks.questions import Criterion

FAILURE = Criterion(
    "failure",
    "What is wrong with it? Of several errors, the first one on its way.",
    choices={
        "none": "right, and nothing that it says speaks against it",
        "reasons": "right, but the reasons that it gives are wrong or do not suffice",
        "perception": "it saw something that is not there, or overlooked what the answer needs",
        "knowledge": "it saw what is there, and a fact about the world is wrong or missing",
        "reasoning": "what it saw and knew is right, and the conclusion does not follow",
        "text": "it misread the question, or its answer is refused, cut off, garbled or in another form",
        "other": "the question or its right answer is wrong, or it is something else; say what in the note",
    },
    by_truth=True,
)
