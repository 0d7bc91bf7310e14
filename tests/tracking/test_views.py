"""What people search for and look at in MLflow: strings, saved views, parameters."""

import json
import math
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_runs import draw_packs, drawn_row, opened, study
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow_server import running_server

from raysweep.folder.run_folder import RunFolder
from raysweep.folder.stored_answer import store_answer
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.study import checks
from raysweep.study.cells import expand
from raysweep.study.reader import parse_study
from raysweep.tracking import sync
from raysweep.trials.table import Row, results_of, write_part
from raysweep.trials.trial import Arm, Stage, Trial

pytestmark = pytest.mark.mlflow

PAGE = Path(__file__).parents[2] / "docs" / "tracking.md"
MIXED = """
name: drawn
data:
  - {dataset: synthetic, U: [0, 4]}
  - {dataset: digits, overlap: [0, 2, 4]}
alignment: {loss: infonce, options: {temperature: 0.1}}
search: {objective: both, trials: 4, generation: 2, seeds: 2}
confirm: {seeds: 2}
"""


@dataclass(frozen=True)
class Drawn:
    """A row of the trial table and the trial that it is of."""

    trial: Trial
    row: Row
    label: str


def search(uri: str, where: str = "", order_by: Iterable[str] = ()) -> list[Run]:
    client = MlflowClient(uri)
    found = client.get_experiment_by_name("drawn")
    assert found is not None
    return list(
        client.search_runs([found.experiment_id], where, order_by=list(order_by), max_results=5000)
    )


def names(runs: Iterable[Run]) -> list[str]:
    return [str(run.info.run_name) for run in runs]


def states(uri: str) -> dict[str, dict[str, Any]]:
    """The saved views, by the name that people choose them by."""
    experiment = MlflowClient(uri).get_experiment_by_name("drawn")
    assert experiment is not None
    views = [json.loads(v) for k, v in experiment.tags.items() if "sharedViewState" in k]
    return {view["name"]: json.loads(view["state"]) for view in views}


def runs_of_view(uri: str, state: Mapping[str, Any]) -> list[Run]:
    order = f"{state['orderByKey']} {'ASC' if state['orderByAsc'] else 'DESC'}"
    return search(uri, state["searchFilter"], [order])


def draw_effects(folder: RunFolder, planned: Study) -> list[Drawn]:
    """Rows in which forcing hurts where U is 0 or 4, each by one criterion; one pair diverged."""
    sweep = folder.open_sweep(planned)
    drawn: list[Drawn] = []
    lost = 0
    while (pack := sweep.next_pack()) is not None:
        rows = []
        for trial in pack.trials:
            confirmed = trial.stage is Stage.CONFIRM
            row = drawn_row(planned, trial, diverged=confirmed and not lost)
            lost += confirmed
            if confirmed and row["status"] == "ok":
                hurt = {0: "alignment", 4: "performance"}.get(dict(trial.cell.parameters)["U"])
                sign = -1 if hurt is not None and hurt in trial.chosen_by else 1
                effect = 0.0 if trial.arm is Arm.NONE else 0.1 * sign
                row["performance_fused_test"] = 0.5 + effect
            rows.append(row)
            drawn.append(Drawn(trial, row, sweep.labels[trial.cell.id]))
        write_part(folder.output, pack.key, rows)
        sweep.complete(pack, results_of(rows))
    return drawn


def lowered(drawn: list[Drawn], criterion: str) -> set[str]:
    """Labels of the cells where forcing lowered the fused accuracy, from the rows alone."""
    arms: dict[tuple[str, Arm], dict[int, float]] = {}
    for one in drawn:
        trial, row = one.trial, one.row
        chosen = trial.arm is Arm.NONE or criterion in trial.chosen_by.split("+")
        if trial.stage is Stage.CONFIRM and row["status"] == "ok" and chosen:
            outcome = row["performance_fused_test"]
            arms.setdefault((one.label, trial.arm), {})[trial.seed] = outcome
    found = set()
    for label in {label for label, _ in arms}:
        none, forced = arms[label, Arm.NONE], arms.get((label, Arm.FORCED), {})
        changes = [forced[seed] - none[seed] for seed in none.keys() & forced.keys()]
        if changes and np.mean(changes) < 0:
            found.add(label)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["alignment", "performance", "both"])
