"""Why there is no verdict: counted in the rows, and the same sentence in every place."""

import shutil
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from test_execute import rows_of, trial
from tiny_runs import opened, study, write_study
from torch import nn

from raysweep import local_runner, tracking
from raysweep.causes import cause, sentences
from raysweep.cli import main
from raysweep.conclusion import conclude, register_plan
from raysweep.run_folder import RunFolder
from raysweep.search import Outcome, Proposal, choose
from raysweep.spec import Search
from raysweep.storage import Output
from raysweep.trials import Arm
from raysweep_analysis import forcing_effects

UNFORCED = (
    "nothing was forced in any step of 4 of 4 forced trials: the alignment loss was undefined or "
    "had no gradient"
)
BROKEN = "all 8 forced trials of the search diverged, from step 0"


def facts(stage: str = "search", arm: str = "forced", status: str = "ok", **more: object):
    return {"cell": "c", "stage": stage, "arm": arm, "status": status, "diverged_step": -1, **more}


def test_a_search_that_chooses_nothing_says_why() -> None:
    constant = "representations of modality 1 are constant"
    undefined = facts(undefined_validation=constant)
    assert cause([undefined] * 12) == f"alignment undefined in 12 of 12 trials: {constant}"
    diverged = [facts(status="diverged", diverged_step=step) for step in (7, 3, 9)]
    assert cause(diverged) == "all 3 forced trials of the search diverged, from step 3"
    both = cause([*diverged, undefined])
    assert both.startswith("3 of 4 forced trials of the search diverged, from step 3 and ")
    assert both.endswith(f"alignment undefined in 1 of 4 trials: {constant}")
    assert cause([*diverged, undefined, facts()]) == ""


def test_old_tables_and_missing_values_give_no_cause() -> None:
    nan = float("nan")
    assert cause([facts(), facts("confirm")]) == ""
    assert cause([facts("confirm", steps=nan, unforced_steps=nan, undefined_validation=nan)]) == ""
    assert cause([]) == ""


def test_arms_that_all_diverged_are_named() -> None:
    forced = facts("confirm", status="diverged", diverged_step=5)
    none = facts("confirm", "none", status="diverged", diverged_step=2)
    assert cause([forced] * 4) == "all 4 forced trials diverged, from step 5"
    assert "all 2 trials of strength 0 diverged, from step 2" in cause([forced] * 4 + [none] * 2)


def test_cells_of_one_cause_share_a_line() -> None:
    found = {"a": "same", "b": "same", "c": "other"}
    labels = {"a": "U=0", "b": "U=2", "c": "U=4"}
    assert sentences(found, labels) == ["U=0, U=2: same", "U=4: other"]
    assert sentences(found, labels, most=1) == ["U=0 and 1 more cell: same", "U=4: other"]


@pytest.mark.parametrize("engine", ["kernel", "torch"])
@pytest.mark.parametrize(
    ("loss", "forced", "placebo"),
    [
        ("infonce", 2, 2),  # of one row it is 0
        ("cosine", 0, 2),  # a placebo's only row has no other partner
        ("idle_losses:undefined", 6, 6),
        ("idle_losses:flat", 6, 6),
        ("idle_losses:sometimes", 2, 2),
    ],
)
def test_rows_count_the_steps_in_which_nothing_was_forced(
    engine: str, loss: str, forced: int, placebo: int
) -> None:
    # Two epochs of 65 rows in batches of 32: the last batch has one row.
    wanted = study(data__train=65, training__engine=engine)
    # A flat loss is refused where study files are checked; data can make any loss flat.
    alignment = wanted.alignment.model_copy(update={"loss": loss, "options": {}})
    wanted = wanted.model_copy(update={"alignment": alignment})
    arms = [(0.0, Arm.NONE), (0.5, Arm.FORCED), (0.5, Arm.PLACEBO)]
    rows = rows_of(wanted, [trial(wanted, s, arm=arm) for s, arm in arms])
    assert [row["steps"] for row in rows] == [6, 6, 6]
    assert [row["unforced_steps"] for row in rows] == [6, forced, placebo]


