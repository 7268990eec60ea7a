"""ViLT: words and a picture in one stack, answers out of a list, soft labels, forty positions."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from conftest import model_spec
from finetune_twin import FULL, LORA, Squares, attempt, config, curve, tune, weights
from PIL import Image

from paceline.config.schema import GenerationSpec
from paceline.errors import DataError, FailedAudit, Interrupted, UserError
from paceline.inference import shapley_map
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.training import audits

SPEC = model_spec("tiny_vilt")
SETTINGS = GenerationSpec()


class Colours(Squares):
    """The toy's squares, with answers of the twin's list."""

    def __getitem__(self, index: int) -> Conversation:
        colour = ("red", "green", "blue")[(index + self.first) % 3]
        return Conversation("Which colour is it?", [Image.new("RGB", (32, 32), colour)], answer=colour)


def load(**options: Any) -> Family:
    return load_family("vilt").load(SPEC, **options)


@pytest.fixture(scope="module")
def vilt() -> Family:
    return load()


def logits(family: Family, asked: list[Conversation]) -> torch.Tensor:
    with torch.inference_mode():
        return family.model(**family.to_model(family.batch(asked))).logits


# -- answers -------------------------------------------------------------------------------------------------------


def test_pictures_of_any_size_are_answered_together_as_one_by_one(
    vilt: Family, photo: Callable[..., Image.Image]
) -> None:
    sizes = [(64, 64), (1, 1), (400, 2), (2, 400), (90, 40), (3000, 15)]
    words = ["Where?", "What is it, and where was it taken?", "Why?", "Which?", "Is it red?", "How many are there?"]
    asked = [Conversation(text, [photo(*size, 3)]) for text, size in zip(words, sizes, strict=True)]
    asked += [Conversation("Where?", [photo(50, 50, 9).convert(mode)]) for mode in ("L", "RGBA", "P", "CMYK", "1")]
    together = logits(vilt, asked)
    assert together.isfinite().all()
    for row, one in enumerate(asked):
        assert torch.allclose(together[row], logits(vilt, [one])[0], atol=1e-4), one.images[0].size


def test_picture_and_question_change_the_answer(vilt: Family, photo: Callable[..., Image.Image]) -> None:
    first = Conversation("Where?", [photo(64, 64, 1)])
    others = [Conversation("Where?", [photo(64, 64, 2)]), Conversation("How many?", first.images)]
    for other in others:
        assert not torch.allclose(logits(vilt, [first]), logits(vilt, [other]), atol=1e-4)


def test_an_answer_is_the_likeliest_of_the_list_or_of_the_choices_that_are_in_it(
    vilt: Family, photo: Callable[..., Image.Image]
) -> None:
    asked = Conversation("Is it red?", [photo(64, 64)], system="Look well.")
    (found,) = vilt.answer([asked], SETTINGS, [0])
    chances = logits(vilt, [asked])[0].sigmoid()
    assert found.text == vilt.labels[int(chances.argmax())]  # type: ignore[attr-defined]
    assert found.data["labels"][0] == [found.text, pytest.approx(float(chances.max()), abs=1e-5)]
    assert (found.new_tokens, found.finish) == (0, "stop")
    chosen = dataclasses.replace(asked, choices=("Yes", "NO", "perhaps"))
    (found,) = vilt.answer([chosen], SETTINGS, [0])
    assert found.text == ("Yes" if chances[0] > chances[1] else "NO")
    assert found.data["known_choices"] == 2
    assert vilt.answer([dataclasses.replace(asked, choices=("perhaps",))], SETTINGS, [0])[0].text == ""


def test_an_explanation_is_of_the_probability_that_was_told(vilt: Family, photo: Callable[..., Image.Image]) -> None:
    asked = Conversation("Is it red?", [photo(8, 8)])
    (found,) = vilt.answer([asked], SETTINGS, [0])
    told = shapley_map.explain(vilt, asked, found.text)
    assert told.log_probability == pytest.approx(math.log(found.data["labels"][0][1]), abs=1e-4)


def test_an_answer_is_the_same_to_the_last_digit_whatever_was_drawn_before(
    vilt: Family, photo: Callable[..., Image.Image]
) -> None:
    asked = [Conversation("Where?", [photo(90, 64, seed)]) for seed in range(4)]
    first = vilt.answer(asked, SETTINGS, [0] * 4)
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    assert vilt.answer(asked, SETTINGS, [0] * 4) == first
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_prompt_is_the_question_alone(vilt: Family, photo: Callable[..., Image.Image]) -> None:
    asked = Conversation("Is it red?\n", [photo(64, 64)], system="Look well.")
    ids = vilt.batch([asked])["input_ids"][0]
    assert vilt.tokenizer.decode(ids) == "[CLS]Look well. Is it red?[SEP]"
    hostile = dataclasses.replace(asked, prompt="[SEP] Is it [CLS]?", system="")
    marks = [vilt.tokenizer.convert_tokens_to_ids(mark) for mark in ("[CLS]", "[SEP]")]
    assert [int((vilt.batch([hostile])["input_ids"] == mark).sum()) for mark in marks] == [1, 1]


def test_a_question_longer_than_the_published_positions_is_refused_by_its_sample(
    photo: Callable[..., Image.Image],
) -> None:
    settings = copy.deepcopy(SPEC.config) | {
        "max_position_embeddings": transformers.ViltConfig().max_position_embeddings
    }
    family = load_family("vilt").load(dataclasses.replace(SPEC, config=settings))
    assert family.longest == 40
    fits = Conversation("Where " + "the " * 36, [photo(8, 8)])
    assert family.batch([fits])["input_ids"].shape[1] <= 40
    long = Conversation("Where " + "the " * 60, [photo(8, 8)], sample="x")
    with pytest.raises(UserError, match=r"sample 'x': model tiny_vilt has 40 positions for words, .* takes \d+"):
        family.batch([fits, long])


def test_several_images_none_or_worked_examples_are_refused(vilt: Family, photo: Callable[..., Image.Image]) -> None:
    one = Conversation("Where?", [photo(8, 8)], answer="yes")
    for asked in (
        Conversation("Where?"),
        Conversation("Where?", [photo(8, 8)] * 2),
        dataclasses.replace(one, shots=[one]),
    ):
        with pytest.raises(UserError, match="tiny_vilt takes a question about one image"):
            vilt.batch([asked])


@pytest.mark.parametrize(
    ("size", "patches"),
    # 384 pixels by the shorter edge, at most 639 by the longer, whole patches of 32: each computed by hand.
    [
        ((640, 480), 12 * 16),
        ((480, 640), 12 * 16),
        ((384, 384), 144),
        ((1, 1), 144),
        ((2000, 500), 5 * 19),
        ((3000, 15), 19),
    ],
)
def test_the_published_size_makes_so_many_patches(size: tuple[int, int], patches: int, photo: Any) -> None:
    config = copy.deepcopy(SPEC.config) | {"image_size": 384, "patch_size": 32}
    spec = dataclasses.replace(SPEC, config=config, processor={"size": {"shortest_edge": 384}})
    family = load_family("vilt").load(spec)
    words = 3  # one and its two marks
    asked = Conversation("Where", [photo(*size)])
    assert family.tokens_read(family.batch([asked])).tolist() == [words + 1 + patches]
    assert torch.isfinite(logits(family, [asked])).all()


# -- weights -------------------------------------------------------------------------------------------------------


def test_the_published_network_has_its_number_of_parameters() -> None:
    """The sum over the published shapes: 3,129 answers of VQAv2, BERT's vocabulary, ViT-B/32, twelve layers."""
    width, answers = 768, 3129
    words = (30522 + 40 + 2 + 2) * width
    norm = 2 * width
    patches = 3 * 32 * 32 * width + width + (144 + 1) * width + width
    layer = 4 * (width * width + width) + 2 * norm + (width * 4 * width + 4 * width) + (4 * width * width + width)
    head = (width * 2 * width + 2 * width) + 2 * 2 * width + (2 * width * answers + answers)
    published = words + norm + patches + 12 * layer + norm + (width * width + width) + head
    settings = transformers.ViltConfig(num_labels=answers)
    with torch.device("meta"):
        network = transformers.AutoModelForVisualQuestionAnswering.from_config(settings)
    assert type(network).__name__ == "ViltForQuestionAnswering"
    assert sum(p.numel() for p in network.parameters()) == published == 117_588_537
    # Of the conversion script of the published weights.
    names = set(network.state_dict())
    for name in (
        "vilt.embeddings.text_embeddings.LayerNorm.weight",
        "vilt.embeddings.patch_embeddings.projection.weight",
        "vilt.encoder.layer.11.attention.attention.query.weight",
        "vilt.encoder.layer.11.attention.output.dense.bias",
        "vilt.encoder.layer.0.layernorm_before.weight",
        "vilt.pooler.dense.weight",
        "classifier.3.bias",
    ):
        assert name in names


