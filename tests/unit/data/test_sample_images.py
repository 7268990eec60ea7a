"""Samples with no image, one, or several: the same promises from the table to the question, the plan and the report."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from photos import photo, silent
from PIL import Image

from paceline import tasks
from paceline.cli.prepared_findings import shared_groups, told_of_leakage
from paceline.config.schema import Config, ModelSpec, PromptSpec, TaskSpec
from paceline.data import prepare, samples
from paceline.data.conversations import Lessons, question
from paceline.errors import DataError, UserError
from paceline.gpu_memory import choose
from paceline.store import files
from paceline.sweep.cells import expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders
from paceline.tracking import answers_table

KIND = """
from paceline.tasks.kind import Asks
from paceline.tasks.metrics import Judged, Metric, Reading

FIELDS = {{"q": "the question", "a": "the answer"}}
SHOWN = ("q",)
ASKS = Asks(images="{images}")
GROUP = "{group}"
METRICS = (Metric("accuracy", score="correct", hits=True),)


def fields(sample, task):
    return {{name: sample.get(name) for name in FIELDS}}


def complete(fields):
    if not fields.get("q"):
        raise ValueError("no question")
    return fields


def read(answer, part, task, prompt):
    return Reading("parsed", answer.text)


def score(answers, task, prompt):
    return [Judged(a.sample["a"], {{"correct": a.reading.value == a.sample["a"]}}) for a in answers]
"""
PROMPT = PromptSpec(name="p", text="Tell: {q}")


@pytest.fixture(autouse=True)
def kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kinds that ask about no image, and about two."""
    folder = tmp_path / "kinds"
    folder.mkdir()
    (folder / "asks_texts.py").write_text(KIND.format(images="none", group=""))
    (folder / "asks_pairs.py").write_text(KIND.format(images="several", group="place"))
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(folder)])
    tasks.load.cache_clear()
    yield
    tasks.load.cache_clear()


