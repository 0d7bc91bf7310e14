"""Simulated studies of models that share families: `python -m tests.support.simulate_families`."""

import sys

import numpy as np
from scipy import stats

from raysweep_analysis.inference.families import correlation_within, drawn_within, percentiles
from raysweep_analysis.models import Grid, drawn_again

CENTRES = np.array([0.0, 0.6, 1.2])
"""Mean performance of three families."""


def coverage(models: int, studies: int, seed: int = 0, draws: int = 199) -> float:
    """How often a 95 % interval holds the correlation of all models of three families.

    Args:
        models: of a family, in a study.
        studies: how many are simulated.
        seed: of all randomness.
        draws: behind an interval.
    """
    draw = np.random.default_rng(seed)
    truth = float(stats.spearmanr(*_alike(200_000, draw)).statistic)
    families = list(np.repeat(["a", "b", "c"], models))
    held = 0
    for _ in range(studies):
        score, performance = _alike(models, draw)
        grid = Grid(score[:, None], performance, families, ["v"])
        again = drawn_within(families, draws, draw)
        low, high = percentiles(drawn_again(grid, again, np.zeros((draws, 1), np.int64)), 0.05)
        held += low <= truth <= high
    return held / studies


def _alike(models: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Alignment and performance, which go together in every family."""
    performance = np.repeat(CENTRES, models) + draw.normal(size=3 * models)
    return 0.7 * performance + draw.normal(size=3 * models), performance


def false_positives(studies: int, seed: int = 0, permutations: int = 199) -> tuple[float, float]:
    """How often p is 0.05 or less where families alone move alignment and performance.

    Returns:
        Of performance permuted within three families of four models, and over all models.
    """
    draw = np.random.default_rng(seed)
    families, everyone = list("aaaabbbbcccc"), [""] * 12
    found = np.zeros(2)
    for _ in range(studies):
        shared = np.repeat(draw.normal(size=3), 4)
        sides = [shared + draw.normal(size=12) / 2 for _ in range(2)]
        p = [correlation_within(*sides, of, permutations, draw)[1] for of in (families, everyone)]
        found += np.array(p) <= 0.05
    within, over = found / studies
    return float(within), float(over)


if __name__ == "__main__":
    for models in (4, 8, 12):
        sys.stdout.write(f"coverage, {models} models a family: {coverage(models, 2000):.3f}\n")
    within, over = false_positives(2000)
    sys.stdout.write(f"false positives: {within:.3f} within families, {over:.3f} over all models\n")
