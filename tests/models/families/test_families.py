"""What every family promises, shown on its twin."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import transformers
from conftest import model_spec
from finetune_twin import LORA, TREE, attempt, config, curve, tune, weights
from PIL import Image
from transformers import GenerationConfig, LogitsProcessorList

from paceline.config.schema import GenerationSpec, ModelSpec, PromptSpec, Quantise, TaskSpec
from paceline.data.conversations import lesson, question
from paceline.errors import Interrupted, UserError
from paceline.gpu_memory import image_tokens
from paceline.gpu_memory.shapes import shape_of
from paceline.models import family_names, load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.generate import generate
from paceline.models.registry import says
from paceline.models.tensors import IGNORED

pytestmark = pytest.mark.asks("tokens")

SHAPES = ((1, 1), (2, 1), (1, 200), (200, 1), (3, 500), (640, 4), (64, 64), (301, 97))
"""Width and height of pictures that come up: a thumbnail, a line of text, a banner."""

LARGE = (
    "qwen2_vl_2b",
    "qwen25_vl_3b",
    "phi35_vision",
    "pixtral_12b",
    "llama32_11b_vision",
    "llama32_11b_vision_instruct",
    "idefics_9b",
)


def last_logits(family: Family, conversations: list[Conversation]) -> torch.Tensor:
    with torch.inference_mode():
        return family.model(**family.to_model(family.batch(conversations))).logits[:, -1]


def state(family: Family) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in family.model.state_dict().items()}


def same_state(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


# -- twins ---------------------------------------------------------------------------------------------------------


def test_a_twin_is_the_same_whatever_was_drawn_before(spec: ModelSpec, twin: Family) -> None:
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    again = load_family(spec.family).load(spec)
    assert same_state(state(twin), state(again))
    assert torch.equal(before, torch.random.get_rng_state())


def test_making_a_twin_leaves_its_spec_as_it_was(spec: ModelSpec, tmp_path: Path) -> None:
    mine = dataclasses.replace(spec, config=copy.deepcopy(model_spec(spec.name).config))
    load_family(spec.family).make_twin(mine, tmp_path)
    assert mine.config == TREE.load("model", spec.name)["config"]


def test_another_seed_gives_other_weights(spec: ModelSpec, twin: Family) -> None:
    other = dataclasses.replace(spec, config={**spec.config, "seed": 1})
    assert not same_state(state(twin), state(load_family(spec.family).load(other)))


def test_a_twin_has_few_weights(twin: Family) -> None:
    assert twin.model.num_parameters() < 3e6


def test_the_twins_tokenizer_gives_ascii_back(twin: Family) -> None:
    texts = [string.printable.strip() + " \n\t", "Where was this  taken?\n(46.95, -7.44)", " the  The THE the", ""]
    for text in texts:
        ids = twin.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert twin.decode(ids) == text
        assert twin.tokenizer.unk_token_id not in ids


def test_the_twins_tokenizer_marks_what_it_cannot_spell(twin: Family) -> None:
    assert twin.tokenizer("Zürich", add_special_tokens=False)["input_ids"].count(twin.tokenizer.unk_token_id) == 1


# -- batches -------------------------------------------------------------------------------------------------------


@pytest.mark.every_family
def test_a_batch_answers_as_its_samples_one_by_one(twin: Family, conversations: list[Conversation]) -> None:
    together = last_logits(twin, conversations)
    for row, conversation in enumerate(conversations):
        alone = last_logits(twin, [conversation])[0]
        assert torch.allclose(together[row], alone, atol=1e-4), conversation.prompt


@pytest.mark.every_family
@pytest.mark.asks("image")
def test_the_image_changes_the_answer(twin: Family, photo: Callable[..., Image.Image]) -> None:
    one, other = (Conversation("Where?", [photo(64, 64, seed)]) for seed in (1, 2))
    assert not torch.allclose(last_logits(twin, [one]), last_logits(twin, [other]), atol=1e-6)


@pytest.mark.asks("imageless")
def test_a_question_without_an_image_is_answered(twin: Family) -> None:
    assert torch.isfinite(last_logits(twin, [Conversation("What is a map?"), Conversation("Why?")])).all()


@pytest.mark.every_family
@pytest.mark.asks("imageless", "several")
def test_a_batch_may_mix_questions_with_none_one_and_two_images(
    twin: Family, photo: Callable[..., Image.Image]
) -> None:
    one, two = photo(64, 64, 1), photo(90, 40, 2)
    mixed = [Conversation("Why?"), Conversation("Where?", [one]), Conversation("Which is north?", [two, one])]
    together = last_logits(twin, mixed)
    for row, conversation in enumerate(mixed):
        assert torch.allclose(together[row], last_logits(twin, [conversation])[0], atol=1e-4)


@pytest.mark.asks("question")
def test_a_base_model_without_a_chat_template_completes_plain_text(
    spec: ModelSpec, conversations: list[Conversation]
) -> None:
    family = load_family(spec.family).load(spec)
    family.processor.chat_template = None
    shot = Conversation("Where?", conversations[0].images, answer="(1.0, 2.0)")
    asked = [*conversations, dataclasses.replace(conversations[0], shots=[shot])]
    assert family.render(asked[0]).endswith(f"{asked[0].prompt}\n")
    assert f"Where?\n(1.0, 2.0){family.turn_end}" in family.render(asked[-1])
    assert family.stops == (family.turn_end,)
    assert torch.isfinite(family.model(**family.training_batch(asked)).loss)


@pytest.mark.asks("question")
def test_a_chat_template_that_drops_the_prompt_is_refused(spec: ModelSpec, conversations: list[Conversation]) -> None:
    family = load_family(spec.family).load(spec)
    if not getattr(family.processor, "chat_template", None):
        pytest.skip("a base model: nothing of its prompt is a template's")
    family.processor.chat_template = "{{ messages[0]['role'] }}"
    with pytest.raises(UserError, match=f"chat template of model {spec.name} leaves out 'Where was"):
        family.batch(conversations[:1])


@pytest.mark.asks("image")
def test_images_of_any_mode_are_read(twin: Family, photo: Callable[..., Image.Image]) -> None:
    for mode in ("L", "RGBA", "P", "CMYK", "1"):
        assert torch.isfinite(last_logits(twin, [Conversation("Where?", [photo(64, 64).convert(mode)])])).all()


@pytest.mark.every_family
@pytest.mark.asks("image")
def test_pictures_of_any_shape_are_answered_together_as_alone(
    spec: ModelSpec, twin: Family, photo: Callable[..., Image.Image]
) -> None:
    shape = shape_of(spec)
    taken = [s for s in SHAPES if shape is None or image_tokens.takes(shape.image, spec.processor, s)]
    asked = [Conversation("Where?" if "text" in spec.inputs else "", [photo(*size, n)]) for n, size in enumerate(taken)]
    together = last_logits(twin, asked)
    assert torch.isfinite(together).all()
    for row, conversation in enumerate(asked):
        assert torch.allclose(together[row], last_logits(twin, [conversation])[0], atol=1e-4), taken[row]


@pytest.mark.every_family
@pytest.mark.asks("image")
def test_training_sees_the_pixels_that_are_asked_about(twin: Family, conversations: list[Conversation]) -> None:
    asked, lesson = twin.batch(conversations), twin.training_batch(conversations)
    pixels = [name for name, value in asked.items() if isinstance(value, torch.Tensor) and value.is_floating_point()]
    assert pixels
    assert all(torch.equal(asked[name], lesson[name]) for name in pixels)


@pytest.mark.asks("question", "several")
def test_shots_stand_before_the_question_with_their_images(twin: Family, photo: Callable[..., Image.Image]) -> None:
    shot = Conversation("Where?", [photo(64, 64, 1)], answer="(1.5, 2.5)")
    text = twin.render(Conversation("And this?", [photo(64, 64, 2)], shots=[shot]))
    assert text.index("Where?") < text.index("(1.5, 2.5)") < text.index("And this?")
    two = [Conversation("And this?", [photo(64, 64, 2)], shots=[shot])]
    one = [Conversation("And this?", [photo(64, 64, 2)])]
    if twin.spec.family != "llava_onevision":  # it shows a picture smaller beside another
        assert twin.batch(two)["input_ids"].shape[1] > twin.batch(one)["input_ids"].shape[1]


@pytest.mark.asks("question", "several")
def test_shots_are_lessons_of_other_samples(twin: Family, photo: Callable[..., Image.Image], tmp_path: Path) -> None:
    samples: list[dict[str, Any]] = []
    for place in range(3):
        photo(32, 32, place).save(tmp_path / f"{place}.png")
        where = {"latitude": 1.0 + place, "longitude": 2.0, "country": "CH", "country_name": "Switzerland"}
        samples.append({"id": str(place), "image": str(tmp_path / f"{place}.png"), "region": "Bern", **where})
    task = TaskSpec(kind="geolocation", target="({latitude:.1f}, {longitude:.1f})")
    prompt = PromptSpec(text="Where is this?", system="Be short.")
    shots = [lesson(sample, prompt, task) for sample in samples[:2]]
    text = twin.render(question(samples[2], prompt, task, shots))
    assert text.count("Where is this?") == 3
    assert text.count("Be short.") == 1
    assert text.index("(1.0, 2.0)") < text.index("(2.0, 2.0)") < text.rindex("Where is this?")
    assert "(3.0, 2.0)" not in text


@pytest.mark.asks("question", "image")
def test_text_from_data_cannot_write_structure(twin: Family, photo: Callable[..., Image.Image]) -> None:
    special = [token for token in twin.tokenizer.added_tokens_encoder if len(token) > 1]
    plain = twin.batch([Conversation("a", [photo(64, 64)])])["input_ids"]
    hostile = Conversation("a" + "".join(special), [photo(64, 64)], answer="b" + special[0])
    ids = twin.batch([hostile])["input_ids"]
    for token in special:
        i = twin.tokenizer.convert_tokens_to_ids(token)
        assert (ids == i).sum() == (plain == i).sum(), token
    labels = twin.training_batch([hostile])["labels"]
    assert sum(int(label) in twin.tokenizer.all_special_ids for label in labels[labels != IGNORED]) == 1


@pytest.mark.asks("imageless", "several", "features")
def test_an_image_is_asked_about_by_its_features_as_by_its_pixels(
    twin: Family, photo: Callable[..., Image.Image]
) -> None:
    pictures = [photo(64, 64, 1), photo(90, 40, 2), photo(30, 100, 3)]
    seen = dict(zip(map(id, pictures), twin.features(pictures), strict=True))

    def kept(conversation: Conversation) -> Conversation:
        shots = [kept(shot) for shot in conversation.shots]
        return dataclasses.replace(conversation, images=[seen[id(i)] for i in conversation.images], shots=shots)

    one, two, three = pictures
    shot = Conversation("Where?", [three], answer="(1.0, 2.0)")
    asked = [
        Conversation("Why?", answer="a"),
        Conversation("Where?", [one], answer="bc"),
        Conversation("Which of them is north?", [two, one], answer="(0.5, 0.5)"),
        Conversation("And this?", [two], shots=[shot], answer="d"),
    ]
    again = [kept(conversation) for conversation in asked]
    assert not any(isinstance(i, Image.Image) for c in again for i in c.all_images)
    assert torch.allclose(last_logits(twin, again), last_logits(twin, asked), atol=1e-5)
    with torch.inference_mode():
        losses = [twin.model(**twin.to_model(twin.training_batch(c))).loss for c in (asked, again)]
    assert torch.allclose(*losses, atol=1e-5)
    for settings in (
        GenerationSpec(new_tokens=8),
        GenerationSpec(new_tokens=8, beams=2),
        GenerationSpec(new_tokens=8, temperature=1.0),
    ):
        answers = generate(twin, asked, settings, [1, 2, 3, 4])
        assert generate(twin, again, settings, [1, 2, 3, 4]) == answers
        # Pictures and features may be asked about together, and alone.
        assert generate(twin, [asked[0], again[1], asked[2], again[3]], settings, [1, 2, 3, 4]) == answers
        assert generate(twin, again[2:3], settings, [3]) == answers[2:3]


@pytest.mark.asks("features")
def test_features_are_of_the_image_alone(twin: Family, photo: Callable[..., Image.Image]) -> None:
    wide, tall = photo(90, 40, 1), photo(30, 100, 2)
    alone = [twin.features([image])[0].states for image in (wide, tall)]
    for states, beside in zip(alone, twin.features([wide, tall]), strict=True):
        assert states.shape == beside.states.shape
        assert torch.allclose(states, beside.states, atol=1e-5)
    assert twin.features([]) == []


# -- answers -------------------------------------------------------------------------------------------------------


class Script:
    """In the place of the sampling noise: row k says the tokens of ``LINES[seeds[k]]``, then for ever the last."""

    lines: ClassVar[list[list[int]]] = []

    def __init__(self, seeds: list[int], device: torch.device) -> None:
        self.rows, self.step = [self.lines[seed] for seed in seeds], 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        said = torch.full_like(scores, -math.inf)
        for row, line in zip(said, self.rows, strict=True):
            row[line[min(self.step, len(line) - 1)]] = 0.0
        self.step += 1
        return said


@pytest.mark.asks("question")
def test_a_base_model_that_goes_on_is_stopped_where_a_turn_ends(
    spec: ModelSpec, conversations: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    family = load_family(spec.family).load(spec)
    family.processor.chat_template = None
    part, ids = family.turn_end, family.tokenizer
    answer = ids(f"{part}(1.0, 2.0)", add_special_tokens=False)["input_ids"]
    invented = ids(f"{part}Where was this taken?", add_special_tokens=False)["input_ids"]
    ended = ids("Paris", add_special_tokens=False)["input_ids"]
    Script.lines = [
        [*answer, *invented],
        [*ended, family.end_tokens[0]],
        ids("so", add_special_tokens=False)["input_ids"],
    ]
    monkeypatch.setattr("paceline.models.generate.GumbelNoise", Script)
    settings = GenerationSpec(new_tokens=40, temperature=1.0)
    together = generate(family, conversations, settings, [0, 1, 2])
    told = [(a.text.strip(), a.finish, a.new_tokens) for a in together]
    stop = len(ids(part, add_special_tokens=False)["input_ids"])
    assert told[0] == ("(1.0, 2.0)", "stop", len(answer) + stop)  # what stands before the answer does not end it
    assert told[1] == ("Paris", "stop", len(ended) + 1)
    assert told[2][1:] == ("length", 40)
    for i in range(3):
        assert generate(family, [conversations[i]], settings, [i]) == [together[i]]


@pytest.mark.asks("question")
def test_generation_ends_when_every_answer_has(
    spec: ModelSpec, conversations: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    family = load_family(spec.family).load(spec)
    family.processor.chat_template = None
    Script.lines = [family.tokenizer(f"ab{family.turn_end}", add_special_tokens=False)["input_ids"]]
    made: list[Script] = []
    monkeypatch.setattr("paceline.models.generate.GumbelNoise", lambda *given: made.append(Script(*given)) or made[-1])
    generate(family, conversations, GenerationSpec(new_tokens=40, temperature=1.0), [0, 0, 0])
    assert made[0].step == len(Script.lines[0])


@pytest.mark.asks("question")
def test_a_chat_models_answer_may_have_paragraphs(
    twin: Family, conversations: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not getattr(twin.processor, "chat_template", None):
        pytest.skip("a base model")
    text = "Land.\n\nSea."
    Script.lines = [[*twin.tokenizer(text, add_special_tokens=False)["input_ids"], twin.end_tokens[0]]]
    monkeypatch.setattr("paceline.models.generate.GumbelNoise", Script)
    found = generate(twin, conversations[:1], GenerationSpec(new_tokens=40, temperature=1.0), [0])
    assert (found[0].text, found[0].finish) == (text, "stop")


@pytest.mark.asks("question")
def test_beams_stop_where_a_turn_ends_whatever_the_batch(spec: ModelSpec, conversations: list[Conversation]) -> None:
    family = load_family(spec.family).load(spec)
    family.processor.chat_template = None
    # A stop text that a twin says soon: the first letter of what it says alone.
    settings = GenerationSpec(new_tokens=12, beams=2)
    free = [a.text.strip() for a in generate(family, conversations, settings, [0, 0, 0])]
    stop = next(text[1] for text in free if len(text) > 1)
    type(family).turn_end, before = stop, type(family).turn_end
    try:
        together = generate(family, conversations, settings, [0, 0, 0])
        assert any(a.finish == "stop" for a in together)
        assert all(stop not in a.text.lstrip() for a in together)
        for i, conversation in enumerate(conversations):
            assert generate(family, [conversation], settings, [0]) == [together[i]]
    finally:
        type(family).turn_end = before


def test_more_tokens_than_there_are_positions_are_refused(twin: Family, conversations: list[Conversation]) -> None:
    with pytest.raises(UserError, match=rf"{twin.spec.name} has {twin.longest} positions: a prompt of \d+ tokens"):
        generate(twin, conversations, GenerationSpec(new_tokens=twin.longest), [0, 0, 0])


def test_a_lesson_longer_than_the_positions_is_refused(
    twin: Family, conversations: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(twin), "longest", 5)
    with pytest.raises(UserError, match=rf"{twin.spec.name} has 5 positions, and a prompt with its answer takes \d+"):
        twin.training_batch(conversations)


# -- training ------------------------------------------------------------------------------------------------------


@pytest.mark.every_family
@pytest.mark.asks("joint")
def test_only_the_answer_and_its_end_are_supervised(twin: Family, conversations: list[Conversation]) -> None:
    batch = twin.training_batch(conversations)
    end = twin.tokenizer.convert_ids_to_tokens(twin.end_tokens[0])
    for row, conversation in enumerate(conversations):
        labels, ids, mask = (batch[name][row] for name in ("labels", "input_ids", "attention_mask"))
        supervised = labels != IGNORED
        assert twin.tokenizer.decode(labels[supervised]) == f"{twin.answer_opening}{conversation.answer}{end}"
        assert torch.equal(labels[supervised], ids[supervised])
        assert not (supervised & (mask == 0)).any()
        # One run of tokens, at the end of the text.
        where = supervised.nonzero().flatten().tolist()
        assert where == list(range(where[0], int(mask.sum())))


@pytest.mark.asks("joint")
def test_the_loss_is_that_of_all_logits(twin: Family, conversations: list[Conversation]) -> None:
    lesson = twin.training_batch(conversations)
    without = {name: t for name, t in lesson.items() if name not in ("logits_to_keep", "shift_labels")}
    found, gradients = [], []
    for given in (lesson, without):
        twin.model.zero_grad()
        output = twin.model(**given)
        output.loss.backward()
        found.append(output)
        gradients.append({n: p.grad.clone() for n, p in twin.model.named_parameters() if p.grad is not None})
    assert found[0].logits.shape[1] == int((lesson["labels"] != IGNORED).sum(1).max()) < found[1].logits.shape[1]
    torch.testing.assert_close(found[0].loss, found[1].loss, rtol=1e-6, atol=0)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.every_family
@pytest.mark.asks("joint")
def test_the_prompt_trained_on_is_the_prompt_asked(twin: Family, conversations: list[Conversation]) -> None:
    for conversation in conversations:
        asked = twin.batch([conversation])["input_ids"][0]
        trained = twin.training_batch([conversation])["input_ids"][0]
        assert torch.equal(trained[: len(asked)], asked)


@pytest.mark.asks("joint")
def test_an_answer_is_trained_on_as_it_will_be_given(twin: Family, conversations: list[Conversation]) -> None:
    for conversation in conversations:
        asked, lesson = twin.batch([conversation]), twin.training_batch([conversation])
        width = asked["input_ids"].shape[1]
        Script.lines = [lesson["input_ids"][0, width:].tolist()]
        with torch.inference_mode():
            trained = twin.model(**lesson).logits[0]
            given = twin.model.generate(
                **asked,
                generation_config=GenerationConfig(
                    max_new_tokens=len(Script.lines[0]), output_logits=True, return_dict_in_generate=True
                ),
                logits_processor=LogitsProcessorList([Script([0], torch.device("cpu"))]),
            ).logits
        assert torch.allclose(trained, torch.cat(given), atol=1e-4)


@pytest.mark.asks("joint", "question")
def test_the_answer_ends_as_the_chat_template_ends_it(twin: Family, conversations: list[Conversation]) -> None:
    if not getattr(twin.processor, "chat_template", None):
        pytest.skip("a base model: its answer ends the text")
    end = twin.tokenizer.convert_ids_to_tokens(twin.end_tokens[0])
    first = conversations[0]
    after = Conversation("next", shots=[first])
    told = f"{twin.render(first)}{twin.answer_opening}{first.answer}{end}"
    # LLaVA-OneVision's template has a space before the line break of earlier turns alone.
    assert twin.render(after).replace(" \n", "\n").startswith(told.replace(" \n", "\n"))


@pytest.mark.every_family
def test_a_training_batch_has_the_loss_of_its_samples(twin: Family, conversations: list[Conversation]) -> None:
    def summed(batch: dict[str, torch.Tensor]) -> tuple[float, int]:
        with torch.inference_mode():
            n = int((batch["labels"] != IGNORED).sum())
            return float(twin.model(**batch).loss) * n, n

    total, count = summed(twin.training_batch(conversations))
    parts = [summed(twin.training_batch([c])) for c in conversations]
    assert count == sum(n for _, n in parts)
    assert total == pytest.approx(sum(loss for loss, _ in parts), rel=1e-4)


@pytest.mark.every_family
def test_every_weight_learns(spec: ModelSpec, conversations: list[Conversation]) -> None:
    family = load_family(spec.family).load(spec, training=True)
    assert family.model.training
    family.model(**family.training_batch(conversations)).loss.backward()
    without = [n for n, p in family.model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == [n for n, _ in family.model.named_parameters() if family.is_idle(n)]


@pytest.mark.asks("imageless", "image")
def test_whether_a_batch_without_an_image_passes_over_weights_is_told(spec: ModelSpec) -> None:
    family = load_family(spec.family).load(spec, training=True)
    family.model(**family.training_batch([Conversation("Why?", answer="So.")])).loss.backward()
    weights = {name: p for name, p in family.model.named_parameters() if not family.is_idle(name)}
    assert any(p.grad is None for p in weights.values()) == family.skips_without_images


def test_a_lesson_without_an_answer_is_refused(twin: Family) -> None:
    with pytest.raises(UserError, match=r"task\.target"):
        twin.training_batch([Conversation("Where?")])


@pytest.mark.asks("imageless", "several")
def test_recomputed_activations_give_the_same_gradients(spec: ModelSpec, photo: Callable[..., Image.Image]) -> None:
    one, two = photo(64, 64, 1), photo(90, 40, 2)
    lessons = [Conversation("Why?", answer="a"), Conversation("Which?", [two, one], answer="bc")]
    gradients = []
    for recompute in (False, True):
        family = load_family(spec.family).load(spec, training=True)
        if recompute:
            family.model.activation_checkpointing_enable({"use_reentrant": False})
        family.model(**family.training_batch(lessons)).loss.backward()
        gradients.append([p.grad for p in family.model.parameters() if p.grad is not None])
    for plain, recomputed in zip(*gradients, strict=True):
        assert torch.allclose(plain, recomputed, atol=1e-6)


@pytest.mark.every_family
def test_how_a_batch_is_cut_changes_no_step(spec: ModelSpec, tmp_path: Path) -> None:
    plain = dataclasses.replace(LORA, lora=dataclasses.replace(LORA.lora, dropout=0.0))  # which draws for each part
    whole, cut = (dataclasses.replace(config(plain, max_steps=2, batch=4, micro_batch=n), model=spec) for n in (4, 1))
    curves = []
    for name, made in (("whole", whole), ("cut", cut)):
        tune(attempt(tmp_path / name, made))
        curves.append(curve(tmp_path / name))
    for step, point in curves[0].items():
        assert curves[1][step]["loss"] == pytest.approx(point["loss"], abs=1e-5)
        assert curves[1][step]["grad_norm"] == pytest.approx(point["grad_norm"], rel=1e-4)


@pytest.mark.every_family
def test_an_interrupted_tuning_ends_with_the_bits_of_an_undisturbed_one(spec: ModelSpec, tmp_path: Path) -> None:
    made = dataclasses.replace(config(LORA, max_steps=4, batch=2), model=spec)
    whole = tune(attempt(tmp_path / "whole", made))
    assert whole["trainable"] == whole["trainable_language"]
    with pytest.raises(Interrupted):
        tune(attempt(tmp_path / "cut", made, stop_after=2))
    assert tune(attempt(tmp_path / "cut", made))["resumed"] == 2
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    assert same_state(weights(tmp_path / "cut"), weights(tmp_path / "whole"))


# -- parts ---------------------------------------------------------------------------------------------------------


@pytest.mark.every_family
def test_every_weight_belongs_to_a_component(twin: Family) -> None:
    names = [name for name, _ in twin.model.named_parameters()]
    assert [name for name in names if twin.component_of(name) is None] == []
    assert {twin.component_of(name) for name in names} == set(twin.components)


def test_linear_layers_are_listed_per_component(twin: Family) -> None:
    parts = {component: twin.linear_layers([component]) for component in twin.components}
    assert all(part for component, part in parts.items() if component != "connector")  # Gemma 3's is a bare matrix
    assert sorted(name for part in parts.values() for name in part) == sorted(twin.linear_layers(list(parts)))
    assert not any(name.endswith("lm_head") for name in parts["language"])


def test_every_attention_gives_the_same_answer(spec: ModelSpec, conversations: list[Conversation]) -> None:
    cls = load_family(spec.family)
    if cls.attentions == ("eager",):
        pytest.skip("it has one")
    one, other = (cls.load(dataclasses.replace(spec, attention=kind)) for kind in (cls.attentions[0], "eager"))
    parts = [m for m in one.model.modules() if isinstance(m, transformers.PreTrainedModel)]
    # The library's word alone does not do: it passes over the mask of those that look in both directions.
    assert all(part._supports_flash_attn for part in parts) or "flash_attention_2" not in cls.attentions
    assert torch.allclose(last_logits(one, conversations), last_logits(other, conversations), atol=1e-4)


def test_an_attention_that_a_family_lacks_is_refused(spec: ModelSpec) -> None:
    cls = load_family(spec.family)
    if "flash_attention_2" in cls.attentions:
        pytest.skip("it has them all")
    has = ", ".join(cls.attentions)
    with pytest.raises(UserError, match=rf"{spec.name}\.yaml: attention: flash_attention_2 is not among .* {has}"):
        cls.load(dataclasses.replace(spec, attention="flash_attention_2"))


def test_what_is_never_quantised_is_named_as_the_loader_matches_names(twin: Family) -> None:
    from transformers.quantizers.quantizers_utils import should_convert_module

    modules = dict(twin.model.named_modules())
    assert [name for name in twin.unquantised if name not in modules] == []
    assert not any(should_convert_module(name, list(twin.unquantised)) for name in twin.unquantised)
    assert any(should_convert_module(name, list(twin.unquantised)) for name in twin.linear_layers(["language"]))


@pytest.mark.parametrize("quantise", ["int8", "nf4"])
def test_a_quantised_model_answers_nearly_the_same(
    quantise: Quantise, spec: ModelSpec, twin: Family, conversations: list[Conversation]
) -> None:
    family = load_family(spec.family).load(spec, quantise=quantise)
    modules = dict(family.model.named_modules())
    quantised = {name: type(m).__name__ for name, m in modules.items() if type(m).__module__.startswith("bitsandbytes")}
    assert set(quantised.values()) == {"Linear8bitLt" if quantise == "int8" else "Linear4bit"}
    plain = {name for name in modules if name.rsplit(".", 1)[-1] in twin.kept_in_float32}
    assert quantised.keys() >= set(twin.linear_layers(["language"])) - plain
    assert not any(name.startswith(family.unquantised) for name in quantised)
    whole, rounded = last_logits(twin, conversations), last_logits(family, conversations)
    least = 0.98 if quantise == "int8" else 0.6
    assert torch.nn.functional.cosine_similarity(whole, rounded, dim=-1).min() > least


def test_a_relative_of_a_family_needs_no_code(photo: Callable[..., Image.Image], tmp_path: Path) -> None:
    """Qwen2.5-VL, in a folder as the hub has it, driven by Qwen2-VL's family."""
    twin = model_spec("tiny_qwen2_vl")
    processor = load_family("qwen2_vl").twin_processor(twin)
    tokenizer = processor.tokenizer
    text = {**twin.config["text_config"], "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    settings = transformers.Qwen2_5_VLConfig(
        text_config={**text, "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id},
        vision_config={
            "depth": 2, "hidden_size": 64, "out_hidden_size": 128, "num_heads": 4, "intermediate_size": 128,
            "patch_size": 8, "spatial_merge_size": 2, "window_size": 32, "fullatt_block_indexes": [1],
        },
        image_token_id=processor.image_token_id,
        video_token_id=processor.video_token_id,
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.Qwen2_5_VLForConditionalGeneration(settings).save_pretrained(tmp_path)
    transformers.Qwen2_5_VLProcessor(
        image_processor=processor.image_processor,
        tokenizer=tokenizer,
        video_processor=processor.video_processor,
        chat_template=processor.chat_template,
    ).save_pretrained(tmp_path)
    spec = ModelSpec(name="qwen25", family="qwen2_vl", weights=str(tmp_path), dtype="float32", processor=twin.processor)
    family = load_family("qwen2_vl").load(spec)
    assert type(family.model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert [name for name, _ in family.model.named_parameters() if family.component_of(name) is None] == []
    one, two = photo(64, 64, 1), photo(90, 40, 2)
    asked = [Conversation("Why?"), Conversation("Where?", [one]), Conversation("Which is north?", [two, one])]
    settled = GenerationSpec(new_tokens=8)
    together = generate(family, asked, settled, [0, 0, 0])
    assert together == [generate(family, [c], settled, [0])[0] for c in asked]
    kept = [dataclasses.replace(c, images=list(family.features(c.images))) for c in asked]
    assert generate(family, kept, settled, [0, 0, 0]) == together


# -- weights on disk -----------------------------------------------------------------------------------------------


@pytest.mark.every_family
def test_saved_weights_come_back_bit_for_bit(
    spec: ModelSpec, conversations: list[Conversation], tmp_path: Path
) -> None:
    family = load_family(spec.family).load(spec)
    with torch.no_grad():
        for parameter in family.model.parameters():
            parameter.add_(0.01)
    family.save(family.model, tmp_path)
    again = load_family(spec.family).load(spec, tuned=tmp_path)
    assert same_state(state(family), state(again))
    assert torch.equal(last_logits(family, conversations), last_logits(again, conversations))


def test_saved_weights_load_in_plain_transformers(
    spec: ModelSpec, twin: Family, conversations: list[Conversation], tmp_path: Path
) -> None:
    from transformers import AutoProcessor

    if twin.auto_class != "AutoModelForImageTextToText":
        pytest.skip("another Auto class loads it")
    twin.save(twin.model, tmp_path)
    model = getattr(transformers, twin.auto_class).from_pretrained(tmp_path, attn_implementation=spec.attention)
    processor = AutoProcessor.from_pretrained(tmp_path)
    if processor is None or not hasattr(processor, "tokenizer"):
        pytest.skip("the library has no processor class for it")
    plain = type(twin)(spec, model.eval(), processor)
    assert torch.equal(plain.batch(conversations)["input_ids"], twin.batch(conversations)["input_ids"])
    assert torch.allclose(last_logits(plain, conversations), last_logits(twin, conversations), atol=1e-6)


def test_a_folder_of_weights_is_a_model(
    spec: ModelSpec, twin: Family, conversations: list[Conversation], tmp_path: Path
) -> None:
    twin.save(twin.model, tmp_path)
    model = dataclasses.replace(spec, weights=str(tmp_path), config={})
    loaded = load_family(spec.family).load(model)
    assert torch.equal(last_logits(loaded, conversations), last_logits(twin, conversations))


@pytest.mark.every_family
def test_an_adapter_loads_in_plain_peft_and_back(
    spec: ModelSpec, conversations: list[Conversation], tmp_path: Path
) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    family = load_family(spec.family).load(spec)
    bare = last_logits(family, conversations)
    wrapped = get_peft_model(family.model, LoraConfig(r=4, target_modules=family.linear_layers(["language"])))
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.02)
    family.model = wrapped.eval()
    tuned = last_logits(family, conversations)
    assert not torch.allclose(tuned, bare)
    family.save(wrapped, tmp_path)
    written = (tmp_path / "adapter_config.json").read_text()
    assert str(Path("/tmp")) not in written
    assert json.loads(written)["target_modules"] == sorted(json.loads(written)["target_modules"])

    ours = load_family(spec.family).load(spec, tuned=tmp_path)
    assert torch.allclose(last_logits(ours, conversations), tuned, atol=1e-6)
    assert not any(p.requires_grad for p in ours.model.parameters())
    going_on = load_family(spec.family).load(spec, tuned=tmp_path, training=True)
    assert all("lora_" in name for name, p in going_on.model.named_parameters() if p.requires_grad)
    assert any(p.requires_grad for p in going_on.model.parameters())

    plain = load_family(spec.family).load(spec)
    plain.model = PeftModel.from_pretrained(plain.model, tmp_path).eval()
    assert torch.allclose(last_logits(plain, conversations), tuned, atol=1e-6)


def test_the_models_own_sampling_settings_are_gone(twin: Family) -> None:
    stored = twin.model.generation_config
    assert stored.eos_token_id == twin.end_tokens
    assert not stored.do_sample
    assert stored.top_k is None
    assert stored.temperature is None


# -- what a user can get wrong -------------------------------------------------------------------------------------


def test_an_unknown_family_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'qwen2_vl'"):
        load_family("qwen2_vlm")


def test_helpers_of_the_folder_are_no_families() -> None:
    assert {"qwen2_vl", "pixtral", "openai_compatible"} <= set(family_names())
    for name in family_names():
        assert issubclass(load_family(name), Family) or says(name, "served", False)


def test_a_hub_model_without_a_revision_is_refused() -> None:
    spec = ModelSpec(name="x", family="qwen2_vl", weights="owner/name")
    with pytest.raises(UserError, match=r"conf/model/x\.yaml: owner/name has no revision.*commit hash"):
        load_family("qwen2_vl").load(spec)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    spec = ModelSpec(name="x", family="pixtral", weights=str(tmp_path / "gone"))
    with pytest.raises(UserError, match="gone is neither a folder nor a hub id"):
        load_family("pixtral").load(spec)


def test_weights_that_cannot_be_reached_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    spec = ModelSpec(name="x", family="qwen2_vl", weights="owner/no-such-model", revision="0" * 40)
    with pytest.raises(UserError, match=r"model x: can't read owner/no-such-model@0.*paceline prepare model=x"):
        load_family("qwen2_vl").load(spec)


def test_an_empty_folder_is_a_users_error(spec: ModelSpec, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds neither a model"):
        load_family(spec.family).load(spec, tuned=tmp_path)


@pytest.mark.parametrize("name", LARGE)
def test_the_large_models_name_a_family_and_pin_or_refuse(name: str) -> None:
    spec = model_spec(name)
    family = load_family(spec.family)
    if not spec.revision:
        with pytest.raises(UserError, match=f"{name}.yaml: .* has no revision"):
            family.load(spec)
