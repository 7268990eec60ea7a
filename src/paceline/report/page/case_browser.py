"""The data of the page's case browser: every answer as columns, its raw text and its image, each within a budget.

The page holds two texts of deflated JSON, which ``browser.js`` unpacks: an index (who answered what, how far off) and
the raw answers, each once. What does not fit is left out by image, not by answer, so that all answers to an image stay
together. An image that a number leads to comes first: :func:`by_need` gives the order.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

import numpy as np

from paceline.counted import counted
from paceline.report import wording
from paceline.report.analysis import differences, examples
from paceline.report.page.pictures import Pictures
from paceline.report.read.sweep_results import Group, Report, Row
from paceline.store.files import canonical, read_json, read_jsonl
from paceline.tasks.answers import Answers, key_of
from paceline.tasks.kind import Kind, Order, images_of
from paceline.tasks.metrics import READ_SHARE, per_sample
from paceline.tasks.panels import samples_of

MOST_ANSWERS = 200_000  # in the page
MOST_LETTERS = 2_000  # kept of one raw answer
LETTERS = 24_000_000  # kept of all raw answers, before they are packed
RECORD = 110  # bytes of a line of predictions.jsonl beside its text
FEWEST = 8  # images of a group whose answers have their text, whatever the budget
READ = READ_SHARE
LINK = 12  # letters of a cell's id that links name it by: its digest


def link(**filters: str) -> str:
    """The address of answers inside the page, as ``browser.js`` reads it; empty filters are left out."""
    return "#cases?" + urlencode({name: value for name, value in filters.items() if value})


def to_cell(group: Group, row: Row, metric: str = "", **filters: str) -> str:
    """The address of a cell's answers: all, those that hit in a metric (all where none did), or those filtered."""
    filters |= {"cell": row.id[-LINK:], "split": group.split if len(row.splits) > 1 else ""}
    if metric and metric != READ and group.kind.metric(metric).tested:
        measured = group.metric(row, metric)
        filters |= {"rule": metric, "hit": "1" if measured and measured.value else ""}
    return link(**filters)


def to_change(group: Group, d: differences.Difference) -> str:
    """The address of the samples that flipped between the two cells of a difference."""
    split = group.split if any(len(row.splits) > 1 for row in group.rows) else ""
    return link(view="flips", split=split, before=d.before[-LINK:], after=d.after[-LINK:], rule=d.metric)


@dataclass(frozen=True)
class Browser:
    """What the page embeds."""

    index: str
    """Deflated JSON (zlib) in base64."""
    texts: str
    """Deflated JSON (zlib) in base64: a list of raw answers, which the index counts from 0."""
    pictures: Mapping[str, str]
    """``<task>/<sample>`` of an image, or ``<cell>/<sample>`` of an explanation -> data URL."""
    told: tuple[str, ...]
    """What was cut or left out, a sentence each."""


@dataclass
class _Texts:
    """Raw answers, each once and cut."""

    positions: dict[str, int] = field(default_factory=dict)
    cut: dict[int, int] = field(default_factory=dict)
    """Position -> letters cut off."""

    def add(self, text: str) -> int:
        position = self.positions.setdefault(text, len(self.positions))
        if len(text) > MOST_LETTERS:
            self.cut[position] = len(text) - MOST_LETTERS
        return position

    def all(self) -> list[str]:
        return [text[:MOST_LETTERS] for text in self.positions]


@dataclass(frozen=True)
class _Kept:
    """The samples of a group that the page holds, in the order of the data."""

    group: Group
    need: tuple[str, ...]
    """All samples, the most needed first."""
    samples: tuple[str, ...]
    with_text: frozenset[str]


def embed(report: Report, chosen: Mapping[str, examples.Cases | None], pictures: Pictures) -> Browser:
    """Pack a report's answers.

    Args:
        report: the report.
        chosen: title of a group -> its easy, medium and hard images.
        pictures: what the page holds already, to be filled up.
    """
    explained = _explained(report)
    kept = _kept(report, chosen, explained)
    texts = _Texts()
    prompts: dict[str, int] = {}
    numbers = _text_numbers(report, kept, texts)
    outcomes = _outcomes(report)
    groups = [_group(report, k, numbers, outcomes, prompts) for k in kept]
    urls = _pictures(kept, explained, pictures)
    index = {
        "outcomes": outcomes,
        "outcome_names": [wording.OUTCOME_NAMES.get(name, name) for name in outcomes],
        "prompts": [json.loads(text) for text in prompts],
        "groups": groups,
        "cut": texts.cut,
    }
    return Browser(_pack(index), _pack(texts.all()), urls, tuple(_coverage(report, kept, texts, pictures)))