def test_search_strings_of_the_document_find_what_they_say(
    tmp_path: Path, uri: str, objective: str
) -> None:
    grid = {"dataset": "synthetic", "U": [0, 4, 8]}
    planned = study(
        data=grid, search={"objective": objective, "trials": 4, "generation": 2, "seeds": 2}
    )
    folder = opened(tmp_path / "out", planned)
    drawn = draw_effects(folder, planned)
    sync(folder, uri)
    own = search(uri)
    # Runs of the same experiment that are of another science.
    other = study(data={"dataset": "synthetic", "U": [2, 6]}, training={"epochs": 3})
    beside = opened(tmp_path / "beside", other)
    draw_packs(beside, other, most=1)
    sync(beside, uri)
    everything = search(uri)
    assert len(everything) > len(own)

    tags = own[0].data.tags
    (lost,) = [one for one in drawn if one.row["status"] == "diverged"]
    hurt = {criterion: lowered(drawn, criterion) for criterion in ("alignment", "performance")}
    chosen = ["alignment", "performance"] if objective == "both" else [objective]
    for criterion, cells in hurt.items():
        assert 0 < len(cells) < 3 if criterion in chosen else not cells
    committed = "mlflow.source.git.commit" in tags
    expected = {
        "tags.level = 'cell' and metrics.effect_by_alignment_performance_fused_test < 0": hurt[
            "alignment"
        ],
        "tags.level = 'cell' and metrics.effect_by_performance_performance_fused_test < 0": hurt[
            "performance"
        ],
        "tags.stage = 'search' and tags.cell = 'synthetic U=0'": {
            f"search strength={one.trial.strength:g} · {one.label}"
            for one in drawn
            if one.trial.stage is Stage.SEARCH and one.label == "synthetic U=0"
        },
        "tags.stage = 'confirm' and tags.arm = 'forced'": {
            f"confirm forced {one.trial.strength:g} · {one.label}"
            for one in drawn
            if one.trial.arm is Arm.FORCED and one.trial.stage is Stage.CONFIRM
        },
        "metrics.diverged > 0": {
            "study drawn",
            lost.label,
            f"confirm {lost.trial.arm.value}"
            + (f" {lost.trial.strength:g}" if lost.trial.strength else "")
            + f" · {lost.label}",
        },
        "tags.mlflow.source.git.commit = 'COMMIT'": names(everything) if committed else [],
        "tags.raysweep.version = '0.1.0'": names(everything),
        "tags.study_digest = 'HASH'": names(own),
        "tags.raysweep.science = 'DIGEST'": names(own),
    }
    strings = re.findall(r"`((?:tags|metrics)\.[^`]+)`", PAGE.read_text())
    assert sorted(strings) == sorted(expected)
    for string in strings:
        where = string.replace("COMMIT", tags.get("mlflow.source.git.commit", ""))
        where = where.replace("DIGEST", tags["raysweep.science"])
        where = where.replace("HASH", tags["study_digest"])
        assert sorted(names(search(uri, where))) == sorted(expected[string]), string


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_views_ask_for_what_is_there(tmp_path: Path, uri: str, scale: str) -> None:
    strength = {"low": 0.01, "high": 10, "scale": scale}
    planned = study(search={"strength": strength, "trials": 4, "generation": 2, "seeds": 2})
    folder = opened(tmp_path / "out", planned)
    draw_packs(folder, planned)
    verdicts = {cell.id: {by: "helps" for by in planned.criteria} for cell in expand(planned)}
    intervals = {cell: dict.fromkeys(found, (-0.01, 0.02)) for cell, found in verdicts.items()}
    store_answer(folder.output, "Force.", "all cells tested", verdicts, intervals)
    sync(folder, uri)
    views = states(uri)
    [cells] = [state for name, state in views.items() if name.startswith("Cells")]
    first = [column.partition(".")[2].strip("`") for column in cells["selectedColumns"][:5]]
    ending = f"by_alignment_{planned.verdict.performance}"
    low, high = f"effect_low_{ending}", f"effect_high_{ending}"
    chosen = "chosen_strength_by_alignment"
    assert first == ["verdict_by_alignment", f"effect_{ending}", low, high, chosen]
    for run in runs_of_view(uri, cells):
        assert (run.data.metrics[low], run.data.metrics[high]) == (-0.01, 0.02)
    assert len(views) == 3
    for name, state in views.items():
        found = runs_of_view(uri, state)
        assert found, name
        for column in state["selectedColumns"]:
            kind, _, key = column.partition(".")
            assert all(key.strip("`") in getattr(run.data, kind) for run in found), column
        axes = {
            chart[axis]["key"]
            for chart in state["compareRunCharts"]
            for axis in ("xaxis", "yaxis")
            if axis in chart
        }
        assert axes
        # The logarithm of no forcing is none.
        forced = [run for run in found if run.data.metrics.get("strength") != 0]
        assert all(key in run.data.metrics for run in forced for key in axes)
        if name.startswith("Search"):
            assert axes & {"log10_strength", "strength"} == {
                "log10_strength" if scale == "log" else "strength"
            }


