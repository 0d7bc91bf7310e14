"""Packs over several cells: the same numbers, however many cells share them."""

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulate_packs import diverged, essence, measured, run
from tiny_runs import opened, parts, raysweep, study, table

from raysweep import local_runner
from raysweep.adoption import extends
from raysweep.cells import Cell, expand
from raysweep.data import registry
from raysweep.estimate import study_size
from raysweep.execute import pack_bytes, run_pack
from raysweep.packing import Pack, cohorts
from raysweep.planning import CellState, plan_cell, plan_cohort
from raysweep.science import science_digest
from raysweep.spec import Study
from raysweep.study_file import StudyFileError
from raysweep.sweep import Sweep
from raysweep.table import Row, read_parts
from raysweep.trials import Arm, Stage, Trial, TrialResult

CELLS_PER_PACK = (1, 2, 5, 100)


def simulated(cells_per_pack: int, members: int = 7, **parts: Any) -> Study:
    """Twelve cells of four scales and two datasets, draws in some; nothing is ever trained."""
    return Study.model_validate(
        {
            "name": "simulated",
            "data": [
                {"dataset": "synthetic", "U": [0, 2, 4], "train": [64, 128], "draws": 2},
                {"dataset": "digits", "overlap": [0, 2]},
            ],
            "model": {"width": [8, 16]},
            "search": {"trials": 5, "generation": 2, "seeds": 2, "objective": "both"},
            "confirm": {"seeds": 3},
            "resources": {"members_per_pack": members, "cells_per_pack": cells_per_pack},
            **parts,
        }
    )


def scale(cell: Cell) -> tuple[object, ...]:
    """What makes the shape of a cell's models and data."""
    rows = dict(cell.parameters).get("train")
    return cell.dataset, rows, cell.encoder, cell.depth_1, cell.depth_2, cell.width_1, cell.width_2


def packs_of(wanted: Study, **how: Any) -> tuple[Sweep, list[Pack]]:
    packs: list[Pack] = []
    return run(wanted, fails=lambda pack: packs.append(pack) or False, **how), packs


ALONE = run(simulated(1))


# Plans


@settings(max_examples=60)
@given(st.integers(1, 14))
def test_cohorts_are_runs_of_the_grid_of_equal_scale(most: int) -> None:
    cells = expand(simulated(1))
    found = cohorts(cells, most)
    assert Counter(cell.id for own in found for cell in own) == Counter(c.id for c in cells)
    place = {cell.id: at for at, cell in enumerate(cells)}
    for own in found:
        assert 1 <= len(own) <= most
        assert len({scale(cell) for cell in own}) == 1
        places = [place[cell.id] for cell in own]
        assert places == sorted(places)
        between = cells[places[0] : places[-1]]
        assert all(cell in own for cell in between if scale(cell) == scale(own[0]))
    # Only the last cohort of a scale is short.
    short = [own for own in found if len(own) < most]
    assert len(short) == len({scale(own[0]) for own in short})


@settings(max_examples=20)
@given(
    st.sampled_from(CELLS_PER_PACK),
    st.integers(3, 60),
    st.integers(0, 2**32),
    st.lists(st.integers(1, 30), max_size=3),
)
def test_no_size_order_or_interruption_changes_what_is_trained(
    cells: int, members: int, seed: int, cuts: list[int]
) -> None:
    wanted, choice, results = simulated(cells, members), random.Random(seed), {}
    packs: list[Pack] = []
    for cut in (*cuts, None):
        sweep, fresh = packs_of(wanted, results=results, choice=choice, stop_after=cut)
        results, packs = sweep.results, packs + fresh
    assert essence(sweep) == essence(ALONE)
    assert sweep.results == ALONE.results
    assert sweep.finished
    assert {sweep.state(cell) for cell in sweep.cells} == {CellState.DONE}
    for pack in packs:
        assert len(pack.trials) <= members
        assert len(pack.cells) <= cells
        assert len({scale(cell) for cell in pack.cells}) == 1
        assert len({(t.stage, t.generation) for t in pack.trials if t.strength > 0}) <= 1
    # Packs are the rule's, whenever they came in; a cut loses only those that were running.
    whole = {pack.key for pack in packs_of(wanted)[1]}
    assert {pack.key for pack in packs} == whole


