"""The search of the strength in one cell: Optuna behind ask and tell.

A search is a pure function of what was found: before every generation the Optuna study is built
again in memory from the finished proposals, with a sampler seeded from (study, cell, generation).
So there is no storage to restore, and proposals do not depend on timing, workers or interruptions.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from raysweep.seeds import derive_seed
from raysweep.spec import Search

STRENGTH = "strength"


@dataclass(frozen=True)
class Outcome:
    """What one proposed strength led to, as means over draws and seeds of the validation split.

    Attributes:
        strength: the proposal, > 0.
        alignment: alignment metric of the study; NaN if a pair of encoders diverged.
        performance: accuracy in 0..1; NaN likewise.
    """

    strength: float
    alignment: float
    performance: float

    @property
    def failed(self) -> bool:
        """Whether there is no finite value to tell."""
        return not (math.isfinite(self.alignment) and math.isfinite(self.performance))


def propose(search: Search, seed: int, outcomes: Sequence[Outcome], count: int) -> list[float]:
    """The strengths of the next generation.

    Args:
        search: range, sampler and objective.
        seed: seed of this cell's search.
        outcomes: all finished proposals in the order of asking.
        count: how many strengths to propose, >= 1.

    Returns:
        ``count`` strengths within the range, rounded to 6 significant digits (so that names and
        tables show the value that was used). The same arguments give the same strengths.
    """
    low, high = search.strength.low, search.strength.high
    asked = len(outcomes)
    if search.sampler == "grid":
        space = np.geomspace if search.strength.scale == "log" else np.linspace
        points = space(low, high, max(search.trials, asked + count))
        return [_rounded(float(p), low, high) for p in points[asked : asked + count]]
    study = optuna.create_study(
        directions=["maximize"] * (2 if search.objective == "both" else 1),
        sampler=_sampler(search, seed, asked),
    )
    distribution = FloatDistribution(low, high, log=search.strength.scale == "log")
    if search.sampler == "qmc":
        # A quasi-random sequence ignores values: ask for it from its start and drop what was used.
        asked_before = asked
    else:
        asked_before = 0
        for outcome in outcomes:
            study.add_trial(_told(outcome, search, distribution))
    strengths = []
    for _ in range(asked_before + count):
        trial = study.ask({STRENGTH: distribution})
        strengths.append(_rounded(trial.params[STRENGTH], low, high))
    return strengths[asked_before:]


def choose(search: Search, outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The strengths to confirm.

    Returns:
        Criterion (``alignment`` or ``performance``; both ends of the Pareto front where the
        objective is ``both``) -> strength; the smaller strength wins a tie. Empty if every
        proposal failed.
    """
    usable = sorted((o for o in outcomes if not o.failed), key=lambda o: o.strength)
    criteria = ["alignment", "performance"] if search.objective == "both" else [search.objective]
    if not usable:
        return {}
    return {
        criterion: max(usable, key=lambda o: getattr(o, criterion)).strength
        for criterion in criteria
    }


def _told(
    outcome: Outcome, search: Search, distribution: FloatDistribution
) -> optuna.trial.FrozenTrial:
    params = {STRENGTH: outcome.strength}
    distributions: dict[str, optuna.distributions.BaseDistribution] = {STRENGTH: distribution}
    if outcome.failed:
        return create_trial(state=TrialState.FAIL, params=params, distributions=distributions)
    values = {
        "alignment": [outcome.alignment],
        "performance": [outcome.performance],
        "both": [outcome.alignment, outcome.performance],
    }[search.objective]
    return create_trial(values=values, params=params, distributions=distributions)


def _sampler(search: Search, seed: int, asked: int) -> optuna.samplers.BaseSampler:
    start = max(search.generation, 2)
    generation_seed = derive_seed(seed, "sampler", asked) % 2**32
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match search.sampler:
            case "gp":
                return optuna.samplers.GPSampler(seed=generation_seed, n_startup_trials=start)
            case "qmc":
                fixed = derive_seed(seed, "sampler") % 2**32
                return optuna.samplers.QMCSampler(
                    seed=fixed, scramble=True, warn_independent_sampling=False
                )
            case "random":
                return optuna.samplers.RandomSampler(seed=generation_seed)
    return optuna.samplers.TPESampler(
        seed=generation_seed, n_startup_trials=start, constant_liar=True
    )


def _rounded(strength: float, low: float, high: float) -> float:
    return min(max(float(f"{strength:.6g}"), low), high)
