#!/usr/bin/env bash
# MLflow 3.17.2, Python 3.11: a run that was deleted by itself comes back to life when its experiment
# is deleted and restored.
#
# An experiment has two runs. One of them, a failed attempt, is deleted. Later the whole experiment is
# deleted by mistake and restored: `restore_experiment` makes every run of the experiment active, also
# the one that had been deleted before, on its own. Nothing says so, and which runs those were is no
# longer known. Seen with the SQL store; `deleted_time` of the run is gone, too.
#
# Why it matters: tables are made by `search_runs`, which lists active runs. After a restore a mean
# over the runs of an experiment holds attempts that somebody had thrown out. Whoever deletes runs for
# good reasons notes their ids (or a tag) elsewhere, and deletes them again after a restore.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check mlflow==3.17.2
cd "$folder"
MLFLOW_DISABLE_TELEMETRY=true venv/bin/python - <<'PYTHON'
import logging
from mlflow import MlflowClient

logging.getLogger("mlflow").setLevel(logging.ERROR)
client = MlflowClient("sqlite:///mlflow.db")
experiment = client.create_experiment("study")
kept = client.create_run(experiment).info.run_id
failed = client.create_run(experiment).info.run_id
client.log_metric(kept, "accuracy", 0.9)
client.log_metric(failed, "accuracy", 0.1)
client.delete_run(failed)


def listed() -> list[str]:
    return ["failed" if r.info.run_id == failed else "kept" for r in client.search_runs(experiment)]


before = listed()
client.delete_experiment(experiment)
client.restore_experiment(experiment)
after = listed()
print("before:", before)
print("after the experiment was deleted and restored:", sorted(after))
assert before == ["kept"], before
assert sorted(after) == ["failed", "kept"], after
PYTHON
