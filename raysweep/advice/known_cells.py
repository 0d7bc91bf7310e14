"""Where data sit among cells of which the answer is known: those of the study `forcing`.

Their information is exact, that of the data estimated; so what is said is how the nearest came out,
and no more.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raysweep.advice.information import Part
from raysweep.trials.criteria import BEST

NEAREST = 8
_SHARES = (("pid_R",), ("pid_U1", "pid_U2"), ("pid_S",))


@dataclass(frozen=True)
class Neighbourhood:
    """The cells whose information splits most alike, among as many or as few rows.

    Attributes:
        verdicts: verdict -> in how many of them, best against best.
        distance: of the farthest, between shares that sum to 1 (0 to 1: half their L1 distance).
    """

    verdicts: Mapping[str, int]
    distance: float


def nearest(information: Mapping[str, Part], rows: int) -> Neighbourhood | None:
    """The nearest of the known cells.

    Args:
        information: parts in nats, as `raysweep.advice.information.decomposition` gives them.
        rows: for training; cells with rows of another order of magnitude count as farther.

    Returns:
        None where nothing tells anything of the label.
    """
    # Late: statistics and a table, which nothing else of the advice needs.
    from raysweep_analysis import forcing_effects, load_trials
    from raysweep_analysis.examples import TUNED

    own = np.array([sum(information[name].estimate for name in part) for part in _SHARES])
    if not own.sum() > 0:
        return None
    effects = forcing_effects(load_trials(TUNED))
    effects = effects[effects["chosen_by"] == BEST]
    cells = np.stack([effects[list(part)].sum(axis=1).to_numpy(float) for part in _SHARES], axis=1)
    apart = np.abs(cells / cells.sum(axis=1, keepdims=True) - own / own.sum()).sum(axis=1) / 2
    fewer = np.abs(np.log10(effects["n_train"].to_numpy(float) / rows))
    order = np.argsort(apart + 0.1 * fewer, kind="stable")[:NEAREST]
    verdicts = Counter(str(verdict) for verdict in effects["verdict"].iloc[order])
    return Neighbourhood(dict(verdicts.most_common()), float(apart[order].max()))
