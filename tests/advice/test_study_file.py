"""The study that `raysweep init` writes is valid as it is, whatever the file is called."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from raysweep.advice.budget import seconds_of
from raysweep.advice.study_file import study_file
from raysweep.advice.subject import DEFAULT_RATES, look_at, study_of
from raysweep.cli import app
from raysweep.errors import InputError


def write(path, rows=120, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    np.savez(path, x1=rng.normal(size=(rows, 4)), x2=rng.normal(size=(rows, 3)), y=y)
    return Path(path)


def text_for(path):
    looked = look_at(path, {})
    return study_file(looked.subject, looked.seen, looked.chosen, DEFAULT_RATES, "the default")


@pytest.mark.parametrize(
    "name",
    [
        "plain.npz",
        "with space.npz",
        "café: #1.npz",
        "010.npz",
        "{{ 7*7 }}.npz",
        "'\"\\ &a.npz",
        "-.npz",
        "a\nalignment: {loss: mine:f}\n#.npz",
        "a\r\u2028b\tc.npz",
        "_private.npz",
        f"{'long-' * 48}.npz",
    ],
)
def test_the_study_is_valid_and_names_the_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / name)
    study = study_of(text_for(path), tmp_path)
    assert study.data[0].axes["path"] == (str(path),)


@pytest.mark.parametrize(
    ("rows", "classes"), [(54, 2), (60, 3), (90, 2), (140, 3), (800, 5), (6000, 10)]
)
def test_the_numbers_fit_the_rows(tmp_path, rows, classes):
    study = study_of(text_for(write(tmp_path / "d.npz", rows, classes)), tmp_path)
    train = round(0.7 * rows)
    steps = study.training.epochs * -(-train // study.training.batch_size)
    assert study.training.batch_size <= train
    assert steps >= 1000
    assert study.verdict.margin >= 0.5 / round(0.15 * rows)


@pytest.mark.parametrize(
    ("counts", "outcome"),
    [
        ((100, 100), "performance_fused_test"),
        ((110, 90), "performance_fused_test"),
        ((160, 40), "balanced_accuracy_fused_test"),
        ((120, 40, 40), "balanced_accuracy_fused_test"),
        ((80, 40, 40, 40), "performance_fused_test"),
    ],
)
def test_uneven_classes_count_alike(tmp_path, counts, outcome):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(len(counts)), counts)
    x1, x2 = rng.normal(size=(2, len(y), 3))
    np.savez(tmp_path / "d.npz", x1=x1, x2=x2, y=y)
    assert study_of(text_for(tmp_path / "d.npz"), tmp_path).verdict.performance == outcome


def test_init_writes_it_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine.npz")
    run = CliRunner()
    first = run.invoke(app, ["init", "mine.npz"])
    assert first.exit_code == 0
    assert "120 rows" in first.output
    assert yaml.safe_load(Path("mine.yaml").read_text())["name"] == "mine"
    assert run.invoke(app, ["validate", "mine.yaml"]).exit_code == 0
    again = run.invoke(app, ["init", "mine.npz"])
    assert isinstance(again.exception, InputError)
    assert "mine.yaml: is there already" in str(again.exception)


def test_a_study_elsewhere_finds_the_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine.npz")
    (tmp_path / "studies").mkdir()
    run = CliRunner()
    for data in ("mine.npz", str(tmp_path / "mine.npz")):
        file = tmp_path / "studies" / f"{len(data)}.yaml"
        assert run.invoke(app, ["init", data, "--out", str(file)]).exit_code == 0
        assert run.invoke(app, ["validate", str(file)]).exit_code == 0


def test_columns_of_a_table_are_said_in_the_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(90, 5)), columns=["a_0", "a_1", "b_0", "b_1", "b_2"])
    table.assign(kind=["x", "y", "z"] * 30).to_csv("t.csv", index=False)
    columns = ["--modality", "a_*", "--modality", "b_*", "--label", "kind"]
    shown = CliRunner().invoke(app, ["init", "t.csv", *columns])
    assert shown.exit_code == 0, shown.exception
    assert "modality 2 = b_*: 3 features" in shown.output
    block = yaml.safe_load(Path("t.yaml").read_text())["data"]
    assert (block["modality_1"], block["modality_2"], block["label"]) == ("a_*", "b_*", "kind")
    assert CliRunner().invoke(app, ["validate", "t.yaml"]).exit_code == 0


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("45", 45)]
)
def test_budgets(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5m", "ten", "10 minutes", "1d", "nan"])
def test_no_budgets(text):
    with pytest.raises(InputError, match="expected a duration, such as 90s, 10m or 1h"):
        seconds_of(text)


@pytest.mark.parametrize("second", [(120, 3), (120, 5, 2)])
def test_sequences_get_an_encoder_of_sequences(tmp_path, second):
    rng = np.random.default_rng(0)
    path = tmp_path / "clips.npz"
    x1, x2 = rng.normal(size=(120, 7, 4)), rng.normal(size=second)
    np.savez(path, x1=x1, x1_length=np.arange(120) % 8, x2=x2, y=np.arange(120) % 3)
    text = text_for(path)
    assert "#   modality 1 = x1: 7 tokens of 4 features\n" in text
    study = study_of(text, tmp_path)
    assert study.model.encoder == ("transformer",)
    assert study.model.options == ({"patches": 1} if len(second) == 2 else {})
