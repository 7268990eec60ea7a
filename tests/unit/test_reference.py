"""The reference says what is true now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_is_what_the_code_says() -> None:
    found = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    assert (DOCS / "reference.md").read_text() == module.text(), "docs/reference.md is stale: run `make docs`"


def test_every_config_file_says_in_a_first_line_what_it_is() -> None:
    for path in sorted((DOCS.parent / "conf").glob("*/*.yaml")):
        assert path.read_text().startswith("# "), path
