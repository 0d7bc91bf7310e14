"""The search in one cell, of strength and options of the loss: Optuna behind ask and tell.

A search is a pure function of what was found: before every generation the Optuna study is built
again in memory from the finished proposals, with a sampler seeded from (study, cell, generation).
So there is no storage to restore, and proposals do not depend on timing, workers or interruptions.
"""

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    FloatDistribution,
)
from optuna.trial import TrialState, create_trial

from raysweep.kinds.samplers import distribution, tpe_sampler
from raysweep.seeds import derive_seed
from raysweep.study.spec import OptionRange, Search, StrengthRange
from raysweep.trials.columns import named
from raysweep.trials.trial import Proposal

STRENGTH = "strength"


@dataclass(frozen=True)
class Outcome:
    """What a proposal led to, as means over draws and seeds of the validation split.

    Attributes:
        proposal: what was tried.
        alignment: alignment metric of the study; NaN if a pair of encoders diverged, or where the
            metric is undefined.
        performance: accuracy in 0..1, or what else is to be large; NaN if a pair of encoders
            diverged.
        stopped: epochs after which a search that halves stopped it; 0: it ran whole.
    """

    proposal: Proposal
    alignment: float
    performance: float
    stopped: int = 0

    @property
    def strength(self) -> float:
        """The strength that was tried."""
        return self.proposal.strength

    def defined(self, *criteria: str) -> bool:
        """Whether all ran whole, and these criteria (`alignment`, `performance`) have values."""
        return not self.stopped and self.reached(*criteria)

    def reached(self, *criteria: str) -> bool:
        """`defined`, also of one that was stopped before its end."""
        return all(math.isfinite(getattr(self, name)) for name in ("performance", *criteria))


def propose(search: Search, seed: int, outcomes: Sequence[Outcome], count: int) -> list[Proposal]:
    """The proposals of the next generation.

    Args:
        search: ranges, sampler and objective.
        seed: seed of this cell's search.
        outcomes: all finished proposals in the order of asking.
        count: how many to propose, >= 1.

    Returns:
        ``count`` proposals within the ranges, numbers rounded to 6 significant digits (so that
        names and tables show the value that was used); fewer at the end of a grid, whose
        ``search.trials`` points are all combinations of listed options, each with strengths spread
        from end to end. The same arguments give the same proposals.
    """
    asked = len(outcomes)
    if search.sampler == "grid":
        return _grid(search)[asked : asked + count]
    if search.sampler == "qmc":
        from scipy.stats import qmc  # a second to import, and only this sampler needs it

        # In one dimension: van der Corput's sequence, scrambled. It ignores what was found.
        sequence = qmc.Halton(
            1 + len(search.options), scramble=True, rng=derive_seed(seed, "sampler")
        )
        return [_at(shares, search) for shares in sequence.random(asked + count)[asked:]]
    study = optuna.create_study(
        directions=["maximize"] * len(search.criteria),
        sampler=_sampler(search, seed, asked),
    )
    study.add_trials(told(search, outcomes))
    drawn_from = distributions(search)
    return [rounded(study.ask(drawn_from).params, search) for _ in range(count)]


def choose(search: Search, outcomes: Sequence[Outcome]) -> dict[str, Proposal]:
    """The proposals to confirm.

    Returns:
        Criterion (``alignment`` or ``performance``; both ends of the Pareto front where the
        objective is ``both``) -> proposal; the smaller strength wins a tie, then the one that was
        asked first. A criterion that no proposal has a value of is left out.
    """
    asked = search.criteria
    by_strength = sorted(outcomes, key=lambda o: o.strength)
    front = [o for o in by_strength if o.defined(*asked)]
    chosen = {}
    for criterion in asked:
        # An end of the front is not beaten in the other criterion either. Where no proposal has
        # values of both, there is no front, and the criterion that has some is left.
        usable = front or [o for o in by_strength if o.defined(criterion)]
        ranks = [criterion, *(other for other in asked if front and other != criterion)]
        if usable:
            best = max(usable, key=lambda o: tuple(getattr(o, name) for name in ranks))
            chosen[criterion] = best.proposal
    return chosen


