"""The memory estimate against the peak of a process that trains such packs."""

import subprocess
import sys

import pytest

from raysweep.models.memory import PackSize
from raysweep.models.shape import PairShape

MEASURE = """
import sys
import numpy as np
from raysweep.models.shape import PairShape
from raysweep.train import train_pack
from raysweep.training.inputs import Members, PackData, TrainSettings

def status(key):
    line = open("/proc/self/status").read().split(key + ":")[1]
    return int(line.split()[0]) * 1024

def pack(engine, m, n, width, depth, batch, loss):
    draw, ones = np.random.default_rng(0), np.ones(m)
    def split(rows):
        x = draw.normal(size=(2, rows, 12))
        return (x, x), draw.integers(0, 4, (2, rows))
    return (
        PairShape(12, 12, 4, depth, depth, width, width),
        Members(np.arange(m), np.arange(m), ones * 1e-3, ones, ones, ones, ones < 0),
        PackData(*split(n), *split(n // 4), dataset=np.arange(m) % 2),
        TrainSettings(1, batch, loss=loss, engine=engine),
    )

for engine, loss in (("kernel", "infonce"), ("torch", "cka")):
    train_pack(*pack(engine, 2, 64, 8, 1, 32, loss))
    inputs = pack(engine, 20, 20_000, 64, 3, 512, loss)
    before = status("VmRSS")
    train_pack(*inputs)
    sys.stdout.write(f"{status('VmHWM') - before}\\n")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_estimate_is_near_the_measured_peak() -> None:
    run = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True
    )
    kernel, plain = (int(line) for line in run.stdout.split())
    size = PackSize(
        PairShape(12, 12, 4, 3, 3, 64, 64),
        members=20,
        aligned=20,
        datasets=2,
        orders=20,
        rows=(20_000, 5_000),
        batch_size=512,
    )
    assert 0.6 < size.kernel_bytes() / kernel < 2.2
    assert 0.6 < size.torch_bytes(pairwise=False) / plain < 2.2


def test_the_estimate_grows_with_what_a_pack_holds() -> None:
    def size(**changed: object) -> PackSize:
        given = {
            "shape": PairShape(12, 12, 4, 2, 2, 32, 32),
            "members": 10,
            "aligned": 8,
            "datasets": 1,
            "orders": 10,
            "rows": (4096, 1024),
            "batch_size": 256,
        }
        return PackSize(**{**given, **changed})

    for method in (PackSize.kernel_bytes, PackSize.torch_bytes):
        least = method(size())
        for changed in (
            {"shape": PairShape(12, 12, 4, 4, 2, 32, 32)},
            {"members": 20},
            {"datasets": 2},
            {"orders": 40},
            {"rows": (8192, 1024)},
            {"batch_size": 512},
            {"itemsize": 8},
            {"alignment_parameters": 1000},
        ):
            assert method(size(**changed)) > least
    assert size().kernel_bytes(asked=True) > size().kernel_bytes()
    assert size().kernel_bytes(pairwise=False) < size().kernel_bytes()
