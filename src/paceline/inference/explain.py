"""Which places of its image an answer hangs on: what ``paceline explain`` runs in a process of its own.

The cell's model reads the same prompt, and then the answer that it gave: nothing is generated. The states that stand
for the image in the language model go from the image's mean state, everywhere the same, to themselves; the gradient of
the answer's log-probability on the way, times the way, is each state's relevance. Those are integrated gradients
(Sundararajan, Taly and Yan 2017, arXiv:1703.01365): they sum to what the places of the image add to the
log-probability. They need no attention weights, so any attention serves. docs/decisions/0021-explain.md has the
measurement by which they were chosen over Grad-CAM.

How far to trust a map is measured with it, by deletion (Petsiuk, Das and Saenko 2018, arXiv:1806.07421): what the
answer loses without the places that matter most, beside what it loses without as many others.

Reads ``{cell, samples, whole}`` as JSON from its input, and prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from paceline import plugins, tasks
from paceline.attempts import provenance
from paceline.config.identity import with_placement
from paceline.config.joined_parts import source_name, sources
from paceline.config.schema import Config
from paceline.data import samples as prepared
from paceline.data.conversations import conversations_of, question
from paceline.errors import PacelineError, UserError
from paceline.inference import attention_map, earlier_answers, grad_cam, relevance_picture, shapley_map
from paceline.inference.earlier_answers import EarlierAnswers
from paceline.inference.explanation import DRAWS, Explained, Read, States
from paceline.inference.weights import load_weights
from paceline.models import family_names, load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.scoring import judge
from paceline.store.cell_folder import CellFolder
from paceline.store.files import canonical, digest, read_jsonl, write_bytes

METHOD = "integrated gradients, from the image's mean state"
STEPS = 16
# Where the parts differ from the whole by more than this share of it, the steps were too few.
GAP = 0.1


def explain(family: Family, asked: Conversation, answer: str, part: tuple[int, int] | None = None) -> Explained:
    """The relevance of an image's states for an answer that was given.

    Args:
        family: the loaded model, in evaluation mode.
        asked: the question, with one picture.
        answer: its text.
        part: the characters of the answer to explain; None: all.

    Raises:
        UserError: not one picture, an empty answer, or a family without a layout.
    """
    hung = States(family, asked, answer, part)
    relevance = _integrated(hung.read, hung.without(hung.placed), hung.states)
    return hung.explained(relevance, METHOD, sums=True)


Method = Callable[[Family, Conversation, str, tuple[int, int] | None], Explained]

METHODS: dict[str, Method] = {
    "integrated_gradients": explain,
    "attention": attention_map.explain,
    "grad_cam": grad_cam.explain,
    "shapley": shapley_map.explain,
}
"""How an answer is explained, by the name that a family gives (``Family.explained_by``)."""


def _integrated(read: Callable[[torch.Tensor], Read], begin: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """Integrated gradients of a score from some states to others, summed over channels: (states,), on the CPU.

    The midpoint rule in ``STEPS`` steps, one at a time, because each takes the memory of a training step.
    """
    way = end.float() - begin.float()
    total = torch.zeros_like(way)
    for step in range(STEPS):
        at = (begin.float() + way * (step + 0.5) / STEPS).to(end.dtype).requires_grad_(True)
        (gradient,) = torch.autograd.grad(read(at).score, at)
        total += gradient.float() / STEPS
    return (total * way).sum(dim=-1).cpu()


def load(folder: CellFolder, method: str = "") -> tuple[Config, Family]:
    """The config of an evaluate cell, and its model with the weights that answered.

    Raises:
        UserError: the family has no layout, or the weights are gone.
    """
    cell = folder.read()
    made_by = folder.attempts()
    config = with_placement(cell.config, made_by[-1].placement() if made_by else {})
    if (method or load_family(config.model.family).explained_by) == "integrated_gradients":
        require_layout(config.model.family)
    needed = [CellFolder(folder.path.parent / n) for n in cell.needs if n == cell.tuned]
    if gone := [n.id for n in needed if not n.done()]:
        raise UserError(f"the weights of {folder.id} are gone: {gone[0]} is not done; see: paceline status")
    family = load_weights(config, needed, folder.path.parents[1])
    family.model.requires_grad_(False)  # gradients of the image's states are all that is wanted
    return config, family


def _has_layout(name: str) -> bool:
    try:
        return getattr(load_family(name), "layout", Family.layout) is not Family.layout
    except UserError:  # a lab's that can't be loaded
        return False


def require_layout(name: str) -> None:
    """Refuse a family that can't tell where on the image its states lie.

    Raises:
        UserError: with the families that can.
    """
    if load_family(name).layout is Family.layout:
        able = [n for n in family_names() if _has_layout(n)]
        told = not load_family(name).own_call  # what Shapley values need
        instead = ": give --method shapley, which asks for no places" if told else ""
        raise UserError(
            f"family '{name}' has no map: what its models see of an image has no known places on it (a perceiver mixes "
            f"all patches; a model's own code does not tell){instead}. "
            f"Families that have one: {', '.join(able)}"
        )


def asked_of(sample: dict[str, Any], config: Config, earlier: EarlierAnswers | None = None) -> Conversation:
    """A sample as the cell asked it: with its question and its choices, where its kind gives some.

    Raises:
        UserError: several questions were asked about it, one by one, or examples were shown before it.
    """
    if config.prompt.shots.count:
        raise UserError(
            f"prompt {config.prompt.name} shows {config.prompt.shots.count} examples with pictures of their own, and a "
            "map shares an answer out over one picture; explain a cell of a prompt without examples"
        )
    conversations = conversations_of(sample, config.prompt, config.task, config.model.inputs)
    if len(conversations) > 1:
        raise UserError(f"sample '{sample['id']}' was asked several questions; an answer to one can be explained")
    given = earlier.fields(sample, conversations[0]) if earlier else None
    return question(sample, config.prompt, config.task, parts=conversations[0], earlier=given)


def draw(
    folder: CellFolder,
    config: Config,
    family: Family,
    sample: dict[str, Any],
    prediction: dict[str, Any],
    whole: bool,
    explained_by: Method,
) -> dict[str, Any]:
    """Explain the answer to one sample, and write the picture.

    Returns:
        What is said of it: ``{sample, path, answer, part, log_probability, without_…, weight, check, notes}``.
    """
    asked = asked_of(sample, config, earlier_answers.of_cell(folder.read(), folder))
    (image,) = asked.images
    answer = prediction["text"]
    span = None if whole else judge.judged_part(config, answer)
    found = explained_by(family, asked, answer, span)
    judged = next((s for s in read_jsonl(folder.scores) if s["sample"] == sample["id"]), {})
    told = {
        "sample": sample["id"],
        "path": str(folder.explanation(sample["id"])),
        "answer": answer,
        "part": found.part,
        "log_probability": found.log_probability,
        "without_all": found.without_all,
        "without_these": found.without_these,
        "without_others": found.without_others,
        "weight": weight(found),
        "check": deletion(found),
        "notes": notes(config, found, prediction),
    }
    drawn = relevance_picture.size_of(image)
    density = relevance_picture.spread(found.boxes.numpy(), found.relevance.numpy(), *drawn).clip(min=0)
    content = relevance_picture.png(
        image, density, words(folder, found, told, judged), facts(folder, found, told, family)
    )
    write_bytes(folder.explanation(sample["id"]), content)
    return told


def notes(config: Config, found: Explained, prediction: dict[str, Any]) -> list[str]:
    """What speaks against the map: signs that this is not the model or the prompt that answered."""
    told = []
    if found.prompt_tokens != prediction["prompt_tokens"]:
        told.append(
            f"the prompt has {found.prompt_tokens} tokens, and had {prediction['prompt_tokens']} when it was answered: "
            "other versions are installed"
        )
    g = config.generation
    plain = (
        g.answer == "generate"
        and g.temperature == 0
        and g.beams == 1
        and g.repetition_penalty == 1
        and not g.min_new_tokens
    )
    if plain and found.first < found.tokens:
        told.append(
            f"the model would say other tokens now at {found.tokens - found.first} of {found.tokens} places: other "
            "versions, another card, or other company in the batch"
        )
    if found.without_these >= found.without_others:
        told.append("the check fails: these places matter no more than others, so the map tells nothing")
    if (
        found.sums
        and abs(found.relevance.sum() - (found.log_probability - found.without_all)) > GAP * found.relevance.abs().sum()
    ):
        told.append(f"the map's parts do not sum to the whole: {STEPS} steps are too few for this answer")
    return told


def words(folder: CellFolder, found: Explained, told: dict[str, Any], judged: dict[str, Any]) -> list[str]:
    """The lines below the pictures."""
    kind = tasks.load(folder.read().config.task.kind)
    held = judged.get("truth")
    truth = (
        ", ".join(f"{k} {v}" for k, v in held.items() if v is not None) if isinstance(held, dict) else kind.show(held)
    )
    order = kind.order
    error = judged.get("scores", {}).get(order.score) if order else None
    off = "" if order is None or error is None else f", {error:,.0f} {order.unit} {order.off}"
    return [
        f"cell  {folder.id}",
        f"sample  {told['sample']}",
        *([f"truth  {truth}"] if truth else []),
        f"answer  {told['answer']!r}{off}",
        f"map  {found.method}, of the log-probability of {found.part!r}",
        f"weight  {weight(found)}",
        f"check  {told['check']}",
        *(f"note  {note}" for note in told["notes"]),
    ]


def weight(found: Explained) -> str:
    """How much of the log-probability the map shares out, in words."""
    words = "the words and to " if found.prompt_tokens else ""
    return (
        f"all places together add {found.log_probability - found.without_all:+.2f} to the log-probability, "
        f"{found.log_probability:.2f}; the rest is due to {words}the image's average"
    )


def deletion(found: Explained) -> str:
    """What taking places away does to the log-probability, in words."""
    n, before = found.deleted, found.log_probability
    most, drawn = ("most relevant place", "one") if n == 1 else (f"{n} most relevant places", str(n))
    return (
        f"without the {most} {found.without_these - before:+.2f}, without {drawn} at random "
        f"{found.without_others - before:+.2f} (mean of {DRAWS} draws)"
    )


def facts(folder: CellFolder, found: Explained, told: dict[str, Any], family: Family) -> dict[str, str]:
    """What the picture came from, for its text chunks."""
    cell, made = folder.read(), provenance.provenance()
    tuned = [CellFolder(folder.path.parent / n) for n in cell.needs if n == cell.tuned]
    weights = [digest((f.done() or {}).get("artefacts", {}), 12) for f in tuned]
    return {
        "Software": "paceline",
        "paceline:method": found.method,
        "paceline:cell": folder.id,
        "paceline:sample": told["sample"],
        "paceline:answer": told["answer"],
        "paceline:part": found.part,
        "paceline:log_probability": f"{found.log_probability:.6g}",
        "paceline:deletion": canonical({k: told[k] for k in ("without_all", "without_these", "without_others")}),
        "paceline:relevance": canonical([round(float(r), 6) for r in found.relevance]),
        "paceline:weights": canonical(
            {
                "model": source_name(family.spec) or family.spec.name,
                "revision": " + ".join(source.revision for source in sources(family.spec)),
                "tuned": dict(zip([f.id for f in tuned], weights, strict=True)),
            }
        ),
        "paceline:provenance": canonical({k: made[k] for k in ("code", "versions", "gpus")}),
    }


def answer(cell: Path, samples: Sequence[str], whole: bool, method: str = "") -> list[dict[str, Any]]:
    """Explain the answers to some samples of a cell, by a method of ``METHODS``, else by the family's own; what was
    written of each.
    """
    folder = CellFolder(cell)
    config, family = load(folder, method)
    root = cell.parents[1]
    data = folder.read().data
    prepared.require(root, config.task, data)
    by_id = {s["id"]: s for s in judge.evaluated_samples(config, root, data) if s["id"] in set(samples)}
    predictions = {p["sample"]: p for p in read_jsonl(folder.predictions) if p["sample"] in by_id}
    explained_by = METHODS[method or family.explained_by]
    return [draw(folder, config, family, by_id[s], predictions[s], whole, explained_by) for s in samples]


def main() -> int:
    plugins.inherit()
    asked = json.load(sys.stdin)
    try:
        told = answer(Path(asked["cell"]), asked["samples"], asked["whole"], asked.get("method", ""))
    except PacelineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    print(json.dumps({"explained": told}))  # noqa: T201  (the parent reads it)
    return 0


if __name__ == "__main__":
    sys.exit(main())
