"""What a kind shows, cost and failures as tables for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from paceline.counted import counted
from paceline.report import wording
from paceline.report.analysis import cost, failures, per_image, transfer
from paceline.report.marking.marking_panel import Marking
from paceline.report.read import sweep_results
from paceline.report.read.sweep_results import Report
from paceline.report.text import marking_tables
from paceline.tasks import panels as data
from paceline.tasks.panels import Calibration, Panel, PerClass

MOST_LINES = 12
MOST_CASES, MOST_ANSWERS = 4, 3  # samples of a panel of texts, and answers to each
MOST_SCORES = 3  # beside an answer
MOST_LETTERS = 200
MOST_OF_A_NUMBER = 24  # letters of a score that is not wrapped, with its interval


def panel(group: sweep_results.Group, shown: Panel, ruled: Callable[[str], Table]) -> RenderableType | None:
    """What a kind shows, as a table; None where it is a picture or has nothing to show.

    ``ruled`` makes a table with its first column.
    """
    match shown:
        case PerClass():
            return per_class(group, shown, ruled)
        case Calibration():
            return confidence(group, shown, ruled)
        case data.Table():
            return table(group, shown, ruled)
        case data.Texts():
            return texts(group, shown, ruled)
        case data.Pictures():
            return pictures(group, shown, ruled)
        case data.Files():
            return files(group, shown)
        case Marking():
            return marking_tables.terminal(group, shown, ruled)
        case _:
            return None


def per_class(group: sweep_results.Group, shown: PerClass, ruled: Callable[[str], Table]) -> RenderableType | None:
    """Figures by class of the group's best cell."""
    cell = next(iter(shown.cells), None)
    if cell is None:
        return None
    table = ruled(shown.noun)
    table.add_column(shown.counted, justify="right", no_wrap=True)
    for measure in shown.measures:
        table.add_column(measure.heading, justify="right", no_wrap=True)
    for one in (c for c in cell.classes if not c.part):
        pairs = zip(one.figures, shown.measures, strict=True)
        figures = [wording.with_interval_of(figure, measure.unit) for figure, measure in pairs]
        table.add_row(*map(Text, [one.name, f"{one.n:,}", *figures]))
    caption = f"The cell that leads: {cell.name}. {shown.terminal_caption}".rstrip()
    heading = f"{group.title} · {shown.about}"
    return Group(Text(heading, style="bold"), table, Padding(Text(caption, style="dim"), (0, 1)))


