"""A tracker shows beside an answer the picture that was asked about, and no other."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from paceline.store.files import file_digest
from paceline.tracking.answers_table import Thumbnails


def test_a_picture_that_was_overwritten_since_is_not_shown_beside_its_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (20, 20), "red").save(path)
    samples = {"a": {"id": "a", "image": str(path), "sha256": file_digest(path)}}
    assert Thumbnails(samples).get("a")
    Image.new("RGB", (20, 20), "blue").save(path)
    assert Thumbnails(samples).get("a") is None
