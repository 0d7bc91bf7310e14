"""Outcomes beside accuracy and cross-entropy, of every member and head.

Each of classification, which are here, is what scikit-learn's function of the same name gives
(1.8), but for the calibration error, which it lacks: the expected calibration error of Guo et al.
2017 (arXiv 1706.04599, equation 3). Those of other labels are in `raysweep.training.regression`,
`multilabel` and `ordinal`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import scipy.special

from raysweep.data.views import Views
from raysweep.models.trained import TrainedPack
from raysweep.training import multilabel, ordinal, regression
from raysweep.training.evaluate import logits_of, told_rows
from raysweep.training.ranking import area
from raysweep.trials.tasks import Task

_KNOWN = {Task.REGRESSION: regression, Task.MULTILABEL: multilabel, Task.ORDINAL: ordinal}
BINS = 15
"""Of the calibration error: bins of equal width, as many as in Guo et al. 2017."""


def outcomes(
    trained: TrainedPack, views: Sequence[Views], split: str, names: Iterable[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Outcomes on the rows of a split.

    Args:
        trained: the members.
        views: the k datasets of the pack, equally long, of one task.
        split: train, validation or test.
        names: of `OUTCOMES`, or of those of the module of the task.

    Returns:
        Outcome -> head (``1``, ``2``, ..., ``fused``) -> [m] float64; NaN where it is undefined
        (`why_undefined`), or the member has diverged.
    """
    parts = list(logits_of(trained, views, split))
    labels = np.concatenate([y.cpu().numpy() for y, _ in parts], axis=1)
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in names}
    task = views[0].task
    known = _KNOWN[task].OUTCOMES if task in _KNOWN else OUTCOMES
    told = told_rows(trained, views, split)
    for head in trained.shape.heads:
        logits = np.concatenate([of_head[head].double().numpy() for _, of_head in parts], axis=2)
        outputs = logits.swapaxes(1, 2)
        if task is Task.REGRESSION:
            outputs = _in_own_unit(trained, views, logits)
        for name, by_head in found.items():
            by_head[head] = np.array(
                [
                    known[name](y[rows], one[rows]) if np.isfinite(one).all() else np.nan
                    for y, one, rows in zip(labels, outputs, told[head], strict=True)
                ]
            )
    return found


def _in_own_unit(trained: TrainedPack, views: Sequence[Views], outputs: np.ndarray) -> np.ndarray:
    """Predictions [m, n] in the unit of the label, of what heads give [m, 1, n]."""
    scalings = [views[which].value_scaling for which in trained.dataset]
    mean, sd = (np.concatenate([getattr(s, of) for s in scalings]) for of in ("mean", "sd"))
    return outputs[:, 0] * sd[:, None] + mean[:, None]


def why_undefined(views: Views, split: str, names: Collection[str]) -> str:
    """Why outcomes are undefined on a split, in words; empty where all are defined.

    Correlations are also undefined where a prediction is constant, which hangs on the member.
    """
    rows = getattr(views.splits, split)
    why = [_why_on(views, rows, split, names)]
    for k in range(1, len(views.inputs) + 1) if views.present is not None else ():
        of_rows = _why_on(views, views.having(rows, k), split, names)
        why += [f"of modality {k}, {of_rows}"] if of_rows and not why[0] else []
    return "; ".join(filter(None, why))


def _why_on(views: Views, rows: np.ndarray, split: str, names: Collection[str]) -> str:
    """`why_undefined` of some rows of a split."""
    if views.task in _KNOWN:
        return _KNOWN[views.task].why_none(views.told[rows], split, names)
    there = set(views.y[rows].tolist())
    missing = [str(c) for c in range(views.classes) if c not in there]
    if not missing or "auroc" not in names:
        return ""
    noun = "class" if len(missing) == 1 else "classes"
    return f"auroc: no row of {noun} {', '.join(missing)} in the {split} split"


def balanced_accuracy(y: np.ndarray, logits: np.ndarray) -> float:
    """The mean over the classes that there are of the share of their rows that is right.

    Args:
        y: [n] labels, 0 <= y < c.
        logits: [n, c] float64.
    """
    table = _confusion(y, logits)
    rows = table.sum(axis=1)
    return float((np.diag(table)[rows > 0] / rows[rows > 0]).mean())


def macro_f1(y: np.ndarray, logits: np.ndarray) -> float:
    """The mean of the classes' F1, of those that are there or are predicted; args as above."""
    table = _confusion(y, logits)
    seen = table.sum(axis=0) + table.sum(axis=1) > 0
    return float(_f1(table)[seen].mean())


def weighted_f1(y: np.ndarray, logits: np.ndarray) -> float:
    """The mean of the classes' F1, weighted by their rows; args as above."""
    table = _confusion(y, logits)
    return float(np.average(_f1(table), weights=table.sum(axis=1)))


def auroc(y: np.ndarray, logits: np.ndarray) -> float:
    """Area under the ROC curve; of more than two classes the mean of each against the rest.

    The mean is unweighted, and NaN where a class has no row; args as above.
    """
    probabilities = scipy.special.softmax(logits, axis=1)
    classes = logits.shape[1]
    wanted = range(classes) if classes > 2 else (1,)
    return float(np.mean([area(y == k, probabilities[:, k]) for k in wanted]))


def calibration_error(y: np.ndarray, logits: np.ndarray) -> float:
    """How far confidence is from accuracy, on average over `BINS` bins of it; args as above.

    The confidence of a row is the probability of the class that is predicted; a bin counts by its
    rows.
    """
    probabilities = scipy.special.softmax(logits, axis=1)
    confidence = probabilities.max(axis=1)
    # Bins are open below: a confidence on an edge belongs to the bin that ends there.
    bins = np.minimum(np.ceil(confidence * BINS), BINS).astype(np.int64)
    apart = (logits.argmax(axis=1) == y) - confidence
    return float(np.abs(np.bincount(bins, weights=apart)).sum() / len(y))


OUTCOMES: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = MappingProxyType(
    {
        "balanced_accuracy": balanced_accuracy,
        "macro_f1": macro_f1,
        "weighted_f1": weighted_f1,
        "auroc": auroc,
        "calibration_error": calibration_error,
    }
)
"""Family of columns -> what gives it, of labels [n] and logits [n, c]."""


def _confusion(y: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """How many rows of each class (first axis) are taken for each."""
    classes = logits.shape[1]
    counts = np.bincount(y * classes + logits.argmax(axis=1), minlength=classes**2)
    return counts.reshape(classes, classes)


def _f1(table: np.ndarray) -> np.ndarray:
    """F1 of every class; 0 of one that is neither there nor predicted."""
    both = table.sum(axis=0) + table.sum(axis=1)
    f1: np.ndarray = 2 * np.diag(table) / np.maximum(both, 1)
    return f1
