"""Turn tests into one of four words, and say what limits the answer."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raysweep.folder.causes import FAILED, UNDEFINED, WAITING, cause, columns, limits
from raysweep.text import counted
from raysweep.trials.columns import MEASURED_SPLITS, column_of, named
from raysweep.trials.outcomes import amount
from raysweep.trials.trial import Arm
from raysweep_analysis.pairs import GROUP, PLACE, forced_nothing
from raysweep_analysis.resplits import SPLIT

FOUND = ("helps", "hurts", "equivalent")
PENDING = ("no confirm stage", "no forced runs in the confirm stage", "no runs", WAITING, FAILED)
"""How reasons begin that runs still to come may take away."""
VERDICTS = (*FOUND, "inconclusive", "untested")
UNTUNED = "the rates of the baseline were not tuned"


def verdicts(
    gain: NDArray[np.float64],
    p_adjusted: NDArray[np.float64],
    p_equivalence: NDArray[np.float64],
    alpha: float,
) -> NDArray[np.str_]:
    """`helps`, `hurts`, `equivalent` or `inconclusive` per row; `untested` without a p-value.

    Args:
        gain: effects, positive where forcing is better.
        p_adjusted: of a difference, adjusted for the family.
        p_equivalence: of lying within the margin.
        alpha: error rate.
    """
    found = p_adjusted < alpha
    tested = ~np.isnan(p_adjusted)
    return np.select(
        [found & (gain > 0), found & (gain < 0), p_equivalence < alpha, tested],
        VERDICTS[:4],
        VERDICTS[4],
    )


def reasons(
    effects: pd.DataFrame, trials: pd.DataFrame, rows: pd.DataFrame, looks: Sequence[int] = ()
) -> list[str]:
    """What limits each verdict, in plain words; empty where nothing does.

    Args:
        effects: rows with `study cell chosen_by performance n n_pairs n_draws n_dropped n_diverged
            n_failed n_unforced unit verdict smallest_detectable_effect p_vs_placebo alignment
            alignment_ci_low`.
        trials: the trial table that they came from.
        rows: its confirm rows, as from `confirm_rows`.
        looks: units at each look of a sequential study.
    """
    arms = rows.groupby([*GROUP, "arm"]).size().unstack("arm", fill_value=0)
    arms = arms.reindex(columns=list(Arm), fill_value=0).reset_index()
    counts = (
        effects[GROUP]
        .merge(arms, on=GROUP, how="left")
        .fillna({"none": 0, "forced": 0, "placebo": 0})
    )
    in_arm = trials["arm"].astype(str) == "forced"
    ever = trials[PLACE].assign(forced=in_arm).groupby(PLACE)["forced"]
    ever_forced = effects[PLACE].merge(ever.any().reset_index(), on=PLACE, how="left")["forced"]
    told = causes_of(effects, trials)
    tuned = _tuned(trials)
    found = []
    for row, arms_of, ever_here, of in zip(
        effects.to_dict("records"), counts.to_dict("records"), ever_forced, told, strict=True
    ):
        none, forced, placebo = (int(arms_of[arm]) for arm in Arm)
        # Where forcing does nothing there is nothing for a placebo to explain.
        wants_placebo = not looks or row["verdict"] in FOUND[:2]
        said = _of_row(row, none, forced, placebo > 0 or not wants_placebo, bool(ever_here), of)
        if looks and none and forced:
            said = _of_looks(row, looks, said)
        if row["n"] and (row["study"], row["cell"]) not in tuned:
            said.append(UNTUNED)
        found.append("; ".join(said))
    return found


def _of_looks(row: dict[Any, Any], looks: Sequence[int], said: list[str]) -> list[str]:
    """What limits a verdict of a sequential study, with the look that it was given at."""
    number = int(row["look"])
    if not number:
        return [f"{WAITING}: the first look is after {looks[0]} units of {looks[-1]}"]
    unit = "draw" if row["unit"] == SPLIT else row["unit"]
    looked = counted(number, "look")
    end = f"of {len(looks)}: after {looks[number - 1]} of {looks[-1]} {unit}s"
    return [*said, f"{looked} {end}, which p-values and intervals allow for"]


def _tuned(trials: pd.DataFrame) -> set[tuple[object, object]]:
    """Study and cell of those whose arm none was trained as a search found best."""
    searched = (trials["stage"].astype(str) == "tune") & (trials["arm"].astype(str) == "none")
    places = trials.loc[searched, PLACE].drop_duplicates()
    return set(places.itertuples(index=False, name=None))


def causes_of(effects: pd.DataFrame, trials: pd.DataFrame) -> list[list[str]]:
    """Why each row without a pair has none (`raysweep.folder.causes`); of others what they lack."""
    metric = ""
    if len(effects):
        metric = column_of(str(effects["alignment"].iloc[0])).metric
    partly = _with_faults(trials, metric)

    def lacks(row: dict[Any, Any]) -> bool:
        return _lacks(row) or (row["study"], row["cell"]) in partly

    lacking = [row for row in effects.to_dict("records") if lacks(row)]
    there = _facts(trials, {(row["study"], row["cell"]) for row in lacking}, metric)
    found: list[list[str]] = []
    for row in effects.to_dict("records"):
        if not lacks(row):
            found.append([])
            continue
        here = there[row["study"], row["cell"]]
        if row["n"]:
            found.append(limits(here, row["chosen_by"], metric))
        else:
            why = cause(here, row["chosen_by"], metric) or _without(here, row["performance"])
            found.append([why] if why else [])
    return found


def _without(trials: list[dict[str, object]], outcome: str) -> str:
    """Why the confirmed trials of a cell have no such outcome, where their rows say it."""
    column = column_of(outcome)
    if column.split not in MEASURED_SPLITS:
        return ""
    told = (t.get(named("undefined", column.split)) for t in trials if t["stage"] == "confirm")
    parts = [part for words in told if isinstance(words, str) for part in words.split("; ")]
    said = [part for part in dict.fromkeys(parts) if part.startswith(f"{column.family}: ")]
    return f"the outcome is empty in its runs: {'; '.join(said)}" if said else ""


def lost_runs(counts: Mapping[Any, Any]) -> str:
    """How the runs that are missing from a test were lost."""
    said = f"{counted(int(counts['n_diverged']), 'run')} diverged, {int(counts['n_failed'])} failed"
    idle = int(counts["n_unforced"])
    return f"{said}, in {idle} nothing was forced" if idle else said


def _with_faults(trials: pd.DataFrame, metric: str) -> set[tuple[Any, Any]]:
    """Study and cell of confirmed runs that broke, forced nothing, or lack their alignment."""
    words = named("undefined", "test")
    lost = trials["status"].astype(str) != "ok"
    lost |= forced_nothing(trials)
    if metric and words in trials:
        lost |= trials[words].fillna("").astype(str) != ""
    found = trials.loc[lost & (trials["stage"].astype(str) == "confirm"), PLACE]
    return set(found.drop_duplicates().itertuples(index=False, name=None))


def _lacks(row: dict[Any, Any]) -> bool:
    """Whether an effect has no pair, no placebo, or no alignment though one was measured."""
    of_alignment = [row["alignment_ci_low"]] if row["alignment"] else []
    return not row["n"] or bool(np.isnan([row["p_vs_placebo"], *of_alignment]).any())


def _facts(
    trials: pd.DataFrame, wanted: set[tuple[Any, Any]], metric: str
) -> dict[tuple[Any, Any], list[dict[str, object]]]:
    """Study and cell -> its rows as `raysweep.folder.causes` reads them, of wanted ones."""
    places = trials.groupby(PLACE, sort=False).indices
    known = trials[[name for name in columns(metric) if name in trials]]
    # All at once: a frame of its own for each cell takes milliseconds.
    rows = np.concatenate([np.array([], dtype=int), *(places[place] for place in wanted)])
    facts = known.iloc[rows].astype("object").to_dict("records")
    read = iter({str(name): value for name, value in row.items()} for row in facts)
    return {place: list(itertools.islice(read, len(places[place]))) for place in wanted}


def _of_row(
    row: dict[Any, Any], none: int, forced: int, placebo: bool, ever_forced: bool, told: list[str]
) -> list[str]:
    n, n_draws = row["n"], row["n_draws"]
    if not forced and not ever_forced:
        return ["nothing was forced here: there is no arm to compare with strength 0"]
    if told and not n:
        return told
    if not forced and not none:
        return [f"{PENDING[0]}: search trials chose the strength and never enter a test"]
    if not forced:
        return [PENDING[1]]
    if not none:
        return [f"{PENDING[2]} of strength 0 (arm none) in the confirm stage to compare with"]
    said = []
    if n == 0 and row["n_dropped"] and not row["n_diverged"] and not row["n_failed"]:
        said.append("the outcome is empty in its runs: this data has none")
    elif n == 0:
        said.append("no pair of runs with the same draw and seed succeeded in both arms")
    elif n == 1:
        said.append(f"one {row['unit']} only: its spread is unknown, so nothing can be tested")
    elif row["verdict"] == "inconclusive" and row["sd"] == 0:
        said.append(f"{n} equal differences: too few to test without a spread")
    elif row["verdict"] == "inconclusive" and not row["doubt"]:
        effect = amount(row["smallest_detectable_effect"], row["performance"], digits=2)
        said.append(f"{n} {row['unit']}s would have found an effect of {effect} or more")
    if row["doubt"]:
        said.insert(0, row["doubt"])
    if row["n_dropped"]:
        said.append(
            f"{row['n_dropped']} of {row['n_dropped'] + row['n_pairs']} pairs "
            f"are missing ({lost_runs(row)})"
        )
    if 2 <= n_draws < 5 and row["unit"] != "seed":
        what = "splits" if row["unit"] == SPLIT else "dataset draws"
        said.append(f"{n_draws} {what} are few: plan 5 or more")
    if not placebo:
        said.append("no placebo arm: the effect may be plain regularisation")
    unknown = np.isnan(row["alignment_ci_low"]) and any(p.startswith(UNDEFINED) for p in told)
    if n >= 2 and row["alignment"] and not row["alignment_ci_low"] > 0 and not unknown:
        said.append("forcing is not shown to have raised the alignment")
    return said + told
