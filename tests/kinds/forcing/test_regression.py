"""A study whose label is a number, from the file to the verdict."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_runs import opened, study, table

from raysweep.data.registry import load
from raysweep.errors import InputError
from raysweep.kinds.answer_tables import verdict_table
from raysweep.kinds.forcing.kind import KIND
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.runners import local
from raysweep.trials.outcomes import amount, digits_of, margin_for, outcome_words
from raysweep_analysis import forcing_effects


def own(folder: Path, scale: float = 10.0) -> dict[str, Any]:
    draw, n = np.random.default_rng(0), 240
    z = draw.normal(size=n)
    x1, x2 = (draw.normal(size=(n, 4)) + sign * z[:, None] for sign in (1, -1))
    split = np.repeat(["train", "validation", "test"], [140, 50, 50])
    path = folder / "own.npz"
    np.savez(path, x1=x1, x2=x2, y=scale * (z + 0.1 * draw.normal(size=n)), split=split)
    return {"data": {"dataset": "arrays", "path": str(path)}}


def test_outcomes_are_filled_in_that_fit_the_label(tmp_path: Path) -> None:
    plain = study(**own(tmp_path))
    assert isinstance(plain, ForcingStudy)
    assert plain.verdict.performance == "r2_fused_test"
    assert (plain.verdict.margin, plain.search.performance) == (0.01, "r2_fused")
    assert plain.outcomes == ()
    errors = study(**own(tmp_path), verdict={"performance": "mae_1_test"})
    view = load("arrays", {"path": str(tmp_path / "own.npz")})
    spread = float(view.value_scaling.sd[0])
    assert errors.verdict.margin == pytest.approx(0.02 * spread, rel=0.05)
    assert errors.search.performance == "mae_fused"
    assert errors.better_is_less
    assert errors.outcomes == ("mae",)
    given = study(
        **own(tmp_path),
        verdict={"performance": "rmse_fused_test", "margin": 30.0},
        search={"performance": "pearson_1"},
    )
    assert (given.verdict.margin, given.search.performance) == (30.0, "pearson_1")
    assert given.outcomes == ("pearson",)
    assert not given.better_is_less


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"verdict": {"performance": "macro_f1_1_test"}},
            "choose from r2_1_test, rmse_1_test, mae",
        ),
        ({"verdict": {"performance": "performance_fused_test"}}, "is no outcome of regression"),
        ({"search": {"performance": "performance_1"}}, "choose from r2_1, rmse_1, mae_1"),
        ({"evaluation": {"outcomes": ["mae", "auroc"]}}, "auroc is no outcome of regression"),
        ({"training": {"engine": "kernel"}}, "engine kernel trains classification"),
        ({"verdict": {"performance": "r2_fused_test", "margin": 1.0}}, "must be less than 1"),
    ],
)
def test_what_does_not_go_with_the_label(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        study(**own(tmp_path), **changes)


def test_classes_have_no_errors(tmp_path: Path) -> None:
    path = tmp_path / "classes.npz"
    draw = np.random.default_rng(0)
    np.savez(path, x1=draw.normal(size=(90, 2)), x2=draw.normal(size=(90, 2)), y=np.arange(90) % 2)
    of = {"data": {"dataset": "arrays", "path": str(path)}}
    with pytest.raises(InputError, match=r"mae_fused_test is no outcome of classification"):
        study(**of, verdict={"performance": "mae_fused_test"})


def test_a_verdict_about_errors_is_that_of_the_rows(tmp_path: Path) -> None:
    wanted = study(**own(tmp_path), verdict={"performance": "mae_fused_test"})
    local.run(wanted, opened(tmp_path / "out", wanted))
    rows = table(tmp_path / "out")
    assert set(rows["task"]) == {"regression"}
    assert "classes" not in rows or rows["classes"].isna().all()
    assert not {"performance_fused_test", "loss_fused_test"} & set(rows)
    measured = rows[["mae_fused_test", "rmse_fused_test", "r2_fused_test"]].to_numpy()
    assert np.isfinite(measured).all()
    assert (measured[:, 0] <= measured[:, 1]).all()
    effects = KIND.effects(wanted, rows)
    confirm = rows[rows["stage"] == "confirm"].pivot(
        index="seed", columns="arm", values="mae_fused_test"
    )
    assert effects["effect"].iloc[0] == pytest.approx((confirm["forced"] - confirm["none"]).mean())
    shown = str(verdict_table(effects, wanted.verdict.performance).__dict__)
    assert "units of the label, less is better" in shown


def test_numbers_do_not_depend_on_packing_or_interruption(tmp_path: Path) -> None:
    exact = {**own(tmp_path), "training": {"dtype": "float64", "epochs": 3, "batch_size": 32}}
    tables = []
    for members in (3, 36):
        wanted = study(**exact, resources={"members_per_pack": members})
        out = tmp_path / f"out{members}"
        local.run(wanted, opened(out, wanted))
        if members == 3:  # one pack is lost, and made again
            next(iter(sorted((out / "parts").glob("*.arrow")))).unlink()
            local.run(wanted, opened(out, wanted))
        tables.append(table(out).set_index("key").sort_index())
    small, large = tables
    named = [name for name in large if name.startswith(("r2", "rmse", "alignment_unbiased"))]
    assert len(named) > 12
    pd.testing.assert_frame_equal(small[named], large[named], rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "outcome", ["mae_fused_test", "rmse_1_test", "r2_2_test", "pearson_1_test"]
)
def test_the_sign_that_helps(outcome: str) -> None:
    draw, rows = np.random.default_rng(0), []
    less = outcome.startswith(("mae", "rmse"))
    for seed in range(12):
        for arm, value in (("none", 0.5), ("forced", 0.3), ("placebo", 0.5)):
            noisy = value + draw.normal(0, 0.01)
            rows.append({
                "key": f"{arm}{seed}", "study": "s", "cell": "c", "draw": 0, "seed": seed,
                "strength": float(arm != "none"), "arm": arm, "stage": "confirm", "status": "ok",
                "chosen_by": "" if arm == "none" else "performance", outcome: noisy,
            })  # fmt: skip
    [verdict] = forcing_effects(pd.DataFrame(rows), outcome)["verdict"]
    assert verdict == ("helps" if less else "hurts")


@pytest.mark.parametrize(
    ("outcome", "margin", "words"),
    [
        ("r2_fused_test", "1 point", "R2 of all modalities fused, test"),
        ("pearson_1_test", "1 point", "Pearson correlation of modality 1, test"),
        ("sign_accuracy_nonzero_2_test", "0.5 points",
         "sign accuracy without zeros of modality 2, test"),
    ],
)  # fmt: skip
def test_each_has_a_margin_and_words(outcome: str, margin: str, words: str) -> None:
    other = margin_for(outcome, "rmse_fused_test", 7.0)
    assert amount(other, outcome) == margin
    assert outcome_words(outcome) == words


def test_a_margin_in_the_unit_of_the_label_is_not_guessed() -> None:
    assert margin_for("mae_1_test", "rmse_fused_test", 7.0) == 7.0
    with pytest.raises(InputError, match="in the unit of the label, so that no margin is usual"):
        margin_for("mae_1_test", "r2_fused_test", 0.01)


def test_errors_are_shown_in_the_unit_of_the_label() -> None:
    assert amount(2.5, "mae_fused_test") == "2.5 units of the label"
    assert outcome_words("rmse_2_test") == "root mean squared error of modality 2, test"
    for size in (1e-6, 0.03, 4.2, 512.0, 1e6):
        digits = digits_of("mae_fused_test", size, size / 10)
        assert float(f"{size:.{digits}f}") == pytest.approx(size, rel=5e-3)