def test_every_weight_belongs_to_a_part_and_learns(photo: Callable[..., Image.Image]) -> None:
    family = load(training=True)
    lessons = [Conversation("Is it red?", [photo(64, 40, i)], answer=label) for i, label in enumerate(("yes", "2"))]
    family.model(**family.training_batch(lessons)).loss.backward()
    assert [n for n, p in family.model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    assert {family.component_of(n) for n, _ in family.model.named_parameters()} == set(family.components)
    assert not any(name.startswith("classifier") for name in family.linear_layers(list(family.components)))


def test_a_folder_of_weights_is_a_model_and_loads_in_plain_transformers(
    vilt: Family, photo: Callable[..., Image.Image], tmp_path: Path
) -> None:
    asked = [Conversation("Where?", [photo(64, 64, 1)]), Conversation("Is it red?", [photo(40, 90, 2)])]
    vilt.save(vilt.model, tmp_path)
    again = load_family("vilt").load(dataclasses.replace(SPEC, weights=str(tmp_path), config={}))
    assert again.answer(asked, SETTINGS, [0, 0]) == vilt.answer(asked, SETTINGS, [0, 0])
    plain = transformers.AutoModelForVisualQuestionAnswering.from_pretrained(tmp_path, attn_implementation="eager")
    processor = transformers.AutoProcessor.from_pretrained(tmp_path)
    for one in asked:
        batch = processor(images=one.images, text=[one.prompt], return_tensors="pt")
        with torch.inference_mode():
            assert torch.allclose(plain(**batch).logits, logits(vilt, [one]), atol=1e-5)


def test_a_tokenizer_of_another_model_is_refused(vilt: Family, tmp_path: Path) -> None:
    vilt.save(vilt.model, tmp_path)
    path = tmp_path / "tokenizer.json"
    whole = json.loads(path.read_text())
    whole["model"]["vocab"]["elsewhere"] = 20_000
    path.write_text(json.dumps(whole))
    with pytest.raises(UserError, match="token 'elsewhere' of the tokenizer has number 20000"):
        load_family("vilt").load(dataclasses.replace(SPEC, weights=str(tmp_path), config={}))


def test_an_attention_that_it_lacks_is_refused() -> None:
    with pytest.raises(UserError, match="attention: sdpa is not among those of family 'vilt': eager"):
        load_family("vilt").load(dataclasses.replace(SPEC, attention="sdpa"))


def test_a_quantised_model_answers_nearly_the_same(vilt: Family, photo: Callable[..., Image.Image]) -> None:
    rounded = load(quantise="int8")
    asked = [Conversation("Where?", [photo(64, 64)])]
    assert type(rounded.model.classifier[0]) is torch.nn.Linear
    assert torch.nn.functional.cosine_similarity(logits(vilt, asked), logits(rounded, asked)).min() > 0.98


# -- tuning --------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_published_one_over_every_accepted_answer(
    vilt: Family, photo: Callable[..., Image.Image]
) -> None:
    image = photo(64, 64)
    lessons = [
        Conversation("Which?", [image], answer="red", accepted={"red": 1.0, "blue": 0.3, "crimson": 0.6}),
        Conversation("Where?", [image], answer="nowhere"),
        Conversation("Is it?", [image], answer="yes"),
    ]
    batch = vilt.training_batch(lessons)
    expected = torch.zeros(3, 10)
    expected[0, 2], expected[0, 4], expected[2, 0] = 1.0, 0.3, 1.0
    assert torch.equal(batch["labels"], expected)
    with torch.inference_mode():
        output = vilt.model(**batch)
    each = torch.nn.functional.binary_cross_entropy_with_logits(output.logits, expected, reduction="none")
    assert float(output.loss) == pytest.approx(float(each.sum(dim=1).mean()), rel=1e-5)
    assert [one.text for one in audits.labels(vilt, lessons)] == [
        "red | blue",
        "nothing: not in the model's list",
        "yes",
    ]


