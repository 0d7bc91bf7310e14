"""Searches that halve: who goes on, what that hangs on, and what it saved."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import assert_same_table, table
from trial_runs import ran, study

import raysweep
from raysweep.errors import InputError
from raysweep.kinds.forcing.search import Outcome, choose, told
from raysweep.kinds.kind import kind_of
from raysweep.kinds.sweep import Sweep
from raysweep.kinds.trial.study import Halving, TrialSearch, TrialStudy
from raysweep.trials.table import results_of, write_part
from raysweep.trials.trial import Proposal

EPOCHS = (2, 5, 9)
HALVING: dict[str, Any] = {
    "trial": "own_trials:racing",
    "grid": {"genre": ["helps", "hurts"]},
    "search": {
        "trials": 10,
        "generation": 5,
        "seeds": 2,
        "strength": {"low": 0.2, "high": 5},
        "halving": {"epochs": list(EPOCHS)},
    },
    "confirm": {"seeds": 3},
}


def wanted(**changes: Any) -> TrialStudy:
    return study(**{**HALVING, **changes})


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sweep]:
    folder = tmp_path_factory.mktemp("raced") / "out"
    return folder, ran(wanted(), folder)


@pytest.mark.slow
def test_the_better_half_goes_on_at_every_rung(raced: tuple[Path, Sweep]) -> None:
    """Against a slow look at the log of every trial, by the mean over seeds at that rung."""
    rows = table(raced[0])
    search = rows[(rows["stage"] == "search") & (rows["number"] >= 0)]
    for _, generation in search.groupby(["cell", "generation"]):
        went = generation.groupby("strength")["trained_epochs"].agg(["min", "max"])
        assert (went["min"] == went["max"]).all()  # a proposal goes on with all of its seeds
        assert sorted(went["max"]) == [2, 2, 5, 9, 9]  # of 5 go on 3, of 3 go on 2
        import own_trials

        genre = generation["genre"].iloc[0]
        at = {
            epoch: {
                s: np.mean([own_trials.at(genre, s, seed, epoch) for seed in (0, 1)])
                for s in went.index
            }
            for epoch in EPOCHS
        }
        first = sorted(at[2], key=lambda s: -at[2][s])[:3]
        second = sorted(first, key=lambda s: -at[5][s])[:2]
        assert set(went.index[went["max"] >= 5]) == set(first)
        assert set(went.index[went["max"] == 9]) == set(second)


def test_confirm_trials_and_the_baseline_run_whole(raced: tuple[Path, Sweep]) -> None:
    rows = table(raced[0])
    assert set(rows.loc[rows["stage"] == "confirm", "trained_epochs"]) == {9}
    assert set(rows.loc[rows["arm"] == "none", "trained_epochs"]) == {9}
    # What was confirmed ran whole in the search, too.
    for plan in raced[1].plans.values():
        best = plan.chosen["performance"].strength
        searched = rows[(rows["cell"] == plan.cell.id) & (rows["stage"] == "search")]
        assert set(searched.loc[searched["strength"] == best, "trained_epochs"]) == {9}


@pytest.mark.slow
def test_no_decision_hangs_on_the_order_or_on_where_a_run_was_cut(
    raced: tuple[Path, Sweep], tmp_path: Path
) -> None:
    from tiny_runs import opened

    study_now = wanted()
    folder = opened(tmp_path / "out", study_now)
    draw = np.random.default_rng(0)
    while True:
        sweep = folder.open_sweep(study_now)
        packs = []
        while (pack := sweep.next_pack()) is not None:
            packs.append(pack)
        if not packs:
            break
        for place in draw.permutation(len(packs))[: 1 + len(packs) // 2]:
            rows = kind_of(study_now).executor(folder.output)(study_now, packs[place], "cpu")
            write_part(folder.output, packs[place].key, rows)
            sweep.complete(packs[place], results_of(rows))
    folder.compact(sweep)
    assert_same_table(table(tmp_path / "out"), table(raced[0]))


def test_what_was_saved_is_said(raced: tuple[Path, Sweep]) -> None:
    # Of 40 trials, 10 a generation: 4 stopped at 2 epochs, 2 at 5; whole are 4 of 9.
    trained = 4 * (4 * 2 + 2 * 5 + 4 * 9)
    sentence = f"Halving stopped 24 of 40 trials of the search early: {trained} epochs instead of"
    assert f"{sentence} 360." in raysweep.open_run(raced[0]).answer


@pytest.mark.parametrize("epochs", [[1, 3], [2, 3, 4]])
def test_epochs_that_were_trained_again_were_not_saved(tmp_path: Path, epochs: list[int]) -> None:
    few = {"trials": 4, "generation": 4, "seeds": 1, "halving": {"epochs": epochs}}
    changes = {"trial": "own_trials:forgetful", "confirm": {"seeds": 2}}
    ran(wanted(search=few, grid={"whole": epochs[-1]}, **changes), tmp_path / "out")
    logs = (tmp_path / "out/trials").glob("*/files/search_forced.txt")
    trained = sum(len(log.read_text().split()) for log in logs)
    said = " ".join(raysweep.open_run(tmp_path / "out").answer)
    assert f"early: {trained} epochs instead of {4 * epochs[-1]}." in said
    least = {3: 2 * 1 + 2 * 3, 4: 2 * 2 + 1 * 3 + 1 * 4}[epochs[-1]]
    assert f"began anew; where they do so from trial.save, it is {least} epochs." in said


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("endless", r"was to stop after epoch 2 \(search\.halving\) and went on to 4; stop where"),
        ("unlogged", r"logged no epochs, and search\.halving looks after some of them"),
    ],
)
def test_a_trial_that_does_not_stop_where_the_search_looks_is_told(
    tmp_path: Path, name: str, why: str
) -> None:
    few = {"trials": 2, "generation": 2, "seeds": 1, "halving": {"epochs": [2, 4]}}
    deaf = wanted(search=few, trial=f"own_trials:{name}", grid=None, confirm={"seeds": 2})
    assert all(re.search(why, reason) for reason in ran(deaf, tmp_path / "out").failures.values())
    assert ran(deaf, tmp_path / "out").failures
    with pytest.raises(InputError, match=r"--try: arm none: .*search\.halving"):
        kind_of(deaf).try_out(deaf)


def test_a_stopped_proposal_is_pruned_and_never_chosen() -> None:
    search = TrialSearch(halving=Halving(epochs=(2, 4)))
    outcomes = [
        Outcome(Proposal(0.1), float("nan"), 0.9, stopped=2),
        Outcome(Proposal(0.2), float("nan"), 0.5),
        Outcome(Proposal(0.3), float("nan"), float("nan")),
        Outcome(Proposal(0.4), float("nan"), float("nan"), stopped=2),
    ]
    assert choose(search, outcomes) == {"performance": Proposal(0.2)}
    states = [trial.state.name for trial in told(search, outcomes)]
    assert states == ["PRUNED", "COMPLETE", "FAIL", "FAIL"]
    assert told(search, outcomes)[0].intermediate_values == {2: 0.9}


def test_trials_go_on_from_what_they_saved(raced: tuple[Path, Sweep]) -> None:
    """Each epoch of a trial is trained once, however often it was looked at."""
    for log in (raced[0] / "trials").glob("*/files/trained.txt"):
        epochs = [int(line) for line in log.read_text().split()]
        assert epochs == sorted(set(epochs))


def test_searches_without_halving_are_as_they_were() -> None:
    assert wanted(search={}).search.rungs == (0,)
    assert raysweep.load_study("quickstart").resolved.search.rungs == (0,)
