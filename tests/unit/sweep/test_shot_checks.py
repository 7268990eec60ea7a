"""A prompt's examples are part of a cell: which models are shown them, what makes other cells, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from few_shot import prepared, scene
from hypothesis import given
from hypothesis import strategies as st

from paceline.config.identity import READ_OF_SHOTS, clear_inactive, identity_of, read_config
from paceline.config.schema import Config, ModelSpec, PromptSpec, ShotsSpec, TaskSpec
from paceline.data import samples
from paceline.errors import UserError
from paceline.gpu_memory.choose import sample_of
from paceline.store import files
from paceline.sweep.cells import Sweep, expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

Paceline = Callable[..., tuple[int, str, str]]
TASK = TaskSpec(name="pictures", kind="captioning", reader="table", target="{reference}", prompt="caption_short")
WORDS = ("model=tiny_idefics", "task=pictures", "method=untuned")


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder of prompts with examples, and of a task of pictures in a table."""
    conf, photos = tmp_path / "conf", tmp_path / "photos"
    photos.mkdir()
    rows = ["image,references,split,kind"]
    for n in range(14):
        scene(n).save(photos / f"{n}.png")
        rows.append(f"{n}.png,Picture {n}.,{'train' if n < 10 else 'test'},{'ab'[n % 2]}")
    (photos / "rows.csv").write_text("\n".join(rows) + "\n")
    prompts = {
        "none": "text: What is this?\n",
        "few": "defaults: [none]\nshots: {count: 4}\n",
        "few_same": "defaults: [few]\n",
        "classes": "defaults: [none]\nshots: {count: 2, how: per_class, field: kind}\n",
        "hand": "defaults: [none]\nshots: {count: 2, how: file}\n",
        "near": "defaults: [none]\nshots: {count: 2, how: nearest, embedder: ~/none}\n",
    }
    for name, content in prompts.items():
        (conf / "prompt").mkdir(parents=True, exist_ok=True)
        (conf / "prompt" / f"{name}.yaml").write_text(content)
    (conf / "task").mkdir()
    options = f"{{path: {photos / 'rows.csv'}}}"
    (conf / "task" / "pictures.yaml").write_text(
        f"kind: captioning\nreader: table\noptions: {options}\ntarget: '{{reference}}'\nprompt: none\n"
    )
    return conf


def planned(lab: Path, *words: str) -> Sweep:
    """Cells as far as they are known without data."""
    return expand(compose(words, conf_folders(str(lab))), lambda task: "d" * 64)


def cell(shots: ShotsSpec, task: TaskSpec = TASK) -> dict[str, object]:
    model = ModelSpec(name="m", inputs=["image", "images", "text"])
    config = Config(model=model, task=task, prompt=PromptSpec(name="p", text="?", shots=shots))
    return identity_of(clear_inactive(config, "evaluate"), "evaluate")


# --- identity


def test_a_prompt_without_examples_is_known_by_what_it_was_known_by() -> None:
    assert cell(ShotsSpec())["prompt"] == {"name": "p", "text": "?"}


@given(
    how=st.sampled_from(list(READ_OF_SHOTS)),
    field=st.sampled_from([f.name for f in dataclasses.fields(ShotsSpec) if f.name not in ("count", "how")]),
)
def test_what_is_not_read_makes_no_other_cell_and_what_is_read_does(how: str, field: str) -> None:
    before = ShotsSpec(count=2, how=how)  # type: ignore[arg-type]
    after = dataclasses.replace(before, **{field: 7 if field == "seed" else "other"})
    assert (cell(before) != cell(after)) == (field in READ_OF_SHOTS[how])


def test_what_an_example_answers_and_where_it_is_drawn_from_is_part_of_a_cell() -> None:
    """Both are settings of training, which are no part of a cell that answers."""
    shots = ShotsSpec(count=2)
    other = dataclasses.replace(TASK, target="It is {reference}")
    assert cell(shots) != cell(shots, other)
    assert cell(ShotsSpec()) == cell(ShotsSpec(), other)
    assert cell(shots) != cell(shots, dataclasses.replace(TASK, train="learn"))
    assert cell(shots) == cell(ShotsSpec(count=2, answer="{reference}", split="train"))
    read = read_config(cell(shots), "a cell").prompt.shots
    assert (read.answer, read.split) == ("{reference}", "train")


