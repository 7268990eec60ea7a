"""What generation promises: settings are honoured, and an answer depends on its sample and seed alone."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from paceline.config.schema import GenerationSpec
from paceline.errors import UserError
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.generate import Finite, GumbelNoise, generate

pytestmark = pytest.mark.asks("tokens")

SAMPLED = GenerationSpec(new_tokens=12, temperature=1.0, top_p=0.9)


@pytest.mark.every_family
@pytest.mark.parametrize(
    "spec_",
    [GenerationSpec(new_tokens=8), SAMPLED, GenerationSpec(new_tokens=8, beams=3)],
    ids=["greedy", "sampled", "beams"],
)
def test_an_answer_is_the_same_whatever_the_batch(
    twin: Family, conversations: list[Conversation], spec_: GenerationSpec
) -> None:
    together = generate(twin, conversations, spec_, [11, 12, 13])
    alone = [generate(twin, [c], spec_, [seed])[0] for c, seed in zip(conversations, [11, 12, 13], strict=True)]
    assert together == alone
    backwards = generate(twin, conversations[::-1], spec_, [13, 12, 11])
    assert backwards[::-1] == together


def test_sampling_follows_the_seed(twin: Family, conversations: list[Conversation]) -> None:
    one = generate(twin, [conversations[0]] * 3, SAMPLED, [1, 2, 1])
    assert one[0] == one[2] != one[1]


def test_greedy_answers_ignore_the_seed(twin: Family, conversations: list[Conversation]) -> None:
    greedy = GenerationSpec(new_tokens=4)
    assert generate(twin, conversations, greedy, [1, 2, 3]) == generate(twin, conversations, greedy, [4, 5, 6])


def test_sampling_leaves_the_global_generator_alone(twin: Family, conversations: list[Conversation]) -> None:
    before = torch.random.get_rng_state()
    generate(twin, conversations, SAMPLED, [1, 2, 3])
    assert torch.equal(before, torch.random.get_rng_state())


def test_gumbel_noise_draws_from_the_softmax() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    noise = GumbelNoise([0], torch.device("cpu"))
    draws = torch.stack([noise(torch.empty(0), logits).argmax() for _ in range(20_000)])
    share = torch.bincount(draws, minlength=4) / len(draws)
    # Four standard errors of a share of one half.
    assert torch.allclose(share, logits.softmax(-1)[0], atol=4 * math.sqrt(0.25 / len(draws)))


def test_tokens_cut_by_top_p_are_never_drawn() -> None:
    scores = torch.tensor([[0.0, -math.inf]])
    noise = GumbelNoise([3], torch.device("cpu"))
    assert all(int(noise(torch.empty(0), scores).argmax()) == 0 for _ in range(200))


def test_a_low_temperature_is_nearly_greedy(twin: Family, conversations: list[Conversation]) -> None:
    greedy = generate(twin, conversations, GenerationSpec(new_tokens=6), [0, 0, 0])
    cold = generate(twin, conversations, GenerationSpec(new_tokens=6, temperature=1e-6), [7, 8, 9])
    assert cold == greedy


def test_new_tokens_is_the_limit_and_is_told(twin: Family, conversations: list[Conversation]) -> None:
    for answer in generate(twin, conversations, GenerationSpec(new_tokens=5), [0, 0, 0]):
        assert answer.new_tokens <= 5
        assert (answer.finish == "length") == (answer.new_tokens == 5)


def test_prompt_tokens_do_not_count_padding(twin: Family, conversations: list[Conversation]) -> None:
    for conversation, answer in zip(
        conversations, generate(twin, conversations, GenerationSpec(new_tokens=1), [0, 0, 0]), strict=True
    ):
        assert answer.prompt_tokens == int(twin.tokens_read(twin.batch([conversation])).sum())


@pytest.mark.asks("joint")
def test_the_end_token_stops_an_answer_and_is_not_shown(
    twin: Family, conversations: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = twin.tokenizer("(1.0, 2.0)", add_special_tokens=False)["input_ids"]
    pad = twin.tokenizer.pad_token_id

    def scripted(input_ids: torch.Tensor, **_: object) -> torch.Tensor:
        stopped = [*ids, twin.end_tokens[0], pad, pad]
        endless = [*ids, *ids][: len(stopped)]
        rows = [stopped, (endless * 2)[: len(stopped)], stopped]
        return torch.cat([input_ids, torch.tensor(rows)], dim=1)

    monkeypatch.setattr(twin.model, "generate", scripted)
    first, second, _ = generate(twin, conversations, GenerationSpec(), [0, 0, 0])
    assert (first.text, first.finish, first.new_tokens) == ("(1.0, 2.0)", "stop", len(ids) + 1)
    assert (second.finish, second.new_tokens) == ("length", len(ids) + 3)


def test_an_answer_does_not_end_before_its_fewest_tokens(twin: Family, conversations: list[Conversation]) -> None:
    first = twin.end_tokens
    try:
        # Whatever it says first would end it, were it let.
        said = generate(twin, conversations[:1], GenerationSpec(new_tokens=8), [0])[0]
        twin.end_tokens = [*first, *(i for i in range(len(twin.tokenizer)) if twin.decode([i]) in said.text)]
        assert generate(twin, conversations[:1], GenerationSpec(new_tokens=8), [0])[0].new_tokens == 1
        (answer,) = generate(twin, conversations[:1], GenerationSpec(new_tokens=8, min_new_tokens=5), [0])
    finally:
        twin.end_tokens = first
    assert answer.new_tokens >= 5


@pytest.mark.asks("joint")
def test_a_stop_text_within_the_fewest_tokens_is_part_of_the_answer(
    twin: Family, conversations: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(twin), "stops", ("|",))
    ids = twin.tokenizer("ab|cd|ef", add_special_tokens=False)["input_ids"]
    scripted = [ids] * len(conversations)
    monkeypatch.setattr(
        twin.model, "generate", lambda input_ids, **_: torch.cat([input_ids, torch.tensor(scripted)], dim=1)
    )
    at = {text: len(twin.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ("ab|", "ab|cd|")}
    for least, text in ((0, "ab"), (at["ab|"], "ab|cd"), (at["ab|cd|"], "ab|cd|ef")):
        spec = GenerationSpec(new_tokens=len(ids), min_new_tokens=least)
        assert generate(twin, conversations, spec, [0, 0, 0])[0].text == text


def test_every_setting_reaches_the_library_and_nothing_else_does(
    twin: Family, conversations: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = SimpleNamespace()

    def record(generation_config: object, logits_processor: list, **given: Any) -> torch.Tensor:
        seen.config, seen.processors = generation_config, logits_processor
        input_ids = given[twin.sequence_tensors[0]]
        return torch.cat([input_ids, input_ids[:, :1]], dim=1)

    monkeypatch.setattr(twin.model, "generate", record)
    generate(twin, conversations, GenerationSpec(new_tokens=7, beams=2, repetition_penalty=1.3), [0, 0, 0])
    assert (seen.config.max_new_tokens, seen.config.num_beams, seen.config.repetition_penalty) == (7, 2, 1.3)
    assert not seen.config.do_sample
    (finite,) = seen.processors
    assert isinstance(finite, Finite)
    generate(twin, conversations, GenerationSpec(temperature=0.5, top_p=0.8), [0, 0, 0])
    finite, temperature, nucleus, noise = seen.processors
    assert isinstance(finite, Finite)
    assert (temperature.temperature, nucleus.top_p) == (0.5, 0.8)
    assert isinstance(noise, GumbelNoise)


def test_a_repetition_penalty_changes_a_looping_answer(twin: Family, conversations: list[Conversation]) -> None:
    plain = generate(twin, conversations, GenerationSpec(new_tokens=24), [0, 0, 0])
    penalised = generate(twin, conversations, GenerationSpec(new_tokens=24, repetition_penalty=3.0), [0, 0, 0])
    assert [a.text for a in plain] != [a.text for a in penalised]


def test_beams_with_a_temperature_are_refused(twin: Family, conversations: list[Conversation]) -> None:
    with pytest.raises(UserError, match="set temperature=0 or beams=1"):
        generate(twin, conversations, GenerationSpec(beams=2, temperature=0.5), [0, 0, 0])


def test_fewer_tokens_than_the_fewest_are_refused(twin: Family, conversations: list[Conversation]) -> None:
    with pytest.raises(UserError, match="min_new_tokens=9 is more"):
        generate(twin, conversations, GenerationSpec(new_tokens=8, min_new_tokens=9), [0, 0, 0])
