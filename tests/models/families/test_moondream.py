"""Moondream 2 is asked by whichever of its published calls its code has; stand-ins of their signatures answer."""

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
from paceline.errors import UserError
from paceline.models.conversation import Conversation
from paceline.models.families.remote import Remote

NETWORKS = ("Moondream", "FirstMoondream", "HfMoondream", "QueryWithoutSettings")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("moondream")
    return {name: repository(parent / name, "moondream1", "modeling_moondream", name) for name in NETWORKS}


@pytest.fixture(params=["Moondream", "HfMoondream"])
def family(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Remote:
    return loaded("moondream", folders[request.param])


def test_its_code_needs_leave(folders: dict[str, Path]) -> None:
    requires_leave("moondream", folders["HfMoondream"])


def test_each_answer_depends_on_its_own_seed_alone(family: Remote) -> None:
    each_by_its_own_seed(family, GenerationSpec(temperature=5.0, new_tokens=6))


def test_tokens_are_counted_where_the_library_generates(folders: dict[str, Path]) -> None:
    counted_in_tokens(loaded("moondream", folders["Moondream"]), "Question: Where is it?\n\nAnswer:", images=1)


def test_without_the_library_they_are_those_of_question_and_answer(folders: dict[str, Path]) -> None:
    family = loaded("moondream", folders["HfMoondream"])
    (answer,) = family.answer([asked()], GenerationSpec(new_tokens=64), [0])
    assert answer.prompt_tokens == len(family.tokenizer("Where is it?", add_special_tokens=False)["input_ids"])
    assert answer.new_tokens == len(family.tokenizer(f" {answer.text}", add_special_tokens=False)["input_ids"])
    assert answer.finish == "stop"


def test_all_settings_reach_the_call_of_2024(folders: dict[str, Path]) -> None:
    family = loaded("moondream", folders["Moondream"])
    family.answer([asked()], GenerationSpec(new_tokens=3, beams=2, min_new_tokens=2), [0])
    family.answer([asked()], GenerationSpec(new_tokens=3, temperature=0.5, top_p=0.9), [0])
    first, second = (call["settings"] for call in family.model.calls)
    assert first == {
        "max_new_tokens": 3, "min_new_tokens": 2, "do_sample": False, "num_beams": 2, "repetition_penalty": 1.0
    }  # fmt: skip
    assert second == {
        "max_new_tokens": 3, "do_sample": True, "temperature": 0.5, "top_p": 0.9, "top_k": 0, "num_beams": 1,
        "repetition_penalty": 1.0,
    }  # fmt: skip


def test_query_is_told_length_temperature_and_nucleus_and_nothing_is_left_to_it(folders: dict[str, Path]) -> None:
    family = loaded("moondream", folders["HfMoondream"])
    family.answer([asked()], GenerationSpec(new_tokens=3), [0])
    family.answer([asked(system="Be brief.")], GenerationSpec(new_tokens=4, temperature=0.5, top_p=0.9), [0])
    first, second = family.model.calls
    assert first["settings"] == {"max_tokens": 3, "temperature": 0.0, "top_p": 1.0}
    assert second["settings"] == {"max_tokens": 4, "temperature": 0.5, "top_p": 0.9}
    assert second["question"] == "Be brief.\nWhere is it?"
    assert same(first["image"], picture())


def test_what_query_does_not_take_is_refused_by_name(folders: dict[str, Path]) -> None:
    family = loaded("moondream", folders["HfMoondream"])
    assert "takes no num_beams" in refused(family, beams=2)
    assert "takes no min_new_tokens" in refused(family, min_new_tokens=2)
    assert "generation.repetition_penalty" in refused(family, repetition_penalty=1.1)
    assert family.model.calls == []


@pytest.mark.parametrize("network", ["FirstMoondream", "QueryWithoutSettings"])
def test_a_revision_that_takes_no_length_is_refused(network: str, folders: dict[str, Path]) -> None:
    family = loaded("moondream", folders[network])
    with pytest.raises(UserError, match=r"of this revision takes no length of an answer.*pin a later revision"):
        family.answer([asked()], GenerationSpec(), [0])


def test_it_takes_one_image_and_one_question(family: Remote) -> None:
    two = Conversation("Where?", [picture(), picture(1)])
    of_one_turn(family, [Conversation("Where?"), two, asked(shots=[asked(answer="there")])])
