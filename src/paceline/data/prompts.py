"""Templates of prompts and targets: ``{field}`` becomes the sample's field, every other brace stays as it is.

Prompts show JSON and set notation, so ``str.format`` is no help: it takes every brace for its own, and
reaches attributes of the values. Here a brace means something only around the name of a field, with or
without a format. What looks like a field and is none is refused when a sweep is planned (:func:`unfilled`): a model
would be asked about, or trained to say, the braces themselves.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from paceline.errors import DataError, UserError

# {name} or {name:.4f}: the format mini-language less its space sign, so that `{count: 1}` stays
# JSON-like text.
_FIELD = re.compile(
    r"\{([A-Za-z_][A-Za-z0-9_]*)(?::((?:[^{}\s]?[<>=^])?[-+]?z?#?0?\d{0,3}[,_]?(?:\.\d{1,3})?[bcdeEfFgGnosxX%]?))?\}"
)


def render(template: str, fields: Mapping[str, Any]) -> str:
    """Fill a template in.

    Args:
        template: text with ``{name}`` or ``{name:.4f}``.
        fields: values by name, as ``fields`` of a task kind gives them. Names that the template does not
        use, and
            braces around anything that is no name of a field, do nothing. Values are put in as they are:
            braces inside a value mean nothing.

    Raises:
        DataError: a field that the template names is None: this sample does not have it.
        UserError: a format that does not fit the value, such as ``{city:.4f}``.
    """

    def fill(match: re.Match[str]) -> str:
        name, form = match.group(1), match.group(2) or ""
        if name not in fields:
            return match.group()
        value = fields[name]
        if value is None:
            raise DataError(f"the template names {match.group()}, and this sample has no '{name}'")
        try:
            return format(value, form)
        except (ValueError, TypeError) as error:
            raise UserError(f"the template's {match.group()} does not fit the value {value!r}: {error}") from None

    return _FIELD.sub(fill, template)


# \boxed{answer}, \frac{a}{b}, x_{i}, 10^{n}: braces of LaTeX, in which a prompt may ask for an answer.
_LATEX = re.compile(r"\\[A-Za-z]+\*?(?:\{[^{}]*\})*$")
# {label.2f}, {label }, {label!r}, {label, …: of a field, and not written as one.
_NEARLY = re.compile(r"\{\s*([A-Za-z_][A-Za-z0-9_]*)(?![A-Za-z0-9_])[^{}]*\}?")
# {size: 12.5} is JSON without quotes, {size: .2f} a format with a space too many.
_JSON = re.compile(r"\{\s*\w+:\s+(?!(?:[-+]?\d*\.?\d*[bcdeEfFgGnosxX%]\s*)\}$)|\{\s*\w+\s*:\s*$")
_ALIKE = 0.8


def unfilled(template: str, fields: Iterable[str], *, trained_on: bool = False) -> list[str]:
    """What of a template looks like a field and would stay as it is, such as ``{lable}``, each once.

    Args:
        template: the text.
        fields: names that are filled in.
        trained_on: whether the text is a target. There what stands behind ``\\boxed`` counts too, and so do several
            fields in one pair of braces: in a prompt these may show a form of answer.
    """
    known = set(fields)
    wrong: dict[str, None] = {}
    for match in _FIELD.finditer(template):
        before = template[max(0, match.start() - 200) : match.start()]
        script = len(match.group(1)) == 1 and before.endswith(("_", "^"))
        if match.group(1) not in known and (trained_on or not (script or _LATEX.search(before))):
            wrong[match.group()] = None
    for match in _NEARLY.finditer(template):
        name, shown = match.group(1), match.group()
        meant = bool(difflib.get_close_matches(name, known, 1, _ALIKE)) if trained_on else name in known
        form = not trained_on and ("," in shown or not shown.endswith("}"))
        if meant and not form and not _FIELD.match(template, match.start()) and not _JSON.match(shown):
            wrong[shown] = None
    return list(wrong)


def names(template: str, known: Mapping[str, Any]) -> list[str]:
    """The fields that a template names, of those known, each once."""
    return list(dict.fromkeys(m.group(1) for m in _FIELD.finditer(template) if m.group(1) in known))
