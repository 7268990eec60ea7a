"""Qwen-VL-Chat is asked by its published call, images by their paths; a stand-in of its signature answers."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from stand_ins import (
    asked,
    counted_in_tokens,
    each_by_its_own_seed,
    loaded,
    of_one_turn,
    picture,
    repository,
    requires_leave,
    same,
)

from paceline.config.schema import GenerationSpec
from paceline.errors import UserError
from paceline.models.conversation import Conversation
from paceline.models.families.remote import Remote


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = repository(tmp_path_factory.mktemp("qwen_vl") / "qwen_vl_chat", "qwen", "modeling_qwen", "QWenLMHeadModel")
    told = json.loads((made / "tokenizer_config.json").read_text())
    own = {"auto_map": {"AutoTokenizer": [None, "tokenization_standin.ListTokenizer"]}}
    (made / "tokenizer_config.json").write_text(json.dumps({**told, **own, "tokenizer_class": "ListTokenizer"}))
    return made


@pytest.fixture
def family(folder: Path) -> Remote:
    return loaded("qwen_vl", folder, inputs=["image", "images", "text"])


def test_its_code_needs_leave(folder: Path) -> None:
    requires_leave("qwen_vl", folder)


def test_each_answer_depends_on_its_own_seed_alone(family: Remote) -> None:
    each_by_its_own_seed(family, GenerationSpec(temperature=0.9, new_tokens=6))


def test_tokens_are_counted_where_they_are_read_and_written(family: Remote) -> None:
    counted_in_tokens(family, "You are a helpful assistant.Picture 1: \nWhere is it?", images=1)


def test_files_have_the_pixels_of_the_images_in_their_order_and_are_gone_afterwards(family: Remote) -> None:
    images = [picture(), picture(1, (1, 1)), picture(2, (200, 1))]
    family.answer([Conversation("What changed?", images)], GenerationSpec(new_tokens=2), [0])
    (call,) = family.model.calls
    assert len(call["images"]) == 3
    assert all(same(found, image) for found, image in zip(call["images"], images, strict=True))
    assert call["query"].endswith("</img>\nWhat changed?")
    path = Path(call["query"].partition("<img>")[2].partition("</img>")[0])
    assert not path.parent.exists()


def test_it_answers_without_an_image(family: Remote) -> None:
    (answer,) = family.answer([Conversation("Name a sea.")], GenerationSpec(new_tokens=3), [0])
    assert answer.new_tokens > 0
    assert family.model.calls[0]["query"] == "Name a sea."


def test_none_of_the_shipped_settings_decides(family: Remote) -> None:
    family.answer([asked()], GenerationSpec(new_tokens=3), [0])
    family.answer([asked()], GenerationSpec(new_tokens=3, temperature=0.5), [0])
    family.answer([asked()], GenerationSpec(new_tokens=3, beams=2, min_new_tokens=2, repetition_penalty=1.1), [0])
    greedy = {"max_new_tokens": 3, "do_sample": False, "num_beams": 1, "repetition_penalty": 1.0}
    sampled = {**greedy, "do_sample": True, "temperature": 0.5, "top_p": 1.0, "top_k": 0}
    searched = {**greedy, "num_beams": 2, "min_new_tokens": 2, "repetition_penalty": 1.1}
    assert [call["settings"] for call in family.model.calls] == [greedy, sampled, searched]


def test_a_system_turn_takes_the_place_of_the_calls_own(family: Remote) -> None:
    family.answer([asked(), asked(system="Be brief.")], GenerationSpec(new_tokens=2), [0, 0])
    assert [call["system"] for call in family.model.calls] == ["You are a helpful assistant.", "Be brief."]


def test_a_folder_of_temporary_files_with_too_long_a_path_is_told(
    family: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("a" * 120) / ("b" * 120)
    deep.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(UserError, match=r"at most 256 bytes.*set TMPDIR to a short one"):
        family.answer([asked()], GenerationSpec(new_tokens=2), [0])
    assert list(deep.iterdir()) == []


def test_it_takes_one_question(family: Remote) -> None:
    of_one_turn(family, [asked(shots=[asked(answer="there")])])
