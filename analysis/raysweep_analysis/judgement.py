"""The verdict of each cell: Student's t, and what takes its word away."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raysweep_analysis.doubts import Seen, doubts
from raysweep_analysis.inference import (
    OwnUnits,
    detectable_effect,
    hedges_dz,
    holm,
    outlying,
    own_units,
    paired_t,
    sign_flip,
    t_statistic,
    tost,
)
from raysweep_analysis.load import higher_is_better
from raysweep_analysis.looks import Looks, reached
from raysweep_analysis.lost import BOUNDS, with_bounds
from raysweep_analysis.pairs import GROUP, Unit, units
from raysweep_analysis.verdicts import verdicts

Floats = NDArray[np.float64]
Families = tuple[tuple[NDArray[np.int64], OwnUnits | None], ...]
_FEWEST_FLIPPED = 6
"""Units below which no flip of signs reaches .05."""


@dataclass(frozen=True)
class _Tests:
    """P-values [cells] of gains [cells, n] by Student's t and by the units of their family.

    Attributes:
        gains: positive where forcing is better.
        shared: [cells], see `paired_t`.
        families: index of the cells of each family, and its units if they are lopsided.
        margin: of equivalence.
        looks: of the cells.
    """

    gains: Floats
    shared: Floats
    families: Families
    margin: float
    looks: Looks

    @cached_property
    def p_student(self) -> Floats:
        return self.looks.two_sided(paired_t(self.gains, shared=self.shared).p_value)

    @cached_property
    def p_own(self) -> Floats:
        """NaN where the family's units are not lopsided."""
        n = (~np.isnan(self.gains)).sum(axis=1)
        t = t_statistic(self.gains, shared=self.shared)
        found = np.full(len(n), np.nan)
        for at, own in self.families:
            if own is not None:
                found[at] = own.two_sided(t[at], n[at])
        return self.looks.two_sided(found)

    @cached_property
    def p_value(self) -> Floats:
        return np.fmax(self.p_student, np.where(np.isnan(self.p_student), np.nan, self.p_own))

    @cached_property
    def p_equivalence(self) -> Floats:
        n = (~np.isnan(self.gains)).sum(axis=1)
        p = tost(self.gains, self.margin, self.shared)
        low = t_statistic(self.gains, -self.margin, self.shared)
        high = t_statistic(self.gains, self.margin, self.shared)
        for at, own in self.families:
            if own is not None:
                outside = np.fmax(own.above(low[at], n[at]), own.below(high[at], n[at]))
                p[at] = np.where(np.isnan(p[at]), np.nan, np.fmax(p[at], outside))
        return self.looks.one_sided(p)


def judged(
    pairs: pd.DataFrame,
    groups: pd.DataFrame,
    alpha: float,
    margin: float,
    unit: Unit,
    performance: str,
    looks: Sequence[int] = (),
    tests: int = 0,
) -> pd.DataFrame:
    """Everything that pairs say of an arm against another; one row per group.

    Args:
        pairs: as from `paired`, with the outcome `y` and the difference `d`.
        groups: the groups in order.
        alpha: error rate of a study's family.
        margin: of equivalence, in the outcome's unit.
        unit: as `units`.
        performance: the outcome.
        looks: units at each look of a sequential study; empty where there is one test.
        tests: planned in a study, beside which those that are there stand; 0: these are all.
    """
    pairs, seen = reached(pairs, groups, looks, unit)
    pairs = with_bounds(pairs, performance)
    sign = 1.0 if higher_is_better(performance) else -1.0
    d = units(pairs, groups, "d", unit)
    gains = sign * d.values
    test = paired_t(d.values, seen.levels(alpha), d.shared)
    gain = sign * test.mean
    families = _families(gains, groups)
    told = _Tests(gains, d.shared, families, margin, seen)
    bounds = [
        _Bound(*_of_bound(pairs, groups, name, unit), families, margin, seen) for name in BOUNDS
    ]
    lost = _any_lost(pairs, groups)

    def adjust(p: Floats) -> Floats:
        return _holm(p, groups, planned=bool(looks), tests=tests)

    p, p_equivalence = told.p_value, told.p_equivalence
    by_own = verdicts(gain, adjust(p), p_equivalence, alpha)
    if lost.any():
        p, p_equivalence = _at_worst(p, p_equivalence, gain, lost, bounds)
    adjusted = adjust(p)
    p_flipped = np.where((test.n >= 2) & ~d.resplit, sign_flip(d.values), np.nan)
    apart = outlying(gains)
    others = _Tests(np.where(apart, np.nan, gains), d.shared, families, margin, seen)
    least, most = (sign * bound.mean for bound in bounds)
    said = doubts(
        Seen(
            performance=performance,
            margin=margin,
            unit=d.kind,
            names=d.names,
            effects=d.values,
            gains=gains,
            outlying=apart,
            by_student=verdicts(
                gain,
                adjust(told.p_student),
                seen.one_sided(tost(gains, margin, d.shared)),
                alpha,
            ),
            by_own=by_own,
            given=verdicts(gain, adjusted, p_equivalence, alpha),
            without=verdicts(
                paired_t(others.gains).mean,
                adjust(others.p_value),
                others.p_equivalence,
                alpha,
            ),
            p_student=told.p_student,
            p_own=told.p_own,
            at_worst=np.where(gain < 0, most, least),
            p_flipped=p_flipped,
            disagree=(p_flipped > alpha) & (test.n >= _FEWEST_FLIPPED),
        )
    )
    first_step = np.full(len(groups), alpha)
    for places in groups.groupby("study", sort=False).indices.values():
        there = len(places) if looks else int((~np.isnan(p[places])).sum())
        first_step[places] = alpha / max(1, there, tests)
    detectable = [
        detectable_effect(int(n), float(a), shared=float(share))
        for n, a, share in zip(test.n, seen.levels(first_step), d.shared, strict=True)
    ]
    spread = np.where(test.sd > 0, test.sd, np.nan)
    return pd.DataFrame(
        {
            "n": test.n,
            "look": seen.at + 1,
            "unit": d.kind,
            "n_pairs": d.n_pairs,
            "n_draws": d.n_draws,
            "effect": test.mean,
            "ci_low": test.ci_low,
            "ci_high": test.ci_high,
            "effect_low": np.where(lost, least if sign > 0 else most, test.mean),
            "effect_high": np.where(lost, most if sign > 0 else least, test.mean),
            "sd": test.sd,
            "p_value": test.p_value,
            "p_own_units": told.p_own,
            "p_adjusted": adjusted,
            "p_signflip": p_flipped,
            "d_z": hedges_dz(d.values, d.shared),
            "p_equivalence": p_equivalence,
            "within_margin": p_equivalence < alpha,
            "verdict": said.verdict,
            "outlying": said.outlying,
            "doubt": said.doubt,
            "smallest_detectable_effect": np.asarray(detectable) * spread,
        },
        index=groups.index,
    )