def test_packs_are_as_large_as_they_may_be() -> None:
    members = 60
    _, packs = packs_of(simulated(100, members))
    alone = packs_of(simulated(1, members))[1]
    assert max(len(pack.trials) for pack in packs) > 50 > max(len(pack.trials) for pack in alone)
    assert len(packs) < len(alone) / 2
    assert max(len(pack.cells) for pack in packs) == 3


@settings(max_examples=12)
@given(st.integers(0, 2**32), st.sampled_from(CELLS_PER_PACK), st.sampled_from(CELLS_PER_PACK))
def test_another_number_of_cells_uses_every_result(seed: int, before: int, after: int) -> None:
    choice = random.Random(seed)
    results = run(simulated(before), choice=choice, stop_after=choice.randint(1, 40)).results
    trained: list[str] = []

    def counted(trial: Trial) -> TrialResult:
        trained.append(trial.key)
        return measured(trial)

    again = run(simulated(after), results, counted, choice=choice)
    assert essence(again) == essence(ALONE)
    assert len(trained) == len(set(trained))
    assert not set(trained) & set(results)
    assert set(trained) | set(results) == set(ALONE.results)


@settings(max_examples=12)
@given(st.integers(0, 2**32), st.integers(0, 400))
def test_results_lost_at_random_are_trained_again(seed: int, lost: int) -> None:
    choice = random.Random(seed)
    results = dict(ALONE.results)
    for key in choice.sample(sorted(results), min(lost, len(results))):
        del results[key]
    assert essence(run(simulated(5), results, choice=choice)) == essence(ALONE)


@settings(max_examples=12)
@given(st.integers(0, 2**32), st.integers(0, 60))
def test_in_step_a_cell_proposes_what_it_proposes_alone(seed: int, stop_after: int) -> None:
    wanted = simulated(5)
    results = run(wanted, choice=random.Random(seed), stop_after=stop_after or None).results
    for cohort in cohorts(expand(wanted), 5):
        plans = plan_cohort(wanted, cohort, results)
        assert [plan.cell for plan in plans] == list(cohort)
        assert len({len(plan.outcomes) for plan in plans}) == 1
        for plan in plans:
            alone = plan_cell(wanted, plan.cell, results)
            assert alone.trials[: len(plan.trials)] == plan.trials
            assert alone.outcomes[: len(plan.outcomes)] == plan.outcomes
            assert plan.chosen in ({}, alone.chosen)
            if plan.state is CellState.SEARCHING:
                assert plan.packs == plans[0].packs
            else:
                assert plan == alone or plan.packs


@pytest.mark.parametrize("cells", CELLS_PER_PACK)
@pytest.mark.parametrize(
    "search",
    [
        {"objective": "alignment"},
        {"objective": "both"},
        {"options": {"temperature": [0.05, 0.1]}},
        {"options": {"temperature": [0.05, 0.1]}, "objective": "both", "draws": 2},
    ],
)
def test_the_size_that_is_told_is_that_of_a_run(cells: int, search: dict[str, Any]) -> None:
    search = {"trials": 5, "generation": 2, "seeds": 2, **search}
    search["strength"] = {"low": 0.01, "high": 5}  # nothing diverges
    wanted = simulated(cells, 20, search=search)
    sweep, packs = packs_of(wanted)
    size = study_size(wanted, measure_time=False)
    assert all(len({t.options for t in p.trials if t.strength > 0}) <= 1 for p in packs)
    chosen = 2 if search.get("objective") == "both" else 1
    if "options" in search or any(
        len(set(plan.chosen.values())) < chosen for plan in sweep.plans.values()
    ):
        assert size.packs >= len(packs)
    else:
        assert (size.packs, size.trials) == (len(packs), len(sweep.order()))
    assert sweep.trials_planned() == len(sweep.order())


