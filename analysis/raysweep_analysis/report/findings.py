"""Run every analysis that a trial table allows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from raysweep.trials.columns import PERFORMANCE_2, column_of, is_own_metric, named
from raysweep.trials.tasks import Task
from raysweep_analysis.answers import Answer, answer, emergence_answer
from raysweep_analysis.boundaries import boundary, lines_by
from raysweep_analysis.contrasts import forcing_effects
from raysweep_analysis.doses import doses
from raysweep_analysis.draws import MODEL_SCALE
from raysweep_analysis.emergence import alignment_performance, emergence_trends, medians
from raysweep_analysis.emergence_table import emergence_summary
from raysweep_analysis.inference import paired_t
from raysweep_analysis.load import (
    Source,
    alignment_column,
    descriptors,
    has_outcome,
    is_information,
    load_trials,
)
from raysweep_analysis.looks import reached
from raysweep_analysis.models import of_models
from raysweep_analysis.moderation import moderators
from raysweep_analysis.pairs import confirm_rows, paired, units
from raysweep_analysis.pooling import pooled_effects
from raysweep_analysis.preregistration import PlanCheck, check
from raysweep_analysis.report.model_findings import ModelFindings
from raysweep_analysis.sample_size import power
from raysweep_analysis.settings import Beside, Settings, beside, measured_alignment
from raysweep_analysis.told import information
from raysweep_analysis.trained import training_limits

# enough for p-values to two digits; every figure and table of a large study stays a matter of
# seconds
_PERMUTATIONS = 999
_FAMILIES = ("regret", *(family for task in Task for family in task.always))


@dataclass(frozen=True)
class Findings:
    """Everything that was found in a trial table; tables are empty where they do not apply.

    Attributes:
        trials: the table.
        settings: what was asked.
        beside: study text and plan found beside the table.
        plan: whether the analysis is the planned one.
        counts: rows by stage, arm and status.
        effects: the primary outcome, per cell (`forcing_effects`).
        outcomes: all outcomes of the same split, per cell (exploratory but for the primary).
        moderators, boundaries, curves, shapes, needs: as from `moderators`, `boundary`,
            `dose_response`, `dose_shapes` and `power`.
        correlations, correlation_medians, trends: emergence.
        answer: in sentences; None without a forced arm.
        emergence: sentences on emergent alignment.
        summary: emergent alignment in one row per value of the characteristic.
        along: the characteristic that emergence is followed along; empty if none.
        notes: sentences on what the table cannot tell.
        models: of a study of models, what it says of them.
    """

    trials: pd.DataFrame
    settings: Settings
    beside: Beside
    plan: PlanCheck
    counts: pd.DataFrame
    effects: pd.DataFrame
    outcomes: pd.DataFrame
    moderators: pd.DataFrame
    boundaries: pd.DataFrame
    curves: pd.DataFrame
    shapes: pd.DataFrame
    needs: pd.DataFrame
    correlations: pd.DataFrame
    correlation_medians: pd.DataFrame
    trends: pd.DataFrame
    answer: Answer | None
    emergence: tuple[str, ...]
    summary: pd.DataFrame
    along: str
    notes: tuple[str, ...] = ()
    models: ModelFindings | None = None

    @property
    def told(self) -> pd.DataFrame:
        """What the data tell of the label, as from `information`, where any of it is estimated."""
        told = information(self.trials)
        return told if told["estimated"].any() else told.iloc[:0]

    @property
    def emergent(self) -> pd.DataFrame:
        """Alignment that nothing forced: of each pair of models, or along a characteristic."""
        return self.summary if self.models is None else self.models.pairs

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Name -> table, those that are not empty."""
        named = {
            "effects": self.effects,
            "outcomes": self.outcomes,
            "pooled": pooled_effects(self.effects) if len(self.effects) else self.effects,
            "moderators": self.moderators,
            "boundaries": self.boundaries,
            "dose_response": self.curves,
            "dose_shapes": self.shapes,
            "power": self.needs,
            "alignment_performance": self.correlations,
            "emergence_trends": self.trends,
            "emergence": self.summary,
            **({} if self.models is None else self.models.tables),
            "information": self.told,
            "counts": self.counts,
        }
        return {name: table for name, table in named.items() if len(table)}


