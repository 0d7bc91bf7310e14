#!/usr/bin/env bash
# statsmodels 0.15.0, stats.multitest.multipletests with a missing p-value.
#
# A NaN among the p-values (a test that could not be made) is treated in two ways, both silent:
# - holm, bonferroni and holm-sidak count it as one more test, so that the other p-values grow;
# - fdr_bh turns every corrected p-value into NaN, while `reject` stays True for some of them.
#
# Seen for [.01, .04, NaN]: holm .03, .08 (without the NaN .02, .04: both rejected, now one is);
# fdr_bh reject [True, False, False], corrected [NaN, NaN, NaN].
#
# Why it matters: in a sweep some cells have no test. The verdict of a cell then depends on how many
# other cells failed; and a filter on the corrected p-value and one on `reject` disagree.
# What to do: leave missing p-values out before the correction, and put them back after it.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
python3 -m venv v && v/bin/pip install -q statsmodels==0.15.0 numpy==2.4.6
v/bin/python - <<'P'
import numpy as np
from statsmodels.stats.multitest import multipletests

p = np.array([0.01, 0.04, np.nan])
found = {}
for method in ("holm", "bonferroni", "fdr_bh"):
    reject, corrected = multipletests(p, method=method)[:2]
    found[method] = reject.tolist(), corrected
    alone = multipletests(p[:2], method=method)[:2]
    print(f"{method}: {reject.tolist()} {corrected}; without the NaN: {alone[0].tolist()} {alone[1]}")
assert np.allclose(found["holm"][1], [0.03, 0.08, np.nan], equal_nan=True)
assert found["holm"][0] == [True, False, False]
assert found["fdr_bh"][0] == [True, False, False] and np.isnan(found["fdr_bh"][1]).all()
P
