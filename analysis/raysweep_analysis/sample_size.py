"""How many seeds or draws it takes to know, from the spread seen so far."""

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from raysweep.errors import InputError
from raysweep.trials.columns import PERFORMANCE
from raysweep_analysis.contrasts import forcing_effects
from raysweep_analysis.inference import independent_units, power_paired_t, shared_variance
from raysweep_analysis.load import filled, searched_options, usable, values_of
from raysweep_analysis.pairs import PLACE
from raysweep_analysis.resplits import SPLIT, tested_share

_MOST = 100_000
_STRIDE = 16
"""Numbers of units that are tried at a time."""
COLUMNS = [
    *("study", "cell", "label", "chosen_by", "source", "unit", "n_seen", "sd", "sd_high"),
    *("effect", "n_needed", "n_needed_family", "n_needed_safe", "n_for_equivalence", "n_more"),
    "seconds_more",
]


def units_needed(
    d_z: ArrayLike, alpha: ArrayLike = 0.05, power: float = 0.8, shared: ArrayLike = 0.0
) -> NDArray[np.int64]:
    """Paired units (seeds, or draws) for a two-sided t test to find a standardised effect.

    Args:
        d_z: [...] true mean difference over its standard deviation, not 0.
        alpha: [...] level; alpha / m for the worst of m tests under Holm.
        power: wanted probability of finding it.
        shared: [...] what units share that are splits of the same rows, see `shared_variance`.

    Returns:
        [...] the smallest n >= 2; at most 100,000, which also stands for never.
    """
    given = np.broadcast_arrays(*(np.asarray(one, float) for one in (d_z, alpha, shared)))
    effect, level, share = (np.ravel(one) for one in given)
    impossible = ~np.isfinite(effect) | (effect == 0)
    if impossible.any():
        raise InputError(
            f"power: a standardised effect of {effect[impossible][0]} cannot be found by any number"
        )
    # The normal approximation is a little low, so the answer is at it or soon after.
    z = stats.norm.ppf(1 - level / 2) + stats.norm.ppf(power)
    independent = (z / effect) ** 2
    with np.errstate(divide="ignore"):
        least = np.where(independent * share < 1, independent / (1 - independent * share), _MOST)
    start = np.clip(least, 2, _MOST).astype(np.int64)
    found = np.full(effect.shape, _MOST)
    left = start < _MOST
    while left.any():
        n = start[left][:, None] + np.arange(_STRIDE)
        of_each = (one[left][:, None] for one in (effect, level, share))
        d, a, c = of_each
        enough = power_paired_t(d, n, a, c) >= power
        first = np.take_along_axis(n, enough.argmax(axis=1)[:, None], axis=1)[:, 0]
        found[left] = np.where(enough.any(axis=1), first, _MOST)
        start[left] += _STRIDE
        left[left] = ~enough.any(axis=1)
        left &= start < _MOST
    return found.reshape(given[0].shape)[()]


def units_for_equivalence(
    margin: float,
    sd: ArrayLike,
    alpha: float = 0.05,
    power: float = 0.8,
    shared: ArrayLike = 0.0,
) -> NDArray[np.int64]:
    """Paired units for two one-sided t tests to show a true difference of 0 to be within a margin.

    By the usual approximation, power = 2 P(T <= margin / se - t) - 1.

    Args:
        margin: of equivalence, in the outcome's unit, not 0.
        sd: [...] of paired differences, in the same unit.
        alpha: level.
        power: wanted probability of showing it.
        shared: [...] as `units_needed`.

    Returns:
        [...] the smallest n >= 2; at most 100,000, which also stands for never.
    """
    spread, share = np.broadcast_arrays(np.asarray(sd, float), np.asarray(shared, float))

    def enough(n: NDArray[np.int64]) -> NDArray[np.bool_]:
        with np.errstate(divide="ignore"):
            steady = margin * np.sqrt(independent_units(n, share)) / spread
            limit = steady - stats.t.ppf(1 - alpha, n - 1)
        return np.asarray(2 * stats.t.cdf(limit, n - 1) - 1 >= power)

    low, high = np.full(spread.shape, 2), np.full(spread.shape, _MOST)
    while (low < high).any():
        middle = (low + high) // 2
        there = enough(middle)
        low, high = np.where(there, low, middle + 1), np.where(there, middle, high)
    return np.minimum(low, _MOST)[()]


