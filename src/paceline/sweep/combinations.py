"""Which models can be asked which tasks, and which can be tuned: what else is dropped from a sweep, with the reason."""

from __future__ import annotations

from paceline import tasks
from paceline.config.schema import Config, ModelSpec, TaskSpec
from paceline.models.registry import says

OF_A_LIST = ("words", "choice", "labels", "number")
"""Answers that a model which classifies over a list of its own can give."""


def impossible(config: Config) -> str | None:
    """Why a combination can't be, or None."""
    if why := unanswerable(config.task, config.model):
        return why
    if config.method.trains != "nothing" and not config.model.tunable:
        return f"{config.model.name} answers by its own code and can't be tuned (tunable: false in its file)"
    return None


def unanswerable(task: TaskSpec, model: ModelSpec) -> str | None:
    """Why a task can't be asked of a model, or None."""
    needed = tasks.needs(task)
    if missing := sorted(set(needed) - set(model.inputs) - {"text"}):
        shown = " and ".join("several images" if kind == "images" else kind for kind in missing)
        return f"{task.name} shows {shown}, which {model.name} can't read"
    if "text" in needed and "text" not in model.inputs:
        return f"{task.name} asks a question, and {model.name} takes none"
    if not {"image", "images"} & set(needed) and says(model.family, "needs_image", False):
        return f"{task.name} shows no image, and {model.name} answers about images alone"
    wanted = tasks.answer_asked(task)
    if says(model.family, "how", "generates") == "classifies" and wanted and wanted not in OF_A_LIST:
        return f"{task.name} asks for {_ASKED[wanted]}, and {model.name} answers out of a list of its own"
    return None


_ASKED = {"text": "free text", "boxes": "boxes"}
