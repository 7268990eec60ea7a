"""Torchvision's Python side without its C library."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch


def define_missing_operators() -> None:
    """Let the image processors import where torchvision's C library can't be loaded beside a CPU build of
    torch.

    There is no CPU build of torchvision. Its Python side, which resizes and crops, works without the library
    but for one thing: on import it registers shapes for two detection operators, which must exist. Nothing
    here calls them.
    """
    with contextlib.suppress(ImportError):  # loading the library, where it can be, defines the operators
        import importlib.util

        spec = importlib.util.find_spec("torchvision")
        for library in Path(spec.origin).parent.glob("_C*.so") if spec and spec.origin else ():
            with contextlib.suppress(OSError):
                torch.ops.load_library(str(library))
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


define_missing_operators()
