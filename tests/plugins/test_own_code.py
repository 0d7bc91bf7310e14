"""Studies with a user's own encoder and loss, from the study file to the table."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import tiny_emergence
from checked import faults
from tiny_runs import SUPPORT, assert_same_table, opened, raysweep, table
from tiny_trials import curves, rows_of, trial
from tiny_two_cells import StudyFactory

from raysweep.errors import InputError
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.kind import study_size
from raysweep.kinds.sweep import science_digest
from raysweep.runners import local
from raysweep.study import checks
from raysweep.study.cells import expand
from raysweep.study.files import check_files
from raysweep.study.reader import StudyFileError, load_study
from raysweep.tracking.facts import study_facts
from raysweep.trials.trial import Arm

GUIDE = Path(__file__).parents[2] / "search_spaces" / "README.md"
SMALL = (
    "data.train=64",
    "data.validation=32",
    "data.test=32",
    "model.width=[4, 8]",
    "training.epochs=2",
    "training.batch_size=16",
    "training.dtype=float64",
    "evaluation.metrics=[unbiased_cka]",
    "search.trials=2",
    "search.seeds=1",
    "confirm.seeds=2",
    "alignment.loss=mine:distance",
    "alignment.options={power: 1.5}",
    "alignment.layer=1",
)


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The study file of the guide, with the guide's own encoder and loss beside it."""
    text = GUIDE.read_text()
    code = re.findall(r"```python\n# mine.py\n(.*?)```", text, re.DOTALL)
    [study] = re.findall(r"```yaml\n# residual.yaml\n(.*?)```", text, re.DOTALL)
    assert len(code) == 2
    (tmp_path / "mine.py").write_text("\n".join(code))
    (tmp_path / "residual.yaml").write_text(study)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path / "residual.yaml"
    sys.modules.pop("mine", None)


@pytest.mark.slow
@pytest.mark.ray
def test_the_example_of_the_guide_runs_through_ray(example: Path) -> None:
    for name in ("random", "numpy", "torch", "ray", "mlflow", "raysweep_analysis", "misbehaving"):
        file = example.parent / f"{name}.py"
        file.write_text("raise SystemExit('a file that the study does not name')")
    overrides = [flag for override in SMALL for flag in ("--set", override)]
    ray = ("--workers", "1", "--no-mlflow")
    done = raysweep(example.parent, "run", "residual.yaml", "--out", "out", *ray, *overrides)
    assert done.returncode == 0, done.stdout + done.stderr
    found = table(example.parent / "out")
    study = load_study(example, SMALL, checks.check, checks.resolve_files)
    local.run(study, opened(example.parent / "here", study))
    assert_same_table(found, table(example.parent / "here"))
    assert set(found["status"]) == {"ok"}
    assert set(found["encoder"]) == {"mine:residual"}
    assert set(found["encoder_option_slope"]) == {0.2}
    assert set(found["loss"]) == {"mine:distance"}
    # Of each of two encoders the embedding, a norm and a layer a block, the head; the fused head.
    for width, rows in found.groupby("width_1"):
        block = 2 * width + width * (width + 1)
        each = 13 * width + 2 * block + 4 * (width + 1)
        assert set(rows["parameters"]) == {2 * each + 4 * (2 * width + 1)}
    forced = found[found["arm"] == "forced"]
    assert (forced["gradient_ratio"] > 0).all()


def own(study_of: StudyFactory, *overrides: str) -> Study:
    return study_of("model.encoder=own_encoders:residual", "model.depth=2", *overrides)


@pytest.mark.slow
def test_a_trial_does_not_depend_on_its_pack(study_of: StudyFactory) -> None:
    study = own(
        study_of,
        "data.modalities=3",
        "data.draws=2",
        "training.epochs=6",
        "training.patience=2",
        "training.fusion=joint",
        "evaluation.layers=best",
        "alignment.layer=1",
        "model.width_1=8",
        "model.width_2=6",
        "model.width=null",
    )
    trials = [
        trial(study, strength, arm=arm, draw=draw)
        for draw in (0, 1)
        for strength, arm in ((0.0, Arm.NONE), (0.5, Arm.FORCED), (0.5, Arm.PLACEBO))
    ]
    together = rows_of(study, trials)
    for one, row in zip(trials, together, strict=True):
        [alone] = rows_of(study, [one])
        assert row.keys() == alone.keys()
        for name in row.keys() - {"train_seconds"}:
            if isinstance(row[name], float):
                assert row[name] == pytest.approx(alone[name], abs=1e-9), name
            elif not isinstance(row[name], list):
                assert row[name] == alone[name], name
        for name, values in curves(row).items():
            assert values == pytest.approx(curves(alone)[name], abs=1e-9, nan_ok=True), name
    assert all(row["performance_3_test"] is not None for row in together)
    assert all(row["performance_fused_population"] is not None for row in together)
    none, forced, placebo = (row["alignment_unbiased_cka_test"] for row in together[:3])
    assert len({none, forced, placebo}) == 3


