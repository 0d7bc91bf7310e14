"""Sequential confirm stages that train: in process, on Ray, interrupted and resumed."""

from pathlib import Path

import pytest
from tiny_runs import assert_same_table, opened, parts, study, table

from raysweep.folder.conclusion import judge
from raysweep.kinds.kind import kind_of
from raysweep.kinds.sweep import CellState
from raysweep.runners import local

CHANGES = {
    "data__U": [0, 8],
    "data__draws": 6,
    "search__draws": 1,
    "confirm__seeds": 1,
    "confirm__sequential": [3, 4, 6],
    "confirm__budget": {"trials": 40},
    "verdict__margin": 0.3,
}


def run_local(folder: Path, **changes: object) -> None:
    wanted = study(**{**CHANGES, **changes})
    local.run(wanted, opened(folder, wanted))


def test_what_was_lost_is_trained_again_and_no_decision_changes(tmp_path: Path) -> None:
    wanted = study(**CHANGES)
    run_local(tmp_path / "whole")
    run_local(tmp_path / "again")
    for part in parts(tmp_path / "again")[1::3]:
        (tmp_path / "again" / "parts" / part).unlink()
    folder = opened(tmp_path / "again", wanted)
    assert not folder.open_sweep(wanted).finished
    local.run(wanted, folder)
    assert_same_table(table(tmp_path / "whole"), table(tmp_path / "again"))
    sweep = folder.look(wanted)
    assert {sweep.state(cell) for cell in sweep.cells} == {CellState.DONE}
    own = {
        cell.id: {t.key: sweep.results[t.key] for t in sweep.plans[cell.id].trials}
        for cell in sweep.cells
    }
    plans = kind_of(wanted).plans(wanted, own, own.__getitem__, {})
    assert {cell: plan.trials for cell, plan in plans.items()} == {
        cell: plan.trials for cell, plan in sweep.plans.items()
    }


def test_the_conclusion_is_of_the_looks(tmp_path: Path) -> None:
    wanted = study(**CHANGES)
    run_local(tmp_path)
    folder = opened(tmp_path, wanted)
    found = judge(folder, wanted)
    assert (found.effects["look"] >= 1).all()
    assert (found.effects["looks"] == 3).all()
    assert any("looked at up to 3 times" in line for line in found.sentences)
    rows = table(tmp_path)
    confirm = rows[rows["stage"] == "confirm"]
    draws = confirm[confirm["arm"] == "forced"].groupby("cell")["draw"].nunique()
    assert draws.to_dict() == found.effects.set_index("cell")["n"].to_dict()
    assert len(confirm) <= 40


@pytest.mark.slow
@pytest.mark.ray
def test_ray_stops_the_same_cells(ray_here: None, tmp_path: Path) -> None:
    from raysweep.runners import tune

    wanted = study(**CHANGES)
    tune.run(wanted, opened(tmp_path / "ray", wanted))
    run_local(tmp_path / "local")
    assert_same_table(table(tmp_path / "ray"), table(tmp_path / "local"))