def _pack(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode("utf-8", "replace"), 6)).decode()


def _outcomes(report: Report) -> list[str]:
    """Every outcome there is; a scorer of another checkout may know more."""
    outcomes = {outcome for g in report.groups for row in g.rows for outcome in report.chosen(row, g.split).outcomes}
    return [*wording.OUTCOME_NAMES, *sorted(outcomes - set(wording.OUTCOME_NAMES))]


def _explained(report: Report) -> list[tuple[str, str]]:
    """Cell and sample of every picture that explains an answer."""
    explained = []
    for row in report.done:
        folder = report.store.cell(row.id).explanation("").parent
        if folder.is_dir():
            explained += [(row.id, unquote(path.stem)) for path in sorted(folder.glob("*.png"))]
    return explained


def _kept(
    report: Report, chosen: Mapping[str, examples.Cases | None], explained: Iterable[tuple[str, str]]
) -> list[_Kept]:
    needs = {g.title: by_need(report, g, chosen.get(g.title), explained) for g in report.groups}
    total = sum(len(needs[g.title]) * len(g.rows) for g in report.groups)
    letters = {row.id: _letters(report, row) for row in report.done}
    share = min(1.0, MOST_ANSWERS / max(1, total))
    shown = {g.title: _first(needs[g.title], share) for g in report.groups}
    shown_letters = sum(len(shown[g.title]) * letters[row.id] for g in report.groups for row in g.rows)
    text_share = min(1.0, LETTERS / max(1, shown_letters))
    kept = []
    for group in report.groups:
        need, first = needs[group.title], set(shown[group.title])
        order = tuple(s for s in _in_data_order(report, group) if s in first)
        kept.append(_Kept(group, need, order, frozenset(_first(shown[group.title], text_share))))
    return kept


def _first(samples: Sequence[str], share: float) -> tuple[str, ...]:
    return tuple(samples[: max(FEWEST, int(share * len(samples)))])


def _letters(report: Report, row: Row) -> float:
    """About how many letters an answer of a cell has, by the size of its file."""
    path = report.store.cell(row.id).predictions
    size = path.stat().st_size if path.exists() else 0
    return max(0.0, min(MOST_LETTERS, size / max(1, row.samples) - RECORD))


def _in_data_order(report: Report, group: Group) -> tuple[str, ...]:
    """Every sample that some cell of a group answered; cells of one task mostly hold the same."""
    ordered: dict[str, None] = {}
    for samples in dict.fromkeys(report.chosen(row, group.split).samples for row in group.rows):
        ordered.update(dict.fromkeys(samples))
    return tuple(ordered)


def by_need(
    report: Report, group: Group, chosen: examples.Cases | None, explained: Iterable[tuple[str, str]]
) -> tuple[str, ...]:
    """The samples of a group, those first that the page's numbers lead to.

    First the explained ones, the easy, medium and hard images and those of panels; then of each cell the first answer
    of every outcome, the nearest and the farthest, the best cells first; then what flipped between an untuned and a
    tuned cell; then the others, spread evenly over the data's order however many are taken.
    """
    order = _in_data_order(report, group)
    ids = {row.id for row in group.rows}
    needed = dict.fromkeys(sample for cell, sample in explained if cell in ids)
    needed.update(dict.fromkeys(case.sample for case in (chosen.cases if chosen else ())))
    needed.update(dict.fromkeys(samples_of(differences.panels(report, group))))
    lead = differences.leading(group)
    ranked = group.rank(lead[0]) if lead else []
    rows = {row.id: row for row in (*ranked, *group.rows)}
    order_of = group.kind.order
    for pick in (_nearest, _firsts, _farthest):
        for row in rows.values():
            needed.update(dict.fromkeys(pick(report.chosen(row, group.split), order_of)))
    needed.update(dict.fromkeys(_flipped(report, group, rows)))
    answered = set(order)
    spread = (order[i] for i in np.argsort(_spread(len(order)), kind="stable"))
    return tuple(s for s in dict.fromkeys((*needed, *spread)) if s in answered)


