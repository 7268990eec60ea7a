"""Numbers and names for display; in one module, so that the terminal and the page agree."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from paceline.counted import counted
from paceline.report.analysis.differences import Difference
from paceline.report.consistency import Finding
from paceline.report.read.sweep_results import Absent, Group, Metric, Report
from paceline.stats import Interval
from paceline.sweep import status
from paceline.tasks.metrics import KNOWN_OUTCOMES

if TYPE_CHECKING:
    from paceline.report.analysis.cost import Cost
    from paceline.report.analysis.ensembles import Ensembles, Gain
    from paceline.report.analysis.prompt_sensitivity import Agreement
    from paceline.report.analysis.transfer import Matrix
    from paceline.report.marking.marking_panel import MarkedShare, MarkersAgreement
    from paceline.tasks.kind import Kind
    from paceline.tasks.panels import Value

OUTCOME_NAMES = {outcome.name: outcome.label for outcome in KNOWN_OUTCOMES}
COST = (
    "A cell's cost is that of all its attempts, failed ones included, and of the tuning whose weights it answers with; "
    "a tuning that several cells share is in the cost of each and counts once in the total. An attempt holds its GPUs "
    "from its first file to its last, the loading of weights included; evaluate cells of one element share one "
    "loading, which the first of them pays. Dollars: cluster.gpu_hour_usd as each attempt recorded it, and the tokens "
    "of a service's answers at the prices of its model's file."
)
STATE_NAMES = {**status.STATE_NAMES, "unscored": "not scored"}


def paired(kind: Kind) -> str:
    """How differences are tested."""
    # A share has every sample in its denominator, an unread one as a miss; a share of what was read is optional.
    means = [m for m in kind.metrics if m.score and m.statistic in ("mean", "median") and not m.tested]
    clause = ""
    if kind.order is None:
        over_read = any(m.optional or m.unit != "share" for m in means)
    else:
        # Not where unread answers have a value in the metric, as the median has in counting's MAE.
        of_order = [m for m in means if m.unit != "share" and m.name == kind.order.metric]
        over_read = any(m.score == kind.order.score for m in of_order)
    if over_read:
        value = kind.order.name if kind.order else "value"
        clause = f"; {'an' if value[0] in 'aeiou' else 'a'} {value} is compared over samples that both read"
    return (
        f"Both cells answered the same samples: paired bootstrap, 95 %{clause}. p: McNemar's exact test on hits, "
        "Holm-corrected over the sweep."
    )


def ensembles(kind: Kind, group_ensembles: Ensembles) -> str:
    """How cells are put together, and what the best member was chosen by."""
    by: dict[str, set[str]] = {}
    for ensemble in group_ensembles.found:
        for gain in ensemble.gains:
            by.setdefault(gain.chosen_on, set()).add(ensemble.over)
    told = []
    for chosen_on, overs in sorted(by.items()):
        which = f" over {' and '.join(sorted(overs))}" if len(by) > 1 else ""
        if not chosen_on:
            how = "on these samples, which flatters it: gains are understated"
        else:
            how = "by its tuning's validation loss" if chosen_on == "validation loss" else f"on split '{chosen_on}'"
        told.append(f"The best member{which} was chosen {how}.")
    return " ".join(
        [
            f"Three cells or more that answered the same samples: {kind.combined_note}; who was not read has no voice.",
            *_of_rounds(group_ensembles),
            "Paired bootstrap, 95 %, of one comparison each.",
            *told,
        ]
    )


def _of_rounds(group_ensembles: Ensembles) -> Iterator[str]:
    """How voices of rounds of boosting count."""
    rules = {ensemble.rule.startswith("weighted ") for ensemble in group_ensembles.found if ensemble.over == "rounds"}
    if True in rules:
        yield "Rounds of boosting have the say that their errors on the training samples give them."
    if False in rules:
        which = "Other rounds" if True in rules else "Rounds"
        yield f"{which} of boosting have equal voices, without the weights of AdaBoost."


def one_line(text: str) -> str:
    """A text on one line, without what would move a cursor."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def unit_name(unit: str) -> str:
    """The unit as a heading shows it."""
    return "%" if unit == "share" else unit


