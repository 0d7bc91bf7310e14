"""Information of data whose distribution nobody knows, estimated from its rows.

How: learners (logistic regression, plain and on random features of a Gaussian kernel, and a network
of two hidden layers on whitened features) predict the label from modality 1, from modality 2 and
from both, each row by models that did not see it. The predictions of the learner with the least
cross-entropy are clustered into a few cells, and the cells are counted against the labels. The
information is what these tables say (with the Miller-Madow correction of its bias) or what the
predictions lower the cross-entropy by, whichever is more; ``decomposition.decompose`` of the tables
says which share of the lesser of I1 and I2 is redundant.

Limits, which are why such numbers carry ``_estimated`` in their name:
- I1, I2, I12 and the accuracies are what these learners find in so many rows: too low rather than
  too high, more so for few rows, many features and intricate dependence. Exact -> estimated nats
  from 2,000 rows of the generators (draw 0):

      cell                             I1         I2         I12        pid_R      pid_S
      synthetic U=4                    .72 -> .68 .73 -> .51 1.16->1.13 .47 -> .35 .18 -> .30
      synthetic U=4 D_phi=3            .72 -> .68 .73 -> .48 1.16->1.10 .47 -> .33 .18 -> .27
      synthetic U=0 synergy=.7         .39 -> .34 .39 -> .28 .86 -> .71 .39 -> .25 .47 -> .34
      synthetic U=0 synergy=.7 D_phi=3 .39 -> .34 .39 -> .28 .86 -> .71 .39 -> .27 .47 -> .36
      channels .4 .3 .2 .5             .70 -> .74 .60 -> .60 1.40->1.36 .40 -> .36 .50 -> .37
      channels .4 .3 .2 .5 D_phi=3     .70 -> .74 .60 -> .61 1.40->1.25 .40 -> .37 .50 -> .27

  So the totals are off by up to a third (a modality behind a network) and the parts by up to half,
  or .15 to .25 nats; a modality behind a network seems to have less that is unique, the other more.
- More features of equal variance hide more (``tests/benchmarks/bench_information.py``, mean of two
  draws). What both tell together, I12, is too low by

      one direction of each of     4          50         200 features
      shared, 500 / 2,000 rows     3 /  0 %   16 /  8 %  59 / 22 %
      apart                        0 /  0 %   35 / 12 %  88 / 45 %
      exclusive or                 39 / 16 %  100 / 77 % 100 / 100 %

  (directions that both share, that each has alone, and of which only the product tells).
- What a learner misses in one modality looks unique to the other, or synergistic.
- I_X1X2 and I_shared are not estimated: NaN.
"""

import warnings
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from raysweep.data.decomposition import decompose, mutual_information
from raysweep.data.estimable import FOLDS, Estimable, estimable
from raysweep.data.views import Floats, Information, Integers, Views

LANDMARKS = 400
LEAST_HELD_OUT = 200  # rows, of which a tenth say when to stop


