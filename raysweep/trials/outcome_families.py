"""What outcomes of a label there are, beside accuracy and cross-entropy."""

OUTCOME_FAMILIES = {
    "balanced_accuracy": "mean over classes of the share of their rows that is right; "
    "asked for by evaluation.outcomes or the verdict, as are the next",
    "macro_f1": "mean of the classes' F1",
    "weighted_f1": "mean of the classes' F1, weighted by their rows",
    "auroc": "area under the ROC curve; of several classes the mean of each against the rest; "
    "empty where a class has no row",
    "calibration_error": "expected calibration error: how far confidence is from accuracy, in 15 "
    "bins of equal width; less is better",
}
"""Outcomes of classification that are measured where they are asked for -> what they mean."""

REGRESSION_FAMILIES = {
    "r2": "of a label that is a number, as are the next: the share of its variance that is "
    "explained, 1 minus the squared errors over those of guessing the split's mean",
    "rmse": "root mean squared error; less is better",
    "mae": "mean absolute error; less is better; asked for by evaluation.outcomes or the verdict, "
    "as are the next",
    "pearson": "Pearson correlation of prediction and label; empty where either is constant",
    "concordance": "Lin's concordance correlation: below Pearson's where mean or spread is off",
    "sign_accuracy": "share of rows whose prediction is on the label's side of 0; 0 counts as "
    "positive",
    "sign_accuracy_nonzero": "the same of rows whose label is not 0: positive or negative; empty "
    "without any",
}
"""Outcomes of regression -> what they mean."""
IN_LABEL_UNITS = ("rmse", "mae")
"""Those in the unit of the label; of the others a whole is 1."""
REGRESSION_UNITS = {
    **dict.fromkeys(IN_LABEL_UNITS, "the label's"),
    **dict.fromkeys(("pearson", "concordance"), "-1..1"),
    "r2": "up to 1",
}
"""Outcome of regression -> its unit or range; 0..1 of the others."""
