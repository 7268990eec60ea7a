"""Where boxes stand in an answer, as they are written: numbers, what they are called, and which form they have.

Forms are looked for in this order, and what one has taken is left out of the next: tokens of models (``<loc0123>``,
``<loc_123>``, ``<patch_index_0044>``), numbers with names in any order (``left: 10``, ``"x1": 10``, ``top left (1,
2)``, ``x from 1 to 2``), lists of four in brackets, two points, four bare numbers. Every search is linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

Span = tuple[int, int]
N = r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)"
UNIT = r"(?:\s*(?:%|px\b|pixels?\b))?"


@dataclass(frozen=True)
class Found:
    """One box as it is written."""

    values: tuple[float, ...]
    """Four numbers, in the order of ``order``."""
    span: Span
    order: str = ""
    """``xyxy``, ``xywh``, ``cxcywh``, ``yxyx``; empty where nothing at the numbers tells it."""
    scale: str = ""
    """What tokens or signs tell: ``thousand``, ``percent``, ``loc_1024``, ``loc_1000``, ``patches``; else empty."""
    corners: bool = False
    """Two points, of which either may be the upper left."""
    score: float | None = None


def found_in(text: str) -> list[Found]:
    """Every box in a text, in the order in which they stand."""
    boxes = [*_tokens(text)]
    boxes += _outside(_named(text), boxes)
    boxes += _outside(_listed(text), boxes)
    regions = [m.span() for m in _REGION.finditer(text)]
    boxes = sorted(_in_regions(sorted(boxes, key=lambda one: one.span), regions), key=lambda one: one.span)
    return [replace(one, score=one.score if one.score is not None else s) for one, s in _with_scores(text, boxes)]


def _outside(new: Iterator[Found], taken: Sequence[Found]) -> list[Found]:
    """Boxes that share no character with those that were found before; both in the order of the text."""
    kept: list[Found] = []
    spans = sorted(one.span for one in taken)
    at = 0
    for one in sorted(new, key=lambda one: one.span):
        while at < len(spans) and spans[at][1] <= one.span[0]:
            at += 1
        if at == len(spans) or spans[at][0] >= one.span[1]:
            kept.append(one)
    return kept


# -- tokens of models

_PALIGEMMA = re.compile(r"\s*".join([r"<loc(\d{1,4})>"] * 4))
_FLORENCE = re.compile(r"\s*".join([r"<loc_(\d{1,4})>"] * 4))
_KOSMOS = re.compile(r"<patch_index_(\d{1,4})>\s*<patch_index_(\d{1,4})>")
_REGION = re.compile(r"<(?:box|\|box_start\|)>[^<]{0,2000}")
_GRID = 32
"""Patches a side, of Kosmos-2."""


def _tokens(text: str) -> Iterator[Found]:
    for match in _PALIGEMMA.finditer(text):
        yield Found(tuple(map(float, match.groups())), match.span(), "yxyx", "loc_1024")
    for match in _FLORENCE.finditer(text):
        yield Found(tuple(map(float, match.groups())), match.span(), "xyxy", "loc_1000")
    for match in _KOSMOS.finditer(text):
        yield Found(_patches(int(match[1]), int(match[2])), match.span(), "xyxy", "patches")


def _patches(first: int, last: int) -> tuple[float, ...]:
    """Shares of the picture between the middles of two patches; of patches in one row or column between their edges."""
    (y0, x0), (y1, x1) = divmod(first, _GRID), divmod(last, _GRID)
    inset = 0.0 if x0 == x1 or y0 == y1 else 0.5
    return tuple(v / _GRID for v in (x0 + inset, y0 + inset, x1 + 1 - inset, y1 + 1 - inset))


def _in_regions(boxes: Sequence[Found], regions: Sequence[Span]) -> Iterator[Found]:
    """Boxes, those behind ``<box>`` or ``<|box_start|>`` in thousandths."""
    at = 0
    for one in boxes:
        while at < len(regions) and regions[at][1] <= one.span[0]:
            at += 1
        inside = at < len(regions) and regions[at][0] <= one.span[0]
        yield replace(one, scale="thousand") if inside and not one.scale else one


# -- numbers with names

_ROLES = {
    "left": "left leftx xleft xmin minx x0 startx",
    "right": "right rightx xright xmax maxx x2 endx",
    "top": "top topy ytop ymin miny y0 starty",
    "bottom": "bottom bottomy ybottom ymax maxy y2 endy",
    "x1": "x1",
    "y1": "y1",
    "x": "x",
    "y": "y",
    "w": "w width",
    "h": "h height",
    "cx": "cx xc xcenter centerx xcentre centrex",
    "cy": "cy yc ycenter centery ycentre centrey",
}
_ROLE_OF = {name: role for role, names in _ROLES.items() for name in names.split()}
_WORDS = (
    r"left[_ ]?x|x[_ ]?left|x[_ ]?min|min[_ ]?x|start[_ ]?x|x[_ ]?cent(?:er|re)|cent(?:er|re)[_ ]?x|x[_ ]?max|max[_ ]?x"
    r"|right[_ ]?x|x[_ ]?right|end[_ ]?x|top[_ ]?y|y[_ ]?top|y[_ ]?min|min[_ ]?y|start[_ ]?y|y[_ ]?cent(?:er|re)"
    r"|cent(?:er|re)[_ ]?y|y[_ ]?max|max[_ ]?y|bottom[_ ]?y|y[_ ]?bottom|end[_ ]?y|left|right|top|bottom|width|height"
    r"|[xy]_?[012]|[cx][xy]|[xy]c|x|y|w|h"
)
_CORNER = r"(?:top|upper|bottom|lower)[\s_-]*(?:left|right)"
_NAMED = re.compile(
    rf"(?<![A-Za-z0-9_])(?:(?P<corner>{_CORNER}|cent(?:er|re))(?![A-Za-z])[^0-9.+\n\[-]{{0,30}}[\[(]?\s*"
    rf"(?P<px>{N}){UNIT}[^0-9.+\n-]{{1,12}}(?P<py>{N})(?!\d)(?P<pu>{UNIT})(?![\d.]*[\s,;]+[-.\d])"
    rf"|(?P<axis>[xy])[\"']?\s*(?:[:=]|(?:goes |ranges? |runs )?(?:from|between)\b)\s*(?P<from>{N}){UNIT}\s*"
    rf"(?:-|–|to\b|and\b)\s*(?P<to>\d+(?:\.\d+)?|\.\d+)(?P<tu>{UNIT})(?![\d.])"
    rf"|from\s+(?P<sfrom>{N}){UNIT}\s+to\s+(?P<sto>{N})(?P<su>{UNIT})\s+(?:of|along|in) the (?:image'?s? )?"
    rf"(?P<side>width|height)"
    rf"|(?P<name>{_WORDS})(?![A-Za-z0-9_])(?:[ _-]?(?:edge|side|coordinate|corner|value))?[\"'*`]*"
    rf"(?P<sep>\s*[:=]\s*[*]*\s*|\s+(?:is|at|of)\s+(?:at\s+)?|\s+)[\"']?(?P<v>{N})(?![\d.]*\d)(?P<u>{UNIT}))",
    re.IGNORECASE,
)
_FARTHEST = 120
"""Characters between two numbers of one box."""


@dataclass
class _Group:
    """Numbers with names that stand together, and are no box yet."""

    start: int = 0
    end: int = 0
    roles: dict[str, float] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    percent: list[bool] = field(default_factory=list)


def _named(text: str) -> Iterator[Found]:
    group = _Group()
    for match in _NAMED.finditer(text):
        name, roles, unit = _said(match)
        if not roles:
            continue
        if name in ("x", "y") and name in group.names and not group.names & {"w", "h"}:
            # x=1, y=2 to x=3, y=4
            name = {"x": "right", "y": "bottom"}[name]
            roles = {name: next(iter(roles.values()))}
        if group.roles and (name in group.names or match.start() - group.end > _FARTHEST):
            yield from _box(group)
            group = _Group()
        if not group.roles:
            group.start = match.start()
        group.end = match.end()
        group.names.add(name)
        group.percent.append(unit)
        for role, value in roles.items():
            # Of four corners the outermost count.
            kept = max if role in ("right", "bottom") else min
            group.roles[role] = kept(value, group.roles.get(role, value))
    yield from _box(group)


def _said(match: re.Match[str]) -> tuple[str, dict[str, float], bool]:
    """Its name, role -> number, and whether these are per cent; no roles where it names nothing."""
    if corner := match["corner"]:
        x, y = float(match["px"]), float(match["py"])
        if corner.lower().startswith("cent"):
            return "center", {"cx": x, "cy": y}, "%" in match["pu"]
        across = "left" if corner.lower().endswith("left") else "right"
        down = "top" if corner.lower().startswith(("top", "upper")) else "bottom"
        return f"{down} {across}", {across: x, down: y}, "%" in match["pu"]
    if axis := (match["axis"] or match["side"]):
        ends = [(match["from"], match["to"]), (match["sfrom"], match["sto"])][match["axis"] is None]
        sides = ("left", "right") if axis.lower() in ("x", "width") else ("top", "bottom")
        percent = "%" in (match["tu"] or match["su"] or "")
        return f"along {sides[0]}", dict(zip(sides, map(float, ends), strict=True)), percent
    name = re.sub(r"[_ ]", "", match["name"].lower())
    if len(name) <= 2 and not re.search(r"[:=]|is|at", match["sep"]):  # the x of 640 x 480
        return name, {}, False
    role = _ROLE_OF[name]
    return role, {role: float(match["v"])}, "%" in match["u"]


def _box(group: _Group) -> Iterator[Found]:
    """The box of a group, where it is one."""
    roles = dict(group.roles)
    for axis, low, high in (("x", "left", "right"), ("y", "top", "bottom")):
        if (value := roles.pop(f"{axis}1", None)) is not None:
            roles.setdefault(high if low in roles and high not in roles else low, value)
        if (value := roles.pop(axis, None)) is not None:
            roles.setdefault(low, value)
    across, down = _ends(roles, "left", "right", "w", "cx"), _ends(roles, "top", "bottom", "h", "cy")
    if across is None or down is None:
        return
    order = {("ends", "ends"): "xyxy", ("w", "w"): "xywh", ("cx", "cx"): "cxcywh"}.get((across[0], down[0]), "xyxy")
    sides = [side[1:] if order != "xyxy" else _corners(*side) for side in (across, down)]
    values = (sides[0][0], sides[1][0], sides[0][1], sides[1][1])
    yield Found(values, (group.start, group.end), order, "percent" if all(group.percent) else "", order == "xyxy")


def _ends(roles: dict[str, float], low: str, high: str, length: str, middle: str) -> tuple[str, float, float] | None:
    for form, first, second in (("ends", low, high), ("w", low, length), ("cx", middle, length)):
        if first in roles and second in roles:
            return form, roles[first], roles[second]
    return None


def _corners(form: str, first: float, second: float) -> tuple[float, float]:
    if form == "cx":
        return first - second / 2, first + second / 2
    return (first, second) if form == "ends" else (first, first + second)


# -- lists of numbers

_TOKEN = re.compile(rf"(?P<n>(?<![\w.]){N}(?:(?=px\b)|(?!\w|\.\d)))(?P<u>{UNIT})|[\[({{<]|[\])}}>]|[\s,;]+|[^\s,;]")
_OPEN, _CLOSE = "[({<", "])}>"
_BETWEEN_POINTS = re.compile(r"[\s,;]*(?:-|–|—|→|->|until|through|(?:and )?(?:ends at|to)|and)?[\s,;]*")
_BETWEEN_NUMBERS = re.compile(r"[ \t]*[,;]\s*|[ \t]+")


@dataclass
class _Node:
    """A bracket that is open, or what a closed one holds."""

    bracket: str
    start: int
    end: int = 0
    clean: bool = True
    """Whether it holds nothing but numbers and brackets."""
    numbers: list[tuple[float, bool]] = field(default_factory=list)
    points: list[tuple[float, float, bool]] = field(default_factory=list)
    others: int = 0
    """Brackets in it that are no points."""


@dataclass
class _Loose:
    """What stands in no list: points, and numbers."""

    points: list[tuple[Span, tuple[float, float, bool]]] = field(default_factory=list)
    numbers: list[tuple[Span, tuple[float, bool]]] = field(default_factory=list)


def _listed(text: str) -> Iterator[Found]:
    loose = _Loose()
    stack = [_Node("", 0, clean=False)]
    opened = dict.fromkeys(_OPEN, 0)
    waiting: list[tuple[int, Span, tuple[float, bool]]] = []  # numbers in a bracket that is open: its depth
    for match in _TOKEN.finditer(text):
        token = match[0]
        if match["n"]:
            number = float(match["n"]), "%" in match["u"]
            stack[-1].numbers.append(number)
            waiting.append((len(stack), match.span(), number))
        elif token in _OPEN:
            stack.append(_Node(token, match.start()))
            opened[token] += 1
        elif token in _CLOSE:
            bracket = _OPEN[_CLOSE.index(token)]
            while opened[bracket] and len(stack) > 1:
                node = stack.pop()
                opened[node.bracket] -= 1
                node.end = match.end()
                closes = node.bracket == bracket
                yield from _closed(node, stack[-1], loose, waiting, len(stack) + 1, closes)
                if closes:
                    break
        elif not token.isspace() and token.strip(",;\t\n\r "):
            stack[-1].clean = False
    loose.numbers += [(span, number) for depth, span, number in waiting if depth == 1]
    yield from _pairs(text, loose)
    yield from _bare(text, loose)


def _closed(
    node: _Node,
    parent: _Node,
    loose: _Loose,
    waiting: list[tuple[int, Span, tuple[float, bool]]],
    depth: int,
    closes: bool,
) -> Iterator[Found]:
    """What a bracket held: a box, a point for the bracket around it, or numbers that stand loose."""
    inside = []
    while waiting and waiting[-1][0] >= depth:
        inside.append(waiting.pop()[1:])
    span = node.start, node.end
    whole = node.clean and closes and not node.others
    if whole and node.numbers and not node.points:
        values = tuple(value for value, _ in node.numbers)
        percent = "percent" if all(sign for _, sign in node.numbers) else ""
        if len(values) == 2:
            point = (*values, bool(percent))
            parent.points.append(point)  # type: ignore[arg-type]  # two numbers and a sign
            if not parent.clean:
                loose.points.append((span, point))  # type: ignore[arg-type]
            return
        if len(values) == 4:
            yield Found(values, span, scale=percent)
        elif len(values) == 5 and 0 <= values[4] <= 1 and max(values[:4]) > 1:
            yield Found(values[:4], span, score=values[4])
    elif whole and node.points and not node.numbers and len(node.points) > 1:
        (xs, ys, signs) = zip(*node.points, strict=True)
        scale = "percent" if all(signs) else ""
        if len(node.points) == 2:
            yield Found((xs[0], ys[0], xs[1], ys[1]), span, "xyxy", scale, corners=True)
        else:
            yield Found((min(xs), min(ys), max(xs), max(ys)), span, "xyxy", scale)
    elif not node.clean and closes:
        loose.numbers += [(at, number) for at, number in reversed(inside)]
    parent.others += 1


def _pairs(text: str, loose: _Loose) -> Iterator[Found]:
    """Two points that stand together: ``(1, 2), (3, 4)``, ``from (1, 2) to (3, 4)``."""
    at = 0
    while at + 1 < len(loose.points):
        ((start, end), (x0, y0, first)), ((begin, stop), (x1, y1, second)) = loose.points[at : at + 2]
        if begin - end <= 30 and _BETWEEN_POINTS.fullmatch(text, end, begin):
            scale = "percent" if first and second else ""
            yield Found((x0, y0, x1, y1), (start, stop), "xyxy", scale, corners=True)
            at += 1
        at += 1


def _bare(text: str, loose: _Loose) -> Iterator[Found]:
    """Four numbers and no more in a row, without brackets."""
    run: list[tuple[Span, tuple[float, bool]]] = []
    for one in [*sorted(loose.numbers), None]:
        joins = one and run and one[0][0] - run[-1][0][1] <= 20
        if one and run and joins and _BETWEEN_NUMBERS.fullmatch(text, run[-1][0][1], one[0][0]):
            run.append(one)
            continue
        if len(run) == 4:
            percent = "percent" if all(sign for _, (_, sign) in run) else ""
            yield Found(tuple(value for _, (value, _) in run), (run[0][0][0], run[-1][0][1]), scale=percent)
        run = [one] if one else []


# -- scores

_SCORE = re.compile(
    r"(?<![a-z])(?:confidence(?:[ _]score)?|conf|scores?|probability|prob)[\"'*]*\s*(?:of|is|:|=)?\s*[\"']?"
    rf"({N})(\s*%)?",
    re.IGNORECASE,
)
_BEHIND = 60
"""Characters behind a box in which its score stands, on its line."""


def _with_scores(text: str, boxes: Sequence[Found]) -> Iterator[tuple[Found, float | None]]:
    """Each box with the score beside it: in the same braces, or behind it on its line."""
    for at, one in enumerate(boxes):
        before = boxes[at - 1].span[1] if at else 0
        after = boxes[at + 1].span[0] if at + 1 < len(boxes) else len(text)
        start, end = one.span
        opened = text.rfind("{", max(before, start - 300), start + 1)
        closed = text.find("}", max(end - 1, start), min(after, end + 300))
        if opened >= 0 and closed >= 0:
            windows = [(end, closed), (opened, start)]
        else:
            line = text.find("\n", end, min(after, end + _BEHIND))
            windows = [(end, line if line >= 0 else min(after, end + _BEHIND))]
        scores = (_SCORE.search(text, *window) for window in windows if window[0] < window[1])
        yield one, next((score for m in scores if m and (score := _share(m)) is not None), None)


def _share(match: re.Match[str]) -> float | None:
    value = float(match[1])
    if match[2] or 1 < value <= 100:
        value /= 100
    return value if 0 <= value <= 1 else None
