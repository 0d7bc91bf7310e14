"""Every alignment loss: its value, its gradients, its members, its edges."""

import math

import numpy as np
import pytest
import reference_losses as reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cross_decomposition import CCA
from tiny_activations import B, M, activations, initial
from torch import Tensor

from raysweep.losses import LOSSES, AlignmentLoss, LossOutput, build_loss

# name, options that the reference takes too, d1, d2
CASES: list[tuple[str, dict[str, float], int, int]] = [
    ("infonce", {}, 4, 4),
    ("infonce", {"temperature": 0.5}, 4, 4),
    ("infonce", {"temperature": 0.01}, 4, 4),
    ("siglip", {}, 4, 4),
    ("siglip", {"scale": 3.0, "bias": 0.5}, 4, 4),
    ("cka", {}, 4, 6),
    ("unbiased_cka", {}, 4, 6),
    ("unbiased_cka", {}, 12, 5),
    ("mse", {}, 4, 4),
    ("cosine", {}, 4, 4),
    ("vicreg", {}, 4, 4),
    ("vicreg", {"invariance": 1.0, "variance": 3.0, "covariance": 0.5}, 4, 4),
    ("barlow_twins", {}, 4, 4),
    ("barlow_twins", {"redundancy": 0.3}, 4, 4),
    ("deep_cca", {}, 3, 5),
    ("deep_cca", {"ridge": 0.1, "components": 2}, 4, 4),
    ("deep_cca", {"ridge": 0.1}, 12, 4),
    ("soft_knn", {}, 4, 6),
    ("soft_knn", {"temperature": 0.015}, 4, 6),
    ("gram", {}, 4, 6),
    ("uniformity", {}, 4, 6),
    ("uniformity", {"sharpness": 30.0}, 4, 6),
]
IDS = [f"{name}-{i}" for i, (name, *_) in enumerate(CASES)]

# name, options with learned parameters or wrappers, d1, d2
LEARNED: list[tuple[str, dict[str, object], int, int]] = [
    ("infonce", {"learned": True, "temperature": 0.3}, 4, 4),
    ("infonce", {"learned": True, "max_scale": 40.0, "projection": "mlp"}, 3, 5),
    ("siglip", {}, 4, 4),
    ("siglip", {"projection": "linear", "projection_dim": 2}, 4, 3),
    ("mse", {}, 3, 5),
    ("cosine", {}, 5, 3),
    ("vicreg", {"projection": "mlp", "projection_dim": 6}, 4, 3),
    ("cka", {"projection": "linear"}, 4, 3),
    ("deep_cca", {"projection": "mlp"}, 4, 3),
    ("gram", {"projection": "linear", "projection_dim": 3}, 4, 5),
]


def fixed(name: str, options: dict[str, float]) -> AlignmentLoss:
    """The loss without learned parameters."""
    return build_loss(name, {**options, **({"learned": False} if name == "siglip" else {})})


class Differentiable(torch.autograd.Function):
    """A loss as an autograd function, for gradcheck."""

    @staticmethod
    def forward(ctx, h1, h2, parameters, loss):  # type: ignore[no-untyped-def]
        output: LossOutput = loss.value_and_gradients(h1, h2, parameters)
        ctx.save_for_backward(output.grad_1, output.grad_2, output.grad_parameters)
        return output.value

    @staticmethod
    def backward(ctx, incoming):  # type: ignore[no-untyped-def]
        grad_1, grad_2, grad_parameters = ctx.saved_tensors
        by_feature = incoming[:, None, None]
        return by_feature * grad_1, by_feature * grad_2, incoming[:, None] * grad_parameters, None


def test_every_loss_has_a_case() -> None:
    assert {name for name, *_ in CASES} == set(LOSSES) == set(reference.LOSSES)


