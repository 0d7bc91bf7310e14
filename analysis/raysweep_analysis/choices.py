"""The verdict under every reasonable choice of an analysis, and the share under which it holds."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raysweep.errors import InputError
from raysweep.trials.columns import PERFORMANCE, column_of, is_own_metric, named
from raysweep.trials.outcome_families import ALL_FAMILIES
from raysweep.trials.outcomes import in_label_units, margin_for
from raysweep_analysis.contrasts import forcing_effects
from raysweep_analysis.load import filled, has_outcome, values_of
from raysweep_analysis.pairs import PLACE, Unit
from raysweep_analysis.verdicts import VERDICTS

CHOICES = ("chosen_by", "reference", "performance", "scale", "alpha", "margins")
AS_MEASURED, LOG_ODDS = "as measured", "log odds"
_ROBUSTNESS = [*PLACE, "label", "verdict", "choices", "share", *VERDICTS[:4], "opposed"]
_FAMILIES = ("performance", "loss", *ALL_FAMILIES)
_HEADS = ("fused", 1, 2)


@dataclass(frozen=True)
class _Outcome:
    """An outcome on a scale, with the margin that it has there."""

    performance: str
    scale: str
    margin: float


def multiverse(
    trials: pd.DataFrame,
    performance: str = PERFORMANCE,
    alpha: float = 0.05,
    margin: float = 0.005,
    *,
    unit: Unit = "auto",
    looks: Sequence[int] = (),
    alphas: Sequence[float] = (),
    margins: Sequence[float] = (),
) -> pd.DataFrame:
    """Judge every cell under every choice that its rows allow.

    Choices are crossed: the criterion that chose the strength (best against best or the same rates
    for all arms, by performance or alignment), what forcing is compared with (no forcing, the
    placebo), the outcome (every head, and every family that was measured on the split of the
    primary one) and its scale (shares also as log odds, times p (1 - p) of the mean accuracy p of
    the cell without forcing: an effect keeps its unit, and the margin its meaning). Each choice is
    a family of tests of its own, as if it had been the only one.

    Args:
        trials: a trial table, as from `load_trials`.
        performance: the primary outcome.
        alpha: error rate of each choice.
        margin: of equivalence, in the unit of the primary outcome; others have their usual one.
        unit: as `forcing_effects`.
        looks: as `forcing_effects`.
        alphas: further error rates.
        margins: further margins, as multiples of the usual one.

    Returns:
        One row per (study, cell) and choice: `study cell label`, the choice (`chosen_by reference
        performance scale alpha margins`), `primary` (whether it is the study's own: the first
        criterion, against no forcing, the primary outcome as measured, at the study's level and
        margin), `effect` (in the outcome's unit), `margin`, `gain` (the effect in
        margins, positive where forcing is better) and `verdict`. Choices that a cell has no test
        for are left out.

    Example:
        >>> from raysweep import analysis
        >>> from raysweep.analysis.examples import FORCING
        >>> judged = analysis.multiverse(analysis.load_trials(FORCING).query("U == 0"))
        >>> sorted(set(judged["scale"]))
        ['as measured', 'log odds']
    """
    trials = filled(trials)
    parts: list[pd.DataFrame] = []
    for outcome in _outcomes(trials, performance, margin):
        table = trials
        if outcome.scale == LOG_ODDS:
            table = trials.assign(**{outcome.performance: as_log_odds(trials, outcome.performance)})
        for level, multiple in itertools.product(
            dict.fromkeys([alpha, *alphas]), dict.fromkeys([1.0, *margins])
        ):
            width = multiple * outcome.margin
            effects = forcing_effects(
                table, outcome.performance, level, width, unit=unit, looks=looks
            ).assign(scale=outcome.scale, alpha=level, margins=multiple, margin=width)
            parts += _judged(effects)
    found: pd.DataFrame = pd.concat(parts, ignore_index=True)
    first = found.groupby("study")["chosen_by"].transform("first")
    found["primary"] = (
        (found["chosen_by"] == first)
        & (found["reference"] == "none")
        & (found["performance"] == performance)
        & (found["scale"] == AS_MEASURED)
        & (found["alpha"] == alpha)
        & (found["margins"] == 1)
    )
    columns = [*PLACE, "label", *CHOICES, "primary", "effect", "margin", "gain", "verdict"]
    return found[columns]


def _judged(effects: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Verdicts against either reference, where there is one."""
    less = effects["performance"].map(lambda name: column_of(name).better_is_less)
    for reference, effect, verdict in (
        ("none", "effect", "verdict"),
        ("placebo", "effect_vs_placebo", "verdict_vs_placebo"),
    ):
        of = effects.assign(reference=reference, effect=effects[effect], verdict=effects[verdict])
        of["gain"] = of["effect"] / of["margin"] * np.where(less, -1.0, 1.0)
        columns = [*PLACE, "label", *CHOICES, "effect", "margin", "gain", "verdict"]
        yield of.loc[of["verdict"].isin(VERDICTS[:4]), columns]


