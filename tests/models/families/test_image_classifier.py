"""Image classifiers: any size of picture, labels that come from the data, a frozen backbone that stays, Grad-CAM."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from conftest import model_spec
from finetune_twin import COLOURS, FULL, Squares, attempt, config, curve, method, tune, weights
from PIL import Image

from paceline.config.schema import GenerationSpec, LoraSpec, MethodSpec, ModelSpec
from paceline.errors import DataError, FailedAudit, Interrupted, UserError
from paceline.inference import grad_cam
from paceline.models import hub_files, load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.training import audits, finetune, output_layer

RESNET = model_spec("tiny_resnet")
VIT = ModelSpec(
    name="tiny_vit",
    family="image_classifier",
    inputs=["image"],
    dtype="float32",
    config={
        "seed": 0,
        "architecture": "vit",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "image_size": 64,
        "patch_size": 16,
        "initializer_range": 0.1,
        "labels": ["one", "two", "three"],
    },
    processor={"size": {"shortest_edge": 64}, "crop_pct": 1.0},
)
HEAD = method("head")
LORA = MethodSpec(name="lora", trains="adapter", lora=LoraSpec(r=4, alpha=8, components=["backbone"]))
LEARNED = sorted(f"The square is {colour}." for colour in COLOURS)
SETTINGS = GenerationSpec()


@pytest.fixture(params=[RESNET, VIT], ids=["resnet", "vit"])
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    return request.param


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy's answers as the list to learn, in the place of a prepared train split."""
    monkeypatch.setattr(output_layer, "labels_of", lambda run: LEARNED)


def load(spec: ModelSpec, **options: Any) -> Family:
    return load_family("image_classifier").load(spec, **options)


def logits(family: Family, asked: list[Conversation]) -> torch.Tensor:
    with torch.inference_mode():
        return family.model(**family.to_model(family.batch(asked))).logits


def made(spec: ModelSpec, how: MethodSpec, **changes: Any) -> Any:
    settings = {"max_steps": 6, "batch": 4, "learning_rate": 1e-2, **changes}
    return config(how, model=spec, **settings)


def state(family: Family) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in family.model.state_dict().items()}


# -- answers -------------------------------------------------------------------------------------------------------


def test_pictures_of_any_size_are_answered_together_as_one_by_one(
    spec: ModelSpec, photo: Callable[..., Image.Image]
) -> None:
    family = load(spec)
    sizes = [(64, 64), (1, 1), (400, 2), (2, 400), (90, 40), (3000, 15)]
    asked = [Conversation("", [photo(*size, seed)]) for seed, size in enumerate(sizes)]
    asked += [Conversation("", [photo(50, 50, 9).convert(mode)]) for mode in ("L", "RGBA", "P", "CMYK", "1")]
    together = logits(family, asked)
    assert together.isfinite().all()
    for row, one in enumerate(asked):
        assert torch.allclose(together[row], logits(family, [one])[0], atol=1e-4), one.images[0].size


def test_an_answer_is_the_likeliest_label_with_the_next_ones_and_their_probabilities(
    spec: ModelSpec, photo: Callable[..., Image.Image]
) -> None:
    family = load(spec)
    asked = Conversation("What is this?", [photo(64, 64)])
    (found,) = family.answer([asked], SETTINGS, [0])
    chances = logits(family, [asked])[0].softmax(-1)
    assert found.text == family.labels[int(chances.argmax())]
    assert found.data["labels"][0] == [found.text, pytest.approx(float(chances.max()), abs=1e-5)]
    assert [p for _, p in found.data["labels"]] == sorted((p for _, p in found.data["labels"]), reverse=True)
    assert (found.prompt_tokens, found.new_tokens, found.finish) == (0, 0, "stop")


def test_where_choices_are_given_one_of_those_in_the_list_is_answered_as_it_was_spelt(
    photo: Callable[..., Image.Image],
) -> None:
    family = load(RESNET)
    image = photo(64, 64)
    order = [label for label, _ in family.answer([Conversation("", [image])], SETTINGS, [0])[0].data["labels"]]
    last = Conversation("", [image], choices=(f" {order[-1].upper()}", "no such label"))
    (found,) = family.answer([last], SETTINGS, [0])
    assert (found.text, found.data["known_choices"]) == (f" {order[-1].upper()}", 1)
    (none,) = family.answer([Conversation("", [image], choices=("elephant",))], SETTINGS, [0])
    assert (none.text, none.data) == ("", {"labels": [], "known_choices": 0})


