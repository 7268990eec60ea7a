"""How often 95 % intervals hold the truth, metric by metric, and how long a cell's metrics take.

A population of each kind of task is drawn anew a thousand times: 300 groups of one to five samples that are alike, as
questions about one picture are. Each draw gets the intervals that a report shows (``Kind.aggregate``). The share of
draws whose interval holds the truth should be 93 to 97 %. Asked twice: with the groups, and with one sample of each
group, where nothing ties samples.

The truth of a mean, a share, a median or a deviation is its value in one very large sample. A statistic of the set may
depend on how many samples there are (CIDEr-D's document frequencies, the number of different words): its truth is its
mean over all draws of the size in question. Metrics that show no interval are told as such, with what covers them not.
Hits are whole numbers: where few are expected, no interval of a share comes close to 95 %, and one that holds the truth
too often is told as that and is no failure. One that holds it too seldom is.

    python benchmarks/interval_coverage.py                       # every kind: minutes each
    python benchmarks/interval_coverage.py geolocation vqa
    python benchmarks/interval_coverage.py --seconds             # 1,000 resamples of 5,000 samples, per kind
    python benchmarks/interval_coverage.py --table               # as a table of docs/intervals.md

``benchmarks/populations/<kind>.py`` holds the population of a kind: ``draw(rng, groups) -> Answers`` and ``METRICS``,
the names to try. Where its texts are so short and so few that they take no time, ``long(rng, samples) -> Answers`` has
real ones, for ``--seconds``.
"""

from __future__ import annotations

import argparse
import importlib
import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from paceline import stats, tasks
from paceline.tasks.answers import Answers

FOLDER = Path(__file__).parent / "populations"
SIMULATIONS = 1000
GROUPS = 300
LARGE, TIMES = 25_000, 20
"""Groups, and draws of so many, that give the truth: its standard error is a fortieth of a simulation's. With a
thirteenth, a skewed mean's truth was so far off that intervals which end too low seemed to hold it."""
LEAST, MOST = 0.93, 0.97
SEED = 20
TIMED = 5000
LIMIT = 10.0

FEW = 5
"""Expected hits, or misses, below which a share's interval may hold the truth too often."""

Ends = dict[str, tuple[float, float, float, float]]
"""Metric -> value, low, high, number of samples; NaN where there is none."""


@dataclass(frozen=True)
class Covered:
    """How one metric fared."""

    metric: str
    truth: float
    share: float | None
    """Share of the draws whose interval holds the truth; None where no draw has an interval."""
    low: float
    high: float
    """95 % interval of the share, of the number of draws."""
    n: int
    expected: float = math.inf
    """Hits, or misses where these are fewer, that a draw has on average; infinite where samples are no hits."""

    @property
    def verdict(self) -> str:
        """In a few words."""
        if self.share is None:
            return "no interval shown"
        if self.share > MOST and self.expected < FEW:
            return f"above: {self.expected:.1f} expected"
        return "ok" if LEAST <= self.share <= MOST else "OUTSIDE 93-97 %"


def kinds() -> list[str]:
    """The kinds that have a population."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def population(kind: str) -> ModuleType:
    """The module of a kind's population."""
    if str(FOLDER.parent) not in sys.path:
        sys.path.insert(0, str(FOLDER.parent))
    return importlib.import_module(f"populations.{kind}")


def one_of_each(answers: Answers) -> Answers:
    """The first sample of each group."""
    _, first = np.unique(answers.groups, return_index=True)
    return answers.take(sorted(first.tolist()))


def drawn(kind: str, number: int, groups: int, tied: bool) -> Answers:
    """Draw so many groups; one sample of each where nothing should be tied."""
    answers: Answers = population(kind).draw(np.random.default_rng([SEED, number]), groups)
    return answers if tied else one_of_each(answers)


def ends(kind: str, number: int, groups: int, tied: bool) -> Ends:
    """One simulation: what ``aggregate`` tells of the metrics to try."""
    found = tasks.load(kind).aggregate(drawn(kind, number, groups, tied))

    def number_of(value: float | None) -> float:
        return math.nan if value is None else value

    return {
        name: tuple(number_of(found[name][key]) for key in ("value", "low", "high", "n"))  # type: ignore[misc]
        for name in population(kind).METRICS
    }


def truths(kind: str, simulated: Sequence[Ends], tied: bool, times: int = TIMES) -> dict[str, float]:
    """Metric -> the truth, as the docstring of this file says."""
    task_kind, names = tasks.load(kind), population(kind).METRICS
    of_set = {name for name in names if task_kind.metric(name).statistic == "set"}
    large: dict[str, dict[str, float]] = {}
    if len(of_set) < len(names):
        draws = (drawn(kind, (1 << 40) + number, LARGE, tied) for number in range(times))
        large = values_of(draws, [name for name in names if name not in of_set], task_kind)
    return {
        name: float(np.nanmean([one[name][0] for one in simulated])) if name in of_set else float(large[name])
        for name in names
    }


