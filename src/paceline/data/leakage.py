"""Samples that stand on both sides of a split, by their images, their texts, or what ties them together.

Images: the same bytes, the same pixels, or much the same picture.

Looks are compared by a perceptual hash: the signs of the 64 lowest frequencies of a grey thumbnail against their
median (pHash; Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010). It survives scaling,
compression, brightness and a slight crop. Flat images share low frequencies by chance, so a pair also has to agree
pixel by pixel of its thumbnails. It does not detect two views of one place, a picture turned by a few degrees, or a
part of a picture: of 95 % of its sides every second is found.

A mirrored or turned copy has other low frequencies: it is found by hashing the test image in its seven other positions.
More positions fit by chance, so the thumbnails have to agree better.

Every test image meets every training image in eight positions, 64 bits at a time: 4,500 against 10,500 take three
seconds on one core, and it grows with the product of both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from paceline.store.files import digest

if TYPE_CHECKING:
    from PIL import Image

SIDE = 32  # of a thumbnail, in pixels
MOST_BITS = 10
LEAST_CORRELATION = 0.85
TURNED_CORRELATION = 0.97
KINDS = ("bytes", "pixels", "looks")
MOST_NAMES = 20  # groups named in a manifest

_LOWEST = 8  # frequencies in each direction
_BLOCK = 1 << 22  # pairs compared at once: 36 MB of hashes and counts

Kind = Literal["bytes", "pixels", "looks", "turned", "text", "words"]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Twin:
    """A test image and the training image most like it; or a sample without images and its equal in training."""

    split: str
    sample: str
    image: str
    kind: Kind
    """``bytes``: the same file; ``pixels``: another file of the same picture; ``looks``: much the same picture;
    ``turned``: that, mirrored or turned by quarter turns; ``text``: the same text, in samples that show no image;
    ``words``: a text in nearly the same words (:mod:`paceline.data.text_leakage`)."""
    train: str
    """The training sample."""
    train_image: str
    bits: int
    """Of the 64 of the perceptual hash, how many differ."""
    correlation: float
    """Of the thumbnails' pixels, from −1 to 1; of texts how far they agree, from 0 to 1."""


def thumbnail(image: Image.Image) -> bytes:
    """An RGB image as 32 × 32 grey pixels, each about the mean of what it covers; a millisecond for a megapixel."""
    from PIL import Image

    return image.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=2.0).convert("L").tobytes()


