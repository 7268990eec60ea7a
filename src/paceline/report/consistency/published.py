"""Read a table of published figures: YAML written by hand, or what ``paceline report`` exports as CSV or JSON.

The YAML holds figures as they are printed (``7.6 % (+3.7)``), because the printed digits give their precision:

.. code-block:: yaml

    title: a study
    rows:
      - model: a                    # required; method, prompt and test tell rows of one model apart
        method: lora                # `untuned` and `base` are no tuning, everything else is
        n: 2250                     # samples in the denominator, where they are printed
        figures: {exact_accuracy: 212 of 500, bleu_share: 7.6 % (+3.7)}
    cases:                          # single answers: whose image, and how far off each model was, by the kind's key
      - {image: easy image of a, KEY: {a: 5.46, b: 85.50}, truth: {...}}
    statements:                     # sentences of the text
      - {says: the easy case was below 6, model: a, image: easy image of a, value: <= 6}
      - {says: 212 were right, model: a, metric: exact_accuracy, value: 212 of 500}
      - {says: a was the best, better: {model: a}, than: {model: b}, metric: exact_accuracy}
      - {says: all models improved, improved: all}

Which metrics have which unit, what a case's KEY is and what truths can be checked is for the kinds of task to say
(``figure_checks``).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from paceline.errors import UserError, nearest
from paceline.tasks.figures import (
    Better,
    Case,
    Figure,
    FigureChecks,
    Improved,
    Quoted,
    ResultTable,
    Row,
    known_checks,
    parse_claim,
    parse_figure,
)

SUFFIXES = (".yaml", ".yml", ".json", ".csv")
UNTUNED = ("", "untuned", "base")
T = TypeVar("T")

_TABLE = ("title", "source", "rows", "cases", "statements")
_ROW = ("model", "method", "prompt", "test", "tuned", "n", "figures", "predictions")
_CASE = ("image", "truth")
_SELECT = ("model", "method", "prompt", "test")
_STATEMENTS = {
    "better": ("says", "better", "than", "metric"),
    "improved": ("says", "improved"),
    "image": ("says", *_SELECT, "image", "value"),
    "metric": ("says", *_SELECT, "metric", "value"),
}


def read_table(path: Path) -> ResultTable:
    """The table of a file.

    Raises:
        UserError: it can't be read, is no table, or a key or a figure is wrong, with its place and the nearest name.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: can't be read: {getattr(error, 'strerror', None) or 'it is no UTF-8 text'}") from None
    if path.suffix == ".csv":
        return _of_csv(text, str(path))
    # Numbers stay text, so that the digits printed are known.
    content = _json(text, str(path)) if path.suffix == ".json" else _yaml(text, str(path))
    rows = content.get("rows") if isinstance(content, dict) else None
    if isinstance(rows, list) and any(isinstance(row, dict) and "metrics" in row for row in rows):
        return _of_export(rows, str(path))
    return _of_mapping(content, str(path))


def _of_mapping(content: Any, place: str) -> ResultTable:
    listed = {checks.truths_key: checks for checks in known_checks() if checks.truths_key}
    table = _mapping(content, (*_TABLE[:4], *listed, *_TABLE[4:]), place)
    rows = tuple(_row(row, f"{place}: rows[{i}]") for i, row in enumerate(_list(table, "rows", place)))
    if not rows:
        raise UserError(f"{place}: rows: none is given")
    _refuse_twins(rows, place)
    answered = [(case, f"{place}: cases[{i}]") for i, case in enumerate(_list(table, "cases", place))]
    cases = tuple(c for case, where in answered for c in _cases(case, rows, where))
    truths = [
        _truth_of(checks, truth, f"{place}: {key}[{i}]")
        for key, checks in listed.items()
        for i, truth in enumerate(_list(table, key, place))
    ]
    for case, where in answered:
        if "truth" in case:
            checks = _checks_of(case, where)
            case_truth = _mapping(case["truth"], checks.truth_keys, where)
            truths.append(_truth_of(checks, {"name": case["image"], **case_truth}, f"{where}.truth"))
    return ResultTable(
        title=_text(table.get("title", place), place),
        rows=rows,
        cases=cases,
        truths=tuple(truths),
        statements=tuple(
            _statement(s, rows, cases, f"{place}: statements[{i}]")
            for i, s in enumerate(_list(table, "statements", place))
        ),
    )


def _row(content: Any, place: str) -> Row:
    row = _mapping(content, _ROW, place, needed=("model", "figures"))
    method = _text(row.get("method", ""), f"{place}.method")
    n = _parsed(f"{place}.n", int, _text(row["n"], place).replace(",", "")) if "n" in row else None
    figures = row["figures"]
    if not isinstance(figures, dict):
        raise UserError(f"{place}.figures: expected a mapping of metric to figure")
    return Row(
        model=_text(row["model"], f"{place}.model"),
        method=method,
        prompt=_text(row.get("prompt", ""), f"{place}.prompt"),
        test=_text(row.get("test", ""), f"{place}.test"),
        tuned=_truth(row["tuned"], f"{place}.tuned") if "tuned" in row else method not in UNTUNED,
        figures={
            name: _parsed(f"{place}.figures.{name}", parse_figure, _text(text, place), name, n)
            for name, text in figures.items()
        },
        predictions=_text(row.get("predictions", ""), f"{place}.predictions"),
    )


