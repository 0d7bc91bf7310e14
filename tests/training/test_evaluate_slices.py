"""Alignment of a pack is measured in slices of its members, so that memory is bounded."""

import subprocess
import sys

import numpy as np
import pytest
from tiny_evaluation import pack_of, views_of

from raysweep.study.spec import Evaluation
from raysweep.training import evaluate


@pytest.mark.parametrize("layers", ["last", "best"])
def test_members_measured_in_slices_have_the_same_scores(
    layers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, views = pack_of("float64"), [views_of(seed) for seed in range(3)]
    evaluation = Evaluation.model_validate(
        {"metrics": ["cka", "mutual_knn"], "rows": 60, "layers": layers, "calibrate": 3}
    )
    whole = evaluate.alignment(pack, views, "test", evaluation)
    monkeypatch.setattr(evaluate, "_ALIGNMENT_BYTES", 1)
    sliced = evaluate.alignment(pack, views, "test", evaluation)
    for name, expected in whole.items():
        found = sliced[name]
        np.testing.assert_allclose(found.value, expected.value, rtol=0, atol=1e-12)
        assert found.layers == expected.layers
        np.testing.assert_array_equal(found.pairs[1, 2], found.value)
        assert (found.distinct is None) == (expected.distinct is None)
        for one, other in zip(found.distinct or (), expected.distinct or (), strict=True):
            np.testing.assert_array_equal(one, other)
        for column in ("chance", "p_value", "corrected"):
            one, other = (getattr(s.calibration, column) for s in (found, expected))
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


MEASURE_PEAK = """
import sys
import numpy as np, torch
from raysweep.training import evaluate
from raysweep.data.views import Views, Splits
from raysweep.models.shape import MultimodalShape
from raysweep.models.trained import MultimodalForward
from raysweep.study.spec import Evaluation

shape = MultimodalShape((12, 12), 4, (5, 5), (64, 64))
draw = np.random.default_rng(0)
rows = np.arange(4096)
sides = tuple(draw.normal(size=(4096, 12)) for _ in range(2))
view = Views(sides, np.zeros(4096, dtype=np.int64), 4, Splits(rows, rows, rows))
initial = shape.initial_parameters(range(36)).float()
pack = MultimodalForward(shape, np.zeros(36, dtype=np.int64), initial)
wanted = Evaluation.model_validate({"metrics": ["unbiased_cka"], "rows": 4096, "layers": "best"})
evaluate.alignment(pack, [view], "test", wanted)
line = open("/proc/self/status").read().split("VmHWM:")[1]
print(int(line.split()[0]) / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_measuring_all_layers_of_a_whole_pack_stays_below_two_gigabytes() -> None:
    run = subprocess.run(
        [sys.executable, "-c", MEASURE_PEAK], capture_output=True, text=True, check=True
    )
    assert float(run.stdout) < 2.0
