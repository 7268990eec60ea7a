"""Which models are asked which tasks: what a model can't be shown, or can't answer, is dropped with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from paceline import plugins
from paceline.errors import UserError
from paceline.sweep.cells import Sweep, expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

FILES = {
    "models/captioner.py": "class FAMILY:\n    needs_image = True\n",
    "models/lister.py": 'class FAMILY:\n    how = "classifies"\n',
    "models/list_reader.py": "from paceline.models.families.lister import FAMILY as Lister\n\n"
    "class FAMILY(Lister):\n    pass\n",
    "model/captioner.yaml": "family: captioner\ninputs: [image]\nconfig: {a: 1}\n",
    "model/continuer.yaml": "family: captioner\ninputs: [image, prefix]\nconfig: {a: 1}\n",
    "model/blind_not.yaml": "family: captioner\ninputs: [image, text]\nconfig: {a: 1}\n",
    "model/lister.yaml": "family: lister\nconfig: {a: 1}\n",
    "model/list_reader.yaml": "family: list_reader\nconfig: {a: 1}\n",
    "prompt/begun.yaml": "version: 1\ntext: What is this?\nprefix: a photo of\n",
    "tasks/one_of.py": "from paceline.tasks.kind import Asks\nASKS = Asks(answer='labels', question=False)\n"
    "from paceline.tasks.captioning.score import read, score, METRICS\nFIELDS = {'label': 'its class'}\n"
    "def fields(sample, task):\n    return {'label': 'x'}\n",
    "tasks/of_text.py": "from paceline.tasks.kind import Asks\nASKS = Asks(images='none')\n"
    "from paceline.tasks.captioning.score import read, score, METRICS\nFIELDS = {'label': 'its class'}\n"
    "def fields(sample, task):\n    return {'label': 'x'}\n",
    "task/one_of.yaml": "kind: one_of\nreader: stamps\ntarget: '{label}'\nprompt: caption_short\n",
    "task/of_text.yaml": "kind: of_text\nreader: stamps\ntarget: '{label}'\nprompt: caption_short\n",
}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Path]:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    yield tmp_path
    plugins.use([])


def planned(lab: Path, *words: str) -> Sweep:
    composed = compose([*words, "method=untuned"], conf_folders(str(lab)))
    return expand(composed, lambda task: "d" * 64)


def prompts(sweep: Sweep) -> dict[str, set[str]]:
    """Model -> names of the prompts of its cells."""
    named: dict[str, set[str]] = {}
    for cell in sweep.cells:
        named.setdefault(cell.cell.identity["model"]["name"], set()).add(cell.cell.identity["prompt"]["name"])
    return named


def test_a_model_that_takes_no_question_has_one_cell_for_all_prompts(lab: Path) -> None:
    sweep = planned(
        lab, "model=captioner,continuer,tiny_pixtral", "task=captioning", "prompt=begun,caption_short,caption_question"
    )
    every = {"begun", "caption_short", "caption_question"}
    assert prompts(sweep) == {"captioner": {"no_prompt"}, "continuer": {"no_prompt", "begun"}, "tiny_pixtral": every}
    (begun,) = [c for c in sweep.cells if c.cell.identity["prompt"].get("prefix")]
    assert begun.cell.identity["prompt"] == {"name": "begun", "prefix": "a photo of"}


def test_a_prefix_changes_nothing_for_a_model_that_is_asked(lab: Path) -> None:
    (cell,) = planned(lab, "model=tiny_pixtral", "task=captioning", "prompt=begun").cells
    assert cell.cell.identity["prompt"] == {"name": "begun", "text": "What is this?"}


def test_that_a_model_can_be_shown_more_images_changes_no_id(lab: Path) -> None:
    (cell,) = planned(lab, "model=tiny_pixtral", "task=captioning", "prompt=caption_short").cells
    assert "inputs" not in cell.cell.identity["model"]


@pytest.mark.parametrize(
    ("model", "task", "reason"),
    [
        ("captioner", "geolocation_earth", "geolocation_earth asks a question, and captioner takes none"),
        ("blind_not", "of_text", "of_text shows no image, and blind_not answers about images alone"),
        ("tinyllama_1b_chat", "captioning", "captioning shows image, which tinyllama_1b_chat can't read"),
        ("lister", "captioning", "captioning asks for free text, and lister answers out of a list of its own"),
        ("list_reader", "captioning", "captioning asks for free text, and list_reader answers out of a list of its"),
    ],
)
def test_a_task_that_a_model_cant_be_asked_is_dropped_with_the_reason(
    lab: Path, model: str, task: str, reason: str
) -> None:
    sweep = planned(lab, f"model={model},tiny_pixtral", f"task={task},captioning", "prompt=caption_short")
    assert any(reason in dropped["reason"] for dropped in sweep.dropped), sweep.dropped


@pytest.mark.parametrize("model", ["captioner", "lister", "tiny_pixtral"])
def test_labels_are_asked_of_every_kind_of_model(lab: Path, model: str) -> None:
    assert len(planned(lab, f"model={model}", "task=one_of", "prompt=caption_short").cells) == 1


FAMILIES = {
    "models/own_call.py": 'class FAMILY:\n    refuses = ("min_new_tokens",)\n',
    "model/caller.yaml": "family: own_call\nconfig: {a: 1}\n",
}


def settings(sweep: Sweep) -> set[tuple[str, float, int, int]]:
    """Model, temperature, beams and least tokens of each cell."""
    found = [(c.cell.identity["model"]["name"], c.cell.identity.get("generation", {})) for c in sweep.cells]
    return {(m, g.get("temperature", 0.0), g.get("beams", 1), g.get("min_new_tokens", 0)) for m, g in found}


def test_settings_that_exclude_each_other_are_left_out_of_a_sweep_with_the_reason(lab: Path) -> None:
    sweep = planned(
        lab, "model=tiny_pixtral", "task=captioning", "prompt=caption_short", "generation.temperature=0,0.7",
        "generation.beams=1,4", "generation.min_new_tokens=0,20", "generation.new_tokens=16,20",
    )  # fmt: skip
    # Of each temperature and width: least 0 of most 16 and of most 20, least 20 of most 20.
    assert len(sweep.cells) == 3 * 3
    assert settings(sweep) == {("tiny_pixtral", t, b, n) for t, b in ((0.0, 1), (0.7, 1), (0.0, 4)) for n in (0, 20)}
    reasons = {d["reason"] for d in sweep.dropped}
    assert any("beams=4 search for the likeliest answer, temperature=0.7 draws one" in r for r in reasons)
    assert any("min_new_tokens=20 is more than generation.new_tokens=16" in r for r in reasons)
    assert not sweep.problems


def test_what_excludes_itself_alone_is_refused(lab: Path) -> None:
    words = ("model=tiny_pixtral", "task=captioning", "prompt=caption_short")
    with pytest.raises(UserError, match=r"temperature=0\.7 draws one"):
        planned(lab, *words, "generation.temperature=0.7", "generation.beams=4")


def test_a_setting_that_the_call_of_a_model_lacks_leaves_out_its_points_alone(lab: Path) -> None:
    for name, content in FAMILIES.items():
        (lab / name).write_text(content)
    sweep = planned(
        lab, "model=tiny_pixtral,caller", "task=captioning", "prompt=caption_short", "generation.min_new_tokens=0,5"
    )
    assert {(m, n) for m, _, _, n in settings(sweep)} == {("tiny_pixtral", 0), ("tiny_pixtral", 5), ("caller", 0)}
    (left,) = sweep.dropped
    assert left["reason"] == ("generation.min_new_tokens=5: the call of caller has no such argument; leave it at 0")


def test_settings_that_a_classifier_has_no_use_for_exclude_none_of_its_points(lab: Path) -> None:
    sweep = planned(
        lab, "model=lister", "task=coco_qa", "prompt=vqa_short", "generation.temperature=0,0.7", "generation.beams=1,4"
    )
    assert len(sweep.cells) == 1 and not sweep.dropped and sweep.folded == 3


def test_the_study_of_image_description_is_whole() -> None:
    """Eleven models over the grid of the study's settings; what is missing of it has its reason."""
    composed = compose(["experiment=image_description"], conf_folders(None))
    sweep = expand(composed, lambda task: "d" * 64)
    per_model: dict[tuple[str, str], int] = {}
    for cell in sweep.cells:
        names = (cell.cell.identity["model"]["name"], cell.cell.identity["task"]["name"])
        per_model[names] = per_model.get(names, 0) + 1
    # 4 temperatures x 2 x 3 lengths without beams, and one temperature with them.
    whole, without_least = (4 + 1) * 2 * 3, (4 + 1) * 3
    refusing = {"minicpm_llama3_v25", "minicpm_llama3_v25_int4", "tinyllava_089b"}
    describers = {*refusing, "mini_internvl_4b", "moondream2", "deepseek_vl_1b_chat"}
    captioners = {"vit_gpt2", "blip_caption_large", "git_base_coco"}
    expected = {
        (m, t): without_least if m in refusing else whole for m in describers for t in ("photo_description", "gqa")
    }
    expected |= {(m, "photo_description"): whole for m in captioners}
    assert per_model == {**expected, ("vilt_vqa", "gqa"): 1, ("blip_vqa_base", "gqa"): whole}
    assert sum(per_model.values()) + len(sweep.dropped) + sweep.folded == (3 + 6 + 6 + 2) * 48