def test_a_loss_whose_gradient_breaks_diverges_and_forced_nothing_then() -> None:
    wanted = study(alignment={"loss": "idle_losses:gradient_breaks"})
    [row] = rows_of(wanted, [trial(wanted, 0.5)])
    assert (row["status"], row["diverged_step"], row["steps"]) == ("diverged", 0, 1)


class Silent(nn.Module):
    """An encoder none of whose units ever fires."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, width)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [torch.relu(self.layer(x) * 0.0 - 1.0)]


def silent(inputs: int, depth: int, width: int) -> nn.Module:
    return Silent(inputs, width)


def test_constant_representations_are_named() -> None:
    wanted = study(model={"width": 8, "depth": 1, "encoder": "test_causes:silent"})
    [row] = rows_of(wanted, [trial(wanted)])
    for split in ("validation", "test"):
        assert row[f"alignment_unbiased_cka_{split}"] is None
        assert row[f"undefined_{split}"] == "representations of modalities 1 and 2 are constant"
    plain = study()
    [row] = rows_of(plain, [trial(plain)])
    assert row["undefined_test"] == ""


def test_the_end_that_is_defined_is_confirmed() -> None:
    outcomes = [Outcome(Proposal(s), np.nan, p) for s, p in ((0.1, 0.6), (1.0, 0.7))]
    assert choose(Search(objective="both"), outcomes) == {"performance": Proposal(1.0)}
    assert choose(Search(objective="performance"), outcomes) == {"performance": Proposal(1.0)}
    assert choose(Search(objective="alignment"), outcomes) == {}
    diverged = [Outcome(Proposal(0.1), np.nan, np.nan)]
    assert choose(Search(objective="both"), diverged) == {}


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, address = str(tmp_path / "out"), f"sqlite:///{tmp_path}/m.db"
    study_file = write_study(tmp_path / "tiny.yaml", alignment={"loss": "idle_losses:undefined"})
    options = ("--out", out, "--runner", "local", "--no-mlflow")
    code, text = said(["run", str(study_file), *options], monkeypatch, capsys)
    assert code == 3
    assert f"0 of 1 cells tested: {UNFORCED}." in text
    assert "no cell could be tested" in text
    for command in ("status", "failures"):
        assert f": {UNFORCED}" in said([command, out], monkeypatch, capsys)[1]
    assert said(["analyze", out], monkeypatch, capsys)[0] == 3
    assert UNFORCED in (tmp_path / "out" / "report.html").read_text()
    effects = forcing_effects(pd.read_parquet(tmp_path / "out" / "trials.parquet"))
    assert set(effects["verdict"]) == {"untested"}
    assert set(effects["reason"]) == {UNFORCED}
    tracking.sync(RunFolder(Output(out)), address)
    client = mlflow.MlflowClient(address)
    experiment = client.get_experiment_by_name("tiny")
    [cell] = client.search_runs([experiment.experiment_id], "tags.level = 'cell'")
    assert cell.data.tags["cause"] == UNFORCED
    assert "nothing was forced in any step" in cell.data.tags["mlflow.note.content"]


def test_forced_arms_that_break_are_the_verdicts_reason(tmp_path: Path) -> None:
    wanted = study(alignment={"loss": "idle_losses:gradient_breaks"})
    place = opened(tmp_path / "out", wanted)
    sweep = local_runner.run(wanted, place)
    assert conclude(place, wanted).sentences[0].endswith(f"0 of 1 cells tested: {BROKEN}.")
    assert list(place.causes(sweep.order()).values()) == [BROKEN]


def test_an_unfinished_run_counts_what_is_tested(tmp_path: Path) -> None:
    wanted = study(data__U=[0, 2, 4], resources__members_per_pack=100)
    place = opened(tmp_path / "out", wanted)
    register_plan(place, wanted)
    local_runner.run(wanted, place)
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
    effects = forcing_effects(kept)
    untested = effects[effects["cell"] == first].iloc[0]
    assert untested["verdict"] == "untested"
    assert untested["reason"].startswith("no confirm stage")
    alone = forcing_effects(kept[kept["cell"] != first])
    tested = effects[effects["cell"] != first].iloc[0]
    assert tested["p_adjusted"] == alone.iloc[0]["p_adjusted"]