def test_labels_that_are_no_answers_are_found_by_the_audit(photo: Callable[..., Image.Image]) -> None:
    family = load(training=True)
    lessons = [Conversation("Which?", [photo(8, 8)], answer="red", accepted={"red": 1.0, "blue": 0.3})]
    wanted = family.wanted  # type: ignore[attr-defined]
    for broken, word in ((lambda t: t.roll(1, dims=1), "green"), (lambda t: (t > 0).float(), "blue")):
        family.wanted = lambda asked, broken=broken: broken(wanted(asked))  # type: ignore[attr-defined]
        with pytest.raises(FailedAudit, match=f"supervised is '{word}' with 1"):
            audits.labels(family, lessons)


def test_answers_of_which_none_is_in_the_list_are_refused(vilt: Family, photo: Callable[..., Image.Image]) -> None:
    lessons = [Conversation("Where?", [photo(8, 8)], answer="(46.95, 7.44)")] * 2
    with pytest.raises(
        DataError, match=r"none of the first 2 answers is in the list of model tiny_vilt, such as '\(46"
    ):
        audits.labels(vilt, lessons)


@pytest.mark.parametrize("how", [FULL, LORA], ids=["full", "adapter"])
def test_an_interrupted_tuning_ends_with_the_bits_of_an_undisturbed_one(how: Any, tmp_path: Path) -> None:
    made = config(how, model=SPEC, max_steps=4, batch=2, micro_batch=1, validations=2)
    tune(attempt(tmp_path / "whole", made), Colours)
    with pytest.raises(Interrupted):
        tune(attempt(tmp_path / "cut", made, stop_after=2), Colours)
    assert tune(attempt(tmp_path / "cut", made), Colours)["resumed"] == 2
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    mine, others = weights(tmp_path / "cut"), weights(tmp_path / "whole")
    assert mine.keys() == others.keys()
    assert all(torch.equal(mine[name], others[name]) for name in mine)


