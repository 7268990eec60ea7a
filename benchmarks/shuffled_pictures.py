"""Does a model look at its pictures? What it makes of each sample's reference beside the sample's own picture, and
beside pictures of other samples.

    python benchmarks/shuffled_pictures.py CELL [--root ROOT] [--json FILE]

CELL is a done evaluate cell whose model runs here and whose task asks one question about one picture; its model is
loaded with the weights that answered. Only held-out samples count: those that prepare found to be in the train split,
or to look like a sample of it, are left out, and their number is told. Every picture is shown beside nine references
that are not its own, so that all pictures and all references occur equally often on both sides: what makes a picture or
a reference likely by itself cancels. A sample never gets a picture of one with the same reference.

Told are the mean negative log-probability of a reference in nats (less is better; end token not counted), with a
sign-flip and a Wilcoxon signed-rank test of the difference; how often the own picture makes the reference likeliest of
ten; and, for captions, CIDEr-D of the cell's answers to the own and to the other pictures. Samples with one reference
are flipped, ranked and drawn together, as they are no independent evidence. All is told again for the samples whose
reference no sample of the train split has. Reading 150 samples ten times with 139 million weights takes three minutes
on two cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from paceline import stats, tasks
from paceline.cli.resolve import use_code_of_cell
from paceline.config.schema import Config, GenerationSpec
from paceline.data import samples as prepared
from paceline.data import transfer_leakage
from paceline.data.conversations import lesson, target
from paceline.errors import PacelineError, UserError
from paceline.scoring import judge
from paceline.store.cell_folder import Cell, CellFolder
from paceline.store.files import read_jsonl
from paceline.store.root import Store, resolve_root
from paceline.tasks.kind import images_of

Record = dict[str, Any]
Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int_]

OTHERS = 9
FLIPS = 99_999
TOGETHER = 16
"""Samples read at once."""


# -- which pictures


def other_pictures(references: Sequence[str], seed: int, count: int = OTHERS) -> Whole:
    """For each sample the samples whose pictures it is shown, (count, n): each row a derangement of the samples.

    No sample gets a picture twice, nor one of a sample with the same reference.

    Raises:
        UserError: too few samples, or too many with the same reference.
    """
    from scipy.optimize import linear_sum_assignment

    n, rng = len(references), np.random.default_rng(seed)
    alike = np.unique(references, return_inverse=True)[1].reshape(-1)
    refused = alike[:, None] == alike
    rows = np.empty((count, n), dtype=int)
    for row in rows:
        try:  # the cheapest of random costs: a random row wherever there is one
            row[:] = linear_sum_assignment(np.where(refused, np.inf, rng.random((n, n))))[1]
        except ValueError:
            raise UserError(f"{n} samples are too few, or too alike, to show each {count} pictures of others") from None
        refused[np.arange(n), row] = True
    return rows


def held_out(config: Config, root: Path, data: str, tuning: Cell | None) -> tuple[list[Record], set[str], int]:
    """The samples that a cell answered and did not see in training.

    Args:
        config: the cell's.
        root: the storage root.
        data: digest of the data that it was made for.
        tuning: the cell whose weights answered; None of an untuned model.

    Returns:
        The samples; the references of the train split; and how many samples were left out because their picture is
        in the train split, or looks like one that is.
    """
    trained, trained_data = (tuning.config.task, tuning.data) if tuning else (config.task, data)
    answered = [s for s in judge.evaluated_samples(config, root, data) if s["split"] != config.task.train]
    leaks = prepared.dataset_folder(root, config.task, data) / "leakage.jsonl"
    if trained.name != config.task.name:
        leaks = transfer_leakage.place(root, trained, config.task).with_suffix(".jsonl")
    leaked = {record["sample"] for record in read_jsonl(leaks)} if leaks.exists() else set()
    seen = {_plain(target(s, trained)) for s in prepared.read_samples(root, trained, [trained.train], 0, trained_data)}
    kept = [s for s in answered if s["id"] not in leaked]
    if odd := [s["id"] for s in kept if len(images_of(s)) != 1]:
        raise UserError(f"sample '{odd[0]}' has not one picture: nothing to shuffle")
    return kept, seen, len(answered) - len(kept)


def _plain(reference: str) -> str:
    """A reference as it is compared with others: ``A frog.`` is ``a frog``."""
    return " ".join(reference.casefold().split()).rstrip(".!")


# -- what the model makes of them


def nats(family: Any, config: Config, samples: Sequence[Record], others: Whole) -> Floats:
    """Negative log-probability of each sample's reference beside its own picture and others', (1 + others, n)."""
    from paceline.models import likelihood

    asked = [lesson(sample, config.prompt, config.task) for sample in samples]
    shown: list[Any] = [one.images[0] for one in asked]
    if family.takes_features:
        for start in range(0, len(shown), TOGETHER):
            shown[start : start + TOGETHER] = family.features(shown[start : start + TOGETHER])
    settings = GenerationSpec(answer="likelihood", batch=TOGETHER)
    rows = np.vstack([np.arange(len(samples)), others])
    found = np.empty(rows.shape)
    for k, row in enumerate(rows):
        beside = [
            dataclasses.replace(one, images=[shown[at]], choices=(one.answer or "",), answer=None, accepted={})
            for one, at in zip(asked, row, strict=True)
        ]
        told = likelihood.choose(family, beside, settings)
        found[k] = [-one.data["choices"][0]["sum"] for one in told]
        sys.stderr.write(f"· read the references beside {k + 1} of {len(rows)} sets of pictures\n")
    return found


def model_of(folder: CellFolder) -> Any:
    """The model of an evaluate cell, with the weights that answered."""
    from paceline.inference import explain

    _, family = explain.load(folder, method="shapley")  # the one that asks nothing of the family
    family.model.eval()
    return family


# -- what that tells


@dataclasses.dataclass(frozen=True)
class Told:
    """Own against other pictures, over some samples."""

    samples: int
    references: int
    """Of them different."""
    own: float
    """Mean nats of a reference beside its own picture."""
    shuffled: float
    """Beside the pictures of others."""
    gain: float
    """How much less beside its own."""
    low: float
    high: float
    """95 % interval of the gain, by drawing references."""
    p_flips: float
    """Of the gain, by flipping the signs of references; two-sided."""
    p_wilcoxon: float
    first: int
    """Samples whose own picture makes the reference likeliest, of ten."""
    first_low: float
    first_high: float
    """Wilson's interval of their share."""
    p_first: float
    """Exact binomial, against one in ten; one-sided."""