def told(search: Search, outcomes: Sequence[Outcome]) -> list[optuna.trial.FrozenTrial]:
    """The outcomes as Optuna's trials; a failed one has no value."""
    drawn_from = distributions(search)
    return [_told(outcome, search, drawn_from) for outcome in outcomes]


def distributions(search: Search) -> dict[str, BaseDistribution]:
    """What Optuna draws from: the strength, then the options by name."""
    drawn: dict[str, BaseDistribution] = {
        STRENGTH: FloatDistribution(
            search.strength.low, search.strength.high, log=search.strength.scale == "log"
        )
    }
    for name, searched in sorted(search.options.items()):
        drawn[named("option", name)] = distribution(searched)
    return drawn


def _told(
    outcome: Outcome, search: Search, drawn_from: dict[str, BaseDistribution]
) -> optuna.trial.FrozenTrial:
    params = as_drawn(outcome.proposal)
    if outcome.stopped and outcome.reached(*search.criteria):
        [criterion] = search.criteria
        return create_trial(
            state=TrialState.PRUNED,
            params=params,
            distributions=drawn_from,
            intermediate_values={outcome.stopped: getattr(outcome, criterion)},
        )
    if not outcome.defined(*search.criteria):
        return create_trial(state=TrialState.FAIL, params=params, distributions=drawn_from)
    values = [getattr(outcome, criterion) for criterion in search.criteria]
    return create_trial(values=values, params=params, distributions=drawn_from)


def as_drawn(proposal: Proposal) -> dict[str, Any]:
    """A proposal's strength and options as `distributions` names them."""
    options = {named("option", name): value for name, value in proposal.options}
    return {STRENGTH: proposal.strength, **options}


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
    return tpe_sampler(generation_seed, start)


def _grid(search: Search) -> list[Proposal]:
    """All proposals of a grid; the options change slowest, so that packs are large."""
    names = sorted(search.options)
    combinations = list(itertools.product(*(search.options[name] for name in names)))
    shares = np.linspace(0.0, 1.0, search.trials // len(combinations))
    strengths = [_inside(search.strength, float(share)) for share in shares]
    return [
        Proposal(strength, tuple(zip(names, values, strict=True)))
        for values in combinations
        for strength in strengths
    ]


def _at(shares: Sequence[float], search: Search) -> Proposal:
    """The proposal at shares in 0..1 of the ranges, the strength's first."""
    options = []
    for (name, searched), share in zip(sorted(search.options.items()), shares[1:], strict=True):
        if isinstance(searched, OptionRange):
            options.append((name, _inside(searched, float(share))))
        else:
            options.append((name, searched[int(share * len(searched))]))
    return Proposal(_inside(search.strength, float(shares[0])), tuple(options))


def _inside(searched: StrengthRange | OptionRange, share: float) -> Any:
    """The number at a share in 0..1 of a range."""
    low, high = searched.low, searched.high
    whole = isinstance(searched, OptionRange) and searched.whole
    if whole:  # every whole number has an equal part of the range
        low, high = low - 0.5, high + 0.5
    if searched.scale == "log":
        start, end = math.log(low), math.log(high)
        value = math.exp(start + share * (end - start))
    else:
        value = low + share * (high - low)
    return _number(round(value) if whole else value, searched)


def rounded(params: Mapping[str, Any], search: Search) -> Proposal:
    """What Optuna drew, as it is printed."""
    options = []
    for name, searched in sorted(search.options.items()):
        drawn = params[named("option", name)]
        options.append(
            (name, _number(drawn, searched) if isinstance(searched, OptionRange) else drawn)
        )
    return Proposal(_number(params[STRENGTH], search.strength), tuple(options))


def _number(value: float, within: StrengthRange | OptionRange) -> Any:
    if not isinstance(value, int):
        value = float(f"{value:.6g}")
    return min(max(value, within.low), within.high)
