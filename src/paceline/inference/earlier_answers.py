"""The answers that a cell's prompt builds on: those of another evaluate cell, about the same samples."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from paceline.config.schema import Config
from paceline.data import background_facts
from paceline.data.background_facts import Entry, Facts
from paceline.errors import DataError
from paceline.scoring import attested
from paceline.store.cell_folder import Cell, CellFolder
from paceline.store.files import digest
from paceline.tasks.kind import Part

DIGEST_LENGTH = 12
NO_ANSWER = "(no answer)"
"""What stands for an empty one, such as a service's error."""


class EarlierAnswers:
    """What the needed cell's answers give to a prompt, sample by sample.

    Args:
        cell: id of the needed cell.
        answers: (sample, part) -> its answer.
        facts: the background facts, where the prompt shows some.
        count: how many entries of them.
    """

    def __init__(
        self, cell: str, answers: Mapping[tuple[str, str], str], facts: Facts | None = None, count: int = 0
    ) -> None:
        self.cell, self._answers, self._facts, self._count = cell, answers, facts, count
        self._of_sample: dict[str, list[str]] = {}
        for (sample, _), text in answers.items():
            self._of_sample.setdefault(sample, []).append(text)
        self._nearest = functools.lru_cache(maxsize=None)(self._search)

    def text(self, sample: str, parts: Sequence[Part]) -> str:
        """The earlier answer to what is asked: to the same part, else all of the sample's, a line each.

        Raises:
            DataError: there is none.
        """
        own = [self._answers[sample, part.name] for part in parts if (sample, part.name) in self._answers]
        texts = own if len(own) == len(parts) else self._of_sample.get(sample, [])
        if not texts:
            raise DataError(f"{self.cell} holds no answer about sample '{sample}', which this prompt builds on")
        return "\n".join(text.strip() for text in texts).strip()

    def fields(self, sample: Mapping[str, Any], parts: Sequence[Part]) -> dict[str, str]:
        """What a prompt may name of it (:data:`paceline.data.conversations.EARLIER`)."""
        text = self.text(sample["id"], parts)
        facts = {"facts": background_facts.shown(self._nearest(text))} if self._facts else {}
        return {"earlier_answer": text or NO_ANSWER, **facts}

    def told(self, sample: Mapping[str, Any], parts: Sequence[Part]) -> dict[str, Any]:
        """What is kept with an answer: a digest of the earlier one, and the names of the facts that were shown."""
        text = self.text(sample["id"], parts)
        names = {"facts": [entry.name for entry in self._nearest(text)]} if self._facts else {}
        return {"earlier": digest(text, DIGEST_LENGTH), **names}

    def _search(self, text: str) -> list[Entry]:
        return self._facts.nearest(text, self._count) if self._facts else []


def of_cell(cell: Cell, folder: CellFolder) -> EarlierAnswers | None:
    """The answers that a cell builds on; None where it builds on none.

    Raises:
        UserError, DataError: they are not there, not those that the needed cell attested, or the facts are not those
            that the cell was made for.
    """
    if not cell.built_on:
        return None
    needed = CellFolder(folder.path.parent / cell.built_on)
    records = attested.predictions(needed, f"{cell.id} builds on")
    answers = {(p["sample"], p.get("part", "")): str(p["text"] or "") for p in records}
    return EarlierAnswers(needed.id, answers, *_facts(cell.config))


def _facts(config: Config) -> tuple[Facts | None, int]:
    asked = config.prompt.builds_on
    if not asked.facts:
        return None, 0
    facts = background_facts.facts_of(config.task.kind)
    if facts is None or facts.digest != asked.digest:
        raise DataError(
            f"this code's background facts of kind '{config.task.kind}' are not those that the cell was made for: "
            "resume without --current-code, or submit again, which makes another cell"
        )
    return facts, asked.facts
