"""The search of learning rate and weight decay: Optuna behind ask and tell.

As the search of strengths (`raysweep.kinds.forcing.search`) it is a pure function of what was
found: the Optuna study is built again in memory before every generation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from raysweep.kinds.emergence.families import Rates
from raysweep.kinds.emergence.study import Tuning
from raysweep.kinds.samplers import as_printed, distribution, tpe_sampler
from raysweep.seeds import derive_seed

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
    """The rates of the next generation, by TPE with constant liar.

    Args:
        tuning: choices or ranges, and how many to propose.
        seed: seed of this search.
        outcomes: all finished proposals in the order of asking.

    Returns:
        ``tuning.generation`` proposals; those from a range are rounded to 6 significant digits.
        The same arguments give the same proposals.
    """
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
