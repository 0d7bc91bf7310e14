"""Exported searches as optuna-dashboard shows them: a real one, asked over its API."""

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drawn_runs import draw_packs, opened, study

from raysweep.tracking.optuna_export import export_searches
from raysweep.trials.table import read_parts


@contextlib.contextmanager
def dashboard(folder: Path, storage: str) -> Iterator[str]:
    """The address of optuna-dashboard's API."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "optuna-dashboard"), storage]
    log = folder / "dashboard.log"
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--server", "wsgiref"], stdout=stream, stderr=stream
        )
    try:
        end = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=2).close()
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/api"
    finally:
        process.kill()
        process.wait()


def asked(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=60) as answer:
        return json.load(answer)


def test_dashboard_shows_searches_and_their_trials(tmp_path: Path) -> None:
    planned = study(search={"trials": 4, "generation": 2, "seeds": 2, "objective": "both"})
    folder = opened(tmp_path / "out", planned)
    draw_packs(folder, planned)
    storage = f"sqlite:///{tmp_path}/searches.db"
    export_searches(folder, storage)
    rows = (
        read_parts(folder.output).table.to_pandas().query("stage == 'search' and arm == 'forced'")
    )
    aligned = f"alignment_{planned.metric}_validation"
    with dashboard(tmp_path, storage) as api:
        listed = {s["study_name"]: s for s in asked(f"{api}/studies")["study_summaries"]}
        assert set(listed) == {"drawn: synthetic U=0", "drawn: synthetic U=4"}
        for summary in listed.values():
            assert summary["directions"] == ["maximize", "maximize"]
            shown = asked(f"{api}/studies/{summary['study_id']}")
            facts = {fact["key"]: fact["value"] for fact in shown["user_attrs"]}
            means = (
                rows[rows["cell"] == facts["cell"]]
                .groupby("strength")[[aligned, "performance_fused_validation"]]
                .mean()
            )
            assert len(shown["trials"]) == len(means) == 4
            for trial in shown["trials"]:
                (parameter,) = trial["params"]
                assert (parameter["name"], trial["state"]) == ("strength", "Complete")
                strength = float(parameter["param_internal_value"])
                assert trial["values"] == pytest.approx(list(means.loc[strength]))
            assert shown["best_trials"]
