import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from raysweep.folder.scratch import scratch

HOLDS = (
    "import sys, time; from raysweep.folder.scratch import scratch\n"
    "with scratch('held', sys.argv[1]) as folder:\n"
    "    (folder / 'file').touch(); print(folder, flush=True); time.sleep(60)"
)


def holder(root: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that has such a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, root], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_folder_goes_with_its_block(tmp_path: Path) -> None:
    def faulty() -> None:
        with scratch("one", str(tmp_path)) as folder:
            (folder / "a" / "b").mkdir(parents=True)
            assert folder.parent == tmp_path
            assert folder.stat().st_mode & 0o077 == 0
            raise ValueError("fault")

    with pytest.raises(ValueError, match="fault"):
        faulty()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    living, kept = holder(tmp_path)
    killed, abandoned = holder(tmp_path)
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait(30)
        assert abandoned.is_dir()
        with scratch("next", str(tmp_path)) as folder:
            assert set(tmp_path.iterdir()) == {kept, folder}
            assert (kept / "file").exists()
    finally:
        for process in (living, killed):
            process.kill()
            process.communicate()


def test_nothing_is_removed_through_a_link_nor_what_is_of_others(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    root = tmp_path / "root"
    for folder in (elsewhere, root / "raysweep-own-notes", root / "other-one"):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    (elsewhere / ".raysweep-lock").touch()
    (root / "raysweep-a-link").symlink_to(elsewhere)
    before = sorted(os.listdir(root))
    with scratch("one", str(root)):
        pass
    assert sorted(os.listdir(root)) == before
    assert (elsewhere / "file").exists()
