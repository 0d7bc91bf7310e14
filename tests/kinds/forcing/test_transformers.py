"""Trials of transformers on sequences: measured as one by one, by the modules that torch has."""

import numpy as np
import pytest
import torch
from checked import load as load_study_file
from reference_transformers import TorchTransformer

from raysweep.data.registry import load
from raysweep.kinds.forcing.memory import pack_bytes
from raysweep.kinds.forcing.run_pack import run_pack
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.models.named import named_architecture
from raysweep.study.cells import expand
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.training.train import train_pack
from raysweep.trials.packing import Pack
from raysweep.trials.trial import Arm, Stage, Trial

STUDY = """
name: clips
data: {dataset: arrays, path: clips.npz, draws: 2}
model:
  encoder: transformer
  depth: 2
  width: 8
  options: {heads: 2, patches: 3, dropout: 0.2, pooling: class}
training: {epochs: 3, batch_size: 16, dtype: float64}
alignment: {layer: 1}
evaluation: {metrics: {unbiased_cka: {}, mutual_knn: {topk: 5}}, layers: best}
search: {trials: 3}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("clips")
    rng, n = np.random.default_rng(0), 160
    y = rng.integers(0, 2, n)
    np.savez(
        folder / "clips.npz",
        x1=rng.normal(size=(n, 9, 4)) + 0.4 * y[:, None, None],
        x1_length=rng.integers(0, 10, n),
        x2=rng.normal(size=(n, 6)) - 0.5 * y[:, None],
        y=y,
    )
    (folder / "clips.yaml").write_text(STUDY)
    return load_study_file(folder / "clips.yaml")


@pytest.fixture(scope="module")
def trials(study: Study) -> tuple[Trial, ...]:
    [cell] = expand(study)
    arms = ((0.0, Arm.NONE), (0.7, Arm.FORCED), (0.7, Arm.PLACEBO))
    return tuple(
        Trial(cell, draw, seed, strength, arm, Stage.CONFIRM, "")
        for draw, seed in ((0, 1000), (1, 1000), (0, 1001))
        for strength, arm in arms
    )


def test_what_is_measured_does_not_depend_on_the_pack(
    study: Study, trials: tuple[Trial, ...]
) -> None:
    together = run_pack(study, Pack(trials), estimated=False)
    seen = 0
    for trial, row in list(zip(trials, together, strict=True))[::4]:
        [alone] = run_pack(study, Pack((trial,)), estimated=False)
        for name, value in row.items():
            if name.startswith(("performance_", "loss_", "alignment_")):
                seen += isinstance(value, float)
                assert alone[name] == pytest.approx(value, abs=1e-10), name
    assert seen > 30
    assert pack_bytes(study, Pack(trials)) > 2 * pack_bytes(study, Pack(trials[:1]))


def test_performance_is_that_of_torchs_modules_in_evaluation(
    study: Study, trials: tuple[Trial, ...]
) -> None:
    trial = trials[0]
    [row] = run_pack(study, Pack((trial,)), estimated=False)
    view = load("arrays", dict(trial.cell.parameters), trial.draw)
    members = Members.of_draws(
        study.seed, [(0, 1000)], learning_rate=1e-3, weight_decay=1e-2, clip_norm=8.0
    )
    shape = named_architecture(study.model, trial.cell, view.features, 2)
    settings = TrainSettings(epochs=3, batch_size=16, dtype="float64")
    trained = train_pack(shape, members, PackData.of_views([view], np.zeros(1, int)), settings)
    tested = view.splits.test
    for number, (encoder, span) in enumerate(
        zip(shape.encoders, shape.spans(0), strict=False), start=1
    ):
        module = TorchTransformer(encoder, 2, dropout=0.2).double()
        module.load(trained.own_parameters[0, span])
        module.eval()
        with torch.no_grad():
            logits = module(torch.from_numpy(view.inputs[number - 1][tested]))
        right = (logits.argmax(dim=1).numpy() == view.y[tested]).mean()
        assert row[f"performance_{number}_test"] == pytest.approx(right, abs=1e-12)
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(view.y[tested]))
        assert row[f"loss_{number}_test"] == pytest.approx(float(loss), abs=1e-9)
