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

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from paceline import plugins, tasks
from paceline.attempts import provenance
from paceline.config.identity import with_placement
from paceline.config.schema import Config
from paceline.data import samples as prepared
from paceline.data.conversations import question
from paceline.errors import PacelineError, UserError
from paceline.inference import relevance_picture
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
# Of the places, the share that is taken away, and how often as many others are.
DELETED = 0.1
DRAWS = 8
SEED = 0


@dataclass(frozen=True)
class Explained:
    """What an answer, or a part of it, hangs on. Log-probabilities are in nats.

    Attributes:
        boxes: places of the image's states, as ``Family.layout`` tells them: (states, 4).
        relevance: (states,): what each adds to the log-probability; negative where it speaks against the answer, 0
            where a state has no place on the image.
        part: the tokens that were explained, as text.
        tokens, first: how many tokens the part has, and how many of them the model finds likeliest.
        prompt_tokens: tokens read before the answer.
        log_probability: of the part, after the prompt and what stands before it.
        without_all: the same, where every place holds the image's mean.
        deleted: places that do for the two below.
        without_these, without_others: the most relevant places, and the mean over as many drawn at random.
    """

    boxes: torch.Tensor
    relevance: torch.Tensor
    part: str
    tokens: int
    first: int
    prompt_tokens: int
    log_probability: float
    without_all: float
    deleted: int
    without_these: float
    without_others: float


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
    if len(asked.all_images) != 1:
        raise UserError(f"a question with {len(asked.all_images)} images; one with one image can be explained")
    (image,) = asked.all_images
    (seen,) = family.features([image])
    boxes = family.layout(image, seen)
    states = seen.states.detach().flatten(0, -2)
    if len(boxes) != len(states):
        raise UserError(
            f"model {family.spec.name}: the layout of family '{family.spec.family}' has {len(boxes)} places, and the "
            f"model sees {len(states)}: another kind of network than the family's"
        )
    chosen, said, tokens = _chosen(family, answer, part)

    def read(these: torch.Tensor) -> Read:
        kept = dataclasses.replace(seen, states=these.view_as(seen.states))
        return _read(family, dataclasses.replace(asked, images=[kept], answer=answer), chosen)

    with torch.no_grad():
        before = read(states)
    if before.tokens != tokens + 1:  # the last is the end token's
        raise UserError(f"the answer holds words that stand for structure in model {family.spec.name}'s prompts")
    placed = torch.nonzero(_on_image(boxes)).flatten()
    mean = states[placed].float().mean(dim=0).to(states)

    def without(places: torch.Tensor) -> torch.Tensor:
        levelled = states.clone()
        levelled[places.to(states.device)] = mean
        return levelled

    relevance = _integrated(read, without(placed), states)
    deleted = max(1, round(DELETED * len(placed)))
    most = placed[torch.argsort(relevance[placed], descending=True, stable=True)[:deleted]]
    stream = torch.Generator().manual_seed(SEED)
    drawn = [placed[torch.randperm(len(placed), generator=stream)[:deleted]] for _ in range(DRAWS)]
    with torch.no_grad():
        left = [float(read(without(places)).score) for places in (placed, most, *drawn)]
    return Explained(
        boxes=boxes,
        relevance=relevance,
        part=said,
        tokens=len(chosen),
        first=before.first,
        prompt_tokens=before.prompt_tokens,
        log_probability=float(before.score),
        without_all=left[0],
        deleted=deleted,
        without_these=left[1],
        without_others=sum(left[2:]) / DRAWS,
    )


def _on_image(boxes: torch.Tensor) -> torch.Tensor:
    """Which boxes lie on the image, at least in part; NaN does not."""
    return (boxes[:, :2] < 1).all(dim=1) & (boxes[:, 2:] > 0).all(dim=1)


@dataclass(frozen=True)
class Read:
    """A prompt and its answer, read: the log-probability of the part to explain, a scalar, and what was counted."""

    score: torch.Tensor
    first: int
    tokens: int
    prompt_tokens: int


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


def _chosen(family: Family, answer: str, part: tuple[int, int] | None) -> tuple[list[int], str, int]:
    """Indices of the answer's tokens that say a part of it, their text, and how many tokens the answer has."""
    begin, end = part or (0, len(answer))
    told = family.tokenizer(answer, add_special_tokens=False, return_offsets_mapping=family.tokenizer.is_fast)
    ids = told["input_ids"]
    spans = told.get("offset_mapping") or [(begin, end)] * len(ids)  # a slow one doesn't tell where its tokens stand
    chosen = [i for i, (first, last) in enumerate(spans) if first < end and last > begin]
    if not chosen:
        raise UserError("the answer is empty: there is nothing to explain")
    return chosen, family.decode([ids[i] for i in chosen]).strip(), len(ids)


def _read(family: Family, answered: Conversation, chosen: list[int]) -> Read:
    """Let the model read a conversation with its answer; ``chosen`` are the answer's tokens that count."""
    batch = family.training_batch([answered])
    width = batch.pop("labels").shape[1]
    said = batch.pop("shift_labels")[0]  # the answer's tokens, for which alone there are logits
    output = family.model(**family.to_model(batch), use_cache=False)
    logits = output.logits[0].float()
    said = said.to(logits.device)
    scores = logits.log_softmax(dim=-1).gather(1, said[:, None]).squeeze(1)
    first = int((logits.argmax(dim=-1) == said)[chosen].sum())
    count = len(said)
    return Read(scores[chosen].sum(), first, count, width - count)


