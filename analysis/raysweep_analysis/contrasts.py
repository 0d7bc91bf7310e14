"""Per cell: what forcing alignment did, against no forcing and against a placebo."""

from collections.abc import Sequence
from numbers import Real

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raysweep.errors import InputError
from raysweep.trials.columns import PERFORMANCE, column_of
from raysweep.trials.criteria import BEST, BOTH, CRITERIA
from raysweep_analysis.inference import paired_t
from raysweep_analysis.judgement import judged
from raysweep_analysis.load import (
    alignment_column,
    check_seeds,
    describe_cells,
    filled,
)
from raysweep_analysis.looks import reached
from raysweep_analysis.pairs import GROUP, PLACE, Unit, confirm_rows, paired, units
from raysweep_analysis.resplits import check_unit
from raysweep_analysis.verdicts import reasons


def forcing_effects(
    trials: pd.DataFrame,
    performance: str = PERFORMANCE,
    alpha: float = 0.05,
    margin: float = 0.005,
    *,
    unit: Unit = "auto",
    alignment: str | None = None,
    looks: Sequence[int] = (),
) -> pd.DataFrame:
    """Test in every cell whether forcing alignment changed the performance.

    Only confirm rows with status ok count, paired by (cell, draw, seed). The unit is the dataset
    draw where a cell has several (a draw's value is the mean over its seeds), else the seed. Draws
    that are splits of the same rows (column `resplit`) share them, and all tests and intervals
    allow for it (`raysweep_analysis.inference.shared_variance`); the unit is then called `split`.
    The primary test is the paired t, its p-values Holm-adjusted over all rows of a study; those
    against the placebo are a second family. Verdict:
    `helps` or `hurts` if the adjusted p is below alpha, by sign; else `equivalent` if two
    one-sided t tests place the effect within the margin (not adjusted: an error of at most alpha
    per cell); else `inconclusive`, or `untested` where fewer than two units allow no test. A run
    in which nothing was forced at any step, though it was to be, counts as missing.

    Student's t alone does not make a verdict (`doubt` says what took it away): where the units of
    a study and criterion are lopsided, a p-value is at least that of t statistics of such units
    (`raysweep_analysis.inference.own_units`); forced runs that diverged or failed count as the
    worst that the outcome can be against `helps`, as no gain against `hurts`, and runs of strength
    0 the other way round; `helps` and `hurts` become `inconclusive` where six units or more have a
    sign-flip p above alpha; and so does any verdict that is another one without the units that
    stand out, or that these speak against by more than the margin.

    A sequential study (``looks``) is tested at the last look that is whole, and its p-values,
    adjusted p-values and intervals allow for all looks (`raysweep_analysis.inference.over_looks`),
    whenever a cell stopped; Holm's adjustment counts the cells that have not been looked at yet.

    Args:
        trials: a trial table, as from `load_trials`; several studies are separate families.
        performance: the outcome: `performance_*` (0..1), `loss_*` (nats) or `regret_*` (0..1).
        alpha: error rate, in (0, 1).
        margin: largest effect that counts as no difference, in the outcome's unit.
        unit: `auto`, `seed` or `draw`.
        alignment: the alignment column to report; by default the first of the same split.
        looks: units at each look of a sequential study, the last those of a whole cell.

    Returns:
        One row per (study, cell, chosen_by), in the table's order; of `objective: both` a criterion
        that chose no strength has an untested one beside the other's:

        - `study cell label chosen_by performance` and the descriptors of the cell;
        - `strength` (median over forced rows), `options` (of the loss, those that were searched),
          `n` (units), `unit`, `n_pairs`, `n_draws`,
          `n_dropped` (planned pairs without two usable runs), `n_diverged`, `n_failed` (confirm
          runs), `n_unforced` (runs of arm forced in which nothing was);
        - `performance_none performance_forced`: means over the pairs, in the outcome's unit: of
          accuracy and regret a share (0.01 is a point), of losses nats;
        - in the same unit `effect` = forced - none, `ci_low ci_high` (1 - alpha, not adjusted),
          `effect_low effect_high` (with lost runs at either worst; NaN where the outcome has no
          worst value), `sd` over units; without a unit, 0..1 but for `d_z`:
          `p_value` (paired t), `p_own_units` (of t statistics of the study's own units; empty
          where these are not lopsided), `p_adjusted` (Holm over the highest p for the claim),
          `p_signflip` (exact; empty over splits of the
          same rows, whose signs are not independent), `d_z`
          (Hedges-corrected), `p_equivalence` (TOST), `within_margin` (p_equivalence < alpha);
        - of a sequential study `look` (from 1; 0 before the first) and `looks`: `p_value` is of
          this look alone, all others allow for the looks;
        - `verdict`, `outlying` (the numbers of draws or seeds that stand out), `doubt` (what a
          verdict rests on, or what took it away; mostly empty), `reason` (what
          limits the verdict; empty when nothing does);
        - `smallest_detectable_effect`: found with 80 % power at this n and spread, at the level of
          Holm's first step, in the outcome's unit; NaN where all differences are equal, so that
          there is no spread;
        - `effect_vs_placebo` = forced - placebo, `placebo_ci_low placebo_ci_high p_vs_placebo
          p_vs_placebo_adjusted verdict_vs_placebo` (empty without a placebo arm): what remains
          once plain regularisation is taken off, in the outcome's unit;
        - `alignment` (the column), `alignment_none alignment_forced alignment_gain
          alignment_ci_low alignment_ci_high`: whether forcing did what it says, in the unit of
          the alignment column.

    Raises:
        InputError: an unknown column, an alpha outside (0, 1), a negative margin, seeds shared by
            search and confirmation, or several strengths for one criterion.

    Example:
        >>> from raysweep import analysis
        >>> from raysweep.analysis.examples import FORCING
        >>> trials = analysis.load_trials(FORCING)
        >>> analysis.forcing_effects(trials)["verdict"].value_counts().to_dict()
        {'hurts': 37, 'equivalent': 20, 'inconclusive': 14, 'helps': 9}
    """
    if not _is_number(alpha) or not 0 < alpha < 1:
        raise InputError(f"alpha is {alpha!r}; expected a number between 0 and 1")
    if not _is_number(margin) or not margin >= 0:
        raise InputError(f"margin is {margin!r}; expected 0 or more, in the unit of {performance}")
    trials = filled(trials)
    check_seeds(trials)
    check_unit(trials, unit)
    measure = alignment_column(trials, column_of(performance).split, alignment)
    rows = confirm_rows(trials, {"y": performance} | ({"a": measure} if measure else {}))
    cells = describe_cells(trials)
    forced = rows[rows["arm"] == "forced"]
    groups = cells[PLACE].merge(_criteria(forced, trials), on=PLACE, how="left")
    groups["chosen_by"] = groups["chosen_by"].fillna("").astype(str)

    pairs = paired(rows, "forced", "none")
    pairs["d"] = pairs["y"] - pairs["y_reference"]
    pairs, seen = reached(pairs, groups, looks, unit)
    table = groups.merge(cells, on=PLACE, how="left")
    table = table[["study", "cell", "label", "chosen_by", *cells.columns[3:]]]
    table.insert(4, "performance", performance)
    table["strength"] = _by_group(groups, forced, "strength", "median")
    options = forced.drop_duplicates(GROUP)[[*GROUP, "options"]]
    table["options"] = groups[GROUP].merge(options, on=GROUP, how="left")["options"].fillna("")
    table = table.join(judged(pairs, groups, alpha, margin, unit, performance, looks))
    if looks:
        table["looks"] = len(looks)
    else:
        table = table.drop(columns="look")
    lost = pairs.assign(lost=pairs["d"].isna())
    idle = forced[forced["unforced"] & (forced["status"] == "ok")]
    for column, source, name, how in (
        ("n_dropped", lost, "lost", "sum"),
        ("n_diverged", rows[rows["status"] == "diverged"], "status", "size"),
        ("n_failed", rows[rows["status"] == "failed"], "status", "size"),
        ("n_unforced", idle, "status", "size"),
    ):
        table[column] = _by_group(groups, source, name, how).fillna(0).astype(int)
    complete = pairs[pairs["d"].notna()]
    table["performance_none"] = _by_group(groups, complete, "y_reference", "mean")
    table["performance_forced"] = _by_group(groups, complete, "y", "mean")

    pairs = paired(rows, "forced", "placebo")
    pairs["d"] = pairs["y"] - pairs["y_reference"]
    placebo = judged(pairs, groups, alpha, margin, unit, performance, looks)
    for name, of_placebo in (
        ("effect_vs_placebo", "effect"),
        ("placebo_ci_low", "ci_low"),
        ("placebo_ci_high", "ci_high"),
        ("p_vs_placebo", "p_value"),
        ("p_vs_placebo_adjusted", "p_adjusted"),
    ):
        table[name] = placebo[of_placebo]
    table["verdict_vs_placebo"] = placebo["verdict"].where(placebo["p_value"].notna(), "")
    table = table.join(_alignment(rows, groups, seen.levels(alpha), unit, measure, looks))
    table["reason"] = reasons(table, trials, rows, looks)
    return table[_ordered(list(table.columns))]


