import itertools

import pytest
from simulate_packs import measured, run
from tiny_two_cells import StudyFactory

from raysweep.kinds.forcing.plan import ForcingSweep as Sweep
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.kind import study_size
from raysweep.training.timing import epoch_cost
from raysweep.trials.packing import Pack

CASES = list(
    itertools.product(
        ("alignment", "both"),
        (3, 4, 7, 36),  # members per pack
        ((1, 1), (5, 2), (9, 4)),  # trials and generation
        (1, 3),  # draws
    )
)


def simulated(objective: str, members: int, trials: int, generation: int, draws: int) -> Study:
    return Study.model_validate(
        {
            "name": "x",
            "data": [{"dataset": "synthetic", "U": [1, 2], "draws": draws}],
            "search": {
                "trials": trials,
                "generation": generation,
                "seeds": 3,
                "objective": objective,
                "strength": {"low": 0.01, "high": 5},
            },
            "confirm": {"seeds": 5},
            "resources": {"members_per_pack": members},
        }
    )


@pytest.mark.parametrize(("objective", "members", "search", "draws"), CASES)
def test_counts_are_those_of_a_whole_run(
    objective: str, members: int, search: tuple[int, int], draws: int
) -> None:
    study = simulated(objective, members, *search, draws)
    size = study_size(study, measure_time=False)
    packs: list[Pack] = []
    sweep = run(study, measure=measured, fails=lambda pack: packs.append(pack) or False)
    assert size.cells == len(sweep.cells) == 2
    chosen = [len(set(plan.chosen.values())) for plan in sweep.plans.values()]
    assert all(chosen)
    if objective == "both" and chosen != [2, 2]:
        # Both criteria chose one strength: the count is what it can be at most.
        assert size.packs >= len(packs)
        assert size.trials > len(sweep.order())
    else:
        assert (size.packs, size.trials) == (len(packs), len(sweep.order()))
    assert size.encoders == 2 * size.trials
    assert size.seconds is None


def test_time_is_measured_without_leaving_a_trace(study_of: StudyFactory) -> None:
    study = study_of("data.U=[2]")
    seconds = study_size(study).seconds
    assert seconds is not None
    assert 0 < seconds < 600
    assert Sweep(study).results == {}


@pytest.mark.parametrize("per_epoch", [1e-3, 0.03, 2.0])
def test_cost_of_an_epoch_from_runs_on_a_busy_machine(per_epoch: float) -> None:
    runs: list[int] = []

    def seconds_of(epochs: int) -> float:
        runs.append(epochs)
        return 1.5 + per_epoch * epochs + 0.02 * (-1) ** len(runs)

    cost = epoch_cost(seconds_of)
    assert cost.per_epoch == pytest.approx(per_epoch, rel=0.2)
    assert cost.seconds(1000) == pytest.approx(1.5 + 1000 * per_epoch, rel=0.2)
    assert sum(runs) * per_epoch < 10 * max(1, per_epoch)


def test_epochs_that_cost_nothing_end_the_probe() -> None:
    cost = epoch_cost(lambda epochs: 3.0)
    assert (cost.fixed, cost.per_epoch) == (3.0, 0.0)
