"""Of what architecture the weights of a family may be; read without importing the family, which needs torch."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

from paceline import plugins
from paceline.imports import literal


def other_architecture(family: str, model_type: object) -> str:
    """Why weights of an architecture can't be read by a family, in one line; empty where they can.

    Read from the family's source, which needs torch to be imported, so that a plan may ask it.

    Args:
        family: the family's name.
        model_type: ``model_type`` of the weights' ``config.json``; None where it has none.
    """
    source = plugins.source_of(f"{plugins.PACKAGES['models']}.{family}")
    types = _model_types(source) if source else ()
    if not types or model_type is None or model_type in types:
        return ""
    return f"config.json says model_type {model_type!r}, and family '{family}' reads {' and '.join(types)} alone"


@functools.cache
def _model_types(source: Path) -> tuple[str, ...]:
    try:
        value = literal(ast.parse(source.read_bytes()), "model_types")
    except (OSError, ValueError, SyntaxError):  # said where the module itself is checked
        return ()
    return tuple(map(str, value)) if isinstance(value, tuple) else ()
