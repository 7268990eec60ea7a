"""How often the interval of Cohen's kappa holds the true value: python benchmarks/kappa_coverage.py

Two markers say yes or no of simulated answers, one or three to a sample; answers to one sample are alike. The true
value is that of 400,000 samples. The report shows no interval below ``kappa.FEWEST_GROUPS`` samples.
"""

from __future__ import annotations

import argparse

import numpy as np

from paceline.report.marking import kappa

WORLDS = ((0.5, 0.85), (0.7, 0.9), (0.85, 0.9))
"""Share of answers for which yes is right, and how often each marker is right."""
EXACT = 400_000


def draw(rng: np.random.Generator, samples: int, answers: int, yes: float, right: float) -> tuple[np.ndarray, ...]:
    """Both markers' words, bool (n,), and the sample of each answer, int (n,)."""
    groups = np.repeat(np.arange(samples), answers)
    truth = rng.random(groups.size) < np.repeat(rng.beta(2 * yes, 2 * (1 - yes), samples), answers)
    a, b = (truth ^ (rng.random(groups.size) >= right) for _ in range(2))
    return a, b, groups


def main() -> None:
    """Print the coverage of each world and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    simulations = parser.parse_args().simulations
    fewest, kappa.FEWEST_GROUPS = kappa.FEWEST_GROUPS, 1
    rng = np.random.default_rng(5)
    print(f"shown from {fewest} samples on; {simulations} simulations each")
    print("yes   right  kappa  answers  samples  covered  without an interval")
    for yes, right in WORLDS:
        true = kappa.cohen_kappa(*draw(rng, EXACT, 1, yes, right)[:2], np.zeros(EXACT, dtype=int)).value
        assert true is not None
        for answers in (1, 3):
            for samples in (20, 50, 100, 300):
                found = [kappa.cohen_kappa(*draw(rng, samples, answers, yes, right)) for _ in range(simulations)]
                shown = [one for one in found if one.low is not None and one.high is not None]
                held = sum(float(one.low or 0) <= true <= float(one.high or 0) for one in shown)
                share = held / max(1, len(shown))
                world = f"{yes:<5} {right:<6} {true:<6.2f} {answers:<8} {samples:<8}"
                print(f"{world} {share:<8.1%} {simulations - len(shown)}", flush=True)


if __name__ == "__main__":
    main()
