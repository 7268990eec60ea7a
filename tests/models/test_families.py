"""What every family promises, shown on its twin."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import model_spec
from PIL import Image

from paceline.errors import UserError
from paceline.models import families, load_family
from paceline.models.base import IGNORED, Conversation, Family
from paceline.spec import ModelSpec

LARGE = ("qwen2_vl_2b", "pixtral_12b", "llama32_11b_vision", "llama32_11b_vision_instruct", "idefics_9b")


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


def test_a_batch_answers_as_its_samples_one_by_one(twin: Family, conversations: list[Conversation]) -> None:
    together = last_logits(twin, conversations)
    for row, conversation in enumerate(conversations):
        alone = last_logits(twin, [conversation])[0]
        assert torch.allclose(together[row], alone, atol=1e-4), conversation.prompt


def test_the_image_changes_the_answer(twin: Family, photo: Callable[..., Image.Image]) -> None:
    one, other = (Conversation("Where?", [photo(64, 64, seed)]) for seed in (1, 2))
    assert not torch.allclose(last_logits(twin, [one]), last_logits(twin, [other]), atol=1e-6)


def test_a_question_without_an_image_is_answered(twin: Family) -> None:
    assert torch.isfinite(last_logits(twin, [Conversation("What is a map?"), Conversation("Why?")])).all()


def test_a_batch_may_mix_questions_with_none_one_and_two_images(
    twin: Family, photo: Callable[..., Image.Image]
) -> None:
    one, two = photo(64, 64, 1), photo(90, 40, 2)
    mixed = [Conversation("Why?"), Conversation("Where?", [one]), Conversation("Which is north?", [two, one])]
    together = last_logits(twin, mixed)
    for row, conversation in enumerate(mixed):
        assert torch.allclose(together[row], last_logits(twin, [conversation])[0], atol=1e-4)


def test_a_base_model_without_a_chat_template_completes_plain_text(
    spec: ModelSpec, conversations: list[Conversation], photo: Callable[..., Image.Image]
) -> None:
    family = load_family(spec.family).load(spec)
    family.processor.chat_template = None
    shot = Conversation("Where?", [photo(64, 64)], answer="(1.0, 2.0)")
    asked = [*conversations, dataclasses.replace(conversations[0], shots=[shot])]
    assert family.render(asked[0]).endswith(f"{asked[0].prompt}\n")
    assert f"Where?\n(1.0, 2.0){family.turn_end}" in family.render(asked[-1])
    assert family.stops == (family.turn_end,)
    assert torch.isfinite(family.model(**family.training_batch(asked)).loss)


def test_a_chat_template_that_drops_the_prompt_is_refused(spec: ModelSpec, conversations: list[Conversation]) -> None:
    family = load_family(spec.family).load(spec)
    if not getattr(family.processor, "chat_template", None):
        pytest.skip("a base model: nothing of its prompt is a template's")
    family.processor.chat_template = "{{ messages[0]['role'] }}"
    with pytest.raises(UserError, match=f"chat template of model {spec.name} leaves out 'Where was"):
        family.batch(conversations[:1])


def test_images_of_any_mode_are_read(twin: Family, photo: Callable[..., Image.Image]) -> None:
    for mode in ("L", "RGBA", "P", "CMYK", "1"):
        assert torch.isfinite(last_logits(twin, [Conversation("Where?", [photo(64, 64).convert(mode)])])).all()


def test_shots_stand_before_the_question_with_their_images(twin: Family, photo: Callable[..., Image.Image]) -> None:
    shot = Conversation("Where?", [photo(64, 64, 1)], answer="(1.5, 2.5)")
    text = twin.render(Conversation("And this?", [photo(64, 64, 2)], shots=[shot]))
    assert text.index("Where?") < text.index("(1.5, 2.5)") < text.index("And this?")
    two = [Conversation("And this?", [photo(64, 64, 2)], shots=[shot])]
    one = [Conversation("And this?", [photo(64, 64, 2)])]
    assert twin.batch(two)["input_ids"].shape[1] > twin.batch(one)["input_ids"].shape[1]


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


# -- training ------------------------------------------------------------------------------------------------------


def test_only_the_answer_and_its_end_are_supervised(twin: Family, conversations: list[Conversation]) -> None:
    batch = twin.training_batch(conversations)
    end = twin.tokenizer.convert_ids_to_tokens(twin.end_tokens[0])
    for row, conversation in enumerate(conversations):
        labels, ids, mask = (batch[name][row] for name in ("labels", "input_ids", "attention_mask"))
        supervised = labels != IGNORED
        assert twin.tokenizer.decode(labels[supervised]) == f"{conversation.answer}{end}"
        assert torch.equal(labels[supervised], ids[supervised])
        assert not (supervised & (mask == 0)).any()
        # One run of tokens, at the end of the text.
        where = supervised.nonzero().flatten().tolist()
        assert where == list(range(where[0], int(mask.sum())))


def test_the_prompt_trained_on_is_the_prompt_asked(twin: Family, conversations: list[Conversation]) -> None:
    for conversation in conversations:
        asked = twin.batch([conversation])["input_ids"][0]
        trained = twin.training_batch([conversation])["input_ids"][0]
        assert torch.equal(trained[: len(asked)], asked)


def test_the_answer_ends_as_the_chat_template_ends_it(twin: Family, conversations: list[Conversation]) -> None:
    if not getattr(twin.processor, "chat_template", None):
        pytest.skip("a base model: its answer ends the text")
    end = twin.tokenizer.convert_ids_to_tokens(twin.end_tokens[0])
    first = conversations[0]
    after = Conversation("next", shots=[first])
    assert twin.render(after).startswith(f"{twin.render(first)}{first.answer}{end}")


def test_a_training_batch_has_the_loss_of_its_samples(twin: Family, conversations: list[Conversation]) -> None:
    def summed(batch: dict[str, torch.Tensor]) -> tuple[float, int]:
        with torch.inference_mode():
            n = int((batch["labels"] != IGNORED).sum())
            return float(twin.model(**batch).loss) * n, n

    total, count = summed(twin.training_batch(conversations))
    parts = [summed(twin.training_batch([c])) for c in conversations]
    assert count == sum(n for _, n in parts)
    assert total == pytest.approx(sum(loss for loss, _ in parts), rel=1e-4)


def test_every_weight_learns(spec: ModelSpec, conversations: list[Conversation]) -> None:
    family = load_family(spec.family).load(spec, training=True)
    assert family.model.training
    family.model(**family.training_batch(conversations)).loss.backward()
    without = [n for n, p in family.model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == [n for n, _ in family.model.named_parameters() if family.is_idle(n)]


def test_a_lesson_without_an_answer_is_refused(twin: Family) -> None:
    with pytest.raises(UserError, match=r"task\.target"):
        twin.training_batch([Conversation("Where?")])


# -- parts ---------------------------------------------------------------------------------------------------------


def test_every_weight_belongs_to_a_component(twin: Family) -> None:
    names = [name for name, _ in twin.model.named_parameters()]
    assert [name for name in names if twin.component_of(name) is None] == []
    assert {twin.component_of(name) for name in names} == {"vision", "connector", "language"}


def test_linear_layers_are_listed_per_component(twin: Family) -> None:
    parts = [twin.linear_layers([c]) for c in ("vision", "connector", "language")]
    assert all(parts)
    assert sorted(name for part in parts for name in part) == sorted(
        twin.linear_layers(["vision", "connector", "language"])
    )
    assert not any(name.endswith("lm_head") for name in parts[2])


# Architecture and counts of the published models, component by component; no weights are needed to count them.
PUBLISHED = {
    "qwen2_vl": (
        {
            "model_type": "qwen2_vl",
            "hidden_size": 1536,
            "intermediate_size": 8960,
            "num_hidden_layers": 28,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
            "vocab_size": 151936,
            "tie_word_embeddings": True,
            "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
            "vision_config": {"depth": 32, "embed_dim": 1280, "hidden_size": 1536, "num_heads": 16},
        },
        {"vision": 631_183_360, "connector": 34_087_936, "language": 1_543_714_304},
    ),
    "pixtral": (
        {
            "model_type": "llava",
            "projector_hidden_act": "gelu",
            "tie_word_embeddings": False,
            "text_config": {
                "model_type": "mistral",
                "hidden_size": 5120,
                "head_dim": 128,
                "intermediate_size": 14336,
                "num_hidden_layers": 40,
                "num_attention_heads": 32,
                "num_key_value_heads": 8,
                "vocab_size": 131072,
            },
            "vision_config": {"model_type": "pixtral"},
        },
        {"vision": 403_489_792, "connector": 31_467_520, "language": 12_247_782_400},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_components_hold_every_weight_of_the_published_model(name: str) -> None:
    from transformers import AutoConfig, AutoModelForImageTextToText

    config, expected = PUBLISHED[name]
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(AutoConfig.for_model(**config))
    family = load_family(name)
    counts = dict.fromkeys(expected, 0)
    for parameter, tensor in model.named_parameters():
        counts[family.component_of(parameter)] += tensor.numel()
    assert counts == expected


# -- weights on disk -----------------------------------------------------------------------------------------------


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
    from transformers import AutoModelForImageTextToText, AutoProcessor

    twin.save(twin.model, tmp_path)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path, attn_implementation=spec.attention)
    processor = AutoProcessor.from_pretrained(tmp_path)
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
    assert str(Path("/tmp")) not in (tmp_path / "adapter_config.json").read_text()

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
        load_family("qwen_vl")


def test_helpers_of_the_folder_are_no_families() -> None:
    assert {"qwen2_vl", "pixtral"} <= set(families())
    for name in families():
        assert issubclass(load_family(name), Family)


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
    with pytest.raises(UserError, match=r"model x: can't read owner/no-such-model@0.*hf download"):
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
