"""TinyLLaVA is asked by its published call, an image by its path; a stand-in of its signature answers."""

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("tinyllava")
    return repository(parent / "tinyllava", "tinyllava", "modeling_tinyllava", "TinyLlavaForConditionalGeneration")


@pytest.fixture
def family(folder: Path) -> Remote:
    return loaded("tinyllava", folder)


def test_its_code_needs_leave(folder: Path) -> None:
    requires_leave("tinyllava", folder)


def test_each_answer_depends_on_its_own_seed_alone(family: Remote) -> None:
    each_by_its_own_seed(family, GenerationSpec(temperature=0.9, new_tokens=6))


def test_tokens_are_counted_where_they_are_read_and_written(family: Remote) -> None:
    counted_in_tokens(family, "Where is it?", images=1)


def test_the_file_has_the_pixels_of_the_image_and_is_gone_afterwards(family: Remote) -> None:
    for image in (picture(), picture(size=(1, 1)), picture(size=(200, 1)), picture().convert("L")):
        family.answer([Conversation("Where?", [image])], GenerationSpec(new_tokens=2), [0])
        call = family.model.calls[-1]
        assert same(call["image"], image.convert("RGB"))
        assert not Path(call["path"]).parent.exists()


def test_settings_reach_the_call(family: Remote) -> None:
    family.answer([asked(system="Be brief.")], GenerationSpec(new_tokens=3, beams=2), [0])
    family.answer([asked()], GenerationSpec(new_tokens=3, temperature=0.5, top_p=0.9), [0])
    first, second = family.model.calls
    assert first["settings"] == {"max_new_tokens": 3, "num_beams": 2, "do_sample": False}
    assert first["prompt"] == "Be brief.\nWhere is it?"
    assert second["settings"] == {
        "max_new_tokens": 3, "num_beams": 1, "do_sample": True, "temperature": 0.5, "top_p": 0.9
    }  # fmt: skip


def test_all_tokens_are_drawn_from_though_the_call_has_no_word_for_it(family: Remote) -> None:
    """The library's ``generate`` draws from the 50 likeliest where it is told nothing."""
    flat = GenerationSpec(new_tokens=1, temperature=100.0)
    said = {a.text for a in family.answer([asked()] * 150, flat, range(150))}
    assert len(said) > 70


def test_what_the_call_does_not_take_is_refused_by_name(family: Remote) -> None:
    assert "its chat takes no min_new_tokens" in refused(family, min_new_tokens=2)
    assert "generation.repetition_penalty" in refused(family, repetition_penalty=1.1)
    assert family.model.calls == []


def test_it_takes_one_image_and_one_question(family: Remote) -> None:
    two = Conversation("Where?", [picture(), picture(1)])
    of_one_turn(family, [Conversation("Where?"), two, asked(shots=[asked(answer="there")])])
