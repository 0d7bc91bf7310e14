from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_trials import curves, rows_of, trial
from tiny_two_cells import StudyFactory

from raysweep.data.registry import load
from raysweep.errors import InputError
from raysweep.kinds.forcing.curves import CURVE_POINTS
from raysweep.kinds.forcing.run_pack import run_pack
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.sweep import science_digest
from raysweep.models.shape import MultimodalShape
from raysweep.study import checks
from raysweep.study.cells import expand
from raysweep.study.reader import load_study
from raysweep.training import evaluate
from raysweep.trials.columns import REQUIRED
from raysweep.trials.packing import Pack
from raysweep.trials.table import Row
from raysweep.trials.trial import Arm, Stage, Trial

TOLERANCE = 1e-10


def numbers(row: Row) -> dict[str, float]:
    """What was measured; time left out."""
    return {
        name: value
        for name, value in row.items()
        if name.startswith(("performance_", "loss_", "alignment_", "gradient_"))
        and isinstance(value, int | float)
    }


def assert_same(one: Row, two: Row, tolerance: float = TOLERANCE) -> None:
    assert numbers(one).keys() == numbers(two).keys()
    assert len(numbers(one)) >= 20
    for name, value in numbers(one).items():
        assert value == pytest.approx(numbers(two)[name], abs=tolerance), name
    for name, values in curves(one).items():
        assert values == pytest.approx(curves(two)[name], abs=tolerance, nan_ok=True), name
    rest = set(one) - set(numbers(one)) - set(curves(one)) - {"train_seconds"}
    assert {name: one[name] for name in rest} == {name: two[name] for name in rest}


@pytest.fixture(scope="module")
def mixed() -> tuple[Study, list[Trial], list[Row]]:
    """A pack of three draws, all arms and several strengths, and its rows."""
    from tiny_two_cells import tiny

    study = tiny("data.draws=3", "training.epochs=4", "evaluation.layers=best", "model.depth=2")
    trials = [
        trial(study, strength, draw=draw, seed=seed, arm=arm)
        for draw, seed in ((2, 5), (0, 5), (1, 6), (0, 7))
        for strength, arm in ((0.0, Arm.NONE), (0.5, Arm.FORCED), (0.5, Arm.PLACEBO))
    ]
    return study, trials, rows_of(study, trials)


def test_rows_are_complete(mixed: tuple[Study, list[Trial], list[Row]]) -> None:
    study, trials, rows = mixed
    [cell, _] = expand(study)
    view = load(cell.dataset, dict(cell.parameters), 2)
    assert [row["key"] for row in rows] == [t.key for t in trials]
    assert len({tuple(row) for row in rows}) == 1
    row = rows[0]
    assert set(REQUIRED) <= set(row)
    facts = {
        "study": "tiny",
        "cell": cell.id,
        "draw": 2,
        "seed": 5,
        "strength": 0.0,
        "arm": "none",
        "stage": "confirm",
        "status": "ok",
        "reason": "",
        "objective": "alignment",
        "data": "synthetic",
        "U": 2,
        "R": 6,
        "n_train": 64,
        "n_validation": 32,
        "n_test": 32,
        "classes": 4,
        "encoder": "mlp",
        "depth_1": 2,
        "width_2": 8,
        "loss": "infonce",
        "epochs": 4,
        "batch_size": 16,
        "diverged_step": -1,
        # Two encoders 12-8-8, two heads 8-4 and the fused head 16-4, with biases.
        "parameters": 2 * (13 * 8 + 9 * 8 + 9 * 4) + 17 * 4,
    }
    assert {name: row[name] for name in facts} == facts
    assert view.information is not None
    for name, value in view.information.columns().items():
        assert row[name] == value
    assert 1 <= int(str(row["best_epoch"])) <= 4
    assert all(float(str(r["train_seconds"])) > 0 for r in rows)
    assert {(r["draw"], r["seed"]) for r in rows} == {(2, 5), (0, 5), (1, 6), (0, 7)}
    for name, value in numbers(row).items():
        if name.startswith("performance"):
            assert 0 <= value <= 1
        if name.endswith(("_1_test", "_2_test", "_fused_test")) and name.startswith("performance"):
            assert value * 32 == pytest.approx(round(value * 32))
    assert (
        MultimodalShape((12, 12), 4, depths=(2, 2), widths=(8, 8)).parameter_count
        == facts["parameters"]
    )