def test_logarithm_of_the_strength(tmp_path: Path, uri: str) -> None:
    folder = opened(tmp_path / "out", study())
    draw_packs(folder, study())
    sync(folder, uri)
    children = search(uri, "tags.level = 'strength'")
    zero = [run for run in children if run.data.metrics["strength"] == 0]
    assert len(zero) == 2 * 2
    assert all("log10_strength" not in run.data.metrics for run in zero)
    for run in set(children) - set(zero):
        metrics = run.data.metrics
        assert metrics["log10_strength"] == pytest.approx(math.log10(metrics["strength"]))


def test_confirm_view_lists_cells_in_the_order_of_the_study(tmp_path: Path, uri: str) -> None:
    planned = study(data={"dataset": "synthetic", "U": 0}, model={"width": [8, 32, 128]})
    folder = opened(tmp_path / "out", planned)
    draw_packs(folder, planned)
    sync(folder, uri)
    found = runs_of_view(uri, states(uri)["Confirm: none, forced, placebo"])
    shown = [(run.data.params["width_1"], run.data.params["arm"]) for run in found]
    arms = ("none", "forced", "placebo")
    assert shown == [(width, arm) for width in ("8", "32", "128") for arm in arms]


@pytest.mark.slow
def test_a_mixed_study_on_a_server(tmp_path: Path, empty_database: Path) -> None:
    planned = parse_study(MIXED, "drawn", tmp_path, (), checks.check, checks.resolve_files)
    folder = opened(tmp_path / "out", planned)
    draw_packs(folder, planned)
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    with running_server(tmp_path) as server:
        sync(folder, server.uri)
        views = states(server.uri)
        shown = {
            name: [
                (chart["selectedParams"], chart["selectedMetrics"])
                for chart in state["compareRunCharts"]
                if chart["type"] == "PARALLEL"
            ]
            for name, state in views.items()
        }
        runs = {name: runs_of_view(server.uri, state) for name, state in views.items()}
        (summary,) = search(server.uri, "tags.level = 'study'")

    # Data and loss both have a temperature; the trial table tells them apart in this way.
    cell = next(r for r in runs["Cells: what forcing did"] if "U" in r.data.params)
    assert cell.data.params["temperature"] == "0.05"
    for run in (cell, summary):
        assert run.data.params["loss"] == "infonce"
        assert run.data.params["option_temperature"] == "0.1"
        assert run.data.params["option_learned"] == "false"
    assert "temperature" not in summary.data.params

    stage = "Confirm: none, forced, placebo"
    assert [params for params, _ in shown[stage]] == [
        ["data", "U", "arm"],
        ["data", "overlap", "arm"],
    ]
    assert [params for params, _ in shown["Search: every strength"]] == [
        ["data", "U"],
        ["data", "overlap"],
    ]
    for name in (stage, "Search: every strength"):
        # MLflow leaves a run out of a chart that lacks one of its axes: each run is in one.
        forced = [run for run in runs[name] if run.data.metrics["strength"] > 0]
        for run in forced:
            data = {**run.data.params, **run.data.metrics}
            assert sum(data.keys() >= {*params, *metrics} for params, metrics in shown[name]) == 1
        assert {run.data.params["data"] for run in forced} == {"synthetic", "digits"}
        assert len(forced[0].data.params) < 12