def test_scores_that_are_no_numbers_end_the_batch_with_the_sample(photo: Callable[..., Image.Image]) -> None:
    family = load(RESNET)
    with torch.no_grad():
        family.model.classifier[1].bias[0] = math.nan
    with pytest.raises(UserError, match=r"sample 'x': of model tiny_resnet .* no numbers"):
        family.answer([Conversation("", [photo(8, 8)], sample="x")], SETTINGS, [0])


def test_more_than_one_image_or_none_is_refused_by_the_sample(photo: Callable[..., Image.Image]) -> None:
    family = load(RESNET)
    for images in ([], [photo(8, 8)] * 2):
        with pytest.raises(UserError, match=f"sample 'x': model tiny_resnet classifies one image, not {len(images)}"):
            family.batch([Conversation("", images, sample="x")])


# -- pixels --------------------------------------------------------------------------------------------------------


def test_the_pixels_are_those_that_resnet_was_published_with(photo: Callable[..., Image.Image]) -> None:
    """256 pixels by the shorter edge with Pillow's bicubic filter, cropped to 224; ImageNet's mean and deviation."""
    family = load(dataclasses.replace(RESNET, processor={"size": {"shortest_edge": 224}, "crop_pct": 0.875}))
    family.processor.image_mean, family.processor.image_std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    smooth = photo(24, 16).resize((600, 400), Image.Resampling.BICUBIC)
    (seen,) = family.batch([Conversation("", [smooth])])["pixel_values"]
    resized = smooth.resize((384, 256), Image.Resampling.BICUBIC).crop((80, 16, 304, 240))
    expected = (np.asarray(resized) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    level = 1 / 255 / 0.224  # torchvision rounds otherwise: by one level of 255 in each direction that it resizes
    apart = np.abs(seen.permute(1, 2, 0).numpy() - expected)
    assert apart.max() < 2.01 * level
    assert apart.mean() < 0.1 * level


def test_training_sees_the_pixels_that_answering_sees(spec: ModelSpec, photo: Callable[..., Image.Image]) -> None:
    family = load(spec, training=True)
    lesson = Conversation("", [photo(90, 40)], answer=family.labels[1])
    batch = family.training_batch([lesson])
    assert torch.equal(batch["pixel_values"], family.batch([dataclasses.replace(lesson, answer=None)])["pixel_values"])
    assert batch["labels"].tolist() == [1]


# -- weights -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "parameters"), [("resnet", 25_557_032), ("vit", 86_567_656)], ids=["resnet50", "vit_base"]
)
def test_the_published_networks_have_their_number_of_parameters(architecture: str, parameters: int) -> None:
    """The library's own configs are those of ResNet-50 and ViT-Base/16; counts of torchvision and of timm."""
    settings = transformers.AutoConfig.for_model(architecture, num_labels=1000)
    with torch.device("meta"):
        network = transformers.AutoModelForImageClassification.from_config(settings)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_the_tensors_of_resnet50_have_their_published_names() -> None:
    settings = transformers.AutoConfig.for_model("resnet", num_labels=1000)
    with torch.device("meta"):
        names = set(transformers.AutoModelForImageClassification.from_config(settings).state_dict())
    # Of the conversion script of the published weights.
    for name in (
        "resnet.embedder.embedder.convolution.weight",
        "resnet.encoder.stages.0.layers.0.shortcut.convolution.weight",
        "resnet.encoder.stages.3.layers.2.layer.2.normalization.running_var",
        "classifier.1.weight",
    ):
        assert name in names


