"""The files of what cells answered, on the page: to look at and to download while they are small."""

from __future__ import annotations

import base64
from typing import Any

from paceline.report.text.saved_files import plain_name
from paceline.tasks.panels import Files

MOST_CELLS = 12
MOST_BYTES = 100_000  # of one file that can be downloaded
MOST_LETTERS = 2_000  # that are shown


def drawn(panel: Files) -> list[dict[str, Any]]:
    """A line a cell, with its files; of a large one the beginning alone."""
    cells = []
    for cell in panel.cells[:MOST_CELLS]:
        files = []
        for file in cell.files:
            text = file.read()
            content = text.encode("utf-8", "replace")
            small = len(content) <= MOST_BYTES
            files.append(
                {
                    "name": file.name,
                    "save_as": f"{plain_name(cell.name)}-{cell.id[-6:]}-{file.name}",
                    "kilobytes": -(-len(content) // 1000),
                    "url": f"data:text/plain;base64,{base64.b64encode(content).decode()}" if small else "",
                    "text": text[:MOST_LETTERS],
                    "more": len(text) > MOST_LETTERS,
                }
            )
        cells.append({"name": cell.name, "entries": cell.entries, "files": files})
    return cells
