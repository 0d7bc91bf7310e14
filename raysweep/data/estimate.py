"""Information of data whose distribution nobody knows, estimated from its rows.

How: learners (logistic regression, plain and on random features of a Gaussian kernel) predict the
label from modality 1, from modality 2 and from both, each row by models that did not see it. The
predictions of the learner with the least cross-entropy are clustered into a few cells, the cells
are counted against the labels, and these tables give the information (with the Miller-Madow
correction of its bias) and the decomposition of ``decomposition.decompose``.

Limits, which are why such numbers carry ``_estimated`` in their name:
- I1, I2, I12 and the accuracies are what these learners find in so many rows: too low rather than
  too high, more so for few rows, many features and intricate dependence. On the synthetic
  generator with 3,000 rows (U = 4) they miss .06 of the 1.16 nats of both modalities, .07 of the
  .73 of modality 2 as it is, .22 behind one tanh layer and .31 behind five.
- What a learner misses in one modality looks unique to the other, or synergistic.
- I_X1X2 and I_shared are not estimated: NaN.
"""

import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from raysweep.data.decomposition import decompose, mutual_information
from raysweep.data.streams import stream
from raysweep.data.views import Floats, Information, Integers, PairedViews
from raysweep.errors import InputError

MOST_ROWS = 4000
FOLDS = 3
LANDMARKS = 400
# (kernel width as gamma * d, or none for the features themselves; inverse regularisation C)
LEARNERS: tuple[tuple[float | None, float], ...] = ((None, 1.0), (0.3, 30.0), (1.0, 30.0))


def _learner(gamma: float | None, strength: float, features: int, rows: int) -> object:
    regression = LogisticRegression(C=strength, max_iter=300)
    if gamma is None:
        return regression
    landmarks = min(LANDMARKS, rows // 2)
    kernel = Nystroem(gamma=gamma / features, n_components=landmarks, random_state=0)
    return make_pipeline(kernel, StandardScaler(with_std=False), regression)


def _cross_entropy(predicted: Floats, y: Integers) -> float:
    """Mean -log p(y) in nats; no prediction counts as less likely than one in a thousand."""
    return float(-np.mean(np.log(np.clip(predicted[np.arange(len(y)), y], 1e-3, 1.0))))


def _predictions(x: Floats, y: Integers) -> Floats:
    """p(y | x) of the best learner: [n, c], each row by models fitted on other rows."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    rows = len(y) - len(y) // FOLDS
    candidates = [
        cross_val_predict(
            _learner(*settings, x.shape[1], rows), x, y, cv=folds, method="predict_proba"
        )
        for settings in LEARNERS
    ]
    return min(candidates, key=lambda predicted: _cross_entropy(predicted, y))


def _cell_table(predicted: Floats, y: Integers) -> Floats:
    """Shares of the rows by cell of the predictions and label: [cells, c], sum 1."""
    classes = predicted.shape[1]
    # Ten rows or more for each entry of the table, and no more cells than predictions.
    cells = int(np.clip(len(y) // (10 * classes), 2, 4 * classes))
    cells = min(cells, len(np.unique(np.round(predicted, 6), axis=0)))
    logarithms = np.log(predicted + 0.02)
    cell = KMeans(cells, n_init=3, random_state=0).fit_predict(logarithms)
    table = np.zeros((cells, classes))
    np.add.at(table, (cell, y), 1.0 / len(y))
    return table


def _bias(table: Floats, rows: int) -> float:
    """What mutual_information of counts exceeds the truth by (Miller and Madow, first order)."""
    occurring = np.count_nonzero(table.sum(axis=1)), np.count_nonzero(table.sum(axis=0))
    return (occurring[0] - 1) * (occurring[1] - 1) / (2 * rows)


def _usable_rows(views: PairedViews) -> Integers:
    """At most MOST_ROWS random rows of the splits, of classes that every fold can hold."""
    splits = views.splits
    rows = np.concatenate([splits.train, splits.validation, splits.test])
    rows = stream("estimate", 0, "rows").permutation(rows)[:MOST_ROWS]
    counts = np.bincount(views.y[rows], minlength=views.classes)
    usable = rows[counts[views.y[rows]] >= FOLDS]
    if len(np.unique(views.y[usable])) < 2:
        raise InputError(
            f"estimated information: fewer than two classes have {FOLDS} rows or more "
            f"(rows per class: {', '.join(map(str, counts[:20]))})"
        )
    return usable


def estimate_information(views: PairedViews) -> Information:
    """Estimate in nats what both modalities of ``views`` tell about the label (module docstring).

    A pure function of the rows in the splits; at most 4,000 of them are used, at random. Takes
    5 to 30 s on one core. ``bayes_*`` are the accuracies of the best learners.

    Raises:
        InputError: fewer than two classes with at least three rows, or more than two modalities.
    """
    if len(views.inputs) > 2:
        raise InputError(
            f"estimated information: the data have {len(views.inputs)} modalities; the estimate is "
            "of two"
        )
    rows = _usable_rows(views)
    _, y = np.unique(views.y[rows], return_inverse=True)
    y = y.reshape(-1).astype(np.int64)
    x1, x2 = views.x1[rows], views.x2[rows]
    with warnings.catch_warnings():
        # A fit that stops early only lowers an estimate that is a lower one anyway.
        warnings.simplefilter("ignore", ConvergenceWarning)
        predicted_1 = _predictions(x1, y)
        predicted_2 = _predictions(x2, y)
        fused = _predictions(np.concatenate([x1, x2], axis=1), y)
        # Both modalities together cannot know less than the better of them.
        predicted = min(
            (fused, predicted_1, predicted_2), key=lambda candidate: _cross_entropy(candidate, y)
        )
        table_1, table_2 = _cell_table(predicted_1, y), _cell_table(predicted_2, y)
        table = _cell_table(predicted, y)
    n = len(y)
    information_1 = max(0.0, mutual_information(table_1) - _bias(table_1, n))
    information_2 = max(0.0, mutual_information(table_2) - _bias(table_2, n))
    counted = decompose(table_1, table_2, np.inf).redundancy
    most = min(information_1, information_2)
    redundancy = min(max(counted - max(_bias(table_1, n), _bias(table_2, n)), 0.0), most)
    parts = information_1 + information_2 - redundancy
    information_12 = max(parts, mutual_information(table) - _bias(table, n))
    accuracy = [
        float(np.mean(p.argmax(axis=1) == y)) for p in (predicted_1, predicted_2, predicted)
    ]
    return Information(
        I1=information_1,
        I2=information_2,
        I12=information_12,
        I_shared=float("nan"),
        I_X1X2=float("nan"),
        pid_R=redundancy,
        pid_U1=information_1 - redundancy,
        pid_U2=information_2 - redundancy,
        pid_S=information_12 - parts,
        bayes_1=accuracy[0],
        bayes_2=accuracy[1],
        bayes_fused=accuracy[2],
    )