def _nearest(answers: Answers, order: Order | None) -> list[str]:
    off = examples.errors(answers, order) if order else np.array([])
    return [answers.samples[int(np.nanargmin(off))]] if np.isfinite(off).any() else []


def _farthest(answers: Answers, order: Order | None) -> list[str]:
    off = examples.errors(answers, order) if order else np.array([])
    return [answers.samples[int(np.nanargmax(off))]] if np.isfinite(off).any() else []


def _firsts(answers: Answers, order: Order | None) -> list[str]:
    return [answers.samples[answers.outcomes.index(outcome)] for outcome in dict.fromkeys(answers.outcomes)]


def _flipped(report: Report, group: Group, rows: Mapping[str, Row]) -> Iterator[str]:
    """Of each pair that the page compares, the first sample won and the first one lost."""
    tested = differences.tested_metric(group)
    for d in differences.differences(report):
        if (d.task, d.split, d.metric) != (group.task, group.split, tested):
            continue
        a, b = (report.chosen(rows[cell], group.split) for cell in (d.before, d.after))
        metric = group.kind.metric(d.metric)
        x, y = per_sample(a, metric), per_sample(b, metric)
        if x is None or y is None or a.samples != b.samples:
            continue
        for at in (np.flatnonzero(y.values > x.values), np.flatnonzero(x.values > y.values)):
            yield from (a.samples[int(i)] for i in at[:1])


def _spread(n: int) -> np.ndarray:
    """Van der Corput's sequence in base 2: sorted by it, the first positions of any number lie evenly."""
    i = np.arange(n, dtype=np.uint64)
    sequence, weight = np.zeros(n), 0.5
    while i.any():
        sequence += weight * (i & np.uint64(1))
        i >>= np.uint64(1)
        weight /= 2
    return sequence


def _text_numbers(report: Report, kept: Sequence[_Kept], texts: _Texts) -> dict[str, dict[str, int]]:
    """Cell -> sample -> position of its raw answer. Each file is read once, whatever the number of splits."""
    needed: dict[str, set[str]] = {}
    for k in kept:
        for row in k.group.rows:
            needed.setdefault(row.id, set()).update(k.with_text)
    numbers: dict[str, dict[str, int]] = {}
    for cell, samples in needed.items():
        cell_numbers = numbers[cell] = {}
        for record in read_jsonl(report.store.cell(cell).predictions):
            key = key_of(record)
            if key in samples and key not in cell_numbers:
                cell_numbers[key] = texts.add(str(record.get("text", "")))
    return numbers


def rules(report: Report, group: Group) -> list[dict[str, Any]]:
    """What a hit may mean in a group: every metric of hits, and being read at all."""
    names = dict.fromkeys(name for row in group.rows for name in row.of(group.split))
    answers = report.chosen(group.rows[0], group.split)
    hit_rules: list[dict[str, Any]] = []
    for name in names:
        metric = group.kind.metric(name)
        judged = per_sample(answers, metric)
        if judged is not None and judged.hits and not metric.outcome:
            limit = {} if metric.at_most is None else {"at_most": metric.at_most}
            hit_rules.append({"metric": name, "title": group.heading(name)} | limit)
    return [*hit_rules, {"metric": READ, "title": "read at all"}]


