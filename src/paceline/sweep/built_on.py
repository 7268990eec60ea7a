"""Prompts that build on another prompt's answers: the cell that gives these, and what stands in the way.

The needed cell is an evaluate cell like any other: the same model, weights, task, data, limit and generation with the
other prompt. It is the same cell where it is also asked for by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from paceline import tasks
from paceline.config.schema import Config, GenerationSpec, PromptSpec, TaskSpec
from paceline.counted import counted
from paceline.data import background_facts, prompts
from paceline.data.conversations import EARLIER
from paceline.errors import UserError
from paceline.sweep.shot_checks import unshowable

if TYPE_CHECKING:
    from paceline.sweep.compose import Composition


class BuiltOn:
    """The prompts of one sweep that build on others.

    Args:
        composition: what the user asked for.
    """

    def __init__(self, composition: Composition) -> None:
        self._composition = composition
        self._pinned: dict[tuple[int, str], PromptSpec] = {}
        self._generations: dict[int, tuple[GenerationSpec, GenerationSpec]] = {}
        self.problems: dict[str, None] = {}

    def earlier(self, config: Config) -> Config | None:
        """The config of the cell whose answers a point's prompt builds on; None where it builds on none.

        Its answers are generated, also where the point's own choices are scored.
        """
        if not builds(config):
            return None
        try:
            prompts_in_order = chain(config.prompt, self._composition)
        except UserError as error:
            self.problems[str(error)] = None
            return None
        generation = config.generation
        if generation.answer != "generate":
            # Points share their specs, and an id stands for a content: so both are held.
            held = generation, dataclasses.replace(generation, answer="generate")
            generation = self._generations.setdefault(id(generation), held)[1]
        return dataclasses.replace(config, prompt=prompts_in_order[1], generation=generation)

    def impossible(self, config: Config) -> str | None:
        """Why a point's prompt can't build on the answers that it names, or None."""
        if not builds(config):
            return None
        prompt = config.prompt
        if config.method.trains != "nothing" and config.train.prompt == "same":
            return (
                f"prompt {prompt.name} builds on the answers of {prompt.builds_on.prompt}, and nothing is tuned on "
                "such: give train.prompt=NAME, and the tuned model may be asked with it"
            )
        earlier = self.earlier(config)
        return (unshowable(earlier) or self.impossible(earlier)) if earlier else None

    def pinned(self, config: Config) -> Config:
        """A config whose prompt says by digest which facts it shows; what stands in the way is told by `problems`."""
        prompt, task = config.prompt, config.task
        if prompt.builds_on == _NOTHING:
            return config
        key = (id(prompt), task.kind)  # the composition holds its specs
        if key not in self._pinned:
            self.problems.update(dict.fromkeys(contradictions(prompt, task)))
            facts = background_facts.facts_of(task.kind) if prompt.builds_on.facts else None
            builds_on = dataclasses.replace(prompt.builds_on, digest=facts.digest if facts else "")
            self._pinned[key] = dataclasses.replace(prompt, builds_on=builds_on)
        return dataclasses.replace(config, prompt=self._pinned[key])


_NOTHING = PromptSpec().builds_on


def chain(prompt: PromptSpec, composition: Composition) -> list[PromptSpec]:
    """A prompt, the one that it builds on, and so on.

    Raises:
        UserError: one is missing, or they go in a circle.
    """
    found = [prompt]
    while name := found[-1].builds_on.prompt:
        names = [p.name for p in found]
        if name in names:
            circle = " builds on ".join([*names, name])
            raise UserError(f"prompt {circle}: no answer could be the first; mend prompt.builds_on.prompt")
        try:
            found.append(composition.prompt(name))
        except UserError as error:
            raise UserError(f"prompt {names[-1]}: builds_on.prompt: {error}") from None
    return found


def builds(config: Config) -> bool:
    """Whether a point's prompt builds on another's answers; a model that takes no question is asked neither."""
    return bool(config.prompt.builds_on.prompt) and "text" in config.model.inputs


def contradictions(prompt: PromptSpec, task: TaskSpec) -> Iterator[str]:
    """What a prompt says of the answers that it builds on, and can't hold."""
    builds_on, who = prompt.builds_on, f"prompt {prompt.name}"
    named = {n for text in (prompt.text, prompt.system) for n in prompts.names(text, dict.fromkeys(EARLIER))}
    if not builds_on.prompt:
        yield f"{who}: builds_on.facts are found by an earlier answer; give builds_on.prompt too"
        return
    if not named:
        yield f"{who} builds on {builds_on.prompt} and names neither {{earlier_answer}} nor {{facts}}: name one"
    if "facts" in named and not builds_on.facts:
        yield f"{who} names {{facts}}, and builds_on.facts is 0: say how many entries, such as 3"
    if builds_on.facts and named and "facts" not in named:
        yield f"{who}: builds_on.facts={builds_on.facts}, and its text does not name {{facts}}"
    if builds_on.facts and background_facts.facts_of(task.kind) is None:
        kinds = [kind for kind in tasks.names() if background_facts.facts_of(kind)]
        yield (
            f"{who} shows background facts, and kind '{task.kind}' of task {task.name} has none ({', '.join(kinds)} "
            "has): put facts.json into the folder of the kind, or leave builds_on.facts out"
        )
    if prompt.shots.count:
        yield (
            f"{who} builds on the answers of {builds_on.prompt} and shows {counted(prompt.shots.count, 'example')}, "
            "which have no such answer: leave one of the two out"
        )


def not_trained_on(prompt: PromptSpec) -> None:
    """Refuse a prompt to train on that builds on answers.

    Raises:
        UserError: with the remedy.
    """
    if prompt.builds_on.prompt:
        raise UserError(
            f"prompt '{prompt.name}' builds on the answers of '{prompt.builds_on.prompt}', and nothing is tuned on "
            "such: give train.prompt=NAME"
        )
