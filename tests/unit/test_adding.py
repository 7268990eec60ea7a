"""Each recipe of docs/adding.md is followed here: one new file in a lab's own folder, and nothing edited."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_prepared import photo, silent

from paceline import prepared
from paceline.compose import ConfTree, compose, conf_folders
from paceline.sweep import Sweep, expand

TEXT = (Path(__file__).parents[2] / "docs" / "adding.md").read_text()
RECIPES = dict(re.findall(r"`FOLDER/(\w+/\w+\.yaml)`[^\n]*\n\n```yaml\n(.*?)```", TEXT, re.DOTALL))
BASE = {"model": "tiny_qwen2_vl", "task": "geolocation_earth", "prompt": "geo_bare", "method": "untuned"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in RECIPES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content.replace("<the 40 hex digits of the commit that you tested>", "0" * 40))
    return tmp_path


def sweep(folder: Path, **choices: str) -> Sweep:
    words = [f"{group}={choice}" for group, choice in {**BASE, **choices}.items()]
    return expand(compose(words, conf_folders(str(folder))), lambda task: "d" * 64)


def test_the_page_has_a_recipe_for_each_kind_of_thing() -> None:
    kinds = {name.partition("/")[0] for name in RECIPES}
    assert kinds == {"prompt", "model", "task", "method", "cluster", "experiment"}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_following_a_recipe_adds_a_choice_that_plans(name: str, folder: Path) -> None:
    group, _, file = name.partition("/")
    choice = file.removesuffix(".yaml")
    assert choice in ConfTree(conf_folders(str(folder))).choices(group)
    if group == "experiment":
        found = expand(compose([f"experiment={choice}"], conf_folders(str(folder))), lambda task: "d" * 64)
        assert len(found.cells) == 17
        assert {c.config.placement.threads for c in found.cells} == {2}
    else:
        cells = sweep(folder, **{group: choice}).cells
        assert getattr(cells[-1].config, group).name == choice


def test_a_recipe_inherits_what_it_does_not_say(folder: Path) -> None:
    method = sweep(folder, method="lora_vision").cells[0].cell.config.method
    assert method.trains == "adapter"
    assert (method.lora.r, method.lora.alpha, method.lora.components) == (8, 16, ["vision", "language"])


def test_the_table_of_the_recipe_is_prepared_as_it_says(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    rows = ["file_name,lat,lon,tour"]
    for n in range(40):
        photo(tmp_path / "photos" / f"{n}.png", n)
        rows.append(f"{n}.png,{n},{n},{n // 4}")
    (tmp_path / "photos" / "places.csv").write_text("\n".join(rows))
    task = compose(["task=geolocation_table"], conf_folders(str(folder))).spec("task", "geolocation_table", {})
    manifest = prepared.prepare(tmp_path / "root", task, silent)
    assert sum(manifest["splits"].values()) == 40 and not manifest["skipped"]
    assert manifest["groups"] == {"field": "group", "count": 10, "shared": {}, "named": []}
