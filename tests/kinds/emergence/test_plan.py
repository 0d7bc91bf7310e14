"""Planning an emergence study: families, packs, tuning; nothing is trained here."""

import itertools
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import yaml
from tiny_emergence import TUNING, document, study
from tiny_runs import SUPPORT

from raysweep.folder.run_folder import extends
from raysweep.kinds.emergence.families import Rates, families
from raysweep.kinds.emergence.plan import EmergenceSweep, tuning_cells
from raysweep.kinds.emergence.size import emergence_size
from raysweep.kinds.emergence.study import Tuning
from raysweep.kinds.emergence.tuning import (
    TunedRates,
    at_an_end,
    choose_rates,
    propose_rates,
)
from raysweep.kinds.sweep import CellState
from raysweep.study import checks
from raysweep.study.reader import StudyFileError, parse_study
from raysweep.trials.packing import Pack
from raysweep.trials.trial import Stage, Status, TrialResult


def invented(pack: Pack) -> list[TrialResult]:
    """Results of a pack in which rates near 0.01 are best."""
    found = []
    for trial in pack.trials:
        values = {}
        if trial.modality:
            rates = trial.rates[trial.modality - 1]
            gap = abs(math.log(rates.learning_rate / 0.01)) + rates.weight_decay
            values = {f"performance_{trial.modality}_validation": 1 - 0.1 * gap}
        found.append(TrialResult(trial.key, Status.OK, values))
    return found


def finished(sweep: EmergenceSweep) -> list[Pack]:
    packs = []
    while (pack := sweep.next_pack()) is not None:
        packs.append(pack)
        sweep.complete(pack, invented(pack))
    assert sweep.finished
    return packs


def test_a_family_is_what_heterogeneity_alone_tells_apart() -> None:
    found = families(study(data__noise_2=[0, 0.1], data__activation=["tanh", "sigmoid"]))
    assert len(found) == 4
    assert all(len(family.cells) == 8 for family in found)
    assert {family.variants for family in found} == {4}
    varying = [{dict(c.parameters)["U"] for c in family.cells} for family in found]
    assert sorted(map(min, varying)) == [0, 0, 8, 8]
    assert all(len(values) == 1 for values in varying)


def test_every_pair_is_planned_once_and_packs_fill_up_over_draws_and_seeds() -> None:
    wanted = study(data__draws=3, seeds=3, resources__members_per_pack=4)
    sweep = EmergenceSweep(wanted)
    packs = finished(sweep)
    trials = [t for pack in packs for t in pack.trials]
    assert len(trials) == len({t.key for t in trials}) == sweep.trials_planned() == 8 * 3 * 3
    # Each of the two families has nine groups of a draw and a seed, and a pack takes two.
    groups = [Counter((t.draw, t.seed) for t in pack.trials) for pack in packs]
    assert Counter(map(len, groups)) == {2: 8, 1: 2}
    assert all(set(group.values()) == {4} for group in groups)
    assert sum(len({draw for draw, _ in group}) == 2 for group in groups) == 2
    assert emergence_size(wanted, measure_time=False).packs == len(packs)
    assert list(sweep.order()) == [t.key for c in sweep.cells for t in sweep.plans[c.id].trials]
    assert {sweep.state(cell) for cell in sweep.cells} == {CellState.DONE}


def test_depths_and_widths_for_both_give_every_pair_of_encoders() -> None:
    one = study(data__U=0, data__D_phi=1, model={"depth": 2, "width": 6})
    many = study(data__U=0, data__D_phi=1, model={"depth": [2, 1], "width": [6, 12]}, tuning=TUNING)
    sweep = EmergenceSweep(many)
    finished(sweep)
    sizes = [(c.depth_1, c.width_1, c.depth_2, c.width_2) for c in sweep.cells]
    shapes = [(2, 6), (2, 12), (1, 6), (1, 12)]
    assert Counter(sizes) == Counter((*a, *b) for a in shapes for b in shapes)
    assert one.every_pair
    assert [c.id for c in EmergenceSweep(one).cells] == [sweep.cells[0].id]
    assert emergence_size(many, measure_time=False).encoders == 2 * 2 * 4 + 2 * 3 * 2
    axes = {"depth_1": [2, 1], "depth_2": [2, 1], "width_1": [6, 12], "width_2": [6, 12]}
    same = study(data__U=0, data__D_phi=1, model=axes)
    assert [c.id for c in EmergenceSweep(same).cells] == [c.id for c in sweep.cells]