def number(value: float | None, unit: str, signed: bool = False) -> str:
    """A value in its unit, without the unit: shares as per cent, other values whole from 10 on.

    A :class:`~paceline.tasks.metrics.Unit` says itself how many decimals.
    """
    if value is None:
        return "–"
    shown = 100 * value if unit == "share" else value
    size = abs(shown)
    if (stated := getattr(unit, "decimals", None)) is not None:
        decimals = stated
    elif unit == "share":
        decimals = 1
    elif unit in ("count", "samples"):
        decimals = 0
    else:
        decimals = 0 if size >= 10 or size == 0 else 1 if size >= 1 else 2
    text = f"{shown:+,.{decimals}f}" if signed else f"{shown:,.{decimals}f}"
    if float(text.replace(",", "")) == 0:  # rounded away, it has no sign
        text = text.lstrip("+-")
    return text.replace("-", "−")


def interval(low: float | None, high: float | None, unit: str, signed: bool = False) -> str:
    """A 95 % interval in brackets; empty where there is none."""
    if low is None or high is None:
        return ""
    # A dash between signed numbers reads as a minus.
    return f"[{number(low, unit, signed)}{' to ' if signed else '–'}{number(high, unit, signed)}]"


def with_interval(metric: Metric | None) -> str:
    """``1,232 [1,100–1,400]``."""
    if metric is None:
        return "–"
    return f"{number(metric.value, metric.unit)} {interval(metric.low, metric.high, metric.unit)}".rstrip()


def with_interval_of(estimate: Interval, unit: str) -> str:
    """The same of an estimate that is no metric."""
    return f"{number(estimate.value, unit)} {interval(estimate.low, estimate.high, unit)}".rstrip()


def value(cell: Value, unit: str | None) -> str:
    """What stands in a column of a table, without an interval; ``unit`` is None in a column of texts."""
    if isinstance(cell, Interval):
        cell = cell.value
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "–"
    if unit is None or isinstance(cell, str):
        return str(cell)
    shown = number(float(cell), unit)
    decimals = getattr(unit, "decimals", None)
    if decimals and cell > 0 and float(shown.replace(",", "")) == 0:
        return f"< {10**-decimals:.{decimals}f}"  # such as a p value
    return shown


def value_with_interval(cell: Value, unit: str | None) -> str:
    """The same with the interval where there is one."""
    if not isinstance(cell, Interval):
        return value(cell, unit)
    return f"{value(cell, unit)} {interval(cell.low, cell.high, unit or '')}".rstrip()


def answered(outcome: str, text: str) -> str:
    """An answer's outcome, where it was not read, and its text: ``malformed: Paris``."""
    return ": ".join(filter(None, (outcome, text))) or "(empty)"


def whole_share(estimate: Interval) -> str:
    """A share of few in whole per cents, ``70 % [48–85]``; a dash where there is none."""
    if estimate.value is None:
        return "–"
    low, high = estimate.low, estimate.high
    ends = "" if low is None or high is None else f" [{100 * low:.0f}–{100 * high:.0f}]"
    return f"{100 * estimate.value:.0f} %{ends}"


def marked(one: MarkedShare, joint: str = ", ") -> str:
    """``14 of 20, 70 % [48–85]``, and on how many answers markers disagree."""
    if one.share.n == 0:
        return f"– ({one.disputed} disputed)" if one.disputed else "–"
    disputed = f"{joint}{one.disputed} disputed" if one.disputed else ""
    return f"{one.hits} of {one.share.n}{joint}{whole_share(one.share)}{disputed}"


def kappa(agreement: MarkersAgreement) -> str:
    """Cohen's kappa with its interval, or why it has none."""
    value, low, high = agreement.kappa.value, agreement.kappa.low, agreement.kappa.high
    if value is None:
        return agreement.note
    ends = f" [{low:.2f} to {high:.2f}]" if low is not None and high is not None else f" ({agreement.note})"
    return f"{value:.2f}{ends}".replace("-", "−")


def amount(value: float) -> str:
    """Hours or dollars, to three digits or to the whole: ``0.0123``, ``4.56``, ``1,234``."""
    if value <= 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(value)))
    return f"{value:,.{min(decimals, 6)}f}"


def cost(spent: Cost) -> str:
    """What a sweep took in all, and how much of it went to attempts that ended early."""
    parts = []
    for unit, hours, lost in (
        ("GPU-hours", spent.gpu_hours, spent.lost_gpu_hours),
        ("node-hours on CPU", spent.node_hours, spent.lost_node_hours),
    ):
        if hours:
            part = f"{amount(hours)} {unit}"
            if unit == "GPU-hours" and spent.usd is not None:
                part += f" ({usd(spent.usd - spent.service_usd)})"
            parts.append(part + (f", {amount(lost)} of them in attempts that ended early" if lost else ""))
    if spent.service_usd:
        parts.append(f"{usd(spent.service_usd)} to services for their answers")
    return f"{counted(spent.attempts, 'attempt')} took {'; '.join(parts) or 'no time that was recorded'}."


