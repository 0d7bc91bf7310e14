"""Studies whose cells have no effect, or one at the margin, under draws that are not normal."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from simulate_trials import simulate_forcing

from raysweep_analysis import forcing_effects
from raysweep_analysis.inference import detectable_effect, holm
from raysweep_analysis.verdicts import FOUND

OUTCOME = "performance_fused_test"
CELLS = 40
CRITERIA = ("alignment", "performance")
MARGIN = 0.005

DrawEffects = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True)
class Scenario:
    """How draws differ, and what becomes of the runs.

    Attributes:
        draw_effects: of mean 0, in units of accuracy.
        effect: the true mean effect of every cell.
        sd_seed: spread of a difference beside that.
        base: mean accuracy of arm none.
        diverging: the share of forced runs that diverge, the worst ones.
        recorded: changes the finished table.
    """

    draw_effects: DrawEffects
    effect: float = 0.0
    sd_seed: float = 0.002
    base: float = 0.7
    diverging: float = 0.0
    recorded: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 0.01 * rng.standard_normal(shape)


def exponential(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 0.01 * (rng.exponential(size=shape) - 1)


def collapsing(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A tenth of the draws lose 2.7 points."""
    return np.where(rng.random(shape) < 0.1, -0.027, 0.003)


def rarely_large(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A tenth of the draws gain 4.5 points more than the mean, all others half a point less."""
    return np.where(rng.random(shape) < 0.1, 0.045, -0.005)


def with_ceiling(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy cannot be more than 1."""
    return table.assign(**{OUTCOME: table[OUTCOME].clip(upper=1.0)})


def with_ties(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of 100 test rows."""
    return table.assign(**{OUTCOME: table[OUTCOME].round(2)})


def partly_without_spread(table: pd.DataFrame) -> pd.DataFrame:
    """In every other cell all arms end alike."""
    flat = table["cell"].str.removeprefix("c").astype(int) % 2 == 0
    return table.assign(**{OUTCOME: table[OUTCOME].where(~flat, 0.75)})


def unequal(table: pd.DataFrame) -> pd.DataFrame:
    """Cells have 3 draws to all of them."""
    cell = table["cell"].str.removeprefix("c").astype(int)
    draws = table["draw"].max() + 1
    return table[table["draw"] < np.maximum(3, draws - cell % draws)]


SCENARIOS = {
    "normal": Scenario(normal),
    "accuracy near 1": Scenario(normal, base=0.985, recorded=with_ceiling),
    "ties": Scenario(normal, recorded=with_ties),
    "no spread in half": Scenario(normal, recorded=partly_without_spread),
    "unequal n": Scenario(normal, recorded=unequal),
    "exponential": Scenario(exponential),
    "a tenth collapses": Scenario(collapsing),
    "the worst fifth diverges": Scenario(normal, diverging=0.2),
}
"""Without an effect."""

AT_MARGIN = {
    "normal": Scenario(normal, MARGIN),
    "a tenth gains 5 points": Scenario(rarely_large, MARGIN),
    "a tenth loses 5 points": Scenario(lambda rng, shape: -rarely_large(rng, shape), -MARGIN),
}
"""With one at the margin of equivalence."""


def effects_of(
    scenario: Scenario, draws: int, studies: int, rng: np.random.Generator, cells: int = CELLS
) -> pd.DataFrame:
    """`with_student` of several studies."""
    table = simulate_forcing(
        effects=[scenario.effect] * cells,
        studies=studies,
        draws=draws,
        seeds=1,
        sd_seed=scenario.sd_seed,
        base=scenario.base,
        criteria=CRITERIA,
        placebo=False,
        draw_effects=scenario.draw_effects,
        diverging=scenario.diverging,
        rng=rng,
    )
    return with_student(forcing_effects(scenario.recorded(table), OUTCOME, margin=MARGIN))


def with_student(found: pd.DataFrame) -> pd.DataFrame:
    """`forcing_effects` with what Student's t alone would say: `found_by_t equivalent_by_t`."""
    adjusted = found.groupby("study")["p_value"].transform(lambda p: holm(p.to_numpy()))
    se = found["sd"] / np.sqrt(found["n"])
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = (MARGIN - found["effect"].abs()) / se > stats.t.ppf(0.95, found["n"] - 1)
    return found.assign(found_by_t=adjusted < 0.05, equivalent_by_t=inside)


def power(draws: int, studies: int, rng: np.random.Generator) -> tuple[float, float]:
    """How often normal effects are found that Student's t finds in 80 % of cells: by it, and ours.

    A fourth of the cells has the effect.
    """
    spread = float(np.hypot(0.01, 0.002))
    d_z = detectable_effect(draws, 0.05 / (CELLS * len(CRITERIA)))
    effects = [d_z * spread if cell % 4 == 0 else 0.0 for cell in range(CELLS)]
    table = simulate_forcing(
        effects=effects,
        studies=studies,
        draws=draws,
        seeds=1,
        sd_seed=0.002,
        criteria=CRITERIA,
        placebo=False,
        draw_effects=normal,
        rng=rng,
    )
    found = with_student(forcing_effects(table, OUTCOME, margin=MARGIN))
    there = found["cell"].str.removeprefix("c").astype(int) % 4 == 0
    told = found["verdict"] == FOUND[0]
    return float(found.loc[there, "found_by_t"].mean()), float(told[there].mean())


def false_verdicts(found: pd.DataFrame) -> tuple[float, float]:
    """The share of studies with a cell that helps or hurts: by Student's t alone, and as told."""
    told = found["verdict"].isin(FOUND[:2])
    by_t, ours = (wrong.groupby(found["study"]).any() for wrong in (found["found_by_t"], told))
    return float(by_t.mean()), float(ours.mean())


def false_equivalence(found: pd.DataFrame) -> tuple[float, float]:
    """The share of cells called equivalent: by Student's t alone, and as told."""
    return float(found["equivalent_by_t"].mean()), float((found["verdict"] == FOUND[2]).mean())
