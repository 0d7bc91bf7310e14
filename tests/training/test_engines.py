"""One step of each engine against automatic differentiation, and the engines against each other."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from one_epoch import ENGINES, one_epoch, torch_engine
from reference_training import LOSSES, Pair
from tiny_training import make_data, make_members
from torch.nn import functional

from raysweep.losses import build_loss
from raysweep.models.shape import MultimodalShape
from raysweep.training.engine import EpochLog, PackEngine
from raysweep.training.inputs import PackData, TrainSettings
from raysweep.training.kernel_cache import compiled_engine

pytestmark = pytest.mark.usefixtures("compiled_kernel")


SHAPES = [
    MultimodalShape((5, 4), 3, depths=(1, 1), widths=(6, 6)),
    MultimodalShape((3, 7), 2, depths=(4, 2), widths=(5, 5)),
    MultimodalShape((12, 12), 4, depths=(6, 3), widths=(12, 12)),
]


def expected_gradients(
    shape: MultimodalShape, data: PackData, settings: TrainSettings, initial: torch.Tensor
) -> torch.Tensor:
    """The gradients of every member's first step, one batch, by automatic differentiation."""
    members = make_members(5, clip_norm=np.inf)
    rows = []
    for index in range(5):
        pair = Pair(shape)
        pair.load(initial[index])
        which = data.dataset[index]
        h1, logits_1 = pair.tower_1(torch.as_tensor(data.x_train[0][which]))
        h2, logits_2 = pair.tower_2(torch.as_tensor(data.x_train[1][which]))
        both = torch.cat((h1, h2), dim=1)
        fused = pair.fused(both if settings.fusion == "joint" else both.detach())
        y = torch.as_tensor(data.y_train[which])
        total = sum(functional.cross_entropy(logits, y) for logits in (logits_1, logits_2, fused))
        if members.strength[index] and len(y) > 3:
            seen = h2.roll(1, dims=0) if members.placebo[index] else h2
            total = total + float(members.strength[index]) * LOSSES[settings.loss](h1, seen)
        total.backward()
        rows.append(pair.flat(gradient=True))
    return torch.stack(rows)


@ENGINES
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("loss", ["infonce", "cka", "unbiased_cka"])
@pytest.mark.parametrize("fusion", ["probe", "joint"])
@pytest.mark.parametrize("rows", [32, 11, 1])
def test_gradients_of_a_step(
    make: Callable[..., PackEngine], shape: MultimodalShape, loss: str, fusion: str, rows: int
) -> None:
    data = make_data(5, shape, rows=rows)
    settings = TrainSettings(1, batch_size=32, loss=loss, fusion=fusion, dtype="float64")
    initial = shape.initial_parameters(make_members(5).init_seed)
    engine, _ = one_epoch(make, shape, data, settings, initial)
    expected = expected_gradients(shape, data, settings, initial)
    torch.testing.assert_close(engine.gradients, expected, atol=1e-11, rtol=1e-10)


@ENGINES
@pytest.mark.parametrize("loss", ["infonce", "mse", "cosine"])
def test_a_placebo_has_no_loss_in_a_batch_of_one_row(
    make: Callable[..., PackEngine], loss: str
) -> None:
    """Shifted by one, a single row is its own partner: the pair that a placebo must not see."""
    shape = SHAPES[2]
    members = make_members(5, clip_norm=np.inf)
    members = dataclasses.replace(members, strength=np.ones(5), placebo=np.arange(5) % 2 == 1)
    data = make_data(5, shape, rows=1)
    settings = TrainSettings(1, batch_size=32, loss=loss, dtype="float64")
    pulled, log = one_epoch(make, shape, data, settings, members=members)
    alone, _ = one_epoch(
        make, shape, data, settings, members=dataclasses.replace(members, strength=np.zeros(5))
    )
    count = shape.parameter_count
    same = (pulled.gradients[:, :count] == alone.gradients[:, :count]).all(dim=1)
    assert same[members.placebo].all()
    assert log.alignment_loss.isnan().tolist() == members.placebo.tolist()
    assert (log.failed_step == -1).all()
    if loss != "infonce":  # of which a single pair has the value 0
        assert not same[~members.placebo].any()
    # With a second row there is a partner to be shifted to.
    _, log = one_epoch(make, shape, make_data(5, shape, rows=2), settings, members=members)
    assert not log.alignment_loss.isnan().any()


@ENGINES
def test_float32_gradients_are_those_of_float64_rounded(make: Callable[..., PackEngine]) -> None:
    shape = SHAPES[2]
    data = make_data(5, shape, rows=200)
    settings = TrainSettings(1, batch_size=512, loss="infonce", dtype="float32")
    initial = shape.initial_parameters(make_members(5).init_seed)
    engine, _ = one_epoch(make, shape, data, settings, initial)
    expected = expected_gradients(shape, data, settings, initial)
    for found, right in zip(engine.gradients, expected, strict=True):
        torch.testing.assert_close(
            found.double(), right, atol=3e-6 * right.abs().max().item(), rtol=0
        )


