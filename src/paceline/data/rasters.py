"""Pictures of more than 8 bits or of bands to choose from, scaled to the 8 bits a channel that a model is shown.

Done once, when data is prepared, and kept as a file of its own: what is asked, trained on and drawn later is that file.
Pictures of 8 bits are left as they are. The rule, ``task.pictures.scale``, maps values onto 0 to 255 between two ends,
which are the same for all chosen bands, so that colours stay what they are:

``type``         the range of the file's type, such as 0 to 65535; of floats 0 to 1.
``data``         the least and the most value of the file.
``percentiles``  two percentiles of the file's values, the 2nd and the 98th where ``limits`` names no others.
``range``        the two values that ``limits`` names: the same for every file.
``auto``         ``type`` where the values fill at least half of that range, so that a photo stays what it is; else the
                 0.1th and the 99.9th percentile, which shows 12 bits in a file of 16, heat, heights and reflectance.

Values outside of the ends are cut off there. A file whose values are all one takes the range of its type. Pixels
without a value (NaN, infinite, GDAL's "no data") do not count, and are white, as transparent ones are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paceline.config.schema import PictureSpec
from paceline.data.images import TIFF_STARTS, WIDE_MODES, BadImage, check_shape, on_white, opened

if TYPE_CHECKING:
    from PIL import Image

AUTO_PERCENTILES = (0.1, 99.9)
PERCENTILES = (2.0, 98.0)
FILLED = 0.5  # share of the type's range that values fill which `auto` leaves as they are
EIGHT_BITS = (0, 255)
ONE_COLOUR = 4  # of 255: the most that the colours of a picture of nearly one colour differ by
SIDE = 32  # pixels: the size at which colours are compared

NO_TIFF = "TIFF of several bands or numbers needs the package tifffile: pip install 'paceline[tiff]'"
NO_CODEC = "TIFF is compressed in a way that needs the package imagecodecs: pip install imagecodecs"
CHOOSE = "TIFF of several bands, of which none is said to be a colour; choose with task.pictures.bands"

# Tags of TIFF 6.0; GDAL's is registered as private.
SUBFILE, BITS, PHOTOMETRIC, ORIENTATION, EXTRA_SAMPLES, SAMPLE_FORMAT, NO_DATA = 254, 258, 262, 274, 338, 339, 42113
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
ALPHA = (1, 2)  # of extra samples


@dataclasses.dataclass(frozen=True)
class Shown:
    """What of a file is shown.

    Attributes:
        image: RGB.
        made: whether it is another picture than a decoder of the file gives, and has to be kept as a file.
        ends: the values that became black and white; empty where nothing was scaled.
        rule: which rule they follow.
        bands: the bands shown, from 1; empty where the file has no others.
        of_bands: how many it has.
        format: as Pillow names it, where more frames or pages follow; else empty.
    """

    image: Image.Image
    made: bool = False
    ends: tuple[float, ...] = ()
    rule: str = ""
    bands: tuple[int, ...] = ()
    of_bands: int = 0
    format: str = ""

    def one_colour(self) -> bool:
        """Whether it is of nearly one colour."""
        from PIL import Image

        small = self.image.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=2.0)
        extrema: Any = small.getextrema()
        return all(high - low <= ONE_COLOUR for low, high in extrema)


@dataclasses.dataclass(frozen=True)
class Raster:
    """The values of a file.

    Attributes:
        values: height × width × bands.
        range: least and most value of their type; of floats 0 and 1.
        colour: the bands that are shown where none are chosen, from 0.
        alpha: opacity from 0 to 255, height × width; None where all is opaque.
        no_data: the value that stands for none.
        inverted: whether the least value is white.
        orientation: as EXIF says it.
    """

    values: np.ndarray
    range: tuple[float, float]
    colour: tuple[int, ...]
    alpha: np.ndarray | None = None
    no_data: float | None = None
    inverted: bool = False
    orientation: int = 1


def shown(path: Path, rule: PictureSpec) -> Shown:
    """A picture of the user's as it is shown: the same for the same file and rule.

    Raises:
        BadImage: it can't be used.
    """
    is_tiff = _is_tiff(path)
    if is_tiff and (rule.bands or not _pillow_reads(path)):
        return _scaled(_tiff(path), rule, _pages(path))
    with opened(path) as image:
        check_shape(image.size)
        more = _pages(path) if is_tiff else (image.format or "") if getattr(image, "is_animated", False) else ""
        raster = _wide(path, image)
        if raster is None:
            return Shown(on_white(image), format=more)
    return _scaled(raster, dataclasses.replace(rule, bands=[]), more)


# Values on 0 to 255


def _scaled(raster: Raster, rule: PictureSpec, more: str) -> Shown:
    """A raster's chosen bands as a picture."""
    from PIL import Image

    count = raster.values.shape[2]
    bands = [band - 1 for band in rule.bands] or list(raster.colour)
    if not bands:
        raise BadImage(CHOOSE)
    if max(bands) >= count:
        raise BadImage("TIFF lacks a band of task.pictures.bands")
    values = raster.values[:, :, bands]
    there = np.isfinite(values).all(axis=2)
    if raster.no_data is not None:
        there &= (values != raster.no_data).any(axis=2)
    if raster.alpha is not None:
        there &= raster.alpha > 0
    name, (low, high) = _ends(values[there], raster.range, rule)
    with np.errstate(invalid="ignore", over="ignore"):
        eight_bits = _eight_bits(values, low, high)
    if raster.inverted:
        eight_bits = 255 - eight_bits
    layers = [eight_bits[:, :, band] for band in (range(3) if len(bands) == 3 else (0, 0, 0))]
    if raster.alpha is not None or not there.all():
        layers.append(np.where(there, 255 if raster.alpha is None else raster.alpha, 0).astype(np.uint8))
    picture = Image.fromarray(np.stack(layers, axis=2))
    if raster.orientation != 1:
        picture.getexif()[ORIENTATION] = raster.orientation
    chosen = tuple(band + 1 for band in bands) if rule.bands or count > len(bands) else ()
    ends = () if raster.range == EIGHT_BITS else (float(low), float(high))
    return Shown(on_white(picture), True, ends, name if ends else "", chosen, count if chosen else 0, more)