def twins(
    records: Sequence[Mapping[str, Any]],
    thumbnails: Sequence[bytes],
    train: str,
    pixels: Callable[[str], str],
    progress: Callable[[str, int, int], None],
) -> Iterator[Twin]:
    """Test images that are also trained on, in the order of the records.

    Args:
        records: samples with ``id``, ``split``, ``image`` and ``sha256``.
        thumbnails: of each record, by :func:`thumbnail`.
        train: name of the training split; every other split is compared with it.
        pixels: digest of an image's decoded pixels, by ``image``; called only where thumbnails are equal.
        progress: called as ``progress(stage, done, total)``.
    """
    trained = [i for i, r in enumerate(records) if r["split"] == train]
    others = [i for i, r in enumerate(records) if r["split"] != train]
    if not trained or not others:
        return
    grey = np.frombuffer(b"".join(thumbnails), dtype=np.uint8).reshape(-1, SIDE, SIDE)
    hashes = perceptual_hashes(grey)
    files: dict[str, int] = {}
    equal: dict[bytes, list[int]] = {}
    for i in trained:
        files.setdefault(records[i]["sha256"], i)
        equal.setdefault(thumbnails[i], []).append(i)
    places = np.array(trained)
    step = max(1, _BLOCK // len(trained))
    for start in range(0, len(others), step):
        block = others[start : start + step]
        bits = np.bitwise_count(hashes[block][:, None] ^ hashes[trained][None, :])
        found: dict[int, Twin] = {}
        for row, i in zip(bits, block, strict=True):
            near = [trained[j] for j in np.flatnonzero(row <= MOST_BITS)]
            if match := _twin(i, near, records, grey, files, equal.get(thumbnails[i], []), pixels):
                kind, j, correlation = match
                differ = int(np.bitwise_count(hashes[i] ^ hashes[j]))
                found[i] = _made(records[i], records[j], kind, differ, correlation)
        left = [i for i in block if i not in found]
        for i, (j, differ, correlation) in _turned(left, places, grey, hashes).items():
            found[i] = _made(records[i], records[j], "turned", differ, correlation)
        yield from (found[i] for i in block if i in found)
        progress("comparing images", start + len(block), len(others))


def equal_texts(records: Sequence[Mapping[str, Any]], shown: Sequence[str], group: str, train: str) -> Iterator[Twin]:
    """Samples without images whose exact text is trained on too.

    Args:
        records: samples of a task.
        shown: the fields that a prompt may name; where a sample has none of them, all of its fields are compared.
        group: the field that ties samples together, which is not compared.
        train: name of the training split.
    """

    def text_key(record: Mapping[str, Any]) -> str:
        shown_fields = {name: record[name] for name in shown if name in record}
        return digest(shown_fields or {k: v for k, v in record.items() if k not in ("id", "split", group)})

    trained: dict[str, str] = {}
    for record in records:
        if record["split"] == train:
            trained.setdefault(text_key(record), record["id"])
    for record in records:
        if record["split"] != train and (same := trained.get(text_key(record))) is not None:
            yield Twin(record["split"], record["id"], "", "text", same, "", 0, 1.0)


def alike(ones: Sequence[bytes], others: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Every pair of images of much the same look, where :func:`twins` names the likest of each: places in both.

    Args:
        ones: thumbnails, by :func:`thumbnail`.
        others: likewise.
    """
    if not ones or not others:
        return
    grey, grey_others = (np.frombuffer(b"".join(t), dtype=np.uint8).reshape(-1, SIDE, SIDE) for t in (ones, others))
    hashes, hashes_others = perceptual_hashes(grey), perceptual_hashes(grey_others)
    step = max(1, _BLOCK // len(others))
    for start in range(0, len(ones), step):
        bits = np.bitwise_count(hashes[start : start + step][:, None] ^ hashes_others[None, :])
        for row, j in np.argwhere(bits <= MOST_BITS):
            i = start + int(row)
            # Flat images have no correlation.
            if ones[i] == others[j] or _correlation(grey[i], grey_others[j]) >= LEAST_CORRELATION:
                yield i, int(j)


def counts(twins: Sequence[Twin], splits: Sequence[str], images: bool, texts: bool) -> dict[str, dict[str, int]]:
    """Split -> kind of leakage -> how many, for a manifest.

    Args:
        twins: what was found.
        splits: that were compared with the training split.
        images: whether images were; ``texts`` whether samples without one were.
    """
    compared = [*(KINDS if images else ()), *(["text"] if texts else ())]
    found = Counter((twin.split, twin.kind) for twin in twins)
    further: tuple[Kind, ...] = ("turned", "words")  # told where there are some
    return {
        split: {
            **{kind: found[split, kind] for kind in compared},  # type: ignore[index]
            **{kind: found[split, kind] for kind in further if found[split, kind]},
        }
        for split in splits
    }


def shared_groups(records: Sequence[Mapping[str, Any]], field: str) -> dict[str, Any]:
    """Groups of samples that stand in several splits.

    Args:
        records: samples of a task.
        field: the field that ties samples together.

    Returns:
        ``{field, count, shared, named}``: how many groups there are, ``train, test`` -> how many of them stand in both
        splits, and the names of some. Empty where no sample has the field.
    """
    splits: dict[str, dict[str, None]] = {}
    for record in records:
        if record.get(field) not in (None, ""):
            splits.setdefault(str(record[field]), {})[record["split"]] = None
    several = {name: ", ".join(sorted(where)) for name, where in splits.items() if len(where) > 1}
    if not splits:
        return {}
    shared = dict(sorted(Counter(several.values()).items()))
    return {"field": field, "count": len(splits), "shared": shared, "named": list(several)[:MOST_NAMES]}


def perceptual_hashes(grey: npt.NDArray[np.uint8]) -> Hashes:
    """64 bits a thumbnail: which of its lowest frequencies lie above their median.

    Args:
        grey: thumbnails (n, 32, 32).

    Returns:
        Hashes (n,). The constant term, which is the brightness, takes no part in the median.
    """
    at = np.arange(SIDE)
    wave = np.cos(np.pi * (2 * at + 1) * np.arange(_LOWEST)[:, None] / (2 * SIDE)).astype(np.float32)
    blocks = [np.zeros(0, dtype=np.uint64)]
    for start in range(0, len(grey), 4096):
        cosines = (wave @ grey[start : start + 4096].astype(np.float32) @ wave.T).reshape(-1, _LOWEST**2)
        above = cosines > np.median(cosines[:, 1:], axis=1, keepdims=True)
        blocks.append(np.packbits(above, axis=1).view(np.uint64).ravel())
    return np.concatenate(blocks)


def _twin(
    i: int,
    near: Sequence[int],
    records: Sequence[Mapping[str, Any]],
    grey: npt.NDArray[np.uint8],
    files: Mapping[str, int],
    equal: Sequence[int],
    pixels: Callable[[str], str],
) -> tuple[Kind, int, float] | None:
    """The training image that an image equals, or is most like."""
    if (same := files.get(records[i]["sha256"])) is not None:
        return "bytes", same, 1.0
    if equal:
        pixel_digest = pixels(records[i]["image"])
        if (match := next((j for j in equal if pixels(records[j]["image"]) == pixel_digest), None)) is not None:
            return "pixels", match, 1.0
    agreed = [(_correlation(grey[i], grey[j]), -j) for j in near]
    best = max(agreed, default=(0.0, 0))
    return ("looks", -best[1], best[0]) if best[0] >= LEAST_CORRELATION else None


def _turned(
    others: Sequence[int], trained: npt.NDArray[np.int64], grey: npt.NDArray[np.uint8], hashes: Hashes
) -> dict[int, tuple[int, int, float]]:
    """The training image that an image is most like once it is mirrored or turned: its place, bits, correlation."""
    best: dict[int, tuple[int, int, float]] = {}
    if not others:
        return best
    of_trained = hashes[trained]
    for mirrored, turns in [(m, t) for m in (False, True) for t in range(4)][1:]:
        shown = grey[list(others)][:, :, ::-1] if mirrored else grey[list(others)]
        shown = np.ascontiguousarray(np.rot90(shown, turns, axes=(1, 2)))
        bits = np.bitwise_count(perceptual_hashes(shown)[:, None] ^ of_trained[None, :])
        for row, column in np.argwhere(bits <= MOST_BITS):
            i, j = others[row], int(trained[column])
            correlation = _correlation(shown[row], grey[j])
            if correlation >= TURNED_CORRELATION and correlation > best.get(i, (0, 0, 0.0))[2]:
                best[i] = (j, int(bits[row, column]), correlation)
    return best


def _correlation(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Pearson's correlation of two thumbnails' pixels; 0 where one is flat."""
    x, y = (v.astype(np.float64).ravel() - v.mean() for v in (a, b))
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size else 0.0


def _made(record: Mapping[str, Any], other: Mapping[str, Any], kind: Kind, bits: int, correlation: float) -> Twin:
    return Twin(
        split=record["split"],
        sample=record["id"],
        image=record["image"],
        kind=kind,
        train=other["id"],
        train_image=other["image"],
        bits=bits,
        correlation=round(correlation, 4),
    )