def _criteria(forced: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The criteria that chose a strength in a cell, and one of two that chose none beside it."""
    found = forced[GROUP].drop_duplicates()
    if "objective" not in trials:
        return found
    both = trials.loc[trials["objective"].astype(str) == BOTH, PLACE].drop_duplicates()
    both = both.merge(found.loc[found["chosen_by"].isin(CRITERIA), PLACE].drop_duplicates())
    wanted = both.merge(pd.DataFrame({"chosen_by": CRITERIA}), how="cross")
    best = found[found["chosen_by"] == BEST]
    return pd.concat([best, wanted, found]).drop_duplicates()


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


_ALIGNMENT = (
    *("alignment_none", "alignment_forced", "alignment_gain"),
    *("alignment_ci_low", "alignment_ci_high"),
)
_RESULTS = (
    *(
        "strength",
        "options",
        "n",
        "look",
        "looks",
        "unit",
        "n_pairs",
        "n_draws",
        "n_dropped",
        "n_diverged",
        "n_failed",
        "n_unforced",
    ),
    *("performance_none", "performance_forced", "effect", "ci_low", "ci_high"),
    *("effect_low", "effect_high", "sd"),
    *("p_value", "p_own_units", "p_adjusted", "p_signflip", "d_z"),
    *("p_equivalence", "within_margin"),
    *("verdict", "outlying", "doubt", "reason", "smallest_detectable_effect"),
    *("effect_vs_placebo", "placebo_ci_low", "placebo_ci_high"),
    *("p_vs_placebo", "p_vs_placebo_adjusted", "verdict_vs_placebo"),
    *("alignment", *_ALIGNMENT),
)


def cell_columns(effects: pd.DataFrame) -> list[str]:
    """The columns of `forcing_effects` that describe the cell, not the result."""
    keys = ("study", "cell", "label", "chosen_by", "performance")
    return [c for c in map(str, effects.columns) if c not in _RESULTS and c not in keys]


def _ordered(columns: list[str]) -> list[str]:
    return [c for c in columns if c not in _RESULTS] + [c for c in _RESULTS if c in columns]


def _alignment(
    rows: pd.DataFrame,
    groups: pd.DataFrame,
    alpha: NDArray[np.float64],
    unit: Unit,
    measure: str | None,
    looks: Sequence[int],
) -> pd.DataFrame:
    table = pd.DataFrame(np.nan, index=groups.index, columns=list(_ALIGNMENT))
    table.insert(0, "alignment", measure or "")
    if measure is None:
        return table
    pairs = paired(rows, "forced", "none")
    pairs["d"] = pairs["a"] - pairs["a_reference"]
    pairs, _ = reached(pairs, groups, looks, unit)
    d = units(pairs, groups, "d", unit)
    gain = paired_t(d.values, alpha, d.shared)
    complete = pairs[pairs["d"].notna()]
    table["alignment_none"] = _by_group(groups, complete, "a_reference", "mean")
    table["alignment_forced"] = _by_group(groups, complete, "a", "mean")
    table["alignment_gain"] = gain.mean
    table["alignment_ci_low"], table["alignment_ci_high"] = gain.ci_low, gain.ci_high
    return table


def _by_group(groups: pd.DataFrame, rows: pd.DataFrame, column: str, how: str) -> pd.Series:
    """One number per group, in the order of the groups; NaN for a group without rows."""
    values: NDArray[np.float64] = (
        groups[GROUP]
        .merge(
            rows.groupby(GROUP)[column].agg(how).rename("v").reset_index(), on=GROUP, how="left"
        )["v"]
        .to_numpy(float)
    )
    return pd.Series(values, index=groups.index)
