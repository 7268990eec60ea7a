"""The examples of docs/data.md are read as the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from photos import photo, silent

from paceline.config.build import build
from paceline.config.schema import TaskSpec
from paceline.data import prepare, readers, samples
from paceline.data.images import SUFFIXES

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "data.md").read_text()
PLACES = {"train": (47.3769, 8.5417, "CH"), "test": (-33.4489, -70.6693, "CL")}


def example(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


def prepared(root: Path, task: TaskSpec) -> list[dict[str, Any]]:
    manifest = prepare.prepare(root, task, silent)
    assert manifest["skipped"] == {}
    return samples.read_samples(root, task, list(manifest["splits"]), 0)


def test_the_sidecar_of_the_page_is_a_place_in_zurich(tmp_path: Path) -> None:
    photo(tmp_path / "photos" / "zurich.jpg")
    (tmp_path / "photos" / "zurich.json").write_text(example("json"))
    options = {"path": str(tmp_path / "photos")}
    (sample,) = prepared(tmp_path / "root", TaskSpec(name="t", kind="geolocation", reader="sidecar", options=options))
    assert (sample["latitude"], sample["country"]) == (47.3769, "CH")
    assert sample["nearest_region"] == "Switzerland_Zurich_CH"


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_each_table_of_the_page_is_the_same_task_wherever_the_command_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    folder = tmp_path / "tables"
    photo(folder / "photos" / "zurich.jpg", 1)
    photo(folder / "photos" / "santiago.jpg", 2)
    if suffix == "parquet":
        monkeypatch.chdir(folder)
        exec(example("python"), {})
        monkeypatch.undo()
    else:
        (folder / f"places.{suffix}").write_text(example(suffix))
    written = {**yaml.safe_load(example("yaml")), "options": {"path": str(folder / f"places.{suffix}")}}
    found = prepared(tmp_path / "root", build(TaskSpec, {"name": "t", **written}, "task"))
    assert {s["split"]: (s["latitude"], s["longitude"], s["country"]) for s in found} == PLACES
    assert all(Path(s["image"]).is_file() for s in found)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_cells_may_be_parted_by_each_separator_of_the_page(tmp_path: Path, separator: str) -> None:
    photo(tmp_path / "photos" / "zurich.jpg", 1)
    photo(tmp_path / "photos" / "santiago.jpg", 2)
    (tmp_path / "places.csv").write_text(example("csv").replace(",", separator))
    options = {"path": str(tmp_path / "places.csv")}
    found = prepared(tmp_path / "root", TaskSpec(name="t", kind="geolocation", reader="table", options=options))
    assert {s["split"]: s["country"] for s in found} == {"train": "CH", "test": "CL"}


def test_the_reference_lists_every_option_of_every_reader() -> None:
    page = (DOCS / "reference.md").read_text()
    for name in readers.names():
        section = page.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        for option in readers.load(name).Options.__dataclass_fields__:
            assert f"| `{option}` |" in section, (name, option)


def test_the_page_names_every_format_that_is_searched_for() -> None:
    formats = {".jpg": "JPEG", ".jp2": "JPEG 2000", ".heic": "HEIC", ".tif": "TIFF", ".webp": "WebP"}
    aliases = {".jpeg": ".jpg", ".jfif": ".jpg", ".tiff": ".tif", ".heif": ".heic", ".hif": ".heic"}
    for suffix in SUFFIXES:
        known = aliases.get(suffix, suffix)
        assert formats.get(known, known[1:].upper()) in PAGE, suffix
