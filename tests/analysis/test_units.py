"""Effects in sentences: in points where they are of accuracy, else in the outcome's own unit."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulate_trials import simulate_forcing

from raysweep.trials.outcomes import amount
from raysweep_analysis import forcing_effects
from raysweep_analysis.report import find
from raysweep_analysis.report.page import page
from raysweep_analysis.settings import Settings

OUTCOMES = {
    "performance_fused_test": (100.0, "points"),
    "loss_fused_test": (1.0, "nats"),
    "score": (1.0, "units of score"),
}


@pytest.fixture(scope="module")
def trials() -> pd.DataFrame:
    found = simulate_forcing(
        effects=[0.0, 0.03], seeds=4, sd_seed=0.02, rng=np.random.default_rng(5)
    )
    accuracy = found["performance_fused_test"]
    return found.assign(loss_fused_test=accuracy, score=accuracy)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_what_seeds_would_have_found_is_in_the_unit_of_the_sentence(
    trials: pd.DataFrame, outcome: str
) -> None:
    factor, unit = OUTCOMES[outcome]
    row = forcing_effects(trials, outcome).query("verdict == 'inconclusive'").iloc[0]
    said = re.search(rf"4 seeds would have found an effect of ([\d.]+) {unit} or", row["reason"])
    assert said is not None, row["reason"]
    # Found with 80 % power: by the noncentral t at the level of Holm's first of two tests.
    shift = float(said[1]) / factor / row["sd"] * 2
    critical = stats.t.ppf(1 - 0.025 / 2, 3)
    power = stats.nct.sf(critical, 3, shift) + stats.nct.cdf(-critical, 3, shift)
    assert power == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_sentence_and_table_of_a_report_has_one_unit(
    trials: pd.DataFrame, outcome: str
) -> None:
    factor, unit = OUTCOMES[outcome]
    found = find(trials, Settings(performance=outcome, margin=0.005))
    assert found.answer is not None
    said = "\n".join(found.answer.lines())
    html = page(found, [])
    margin = f"{0.005 * factor:g} {unit}"
    assert f"would find a true effect of {margin} with 80 % power" in said
    assert f"within ±{margin}" in html
    assert f"effect ({unit})" in html
    assert f"sd ({unit})" in html
    others = {words for _, words in OUTCOMES.values()} - {unit}
    assert not any(other in said for other in others)
    largest = found.effects["effect"].abs().max() * factor
    digits = 1 if unit == "points" else 3
    assert f"{largest:+.{digits}f}" in html


def test_amounts() -> None:
    outcome = "performance_fused_test"
    assert amount(0.08, outcome) == "8 points"
    assert amount(0.01, outcome) == "1 point"
    assert amount(-0.005, outcome) == "0.5 points"
    assert amount(0.123456, outcome, digits=2) == "12 points"
    assert amount(1.5, outcome, digits=2) == "150 points"
    assert amount(0.07, "regret_1_test") == "7 points"
    assert amount(0.0123, "loss_1_test", digits=2) == "0.012 nats"