def _ends(values: np.ndarray, of_type: tuple[float, float], rule: PictureSpec) -> tuple[str, tuple[float, float]]:
    """The values that become 0 and 255, and the rule that they follow."""
    if not values.size or of_type == EIGHT_BITS:
        return "type", of_type  # 8 bits stay as they are, whatever the rule
    if rule.scale == "range":
        return "range", (rule.limits[0], rule.limits[1])
    if rule.scale == "type":
        return "type", of_type
    if rule.scale == "data":
        name, (low, high) = "data", (values.min(), values.max())
    elif rule.scale == "percentiles":
        name, (low, high) = "percentiles", _percentiles(values, rule.limits or PERCENTILES)
    else:
        name, (low, high) = "percentiles", _percentiles(values, AUTO_PERCENTILES)
        if of_type[0] <= values.min() and values.max() <= of_type[1]:
            span = float(high) - float(low)
            if span >= FILLED * (of_type[1] - of_type[0]):
                return "type", of_type
    if low == high:
        name, (low, high) = "data", (values.min(), values.max())
    return (name, (float(low), float(high))) if low < high else ("type", of_type)


def _percentiles(values: np.ndarray, at: Sequence[float]) -> tuple[Any, Any]:
    """Two values of the file: the percentiles, each the nearer one outwards."""
    last = values.size - 1
    low, high = math.floor(at[0] / 100 * last), math.ceil(at[1] / 100 * last)
    ordered = np.partition(values, (low, high), axis=None)
    return ordered[low], ordered[high]