def _checks_of(case: Mapping[str, Any], place: str) -> FigureChecks:
    """The kind whose key a case gives its values under."""
    kinds = {checks.case_key: checks for checks in known_checks() if checks.case_key}
    case_key = next((key for key in kinds if key in case), None)
    if case_key is None:
        raise UserError(f"{place}: '{' or '.join(kinds)}' is not given")
    return kinds[case_key]


def _cases(content: Any, rows: tuple[Row, ...], place: str) -> Iterable[Case]:
    keys = [checks.case_key for checks in known_checks() if checks.case_key]
    case = _mapping(content, (_CASE[0], *keys, *_CASE[1:]), place, needed=("image",))
    checks = _checks_of(case, place)
    key = checks.case_key
    if not isinstance(case[key], dict):
        raise UserError(f"{place}.{key}: expected a mapping of model to the {checks.case_name} of its answer")
    for model, text in case[key].items():
        model_rows = tuple(row for row in rows if row.model == model)
        if not model_rows:
            raise UserError(f"{place}.{key}: no row of a model '{model}': {nearest(model, (r.model for r in rows))}")
        error = _parsed(f"{place}.{key}.{model}", parse_figure, _text(text, place), f"case_{key}")
        yield Case(model, _text(case["image"], place), error, model_rows)


def _truth_of(checks: FigureChecks, content: Any, place: str) -> Any:
    truth_fields = _mapping(content, checks.truth_keys, place, needed=checks.truth_keys)
    assert checks.read_truth is not None
    return _parsed(
        place, checks.read_truth, {key: _text(v, f"{place}.{key}") for key, v in truth_fields.items()}, place
    )


def _statement(content: Any, rows: tuple[Row, ...], cases: tuple[Case, ...], place: str) -> Quoted | Better | Improved:
    if not isinstance(content, dict):
        raise UserError(f"{place}: expected a mapping of keys to values")
    kind = next((kind for kind in _STATEMENTS if kind in content), None)
    if kind is None:
        raise UserError(f"{place}: says nothing to check; give one of {', '.join(_STATEMENTS)}")
    s = _mapping(content, _STATEMENTS[kind], place, needed=("says",))
    text = _text(s["says"], f"{place}.says")
    if kind == "improved":
        return Improved(text, _models(s["improved"], rows, f"{place}.improved"))
    if kind == "better":
        _need(s, ("than", "metric"), place)
        row, than = (_select(s[key], rows, f"{place}.{key}") for key in ("better", "than"))
        for compared in (row, than):
            _figure(compared, s["metric"], place)
        return Better(text, row, than, s["metric"])
    _need(s, ("model", "value"), place)
    if kind == "image":
        return _quoted_case(text, s, cases, place)
    row = _select({key: s[key] for key in _SELECT if key in s}, rows, place)
    relation, stated = _parsed(f"{place}.value", parse_claim, _text(s["value"], place), s["metric"])
    return Quoted(text, row.label, s["metric"], _figure(row, s["metric"], place), stated, relation)


def _quoted_case(text: str, s: Mapping[str, Any], cases: tuple[Case, ...], place: str) -> Quoted:
    case = next((c for c in cases if (c.model, c.image) == (s["model"], s["image"])), None)
    if case is None:
        known = nearest(str(s["image"]), (c.image for c in cases if c.model == s["model"]))
        raise UserError(f"{place}.image: {s['model']} has no case '{s['image']}': {known}")
    relation, stated = _parsed(f"{place}.value", parse_claim, _text(s["value"], place), f"case_{case.error.unit}")
    return Quoted(text, case.model, case.image, case.error, stated, relation)


def _models(names: Any, rows: tuple[Row, ...], place: str) -> tuple[str, ...]:
    known = tuple(dict.fromkeys(row.model for row in rows))
    if names == "all":
        return known
    for name in names if isinstance(names, list) else [names]:
        if name not in known:
            raise UserError(f"{place}: no row of a model '{name}': {nearest(str(name), known)}, or 'all'")
    return tuple(names) if isinstance(names, list) else (names,)


def _select(content: Any, rows: tuple[Row, ...], place: str) -> Row:
    """The one row that a mapping of model, method, prompt and test describes."""
    criteria = _mapping(content, _SELECT, place, needed=("model",))
    matching = [row for row in rows if all(getattr(row, key) == value for key, value in criteria.items())]
    if len(matching) == 1:
        return matching[0]
    description = " · ".join(map(str, criteria.values()))
    labels = "; ".join(row.label for row in (matching or rows)[:8])
    raise UserError(
        f"{place}: {len(matching) or 'no'} rows are '{description}'; say which by {', '.join(_SELECT)}: {labels}"
    )


def _figure(row: Row, metric: str, place: str) -> Figure:
    if metric not in row.figures:
        raise UserError(f"{place}.metric: {row.label} has no '{metric}': {nearest(str(metric), row.figures)}")
    return row.figures[metric]