def test_the_same_mlp_measures_as_the_built_in_one_does(study_of: StudyFactory) -> None:
    """Two sets of initial weights of one distribution: equal sizes, and accuracies alike."""
    longer = ("training.epochs=30", "training.learning_rate=0.01", "data.train=512")
    rows = {}
    for encoder in ("mlp", "own_encoders:mlp"):
        study = study_of(f"model.encoder={encoder}", *longer)
        rows[encoder] = pd.DataFrame(
            rows_of(study, [trial(study, seed=seed) for seed in range(1000, 1012)])
        )
    built_in, mine = rows.values()
    assert set(built_in["parameters"]) == set(mine["parameters"])
    assert set(built_in.columns) == set(mine.columns)
    difference = mine["performance_fused_test"].mean() - built_in["performance_fused_test"].mean()
    assert abs(difference) < 0.06  # 12 seeds, each within about 0.05
    assert built_in["performance_fused_test"].mean() > 0.4


def test_code_and_options_are_part_of_the_science(
    study_of: StudyFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "changing_encoder.py"
    source = (SUPPORT / "own_encoders.py").read_text()
    file.write_text(source)
    name = "model.encoder=changing_encoder:convolution"
    study = study_of(name)
    assert list(study.files) == ["changing_encoder:convolution"]
    assert expand(study)[0].id != expand(study_of())[0].id
    assert science_digest(study_of(name, "model.options.channels=4")) != science_digest(study)
    check_files(study, expand(study)[0])
    file.write_text(source + "\n# another\n")
    assert science_digest(study_of(name)) != science_digest(study)
    with pytest.raises(InputError, match=r"changing_encoder\.py: has changed since this run was"):
        rows_of(study, [trial(study)])


def test_studies_of_the_built_in_encoder_keep_their_science(study_of: StudyFactory) -> None:
    assert "encoder" not in study_of().science()
    assert science_digest(study_of("model.encoder=mlp")) == science_digest(study_of())


def test_time_is_estimated_and_mlflow_is_told(study_of: StudyFactory) -> None:
    study = study_of(
        "model.encoder=own_encoders:convolution", "model.options.channels=4", "data.U=[2]"
    )
    size = study_size(study)
    assert size.seconds is not None
    assert size.seconds > 0
    [facts] = study_facts(study, expand(study)).cells.values()
    assert facts.all_params["encoder"] == "own_encoders:convolution"
    assert facts.all_params["encoder_option_channels"] == "4"


def test_emergence_studies_train_the_built_in_encoder_only() -> None:
    with pytest.raises(StudyFileError) as caught:
        tiny_emergence.study(model__encoder="own_encoders:mlp")
    [fault] = caught.value.faults
    assert "model.encoder: emergence studies train mlp, linear, " in fault
    assert "encoders only, found own_enc" in fault
    with pytest.raises(
        StudyFileError, match=r"model\.options\.slope: unknown option of mlp 'slope'"
    ):
        tiny_emergence.study(model__options={"slope": 1})


@pytest.mark.parametrize(("faulty", "place"), [("data.U=99", "data.U"), ("model.depth=0", "depth")])
def test_without_usable_sizes_there_is_still_the_name_to_be_checked(
    study_of: StudyFactory, faulty: str, place: str
) -> None:
    found = faults(study_of, faulty, "model.encoder=own_encoders:mlps")
    assert len(found) == 2
    assert any("own_encoders has nothing of that name" in fault for fault in found)
    [fault] = faults(study_of, faulty, "model.encoder=own_encoders:dropout")
    assert place in fault
