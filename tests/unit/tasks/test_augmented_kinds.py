"""Each kind says what of augmentation its truth survives, and turns what follows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paceline import tasks
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.data.augmentation import AugmentedLessons
from paceline.store.files import file_digest
from paceline.tasks.picture_change import GEOMETRIC, Change

MIRRORED = Change((100, 60), (0, 0, 100, 60), mirrored=True)


@pytest.mark.parametrize("name", tasks.names())
def test_words_of_a_kind_are_known_and_a_kind_without_pictures_has_none(name: str) -> None:
    kind = tasks.load(name)
    words = kind.get("AUGMENTED_BY", ())
    assert set(words) <= set(GEOMETRIC)
    assert not words or kind.asks.images != "none"
    assert kind.get("augmented") is None or words


@pytest.mark.parametrize("name", ["counting", "satellite_vqa", "vqa", "multiple_choice"])
def test_a_question_that_names_a_side_is_not_mirrored(name: str) -> None:
    augmented = tasks.load(name).get("augmented")
    asked = "How many roads are {}of the water area?"
    for where, borne in (("on the left ", False), ("at the top ", False), ("", True)):
        fields = {"question": asked.format(where), "answers": ["3"], "choices": ["3", "4"]}
        assert (augmented(fields, MIRRORED) is not None) is borne


def test_boxes_lie_on_what_they_name_however_the_picture_is_changed(tmp_path: Path) -> None:
    pixels = np.zeros((60, 100, 3), np.uint8)
    pixels[10:30, 20:50] = 255
    path = tmp_path / "roof.png"
    Image.fromarray(pixels).save(path)
    sample = {"id": "a", "image": str(path), "sha256": file_digest(path), "phrase": "the white roof"}
    sample |= {"boxes": [[20, 10, 50, 30]], "width": 100, "height": 60}
    task, prompt = TaskSpec("t", "localisation", target="{boxes}"), PromptSpec("p", text="Where is {phrase}?")
    lessons = AugmentedLessons([sample], prompt, task, GEOMETRIC, 0)
    answers = set()
    for visit in range(60):
        lesson = lessons.visited(0, visit)
        rows, columns = np.where(np.asarray(lesson.images[0])[:, :, 0] > 127)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        (box,) = json.loads(lesson.answer or "")
        assert np.abs(np.array(box) - seen).max() <= 1.01
        answers.add(lesson.answer)
    assert len(answers) > 30


def test_a_phrase_that_names_a_side_follows_and_a_box_that_is_cut_off_is_left_as_it_is() -> None:
    augmented = tasks.load("localisation").get("augmented")
    fields = {"phrase": "the plane on the left", "boxes": [[0, 0, 20, 20]], "width": 100, "height": 60}
    mirrored = {"phrase": "the plane on the right", "boxes": [[80, 0, 100, 20]], "width": 100, "height": 60}
    assert augmented(fields, MIRRORED) == mirrored
    fields["phrase"] = "the plane"
    assert augmented(fields, Change((100, 60), (15, 9, 100, 60))) is None