def test_the_number_of_examples_makes_other_cells(lab: Path) -> None:
    sweep = planned(lab, *WORDS, "prompt=few", "prompt.shots.count=0,1,2")
    assert len({c.id for c in sweep.cells}) == 3


# --- combinations


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("tiny_instructblip", "reads one question and no earlier turns"),
        ("tiny_vit_gpt2", "takes no question"),
        ("tiny_blip", "takes no question"),
        ("tiny_vilt", "answers out of a list of its own"),
    ],
)
def test_a_model_that_can_not_be_shown_examples_is_left_out_with_the_reason(lab: Path, model: str, why: str) -> None:
    sweep = planned(lab, "task=pictures", "method=untuned", f"model=tiny_idefics,{model}", "prompt=few")
    assert {c.config.model.name for c in sweep.cells} == {"tiny_idefics"}
    (dropped,) = sweep.dropped
    reasons = ("asks for free text, and", why) if model == "tiny_vilt" else (why,)
    assert any(reason in dropped["reason"] for reason in reasons)


def test_a_model_of_one_picture_is_shown_examples_without_pictures(lab: Path) -> None:
    sweep = planned(lab, "task=state_of_the_union", "method=untuned", "model=tiny_causal_lm", "prompt=few")
    assert [c.config.prompt.shots.count for c in sweep.cells] == [4]


def test_nothing_is_tuned_on_examples_and_a_tuned_model_may_be_asked_with_them(lab: Path) -> None:
    words = ("model=tiny_idefics", "task=pictures", "method=lora", "prompt=few")
    sweep = planned(lab, *words)
    assert [(c.cell.kind, c.cell.identity["prompt"]["name"]) for c in sweep.cells] == [
        ("finetune", "none"),
        ("evaluate", "few"),
    ]
    with pytest.raises(UserError, match=r"nothing is tuned on examples: give train\.prompt=NAME"):
        planned(lab, *words, "train.prompt=same")
    with pytest.raises(UserError, match=r"prompt 'few_same' shows examples.*give train\.prompt=NAME"):
        planned(lab, *words, "train.prompt=few_same")


def test_a_tuning_is_one_cell_whether_it_is_asked_with_examples_or_not(lab: Path) -> None:
    sweep = planned(lab, "model=tiny_idefics", "task=pictures", "method=lora", "prompt=none,few")
    assert sorted(c.cell.kind for c in sweep.cells) == ["evaluate", "evaluate", "finetune"]


# --- the verbs


def test_plan_names_the_command_that_prepares_examples_and_then_shows_them(command_line: Paceline, lab: Path) -> None:
    conf = ("--conf", str(lab))
    assert command_line("prepare", "task=pictures", *conf)[0] == 0
    for verb in ("plan", "submit"):
        code, _, err = command_line(verb, *WORDS, "prompt=none,few,classes", *conf)
        assert code == 2
        assert err.count("were not compared") == 2
    asked = shlex.split(err.rpartition("run: ")[2])
    assert asked == ["paceline", "prepare", "task=pictures", "prompt=none,few,classes", *conf]
    code, out, _ = command_line(*asked[1:])
    assert code == 0
    assert "few: 4 examples for pictures: 0 pairs" in out
    code, out, err = command_line("plan", *WORDS, "prompt=none,few,classes", "--json", *conf)
    assert code == 0, err
    plan = json.loads(out)
    assert {c["prompt"]: c["shots"] for c in plan["cells"]} == {"none": 0, "few": 4, "classes": 2}
    assert any("few: 4 examples before each question, the same of split train" in line for line in plan["shots"])
    assert "classes: 2 examples" in command_line("plan", *WORDS, "prompt=classes", *conf)[1]
    assert "as it was prepared" in command_line(*asked[1:])[1]


def test_too_few_examples_are_told_when_planning(command_line: Paceline, lab: Path) -> None:
    conf = ("--conf", str(lab))
    words = ("task=pictures", "prompt=few", "prompt.shots.count=11")
    code, _, err = command_line("prepare", *words, *conf)
    assert (code, "of 10 samples of split 'train' 10 are left" in err) == (2, True)
    code, _, err = command_line("plan", "model=tiny_idefics", "method=untuned", *words, *conf)
    assert (code, "of 10 samples of split 'train' 10 are left" in err) == (2, True)


