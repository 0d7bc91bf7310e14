"""How many seeds or draws it takes to know, from the spread seen so far."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from raysweep.errors import InputError
from raysweep_analysis.contrasts import forcing_effects
from raysweep_analysis.inference import power_paired_t
from raysweep_analysis.load import plain, searched_options, values_of
from raysweep_analysis.pairs import PLACE

_MOST = 100_000
COLUMNS = [
    *("study", "cell", "label", "chosen_by", "source", "unit", "n_seen", "sd", "sd_high"),
    *("effect", "n_needed", "n_needed_family", "n_needed_safe", "n_for_equivalence", "n_more"),
]


def units_needed(d_z: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Paired units (seeds, or draws) for a two-sided t test to find a standardised effect.

    Args:
        d_z: true mean difference over its standard deviation, not 0.
        alpha: level; alpha / m for the worst of m tests under Holm.
        power: wanted probability of finding it.

    Returns:
        The smallest n >= 2; at most 100,000.
    """
    if not d_z or not math.isfinite(d_z):
        raise InputError(f"power: a standardised effect of {d_z} cannot be found by any number")
    # The normal approximation is a little low, so the answer is at it or soon after.
    z = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)
    start = int(min(max(2.0, (z / d_z) ** 2), _MOST))
    while start < _MOST:
        n = np.arange(start, start + 16)
        enough = power_paired_t(d_z, n, alpha) >= power
        if enough.any():
            return int(n[enough.argmax()])
        start += 16
    return _MOST


def units_for_equivalence(margin: float, sd: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Paired units for two one-sided t tests to show a true difference of 0 to be within a margin.

    By the usual approximation, power = 2 P(T <= margin / se - t) - 1.
    """
    if sd == 0:
        return 2

    def enough(n: int) -> bool:
        limit = margin * math.sqrt(n) / sd - float(stats.t.ppf(1 - alpha, n - 1))
        return 2 * float(stats.t.cdf(limit, n - 1)) - 1 >= power

    return _smallest(enough)


def power(
    trials: pd.DataFrame,
    performance: str = "performance_fused_test",
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
        over the study's cells, `n_needed_safe` (the latter at sd_high), `n_for_equivalence` if
        there is no difference, `n_more` (n_needed_family less what is there). NaN where no spread
        is known. `sd`, `sd_high` and `effect` are in the outcome's unit (of accuracy and regret a
        share, 0.01 is a point; of losses nats), the others count units.
    """
    trials = plain(trials)
    wanted_effect = margin if effect is None else effect
    seen = effects
    if seen is None:
        seen = forcing_effects(trials, performance, alpha, margin)
    rows = []
    from_search = _search_spread(trials, performance)
    for row in seen.to_dict("records"):
        n, sd, unit, source = row["n"], row["sd"], row["unit"], "confirm"
        if n < 2:
            sd, n = from_search.get((row["study"], row["cell"]), (np.nan, 0))
            source, unit = ("search" if n >= 2 else "none"), "seed"
        tests = int((seen["study"] == row["study"]).sum())
        rows.append(
            {c: row[c] for c in ("study", "cell", "label", "chosen_by")}
            | {"source": source, "unit": unit, "n_seen": n, "sd": sd, "effect": wanted_effect}
            | _needs(sd, n, wanted_effect, alpha, tests, margin, wanted)
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _needs(
    sd: float, n: int, effect: float, alpha: float, tests: int, margin: float, wanted: float
) -> dict[str, float]:
    if not sd > 0 or n < 2 or effect == 0:
        return {}
    sd_high = sd * math.sqrt((n - 1) / float(stats.chi2.ppf(0.2, n - 1)))
    family = units_needed(effect / sd, alpha / tests, wanted)
    return {
        "sd_high": sd_high,
        "n_needed": units_needed(effect / sd, alpha, wanted),
        "n_needed_family": family,
        "n_needed_safe": units_needed(effect / sd_high, alpha / tests, wanted),
        "n_for_equivalence": units_for_equivalence(margin, sd, alpha, wanted) if margin else np.nan,
        "n_more": max(0, family - n),
    }


def _search_spread(
    trials: pd.DataFrame, performance: str
) -> dict[tuple[str, str], tuple[float, int]]:
    """Spread of (forced - none) over seeds and draws within proposals, pooled, and its n."""
    ok = (trials["status"].astype(str) == "ok") & (trials["stage"].astype(str) == "search")
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


def _smallest(enough: Callable[[int], bool]) -> int:
    high = 2
    while high < _MOST and not enough(high):
        high *= 2
    low = max(2, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return min(high, _MOST)
