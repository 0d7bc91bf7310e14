"""Processes that load the compiled kernel agree in every bit."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import environment

from raysweep.models.shape import PairShape
from raysweep.train import train_pack
from raysweep.training.inputs import Members, PackData, TrainSettings

PROGRAM = """
import sys
from test_training_kernel_cache import trained
sys.stdout.buffer.write(trained().tobytes())
"""


def trained() -> np.ndarray:
    draw = np.random.default_rng(0)
    m, n = 3, 150
    x1, x2 = draw.standard_normal((2, 1, n, 6))
    y = draw.integers(0, 3, (1, n))
    each = np.ones(m)
    members = Members(
        init_seed=np.arange(m),
        order_seed=np.arange(m),
        learning_rate=0.01 * each,
        weight_decay=0.01 * each,
        strength=np.array([0.0, 0.3, 3.0]),
        clip_norm=each,
        placebo=np.array([False, False, True]),
    )
    data = PackData((x1, x2), y, (x1[:, :40], x2[:, :40]), y[:, :40], np.zeros(m))
    settings = TrainSettings(epochs=3, batch_size=64, dtype="float64", engine="kernel")
    shape = PairShape(d1=6, d2=6, classes=3, depth_1=2, depth_2=1, width_1=8, width_2=8)
    return train_pack(shape, members, data, settings).parameters.numpy()


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
