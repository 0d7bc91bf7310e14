"""The search of how to train: of none by itself, of forced together with its strength.

As the search of strengths (`raysweep.kinds.forcing.search`) it is a pure function of what was
found. It goes by performance alone: a baseline is to be as good as it can be.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from raysweep.kinds.forcing.search import Outcome, as_drawn, distributions, rounded
from raysweep.kinds.samplers import as_printed, distribution, tpe_sampler
from raysweep.seeds import derive_seed
from raysweep.study.spec import Search, TrainingSearch
from raysweep.trials.trial import Proposal, Trained


def proposals_of_none(search: Search) -> int:
    """How many ways to train arm none is tried with: as many as forced, or all that there are."""
    if search.training is None:
        return 0
    budget = search.trials + search.training.trials
    return min(budget, search.training.combinations or budget)


def propose_for_none(
    search: Search, seed: int, outcomes: Sequence[Outcome], count: int
) -> list[Proposal]:
    """The next ways to train arm none: all combinations where they are few, else by TPE.

    Args:
        search: with ranges or choices of the training.
        seed: seed of this cell's search.
        outcomes: all finished proposals in the order of asking.
        count: how many to propose, >= 1.

    Returns:
        ``count`` proposals of strength 0; fewer at the end of all combinations. The same arguments
        give the same proposals.
    """
    training, asked = _of(search), len(outcomes)
    if proposals_of_none(search) == training.combinations:
        names, choices = training.space.keys(), training.space.values()
        combinations = itertools.product(*(list(values) for values in choices))
        every = [Proposal(0.0, (), tuple(zip(names, of, strict=True))) for of in combinations]
        return every[asked : asked + count]
    drawn_from = _distributions(training)
    study = _study(seed, outcomes, drawn_from, max(search.generation, 2))
    asks = [study.ask(drawn_from).params for _ in range(count)]
    return [Proposal(0.0, (), _training(params, training)) for params in asks]


def propose_with_strength(
    search: Search, seed: int, outcomes: Sequence[Outcome], count: int
) -> list[Proposal]:
    """The next strengths, options and ways to train of forced, by TPE; else as `propose_for_none`.

    Strengths are of the study's range, and ``count`` proposals come in any case.
    """
    training = _of(search)
    drawn_from = {**distributions(search), **_distributions(training)}
    study = _study(seed, outcomes, drawn_from, max(search.generation, 2))
    asks = [study.ask(drawn_from).params for _ in range(count)]
    return [replace(rounded(p, search), training=_training(p, training)) for p in asks]


def best(outcomes: Sequence[Outcome]) -> Proposal | None:
    """What performs best; the smaller strength, then the earlier wins a tie.

    Returns:
        None if a model of every proposal diverged.
    """
    usable = sorted(
        (o for o in outcomes if not o.stopped and math.isfinite(o.performance)),
        key=lambda o: o.strength,
    )
    return max(usable, key=lambda o: o.performance).proposal if usable else None


def told_of_training(
    outcomes: Sequence[Outcome], drawn_from: Mapping[str, BaseDistribution]
) -> list[FrozenTrial]:
    """The outcomes as Optuna's trials; one of which a model diverged has failed."""
    found = []
    for outcome in outcomes:
        params = {**as_drawn(outcome.proposal), **dict(outcome.proposal.training)}
        failed = not math.isfinite(outcome.performance)
        found.append(
            create_trial(
                state=TrialState.FAIL if failed else TrialState.COMPLETE,
                value=None if failed else outcome.performance,
                params={name: params[name] for name in drawn_from},
                distributions=dict(drawn_from),
            )
        )
    return found


def _of(search: Search) -> TrainingSearch:
    if search.training is None:
        raise ValueError("the training is not searched")
    return search.training


def _distributions(training: TrainingSearch) -> dict[str, BaseDistribution]:
    return {name: distribution(values) for name, values in training.space.items()}


def _training(params: Mapping[str, Any], training: TrainingSearch) -> Trained:
    return tuple((name, as_printed(params[name], of)) for name, of in training.space.items())


def _study(
    seed: int,
    outcomes: Sequence[Outcome],
    drawn_from: Mapping[str, BaseDistribution],
    startup: int,
) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = tpe_sampler(derive_seed(seed, "sampler", len(outcomes)) % 2**32, startup)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials(told_of_training(outcomes, drawn_from))
    return study