def _group(
    report: Report,
    kept: _Kept,
    numbers: Mapping[str, Mapping[str, int]],
    outcomes: Sequence[str],
    prompts: dict[str, int],
) -> dict[str, Any]:
    """One task and split: its samples, and every cell's answers to them in the same order."""
    group = kept.group
    records = report.samples[group.task]
    truths = _truths(report, kept)
    ids = {
        key: one
        for row in group.rows
        for a in [report.chosen(row, group.split)]
        if a.ids
        for key, one in zip(a.samples, a.ids, strict=True)
    }
    chosen = {row.id: report.chosen(row, group.split) for row in group.rows}
    order = group.kind.order
    order = order if order and any(order.score in a.scores for a in chosen.values()) else None
    on_map = {name: places for name, a in chosen.items() if (places := group.kind.points(a))}
    hit_rules = rules(report, group)
    labels: dict[str, int] = {}
    tested = differences.tested_metric(group)
    against = {
        d.after: [d.before, wording.p_value(d.p)]
        for d in differences.differences(report)
        if (d.task, d.split, d.metric) == (group.task, group.split, tested)
    }
    cells = []
    for row in group.rows:
        answers = chosen[row.id]
        columns = _columns(group.kind, answers, kept.samples, hit_rules, labels, order, on_map.get(row.id))
        text_numbers = numbers[row.id]
        became = dict(zip(answers.samples, answers.outcomes, strict=True))
        cells.append(
            {
                "id": row.id,
                "model": row.model,
                "prompt": row.prompt,
                "asked": prompts.setdefault(_prompt_text(report, row), len(prompts)),
                "method": row.label,
                "trained_on": row.trained_with,
                "against": against.get(row.id),
                "outcome": [outcomes.index(became[s]) if s in became else -1 for s in kept.samples],
                "text": [text_numbers.get(s, -1) for s in kept.samples],
                **columns,
            }
        )
    return {
        "task": group.task,
        "split": group.split,
        "title": group.title,
        "order": _order(order),
        "rules": hit_rules,
        "tested": tested,
        "samples": kept.samples,
        "truth": [group.kind.brief(truths[s]) if truths.get(s) is not None else "" for s in kept.samples],
        "at": _places(kept.samples, chosen, on_map) if on_map else [],
        "images": [_shown_paths(report, records.get(ids.get(s, s))) for s in kept.samples],
        "image_names": list(group.kind.image_names),
        "ids": [ids.get(s, s) for s in kept.samples] if ids else [],
        "labels": list(labels),
        "cells": cells,
    }


def _order(order: Order | None) -> dict[str, Any] | None:
    """What the browser must know of the values that order answers."""
    if order is None:
        return None
    return {"name": order.name, "unit": order.unit, "scale": order.scale, "higher": order.higher_is_better}


