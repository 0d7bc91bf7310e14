"""Whether a cell of a sequential study is decided, from its own runs alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from raysweep_analysis.inference import paired_t, tost
from raysweep_analysis.judgement import judged
from raysweep_analysis.looks import Looks
from raysweep_analysis.pairs import GROUP
from raysweep_analysis.resplits import shared_among


@dataclass(frozen=True)
class PairedRun:
    """What a test sees of two arms in one place.

    Attributes:
        draw, seed: the place.
        forced, none: the outcome of the arms; None where a run has none, or forced nothing.
        forced_status, none_status: how they ended.
        tested: the share of the rows that draws test in turn; None where these are datasets.
    """

    draw: int
    seed: int
    forced: float | None
    none: float | None
    forced_status: str
    none_status: str
    tested: float | None = None


@dataclass(frozen=True)
class Rule:
    """When a cell stops.

    Attributes:
        performance: the outcome.
        alpha: error rate of the study.
        margin: of equivalence, in the outcome's unit.
        looks: units at each look.
        tests: cells and criteria of the study.
    """

    performance: str
    alpha: float
    margin: float
    looks: tuple[int, ...]
    tests: int


@dataclass(frozen=True)
class Standing:
    """What a look says.

    Attributes:
        verdict: as of `raysweep_analysis.forcing_effects`, at the level of Holm's first step.
        p_value: the smaller one of Student's t, of a difference, adjusted, and of equivalence:
            how near the cell is to a verdict.
    """

    verdict: str
    p_value: float


@lru_cache(maxsize=20_000)
def standing(runs: Sequence[PairedRun], rule: Rule) -> Standing:
    """Judge a cell at its look, as `raysweep_analysis.forcing_effects` would if it were alone.

    It does not hang on other cells: at the level of Holm's first step a difference holds whatever
    they show. What the whole study may still say is that its units are lopsided.

    Args:
        runs: of all units that are there, as a tuple.
        rule: of the study.

    Example:
        >>> rule = Rule("performance_fused_test", 0.05, 0.005, (4, 8), tests=10)
        >>> gains = (0.001, -0.001, 0.0, 0.001)
        >>> runs = [PairedRun(k, 0, 0.7 + d, 0.7, "ok", "ok") for k, d in enumerate(gains)]
        >>> standing(tuple(runs), rule).verdict
        'equivalent'
    """
    p_adjusted, p_equivalence = _by_student(runs, rule)
    nearest = min(p_adjusted, p_equivalence)
    if not nearest < rule.alpha:  # all else that a verdict goes by takes it away
        return Standing("inconclusive", nearest)
    pairs = pd.DataFrame(
        {
            **dict.fromkeys(GROUP, ""),
            "draw": [run.draw for run in runs],
            "seed": [run.seed for run in runs],
            "y": [_number(run.forced) for run in runs],
            "y_reference": [_number(run.none) for run in runs],
            "status": [run.forced_status for run in runs],
            "status_reference": [run.none_status for run in runs],
            "tested": [_number(run.tested) for run in runs],
        }
    )
    pairs["d"] = pairs["y"] - pairs["y_reference"]
    group = pd.DataFrame({name: [""] for name in GROUP})
    found = judged(
        *(pairs, group, rule.alpha, rule.margin, "auto", rule.performance),
        looks=rule.looks,
        tests=rule.tests,
    )
    return Standing(str(found["verdict"].iloc[0]), nearest)


def _by_student(runs: Sequence[PairedRun], rule: Rule) -> tuple[float, float]:
    """P-values of Student's t over all looks, of a difference (adjusted) and of equivalence."""
    of_units: dict[int, list[float]] = {}
    by_draw = len({run.draw for run in runs}) > 1
    for run in runs:
        if run.forced is not None and run.none is not None:
            unit = run.draw if by_draw else run.seed
            of_units.setdefault(unit, []).append(run.forced - run.none)
    if len(of_units) < 2:
        return 1.0, 1.0
    d = np.array([[np.mean(values) for values in of_units.values()]])
    tested = [run.tested for run in runs if run.tested is not None]
    shared = shared_among(of_units, float(np.mean(tested))) if tested and by_draw else 0.0
    looked = len({run.draw if by_draw else run.seed for run in runs})
    looks = Looks(rule.looks, np.array([np.searchsorted(rule.looks, looked, side="right") - 1]))
    p = looks.two_sided(paired_t(d, shared=shared).p_value) * rule.tests
    equal = looks.one_sided(tost(d, rule.margin, shared))
    return float(p[0]), float(equal[0])


def _number(value: float | None) -> float:
    return math.nan if value is None else value
