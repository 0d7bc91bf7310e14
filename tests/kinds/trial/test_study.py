"""Studies of trials of a user's own: their files, their runs, and verdicts whose truth is known."""

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_runs import assert_same_table, opened, parts, table
from trial_runs import KNOWN, SUPPORT, ran, study

import raysweep
from raysweep.errors import InputError
from raysweep.kinds.sweep import CellState
from raysweep.study import checks
from raysweep.study.cells import expand, varying
from raysweep.study.fingerprint import science_digest
from raysweep.study.reader import StudyFileError, dump_study, parse_study
from raysweep.trials.packing import Pack
from raysweep_analysis import forcing_effects, load_trials


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("known")
    assert ran(study(), folder / "out").finished
    return folder / "out"


def test_verdicts_are_the_truth(known: Path) -> None:
    effects = forcing_effects(load_trials(known), "f1_test", margin=0.02).set_index("genre")
    assert effects["verdict"].to_dict() == {
        "helps": "helps",
        "hurts": "hurts",
        "nothing": "equivalent",
    }
    import own_trials

    for genre, row in effects.iterrows():
        truth = own_trials.truth(str(genre), row["strength"])
        assert abs(row["effect"] - truth) < 0.015  # own luck of 0.01 in each arm, 10 seeds
        assert abs(row["effect_vs_placebo"] - truth) < 0.015
    assert effects["label"].tolist() == [f"trial genre={genre}" for genre in effects.index]


def test_rows_have_the_columns_of_other_studies_and_metrics_of_their_own(known: Path) -> None:
    found = table(known)
    assert len(found) == 3 * (7 * 2 + 3 * 10)
    assert set(found["status"]) == {"ok"}
    assert set(found["trained_epochs"]) == {2}
    assert (found["f1_test"] != found["f1_validation"]).all()
    # The arms of a seed share its luck: differences of pairs spread less than the values do.
    confirm = found[(found["stage"] == "confirm") & (found["genre"] == "nothing")]
    wide = confirm.pivot_table(index="seed", columns="arm", values="f1_test")
    assert (wide["forced"] - wide["none"]).std() < wide["none"].std()
    assert {"key", "cell", "draw", "seed", "strength", "arm", "stage", "reason"} <= set(
        found.columns
    )


def test_a_run_that_was_cut_goes_on_to_the_same_table(known: Path, tmp_path: Path) -> None:
    wanted = study()
    folder = opened(tmp_path / "out", wanted)
    for _ in range(3):
        sweep = folder.open_sweep(wanted)
        from raysweep.kinds.kind import kind_of
        from raysweep.trials.table import results_of, write_part

        for _ in range(17):
            pack = sweep.next_pack()
            assert isinstance(pack, Pack)
            rows = kind_of(wanted).executor(folder.output)(wanted, pack, "cpu")
            write_part(folder.output, pack.key, rows)
            sweep.complete(pack, results_of(rows))
    assert len(parts(tmp_path / "out")) == 51
    assert ran(wanted, tmp_path / "out").finished
    assert_same_table(table(tmp_path / "out"), table(known))


