"""What several cells answer together: the middle of places on a sphere, the vote of labels, and the gain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import MODELS, PROMPTS, make_sweep, printed
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from paceline import stats
from paceline.report.analysis import differences, ensembles
from paceline.report.page import page
from paceline.report.read.sweep_results import Report
from paceline.report.text import export
from paceline.tasks import load
from paceline.tasks.answers import Answers
from paceline.tasks.geolocation.combine import combine, geometric_median
from paceline.tasks.kind import Kind
from paceline.tasks.labels import vote


@pytest.fixture(scope="module")
def many_prompts(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Three models, each asked with three prompts, untuned and tuned."""
    root = tmp_path_factory.mktemp("root")
    return make_sweep(root, (*MODELS, "tiny_idefics"), (*PROMPTS, "geo_narrowing"), ("untuned", "full"), 12)


latitude = st.floats(-89, 89)
longitude = st.floats(-180, 179.99)
places = st.lists(st.tuples(latitude, longitude), min_size=3, max_size=7)


def median(*points: tuple[float, float]) -> np.ndarray:
    return geometric_median(np.array(points, dtype=float)[:, None, :])[0]


def vectors(points: np.ndarray) -> np.ndarray:
    lat, lon = np.radians(points[..., 0]), np.radians(points[..., 1])
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def degrees(vector: np.ndarray) -> np.ndarray:
    return np.degrees(
        np.stack([np.arcsin(np.clip(vector[..., 2], -1, 1)), np.arctan2(vector[..., 1], vector[..., 0])], axis=-1)
    )


def total(points: np.ndarray, at: np.ndarray) -> float:
    """Sum of the angles, in radians, by the chord: not the formula of the code."""
    chord = np.linalg.norm(vectors(points) - vectors(at), axis=-1)
    return float(2 * np.arcsin(np.clip(chord / 2, 0, 1)).sum())


def planar_median(points: np.ndarray) -> np.ndarray:
    """By brute force: a grid that is narrowed down."""
    centre, width = points.mean(axis=0), np.ptp(points, axis=0).max()
    for _ in range(40):
        steps = np.linspace(-width, width, 9)
        grid = np.stack(np.meshgrid(centre[0] + steps, centre[1] + steps), axis=-1).reshape(-1, 2)
        sums = np.linalg.norm(grid[:, None] - points[None], axis=-1).sum(axis=1)
        centre, width = grid[sums.argmin()], width / 2
    return centre


def test_on_a_small_patch_the_median_is_that_of_the_plane() -> None:
    rng = np.random.default_rng(5)
    for _ in range(5):
        points = rng.uniform(-0.01, 0.01, (5, 2))  # about a kilometre around a place on the equator
        assert median(*map(tuple, points)) == pytest.approx(planar_median(points), abs=2e-6)


def test_one_answer_far_off_does_not_move_the_median_as_it_moves_the_mean() -> None:
    near = [(47.0, 8.0), (47.2, 8.1), (46.9, 8.3), (47.1, 7.9)]
    moved = median(*near, (-33.0, 151.0))
    assert np.abs(moved - median(*near)).max() < 0.3


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(10.0, 20.0)], (10.0, 20.0)),
        ([(10.0, 20.0)] * 4, (10.0, 20.0)),
        ([(0.0, 0.0), (0.0, 90.0)], (0.0, 45.0)),
        ([(5.0, 5.0), (5.0, 5.0), (60.0, 100.0)], (5.0, 5.0)),
        ([(0.0, 179.0), (0.0, -179.0), (0.0, 180.0)], (0.0, 180.0)),
        ([(0.0, 0.0), (0.0, 180.0), (0.0, 10.0)], (0.0, 10.0)),  # antipodes cancel each other
        ([(90.0, 0.0), (89.0, 0.0), (89.0, 180.0)], (90.0, None)),
    ],
    ids=["one", "duplicates", "two", "two of three", "the date line", "antipodes", "the pole"],
)
def test_places_whose_median_is_known(points: list[tuple[float, float]], expected: tuple[float, float | None]) -> None:
    lat, lon = median(*points)
    assert lat == pytest.approx(expected[0], abs=1e-6)
    if expected[1] is not None:
        assert (lon - expected[1] + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)


def test_two_antipodes_alone_give_one_of_them() -> None:
    assert median((30.0, 40.0), (-30.0, -140.0)) == pytest.approx((30.0, 40.0))


def test_a_member_that_was_not_read_has_no_voice() -> None:
    unread = (np.nan, np.nan)
    assert median((1.0, 2.0), unread, (1.0, 2.0), unread) == pytest.approx((1.0, 2.0))
    assert np.isnan(median(unread, unread)).all()


@settings(max_examples=60, deadline=None)
@given(places, st.tuples(latitude, longitude))
def test_no_place_asked_for_and_no_place_tried_has_a_smaller_sum(
    points: list[tuple[float, float]], tried: tuple[float, float]
) -> None:
    array = np.array(points)
    found = total(array, median(*points))
    assert found <= min(total(array, place) for place in array) + 1e-7
    # A sum of distances need not have a single valley on a sphere, but within 45° of a point it has.
    if all(total(np.array([points[0]]), place) < np.pi / 4 for place in array):
        assume(total(np.array([points[0]]), np.array(tried)) < np.pi / 4)
        assert found <= total(array, np.array(tried)) + 1e-6


