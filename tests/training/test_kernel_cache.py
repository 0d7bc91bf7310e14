"""Processes that load the compiled kernel agree in every bit."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kernel_processes import trained
from tiny_runs import environment

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
