"""Which models can be asked which tasks, and which can be tuned: what else is dropped from a sweep, with the reason."""

from __future__ import annotations

from paceline import tasks
from paceline.config import service_settings
from paceline.config.checks import check_generation
from paceline.config.identity import clear_inactive
from paceline.config.schema import Config, GenerationSpec, ModelSpec, TaskSpec
from paceline.data.conversations import asks_together
from paceline.errors import UserError
from paceline.models.registry import no_likelihoods, says

OF_A_LIST = ("words", "choice", "labels", "number")
"""Answers that a model which classifies over a list of its own can give."""


_AS_IT_IS = ("nothing", "none", "")


def impossible(config: Config) -> str | None:
    """Why a combination can't be, or None."""
    if why := unanswerable(config.task, config.model):
        return why
    if config.method.trains != "nothing" and not config.model.tunable:
        how = "is answered by a service" if config.model.served else "answers by its own code"
        return f"{config.model.name} {how} and can't be tuned (tunable: false in its file)"
    if config.model.served and (config.method.trains, config.method.quantise, config.method.dtype) != _AS_IT_IS:
        return f"{config.model.name} is answered by a service, whose weights method '{config.method.name}' can't reach"
    return None


def unanswerable(task: TaskSpec, model: ModelSpec) -> str | None:
    """Why a task can't be asked of a model, or None."""
    needed = tasks.needs(task)
    if missing := sorted(set(needed) - set(model.inputs) - {"text"}):
        shown = " and ".join("several images" if kind == "images" else kind for kind in missing)
        return f"{task.name} shows {shown}, which {model.name} can't read"
    if "text" in needed and "text" not in model.inputs:
        return f"{task.name} asks a question, and {model.name} takes none"
    if not tasks.shows_images(task) and says(model.family, "needs_image", False):
        return f"{task.name} shows no image, and {model.name} answers about images alone"
    wanted = tasks.answer_asked(task)
    if says(model.family, "how", "generates") == "classifies" and wanted and wanted not in OF_A_LIST:
        return f"{task.name} asks for {_ASKED[wanted]}, and {model.name} answers out of a list of its own"
    return None


def unanswered_so(config: Config) -> str | None:
    """Why a point's settings of generation exclude each other, or its model, or None.

    A sweep over several of them leaves such points out. What a model has no use for excludes nothing.
    """
    model, generation = config.model, clear_inactive(config, "evaluate").generation
    try:
        check_generation(generation)
    except UserError as error:
        return str(error)
    for name in says(model.family, "refuses", ()):
        value, default = getattr(generation, name), getattr(GenerationSpec, name)
        if value != default:
            return f"generation.{name}={value}: the call of {model.name} has no such argument; leave it at {default}"
    return next(service_settings.unsaid(model, generation), None) if model.served else None


def unscorable(config: Config) -> str | None:
    """Why a point's answers can't be chosen by likelihood, where that is asked, or None."""
    task, prompt, model = config.task, config.prompt, config.model
    if config.generation.answer != "likelihood":
        return None
    instead = "give generation.answer=generate"
    if why := no_likelihoods(model.family):
        return f"generation.answer=likelihood: {model.name} can't score choices: {why}; {instead}"
    if tasks.load(task.kind).get("parts") is None:
        return (
            f"generation.answer=likelihood scores a question's choices, and {task.name} (kind '{task.kind}') gives "
            f"none; {instead}"
        )
    if asks_together(prompt, task):
        return (
            f"generation.answer=likelihood scores the choices of one question, and prompt {prompt.name} asks all "
            f"together ({{questions}}); name {{question}} in it, or {instead}"
        )
    return None


_ASKED = {"text": "free text", "boxes": "boxes", "several_labels": "several labels at once"}
