"""Studies of data whose rows belong together: what a pack of trials makes of the groups.

The groups are put onto generated data, so that what they change is all that differs.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_emergence
from tiny_runs import opened, table
from tiny_trials import trial
from tiny_two_cells import tiny

from raysweep.data.views import Views
from raysweep.kinds.emergence import run as emergence_run
from raysweep.kinds.forcing import groups as forcing_groups
from raysweep.kinds.forcing.run_pack import run_pack
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.sweep import science_digest
from raysweep.runners import local
from raysweep.trials.packing import Pack
from raysweep.trials.table import Row
from raysweep.trials.trial import Arm


def in_groups(view: Views, each: int) -> Views:
    """The same rows, every few of them a group, at random."""
    rows = len(view.y)
    groups = np.random.default_rng(0).permutation(rows) // each
    return dataclasses.replace(view, groups=groups)


def rows_of(study: Study, monkeypatch: pytest.MonkeyPatch, each: int | None) -> list[Row]:
    plain = forcing_groups.load_together

    def grouped(wanted: Any) -> Iterator[Views]:
        return (view if each is None else in_groups(view, each) for view in plain(wanted))

    monkeypatch.setattr(forcing_groups, "load_together", grouped)
    trials = [
        trial(study, strength, draw=draw, arm=arm)
        for draw in (0, 1)
        for strength, arm in ((0.0, Arm.NONE), (1.0, Arm.FORCED), (1.0, Arm.PLACEBO))
    ]
    found = run_pack(study, Pack(tuple(trials)))
    monkeypatch.undo()
    return found


ASKED = ("data.draws=2", "training.epochs=2", "evaluation.calibrate=4", "evaluation.layers=best")


def test_a_pack_respects_the_groups_of_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    study = tiny(*ASKED)
    plain, alone, grouped = (rows_of(study, monkeypatch, each) for each in (None, 1, 4))
    for one, two in zip(plain, alone, strict=True):
        assert {k: v for k, v in one.items() if k != "train_seconds"} == {
            k: v for k, v in two.items() if k != "train_seconds"
        }
    everyone = rows_of(tiny(*ASKED, "alignment.negatives=all"), monkeypatch, 4)
    for i, arm in enumerate(("none", "forced", "placebo") * 2):
        # Unforced pairs are the same, all but their neighbours and chance.
        assert (grouped[i]["loss_1_test"] == plain[i]["loss_1_test"]) == (arm == "none")
        assert (everyone[i]["loss_1_test"] == plain[i]["loss_1_test"]) == (arm != "placebo")
        chance = "chance_unbiased_cka_test"
        assert grouped[i][chance] != plain[i][chance]
        assert grouped[i]["undefined_test"] == ""


def test_results_from_before_the_choice_keep_their_keys() -> None:
    assert "negatives" not in tiny().science()["alignment"]
    assert science_digest(tiny()) != science_digest(tiny("alignment.negatives=all"))


def test_emergence_is_measured_on_groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain = emergence_run.load
    changes = {"evaluation__calibrate": 4, "evaluation__rows": 40}

    def run(each: int) -> pd.DataFrame:
        monkeypatch.setattr(emergence_run, "load", lambda *given: in_groups(plain(*given), each))
        wanted, folder = tiny_emergence.study(**changes), tmp_path / str(each)
        local.run(wanted, opened(folder, wanted))
        return table(folder).set_index("key")

    alone, grouped = run(1), run(3)
    same = ["performance_1_test", "loss_2_test", "best_epoch_1"]
    pd.testing.assert_frame_equal(alone[same], grouped[same])
    for name in ("alignment_mutual_knn_test", "chance_p_unbiased_cka_test"):
        assert (alone[name] != grouped[name]).any()
        assert grouped[name].notna().all()