@pytest.mark.parametrize(("name", "options", "d1", "d2"), CASES, ids=IDS)
def test_values_and_gradients_are_those_of_the_definition(
    name: str, options: dict[str, float], d1: int, d2: int
) -> None:
    h1, h2 = activations(0, d1, d2)
    output = fixed(name, options).value_and_gradients(h1, h2, h1.new_zeros(M, 0))
    h1.requires_grad_()
    h2.requires_grad_()
    expected = torch.stack([reference.LOSSES[name](h1[i].T, h2[i].T, **options) for i in range(M)])
    grad_1, grad_2 = torch.autograd.grad(expected.sum(), (h1, h2))
    torch.testing.assert_close(output.value, expected.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(output.grad_1, grad_1, rtol=1e-8, atol=1e-11)
    torch.testing.assert_close(output.grad_2, grad_2, rtol=1e-8, atol=1e-11)
    assert output.grad_parameters.shape == (M, 0)


@pytest.mark.parametrize(
    ("name", "options", "d1", "d2"),
    [*CASES, *LEARNED],
    ids=[*IDS, *(f"learned-{name}-{i}" for i, (name, *_) in enumerate(LEARNED))],
)
def test_gradients_are_finite_differences(
    name: str, options: dict[str, object], d1: int, d2: int
) -> None:
    loss = build_loss(name, options)
    h1, h2 = activations(1, d1, d2, b=6, m=2)
    parameters = initial(loss, d1, d2, m=2)
    assert parameters.shape == (2, loss.parameter_count(d1, d2))
    inputs = [tensor.requires_grad_() for tensor in (h1, h2, parameters)]
    assert torch.autograd.gradcheck(
        lambda *tensors: Differentiable.apply(*tensors, loss), inputs, atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize(("name", "options", "d1", "d2"), LEARNED)
def test_a_member_depends_on_itself_alone(
    name: str, options: dict[str, object], d1: int, d2: int
) -> None:
    loss = build_loss(name, options)
    h1, h2 = activations(2, d1, d2)
    parameters = initial(loss, d1, d2)
    packed = loss.value_and_gradients(h1, h2, parameters)
    for i in range(M):
        alone = loss.value_and_gradients(
            h1[i : i + 1].clone(), h2[i : i + 1].clone(), parameters[i : i + 1].clone()
        )
        for one, all_ in zip(fields(alone), fields(packed), strict=True):
            torch.testing.assert_close(one[0], all_[i], rtol=1e-11, atol=1e-13)


def fields(output: LossOutput) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return output.value, output.grad_1, output.grad_2, output.grad_parameters


@pytest.mark.parametrize("name", ["infonce", "siglip", "soft_knn", "uniformity"])
def test_pieces_that_fit_the_cache_change_nothing(name: str) -> None:
    # A piece holds 2^19 elements, so each of these members is a piece of its own.
    h1, h2 = activations(3, 3, 3, b=730, m=2, dtype=torch.float32)
    loss = build_loss(name)
    parameters = initial(loss, 3, 3, m=2).float()
    packed = loss.value_and_gradients(h1, h2, parameters)
    for i in range(2):
        alone = loss.value_and_gradients(h1[i : i + 1], h2[i : i + 1], parameters[i : i + 1])
        for one, all_ in zip(fields(alone), fields(packed), strict=True):
            torch.testing.assert_close(one[0], all_[i], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("name", "options", "d1", "d2"), CASES, ids=IDS)
def test_float32_stays_float32_and_near_float64(
    name: str, options: dict[str, float], d1: int, d2: int
) -> None:
    h1, h2 = activations(4, d1, d2, b=40, dtype=torch.float32)
    loss = fixed(name, options)
    single = loss.value_and_gradients(h1, h2, h1.new_zeros(M, 0))
    double = loss.value_and_gradients(h1.double(), h2.double(), h1.new_zeros(M, 0).double())
    for one, other in zip(fields(single), fields(double), strict=True):
        assert one.dtype == torch.float32
        scale = float(other.abs().max()) if other.numel() else 1.0
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize(("name", "options", "d1", "d2"), CASES, ids=IDS)
def test_a_dead_or_broken_member_leaves_the_others_alone(
    name: str, options: dict[str, float], d1: int, d2: int
) -> None:
    h1, h2 = activations(5, d1, d2)
    loss = fixed(name, options)
    nothing = h1.new_zeros(M, 0)
    healthy = loss.value_and_gradients(h1, h2, nothing)
    for filler in (0.0, 0.3, math.nan):
        h1[1] = filler
        output = loss.value_and_gradients(h1, h2, nothing)
        for before, after in zip(fields(healthy), fields(output), strict=True):
            torch.testing.assert_close(before[[0, 2]], after[[0, 2]], rtol=1e-12, atol=1e-13)
        if math.isnan(filler):
            assert output.value[1].isnan()
            continue
        assert output.grad_1[1].isfinite().all()
        assert output.grad_2[1].isfinite().all()
        if name in ("cka", "unbiased_cka", "deep_cca"):
            assert output.value[1].isnan()
            assert not output.grad_1[1].any()
            assert not output.grad_2[1].any()
        else:
            assert output.value[1].isfinite()


@pytest.mark.parametrize(("name", "options", "d1", "d2"), CASES, ids=IDS)
@pytest.mark.parametrize("b", [1, 2, 3])
def test_short_batches_give_a_value_or_nan_without_a_gradient(
    name: str, options: dict[str, float], d1: int, d2: int, b: int
) -> None:
    needs = {
        "infonce": 1, "siglip": 1, "mse": 1, "cosine": 1, "unbiased_cka": 4,
    }.get(name, 2)  # fmt: skip
    h1, h2 = activations(6, d1, d2, b=b)
    output = fixed(name, options).value_and_gradients(h1, h2, h1.new_zeros(M, 0))
    if b < needs:
        assert output.value.isnan().all()
        assert not output.grad_1.any()
        assert not output.grad_2.any()
    else:
        assert all(tensor.isfinite().all() for tensor in fields(output))


def test_infonce_of_one_sample_is_0() -> None:
    h1, h2 = activations(7, 4, 4, b=1)
    output = build_loss("infonce").value_and_gradients(h1, h2, h1.new_zeros(M, 0))
    torch.testing.assert_close(output.value, h1.new_zeros(M), atol=1e-12, rtol=0.0)
    torch.testing.assert_close(output.grad_1, torch.zeros_like(h1), atol=1e-12, rtol=0.0)


@pytest.mark.parametrize("temperature", [0.025, 0.01, 0.005])
def test_infonce_survives_the_worst_batch_in_float32(temperature: float) -> None:
    # Every sample opposite to its own pair and to all others: the smallest exponentials there are.
    h1 = torch.ones(1, 4, 6)
    h1[:, 0] = torch.linspace(0.9, 1.1, 6)
    h2 = -h1 * torch.linspace(1.0, 3.0, 6)
    output = build_loss("infonce", {"temperature": temperature}).value_and_gradients(
        h1, h2, torch.zeros(1, 0)
    )
    expected = reference.infonce(h1[0].T.double(), h2[0].T.double(), temperature)
    torch.testing.assert_close(output.value[0].double(), expected, rtol=2e-4, atol=1e-5)
    assert output.grad_1.isfinite().all()


@pytest.mark.parametrize("name", ["cka", "unbiased_cka", "gram", "infonce", "deep_cca"])
@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_scale_free_losses_survive_any_scale_in_float32(name: str, size: float) -> None:
    h1, h2 = activations(8, 4, 4, b=30, dtype=torch.float32)
    nothing = torch.zeros(M, 0)
    plain = build_loss(name).value_and_gradients(h1, h2, nothing)
    scaled = build_loss(name).value_and_gradients(size * h1, h2, nothing)
    torch.testing.assert_close(scaled.value, plain.value, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(size * scaled.grad_1, plain.grad_1, rtol=1e-2, atol=1e-5)


def test_unbiased_cka_of_nearly_constant_float32_features_is_not_their_rounding() -> None:
    # In published code such features can score -1.
    h1, h2 = activations(9, 4, 4, b=64, dtype=torch.float32)
    shifted = (1e-3 * h1 + 10.0).to(torch.float32)
    loss, nothing = build_loss("unbiased_cka"), torch.zeros(M, 0)
    exact = loss.value_and_gradients(shifted.double(), h2.double(), nothing.double()).value
    single = loss.value_and_gradients(shifted, h2, nothing).value
    torch.testing.assert_close(single.double(), exact, rtol=1e-3, atol=1e-3)


def test_unbiased_cka_is_1_in_expectation_under_independence() -> None:
    generator = torch.Generator().manual_seed(0)
    h1 = torch.randn(400, 20, 24, generator=generator)
    h2 = torch.randn(400, 20, 24, generator=generator)
    nothing = torch.zeros(400, 0)
    unbiased = build_loss("unbiased_cka").value_and_gradients(h1, h2, nothing).value
    biased = build_loss("cka").value_and_gradients(h1, h2, nothing).value
    assert abs(float(unbiased.mean()) - 1.0) < 4 * float(unbiased.std()) / 20
    assert float(biased.mean()) < 0.6


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), name=st.sampled_from(sorted(LOSSES)))
def test_the_order_of_the_samples_does_not_matter(seed: int, name: str) -> None:
    h1, h2 = activations(seed, 4, 4)
    order = torch.randperm(B, generator=torch.Generator().manual_seed(seed))
    loss, nothing = fixed(name, {}), h1.new_zeros(M, 0)
    output = loss.value_and_gradients(h1, h2, nothing)
    shuffled = loss.value_and_gradients(h1[:, :, order], h2[:, :, order], nothing)
    torch.testing.assert_close(shuffled.value, output.value, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(shuffled.grad_1, output.grad_1[:, :, order], rtol=1e-7, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), name=st.sampled_from(sorted(LOSSES)))
def test_the_two_sides_are_alike(seed: int, name: str) -> None:
    h1, h2 = activations(seed, 4, 4)
    loss, nothing = fixed(name, {}), h1.new_zeros(M, 0)
    one, other = (loss.value_and_gradients(*pair, nothing) for pair in ((h1, h2), (h2, h1)))
    torch.testing.assert_close(one.value, other.value, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(one.grad_1, other.grad_2, rtol=1e-7, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    name=st.sampled_from(["cka", "unbiased_cka", "gram", "soft_knn", "uniformity", "deep_cca"]),
)
def test_rotating_one_side_changes_nothing(seed: int, name: str) -> None:
    h1, h2 = activations(seed, 4, 5)
    generator = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64)).Q
    loss, nothing = build_loss(name), h1.new_zeros(M, 0)
    plain = loss.value_and_gradients(h1, h2, nothing)
    rotated = loss.value_and_gradients(rotation @ h1, h2, nothing)
    torch.testing.assert_close(rotated.value, plain.value, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(rotated.grad_1, rotation @ plain.grad_1, rtol=1e-6, atol=1e-8)


def test_deep_cca_without_a_ridge_is_scikit_learns_cca() -> None:
    h1, h2 = activations(10, 3, 4, b=60)
    values = build_loss("deep_cca", {"ridge": 1e-6}).value_and_gradients(h1, h2, h1.new_zeros(M, 0))
    for i in range(M):
        x, y = h1[i].T.numpy(), h2[i].T.numpy()
        scores = CCA(n_components=3, max_iter=5000, tol=1e-12).fit(x, y).transform(x, y)
        correlations = [np.corrcoef(scores[0][:, k], scores[1][:, k])[0, 1] for k in range(3)]
        assert float(values.value[i]) == pytest.approx(1 - sum(correlations) / 3, abs=1e-4)


def test_a_learned_temperature_at_its_bound_can_only_come_back() -> None:
    loss = build_loss("infonce", {"learned": True, "max_scale": 20.0})
    parameters = torch.full((2, 1), math.log(25.0), dtype=torch.float64)
    h1, h2 = activations(11, 4, 4, m=2)
    h2[0] = h1[0]  # perfectly aligned: a higher scale would be better still
    h2[1] = -h1[1]  # opposed: a lower scale is better
    output = loss.value_and_gradients(h1, h2, parameters)
    assert float(output.grad_parameters[0, 0]) == 0.0
    assert float(output.grad_parameters[1, 0]) > 0.0
    expected = reference.infonce(h1[1].T, h2[1].T, 1 / 20.0)
    torch.testing.assert_close(output.value[1], expected)