def test_only_missing_rows_are_run_again_and_an_extension_keeps_all() -> None:
    wanted = study(tuning=TUNING)
    sweep = EmergenceSweep(wanted)
    first = finished(sweep)
    lost = first[-1].trials[1].key
    left = {key: result for key, result in sweep.results.items() if key != lost}
    again = finished(EmergenceSweep(wanted, left))
    assert [[t.key for t in pack.trials] for pack in again] == [[lost]]
    for more in (
        study(tuning=TUNING, seeds=3),
        study(tuning=TUNING, data__draws=2),
        study(tuning=TUNING, data__U=[0, 4, 8]),
        study(tuning=TUNING, data__D_phi=[1, 2, 16], model__depth_2=[1, 3, 5]),
    ):
        assert extends(wanted, more)
        assert not extends(more, wanted)
        bigger = EmergenceSweep(more, dict(sweep.results))
        new = {t.key for pack in finished(bigger) for t in pack.trials}
        assert new
        assert not new & sweep.results.keys()
        assert sweep.results.keys() <= bigger.order().keys()
    for other in (study(tuning={**TUNING, "trials": 4}), study(), study(training__epochs_2=9)):
        assert not extends(wanted, other)


def test_rates_are_tuned_first_on_their_own_seeds_and_then_used() -> None:
    sweep = EmergenceSweep(study(tuning=TUNING, resources__members_per_pack=100))
    packs = finished(sweep)
    stages = [pack.trials[0].stage for pack in packs]
    assert stages == sorted(stages, key=[Stage.TUNE, Stage.MEASURE].index)
    for pack in packs:
        for trial in pack.trials:
            assert (trial.stage is Stage.TUNE) == (trial.modality > 0) == (trial.seed == 1000)
    for family in sweep.families:
        plan = sweep.family_plans[family.key]
        for modality in (1, 2):
            assert sweep.study.tuning is not None
            first = tuning_cells(sweep.study.tuning, family, modality)[0]
            own = [t for t in plan.trials if t.modality == modality and t.cell == first]
            tried = [t.rates[0] for t in own]
            gaps = [abs(math.log(r.learning_rate / 0.01)) + r.weight_decay for r in tried]
            assert plan.rates[modality - 1] == tried[int(np.argmin(gaps))]
        measured = [t for t in plan.trials if t.modality == 0]
        assert {t.rates for t in measured} == {plan.rates}


def test_tuning_encoders_match_depth_and_heterogeneity() -> None:
    wanted = study(data__U=0, data__D_phi=[1, 2, 3, 4, 5], model__depth_2=[1, 2, 3, 4])
    (family,) = families(wanted)
    tuning = Tuning(depths=(1, 2, 3, 4), offsets=(0, -1))
    found = tuning_cells(tuning, family, 2)
    pairs = sorted((c.depth_2, dict(c.parameters)["D_phi"]) for c in found)
    assert pairs == [(1, 1), (1, 2), (2, 2), (2, 3), (3, 3), (3, 4), (4, 4), (4, 5)]
    assert [c.depth_1 for c in tuning_cells(tuning, family, 1)] == [1]
    plain = document(data={"dataset": "digits", "overlap": 2})
    text = yaml.safe_dump({**plain, "training": {"batch_size": 16}})
    digits = parse_study(text, "", SUPPORT, (), checks.check, checks.resolve_files)
    (family,) = families(digits)
    assert [c.depth_2 for c in tuning_cells(Tuning(depths=(3, 9)), family, 2)] == [3]


