"""Where a model's weights come from: one place, or the two parts that it is joined of.

What is asked of weights (are they pinned, whole, here, of what content?) is asked of each source as of a model by
itself, so that a joined model needs no case of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from paceline.config.declared import identity_field
from paceline.config.schema import ModelSpec, PartSpec, PartsSpec
from paceline.models.registry import family_names, says

PARTS = ("vision", "language")


@dataclass(frozen=True)
class Part(ModelSpec):
    """A part of a joined model, as a model by itself: what is said of weights holds for each part's."""

    part: str = identity_field("", "the part's name")


def is_part(model: ModelSpec) -> bool:
    """Whether it is a part of a joined model."""
    return isinstance(model, Part)


def source_name(model: ModelSpec) -> str:
    """Where a model's weights come from, in words; empty for a twin."""
    return " + ".join(filter(None, (source.weights for source in sources(model))))


def is_twin(model: ModelSpec) -> bool:
    """Whether a model has no weights of its own: it is built from its config where it runs."""
    return not any(source.weights for source in sources(model))


def is_joined(model: ModelSpec) -> bool:
    """Whether a model is put together of parts, each with weights of its own."""
    return bool(not model.weights and (model.parts.vision.weights or model.parts.language.weights))


def not_joined(model: ModelSpec) -> str:
    """Why a model can't be joined of its parts, in one line; empty where it can, or has none."""
    if not is_joined(model) or says(model.family, "joins_parts", False):
        return ""
    joining = [name for name in family_names() if says(name, "joins_parts", False)]
    return (
        f"conf/model/{model.name}.yaml gives parts, and family '{model.family}' joins none: give weights, or one of "
        f"the families that do ({', '.join(joining)})"
    )


def sources(model: ModelSpec) -> list[ModelSpec]:
    """Where a model's weights come from, each as a model by itself: the model, or its parts."""
    if isinstance(model, Part) or not is_joined(model):
        return [model]
    return [
        Part(
            name=model.name,
            part=name,
            weights=given.weights,
            revision=given.revision,
            folder=given.folder,
            inputs=[reads],
            dtype=model.dtype,
            attention=model.attention,
        )
        for name, given, reads in (("vision", model.parts.vision, "image"), ("language", model.parts.language, "text"))
    ]


def with_sources(model: ModelSpec, changed: Iterable[ModelSpec]) -> ModelSpec:
    """A model whose weights come from other places: those of :func:`sources`, changed."""
    for source in changed:
        if not isinstance(source, Part) or isinstance(model, Part):
            return source
        given = PartSpec(source.weights, source.revision, source.folder)
        model = dataclasses.replace(model, parts=with_part(model.parts, source.part, given))
    return model


def with_part(parts: PartsSpec, name: str, given: PartSpec) -> PartsSpec:
    """The parts with another in the place of one."""
    return dataclasses.replace(parts, vision=given) if name == "vision" else dataclasses.replace(parts, language=given)


def setting(model: ModelSpec) -> str:
    """How the settings of a model's weights are named on the command line: ``model``, or ``model.parts.vision``."""
    return f"model.parts.{model.part}" if isinstance(model, Part) else "model"


def called(model: ModelSpec) -> str:
    """What a model is called in messages: its name, and which part of it."""
    return f"model {model.name}" + (f", part {model.part}" if isinstance(model, Part) else "")
