"""How far stated confidence is from the share that was right."""

from __future__ import annotations

import numpy as np

from paceline import stats
from paceline.tasks.panels import Bin

BINS = 10


def calibration_error(stated: np.ndarray, hits: np.ndarray) -> tuple[float, tuple[Bin, ...]]:
    """The expected calibration error over ten bins of equal width, and the bins.

    The mean over answers of |share right − mean confidence| of their bin (Naeini, Cooper and Hauskrecht 2015, AAAI;
    Guo et al. 2017, arXiv:1706.04599). Few answers make it too large (Kumar, Liang and Ma 2019, arXiv:1909.10155).

    Args:
        stated: confidences from 0 to 1, shape (n,), n at least 1.
        hits: whether each was right, shape (n,).
    """
    at = np.minimum((stated * BINS + 1e-9).astype(int), BINS - 1)
    bins = []
    for k in np.unique(at):
        in_bin = at == k
        right = stats.wilson_interval(int(hits[in_bin].sum()), int(in_bin.sum()))
        bins.append(Bin(k / BINS, (k + 1) / BINS, float(stated[in_bin].mean()), right))
    error = sum(b.right.n * abs((b.right.value or 0.0) - b.confidence) for b in bins) / len(stated)
    return float(error), tuple(bins)
