"""Information of data whose distribution nobody knows, estimated from its rows.

How: learners (logistic regression, plain and on random features of a Gaussian kernel, and a network
of two hidden layers on whitened features) predict the label from modality 1, from modality 2 and
from both, each row by models that did not see it. The predictions of the learner with the least
cross-entropy say what is told, with intervals: `raysweep.data.held_out`.

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

  A modality behind a network seems to have less that is unique, the other more.
- How much is missed depends on rows and features (`raysweep.data.missed`): of many features of one
  variance with few rows nearly all, of an exclusive or soonest.
- Intervals hold what the same estimate finds of other rows, not what it misses.
- What a learner misses in one modality looks unique to the other, or synergistic.
- I_X1X2 and I_shared are not estimated: NaN.
"""

import warnings
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from raysweep.data.estimable import FOLDS, Estimable, estimable
from raysweep.data.held_out import cross_entropy, told
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


def _folds(rows: Estimable) -> list[tuple[Integers, Integers]]:
    """Rows to fit on and rows to predict: models see no row that belongs to one they predict."""
    if rows.groups is None:
        return list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(rows.x1, rows.y))
    whole = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    return list(whole.split(rows.x1, rows.y, rows.groups))


def _predictions(x: Floats, y: Integers, folds: Any) -> Floats:
    """p(y | x) of the best learner: [n, c], each row by models fitted on other rows."""
    rows = len(y) - len(y) // FOLDS
    candidates = [
        cross_val_predict(learner, x, y, cv=folds, method="predict_proba")
        for learner in _learners(x.shape[1], rows)
    ]
    return min(candidates, key=lambda predicted: cross_entropy(predicted, y))


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
    with warnings.catch_warnings():
        # A fit that stops early only lowers an estimate that is a lower one anyway.
        warnings.simplefilter("ignore", ConvergenceWarning)
        predictions = (
            _predictions(x1, y, folds),
            _predictions(x2, y, folds),
            _predictions(np.concatenate([x1, x2], axis=1), y, folds),
        )
        return told(rows, predictions, [predicted for _, predicted in folds])
