"""Images as models get them: decoded, rotated by their EXIF orientation, in RGB, and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from paceline.errors import DataError

if TYPE_CHECKING:
    from PIL import Image


MOST_ASPECT = 200  # the longer side by the shorter: Qwen2-VL's processor raises above


def picture_size(path: Path | str) -> tuple[int, int] | None:
    """Width and height by the header alone, before EXIF turns it; None where that can't be read."""
    from PIL import Image

    try:
        with Image.open(path) as opened:
            return opened.size
    except (OSError, Image.DecompressionBombError):
        return None


def load_image(path: Path | str, side: int = 0) -> Image.Image:
    """An image as RGB, rotated by its EXIF orientation, transparent parts on white.

    Args:
        path: the image file.
        side: pixels that are enough for the longest side: a JPEG file is decoded at the smallest of its scales that
            has them, which is much faster. 0 decodes all.

    Raises:
        DataError: missing, broken, more than 200 times as long as wide, or of more pixels than Pillow's limit
            against decompression bombs.
    """
    try:
        return decode(Path(path), side)
    except BadImage as error:
        raise DataError(f"{path}: {error}") from error.__cause__


def check_image(path: Path | str) -> str | None:
    """Why an image can't be used, after decoding all of it; None where it can."""
    try:
        decode(Path(path))
    except BadImage as error:
        return str(error)
    return None


class BadImage(Exception):
    """Its text is a countable reason."""


def decode(path: Path, side: int = 0) -> Image.Image:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            # Pillow only warns from here up to twice its limit.
            if Image.MAX_IMAGE_PIXELS and opened.width * opened.height > Image.MAX_IMAGE_PIXELS:
                raise BadImage("image has too many pixels")
            if max(opened.size) > MOST_ASPECT * min(opened.size):
                raise BadImage("image is too narrow")
            if side:
                opened.draft(None, (side, side))
            image = ImageOps.exif_transpose(opened)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return image.convert("RGB")
    except BadImage:
        raise
    except Image.DecompressionBombError as error:
        raise BadImage("image has too many pixels") from error
    except FileNotFoundError as error:
        raise BadImage("image is missing") from error
    except PermissionError as error:
        raise BadImage("image may not be read") from error
    except Exception as error:  # a damaged file makes the decoders raise nearly anything
        raise BadImage("broken image") from error
