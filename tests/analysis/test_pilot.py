"""The spread that a pilot says, against the one that its table was drawn with."""

import numpy as np
import pytest
from simulate_trials import simulate_forcing

from raysweep.analysis import forcing_effects, pilot_spread
from raysweep.errors import InputError
from raysweep_analysis.inference import detectable_effect, power_paired_t
from raysweep_analysis.pilot import pooled_spread


def test_it_is_that_of_all_cells_pooled() -> None:
    table = simulate_forcing(
        effects=[0.0, 0.01, -0.02], draws=3, seeds=2, sd_draw=0.02, rng=np.random.default_rng(0)
    )
    found = pilot_spread(table)
    fused = table[table["arm"].isin(["none", "forced"])]
    means = fused.pivot_table(
        index=["cell", "draw"], columns="arm", values="performance_fused_test", aggfunc="mean"
    )
    variances = (means["forced"] - means["none"]).groupby("cell").var(ddof=1)
    assert found.sd == pytest.approx(np.sqrt(variances.mean()), rel=1e-9)
    assert (found.cells, found.units, found.unit) == (3, 9, "draw")
    assert found.sd_high > found.sd


def test_its_limit_is_above_the_truth_in_four_of_five_pilots() -> None:
    drawn = np.random.default_rng(1).normal(0, 0.02, size=(4000, 6, 3))
    high = [pooled_spread([3] * 6, of_cells)[1] for of_cells in drawn.std(axis=2, ddof=1)]
    assert np.mean(np.array(high) > 0.02) == pytest.approx(0.8, abs=0.03)


def test_units_that_are_alone_have_no_spread() -> None:
    table = simulate_forcing(effects=[0.0], draws=1, seeds=1, rng=np.random.default_rng(0))
    assert forcing_effects(table)["n"].tolist() == [1]
    with pytest.raises(InputError, match="three draws or more"):
        pilot_spread(table)


@pytest.mark.parametrize("cells", [1, 4])
def test_a_pilot_of_three_draws_says_what_is_found_in_four_of_five_studies(cells: int) -> None:
    sd, draws = 0.01, 12
    pilots = simulate_forcing(
        effects=[0.0] * cells, studies=150, draws=3, seeds=1, sd_seed=sd,
        rng=np.random.default_rng(4), placebo=False,
    )  # fmt: skip
    smallest = detectable_effect(draws, 0.05, 0.8)
    effects = forcing_effects(pilots)  # of all at once; what `pilot_spread` makes of one's rows:
    high = [pooled_spread(rows["n"], rows["sd"])[1] for _, rows in effects.groupby("study")]
    power = [power_paired_t(smallest * of / sd, draws, 0.05) for of in high]
    assert len(power) == 150
    assert 0.7 <= np.mean(np.array(power) >= 0.8) <= 0.9
