"""A user's texts in MLflow and Optuna: as they are, whatever they hold."""

from pathlib import Path

import numpy as np
import optuna
import pytest
from mlflow import MlflowClient
from tiny_runs import opened, study

from raysweep.runners import local
from raysweep.study.cells import expand, varying
from raysweep.tracking import sync
from raysweep.tracking.optuna_export import export_searches

pytestmark = pytest.mark.mlflow

FILES = [
    *("$x$ _a_^2.npz", "<b>|`x` [bold]#1 & 'y' \"z\".npz", "中文 שלום e\u0301 😀.npz", "a\nb.npz"),
    *("=1+1; DROP TABLE runs.npz", "%s {x}.npz", "w" * 240 + ".npz", "\x1b[31mred.npz"),
]
DESCRIPTION = "<b>bold</b> | `y` $z$ 😀 \0\n# no head"


@pytest.mark.slow
def test_names_are_stored_as_they_are(tmp_path: Path, uri: str) -> None:
    rng = np.random.default_rng(0)
    for name in FILES:
        labels = rng.integers(0, 2, 300)
        views = {f"x{k}": rng.normal(size=(300, 4)) + labels[:, None] for k in (1, 2)}
        np.savez(tmp_path / name, **views, y=labels)
    paths = [str(tmp_path / name) for name in FILES]
    wanted = study(
        data={"dataset": "arrays", "path": paths},
        description=DESCRIPTION,
        search__trials=2,
        confirm__seeds=2,
        training__epochs=1,
    )
    folder = opened(tmp_path / "out", wanted)
    sweep = local.run(wanted, folder)
    assert sweep.finished
    assert not sweep.failures
    assert folder.study() == wanted
    folder.compact(sweep)

    for _ in range(2):
        report = sync(folder, uri)
    assert report.runs_written == 0  # nothing looks changed to the second copy
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(wanted.name)
    note = experiment.tags["mlflow.note.content"]
    assert note == "\\<b\\>bold\\</b\\> \\| \\`y\\` \\$z\\$ 😀 \\\\x00  \n\\# no head"
    runs = client.search_runs([experiment.experiment_id], "tags.level = 'cell'")
    names = list(varying(expand(wanted)).values())
    assert set(FILES) == set(names)
    assert sorted(run.data.tags["cell"] for run in runs) == sorted(names)
    short = [name if len(name) <= 250 else f"{name[:249]}…" for name in names]
    assert sorted(run.info.run_name for run in runs) == sorted(short)

    for _ in range(2):
        exported = export_searches(folder, f"sqlite:///{tmp_path}/searches.db")
    assert exported.written == 0
    found = optuna.get_all_study_names(f"sqlite:///{tmp_path}/searches.db")
    assert sorted(found) == sorted(f"tiny: {name}" for name in names)
