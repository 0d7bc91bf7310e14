"""Effects that are drawn together: closer to the truth, with intervals that hold."""

import numpy as np
import pytest
from scipy import stats
from simulate_trials import simulate_forcing

from raysweep import analysis
from raysweep_analysis.inference.pooled import partial_pooling

CELLS = 40
STEPS = np.repeat(np.arange(5.0), CELLS // 5)
STEPS = (STEPS - STEPS.mean()) / STEPS.std()
TRUTHS = {
    "along the grid": lambda rng: 0.01 * STEPS + 0.003 * rng.standard_normal(CELLS),
    "no effect": lambda rng: np.zeros(CELLS),
    "a few large ones": lambda rng: np.where(rng.random(CELLS) < 0.1, 0.03, 0.0),
}


@pytest.mark.parametrize("name", TRUTHS)
@pytest.mark.parametrize("units", [4, 12])
def test_intervals_hold_and_effects_are_nearer_to_the_truth(name: str, units: int) -> None:
    rng = np.random.default_rng(units)
    inside, far, far_raw, shorter = [], [], [], []
    for _ in range(150):
        truth = TRUTHS[name](rng)
        sd = 0.01 * np.exp(0.5 * rng.standard_normal(CELLS))
        d = truth[:, None] + sd[:, None] * rng.standard_normal((CELLS, units))
        mean, spread = d.mean(axis=1), d.std(axis=1, ddof=1)
        found = partial_pooling(mean, spread, np.full(CELLS, units), STEPS[:, None])
        inside.append((found.low <= truth) & (truth <= found.high))
        far.append((found.mean - truth) ** 2)
        far_raw.append((mean - truth) ** 2)
        raw = 2 * stats.t.ppf(0.975, units - 1) * spread / np.sqrt(units)
        shorter.append((found.high - found.low) / raw)
    assert np.mean(inside) >= 0.93
    assert np.sqrt(np.mean(far) / np.mean(far_raw)) < 0.92
    assert np.median(shorter) < 1


def test_many_units_are_left_as_they_are_and_few_cells_are_not_pooled() -> None:
    rng = np.random.default_rng(0)
    effects, sd = rng.standard_normal(8), np.full(8, 0.01)
    found = partial_pooling(effects, sd, np.full(8, 1_000))
    np.testing.assert_allclose(found.mean, effects, atol=1e-5)
    assert (found.own > 0.999).all()
    assert np.isnan(partial_pooling(effects[:4], sd[:4], np.full(4, 10)).mean).all()


def test_against_the_closed_form_where_the_spread_between_cells_is_known() -> None:
    # Of very many cells tau is known: the posterior is then the textbook's.
    rng = np.random.default_rng(1)
    truth = rng.standard_normal(4_000)
    n, sd = 50, np.sqrt(50.0)
    effects = truth + rng.standard_normal(4_000)
    found = partial_pooling(effects, np.full(4_000, sd), np.full(4_000, n))
    np.testing.assert_allclose(found.own, 0.5, atol=0.03)
    np.testing.assert_allclose(found.mean, effects / 2, atol=0.15)
    half = 1.96 * np.sqrt(0.5)
    np.testing.assert_allclose((found.high - found.low) / 2, half, rtol=0.05)


def test_a_table_has_them_beside_its_effects() -> None:
    u = [0, 2, 4, 6, 8, 10]
    trials = simulate_forcing(
        effects=[0.004 * (v - 4) for v in u],
        draws=5,
        seeds=2,
        criteria=["alignment", "performance"],
        characteristics={"U": u},
        rng=np.random.default_rng(2),
    )
    effects = analysis.forcing_effects(trials)
    pooled = analysis.pooled_effects(effects)
    assert pooled["cell"].tolist() == effects["cell"].tolist()
    np.testing.assert_allclose(pooled["effect"], effects["effect"])
    assert pooled["own_weight"].between(0, 1).all()
    for criterion, rows in effects.groupby("chosen_by"):
        alone = analysis.pooled_effects(rows)
        np.testing.assert_allclose(
            alone["pooled"], pooled.loc[pooled["chosen_by"] == criterion, "pooled"]
        )
    assert analysis.pooled_effects(effects[effects["U"] < 6]).empty