def find(
    source: Source | Sequence[Source],
    settings: Settings | None = None,
    waiting: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Findings:
    """Analyse a trial table as far as it goes.

    Args:
        source: as `load_trials` takes it; of a run's folder the study and the plan are read too.
        settings: what to test; by default what the study beside the table asks for.
        waiting: of a run that is not finished, cell -> what its test waits for.
        notes: sentences on what the table cannot tell, such as cells without a row.

    Raises:
        InputError: see `load_trials` and `forcing_effects`.
    """
    trials = load_trials(source)
    found = beside(source)
    asked = settings or found.settings
    alignment = measured_alignment(asked, trials)
    waiting = waiting or {}
    forced = found.plan is not None or bool((trials["arm"].astype(str) == "forced").any())
    none = pd.DataFrame()
    effects = outcomes = moderation = boundaries = curves = shapes = needs = none
    said = None
    if forced:
        outcome = asked.performance
        effects = forcing_effects(
            trials,
            outcome,
            asked.alpha,
            asked.margin,
            unit=asked.unit,
            alignment=alignment,
            looks=asked.looks,
        )
        waits = (effects["verdict"] == "untested") & effects["cell"].isin(list(waiting))
        effects.loc[waits, "reason"] = effects.loc[waits, "cell"].map(waiting)
        outcomes = _outcomes(trials, effects, asked)
        moderation = moderators(trials, outcome, alpha=asked.alpha)
        boundaries = boundary(trials, outcome, by=lines_by(trials), alpha=asked.alpha)
        curves, shapes = doses(trials, outcome, alignment, asked.alpha)
        shapes = shapes if len(curves) else none
        needs = power(trials, outcome, None, asked.alpha, asked.margin, effects=effects)
        planned = len(found.plan.cells) if found.plan is not None else 0
        said = answer(
            *(effects, needs, boundaries, moderation, asked.margin, asked.alpha),
            planned=planned,
            unfinished=bool(waiting),
            training=tuple(training_limits(trials)),
        )
    correlations = middle = trends = none
    models = ModelFindings.of(trials, alignment) if of_models(trials) else None
    along = followed_along(trials) if models is None else ""
    if _emergence(trials):
        correlations = alignment_performance(trials, permutations=_PERMUTATIONS)
        if along in correlations and len(correlations):
            middle = medians(correlations, along)
    if along and alignment_column(trials, "test") is not None and not forced:
        trends = emergence_trends(trials, along, [n for n in ("D_phi",) if n in trials])
    confirm = trials[trials["stage"].astype(str) == "confirm"]
    plan = check(
        found.plan,
        found.plan_digest,
        performance=asked.performance,
        alpha=asked.alpha,
        margin=asked.margin,
        unit=asked.unit,
        runs=confirm[["cell", "draw", "seed"]].itertuples(index=False, name=None),
        science=found.science,
        looks=asked.looks,
    )
    return Findings(
        trials=trials,
        settings=asked,
        beside=found,
        plan=plan,
        counts=_counts(trials, asked.performance),
        effects=effects,
        outcomes=outcomes,
        moderators=moderation,
        boundaries=boundaries,
        curves=curves,
        shapes=shapes,
        needs=needs,
        correlations=correlations,
        correlation_medians=middle,
        trends=trends,
        answer=said,
        emergence=models.sentences
        if models is not None
        else tuple(emergence_answer(trends, middle))
        if len(trends)
        else (),
        summary=emergence_summary(trials, correlations, along) if len(trends) else none,
        along=along,
        notes=tuple(notes),
        models=models,
    )


def _outcomes(trials: pd.DataFrame, primary: pd.DataFrame, asked: Settings) -> pd.DataFrame:
    """All outcomes of the primary's split, with Benjamini-Hochberg over those beside it."""
    split = column_of(asked.performance).split
    known = [named(family, head, split) for family in _FAMILIES for head in (1, 2, "fused")]
    names = [name for name in known if has_outcome(trials, name)]
    names += [asked.performance] if asked.performance not in names else []
    own = [name for name in map(str, trials) if is_own_metric(name) and name not in names]
    names += [name for name in own if column_of(name).split == split]
    keys = ["study", "cell", "label", "chosen_by"]
    rows = confirm_rows(trials, {name: name for name in names})
    pairs, seen = reached(paired(rows, "forced", "none"), primary, asked.looks, asked.unit)
    found = []
    for name in names:
        pairs["d"] = pairs[name] - pairs[f"{name}_reference"]
        d = units(pairs, primary, "d", asked.unit)
        test = paired_t(d.values, seen.levels(asked.alpha), d.shared)
        values = {
            "performance": name,
            "n": test.n,
            "unit": d.kind,
            "effect": test.mean,
            "ci_low": test.ci_low,
            "ci_high": test.ci_high,
            "p_value": test.p_value,
        }
        found.append(pd.concat([primary[keys], pd.DataFrame(values, index=primary.index)], axis=1))
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=keys)
    if table.empty:
        return table
    table["p_bh"] = np.nan
    beside_primary = (table["performance"] != asked.performance) & table["p_value"].notna()
    if beside_primary.any():
        table.loc[beside_primary, "p_bh"] = stats.false_discovery_control(
            table.loc[beside_primary, "p_value"].clip(0, 1)
        )
    return table


def _counts(trials: pd.DataFrame, performance: str) -> pd.DataFrame:
    """Rows by stage and arm: how many there are, and how many cannot be used."""
    status = trials["status"].astype(str)
    missing = (status == "ok") & (
        trials[performance].isna() if performance in trials else pd.Series(False, trials.index)
    )
    rows = pd.DataFrame(
        {
            "stage": trials["stage"].astype(str),
            "arm": trials["arm"].astype(str),
            "rows": 1,
            "diverged": (status == "diverged").astype(int),
            "failed": (status == "failed").astype(int),
            "without_outcome": missing.astype(int),
        }
    )
    return rows.groupby(["stage", "arm"], sort=False).sum().reset_index()


def followed_along(trials: pd.DataFrame) -> str:
    """The characteristic that emergence is followed along; empty if none varies enough."""
    names = [
        n
        for n in ("U", "overlap", "R", *descriptors(trials))
        if n in trials
        and n not in MODEL_SCALE
        and not is_information(n)
        and pd.api.types.is_numeric_dtype(trials[n])
        and trials[n].nunique() >= 3
    ]
    return names[0] if names else ""


def _emergence(trials: pd.DataFrame) -> bool:
    """Whether models of four depths or more were trained on one dataset."""
    none = trials[(trials["arm"].astype(str) == "none") & (trials["stage"].astype(str) != "tune")]
    return (
        "depth_2" in none
        and none["depth_2"].nunique() >= 4
        and PERFORMANCE_2 in trials
        and alignment_column(trials, "test") is not None
    )