@dataclass(frozen=True)
class _Bound:
    """The gains if runs that are lost were as bad, or as good, as can be.

    Attributes:
        gains: [cells, n].
        shared: [cells].
        endless: [cells] whether the bound is infinite.
        families: as in `_Tests`.
        margin: of equivalence.
        looks: of the cells.
    """

    gains: Floats
    shared: Floats
    endless: NDArray[np.bool_]
    families: Families
    margin: float
    looks: Looks

    @cached_property
    def tests(self) -> _Tests:
        return _Tests(self.gains, self.shared, self.families, self.margin, self.looks)

    @cached_property
    def mean(self) -> Floats:
        """[cells], NaN where it is infinite."""
        return np.where(self.endless, np.nan, paired_t(self.gains).mean)

    def p_value(self, sign: float) -> Floats:
        """Of a mean of this sign."""
        return np.where(sign * self.mean > 0, self.tests.p_value, 1.0)

    @cached_property
    def p_equivalence(self) -> Floats:
        return np.where(self.endless, 1.0, self.tests.p_equivalence)


def _of_bound(
    pairs: pd.DataFrame, groups: pd.DataFrame, name: str, unit: Unit
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    at = units(pairs.replace({name: {-np.inf: np.nan, np.inf: np.nan}}), groups, name, unit)
    endless = _has(pairs[np.isinf(pairs[name])], groups)
    return at.values, at.shared, endless


def _at_worst(
    p: Floats, p_equivalence: Floats, gain: Floats, lost: NDArray[np.bool_], bounds: list[_Bound]
) -> tuple[Floats, Floats]:
    """P-values with lost runs at their worst for the claim that is made.

    That forcing helps has to hold of the least gain, that it hurts of the most, and that neither
    is so of both.
    """
    least, most = bounds
    against = np.where(gain > 0, least.p_value(1.0), most.p_value(-1.0))
    outside = np.fmax(least.p_equivalence, most.p_equivalence)
    there = lost & ~np.isnan(p)
    return (
        np.where(there, np.fmax(p, against), p),
        np.where(there, np.fmax(p_equivalence, outside), p_equivalence),
    )


def _families(gains: Floats, groups: pd.DataFrame) -> Families:
    """Cells of one study and criterion, and what their units are like."""
    places = groups.groupby(["study", "chosen_by"], sort=False).indices.values()
    return tuple((np.asarray(at), own_units(gains[at])) for at in places)


def _holm(p: Floats, groups: pd.DataFrame, planned: bool, tests: int) -> Floats:
    """Adjusted over the rows of each study; over those still to be tested, too, if ``planned``."""
    adjusted = np.full(len(groups), np.nan)
    for places in groups.groupby("study", sort=False).indices.values():
        of_study = np.where(np.isnan(p[places]), 1.0, p[places]) if planned else p[places]
        beside = np.ones(max(0, tests - len(places)))
        adjusted[places] = holm(np.append(of_study, beside))[: len(places)]
    return np.where(np.isnan(p), np.nan, adjusted)


def _any_lost(pairs: pd.DataFrame, groups: pd.DataFrame) -> NDArray[np.bool_]:
    return _has(pairs[pairs["lost"]], groups)


def _has(pairs: pd.DataFrame, groups: pd.DataFrame) -> NDArray[np.bool_]:
    """[groups] whether there is a pair of each."""
    there = pairs[GROUP].drop_duplicates().assign(there=True)
    found = groups[GROUP].merge(there, on=GROUP, how="left")["there"]
    return np.asarray(found.notna(), dtype=bool)
