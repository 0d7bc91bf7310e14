"""What a table says of its data: exact, estimated with intervals, or from before there were any."""

import numpy as np
import pandas as pd
import pytest
from simulate_trials import simulate_forcing

from raysweep.analysis import information
from raysweep_analysis.report.findings import find
from raysweep_analysis.report.page import page
from raysweep_analysis.told import estimates_table


@pytest.fixture
def trials():
    table = simulate_forcing(
        effects=[0.0, 0.01], draws=2, seeds=3, sd_draw=0.02, rng=np.random.default_rng(0)
    )
    informative = table["draw"] - table["draw"].min()
    return table.assign(
        n_train=300, n_validation=100, n_test=100,
        I1_estimated=0.4 + 0.1 * informative, I1_estimated_low=0.3 + 0.1 * informative,
        I1_estimated_high=0.6, bayes_1_estimated=0.9,
    )  # fmt: skip


def test_estimates_come_with_their_intervals(trials):
    told = information(trials)
    told = told[told["estimated"]]
    assert told["number"].tolist() == ["I1", "I1"]
    np.testing.assert_allclose(told[["value", "low", "high"]], [[0.45, 0.35, 0.6]] * 2)
    assert told["draws"].tolist() == [2, 2]
    # Both cells are of data that tell the same.
    assert estimates_table(trials)["modality 1"].tolist() == ["0.45 (0.35 to 0.60)"]


def test_rows_from_before_intervals_and_rows_from_after_go_together(trials):
    ends = ["I1_estimated_low", "I1_estimated_high"]
    before = trials.drop(columns=ends)
    assert information(before).loc[lambda t: t["estimated"], "low"].isna().all()
    assert estimates_table(before)["modality 1"].tolist() == ["0.45"]
    mixed = trials.copy()
    mixed.loc[mixed.index[::2], ends] = np.nan
    pd.testing.assert_frame_equal(information(mixed), information(trials))


def test_the_report_shows_them_and_what_such_estimates_miss(trials):
    html = page(find(trials), [])
    assert "0.45 (0.35 to 0.60)" in html
    assert "with 500 rows, 3, 0 and 39 % with 4" in html
    exact = trials.drop(columns=[name for name in trials if "estimated" in name]).assign(I1=0.5)
    assert information(exact)["estimated"].tolist() == [False, False]
    assert "estimated in nats" not in page(find(exact), [])
