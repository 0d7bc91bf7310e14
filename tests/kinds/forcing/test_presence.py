"""A study whose rows lack modalities, from the file to the verdict."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_runs import opened, study, table

from raysweep.data.own_notes import own_notes
from raysweep.errors import InputError
from raysweep.kinds.forcing.kind import KIND
from raysweep.runners import local


def own(folder: Path) -> dict[str, Any]:
    draw, n = np.random.default_rng(0), 300
    y = draw.integers(0, 2, n)
    x1, x2 = (draw.normal(size=(n, 4)) + y[:, None] for _ in range(2))
    x2[::5] = np.nan
    x1[1::9] = np.nan
    split = np.repeat(["train", "validation", "test"], [180, 60, 60])
    keep = np.isfinite(x1[:, 0]) | np.isfinite(x2[:, 0])
    path = folder / "own.npz"
    np.savez(path, x1=x1[keep], x2=x2[keep], y=y[keep], split=split[keep])
    return {"data": {"dataset": "arrays", "path": str(path)}}


@pytest.mark.slow
def test_from_the_file_to_the_verdict_whatever_is_packed_together(tmp_path: Path) -> None:
    tables = []
    for members in (3, 36):
        wanted = study(**own(tmp_path), resources={"members_per_pack": members})
        out = tmp_path / f"out{members}"
        local.run(wanted, opened(out, wanted))
        tables.append(table(out).set_index("key").sort_index())
    small, large = tables
    named = [name for name in large if name.startswith(("performance", "loss_", "alignment_unb"))]
    assert len(named) > 12
    pd.testing.assert_frame_equal(small[named], large[named], rtol=0, atol=1e-10)
    # Accuracies count the rows that have the modality, and the fused one all.
    with np.load(tmp_path / "own.npz") as file:
        tested = file["split"] == "test"
        there = [np.isfinite(file[name][tested, 0]).sum() for name in ("x1", "x2")]
        lacking = int(np.isnan(file["x2"][:, 0]).sum())
    assert small["missing_2"].iloc[0] == pytest.approx(lacking / 293)
    for head, rows in (("1", there[0]), ("2", there[1]), ("fused", tested.sum())):
        right = small[f"performance_{head}_test"] * rows
        np.testing.assert_allclose(right, right.round(), atol=1e-9)
    effect = KIND.effects(wanted, large.reset_index())["effect"].iloc[0]
    confirm = large[large["stage"] == "confirm"].pivot(
        index="seed", columns="arm", values="performance_fused_test"
    )
    assert effect == pytest.approx((confirm["forced"] - confirm["none"]).mean())
    assert f"own.npz: {lacking} of 293 rows lack modality x2" in own_notes(wanted)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training": {"engine": "kernel"}}, "engine kernel trains complete rows, and rows lack"),
        ({"kind": "emergence"}, "rows lack a modality, and studies of this kind compare encoders"),
    ],
)
def test_what_does_not_go_with_them(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        study(**own(tmp_path), **changes)
