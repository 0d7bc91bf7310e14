"""The losses that the kernel computes itself, against automatic differentiation of definitions."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import reference_losses
import torch
from one_epoch import one_epoch, torch_engine
from reference_training import Pair
from tiny_training import make_data, make_members
from torch import Tensor
from torch.nn import functional

from raysweep.losses import LOSSES, build_loss
from raysweep.models.shape import MultimodalShape
from raysweep.training.engine import KERNEL_LOSSES
from raysweep.training.inputs import PackData, TrainSettings
from raysweep.training.kernel_cache import compiled_engine
from raysweep.training.kernel_losses import KernelLoss

pytestmark = pytest.mark.usefixtures("compiled_kernel")
EQUAL = MultimodalShape((5, 4), 3, depths=(1, 2), widths=(6, 6))
UNEQUAL = MultimodalShape((12, 7), 4, depths=(2, 1), widths=(12, 5))
Definition = Callable[..., Tensor]

# loss, its options, those of the definition, shape
CASES: list[tuple[str, dict[str, object], dict[str, float], MultimodalShape]] = [
    ("infonce", {}, {}, EQUAL),
    ("siglip", {"learned": False}, {}, EQUAL),
    ("siglip", {"learned": False, "scale": 3.0, "bias": 0.5}, {"scale": 3.0, "bias": 0.5}, EQUAL),
    ("siglip", {"learned": False, "scale": 150, "bias": 80}, {"scale": 150, "bias": 80}, EQUAL),
    ("soft_knn", {}, {}, EQUAL),
    ("soft_knn", {"temperature": 0.5}, {"temperature": 0.5}, UNEQUAL),
    ("uniformity", {}, {}, EQUAL),
    ("uniformity", {"sharpness": 10.0}, {"sharpness": 10.0}, UNEQUAL),
    ("vicreg", {}, {}, EQUAL),
    ("vicreg", {"invariance": 1.0, "variance": 3.0}, {"invariance": 1.0, "variance": 3.0}, EQUAL),
    ("barlow_twins", {}, {}, EQUAL),
    ("barlow_twins", {"redundancy": 0.3}, {"redundancy": 0.3}, EQUAL),
    ("deep_cca", {}, {}, EQUAL),
    ("deep_cca", {"components": 2, "ridge": 0.1}, {"components": 2, "ridge": 0.1}, UNEQUAL),
]
IDS = [f"{name}-{i}" for i, (name, *_) in enumerate(CASES)]
LEAST_ROWS = {"infonce": 1, "siglip": 1}


def deep_cca(x: Tensor, y: Tensor, ridge: float = 1e-3, components: int = 0) -> Tensor:
    """As the reference, but by Cholesky: a symmetric root has no gradient at equal eigenvalues.

    Covariances of fewer rows than features have some.
    """

    def whiten(c: Tensor) -> Tensor:
        regularised = c + ridge * torch.diag(c).mean() * torch.eye(len(c), dtype=c.dtype)
        return torch.linalg.inv(torch.linalg.cholesky(regularised))

    d1 = x.shape[1]
    c = torch.cov(torch.cat([x, y], dim=1).T)
    t = whiten(c[:d1, :d1]) @ c[:d1, d1:] @ whiten(c[d1:, d1:]).T
    return 1 - torch.linalg.svdvals(t)[: components or None].mean()


DEFINITIONS = {**reference_losses.LOSSES, "deep_cca": deep_cca}


def expected(
    shape: MultimodalShape,
    data: PackData,
    initial: Tensor,
    least: int,
    loss: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Gradients of every member's first step, one batch, and the alignment losses."""
    members = make_members(5, clip_norm=np.inf)
    rows, values = [], []
    for index in range(5):
        pair = Pair(shape)
        own = initial[index, shape.parameter_count :].clone().requires_grad_()
        pair.load(initial[index, : shape.parameter_count])
        which = data.dataset[index]
        h1, logits_1 = pair.tower_1(torch.as_tensor(data.x_train[0][which]))
        h2, logits_2 = pair.tower_2(torch.as_tensor(data.x_train[1][which]))
        fused = pair.fused(torch.cat((h1, h2), dim=1).detach())
        y = torch.as_tensor(data.y_train[which])
        entropies = [functional.cross_entropy(z, y) for z in (logits_1, logits_2, fused)]
        total = torch.stack(entropies).sum()
        placebo = bool(members.placebo[index])
        value = torch.tensor(torch.nan)
        if members.strength[index] and len(y) >= (max(2, least) if placebo else least):
            value = loss(h1, h2.roll(1, dims=0) if placebo else h2, own)
            total = total + float(members.strength[index]) * value
        total.backward()
        at_own = torch.zeros_like(own) if own.grad is None else own.grad
        rows.append(torch.cat((pair.flat(gradient=True), at_own)))
        values.append(value.detach())
    return torch.stack(rows), torch.stack(values).double()