def test_a_pack_that_fails_holds_up_its_cohort_and_no_other() -> None:
    wanted = simulated(3, 20)
    broken = expand(wanted)[0].id

    def fails(pack: Pack) -> bool:
        return any(t.cell.id == broken and t.generation == 1 for t in pack.trials)

    sweep = run(wanted, fails=fails, choice=random.Random(0))
    assert sweep.finished
    [cohort] = [own for own in sweep.cohorts if broken in [cell.id for cell in own]]
    assert len(cohort) == 3
    assert all(sweep.state(cell) is CellState.FAILED for cell in cohort)
    others = [cell for cell in sweep.cells if cell not in cohort]
    assert {sweep.state(cell) for cell in others} == {CellState.DONE}
    assert essence(run(wanted, sweep.results)) == essence(ALONE)


def test_a_cell_without_a_strength_leaves_the_others_to_confirm() -> None:
    wanted = simulated(5)
    lost = expand(wanted)[2].id

    def mostly(trial: Trial) -> TrialResult:
        return diverged(trial) if trial.cell.id == lost else measured(trial)

    sweep = run(wanted, measure=mostly)
    assert sweep.finished
    states = {cell.id: sweep.state(cell) for cell in sweep.cells}
    assert states.pop(lost) is CellState.NO_STRENGTH
    assert set(states.values()) == {CellState.DONE}
    confirmed = {t.cell.id for t in sweep.order().values() if t.stage is Stage.CONFIRM}
    assert confirmed == states.keys()


def test_a_cell_is_done_with_the_last_of_its_own_packs() -> None:
    sweep = Sweep(simulated(100, 6))
    seen: set[str] = set()
    while (pack := sweep.next_pack()) is not None:
        sweep.complete(pack, [measured(trial) for trial in pack.trials])
        for cell in sweep.cells:
            keys = {trial.key for trial in sweep.plans[cell.id].trials}
            if sweep.state(cell) is CellState.DONE:
                assert keys <= sweep.results.keys()
                seen.add(f"done beside {sweep.state(sweep.cells[-1])}")
    assert len(seen) > 1


# Training


def of_cells(cells_per_pack: int, members: int = 40, **changes: Any) -> Study:
    """Six cells of one scale and one of another: of noise, of missing rows, and of neither."""
    return study(
        **{
            "data": [
                {"dataset": "synthetic", "U": [0, 2, 4, 6], **ROWS},
                {"dataset": "synthetic", "U": 8, **ROWS, "train": 96},
                {"dataset": "synthetic", "U": 2, "noise_1": 0.1, **ROWS},
                {"dataset": "synthetic", "U": 2, "missing_2": 0.2, "draws": 2, **ROWS},
            ],
            "confirm__seeds": 2,
            "evaluation": {
                "metrics": {"unbiased_cka": {}, "mutual_knn": {"topk": 5}},
                "rows": 32,
                "calibrate": 5,
            },
            "search__objective": "both",
            "resources": {"members_per_pack": members, "cells_per_pack": cells_per_pack},
            **changes,
        }
    )


ROWS = {"train": 64, "validation": 32, "test": 64}


def assert_near(left: pd.DataFrame, right: pd.DataFrame) -> None:
    """Same rows in the same order, equal strengths, all numbers to 1e-10."""
    assert list(left["key"]) == list(right["key"])  # made from the strengths, bit by bit
    pd.testing.assert_frame_equal(left, right, check_exact=False, rtol=0, atol=1e-10)


