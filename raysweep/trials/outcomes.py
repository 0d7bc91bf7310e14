"""What outcomes are called, and the unit in which a person reads them."""

import math

from raysweep.errors import InputError
from raysweep.trials.columns import column_of
from raysweep.trials.outcome_families import IN_LABEL_UNITS, IN_RANKS

MARGINS = {
    "balanced_accuracy": 0.005,
    "macro_f1": 0.01,
    "weighted_f1": 0.005,
    "auroc": 0.005,
    "calibration_error": 0.01,
    "loss": 0.01,
    "r2": 0.01,
    "pearson": 0.01,
    "concordance": 0.01,
    "micro_f1": 0.01,
    "label_macro_f1": 0.01,
    "mean_average_precision": 0.01,
    "weighted_kappa": 0.01,
    "rank_mae": 0.02,
}
"""Family of columns -> an effect that counts as no difference, where a study does not say."""
_MARGIN = 0.005
MARGIN_OF_SPREAD = 0.02
"""The same of an outcome in the label's unit, as a share of the label's standard deviation."""

_HEADS = {str(k): f"modality {k}" for k in range(1, 5)} | {"fused": "all modalities fused"}
_KINDS = {
    "performance": "accuracy",
    "loss": "loss",
    "regret": "regret to the Bayes accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "auroc": "AUROC",
    "calibration_error": "calibration error",
    "r2": "R2",
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
    "pearson": "Pearson correlation",
    "concordance": "concordance correlation",
    "sign_accuracy": "sign accuracy",
    "sign_accuracy_nonzero": "sign accuracy without zeros",
    "micro_f1": "micro F1",
    "hamming_loss": "Hamming loss",
    "label_macro_f1": "macro F1 over labels",
    "mean_average_precision": "mean average precision",
    "label_auroc": "AUROC over labels",
    "subset_accuracy": "subset accuracy",
    "weighted_kappa": "quadratic weighted kappa",
    "rank_mae": "mean absolute error in ranks",
}


def default_margin(outcome: object) -> float:
    """The margin of equivalence in the outcome's unit: half a point of accuracy, for instance."""
    return MARGINS.get(column_of(outcome).family, _MARGIN) if isinstance(outcome, str) else _MARGIN


def margin_for(outcome: str, tested: str, margin: float) -> float:
    """The margin for an outcome where that of another, which a study tests, is known.

    Args:
        outcome: what is asked for.
        tested: what the study tests.
        margin: of that.

    Raises:
        InputError: the outcome has the unit of the label, whose size is not known here.
    """
    alike = column_of(outcome).family == column_of(tested).family
    if alike or (in_label_units(outcome) and in_label_units(tested)):
        return margin
    if in_label_units(outcome):
        raise InputError(
            f"{outcome} is in the unit of the label, so that no margin is usual; give the effect "
            "that counts as no difference as margin"
        )
    return default_margin(outcome)


def scale_of(outcome: str) -> tuple[float, str]:
    """Factor and unit in which a person reads an outcome.

    Accuracy, regret, F1, AUROC, calibration error, R2, kappa and their like are read in points, of
    which a whole has 100, and so is what a user's own trial calls ``performance``; losses in nats;
    errors of a label that is a number in its unit, of ranks in ranks; any other column as it is.
    """
    column = column_of(outcome)
    if column.is_share:
        return 100.0, "points"
    if in_label_units(outcome):
        return 1.0, "units of the label"
    if column.family in IN_RANKS:
        return 1.0, "ranks"
    return 1.0, "nats" if column.family == "loss" else f"units of {outcome}"


def in_label_units(outcome: str) -> bool:
    """Whether an outcome has the unit of a label that is a number."""
    return column_of(outcome).family in IN_LABEL_UNITS


def digits_of(outcome: str, *effects: object) -> int:
    """Decimals with which effects on an outcome are shown.

    Args:
        outcome: the column.
        effects: that are shown together. In the unit of a label, which may be of any size, the
            largest gets three digits.
    """
    if scale_of(outcome)[1] == "points":
        return 1
    sizes = [abs(e) for e in effects if isinstance(e, float) and math.isfinite(e) and e]
    if not in_label_units(outcome) or not sizes:
        return 3
    return min(max(2 - math.floor(math.log10(max(sizes))), 0), 15)


def amount(value: float, outcome: str, digits: int = 6) -> str:
    """A size of an effect for a sentence, such as `8 points` or `0.02 nats`.

    Args:
        value: in the column's unit.
        outcome: the column.
        digits: significant digits at most.
    """
    factor, unit = scale_of(outcome)
    size = abs(value * factor)
    number = f"{size:.0f}" if 10**digits <= size < 1e6 else f"{size:.{digits}g}"
    return f"{number} {'point' if (number, unit) == ('1', 'points') else unit}"


def kind_of(outcome: str) -> str:
    """What is measured: `accuracy`, `macro F1`; of a user's own metric its name."""
    column = column_of(outcome)
    return _KINDS.get(column.family, column.metric)


def outcome_words(outcome: str) -> str:
    """`performance_fused_test` -> `accuracy of all modalities fused, test`."""
    column = column_of(outcome)
    if column.family not in _KINDS or not column.split:
        return outcome
    return f"{_KINDS[column.family]} of {_HEADS[column.modality]}, {column.split}"
