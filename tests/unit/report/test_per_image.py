"""The report tells seconds and peak memory per image of each cell, in every form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from builders import MODELS, PROMPTS, again, attempted, make_sweep, printed

from paceline.report.analysis import per_image
from paceline.report.page import page
from paceline.report.text import export
from paceline.store.files import read_json, write_json


def measured(path: Path, samples: int, seconds: float, **peaks: float) -> None:
    """Give an attempt the record of one that answered so many samples."""
    attempted(path, "done", 0.5)
    told: dict[str, Any] = {"samples": samples, "images": samples, "of": "image", "batch": 16}
    told |= {"seconds": seconds, "median_seconds": seconds / 2}
    write_json(path / "end.json", {**read_json(path / "end.json"), "answering": told, "peaks": peaks})


def test_the_attempt_that_answered_the_most_samples_tells_and_cells_without_a_record_are_left_out(
    tmp_path: Path,
) -> None:
    found = make_sweep(tmp_path, MODELS, PROMPTS, ("untuned", "full"), 4)
    resumed, slow = (found.store.cell(row.id) for row in found.done[:2])
    first = resumed.attempts()[0].path
    second = first.rename(first.with_name("2"))
    (first.with_name("1")).mkdir()
    measured(first.with_name("1"), 90, 4.0, host_gib=1.5)
    measured(second, 10, 400.0, host_gib=9.0)
    measured(slow.attempts()[0].path, 100, 12.5, host_gib=2.25, cuda_gib=3.5)
    found = again(found)

    told = per_image.of_cells(found)
    assert set(told) == {found.done[0].id, found.done[1].id}
    assert (told[found.done[0].id].seconds, told[found.done[0].id].host_gib) == (4.0, 1.5)
    assert told[found.done[0].id].cuda_gib is None
    assert [row.id for row, _ in per_image.slowest_first(found)] == [found.done[1].id, found.done[0].id]

    html, markdown, terminal = page.html(found), export.markdown_text(found), printed(found, 120)
    assert 'id="per-image"' in html and 'href="#per-image"' in html
    for text in (html, markdown, terminal):
        assert "Seconds and memory per image" in text
        assert "12.5" in text and "6.25" in text and "2.25" in text and "3.50" in text
    exported = export.as_json(found)["cost"]["per_image"]
    assert exported[found.done[1].id]["median_seconds"] == 6.25


def test_nothing_is_said_where_no_attempt_measured(tmp_path: Path) -> None:
    found = make_sweep(tmp_path, MODELS, PROMPTS, ("untuned", "full"), 4)
    assert per_image.of_cells(found) == {}
    assert "per image" not in export.markdown_text(found)
    assert 'id="per-image"' not in page.html(found)
