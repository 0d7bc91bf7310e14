"""Studies of several labels a row and of ranks, from the file to the verdict."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_runs import opened, study, table

from raysweep.errors import InputError
from raysweep.kinds.answer_tables import verdict_table
from raysweep.kinds.forcing.kind import KIND
from raysweep.runners import local
from raysweep.trials.outcome_families import MULTILABEL_FAMILIES, ORDINAL_FAMILIES
from raysweep.trials.outcomes import amount, default_margin, outcome_words
from raysweep_analysis import forcing_effects


def own(folder: Path, task: str, lacking: bool = False) -> dict[str, Any]:
    draw, n = np.random.default_rng(0), 240
    z = draw.normal(size=(n, 3))
    y = (z > (0.0, 0.3, 0.6)).astype(int)
    if task == "ordinal":
        y = 1 + np.digitize(z[:, 0], [-0.7, 0.0, 0.7])
    x1, x2 = (draw.normal(size=(n, 4)) + z @ draw.normal(size=(3, 4)) for _ in range(2))
    if lacking:
        x2[::6] = np.nan
    split = np.repeat(["train", "validation", "test"], [140, 50, 50])
    np.savez(folder / "own.npz", x1=x1, x2=x2, y=y, split=split)
    return {"data": {"dataset": "arrays", "path": str(folder / "own.npz"), "task": task}}


@pytest.mark.parametrize(
    ("task", "tested", "searched"),
    [
        ("multilabel", "micro_f1_fused_test", "micro_f1_fused"),
        ("ordinal", "weighted_kappa_fused_test", "weighted_kappa_fused"),
    ],
)
def test_outcomes_are_filled_in_that_fit_the_label(
    tmp_path: Path, task: str, tested: str, searched: str
) -> None:
    plain = study(**own(tmp_path, task))
    assert plain.verdict.performance == tested
    assert (plain.verdict.margin, plain.search.performance) == (0.01, searched)
    less = "hamming_loss" if task == "multilabel" else "rank_mae"
    errors = study(**own(tmp_path, task), verdict={"performance": f"{less}_1_test"})
    assert (errors.search.performance, errors.better_is_less) == (f"{less}_fused", True)
    for changes, said in (
        (
            {"verdict": {"performance": "macro_f1_1_test"}},
            f"choose from {tested.split('_fused')[0]}",
        ),
        ({"evaluation": {"outcomes": ["auroc"]}}, f"auroc is no outcome of {task}"),
        ({"training": {"engine": "kernel"}}, "engine kernel trains classification"),
        ({"training": {"class_weight": "balanced"}}, "there are no classes to weight"),
        ({"kind": "emergence"}, "train encoders on classes; take kind: forcing, or save classes"),
    ):
        with pytest.raises(InputError, match=said):
            study(**own(tmp_path, task), **changes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "outcome", "lacking"),
    [
        ("multilabel", "mean_average_precision_fused_test", True),
        ("ordinal", "rank_mae_fused_test", False),
    ],
)
def test_from_the_file_to_the_verdict_whatever_is_packed_together(
    tmp_path: Path, task: str, outcome: str, lacking: bool
) -> None:
    tables = []
    for members in (3, 36):
        wanted = study(
            **own(tmp_path, task, lacking),
            verdict={"performance": outcome},
            resources={"members_per_pack": members},
        )
        out = tmp_path / f"out{members}"
        local.run(wanted, opened(out, wanted))
        tables.append(table(out).set_index("key").sort_index())
    small, large = tables
    families = MULTILABEL_FAMILIES if task == "multilabel" else ORDINAL_FAMILIES
    named = [name for name in large if name.startswith((*families, "alignment_unbiased"))]
    assert len(named) > 12
    pd.testing.assert_frame_equal(small[named], large[named], rtol=0, atol=1e-10)
    assert set(large["task"]) == {task}
    assert not {"performance_fused_test", "loss_fused_test"} & set(large)
    effects = KIND.effects(wanted, large.reset_index())
    confirm = large[large["stage"] == "confirm"].pivot(index="seed", columns="arm", values=outcome)
    assert effects["effect"].iloc[0] == pytest.approx((confirm["forced"] - confirm["none"]).mean())
    shown = str(verdict_table(effects, outcome).__dict__)
    assert ("ranks, less is better" if task == "ordinal" else "points") in shown


@pytest.mark.parametrize(
    ("outcome", "margin", "words"),
    [
        ("micro_f1_fused_test", "1 point", "micro F1 of all modalities fused, test"),
        ("hamming_loss_1_test", "0.5 points", "Hamming loss of modality 1, test"),
        ("label_macro_f1_1_test", "1 point", "macro F1 over labels of modality 1, test"),
        ("mean_average_precision_2_test", "1 point", "mean average precision of modality 2, test"),
        ("label_auroc_2_test", "0.5 points", "AUROC over labels of modality 2, test"),
        ("subset_accuracy_2_test", "0.5 points", "subset accuracy of modality 2, test"),
        ("weighted_kappa_1_test", "1 point", "quadratic weighted kappa of modality 1, test"),
        ("rank_mae_1_test", "0.02 ranks", "mean absolute error in ranks of modality 1, test"),
    ],
)
def test_each_has_a_margin_words_and_a_sign_that_helps(
    outcome: str, margin: str, words: str
) -> None:
    assert amount(default_margin(outcome), outcome) == margin
    assert outcome_words(outcome) == words
    draw, rows = np.random.default_rng(0), []
    for seed in range(12):
        for arm, value in (("none", 0.5), ("forced", 0.3), ("placebo", 0.5)):
            rows.append({
                "key": f"{arm}{seed}", "study": "s", "cell": "c", "draw": 0, "seed": seed,
                "strength": float(arm != "none"), "arm": arm, "stage": "confirm", "status": "ok",
                "chosen_by": "" if arm == "none" else "performance",
                outcome: value + draw.normal(0, 0.01),
            })  # fmt: skip
    [verdict] = forcing_effects(pd.DataFrame(rows), outcome)["verdict"]
    assert verdict == ("helps" if outcome.startswith(("hamming", "rank")) else "hurts")