def _places(
    samples: Sequence[str], chosen: Mapping[str, Answers], on_map: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> list[list[float] | int]:
    """The true place of each sample, in degrees; 0 where it is not known."""
    known: dict[str, list[float] | int] = {}
    for cell, (truth, _) in on_map.items():
        for sample, place in zip(chosen[cell].samples, truth.tolist(), strict=True):
            known.setdefault(sample, [round(v, 4) for v in place] if all(map(math.isfinite, place)) else 0)
    return [known.get(sample, 0) for sample in samples]


def _columns(
    kind: Kind,
    answers: Answers,
    samples: Sequence[str],
    hit_rules: Sequence[Mapping[str, Any]],
    labels: dict[str, int],
    order: Order | None,
    places: tuple[np.ndarray, np.ndarray] | None,
) -> dict[str, Any]:
    """A cell's answers to these samples; -1 stands for none.

    ``value``: the score that orders answers, in whole parts of its unit. ``place``: thousandths of a degree north and
    east, 0 for none. ``label``: number of what was answered. ``hits``: metric -> 0 or 1.
    """
    position = {sample: i for i, sample in enumerate(answers.samples)}
    at = [position.get(s, -1) for s in samples]

    def aligned(values: Sequence[Any] | np.ndarray, none: Any = -1) -> list[Any]:
        listed = values.tolist() if isinstance(values, np.ndarray) else values
        return [listed[i] if i >= 0 else none for i in at]

    columns: dict[str, Any] = {"hits": {}}
    for rule in hit_rules:
        if (
            "at_most" not in rule
            and (judged := per_sample(answers, kind.metric(rule["metric"])))
            and rule["metric"] != READ
        ):
            values = np.where(np.isfinite(judged.values), judged.values > 0, -1).astype(int)
            columns["hits"][rule["metric"]] = aligned(values)
    if order:
        values = answers.scores.get(order.score, np.full(len(answers.samples), np.nan))
        limits = [rule["at_most"] for rule in hit_rules if "at_most" in rule]
        columns["value"] = aligned(whole_parts(values, order.scale, limits))
    if places:
        read = np.isfinite(places[1]).all(axis=1)
        whole = np.rint(1000 * np.nan_to_num(places[1])).astype(int).tolist()
        columns["place"] = aligned([pair if was_read else 0 for pair, was_read in zip(whole, read, strict=True)], 0)
    elif (answered := answers.columns.get("label")) is not None:
        shown = [kind.brief(json.loads(text)) if text else "" for text in answered]
        columns["label"] = aligned([labels.setdefault(text, len(labels)) if text else -1 for text in shown])
    return columns


def whole_parts(values: np.ndarray, scale: int, limits: Sequence[float]) -> np.ndarray:
    """Values as whole numbers of 1 / scale, on the same side of every limit as before; -1 for NaN. int64 (n,)."""
    whole = np.rint(scale * np.nan_to_num(values, nan=-1 / scale))
    for limit in limits:
        whole = np.where((values > limit) & (whole <= scale * limit), scale * limit + 1, whole)
    return whole.astype(np.int64)


def _truths(report: Report, kept: _Kept) -> dict[str, Any]:
    """Sample -> truth, read from ``scores.jsonl``. In most sweeps the first cell has them all."""
    missing = set(kept.samples)
    truths: dict[str, Any] = {}
    for row in kept.group.rows:
        if not missing:
            break
        if missing.isdisjoint(report.chosen(row, kept.group.split).samples):
            continue
        for record in read_jsonl(report.store.cell(row.id).scores):
            if (key := key_of(record)) in missing:
                truths[key] = record.get("truth")
                missing.discard(key)
    return truths


def _shown_paths(report: Report, record: Mapping[str, Any] | None) -> list[str]:
    """Where a sample's images lie: under the root where they do, so that the page holds no path of the machine."""
    root = report.store.root
    return [str(p.relative_to(root) if p.is_relative_to(root) else p) for p in map(Path, images_of(record or {}))]


def _prompt_text(report: Report, row: Row) -> str:
    """The prompt of a cell, as its identity records it."""
    prompt = read_json(report.store.cell(row.id).cell_json)["identity"].get("prompt", {})
    return canonical({key: str(prompt.get(key, "")) for key in ("name", "system", "text")})


def _pictures(kept: Sequence[_Kept], explained: Iterable[tuple[str, str]], pictures: Pictures) -> dict[str, str]:
    """Explanations, then the images of all groups in turn, until the page is full; none that the page holds already."""
    before = pictures.held
    urls = {f"{cell}/{sample}": pictures.explanation(cell, sample) for cell, sample in explained}
    shown = [
        (k.group.task, [s for s in k.need if s in kept_samples]) for k in kept for kept_samples in [set(k.samples)]
    ]
    for i in range(max((len(samples) for _, samples in shown), default=0)):
        for task, samples in shown:
            if i < len(samples) and not pictures.full:
                urls.update({picture.key: picture.url for picture in pictures.all(task, samples[i])})
    return {key: url for key, url in urls.items() if url and key not in before}


def _coverage(report: Report, kept: Sequence[_Kept], texts: _Texts, pictures: Pictures) -> Iterator[str]:
    """What the page holds of all there is."""
    answers = sum(len(report.chosen(row, k.group.split).samples) for k in kept for row in k.group.rows)
    images = {(k.group.task, s) for k in kept for s in k.need}
    held = {(k.group.task, s) for k in kept for s in k.samples}
    if len(held) < len(images):
        yield (
            f"The page holds the answers to {len(held):,} of {counted(len(images), 'image')} (at most {MOST_ANSWERS:,} "
            "answers), those first that a number leads to, the others spread evenly; counts and p values in this "
            "section are of these."
        )
    else:
        yield "The only answer is here." if answers == 1 else f"All {answers:,} answers are here."
    with_text = {(k.group.task, s) for k in kept for s in k.with_text}
    if len(with_text) < len(held):
        yield (
            f"Raw texts are here for {len(with_text):,} of {counted(len(held), 'image')} (about "
            f"{LETTERS // 1_000_000} MB at "
            "most, before packing); predictions.jsonl of the cell holds all."
        )
    if texts.cut:
        yield (
            f"{counted(len(texts.cut), 'raw answer')} cut after {MOST_LETTERS:,} characters: "
            f"{counted(sum(texts.cut.values()), 'character')} in all."
        )
    picture_keys = {key for task, sample in held for key in pictures.keys(task, sample)}
    shown = len(picture_keys & pictures.held)
    if shown < len(picture_keys):
        yield (
            f"Pictures of {shown:,} of {counted(len(picture_keys), 'image')} are here ({pictures.budget_mb:.0f} "
            "MB at most), those first that a number leads to; the others are named by their file."
        )
    if gone := sum(not pictures.known(task, sample) for task, sample in held):
        yield f"Of {counted(gone, 'image')} the prepared data is gone."
