"""Several nodes: the same bits, nodes that go and come, nodes that differ."""

import re
from pathlib import Path
from typing import Any

import pytest
from cluster_of_nodes import node, take_away
from tiny_runs import (
    assert_same_table,
    kill,
    misbehaving,
    opened,
    parts,
    raysweep,
    started,
    study,
    table,
    words,
    write_study,
)
from waiting import wait_until

from raysweep.runners import local


def processes(switch: Path) -> set[str]:
    return set((switch / "processes").read_text().split())


def test_the_same_bits_from_one_worker_two_workers_and_two_nodes(
    nodes: Any, tmp_path: Path
) -> None:
    changes = misbehaving(tmp_path / "switch", "", data__U=[0, 8], search__objective="both")
    wanted = study(**changes)
    local.run(wanted, opened(tmp_path / "here", wanted))
    write_study(tmp_path / "tiny.yaml", **changes)
    for count in ("1", "2"):
        out = tmp_path / f"workers-{count}"
        done = raysweep(
            tmp_path, "run", "tiny.yaml", "--out", out, "--workers", count, "--no-mlflow"
        )
        assert done.returncode == 0, done.stderr
        assert_same_table(table(out), table(tmp_path / "here"))
    nodes.add_node(**node(num_cpus=1))
    (tmp_path / "switch" / "processes").unlink()
    out = tmp_path / "nodes-2"
    done = raysweep(
        tmp_path, "run", "tiny.yaml", "--out", out, "--address", nodes.address, "--no-mlflow"
    )
    assert done.returncode == 0, done.stderr
    assert "2 packs at a time" in words(done.stderr)
    assert len(processes(tmp_path / "switch")) >= 2
    assert_same_table(table(out), table(tmp_path / "here"))


