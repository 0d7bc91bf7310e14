"""Infinite and undefined values in the copy: MLflow would make the largest number of infinity."""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn_runs import drawn_row, opened, study
from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.tracking import sync
from raysweep.tracking.means import average, mean, mean_and_sd
from raysweep.trials.table import Row, results_of, write_part

pytestmark = pytest.mark.mlflow
SMALL = study(
    data={"dataset": "synthetic", "U": 0},
    search={"trials": 1, "generation": 1, "seeds": 1},
    confirm={"seeds": 3},
)


def drawn(folder: RunFolder, planned: Study, change: Callable[[Row], None]) -> None:
    """Write all packs with rows that are changed first."""
    sweep = folder.open_sweep(planned)
    while (pack := sweep.next_pack()) is not None:
        rows = [drawn_row(planned, trial) for trial in pack.trials]
        for row in rows:
            change(row)
        write_part(folder.output, pack.key, rows)
        sweep.complete(pack, results_of(rows))


def runs_of(uri: str, where: str = "") -> list[Run]:
    client = MlflowClient(uri)
    found = client.get_experiment_by_name("drawn")
    assert found is not None
    return list(client.search_runs([found.experiment_id], where))


def confirmed(uri: str, arm: str) -> Run:
    (run,) = runs_of(uri, f"tags.stage = 'confirm' and tags.arm = '{arm}'")
    return run


@pytest.mark.parametrize(("value", "said"), [(math.inf, "inf"), (-math.inf, "-inf")])
def test_an_infinite_metric_is_left_out_and_said(
    value: float, said: str, tmp_path: Path, uri: str
) -> None:
    spoilt = []

    def spoil(row: Row) -> None:
        if row["stage"] == "confirm":
            if row["arm"] == "forced" and not spoilt:
                spoilt.append(row["key"])
                row["performance_fused_test"] = value
            row["I2"] = value
            row["alignment_unbiased_cka_test"] = math.nan

    folder = opened(tmp_path / "out", SMALL)
    drawn(folder, SMALL, spoil)
    sync(folder, uri)
    for run in runs_of(uri):
        assert all(abs(v) < 1e300 for v in run.data.metrics.values())
    forced = confirmed(uri, "forced")
    assert forced.data.tags["not_finite"] == f"performance_fused_test = {said}"
    assert not {"performance_fused_test", "performance_fused_test_sd"} & forced.data.metrics.keys()
    # Undefined, as alignment may be: no value, and no word about it.
    assert "alignment_unbiased_cka_test" not in forced.data.metrics
    assert "not_finite" not in confirmed(uri, "none").data.tags
    (cell,) = runs_of(uri, "tags.level = 'cell'")
    assert "effect_by_alignment_performance_fused_test" not in cell.data.metrics
    assert "I2" not in cell.data.metrics
    assert cell.data.tags["not_finite"] == (
        f"effect_by_alignment_performance_fused_test = {said}, I2 = {said}"
    )
    assert sync(folder, uri).runs_written == 0


def test_infinite_differences_of_infinite_values_are_undefined(tmp_path: Path, uri: str) -> None:
    def spoil(row: Row) -> None:
        row["performance_fused_test"] = math.inf

    folder = opened(tmp_path / "out", SMALL)
    drawn(folder, SMALL, spoil)
    sync(folder, uri)
    (cell,) = runs_of(uri, "tags.level = 'cell'")
    assert "effect_by_alignment_performance_fused_test = nan" in cell.data.tags["not_finite"]


def test_numbers_that_earlier_copies_made_of_infinity_go(tmp_path: Path, uri: str) -> None:
    """A metric cannot be taken back: the run that has it is made anew."""

    def spoil(row: Row) -> None:
        if row["arm"] == "placebo":
            row["performance_1_test"] = math.inf

    folder = opened(tmp_path / "out", SMALL)
    drawn(folder, SMALL, spoil)
    sync(folder, uri)
    earlier = confirmed(uri, "placebo")
    client = MlflowClient(uri)
    client.log_batch(earlier.info.run_id, [Metric("performance_1_test", math.inf, 1, 0)])
    client.delete_tag(earlier.info.run_id, "not_finite")
    assert confirmed(uri, "placebo").data.metrics["performance_1_test"] == sys.float_info.max
    sync(folder, uri)
    now = confirmed(uri, "placebo")
    assert "performance_1_test" not in now.data.metrics
    assert now.data.tags["not_finite"] == "performance_1_test = inf"
    assert sync(folder, uri).runs_written == 0


def test_large_values_do_not_overflow() -> None:
    values = np.array([1.5e308, 1.7e308, np.nan])
    assert mean(values) == pytest.approx(1.6e308)
    assert mean_and_sd("x", values, with_sd=True)["x_sd"] == pytest.approx(
        0.2e308 / math.sqrt(2), rel=1e-12
    )
    assert average(np.array([-1.7e308, 1.7e308])) == 0
    rng = np.random.default_rng(0)
    for size in (1, 2, 30):
        drawn_values = rng.normal(size=size)
        # As they were before large ones were thought of, to the last digit.
        assert mean(drawn_values) == drawn_values.mean()
    assert mean(np.array([np.nan])) is None
