"""Images as models get them: decoded, rotated by their EXIF orientation, in RGB, and checked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from paceline.errors import DataError
from paceline.store.files import file_digest

if TYPE_CHECKING:
    from PIL import Image


MOST_ASPECT = 200  # the longer side by the shorter: Qwen2-VL's processor raises above
SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".jp2"),
    *(".avif", ".heic", ".heif", ".hif"),
)
"""Of files that are taken for pictures where a folder is searched."""
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WIDE_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
"""Of Pillow's images with one value of more than 8 bits a pixel, which its ``convert`` cuts off at 255."""


TOO_WIDE = (
    "image has values above 8 bits, which an earlier version cut off; move the prepared data away and run: paceline "
    "prepare"
)


class BadImage(Exception):
    """Its text is a countable reason."""


NO_HEIC = "HEIC needs the package pillow-heif: pip install 'paceline[heic]'"


def picture_size(path: Path | str) -> tuple[int, int] | None:
    """Width and height by the header alone, before EXIF turns it; None where that can't be read."""
    try:
        with opened(path) as image:
            return image.size
    except BadImage:
        return None


def load_image(path: Path | str, side: int = 0, sha256: str = "") -> Image.Image:
    """An image as RGB, rotated by its EXIF orientation, transparent parts on white.

    Args:
        path: the image file.
        side: pixels that are enough for the longest side: a JPEG file is decoded at the smallest of its scales that
            has them, which is much faster. 0 decodes all.
        sha256: of the file when it was prepared; empty does not ask.

    Raises:
        DataError: not the file that was prepared, missing, broken, more than 200 times as long as wide, of more pixels
            than Pillow's limit against decompression bombs, or of values above 8 bits, which only ``prepare`` scales.
    """
    if sha256 and Path(path).is_file() and file_digest(Path(path)) != sha256:
        raise DataError(
            f"{path}: this is not the picture that was prepared; put it back, or run: paceline prepare --refresh, and "
            "submit again for cells of the new data"
        )
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


@contextlib.contextmanager
def opened(source: Path | str | IO[bytes]) -> Iterator[Image.Image]:
    """An image file, opened and not decoded; its errors, and those of what is done with it, are countable reasons.

    Raises:
        BadImage: it is missing or broken, holds too many pixels, or needs a package that is not installed.
    """
    from PIL import Image

    try:
        with contextlib.ExitStack() as stack:
            # By its stream and not its name, which Pillow would map into memory: it then ignores that a TIFF is turned.
            stream = stack.enter_context(Path(source).open("rb")) if isinstance(source, Path | str) else source
            yield stack.enter_context(_open(stream))
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


def _open(stream: IO[bytes]) -> Image.Image:
    from PIL import Image

    try:
        return Image.open(stream)
    except Image.UnidentifiedImageError:
        if not _is_heic(stream):
            raise
    try:
        import pillow_heif
    except ImportError:
        raise BadImage(NO_HEIC) from None
    pillow_heif.register_heif_opener()
    return Image.open(stream)


def _is_heic(stream: IO[bytes]) -> bool:
    """Whether a file says in its first bytes that it is HEIC."""
    stream.seek(0)
    start = stream.read(12)
    stream.seek(0)
    return start[4:8] == b"ftyp" and start[8:12] in HEIC_BRANDS


def check_shape(size: tuple[int, int]) -> None:
    """Refuse a size that models can't take.

    Raises:
        BadImage: too many pixels, or too narrow.
    """
    from PIL import Image

    # Pillow only warns from here up to twice its limit.
    if Image.MAX_IMAGE_PIXELS and size[0] * size[1] > Image.MAX_IMAGE_PIXELS:
        raise BadImage("image has too many pixels")
    if max(size) > MOST_ASPECT * min(size):
        raise BadImage("image is too narrow")


def decode(path: Path, side: int = 0) -> Image.Image:
    """As :func:`load_image`; raises :class:`BadImage`."""
    with opened(path) as image:
        check_shape(image.size)
        if image.mode in WIDE_MODES:
            raise BadImage(TOO_WIDE)
        if side:
            image.draft(None, (side, side))
        return on_white(image)


def on_white(image: Image.Image) -> Image.Image:
    """An 8-bit image as RGB, rotated by its EXIF orientation, transparent parts on white."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
