"""Samples drawn again for bagging: as many, by whole groups, by the seed alone."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from paceline.config.schema import TaskSpec
from paceline.data.drawn_again import drawn_again, told

ALONE = TaskSpec(kind="geolocation")
TIED = TaskSpec(kind="captioning")  # whose group is the picture


def samples(tiles: list[int]) -> list[dict[str, str]]:
    return [{"id": str(i), "sha256": f"tile {tile}"} for i, tile in enumerate(tiles)]


def ids(tiles: list[int], task: TaskSpec, seed: int) -> list[str]:
    return [str(s["id"]) for s in drawn_again(samples(tiles), task, seed)]


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(0, 2**32 - 1))
def test_as_many_are_drawn_as_there_are_and_those_of_a_group_together(tiles: list[int], seed: int) -> None:
    found = ids(tiles, TIED, seed)
    assert len(found) == len(tiles)
    by_tile = {tile: [str(i) for i, t in enumerate(tiles) if t == tile] for tile in set(tiles)}
    place, cut = 0, 0
    while place < len(found):
        group = by_tile[tiles[int(found[place])]]
        drawn = found[place : place + len(group)]
        assert drawn == group[: len(drawn)]
        cut += len(drawn) < len(group)
        place += len(group)
    assert cut <= 1


def test_the_draw_is_that_of_the_seed_and_another_of_another_seed() -> None:
    tiles = list(range(200))
    assert ids(tiles, ALONE, 3) == ids(tiles, ALONE, 3)
    assert ids(tiles, ALONE, 3) != ids(tiles, ALONE, 4)
    assert ids(tiles, TIED, 3) == ids(tiles, ALONE, 3), "groups of one are samples"


def test_the_draw_never_changes_between_versions() -> None:
    """Members that were tuned by an earlier version stay comparable."""
    assert ids(list(range(8)), ALONE, 0) == ["3", "5", "3", "2", "5", "1", "4", "3"]


def test_about_two_thirds_are_drawn_and_some_several_times() -> None:
    shares = [len(set(ids(list(range(1000)), ALONE, seed))) / 1000 for seed in range(20)]
    assert 0.61 < sum(shares) / len(shares) < 0.66  # 1 - 1/e
    assert max(Counter(ids(list(range(1000)), ALONE, 0)).values()) > 2


def test_samples_without_the_groups_field_are_each_alone() -> None:
    bare = [{"id": str(i)} for i in range(50)]
    assert [s["id"] for s in drawn_again(bare, TIED, 1)] == ids(list(range(50)), ALONE, 1)


def test_the_log_tells_how_many_are_out_of_bag() -> None:
    whole = samples([0, 1, 2, 3])
    line = told(whole, [*whole[:2], *whole[:2]], "x")
    assert line == "x: 2 of 4 samples are drawn, some several times; 2 are out of bag"