@pytest.mark.parametrize("tf32", [False, True])
def test_measuring_rounds_products_as_training_does(
    study_of: StudyFactory, monkeypatch: pytest.MonkeyPatch, tf32: bool
) -> None:
    seen = set()
    measured = evaluate.performance

    def spied(*arguments: Any) -> Any:
        seen.add(torch.backends.cudnn.conv.fp32_precision)  # type: ignore[attr-defined]
        return measured(*arguments)

    monkeypatch.setattr(evaluate, "performance", spied)
    study = study_of(f"training.tf32={str(tf32).lower()}", "training.epochs=1")
    trial = Trial(expand(study)[0], 0, 0, 0.5, Arm.FORCED, Stage.CONFIRM, science_digest(study))
    run_pack(study, Pack((trial,)))
    assert seen == {"tf32" if tf32 else "ieee"}


def test_rows_have_learning_curves(mixed: tuple[Study, list[Trial], list[Row]]) -> None:
    _, _, rows = mixed
    for row in rows:
        found = curves(row)
        assert found["curve_epoch"] == [1, 2, 3, 4]
        # The checkpoint is of the best epoch, the first of equals, by the fused accuracy.
        assert int(np.argmax(found["curve_performance_fused"])) + 1 == row["best_epoch"]
        assert max(found["curve_performance_fused"]) == row["performance_fused_validation"]
        assert np.isfinite(found["curve_task_loss"]).all()
        assert np.isfinite(found["curve_alignment_loss"]).all() == (row["strength"] != 0.0)


def test_alignment_is_followed_up_to_what_is_measured_at_the_end(study_of: StudyFactory) -> None:
    study = study_of("training.epochs=5", "training.checkpoint=last")
    trials = [trial(study, strength) for strength in (0.0, 0.5, 3.0)]
    for row in rows_of(study, trials):
        followed = curves(row)["curve_alignment"]
        assert np.isfinite(followed).tolist() == [False, True, False, False, True]
        assert followed[-1] == pytest.approx(row["alignment_unbiased_cka_validation"])
        assert followed[1] != pytest.approx(followed[-1])


@pytest.mark.parametrize("every", [1, 7])
def test_long_learning_curves_are_thinned_and_keep_their_ends(
    study_of: StudyFactory, every: int
) -> None:
    study = study_of("training.epochs=500", f"training.evaluate_every={every}", "data.train=16")
    [row] = rows_of(study, [trial(study)])
    found = curves(row)
    epochs = found["curve_epoch"]
    assert len(epochs) == CURVE_POINTS
    assert epochs[0] == every
    assert epochs[-1] == 500
    assert np.isfinite(found["curve_performance_fused"]).all()
    assert np.isfinite(found["curve_task_loss"]).all()


def test_a_trial_alone_gives_the_numbers_that_it_gives_in_a_pack(
    mixed: tuple[Study, list[Trial], list[Row]],
) -> None:
    study, trials, rows = mixed
    for number in (0, 4, 8, 10):
        [alone] = rows_of(study, [trials[number]])
        assert_same(alone, rows[number])


def test_what_a_trial_is_packed_with_does_not_matter(
    mixed: tuple[Study, list[Trial], list[Row]],
) -> None:
    study, trials, rows = mixed
    order = [7, 2, 11, 5, 3]
    for number, row in zip(order, rows_of(study, [trials[i] for i in order]), strict=True):
        assert_same(row, rows[number])


def test_the_same_pack_gives_the_same_bits(mixed: tuple[Study, list[Trial], list[Row]]) -> None:
    study, trials, rows = mixed
    for one, two in zip(rows, rows_of(study, trials), strict=True):
        assert_same(one, two, 0.0)


def test_chance_is_told_beside_every_alignment(study_of: StudyFactory) -> None:
    plain = study_of()
    [before] = rows_of(plain, [trial(plain, 0.5)])
    study = study_of("evaluation.calibrate=19")
    [row] = rows_of(study, [trial(study, 0.5)])
    added = {name for name in row if name not in before}
    assert added == {
        f"{kind}_{metric}_{split}"
        for kind in ("chance", "corrected", "chance_p")
        for metric in study.evaluation.metrics
        for split in ("validation", "test")
    }
    assert {name: row[name] for name in numbers(before)} == numbers(before)
    assert all(1 / 20 <= float(str(row[name])) <= 1 for name in added if "_p_" in name)


