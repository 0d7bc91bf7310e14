"""What `import raysweep` offers."""

import doctest
import inspect
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_emergence
import yaml
from tiny_runs import assert_same_table, misbehaving, opened, study, table, tiny

import raysweep
from raysweep.api.progress import Notebook
from raysweep.folder.run_folder import RunFolder
from raysweep.runners import local
from raysweep.runners.study_run import Manner, Stopped, run_study
from raysweep.study.bundled import find_study
from raysweep.study.yaml_lines import read_document
from raysweep.trials.storage import Output

HEAVY = ("torch", "ray", "mlflow", "pandas", "numpy", "pydantic", "yaml")
LOOK = f"""
import sys, time
before = time.process_time()
import raysweep
took = time.process_time() - before
names = dir(raysweep)
print(took, *(name for name in {HEAVY} if name in sys.modules))
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> raysweep.Run:
    out = tmp_path_factory.mktemp("door") / "tiny"
    return raysweep.run(raysweep.Study(**tiny()), out, "local", progress=False)


def test_the_import_is_light() -> None:
    took, *heavy = subprocess.check_output([sys.executable, "-c", LOOK], text=True).split()
    assert not heavy
    assert float(took) < 0.15


def test_public_names_are_there_and_say_what_they_are() -> None:
    assert set(raysweep.__all__) <= set(dir(raysweep))
    for name in raysweep.__all__:
        assert inspect.getdoc(getattr(raysweep, name)), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = raysweep.nothing


@pytest.mark.slow
def test_examples_run_and_every_public_name_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(
        verbose=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    # In this order: those of a run read the one that the example of `run` makes.
    without = []
    names = ("Study", "load_study", "run", "open_run", "Run")
    for name in (*names, *sorted(set(raysweep.__all__) - set(names))):
        found = getattr(raysweep, name)
        # What is in a module is no name of the door.
        finder = doctest.DocTestFinder(recurse=not inspect.ismodule(found))
        for example in finder.find(found, name):
            part = example.name.partition(".")[2]
            if not example.examples and not part.startswith("_") and part not in ("name", "kind"):
                without.append(example.name)
            example.globs.clear()
            runner.run(example)
    assert without == ["Study.of"]  # which is for runs
    assert runner.summarize(verbose=False).failed == 0


BROKEN: list[dict[str, Any]] = [
    {},
    {"name": "a b", "data": []},
    tiny(search__trials=0, training__epochs="many", confirm__seed=3, surplus=1),
    tiny(data__U=[0, 99], alignment={"loss": "info_nce"}, kind="forced"),
    tiny(evaluation={"metrics": {"cca": {}}}, search__metric="rsa"),
    tiny(seed=True, description=[3], model={"width": [8, 8]}),
    tiny_emergence.document(data__modalities=3, search={"trials": 4}, seeds=-1),
]


def faults(error: pytest.ExceptionInfo[raysweep.InputError]) -> set[str]:
    """The faults of a study, without the lines that a file has."""
    found = [line.strip() for line in str(error.value).splitlines()[1:]]
    return {line.partition(": ")[2] if line.startswith("line ") else line for line in found}


@pytest.mark.parametrize("document", BROKEN, ids=range(len(BROKEN)))
def test_keywords_have_the_faults_of_a_file(tmp_path: Path, document: dict[str, Any]) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    with pytest.raises(raysweep.InputError) as of_file:
        raysweep.load_study(path)
    with pytest.raises(raysweep.InputError) as of_keywords:
        raysweep.Study(**document)
    assert faults(of_keywords) == faults(of_file)
    assert "line " not in str(of_keywords.value)


def test_keywords_make_the_study_that_a_file_makes() -> None:
    document = read_document(find_study("quickstart").read_text()).value
    given = raysweep.Study(**document)
    assert given == raysweep.load_study("quickstart")
    document["data"][0]["U"] = np.array([0, 4, 8])
    document["confirm"]["seeds"] = np.int64(12)
    document["data"][1]["overlap"] = (0, 4)
    assert raysweep.Study(**document) == given
    assert raysweep.load_study("quickstart", seed=1) != given


def test_overrides_go_where_set_goes() -> None:
    changed = raysweep.load_study("quickstart", search__trials=8, data__0__U=range(3))
    assert changed.resolved.data[0].axes["U"] == (0, 1, 2)
    assert "trials: 8" in changed.to_yaml()
    assert raysweep.load_study("quickstart", **{"search.trials": 8}).size().cells == 5
    with pytest.raises(raysweep.InputError) as error:
        raysweep.load_study("quickstart", search__trials=0, data__7__U=1)
    first, second = str(error.value).splitlines()[1:]
    assert first.strip().startswith("data__7__U=1: the study has no data.7")
    assert second.strip() == (
        "search__trials=0: search.trials: must be greater than or equal to 1, found 0"
    )


def test_a_value_of_no_kind_that_a_study_has_is_a_fault() -> None:
    with pytest.raises(raysweep.InputError, match=r"alignment\.loss: cannot be read as a value"):
        raysweep.Study(**tiny(alignment={"loss": print}))
    endless: dict[str, Any] = {}
    endless["data"] = endless
    with pytest.raises(raysweep.InputError, match="nested too deeply"):
        raysweep.Study(name="x", **endless)


def test_a_run_in_python_is_the_run_of_the_command_line(
    finished: raysweep.Run, tmp_path: Path
) -> None:
    local.run(study(), opened(tmp_path, study()))
    assert_same_table(table(finished.folder), table(tmp_path))
    assert Path(finished.report).is_file()
    again = raysweep.open_run(finished.folder)
    assert list(again.verdicts["verdict"]) == list(finished.verdicts["verdict"])
    assert again.answer == finished.answer
    assert again.status().finished
    assert set(again.status().cells["state"]) == {"done"}
    with pytest.raises(raysweep.InputError, match="did you mean verdict_map"):
        again.figure("verdictmap")


def test_mistakes_are_exceptions_in_the_words_of_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(raysweep.InputError, match="--runner here: expected ray or local"):
        raysweep.run(raysweep.Study(**tiny()), tmp_path, "here", progress=False)
    with pytest.raises(raysweep.InputError, match="not the output of a run"):
        raysweep.open_run(tmp_path)
    with pytest.raises(raysweep.InputError, match="neither a study file nor a bundled study"):
        raysweep.load_study("quickstrat")


@pytest.mark.slow
def test_a_notebook_shows_a_run_and_interrupting_it_loses_nothing(
    finished: raysweep.Run, tmp_path: Path
) -> None:
    shown: list[str] = []

    def publish(html: str) -> None:
        shown.append(html)
        if "1 pack done" in html:
            raise KeyboardInterrupt

    manner = Manner("local", mlflow=False)
    folder = RunFolder(Output(tmp_path / "stopped"))
    with pytest.raises(Stopped, match="Go on with: raysweep resume"):
        # Every state is published, however fast they come.
        run_study(study(), folder, manner, _Eager(publish))
    assert any("searching" in html for html in shown)
    left = raysweep.open_run(folder.output.location)
    assert 0 < left.status().done < left.status().planned
    assert "are there" in left._repr_html_()
    resumed = left.resume("local", progress=False)
    assert resumed.status().finished
    assert_same_table(table(resumed.folder), table(finished.folder))


class _Eager(Notebook):
    def watching(self, outlook: Any) -> Any:
        display = super().watching(outlook)
        display._shown = -time.monotonic()
        display.pack_finished = lambda sweep, pack, rows: display._show(sweep, force=True)
        return display


@pytest.mark.slow
def test_no_text_of_a_user_is_markup(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    evil = tmp_path / "<img src=x onerror=alert(1)>.npz"
    other = tmp_path / "b&[bold]b.npz"
    for path in (evil, other):
        y = rng.integers(0, 2, 160)
        x = rng.normal(size=(160, 4)) + y[:, None]
        np.savez(path, x1=x, x2=x + rng.normal(size=x.shape), y=y)
    data = {"dataset": "arrays", "path": [str(evil), str(other)]}
    wanted = raysweep.Study(**{**tiny(), "data": data, "search": {"trials": 2, "generation": 2}})
    published: list[str] = []
    folder = RunFolder(Output(tmp_path / "out"))
    run_study(wanted.resolved, folder, Manner("local", mlflow=False), Notebook(published.append))
    found = raysweep.open_run(tmp_path / "out")
    for html in (*published, found._repr_html_(), found.status()._repr_html_()):
        assert "<img src=x" not in html
        assert "onerror" not in html or "&lt;img src=x" in html
    assert "&lt;img src=x" in found._repr_html_()
    assert "[bold]" in found.status()._repr_html_()


@pytest.mark.slow
def test_packs_that_fail_are_a_warning_and_can_be_tried_again(tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    wanted = study(**misbehaving(switch, "raise", search__trials=2))
    (switch / "armed").touch()
    with pytest.warns(RuntimeWarning, match=r"packs? failed; see why with: raysweep failures"):
        found = raysweep.run(raysweep.Study.of(wanted), tmp_path / "out", "local", progress=False)
    assert found.status().failures
    assert "failed" in found.status()._repr_html_()
    (switch / "armed").unlink()
    assert found.resume("local", progress=False).status().finished
    assert not raysweep.open_run(found.folder).status().failures


@pytest.mark.slow
@pytest.mark.ray
def test_a_ray_that_is_there_is_used_and_left(
    ray_here: None, finished: raysweep.Run, tmp_path: Path
) -> None:
    from raysweep.runners.ray_cluster import ray

    wanted = raysweep.Study(**tiny())
    with pytest.raises(raysweep.InputError, match="workers=1: this process has a Ray already"):
        raysweep.run(wanted, tmp_path / "refused", workers=1)
    assert not (tmp_path / "refused").exists()
    found = raysweep.run(wanted, tmp_path / "ray", progress=False)
    assert ray.is_initialized()
    assert_same_table(table(found.folder), table(finished.folder))


def test_names_in_the_document_are_there() -> None:
    section = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
    named = set(re.findall(r"raysweep\.([A-Za-z_]+)", section))
    assert {"run", "load_study", "Study", "open_run", "measure"} <= named <= set(raysweep.__all__)
    for block in re.findall(r"```python\n(.*?)```", section, re.S):
        compile(block, "python.md", "exec")