@pytest.fixture(scope="module", params=["auto", "torch"])
def alone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An engine, and the folder of a run with one cell a pack."""
    folder = tmp_path_factory.mktemp(request.param)
    wanted = of_cells(1, training__engine=request.param)
    sweep = local_runner.run(wanted, opened(folder, wanted))
    assert {sweep.state(cell) for cell in sweep.cells} == {CellState.DONE}
    return request.param, folder


@pytest.mark.parametrize("cells", CELLS_PER_PACK[1:])
def test_cells_that_share_packs_have_the_same_table(
    alone: tuple[str, Path], tmp_path: Path, cells: int
) -> None:
    engine, folder = alone
    wanted = of_cells(cells, training__engine=engine)
    sweep = local_runner.run(wanted, opened(tmp_path, wanted))
    assert not sweep.failures
    assert_near(table(tmp_path), table(folder))
    assert len(parts(tmp_path)) < len(parts(folder))


def test_a_run_may_go_on_with_other_packs(alone: tuple[str, Path], tmp_path: Path) -> None:
    engine, folder = alone
    choice = random.Random(5)
    place = opened(tmp_path, of_cells(1, training__engine=engine))
    kept = choice.sample(parts(folder), len(parts(folder)) // 2)
    for name in kept:
        place.output.write(f"parts/{name}", (folder / "parts" / name).read_bytes())
    wanted = of_cells(5, training__engine=engine)
    place.adopt(wanted)
    local_runner.run(wanted, place)
    assert_near(table(tmp_path), table(folder))
    assert set(kept) <= set(parts(tmp_path))
    stored = [
        read_parts(place.output, [f"parts/{name}"]).table.num_rows for name in parts(tmp_path)
    ]
    assert sum(stored) == len(table(tmp_path))  # nothing was trained twice


def assert_equal(one: Row, two: Row) -> None:
    """Every column that has a value, numbers to 1e-10; time left out."""
    left, right = (
        {name: value for name, value in row.items() if value is not None} for row in (one, two)
    )
    assert left.keys() == right.keys()
    for name in left.keys() - {"train_seconds"}:
        value, expected = left[name], right[name]
        if isinstance(value, list):
            value, expected = (np.array(v, dtype=float) for v in (value, expected))
        assert value == pytest.approx(expected, abs=1e-10, nan_ok=True), name


def trials_of(wanted: Study, cell: Cell, draw: int = 0) -> Iterator[Trial]:
    for seed, (strength, arm) in itertools.product(
        (3, 4), ((0.0, Arm.NONE), (0.5, Arm.FORCED), (0.5, Arm.PLACEBO))
    ):
        yield Trial(cell, draw, seed, strength, arm, Stage.CONFIRM, science_digest(wanted))


def test_a_cell_that_diverges_touches_no_other() -> None:
    wanted = of_cells(5)
    [one, two, *_] = expand(wanted)
    healthy = tuple(trials_of(wanted, one))
    lost = Trial(two, 0, 3, 1e308, Arm.FORCED, Stage.CONFIRM, science_digest(wanted))
    beside = run_pack(wanted, Pack((*healthy[:3], lost, *healthy[3:])))
    assert [row["status"] for row in beside] == ["ok"] * 3 + ["diverged"] + ["ok"] * 3
    for row, expected in zip(beside[:3] + beside[4:], run_pack(wanted, Pack(healthy)), strict=True):
        assert_equal(row, expected)


def write_files(folder: Path) -> list[str]:
    """Two files of equal sizes, one of more rows, and one of other features and classes."""
    paths = []
    for number, (rows, features, classes) in enumerate(
        ((120, 3, 2), (120, 3, 2), (160, 3, 2), (120, 5, 3))
    ):
        rng = np.random.default_rng(number)
        y = np.arange(rows) % classes
        x = rng.normal(size=(rows, features)) + y[:, None]
        paths.append(str(folder / f"file{number}.npz"))
        np.savez(paths[-1], x1=x, x2=rng.normal(size=(rows, 4)) + y[:, None], y=y)
    return paths


def of_files(paths: list[str], **changes: Any) -> Study:
    return study(
        data={"dataset": "arrays", "path": paths},
        resources={"members_per_pack": 100, "cells_per_pack": 10},
        **changes,
    )


def test_data_of_unequal_sizes_train_one_after_another(tmp_path: Path) -> None:
    wanted = of_files(write_files(tmp_path))
    cells = expand(wanted)
    by_cell = [list(trials_of(wanted, cell)) for cell in cells]
    mixed = tuple(itertools.chain(*zip(*by_cell, strict=True)))
    rows = run_pack(wanted, Pack(mixed))
    assert [row["key"] for row in rows] == [trial.key for trial in mixed]
    assert len({(row["n_train"], row["classes"], row["parameters"]) for row in rows}) == 3
    expected = {row["key"]: row for own in by_cell for row in run_pack(wanted, Pack(tuple(own)))}
    for row in rows:
        assert_equal(row, expected[row["key"]])
        assert row["I1_estimated"] > 0
    largest = max(pack_bytes(wanted, Pack(tuple(own))) for own in by_cell[2:])
    together = pack_bytes(wanted, Pack((*by_cell[0], *by_cell[1])))
    assert pack_bytes(wanted, Pack(mixed)) == max(largest, together)


def test_a_bad_file_is_named_and_its_cohort_shown(tmp_path: Path) -> None:
    paths = write_files(tmp_path)[:3]
    wanted = of_files(paths)
    Path(paths[1]).write_bytes(b"no archive")
    folder = opened(tmp_path / "out", wanted)
    sweep = local_runner.run(wanted, folder)
    assert sweep.finished
    assert {sweep.state(cell) for cell in sweep.cells} == {CellState.FAILED}
    [reason] = sweep.failures.values()
    assert "file1.npz: has changed since" in reason
    told = raysweep(tmp_path, "failures", "out").stdout
    assert all(label in told for label in sweep.labels.values())
    assert "file1.npz: has changed since" in told
    assert told.count(": pack ") == 1
    shown = raysweep(tmp_path, "status", "out").stdout
    assert shown.count("failed") >= 3 + 1
    write_files(tmp_path)
    assert not local_runner.run(wanted, folder).failures
    assert not list((tmp_path / "out" / "failures").iterdir())


def test_each_dataset_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = of_cells(9, data={"dataset": "synthetic", "U": list(range(5)), "draws": 2, **ROWS})
    cells = expand(wanted)
    pack = Pack(tuple(t for c in cells for draw in (0, 1) for t in trials_of(wanted, c, draw)))
    loaded: list[object] = []
    load = registry._load.__wrapped__
    monkeypatch.setattr(registry, "_together", {})
    monkeypatch.setattr(registry, "_load", lambda asked: loaded.append(asked) or load(asked))
    pack_bytes(wanted, pack)
    run_pack(wanted, pack)
    assert len(loaded) == len(set(loaded)) == 10  # more than are kept by themselves


# The study


def test_results_do_not_belong_to_a_number_of_cells() -> None:
    one, five = of_cells(1), of_cells(5)
    assert science_digest(one) == science_digest(five)
    assert extends(one, five)
    assert extends(five, one)
    assert [t.key for t in Sweep(one).order().values()] == [
        t.key for t in Sweep(five).order().values()
    ]


def test_emergence_studies_pack_families() -> None:
    import tiny_emergence

    with pytest.raises(StudyFileError, match="unknown key 'cells_per_pack'"):
        tiny_emergence.study(resources__cells_per_pack=2)
    with pytest.raises(StudyFileError, match=r"resources\.cells_per_pack: must be greater"):
        study(resources__cells_per_pack=0)


def test_a_trial_has_the_same_row_alone_and_among_other_cells() -> None:
    wanted = of_cells(9)
    cells = [cell for cell in expand(wanted) if dict(cell.parameters)["train"] == 64]
    trials = [trial for cell in cells for trial in trials_of(wanted, cell)]
    random.Random(1).shuffle(trials)
    for row, trial in zip(run_pack(wanted, Pack(tuple(trials))), trials, strict=True):
        [alone] = run_pack(wanted, Pack((trial,)))
        listed = [name for name in row if "population" in name and row[name] is not None]
        assert bool(listed) == (dict(trial.cell.parameters)["noise_1"] == 0)
        assert_equal(row, alone)
