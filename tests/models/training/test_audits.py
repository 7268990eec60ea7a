"""Audits: what is trained on is the answers, whatever the family; and what is to learn does, or the run ends early."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_twin import (
    ADAPTED,
    FULL,
    LORA,
    ZERO2,
    ZERO3,
    Questions,
    Squares,
    attempt,
    config,
    curve,
    group,
    load,
    tune,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paceline.attempts.classify import classify
from paceline.config.schema import LoraSpec, MethodSpec
from paceline.errors import DataError, FailedAudit, NonFiniteLoss, UserError
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.tensors import IGNORED
from paceline.training import audits, finetune, trainer

# -- labels --------------------------------------------------------------------------------------------------------


@pytest.mark.every_family
@pytest.mark.asks("tokens")
def test_every_family_supervises_the_answers_and_their_ends(twin: Family, conversations: list[Conversation]) -> None:
    end = twin.tokenizer.convert_ids_to_tokens(twin.end_tokens[0])
    found = audits.labels(twin, conversations)
    assert [one.text for one in found] == [f"{twin.answer_opening}{c.answer}{end}" for c in conversations]
    for one, conversation in zip(found, conversations, strict=True):
        assert "".join(conversation.prompt.split()[-1:]) in one.prompt


Batch = dict[str, Any]


def everything(batch: Batch, twin: Family) -> None:
    batch["labels"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED)


def the_users_turn(batch: Batch, twin: Family) -> None:
    flipped = batch["labels"].eq(IGNORED) & batch["attention_mask"].bool()
    batch["labels"] = batch["input_ids"].masked_fill(~flipped, IGNORED)


def the_header(batch: Batch, twin: Family) -> None:
    for row, labels in enumerate(batch["labels"]):
        last = int(labels.ne(IGNORED).nonzero()[0]) - 1
        labels[last] = batch["input_ids"][row, last]


def one_token_of_the_prompt(batch: Batch, twin: Family) -> None:
    first = int(batch["labels"][0].ne(IGNORED).nonzero()[0])
    batch["labels"][0, first - 3] = batch["input_ids"][0, first - 3]


def images(batch: Batch, twin: Family) -> None:
    # What stands for an image is the token that repeats, or the one that is named so.
    ids = batch["input_ids"]
    image = getattr(twin.processor, "image_token_id", None)
    there = ids.eq(image) if image is not None and image in ids else ids.lt(0)
    if not there.any():
        pytest.skip("no token of the text stands for an image")
    batch["labels"] = torch.where(there, ids, batch["labels"])


def padding(batch: Batch, twin: Family) -> None:
    batch["labels"] = torch.where(batch["attention_mask"] == 0, batch["input_ids"], batch["labels"])


def padding_that_is_attended(batch: Batch, twin: Family) -> None:
    padding(batch, twin)
    batch["attention_mask"] = torch.ones_like(batch["attention_mask"])


def nothing(batch: Batch, twin: Family) -> None:
    batch["labels"].fill_(IGNORED)


def no_end(batch: Batch, twin: Family) -> None:
    for labels in batch["labels"]:
        labels[int(labels.ne(IGNORED).nonzero()[-1])] = IGNORED


def the_end_alone(batch: Batch, twin: Family) -> None:
    for labels in batch["labels"]:
        labels[labels.ne(IGNORED).nonzero().flatten()[:-1]] = IGNORED


def shifted_twice(batch: Batch, twin: Family) -> None:
    batch["labels"] = torch.roll(batch["labels"], -1, dims=1)


def answers_of_others(batch: Batch, twin: Family) -> None:
    for name in ("input_ids", "attention_mask", "labels"):
        batch[name] = batch[name].roll(1, dims=0)


BREAKS = [
    everything,
    the_users_turn,
    the_header,
    one_token_of_the_prompt,
    images,
    padding,
    padding_that_is_attended,
    nothing,
    no_end,
    the_end_alone,
    shifted_twice,
    answers_of_others,
]


def broken(twin: Family, harm: Callable[[Batch, Family], None]) -> Family:
    """A family like another, but for its labels."""

    def training_batch(self: Any, lessons: list[Conversation]) -> Batch:
        batch = super(type(self), self).training_batch(lessons)
        harm(batch, self)
        return batch

    made = copy.copy(twin)
    made.__class__ = type("Broken", (type(twin),), {"training_batch": training_batch})
    return made


@pytest.mark.parametrize("harm", BREAKS, ids=lambda f: f.__name__)
@pytest.mark.asks("tokens", "joint", "question")
def test_a_family_that_supervises_anything_else_is_stopped_as_a_bug(
    harm: Callable[[Batch, Family], None], twin: Family, conversations: list[Conversation]
) -> None:
    with pytest.raises(FailedAudit, match=rf"family '{twin.spec.family}' mislabels sample \d") as caught:
        audits.labels(broken(twin, harm), conversations)
    assert classify(caught.value) == "code bug"


@pytest.mark.parametrize("answer", ["", " \n"])
@pytest.mark.asks("tokens", "joint")
def test_an_empty_answer_is_bad_data_and_named(answer: str, twin: Family, conversations: list[Conversation]) -> None:
    lessons = [conversations[0], dataclasses.replace(conversations[1], answer=answer)]
    with pytest.raises(DataError, match="sample 2 of the first batch has an empty answer") as caught:
        audits.labels(twin, lessons)
    assert classify(caught.value) == "bad data"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.asks("tokens", "joint", "imageless")
def test_no_answer_that_is_text_is_called_a_bug(data: st.DataObject, twin: Family) -> None:
    special = st.sampled_from(sorted(twin.tokenizer.added_tokens_encoder))
    text = st.text(st.characters(codec="utf-8"), max_size=12)
    words = data.draw(st.lists(st.one_of(text, special, st.sampled_from(["\n", " ", "é", "−1.5°"])), min_size=1))
    answer = "".join(words)
    if answer.strip():
        assert len(audits.labels(twin, [Conversation("Where?", answer=answer)])) == 1


def test_the_log_shows_what_is_trained_on_and_cuts_it(tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", config(max_steps=1))
    tune(run)
    told = [note for note in run.notes if "supervised" in note or note.startswith("  …")]
    assert told[0] == "supervised, in brackets, in 3 of the first 4 samples:"
    assert len(told) == 4
    assert all("assistant\\n[The square is " in line and line.endswith(".<|im_end|>]") for line in told[1:])
    long = audits.Supervised("p" * 60, "word " * 1000)
    assert max(map(len, audits.shown([long]))) < 300


def test_a_mislabelled_run_ends_before_its_first_step(tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", config())
    family = broken(load(run.config), the_users_turn)
    with pytest.raises(FailedAudit):
        finetune.train(run, family, Squares(10), Squares(0), output=tmp_path / "weights")
    assert not (run.attempt.path / "history.jsonl").exists()


# -- what learns ---------------------------------------------------------------------------------------------------


def unseen(folder: Path, method: MethodSpec) -> None:
    """Tune without an image in any sample."""
    tune(attempt(folder, config(method, max_steps=14)), Questions)


def test_weights_that_no_answer_depends_on_end_the_run_and_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no gradient has reached \d+ of the \d+ trained weights: model\.visual\."):
        unseen(tmp_path / "cell", FULL)
    # Found where the losses of the tenth step that moved weights were read.
    assert len(curve(tmp_path / "cell")) <= 14


def test_an_adapter_that_no_sample_uses_ends_the_run_at_once(tmp_path: Path) -> None:
    method = MethodSpec("lora", "adapter", lora=LoraSpec(r=4, components=["vision"]))
    with pytest.raises(UserError, match=r"depend on none of the trained weights.*method\.lora\.components"):
        unseen(tmp_path / "cell", method)


def test_a_frozen_adapter_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = trainer.CellTrainer.create_optimizer

    def create_optimizer(self: Any, *args: Any) -> Any:
        held = [(n, p) for n, p in self.model.named_parameters() if "lora_B" in n and "o_proj" in n]
        for _, p in held:
            p.requires_grad_(False)
        try:
            return make(self, *args)
        finally:
            for _, p in held:
                p.requires_grad_(True)

    monkeypatch.setattr(trainer.CellTrainer, "create_optimizer", create_optimizer)
    with pytest.raises(
        FailedAudit, match=r"adapter is frozen: .* 2 of its matrices .*o_proj\.lora_B\.weight"
    ) as caught:
        tune(attempt(tmp_path / "cell", config(LORA, max_steps=14)))
    assert classify(caught.value) == "code bug"


def test_a_rate_of_zero_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the learning rate has been 0 for \d+ steps"):
        tune(attempt(tmp_path / "cell", config(learning_rate=0.0, max_steps=14)))


def test_gradients_that_are_no_numbers_end_the_run_before_they_are_saved(tmp_path: Path) -> None:
    run = attempt(tmp_path / "cell", config(checkpoint_steps=1))
    family = load(run.config)
    weight = next(p for n, p in family.model.named_parameters() if "language" in n and "down_proj" in n)
    weight.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(NonFiniteLoss, match="the gradients of step 1 have the norm"):
        finetune.train(run, family, Squares(10), Squares(0), output=tmp_path / "weights")
    assert not list(run.attempt.checkpoints.glob("*"))


def watch(float16: bool = False) -> tuple[audits.Learning, torch.nn.Parameter]:
    weight = torch.nn.Parameter(torch.ones(4))
    return audits.Learning({"layer.weight": weight}, float16), weight


def test_three_norms_of_zero_in_a_row_are_too_many() -> None:
    learning, _ = watch()
    learning.look([(1, 1e-3, 0.0), (2, 1e-3, 0.0), (3, 1e-3, 1.0), (4, 1e-3, 0.0)])
    with pytest.raises(UserError, match=r"any of the 1 trained weights \(layer\.weight\).*up to step 6"):
        learning.look([(5, 1e-3, 0.0), (6, 1e-3, torch.tensor(0.0))])


def test_the_loss_scale_of_float16_may_look_for_its_size_but_not_for_ever() -> None:
    learning, _ = watch(float16=True)
    learning.look((step, 1e-3, torch.inf) for step in range(1, audits.SKIPPED))
    with pytest.raises(NonFiniteLoss, match=r"float16 .* in each of 50 steps"):
        learning.look([(50, 1e-3, torch.inf)])


def test_weights_that_do_not_change_under_gradients_end_the_run() -> None:
    learning, weight = watch()
    weight.sum().backward()
    with pytest.raises(FailedAudit, match="none of the 1 trained weights has changed"):
        learning.look((step, 1e-3, 2.0) for step in range(1, 11))


def test_steps_that_moved_nothing_do_not_count_towards_a_verdict() -> None:
    learning, weight = watch(float16=True)
    weight.sum().backward()
    learning.look([(1, 0.0, 2.0), *((step, 1e-3, torch.inf) for step in range(2, 30))])
    with torch.no_grad():
        weight += 1e-3
    learning.look((step, 1e-3, 2.0) for step in range(30, 50))


def test_nothing_is_watched_after_the_verdict() -> None:
    learning, weight = watch()
    weight.sum().backward()
    with torch.no_grad():
        weight += 1e-3
    learning.look((step, 1e-3, 2.0) for step in range(1, 11))
    assert not weight._backward_hooks
    learning.look([(11, 1e-3, 2.0)])


@pytest.mark.parametrize("sharding", [ZERO2, ZERO3], ids=["zero2", "zero3"])
def test_what_does_not_learn_is_found_where_gradients_are_split(sharding: dict[str, Any], tmp_path: Path) -> None:
    changes = {"max_steps": 14}
    jobs: list[dict[str, Any]] = [
        {"changes": changes, "unseen": True, "raises": "trained weights: model.visual."},
        {"changes": {**changes, "learning_rate": 0.0}, **ADAPTED, "raises": "the learning rate has been 0"},
        {"changes": changes, **ADAPTED},
    ]
    for number, job in enumerate(jobs):
        job["cell"] = str(tmp_path / f"cell-{number}")
    group(2, sharding, jobs, log=tmp_path)