def _eight_bits(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values as whole numbers from 0 to 255; row by row, so that doubles of all of them need no room."""
    if values.dtype == np.uint8 and (low, high) == EIGHT_BITS:
        return values
    if values.dtype == np.uint16:
        return _on_scale(np.arange(2**16), low, high)[values]
    out = np.empty(values.shape, np.uint8)
    for at, row in enumerate(values):
        out[at] = _on_scale(row, low, high)
    return out


def _on_scale(values: np.ndarray, low: float, high: float) -> np.ndarray:
    share = (values.astype(np.float64) - low) / (high - low)
    return np.rint(np.clip(np.nan_to_num(share, posinf=1, neginf=0), 0, 1) * 255).astype(np.uint8)


# Files that Pillow reads


def _wide(path: Path, image: Image.Image) -> Raster | None:
    """The values of an opened image where they have more than 8 bits; None where they have not."""
    if image.mode in WIDE_MODES:
        tags = dict(getattr(image, "tag_v2", {}))
        clear = image.info.get("transparency")
        of_type = _range_of(image.mode, tags, image.format)
        values = np.asarray(image)[:, :, None]  # decoded; Pillow turns a TIFF by its orientation meanwhile
        no_data = clear if isinstance(clear, int) else _no_data(tags.get(NO_DATA))
        return Raster(
            values.astype(values.dtype.newbyteorder("=")),
            of_type,
            (0,),
            no_data=no_data,
            inverted=tags.get(PHOTOMETRIC) == WHITE_IS_ZERO,
            orientation=image.getexif().get(ORIENTATION, 1),
        )
    raw = _raw_mode(image)
    if not raw:
        return None
    values = _two_bytes(path, image, raw)
    tags = dict(getattr(image, "tag_v2", {}))
    clear, no_data = image.info.get("transparency"), _no_data(tags.get(NO_DATA))
    alpha = None
    if values.shape[2] in (2, 4):
        alpha, values = (values[:, :, -1] >> 8).astype(np.uint8), values[:, :, :-1]
    elif isinstance(clear, tuple):
        alpha = np.where((values == np.array(clear)).all(axis=2), 0, 255).astype(np.uint8)
    colour = tuple(range(values.shape[2]))
    orientation = image.getexif().get(ORIENTATION, 1)
    return Raster(values, (0, 65535), colour, alpha, no_data, orientation=orientation)


def _range_of(mode: str, tags: dict[int, Any], form: str | None) -> tuple[float, float]:
    """The range of the type of a file with one value a pixel."""
    if mode == "F":
        return 0, 1
    if form != "TIFF":
        return 0, 65535  # PNG, PGM, JPEG 2000
    bits, signed = int(tags.get(BITS, (16,))[0]), tags.get(SAMPLE_FORMAT, (1,))[0] == 2
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _raw_mode(image: Any) -> str:
    """How the decoder is told to read channels of 16 bits, of which Pillow keeps the upper byte; empty for others."""
    tile = image.tile[0] if getattr(image, "tile", None) else None
    args = tile.args if tile else ""
    raw = args if isinstance(args, str) else str(args[0]) if args else ""
    return raw if raw[:-1] in ("RGB;16", "RGBA;16", "LA;16") else ""


def _two_bytes(path: Path, image: Any, raw: str) -> np.ndarray:
    """Channels of 16 bits, height × width × channels: upper bytes as Pillow reads them, lower ones in a second pass.

    Read in the other order of bytes, the "upper" byte is the lower one.
    """
    if raw == "LA;16B":  # four bytes a pixel, as RGBA has; Pillow has no name for the other order
        four = _decoded_as(path, "RGBA")
        return four[:, :, 0::2] << 8 | four[:, :, 1::2]
    upper = np.asarray(image).astype(np.uint16)
    return upper << 8 | _decoded_as(path, raw[:-1] + ("L" if raw.endswith("B") else "B"))


def _decoded_as(path: Path, raw: str) -> np.ndarray:
    """A file's bytes as the decoder gives them when it is told that they lie otherwise."""
    with opened(path) as image:
        again: Any = image
        again.tile = [
            tile._replace(args=raw if isinstance(tile.args, str) else (raw, *tile.args[1:])) for tile in again.tile
        ]
        return np.asarray(again).astype(np.uint16)


# TIFF


def _is_tiff(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError), path.open("rb") as stream:
        return stream.read(4) in TIFF_STARTS
    return False


def _pillow_reads(path: Path) -> bool:
    """Whether Pillow gives the values of a TIFF as they are, or its 8 bits."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                tags = image.tag_v2  # type: ignore[attr-defined]
                bits = tags.get(BITS, (1,))
                signed = tags.get(SAMPLE_FORMAT, (1,))[0] == 2
                # Pillow's whole numbers of 32 bits have a sign, and those of 8 have none.
                beyond = image.mode == "I" and bits[0] > 31 and not signed
                eight = max(bits) <= 8 and not signed
                return eight or (image.mode in WIDE_MODES and not beyond) or bool(_raw_mode(image))
    except Image.DecompressionBombError:
        return True  # told when it is opened
    except Exception:  # Pillow knows no such TIFF, or the file is damaged
        return False


def _pages(path: Path) -> str:
    """``TIFF`` where more pages follow the first, smaller copies of it and masks aside; else empty."""
    from PIL import Image

    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as image:
            for page in range(1, getattr(image, "n_frames", 1)):
                image.seek(page)
                if not int(image.tag_v2.get(SUBFILE, 0)) & 0b101:  # type: ignore[attr-defined]
                    return "TIFF"
    return ""


def _tiff(path: Path) -> Raster:
    """The first page of a TIFF, by the package tifffile.

    Raises:
        BadImage: the package is not installed, or the file is of no kind that can be shown.
    """
    try:
        import tifffile
    except ImportError:
        raise BadImage(NO_TIFF) from None
    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            check_shape((page.imagewidth, page.imagelength))
            tags = {tag.code: tag.value for tag in page.tags}
            values = page.asarray()
            separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
            count = page.samplesperpixel
    except BadImage:
        raise
    except Exception as error:  # a damaged file makes the decoder raise nearly anything
        if isinstance(error, ModuleNotFoundError) or "imagecodecs" in str(error):
            raise BadImage(NO_CODEC) from error
        raise BadImage("broken image") from error
    if values.dtype.kind not in "uif" or values.ndim != (2 if count == 1 else 3):
        raise BadImage("TIFF of values that are no picture")
    values = values[:, :, None] if count == 1 else np.moveaxis(values, 0, 2) if separate else values
    photometric = int(tags.get(PHOTOMETRIC, BLACK_IS_ZERO))
    if photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        raise BadImage("TIFF of colours that are neither grey nor RGB")
    whole = values.dtype.kind in "ui"
    bits = max(tags[BITS]) if isinstance(tags.get(BITS), tuple) else int(tags.get(BITS, 8 * values.dtype.itemsize))
    of_type = (0.0, 1.0)
    if whole:
        signed = values.dtype.kind == "i"
        of_type = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
    extra = tags.get(EXTRA_SAMPLES) or ()
    extra = tuple(int(e) for e in (extra if isinstance(extra, tuple) else (extra,)))
    return Raster(
        values,
        of_type,
        _colours(count, extra, photometric),
        _opacity(values, extra, of_type),
        _no_data(tags.get(NO_DATA)),
        photometric == WHITE_IS_ZERO,
        int(tags.get(ORIENTATION, 1)),
    )


def _colours(count: int, extra: Sequence[int], photometric: int) -> tuple[int, ...]:
    """The bands that a TIFF says to be its colours, or that can be no others; empty where it does not tell."""
    if photometric == RGB and count >= 3:
        return 0, 1, 2
    opaque = count - sum(e in ALPHA for e in extra)
    return {1: (0,), 3: (0, 1, 2)}.get(opaque, ())


def _opacity(values: np.ndarray, extra: Sequence[int], of_type: tuple[float, float]) -> np.ndarray | None:
    """The opacity that a TIFF says one of its bands to be."""
    at = next((n for n, e in enumerate(extra) if e in ALPHA), None)
    if at is None:
        return None
    band = values[:, :, values.shape[2] - len(extra) + at]
    return _eight_bits(band, *of_type)


def _no_data(text: Any) -> float | None:
    """The value that GDAL says to stand for none; NaN is none anyway."""
    try:
        return float(str(text).strip("\0 "))
    except ValueError:
        return None