def power(
    trials: pd.DataFrame,
    performance: str = PERFORMANCE,
    effect: float | None = None,
    alpha: float = 0.05,
    margin: float = 0.005,
    wanted: float = 0.8,
    effects: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Seeds (or draws) that each cell needs for an answer.

    Args:
        trials: a trial table; without confirm rows the spread is taken from the search, over all
            its strengths.
        performance: the outcome.
        effect: the true effect that must not be missed, in the outcome's unit; by default the
            margin.
        alpha: level.
        margin: for equivalence, in the outcome's unit.
        wanted: power.
        effects: what `forcing_effects` gave for the same settings, if at hand.

    Returns:
        One row per (study, cell, chosen_by): `source` (`confirm`, `search` or `none`), `unit`,
        `n_seen`, `sd` of paired differences, `sd_high` (upper 80 % limit: few units make a poor
        guess of a spread), `effect`; `n_needed` for one test, `n_needed_family` as Holm's worst
        over the study's cells, `n_needed_safe` (the latter at sd_high: it reaches the wanted power
        in 80 % of studies, the others in less than half), `n_for_equivalence` if
        there is no difference, `n_more` (n_needed_safe less what is there), `seconds_more` (their
        training on one core, from what a unit took so far). NaN where no spread is known, and
        where no number of splits of the same rows would do. `sd`, `sd_high` and
        `effect` are in the outcome's unit (of accuracy and regret a share, 0.01 is a point; of
        losses nats), the others count units.

    Example:
        >>> from raysweep import analysis
        >>> from raysweep.analysis.examples import FORCING
        >>> trials = analysis.load_trials(FORCING)
        >>> needs = analysis.power(trials, effect=0.02)
        >>> needs["unit"].unique().tolist()
        ['draw']
    """
    trials = filled(trials)
    wanted_effect = margin if effect is None else effect
    seen = effects
    if seen is None:
        seen = forcing_effects(trials, performance, alpha, margin)
    from_search = _search_spread(trials, performance)
    table = seen[["study", "cell", "label", "chosen_by", "unit", "sd"]].reset_index(drop=True)
    table = table.assign(source="confirm", n_seen=seen["n"].to_numpy(), effect=wanted_effect)
    few = table["n_seen"] < 2
    places = [(str(s), str(c)) for s, c in zip(table["study"], table["cell"], strict=True)]
    spread = pd.DataFrame([from_search.get(place, (np.nan, 0)) for place in places])
    table.loc[few, ["sd", "n_seen"]] = spread[few].to_numpy()
    table["source"] = np.where(few, np.where(table["n_seen"] >= 2, "search", "none"), "confirm")
    share = _shared(seen, table["unit"])
    table["unit"] = table["unit"].where(~few, "seed")
    table["n_seen"] = table["n_seen"].astype(np.int64)
    tests = table.groupby("study")["study"].transform("size").to_numpy(float)
    known = (table["sd"] > 0).to_numpy() & (table["n_seen"] >= 2).to_numpy() & (wanted_effect != 0)
    sd, n = table["sd"].to_numpy(float)[known], table["n_seen"].to_numpy()[known]
    sd_high = sd * np.sqrt((n - 1) / stats.chi2.ppf(0.2, n - 1))
    worst, shared = alpha / tests[known], np.where(few, 0.0, share)[known]
    family = units_needed(wanted_effect / sd, worst, wanted, shared)
    safe = units_needed(wanted_effect / sd_high, worst, wanted, shared)
    needs = {
        "sd_high": sd_high,
        "n_needed": units_needed(wanted_effect / sd, alpha, wanted, shared),
        "n_needed_family": family,
        "n_needed_safe": safe,
        "n_for_equivalence": units_for_equivalence(margin, sd, alpha, wanted, shared)
        if margin
        else np.full(len(sd), np.nan),
        "n_more": np.maximum(0, safe - n),
    }
    never = (shared > 0) & (safe >= _MOST)
    needs["n_more"] = np.where(never, np.nan, needs["n_more"])
    for name, values in needs.items():
        # Splits share rows: some answers no number of them gives.
        beyond = (shared > 0) & (np.asarray(values, dtype=float) >= _MOST)
        table[name] = np.nan
        table.loc[known, name] = np.where(beyond, np.nan, values)
    return table.assign(seconds_more=table["n_more"] * _seconds(trials, table))[COLUMNS]


def _seconds(trials: pd.DataFrame, table: pd.DataFrame) -> NDArray[np.float64]:
    """Training time of one unit in all arms, per row of the table; NaN where none was timed."""
    confirmed = trials[usable(trials) & (trials["stage"].astype(str) == "confirm")]
    if "train_seconds" not in confirmed:
        return np.full(len(table), np.nan)
    seeds = confirmed.groupby([*PLACE, "draw", "seed"])["train_seconds"].sum(min_count=1)
    draws = seeds.groupby([*PLACE, "draw"]).sum(min_count=1)
    takes = {unit: by.groupby(PLACE).mean() for unit, by in (("seed", seeds), ("draw", draws))}
    takes[SPLIT] = takes["draw"]
    return np.array(
        [
            takes[unit].get((study, cell), np.nan)
            for study, cell, unit in zip(table["study"], table["cell"], table["unit"], strict=True)
        ]
    )


def _shared(effects: pd.DataFrame, unit: pd.Series) -> NDArray[np.float64]:
    """What the units of each row share: 0 but for many splits of the same rows."""
    if not (unit == SPLIT).any():
        return np.zeros(len(effects))
    # Of many turns hardly any two splits are of one.
    return np.where(unit == SPLIT, shared_variance(tested_share(effects)), 0.0)


def _search_spread(
    trials: pd.DataFrame, performance: str
) -> dict[tuple[str, str], tuple[float, int]]:
    """Spread of (forced - none) over seeds and draws within proposals, pooled, and its n."""
    ok = usable(trials) & (trials["stage"].astype(str) == "search")
    rows = trials.loc[ok, [*PLACE, "draw", "seed", "strength"]].assign(
        y=values_of(trials, performance)[ok], options=searched_options(trials)[ok]
    )
    base = rows[rows["strength"] == 0].groupby([*PLACE, "draw", "seed"])["y"].mean().rename("base")
    joined = rows[rows["strength"] > 0].merge(base.reset_index(), on=[*PLACE, "draw", "seed"])
    joined["d"] = joined["y"] - joined["base"]
    by = joined.groupby([*PLACE, "strength", "options"])["d"].agg(["var", "count"]).reset_index()
    by = by[by["count"] >= 2]
    # strengths share their baselines, so more strengths do not make the spread better known
    pooled = by.groupby(PLACE).agg(var=("var", "mean"), n=("count", "max"))
    return {
        (str(place[0]), str(place[1])): (math.sqrt(row["var"]), int(row["n"]))
        for place, row in zip(pooled.index, pooled.to_dict("records"), strict=True)
    }
