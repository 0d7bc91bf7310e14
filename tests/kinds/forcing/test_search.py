import itertools
import math
import warnings

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution

from raysweep.kinds.forcing.search import Outcome, choose, propose
from raysweep.seeds import derive_seed
from raysweep.study.spec import Search, StrengthRange
from raysweep.trials.trial import Proposal

NAN = float("nan")


def search_of(sampler: str = "tpe", trials: int = 12, **more: object) -> Search:
    return Search.model_validate({"sampler": sampler, "trials": trials, **more})


def outcome(strength: float, alignment: float, performance: float) -> Outcome:
    return Outcome(Proposal(strength), alignment, performance)


def strengths(chosen: dict[str, Proposal]) -> dict[str, float]:
    return {criterion: proposal.strength for criterion, proposal in chosen.items()}


def measured(strength: float) -> Outcome:
    """Alignment peaks at strength 2, performance at 0.05; above 8 the training diverges."""
    if strength > 8:
        return outcome(strength, NAN, NAN)
    log = math.log10(strength)
    return outcome(strength, 1 - (log - math.log10(2)) ** 2, 0.9 - 0.1 * (log + 1.3) ** 2)


def run(
    search: Search, seed: int, trials: int, before: list[Outcome] | None = None
) -> list[Outcome]:
    """A search of so many trials, generation by generation, as the sweep does it."""
    outcomes = list(before or [])
    while len(outcomes) < trials:
        left = trials - len(outcomes)
        proposed = propose(search, seed, outcomes, search.generation)
        outcomes += [measured(proposal.strength) for proposal in proposed[:left]]
    return outcomes