def table(path: Path, records: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def texts(folder: Path) -> TaskSpec:
    rows = [
        {"split": "train", "q": "Where is Bern?", "a": "CH"},
        {"split": "test", "q": "Where is Bern?", "a": "here"},
        {"split": "test", "q": "Where is Rome?", "a": "IT"},
        {"split": "test", "q": "", "a": "IT"},
    ]
    return TaskSpec(
        name="texts",
        kind="asks_texts",
        reader="table",
        options={"path": table(folder / "rows.jsonl", rows)},
        target="{a}",
    )


def pairs(folder: Path, **options: Any) -> TaskSpec:
    rows = []
    for n, split in enumerate(["train", "train", "test", "test"]):
        rows.append(
            {"split": split, "before": f"b{n}.png", "after": f"a{n}.png", "q": f"{n}?", "a": "yes", "tile": n // 3}
        )
        photo(folder / f"b{n}.png", 10 + n, (8, 8))
        photo(folder / f"a{n}.png", 60 + n, (20, 10))
    photo(folder / "a3.png", 10)  # the file of b0, which is trained on
    columns = {"images": ["before", "after"], "q": "q", "a": "a", "split": "split", "place": "tile"}
    options = {"path": table(folder / "rows.jsonl", rows), "columns": columns, **options}
    return TaskSpec(name="pairs", kind="asks_pairs", reader="table", options=options, target="{a}")


def test_text_alone_comes_through_to_the_question(tmp_path: Path) -> None:
    task = texts(tmp_path)
    manifest = prepare.prepare(tmp_path / "root", task, silent)
    assert (manifest["splits"], manifest["skipped"]) == ({"test": 2, "train": 1}, {"no question": 1})
    records = samples.read_samples(tmp_path / "root", task, ["train", "test"], 0)
    assert set(records[0]) == {"id", "split", "q", "a"}
    asked = question(records[2], PROMPT, task)
    assert (asked.prompt, asked.images) == ("Tell: Where is Rome?", [])
    lessons = Lessons(records, PROMPT, task)
    assert not lessons.pictured(0)
    assert lessons[0].answer == "CH"
    assert lessons.extent(0) == (len("Tell: Where is Bern?") + 2, 0)
    assert samples.largest_picture(tmp_path / "root", task) is None
    samples.require(tmp_path / "root", task, manifest["digest"])


def test_several_images_come_through_in_their_order(tmp_path: Path) -> None:
    task = pairs(tmp_path)
    manifest = prepare.prepare(tmp_path / "root", task, silent)
    records = samples.read_samples(tmp_path / "root", task, ["train", "test"], 0)
    assert records[0]["images"] == [str(tmp_path / "b0.png"), str(tmp_path / "a0.png")]
    assert records[0]["sha256s"] == [files.file_digest(tmp_path / name) for name in ("b0.png", "a0.png")]
    assert not {"image", "sha256"} & set(records[0])
    asked = question(records[0], PROMPT, task)
    assert [image.size for image in asked.images] == [(8, 8), (20, 10)]
    lessons = Lessons(records, PROMPT, task)
    assert lessons.pictured(0) and lessons.extent(0)[1] == 64 + 200
    assert lessons.worded(0).images == []
    assert samples.largest_picture(tmp_path / "root", task) == (20, 10)
    assert manifest["images_per_sample"] == 2


def test_paths_are_no_part_of_the_digest_and_the_order_of_images_is(tmp_path: Path) -> None:
    digests = {}
    for name in ("here", "elsewhere", "turned"):
        (tmp_path / name).mkdir()
        task = pairs(tmp_path / name)
        if name == "turned":
            columns = {**task.options["columns"], "images": ["after", "before"], "id": "before"}
            task = TaskSpec(**{**vars(task), "options": {**task.options, "columns": columns}})
        digests[name] = prepare.prepare(tmp_path / name, task, silent)["digest"]
    assert digests["here"] == digests["elsewhere"] != digests["turned"]


def test_a_sample_is_skipped_where_one_of_its_images_is_broken(tmp_path: Path) -> None:
    task = pairs(tmp_path)
    (tmp_path / "a2.png").write_bytes(b"no image")
    manifest = prepare.prepare(tmp_path / "root", task, silent)
    assert (manifest["splits"], manifest["skipped"]) == ({"test": 1, "train": 2}, {"broken image": 1})
    (skipped,) = files.read_jsonl(samples.dataset_folder(tmp_path / "root", task) / "skipped.jsonl")
    assert skipped["detail"] == "a2.png"


@pytest.mark.parametrize(
    "damage", [{"sha256s": ["x"]}, {"images": "a.png"}, {"sha256s": None}, {"image": "a.png"}, {"id": 3}]
)
def test_a_damaged_record_of_several_images_is_not_passed_off_as_the_dataset(
    tmp_path: Path, damage: dict[str, Any]
) -> None:
    task = pairs(tmp_path)
    prepare.prepare(tmp_path / "root", task, silent)
    path = samples.dataset_folder(tmp_path / "root", task) / "samples.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(r) + "\n" for r in [{**records[0], **damage}, *records[1:]]))
    with pytest.raises(DataError, match="does not hold what its manifest says"):
        samples.read_samples(tmp_path / "root", task, ["test"], 0)


def test_each_image_is_held_to_every_training_image_and_texts_to_what_a_prompt_shows(tmp_path: Path) -> None:
    manifest = prepare.prepare(tmp_path / "root", pairs(tmp_path), silent)
    assert manifest["leaks"] == {"test": 1}
    assert manifest["leakage"] == {"test": {"bytes": 1, "pixels": 0, "looks": 0}}
    folder = samples.dataset_folder(tmp_path / "root", pairs(tmp_path))
    (twin,) = files.read_jsonl(folder / "leakage.jsonl")
    assert (twin["sample"], Path(twin["image"]).name, Path(twin["train_image"]).name) == ("b3.png", "a3.png", "b0.png")

    task = texts(tmp_path)
    manifest = prepare.prepare(tmp_path / "root", task, silent)
    assert manifest["leakage"] == {"test": {"text": 1}}
    (twin,) = files.read_jsonl(samples.dataset_folder(tmp_path / "root", task) / "leakage.jsonl")
    assert (twin["kind"], twin["sample"], twin["train"]) == ("text", "test_000001", "train_000000")
    (line,) = told_of_leakage(manifest, "train", "data/x")
    assert line.startswith("1 sample of test without an image is also in train, word for word")
    manifest["leakage"] = {"test": {"text": 0}}
    assert list(told_of_leakage(manifest, "train", "x")) == [
        "no sample without an image of test is in train too, word for word"
    ]


def test_a_group_in_several_splits_is_told_by_name_and_is_no_part_of_the_digest(tmp_path: Path) -> None:
    task = pairs(tmp_path)
    manifest = prepare.prepare(tmp_path / "root", task, silent)
    assert manifest["groups"] == {"field": "place", "count": 2, "shared": {"test, train": 1}, "named": ["0"]}
    (line,) = shared_groups(manifest)
    assert line.startswith("1 of 2 groups by place stand in several splits: test, train (such as 0)")
    assert "task.options.group" in line
    records = list(files.read_jsonl(samples.dataset_folder(tmp_path / "root", task) / "samples.jsonl"))
    assert manifest["digest"] == files.digest([{k: v for k, v in r.items() if k != "images"} for r in records])
    # Parted by shares, each stays whole.
    columns = {k: v for k, v in task.options["columns"].items() if k != "split"}
    parted = TaskSpec(**{**vars(task), "options": {**task.options, "columns": columns}})
    manifest = prepare.prepare(tmp_path / "root", parted, silent)
    assert manifest["groups"]["shared"] == {} and not list(shared_groups(manifest))


def test_data_of_another_kind_lies_elsewhere_and_that_of_one_kind_is_shared(tmp_path: Path) -> None:
    task = pairs(tmp_path)
    same = TaskSpec(**{**vars(task), "name": "other"})
    other = TaskSpec(**{**vars(task), "kind": "asks_texts"})
    assert samples.dataset_folder(tmp_path, task) == samples.dataset_folder(tmp_path, same)
    assert samples.dataset_folder(tmp_path, task) != samples.dataset_folder(tmp_path, other)


def test_data_prepared_before_there_were_kinds_is_where_it_was(tmp_path: Path) -> None:
    options = {"folder": "/data/x", "splits": {"test": "test"}}
    task = TaskSpec(name="t", kind="geolocation", reader="hf_datasets", options=options)
    key = files.digest({"reader": "hf_datasets", "options": options}, 12)
    assert samples.dataset_folder(tmp_path, task) == tmp_path / "data" / f"hf_datasets-{key}"


def test_what_a_model_can_not_read_is_left_out_with_the_reason(tmp_path: Path) -> None:
    for name, kind in (("texts", "asks_texts"), ("pairs", "asks_pairs")):
        path = tmp_path / "conf" / "task" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"kind: {kind}\nreader: table\noptions: {{path: x.csv}}\n")

    def sweep(*words: str) -> Any:
        given = ["prompt=geo_bare", "method=untuned", *words]
        return expand(compose(given, conf_folders(str(tmp_path / "conf"))), lambda task: "d" * 64)

    both = sweep("model=tiny_qwen2_vl,tinyllama_1b_chat", "task=texts,geolocation_earth")
    assert [d["reason"] for d in both.dropped] == ["geolocation_earth shows image, which tinyllama_1b_chat can't read"]
    with pytest.raises(UserError, match="pairs shows several images, which tiny_llava can't read"):
        sweep("model=tiny_llava", "task=pairs", "model.inputs=[image,text]")
    assert len(sweep("model=tiny_qwen2_vl", "task=pairs").cells) == 1
    assert len(sweep("model=tinyllama_1b_chat", "task=geolocation_earth", "task.needs=[text]").cells) == 1
    # What is not stated is no part of a cell's identity, whatever the kind asks.
    texts_only = sweep("model=tinyllama_1b_chat", "task=texts")
    assert "needs" not in texts_only.cells[0].cell.identity["task"]


def test_the_plan_counts_the_images_of_a_sample(tmp_path: Path) -> None:
    both = ModelSpec(inputs=["image", "images", "text"])

    def images(task: TaskSpec, model: ModelSpec = both) -> int:
        count = samples.images_per_sample(tmp_path / "root", task)
        return choose.sample_of(Config(model=model, task=task), None, count).images

    assert images(pairs(tmp_path)) == 2, "before it is prepared"
    prepare.prepare(tmp_path / "root", pairs(tmp_path), silent)
    assert images(pairs(tmp_path)) == 2
    assert images(texts(tmp_path)) == 0
    assert images(TaskSpec(kind="geolocation", reader="earth")) == 1
    assert images(TaskSpec(kind="geolocation", reader="earth"), ModelSpec(inputs=["text"])) == 0


def test_several_images_are_shown_beside_each_other(tmp_path: Path) -> None:
    wide, high = photo(tmp_path / "w.png", 200, (600, 300)), photo(tmp_path / "h.png", 10, (300, 600))
    both, first = answers_table.thumbnail(wide, high), answers_table.thumbnail(wide, tmp_path / "gone.png")
    assert both is not None and first is not None
    strip = Image.open(io.BytesIO(both))
    assert strip.width > strip.height
    assert (
        abs(strip.getpixel((2, 2))[0] - 200) < 4
        and abs(strip.getpixel((strip.width - 3, strip.height - 3))[0] - 10) < 4
    )
    assert answers_table.thumbnail() is None


@pytest.mark.parametrize("row", ['{"q": "\\ud800"}', '{"q": NaN}', '{"q": "x", "id": "\\ud800"}', '{"q": 1e999}'])
def test_what_can_not_be_written_down_is_skipped_and_counted(tmp_path: Path, row: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{row}\n{{"q": "fine"}}\n')
    task = TaskSpec(name="t", kind="asks_texts", reader="table", options={"path": str(path), "shares": {"test": 1.0}})
    manifest = prepare.prepare(tmp_path / "root", task, silent)
    assert manifest["skipped"] == {"a field is no finite JSON value": 1}