def test_every_weight_belongs_to_a_part_and_learns(spec: ModelSpec, photo: Callable[..., Image.Image]) -> None:
    family = load(spec, training=True)
    lessons = [Conversation("", [photo(64, 64, i)], answer=label) for i, label in enumerate(family.labels)]
    family.model(**family.training_batch(lessons)).loss.backward()
    assert [n for n, p in family.model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    assert {family.component_of(n) for n, _ in family.model.named_parameters()} == set(family.components)
    assert not any(name.startswith("classifier") for name in family.linear_layers(list(family.components)))


def test_a_folder_of_weights_is_a_model_and_loads_in_plain_transformers(
    spec: ModelSpec, photo: Callable[..., Image.Image], tmp_path: Path
) -> None:
    family = load(spec)
    asked = [Conversation("", [photo(64, 64, i)]) for i in range(2)]
    family.save(family.model, tmp_path)
    named = dataclasses.replace(spec, weights=str(tmp_path), config={})
    assert hub_files.lacking(named) == ""  # it has no tokenizer, and a plan asks for none
    again = load(named)
    assert torch.equal(logits(again, asked), logits(family, asked))
    assert again.labels == family.labels
    plain = transformers.AutoModelForImageClassification.from_pretrained(tmp_path)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    with torch.inference_mode():
        found = plain(**processor(images=[c.images[0] for c in asked], return_tensors="pt")).logits
    assert torch.allclose(found, logits(family, asked), atol=1e-6)


def test_a_network_without_layers_to_quantise_is_refused_and_another_is_quantised(
    photo: Callable[..., Image.Image],
) -> None:
    with pytest.raises(UserError, match="ResNetForImageClassification has no linear layers before its output"):
        load(RESNET, quantise="int8")
    whole, rounded = load(VIT), load(VIT, quantise="int8")
    asked = [Conversation("", [photo(64, 64)])]
    assert type(rounded.model.classifier) is torch.nn.Linear
    assert torch.nn.functional.cosine_similarity(logits(whole, asked), logits(rounded, asked)).min() > 0.98


# -- tuning --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("learned")
def test_a_tuned_model_answers_out_of_what_it_learned_and_knows_it_without_data(
    spec: ModelSpec, tmp_path: Path
) -> None:
    run = attempt(tmp_path / "cell", made(spec, FULL, max_steps=12))
    told = tune(run)
    assert told["trainable"] == told["parameters"] == told["trainable_backbone"] + told["trainable_head"]
    again = load(spec, tuned=run.attempt.path / "weights")
    assert again.labels == LEARNED
    assert again.answer([Squares(1)[0]], SETTINGS, [0])[0].text in LEARNED
    points = curve(tmp_path / "cell")
    assert points[12]["loss"] < points[1]["loss"] < 1.5 * math.log(len(LEARNED))
    assert "tokens_per_second" not in points[12]


@pytest.mark.usefixtures("learned")
@pytest.mark.parametrize("how", [HEAD, FULL], ids=["head", "full"])
def test_statistics_of_normalisation_stay_and_a_frozen_backbone_does(how: MethodSpec, tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", made(RESNET, how))
    before = state(load(RESNET))
    told = tune(run)
    after = weights(tmp_path / "cell")
    changed = {name for name, tensor in after.items() if name not in before or not torch.equal(tensor, before[name])}
    assert not any("running" in name or "tracked" in name for name in changed)
    assert ("trainable_backbone" in told) == (how is FULL) == any(name.startswith("resnet") for name in changed)
    assert {"classifier.1.weight", "classifier.1.bias"} <= changed


@pytest.mark.usefixtures("learned")
def test_a_frozen_backbone_looks_at_each_picture_once_and_learns_the_same(tmp_path: Path) -> None:
    seen, anew = tmp_path / "seen", tmp_path / "anew"
    run = attempt(seen, made(RESNET, HEAD, batch=8, validations=2))
    tune(run)
    assert any("looked at 15 pictures" in note for note in run.notes)
    plain = attempt(anew, made(RESNET, HEAD, batch=8, validations=2, feature_gib=0.0))
    tune(plain)
    assert not any("looked at" in note for note in plain.notes)
    for name, tensor in weights(seen).items():
        assert torch.allclose(tensor, weights(anew)[name], atol=1e-5), name


@pytest.mark.usefixtures("learned")
def test_the_micro_batch_changes_no_more_than_the_order_of_sums(tmp_path: Path) -> None:
    for micro in (1, 4):
        tune(attempt(tmp_path / str(micro), made(RESNET, FULL, micro_batch=micro, validations=1)))
    one, four = (curve(tmp_path / name) for name in "14")
    for step, point in one.items():
        assert four[step] == pytest.approx(point, abs=1e-4), step
    for name, tensor in weights(tmp_path / "1").items():
        assert torch.allclose(tensor, weights(tmp_path / "4")[name], atol=1e-4), name


@pytest.mark.usefixtures("learned")
@pytest.mark.parametrize(
    ("model", "how"), [(RESNET, HEAD), (RESNET, FULL), (VIT, LORA)], ids=["head", "full", "adapter"]
)
def test_an_interrupted_tuning_ends_with_the_bits_of_an_undisturbed_one(
    model: ModelSpec, how: MethodSpec, tmp_path: Path
) -> None:
    settled = made(model, how, batch=2)
    tune(attempt(tmp_path / "whole", settled))
    with pytest.raises(Interrupted):
        tune(attempt(tmp_path / "cut", settled, stop_after=3))
    assert tune(attempt(tmp_path / "cut", settled))["resumed"] == 3
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    mine, others = weights(tmp_path / "cut"), weights(tmp_path / "whole")
    assert mine.keys() == others.keys()
    assert all(torch.equal(mine[name], others[name]) for name in mine)


@pytest.mark.usefixtures("learned")
def test_an_adapter_holds_its_output_layer_and_its_labels_and_loads_in_plain_peft(tmp_path: Path) -> None:
    from peft import PeftModel

    run = attempt(tmp_path / "cell", made(VIT, LORA, max_steps=12))
    told = tune(run)
    folder = run.attempt.path / "weights"
    assert told["trainable_head"] == 32 * len(LEARNED) + len(LEARNED)
    ours = load(VIT, tuned=folder)
    assert ours.labels == LEARNED
    asked = [Squares(1)[0]]
    found = logits(ours, asked)

    bare = load_family("image_classifier").over(LEARNED).load(VIT)  # type: ignore[attr-defined]
    untuned = logits(bare, asked)
    plain = PeftModel.from_pretrained(bare.model, folder).eval()
    with torch.inference_mode():
        assert torch.allclose(plain(**bare.batch(asked)).logits, found, atol=1e-6)
    assert not torch.allclose(untuned, found, atol=1e-3)


@pytest.mark.usefixtures("learned")
def test_an_output_layer_is_drawn_from_the_seed_alone(tmp_path: Path) -> None:
    def head(seed: int, noise: int) -> torch.Tensor:
        torch.manual_seed(noise)
        settled = dataclasses.replace(made(RESNET, HEAD), seed=seed)
        return finetune.load(attempt(tmp_path / f"{seed}-{noise}", settled), 10).model.classifier[1].weight.detach()

    assert torch.equal(head(1, 5), head(1, 6))
    assert not torch.equal(head(1, 5), head(2, 5))
    # Of as many labels as the weights came with, it is drawn all the same.
    same = load_family("image_classifier").over(list("abcdefgh")).load(RESNET)  # type: ignore[attr-defined]
    read = same.model.classifier[1].weight.detach().clone()
    output_layer.draw(same, 0)
    assert not torch.equal(same.model.classifier[1].weight, read)


@pytest.mark.usefixtures("learned")
def test_an_adapter_on_a_network_of_convolutions_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tiny_resnet has no linear layers in backbone.*such as head or full"):
        tune(attempt(tmp_path / "cell", made(RESNET, LORA)))


@pytest.mark.usefixtures("learned")
def test_a_network_that_cannot_recompute_goes_on_and_says_so(tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", made(RESNET, FULL, activation_checkpointing=True, probe="always"))
    assert tune(run)["steps"] == 6
    assert any("ResNetForImageClassification can't recompute" in note for note in run.notes)


def test_a_label_of_another_class_is_found_by_the_audit(photo: Callable[..., Image.Image]) -> None:
    family = load(RESNET, training=True)
    lessons = [Conversation("", [photo(8, 8, i)], answer=label) for i, label in enumerate(family.labels)]
    assert [one.text for one in audits.labels(family, lessons)] == family.labels
    wanted = family.wanted  # type: ignore[attr-defined]
    family.wanted = lambda asked: wanted(asked).roll(1)  # type: ignore[attr-defined]
    with pytest.raises(FailedAudit, match=r"mislabels sample 1 .* supervised is 'magenta' with 1, and right is red"):
        audits.labels(family, lessons)


def test_an_answer_outside_of_the_list_names_its_sample(photo: Callable[..., Image.Image]) -> None:
    with pytest.raises(DataError, match=r"sample 'x': its answer 'rad' is none of the 8 .* did you mean 'red'"):
        load(RESNET).training_batch([Conversation("", [photo(8, 8)], answer="rad", sample="x")])


# -- explained -----------------------------------------------------------------------------------------------------


class Spots(Squares):
    """A red spot, a blue one or none, somewhere on grey noise: what to look at lies in one place."""

    colours = (("red", (220, 20, 20)), ("blue", (20, 20, 220)), ("none", None))

    def place(self, index: int) -> tuple[int, int]:
        return 16 * (index * 7 % 4), 16 * (index * 5 % 3)

    def __getitem__(self, index: int) -> Conversation:
        pixels = np.random.default_rng(index).integers(90, 160, (64, 64, 1)).repeat(3, axis=2).astype(np.uint8)
        (x, y), (name, colour) = self.place(index), self.colours[index % 3]
        if colour:
            pixels[y : y + 16, x : x + 16] = colour
        return Conversation("", [Image.fromarray(pixels)], answer=name)


@pytest.fixture(scope="module")
def spotter(tmp_path_factory: pytest.TempPathFactory) -> Family:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output_layer, "labels_of", lambda run: ["blue", "none", "red"])
        spec = dataclasses.replace(RESNET, processor={"size": {"shortest_edge": 64}, "crop_pct": 1.0})
        run = attempt(tmp_path_factory.mktemp("spots"), made(spec, FULL, max_steps=60, batch=8, learning_rate=3e-3))
        family = finetune.load(run, 48)
        finetune.train(run, family, Spots(48), Spots(0), output=run.attempt.path / "weights")
    family.model.eval().requires_grad_(False)
    return family


def test_grad_cam_finds_the_place_that_an_answer_hangs_on_and_deletion_confirms_it(spotter: Family) -> None:
    samples = Spots(72)
    hits = confirmed = 0
    shown = [i for i in range(48, 72) if samples[i].answer != "none"]
    for index in shown:
        asked = samples[index]
        (found,) = spotter.answer([asked], SETTINGS, [0])
        assert found.text == asked.answer
        told = grad_cam.explain(spotter, asked, found.text)
        centres = 64 * (told.boxes[:, :2] + told.boxes[:, 2:]) / 2
        middle = (told.relevance[:, None] * centres).sum(dim=0) / told.relevance.sum()
        spot = torch.tensor(samples.place(index)) + 8.0
        hits += float((middle - spot).norm()) < 16
        confirmed += told.without_these < told.without_others
        assert told.log_probability == pytest.approx(math.log(found.data["labels"][0][1]), abs=1e-4)
    assert hits >= 0.8 * len(shown)
    assert confirmed >= 0.8 * len(shown)


def test_a_map_lies_where_the_processor_cropped(photo: Callable[..., Image.Image]) -> None:
    family = load(RESNET)  # 73 pixels by the shorter edge, of which 64 are shown
    for width, height in ((200, 100), (100, 300), (1, 1), (40, 40)):
        left, top, right, bottom = grad_cam.shown(family, width, height)  # type: ignore[arg-type]
        short = min(width, height)
        assert (right - left, bottom - top) == (
            pytest.approx(64 / 73 * short / width, abs=0.02),
            pytest.approx(64 / 73 * short / height, abs=0.02),
        )
        assert left + right == pytest.approx(1, abs=0.02)
        assert top + bottom == pytest.approx(1, abs=0.02)


def test_grad_cam_without_stages_of_convolutions_is_refused(photo: Callable[..., Image.Image]) -> None:
    with pytest.raises(UserError, match=r"tiny_vit: Grad-CAM .* ViTForImageClassification has no such stages"):
        grad_cam.explain(load(VIT), Conversation("", [photo(64, 64)]), "one")


def test_grad_cam_of_a_model_that_classifies_no_images_is_refused(photo: Callable[..., Image.Image]) -> None:
    family = load_family("qwen2_vl").load(model_spec("tiny_qwen2_vl"))
    with pytest.raises(UserError, match=r"family 'qwen2_vl' has no Grad-CAM.*--method shapley serves all"):
        grad_cam.explain(family, Conversation("?", [photo(64, 64)]), "one")