def test_a_file_is_named_on_the_command_line_and_a_moved_one_keeps_the_cells(
    command_line: Paceline, lab: Path, tmp_path: Path
) -> None:
    conf = ("--conf", str(lab))

    def hand(folder: str, answer: str = "An axe is thrown.") -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        for n in range(2):
            scene(50 + n).save(tmp_path / folder / f"{n}.png")
        path = tmp_path / folder / "shots.csv"
        path.write_text(f"image,answer\n0.png,{answer}\n1.png,Rugby.\n")
        return f"prompt.shots.file={path}"

    def cells(file: str) -> list[str]:
        code, out, err = command_line("plan", *WORDS, "prompt=hand", file, "--json", *conf)
        assert code == 0, err
        return [c["id"] for c in json.loads(out)["cells"]]

    code, _, err = command_line("plan", *WORDS, "prompt=hand", *conf)
    assert (code, "needs prompt.shots.file=FILE.csv" in err) == (2, True)
    assert command_line("prepare", "task=pictures", "prompt=hand", hand("a"), *conf)[0] == 0
    before = cells(hand("a"))
    assert cells(hand("b")) == before
    edited = hand("b", "An axe is caught.")
    code, _, err = command_line("plan", *WORDS, "prompt=hand", edited, *conf)
    assert (code, "changed since" in err) == (2, True)
    assert command_line("prepare", "task=pictures", "prompt=hand", edited, *conf)[0] == 0
    assert cells(edited) != before


def test_an_embedder_that_is_not_there_is_refused(command_line: Paceline, lab: Path) -> None:
    conf = ("--conf", str(lab))
    assert command_line("prepare", "task=pictures", *conf)[0] == 0
    code, _, err = command_line("plan", *WORDS, "prompt=near", *conf)
    assert code == 2
    assert "~/none" in err and "Traceback" not in err
    code, _, err = command_line("prepare", "task=pictures", "prompt=near", *conf)
    assert code == 2
    assert "~/none" in err and "Traceback" not in err


# --- memory


def test_the_pictures_and_words_of_examples_are_counted() -> None:
    model = ModelSpec(name="m", inputs=["image", "images", "text"])
    config = Config(model=model, task=TASK, prompt=PromptSpec(name="p", text="What is in this picture?"))
    alone, shown = sample_of(config, (64, 64), 1), sample_of(config, (64, 64), 1, 4)
    assert (alone.images, shown.images) == (1, 5)
    assert shown.text > 3 * alone.text


def test_a_text_that_is_too_long_with_its_examples_is_refused(command_line: Paceline, lab: Path) -> None:
    conf = ("--conf", str(lab))
    (lab / "prompt" / "long.yaml").write_text(f"text: '{'What is in this picture? ' * 300}'\nshots: {{count: 4}}\n")
    (lab / "prompt" / "long_alone.yaml").write_text(f"text: '{'What is in this picture? ' * 300}'\n")
    assert command_line("prepare", "task=pictures", "prompt=long,long_alone", *conf)[0] == 0
    assert command_line("plan", *WORDS, "prompt=long_alone", *conf)[0] == 0
    code, _, err = command_line("plan", *WORDS, "prompt=long", *conf)
    assert code == 2
    assert "is too long for model tiny_idefics" in err


def test_prepared_data_of_another_day_needs_its_examples_compared_again(tmp_path: Path) -> None:
    from few_shot import CAPTIONING, settled, shown

    from paceline.data.shots import prepared_shots

    prepared(tmp_path, CAPTIONING, {"train": range(4), "test": [100]})
    place = prepared_shots.alike_place(tmp_path, CAPTIONING, settled(shown()).shots)
    manifest = samples.dataset_folder(tmp_path, CAPTIONING) / "manifest.json"
    files.write_json(manifest, {**files.read_json(manifest), "digest": "e" * 64})
    assert prepared_shots.alike_place(tmp_path, CAPTIONING, settled(shown()).shots) != place