def compared(found: Floats, references: Sequence[str], seed: int) -> Told:
    """What the nats of :func:`nats` tell of a model.

    Args:
        found: (1 + others, n), own pictures first.
        references: of the samples; equal ones are one piece of evidence.
        seed: of the flips.
    """
    from scipy.stats import binomtest, permutation_test, wilcoxon

    groups = np.unique(references, return_inverse=True)[1].reshape(-1)
    gain = found[1:].mean(axis=0) - found[0]
    # A sum over a group, so that the mean of the groups' flips is that of samples.
    of_group = np.bincount(groups, weights=gain)
    flips = permutation_test(
        (of_group,), np.mean, permutation_type="samples", n_resamples=FLIPS, batch=1_000, rng=seed, vectorized=True
    )
    interval = stats.grouped_interval(gain, groups)
    first = int((found[0] < found[1:].min(axis=0)).sum())
    share = stats.wilson_interval(first, len(gain))
    return Told(
        samples=len(gain),
        references=len(of_group),
        own=float(found[0].mean()),
        shuffled=float(found[1:].mean()),
        gain=float(gain.mean()),
        low=float(interval.low or 0),
        high=float(interval.high or 0),
        p_flips=float(flips.pvalue),
        p_wilcoxon=float(wilcoxon(of_group / np.bincount(groups)).pvalue),
        first=first,
        first_low=float(share.low or 0),
        first_high=float(share.high or 0),
        p_first=float(binomtest(first, len(gain), 1 / len(found), alternative="greater").pvalue),
    )


@dataclasses.dataclass(frozen=True)
class Captions:
    """CIDEr-D of a cell's captions, held to their own references and to those of other samples."""

    own: float
    shuffled: float
    """Mean of all shuffles."""
    gain: float
    low: float
    high: float
    p: float
    """Paired bootstrap, two-sided."""


def captioned(
    config: Config, predictions: Mapping[str, Record], samples: Sequence[Record], others: Whole, names: Sequence[str]
) -> Captions | None:
    """How much nearer to the references are captions of their own pictures than captions of others'.

    All samples are asked the same, so what a model would say to another picture is its answer to that picture.

    Args:
        config: the cell's.
        predictions: by sample.
        samples: held out.
        others: of :func:`other_pictures`.
        names: what ties samples together, one a sample.

    Returns:
        None where the kind has no CIDEr-D, or each sample is asked otherwise.
    """
    kind = tasks.load(config.task.kind)
    asked = {lesson(s, config.prompt, config.task).prompt for s in samples}
    if "cider_d" not in [metric.name for metric in kind.metrics] or len(asked) > 1:
        return None
    by_id = {s["id"]: s for s in samples}
    ties = {s["id"]: name for s, name in zip(samples, names, strict=True)}
    values = []
    for row in [np.arange(len(samples)), *others]:
        told = [{**predictions[samples[at]["id"]], "sample": s["id"]} for s, at in zip(samples, row, strict=True)]
        answers = kind.answers(judge.score_predictions(kind, config, told, by_id), by_id).with_groups(ties)
        values.append(kind.statistics(answers)["cider_d"])
    (own, own_drawn), *rest = values
    other, drawn = float(np.mean([value for value, _ in rest])), np.mean([drawn for _, drawn in rest], axis=0)
    change = stats.change_of(own - other, own_drawn - drawn, len(samples))
    return Captions(own, other, change.value, change.low, change.high, change.p)