def test_more_seeds_trials_axes_and_draws_keep_what_is_there(known: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(known, tmp_path / "out")
    before = table(tmp_path / "out").set_index("key")
    grid = {"genre": ["helps", "hurts", "nothing"]}
    wider = study(grid=grid, confirm={"seeds": 12}, search={**KNOWN["search"], "trials": 8})
    ran(wider, tmp_path / "out")
    after = table(tmp_path / "out").set_index("key")
    shared = before.index.intersection(after.index)
    assert len(shared) >= len(before) - 3 * 2 * 10  # another strength may win now
    pd.testing.assert_frame_equal(
        before.loc[shared].drop(columns="chosen_by"), after.loc[shared].drop(columns="chosen_by")
    )
    with pytest.raises(InputError, match="holds the results of another study"):
        opened(tmp_path / "out", study(trial="own_trials:lossy", verdict=_LOSS))


_LOSS = {"performance": "loss_f1_test", "margin": 0.02}


@pytest.mark.mlflow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_effects_metrics_and_curves(known: Path, uri: str) -> None:
    import mlflow

    from raysweep.folder.run_folder import RunFolder
    from raysweep.tracking import sync
    from raysweep.trials.storage import Output

    sync(RunFolder(Output(known)), uri)
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("mine")
    runs = client.search_runs([experiment.experiment_id], max_results=500)
    cells = [run for run in runs if run.data.tags.get("level") == "cell"]
    assert {run.data.params["genre"] for run in cells} == {"helps", "hurts", "nothing"}
    effects = forcing_effects(load_trials(known), "f1_test").set_index("cell")["effect"]
    for run in cells:
        told = run.data.metrics["effect_by_performance_f1_test"]
        assert told == pytest.approx(effects[run.data.params["cell"]], rel=1e-12)
        assert not {"depth_1", "width_1", "encoder"} & run.data.params.keys()
    arms = [run for run in runs if run.data.tags.get("stage") == "confirm"]
    assert len(arms) == 9
    for run in arms:
        rows = table(known)
        rows = rows[(rows["stage"] == "confirm") & (rows["arm"] == run.data.params["arm"])]
        mean = rows.loc[rows["genre"] == run.data.params["genre"], "f1_test"].mean()
        assert run.data.metrics["f1_test"] == pytest.approx(mean, rel=1e-12)
        points = client.get_metric_history(run.info.run_id, "curve_f1")
        assert [point.step for point in points] == [1, 2]


def test_a_loss_is_searched_and_judged_as_one(tmp_path: Path) -> None:
    wanted = study(trial="own_trials:lossy", verdict=_LOSS, confirm={"seeds": 6})
    sweep = ran(wanted, tmp_path / "out")
    effects = forcing_effects(load_trials(tmp_path / "out"), "loss_f1_test", margin=0.02)
    verdicts = effects.set_index("genre")["verdict"].to_dict()
    assert verdicts["helps"] == "helps"
    assert verdicts["hurts"] == "hurts"
    # The smallest mean loss on validation is what was chosen.
    rows = table(tmp_path / "out")
    for cell, plan in sweep.plans.items():
        tried = rows[(rows["cell"] == cell) & (rows["stage"] == "search") & (rows["number"] >= 0)]
        best = tried.groupby("strength")["loss_f1_validation"].mean().idxmin()
        assert plan.chosen["performance"].strength == best


def test_a_study_is_read_back_as_it_was_written() -> None:
    wanted = study(
        grid={"genre": ["a", "b"], "width": [256, 512], "share": 0.5},
        draws=3,
        search={"halving": {"epochs": [2, 4]}, "options": {"temperature": [0.1, 0.2]}},
        resources={"cpus_per_trial": 4, "gpus_per_trial": 0.5, "custom": {"tpu": 1}, "memory": 2},
    )
    again = parse_study(dump_study(wanted), "again", SUPPORT)
    assert again == wanted
    cells = expand(wanted)
    assert [dict(cell.parameters) for cell in cells][1] == {
        "genre": "a",
        "share": 0.5,
        "width": 512,
    }
    assert list(varying(cells).values())[1] == "trial genre=a width=512"
    assert {cell.draws for cell in cells} == {(0, 1, 2)}
    assert wanted.resources.needs() == {"CPU": 4, "GPU": 0.5, "tpu": 1, "memory": 2e9}


def test_code_and_loss_are_part_of_the_science_and_resources_are_not() -> None:
    one = science_digest(study())
    assert science_digest(study(resources={"cpus_per_trial": 2}, confirm={"seeds": 3})) == one
    assert science_digest(study(grid={"genre": "helps"})) == one
    assert science_digest(study(trial="own_trials:lossy", verdict=_LOSS)) != one
    assert science_digest(study(alignment={"options": {"temperature": 0.2}})) != one


BROKEN = """
name: mine
kind: trial
trial: own_trials:know
grid: {genre: [a, a], seed: [1, 2], "2d": 1, width: [null]}
data: {dataset: digits}
alignment: {loss: infonc}
evaluation: {metrics: [unbiased_cka], layers: best}
search: {objective: both, halving: {epochs: [5, 2]}, generation: 1, metric: cka}
confirm: {seeds: [0]}
verdict: {performance: f1, alignment: rsa_test}
resources: {cpus_per_trial: 0, gpus_per_trial: 1.5, custom: {GPU: 1}, gpu: 1}
"""


def test_all_faults_are_told_at_once_with_place_value_and_choices() -> None:
    with pytest.raises(StudyFileError) as caught:
        parse_study(BROKEN, "mine.yaml", SUPPORT, (), checks.check)
    told = "\n".join(caught.value.faults)
    for place, message in {
        "line 4: trial": "own_trials has nothing of that name; it must be a function know",
        "line 5: grid.genre": "values used twice: a",
        "line 5: grid.seed": "is the name of a column",
        "line 5: grid.2d": "is no name of an axis",
        "line 5: grid.width": "has a value that is none",
        "line 6: data": "a key of studies with kind: forcing; this one has kind: trial",
        "line 7: alignment.loss": r"did you mean infonce\?",
        "line 8: evaluation.layers": "choose from last",
        "line 9: search.halving.epochs": "expected rising numbers of epochs",
        "line 9: search.metric": "'cka' is not measured",
        "line 11: verdict.performance": "such as f1_test; found 'f1'",
        "line 11: verdict.alignment": "'rsa' is not measured",
        "line 12: resources.cpus_per_trial": "greater than 0, found 0",
        "line 12: resources.gpus_per_trial": "a whole number of GPUs; found 1.5",
        "line 12: resources.custom": "GPU is no custom resource",
        "line 12: resources.gpu:": "choose from cpus_per_trial",
    }.items():
        assert re.search(f"{re.escape(place)}.*{message}", told), (place, message, told)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verdict": None}, "verdict: missing; this key is required"),
        ({"verdict": {"margin": 0.1}}, "verdict.performance: missing; this key is required"),
        ({"trial": None}, "trial: missing; this key is required"),
        ({"trial": 5}, "trial: expected package.module:function, or command"),
        ({"trial": {"function": "own_trials:known", "command": ["awk"]}}, "either a function"),
        ({"trial": "own_trials:truth"}, r"cannot be called as truth\(trial\)"),
        ({"trial": "no_such_module:run"}, "cannot import no_such_module"),
        ({"verdict": {"performance": "alignment_cka_test"}}, "is no metric of a trial"),
        ({"search": {"performance": "f1 score"}}, "f1 score is no metric of a trial"),
        ({"search": {"halving": {"epochs": [1, 2]}, "objective": "both"}}, "ranks by one number"),
        ({"confirm": {"seeds": [0, 5]}}, "seeds used twice: 0"),
        ({"draws": 2, "search": {"draws": [1]}}, "draws used twice: 1"),
        ({"grid": {"n_test": [1]}}, "n_test is the name of a column"),
        ({"grid": {"cold_test": [1]}}, "cold_test is the name of a column"),
    ],
)
def test_a_fault_is_told_by_itself(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyFileError, match=message):
        study(**changes)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("raises", r"ValueError: no such film"),
        ("missing", r"returned no f1_test, which verdict.performance asks for \(metrics: f1_valid"),
        ("text", r"metric f1_test is good \(str\); expected a number"),
        ("name", r"returned a metric 'f1'; name it with the split it is of"),
        ("nothing", r"returned no f1_test.*\(metrics: none\)"),
        ("exits", r"faulty ended the program \(SystemExit: 3\)"),
        ("waits", r"Empty \(thread reader had ended by KeyError: 'reel 5'\)"),
        ("memory", r"memory is short even for one trial.*8 TB.*lower what your code trains"),
    ],
)
def test_what_goes_wrong_in_a_trial_is_the_reason_of_its_cell(
    tmp_path: Path, fault: str, why: str
) -> None:
    wanted = study(
        trial="own_trials:faulty",
        grid={"fault": [fault, "none"]},
        search={"trials": 2, "seeds": 1},
        confirm={"seeds": 2},
    )
    sweep = ran(wanted, tmp_path / "out")
    broken, sound = (sweep.state(cell) for cell in sweep.cells)
    assert (broken, sound) == (CellState.FAILED, CellState.DONE)
    assert re.search(why, " ".join(next(iter(sweep.failures.values())).split()))
    conclusion = raysweep.open_run(tmp_path / "out").answer
    assert any(f"trial fault={fault}" in line for line in conclusion)


