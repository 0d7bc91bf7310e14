"""Runs without a verdict, or with one of two: every place gives the same cause."""

import shutil
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import tiny_emergence
from tiny_runs import opened, study, write_study

from raysweep import tracking
from raysweep.cli import main
from raysweep.data.resplits import crossed_splits
from raysweep.folder.conclusion import conclude, register_plan
from raysweep.folder.run_folder import RunFolder
from raysweep.runners import local
from raysweep.trials.storage import Output
from raysweep.trials.table import PARTS, read_parts
from raysweep_analysis import forcing_effects

UNFORCED = (
    "nothing was forced in any step of 4 of 4 forced trials: the alignment loss was undefined or "
    "had no gradient"
)
BROKEN = "all 8 forced trials of the search diverged, from step 0"


def said(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys) -> tuple[int, str]:
    """Exit code and output of a command, in this process."""
    monkeypatch.setattr(sys, "argv", ["raysweep", *arguments])
    try:
        main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    return code, " ".join("".join(capsys.readouterr()).split())


def test_every_place_gives_the_same_cause(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    study_file = write_study(tmp_path / "tiny.yaml", alignment={"loss": "idle_losses:undefined"})
    options = ("--out", out, "--runner", "local", "--no-mlflow")
    code, text = said(["run", str(study_file), *options], monkeypatch, capsys)
    assert code == 3
    assert f"0 of 1 cells tested: {UNFORCED}." in text
    assert "no cell is tested" in text
    for command in ("status", "failures"):
        assert f": {UNFORCED}" in said([command, out], monkeypatch, capsys)[1]
    assert said(["analyze", out], monkeypatch, capsys)[0] == 3
    assert UNFORCED in (tmp_path / "out" / "report.html").read_text()
    effects = forcing_effects(pd.read_parquet(tmp_path / "out" / "trials.parquet"))
    assert set(effects["verdict"]) == {"untested"}
    assert set(effects["reason"]) == {UNFORCED}
    tracking.sync(RunFolder(Output(out)), uri)
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("tiny")
    [cell] = client.search_runs([experiment.experiment_id], "tags.level = 'cell'")
    assert cell.data.tags["cause"] == UNFORCED
    assert "nothing was forced in any step" in cell.data.tags["mlflow.note.content"]


def test_forced_arms_that_break_are_the_verdicts_reason(tmp_path: Path) -> None:
    wanted = study(alignment={"loss": "idle_losses:gradient_breaks"})
    place = opened(tmp_path / "out", wanted)
    sweep = local.run(wanted, place)
    assert conclude(place, wanted).sentences[0].endswith(f"0 of 1 cells tested: {BROKEN}.")
    assert list(place.causes(sweep).values()) == [BROKEN]


@pytest.mark.slow
def test_an_unfinished_run_counts_what_is_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = study(data__U=[0, 2, 4], resources__members_per_pack=100)
    place = opened(tmp_path / "out", wanted)
    register_plan(place, wanted)
    local.run(wanted, place)
    trials = pd.read_parquet(tmp_path / "out" / "trials.parquet")
    last = trials["cell"].iloc[-1]
    half = tmp_path / "half"
    shutil.copytree(tmp_path / "out", half)
    for part in (half / "parts").iterdir():
        part.unlink()
    # Without the confirm stage of one cell, and without anything of another.
    first = trials["cell"].iloc[0]
    kept = trials[
        (trials["cell"] != last) & ~((trials["cell"] == first) & (trials.stage == "confirm"))
    ]
    kept.to_parquet(half / "trials.parquet")
    found = conclude(RunFolder(Output(half)), wanted)
    assert found.sentences[0].startswith("1 of 3 cells tested so far. ")
    assert found.tested == (1, 3)
    code, text = said(["analyze", str(half)], monkeypatch, capsys)
    assert code == 0
    assert "(performance_fused_test; 1 of 3 cells tested so far)" in text
    assert "p: Holm-adjusted over 1 tested row so far;" in text
    effects = forcing_effects(kept)
    untested = effects[effects["cell"] == first].iloc[0]
    assert untested["verdict"] == "untested"
    assert untested["reason"].startswith("no confirm stage")
    alone = forcing_effects(kept[kept["cell"] != first])
    tested = effects[effects["cell"] != first].iloc[0]
    assert tested["p_adjusted"] == alone.iloc[0]["p_adjusted"]


def file_of(folder: Path, still: str) -> str:
    """An ``.npz`` file whose modality 1 does not vary in one of its splits."""
    rng = np.random.default_rng(0)
    split = np.repeat(["train", "validation", "test"], [64, 32, 32])
    x1 = rng.normal(size=(128, 4))
    x1[split == still] = 0.5
    path = folder / f"{still}.npz"
    np.savez(path, x1=x1, x2=rng.normal(size=(128, 4)), y=np.arange(128) % 2, split=split)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["alignment", "performance", "both"])
