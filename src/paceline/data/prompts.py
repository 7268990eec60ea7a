"""Templates of prompts and targets: ``{field}`` becomes the sample's field, every other brace stays as it is.

Prompts show JSON and set notation, so ``str.format`` is no help: it takes every brace for its own, and
reaches attributes of the values. Here a brace means something only around the name of a field, with or
without a format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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


def names(template: str, known: Mapping[str, Any]) -> list[str]:
    """The fields that a template names, of those known, each once."""
    return list(dict.fromkeys(m.group(1) for m in _FIELD.finditer(template) if m.group(1) in known))
