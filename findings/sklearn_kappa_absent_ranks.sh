#!/usr/bin/env bash
# scikit-learn 1.9.1, Python 3.11: quadratic weighted kappa forgets the ranks that do not occur.
#
# Ratings are the ranks 0 to 3, and in this sample nobody gave or predicted rank 1. `cohen_kappa_score`
# with `weights="quadratic"` weighs disagreements by how far apart labels stand in the sorted list of
# those that occur: 0, 2, 3 become 0, 1, 2, and to miss 2 by predicting 0 costs as little as to miss it
# by predicting 3. The values of numeric labels are not used. `labels=range(4)` gives the kappa of the
# scale. The documentation says that labels which occur nowhere are left out, not that distances change.
#
# Why it matters: small test splits, folds and batches often lack a rare rank, so the score of one model
# on two folds is measured by two scales, and predictions that happen to use a rank are scored by another
# scale than those that do not. Two models can even change places, as below. Give `labels` always.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check scikit-learn==1.9.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from sklearn.metrics import cohen_kappa_score

RANKS = range(4)


def by_hand(y, predicted):
    """1 - mean squared distance of the pairs over that of all pairs of a truth and a prediction."""
    y, predicted = np.asarray(y), np.asarray(predicted)
    return 1 - np.mean((y - predicted) ** 2) / np.mean((y[:, None] - predicted[None]) ** 2)


def both(y, predicted):
    quick = cohen_kappa_score(y, predicted, weights="quadratic")
    stated = cohen_kappa_score(y, predicted, weights="quadratic", labels=list(RANKS))
    assert abs(stated - by_hand(y, predicted)) < 1e-12
    return quick, stated


y = [0, 0, 2, 2, 3, 3]
far, near = [0, 0, 0, 2, 3, 3], [0, 0, 3, 3, 3, 3]
for name, predicted in (("one 2 taken for 0", far), ("both 2 taken for 3", near)):
    quick, stated = both(y, predicted)
    print(f"{name}: {quick:.4f} by default, {stated:.4f} on the scale 0..3")
(far_quick, far_stated), (near_quick, near_stated) = both(y, far), both(y, near)
assert far_quick > near_quick and far_stated < near_stated
print("the better of the two is another one on each scale")
everywhere = [*y, 1], [*far, 1]
assert abs(both(*everywhere)[0] - both(*everywhere)[1]) < 1e-12
print("where every rank occurs both agree")
PYTHON
