"""Trials on a user's own files: three modalities, and the same numbers from every format."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_trials import rows_of, trial

from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.study import checks
from raysweep.study.reader import load_study
from raysweep.trials.table import Row

REST = (
    "model: {width: 8}\n"
    "training: {epochs: 15, batch_size: 32, learning_rate: 0.01, dtype: float64}\n"
    "evaluation: {metrics: {unbiased_cka: {}}}\n"
)


def data() -> dict[str, Any]:
    """Modality 3 alone tells the label, which counts from 1."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 240)
    return {
        "x1": rng.normal(size=(240, 4)),
        "x2": rng.normal(size=(240, 3)),
        "x3": np.eye(3)[y] * 3 + 0.1 * rng.normal(size=(240, 3)),
        "y": y + 1,
    }


def study(folder: Path, block: str) -> Study:
    (folder / "study.yaml").write_text(f"name: mine\ndata: {{dataset: arrays, {block}}}\n{REST}")
    resolved = load_study(folder / "study.yaml", (), checks.check, checks.resolve_files)
    assert isinstance(resolved, Study)
    return resolved


def trained(resolved: Study) -> list[Row]:
    return rows_of(resolved, [trial(resolved), trial(resolved, 1.0)])


def test_three_modalities_of_a_file_are_trained(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **data())
    none, forced = trained(study(tmp_path, "path: mine.npz"))
    assert none["modalities"] == 3
    assert float(str(none["performance_3_test"])) > 0.8
    assert max(float(str(none[f"performance_{k}_test"])) for k in (1, 2)) < 0.7
    pairs = [f"pair_{pair}_unbiased_cka_test" for pair in ("1-2", "1-3", "2-3")]
    assert all(none[pair] != forced[pair] for pair in pairs)


def test_a_table_trains_as_the_archive_does(tmp_path: Path) -> None:
    of = data()
    np.savez(tmp_path / "mine.npz", **of)
    columns = {
        f"{name}_{k}": column for name in ("x1", "x2", "x3") for k, column in enumerate(of[name].T)
    }
    pd.DataFrame(columns).assign(kind=of["y"].astype(float)).to_csv(tmp_path / "mine.csv")
    named = (
        'path: mine.csv, modality_1: "x1_*", modality_2: "x2_*", modality_3: "x3_*", label: kind'
    )
    for one, other in zip(
        trained(study(tmp_path, "path: mine.npz")), trained(study(tmp_path, named)), strict=True
    ):
        measured = [
            n for n in one if n.startswith(("performance_", "loss_", "alignment_", "pair_"))
        ]
        assert len(measured) > 20
        assert {n: one[n] for n in measured} == {n: other[n] for n in measured}
        assert (other["modality_3"], other["target"]) == ("x3_*", "kind")
        assert "modality_3" not in one


@pytest.mark.parametrize("scale", ["robust", "none"])
def test_scaling_is_a_characteristic(tmp_path: Path, scale: str) -> None:
    np.savez(tmp_path / "mine.npz", **data())
    plain, _ = trained(study(tmp_path, "path: mine.npz"))
    scaled, _ = trained(study(tmp_path, f"path: mine.npz, scale: {scale}"))
    assert "scale" not in plain
    assert scaled["scale"] == scale
    assert scaled["performance_fused_test"] is not None
    assert scaled["loss_3_test"] != plain["loss_3_test"]