def _refuse_twins(rows: tuple[Row, ...], place: str) -> None:
    labels = [row.label for row in rows]
    for i, label in enumerate(labels):
        if label in labels[:i]:
            raise UserError(f"{place}: rows[{i}]: '{label}' stands twice; tell the rows apart by {', '.join(_SELECT)}")


def _of_csv(text: str, place: str) -> ResultTable:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    _need_columns(reader.fieldnames or [], place)
    return _of_records(((i, record) for i, record in enumerate(reader, 2)), place, "line {}")


def _need_columns(columns: Iterable[str], place: str) -> None:
    for name in ("model", "metric", "value"):
        if name not in columns:
            raise UserError(
                f"{place}: no column '{name}'; expected the long form that `paceline report SWEEP --csv` writes: "
                "model, method, prompt, metric, value, unit, n, …"
            )


def _of_export(rows: list[Any], place: str) -> ResultTable:
    """``paceline report SWEEP --json``: metrics by name, those of several splits as ``split/name``."""

    def records() -> Iterable[tuple[int, dict[str, Any]]]:
        for i, row in enumerate(rows):
            metrics = row.get("metrics") if isinstance(row, dict) else None
            if not isinstance(metrics, dict) or not all(isinstance(m, dict) for m in metrics.values()):
                raise UserError(f"{place}: rows[{i}].metrics: expected a mapping of name to value, n and unit")
            for full, metric in metrics.items():
                split, _, name = full.rpartition("/")
                yield i, {**row, **metric, "split": split, "metric": name}

    return _of_records(records(), place, "rows[{}]")


def _of_records(records: Iterable[tuple[int, Mapping[str, Any]]], place: str, where: str) -> ResultTable:
    """One record a figure; a row of the table is a cell and a split of it."""
    rows: dict[tuple[str, ...], Row] = {}
    for i, record in records:
        at = f"{place}: {where.format(i)}"
        names = {key: str(record.get(key) or "") for key in ("cell", "id", *_SELECT, "variant", "task", "split")}
        if not names["model"] or not record.get("metric") or record.get("value") in (None, ""):
            continue  # a cell without a result
        row = rows.setdefault(
            tuple(names.values()),
            Row(
                model=names["model"],
                method=f"{names['method']} ({names['variant']})" if names["variant"] else names["method"],
                prompt=names["prompt"],
                test=names["test"] or " · ".join(filter(None, (names["task"], names["split"]))),
                tuned=names["method"] not in UNTUNED,
            ),
        )
        figure = _parsed(at, _exported, record)
        row.figures[str(record["metric"])] = figure  # type: ignore[index]
    if not rows:
        raise UserError(f"{place}: no figure in it")
    return ResultTable(place, tuple(rows.values()))


def _exported(record: Mapping[str, Any]) -> Figure:
    unit = str(record.get("unit") or "")
    n = int(record["n"]) if record.get("n") not in (None, "") else None
    value = f"{record['value']} %" if unit == "%" else str(record["value"])
    figure = parse_figure(value, str(record["metric"]), n)
    shown = f"{100 * figure.value:.6g} %" if figure.unit == "share" else f"{figure.value:.8g} {unit}".rstrip()
    return replace(figure, unit=figure.unit or unit, printed=shown)


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: no JSON: {error}") from None


def _yaml(text: str, place: str) -> Any:
    import yaml

    class Loader(yaml.BaseLoader):
        """Every scalar as text; a key that stands twice is an error."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [key.value for key, _ in node.value]
            for key in keys:
                if keys.count(key) > 1:
                    raise yaml.constructor.ConstructorError(None, None, f"'{key}' stands twice", node.start_mark)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{place}: no YAML: {' '.join(str(error).split())}") from None


def _mapping(content: Any, known: Iterable[str], place: str, needed: Iterable[str] = ()) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise UserError(f"{place}: expected a mapping of keys to values, with {', '.join(known)}")
    for key in content:
        if key not in known:
            raise UserError(f"{place}: unknown key '{key}': {nearest(str(key), known)}")
    _need(content, needed, place)
    return content


def _need(content: Mapping[str, Any], keys: Iterable[str], place: str) -> None:
    for key in keys:
        if key not in content:
            raise UserError(f"{place}: '{key}' is not given")


def _list(table: Mapping[str, Any], key: str, place: str) -> list[Any]:
    entries = table.get(key) or []
    if not isinstance(entries, list):
        raise UserError(f"{place}: {key}: expected a list")
    return entries


def _text(value: Any, place: str) -> str:
    if isinstance(value, str):
        return value
    _refuse(place, f"expected one value, got {value!r}")


def _truth(value: Any, place: str) -> bool:
    if str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    _refuse(place, f"expected true or false, got '{value}'")


def _refuse(place: str, message: str) -> NoReturn:
    raise UserError(f"{place}: {message}")


def _parsed(place: str, make: Callable[..., T], *arguments: Any) -> T:
    """The return value of a function; the message of a ValueError gets the place in the file."""
    try:
        return make(*arguments)
    except ValueError as error:
        raise UserError(f"{place}: {error}") from None
