"""The eleven questions about a paper or a speech, and questions of a user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from paceline.errors import UserError

# Prepared data holds the words of its questions: when they change here, cells of new data are others.
ELEVEN = {
    "topic": {"topic": "Topic", "question": "What is this document about?"},
    "proposal": {"topic": "Proposal", "question": "What do the authors propose?"},
    "motivation": {"topic": "Motivation", "question": "Which problem makes this proposal necessary?"},
    "approach": {"topic": "Approach", "question": "How do the authors go about it?"},
    "results": {"topic": "Results", "question": "What are the main results?"},
    "fair_comparison": {
        "topic": "Fairness of the comparison",
        "question": "Are the results compared with those of others in a fair way?",
    },
    "authors_takeaways": {"topic": "Takeaways of the authors", "question": "What do the authors conclude?"},
    "own_takeaways": {
        "topic": "Takeaways for the reader",
        "question": "What should a reader remember that the authors do not stress?",
    },
    "use": {"topic": "Use", "question": "For what can this be used, and by whom?"},
    "open_problems": {"topic": "Open problems", "question": "Which problems are left open?"},
    "summary": {"topic": "Summary", "question": "How would you sum up this document in a few sentences?"},
}
"""Name of a question -> its ``topic`` in a word or a few, and the ``question`` itself."""


def questions_of(given: Mapping[str, Any], file: Path | None) -> dict[str, dict[str, str]]:
    """The questions that are asked, in their order: those of a file, else those given, else the eleven.

    Args:
        given: name -> question, or ``{topic, question}``.
        file: YAML of that form, or a text with a question a line.

    Raises:
        UserError: a file that can't be read, no question in it, or one that is none.
    """
    where = "task.options.questions"
    if file is not None:
        if given:
            raise UserError(f"{where} and task.options.questions_file are both given; leave one out")
        where, given = f"task.options.questions_file: {file}", _from_file(file)
    asked = {str(name): _one(str(name), value, where) for name, value in given.items()}
    return asked or {name: dict(one) for name, one in ELEVEN.items()}


def _from_file(file: Path) -> Mapping[str, Any]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        read = yaml.safe_load(text) if file.suffix.lower() in (".yaml", ".yml") else None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"task.options.questions_file: {file} can't be read: {' '.join(str(error).split())}") from None
    lines = [" ".join(line.split()) for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if file.suffix.lower() not in (".yaml", ".yml"):
        read = {f"question_{number}": line for number, line in enumerate(lines, 1)}
    if not isinstance(read, dict) or not read:
        raise UserError(
            f"task.options.questions_file: {file} holds no questions; give YAML lines `name: question`, or a text "
            "with a question a line"
        )
    return read


def _one(name: str, value: Any, where: str) -> dict[str, str]:
    told = value if isinstance(value, Mapping) else {"question": value}
    question, topic = told.get("question") or "", told.get("topic") or name.replace("_", " ").capitalize()
    # A list or a mapping is no text, and one of YAML's references to itself may be written out without end.
    texts = all(isinstance(text, str | int | float) for text in (question, topic))
    question, topic = (" ".join(str(text).split()) if texts else "" for text in (question, topic))
    if not question or not name or "/" in name or set(told) - {"topic", "question"}:
        raise UserError(
            f"{where}: '{name}' must be a name without '/' with a question, or with {{topic: …, question: …}}"
        )
    return {"topic": topic, "question": question}
