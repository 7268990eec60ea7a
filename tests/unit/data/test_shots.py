"""Which examples a prompt shows: the same in every run and order, and never one that gives an answer away."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from few_shot import CAPTIONING, frozen, prepared, scene, settled, shown
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import silent

from paceline.config.schema import ModelSpec, PromptSpec, TaskSpec
from paceline.data import leakage, samples
from paceline.data.shots import prepared_shots, shot_file, vectors
from paceline.data.shots.drawn import Choice, Shot
from paceline.data.shots.shot_turns import ShotTurns, shot_turns
from paceline.errors import DataError, UserError
from paceline.models import embedding
from paceline.store import files

TEXTS = TaskSpec(name="texts", kind="text_question", reader="table", options={"path": "x.csv"}, target="{answer}")


def unpinned(model: ModelSpec) -> ModelSpec:
    return model


def made(root: Path, prompt: PromptSpec, task: TaskSpec = CAPTIONING) -> PromptSpec:
    """The pinned prompt, prepared."""
    return prepared_shots.prepare(root, task, prompt, None, unpinned, silent)[0]


def choice(root: Path, prompt: PromptSpec, task: TaskSpec = CAPTIONING) -> Choice:
    return prepared_shots.choice(root, task, made(root, prompt, task))


def ids(shots: list[Shot]) -> list[str]:
    return [shot.id for shot in shots]


# --- what is drawn


def test_fixed_examples_are_the_same_for_all_samples_and_another_seed_draws_others(tmp_path: Path) -> None:
    records = prepared(tmp_path, CAPTIONING, {"train": range(12), "test": [100, 101, 102]})
    drawn = {tuple(ids(choice(tmp_path, shown()).of(r))) for r in records if r["split"] == "test"}
    assert len(drawn) == 1
    others = {tuple(ids(choice(tmp_path, shown(seed=seed)).of(records[-1]))) for seed in range(5)}
    assert len(others) > 1
    assert all(name.startswith("train-") for names in others for name in names)


def test_the_answer_of_an_example_is_the_target_of_the_task(tmp_path: Path) -> None:
    records = prepared(tmp_path, CAPTIONING, {"train": range(4), "test": [100]})
    turns = shot_turns(tmp_path, CAPTIONING, made(tmp_path, shown()))
    assert turns is not None
    asked = records[-1], _parts()
    for turn, name in zip(turns.turns(*asked), turns.ids(*asked), strict=True):
        assert turn.prompt == "What is this?"
        assert turn.answer == f"Picture {name.removeprefix('train-')} of train."
        assert [image.size for image in turn.images] == [(64, 64)]
        assert not turn.system and not turn.shots


def _parts() -> list[Any]:
    from paceline.tasks.kind import Part

    return [Part()]


def test_an_answer_of_the_prompts_own_may_name_fields_of_the_sample(tmp_path: Path) -> None:
    records = prepared(tmp_path, CAPTIONING, {"train": range(4), "test": [100]})
    turns = shot_turns(tmp_path, CAPTIONING, made(tmp_path, shown(answer="It shows: {reference}")))
    assert turns is not None
    assert all(str(turn.answer).startswith("It shows: Picture") for turn in turns.turns(records[-1], _parts()))


def test_an_example_is_decoded_once_for_all_samples(tmp_path: Path) -> None:
    records = prepared(tmp_path, CAPTIONING, {"train": range(4), "test": [100, 101]})
    turns = shot_turns(tmp_path, CAPTIONING, made(tmp_path, shown()))
    assert turns is not None
    first, second = (turns.turns(record, _parts()) for record in records[-2:])
    assert [id(turn.images[0]) for turn in first] == [id(turn.images[0]) for turn in second]


def test_a_picture_that_changed_since_it_was_prepared_is_not_shown(tmp_path: Path) -> None:
    records = prepared(tmp_path, CAPTIONING, {"train": range(2), "test": [100]})
    prompt = made(tmp_path, shown())
    scene(77).save(records[0]["image"])
    turns = shot_turns(tmp_path, CAPTIONING, prompt)
    assert turns is not None
    with pytest.raises(DataError, match="not the picture that was prepared"):
        turns.turns(records[-1], _parts())


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 12), classes=st.lists(st.sampled_from("abcd"), min_size=12, max_size=20))
def test_examples_per_class_are_balanced_as_far_as_classes_go(count: int, classes: list[str]) -> None:
    train = [Shot({"id": f"t{n}", "split": "train", "label": label}) for n, label in enumerate(classes)]
    prompt = settled(shown(count=count, how="per_class", field="label"))
    shots = Choice(CAPTIONING, prompt, train, [], []).of({"id": "x", "split": "test"})
    drawn, there = Counter(s.record["label"] for s in shots), Counter(classes)
    assert len(shots) == count
    least = min((drawn[label] for label in there if drawn[label] < there[label]), default=count)
    assert all(n <= least + 1 for n in drawn.values())


def test_a_class_that_the_samples_do_not_have_is_refused_with_their_fields(tmp_path: Path) -> None:
    prepared(tmp_path, CAPTIONING, {"train": range(4), "test": [100]})
    prompt = made(tmp_path, shown(how="per_class", field="label"))
    (problem,) = prepared_shots.problems(tmp_path, CAPTIONING, prompt, "")
    assert "no class in 'label'" in problem and "id" in problem


# --- what is never shown


@settings(max_examples=25, deadline=None)
@given(
    data=st.data(),
    count=st.integers(1, 3),
    how=st.sampled_from(["fixed", "nearest"]),
    seed=st.integers(0, 1000),
)
def test_no_example_is_ever_kin_to_the_sample_and_order_changes_nothing(
    data: st.DataObject, count: int, how: str, seed: int
) -> None:
    traits = st.integers(0, 6)
    train = [{"id": f"t{n}", "split": "train", "sha256": f"s{data.draw(traits)}", "image": "x"} for n in range(12)]
    test = [{"id": f"e{n}", "split": "test", "sha256": f"s{data.draw(traits)}", "image": "x"} for n in range(4)]
    names = st.tuples(st.sampled_from([r["id"] for r in test]), st.sampled_from([r["id"] for r in train]))
    alike = data.draw(st.lists(names, max_size=8))
    prompt = settled(shown(count=count, how=how, **({"seed": seed} if how == "fixed" else {"embedder": "e"})))

    class Near(vectors.Vectors):
        def __init__(self) -> None:
            self._vectors = np.random.default_rng(seed).integers(-9, 9, (16, 3)).astype(float)
            self._rows = {r["id"]: n for n, r in enumerate([*train, *test])}
            self._pool = ([], self._vectors[:0])

    def of(order: list[dict[str, Any]], asked: list[dict[str, Any]]) -> dict[str, list[str] | None]:
        chosen = Choice(CAPTIONING, prompt, [Shot(r) for r in order], test, alike, Near())
        found: dict[str, list[str] | None] = {}
        for sample in asked:
            try:
                found[sample["id"]] = ids(chosen.of(sample))
            except UserError:
                found[sample["id"]] = None
                assert chosen.problems()
        return found

    found = of(train, test)
    assert found == of(train[::-1], test[::-1])
    by_id = {r["id"]: r for r in train}
    for sample in test:
        for name in found[sample["id"]] or []:
            assert by_id[name]["sha256"] != sample["sha256"]
            assert (sample["id"], name) not in alike
            if how == "fixed":  # kin to none that is evaluated
                assert not {(other["id"], name) for other in test} & set(alike)


def test_every_training_picture_that_looks_like_a_test_picture_is_kept_away(tmp_path: Path) -> None:
    """``leakage.jsonl`` names the likest alone; the next would be shown."""
    copies = [tmp_path / f"copy-{n}.png" for n in range(3)]
    for n, path in enumerate(copies):
        scene(100).resize((60 - 8 * n, 60)).save(path)
    records = prepared(tmp_path, CAPTIONING, {"train": [*copies, 1, 2], "test": [100]})
    for seed in range(8):
        assert set(ids(choice(tmp_path, shown(seed=seed)).of(records[-1]))) == {"train-3", "train-4"}


def test_pairs_that_look_alike_hold_those_that_leakage_finds() -> None:
    pictures = [scene(n) for n in range(6)]
    ones = [leakage.thumbnail(p) for p in (pictures[0], pictures[1].resize((40, 40)), scene(50))]
    others = [leakage.thumbnail(p) for p in (*pictures, pictures[0].resize((32, 48)))]
    assert sorted(leakage.alike(ones, others)) == [(0, 0), (0, 6), (1, 1)]
    assert list(leakage.alike([], others)) == list(leakage.alike(ones, [])) == []


def test_a_pair_that_was_found_when_the_data_was_prepared_is_kept_away(tmp_path: Path) -> None:
    records = prepared(tmp_path, CAPTIONING, {"train": range(3), "test": [100]})
    twin = {"sample": "test-0", "train": "train-1", "kind": "pixels", "split": "test"}
    files.write_jsonl(samples.dataset_folder(tmp_path, CAPTIONING) / "leakage.jsonl", [twin])
    assert set(ids(choice(tmp_path, shown()).of(records[-1]))) == {"train-0", "train-2"}


def test_samples_of_a_group_and_equal_texts_are_kept_away(tmp_path: Path) -> None:
    rows = [("train", "a", "One."), ("train", "b", "Two."), ("train", "c", "Three.")]
    records = [
        {"id": f"{split}-{n}", "split": split, "group": group, "text": text, "question": "Which?", "answers": ["x"]}
        for n, (split, group, text) in enumerate([*rows, ("test", "a", "Nine."), ("test", "z", "Two.")])
    ]
    frozen(tmp_path, TEXTS, records)
    prompt = PromptSpec(name="few", text="{text} {question}", shots=shown(count=1, answer="{answer}").shots)
    assert ids(choice(tmp_path, prompt, TEXTS).of(records[3])) == ["train-2"]
    turns = shot_turns(tmp_path, TEXTS, made(tmp_path, prompt, TEXTS))
    assert turns is not None
    (turn,) = turns.turns(records[3], _parts_of(records[3]))
    assert (turn.prompt, turn.answer, turn.images) == ("Three. Which?", "x", [])


def _parts_of(record: dict[str, Any]) -> list[Any]:
    from paceline.tasks.kind import Part

    return [Part(text=record["question"])]


def test_too_few_that_are_left_are_refused_with_numbers(tmp_path: Path) -> None:
    path = tmp_path / "same.png"
    scene(5).save(path)
    prepared(tmp_path, CAPTIONING, {"train": [path, 1, 2], "test": [path]})
    (problem,) = prepared_shots.problems(tmp_path, CAPTIONING, made(tmp_path, shown(count=3)), "")
    assert "shows 3 examples: of 3 samples of split 'train' 2 are left" in problem
    with pytest.raises(UserError, match="2 are left"):
        choice(tmp_path, shown(count=3)).of({"id": "test-0"})


@pytest.mark.parametrize(
    ("shots", "told"),
    [
        ({"split": "test"}, "which task captioning evaluates"),
        ({"how": "nearest"}, "needs prompt.shots.embedder=FOLDER"),
        ({"how": "file"}, "needs prompt.shots.file=FILE.csv"),
        ({"how": "per_class"}, "needs prompt.shots.field=label"),
        ({"embedder": "x"}, "prompt.shots.embedder is not read by prompt.shots.how=fixed"),
        ({"how": "file", "file": "x", "seed": 2}, "prompt.shots.seed is not read"),
        ({"count": 0, "seed": 2}, "shows none; give prompt.shots.count=4"),
        ({"answer": "{refrence}"}, "'reference'"),
    ],
)
def test_settings_that_can_not_hold_together_are_refused(shots: dict[str, Any], told: str) -> None:
    assert told in " ".join(prepared_shots.contradictions(shown(**shots), CAPTIONING))


# --- what must be prepared


def test_examples_that_were_not_compared_are_refused_with_the_command(tmp_path: Path) -> None:
    prepared(tmp_path, CAPTIONING, {"train": range(4), "test": [100]})
    prompt = prepared_shots.pinned(tmp_path, CAPTIONING, shown(), unpinned)
    (problem,) = prepared_shots.problems(tmp_path, CAPTIONING, prompt, "paceline prepare it")
    assert "were not compared" in problem and problem.endswith("run: paceline prepare it")
    with pytest.raises(DataError, match="is missing"):
        prepared_shots.choice(tmp_path, CAPTIONING, prompt)
    made(tmp_path, shown())
    assert list(prepared_shots.problems(tmp_path, CAPTIONING, prompt, "")) == []
    other = TaskSpec(**{**vars(CAPTIONING), "evaluate": ["train"]})
    full = settled(shown(split="test"), other)
    assert "were not compared" in " ".join(prepared_shots.problems(tmp_path, other, full, ""))


def test_a_split_that_there_is_not_is_refused_with_the_nearest(tmp_path: Path) -> None:
    prepared(tmp_path, CAPTIONING, {"train": range(4), "test": [100]})
    (problem,) = prepared_shots.problems(tmp_path, CAPTIONING, settled(shown(split="trian")), "")
    assert "no split 'trian'" in problem and "train" in problem


def test_the_nearest_are_the_same_on_every_machine_and_ties_go_by_id(tmp_path: Path) -> None:
    path = tmp_path / "vectors-x.npy"
    rng = np.random.default_rng(0)
    found = rng.normal(size=(50, 8))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    found[7] = found[3]
    np.save(path, np.rint(found * embedding.SCALE).astype(np.int16))
    names = [f"s{n:02}" for n in range(50)]
    files.write_json(path.with_suffix(".json"), {"samples": names})
    order = vectors.Vectors(path).nearest("s03", names)
    assert order[:2] == [3, 7]  # equal ones in their order
    exact = np.rint(found * embedding.SCALE).astype(np.int64) @ np.rint(found[3] * embedding.SCALE).astype(np.int64)
    assert [int(exact[k]) for k in order] == sorted(map(int, exact), reverse=True)
    with pytest.raises(DataError, match="has no vector"):
        vectors.Vectors(path).nearest("other", names)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match="vectors"):
        vectors.Vectors(path)


def test_the_likest_stands_last_next_to_the_question() -> None:
    train = [{"id": f"t{n}", "split": "train", "image": "x"} for n in range(4)]

    class Known(vectors.Vectors):
        def __init__(self) -> None: ...

        def nearest(self, sample: str, among: Any) -> list[int]:
            return [2, 0, 1, 3]

    prompt = settled(shown(how="nearest", embedder="e"))
    chosen = Choice(CAPTIONING, prompt, [Shot(r) for r in train], [], [("e", "t2")], Known())
    assert ids(chosen.of({"id": "x", "image": "x"})) == ["t0", "t2"]
    assert ids(chosen.of({"id": "e", "image": "x"})) == ["t1", "t0"]  # t2 is kin


def test_vectors_that_are_not_made_are_refused_with_the_command(tmp_path: Path) -> None:
    prepared(tmp_path, CAPTIONING, {"train": range(4), "test": [100]})
    prompt = settled(shown(how="nearest", embedder="sha256:" + "a" * 64))
    made_path = prepared_shots.alike_place(tmp_path, CAPTIONING, prompt.shots)
    files.write_jsonl(made_path, [])
    (problem,) = prepared_shots.problems(tmp_path, CAPTIONING, prompt, "paceline prepare it")
    assert "no vectors to compare; run: paceline prepare it" in problem


# --- a file of examples


def written(folder: Path, rows: list[dict[str, Any]], name: str = "shots.jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def by_hand(tmp_path: Path) -> Path:
    """Four pictures with answers, as the sports study has them."""
    folder = tmp_path / "hand"
    folder.mkdir()
    lines = ["image,answer"]
    for n, word in enumerate(("Throwing an axe.", "Bowling, a strike.", "Hurdles.", "Rugby.")):
        scene(200 + n).save(folder / f"{n}.png")
        lines.append(f'{n}.png,"{word}"')
    (folder / "shots.csv").write_text("\n".join(lines) + "\n")
    return folder / "shots.csv"


def test_pictures_with_answers_by_hand_are_shown_in_their_order(tmp_path: Path, by_hand: Path) -> None:
    records = prepared(tmp_path, CAPTIONING, {"train": range(2), "test": [100, 101]})
    prompt = made(tmp_path, shown(count=4, how="file", file=str(by_hand)))
    assert list(prepared_shots.problems(tmp_path, CAPTIONING, prompt, "")) == []
    shutil.rmtree(by_hand.parent)  # they are kept under the root
    turns = shot_turns(tmp_path, CAPTIONING, prompt)
    assert turns is not None
    asked = turns.turns(records[-1], _parts())
    assert [turn.answer for turn in asked] == ["Throwing an axe.", "Bowling, a strike.", "Hurdles.", "Rugby."]
    assert all(turn.images and turn.prompt == "What is this?" for turn in asked)
    assert turns.ids(records[-1], _parts()) == ["row 2", "row 3", "row 4", "row 5"]


def test_a_moved_file_is_the_same_and_an_edited_one_is_another(tmp_path: Path, by_hand: Path) -> None:
    before = shot_file.digest(shot_file.read(str(by_hand)))
    moved = tmp_path / "elsewhere"
    shutil.copytree(by_hand.parent, moved)
    assert shot_file.digest(shot_file.read(str(moved / "shots.csv"))) == before
    as_lines = [{"image": f"{n}.png", "answer": r.answer} for n, r in enumerate(shot_file.read(str(by_hand)))]
    assert shot_file.digest(shot_file.read(str(written(moved, as_lines)))) == before
    scene(300).save(moved / "1.png")
    assert shot_file.digest(shot_file.read(str(moved / "shots.csv"))) != before
    by_hand.write_text(by_hand.read_text().replace("Rugby.", "Rugby, a scrum."))
    assert shot_file.digest(shot_file.read(str(by_hand))) != before


def test_an_edited_file_is_refused_until_it_is_prepared_again(tmp_path: Path, by_hand: Path) -> None:
    prepared(tmp_path, CAPTIONING, {"train": range(2), "test": [100]})
    prompt = shown(count=4, how="file", file=str(by_hand))
    before = made(tmp_path, prompt)
    by_hand.write_text(by_hand.read_text().replace("Rugby.", "Rugby, a scrum."))
    pinned = prepared_shots.pinned(tmp_path, CAPTIONING, prompt, unpinned)
    assert pinned.shots.file != before.shots.file
    (problem,) = prepared_shots.problems(tmp_path, CAPTIONING, pinned, "paceline prepare it")
    assert "not read yet, or changed since; run: paceline prepare it" in problem
    assert list(prepared_shots.problems(tmp_path, CAPTIONING, before, "")) == []  # cells of the old go on


def test_a_file_that_shows_an_evaluated_picture_is_refused(tmp_path: Path, by_hand: Path) -> None:
    shrunk = tmp_path / "seen.png"
    scene(202).resize((48, 48)).save(shrunk)
    prepared(tmp_path, CAPTIONING, {"train": range(2), "test": [100, shrunk]})
    (problem,) = prepared_shots.problems(tmp_path, CAPTIONING, made(tmp_path, shown(how="file", file=str(by_hand))), "")
    assert "example row 4" in problem and "test-1" in problem


def test_a_file_may_name_samples_of_the_training_split(tmp_path: Path) -> None:
    records = prepared(tmp_path, CAPTIONING, {"train": range(3), "test": [100]})
    rows = [{"sample": "train-2", "answer": "By hand."}, {"sample": "train-0", "answer": "Likewise."}]
    prompt = shown(how="file", file=str(written(tmp_path / "hand", rows)))
    assert ids(choice(tmp_path, prompt).of(records[-1])) == ["train-2", "train-0"]
    wrong = shown(how="file", file=str(written(tmp_path / "wrong", [{"sample": "train-9", "answer": "x"}])))
    with pytest.raises(UserError, match="no sample 'train-9' in split 'train'"):
        made(tmp_path, wrong)


def test_a_file_of_text_questions_gives_the_question_too(tmp_path: Path) -> None:
    records = [
        {"id": f"{split}-0", "split": split, "question": f"Of {split}?", "text": "", "answers": ["x"]}
        for split in ("train", "test")
    ]
    frozen(tmp_path, TEXTS, records)
    rows = [{"question": "What is 1 + 1?", "text": "Sums.", "answer": "2"}]
    few = shown(count=1, how="file", file=str(written(tmp_path / "hand", rows)))
    prompt = made(tmp_path, PromptSpec(name="few", text="{question} Short.", shots=few.shots), TEXTS)
    turns = shot_turns(tmp_path, TEXTS, prompt)
    assert turns is not None
    (turn,) = turns.turns(records[1], _parts_of(records[1]))
    assert (turn.prompt, turn.answer) == ("What is 1 + 1? Short.", "2")


def test_a_row_without_the_question_that_the_prompt_names_is_refused(tmp_path: Path) -> None:
    records = [
        {"id": f"{split}-0", "split": split, "question": "?", "text": "", "answers": ["x"]}
        for split in ("train", "test")
    ]
    frozen(tmp_path, TEXTS, records)
    few = shown(
        count=1, how="file", file=str(written(tmp_path / "hand", [{"text": "x", "answers": ["2"], "answer": "2"}]))
    )
    prompt = made(tmp_path, PromptSpec(name="few", text="{question} Short.", shots=few.shots), TEXTS)
    turns = shot_turns(tmp_path, TEXTS, prompt)
    assert turns is not None
    with pytest.raises(UserError, match=r"row 1.*question"):
        turns.turns(records[1], _parts_of(records[1]))


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        ("image,answer\n", "a.csv", "holds no example"),
        ("image,answer\nx.png,\n", "a.csv", "line 2: no answer"),
        ("image,answer\nnone.png,b\n", "a.csv", "relative to the file"),
        ("image,answer\n0.png,a,b\n", "a.csv", "quote a cell"),
        ("image,sample,answer\n0.png,x,b\n", "a.csv", "leave one out"),
        ("{bad", "a.jsonl", "no JSON"),
        ("[1]\n", "a.jsonl", "expected an object"),
        ('{"answer": 3}\n', "a.jsonl", "no answer"),
        ("x", "a.txt", "ends in .csv or .jsonl"),
        ("image,answer\nbroken.png,b\n", "a.csv", "broken image"),
    ],
)
def test_a_row_that_can_not_be_used_is_named(tmp_path: Path, content: str, name: str, told: str) -> None:
    scene(1).save(tmp_path / "0.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=told):
        shot_file.read(str(tmp_path / name))


def test_a_row_without_a_picture_is_refused_where_samples_show_one(tmp_path: Path) -> None:
    prepared(tmp_path, CAPTIONING, {"train": range(2), "test": [100]})
    prompt = shown(count=1, how="file", file=str(written(tmp_path / "hand", [{"answer": "x"}])))
    with pytest.raises(UserError, match="line 1 of its file of examples shows no picture"):
        made(tmp_path, prompt)


def test_kept_examples_that_were_tampered_with_are_refused(tmp_path: Path, by_hand: Path) -> None:
    prepared(tmp_path, CAPTIONING, {"train": range(2), "test": [100]})
    prompt = made(tmp_path, shown(count=4, how="file", file=str(by_hand)))
    kept = shot_file.folder(tmp_path, prompt.shots.file) / "shots.jsonl"
    kept.write_text(kept.read_text().replace("Rugby", "Chess"))
    with pytest.raises(DataError, match="not whole"):
        prepared_shots.choice(tmp_path, CAPTIONING, prompt)


def test_a_file_with_fewer_rows_than_are_shown_is_refused(tmp_path: Path, by_hand: Path) -> None:
    prepared(tmp_path, CAPTIONING, {"train": range(2), "test": [100]})
    prompt = made(tmp_path, shown(count=5, how="file", file=str(by_hand)))
    (problem,) = prepared_shots.problems(tmp_path, CAPTIONING, prompt, "")
    assert "shows 5 examples, and its file has 4" in problem


def test_turns_are_made_of_what_was_chosen_whatever_was_asked_before(tmp_path: Path) -> None:
    records = prepared(tmp_path, CAPTIONING, {"train": range(6), "test": range(100, 106)})
    chosen = choice(tmp_path, shown(count=3))
    asked = [r for r in records if r["split"] == "test"]
    there = [[t.answer for t in ShotTurns(chosen, images=False).turns(r, _parts())] for r in asked]
    one = ShotTurns(chosen, images=False)
    assert [[t.answer for t in one.turns(r, _parts())] for r in asked[::-1]] == there[::-1]
