"""Sequential confirm stages with a known truth, many studies at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from raysweep.analysis.examples import TUNED
from scipy import stats

from raysweep.analysis import forcing_effects, load_trials
from raysweep_analysis.inference import holm, look_levels, over_looks, paired_t, tost

Floats = NDArray[np.float64]
ALPHA = 0.05
MARGIN = 0.005
OUTCOME = "performance_fused_population"


@dataclass(frozen=True)
class Truth:
    """The cells of a study, a row for each criterion.

    Attributes:
        effects, spreads: [rows] of a unit's difference.
        cell: [rows] which cell a row is of.
        strength: [rows] rows of a cell with the same number have the same arms.
    """

    effects: Floats
    spreads: Floats
    cell: NDArray[np.int64]
    strength: NDArray[np.int64]

    @property
    def fixed_trials(self) -> int:
        """Trials of a unit of all cells, with a placebo for every strength."""
        arms = len({*zip(self.cell.tolist(), self.strength.tolist(), strict=True)})
        return len(np.unique(self.cell)) + 2 * arms


def found_by_forcing(criteria: Sequence[str]) -> Truth:
    """What the bundled table of `forcing` has found, taken for the truth."""
    effects = forcing_effects(load_trials(TUNED), OUTCOME)
    rows = effects[effects["chosen_by"].isin(list(criteria))]
    return Truth(
        rows["effect"].to_numpy(float),
        rows["sd"].to_numpy(float),
        pd.factorize(rows["cell"])[0],
        # Two criteria that found one effect have chosen one strength.
        pd.factorize(rows["effect"].round(12))[0],
    )


def all_alike(rows: int, effect: float, spread: float = 0.01) -> Truth:
    """Cells of one effect."""
    cells = np.arange(rows)
    return Truth(np.full(rows, effect), np.full(rows, spread), cells, cells)


@dataclass(frozen=True)
class Stopped:
    """What studies came to.

    Attributes:
        differs, equal: [studies, rows] found to help or hurt, to be equivalent.
        units: [studies, rows] that a row was followed for.
        mean, low, high: [studies, rows] the effect shown, with its interval.
        trials: of a study, on average.
    """

    differs: NDArray[np.bool_]
    equal: NDArray[np.bool_]
    units: NDArray[np.int64]
    mean: Floats
    low: Floats
    high: Floats
    trials: float


def units_of(truth: Truth, most: int, studies: int, rng: np.random.Generator) -> Floats:
    """Normal differences [studies, rows, most]."""
    normal = rng.standard_normal((studies, len(truth.effects), most))
    return truth.effects[:, None] + truth.spreads[:, None] * normal


def fixed(units: Floats, truth: Truth) -> Stopped:
    """All units in one test, Holm over the rows of a study."""
    test = paired_t(units, ALPHA)
    differs = np.array([holm(p) for p in test.p_value]) < ALPHA
    equal = ~differs & (tost(units, MARGIN) < ALPHA)
    n = units.shape[-1]
    trials = float(truth.fixed_trials * n)
    followed = np.full(differs.shape, n)
    return Stopped(differs, equal, followed, test.mean, test.ci_low, test.ci_high, trials)


def weighted(p: Floats, looks: Sequence[int], look: int) -> Floats:
    """Bonferroni's bound, each look with its share of the units: holds for any tests at all."""
    return np.minimum(p * looks[-1] / (looks[look] - (looks[look - 1] if look else 0)), 1.0)


def always_valid(p: Floats, looks: Sequence[int], look: int, scale: float = 1.0) -> Floats:
    """One over the Bayes factor of a t statistic, one-sided, its effect normal of such a scale.

    Under a flat prior of log sd that is a martingale (Lai, 1976), so it holds at any time.
    """
    n = looks[look]
    t2, more = np.minimum(stats.t.isf(p, n - 1) ** 2, 1e12), 1 + n * scale**2
    factor = ((1 + t2 / (n - 1)) / (1 + t2 / (n - 1) / more)) ** (n / 2) / np.sqrt(more)
    return np.where(p < 0.5, np.minimum(0.5 / factor, 1.0), 1.0)


OverLooks = Callable[[Floats, Sequence[int], int], Floats]


def sequential(
    units: Floats, truth: Truth, looks: Sequence[int], over: OverLooks = over_looks
) -> Stopped:
    """Rows stop as `raysweep_analysis.stopping` has them stop by Student's t.

    ``over`` makes p-values of a look those of all looks so far.
    """
    shape = units.shape[:2]
    still = np.ones(shape, dtype=bool)
    p, followed = np.ones(shape), np.zeros(shape, dtype=int)
    equal = np.zeros(shape, dtype=bool)
    mean, low, high = (np.zeros(shape) for _ in range(3))
    for k, n in enumerate(looks):
        seen = units[..., :n]
        test = paired_t(seen, 2 * look_levels(looks, ALPHA / 2)[k])
        at = 2 * over(test.p_value / 2, looks, k)
        inside = over(tost(seen, MARGIN), looks, k) < ALPHA
        p, equal = np.where(still, at, p), np.where(still, inside, equal)
        followed = np.where(still, n, followed)
        mean, low, high = (
            np.where(still, new, old)
            for new, old in ((test.mean, mean), (test.ci_low, low), (test.ci_high, high))
        )
        still &= ~((at * shape[1] < ALPHA) | inside)
    differs = np.array([holm(of_study) for of_study in p]) < ALPHA
    trials = _trials(truth, followed, differs)
    return Stopped(differs, equal & ~differs, followed, mean, low, high, trials)


def _trials(truth: Truth, followed: NDArray[np.int64], differs: NDArray[np.bool_]) -> float:
    """None as long as any row of a cell is open, forced as long as its own, then its placebos."""
    total = 0.0
    for cell in np.unique(truth.cell):
        of_cell = truth.cell == cell
        total += followed[:, of_cell].max(axis=1).mean()
        for strength in np.unique(truth.strength[of_cell]):
            rows = of_cell & (truth.strength == strength)
            total += followed[:, rows].max(axis=1).mean()
            total += (followed * differs)[:, rows].max(axis=1).mean()
    return total


def told(units: Floats, looks: Sequence[int], followed: NDArray[np.int64]) -> pd.DataFrame:
    """`forcing_effects` of the units that rows were followed for, each row a cell."""
    study, cell, draw = (axis.ravel() for axis in np.indices(units.shape))
    there = draw < followed[study, cell]
    base = 0.7 + 0.02 * np.random.default_rng(0).standard_normal(units.size)
    place = {
        "study": np.char.add("s", study[there].astype(str)),
        "cell": np.char.add("c", cell[there].astype(str)),
        "draw": draw[there],
        "seed": 1000,
        "stage": "confirm",
        "status": "ok",
        "data": "simulated",
    }
    arms = [
        pd.DataFrame(
            {**place, "arm": arm, "strength": strength, "chosen_by": by, OUTCOME: values[there]}
        )
        for arm, strength, by, values in (
            ("none", 0.0, "", base),
            ("forced", 1.0, "best", base + units.ravel()),
        )
    ]
    table = pd.concat(arms, ignore_index=True)
    table.insert(0, "key", [f"k{i}" for i in range(len(table))])
    return forcing_effects(table, OUTCOME, ALPHA, MARGIN, looks=looks)
