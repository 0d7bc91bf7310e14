"""A user's folder whose files have the names of other modules: none of them is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_runs import environment, write_study

from raysweep.plugins import import_path

BIN = Path(sys.executable).parent
THIRD_PARTY = ("numpy", "torch", "ray", "mlflow", "optuna", "pandas", "typer", "rich", "yaml")
NOBODYS = ("tests", "search_spaces", "analysis", "IPython", "tensorflow", "msvcrt", "winreg")
OWN_LOSS = """
import helpers

def distance(h1, h2):
    return helpers.squared(h1 - h2).mean()
"""


def imported_by_python() -> set[str]:
    """What Python and the installed script import before any code of raysweep runs."""
    code = "import re, runpy, importlib.util, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.fixture
def shadowed(tmp_path: Path) -> Path:
    """A folder with a study, and files that tell who imported them and end him."""
    names = {*sys.stdlib_module_names, *THIRD_PARTY, *NOBODYS, "raysweep_analysis"}
    for name in names - imported_by_python():
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'imported')!r}, 'a').write('{name}\\n')\n"
            f"raise SystemExit('the {name}.py of the working folder was imported')\n"
        )
    write_study(tmp_path / "tiny.yaml")
    return tmp_path


def run(folder: Path, command: list[str], **variables: str) -> str:
    """What a command says that ends well, and has imported none of the folder's files."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        timeout=400,
    )
    imported = folder / "imported"
    assert not imported.exists(), imported.read_text()
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


RUN = ["run", "tiny.yaml", "--out", "out"]
COMMANDS = {"script": [str(BIN / "raysweep")], "module": [sys.executable, "-m", "raysweep"]}


@pytest.mark.slow
def test_a_run_imports_nothing_from_the_working_folder(shadowed: Path) -> None:
    run(shadowed, [*COMMANDS["module"], *RUN, "--runner", "local", "--no-mlflow"])
    analysis = [sys.executable, "-m", "raysweep_analysis", "out", "--out", "other"]
    (shadowed / "raysweep_analysis.py").unlink()  # which Python itself would take for it
    assert "whether to force alignment" in run(shadowed, analysis)


@pytest.mark.faults
@pytest.mark.mlflow
@pytest.mark.parametrize("how", COMMANDS)
def test_the_copy_to_mlflow_imports_nothing_from_the_working_folder(
    shadowed: Path, how: str
) -> None:
    given = {"PYTHONPATH": str(shadowed)} if how == "script" else {}
    run(shadowed, [*COMMANDS[how], *RUN, "--runner", "local"], **given)
    # The log is the copying process's own; how far it came depends on the machine.
    assert "Error" not in (shadowed / "out" / "tracking.log").read_text()
    assert "all there" in run(shadowed, [*COMMANDS[how], "sync", "out"], **given)


@pytest.mark.faults
@pytest.mark.ray
def test_workers_and_the_compilation_import_nothing_from_the_working_folder(
    shadowed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kernel = tmp_path_factory.mktemp("kernel")
    given = {"NUMBA_CACHE_DIR": str(kernel), "PYTHONPATH": "."}
    run(shadowed, [*COMMANDS["script"], *RUN, "--workers", "2", "--no-mlflow"], **given)
    assert list(kernel.rglob("raysweep-*.compiled"))


@pytest.mark.slow
def test_a_named_module_comes_with_the_files_that_it_imports(tmp_path: Path) -> None:
    """From the study's folder and PYTHONPATH, also when the run goes on from another folder."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (project, elsewhere):
        folder.mkdir()
        for name in ("random", "torch", "mlflow"):
            (folder / f"{name}.py").write_text("raise SystemExit('not named by the study')")
    (project / "mine.py").write_text(OWN_LOSS)
    (project / "helpers.py").write_text("import further\n\nsquared = further.squared")
    (elsewhere / "lib").mkdir()
    (elsewhere / "lib" / "further.py").write_text("def squared(x): return x.square()")
    write_study(project / "tiny.yaml", alignment={"loss": "mine:distance"}, search__trials=2)
    script, out = COMMANDS["script"], project / "out"
    ran = [*script, "run", project / "tiny.yaml", "--out", out, "--runner", "local", "--no-mlflow"]
    run(elsewhere, ran, PYTHONPATH="lib")
    parts = sorted((out / "parts").iterdir())
    parts[-1].unlink()
    run(tmp_path, [*script, "resume", out, "--runner", "local", "--no-mlflow"])
    assert sorted((out / "parts").iterdir()) == parts


def test_validate_says_what_it_will_import_before_it_does(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("print('imported', flush=True)")
    (tmp_path / "package" / "mine.py").write_text("import nowhere_at_all")
    (tmp_path / "random.py").write_text("")
    write_study(
        tmp_path / "tiny.yaml", alignment={"loss": "package.mine:f"}, model__encoder="random:f"
    )
    done = subprocess.run(
        [*COMMANDS["script"], "validate", "tiny.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    told = done.stdout.splitlines()
    library = Path(os.__file__).parent
    assert sorted(told[:2]) == [
        f"alignment.loss: package.mine:f imports package.mine from {tmp_path}/package/mine.py",
        f"model.encoder: random:f imports random from {library}/random.py",
    ]
    assert told[2:] == ["imported"]
    assert done.returncode == 2
    assert "No module named 'nowhere_at_all'; mine.py, line 1: import nowhere_at_all" in done.stderr
    assert f"random is {library}/random.py, not {tmp_path}/random.py: give that" in done.stderr


def test_folders_outside_of_the_working_folder_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, other = tmp_path / "here", tmp_path / "other"
    kept = [str(other), str(here / "site-packages"), str(tmp_path)]
    (here / "code").mkdir(parents=True)
    monkeypatch.chdir(here)
    given = [str(here), *kept, "code", ""]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(given))
    script, code = str(tmp_path / "bin"), str(here / "code")
    monkeypatch.setattr(sys, "path", [script, str(here), *kept, code, "library"])
    monkeypatch.setattr(import_path, "put_aside", [])
    assert import_path.environment()["PYTHONPATH"].split(os.pathsep) == kept
    assert import_path.environment()["PYTHONSAFEPATH"] == "1"
    import_path.put_users_aside()
    assert sys.path == [script, *kept, "library"]
    assert import_path.put_aside == [str(here), code]
    monkeypatch.setenv("PYTHONPATH", ".")
    assert "PYTHONPATH" not in import_path.environment()