# -- the command


def measure(folder: CellFolder, root: Path, seed: int, template: str = "") -> Record:
    """All that is told of a cell, as JSON.

    Args:
        folder: the cell's.
        root: the storage root.
        seed: of the shuffles and the flips.
        template: of a reference, as ``task.target``. An evaluate cell keeps none, so by default it is that of the
            tuning, or else ``{reference}``.

    Raises:
        UserError: the cell has no answers yet, or its samples can't be shuffled.
    """
    cell = folder.read()
    if not folder.done() or not folder.predictions.exists():
        raise UserError(f"cell {folder.id} is no evaluation that is done; see: paceline status")
    config = cell.config
    prepared.require(root, config.task, cell.data)
    tuning = CellFolder(folder.path.parent / cell.needs[0]).read() if cell.needs else None
    target_of = template or (tuning.config.task.target if tuning else "") or "{reference}"
    config = dataclasses.replace(config, task=dataclasses.replace(config.task, target=target_of))
    samples, seen, left_out = held_out(config, root, cell.data, tuning)
    plain = [_plain(target(s, config.task)) for s in samples]
    others = other_pictures(plain, seed)
    found = nats(model_of(folder), config, samples, others)
    predictions = {p["sample"]: p for p in read_jsonl(folder.predictions)}
    new = np.array([reference not in seen for reference in plain])
    told: Record = {"cell": folder.id, "left_out": left_out, "seed": seed, "sets": {}}
    for name, at in (("held out", np.ones(len(plain), dtype=bool)), ("with a reference of their own", new)):
        if at.sum() < 2:
            continue
        references = [reference for reference, kept in zip(plain, at, strict=True) if kept]
        told["sets"][name] = dataclasses.asdict(compared(found[:, at], references, seed))
    if words := captioned(config, predictions, samples, others, plain):
        told["captions"] = dataclasses.asdict(words)
    told["samples"] = [
        {
            "sample": sample["id"],
            "reference": target(sample, config.task),
            "answer": predictions[sample["id"]]["text"],
            "new_reference": bool(new[n]),
            "own": float(found[0, n]),
            "shuffled": found[1:, n].tolist(),
            "shown": [samples[row[n]]["id"] for row in others],
        }
        for n, sample in enumerate(samples)
    ]
    return told


def say(told: Record) -> None:
    """Print what was measured."""
    print(f"{told['cell']}: {told['left_out']} left out, as the train split has the picture or one like it")
    for name, found in told["sets"].items():
        one = Told(**found)
        print(f"\n{name}: {one.samples} samples, {one.references} different references")
        print(f"  nats of a reference: own picture {one.own:.3f}, others' {one.shuffled:.3f}")
        print(f"  less by {one.gain:.3f} [{one.low:.3f}, {one.high:.3f}]")
        print(f"  p: {one.p_flips:.2g} (sign flips), {one.p_wilcoxon:.2g} (Wilcoxon)")
        print(
            f"  own picture first of {OTHERS + 1}: {one.first} of {one.samples}, {one.first / one.samples:.1%} "
            f"[{one.first_low:.1%}, {one.first_high:.1%}], by chance {1 / (OTHERS + 1):.0%}, p {one.p_first:.2g}"
        )
    if "captions" in told:
        words = Captions(**told["captions"])
        print(f"\nCIDEr-D of the captions: own pictures {words.own:.3f}, others' {words.shuffled:.3f}")
        print(f"  more by {words.gain:.3f} [{words.low:.3f}, {words.high:.3f}], p {words.p:.2g} (paired bootstrap)")


def main() -> int:
    parser = argparse.ArgumentParser(description="Hold a model's references to own and to shuffled pictures.")
    parser.add_argument("cell", help="a done evaluate cell, by its id, its beginning or its hash")
    parser.add_argument("--root", help="storage root; else $PACELINE_ROOT, else runs/")
    parser.add_argument(
        "--target", default="", help="a reference, as of task.target; else the tuning's, or {reference}"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the shuffles and the flips")
    parser.add_argument("--json", type=Path, help="also write all figures, sample by sample")
    given = parser.parse_args()
    try:
        store = Store(resolve_root(given.root, ""))
        folder = store.find_cell(given.cell)
        use_code_of_cell(folder, store)
        told = measure(folder, store.root, given.seed, given.target)
    except PacelineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    say(told)
    if given.json:
        given.json.write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
