"""Outcomes beside accuracy in a study: columns, margins, words, and what is said without them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from checked import faults
from sklearn.metrics import f1_score
from tiny_runs import opened, study, table
from tiny_trials import rows_of, trial
from tiny_two_cells import StudyFactory, tiny

from raysweep.data.registry import load
from raysweep.kinds.answer_tables import verdict_table
from raysweep.kinds.forcing.kind import KIND
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.runners import local
from raysweep.study.cells import expand
from raysweep.trials.outcome_families import ALL_FAMILIES, OUTCOME_FAMILIES
from raysweep.trials.outcomes import amount, margin_for, outcome_words


def columns(wanted: ForcingStudy) -> set[str]:
    [row] = rows_of(wanted, [trial(wanted)])
    return {name for name in row if name.startswith(tuple(OUTCOME_FAMILIES))}


def test_outcomes_are_measured_where_they_are_asked_for() -> None:
    assert columns(tiny()) == set()
    assert columns(tiny("verdict.performance=loss_1_test")) == set()
    heads_and_splits = [
        f"_{head}_{split}" for head in (1, 2, "fused") for split in ("validation", "test")
    ]
    asked = ("evaluation.outcomes=[auroc, macro_f1]", "verdict.performance=weighted_f1_1_test")
    assert columns(tiny(*asked)) == {
        f"{family}{end}"
        for family in ("auroc", "macro_f1", "weighted_f1")
        for end in heads_and_splits
    }


def test_one_outcome_stands_alone_in_a_study_file() -> None:
    assert tiny("evaluation.outcomes=auroc").evaluation.outcomes == ("auroc",)


@pytest.mark.parametrize(
    ("outcome", "margin", "words", "size"),
    [
        ("performance_fused_test", 0.005, "accuracy of all modalities fused, test", "0.5 points"),
        ("balanced_accuracy_1_test", 0.005, "balanced accuracy of modality 1, test", "0.5 points"),
        ("macro_f1_fused_test", 0.01, "macro F1 of all modalities fused, test", "1 point"),
        ("weighted_f1_2_validation", 0.005, "weighted F1 of modality 2, validation", "0.5 points"),
        ("auroc_fused_test", 0.005, "AUROC of all modalities fused, test", "0.5 points"),
        ("calibration_error_1_test", 0.01, "calibration error of modality 1, test", "1 point"),
        ("loss_fused_population", 0.01, "loss of all modalities fused, population", "0.01 nats"),
    ],
)
def test_each_has_a_margin_and_words(outcome: str, margin: float, words: str, size: str) -> None:
    wanted = tiny(f"verdict.performance={outcome}")
    assert wanted.verdict.margin == margin
    assert outcome_words(outcome) == words
    assert amount(margin, outcome) == size
    assert tiny(f"verdict.performance={outcome}", "verdict.margin=0.2").verdict.margin == 0.2


def test_another_outcome_has_its_own_margin() -> None:
    assert margin_for("performance_1_test", "performance_fused_test", 0.02) == 0.02
    assert margin_for("loss_1_test", "performance_fused_test", 0.02) == 0.01
    assert margin_for("f1_test", "f1_test", 0.3) == 0.3


def test_what_there_is_not_is_told(study_of: StudyFactory) -> None:
    [fault] = faults(study_of, "verdict.performance=macro_f1_fused_population")
    assert "unknown value 'macro_f1_fused_population'" in fault
    [fault] = faults(study_of, "evaluation.outcomes=[rocauc]")
    assert fault.endswith(f"choose from {', '.join(ALL_FAMILIES)}")
    [fault] = faults(study_of, "evaluation.outcomes=[auroc, auroc]")
    assert "values used twice: auroc" in fault


def data(folder: Path, lacking: int | None = None) -> dict[str, Any]:
    """Own data of three classes, of which one may lack from the test split."""
    draw, n = np.random.default_rng(0), 240
    y = draw.permutation(np.arange(n) % 3)
    split = np.repeat(["train", "validation", "test"], [140, 50, 50])
    x1, x2 = (draw.normal(size=(n, 4)) + sign * 0.6 * y[:, None] for sign in (1, -1))
    keep = (split != "test") | (y != lacking)
    path = folder / "own.npz"
    np.savez(path, x1=x1[keep], x2=x2[keep], y=y[keep], split=split[keep])
    return {"data": {"dataset": "arrays", "path": str(path)}}


def test_a_verdict_about_f1_is_that_of_the_rows(tmp_path: Path) -> None:
    wanted = study(**data(tmp_path), verdict={"performance": "macro_f1_1_test"})
    local.run(wanted, opened(tmp_path / "out", wanted))
    rows = table(tmp_path / "out")
    # As many classes as here are predicted, F1 is not far from accuracy, and never the same.
    known = rows[["macro_f1_1_test", "performance_1_test"]].to_numpy()
    assert (np.abs(known[:, 0] - known[:, 1]) < 0.2).all()
    effects = KIND.effects(wanted, rows)
    confirm = rows[rows["stage"] == "confirm"].pivot(
        index="seed", columns="arm", values="macro_f1_1_test"
    )
    assert effects["effect"].iloc[0] == pytest.approx((confirm["forced"] - confirm["none"]).mean())
    shown = str(verdict_table(effects, wanted.verdict.performance).__dict__)
    assert "points (100 x macro F1)" in shown


def test_less_of_the_calibration_error_helps(tmp_path: Path) -> None:
    wanted = study(**data(tmp_path), verdict={"performance": "calibration_error_fused_test"})
    local.run(wanted, opened(tmp_path / "out", wanted))
    rows = table(tmp_path / "out")
    column = "calibration_error_fused_test"
    better = rows.assign(
        **{column: 0.2 - 0.1 * (rows["arm"] == "forced") + 0.001 * (rows["seed"] % 3)}
    )
    noise = pd.Series(np.random.default_rng(0).normal(0, 1e-3, len(rows)), index=rows.index)
    better[column] += noise
    assert set(KIND.effects(wanted, better)["verdict"]) == {"helps"}


def test_the_cause_of_an_empty_outcome_reaches_the_verdict(tmp_path: Path) -> None:
    wanted = study(**data(tmp_path, lacking=2), verdict={"performance": "auroc_fused_test"})
    local.run(wanted, opened(tmp_path / "out", wanted))
    rows = table(tmp_path / "out")
    assert rows["auroc_fused_test"].isna().all()
    assert rows["auroc_fused_validation"].notna().all()
    assert set(rows["undefined_test"]) == {"auroc: no row of class 2 in the test split"}
    effects = KIND.effects(wanted, rows)
    assert set(effects["verdict"]) == {"untested"}
    [reason] = set(effects["reason"])
    assert reason == (
        "the outcome is empty in its runs: auroc: no row of class 2 in the test split"
    )


def test_f1_of_a_row_is_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the whole of a pack, with the predictions of its own members."""
    from raysweep.training import outcomes

    seen: list[tuple[np.ndarray, np.ndarray]] = []
    plain = outcomes.OUTCOMES["macro_f1"]

    def noted(y: np.ndarray, logits: np.ndarray) -> float:
        seen.append((y, logits.argmax(axis=1)))
        return plain(y, logits)

    monkeypatch.setattr(outcomes, "OUTCOMES", {"macro_f1": noted})
    wanted = tiny("evaluation.outcomes=[macro_f1]")
    [row] = rows_of(wanted, [trial(wanted)])
    [cell, *_] = expand(wanted)
    view = load(cell.dataset, dict(cell.parameters), 0)
    at = iter(seen)
    for split in ("validation", "test"):
        y = view.y[getattr(view.splits, split)]
        for head in (1, 2, "fused"):
            labels, predicted = next(at)
            np.testing.assert_array_equal(labels, y)
            assert row[f"performance_{head}_{split}"] == pytest.approx((predicted == y).mean())
            expected = f1_score(y, predicted, average="macro", zero_division=0)
            assert row[f"macro_f1_{head}_{split}"] == pytest.approx(expected)