def test_rows_say_what_was_forced_and_measure_it_there(study_of: StudyFactory) -> None:
    overrides = ("model.depth=2", "alignment.layer=1", "alignment.options.temperature=0.2")
    study, last = study_of(*overrides, "evaluation.layers=aligned"), study_of(*overrides)
    [row], [at_last] = (rows_of(s, [trial(s, 3.0)]) for s in (study, last))
    [baseline] = rows_of(study, [trial(study, 0.0, arm=Arm.NONE)])
    assert (row["alignment_layer"], row["option_temperature"]) == ("1", 0.2)
    assert baseline["option_temperature"] is None
    assert row["loss_1_test"] == at_last["loss_1_test"]
    assert row["alignment_unbiased_cka_test"] != at_last["alignment_unbiased_cka_test"]
    # Nothing that was keyed before has another key.
    assert "aligned" not in str(last.science())
    assert trial(last, 3.0).key != trial(study, 3.0).key


def test_arms_of_a_seed_start_and_learn_alike(tiny_study: Study) -> None:
    # At strength 0 the arms differ in nothing: same weights, same batches, same steps.
    arms = [
        trial(tiny_study, 0.0, arm=Arm.NONE),
        trial(tiny_study, 0.0, arm=Arm.FORCED),
        trial(tiny_study, 0.0, arm=Arm.PLACEBO),
        trial(tiny_study, 0.0, arm=Arm.NONE, stage=Stage.SEARCH),
    ]
    none, *others = rows_of(tiny_study, arms)
    for other in others:
        assert numbers(other) == pytest.approx(numbers(none), abs=TOLERANCE)
    # And differ as soon as there is a force.
    forced, placebo = rows_of(
        tiny_study, [trial(tiny_study, 1.0), trial(tiny_study, 1.0, arm=Arm.PLACEBO)]
    )
    assert len({r["loss_1_test"] for r in (none, forced, placebo)}) == 3


def test_seeds_and_draws_make_a_difference(tiny_study: Study) -> None:
    variants = [trial(tiny_study), trial(tiny_study, seed=1001), trial(tiny_study, draw=1)]
    rows = rows_of(tiny_study, variants)
    assert len({r["loss_1_test"] for r in rows}) == 3


def test_cells_are_compared_on_the_same_initial_weights(study_of: StudyFactory) -> None:
    # With steps of size 0 what is measured is the initial network. The two cells differ in their
    # validation rows only.
    still = ("training.learning_rate=1e-300", "training.weight_decay=0", "training.epochs=1")
    one, two = study_of(*still), study_of(*still, "data.validation=48")
    [first], [second] = (rows_of(s, [trial(s)]) for s in (one, two))
    assert first["cell"] != second["cell"]
    for name, value in numbers(first).items():
        if name.endswith(("_test", "_population")):
            assert second[name] == pytest.approx(value, abs=TOLERANCE), name


def test_a_diverged_trial_has_no_numbers_and_spares_the_others(tiny_study: Study) -> None:
    healthy = [trial(tiny_study), trial(tiny_study, 0.5)]
    beside = rows_of(tiny_study, [healthy[0], trial(tiny_study, 1e308), healthy[1]])
    alone = rows_of(tiny_study, healthy)
    assert_same(beside[0], alone[0])
    assert_same(beside[2], alone[1])
    gone = beside[1]
    assert gone["status"] == "diverged"
    assert str(gone["reason"]).startswith("not finite at step ")
    assert int(str(gone["diverged_step"])) >= 0
    assert gone["best_epoch"] == 0
    for name, value in gone.items():
        if name.startswith(("performance_", "loss_", "alignment_")) and name != "alignment_layer":
            assert value is None, name
    assert set(gone) == set(beside[0])


# The user's own data


