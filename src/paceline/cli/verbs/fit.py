"""Tell what fits which GPU: models, methods, ZeRO stages, numbers of GPUs and cards, before anything is queued."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from paceline.cli.options import json_option, overrides_argument
from paceline.cli.resolve import compose_words, pins_or_not, say_json, store_of
from paceline.config.cell_kinds import kind_of

if TYPE_CHECKING:
    from pathlib import Path

    from paceline.config.gpus import Card
    from paceline.config.schema import Config, DeepSpeedSpec
    from paceline.gpu_memory.choose import Verdict
    from paceline.gpu_memory.measured import Measured
    from paceline.gpu_memory.parts import Sample
    from paceline.gpu_memory.shapes import Shape
    from paceline.sweep.compose import Composition

# The memory of rows is printed part by part up to this number of rows.
MOST_IN_FULL = 6


@click.command(short_help="tell what fits which GPU")
@overrides_argument
@click.option("--gpus", default="1,2,4,8", show_default=True, help="numbers of GPUs on a node")
@click.option(
    "--tokens", type=click.IntRange(1), default=256, show_default=True, help="of prompt and answer, without image"
)
@click.option("--image", help="WIDTHxHEIGHT of the pictures; by default the largest that the model's processor makes")
@json_option
def command(words: Sequence[str], conf: str | None, gpus: str, tokens: int, image: str | None, as_json: bool) -> None:
    """Tell what fits which GPU, from the model's config alone, in a moment.

    Each field is the largest micro-batch (c: with activation checkpointing), or - where nothing fits. All in GiB, of
    the memory that a card reports. Of a GPU named by cluster.gpu a few rows are shown with every part of their memory.
    A sample has one picture, or as many as that of a task=NAME that is named.

    \b
    paceline fit model=llama32_11b_vision method=lora,qlora
    paceline fit model=pixtral_12b method=lora deepspeed=zero3 --image 1280x720
    paceline fit model=llama32_11b_vision method=dora_8bit_llama_study cluster.gpu=a100_40 --gpus 1
    """
    from paceline.config.gpus import CARDS, by_name, cards_of
    from paceline.gpu_memory import choose
    from paceline.gpu_memory.measured import factor, measured
    from paceline.gpu_memory.parts import Sample
    from paceline.gpu_memory.shapes import shape_of

    composition = compose_words(words, conf)
    store = store_of(composition)
    counts, size, images = _counts(gpus), _size(image), _images(composition, store.root)
    pin, _ = pins_or_not(store)
    configs = [dataclasses.replace(c, model=pin(c.model)) for c in _configs(composition, words)]
    for name in {c.model.name: c for c in configs if c.model.served}:
        click.echo(f"{name}: no memory: answered by a service", err=as_json)
    configs = [c for c in configs if not c.model.served]
    if not configs:
        if as_json:
            say_json({"rows": [], "cheapest": [], "measured": []})
        return
    # This verb is about GPUs, however many the cluster's file gives.
    cluster = dataclasses.replace(configs[0].cluster, gpus=max(1, configs[0].cluster.gpus))
    cards = cards_of(cluster) or ([by_name(cluster.gpu)] if cluster.gpu else list(CARDS))
    took = list(measured(store, {c.model.name for c in configs}, lambda c: shape_of(c.model, store.root)))
    rows, cheap = [], []
    for config in configs:
        shape = _shape(config, shape_of(config.model, store.root))
        sample = Sample(tokens, size, images if shape.image else 0)
        by = factor(took, config.model.name, config.method.name)
        presets = _presets(composition, config, words)
        rows += list(_rows(config, shape, sample, cards, presets, counts, by))
        cheap.append((config, choose.elsewhere(config, _kind(config), shape, sample, presets, cards, counts, by)))
    if as_json:
        say_json({"rows": [_row_json(r) for r in rows], "cheapest": [_cheapest(c, v) for c, v in cheap], "measured": [
            dataclasses.asdict(m) | {"ratio": m.ratio} for m in took
        ]})  # fmt: skip
    else:
        _show(rows, cards, cheap, took)


def _counts(text: str) -> list[int]:
    from paceline.errors import UserError

    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise UserError(f"--gpus: '{text}' is no list of numbers; write --gpus 1,2,4")
    return [int(n) for n in text.split(",")]


def _size(text: str | None) -> tuple[int, int] | None:
    from paceline.errors import UserError

    if text is None:
        return None
    if not (match := re.fullmatch(r"([1-9]\d*)[x×]([1-9]\d*)", text)):
        raise UserError(f"--image: '{text}' is no size; write --image 1280x720")
    return int(match[1]), int(match[2])


def _images(composition: Composition, root: Path) -> int:
    """Pictures of a sample of the tasks that were named, of several the most; one where none was named."""
    from paceline.data import samples

    axis = next((a.values for a in composition.axes if a.key == "task"), None)
    named = axis or [name for name in [composition.choices.get("task")] if name]
    return max((samples.images_per_sample(root, composition.spec("task", name, {})) for name in named), default=1)


def _configs(composition: Composition, words: Sequence[str]) -> Iterator[Config]:
    """One config for each model and method named, and each value of their settings."""
    from paceline.config.schema import Config
    from paceline.errors import UserError

    axes = {a.key: a.values for a in composition.axes if a.key.partition(".")[0] in ("model", "method", "train")}
    if "model" not in axes and composition.choices.get("model") is None:
        raise UserError(f"which model? give model=NAME; names: {', '.join(composition.tree.choices('model'))}")
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        groups = {}
        for group in ("model", "method", "train", "generation", "placement", "cluster"):
            settings = {k: v for k, v in chosen.items() if k.startswith(f"{group}.")}
            groups[group] = composition.spec(group, chosen.get(group, composition.choices.get(group)), settings)
        yield Config(**groups)


def _presets(composition: Composition, config: Config, words: Sequence[str]) -> dict[str, DeepSpeedSpec]:
    """The ways to split memory that were named, else all."""
    named = [w.lstrip("+").partition("=")[2] for w in words if w.lstrip("+").startswith("deepspeed=")]
    every = composition.tree.presets()
    return {n: every[n] for n in named[-1].split(",")} if named else every


def _kind(config: Config) -> Any:
    return "evaluate" if config.method.trains == "nothing" else "finetune"


def _shape(config: Config, shape: Shape | None) -> Shape:
    from paceline.errors import UserError
    from paceline.launch.gpu_fit import uncounted

    if shape is None:
        raise UserError(uncounted(config.model))
    return shape


@dataclasses.dataclass(frozen=True)
class Row:
    """A model, a method, a way to split memory and a number of GPUs, on each card: plain, and with checkpointing."""

    config: Config
    gpus: int
    plain: dict[str, Verdict | None]
    checkpointed: dict[str, Verdict | None]
    judged: dict[str, Verdict]


def _rows(
    config: Config, shape: Shape, sample: Sample, cards: Sequence[Card], presets: dict[str, DeepSpeedSpec],
    counts: Sequence[int], by: float,
) -> Iterator[Row]:  # fmt: skip
    from paceline.gpu_memory import choose

    kind = _kind(config)
    trains = kind_of(kind).trains
    if not trains:
        presets, counts = {"none": presets.get("none", config.deepspeed)}, [1]
    for preset, gpus in itertools.product(presets.values(), counts):
        if config.train.batch % gpus or (gpus == 1 and preset.config and "offload" not in preset.name):
            continue  # one GPU has nothing to split
        configs = []
        for checkpointing in (False, True) if trains else (False,):
            placement = dataclasses.replace(
                config.placement, nodes=1, ranks=gpus, activation_checkpointing=checkpointing, micro_batch=0
            )
            configs.append(dataclasses.replace(config, placement=placement, deepspeed=preset))
        if not choose.holds(configs[0], kind):
            continue
        plain = {c.name: choose.largest(configs[0], kind, shape, sample, c, by) for c in cards}
        checkpointed = {c.name: choose.largest(configs[-1], kind, shape, sample, c, by) for c in cards}
        least = dataclasses.replace(configs[-1], placement=dataclasses.replace(configs[-1].placement, micro_batch=1))
        judged = {c.name: choose.judge(least, kind, shape, sample, c, by) for c in cards}
        yield Row(configs[0], gpus, plain, checkpointed, judged)


def _field(row: Row, card: str) -> str:
    """The largest micro-batch, and with checkpointing, where that is more."""
    plain, short = row.plain[card], row.checkpointed[card]
    sizes = [v.memory.assumed["micro_batch"] if v else 0 for v in (plain, short)]
    if not any(sizes):
        return "float16" if "bfloat16" in row.judged[card].why else "-"
    if not kind_of(_kind(row.config)).trains:
        return "fits"
    return "  ".join(text for text in (str(sizes[0] or ""), f"{sizes[1]}c" if sizes[1] > sizes[0] else "") if text)


def _row_json(row: Row) -> dict[str, Any]:
    cards = {}
    for name, judged in row.judged.items():
        plain, short = row.plain[name], row.checkpointed[name]
        cards[name] = {
            "fits": bool(plain or short),
            "micro_batch": plain.memory.assumed["micro_batch"] if plain else 0,
            "micro_batch_checkpointed": short.memory.assumed["micro_batch"] if short else 0,
            "least": judged.as_json(),
        }
    config = row.config
    names = {"model": config.model.name, "method": config.method.name, "deepspeed": config.deepspeed.name}
    return {**names, "gpus": row.gpus, "cards": cards}


def _cheapest(config: Config, verdict: Verdict | None) -> dict[str, Any]:
    names = {"model": config.model.name, "method": config.method.name}
    return {**names, **(verdict.as_json() | {"cost": round(verdict.cost, 1)} if verdict else {"fits": False})}


def _show(
    rows: Sequence[Row], cards: Sequence[Card], cheap: Sequence[tuple[Config, Verdict | None]], took: Sequence[Measured]
) -> None:
    from paceline.cli.cell_table import Literal

    console = Literal()
    head = ["model", "method", "deepspeed", "GPUs", *(f"{c.name} ({c.gib:.1f})" for c in cards)]
    table = [
        [r.config.model.name, r.config.method.name, r.config.deepspeed.name or "none", str(r.gpus)]
        + [_field(r, c.name) for c in cards]
        for r in rows
    ]
    widths = [max(len(line[i]) for line in [head, *table]) for i in range(len(head))]
    for line in [head, *table]:
        console.print("  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip(), soft_wrap=True)
    console.print(
        "\nlargest micro-batch; c: with placement.activation_checkpointing=true; -: nothing fits; float16: give "
        "method.dtype=float16, which the card computes in",
        soft_wrap=True,
    )
    for config, verdict in cheap:
        name = f"{config.model.name} {config.method.name}".strip()
        if verdict is None:
            console.print(f"{name}: fits none of these", soft_wrap=True)
            continue
        where = f"{verdict.gpus} × {verdict.card.name}"
        console.print(f"{name}: cheapest that fits: {where}, {verdict.words}: {verdict.told()}", soft_wrap=True)
    if len(cards) == 1:
        for row in rows if len(rows) <= MOST_IN_FULL else ():
            judged = row.judged[cards[0].name]
            fit_text = "fits" if judged.fits else "does not fit"
            console.print(
                f"\n{row.config.method.name}, {row.config.deepspeed.name or 'none'}, {row.gpus} × {cards[0].name}, at "
                f"the least: {fit_text}: {judged.told()}",
                soft_wrap=True,
            )
            console.print(judged.told_of_host(), soft_wrap=True)
        if len(rows) > MOST_IN_FULL:
            console.print("every part of a row's memory: name it, as with deepspeed=zero2 --gpus 2", soft_wrap=True)
    for one in took:
        console.print(
            f"measured: {one.model} {one.method} took {one.took:.1f} GiB where {one.planned:.1f} were planned "
            f"(× {one.ratio:.2f}; attempt {one.attempt} of {one.cell})",
            soft_wrap=True,
        )
