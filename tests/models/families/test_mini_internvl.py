"""Mini-InternVL is asked by its published call, with tiles as its card cuts them; a stand-in answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from stand_ins import (
    asked,
    counted_in_tokens,
    each_by_its_own_seed,
    loaded,
    of_one_turn,
    picture,
    repository,
    requires_leave,
)

from paceline.config.schema import GenerationSpec
from paceline.models.conversation import Conversation
from paceline.models.families.mini_internvl import pixel_values, tiling
from paceline.models.families.remote import Remote

SIZE = 16
CONFIG = {
    "force_image_size": SIZE,
    "dynamic_image_size": True,
    "max_dynamic_patch": 12,
    "min_dynamic_patch": 1,
    "use_thumbnail": True,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("internvl")
    return {
        name: repository(parent / name, "internvl_chat", "modeling_internvl", name, "AutoModel", **CONFIG)
        for name in ("InternVLChatModel", "EarlyInternVLChatModel")
    }


@pytest.fixture(params=["InternVLChatModel", "EarlyInternVLChatModel"])
def family(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Remote:
    return loaded("mini_internvl", folders[request.param])


def test_its_code_needs_leave(folders: dict[str, Path]) -> None:
    requires_leave("mini_internvl", folders["InternVLChatModel"])


def test_each_answer_depends_on_its_own_seed_alone(family: Remote) -> None:
    each_by_its_own_seed(family, GenerationSpec(temperature=0.9, new_tokens=6))


def test_tokens_are_counted_where_they_are_read_and_written(family: Remote) -> None:
    # 12 by 8 pixels are 3 by 2 tiles and the whole.
    counted_in_tokens(family, "Where is it?", images=7)


def test_all_settings_are_given_anew_for_each_question(family: Remote) -> None:
    family.answer([asked(), asked()], GenerationSpec(new_tokens=3), [0, 0])
    sampled = GenerationSpec(new_tokens=3, min_new_tokens=2, temperature=0.5, top_p=0.9, repetition_penalty=1.1)
    family.answer([asked()], sampled, [0])
    greedy = {"max_new_tokens": 3, "do_sample": False, "num_beams": 1, "repetition_penalty": 1.0}
    assert [call["settings"] for call in family.model.calls[:2]] == [greedy, greedy]
    assert family.model.calls[2]["settings"] == {
        "max_new_tokens": 3, "min_new_tokens": 2, "do_sample": True, "temperature": 0.5, "top_p": 0.9, "top_k": 0,
        "num_beams": 1, "repetition_penalty": 1.1,
    }  # fmt: skip


def test_the_system_turn_stands_before_the_question(family: Remote) -> None:
    family.answer([asked(system="Be brief.")], GenerationSpec(new_tokens=2), [0])
    assert family.model.calls[0]["question"] == "Be brief.\nWhere is it?"


def test_tiles_follow_the_models_config_and_its_yaml(folders: dict[str, Path]) -> None:
    wide = Conversation("Where?", [picture(size=(120, 10))])
    for more, tiles in (({}, 13), ({"processor": {"max_tiles": 6}}, 7)):
        family = loaded("mini_internvl", folders["InternVLChatModel"], **more)
        family.answer([wide], GenerationSpec(new_tokens=2), [0])
        assert family.model.calls[0]["pixel_values"].shape == (tiles, 3, SIZE, SIZE)


def test_it_takes_one_image_and_one_question(family: Remote) -> None:
    two = Conversation("Where?", [picture(), picture(1)])
    of_one_turn(family, [Conversation("Where?"), two, asked(shots=[asked(answer="there")])])


@pytest.mark.parametrize(
    ("size", "most", "grid"),
    [
        ((1, 1), 6, (1, 1)),
        ((448, 448), 6, (1, 1)),
        ((1280, 720), 6, (2, 1)),  # 1.78 is closer to 2 than to 1.5
        ((720, 1280), 6, (1, 2)),
        ((800, 600), 6, (3, 2)),  # 1.33, with no 4 by 3
        ((800, 600), 12, (4, 3)),
        ((1000, 1000), 6, (2, 2)),  # of square grids the larger, where more than half of it is filled
        ((600, 600), 6, (1, 1)),
        ((2000, 10), 6, (6, 1)),
        ((10, 2000), 12, (1, 12)),
    ],
)
def test_tiles_of_a_table_of_sizes(size: tuple[int, int], most: int, grid: tuple[int, int]) -> None:
    assert tiling(*size, most, 448) == grid


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 12))
def test_no_grid_is_closer_to_the_images_shape(width: int, height: int, most: int) -> None:
    columns, rows = tiling(width, height, most, 448)
    assert 1 <= columns * rows <= most
    others = [(c, r) for c in range(1, most + 1) for r in range(1, most + 1) if c * r <= most]
    assert abs(width / height - columns / rows) == min(abs(width / height - c / r) for c, r in others)


@pytest.mark.parametrize("size", [(1, 1), (200, 1), (1, 200), (37, 91), (64, 48)])
def test_pixels_are_those_of_tiles_cut_one_by_one(size: tuple[int, int]) -> None:
    image = picture(3, size)
    columns, rows = tiling(*size, 6, SIZE)
    grid = image.resize((columns * SIZE, rows * SIZE), Image.Resampling.BICUBIC)
    boxes = [(c * SIZE, r * SIZE, (c + 1) * SIZE, (r + 1) * SIZE) for r in range(rows) for c in range(columns)]
    tiles = [grid.crop(box) for box in boxes]
    if len(tiles) > 1:
        tiles.append(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    expected = np.stack([((np.float32(t) / 255 - mean) / std).transpose(2, 0, 1) for t in tiles])
    found = pixel_values(image, 6, SIZE, thumbnail=True)
    assert found.dtype == torch.float32
    assert found.numpy() == pytest.approx(expected, abs=1e-6)


def test_a_grey_image_is_shown_in_colours() -> None:
    grey = picture().convert("L")
    assert torch.equal(pixel_values(grey, 6, SIZE, True), pixel_values(grey.convert("RGB"), 6, SIZE, True))