@pytest.mark.parametrize(
    ("sampler", "objective", "trials"),
    [
        *itertools.product(("tpe", "qmc", "random", "grid"), ("alignment", "both"), [12]),
        ("gp", "performance", 4),
        ("gp", "both", 4),
    ],
)
def test_proposals_are_a_pure_function(sampler: str, objective: str, trials: int) -> None:
    search = search_of(sampler, objective=objective, trials=trials, generation=trials // 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, two = run(search, 5, trials), run(search, 5, trials)
    assert [o.strength for o in one] == [o.strength for o in two]
    assert len({o.strength for o in one}) == trials
    if sampler != "grid":
        assert [o.strength for o in run(search, 6, 4)] != [o.strength for o in one[:4]]


@pytest.mark.parametrize(("sampler", "most"), [("tpe", 14), ("gp", 8), ("qmc", 14), ("random", 14)])
def test_more_trials_keep_the_proposals_so_far(sampler: str, most: int) -> None:
    # An odd number ends in the middle of a generation; going on from it must not show.
    long = [o.strength for o in run(search_of(sampler, trials=most), 3, most)]
    for trials in (1, 4, most - 3):
        search = search_of(sampler, trials=trials)
        assert [o.strength for o in run(search, 3, trials)] == long[:trials]


@pytest.mark.parametrize("objective", ["alignment", "performance", "both"])
def test_a_search_that_is_rebuilt_proposes_what_an_undisturbed_one_does(objective: str) -> None:
    """Against Optuna itself: one study that lives on, its trials asked and told."""
    search = search_of("tpe", trials=16, objective=objective)
    seed, live = 11, []
    study = optuna.create_study(directions=["maximize"] * (2 if objective == "both" else 1))
    distribution = {"strength": FloatDistribution(0.01, 10, log=True)}
    for asked in range(0, 16, search.generation):
        study.sampler = optuna.samplers.TPESampler(
            seed=derive_seed(seed, "sampler", asked) % 2**32,
            n_startup_trials=4,
            constant_liar=True,
        )
        trials = [study.ask(distribution) for _ in range(search.generation)]
        for trial in trials:
            found = measured(float(f"{trial.params['strength']:.6g}"))
            live.append(trial.params["strength"])
            if not found.defined("alignment"):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            values = {
                "alignment": [found.alignment],
                "performance": [found.performance],
                "both": [found.alignment, found.performance],
            }[objective]
            study.tell(trial, values)
    rebuilt = [o.strength for o in run(search, seed, 16)]
    # The live study keeps unrounded strengths, so the two drift apart by the rounding only.
    np.testing.assert_allclose(rebuilt, live, rtol=1e-3)


def test_a_failed_outcome_is_told_as_failed() -> None:
    # If it were told as a value, of any size, the next proposals would depend on it.
    good = [measured(s) for s in (0.02, 0.1, 0.5, 2.0, 3.0)]
    failed = [outcome(9.0, NAN, NAN), outcome(9.0, math.inf, 0.5), outcome(9.0, 0.5, NAN)]
    for sampler in ("tpe", "gp"):
        search = search_of(sampler)
        proposals = [propose(search, 1, [*good, bad], 2) for bad in failed]
        assert proposals[0] == proposals[1] == proposals[2]
        assert propose(search, 1, failed * 3, 2)
    assert measured(1.0).defined("alignment")
    assert not any(outcome.defined("alignment") for outcome in failed)


@pytest.mark.parametrize(
    ("sampler", "objective", "peak", "trials"),
    [("tpe", "alignment", 2.0, 40), ("tpe", "performance", 0.05, 40), ("gp", "alignment", 2.0, 12)],
)
def test_the_search_goes_where_the_objective_is_high(
    sampler: str, objective: str, peak: float, trials: int
) -> None:
    search = search_of(sampler, trials=trials, objective=objective)
    outcomes = run(search, 1, trials)
    late = [abs(math.log10(o.strength / peak)) for o in outcomes[trials // 2 :]]
    assert np.median(late) < 0.5  # at random: about 0.85
    [best] = strengths(choose(search, outcomes)).values()
    assert abs(math.log10(best / peak)) < 0.15


def test_a_grid_has_both_ends_and_equal_steps() -> None:
    log = [o.strength for o in run(search_of("grid", trials=7, generation=3), 0, 7)]
    np.testing.assert_allclose(log, 10 ** np.linspace(-2, 1, 7), rtol=1e-5)
    line = search_of("grid", trials=5, strength={"low": 1, "high": 3, "scale": "linear"})
    assert [o.strength for o in run(line, 0, 5)] == [1.0, 1.5, 2.0, 2.5, 3.0]
    assert [o.strength for o in run(search_of("grid", trials=1), 0, 1)] == [0.01]
    # A grid of twice as many steps has the old points: they are not trained again.
    fine = [o.strength for o in run(search_of("grid", trials=13), 0, 13)]
    assert fine[::2] == log


def test_a_quasi_random_search_fills_the_range_evenly() -> None:
    for seed in range(5):
        shares = [
            (math.log10(o.strength) + 2) / 3 for o in run(search_of("qmc", trials=32), seed, 32)
        ]
        for count in (8, 16, 32):
            # Each of the equal parts of the range has one point: random points would miss many.
            assert len({int(share * count) for share in shares[:count]}) >= count - 1


@settings(max_examples=40)
@given(
    st.sampled_from(["tpe", "qmc", "random", "grid"]),
    st.floats(1e-6, 1e3),
    st.floats(1.0001, 1e4),
    st.sampled_from(["log", "linear"]),
    st.integers(0, 6),
    st.integers(1, 5),
)
def test_strengths_are_in_the_range_and_as_they_are_printed(
    sampler: str, low: float, times: float, scale: str, asked: int, count: int
) -> None:
    range_ = StrengthRange(low=low, high=low * times, scale=scale)
    search = search_of(sampler, trials=20, strength=range_)
    spread = np.geomspace(low, low * times, 7)[:asked]
    outcomes = [outcome(float(np.clip(s, low, low * times)), -s, 0.5) for s in spread]
    proposed = propose(search, 0, outcomes, count)
    assert len(proposed) == count
    for strength in (proposal.strength for proposal in proposed):
        assert low <= strength <= low * times
        assert strength in (low, low * times) or strength == float(f"{strength:.6g}")


# The choice


def test_the_best_is_chosen_and_the_smaller_strength_on_a_tie() -> None:
    outcomes = [
        outcome(3.0, 0.8, 0.5),
        outcome(1.0, 0.8, 0.6),
        outcome(0.5, 0.1, 0.9),
        outcome(0.2, 0.1, 0.9),
        outcome(9.0, NAN, NAN),
        outcome(8.0, 0.99, NAN),
    ]
    for order in itertools.permutations(outcomes):
        assert strengths(choose(search_of(objective="alignment"), order)) == {"alignment": 1.0}
        assert strengths(choose(search_of(objective="performance"), order)) == {"performance": 0.2}
        both = strengths(choose(search_of(objective="both"), order))
        assert both == {"alignment": 1.0, "performance": 0.2}


outcome_lists = st.lists(
    st.builds(
        outcome,
        st.sampled_from([0.1, 0.2, 0.3, 0.4]),
        st.sampled_from([0.0, 0.5, 1.0, NAN]),
        st.sampled_from([0.0, 0.5, 1.0]),
    ),
    max_size=6,
)


@settings(max_examples=100)
@given(outcome_lists)
def test_both_ends_of_the_pareto_front_are_on_it(outcomes: list[Outcome]) -> None:
    chosen = strengths(choose(search_of(objective="both"), outcomes))
    usable = [o for o in outcomes if not math.isnan(o.alignment)]
    if not usable:
        # Without any alignment there is no front, but its other end, if that has values.
        trained = [o for o in outcomes if not math.isnan(o.performance)]
        assert set(chosen) == ({"performance"} if trained else set())
        return

    def beaten(one: Outcome) -> bool:
        return any(
            other.alignment >= one.alignment
            and other.performance >= one.performance
            and (other.alignment, other.performance) != (one.alignment, one.performance)
            for other in usable
        )

    front = [o for o in usable if not beaten(o)]
    for criterion, strength in chosen.items():
        best = max(getattr(o, criterion) for o in usable)
        ends = [o for o in front if getattr(o, criterion) == best]
        assert strength == min(o.strength for o in ends)


def test_nothing_is_chosen_where_everything_failed() -> None:
    for objective in ("alignment", "performance", "both"):
        assert choose(search_of(objective=objective), [outcome(1.0, NAN, NAN)] * 3) == {}
        assert choose(search_of(objective=objective), []) == {}
