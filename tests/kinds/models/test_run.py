"""Studies of models from their files to their rows, against the functions for one pair."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_features
import torch
from tiny_features import FAMILIES, LEVELS, N, given, layers
from tiny_runs import assert_same_table, opened
from tiny_runs import table as table_of

import raysweep
from raysweep.folder.conclusion import judge
from raysweep.folder.run_folder import sweep_of
from raysweep.kinds.kind import kind_of, study_size
from raysweep.kinds.models import run
from raysweep.kinds.models.run import run_pairs
from raysweep.kinds.models.study import ModelsStudy
from raysweep.metrics import PAPER, Preprocessing, calibrate_layers, measure_layers, measure_models
from raysweep.runners import local
from raysweep.study.reader import dump_study
from raysweep.trials.packing import Pack
from raysweep.trials.table import Row

IMAGES = {"vit": (4, 4), "mae": (5,)}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return tiny_features.write(tmp_path_factory.mktemp("features"))


def trials(study: dict[str, Any], folder: Path) -> pd.DataFrame:
    wanted = raysweep.Study(**study).resolved
    local.run(wanted, opened(folder, wanted))
    return table_of(folder)


@pytest.fixture(scope="module")
def best(
    rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("best")
    return folder, trials(given(rows), folder)


def stacks(name: str, level: int) -> list[torch.Tensor]:
    widths = IMAGES.get(name, (4, 6, 5))
    of = layers(name, 0 if name in IMAGES else level, widths)
    return [torch.from_numpy(layer).double()[None] for layer in of]


def test_a_row_is_what_calibrated_layers_give(best: tuple[Path, pd.DataFrame]) -> None:
    _, table = best
    assert len(table) == 18
    for name, options in (("mutual_knn", {"topk": 3}), ("unbiased_cka", {})):
        for row in table.to_dict("records"):
            given = stacks(row["model_1"], row["caption"]), stacks(row["model_2"], 0)
            known = calibrate_layers(
                name, *given, options, permutations=19, seed=0, preprocessing=PAPER
            )
            found = [
                row[f"{family}_{name}_test"]
                for family in ("alignment", "chance", "corrected", "chance_p")
            ]
            expected = [known.raw, known.chance, known.corrected, known.p_value]
            np.testing.assert_allclose(found, [float(v) for v in expected], rtol=0, atol=1e-12)
            at = f"{int(known.layer_1)}-{int(known.layer_2)}"
            assert row[f"alignment_layers_{name}_test"] == at
            scores = measure_layers(name, *given, options, preprocessing=PAPER)[0]
            np.testing.assert_allclose(row[f"layer_map_{name}_test"], scores.flatten(), atol=1e-7)


def test_chance_high_is_what_19_of_20_orders_stay_below(best: tuple[Path, pd.DataFrame]) -> None:
    _, table = best
    row = table.iloc[0]
    draw = np.random.default_rng(0)
    left, right = stacks(row["model_1"], row["caption"]), stacks(row["model_2"], 0)
    found = []
    for _ in range(19):
        order = draw.permutation(N)
        shuffled = [layer[:, order] for layer in right]
        scores = measure_layers("unbiased_cka", left, shuffled, preprocessing=PAPER)[0]
        found.append(float(scores.max()))
    assert row["chance_high_unbiased_cka_test"] == pytest.approx(np.quantile(found, 0.95), 1e-10)


def test_what_is_said_of_models_stands_beside(best: tuple[Path, pd.DataFrame]) -> None:
    _, table = best
    pairs = set(zip(table["model_1"], table["model_2"], table["caption"], strict=True))
    assert pairs == set(itertools.product(FAMILIES, IMAGES, LEVELS))
    assert (table["family_1"] == table["model_1"].map(FAMILIES)).all()
    noise = table["model_1"].map(tiny_features.NOISE)
    np.testing.assert_allclose(table["model_performance_1"], -noise - table["caption"] / 100)
    of_images = table.groupby("model_2")["model_performance_2"].first()
    assert of_images["mae"] == 0.5
    assert np.isnan(of_images["vit"])
    assert (table["layers_1"] == 3).all()
    assert (table["n_test"] == N).all()
    assert set(table["features_2"]) == {"vit.npy", "mae.pt"}


def test_each_pair_of_layers_has_a_row(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    some = [row for row in rows if row.get("caption") in (10, None)]
    clipped = {"clip_quantile": 0.9, "normalize": True, "clip": "model"}
    study = given(
        some, evaluation__layers="each", evaluation__preprocessing=clipped, resources__store=False
    )
    table = trials(study, tmp_path)
    assert len(table) == 3 * 3 * (2 + 1)
    sides = {
        side: {row["model"]: row["features"] for row in some if row["side"] == side}
        for side in ("text", "image")
    }
    expected = measure_models(
        sides,
        study["evaluation"]["metrics"],
        permutations=19,
        preprocessing=Preprocessing(0.9, True, "model"),
        every_pair=True,
    )
    for name, of in expected.groupby("metric"):
        both = table.merge(of, on=["model_1", "model_2", "layer_1", "layer_2"])
        assert len(both) == len(table)
        for column, known in (
            ("alignment", "value"),
            ("corrected", "corrected"),
            ("chance_p", "p"),
        ):
            np.testing.assert_allclose(both[f"{column}_{name}_test"], both[known], atol=1e-12)
    assert not [name for name in table if name.startswith("layer_map")]


def test_all_layers_side_by_side_are_one_more(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    some = [row for row in rows if row.get("caption") in (50, None)]
    table = trials(given(some, evaluation__layers="concatenated"), tmp_path)
    sides = {
        side: {row["model"]: row["features"] for row in some if row["side"] == side}
        for side in ("text", "image")
    }
    known = measure_models(
        sides, ["unbiased_cka"], permutations=19, preprocessing=PAPER, concatenated=True
    )
    both = table.merge(known, on=["model_1", "model_2"])
    np.testing.assert_allclose(both["alignment_unbiased_cka_test"], both["value"], atol=1e-12)
    layer = both[["layer_1", "layer_2"]].astype(str).replace("-1", "all")
    words = layer["layer_1"] + "-" + layer["layer_2"]
    assert list(both["alignment_layers_unbiased_cka_test"]) == list(words)
    assert words.str.contains("all").any()
    assert both["layer_map_unbiased_cka_test"].map(len).tolist() == [
        4 * (n + 1) for n in both["layers_2"]
    ]


KILLED = """
import os, signal, sys
import raysweep
from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.models import run
from raysweep.runners import local
from raysweep.trials.storage import Output
whole, began = run.run_pairs, []
def dying(study, pack):
    began.append(pack)
    if len(began) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(study, pack)
