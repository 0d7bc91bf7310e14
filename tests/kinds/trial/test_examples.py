"""The examples of trials of one's own, and the page that shows how to write one."""

import difflib
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tiny_runs import raysweep, table
from trial_runs import ran

from raysweep.kinds.trial.study import TrialStudy
from raysweep.study import checks
from raysweep.study.reader import load_study, parse_study
from raysweep_analysis import forcing_effects, load_trials

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "own_training.md"
DIGITS = ROOT / "examples" / "digits_cnn"
LEARN = ROOT / "examples" / "sklearn_only"


@pytest.fixture
def own_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules of an example are forgotten afterwards: their names are those of others, too."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name in ("train", "after", "before"):
            del sys.modules[name]


def small(path: Path, *overrides: str) -> TrialStudy:
    study = load_study(path, overrides, checks.check, checks.resolve_files)
    assert isinstance(study, TrialStudy)
    return study


def test_a_plain_loop_takes_fewer_than_twelve_changed_lines() -> None:
    before, after = (
        (DIGITS / f"{name}.py").read_text().splitlines() for name in ("before", "after")
    )
    changed = [
        line
        for line in difflib.unified_diff(before, after, n=0, lineterm="")
        if line[0] in "+-" and not line.startswith(("+++", "---"))
    ]
    assert 0 < len(changed) < 12
    assert len([line for line in before if line.strip()]) <= 40


def test_the_loop_trains_as_before_where_nothing_is_forced(
    own_modules: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arm none under raysweep is the plain loop at the same seed, in every number."""
    import torch

    from raysweep.seeds import derive_seed

    study = small(
        DIGITS / "study.yaml", "search.trials=1", "search.seeds=1", "confirm.seeds=1", "draws=1"
    )
    sweep = ran(study, tmp_path / "out")
    assert not sweep.failures
    rows = table(tmp_path / "out").set_index("arm")
    confirmed = rows[rows["stage"] == "confirm"]
    import before

    seed = derive_seed("trial", 0, 1000)
    monkeypatch.setattr(torch, "manual_seed", lambda given: real(seed), raising=True)
    real = torch.random.manual_seed
    plain = before.run(seed=0)
    assert confirmed.loc["none", "performance_test"] == plain["performance_test"]
    assert confirmed.loc["forced", "performance_test"] != plain["performance_test"]
    aligned = confirmed["alignment_unbiased_cka_test"]
    assert aligned["forced"] > aligned["none"]
    assert plain["performance_test"] > 0.7


def test_scikit_learn_alone_is_enough(own_modules: None, tmp_path: Path) -> None:
    """Agreement on rows without labels helps two views of one signal, and shuffled ones do not."""
    assert "torch" not in (LEARN / "train.py").read_text().replace("no torch", "")
    ran(small(LEARN / "study.yaml"), tmp_path / "out")
    [effect] = forcing_effects(load_trials(tmp_path / "out"), "r2_test").to_dict("records")
    assert effect["verdict"] == "helps"
    assert effect["verdict_vs_placebo"] == "helps"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    text = PAGE.read_text()
    [code] = re.findall(r"```python\n# train.py\n(.*?)```", text, re.DOTALL)
    [study] = re.findall(r"```yaml\n# mine.yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "train.py").write_text(code)
    (tmp_path / "mine.yaml").write_text(study)
    return tmp_path


@pytest.mark.slow
def test_the_page_runs_as_it_stands_but_smaller(page: Path) -> None:
    fewer = ("--set", "draws=1", "--set", "confirm.seeds=3", "--set", "search.trials=4")
    tried = raysweep(page, "validate", "mine.yaml", "--try")
    assert tried.returncode == 0, tried.stderr
    assert "none twice: equal in every number" in tried.stdout
    assert re.search(r"forced \(strength 0.316\) and none: different", tried.stdout)
    run = ("--out", "results/mine", "--runner", "local", "--no-mlflow")
    done = raysweep(page, "run", "mine.yaml", *run, *fewer)
    assert done.returncode == 0, done.stderr
    assert "Halving stopped" in done.stdout
    assert "trial width=32" in done.stdout
    again = raysweep(page, "analyze", "results/mine")
    assert "trial width=32" in again.stdout
    rows = table(page / "results" / "mine")
    assert set(rows.loc[rows["stage"] == "confirm", "trained_epochs"]) == {10}


def test_the_command_of_the_page_is_valid(page: Path) -> None:
    [line] = re.findall(r"```yaml\n(trial: \{command: .*?)```", PAGE.read_text(), re.DOTALL)
    text = (page / "mine.yaml").read_text()
    text = re.sub(r"trial: train:run\n", line, text)
    study = parse_study(text, "mine.yaml", page, (), checks.check, checks.resolve_files)
    assert isinstance(study, TrialStudy)
    assert list(study.files) == [str(page / "train.py")]


def test_every_field_of_a_trial_study_is_on_the_page() -> None:
    from study_fields import fields

    text = PAGE.read_text() + (ROOT / "search_spaces" / "README.md").read_text()
    named = [f for f in fields(TrialStudy) if f not in ("files", "code_folders")]
    missing = [
        field
        for field in named
        if not any(part in text for part in (f"`{field}`", f"`{field.rpartition('.')[2]}"))
        and not any(f"`{field.rsplit('.', depth)[0]}" in text for depth in (1, 2))
    ]
    assert missing == []


def test_examples_are_valid_studies(own_modules: None) -> None:
    for folder, name in ((DIGITS, "digits_cnn"), (LEARN, "agreeing_views")):
        assert yaml.safe_load((folder / "study.yaml").read_text())["name"] == name
        assert small(folder / "study.yaml").name == name
    assert shutil.which("perl"), "the tests of commands need it"
