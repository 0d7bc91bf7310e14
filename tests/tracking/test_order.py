"""The order in which MLflow's UI lists the runs of a study: by start time, latest first."""

import shutil
from pathlib import Path

import pytest
from drawn_runs import drawn_row, opened, study
from mlflow import MlflowClient
from mlflow.entities import Run

from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.sweep import Sweep
from raysweep.tracking import sync
from raysweep.trials.table import results_of, write_part

pytestmark = pytest.mark.mlflow


def finish(folder: RunFolder, planned: Study, label: str) -> None:
    """Write the parts of one cell, whatever the others have."""
    sweep = folder.open_sweep(planned)
    assert isinstance(sweep, Sweep)
    while (pack := sweep.next_pack()) is not None:
        rows = [drawn_row(planned, trial) for trial in pack.trials]
        sweep.complete(pack, results_of(rows))
        if sweep.labels[pack.trials[0].cell.id] == label:
            write_part(folder.output, pack.key, rows)


def listed(uri: str) -> list[Run]:
    """All runs in the order of the UI's list."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("drawn")
    assert experiment is not None
    return list(
        client.search_runs(
            [experiment.experiment_id], order_by=["attributes.start_time DESC"], max_results=500
        )
    )


def names(runs: list[Run]) -> list[str | None]:
    return [run.info.run_name for run in runs]


def test_cells_are_listed_in_the_order_of_the_study(
    tmp_path: Path, uri: str, empty_database: Path
) -> None:
    planned = study(data={"dataset": "synthetic", "U": [0, 4, 8]})
    folder = opened(tmp_path / "out", planned)
    # Each is finished and copied before the next, as beside a run.
    for label in ("synthetic U=8", "synthetic U=0", "synthetic U=4"):
        finish(folder, planned, label)
        sync(folder, uri)
    found = listed(uri)
    assert len({run.info.start_time for run in found}) == len(found)
    top = [name for name in names(found) if name is not None and "·" not in name]
    assert top == ["study drawn", "synthetic U=0", "synthetic U=4", "synthetic U=8"]
    of_cell = [
        name for name in names(found) if name is not None and name.endswith("· synthetic U=4")
    ]
    kinds = [name.split(" · ")[0] for name in of_cell]
    arms = [" ".join(kind.split()[:2]) for kind in kinds[:3]]
    assert arms == ["confirm none", "confirm forced", "confirm placebo"]
    strengths = [float(kind.removeprefix("search strength=")) for kind in kinds[3:]]
    assert len(strengths) == 5
    assert strengths == sorted(strengths)
    # A copy that is made at once lists them alike.
    shutil.copyfile(empty_database, tmp_path / "once.db")
    sync(folder, f"sqlite:///{tmp_path}/once.db")
    assert names(listed(f"sqlite:///{tmp_path}/once.db")) == names(found)
