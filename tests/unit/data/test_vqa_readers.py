"""VQA v2's and GQA's files are read as they are published, a picture's questions together, in little memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from paceline.config.build import build
from paceline.config.schema import TaskSpec
from paceline.data import json_items, samples
from paceline.data.prepare import prepare
from paceline.errors import DataError, UserError
from paceline.store.code import shipped


def silent(*progress: Any) -> None:
    pass


def spec(name: str, **options: Any) -> TaskSpec:
    content = yaml.safe_load((shipped("conf") / "task" / f"{name}.yaml").read_text())
    content["options"] = {**content["options"], **options}
    return build(TaskSpec, {"name": name, **content}, name)


def prepared(root: Path, task: TaskSpec) -> dict[str, dict[str, Any]]:
    prepare(root, task, silent)
    splits = samples.splits(root, task)
    assert splits is not None
    return {record["id"]: record for record in samples.read_samples(root, task, list(splits), 0)}


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((40, 30), 10 * seed).save(path)


# -- VQA v2

TOLD = {"info": {"version": "2.0"}, "license": {"name": "CC BY 4.0"}, "data_type": "mscoco"}


def vqa_v2(folder: Path, part: str, rows: list[tuple[int, int, str, list[str], str]]) -> None:
    questions = [{"image_id": i, "question": q, "question_id": n} for n, i, q, _, _ in rows]
    annotations = [
        {
            "question_type": " ".join(q.split()[:2]).lower(),
            "multiple_choice_answer": max(said, key=said.count),
            "answers": [
                {"answer": one, "answer_confidence": "yes", "answer_id": n} for n, one in enumerate(said, start=1)
            ],
            "image_id": i,
            "answer_type": kind,
            "question_id": n,
        }
        for n, i, q, said, kind in reversed(rows)
    ]
    told = {**TOLD, "task_type": "Open-Ended", "data_subtype": part}
    name = folder / f"v2_OpenEnded_mscoco_{part}_questions.json"
    name.write_text(json.dumps({**told, "questions": questions}))
    (folder / f"v2_mscoco_{part}_annotations.json").write_text(json.dumps({**told, "annotations": annotations}))


@pytest.fixture
def vqa_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "vqa"
    folder.mkdir()
    vqa_v2(folder, "train2014", [(9001, 9, "Is it day?", ["yes"] * 10, "yes/no")])
    rows = [
        (42000, 42, "What color is it?", ["red"] * 5 + ["dark red"] * 3 + ["Maroon", "red and white"], "other"),
        (42001, 42, "How many dogs are there?", ["2"] * 9 + ["two"], "number"),
        (262148000, 262148, "Is it wet?", ["no"] * 6 + ["yes"] * 4, "yes/no"),
        (5000, 5, "Is it lost?", ["no"] * 10, "yes/no"),
    ]
    vqa_v2(folder, "val2014", rows)
    picture(folder / "train2014" / "COCO_train2014_000000000009.jpg", 1)
    picture(folder / "val2014" / "COCO_val2014_000000000042.jpg", 2)
    picture(folder / "val2014" / "COCO_val2014_000000262148.jpg", 3)
    return folder


def test_vqa_v2_is_read_as_it_is_published(vqa_folder: Path) -> None:
    task = spec("vqa_v2", path=str(vqa_folder))
    records = prepared(vqa_folder / "root", task)
    assert {name: (r["split"], r["answer"], r["types"]) for name, r in records.items()} == {
        "9001": ("train", "yes", {"answer": "yes/no", "question": "is it"}),
        "42000": ("test", "red", {"answer": "other", "question": "what color"}),
        "42001": ("test", "2", {"answer": "number", "question": "how many"}),
        "262148000": ("test", "no", {"answer": "yes/no", "question": "is it"}),
    }
    assert records["42000"]["answers"] == ["red"] * 5 + ["dark red"] * 3 + ["Maroon", "red and white"]
    assert records["42000"]["image"] == records["42001"]["image"]
    assert samples.read_manifest(vqa_folder / "root", task)["skipped"] == {"photo not found": 1}


def test_photos_are_taken_with_all_their_questions_and_fewer_are_some_of_more(vqa_folder: Path) -> None:
    taken = []
    for most in (1, 2):
        options = {"path": str(vqa_folder), "pictures": {"train": 0, "test": most}, "seed": 3}
        records = prepared(vqa_folder / f"root{most}", spec("vqa_v2", **options))
        taken.append({Path(r["image"]).stem for r in records.values() if r["split"] == "test"})
        both = {"42000", "42001"} & set(records)
        assert len(both) in (0, 2)
    assert taken[0] <= taken[1]


def test_a_part_that_is_not_there_is_left_out_and_none_at_all_is_refused(vqa_folder: Path) -> None:
    only = prepared(
        vqa_folder / "root", spec("vqa_v2", path=str(vqa_folder), splits={"train": "no", "test": "val2014"})
    )
    assert {r["split"] for r in only.values()} == {"test"}
    with pytest.raises(DataError, match=r"holds no \*_\{part\}_questions.json of the parts test2015"):
        prepared(vqa_folder / "other", spec("vqa_v2", path=str(vqa_folder), splits={"test": "test2015"}))
    (vqa_folder / "v2_mscoco_val2014_annotations.json").unlink()
    with pytest.raises(DataError, match=r"has no \*_val2014_annotations.json beside it"):
        prepared(vqa_folder / "third", spec("vqa_v2", path=str(vqa_folder)))


def test_two_files_of_one_part_are_refused_by_name(vqa_folder: Path) -> None:
    (vqa_folder / "MultipleChoice_mscoco_val2014_questions.json").write_text('{"questions": []}')
    with pytest.raises(UserError, match=r"several files of questions of 'val2014': MultipleChoice.*a folder with one"):
        prepared(vqa_folder / "root", spec("vqa_v2", path=str(vqa_folder)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"annotations": [{"question_id": 1}', "it ends in the middle"),
        ('{"other": 1}', "has no 'annotations'"),
        ("[]", "'{' expected"),
        ('{"annotations": [3]}', "holds '3', which is no object"),
        ('{"annotations": 3}', r"'\[' expected"),
        ("", "it ends"),
    ],
)
def test_a_file_of_another_form_or_half_fetched_is_refused_by_name(vqa_folder: Path, content: str, reason: str) -> None:
    (vqa_folder / "v2_mscoco_val2014_annotations.json").write_text(content)
    with pytest.raises(DataError, match=rf"v2_mscoco_val2014_annotations.json.*{reason}"):
        prepared(vqa_folder / "root", spec("vqa_v2", path=str(vqa_folder)))


def test_a_question_that_too_few_people_answered_is_skipped(tmp_path: Path) -> None:
    vqa_v2(tmp_path, "val2014", [(1, 9, "Is it?", ["yes"] * 3, "yes/no"), (2, 9, "Is it?", ["no"] * 10, "yes/no")])
    picture(tmp_path / "COCO_val2014_000000000009.jpg", 1)
    task = spec("vqa_v2", path=str(tmp_path))
    assert set(prepared(tmp_path / "root", task)) == {"2"}
    assert samples.read_manifest(tmp_path / "root", task)["skipped"] == {"fewer than four people's answers": 1}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image_id": 262148}, "annotation of another photo"),
        ({"answers": [{"answer": None}] * 10}, "no answer with a word that is compared"),
        ({"answers": [{"answer": {"text": "red"}}] * 10}, "an answer is no text"),
    ],
)
def test_an_annotation_that_can_not_be_held_to_its_question_is_skipped(
    vqa_folder: Path, change: dict[str, Any], reason: str
) -> None:
    path = vqa_folder / "v2_mscoco_val2014_annotations.json"
    content = json.loads(path.read_text())
    content["annotations"] = [one | change if one["question_id"] == 42000 else one for one in content["annotations"]]
    path.write_text(json.dumps(content))
    task = spec("vqa_v2", path=str(vqa_folder))
    assert "42000" not in prepared(vqa_folder / "root", task)
    assert samples.read_manifest(vqa_folder / "root", task)["skipped"][reason] == 1


def test_two_annotations_of_a_question_count_where_they_are_equal_and_else_none_does(vqa_folder: Path) -> None:
    path = vqa_folder / "v2_mscoco_val2014_annotations.json"
    content = json.loads(path.read_text())
    first, second = (next(a for a in content["annotations"] if a["question_id"] == n) for n in (42000, 42001))
    content["annotations"] += [first, second | {"answers": [{"answer": "3"}] * 10}, second]
    path.write_text(json.dumps(content))
    task = spec("vqa_v2", path=str(vqa_folder))
    records = prepared(vqa_folder / "root", task)
    assert "42000" in records and "42001" not in records
    assert samples.read_manifest(vqa_folder / "root", task)["skipped"]["question with annotations that differ"] == 1


def test_numbers_with_zeros_before_are_the_same_photos_and_hidden_copies_of_files_are_passed_over(
    vqa_folder: Path,
) -> None:
    path = vqa_folder / "v2_OpenEnded_mscoco_val2014_questions.json"
    content = json.loads(path.read_text())
    for question in content["questions"]:
        question["image_id"] = f"{question['image_id']:012d}"
    path.write_text(json.dumps(content))
    (vqa_folder / f"._{path.name}").write_bytes(b"\0\5\x16\7")  # as archives made on a Mac hold them
    assert len(prepared(vqa_folder / "root", spec("vqa_v2", path=str(vqa_folder)))) == 4


@pytest.mark.parametrize("number", [-1, "many", 1.5, True])
def test_what_is_no_number_of_pictures_is_refused(vqa_folder: Path, number: Any) -> None:
    with pytest.raises(UserError, match=r"task.options.pictures: expected a number for each split"):
        prepared(vqa_folder / "root", spec("vqa_v2", path=str(vqa_folder), pictures={"test": number}))


# -- GQA


def gqa_question(image: str, question: str, answer: str, entailed: list[str], structural: str) -> dict[str, Any]:
    return {
        "semantic": [{"operation": "select", "dependencies": [], "argument": "dog (1)"}],
        "entailed": entailed,
        "equivalent": [],
        "question": question,
        "imageId": image,
        "isBalanced": True,
        "groups": {"global": None, "local": "13-dog"},
        "answer": answer,
        "semanticStr": "select: dog (1)",
        "annotations": {"answer": {}, "question": {}, "fullAnswer": {}},
        "types": {"detailed": "existTrue", "semantic": "obj", "structural": structural},
        "fullAnswer": f"{answer.capitalize()}.",
    }


def gqa_rows() -> dict[str, dict[str, Any]]:
    return {
        "0011": gqa_question("2405722", "What animal is it?", "dog", ["0012", "0011"], "query"),
        "0012": gqa_question("2405722", "Is there a dog?", "yes", [], "verify"),
        "0021": gqa_question("n161313", "Is it a cat or a dog?", "cat", ["0099"], "choose"),
        "0031": gqa_question("404", "Is it lost?", "no", [], "verify"),
    }


@pytest.mark.parametrize("place", [".", "questions1.2"])
@pytest.mark.parametrize("parts", [False, True])
def test_gqa_is_read_as_it_is_published(tmp_path: Path, place: str, parts: bool) -> None:
    folder, rows = tmp_path / place, gqa_rows()
    folder.mkdir(exist_ok=True)
    if parts:
        (folder / "val_all_questions").mkdir()
        for n, (name, row) in enumerate(rows.items()):
            (folder / "val_all_questions" / f"val_all_questions_{n}.json").write_text(json.dumps({name: row}))
    else:
        (folder / "val_all_questions.json").write_text(json.dumps(rows))
    for n, name in enumerate(("2405722", "n161313"), start=1):
        picture(tmp_path / "images" / f"{name}.jpg", n)
    task = spec("gqa", path=str(tmp_path), splits={"test": "val_all"})
    records = prepared(tmp_path / "root", task)
    assert {n: (r["answers"], r["types"]["structural"], r["entailed"]) for n, r in records.items()} == {
        "0011": (["dog"], "query", ["0012", "0011"]),
        "0012": (["yes"], "verify", []),
        "0021": (["cat"], "choose", ["0099"]),
    }
    assert list(records) == ["0011", "0012", "0021"]
    assert samples.read_manifest(tmp_path / "root", task)["skipped"] == {"photo not found": 1}


def test_gqa_without_entailed_questions_or_types_is_read_too(tmp_path: Path) -> None:
    row = {"question": "Is it?", "answer": "no", "imageId": "1"}
    (tmp_path / "testdev_balanced_questions.json").write_text(json.dumps({"a": row}))
    picture(tmp_path / "1.jpg", 1)
    (record,) = prepared(tmp_path / "root", spec("gqa", path=str(tmp_path))).values()
    assert not {"entailed", "types"} & set(record)


def test_gqa_without_any_of_its_files_is_refused_with_their_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds none of .*testdev_balanced_questions.json"):
        prepared(tmp_path / "root", spec("gqa", path=str(tmp_path)))


# -- large files

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=6), st.booleans(), st.integers(1, 9))
def test_items_are_those_of_the_json_library_however_the_file_is_cut(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any], indented: bool, chunk: int
) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(json.dumps(content, indent=2 if indented else None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_items, "CHUNK", chunk)
        assert list(json_items.members(path)) == list(content.items())
        path.write_text(json.dumps({"first": content, "rows": [content, 1.5, 12], "last": 1}))
        assert list(json_items.listed(path, "rows")) == [content, 1.5, 12]


def test_little_of_a_large_file_is_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_items, "CHUNK", 1000)
    held: list[int] = []
    more = json_items._Text.more

    def watched(text: Any) -> None:
        more(text)
        held.append(len(text.text))

    monkeypatch.setattr(json_items._Text, "more", watched)
    path = tmp_path / "large.json"
    path.write_text(json.dumps({str(n): {"question": "why " * 20} for n in range(5000)}))
    assert sum(1 for _ in json_items.members(path)) == 5000
    assert max(held) < 3000


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can't read .*none.json: No such file"):
        list(json_items.members(tmp_path / "none.json"))
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe4"}')
    with pytest.raises(DataError, match=r"can't read .*latin.json"):
        list(json_items.members(tmp_path / "latin.json"))
