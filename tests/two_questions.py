"""A kind that asks two questions about a sample, for the tests of parts; no task of the project names it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from paceline.config.schema import PromptSpec, TaskSpec
from paceline.tasks.kind import Answer, Answered, Part
from paceline.tasks.metrics import Judged, Metric, Reading

FIELDS = {"place": "where it was seen", "colour": "the truth"}
SHOWN = ("place",)
METRICS = (Metric("right_share", score="right", hits=True),)


def fields(sample: Mapping[str, Any], task: TaskSpec) -> dict[str, Any]:
    return {"place": sample["place"], "colour": sample["colour"]}


def parts(sample: Mapping[str, Any], task: TaskSpec, prompt: PromptSpec) -> tuple[Part, ...]:
    return (
        Part("colour", "Which colour is it?"),
        Part("shape", "Which shape has it?", generation=sample.get("settings", {})),
    )


def split(text: str, parts: Sequence[Part]) -> dict[str, str]:
    found = dict(re.findall(r"^(\d+)\. (.*)$", text, re.MULTILINE))
    return {part.name: found[str(n)] for n, part in enumerate(parts, 1) if str(n) in found}


def read(answer: Answer, part: Part, task: TaskSpec, prompt: PromptSpec) -> Reading:
    return Reading("parsed", answer.text) if answer.text else Reading("malformed")


def score(answers: Sequence[Answered], task: TaskSpec, prompt: PromptSpec) -> list[Judged]:
    truths = [a.sample[a.part.name] for a in answers]
    return [Judged(t, {"right": a.reading.value == t}) for a, t in zip(answers, truths, strict=True)]
