"""Packs over several cells, trained: the same numbers, however many cells share them."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_runs import opened, parts, raysweep, study, table

from raysweep.data import registry
from raysweep.folder.stored_study import extends
from raysweep.kinds.forcing.memory import pack_bytes
from raysweep.kinds.forcing.plan import ForcingSweep as Sweep
from raysweep.kinds.forcing.run_pack import run_pack
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.sweep import CellState
from raysweep.runners import local
from raysweep.study.cells import Cell, expand
from raysweep.study.fingerprint import science_digest
from raysweep.study.reader import StudyFileError
from raysweep.trials.packing import Pack
from raysweep.trials.table import Row, read_parts
from raysweep.trials.trial import Arm, Stage, Trial

pytestmark = pytest.mark.slow

CELLS_PER_PACK = (3, 100)


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
    sweep = local.run(wanted, opened(folder, wanted))
    assert {sweep.state(cell) for cell in sweep.cells} == {CellState.DONE}
    return request.param, folder


@pytest.mark.parametrize("cells", CELLS_PER_PACK)
def test_cells_that_share_packs_have_the_same_table(
    alone: tuple[str, Path], tmp_path: Path, cells: int
) -> None:
    engine, folder = alone
    wanted = of_cells(cells, training__engine=engine)
    sweep = local.run(wanted, opened(tmp_path, wanted))
    assert not sweep.failures
    assert_near(table(tmp_path), table(folder))
    assert len(parts(tmp_path)) < len(parts(folder))


@pytest.mark.slow
def test_a_run_may_go_on_with_other_packs(alone: tuple[str, Path], tmp_path: Path) -> None:
    engine, folder = alone
    choice = random.Random(5)
    place = opened(tmp_path, of_cells(1, training__engine=engine))
    kept = choice.sample(parts(folder), len(parts(folder)) // 2)
    for name in kept:
        place.output.write(f"parts/{name}", (folder / "parts" / name).read_bytes())
    wanted = of_cells(5, training__engine=engine)
    place.adopt(wanted)
    local.run(wanted, place)
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
        data={"dataset": "arrays", "path": paths, "draws": 1},
        resources={"members_per_pack": 100, "cells_per_pack": 10},
        **changes,
    )


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_bad_file_is_named_and_its_cohort_shown(tmp_path: Path) -> None:
    paths = write_files(tmp_path)[:3]
    wanted = of_files(paths)
    Path(paths[1]).write_bytes(b"no archive")
    folder = opened(tmp_path / "out", wanted)
    sweep = local.run(wanted, folder)
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
    assert not local.run(wanted, folder).failures
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
