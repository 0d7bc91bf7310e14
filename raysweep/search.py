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
from scipy.stats import qmc

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
        tables show the value that was used); fewer at the end of a grid, whose ``search.trials``
        points are spread from end to end. The same arguments give the same strengths.
    """
    low, high = search.strength.low, search.strength.high
    asked = len(outcomes)
    if search.sampler == "grid":
        shares = np.linspace(0.0, 1.0, search.trials)[asked : asked + count]
        return [_at(float(share), search) for share in shares]
    if search.sampler == "qmc":
        # In one dimension: van der Corput's sequence, scrambled. It ignores what was found.
        sequence = qmc.Halton(1, scramble=True, rng=derive_seed(seed, "sampler"))
        shares = sequence.random(asked + count)[asked:, 0]
        return [_at(float(share), search) for share in shares]
    study = optuna.create_study(
        directions=["maximize"] * (2 if search.objective == "both" else 1),
        sampler=_sampler(search, seed, asked),
    )
    distribution = FloatDistribution(low, high, log=search.strength.scale == "log")
    for outcome in outcomes:
        study.add_trial(_told(outcome, search, distribution))
    asks = [study.ask({STRENGTH: distribution}) for _ in range(count)]
    return [_rounded(trial.params[STRENGTH], low, high) for trial in asks]


def choose(search: Search, outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The strengths to confirm.

    Returns:
        Criterion (``alignment`` or ``performance``; both ends of the Pareto front where the
        objective is ``both``) -> strength; the smaller strength wins a tie. Empty if every
        proposal failed.
    """
    usable = sorted((o for o in outcomes if not o.failed), key=lambda o: o.strength)
    if not usable:
        return {}
    if search.objective == "alignment":
        return {"alignment": max(usable, key=lambda o: o.alignment).strength}
    if search.objective == "performance":
        return {"performance": max(usable, key=lambda o: o.performance).strength}
    # An end of the front is not beaten in the other criterion either.
    return {
        "alignment": max(usable, key=lambda o: (o.alignment, o.performance)).strength,
        "performance": max(usable, key=lambda o: (o.performance, o.alignment)).strength,
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
            case "random":
                return optuna.samplers.RandomSampler(seed=generation_seed)
    return optuna.samplers.TPESampler(
        seed=generation_seed, n_startup_trials=start, constant_liar=True
    )


def _at(share: float, search: Search) -> float:
    """The strength at a share in 0..1 of the range."""
    low, high = search.strength.low, search.strength.high
    if search.strength.scale == "log":
        start, end = math.log(low), math.log(high)
        return _rounded(math.exp(start + share * (end - start)), low, high)
    return _rounded(low + share * (high - low), low, high)


def _rounded(strength: float, low: float, high: float) -> float:
    return min(max(float(f"{strength:.6g}"), low), high)
