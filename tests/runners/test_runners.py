"""Both runners: the same rows whoever runs them, and faults inside a pack."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_emergence
import torch
from tiny_runs import assert_same_table, misbehaving, opened, packed, parts, study, table

from raysweep.errors import InputError
from raysweep.kinds.forcing.memory import pack_bytes
from raysweep.kinds.forcing.plan import ForcingSweep as Sweep
from raysweep.kinds.forcing.run_pack import run_pack
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.sweep import CellState
from raysweep.models.memory import is_memory_short
from raysweep.runners import local
from raysweep.runners.attempt import attempt
from raysweep.study.spec import StudyBase
from raysweep.trials.columns import TIMING_COLUMNS
from raysweep.trials.packing import Pack
from raysweep.trials.table import Row

CPUS = 2  # of the fixture ray_here


def run_ray(wanted: StudyBase, folder: Path, **options: float) -> Sweep:
    from raysweep.runners import tune

    return tune.run(wanted, opened(folder, wanted), **options)


def run_local(wanted: StudyBase, folder: Path) -> Sweep:
    return local.run(wanted, opened(folder, wanted))


def processes(folder: Path) -> set[str]:
    return set((folder / "processes").read_text().split())


@pytest.mark.slow
@pytest.mark.ray
def test_both_runners_give_the_same_rows_and_workers_are_reused(
    ray_here: None, tmp_path: Path
) -> None:
    switch = tmp_path / "switch"
    wanted = study(**misbehaving(switch, "", data__U=[0, 8], data__draws=2, confirm__seeds=9))
    distributed = run_ray(wanted, tmp_path / "ray")
    assert distributed.finished
    assert distributed.finished_packs > 40
    assert len(processes(switch)) <= CPUS
    (switch / "processes").unlink()
    run_local(wanted, tmp_path / "local")
    assert processes(switch) == {str(os.getpid())}
    assert_same_table(table(tmp_path / "local"), table(tmp_path / "ray"))


@pytest.mark.slow
@pytest.mark.ray
def test_both_runners_give_the_same_rows_of_an_emergence_study(
    ray_here: None, tmp_path: Path
) -> None:
    wanted = tiny_emergence.study(tuning=tiny_emergence.TUNING)
    assert run_ray(wanted, tmp_path / "ray").finished
    run_local(wanted, tmp_path / "local")
    assert_same_table(table(tmp_path / "local"), table(tmp_path / "ray"))


# In process all of it is in test_cohorts_trained.py; Ray gets its packs as it gets any others.
@pytest.mark.faults
@pytest.mark.ray
def test_cells_share_packs_on_ray_as_in_process(ray_here: None, tmp_path: Path) -> None:
    changes = {"data__U": [0, 4, 8], "resources__members_per_pack": 20}
    wanted = study(**changes, resources__cells_per_pack=2)
    assert run_ray(wanted, tmp_path / "ray").finished
    run_local(wanted, tmp_path / "local")
    assert_same_table(table(tmp_path / "ray"), table(tmp_path / "local"))
    run_local(study(**changes), tmp_path / "alone")
    alone = table(tmp_path / "alone")
    pd.testing.assert_frame_equal(table(tmp_path / "ray"), alone, rtol=0, atol=1e-10)
    assert len(parts(tmp_path / "ray")) < len(parts(tmp_path / "alone"))


@pytest.mark.slow
@pytest.mark.ray
def test_packs_share_a_declared_gpu_and_a_cpu(ray_here: None, tmp_path: Path) -> None:
    wanted = study(
        search__objective="both", resources={"cpus_per_pack": 0.5, "gpus_per_pack": 0.25}
    )
    run_ray(wanted, tmp_path / "ray")
    run_local(wanted, tmp_path / "local")
    assert_same_table(table(tmp_path / "local"), table(tmp_path / "ray"))


@pytest.mark.slow
@pytest.mark.ray
def test_a_pack_that_raises_is_given_up_and_the_others_complete(
    ray_here: None, tmp_path: Path
) -> None:
    def views(path: Path) -> None:
        random = np.random.default_rng(len(path.name))
        y = np.repeat([0, 1], 48)
        x = random.normal(size=(96, 4)) + y[:, None]
        np.savez(path, x1=x, x2=x + random.normal(size=(96, 4)), y=y)

    files = [tmp_path / "stays.npz", tmp_path / "goes.npz"]
    for path in files:
        views(path)
    data = {"dataset": "arrays", "path": [str(path) for path in files]}
    wanted = study(data=data, resources__cpus_per_pack=CPUS)
    undisturbed = run_local(wanted, tmp_path / "undisturbed")
    assert not undisturbed.failures
    files[1].rename(tmp_path / "gone")

    for runner in (run_local, run_ray):
        folder = tmp_path / runner.__name__
        sweep = runner(wanted, folder)
        assert sweep.finished
        assert {sweep.state(c): c for c in sweep.cells}.keys() == {
            CellState.DONE,
            CellState.FAILED,
        }
        assert all("goes.npz" in reason for reason in sweep.failures.values())
        written = list((folder / "failures").iterdir())
        assert {path.stem for path in written} == set(sweep.failures)
        assert "goes.npz" in written[0].read_text()
        assert set(table(folder)["cell"]) == {
            c.id for c in sweep.cells if sweep.state(c) is CellState.DONE
        }

    (tmp_path / "gone").rename(files[1])
    for runner in (run_local, run_ray):
        folder = tmp_path / runner.__name__
        sweep = run_local(wanted, folder)
        assert not sweep.failures
        assert not list((folder / "failures").iterdir())
        assert_same_table(table(folder), table(tmp_path / "undisturbed"))


def test_a_users_own_loss_that_raises_leaves_its_traceback(tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    wanted = study(**misbehaving(switch, "raise"))
    (switch / "armed").touch()
    sweep = run_local(wanted, tmp_path / "out")
    assert sweep.finished
    (reason,) = set(sweep.failures.values())
    assert reason.strip().endswith("ArithmeticError: the loss was told to raise")
    assert "misbehaving.py" in reason
    assert len(pd.read_parquet(tmp_path / "out" / "trials.parquet")) == 0


@pytest.mark.slow
@pytest.mark.ray
def test_a_worker_killed_in_the_middle_of_a_pack_costs_nothing(
    ray_here: None, tmp_path: Path
) -> None:
    switch = tmp_path / "switch"
    wanted = study(**misbehaving(switch, "kill", resources__cpus_per_pack=CPUS))
    (switch / "armed").touch()
    sweep = run_ray(wanted, tmp_path / "out")
    assert not sweep.failures
    assert not (switch / "armed").exists()
    assert len(processes(switch)) >= 2
    run_local(wanted, tmp_path / "undisturbed")
    assert_same_table(table(tmp_path / "out"), table(tmp_path / "undisturbed"))


@pytest.mark.slow
@pytest.mark.ray
def test_a_pack_that_hangs_is_ended_at_the_time_limit(ray_here: None, tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    wanted = study(**misbehaving(switch, "hang", resources__cpus_per_pack=CPUS))
    (switch / "armed").touch()
    sweep = run_ray(wanted, tmp_path / "out", pack_limit_s=4.0)
    (reason,) = sweep.failures.values()
    assert "the limit is 4 s per pack" in reason
    assert "misbehaving.py" in reason  # where it hung
    rest = run_local(wanted, tmp_path / "out")
    assert not rest.failures
    run_local(wanted, tmp_path / "undisturbed")
    assert_same_table(table(tmp_path / "out"), table(tmp_path / "undisturbed"))


# Of the first pack's 6 members 2 have strength 0, and the loss does not see them.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "fitting", "pieces"),
    [
        ("memory", 1, [4, 1, 3, 2, 1, 1, 1]),
        ("memory", 2, [4, 1, 3, 2, 1]),
        ("memory", 3, [4, 1, 3]),
        ("array memory", 2, [4, 1, 3, 2, 1]),
    ],
)
def test_a_pack_that_is_too_large_for_memory_is_halved(
    tmp_path: Path, fault: str, fitting: int, pieces: list[int]
) -> None:
    switch = tmp_path / "switch"
    wanted = study(**misbehaving(switch, fault, amount=fitting, resources__members_per_pack=6))
    run_local(wanted, tmp_path / "undisturbed")
    (switch / "armed").touch()
    sweep = run_local(wanted, tmp_path / "halved")
    assert not sweep.failures
    # Memory is short in a piece's first step, or else it takes its four.
    steps = [m for m in pieces for _ in range(1 if m > fitting else 4)]
    seen = [members for _, members in packed(switch)]
    assert seen[: len(steps)] == steps
    whole, halved = table(tmp_path / "undisturbed"), table(tmp_path / "halved")
    pd.testing.assert_frame_equal(whole, halved, check_exact=False, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    ],
)
def test_what_says_that_memory_is_short(error: Exception) -> None:
    assert is_memory_short(error)
    assert not is_memory_short(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_memory_too_short_for_one_trial_is_a_failure_that_says_so(tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    wanted = study(**misbehaving(switch, "memory", amount=0))
    (switch / "armed").touch()
    sweep = run_local(wanted, tmp_path / "out")
    (reason, *_) = sweep.failures.values()
    assert "memory is short even for one trial at a time" in reason
    assert "DefaultCPUAllocator: can't allocate memory" in reason


def test_pieces_keep_the_order_of_the_rows(tmp_path: Path) -> None:
    wanted = study(resources__members_per_pack=7, search__seeds=3)
    pack = opened(tmp_path, wanted).open_sweep(wanted).next_pack()
    assert pack is not None
    sizes: list[int] = []

    def execute(_: StudyBase, piece: object, device: str) -> list[dict[str, str]]:
        sizes.append(len(piece.trials))  # type: ignore[attr-defined]
        return [{"key": trial.key} for trial in piece.trials]  # type: ignore[attr-defined]

    for pieces in (1, 2, 4, 8, 16):
        sizes.clear()
        rows = attempt(wanted, pack, pieces=pieces, execute=execute)  # type: ignore[arg-type]
        assert [row["key"] for row in rows] == [trial.key for trial in pack.trials]
        assert len(sizes) == min(pieces, len(pack.trials))
        assert max(sizes) == -(-len(pack.trials) // pieces)


def test_a_pack_that_would_need_too_much_memory_trains_in_pieces(tmp_path: Path) -> None:
    def rows_with(memory: float) -> tuple[list[int], list[Row]]:
        wanted = study(
            resources__members_per_pack=8, resources__memory_per_pack=memory, search__seeds=3
        )
        pack = opened(tmp_path / f"{memory}", wanted).open_sweep(wanted).next_pack()
        assert pack is not None
        sizes: list[int] = []

        def execute(study: Study, piece: Pack, device: str) -> list[Row]:
            sizes.append(len(piece.trials))
            assert len(piece.trials) == 1 or pack_bytes(study, piece) <= memory * 1e9
            return run_pack(study, piece, device)

        return sizes, attempt(wanted, pack, execute=execute)

    sizes, rows = rows_with(2.0)
    assert sizes == [8]
    short, halved = rows_with(pack_bytes_of(8) * 0.9e-9)
    assert sorted(short) == [4, 4]
    assert rows_with(1e-9)[0] == [1] * 8
    timing = set(TIMING_COLUMNS)
    assert [{k: v for k, v in row.items() if k not in timing} for row in rows] == [
        {k: v for k, v in row.items() if k not in timing} for row in halved
    ]


def pack_bytes_of(members: int) -> int:
    wanted = study(resources__members_per_pack=members, search__seeds=3)
    pack = Sweep(wanted).next_pack()
    assert pack is not None
    return pack_bytes(wanted, pack)


def test_a_cell_that_diverges_at_every_strength_is_told_apart(tmp_path: Path) -> None:
    wanted = study(data__U=[0, 8], training__learning_rate=1e200)
    sweep = run_local(wanted, tmp_path)
    assert sweep.finished
    assert not sweep.failures
    assert {sweep.state(cell) for cell in sweep.cells} == {CellState.NO_STRENGTH}
    rows = table(tmp_path)
    assert set(rows["stage"]) == {"search"}
    assert set(rows["status"]) == {"diverged"}
    assert rows["reason"].str.fullmatch(r"not finite at step \d+").all()


@pytest.mark.ray
@pytest.mark.parametrize(
    "needs", [{"cpus_per_pack": 1000}, {"gpus_per_pack": 1.5}, {"gpus_per_pack": 2}]
)
def test_a_pack_that_no_node_can_hold_fails_at_once(
    ray_here: None, tmp_path: Path, needs: dict[str, float]
) -> None:
    with pytest.raises(InputError, match=r"no node has that \(nodes: 2 CPU, 1 GPU\)"):
        run_ray(study(resources=needs), tmp_path)