def test_a_node_is_removed_in_mid_run_and_another_added(nodes: Any, tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    changes = misbehaving(switch, "slow", 0.2, data__U=[0, 8], confirm__seeds=60)
    wanted = study(**changes)
    local.run(wanted, opened(tmp_path / "undisturbed", wanted))
    (switch / "processes").unlink()
    (switch / "armed").touch()
    write_study(tmp_path / "tiny.yaml", **changes)
    second = nodes.add_node(**node(num_cpus=1))
    out = tmp_path / "out"
    run = started(
        tmp_path, "run", "tiny.yaml", "--out", out, "--address", nodes.address, "--no-mlflow"
    )
    try:
        both = lambda: (switch / "processes").exists() and len(processes(switch)) >= 2  # noqa: E731
        wait_until(lambda: both() and len(parts(out)) >= 4, run, 300)
        nodes.remove_node(second, allow_graceful=False)
        before = parts(out)
        wait_until(lambda: len(parts(out)) >= len(before) + 2, run, 300)
        known = processes(switch)
        nodes.add_node(**node(num_cpus=1))
        wait_until(lambda: processes(switch) > known, run, 300)  # the new node works
        (switch / "armed").unlink()
        assert run.wait(180) == 0, (tmp_path / "log").read_text()
    finally:
        kill(run)
    assert "Does forcing alignment help?" in (tmp_path / "log").read_text()
    assert_same_table(table(out), table(tmp_path / "undisturbed"))


def test_machines_that_are_taken_away_count_against_no_pack(nodes: Any, tmp_path: Path) -> None:
    from raysweep.runners.tune import LOST_WORKER_RETRIES

    switch, rented = tmp_path / "switch", node(num_cpus=1, num_gpus=1)
    # Six members: the first generation is one pack, and each loss is a loss of it.
    needs = {"cpus_per_pack": 1.0, "gpus_per_pack": 1.0, "members_per_pack": 6}
    changes = misbehaving(switch, "hang", data__U=[0], resources=needs)
    wanted = study(**changes)
    local.run(wanted, opened(tmp_path / "undisturbed", wanted))
    write_study(tmp_path / "tiny.yaml", **changes)
    (switch / "armed").touch()
    spot = nodes.add_node(**rented)
    arguments = ("tiny.yaml", "--out", "out", "--address", nodes.address, "--no-mlflow")
    run = started(tmp_path, "run", *arguments)
    try:
        for _ in range(LOST_WORKER_RETRIES + 2):
            wait_until(lambda: not (switch / "armed").exists(), run, 300)  # a pack has begun
            take_away(spot, nodes)
            (switch / "armed").touch()
            spot = nodes.add_node(**rented)
        wait_until(lambda: not (switch / "armed").exists(), run, 300)
        take_away(spot, nodes)
        nodes.add_node(**rented)
        assert run.wait(180) == 0, (tmp_path / "log").read_text()
    finally:
        kill(run)
    assert_same_table(table(tmp_path / "out"), table(tmp_path / "undisturbed"))


def test_a_node_where_no_worker_can_start_is_told(
    nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "threadpoolctl.py").write_text("raise ImportError('there is none here')\n")
    with monkeypatch.context() as there:
        there.setenv("PYTHONPATH", str(tmp_path / "node"))
        nodes.add_node(**node(num_cpus=1))
    write_study(tmp_path / "tiny.yaml", confirm__seeds=60)
    run = ("run", "tiny.yaml", "--out", "out", "--address", nodes.address, "--no-mlflow")
    done = raysweep(tmp_path, *run)
    assert done.returncode == 2, done.stderr
    assert "a worker cannot start; raysweep and what the study names must be" in words(done.stderr)
    assert "ImportError: there is none here" in done.stderr
    assert "Traceback" not in done.stderr


def test_packs_that_need_a_gpu_go_where_one_is(nodes: Any, tmp_path: Path) -> None:
    changes = {"resources": {"cpus_per_pack": 0.5, "gpus_per_pack": 0.5}}
    wanted = study(**changes)
    local.run(wanted, opened(tmp_path / "here", wanted))
    write_study(tmp_path / "tiny.yaml", **changes)
    arguments = ("tiny.yaml", "--address", nodes.address, "--no-mlflow")
    refused = raysweep(tmp_path, "run", *arguments, "--out", "refused")
    assert refused.returncode == 2
    assert "a pack needs 0.5 CPU and 0.5 GPU, and no node has that" in words(refused.stderr)

    waiting = started(tmp_path, "run", *arguments, "--out", "out", "--wait", "120")
    try:
        wait_until(lambda: "waiting up to 120 s" in (tmp_path / "log").read_text(), waiting, 300)
        nodes.add_node(**node(num_cpus=4, num_gpus=1))
        assert waiting.wait(180) == 0, (tmp_path / "log").read_text()
    finally:
        kill(waiting)
    assert "2 packs at a time" in words((tmp_path / "log").read_text())
    assert_same_table(table(tmp_path / "out"), table(tmp_path / "here"))


def test_a_pack_that_hangs_is_told_by_the_command_line(tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    changes = misbehaving(switch, "hang")
    write_study(tmp_path / "tiny.yaml", **changes)
    (switch / "armed").touch()
    done = raysweep(
        tmp_path, "run", "tiny.yaml", "--out", "out", "--pack-limit", "2", "--no-mlflow"
    )
    assert done.returncode == 1, done.stderr
    assert "1 pack failed; see why with: raysweep failures" in words(done.stderr)
    told = raysweep(tmp_path, "failures", "out")
    assert "the limit is 2 s per pack" in told.stdout
    assert "misbehaving.py" in told.stdout
    resumed = raysweep(tmp_path, "resume", "out", "--no-mlflow")
    assert resumed.returncode == 0, resumed.stderr


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raylet", "its process raylet"),
        ("gcs_server", r"the head node \S+ has not answered for"),
    ],
)
def test_a_cluster_that_is_gone_ends_with_the_last_words_of_other_faults(
    nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "25")
    out = tmp_path / "out"
    write_study(tmp_path / "tiny.yaml", search__trials=40, search__generation=2)
    run = started(
        tmp_path, "run", "tiny.yaml", "--out", out, "--address", nodes.address, "--no-mlflow"
    )
    try:
        wait_until(lambda: len(parts(out)) > 2, run, 300)
        [process] = nodes.head_node.all_processes[name]
        process.process.kill()
        assert run.wait(60) == 1
    finally:
        kill(run)
    *_, last = (tmp_path / "log").read_text().splitlines()
    assert re.match(f"Ray is gone: ({reason}|its process raylet)", last)
    assert last.endswith(f"everything finished is kept. Go on with: raysweep resume {out}")
    before = len(parts(out))
    resumed = raysweep(tmp_path, "resume", out, "--no-mlflow", "--runner", "local")
    assert resumed.returncode == 0, resumed.stderr
    assert len(parts(out)) > before
