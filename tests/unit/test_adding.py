"""Each recipe of docs/adding.md is followed here: one new file in a lab's own folder, and nothing edited."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from photos import photo, silent
from PIL import Image

from paceline import plugins
from paceline.data import prepare
from paceline.scoring import judge
from paceline.sweep.cells import Sweep, expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import ConfTree, conf_folders

TEXT = (Path(__file__).parents[2] / "docs" / "adding.md").read_text()
RECIPES = dict(re.findall(r"`FOLDER/(\w+/\w+\.yaml)`[^\n]*\n\n```yaml\n(.*?)```", TEXT, re.DOTALL))
CODE = dict(re.findall(r"`FOLDER/(\w+/\w+\.py)`[^\n]*\n\n```python\n(.*?)```", TEXT, re.DOTALL))
BASE = {"model": "tiny_qwen2_vl", "task": "geolocation_earth", "prompt": "geo_bare", "method": "untuned"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    for name, content in (RECIPES | CODE).items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content.replace("<the 40 hex digits of the commit that you tested>", "0" * 40))
    yield tmp_path
    plugins.use([])


def sweep(folder: Path, **choices: str) -> Sweep:
    words = [f"{group}={choice}" for group, choice in {**BASE, **choices}.items()]
    return expand(compose(words, conf_folders(str(folder))), lambda task: "d" * 64)


def test_the_page_has_a_recipe_for_each_kind_of_thing() -> None:
    kinds = {name.partition("/")[0] for name in RECIPES}
    assert kinds == {"prompt", "model", "task", "method", "cluster", "experiment"}
    assert {name.partition("/")[0] for name in CODE} == set(plugins.PACKAGES)


def test_the_kind_fits_on_a_screen() -> None:
    assert len(CODE["tasks/one_word.py"].splitlines()) <= 30


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


def test_following_the_recipes_for_code_plans_prepares_and_judges(folder: Path) -> None:
    tiles, root = folder / "tiles", folder / "root"
    tiles.mkdir()
    rows = [("a.png", "forest"), ("b.png", "water"), ("c.png", "desert"), ("d.png", "")]
    with (tiles / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "label", "split"), *((*row, "test") for row in rows)])
    for number, (name, _) in enumerate(rows):
        Image.new("RGB", (32, 32), (60 * number, 0, 0)).save(tiles / name)
    words = ["model=tiny_question_first", "prompt=land_cover", "method=untuned", "task=land_cover"]
    words += [f"task.options.path={tiles}", "task.train=test", "task.evaluate=[test]"]
    (cell,) = expand(compose(words, conf_folders(str(folder))), lambda task: "d" * 64).cells
    config = cell.config
    assert (config.task.kind, config.task.reader, config.model.family) == ("one_word", "labelled", "question_first")
    manifest = prepare.prepare(root, config.task, lambda *_: None)
    assert (manifest["splits"], manifest["skipped"]) == ({"test": 3}, {"no label": 1})

    answers = {"a.png": "A forest.", "b.png": "Desert, with water in it.", "c.png": "I can't tell."}
    predictions = [{"sample": name, "text": text} for name, text in answers.items()]
    scores, metrics = judge.judge(config, predictions, judge.evaluated_samples(config, root))
    assert [(s["outcome"], s["value"]) for s in scores] == [
        ("parsed", "forest"),
        ("parsed", "desert"),
        ("malformed", None),
    ]
    assert metrics["metrics"]["accuracy"]["value"] == pytest.approx(1 / 3)
    assert metrics["metrics"]["parsed_share"]["value"] == pytest.approx(2 / 3)
    assert judge.judged_part(config, "A forest.") == (2, 8)


def test_the_table_of_the_recipe_is_prepared_as_it_says(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    rows = ["file_name,lat,lon,tour"]
    for n in range(40):
        photo(tmp_path / "photos" / f"{n}.png", n)
        rows.append(f"{n}.png,{n + 1},{n},{n // 4}")
    (tmp_path / "photos" / "places.csv").write_text("\n".join(rows))
    task = compose(["task=geolocation_table"], conf_folders(str(folder))).spec("task", "geolocation_table", {})
    manifest = prepare.prepare(tmp_path / "root", task, silent)
    assert sum(manifest["splits"].values()) == 40 and not manifest["skipped"]
    assert manifest["groups"] == {"field": "group", "count": 10, "shared": {}, "named": []}