def test_proposals_are_those_of_an_undisturbed_search() -> None:
    for tuning in (
        Tuning(trials=8, generation=2),
        Tuning(learning_rate={"low": 1e-4, "high": 1e-1}, trials=8, generation=3),
    ):
        outcomes: list[TunedRates] = []
        while proposed := propose_rates(tuning, 5, outcomes):
            assert proposed == propose_rates(tuning, 5, outcomes)
            if len(outcomes) < 8:
                assert len(proposed) == min(tuning.generation, 8 - len(outcomes))
            for rates in proposed:
                if isinstance(tuning.learning_rate, tuple):
                    assert rates.learning_rate in tuning.learning_rate
                else:
                    assert 1e-4 <= rates.learning_rate <= 1e-1
                assert rates.weight_decay in tuning.weight_decay
                score = 1 - abs(math.log(rates.learning_rate / 0.01))
                outcomes.append(TunedRates(rates, math.nan if len(outcomes) == 1 else score))
    best = choose_rates(outcomes)
    assert best is not None
    assert all(o.performance <= 1 - abs(math.log(best.learning_rate / 0.01)) for o in outcomes[2:])
    assert choose_rates([TunedRates(Rates(0.1, 0.0), math.nan)]) is None


def searched(tuning: Tuning, score: Callable[[Rates], float]) -> list[TunedRates]:
    outcomes: list[TunedRates] = []
    while proposed := propose_rates(tuning, 0, outcomes):
        outcomes += [TunedRates(rates, score(rates)) for rates in proposed]
    return outcomes


def test_short_lists_are_tried_whole_by_default() -> None:
    tuning = Tuning()
    found = [outcome.rates for outcome in searched(tuning, lambda rates: 0.5)]
    assert found == list(itertools.starmap(Rates, tuning.combinations))
    assert (len(found), tuning.proposals) == (20, 20)
    # Eight proposals and what lies beside the best of them miss some of twenty.
    few = Tuning(trials=8)
    assert 8 <= len(searched(few, lambda rates: 0.5)) < 20


@pytest.mark.parametrize("seed", range(5))
def test_what_lies_beside_the_best_is_tried_until_nothing_is_better(seed: int) -> None:
    # One peak, so that steps to better neighbours end at it; the lists are in no order.
    rng = np.random.default_rng(seed)
    rates, decays = 10.0 ** -np.arange(1, 8), 10.0 ** -np.arange(2, 9)
    peak = int(rng.integers(7)), int(rng.integers(7))
    steps = {
        Rates(float(rate), float(decay)): abs(i - peak[0]) + abs(j - peak[1])
        for i, rate in enumerate(rates)
        for j, decay in enumerate(decays)
    }
    tuning = Tuning(
        learning_rate=tuple(map(float, rng.permutation(rates))),
        weight_decay=tuple(map(float, rng.permutation(decays))),
        trials=4,
        generation=2,
    )
    outcomes = searched(tuning, lambda tried: -float(steps[tried]))
    best = choose_rates(outcomes)
    assert best is not None
    assert steps[best] == 0
    assert len(outcomes) < len(steps)
    assert len({o.rates for o in outcomes[4:]}) == len(outcomes[4:])


def test_rates_at_an_end_of_what_was_tried() -> None:
    tuning = Tuning()
    assert at_an_end(tuning, Rates(0.01, 0.0)) == []  # below no decay is nothing
    assert at_an_end(tuning, Rates(0.001, 0.1)) == ["learning_rate", "weight_decay"]
    assert at_an_end(Tuning(learning_rate=(0.01,)), Rates(0.01, 0.001)) == []
    ranged = Tuning.model_validate({"learning_rate": {"low": 1e-4, "high": 1e-1}})
    assert at_an_end(ranged, Rates(0.1, 0.001)) == ["learning_rate"]