def values_of(draws: Iterable[Answers], names: Sequence[str], kind: tasks.Kind) -> dict[str, float]:
    """Metrics of draws taken together, which are too large for intervals."""
    from paceline.tasks.metrics import per_sample

    values: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for answers in draws:
        for name in names:
            metric = kind.metric(name)
            judged = per_sample(answers, metric)
            x = judged.values if judged else answers.scores[metric.score]
            values[name].append(x[np.isfinite(x)])
    whole = {name: np.concatenate(parts) for name, parts in values.items()}
    return {
        name: float(getattr(np, kind.metric(name).statistic)(x)) if x.size else math.nan for name, x in whole.items()
    }


def coverage(
    kind: str,
    simulations: int = SIMULATIONS,
    groups: int = GROUPS,
    tied: bool = True,
    processes: int = 1,
    times: int = TIMES,
) -> list[Covered]:
    """How every metric of a kind fares."""
    numbers = range(simulations)
    same = ([kind] * simulations, numbers, [groups] * simulations, [tied] * simulations)
    if processes > 1:
        with ProcessPoolExecutor(processes) as pool:
            simulated = list(pool.map(ends, *same, chunksize=10))
    else:
        simulated = list(map(ends, *same))
    truth = truths(kind, simulated, tied, times)
    tested = {name: tasks.load(kind).metric(name).tested for name in truth}
    return [_covered(name, truth[name], [one[name] for one in simulated], tested[name]) for name in truth]


def _covered(name: str, truth: float, simulated: Sequence[tuple[float, float, float, float]], hits: bool) -> Covered:
    shown = [(low, high) for _, low, high, _ in simulated if np.isfinite(low) and np.isfinite(high)]
    if not shown:
        return Covered(name, truth, None, math.nan, math.nan, 0)
    held = sum(low <= truth <= high for low, high in shown)
    share = stats.wilson_interval(held, len(shown))
    samples = float(np.mean([n for *_, n in simulated]))
    expected = min(truth, 1 - truth) * samples if hits else math.inf
    return Covered(name, truth, share.value, float(share.low or 0), float(share.high or 0), len(shown), expected)


def lines(rows: Sequence[Covered]) -> Iterator[str]:
    """The table of a kind."""
    width = max(len(row.metric) for row in rows)
    for row in rows:
        told = "" if row.share is None else f"{row.share:6.1%}  ({row.low:.1%} to {row.high:.1%})"
        yield f"  {row.metric:{width}}  {row.truth:12.4f}  {told:26}  {row.verdict}"


def table(kind: str, tied: Sequence[Covered], single: Sequence[Covered]) -> Iterator[str]:
    """The rows of a kind in a Markdown table; of a metric without an interval a dash."""
    for one, other in zip(tied, single, strict=True):
        shares = ["–" if row.share is None else f"{row.share:.1%}".replace("%", " %") for row in (one, other)]
        yield f"| {kind} | `{one.metric}` | {' | '.join(shares)} |"


def seconds(kind: str) -> float:
    """CPU seconds of a cell's metrics, with 1,000 resamples of 5,000 samples that come in groups, counts included."""
    long = getattr(population(kind), "long", None)
    if long is not None:
        answers = long(np.random.default_rng(SEED), TIMED)
    else:
        answers = drawn(kind, 0, TIMED // 3 + 200, tied=True)
        answers = answers.take(range(min(TIMED, len(answers))))
    begin = time.process_time()
    tasks.load(kind).aggregate(answers)
    return time.process_time() - begin


def main() -> int:
    """Print what is asked for; 1 where an interval misses its range or a kind its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[*kinds(), []], help="kinds of tasks; all by default")
    parser.add_argument("--simulations", type=int, default=SIMULATIONS)
    parser.add_argument("--groups", type=int, default=GROUPS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", action="store_true", help="time 1,000 resamples of 5,000 samples instead")
    parser.add_argument("--table", action="store_true", help="print rows of a Markdown table too")
    given = parser.parse_args()
    failed = False
    for kind in given.kinds or kinds():
        if given.seconds:
            took = seconds(kind)
            failed |= took > LIMIT
            print(f"{kind:20} {took:6.2f} CPU seconds for 1,000 resamples of {TIMED:,} samples (at most {LIMIT:g})")
            continue
        told = []
        for tied in (True, False):
            begin = time.perf_counter()
            rows = coverage(kind, given.simulations, given.groups, tied, given.processes)
            how = "groups of one to five" if tied else "single samples"
            took = time.perf_counter() - begin
            print(f"{kind}, {given.groups} {how}, {given.simulations:,} draws, {took:.0f} s")
            print(*lines(rows), sep="\n", flush=True)
            failed |= any(row.verdict.startswith("OUT") for row in rows)
            told.append(rows)
        if given.table:
            print(*table(kind, *told), sep="\n", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
