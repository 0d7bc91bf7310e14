#!/usr/bin/env bash
# scikit-learn 1.9.1, feature_selection.mutual_info_classif (nearest neighbours, Ross 2014).
#
# A continuous feature drawn independently of the label has next to no mutual information. The same
# rows, each written five times, have all of it: the estimate becomes the entropy of the label,
# because every row's nearest neighbours are its own copies, which carry its own label. The noise
# that the function adds against ties is far too small to prevent it, and nothing warns.
#
# Seen (300 rows, fair coin): .032 nats; the same rows five times: .692 nats of log 2 = .693.
#
# Why it matters: several captions an image, several views a scene or frames a clip repeat the rows
# of one modality by construction. Read as redundancy, this number says "all of the label is there".
# What to do: keep one row of each group, or compare with labels permuted by group.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
python3 -m venv v && v/bin/pip install -q scikit-learn==1.9.1 numpy==2.4.6
v/bin/python - <<'P'
import numpy as np
from sklearn.feature_selection import mutual_info_classif

r = np.random.default_rng(0)
x, y = r.normal(size=(300, 1)), r.integers(0, 2, 300)
once = mutual_info_classif(x, y, random_state=0)[0]
repeated = mutual_info_classif(np.repeat(x, 5, axis=0), np.repeat(y, 5), random_state=0)[0]
print(f"independent feature, nats: {once:.3f}; its rows five times: {repeated:.3f} of {np.log(2):.3f}")
assert once < 0.1 and repeated > 0.68, (once, repeated)
P