def test_a_proposal_that_comes_again_is_not_trained_again() -> None:
    few = {
        **TUNING,
        "trials": 8,
        "learning_rate": [0.01, 0.1],
        "weight_decay": [0, 0.1, 0.2, 0.3, 0.4],
    }
    sweep = EmergenceSweep(study(data__U=0, tuning=few))
    packs = finished(sweep)
    tuned = [t for pack in packs for t in pack.trials if t.modality]
    assert len(tuned) == len({t.key for t in tuned})
    (family,) = sweep.families
    outcomes = sweep.family_plans[family.key].outcomes
    for modality, of in enumerate(outcomes, 1):
        assert len(of) >= 8
        encoders = len({t.cell for t in tuned if t.modality == modality})
        distinct = len({o.rates for o in of})
        assert len([t for t in tuned if t.modality == modality]) == encoders * distinct


def test_a_family_without_usable_rates_ends() -> None:
    sweep = EmergenceSweep(study(data__U=0, tuning=TUNING))
    while (pack := sweep.next_pack()) is not None:
        sweep.complete(pack, [TrialResult(t.key, Status.DIVERGED, {}) for t in pack.trials])
    assert sweep.finished
    assert {sweep.state(cell) for cell in sweep.cells} == {CellState.NO_RATES}


def test_the_size_counts_what_a_sweep_runs() -> None:
    wanted = study(data__draws=2, seeds=3, tuning=TUNING)
    size = emergence_size(wanted, measure_time=False)
    sweep = EmergenceSweep(wanted)
    assert size.trials == sweep.trials_planned()
    packs = finished(sweep)
    # Proposals that come twice are trained once; what lies beside the best comes on top.
    beside = len(sweep.families) * 2 * 4
    assert len(packs) <= size.packs + beside
    assert sweep.trials_planned() <= size.trials + 3 * beside
    encoders = 2 * 2 * 3 * (1 + 4) + 2 * 3 * (1 + 2)
    assert (size.cells, size.encoders, size.seconds) == (8, encoders, None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"search": {"trials": 3}}, "search: a key of studies with kind: forcing"),
        ({"kind": "forcing"}, "seeds: a key of studies with kind: emergence"),
        ({"kind": "emergent"}, "did you mean emergence?"),
        ({"seeds": [1000], "tuning": {}}, "both tuning.seeds and seeds"),
        ({"tuning": {"depths": [7]}}, "no encoder of modality 1 has one of these depths"),
        ({"tuning": {"learning_rate": {"low": 1, "high": 0.1}}}, "the range is upside down"),
        ({"tuning": {"learning_rate": [0, 0.1]}}, "tuning.learning_rate.0: must be greater than 0"),
        ({"tuning": {"weight_decay": [0, 0.1, 0.1]}}, "values used twice"),
        ({"tuning": {"learning_rate": "fast"}}, "tuning.learning_rate: expected a number"),
        ({"training": {"fusion": "joint"}}, "unknown key 'fusion'"),
        ({"evaluation": {"calibrate": 1}}, "at least 2 permutations"),
        (
            {"evaluation": {"calibrate": 9, "metrics": ["uniformity"]}},
            "uniformity has no level of chance",
        ),
        (
            {"model": {"width": [6, 12]}, "evaluation": {"metrics": ["alignment"], "rows": 24}},
            "compares equal widths only, the model has 6 and 12",
        ),
        ({"training": {"batch_size": 128}}, "128 rows do not fit"),
    ],
    ids=str,
)
def test_faults_of_a_study_file(changes: dict[str, object], expected: str) -> None:
    text = yaml.safe_dump({**document(), **changes})
    with pytest.raises(StudyFileError) as caught:
        parse_study(text, "tiny", SUPPORT, (), checks.check, checks.resolve_files)
    assert expected in str(caught.value)
