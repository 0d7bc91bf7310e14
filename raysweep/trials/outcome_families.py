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

MULTILABEL_FAMILIES = {
    "micro_f1": "of rows with several labels, as are the next: F1 of all rows and labels together",
    "hamming_loss": "share of all labels of all rows that is wrong; less is better",
    "label_macro_f1": "mean of the labels' F1; asked for by evaluation.outcomes or the verdict, as "
    "are the next",
    "mean_average_precision": "mean over labels of the average precision; empty where a label has "
    "no row",
    "label_auroc": "mean over labels of the area under the ROC curve; empty where all rows have a "
    "label, or none",
    "subset_accuracy": "share of rows all of whose labels are right",
}
"""Outcomes of rows with several labels -> what they mean."""

ORDINAL_FAMILIES = {
    "weighted_kappa": "of ranks, as is the next: Cohen's kappa with quadratic weights; empty where "
    "all rows have one rank and no other is predicted",
    "rank_mae": "mean absolute error, in ranks; less is better",
}
"""Outcomes of ranks -> what they mean."""
IN_RANKS = ("rank_mae",)
"""Those in ranks."""

FAMILIES = {
    "classification": OUTCOME_FAMILIES,
    "regression": REGRESSION_FAMILIES,
    "multilabel": MULTILABEL_FAMILIES,
    "ordinal": ORDINAL_FAMILIES,
}
"""Task -> its outcomes, of classification beside accuracy and loss."""
ALL_FAMILIES = {name: meaning for of in FAMILIES.values() for name, meaning in of.items()}
"""All of them -> what they mean; a name is of one task alone."""
LESS_IS_BETTER = ("calibration_error", "hamming_loss", *IN_RANKS, *IN_LABEL_UNITS)
UNITS = {
    **dict.fromkeys(IN_LABEL_UNITS, "the label's"),
    **dict.fromkeys(("pearson", "concordance", "weighted_kappa"), "-1..1"),
    **dict.fromkeys(IN_RANKS, "ranks"),
    "r2": "up to 1",
}
"""Outcome -> its unit or range; 0..1 of the others."""
