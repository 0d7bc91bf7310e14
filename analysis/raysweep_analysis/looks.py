"""Which look each cell of a sequential study is at, and what its tests then give."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from raysweep_analysis.inference.sequential import look_levels, over_looks
from raysweep_analysis.pairs import GROUP, Unit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Looks:
    """The looks of groups; without any a group is tested once, with all that is there.

    Attributes:
        units: that are there at each look; empty for one test.
        at: [groups] the look that a group is at, from 0; -1 before the first.
    """

    units: tuple[int, ...]
    at: NDArray[np.int64]

    def two_sided(self, p: Floats) -> Floats:
        """P-values [groups] of this look -> of all looks so far."""
        return 2 * self.one_sided(p / 2) if self.units else p

    def one_sided(self, p: Floats) -> Floats:
        """As `two_sided`, of one-sided ones."""
        return over_looks(p, self.units, self.at) if self.units else p

    def levels(self, alpha: ArrayLike) -> Floats:
        """Two-sided levels [groups] of this look that together with all others err by ``alpha``."""
        wanted = np.broadcast_to(np.asarray(alpha, dtype=float), self.at.shape)
        if not self.units:
            return wanted
        of_each = {a: 2 * look_levels(self.units, a / 2) for a in np.unique(wanted).tolist()}
        levels = [of_each[a][max(k, 0)] for a, k in zip(wanted.tolist(), self.at, strict=True)]
        return np.array(levels)


def reached(
    pairs: pd.DataFrame, groups: pd.DataFrame, units: Sequence[int], unit: Unit
) -> tuple[pd.DataFrame, Looks]:
    """The pairs of the last look that is whole, in every group.

    Units come in the order of their numbers; one counts as soon as both arms of all its pairs were
    run, however that ended. More than a look's are left for the next.

    Args:
        pairs: as from `paired`.
        groups: the groups in order.
        units: that are there at each look; empty: all pairs, in one test.
        unit: as `raysweep_analysis.pairs.units`.
    """
    asked = tuple(units)
    at = np.full(len(groups), -1)
    if not asked:
        return pairs, Looks((), at)
    run = pairs[pairs["status"].notna() & pairs["status_reference"].notna()]
    # What no run made has no group of its own to be in.
    place = {key: i for i, key in enumerate(groups[GROUP].itertuples(index=False, name=None))}
    kept = []
    for key, rows in run.groupby(GROUP, sort=False):
        if key not in place:
            continue
        by_draw = unit == "draw" or (unit == "auto" and rows["draw"].nunique() > 1)
        name = "draw" if by_draw else "seed"
        count = rows[name].value_counts()
        whole = sorted(count.index[count == count.max()])
        k = int(np.searchsorted(asked, len(whole), side="right")) - 1
        at[place[key]] = k
        if k >= 0:
            kept.append(rows[rows[name].isin(whole[: asked[k]])])
    return pd.concat(kept) if kept else run.iloc[:0], Looks(asked, at)