def test_a_metric_that_is_no_number_is_a_row_with_its_reason(tmp_path: Path) -> None:
    wanted = study(
        trial="own_trials:faulty",
        grid={"fault": "nan"},
        search={"trials": 2, "seeds": 1},
        confirm={"seeds": 2},
    )
    sweep = ran(wanted, tmp_path / "out")
    [cell] = sweep.cells
    assert sweep.state(cell) is CellState.NO_STRENGTH
    rows = table(tmp_path / "out")
    forced = rows[rows["arm"] == "forced"]
    assert set(forced["status"]) == {"diverged"}
    assert set(forced["reason"]) == {"f1_validation is nan"}
    assert forced["f1_test"].isna().all()
    [cause] = raysweep.open_run(tmp_path / "out").verdicts["reason"]
    assert cause.endswith("all 2 forced trials of the search diverged: f1_validation is nan")


def test_trials_leave_the_process_as_they_found_it(tmp_path: Path) -> None:
    import os
    import random

    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    expected = (random.random(), np.random.random(), torch.rand(()).item())
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    before = (os.getcwd(), torch.get_num_threads(), dict(os.environ))
    from raysweep.kinds.trial.seeding import as_found

    with as_found():
        raysweep.seed_everything(1)
        os.chdir(tmp_path)
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float64)
        os.environ["OF_A_TRIAL"] = "1"
    assert (os.getcwd(), torch.get_num_threads(), dict(os.environ)) == before
    assert torch.get_default_dtype() is torch.float32
    assert (random.random(), np.random.random(), torch.rand(()).item()) == expected


