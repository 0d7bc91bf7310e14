"""Blocks of pages that show commands run as they stand, but smaller: small data, fewer trials."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from typer.testing import CliRunner

from raysweep.cli import app
from raysweep.study.bundled import find_study
from raysweep.trials.table import read_table

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
README, DOCS = ROOT / "README.md", ROOT / "docs"
HERE = ["--runner", "local", "--no-mlflow"]
FEWER = ["--set", "search.trials=2", "--set", "search.seeds=1", "--set", "confirm.seeds=3"]
FEWER += ["--set", "training.epochs=2"]


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    """The arguments of all lines of shell on a page that call raysweep."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    split = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in split if words[:1] == ["raysweep"]]


def ran(arguments: list[str], *more: str) -> str:
    """What a command prints, in this process; it must end well."""
    done = CliRunner().invoke(app, [*arguments, *more])
    assert done.exit_code == 0, f"{arguments}: {done.output} {done.exception!r}"
    return str(done.output)


def advised(arguments: list[str]) -> str:
    """What advice says; the budget of the page, of which a small study takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("raysweep.advice.advise._MOST_SEEDS_OF_SPLIT", 1)
        patch.setattr("raysweep.advice.advise._MOST_DRAWS", 5)
        return ran(arguments, "--runner", "local")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the data that pages name."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    text, images = (rng.normal(size=(300, 4)) + labels[:, None] for _ in range(2))
    np.savez("mydata.npz", x1=text, x2=images, y=labels)
    columns = {
        f"{part}_{i}": x[:, i] for part, x in (("img", images), ("txt", text)) for i in range(4)
    }
    pd.DataFrame({**columns, "kind": labels}).to_csv("pets.csv", index=False)
    return tmp_path


def test_the_readme(here: Path) -> None:
    [study] = blocks(README, "yaml")
    (here / "mystudy.yaml").write_text(study)
    advise, run = commands(README)
    assert re.search(r"[Ff]orce|[Nn]ot known", advised(advise))
    assert "Does forcing alignment help?" in ran(run, *HERE, *FEWER)
    assert (here / "results" / "my" / "report.html").is_file()


def test_advice(here: Path) -> None:
    first, table, decompose, init = commands(DOCS / "advice.md")
    assert [first] == commands(README)[:1]  # runs there
    assert re.search(r"[Ff]orce|[Nn]ot known", advised(table))
    assert "nats" in ran(decompose)
    ran(init)
    assert "dataset: arrays" in (here / "mydata.yaml").read_text()
    ran(["validate", "mydata.yaml"])


def test_studies_of_models(here: Path) -> None:
    study, of_weights = blocks(DOCS / "model_studies.md", "yaml")
    (here / "platonic.yaml").write_text(study)
    (here / "f").mkdir()
    rng = np.random.default_rng(0)
    for name in dict.fromkeys(re.findall(r"features: (\S+\.pt)", study)):
        torch.save({"feats": torch.from_numpy(rng.normal(size=(40, 2, 5)))}, here / name)
    validate, plan, run = commands(DOCS / "model_studies.md")
    ran(validate)
    ran(plan)
    assert "pairs of models align" in ran(run, *HERE)
    tables(here)
    (here / "weights.yaml").write_text(f"name: weights\nkind: models\n{of_weights}")
    ran(["features", "weights.yaml"])
    assert len(list((here / "features").glob("*.safetensors"))) == 2
    ran(["validate", "weights.yaml"])


def test_features(here: Path) -> None:
    tables(here)
    first, every = commands(DOCS / "features.md")
    ran(first)
    for block in blocks(DOCS / "features.md", "python")[:2]:
        code = block.replace("layer_012", "layer_002")  # of two layers
        exec(compile(code, "features.md", "exec"), {})
    every[every.index("ray")] = "local"
    gpus = every.index("--gpus-per-model")
    del every[gpus : gpus + 2]
    shutil.rmtree(here / "models" / "vit")  # this command is of language models
    every[1:2] = [str(path.relative_to(here)) for path in here.glob(every[1])]
    assert "llama" in ran(every)


def tables(folder: Path) -> None:
    """Two small models, and a table of captions and pictures."""
    pytest.importorskip("transformers", reason="needs pip install raysweep[features]")
    (folder / "models").mkdir()
    tiny_models.save_text_model(folder / "models" / "llama", "llama")
    tiny_models.save_vision_model(folder / "models" / "vit", "vit")
    pictures = tiny_models.save_images(folder, 12)
    table = pd.DataFrame({"caption": tiny_models.texts(12), "picture": pictures})
    table.to_csv(folder / "pairs.csv", index=False)


def test_emergence_of_the_page_on_verdicts(here: Path) -> None:
    [run] = [words for words in commands(DOCS / "verdicts.md") if words[0] == "run"]
    assert find_study(run[1]).is_file()
    fewer = ["data.U=[0]", "data.D_phi=[1]", "data.draws=1", "model.depth_2=[1]", "data.train=200"]
    fewer += ["training.batch_size=64"]
    fewer += ["training.epochs_1=1", "training.epochs_2=1", "evaluation.calibrate=0"]
    ran(run, *HERE, *(word for change in fewer for word in ("--set", change)))
    assert len(read_table(here / "results" / "emergence"))
