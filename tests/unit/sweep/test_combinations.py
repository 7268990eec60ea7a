"""Which models are asked which tasks: what a model can't be shown, or can't answer, is dropped with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from paceline import plugins
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