def _learners(features: int, rows: int) -> list[object]:
    """Learners of the label from so many features and rows to fit on, each deterministic."""
    kernels = [
        make_pipeline(
            Nystroem(
                gamma=gamma / features, n_components=min(LANDMARKS, rows // 2), random_state=0
            ),
            StandardScaler(with_std=False),
            LogisticRegression(C=30.0, max_iter=300),
        )
        for gamma in (0.3, 1.0)
    ]
    # A random tanh network leaves most of what it mixes in directions of little variance, which
    # whitening brings back; exclusive ors take hidden layers.
    network = make_pipeline(
        PCA(whiten=True, random_state=0),
        MLPClassifier(
            (64, 64),
            alpha=1.0,
            learning_rate_init=3e-3,
            batch_size=64,
            early_stopping=rows >= LEAST_HELD_OUT,
            max_iter=300,
            n_iter_no_change=15,
            random_state=0,
        ),
    )
    return [LogisticRegression(C=1.0, max_iter=300), *kernels, network]


def _cross_entropy(predicted: Floats, y: Integers) -> float:
    """Mean -log p(y) in nats; no prediction counts as less likely than one in a thousand."""
    return float(-np.mean(np.log(np.clip(predicted[np.arange(len(y)), y], 1e-3, 1.0))))


def _folds(rows: Estimable) -> Any:
    """What decides who predicts a row: models fitted on rows that do not belong to it."""
    if rows.groups is None:
        return StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    whole = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    return list(whole.split(rows.x1, rows.y, rows.groups))


def _predictions(x: Floats, y: Integers, folds: Any) -> Floats:
    """p(y | x) of the best learner: [n, c], each row by models fitted on other rows."""
    rows = len(y) - len(y) // FOLDS
    candidates = [
        cross_val_predict(learner, x, y, cv=folds, method="predict_proba")
        for learner in _learners(x.shape[1], rows)
    ]
    return min(candidates, key=lambda predicted: _cross_entropy(predicted, y))


def _cell_table(predicted: Floats, y: Integers, units: int) -> Floats:
    """Shares of the rows by cell of the predictions and label: [cells, c], sum 1."""
    classes = predicted.shape[1]
    # Ten rows, or groups, or more for each entry, and no more cells than predictions.
    cells = int(np.clip(units // (10 * classes), 2, 4 * classes))
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


def _counted(table: Floats, rows: int) -> float:
    """Information in nats between the cells of a table and the label."""
    return max(0.0, mutual_information(table) - _bias(table, rows))


def _gained(predicted: Floats, y: Integers) -> float:
    """What predictions lower the cross-entropy by: a lower bound of the information, in nats."""
    shares = np.bincount(y) / len(y)
    return float(-np.sum(shares * np.log(shares))) - _cross_entropy(predicted, y)


def estimate_information(views: Views) -> Information:
    """Estimate in nats what both modalities of ``views`` tell about the label (module docstring).

    A pure function of the rows in the splits; at most 4,000 of them are used, at random. Takes
    4 to 6 s of CPU time for 2,000 rows and few features, more with either. ``bayes_*`` are the
    accuracies of the best learners.

    Raises:
        InputError: fewer than two classes with at least three rows, or more than two modalities.
    """
    return estimate_from(estimable(views))


def estimate_from(rows: Estimable) -> Information:
    """`estimate_information` of rows that are chosen already."""
    x1, x2, y, folds = rows.x1, rows.x2, rows.y, _folds(rows)
    n = rows.units  # rows of a group repeat each other
    with warnings.catch_warnings():
        # A fit that stops early only lowers an estimate that is a lower one anyway.
        warnings.simplefilter("ignore", ConvergenceWarning)
        predicted_1 = _predictions(x1, y, folds)
        predicted_2 = _predictions(x2, y, folds)
        fused = _predictions(np.concatenate([x1, x2], axis=1), y, folds)
        # Both modalities together cannot know less than the better of them.
        predicted = min(
            (fused, predicted_1, predicted_2), key=lambda candidate: _cross_entropy(candidate, y)
        )
        table_1, table_2 = _cell_table(predicted_1, y, n), _cell_table(predicted_2, y, n)
        table = _cell_table(predicted, y, n)
    counted_1, counted_2 = _counted(table_1, n), _counted(table_2, n)
    information_1 = max(counted_1, _gained(predicted_1, y))
    information_2 = max(counted_2, _gained(predicted_2, y))
    shared = decompose(table_1, table_2, np.inf).redundancy
    shared = max(shared - max(_bias(table_1, n), _bias(table_2, n)), 0.0)
    # The tables are coarse: what they say is which share of the lesser information is redundant.
    lesser = min(counted_1, counted_2)
    redundancy = min(shared / lesser, 1.0) * min(information_1, information_2) if lesser else 0.0
    parts = information_1 + information_2 - redundancy
    information_12 = max(parts, _counted(table, n), _gained(predicted, y))
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
