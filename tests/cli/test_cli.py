"""The command line as a user meets it: real processes, exit codes, what is on the screen."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from tiny_runs import raysweep

from raysweep.cli import app, main
from raysweep.cli.terminal import importable
from raysweep.errors import InputError

TINY = """\
name: tiny
data:
  dataset: synthetic
  U: [0, 8]
  train: 64
  validation: 32
  test: 64
model: {width: 8}
training: {epochs: 2, batch_size: 32}
verdict: {hypotheses: [forcing hurts where U is large]}
evaluation: {metrics: [unbiased_cka]}
search: {trials: 2, generation: 2, seeds: 1}
confirm: {seeds: 3}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny.yaml and its finished run in out/."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(TINY)
    # As a user starts it; the other commands need not import the libraries.
    run = [sys.executable, "-m", "raysweep", "run", "tiny.yaml", "--out", "out"]
    done = subprocess.run(
        [*run, "--runner", "local", "--no-mlflow"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert "Does forcing alignment help?" in done.stdout
    return folder


def test_a_look_at_a_run_loads_nothing_heavy(finished: Path) -> None:
    # Of torch, pandas and scipy.stats each takes longer to import than the look itself.
    code = (
        "import sys; from raysweep.cli import app; app(['status', 'out'], standalone_mode=False); "
        "heavy = {'torch', 'pandas', 'scipy.stats', 'ray', 'mlflow'} & {*sys.modules}; "
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=finished, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    assert "24 of 24 trials are there" in done.stdout


def test_run_leaves_the_table_and_the_resolved_study(finished: Path) -> None:
    table = pd.read_parquet(finished / "out" / "trials.parquet")
    # Two cells: strength 0 and two strengths on one seed, then three arms on three seeds.
    assert len(table) == 2 * (3 + 9)
    assert (table["status"] == "ok").all()
    again = raysweep(finished, "validate", "out/study.yaml")
    assert again.returncode == 0


def test_resume_of_a_finished_run_trains_nothing_and_gives_the_verdict(finished: Path) -> None:
    parts = {p: p.stat().st_mtime_ns for p in (finished / "out" / "parts").iterdir()}
    done = raysweep(finished, "resume", "out", "--runner", "local", "--no-mlflow")
    assert done.returncode == 0, done.stderr
    assert "verdict" in done.stdout
    assert {p: p.stat().st_mtime_ns for p in (finished / "out" / "parts").iterdir()} == parts


def test_status_and_analyze(finished: Path) -> None:
    status = raysweep(finished, "status", "out")
    assert "24 of 24 trials" in status.stdout
    (finished / "out" / "report.html").unlink()
    judged = raysweep(finished, "analyze", "out", "--multiverse")
    assert judged.returncode == 0, judged.stderr
    assert "synthetic U=0" in judged.stdout
    assert "choices of criterion" in judged.stdout
    assert (finished / "out" / "tables" / "multiverse.csv").read_text().startswith("study,cell")
    assert (finished / "out" / "figures" / "multiverse.svg").exists()
    assert "<html" in (finished / "out" / "report.html").read_text()
    assert list((finished / "out" / "figures").glob("*.png"))
    assert list((finished / "out" / "tables").glob("*.csv"))


def test_a_plan_is_registered_before_the_first_trial_and_never_after(finished: Path) -> None:
    plan = finished / "out" / "plan.json"
    first = min(p.stat().st_mtime_ns for p in (finished / "out" / "parts").iterdir())
    assert plan.stat().st_mtime_ns < first
    page = (finished / "out" / "report.html").read_text()
    assert "confirmatory" in page
    kept = plan.read_bytes()
    plan.unlink()
    again = raysweep(finished, "resume", "out", "--runner", "local", "--no-mlflow")
    assert again.returncode == 0, again.stderr
    assert not plan.exists()
    assert "no plan was registered" in (finished / "out" / "report.html").read_text()
    plan.write_bytes(kept)


def test_plan_counts_what_run_then_trains(finished: Path) -> None:
    done = raysweep(finished, "plan", "tiny.yaml", "--no-timing")
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    counts = {line[0]: line[1] for line in lines if len(line) == 2}
    table = pd.read_parquet(finished / "out" / "trials.parquet")
    parts = list((finished / "out" / "parts").iterdir())
    assert counts["cells"] == "2"
    assert int(counts["trials"]) == len(table)
    assert int(counts["packs"]) == len(parts)


def test_plan_estimates_a_time(finished: Path) -> None:
    done = raysweep(finished, "plan", "tiny.yaml", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "of training with 1 worker like" in done.stdout


def test_plan_tells_what_a_pilot_lets_expect(finished: Path) -> None:
    sized = ("plan", "tiny.yaml", "--no-timing", "--set", "confirm.seeds=12", "--pilot", "out")
    done = raysweep(finished, *sized)
    assert done.returncode == 0, done.stderr
    told = json.loads(raysweep(finished, *sized, "--json").stdout)
    assert told["finds_effect"] == pytest.approx(told["finds"] * told["pilot"]["sd_high"])
    assert f"in its unit       {100 * told['finds_effect']:.2g} point" in done.stdout
    missing = raysweep(finished, "plan", "tiny.yaml", "--pilot", "nowhere")
    assert missing.returncode == 2
    assert "nowhere: no trial table" in missing.stderr
    nothing = raysweep(finished, "plan", "paper/figure4_6_7_9_small", "--pilot", "out")
    assert (nothing.returncode, "tests nothing" in nothing.stderr) == (2, True)


def test_studies_lists_the_bundled_ones(tmp_path: Path) -> None:
    assert "quickstart" in raysweep(tmp_path, "studies").stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "nothere.yaml", "--out", "o"], "neither a study file nor a bundled study"),
        (["run", "", "--out", "o"], "'': neither a study file nor a bundled study"),
        (["validate", "/dev/null"], "/dev/null: is not a file"),
        (["validate", "."], ".: is not a file"),
        (["run", "quickstart", "--out", "o", "--set", "search.trials=no"], "search.trials"),
        (["ui", "--port", "99999"], "Invalid value for '--port'"),
        (["run", "quickstart", "--out", "o", "--runner", "slurm"], "expected ray or local"),
        (["run", "quickstart"], "--out"),
        (["run", "quickstart", "--out", "nosuch://x/y"], "nosuch://x/y"),
        (["resume", "nothere"], "not the output of a run"),
        (["status", "nothere"], "not the output of a run"),
        (["analyze", "nothere"], "not the output of a run"),
        (["sync", "nothere"], "not the output of a run"),
        (["nonsense"], "nonsense"),
        (["plan", "quickstart", "--wrong"], "--wrong"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_gets_one_message_and_exit_code_2(
    tmp_path: Path, arguments: list[str], expected: str
) -> None:
    done = raysweep(tmp_path, *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_study_with_many_faults_lists_them_all(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        TINY.replace("U: [0, 8]", "U: [0, 12]").replace("trials: 2", "trails: 2")
        + "alignment: {loss: infonse}\n"
    )
    done = raysweep(tmp_path, "validate", "bad.yaml")
    assert done.returncode == 2
    assert "3 faults" in done.stderr
    for words in ("line 4", "found 12", "line 12", "did you mean trials?", "infonce"):
        assert words in done.stderr


def test_a_run_into_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "out").write_text("a file where the folder should be")
    done = raysweep(
        tmp_path, "run", "tiny.yaml", "--out", "out", "--runner", "local", "--no-mlflow"
    )
    assert done.returncode == 2
    assert "--out" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["init", f"{'x' * 300}.npz"],
        ["init", "own.npz", "--out", f"{'x' * 300}.yaml"],
        ["advise", f"{'x' * 300}.npz"],
        ["validate", f"{'x' * 300}.yaml"],
        ["status", "x" * 300],
        ["run", "quickstart", "--out", "/".join(["x" * 200] * 25)],
    ],
)
def test_a_path_that_is_too_long_is_told_in_one_line(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "own.npz", x1=rng.random((90, 2)), x2=rng.random((90, 2)), y=[0, 1] * 45)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["raysweep", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "File name too long" in told
    assert "x" * 40 in told
    assert [path.name for path in tmp_path.iterdir()] == ["own.npz"]


def test_the_exit_code_of_a_command_is_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    def ends() -> None:
        raise typer.Exit(7)

    monkeypatch.setattr(app, "registered_commands", [*app.registered_commands])
    app.command("ends")(ends)
    monkeypatch.setattr("sys.argv", ["raysweep", "ends"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 7


def test_json_is_one_object_of_what_the_tables_say(finished: Path) -> None:
    said = json.loads(raysweep(finished, "analyze", "out", "--json").stdout)
    effects = pd.read_csv(finished / "out" / "tables" / "effects.csv")
    assert [row["verdict"] for row in said["verdicts"]] == list(effects["verdict"])
    assert said["answer"] == said["sentences"][0]
    assert (said["cells_tested"], said["cells"]) == (2, 2)
    kept = json.loads((finished / "out" / "answer.json").read_text())
    assert kept["answer"] == said["answer"]
    state = json.loads(raysweep(finished, "status", "out", "--json").stdout)
    table = pd.read_parquet(finished / "out" / "trials.parquet")
    assert state["trials_done"] == state["trials"] == len(table)
    assert state["finished"] is True
    size = json.loads(raysweep(finished, "plan", "tiny.yaml", "--no-timing", "--json").stdout)
    assert (size["cells"], size["trials"]) == (2, len(table))


def test_a_module_is_a_file_of_python_or_a_folder(tmp_path: Path) -> None:
    before = list(sys.path)
    for name in ("notes.txt", "no-name.py", "1st"):
        path = tmp_path / name
        path.mkdir() if name == "1st" else path.touch()
        with pytest.raises(InputError, match=f"--module .*{name}: expected a .py file or the fol"):
            importable([path])
    assert sys.path == before
