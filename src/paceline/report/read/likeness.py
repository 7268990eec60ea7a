"""In what two evaluate cells are alike: keys that are equal where they are."""

from __future__ import annotations

from paceline.store.cell_folder import Cell
from paceline.store.files import canonical

# Parts of the identity that the untuned counterpart of a tuned cell shares with it.
PAIRED = ("model", "task", "prompt", "generation", "limit", "data")


def keys(cell: Cell, tuning: Cell | None) -> dict[str, str]:
    """All keys of a row, by the names of its fields."""
    return {
        "pairing": canonical({key: cell.identity.get(key) for key in PAIRED}),
        "recipe": recipe(cell, tuning),
        "seedless": seedless(cell, tuning),
        "roundless": roundless(cell, tuning),
        "form": form(tuning or cell),
    }


def recipe(cell: Cell, tuning: Cell | None) -> str:
    """How a cell answers and its weights were tuned, but for the tasks and their prompts."""
    if tuning is None:
        return ""
    of_task = ("task", "prompt", "data", "boosted_on")
    how = {name: value for name, value in tuning.identity.items() if name not in of_task}
    return canonical([how, cell.identity.get("generation"), cell.identity.get("seed")])


def seedless(cell: Cell, tuning: Cell | None) -> str:
    """How a cell answers and its weights were tuned, but for the seed."""
    own = {name: value for name, value in cell.identity.items() if name not in ("tuned", "seed")}
    # Each seed has rounds of boosting of its own.
    made = {k: value for k, value in tuning.identity.items() if k not in ("seed", "boosted_on")} if tuning else {}
    return canonical([own, made])


def roundless(cell: Cell, tuning: Cell | None) -> str:
    """How a cell answers and its weights were tuned, but for the round of boosting; empty for an untuned model."""
    if tuning is None:
        return ""
    own = {name: value for name, value in cell.identity.items() if name != "tuned"}
    made = {name: value for name, value in tuning.identity.items() if name != "boosted_on"}
    made["train"] = {name: value for name, value in made.get("train", {}).items() if name != "boost"}
    return canonical([own, made])


def answered_with(cell: Cell) -> str:
    """With which weights a cell answers, and how."""
    return canonical([cell.tuned, cell.identity.get("generation"), cell.identity.get("seed")])


def other_text(tuning: Cell | None, cell: Cell) -> bool:
    """Whether an evaluate cell asks another text than its weights were trained on, under the same name."""
    if tuning is None:
        return False
    trained, asked = tuning.identity.get("prompt", {}), cell.identity.get("prompt", {})
    same_text = all(trained.get(key) == asked.get(key) for key in ("text", "system", "shots"))
    return trained.get("name") == asked.get("name") and not same_text


def form(cell: Cell) -> str:
    """In what form a cell reads its weights."""
    method = cell.identity.get("method", {})
    return canonical([method.get("quantise"), method.get("dtype")])