run.run_pairs = dying
wanted = raysweep.load_study(sys.argv[1]).resolved
folder = RunFolder(Output(sys.argv[2]))
folder.adopt(wanted)
local.run(wanted, folder)
"""


def test_an_interrupted_run_goes_on_where_it_was(
    rows: list[dict[str, Any]],
    best: tuple[Path, pd.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began: list[Pack] = []

    def interrupted(study: ModelsStudy, pack: Pack) -> list[Row]:
        began.append(pack)
        if len(began) == 3:
            raise KeyboardInterrupt
        return run_pairs(study, pack)

    monkeypatch.setattr(run, "run_pairs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trials(given(rows), tmp_path)
    status = raysweep.open_run(tmp_path).status()
    assert (status.done, status.planned, status.finished) == (6, 18, False)
    assert_same_table(trials(given(rows), tmp_path), best[1])
    assert len(began) == 3 + 4  # the pack at hand again, and no other


@pytest.mark.slow
def test_a_killed_run_loses_no_pack_and_ends_like_an_undisturbed_one(
    rows: list[dict[str, Any]], best: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    study = raysweep.Study(**given(rows))
    (tmp_path / "study.yaml").write_text(dump_study(study.resolved))
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(tmp_path / "study.yaml"), str(out)]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    parts = {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()}
    assert len(parts) == 2
    status = raysweep.open_run(out).status()
    assert (status.done, status.finished) == (6, False)
    found = trials(given(rows), out)
    assert {path: path.stat().st_mtime_ns for path in parts} == parts
    assert_same_table(found, best[1])


def test_more_models_keep_the_pairs_that_are_there(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    few = [row for row in rows if row["model"] != "far"]
    trials(given(few), tmp_path)
    parts = sorted((tmp_path / "parts").iterdir())
    stamps = [path.stat().st_mtime_ns for path in parts]
    assert len(trials(given(rows), tmp_path)) == 18
    assert [path.stat().st_mtime_ns for path in parts] == stamps
    better = [{**row, "performance": 1.0} for row in rows]
    with pytest.raises(raysweep.InputError, match="more models, or more values of an axis"):
        trials(given(better), tmp_path)
    with pytest.raises(raysweep.InputError, match="another study"):
        trials(given(rows, evaluation__calibrate=29), tmp_path)


def test_features_that_changed_are_not_measured(tmp_path: Path) -> None:
    study = raysweep.Study(**given(tiny_features.write(tmp_path / "features"))).resolved
    np.save(tmp_path / "features" / "vit.npy", np.zeros((N, 1, 3)))
    sweep = local.run(study, opened(tmp_path / "out", study))
    assert len(sweep.failures) == 3
    assert "has changed since this run was planned" in next(iter(sweep.failures.values()))
    assert len(table_of(tmp_path / "out")) == 9


@pytest.mark.parametrize(("number", "why"), [(1.0, "is constant"), (np.nan, "has NaN or infinity")])
def test_a_layer_that_says_nothing_is_told(tmp_path: Path, number: float, why: str) -> None:
    rows = tiny_features.write(tmp_path / "features")
    np.save(tmp_path / "features" / "vit.npy", np.full((N, 2, 3), number))
    study = raysweep.Study(**given(rows)).resolved
    folder = opened(tmp_path / "out", study)
    local.run(study, folder)
    found = table_of(tmp_path / "out")
    of_vit = found[found["model_2"] == "vit"]
    assert of_vit["alignment_mutual_knn_test"].isna().all()
    assert (of_vit["alignment_layers_mutual_knn_test"] == "").all()
    assert set(of_vit["undefined_test"]) == {f"every layer of image: vit {why}"}
    said = judge(folder, study).sentences
    assert any("No alignment on 9 of 18 cells" in sentence for sentence in said)


def test_a_plan_counts_pairs_memory_and_time(rows: list[dict[str, Any]]) -> None:
    study = raysweep.Study(**given(rows)).resolved
    size = study_size(study)
    assert (size.cells, size.trials, size.packs, size.encoders) == (18, 18, 6, 0)
    assert size.seconds is not None
    assert 0 < size.seconds < 60
    assert "GB of memory" in size.needs[0]
    assert "beside the features of 11 models" in size.needs[0]
    each = raysweep.Study(**given(rows, evaluation__layers="each", resources__store=False)).resolved
    size = study_size(each, measure_time=False)
    assert (size.trials, size.packs, size.seconds) == (9 * 3 * 2 + 9 * 3 * 1, 6, None)
    assert "beside" not in size.needs[0]
    pack = sweep_of(each, {}).missing()[0]
    assert 0.4e9 < kind_of(each).pack_bytes(each, pack, "cpu") < 1.5e9
