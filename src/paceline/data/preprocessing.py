"""Light and contrast of a picture, changed once when data is prepared: what is done to it before any model sees it.

The order is fixed: more than 8 bits are scaled to 8 (:mod:`paceline.data.rasters`), the picture is turned upright and
laid on white, then its illumination is corrected, then its histogram equalised. Resizing and normalising follow in the
model's own image processor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from paceline.config.schema import PictureSpec

if TYPE_CHECKING:
    from PIL import Image

ZENITH = "sun_zenith"
"""Field of a sample: the angle between the sun and straight up, in degrees; a list where its pictures differ."""


class NoZenithError(ValueError):
    """A sample whose illumination can't be corrected; its text is a countable reason."""


def changes(rule: PictureSpec) -> bool:
    """Whether every picture becomes another one by the rule."""
    return rule.equalise != "none" or rule.illumination != "none"


def changed_by(rule: PictureSpec) -> list[str | float]:
    """What of a rule concerns every picture: data that is equal in it shows the same of the same picture."""
    return [rule.illumination, rule.illumination_epsilon, rule.equalise]


def zeniths(fields: Mapping[str, Any], count: int) -> list[float]:
    """The sun's zenith angle of each of a sample's pictures, in degrees.

    Args:
        fields: of the sample; ``sun_zenith`` is a number for all of its pictures, or a list with one for each.
        count: how many pictures it shows.

    Raises:
        NoZenithError: there is none, or no angle of a sun above the horizon.
    """
    stated = fields.get(ZENITH)
    angles = list(stated) if isinstance(stated, list | tuple) else [stated] * count
    if len(angles) != count:
        raise NoZenithError(f"{ZENITH} does not hold an angle for each picture")
    return [_angle(angle) for angle in angles]


def _angle(stated: Any) -> float:
    if stated is None or (isinstance(stated, str) and not stated.strip()):
        raise NoZenithError(f"no {ZENITH}")
    try:
        angle = math.nan if isinstance(stated, bool) else float(stated)
    except (TypeError, ValueError, OverflowError):
        angle = math.nan
    if not math.isfinite(angle):
        raise NoZenithError(f"{ZENITH} is no number")
    if angle < 0:
        raise NoZenithError(f"{ZENITH} is below 0 degrees")
    if angle >= 90:
        raise NoZenithError(f"{ZENITH} is 90 degrees or more: the sun is not above the horizon")
    return angle


def processed(image: Image.Image, rule: PictureSpec, zenith: float | None = None) -> Image.Image:
    """A picture as the rule has it.

    Args:
        image: RGB, 8 bits a channel, upright.
        rule: what is done.
        zenith: of the sun, degrees; needed where the illumination is corrected.
    """
    if rule.illumination == "cosine":
        if zenith is None:
            raise NoZenithError(f"no {ZENITH}")
        image = illuminated(image, zenith, rule.illumination_epsilon)
    return equalised(image, rule.equalise)


def illuminated(image: Image.Image, zenith: float, epsilon: float) -> Image.Image:
    """Every value divided by ``cos(zenith) + epsilon``, rounded, and cut off at 255.

    Args:
        image: RGB.
        zenith: degrees, from 0 to below 90.
        epsilon: above 0.
    """
    divisor = math.cos(math.radians(zenith)) + epsilon
    return image.point([min(round(value / divisor), 255) for value in range(256)] * 3)


def equalised(image: Image.Image, how: str) -> Image.Image:
    """A picture with an even histogram, as ``PIL.ImageOps.equalize`` makes it.

    In that formula the brightest value of a channel is the end of the scale and takes no part in it, so that white
    which stands for "no pixel" changes nothing. A grey picture stays grey either way.

    Args:
        image: RGB.
        how: ``none``, ``luminance`` (Y of YCbCr alone), or ``channels`` (red, green and blue, each by itself).
    """
    from PIL import Image, ImageOps

    if how == "channels":
        return ImageOps.equalize(image)
    if how == "luminance":
        luma, *chroma = image.convert("YCbCr").split()
        return Image.merge("YCbCr", (ImageOps.equalize(luma), *chroma)).convert("RGB")
    return image
