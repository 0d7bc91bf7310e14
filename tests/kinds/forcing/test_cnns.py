"""Trials of cnns on halves of digits: measured as by the modules that torch has, in any pack."""

import numpy as np
import pytest
import torch
from checked import load as load_study_file
from reference_cnns import TorchCnn

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
name: halves
data: {dataset: digits, overlap: 1, train: 96, validation: 40, test: 40, draws: 2}
model: {encoder: cnn, depth: 2, width: 6, options: {dropout: 0.2}}
training: {epochs: 3, batch_size: 16, dtype: float64}
alignment: {layer: 1}
evaluation: {metrics: {unbiased_cka: {}, mutual_knn: {topk: 5}}, layers: best}
search: {trials: 3}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    path = tmp_path_factory.mktemp("halves") / "study.yaml"
    path.write_text(STUDY)
    return load_study_file(path)


def test_what_is_measured_does_not_depend_on_the_pack(study: Study) -> None:
    [cell] = expand(study)
    arms = ((0.0, Arm.NONE), (0.7, Arm.FORCED), (0.7, Arm.PLACEBO))
    trials = tuple(
        Trial(cell, draw, seed, strength, arm, Stage.CONFIRM, "")
        for draw, seed in ((0, 1000), (1, 1000))
        for strength, arm in arms
    )
    together = run_pack(study, Pack(trials), estimated=False)
    seen = 0
    for trial, row in list(zip(trials, together, strict=True))[1::3]:
        [alone] = run_pack(study, Pack((trial,)), estimated=False)
        for name, value in row.items():
            if name.startswith(("performance_", "loss_", "alignment_")):
                seen += isinstance(value, float)
                assert alone[name] == pytest.approx(value, abs=1e-10), name
    assert seen > 20
    assert pack_bytes(study, Pack(trials)) > 2 * pack_bytes(study, Pack(trials[:1]))


def test_performance_is_that_of_torchs_modules_in_evaluation(study: Study) -> None:
    [cell] = expand(study)
    trial = Trial(cell, 0, 1000, 0.0, Arm.NONE, Stage.CONFIRM, "")
    [row] = run_pack(study, Pack((trial,)), estimated=False)
    view = load("digits", dict(cell.parameters), 0)
    assert [(of.images.height, of.images.width) for of in view.features] == [(8, 5), (8, 4)]
    members = Members.of_draws(
        study.seed, [(0, 1000)], learning_rate=1e-3, weight_decay=1e-2, clip_norm=8.0
    )
    shape = named_architecture(study.model, cell, view.features, 10)
    settings = TrainSettings(epochs=3, batch_size=16, dtype="float64")
    trained = train_pack(shape, members, PackData.of_views([view], np.zeros(1, int)), settings)
    tested = view.splits.test
    for number, (encoder, span) in enumerate(
        zip(shape.encoders, shape.spans(0), strict=False), start=1
    ):
        module = TorchCnn(encoder, 10).double()
        module.load(trained.own_parameters[0, span])
        with torch.no_grad():
            logits = module(torch.from_numpy(view.inputs[number - 1][tested]))
        right = (logits.argmax(dim=1).numpy() == view.y[tested]).mean()
        assert row[f"performance_{number}_test"] == pytest.approx(right, abs=1e-12)
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(view.y[tested]))
        assert row[f"loss_{number}_test"] == pytest.approx(float(loss), abs=1e-9)