def robustness(judged: pd.DataFrame) -> pd.DataFrame:
    """How far each cell's verdict hangs on the choices.

    Args:
        judged: as from `multiverse`.

    Returns:
        One row per (study, cell): `study cell label`, `verdict` (of the primary choice), `choices`,
        `share` (of the choices that say the same), the choices that say `helps hurts equivalent
        inconclusive`, and `opposed` (the share that says the contrary of helps or hurts). No rows
        where nothing was tested.
    """
    rows = []
    contrary = {"helps": "hurts", "hurts": "helps"}
    for (study, cell), of_cell in judged.groupby(PLACE, sort=False):
        primary = of_cell.loc[of_cell["primary"], "verdict"]
        verdict = str(primary.iloc[0]) if len(primary) else "untested"
        counts = of_cell["verdict"].value_counts()
        rows.append(
            {
                "study": study,
                "cell": cell,
                "label": of_cell["label"].iloc[0],
                "verdict": verdict,
                "choices": len(of_cell),
                "share": counts.get(verdict, 0) / len(of_cell),
                **{name: int(counts.get(name, 0)) for name in VERDICTS[:4]},
                "opposed": counts.get(contrary.get(verdict, ""), 0) / len(of_cell),
            }
        )
    return pd.DataFrame(rows, columns=_ROBUSTNESS)


def as_log_odds(trials: pd.DataFrame, outcome: str) -> NDArray[np.float64]:
    """A share [rows] as log odds, in its own unit where the cell is without forcing.

    Half a row of the split is added to right and wrong ones, so that 0 and 1 have odds; 0 stays the
    worst that there is.
    """
    y = values_of(trials, outcome).to_numpy(float)
    size = f"n_{column_of(outcome).split}"
    rows = trials[size].to_numpy(float) if size in trials else np.full(len(y), 1e6)
    rows = np.where(np.isnan(rows), 1e6, rows)
    odds = _logit((y * rows + 0.5) / (rows + 1)) - _logit(0.5 / (rows + 1))
    none = (trials["arm"].astype(str) == "none") & (trials["stage"].astype(str) == "confirm")
    levels = trials[PLACE].assign(p=np.where(none, y, np.nan)).groupby(PLACE)["p"]
    p = levels.transform("mean").to_numpy(float)
    return odds * np.maximum(p * (1 - p), 1e-6)


def _logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(p) - np.log1p(-p)


def _outcomes(trials: pd.DataFrame, primary: str, margin: float) -> Iterator[_Outcome]:
    """What was measured on the primary outcome's split, the primary one first."""
    split = column_of(primary).split
    known = [named(family, head, split) for family in _FAMILIES for head in _HEADS]
    own = [name for name in map(str, trials) if is_own_metric(name)]
    known += [name for name in own if column_of(name).split == split]
    for name in dict.fromkeys([primary, *(n for n in known if has_outcome(trials, n))]):
        # In the label's unit no margin is usual.
        if in_label_units(name) and not in_label_units(primary):
            continue
        try:
            of_it = margin_for(name, primary, margin)
        except InputError:
            continue
        yield _Outcome(name, AS_MEASURED, of_it)
        if column_of(name).family == "performance" and _is_share(trials, name):
            yield _Outcome(name, LOG_ODDS, of_it)


def _is_share(trials: pd.DataFrame, outcome: str) -> bool:
    """Whether an outcome is within 0..1; a trial of one's own may give it in percent."""
    values = values_of(trials, outcome).dropna()
    return bool(values.between(0.0, 1.0).all())