def usd(value: float | None) -> str:
    """Dollars and cents; a dash where the rate is not known."""
    return "–" if value is None else f"${value:,.2f}"


def points(unit: str) -> str:
    """The unit of a difference: shares differ by points."""
    return "points" if unit == "share" else unit


def p_value(p: float | None) -> str:
    """A p value; tiny ones as a bound."""
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def verdict(difference: Difference) -> str:
    """The verdict with its p."""
    shown = p_value(difference.p)
    return f"{difference.verdict} ({shown})" if shown else difference.verdict


def agreement(kendall: Agreement) -> str:
    """How far models and methods agree on the order of prompts."""
    shown = f"over pairs of the {kendall.judges} that tell prompts apart the mean τ is {kendall.tau:.2f}"
    if kendall.low is not None and kendall.high is not None:
        shown += f" [{kendall.low:.2f} to {kendall.high:.2f}]"
    return f"{shown} (Kendall's tau-b: 1 the same order, 0 as by chance)".replace(" -", " −").replace("[-", "[−")


def ranks(prompt_ranks: Sequence[int]) -> str:
    """The ranks of a prompt over models: ``1–3``."""
    return "–".join(map(str, sorted({min(prompt_ranks), max(prompt_ranks)}))) if prompt_ranks else "–"


def fewer_ensembles(group_ensembles: Ensembles) -> str:
    """How many ensembles were not worked out."""
    return f"Those whose best member leads; {group_ensembles.left_out:,} more were not worked out."


def tone(difference: Difference | Gain) -> str:
    """``better``, ``worse`` or ``same``, as the style sheet names them."""
    return "same" if difference.low <= 0 <= difference.high else difference.verdict.split(" ")[0]


def share(part: int, whole: int) -> str:
    """A share of a count as whole per cent, never 100 or 0 unless it is exactly that."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < part < whole:
        percent = min(99.0, max(1.0, percent))
    return f"{percent:.0f} %"


def denominators(report: Report, group: Group) -> str:
    """What every figure of a group is a share or a median of."""
    counts = sorted({m.n for row in group.rows for m in row.of(group.split).values()})
    sizes = sorted({len(report.chosen(row, group.split).samples) for row in group.rows} - {0})
    n = "–".join(f"{v:,}" for v in sorted({*sizes[:1], *sizes[-1:]})) or f"up to {counts[-1]:,}"
    sentence = f"n = {n} per cell. An unread answer is a miss in every share, not a dropped row."
    return " ".join(filter(None, (sentence, group.kind.note)))


def transfer(report: Report, matrix: Matrix) -> str:
    """What a table of transfer shows, and what its figures are shares or medians of."""
    tests: dict[str, list[str]] = {}
    for column in matrix.columns:
        tests.setdefault(denominators(report, column.group), []).append(column.group.title)
    sizes = " ".join(f"{', '.join(titles)}: {sentence}" for sentence, titles in tests.items())
    return (
        "A row is the task that the weights were tuned on, a column the task that they are evaluated on; a row and a "
        "column of one name are tuning and evaluation on one task. Brackets: 95 % interval. "
        f"–: no such cell with a result in the sweep. {sizes}"
    )


def other_prompts(group: Group) -> str:
    """What † stands for in a group; empty where no weights were trained on another prompt than was asked."""
    others = sorted({row.trained_with for row in group.rows if row.other_prompt})
    return f"† trained on another prompt ({', '.join(others)})." if others else ""


def findings(listed: Sequence[Finding]) -> str:
    """How many findings of which severity, as a heading."""
    hard = sum(finding.severity == "impossible" for finding in listed)
    return f"Consistency: {hard} impossible, {len(listed) - hard} suspicious"


def finding(finding: Finding) -> str:
    """A finding in one line: where, the numbers, and why they can't be."""
    return f"{finding.row}: {finding.figure}: {finding.told}: {finding.why}"


def absent(cell: Absent) -> str:
    """Why a cell has no result, in one line."""
    if not cell.kind and cell.message:
        return cell.message  # nothing is known of it
    line = STATE_NAMES.get(cell.state, cell.state)
    if cell.cause:
        line += f": {cell.cause}"
    if cell.message:
        first = cell.message.splitlines()[0]
        line += f" ({first if len(first) <= 160 else first[:159] + '…'})"
    return line