def test_an_alignment_that_is_undefined_leaves_the_other_end(
    objective: str, tmp_path: Path
) -> None:
    data = {"dataset": "arrays", "path": file_of(tmp_path, "validation")}
    small = {"search__trials": 2, "search__seeds": 1, "confirm__seeds": 2}
    wanted = study(data=data, search__objective=objective, **small)
    place = opened(tmp_path / "out", wanted)
    sweep = local.run(wanted, place)
    found = conclude(place, wanted)
    said = "alignment undefined in 2 of 2 trials: representations of modality 1 are constant"
    [cell] = sweep.labels
    by = {"alignment": {(cell, ""): said}, "both": {(cell, "alignment"): said}, "performance": {}}
    assert place.causes(sweep) == by[objective]
    untested = found.effects[found.effects["verdict"] == "untested"]
    assert list(untested["reason"]) == [said] * (objective != "performance")
    assert found.tested == (objective != "alignment", 1)
    if objective == "both":
        assert list(found.effects["chosen_by"]) == ["alignment", "performance"]
        assert (
            f"Not tested at the strength chosen by alignment: validation.npz ({said})."
            in " ".join(found.sentences)
        )
        tested = found.effects.iloc[1]
        assert tested["p_adjusted"] == tested["p_value"]
        report = (tmp_path / "out" / "report.html").read_text()
        assert "over the 1 tested rows of the verdict table" in report


def test_an_alignment_that_is_undefined_on_test_is_said_beside_the_verdict(tmp_path: Path) -> None:
    data = {"dataset": "arrays", "path": file_of(tmp_path, "test")}
    wanted = study(data=data, search__trials=2, search__seeds=1, confirm__seeds=2)
    place = opened(tmp_path / "out", wanted)
    sweep = local.run(wanted, place)
    found = conclude(place, wanted)
    assert place.causes(sweep) == {}
    said = "alignment undefined in 2 of 2 forced trials: representations of modality 1 are constant"
    assert said in found.effects["reason"].iloc[0]
    text = " ".join(found.sentences)
    assert f"In test.npz {said}." in text
    assert "not shown to have raised" not in text


def test_a_pack_that_was_given_up_is_the_cause(tmp_path: Path) -> None:
    wanted = study(data__U=[0, 2], search__trials=2, search__seeds=1, confirm__seeds=2)
    place = opened(tmp_path / "out", wanted)
    register_plan(place, wanted)
    local.run(wanted, place)
    trials = pd.read_parquet(tmp_path / "out" / "trials.parquet")
    confirmed = trials[trials["stage"] == "confirm"]
    cell = confirmed["cell"].iloc[0]
    for part in (tmp_path / "out" / PARTS).iterdir():
        table = read_parts(place.output, [f"{PARTS}/{part.name}"]).table.to_pandas()
        if ((table["stage"] == "confirm") & (table["cell"] == cell)).any():
            part.unlink()
    (tmp_path / "out" / "trials.parquet").unlink()
    for pack in place.left(wanted).missing():
        place.record_failure(pack, "Traceback\nValueError: no luck\n")
    sweep = place.left(wanted)
    place.compact(sweep)
    said = "a pack failed: ValueError: no luck"
    assert place.causes(sweep) == {(cell, ""): said}
    found = conclude(place, wanted)
    assert found.sentences[0].startswith("1 of 2 cells tested so far. ")
    assert set(found.effects.set_index("cell").loc[[cell], "reason"]) == {said}


def test_validate_looks_at_every_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    x1 = np.zeros((128, 2))
    y = np.arange(128) % 2
    # A row that the first and the last draws train on, and two others of each kind do not.
    trained = {d: set(crossed_splits(y, d).train) for d in (*range(9), *range(1000, 1009))}
    [row, *_] = (
        row
        for row in sorted(trained[0] & trained[8] & trained[1008])
        if sum(row not in trained[d] for d in range(9)) == 2
        and sum(row not in trained[d] for d in range(1000, 1009)) == 2
    )
    x1[row] = 1.0
    x2 = np.random.default_rng(0).normal(size=(128, 2))
    np.savez(tmp_path / "own.npz", x1=x1, x2=x2, y=y)
    data = {"dataset": "arrays", "path": "own.npz"}
    searched = range(1000, 1009)
    for change, asked in (
        ({"data": {**data, "draws": 9}}, range(9)),
        ({"data": {**data, "draws": 1}, "search__draws": 9}, searched),
    ):
        lost = [draw for draw in asked if row not in trained[draw]]
        draws = ", ".join(map(str, lost))
        file = write_study(tmp_path / "own.yaml", **change)
        code, text = said(["validate", str(file)], monkeypatch, capsys)
        assert code == 2
        assert f"x1 does not vary in the training split of draws {draws}: " in text


@pytest.mark.parametrize("tuned", [False, True])
def test_an_emergence_study_that_measures_nothing(tuned: bool, tmp_path: Path) -> None:
    rates = {"learning_rate": [1e300, 1e301]} if tuned else {}
    tuning = {"tuning": {**tiny_emergence.TUNING, **rates}} if tuned else {}
    rate = {} if tuned else {"training__learning_rate": 1e300}
    wanted = tiny_emergence.study(data__U=[0], data__D_phi=[1], **tuning, **rate)
    place = opened(tmp_path / "out", wanted)
    sweep = local.run(wanted, place)
    assert set(place.causes(sweep)) == {(cell.id, "") for cell in sweep.cells}
    [said] = set(place.causes(sweep).values())
    what = "encoders of modality 1" if tuned else "all 2 pairs"
    assert f"{what} diverged, from step " in said
    found = conclude(place, wanted)
    assert found.tested == (0, len(sweep.cells))
    assert any(said in sentence for sentence in found.sentences)
