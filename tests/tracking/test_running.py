"""Trials that run, in MLflow: their curves grow while they do, and they are gone afterwards."""

from pathlib import Path
from typing import Any

import pytest
from tiny_runs import opened
from trial_runs import study

from raysweep.folder import running
from raysweep.kinds.kind import kind_of
from raysweep.runners.attempt import attempt
from raysweep.tracking.address import resolve_address
from raysweep.tracking.mirror import Mirror
from raysweep.trials.table import write_part


@pytest.mark.mlflow
@pytest.mark.filterwarnings("ignore")
def test_curves_grow_while_a_trial_runs(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    few: dict[str, Any] = {"search": {"trials": 1, "generation": 1, "seeds": 1}}
    wanted = study(grid={"genre": ["helps", "hurts"]}, **few)
    folder = opened(tmp_path / "out", wanted)
    sweep = folder.open_sweep(wanted)
    pack = sweep.next_pack()
    assert pack is not None
    monkeypatch.setattr(running, "_EVERY_S", 0.0)
    mirror = Mirror(folder, resolve_address(folder, uri))
    client = mlflow.MlflowClient(tracking_uri=uri)

    def shown() -> list[Any]:
        experiment = client.get_experiment_by_name("mine")
        found = client.search_runs([experiment.experiment_id])
        return [run for run in found if run.data.tags.get("level") == "running"]

    teller = running.Teller(folder.output, pack.trials[0], None)
    for epoch, loss in ((1, 0.9), (5, 0.5), (6, 0.5), (9, float("nan"))):
        teller.tell(epoch, {"loss": loss, "f1": epoch / 10})
        mirror.update(ended=False)
    [run] = shown()
    assert run.info.status == "RUNNING"
    assert run.info.run_name == "running: none, draw 0, seed 0 · trial genre=helps"
    histories = {
        name: [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, name)]
        for name in ("curve_loss", "curve_f1", "epoch")
    }
    assert histories == {
        "curve_loss": [(1, 0.9), (5, 0.5)],
        "curve_f1": [(1, 0.1), (5, 0.5), (6, 0.6), (9, 0.9)],
        "epoch": [(1, 1.0), (5, 5.0), (6, 6.0), (9, 9.0)],
    }
    again = Mirror(folder, resolve_address(folder, uri))  # as after a driver's end
    assert again.update(ended=False).runs_written == 0
    teller.end()
    rows = attempt(wanted, pack, execute=kind_of(wanted).executor(folder.output))
    write_part(folder.output, pack.key, rows)
    again.update(ended=False)
    assert shown() == []
    experiment = client.get_experiment_by_name("mine")
    [arm] = client.search_runs([experiment.experiment_id], "tags.arm = 'none'")
    assert [p.step for p in client.get_metric_history(arm.info.run_id, "curve_f1")] == [1, 2]
