"""Workers that are ended for want of memory, by the kernel or by Ray itself."""

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny_runs import misbehaving, opened, packed, raysweep, study, table, words, write_study

from raysweep.runners import local

# One pack of 6 searches and one confirms. Of the first 2 members have strength 0, and the loss
# does not see them; the second sees 2 of 3 arms.
TWO_PACKS: dict[str, Any] = {
    "resources__members_per_pack": 6,
    "search__trials": 2,
    "confirm__seeds": 2,
}
FITTING = 2


def run_with(fault: str, folder: Path) -> list[tuple[int, int]]:
    """Run the two packs with one worker at a time: process and members of every call.

    The table is that of a run that nothing disturbs.
    """
    changes = {**TWO_PACKS, **misbehaving(folder / "switch", fault, FITTING)}
    wanted = study(**changes)
    local.run(wanted, opened(folder / "undisturbed", wanted))
    write_study(folder / "tiny.yaml", **changes)
    (folder / "switch" / "armed").touch()
    done = raysweep(
        folder, "run", "tiny.yaml", "--out", folder / "out", "--workers", "1", "--no-mlflow"
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    pd.testing.assert_frame_equal(
        table(folder / "out"),
        table(folder / "undisturbed"),
        check_exact=False,
        rtol=1e-10,
        atol=1e-12,
    )
    return packed(folder / "switch")


def assert_ended(calls: list[tuple[int, int]], members: dict[int, int]) -> None:
    """So many processes were ended in a piece of so many members, and none elsewhere."""
    assert Counter(seen for _, seen in calls if seen > FITTING) == members
    assert len({process for process, _ in calls}) == sum(members.values()) + 1


def test_packs_whose_workers_the_kernel_ends_are_tried_in_pieces(tmp_path: Path) -> None:
    calls = run_with("kill large", tmp_path)
    sizes = [members for _, members in calls]
    # The kernel gives no reason, so that a pack is tried once more before it is halved.
    assert sizes[:19] == [4, 4, *[1] * 4, 3, *[1] * 4, *[2] * 4, *[1] * 4]
    assert_ended(calls, {4: 2 + 2, 3: 1})


def test_packs_whose_workers_ray_ends_for_want_of_memory_are_halved_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray._common.utils import get_system_memory
    from ray._private.utils import get_used_memory

    there, used = get_system_memory(), get_used_memory()
    # The worker that takes memory takes half of what is free, where nobody stops it.
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{(used + (there - used) / 4) / there:.4f}")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    calls = run_with("hog", tmp_path)
    sizes = [members for _, members in calls]
    assert sizes[:18] == [4, *[1] * 4, 3, *[1] * 4, *[2] * 4, *[1] * 4]
    assert_ended(calls, {4: 1 + 1, 3: 1})


def test_what_no_piece_survives_is_given_up_and_ray_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.0001")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    write_study(tmp_path / "tiny.yaml", **misbehaving(tmp_path / "switch", "slow", 3))
    (tmp_path / "switch" / "armed").touch()
    done = raysweep(tmp_path, "run", "tiny.yaml", "--out", "out", "--no-mlflow")
    assert done.returncode == 1, done.stderr
    told = words(raysweep(tmp_path, "failures", "out", "--full").stdout)
    assert "killed due to the node running low on memory" in told
    assert "WorkerLost: 4 times, in this pack" in told