def write_arrays(path: Path, seed: int = 0) -> None:
    """Modality 1 tells the label, modality 2 is noise; splits of their own."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 200)
    np.savez(
        path,
        x1=np.eye(3)[y] + 0.05 * rng.normal(size=(200, 3)),
        x2=rng.normal(size=(200, 4)),
        y=np.array(["a", "b", "c"])[y],
        split=np.array(["train"] * 120 + ["validation"] * 30 + ["test"] * 50),
    )


@pytest.fixture
def own_data(tmp_path: Path) -> Study:
    write_arrays(tmp_path / "mine.npz")
    (tmp_path / "study.yaml").write_text(
        "name: mine\n"
        "data: {dataset: arrays, path: mine.npz}\n"
        "model: {width: 16}\n"
        "training: {epochs: 40, batch_size: 32, learning_rate: 0.01, dtype: float64}\n"
        "evaluation: {metrics: {unbiased_cka: {}}}\n"
    )
    return load_study(tmp_path / "study.yaml", (), checks.check, checks.resolve_files)


def test_own_data_go_all_the_way(own_data: Study, tmp_path: Path) -> None:
    none, forced = rows_of(own_data, [trial(own_data), trial(own_data, 1.0)])
    assert none["file"] == "mine.npz"
    assert (none["n_train"], none["n_validation"], none["n_test"]) == (120, 30, 50)
    assert none["classes"] == 3
    assert float(str(none["performance_1_test"])) > 0.95
    # 50 rows of noise: chance is a third, its standard error 0.067.
    assert 0.1 < float(str(none["performance_2_test"])) < 0.6
    # The distribution is unknown: nothing exact is claimed, and what is estimated says so.
    assert not any("population" in name or name in ("I1", "I12", "pid_R") for name in none)
    assert float(str(none["I1_estimated"])) > 0.5 > float(str(none["I2_estimated"]))
    alignment = "alignment_unbiased_cka_test"
    assert abs(float(str(none[alignment]))) < 0.35
    assert forced[alignment] != none[alignment]
    # Where a file lies is not in the table, so that a moved file makes no other row.
    assert not any(str(tmp_path) in str(value) for value in none.values())


def test_own_data_that_changed_are_not_mixed_in(own_data: Study, tmp_path: Path) -> None:
    one = trial(own_data)
    rows_of(own_data, [one])
    write_arrays(tmp_path / "mine.npz", seed=1)
    with pytest.raises(InputError, match="has changed since this run was planned"):
        rows_of(own_data, [one])


def test_a_users_own_loss_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, study_of: StudyFactory
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "pulling_loss.py").write_text(
        "def pull(h1, h2):\n    return (h1 - h2).square().mean()\n"
    )
    study = study_of("alignment.loss='pulling_loss:pull'", "training.epochs=20")
    none, forced = rows_of(study, [trial(study), trial(study, 30.0)])
    built_in = study_of("alignment.loss=mse", "training.epochs=20")
    [same] = rows_of(built_in, [trial(built_in, 30.0)])
    assert none["loss"] == "pulling_loss:pull"
    assert forced["loss_1_test"] != none["loss_1_test"]
    assert forced["loss_1_test"] == pytest.approx(same["loss_1_test"], rel=1e-6)


def test_the_setting_of_the_study_reach_the_trainer(study_of: StudyFactory) -> None:
    plain = study_of("training.epochs=4")
    [before] = rows_of(plain, [trial(plain, 0.5)])
    for override in (
        "training.epochs=3",
        "training.batch_size=8",
        "training.learning_rate=0.01",
        "training.weight_decay=0.5",
        "training.clip_norm=0.01",
        "training.fusion=joint",
        "training.dtype=float32",
        "alignment.loss=cka",
        "alignment.options.temperature=0.5",
        "alignment.options.stop_gradient='1'",
        "model.depth=2",
        "seed=1",
        "evaluation.preprocessing.normalize=false",
        "evaluation.preprocessing.clip_quantile=0.5",
        "evaluation.rows=20",
        "evaluation.metrics.mutual_knn.topk=4",
    ):
        study = study_of("training.epochs=4", override)
        [after] = rows_of(study, [trial(study, 0.5)])
        assert numbers(after) != numbers(before), override
    deep = ("training.epochs=4", "model.depth=2")
    both = [study_of(*deep), study_of(*deep, "alignment.layer=1")]
    [top], [below] = (rows_of(study, [trial(study, 0.5)]) for study in both)
    assert numbers(top) != numbers(below)
    last = study_of("training.epochs=4", "training.checkpoint=last", "training.learning_rate=0.1")
    [row] = rows_of(last, [trial(last)])
    assert row["best_epoch"] == 4
