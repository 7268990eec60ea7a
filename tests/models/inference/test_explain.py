"""A map shows the places that an answer hangs on: the right ones, the same ones each time, and never as a result."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CORE, MATRIX, model_spec
from PIL import Image

from paceline.config.schema import Config, GenerationSpec, PromptSpec, TaskSpec
from paceline.errors import UserError
from paceline.inference import explain as explaining
from paceline.inference.explain import explain
from paceline.inference.explanation import read_answer
from paceline.inference.relevance_picture import facts_of, spread
from paceline.models import load_family
from paceline.models.conversation import Conversation, Verbatim
from paceline.models.family import Family
from paceline.models.generate import generate
from paceline.store.cell_folder import CellFolder

# Those of other twins, too small for what is measured here, are tested with their families.
ALSO = ("llava", "deepseek_vl", "internvl", "llava_onevision", "blip", "blip_vqa", "git", "instructblip")
ALSO = tuple(f"tiny_{name}" for name in ALSO) if MATRIX else ()
PLACED = [n for n in (*CORE, *ALSO) if load_family(model_spec(n).family).layout is not Family.layout]
SIZES = [(64, 64), (96, 40), (40, 96), (33, 70), (200, 30)]
# Phi-3.5 sees every place in a crop and in the whole. InternVL and LLaVA-OneVision do so in tiles.
VIEWS = {"phi35_vision": 2, "internvl": 2, "llava_onevision": 2}
NOISE = Callable[..., Image.Image]


@pytest.fixture(scope="module", params=PLACED)
def placed(request: pytest.FixtureRequest) -> Family:
    """A twin of each family that has a layout, on images as large as its smallest bounds allow to tell places apart."""
    spec = model_spec(request.param)
    roomy = {"qwen2_vl": {"min_pixels": 4096, "max_pixels": 4096}, "pixtral": {"size": {"longest_edge": 64}}}
    return load_family(spec.family).load(
        dataclasses.replace(spec, processor={**spec.processor, **roomy.get(spec.family, {})})
    )


def test_families_that_cut_an_image_into_patches_have_a_map() -> None:
    assert {model_spec(n).family for n in PLACED} >= {"llama_vision", "phi35_vision", "pixtral", "qwen2_vl"}


# -- places --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_places_cover_the_image_once_in_every_view(placed: Family, photo: NOISE, size: tuple[int, int]) -> None:
    image = photo(*size)
    (seen,) = placed.features([image])
    boxes = placed.layout(image, seen).double().numpy()
    assert len(boxes) == seen.states.shape[:-1].numel()
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    # Spread evenly, a relevance of its share of the pixels is 1 on each pixel of a box.
    covered = spread(boxes, areas * size[0] * size[1], *size)
    if placed.spec.family in ("llava", "git"):  # it sees the middle square alone
        assert covered.max() < 1 + 1e-4
        assert covered.sum() == pytest.approx(min(size) ** 2, rel=1e-4)
        return
    assert np.allclose(covered, VIEWS.get(placed.spec.family, 1), atol=1e-4)


@pytest.mark.parametrize("size", SIZES[:4], ids=str)
def test_what_changes_in_a_corner_of_the_image_changes_the_states_that_lie_there(
    placed: Family, photo: NOISE, size: tuple[int, int]
) -> None:
    image = Image.new("RGB", size, "gray")
    (before,) = placed.features([image])
    boxes = placed.layout(image, before)
    for x in (0, 1, 2):
        for y in (0, 1, 2):
            corner = tuple(round(n * edge / 3) for n, edge in zip((x, y, x + 1, y + 1), size * 2, strict=True))
            changed = image.copy()
            changed.paste(photo(corner[2] - corner[0], corner[3] - corner[1], 5), corner[:2])
            (after,) = placed.features([changed])
            moved = (after.states - before.states).norm(dim=-1).flatten()
            left, top, right, bottom = (torch.tensor(e / s) for e, s in zip(corner, size * 2, strict=True))
            touched = (boxes[:, 0] < right) & (boxes[:, 2] > left) & (boxes[:, 1] < bottom) & (boxes[:, 3] > top)
            apart = (boxes[:, 0] >= right) | (boxes[:, 2] <= left) | (boxes[:, 1] >= bottom) | (boxes[:, 3] <= top)
            assert moved[touched].max() > 1.5 * moved[apart].max(), (x, y)
            assert moved[touched].mean() > 2 * moved[apart].mean(), (x, y)


# -- relevance -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asked(photo: NOISE) -> Conversation:
    return Conversation("Where was this photo taken?", [photo(96, 40, 2)])


def test_the_answer_that_was_given_is_read_as_it_was_given(placed: Family, asked: Conversation) -> None:
    (given,) = generate(placed, [asked], GenerationSpec(new_tokens=8), [0])
    if len(placed.tokenizer(given.text, add_special_tokens=False)["input_ids"]) != 8:
        pytest.skip("what it says is not read in the words in which it was written")
    found = explain(placed, asked, given.text)
    assert (found.first, found.prompt_tokens) == (found.tokens, given.prompt_tokens)
    batch = placed.to_model(placed.training_batch([dataclasses.replace(asked, answer=Verbatim(given.text))]))
    training = ("labels", "shift_labels", "logits_to_keep")
    with torch.no_grad():
        output = placed.model(**{n: t for n, t in batch.items() if n not in training}).logits[0].log_softmax(-1)
    places = torch.nonzero(batch["labels"][0] != -100).flatten()[:-1]  # the end token was not asked about
    said = sum(float(output[p - int(not placed.labels_ahead), batch["labels"][0, p]]) for p in places)
    assert found.log_probability == pytest.approx(said, abs=1e-3)


def test_relevance_sums_to_what_the_places_add(placed: Family, asked: Conversation) -> None:
    found = explain(placed, asked, "(46.95, 7.44)")
    added = found.log_probability - found.without_all
    assert float(found.relevance.sum()) == pytest.approx(added, abs=0.05 * float(found.relevance.abs().sum()))
    assert found.relevance.abs().sum() > 0
    assert (found.relevance[found.boxes.isnan().any(dim=1)] == 0).all()


def test_relevance_agrees_with_what_the_answer_loses_when_one_place_is_levelled(placed: Family, photo: NOISE) -> None:
    answer, alike = "(46.95, 7.44)", []
    tokens = list(range(len(placed.tokenizer(answer, add_special_tokens=False)["input_ids"])))
    for seed in range(4):
        asked = Conversation("Where was this photo taken?", [photo(96, 40, seed)])
        found = explain(placed, asked, answer)
        (seen,) = placed.features(asked.images)
        states = seen.states.flatten(0, -2)
        places = torch.nonzero((found.boxes[:, :2] < 1).all(dim=1)).flatten()  # the rest is padding, or has no place
        losses = []
        for place in places:
            levelled = states.clone()
            levelled[place] = states[places].mean(dim=0)
            kept = dataclasses.replace(seen, states=levelled.view_as(seen.states))
            read = dataclasses.replace(asked, images=[kept], answer=answer)
            losses.append(found.log_probability - float(read_answer(placed, read, tokens).score.detach()))
        alike.append(float(torch.corrcoef(torch.stack([found.relevance[places], torch.tensor(losses)]))[0, 1]))
    assert np.mean(alike) > 0.5, alike


def test_a_map_is_the_same_each_time(placed: Family, asked: Conversation) -> None:
    one, other = (explain(placed, asked, "(46.95, 7.44)") for _ in range(2))
    assert torch.equal(one.relevance, other.relevance)
    assert one.without_others == other.without_others


def test_other_weights_give_another_map(placed: Family, asked: Conversation) -> None:
    """Adebayo et al. 2018 (arXiv:1810.03292): a map that survives random weights shows the image, not the model."""
    found = explain(placed, asked, "(46.95, 7.44)").relevance
    again = load_family(placed.spec.family).load(placed.spec)
    language = [p for n, p in again.model.named_parameters() if again.component_of(n) == "language" and p.dim() == 2]
    alike = []
    for seed in range(6):
        stream = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in language:
                p.copy_(p.flatten()[torch.randperm(p.numel(), generator=stream)].view_as(p))
        other = explain(again, asked, "(46.95, 7.44)").relevance
        alike.append(float(torch.corrcoef(torch.stack([found, other]))[0, 1]))
    assert abs(float(np.mean(alike))) < 0.5, alike
    assert max(alike) < 0.95, alike


def test_a_part_of_the_answer_is_explained_by_its_own_tokens(placed: Family, asked: Conversation) -> None:
    answer = "This is near Paris: (46.95, 7.44) for sure."
    begin = answer.index("46")
    part = explain(placed, asked, answer, (begin, begin + len("46.95, 7.44")))
    assert part.part == "46.95, 7.44"
    whole = explain(placed, asked, answer)
    assert whole.part == answer
    assert whole.tokens > part.tokens
    assert whole.log_probability < part.log_probability
    assert not torch.allclose(whole.relevance, part.relevance)


def test_a_quantised_model_is_explained_too(asked: Conversation) -> None:
    spec = model_spec("tiny_pixtral")
    plain, coarse = (load_family(spec.family).load(spec, quantise=q) for q in ("none", "nf4"))
    one, other = (explain(f, asked, "(46.95, 7.44)").relevance for f in (plain, coarse))
    assert float(torch.corrcoef(torch.stack([one, other]))[0, 1]) > 0.5


def test_an_adapter_is_explained_with_its_model(placed: Family, asked: Conversation) -> None:
    from peft import LoraConfig, get_peft_model

    adapted = load_family(placed.spec.family).load(placed.spec)
    layers = adapted.linear_layers(["vision", "language"])
    torch.manual_seed(0)
    adapted.model = get_peft_model(
        adapted.model, LoraConfig(r=4, target_modules=layers, init_lora_weights=False)
    ).eval()
    one, other = (explain(f, asked, "(46.95, 7.44)") for f in (placed, adapted))
    assert one.tokens == other.tokens
    assert not torch.allclose(one.relevance, other.relevance, atol=1e-4)


def test_what_cannot_be_explained_is_refused(placed: Family, asked: Conversation) -> None:
    with pytest.raises(UserError, match="the answer is empty"):
        explain(placed, asked, "")
    with pytest.raises(UserError, match="a question with 0 images"):
        explain(placed, Conversation("Why?"), "a")
    with pytest.raises(UserError, match="words that stand for structure"):
        explain(placed, asked, f"a {placed.tokenizer.eos_token} b")


def test_a_family_without_places_is_refused_with_those_that_have_them() -> None:
    for name, shapley in (("idefics", True), ("remote", False), ("llama", True)):
        with pytest.raises(
            UserError, match=f"family '{name}' has no map: .* llama_vision, .*phi35_vision, pix"
        ) as refused:
            explaining.require_layout(name)
        assert ("--method shapley" in str(refused.value)) == shapley


def test_an_answer_is_explained_by_the_question_that_was_asked(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    sample = {
        "id": "a",
        "image": str(tmp_path / "a.png"),
        "question": "What colour?",
        "choices": ["red", "blue"],
        "answer": "red",
    }
    config = Config(
        task=TaskSpec(name="quiz", kind="multiple_choice"),
        prompt=PromptSpec(name="p", text="{question}\n{choices}"),
    )
    asked = explaining.asked_of(sample, config)
    assert (asked.prompt, asked.choices) == ("What colour?\nA. red\nB. blue", ("red", "blue"))


# -- the verb ------------------------------------------------------------------------------------------------------

SWEEP = [
    "model=tiny_qwen2_vl,tiny_idefics",
    "task=geolocation_earth",
    "task.options={train: 16, validation: 4, test_near: 4, test_far: 4, spacing: 2.0}",
    "prompt=geo_bare",
    "generation.new_tokens=12",
    "tracking=disabled",
    "name=explained",
]


def paceline(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    words = (sys.executable, "-m", "paceline", *words, f"root={root}")
    return subprocess.run(
        words, capture_output=True, text=True, timeout=600, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    )


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("explained")
    for verb, words in (("prepare", [w for w in SWEEP if w.startswith("task")]), ("submit", SWEEP)):
        done = paceline(root, verb, *words)
        assert done.returncode == 0, done.stderr
    return root


def cell(root: Path, model: str) -> CellFolder:
    (path,) = (root / "cells").glob(f"evaluate-{model}-*")
    return CellFolder(path)


def test_a_cells_answer_is_drawn_beside_its_results_and_changes_none(swept: Path) -> None:
    folder = cell(swept, "tiny_qwen2_vl")
    samples = [json.loads(line)["sample"] for line in folder.predictions.read_text().splitlines()[:2]]
    before = {p: p.read_bytes() for p in folder.path.rglob("*") if p.is_file()}
    done = paceline(swept, "explain", folder.id.rpartition("-")[2], *samples)
    assert done.returncode == 0, done.stderr
    paths = [folder.explanation(sample) for sample in samples]
    assert all(str(p) in done.stdout.replace("\n", "") for p in paths)
    after = {p: p.read_bytes() for p in folder.path.rglob("*") if p.is_file()}
    assert after.keys() - before.keys() == set(paths)
    assert before.items() <= after.items()
    assert folder.verify() == []
    facts = facts_of(paths[0])
    assert facts["paceline:cell"] == folder.id
    assert facts["paceline:sample"] == samples[0]
    assert json.loads(facts["paceline:provenance"])["versions"]["torch"] == torch.__version__
    # Once more gives the same picture, and the other verbs see the same cells.
    again = paceline(swept, "explain", folder.id, samples[0], "--json")
    assert Image.open(paths[0]).tobytes() == Image.open(json.loads(again.stdout)[0]["path"]).tobytes()
    assert "all done" in paceline(swept, "status", "explained").stdout
    assert "2 done cells, all as attested" in paceline(swept, "doctor").stdout


def test_a_family_without_places_is_explained_by_shapley_values(swept: Path) -> None:
    folder = cell(swept, "tiny_idefics")
    sample = json.loads(folder.predictions.read_text().splitlines()[0])["sample"]
    done = paceline(swept, "explain", folder.id, sample, "--method", "shapley", "--whole")
    assert done.returncode == 0, done.stderr
    assert "without the" in done.stdout
    assert facts_of(folder.explanation(sample))["paceline:method"].startswith("Shapley values")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["CELL"], "which answer"),
        (["evaluate-tiny_qwen2", "NOWHERE"], "answered no sample 'NOWHERE': did you mean|valid names"),
        (["evaluate-tiny_qwen3", "SAMPLE"], "no cell 'evaluate-tiny_qwen3'"),
        (["evaluate-tiny_idefics", "SAMPLE"], "family 'idefics' has no map"),
    ],
    ids=["sample", "nearest sample", "nearest cell", "no layout"],
)
def test_a_wrong_name_gets_its_right_one_back(words: list[str], said: str, swept: Path) -> None:
    folder = cell(swept, "tiny_qwen2_vl")
    sample = json.loads(folder.predictions.read_text().splitlines()[0])["sample"]
    done = paceline(swept, "explain", *(sample if w == "SAMPLE" else w for w in words))
    assert done.returncode == 2
    assert any(part in done.stderr for part in said.split("|")), done.stderr
    assert "Traceback" not in done.stderr


def test_a_cell_that_is_not_done_has_no_final_answers(swept: Path, tmp_path: Path) -> None:
    folder = cell(swept, "tiny_qwen2_vl")
    moved = folder.done_json.rename(tmp_path / "DONE.json")
    try:
        done = paceline(swept, "explain", folder.id, "any")
    finally:
        moved.rename(folder.done_json)
    assert (done.returncode, "is not done" in done.stderr) == (2, True)
