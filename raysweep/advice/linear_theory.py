"""What a linear theory expects of alignment, from two arrays and labels alone.

"When to Align, When to Predict" (Kamai et al. 2026, arXiv 2606.11190): of data with a shared signal
and with nuisance that is correlated between modalities, linear alignment finds the signal where
each direction of it is more strongly correlated across the modalities than any nuisance is, and
prediction of modality 2 from 1 where it explains more of modality 2. Written here anew: directions
are found on one half of the rows, and measured, and held against the labels, on the other.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from raysweep.data.streams import stream
from raysweep.data.views import Floats, Integers, Views
from raysweep.errors import InputError

_MOST_DIRECTIONS = 16
_ROWS_PER_DIRECTION = 10
_LEVEL = 0.01
_RIDGE = 1e-3

REGIMES = {
    (True, True): "both",
    (True, False): "align only",
    (False, True): "predict only",
    (False, False): "neither",
}


@dataclass(frozen=True)
class Regime:
    """Where the theory places the data.

    Attributes:
        name: `both`, `align only`, `predict only` or `neither`: by which goal of training the
            shared signal is found; empty where no shared direction tells anything of the label.
        aligned_signal: correlation across the modalities of the directions that tell of the
            label, mean; 0..1.
        aligned_nuisance: largest correlation of those that do not; 0 where there are none.
        signals: how many directions tell of the label.
    """

    name: str
    aligned_signal: float
    aligned_nuisance: float
    signals: int


@dataclass(frozen=True)
class _Directions:
    """Pairs of directions, by held-out rows: [k] each.

    Attributes:
        weight: how strongly both sides are tied, in the unit of the goal.
        tells: whether the scores differ between labels.
    """

    weight: Floats
    tells: Floats


def regime(views: Views) -> Regime:
    """Place two modalities and their labels among the theory's regimes.

    Args:
        views: of two modalities; training and validation rows are used.

    Raises:
        InputError: not two modalities, or fewer than 40 rows.
    """
    if len(views.inputs) != 2:
        raise InputError(f"the linear theory is of two modalities, not {len(views.inputs)}")
    rows = views.having(np.concatenate([views.splits.train, views.splits.validation]))
    if len(rows) < 40:
        raise InputError(f"the linear theory needs 40 rows, there are {len(rows)}")
    rows = stream("advice", 0, "halves").permutation(rows)
    found, held = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    k = max(1, min(_MOST_DIRECTIONS, len(found) // _ROWS_PER_DIRECTION))
    x1, x2 = (_reduced(x, found, k) for x in (views.x1, views.x2))
    aligned = _measured(x1, x2, views.y, found, held, whiten=(True, True))
    predicted = _measured(x1, x2, views.y, found, held, whiten=(True, False))
    signal, nuisance = _apart(aligned)
    if not aligned.tells.any():
        return Regime("", 0.0, nuisance, 0)
    from_signal, from_nuisance = _apart(predicted)
    name = REGIMES[signal > nuisance, from_signal > from_nuisance]
    return Regime(name, signal, nuisance, int(aligned.tells.sum()))


def _reduced(x: Floats, rows: Integers, k: int) -> Floats:
    """The leading principal components of the rows, [n, at most k]."""
    centred = x - x[rows].mean(axis=0)
    _, spread, axes = np.linalg.svd(centred[rows], full_matrices=False)
    kept = spread[:k] > 1e-8 * max(spread[0], 1e-300)
    return np.asarray(centred @ axes[:k][kept].T)


def _measured(
    x1: Floats,
    x2: Floats,
    y: Integers,
    found: Integers,
    held: Integers,
    whiten: tuple[bool, bool],
) -> _Directions:
    sides = [
        _whitening(x[found]) if w else np.eye(x.shape[1])
        for x, w in zip((x1, x2), whiten, strict=True)
    ]
    cross = sides[0] @ (x1[found].T @ x2[found] / len(found)) @ sides[1]
    left, _, right = np.linalg.svd(cross, full_matrices=False)
    scores1 = x1[held] @ sides[0] @ left
    scores2 = x2[held] @ sides[1] @ right.T
    scores1, scores2 = scores1 - scores1.mean(axis=0), scores2 - scores2.mean(axis=0)
    covariance = np.mean(scores1 * scores2, axis=0)
    scale = scores1.std(axis=0) * (scores2.std(axis=0) if all(whiten) else 1.0)
    weight = np.clip(covariance / np.maximum(scale, 1e-300), 0.0, None)
    classes = [held_y for held_y in np.unique(y[held]) if np.sum(y[held] == held_y) > 1]
    tells = [
        _differ(one, y[held], classes) or _differ(two, y[held], classes)
        for one, two in zip(scores1.T, scores2.T, strict=True)
    ]
    return _Directions(weight, np.array(tells))


def _whitening(x: Floats) -> Floats:
    """The inverse square root of the covariance, with a small ridge."""
    covariance = x.T @ x / len(x)
    values, vectors = np.linalg.eigh(covariance)
    floor = _RIDGE * values.mean()
    return np.asarray((vectors / np.sqrt(np.maximum(values, 0.0) + floor)) @ vectors.T)


def _differ(score: Floats, y: Integers, classes: list[int]) -> bool:
    """Whether the score's mean differs between the labels, adjusted for both sides of 16."""
    if len(classes) < 2:
        return False
    p = stats.f_oneway(*(score[y == label] for label in classes)).pvalue
    return bool(p < _LEVEL / (2 * _MOST_DIRECTIONS))


def _apart(directions: _Directions) -> tuple[float, float]:
    """Mean weight of what tells of the label, and the largest of what does not."""
    signal = directions.weight[directions.tells.astype(bool)]
    nuisance = directions.weight[~directions.tells.astype(bool)]
    return (
        float(signal.mean()) if len(signal) else 0.0,
        float(nuisance.max()) if len(nuisance) else 0.0,
    )
