"""Processes that load the compiled kernel agree in every bit."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kernel_processes import trained
from tiny_runs import environment

from raysweep.training.kernel_cache import remove_unreadable

PROGRAM = """
import sys
from kernel_processes import trained
sys.stdout.buffer.write(trained().tobytes())
"""


def test_processes_agree_in_every_bit() -> None:
    expected = trained()
    elsewhere = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment(), stdout=subprocess.PIPE, check=True
    )
    assert np.array_equal(np.frombuffer(elsewhere.stdout).reshape(expected.shape), expected)


@pytest.mark.faults
def test_processes_that_start_together_with_nothing_compiled_agree(tmp_path: Path) -> None:
    there = {**environment(), "NUMBA_CACHE_DIR": str(tmp_path)}
    both = [
        subprocess.Popen([sys.executable, "-c", PROGRAM], env=there, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    expected = trained()
    for process in both:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0
        assert np.array_equal(np.frombuffer(output).reshape(expected.shape), expected)
    assert len(list(tmp_path.rglob("*-float64-*.compiled"))) == 2  # the step, InfoNCE


KEPT = """
import sys
from collections import namedtuple
from numba import njit

{name} = namedtuple("{name}", "number")

@njit(cache=True)
def double(of):
    return 2 * of.number

print(double({name}(21)))
"""


def test_an_index_that_names_a_class_that_has_gone_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(name: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "kept.py").write_text(KEPT.format(name=name))
        there = {**environment(), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-c", "import kept"]
        return subprocess.run(command, env=there, capture_output=True, text=True, cwd=tmp_path)

    assert answer("Before").stdout == "42\n"
    assert "Before" in answer("After").stderr
    [folder] = {path.parent for path in (tmp_path / "cache").rglob("*.nbi")}
    monkeypatch.syspath_prepend(tmp_path)
    remove_unreadable(folder)
    assert answer("After").stdout == "42\n"
    remove_unreadable(folder)
    monkeypatch.delitem(sys.modules, "kept")
    assert len(list(folder.glob("*.nbi"))) == 1
