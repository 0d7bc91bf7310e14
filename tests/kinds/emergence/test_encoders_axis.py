"""Emergence studies of several encoders: each has its own families, rates and measured layers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_emergence import TUNING, study
from tiny_runs import opened, table

from raysweep.data.registry import load
from raysweep.kinds.emergence.families import families
from raysweep.kinds.emergence.size import emergence_size
from raysweep.kinds.emergence.study import EmergenceStudy
from raysweep.metrics import PAPER, measure
from raysweep.models.stacked import StackedEncoders
from raysweep.models.transformer import Transformer
from raysweep.runners import local
from raysweep.seeds import derive_seed
from raysweep.training.evaluate import alignment_rows
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.training.train import train_pack

OPTIONS = {"patches": 3, "heads": 2, "pooling": "class"}


def run(wanted: EmergenceStudy, folder: Path) -> pd.DataFrame:
    local.run(wanted, opened(folder, wanted))
    return table(folder)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[EmergenceStudy, pd.DataFrame]:
    given = {"model__encoder": ["mlp", "transformer"], "model__options": OPTIONS}
    wanted = study(**given, tuning=TUNING, data__U=[0], evaluation__layers="last")
    return wanted, run(wanted, tmp_path_factory.mktemp("both"))


def test_one_encoder_changes_nothing_of_the_other(
    both: tuple[EmergenceStudy, pd.DataFrame], tmp_path: Path
) -> None:
    wanted, found = both
    assert [f.cells[0].encoder for f in families(wanted)] == ["mlp", "transformer"]
    alone = run(study(tuning=TUNING, data__U=[0], evaluation__layers="last"), tmp_path)
    mine = found[found["encoder"] == "mlp"].set_index("key")
    numbers = [c for c in alone if c.startswith(("performance_", "alignment_", "learning_rate"))]
    pd.testing.assert_frame_equal(
        mine[numbers].sort_index(), alone.set_index("key")[numbers].sort_index()
    )
    assert set(found["stage"]) == {"measure", "tune"}
    of_transformers = found[found["encoder"] == "transformer"]
    assert (of_transformers["encoder_option_patches"] == 3).all()
    assert found.loc[found["encoder"] == "mlp", "encoder_option_patches"].isna().all()


def test_a_pair_of_transformers_is_what_two_trained_alone_are(
    both: tuple[EmergenceStudy, pd.DataFrame],
) -> None:
    wanted, found = both
    pairs = found[(found["encoder"] == "transformer") & (found["stage"] == "measure")]
    row = pairs[pairs["depth_2"] == 3].iloc[0]
    parameters = {"U": 0, "D_phi": int(row["D_phi"])}
    sizes = {"train": 64, "validation": 32, "test": 64}
    view = load("synthetic", parameters | sizes, 0)
    seeds = [derive_seed(0, name, 0, int(row["seed"])) for name in ("init", "order")]
    layers = []
    for modality, depth in ((1, 1), (2, 3)):
        side = view.alone(modality)
        encoder = Transformer(side.features[0], depth, 6, **OPTIONS)
        trained = train_pack(
            StackedEncoders((encoder,), side.classes, first=modality),
            Members(
                *([s] for s in seeds),
                row[f"learning_rate_{modality}"],
                row[f"weight_decay_{modality}"],
                0.0,
                wanted.training.clip_norm,
                False,
            ),
            PackData.of_views([side], np.zeros(1, dtype=np.int64)),
            TrainSettings(
                epochs=int(wanted.training.of(modality, "epochs")), batch_size=16, dtype="float64"
            ),
        )
        tested = view.splits.test
        logits = trained.forward(1, torch.as_tensor(side.inputs[0][tested]))[1][0]
        right = logits.argmax(dim=0).numpy() == view.y[tested]
        assert row[f"performance_{modality}_test"] == pytest.approx(right.mean(), abs=1e-12)
        rows = alignment_rows(view, "test", 24)
        hidden = trained.forward(1, torch.as_tensor(side.inputs[0][rows]))[0][-1]
        layers.append(PAPER(hidden[0].mT))
    expected = measure("unbiased_cka", *layers)
    assert row["alignment_unbiased_cka_test"] == pytest.approx(float(expected), abs=1e-9)


@pytest.mark.slow
def test_size_counts_and_times_both(both: tuple[EmergenceStudy, pd.DataFrame]) -> None:
    wanted, found = both
    size, one = emergence_size(wanted), emergence_size(study(tuning=TUNING, data__U=[0]))
    assert (size.cells, size.trials) == (2 * one.cells, 2 * one.trials)
    assert size.encoders == 2 * one.encoders
    assert size.cells == found["cell"].nunique()
    pairs = emergence_size(wanted.model_copy(update={"tuning": None}), measure_time=False)
    assert (found["stage"] == "measure").sum() == pairs.trials
    assert size.seconds > one.seconds > 0
