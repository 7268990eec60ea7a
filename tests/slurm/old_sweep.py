"""The archived sweep of an earlier version that later ones must go on to resume; make_old_sweep.py wrote it.

It holds two folders. ``root`` is a storage root with the sweep ``s``, its frozen code and its prepared data: one
evaluate cell is done, the next one of the same element was killed between two batches, a tuning was cancelled after a
checkpoint, and the evaluate cell that needs it was never begun. ``undisturbed`` holds the results of the same cells
after a run on the same machine that was not interrupted, and ``arithmetic``, the digest of :func:`arithmetic` there.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import torch

ARCHIVE = Path(__file__).with_name("old_sweep.tar.xz")
# The root it was made under. Pickles keep it; in the texts it stands for the root that the archive is unpacked to.
ROOT = "/tmp/paceline-old-sweep/root"
BINARY = (".pkl", ".pt", ".pth", ".safetensors", ".jpg")
# Results whose bytes are compared. Of an adapter's settings PEFT writes a set, in an order that differs at each run.
COMPARED = ("predictions.jsonl", "metrics.json", ".safetensors")
# Libraries whose other version may give other bytes.
LIBRARIES = ("torch", "transformers", "peft", "numpy", "scipy")


def unpack(folder: Path) -> Path:
    """Unpack the archive as if the sweep had been submitted in this folder; its storage root, ``folder/root``."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="tar")
    root = folder / "root"
    replace_words(root, {ROOT: str(root)})
    return root


def replace_words(root: Path, words: Mapping[str, str]) -> None:
    """Replace words in the texts of a root, the frozen code excepted.

    Modification times stay: a process on another host counts as gone because its heartbeat is old.
    """
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix not in BINARY and path.relative_to(root).parts[0] != "code":
            before = after = path.read_text()
            for old, new in words.items():
                after = after.replace(old, new)
            if after != before:
                times = path.stat()
                path.write_text(after)
                os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def arithmetic() -> str:
    """A digest of the library versions, and of floating-point sums as a tuning makes them.

    Processors differ in the last bits. Only where this is the archive's digest must a resume give the archived bytes.
    """
    total = hashlib.sha256(repr([metadata.version(name) for name in LIBRARIES]).encode())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(0)
        block = torch.nn.TransformerEncoderLayer(128, 4, 640, dropout=0.0, activation="gelu", batch_first=True)
        layers = torch.nn.Sequential(torch.nn.Linear(96, 128), block, torch.nn.Linear(128, 96))
        optimiser = torch.optim.AdamW(layers.parameters(), lr=1e-2)
        batch = torch.randn(4, 20, 96)
        for _ in range(20):
            optimiser.zero_grad()
            torch.nn.functional.mse_loss(layers(batch), batch.flip(1)).backward()
            optimiser.step()
    finally:
        torch.set_num_threads(threads)
    for weights in layers.parameters():
        total.update(weights.detach().numpy().tobytes())
    return total.hexdigest()