def confidence(group: sweep_results.Group, shown: Calibration, ruled: Callable[[str], Table]) -> RenderableType | None:
    """How far stated confidence is from the share that was right."""
    if not shown.cells:
        return None
    table = ruled("model · prompt · method")
    for name in ("answers", "stated\n%", "right\n%", "ECE\npoints"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in shown.cells[:MOST_LINES]:
        numbers = [wording.number(one.confidence, "share"), wording.with_interval_of(one.right, "share")]
        name = f"{one.name}: {one.level}, {one.short}"
        table.add_row(*map(Text, [name, f"{one.n:,}", *numbers, wording.number(one.error, "share")]))
    if len(shown.cells) > MOST_LINES:
        table.add_row(f"and {len(shown.cells) - MOST_LINES} more")
    caption = "ECE: the expected calibration error over ten bins; few answers make it too large."
    heading = f"{group.title} · {shown.title.lower()}"
    return Group(Text(heading, style="bold"), table, Padding(Text(caption, style="dim"), (0, 1)))


def _framed(group: sweep_results.Group, shown: Panel, rich_table: Table, caption: str) -> RenderableType:
    heading = Text(f"{group.title} · {shown.title[:1].lower()}{shown.title[1:]}", style="bold")
    return Group(heading, rich_table, *([Padding(Text(caption, style="dim"), (0, 1))] if caption else []))


def _cut(text: str) -> str:
    line = wording.one_line(text)
    return line if len(line) <= MOST_LETTERS else f"{line[:MOST_LETTERS]} …"


def table(group: sweep_results.Group, shown: data.Table, ruled: Callable[[str], Table]) -> RenderableType | None:
    """The first rows of a table."""
    if not shown.rows:
        return None
    first, *others = shown.columns
    rich_table = ruled(_heading(first))
    for column in others:
        numeric = column.unit is not None
        rich_table.add_column(
            Text(_heading(column)), justify="right" if numeric else "left", no_wrap=numeric, overflow="fold"
        )
    for row in shown.rows[:MOST_LINES]:
        cells = [wording.value_with_interval(v, c.unit) for v, c in zip(row, shown.columns, strict=True)]
        rich_table.add_row(*(Text(_cut(cell)) for cell in cells))
    if len(shown.rows) > MOST_LINES:
        rich_table.add_row(f"and {len(shown.rows) - MOST_LINES:,} more")
    return _framed(group, shown, rich_table, shown.caption)


def _heading(column: data.TableColumn) -> str:
    unit = wording.unit_name(column.unit or "") if column.unit != "count" else ""
    return f"{column.heading}\n{unit}".rstrip()


def texts(group: sweep_results.Group, shown: data.Texts, ruled: Callable[[str], Table]) -> RenderableType | None:
    """The first samples, each with a reference and some answers."""
    if not shown.cases:
        return None
    rich_table = ruled("sample, answered by")
    rich_table.add_column("text", overflow="fold", ratio=1)
    for n, heading in enumerate(shown.headings[:MOST_SCORES]):
        longest = max((len(one.scores[n]) for case in shown.cases for one in case.answers), default=0)
        if longest > MOST_OF_A_NUMBER:  # words, such as names
            rich_table.add_column(Text(heading), overflow="fold", ratio=1)
        else:
            rich_table.add_column(Text(heading), justify="right", no_wrap=True)
    for case in shown.cases[:MOST_CASES]:
        rich_table.add_row(
            Text(f"{case.sample}, {case.label}" if case.label else case.sample, style="bold"), Text(_cut(case.question))
        )
        for text in case.references[:1]:
            more = f" (and {len(case.references) - 1} more)" if len(case.references) > 1 else ""
            rich_table.add_row(Text(f"  reference{more}"), Text(_cut(text)))
        for one in case.answers[:MOST_ANSWERS]:
            answer_text = Text(wording.answered(one.outcome, _cut(one.text)))
            rich_table.add_row(
                Text(f"  {one.name}"), answer_text, *(Text(_cut(score)) for score in one.scores[:MOST_SCORES])
            )
        if len(case.answers) > MOST_ANSWERS:
            rich_table.add_row(f"  and {len(case.answers) - MOST_ANSWERS:,} more")
    if len(shown.cases) > MOST_CASES:
        rich_table.add_row(f"and {len(shown.cases) - MOST_CASES:,} more", Text("the page and report --json have them"))
    return _framed(group, shown, rich_table, shown.caption)


def pictures(group: sweep_results.Group, shown: data.Pictures, ruled: Callable[[str], Table]) -> RenderableType | None:
    """What the first cell answered about its first pictures, as text."""
    cell = next((c for c in shown.cells if c.cases), None)
    if cell is None:
        return None
    rich_table = ruled("sample")
    for name in ("truth", "answer"):
        rich_table.add_column(name, overflow="fold")
    for case in cell.cases[:MOST_LINES]:
        marks = [mark for image in case.images for mark in image.marks]
        truth, answer = ([m.label for m in marks if m.truth == whose] for whose in (True, False))
        name = f"{case.sample}, {case.label}" if case.label else case.sample
        rich_table.add_row(*(Text(_cut(t)) for t in (name, _marked(case.truth, truth), _marked(case.answer, answer))))
    if len(cell.cases) > MOST_LINES:
        rich_table.add_row(f"and {len(cell.cases) - MOST_LINES:,} more")
    return _framed(
        group, shown, rich_table, f"{cell.name or 'The cell'}; the page shows the pictures. {shown.caption}".rstrip()
    )


def files(group: sweep_results.Group, shown: data.Files) -> RenderableType | None:
    """How to write the files of cells."""
    if not shown.cells:
        return None
    heading = Text(f"{group.title} · {shown.title[:1].lower()}{shown.title[1:]}", style="bold")
    written = f"{counted(len(shown.cells), 'cell')}; to write them as files: paceline report SWEEP --files FOLDER"
    return Group(heading, Padding(Text(written), (0, 1)))


def _marked(text: str, labels: list[str]) -> str:
    """A text, and which boxes there are."""
    counts = Counter(label or "box" for label in labels)
    boxes = ", ".join(f"{n} × {label}" if n > 1 else label for label, n in counts.items())
    return "; ".join(filter(None, (text, f"boxes: {boxes}" if boxes else "")))


def costs(report: Report, group: sweep_results.Group, ruled: Table) -> RenderableType | None:
    """The cells that no other beats in both cost and score."""
    tradeoff = cost.tradeoff(report, group)
    if tradeoff is None:
        return None
    rows, spent = {row.id: row for row in group.rows}, cost.of_cells(report)
    score = f"{group.heading(tradeoff.metric)}\n{wording.unit_name(tradeoff.metric_unit)}"
    front = sorted((p for p in tradeoff.points if p.front), key=lambda p: p.hours)
    priced = any(spent[p.id].usd is not None for p in front)
    for name in (score, f"cost\n{tradeoff.unit}", *(["cost\nUS dollars"] if priced else [])):
        ruled.add_column(name, justify="right", no_wrap=True)
    for point in front[-MOST_LINES:]:
        row = rows[point.id]
        cells = [wording.number(point.value, tradeoff.metric_unit), wording.amount(point.hours)]
        cells += [wording.usd(spent[point.id].usd)] if priced else []
        ruled.add_row(*map(Text, [f"{row.model} · {row.asked} · {row.label}", *cells]))
    return Group(Text(f"{group.title} · no other cell is both cheaper and better", style="bold"), ruled)


def per_images(report: Report, ruled: Table) -> Iterator[RenderableType]:
    """Seconds and peak memory per image of the slowest cells."""
    found = per_image.slowest_first(report)
    if not found:
        return
    on_gpu = any(took.cuda_gib is not None for _, took in found)
    for name in ("mean\ns", "median\ns", "host\nGiB", *(["GPU\nGiB"] if on_gpu else [])):
        ruled.add_column(name, justify="right", no_wrap=True)
    for row, took in found[:MOST_LINES]:
        memory = [took.host_gib, *([took.cuda_gib] if on_gpu else [])]
        numbers = [took.seconds, took.median_seconds, *memory]
        cells = ["–" if number is None else wording.amount(number) for number in numbers]
        ruled.add_row(*map(Text, [f"{row.task}: {row.model} · {row.asked} · {row.label}", *cells]))
    title = "Seconds and memory per image"
    title += f", the slowest {MOST_LINES} of {counted(len(found), 'cell')}" if len(found) > MOST_LINES else ""
    yield Group(Text(title, style="bold"), ruled, Padding(Text(per_image.NOTE, style="dim"), (0, 1)))


def transfers(report: Report, ruled: Callable[[str], Table], width: int) -> Iterator[RenderableType]:
    """Tasks tuned on by tasks evaluated, for each model and method; as many columns side by side as there is room."""
    for matrix in transfer.matrices(report):
        shown = [[wording.with_interval(p.metric if p else None) for p in line.places] for line in matrix.lines]
        headings = [
            "\n".join(filter(None, (g.task, g.split, f"{g.heading(c.metric)} {wording.unit_name(c.unit)}".rstrip())))
            for c in matrix.columns
            for g in (c.group,)
        ]
        names = ["tuned on", *(line.name for line in matrix.lines)]
        room = width - max(map(len, names)) - 2
        tables: list[RenderableType] = []
        for columns in _side_by_side(headings, shown, room):
            rich_table = ruled("tuned on")
            for at in columns:
                rich_table.add_column(Text(headings[at]), justify="right", no_wrap=True)
            for line, cells in zip(matrix.lines, shown, strict=True):
                rich_table.add_row(Text(line.name), *(Text(cells[at]) for at in columns))
            tables.append(rich_table)
        yield Group(
            Text(f"Transfer · {matrix.model} · {matrix.method}", style="bold"),
            *tables,
            Padding(Text(wording.transfer(report, matrix), style="dim"), (0, 1)),
        )


def _side_by_side(headings: Sequence[str], shown: Sequence[Sequence[str]], room: int) -> list[list[int]]:
    """Positions of columns, in order, parted so that each part is no wider than the room, or is one column."""
    parts: list[list[int]] = []
    left = 0
    for at, heading in enumerate(headings):
        size = 1 + max(map(len, [*heading.split("\n"), *(cells[at] for cells in shown)]))
        if not parts or size > left:
            parts.append([])
            left = room
        parts[-1].append(at)
        left -= size
    return parts


def ended_early(report: Report, ruled: Table) -> Iterator[RenderableType]:
    """What was spent in all, and the causes for which attempts ended early; ``ruled`` has cause and remedy."""
    spent = cost.of_sweep(report)
    if spent.attempts and (spent.gpu_hours or spent.node_hours):
        yield Text(f"Cost: {wording.cost(spent)}")
    causes = failures.of_sweep(report)
    if not causes:
        return
    for f in causes:
        told = f"{counted(f.attempts, 'attempt')} of {counted(f.cells, 'cell')}, {f.recovered:,} done since"
        ruled.add_row(
            Text(f.cause), Text(f"{told}; {f.example.rpartition('-')[2]}, attempt {f.attempt}"), Text(f.remedy)
        )
    yield ruled
