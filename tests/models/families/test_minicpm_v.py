"""MiniCPM-V is asked by its published call, against a stand-in of its signature loaded as remote code."""

from __future__ import annotations

from pathlib import Path

import pytest
from stand_ins import (
    asked,
    counted_in_tokens,
    each_by_its_own_seed,
    loaded,
    of_one_turn,
    picture,
    refused,
    repository,
    requires_leave,
    same,
)

from paceline.config.schema import GenerationSpec
from paceline.models.conversation import Conversation
from paceline.models.families.remote import Remote

SAMPLED = GenerationSpec(temperature=0.9, new_tokens=6)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("minicpm")
    return {
        name: repository(parent / name, "minicpmv", "modeling_minicpmv", name, "AutoModel")
        for name in ("MiniCPMV", "EarlyMiniCPMV")
    }


@pytest.fixture(params=["MiniCPMV", "EarlyMiniCPMV"])
def family(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Remote:
    return loaded("minicpm_v", folders[request.param])


def test_its_code_needs_leave(folders: dict[str, Path]) -> None:
    requires_leave("minicpm_v", folders["MiniCPMV"])


def test_each_answer_depends_on_its_own_seed_alone(family: Remote) -> None:
    each_by_its_own_seed(family, SAMPLED)


def test_tokens_are_counted_where_they_are_read_and_written(family: Remote) -> None:
    counted_in_tokens(family, "Where is it?", images=1)


def test_the_image_and_the_question_arrive_as_they_are(family: Remote) -> None:
    family.answer([asked()], GenerationSpec(new_tokens=2), [0])
    (call,) = family.model.calls
    assert same(call["image"], picture())
    assert call["msgs"] == [{"role": "user", "content": "Where is it?"}]


def test_none_of_the_calls_own_defaults_decides(family: Remote) -> None:
    family.answer([asked()], GenerationSpec(temperature=0.9, new_tokens=3), [0])
    family.answer([asked()], GenerationSpec(temperature=0.9, top_p=0.5, repetition_penalty=1.1, new_tokens=3), [0])
    family.answer([asked()], GenerationSpec(new_tokens=3), [0])
    family.answer([asked()], GenerationSpec(beams=2, new_tokens=3), [0])
    plain = {"do_sample": True, "temperature": 0.9, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0}
    assert [call["settings"] for call in family.model.calls] == [
        plain,
        {**plain, "top_p": 0.5, "repetition_penalty": 1.1},
        {"num_beams": 1, "repetition_penalty": 1.0},
        {"num_beams": 2, "repetition_penalty": 1.0},
    ]


def test_a_setting_that_the_call_passes_over_is_refused_by_name(family: Remote) -> None:
    assert "its chat takes no min_new_tokens" in refused(family, min_new_tokens=2, new_tokens=3)
    assert "generation.min_new_tokens" in refused(family, min_new_tokens=2, new_tokens=3, temperature=1.0)
    assert family.model.calls == []


def test_a_system_turn_goes_where_the_code_has_a_place_for_it(folders: dict[str, Path]) -> None:
    later, early = (loaded("minicpm_v", folders[name]) for name in ("MiniCPMV", "EarlyMiniCPMV"))
    for family in (later, early):
        family.answer([asked(system="Be brief.")], GenerationSpec(new_tokens=2), [0])
    assert later.model.calls[0]["system_prompt"] == "Be brief."
    assert later.model.calls[0]["msgs"][0]["content"] == "Where is it?"
    assert early.model.calls[0]["msgs"][0]["content"] == "Be brief.\nWhere is it?"


def test_the_processor_is_that_of_the_pinned_weights(folders: dict[str, Path]) -> None:
    family = loaded("minicpm_v", folders["MiniCPMV"])
    family.answer([asked()], GenerationSpec(new_tokens=2), [0])
    processor = family.model.calls[0]["processor"]
    assert type(processor).__name__ == "StandInProcessor"
    assert processor.tokenizer.get_vocab() == family.tokenizer.get_vocab()


def test_it_takes_one_image_and_one_question(family: Remote) -> None:
    two = Conversation("Where?", [picture(), picture(1)])
    of_one_turn(family, [Conversation("Where?"), two, asked(shots=[asked(answer="there")])])