@pytest.mark.parametrize(("name", "options", "given", "shape"), CASES, ids=IDS)
@pytest.mark.parametrize("rows", [97, 33, 3, 2, 1])
def test_values_and_gradients(
    name: str,
    options: dict[str, object],
    given: dict[str, float],
    shape: MultimodalShape,
    rows: int,
) -> None:
    data = make_data(5, shape, rows=rows)
    settings = TrainSettings(1, 128, loss=name, loss_options=options, dtype="float64")
    initial = shape.initial_parameters(make_members(5).init_seed)
    engine, log = one_epoch(compiled_engine, shape, data, settings, initial)
    definition = DEFINITIONS[name]
    gradients, values = expected(
        shape, data, initial, LEAST_ROWS.get(name, 2), lambda x, y, own: definition(x, y, **given)
    )
    torch.testing.assert_close(log.alignment_loss, values, rtol=1e-9, atol=1e-11, equal_nan=True)
    scale = max(1.0, gradients.abs().max().item())
    torch.testing.assert_close(engine.gradients, gradients, atol=1e-11 * scale, rtol=1e-8)
    assert (log.failed_step == -1).all()


@pytest.mark.parametrize("rows", [97, 2, 1])
def test_learned_scale_and_bias(rows: int) -> None:
    data = make_data(5, EQUAL, rows=rows)
    settings = TrainSettings(1, 128, loss="siglip", dtype="float64")
    own = torch.tensor([[1.0, -2.0], [0.0, 3.0], [2.3, -10.0], [4.0, 0.0], [-1.0, 30.0]])
    initial = EQUAL.initial_parameters(make_members(5).init_seed)
    initial = torch.cat((initial, own.double()), dim=1)
    engine, log = one_epoch(compiled_engine, EQUAL, data, settings, initial)
    gradients, values = expected(
        EQUAL, data, initial, 1, lambda x, y, p: reference_losses.siglip(x, y, p[0].exp(), p[1])
    )
    torch.testing.assert_close(log.alignment_loss, values, rtol=1e-9, atol=1e-11, equal_nan=True)
    scale = max(1.0, gradients.abs().max().item())
    torch.testing.assert_close(engine.gradients, gradients, atol=1e-11 * scale, rtol=1e-8)


