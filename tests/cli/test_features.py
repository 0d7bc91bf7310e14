"""`raysweep features`, as the page in docs/ says that it is used."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from tiny_models import save_images
from tiny_runs import raysweep

from raysweep.data.dtypes import Role
from raysweep.data.files.safetensors import Safetensors
from raysweep.errors import InputError
from raysweep.features.of_study import features_of_study

PAGE = (Path(__file__).parents[2] / "docs" / "features.md").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page's own model, and a table of pictures."""
    [module] = re.findall(r"```python\n# mine.py\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "mine.py").write_text(module)
    names = save_images(tmp_path, 5)
    (tmp_path / "pairs.csv").write_text("\n".join(["picture", *names]))
    return tmp_path


def test_the_module_and_the_command_of_the_page_work(folder: Path) -> None:
    [command] = re.findall(r"`raysweep (features mine:model .*?)`", PAGE)
    done = raysweep(folder, *shlex.split(command))
    assert done.returncode == 0, done.stderr
    file = folder / "features" / "mine.model.picture.safetensors"
    assert done.stdout.split() == [str(file)]
    assert "mine.model, picture: 5 of 5 rows" in done.stderr
    made = Safetensors.open(str(file))
    layers = made.read(made.names, Role.FEATURES, [])
    assert {name: x.shape for name, x in layers.items()} == {
        "layer_000": (5, 8),
        "layer_001": (5, 16),
    }
    assert all(np.isfinite(x).all() and np.ptp(x, axis=0).all() for x in layers.values())


def test_options_of_the_page_exist(folder: Path) -> None:
    help_text = raysweep(folder, "features", "--help").stdout
    options = set(re.findall(r"--[a-z][a-z-]+", PAGE))
    assert len(options) > 8
    assert {option for option in options if option not in help_text} == set()


def test_mistakes_and_failures_have_codes_of_their_own(folder: Path) -> None:
    command = ["features", "mine:model", "--data", "pairs.csv", "--out", "out"]
    mistake = raysweep(folder, *command, "--image", "photo")
    assert mistake.returncode == 2
    assert "has no column 'photo'; it has picture" in mistake.stderr
    (folder / "image_3.png").write_bytes(b"not a picture")
    failed = raysweep(folder, *command, "--image", "picture")
    assert failed.returncode == 1
    assert "picture in row 3" in failed.stderr
    assert "1 model of 1 failed" in failed.stderr
    for done in (mistake, failed):
        assert "Traceback" not in done.stderr


STUDY = """
name: own
kind: models
samples: {table: pairs.csv, image: picture}
models:
  - side: a
    model: mine
    features: made/mine.model.picture.safetensors
    weights: "mine:model"
    column: picture
  - {side: b, model: known, features: known.npy}
evaluation: {metrics: {mutual_knn: {topk: 2}}}
"""


def test_a_study_of_models_has_its_features_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(folder / "known.npy", np.random.default_rng(0).normal(size=(5, 2, 3)))
    study = folder / "study.yaml"
    study.write_text(STUDY)
    refused = raysweep(folder, "validate", "study.yaml")
    assert refused.returncode == 2
    assert "raysweep features with this study file makes it" in refused.stderr
    made = raysweep(folder, "features", "study.yaml")
    assert made.returncode == 0, made.stderr
    assert made.stdout.split() == [str(folder / "made" / "mine.model.picture.safetensors")]
    run = raysweep(folder, "run", "study.yaml", "--out", "o", "--runner", "local", "--no-mlflow")
    assert run.returncode == 0, run.stderr
    assert "0 of 1 pair of models align beyond chance" in run.stdout  # five rows show nothing
    both = raysweep(folder, "features", "study.yaml", "--out", "x")
    assert both.returncode == 2
    assert "leave out --data" in both.stderr
    monkeypatch.chdir(folder)
    (again,) = features_of_study(study)
    assert again.skipped == 1
    study.write_text(STUDY.replace("made/mine.model", "made/other"))
    with pytest.raises(InputError, match="the files are mine"):
        features_of_study(study)
    study.write_text(STUDY.replace("    column: picture\n", ""))
    with pytest.raises(InputError, match="weights without column"):
        features_of_study(study)