@ENGINES
@pytest.mark.parametrize("size", [0.0, 1e-300, -1e-300])
def test_gradients_at_the_kink_of_the_leaky_relu(
    make: Callable[..., PackEngine], size: float
) -> None:
    # Units whose input is 0, or as near as numbers go on either side, for every sample.
    shape = MultimodalShape((4, 4), 3, depths=(2, 1), widths=(6, 6))
    data = make_data(5, shape, rows=20)
    initial = shape.initial_parameters(make_members(5).init_seed)
    for layer in (*shape.towers[0].hidden, *shape.towers[1].hidden):
        block = layer.view(initial)
        block[:, ::2, :] = 0.0
        block[:, ::2, -1] = size
    settings = TrainSettings(1, batch_size=32, loss="cka", dtype="float64")
    engine, _ = one_epoch(make, shape, data, settings, initial)
    expected = expected_gradients(shape, data, settings, initial)
    torch.testing.assert_close(engine.gradients, expected, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("seed", range(12))
def test_the_kernel_agrees_with_torch_at_any_size(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 40))
    shape = MultimodalShape(
        (int(rng.integers(1, 40)), int(rng.integers(1, 40))),
        int(rng.integers(2, 23)),
        depths=(int(rng.integers(1, 4)), int(rng.integers(1, 4))),
        widths=(width, width if seed % 2 else int(rng.integers(1, 40))),
    )
    data = make_data(5, shape, rows=int(rng.integers(1, 150)))
    loss = ("unbiased_cka", "infonce")[seed % 2]
    settings = TrainSettings(1, int(rng.integers(5, 90)), loss=loss, dtype="float64")
    members = make_members(5)
    kernel, seen = one_epoch(compiled_engine, shape, data, settings, members=members)
    plain, expected = one_epoch(torch_engine, shape, data, settings, members=members)
    torch.testing.assert_close(kernel.parameters, plain.parameters, atol=1e-10, rtol=0)
    torch.testing.assert_close(kernel.validate(), plain.validate(), atol=0, rtol=0)
    for name in (field.name for field in dataclasses.fields(EpochLog)):
        torch.testing.assert_close(
            getattr(seen, name).double(),
            getattr(expected, name).double(),
            atol=1e-9,
            rtol=1e-8,
            equal_nan=True,
        )


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        ("infonce", {"temperature": 0.02}),
        ("siglip", {}),
        ("siglip", {"learned": False, "scale": 3.0, "bias": 0.5}),
        ("siglip", {"stop_gradient": "1", "scale": 150.0, "bias": 80.0}),
        ("soft_knn", {}),
        ("soft_knn", {"temperature": 0.01, "stop_gradient": "2"}),
        ("uniformity", {}),
        ("uniformity", {"sharpness": 40.0, "stop_gradient": "1"}),
        ("vicreg", {"invariance": 1.0, "variance": 3.0, "covariance": 0.5}),
        ("barlow_twins", {}),
        ("barlow_twins", {"redundancy": 0.3, "stop_gradient": "2"}),
        ("infonce", {"stop_gradient": "1"}),
        ("infonce", {"stop_gradient": "2", "projection": "linear"}),
        ("infonce", {"learned": True}),
        ("cka", {"stop_gradient": "2"}),
        ("cosine", {}),
        ("vicreg", {}),
    ],
)
def test_the_kernel_agrees_with_torch_on_losses_it_knows_and_on_those_it_asks(
    loss: str, options: dict[str, object]
) -> None:
    shape = SHAPES[0]
    data = make_data(5, shape, rows=50)
    settings = TrainSettings(1, 16, loss=loss, loss_options=options, dtype="float64")
    count = build_loss(loss, options).parameter_count(6, 6)
    own = torch.linspace(-0.3, 0.3, 5 * count, dtype=torch.float64).view(5, count)
    initial = torch.cat((shape.initial_parameters(range(5)), own), dim=1)
    members = make_members(5, init_seed=np.arange(5))
    kernel, seen = one_epoch(compiled_engine, shape, data, settings, initial, members)
    plain, expected = one_epoch(torch_engine, shape, data, settings, initial, members)
    torch.testing.assert_close(kernel.parameters, plain.parameters, atol=1e-10, rtol=0)
    torch.testing.assert_close(
        seen.alignment_loss, expected.alignment_loss, atol=1e-10, rtol=0, equal_nan=True
    )
    torch.testing.assert_close(
        seen.alignment_gradient, expected.alignment_gradient, atol=1e-10, rtol=1e-8
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_gathered_at_once_or_step_by_step(
    shape: MultimodalShape, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_data(5, shape, rows=50)
    settings = TrainSettings(1, 16, loss="cka", dtype="float64")
    at_once, seen = one_epoch(torch_engine, shape, data, settings, members=make_members(5))
    monkeypatch.setattr("raysweep.training.torch_engine.EPOCH_BYTES", 0)
    by_step, expected = one_epoch(torch_engine, shape, data, settings, members=make_members(5))
    torch.testing.assert_close(at_once.parameters, by_step.parameters, atol=1e-12, rtol=0)
    torch.testing.assert_close(seen.task_loss, expected.task_loss, atol=1e-12, rtol=0)