@settings(max_examples=60, deadline=None)
@given(places, st.integers(0, 2**32 - 1))
def test_turning_the_earth_turns_the_median(points: list[tuple[float, float]], seed: int) -> None:
    array = np.array(points)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    near = array[0] + (array - array[0]) * 0.1  # where the median is unique
    assume(np.abs(near[:, 0]).max() < 80 and np.linalg.svd(vectors(near))[1][2] > 1e-3)
    turned = median(*map(tuple, degrees(vectors(near) @ turn.T)))
    assert vectors(turned) == pytest.approx(vectors(median(*map(tuple, near))) @ turn.T, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_many_samples_at_once_are_each_alone(members: int, samples: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    array = np.stack([rng.uniform(-90, 90, (members, samples)), rng.uniform(-180, 180, (members, samples))], axis=-1)
    array[rng.random((members, samples)) < 0.2] = np.nan
    for at, found in enumerate(geometric_median(array)):
        alone = geometric_median(array[:, at : at + 1])[0]
        assert found == pytest.approx(alone, abs=1e-9, nan_ok=True)


def said(*labels: str, right: str = "golf") -> Answers:
    n = len(labels)
    return Answers(
        tuple(map(str, range(n))),
        tuple("parsed" if label else "malformed" for label in labels),
        {"exact": np.array([float(label == right) for label in labels])},
        {"label": labels, "class": (right,) * n},
    )


def test_a_vote_takes_what_most_said_and_scores_it_as_its_givers_were() -> None:
    won = vote([said("golf", "golf", "", ""), said("chess", "golf", "chess", ""), said("golf", "chess", "", "")])
    assert won.columns["label"] == ("golf", "golf", "chess", "")
    assert won.outcomes == ("parsed", "parsed", "parsed", "malformed")
    assert won.scores["exact"].tolist() == [1, 1, 0, 0]


def test_a_tied_vote_goes_to_the_answer_that_stands_first() -> None:
    assert vote([said("", "b"), said("a", "a"), said("b", "c")]).columns["label"] == ("a", "b")


def test_three_independent_guessers_gain_and_three_copies_do_not() -> None:
    """The gain is a paired difference to the best member, with its interval."""
    rng = np.random.default_rng(0)
    truth = np.stack([rng.uniform(-60, 60, 400), rng.uniform(-170, 170, 400)], axis=1)
    near = [truth + rng.normal(0, 4, (400, 2)) for _ in range(5)]
    for answered, better in ((near, True), ([near[0]] * 5, False)):
        members = [_placed(truth, a) for a in answered]
        (answers,) = combine([members])
        found = differences.measure(load("geolocation"), members[0], answers, "median_km")
        assert found is not None
        assert (found.high < 0) == better
        assert (differences.verdict(found, True) == "better") == better
        if not better:
            assert found.difference == pytest.approx(0, abs=1e-3)


def _placed(truth: np.ndarray, value: np.ndarray) -> Answers:
    from paceline.tasks.geolocation.score import distances_km

    km = np.array(distances_km(value.tolist(), truth.tolist()))
    ids = tuple(map(str, range(len(truth))))
    return Answers(ids, ("parsed",) * len(ids), {"distance_km": km}, {"answer": value, "truth": truth})


def test_members_answered_the_same_samples_and_differ_in_one_name(many_prompts: Report) -> None:
    rows = {row.id: row for row in many_prompts.rows}
    for (task, split), found in ensembles.ensembles(many_prompts).items():
        assert found.left_out == 0
        assert {e.over for e in found.found} == {"prompts", "models"}
        for ensemble in found.found:
            members = [rows[i] for i in ensemble.members]
            assert (ensemble.task, ensemble.split) == (task, split)
            assert len(members) >= 3
            assert len({many_prompts.chosen(row, split).samples for row in members}) == 1
            same, other = ("model", "prompt") if ensemble.over == "prompts" else ("prompt", "model")
            assert len({(getattr(row, same), row.label) for row in members}) == 1
            assert len({getattr(row, other) for row in members}) == len(members)
            for gain in ensemble.gains:
                group = next(g for g in many_prompts.groups if (g.task, g.split) == (task, split))
                assert gain.best == next(row.id for row in group.rank(gain.metric) if row.id in ensemble.members)


def test_ensembles_beyond_the_limit_are_counted(many_prompts: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensembles, "MOST_ENSEMBLES", 1)
    found = ensembles._of_group(many_prompts, many_prompts.groups[0])
    assert len(found.found) == 2 and found.left_out > 0
    best = many_prompts.groups[0].rank(differences.leading(many_prompts.groups[0])[0])[0]
    assert all(best.id in e.members for e in found.found)


def test_the_statistics_are_those_of_stats() -> None:
    kind = Kind("a_kind_of_another_checkout", None)
    x, y = said(*["golf"] * 30), said(*["golf", "chess"] * 15)
    found = differences.measure(kind, x, y, "exact_accuracy", tested=True)
    assert found is not None
    change = stats.paired_bootstrap(x.scores["exact"], y.scores["exact"])
    assert (found.difference, found.low, found.high) == tuple(change)
    assert found.p == stats.mcnemar_exact(x.scores["exact"], y.scores["exact"])
    others = replace(x, samples=tuple(f"other {s}" for s in x.samples))
    assert differences.measure(kind, others, y, "exact_accuracy") is None


@pytest.mark.parametrize("width", [80, 120])
def test_the_report_tells_what_cells_gain_together_and_that_the_best_was_chosen(
    many_prompts: Report, width: int
) -> None:
    text = printed(many_prompts, width)
    assert max(map(len, text.splitlines())) <= width
    assert "cells together: within 750 km" in text
    for told in (text, export.markdown_text(many_prompts), page.html(many_prompts)):
        assert "gains are understated" in " ".join(told.split())
