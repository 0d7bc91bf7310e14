"""Verdicts under all choices that a table allows."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from simulate_trials import simulate_forcing

from raysweep import analysis
from raysweep.errors import InputError
from raysweep_analysis import figures
from raysweep_analysis.choices import AS_MEASURED, CHOICES, LOG_ODDS, as_log_odds

OUTCOME = "performance_fused_test"


def table(effects: tuple[float, ...] = (0.03, 0.0, -0.03), **changes: object) -> pd.DataFrame:
    trials = simulate_forcing(
        effects=effects,
        draws=8,
        seeds=2,
        sd_seed=0.002,
        criteria=["best", "alignment"],
        rng=np.random.default_rng(4),
    )
    return trials.assign(n_test=1_000, n_train=4_000, **changes)


def test_choices_are_crossed_and_each_is_the_analysis_that_was_chosen() -> None:
    trials = table(performance_1_test=lambda t: t[OUTCOME][::-1].to_numpy())
    trials["loss_fused_test"] = 1 - trials[OUTCOME]
    judged = analysis.multiverse(trials)
    assert not judged.duplicated(["study", "cell", *CHOICES]).any()
    crossed = judged.groupby(["performance", "scale"]).size()
    assert crossed.to_dict() == {
        (OUTCOME, AS_MEASURED): 12,
        (OUTCOME, LOG_ODDS): 12,
        ("performance_1_test", AS_MEASURED): 12,
        ("performance_1_test", LOG_ODDS): 12,
        ("loss_fused_test", AS_MEASURED): 12,
    }
    one = judged[judged["primary"]]
    effects = analysis.forcing_effects(trials)
    own = effects[effects["chosen_by"] == "best"]
    assert one["verdict"].tolist() == own["verdict"].tolist() == ["helps", "equivalent", "hurts"]
    np.testing.assert_allclose(one["effect"], own["effect"])
    placebo = judged[judged["reference"].eq("placebo") & judged["scale"].eq(AS_MEASURED)]
    placebo = placebo[placebo["performance"].eq(OUTCOME) & placebo["chosen_by"].eq("best")]
    np.testing.assert_allclose(placebo["effect"], own["effect_vs_placebo"])
    less = judged[judged["performance"] == "loss_fused_test"]
    assert (np.sign(less["gain"]) == -np.sign(less["effect"])).all()


@pytest.mark.slow
def test_a_study_may_ask_for_more() -> None:
    judged = analysis.multiverse(table((0.006,)), alphas=[0.05, 0.2], margins=[0.2, 2.0])
    own = judged[judged["performance"].eq(OUTCOME) & judged["scale"].eq(AS_MEASURED)]
    own = own[own["reference"].eq("none") & own["chosen_by"].eq("best")]
    assert sorted(zip(own["alpha"], own["margins"], strict=True)) == [
        (a, m) for a in (0.05, 0.2) for m in (0.2, 1.0, 2.0)
    ]
    assert judged["primary"].sum() == 1
    for row in own.to_dict("records"):
        again = analysis.forcing_effects(table((0.006,)), OUTCOME, row["alpha"], row["margin"])
        assert row["verdict"] == again.loc[again["chosen_by"] == "best", "verdict"].item()


def test_shares_are_counted_over_choices() -> None:
    judged = analysis.multiverse(table())
    judged.loc[judged["chosen_by"] == "alignment", "verdict"] = "hurts"
    found = analysis.robustness(judged).set_index("cell")
    assert found["verdict"].to_dict() == {"c0": "helps", "c1": "equivalent", "c2": "hurts"}
    assert found["choices"].tolist() == [8, 8, 8]
    assert found["share"].tolist() == [0.5, 0.5, 1.0]
    assert found["opposed"].tolist() == [0.5, 0.0, 0.0]
    assert found.loc["c0", ["helps", "hurts"]].tolist() == [4, 4]


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_log_odds_keep_the_unit_where_the_cell_is(level: float) -> None:
    small = 1e-4
    rows = table((0.0,)).assign(n_test=10**9)
    rows[OUTCOME] = np.where(rows["arm"] == "none", level, level + small)
    values = as_log_odds(rows, OUTCOME)
    gain = values[rows["arm"] == "forced"].mean() - values[rows["arm"] == "none"].mean()
    assert gain == pytest.approx(small, rel=0.01)
    # Far from there equal odds ratios count alike, which equal points do not.
    rows[OUTCOME] = np.where(rows["arm"] == "none", level, expit(logit(level) - 2.0))
    values = as_log_odds(rows, OUTCOME)
    loss = values[rows["arm"] == "none"].mean() - values[rows["arm"] == "forced"].mean()
    assert loss == pytest.approx(2.0 * level * (1 - level), rel=1e-4)


def test_the_worst_accuracy_stays_the_worst_on_either_scale() -> None:
    rows = table()
    rows.loc[::7, OUTCOME] = 0.0
    values = as_log_odds(rows, OUTCOME)
    assert np.nanmin(values) == pytest.approx(0.0, abs=1e-12)
    assert (np.isfinite(values) == rows[OUTCOME].notna()).all()


def test_the_curve_shows_every_choice_and_marks_the_studys_own() -> None:
    judged = analysis.multiverse(table())
    figure = figures.specification_curve(judged)
    top, middle, below = figure.axes
    medians = top.lines[1].get_ydata()
    assert len(medians) == judged.groupby(list(CHOICES)).ngroups == 8
    assert (np.diff(medians) >= 0).all()
    own = judged.loc[judged["primary"], "gain"].median()
    assert top.lines[2].get_ydata().tolist() == pytest.approx([own])
    assert sum(bar.get_height() for bar in middle.patches) == pytest.approx(8.0)
    labels = [label.get_text() for label in below.get_yticklabels()]
    assert {"best against best", "against the placebo", "log odds"} <= set(labels)


def test_an_outcome_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="no_such_test"):
        analysis.multiverse(table(), performance="no_such_test")


def test_what_is_no_share_has_no_odds() -> None:
    """As an accuracy in percent, of a trial of one's own: its choices were left out as NaN."""
    trials = table()
    in_percent = trials.assign(**{OUTCOME: 100 * trials[OUTCOME]})
    judged = analysis.multiverse(in_percent, margin=0.5)
    assert set(judged["scale"]) == {AS_MEASURED}
    shares = analysis.multiverse(trials).query("scale == @AS_MEASURED")
    assert judged["verdict"].tolist() == shares["verdict"].tolist()


def test_nothing_tested_is_a_table_without_rows() -> None:
    trials = table()
    cells = analysis.robustness(analysis.multiverse(trials.query("arm == 'none'")))
    assert len(cells) == 0
    assert {"label", "verdict", "choices", "share", "helps", "opposed"} <= set(cells)


@pytest.mark.parametrize("name", ["forcing_effects", "multiverse", "power", "moderators"])
def test_a_table_without_rows_is_told(name: str) -> None:
    with pytest.raises(InputError, match="the trial table has no rows"):
        getattr(analysis, name)(table().iloc[:0])