@pytest.mark.parametrize(("name", "options", "given", "shape"), CASES, ids=IDS)
def test_float32_is_float64_rounded(
    name: str, options: dict[str, object], given: dict[str, float], shape: MultimodalShape
) -> None:
    data = make_data(5, shape, rows=307)
    members = make_members(5, clip_norm=np.inf)
    initial = shape.initial_parameters(members.init_seed)
    found = []
    for dtype in ("float32", "float64"):
        settings = TrainSettings(1, 512, loss=name, loss_options=options, dtype=dtype)
        engine, log = one_epoch(compiled_engine, shape, data, settings, initial)
        found.append((engine.gradients.double(), log.alignment_loss))
    (single, value), (double, exact) = found
    for one, right in zip(single, double, strict=True):
        torch.testing.assert_close(one, right, atol=1e-4 * right.abs().max().item(), rtol=0)
    torch.testing.assert_close(value, exact, rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize(
    "name", ["siglip", "soft_knn", "uniformity", "vicreg", "barlow_twins", "deep_cca"]
)
@pytest.mark.parametrize("stopped", ["1", "2"])
def test_one_way_and_last_batches_as_in_torch(name: str, stopped: str) -> None:
    """Batches of 40, 40 and 1 rows, members with and without a strength."""
    options = {"stop_gradient": stopped}
    data = make_data(5, EQUAL, rows=81)
    settings = TrainSettings(1, 40, loss=name, loss_options=options, dtype="float64")
    count = build_loss(name, options).parameter_count(6, 6)
    own = torch.linspace(-0.3, 0.3, 5 * count, dtype=torch.float64).view(5, count)
    initial = torch.cat((EQUAL.initial_parameters(range(5)), own), dim=1)
    members = make_members(5, init_seed=np.arange(5))
    members = dataclasses.replace(members, strength=np.array([0.0, 0.5, 2.0, 0.1, 1.0]))
    kernel, seen = one_epoch(compiled_engine, EQUAL, data, settings, initial, members)
    plain, right = one_epoch(torch_engine, EQUAL, data, settings, initial, members)
    torch.testing.assert_close(kernel.parameters, plain.parameters, atol=1e-10, rtol=0)
    for field in ("alignment_loss", "alignment_gradient"):
        torch.testing.assert_close(
            getattr(seen, field), getattr(right, field), atol=1e-10, rtol=1e-8, equal_nan=True
        )


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_which_losses_are_computed_in_the_kernel(name: str) -> None:
    known = KernelLoss.of(build_loss(name), EQUAL, 512, np.dtype("float32"))
    assert (known is not None) == (name in KERNEL_LOSSES)


def test_what_float32_cannot_hold_is_left_to_the_loss() -> None:
    for name, options in (("soft_knn", {"temperature": 0.02}), ("uniformity", {"sharpness": 30})):
        loss = build_loss(name, options)
        assert KernelLoss.of(loss, EQUAL, 512, np.dtype("float32")) is None
        assert KernelLoss.of(loss, EQUAL, 512, np.dtype("float64")) is not None


def test_wide_layers() -> None:
    """Those of whole register tiles of inputs, whose weights' gradients go another way."""
    for width in (32, 64, 67):
        shape = MultimodalShape((70, 64), 3, depths=(3, 2), widths=(width, width))
        data = make_data(5, shape, rows=97)
        settings = TrainSettings(1, 40, dtype="float64")
        members = make_members(5)
        kernel, _ = one_epoch(compiled_engine, shape, data, settings, members=members)
        plain, _ = one_epoch(torch_engine, shape, data, settings, members=members)
        torch.testing.assert_close(kernel.gradients, plain.gradients, atol=1e-11, rtol=1e-9)
        torch.testing.assert_close(kernel.validate(), plain.validate(), atol=0, rtol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", sorted(KERNEL_LOSSES))
def test_both_engines_count_the_steps_that_force_alike(loss: str, dtype: str) -> None:
    """Among them a last batch of one row, and encoders none of whose units fires at first."""
    data = make_data(5, EQUAL, rows=49)
    members = make_members(5, placebo=np.array([False, False, True, False, True]))
    options = {"learned": False} if loss == "siglip" else {}
    settings = TrainSettings(1, 16, loss=loss, loss_options=options, dtype=dtype)
    asleep = EQUAL.initial_parameters(members.init_seed)
    for tower in EQUAL.towers:
        tower.hidden[0].view(asleep)[:, :, -1] = -100.0
    for initial in (EQUAL.initial_parameters(members.init_seed), asleep):
        counts = []
        for make in (torch_engine, compiled_engine):
            _, log = one_epoch(make, EQUAL, data, settings, initial, members)
            counts.append(log.forced_steps)
        assert counts[0].tolist() == counts[1].tolist()
        # The only row of a placebo, shifted by one, would be the true pair.
        assert max(counts[0][members.placebo]) <= 3
        if loss == "infonce" and initial is not asleep:
            assert counts[0].tolist() == [0 if s == 0 else 3 for s in members.strength]
