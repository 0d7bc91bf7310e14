"""Emergence studies run: against a slow obvious version, resumed, by both runners, in MLflow."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from reference_training import Tower, train_tower
from tiny_emergence import TUNING, study
from tiny_runs import assert_same_table, opened, parts, table

from raysweep.data.registry import load
from raysweep.folder.conclusion import conclude
from raysweep.kinds.emergence.plan import EmergenceSweep
from raysweep.kinds.emergence.study import EmergenceStudy
from raysweep.kinds.sweep import CellState
from raysweep.metrics import PAPER, calibrate_layers, measure
from raysweep.models.shape import MultimodalShape
from raysweep.runners import local
from raysweep.runners.attempt import attempt
from raysweep.seeds import derive_seed
from raysweep.training.evaluate import alignment_rows


def run(wanted: EmergenceStudy, folder: Path) -> pd.DataFrame:
    local.run(wanted, opened(folder, wanted))
    return table(folder)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[EmergenceStudy, Path]:
    wanted = study(tuning=TUNING, evaluation__calibrate=4)
    folder = tmp_path_factory.mktemp("tuned")
    run(wanted, folder)
    return wanted, folder


DIGITS = {"dataset": "digits", "overlap": 2, "draws": 3, "train": 64, "validation": 32, "test": 64}


class Slow:
    """Every encoder trained by modules and autograd, kept at its best validation epoch."""

    def __init__(self, wanted: EmergenceStudy, parameters: dict, row: pd.Series) -> None:
        self.view = load("synthetic", parameters, int(row["draw"]))
        self.wanted, self.row = wanted, row

    def encoder(self, modality: int, depth: int) -> tuple[Tower, torch.Tensor]:
        view, row, training = self.view, self.row, self.wanted.training
        x, y = torch.as_tensor((view.x1, view.x2)[modality - 1]), torch.as_tensor(view.y)
        seeds = int(row["draw"]), int(row["seed"])
        shape = MultimodalShape((12,), 4, (depth,), (6,), first=modality)
        init, order = (derive_seed(self.wanted.seed, name, *seeds) for name in ("init", "order"))
        held = view.splits.validation
        best: list[tuple[float, dict]] = [(-1.0, {})]

        def keep(tower: Tower) -> None:
            accuracy = float((tower(x[held])[1].argmax(1) == y[held]).double().mean())
            if accuracy > best[0][0]:
                state = {name: value.clone() for name, value in tower.state_dict().items()}
                best[0] = accuracy, state

        tower = train_tower(
            Tower(12, depth, 6, 4),
            shape.initial_parameters([init])[0],
            x[view.splits.train],
            y[view.splits.train],
            learning_rate=row[f"learning_rate_{modality}"],
            weight_decay=row[f"weight_decay_{modality}"],
            clip_norm=training.clip_norm,
            epochs=int(training.of(modality, "epochs")),
            batch_size=training.batch_size,
            order_seed=order,
            after_epoch=keep,
        )
        tower.load_state_dict(best[0][1])
        return tower, x

    def layers(self, modality: int, depth: int, split: str) -> list[np.ndarray]:
        tower, x = self.encoder(modality, depth)
        x = x[alignment_rows(self.view, split, self.wanted.evaluation.rows)]
        found = []
        with torch.no_grad():
            for layer in tower.hidden:
                x = torch.nn.functional.leaky_relu(layer(x), 0.1)
                found.append(x.numpy())
        return found

    def accuracy(self, modality: int, depth: int, split: str) -> float:
        tower, x = self.encoder(modality, depth)
        rows = getattr(self.view.splits, split)
        with torch.no_grad():
            return float((tower(x[rows])[1].argmax(1).numpy() == self.view.y[rows]).mean())


def test_rows_equal_encoders_trained_one_by_one(tuned: tuple[EmergenceStudy, Path]) -> None:
    wanted, folder = tuned
    rows = table(folder)
    measured = rows[rows["stage"] == "measure"]
    assert len(measured) == 2 * 2 * 2 * 2
    cells = {cell.id: cell for cell in EmergenceSweep(wanted).cells}
    for _, row in measured.iloc[[0, 3, 10, 15]].iterrows():
        slow = Slow(wanted, dict(cells[row["cell"]].parameters), row)
        for split in ("validation", "test"):
            first = slow.layers(1, row["depth_1"], split)
            second = slow.layers(2, row["depth_2"], split)
            for name, options in wanted.evaluation.metrics.items():
                scores = {
                    f"{i}-{j}": measure(name, a, b, preprocessing=PAPER, **options)
                    for i, a in enumerate(first, 1)
                    for j, b in enumerate(second, 1)
                }
                best = max(scores, key=scores.__getitem__)
                assert row[f"alignment_{name}_{split}"] == pytest.approx(scores[best], abs=1e-9)
                assert row[f"alignment_layers_{name}_{split}"] == best
                if name == "mutual_knn":
                    reported = [int(layer) - 1 for layer in best.split("-")]
                    for modality, layer in enumerate(reported, 1):
                        h = PAPER(torch.as_tensor((first, second)[modality - 1][layer])).numpy()
                        different = len(np.unique(h.round(9), axis=0))
                        assert row[f"distinct_rows_{modality}_{split}"] == different
                chance = calibrate_layers(
                    name,
                    [torch.as_tensor(layer)[None] for layer in first],
                    [torch.as_tensor(layer)[None] for layer in second],
                    options,
                    permutations=4,
                    seed=derive_seed("calibration", split),
                    preprocessing=PAPER,
                )
                for column, value in (
                    ("chance", chance.chance),
                    ("corrected", chance.corrected),
                    ("chance_p", chance.p_value),
                ):
                    found = row[f"{column}_{name}_{split}"]
                    assert found == pytest.approx(float(value), abs=1e-9), column
            for modality in (1, 2):
                expected = slow.accuracy(modality, row[f"depth_{modality}"], split)
                assert row[f"performance_{modality}_{split}"] == pytest.approx(expected, abs=1e-12)


def test_tuning_is_not_looked_at_on_the_test_split(tuned: tuple[EmergenceStudy, Path]) -> None:
    rows = table(tuned[1])
    tuning = rows[rows["stage"] == "tune"]
    assert set(tuning["modality"]) == {1, 2}
    outcomes = [c for c in rows if c.endswith(("_test", "_population")) and c != "n_test"]
    assert tuning[outcomes].isna().all(axis=None)
    for modality in (1, 2):
        own = tuning[tuning["modality"] == modality]
        assert own[f"performance_{modality}_validation"].notna().all()
        assert own[f"performance_{3 - modality}_validation"].isna().all()
        for U, family in own.groupby("U"):
            rates = [f"learning_rate_{modality}", f"weight_decay_{modality}"]
            means = family.groupby(rates)[f"performance_{modality}_validation"].mean()
            used = rows[(rows["stage"] == "measure") & (rows["U"] == U)][rates].drop_duplicates()
            assert len(used) == 1
            assert means[tuple(used.iloc[0])] == means.max()


def test_one_encoder_of_modality_1_serves_every_heterogeneity(tmp_path: Path) -> None:
    rows = run(study(), tmp_path / "one")
    columns = [c for c in rows if c.startswith(("performance_1", "loss_1", "best_epoch_1"))]
    assert (rows.groupby(["U", "draw", "seed"])[columns].nunique() == 1).all(axis=None)
    # Where both modalities are transformed nothing is shared, and nothing is mixed up.
    both = run(study(data__transformed="both"), tmp_path / "both")
    assert both.groupby(["U", "draw", "seed"])["loss_1_test"].nunique().min() == 2
    alone = run(study(data__transformed="both", data__D_phi=2, data__U=8), tmp_path / "alone")
    same = both[(both["D_phi"] == 2) & (both["U"] == 8)].reset_index(drop=True)
    numbers = [c for c in alone if c.startswith(("alignment_un", "alignment_mu", "loss_"))]
    np.testing.assert_allclose(alone[numbers], same[numbers], atol=1e-10)


def test_lost_part_files_are_run_again_to_the_same_rows(
    tuned: tuple[EmergenceStudy, Path], tmp_path: Path
) -> None:
    wanted, folder = tuned
    before = table(folder)
    place = opened(tmp_path / "copy", wanted)
    names = parts(folder)
    for name in names[::2]:
        place.output.write(f"parts/{name}", (folder / "parts" / name).read_bytes())
    sweep = local.run(wanted, place)
    assert sweep.finished_packs == len(names) - len(names[::2])
    assert_same_table(table(tmp_path / "copy"), before)
    assert all(sweep.state(cell) is CellState.DONE for cell in sweep.cells)


def test_pieces_of_a_pack_give_the_same_rows(tuned: tuple[EmergenceStudy, Path]) -> None:
    wanted, _ = tuned
    pack = EmergenceSweep(study()).next_pack()
    assert pack is not None
    whole, pieces = (pd.DataFrame(attempt(wanted, pack, pieces=n)) for n in (1, 4))
    pd.testing.assert_frame_equal(
        whole.drop(columns="train_seconds"), pieces.drop(columns="train_seconds"), atol=1e-10
    )


@pytest.mark.parametrize(
    ("changes", "packs"),
    [
        pytest.param({"data__draws": 3, "data__U": 0}, [6, 3, 1], id="synthetic"),
        pytest.param({"data": DIGITS}, [2, 2, 1], id="digits", marks=pytest.mark.slow),
    ],
)
def test_rows_do_not_depend_on_the_packs(changes: dict, packs: list[int], tmp_path: Path) -> None:
    found = []
    for members, count in zip((3, 4, 100), packs, strict=True):
        wanted = study(resources__members_per_pack=members, evaluation__calibrate=4, **changes)
        rows = run(wanted, tmp_path / str(members))
        found.append(rows)
        assert len(parts(tmp_path / str(members))) == count
    for rows in found[1:]:
        pd.testing.assert_frame_equal(rows, found[0], check_exact=True)


def test_a_diverging_encoder_is_told_and_the_others_stay(tmp_path: Path) -> None:
    rows = run(study(training__learning_rate_2=1e300), tmp_path)
    assert set(rows["status"]) == {"diverged"}
    assert rows["performance_1_test"].notna().all()
    assert rows["performance_2_test"].isna().all()
    assert (
        "alignment_unbiased_cka_test" not in rows
        or rows["alignment_unbiased_cka_test"].isna().all()
    )
    assert rows["reason"].str.startswith("not finite at step").all()


@pytest.mark.slow
def test_a_run_is_concluded_with_a_table_and_figures(tmp_path: Path) -> None:
    wanted = study(
        data__U=[0, 4, 8],
        model__depth_2=[1, 2, 3, 4],
        evaluation__calibrate=3,
        data__D_phi=[1, 2, 3],
        seeds=1,
    )
    run(wanted, tmp_path)
    conclusion = conclude(opened(tmp_path, wanted), wanted)
    summary = conclusion.emergence
    assert list(summary["U"]) == [0, 4, 8]
    rows = table(tmp_path)
    best = rows.groupby(["U", "D_phi"])["alignment_unbiased_cka_test"].max().groupby("U").mean()
    np.testing.assert_allclose(summary["best"], best, atol=1e-12)
    assert summary["alignment_performance"].notna().all()
    assert summary["corrected"].notna().all()
    assert conclusion.effects.empty
    assert any("emergent alignment" in sentence for sentence in conclusion.sentences)
    names = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert {"alignment_trend", "depth_maps", "correlations", "alignment_performance"} <= names
    page = (tmp_path / "report.html").read_text()
    assert "does alignment emerge?" in page
    assert "sign-flip" not in page


@pytest.mark.mlflow
def test_the_copy_in_mlflow_has_a_run_per_pair_and_means(
    tuned: tuple[EmergenceStudy, Path], uri: str
) -> None:
    import mlflow

    from raysweep import tracking

    wanted, folder = tuned
    tracking.sync(opened(folder, wanted), uri)
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.stage = 'measure'")
    rows = table(folder)
    measured = rows[rows["stage"] == "measure"]
    assert len(runs) == measured["cell"].nunique()
    means = measured.groupby("cell")["alignment_unbiased_cka_test"].mean()
    found = sorted(r.data.metrics["alignment_unbiased_cka_test"] for r in runs)
    np.testing.assert_allclose(found, sorted(means), atol=1e-12)
    assert {r.info.status for r in runs} == {"FINISHED"}
    again = tracking.sync(opened(folder, wanted), uri)
    assert again.runs_written == 0