def test_what_a_trial_prints_is_kept_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {"search": {"trials": 1, "generation": 1, "seeds": 1}, "confirm": {"seeds": 2}}
    wanted = study(trial="own_trials:talking", grid=None, **few)
    ran(wanted, tmp_path)
    try:
        kept = [path.read_text() for path in tmp_path.glob("trials/*/files/output.txt")]
        assert sorted(kept) == ["seed 0\narm forced\n", "seed 0\narm none\n"]
        shown = capsys.readouterr()
        assert shown.out == "seed 0\n" * 2
        assert {"arm none", "arm forced"} == set(shown.err.splitlines())
        logging.getLogger("talking").warning("over")  # to the handlers of both, which stops nothing
    finally:
        logging.getLogger("talking").handlers.clear()
    assert all("over" not in path.read_text() for path in tmp_path.glob("trials/*/files/*.txt"))
    silent = study(grid={"genre": "helps"}, **few)
    ran(silent, tmp_path / "silent")
    assert not list(tmp_path.glob("silent/trials/*/files/output.txt"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_trial_leaves_nothing_on_its_device(tmp_path: Path) -> None:
    few = {"search": {"trials": 1, "generation": 1, "seeds": 1}, "confirm": {"seeds": 2}}
    wanted = study(trial="own_trials:cyclic", grid=None, resources={"gpus_per_trial": 1}, **few)
    before = torch.cuda.memory_allocated()
    assert not ran(wanted, tmp_path).failures
    assert set(table(tmp_path)["device"]) == {"cuda"}
    assert torch.cuda.memory_allocated() == before