def load(folder: CellFolder) -> tuple[Config, Family]:
    """The config of an evaluate cell, and its model with the weights that answered.

    Raises:
        UserError: the family has no layout, or the weights are gone.
    """
    cell = folder.read()
    made_by = folder.attempts()
    config = with_placement(cell.config, made_by[-1].placement() if made_by else {})
    require_layout(config.model.family)
    needed = [CellFolder(folder.path.parent / n) for n in cell.needs]
    if gone := [n.id for n in needed if not n.done()]:
        raise UserError(f"the weights of {folder.id} are gone: {gone[0]} is not done; see: paceline status")
    family = load_weights(config, needed, folder.path.parents[1])
    family.model.requires_grad_(False)  # gradients of the image's states are all that is wanted
    return config, family


def _has_layout(name: str) -> bool:
    try:
        return load_family(name).layout is not Family.layout
    except UserError:  # a lab's that can't be loaded
        return False


def require_layout(name: str) -> None:
    """Refuse a family that can't tell where on the image its states lie.

    Raises:
        UserError: with the families that can.
    """
    if load_family(name).layout is Family.layout:
        able = [n for n in family_names() if _has_layout(n)]
        raise UserError(
            f"family '{name}' has no map: what its models see of an image has no known places on it (a perceiver mixes "
            f"all patches; a model's own code does not tell). Families that have one: {', '.join(able)}"
        )


def draw(
    folder: CellFolder, config: Config, family: Family, sample: dict[str, Any], prediction: dict[str, Any], whole: bool
) -> dict[str, Any]:
    """Explain the answer to one sample, and write the picture.

    Returns:
        What is said of it: ``{sample, path, answer, part, log_probability, without_…, weight, check, notes}``.
    """
    asked = question(sample, config.prompt, config.task)
    (image,) = asked.images
    answer = prediction["text"]
    span = None if whole else judge.judged_part(config, answer)
    found = explain(family, asked, answer, span)
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
    plain = g.temperature == 0 and g.beams == 1 and g.repetition_penalty == 1 and not g.min_new_tokens
    if plain and found.first < found.tokens:
        told.append(
            f"the model would say other tokens now at {found.tokens - found.first} of {found.tokens} places: other "
            "versions, another card, or other company in the batch"
        )
    if found.without_these >= found.without_others:
        told.append("the check fails: these places matter no more than others, so the map tells nothing")
    if abs(found.relevance.sum() - (found.log_probability - found.without_all)) > GAP * found.relevance.abs().sum():
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
        f"map  {METHOD}, of the log-probability of {found.part!r}",
        f"weight  {weight(found)}",
        f"check  {told['check']}",
        *(f"note  {note}" for note in told["notes"]),
    ]


def weight(found: Explained) -> str:
    """How much of the log-probability the map shares out, in words."""
    return (
        f"all places together add {found.log_probability - found.without_all:+.2f} to the log-probability, "
        f"{found.log_probability:.2f}; the rest is due to the words and to the image's average"
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
    tuned = [CellFolder(folder.path.parent / n) for n in cell.needs]
    weights = [digest((f.done() or {}).get("artefacts", {}), 12) for f in tuned]
    return {
        "Software": "paceline",
        "paceline:method": METHOD,
        "paceline:cell": folder.id,
        "paceline:sample": told["sample"],
        "paceline:answer": told["answer"],
        "paceline:part": found.part,
        "paceline:log_probability": f"{found.log_probability:.6g}",
        "paceline:deletion": canonical({k: told[k] for k in ("without_all", "without_these", "without_others")}),
        "paceline:relevance": canonical([round(float(r), 6) for r in found.relevance]),
        "paceline:weights": canonical(
            {
                "model": family.spec.weights or family.spec.name,
                "revision": family.spec.revision,
                "tuned": dict(zip(cell.needs, weights, strict=True)),
            }
        ),
        "paceline:provenance": canonical({k: made[k] for k in ("code", "versions", "gpus")}),
    }


def answer(cell: Path, samples: Sequence[str], whole: bool) -> list[dict[str, Any]]:
    """Explain the answers to some samples of a cell; what was written of each."""
    folder = CellFolder(cell)
    config, family = load(folder)
    root = cell.parents[1]
    data = folder.read().data
    prepared.require(root, config.task, data)
    by_id = {s["id"]: s for s in judge.evaluated_samples(config, root, data) if s["id"] in set(samples)}
    predictions = {p["sample"]: p for p in read_jsonl(folder.predictions) if p["sample"] in by_id}
    return [draw(folder, config, family, by_id[s], predictions[s], whole) for s in samples]


def main() -> int:
    plugins.inherit()
    asked = json.load(sys.stdin)
    try:
        told = answer(Path(asked["cell"]), asked["samples"], asked["whole"])
    except PacelineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    print(json.dumps({"explained": told}))  # noqa: T201  (the parent reads it)
    return 0


if __name__ == "__main__":
    sys.exit(main())
