"""The search of learning rate and weight decay: Optuna behind ask and tell.

As the search of strengths (`raysweep.kinds.forcing.search`) it is a pure function of what was
found: the Optuna study is built again in memory before every generation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from raysweep.kinds.emergence.families import Rates
from raysweep.kinds.emergence.study import Tuning
from raysweep.kinds.samplers import as_printed, distribution, tpe_sampler
from raysweep.seeds import derive_seed
from raysweep.study.spec import LogRange

_NAMES = ("learning_rate", "weight_decay")


@dataclass(frozen=True)
class TunedRates:
    """What proposed rates led to.

    Attributes:
        rates: the proposal.
        performance: mean validation accuracy of its encoders, 0..1; NaN if one diverged.
    """

    rates: Rates
    performance: float


def propose_rates(tuning: Tuning, seed: int, outcomes: Sequence[TunedRates]) -> list[Rates]:
    """The rates of the next generation.

    Args:
        tuning: choices or ranges, and how many to propose.
        seed: seed of this search.
        outcomes: all finished proposals in the order of asking.

    Returns:
        At most ``tuning.generation`` proposals: of lists that are tried whole the next
        combinations, else TPE's with constant liar, those from a range rounded to 6 significant
        digits. After ``tuning.proposals`` of them all that is new beside the best one; nothing
        where the search has ended. The same arguments give the same proposals.
    """
    start, left = len(outcomes), tuning.proposals - len(outcomes)
    if left <= 0:
        return _beside_best(tuning, outcomes)
    count = min(left, tuning.generation)
    if tuning.proposals == len(tuning.combinations):
        return [Rates(*pair) for pair in tuning.combinations[start : start + count]]
    return _by_tpe(tuning, seed, outcomes)[:count]


def _beside_best(tuning: Tuning, outcomes: Sequence[TunedRates]) -> list[Rates]:
    """What is new one step from the best rates in the lists, each list in the order of size."""
    best = choose_rates(outcomes)
    if best is None:
        return []
    tried = {outcome.rates for outcome in outcomes}
    found = []
    for name in _NAMES:
        values = getattr(tuning, name)
        if isinstance(values, LogRange):
            continue
        ordered = sorted(values)
        at = ordered.index(getattr(best, name))
        near = ordered[max(at - 1, 0) : at] + ordered[at + 1 : at + 2]
        found += [replace(best, **{name: value}) for value in near]
    return [rates for rates in found if rates not in tried]


def at_an_end(tuning: Tuning, rates: Rates) -> list[str]:
    """Which of the rates are the least or largest that were tried: better ones may lie beyond.

    No decay of weights is an end that nothing lies beyond.
    """
    found = []
    for name in _NAMES:
        values, rate = getattr(tuning, name), getattr(rates, name)
        ends = (values.low, values.high) if isinstance(values, LogRange) else values
        least, most = min(ends), max(ends)
        if least < most and rate > 0 and not least < rate < most:
            found.append(name)
    return found


def _by_tpe(tuning: Tuning, seed: int, outcomes: Sequence[TunedRates]) -> list[Rates]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = tpe_sampler(
        derive_seed(seed, "sampler", len(outcomes)) % 2**32, max(tuning.generation, 2)
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials(told(tuning, outcomes))
    distributions = _distributions(tuning)
    asks = [study.ask(distributions) for _ in range(tuning.generation)]
    return [
        Rates(*(as_printed(ask.params[name], getattr(tuning, name)) for name in _NAMES))
        for ask in asks
    ]


def choose_rates(outcomes: Sequence[TunedRates]) -> Rates | None:
    """The best rates, the earliest of equals; None if an encoder of every proposal diverged."""
    usable = [o for o in outcomes if math.isfinite(o.performance)]
    return max(usable, key=lambda o: o.performance).rates if usable else None


def told(tuning: Tuning, outcomes: Sequence[TunedRates]) -> list[FrozenTrial]:
    """The outcomes as Optuna's trials; one of which an encoder diverged has failed."""
    distributions = _distributions(tuning)
    found = []
    for outcome in outcomes:
        failed = not math.isfinite(outcome.performance)
        found.append(
            create_trial(
                state=TrialState.FAIL if failed else TrialState.COMPLETE,
                value=None if failed else outcome.performance,
                params={name: getattr(outcome.rates, name) for name in _NAMES},
                distributions=distributions,
            )
        )
    return found


def _distributions(tuning: Tuning) -> dict[str, BaseDistribution]:
    return {name: distribution(getattr(tuning, name)) for name in _NAMES}