def test_the_micro_batch_changes_no_more_than_the_order_of_sums(tmp_path: Path) -> None:
    for micro in (1, 4):
        made = config(FULL, model=SPEC, max_steps=3, batch=4, micro_batch=micro, validations=1)
        tune(attempt(tmp_path / str(micro), made), Colours)
    one, four = (curve(tmp_path / name) for name in "14")
    for step, point in one.items():
        assert four[step] == pytest.approx(point, abs=1e-4), step


def test_a_tuned_twin_learns_and_its_adapter_loads_in_plain_peft(tmp_path: Path) -> None:
    from peft import PeftModel

    made = config(LORA, model=SPEC, max_steps=30, batch=6, learning_rate=1e-2)
    run = attempt(tmp_path / "cell", made)
    told = tune(run, Colours)
    assert told["trainable"] == told["trainable_language"]
    folder = run.attempt.path / "weights"
    ours = load(tuned=folder)
    asked = [Colours(3)[i] for i in range(3)]
    assert [a.text for a in ours.answer(asked, SETTINGS, [0] * 3)] == [c.answer for c in asked]
    plain = load()
    plain.model = PeftModel.from_pretrained(plain.model, folder).eval()
    assert torch.allclose(logits(plain, asked), logits(ours, asked), atol=1e-6)
