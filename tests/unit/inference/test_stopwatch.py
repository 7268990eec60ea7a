"""Seconds per image are those of the batches that an attempt answered, shared out over what they ask."""

from __future__ import annotations

from typing import Any

import pytest

from paceline.inference.stopwatch import Stopwatch


def sample(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "image": f"{name}.png", **fields}


def test_the_seconds_of_a_batch_are_shared_out_over_its_images() -> None:
    a, b, c = map(sample, "abc")
    watch = Stopwatch([a, b, c])
    watch.answered([a, b], 4.0)
    watch.answered([c], 8.0)
    assert watch.as_json() == {
        "samples": 3, "images": 3, "of": "image", "seconds": 4.0, "median_seconds": 2.0, "batch": 2
    }  # fmt: skip


def test_an_image_of_two_questions_has_the_seconds_of_both() -> None:
    a, b = map(sample, "ab")
    watch = Stopwatch([a, a, b, b])
    watch.answered([a, b], 6.0)
    assert watch.as_json() == {}  # no image has both answers yet
    watch.answered([a, b], 2.0)
    measured = watch.as_json()
    assert (measured["images"], measured["seconds"], measured["median_seconds"]) == (2, 4.0, 4.0)


def test_what_an_earlier_attempt_answered_is_not_counted() -> None:
    a, b, c = map(sample, "abc")
    watch = Stopwatch([a, a, b, b, c, c])
    watch.answered([b], 5.0)  # the first question of b was answered before
    watch.answered([c, c], 7.0)
    measured = watch.as_json()
    assert (measured["samples"], measured["seconds"]) == (1, 7.0)


def test_a_resume_with_nothing_left_measures_nothing() -> None:
    assert Stopwatch([sample("a")]).as_json() == {}


def test_seconds_are_of_a_sample_where_no_image_is_shown_and_of_each_image_where_several_are() -> None:
    text = sample("t", image=None)
    watch = Stopwatch([text])
    watch.answered([text], 3.0)
    assert (watch.as_json()["of"], watch.as_json()["seconds"]) == ("sample", 3.0)
    pair = sample("p", images=["one.png", "two.png"])
    watch = Stopwatch([pair])
    watch.answered([pair], 3.0)
    assert watch.as_json()["seconds"] == pytest.approx(1.5)
    assert watch.as_json()["median_seconds"] == pytest.approx(1.5)
