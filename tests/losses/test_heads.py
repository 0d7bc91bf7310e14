"""Projection heads, one-way alignment, and a user's own function."""

from pathlib import Path

import pytest
import reference_losses as reference
import torch
from tiny_activations import B, M, activations, initial

from raysweep.errors import InputError
from raysweep.losses import build_loss


@pytest.mark.parametrize("projection", ["linear", "mlp"])
@pytest.mark.parametrize("dim", [0, 5])
def test_heads_are_torch_modules_on_both_sides(projection: str, dim: int) -> None:
    loss = build_loss("cosine", {"projection": projection, "projection_dim": dim})
    h1, h2 = activations(0, 4, 3)
    parameters = initial(loss, 4, 3)
    output = loss.value_and_gradients(h1, h2, parameters)
    mlp, d_out = projection == "mlp", dim or 3
    first = 4 * d_out + (20 if mlp else 0)
    for i in range(M):
        z1 = reference.head(h1[i].T, parameters[i, :first], d_out, mlp)
        z2 = reference.head(h2[i].T, parameters[i, first:], d_out, mlp)
        torch.testing.assert_close(output.value[i], reference.cosine(z1, z2))


def test_auto_projects_the_wider_side_alone() -> None:
    loss = build_loss("mse")
    assert loss.parameter_count(4, 4) == 0
    assert loss.parameter_count(4, 3) == loss.parameter_count(3, 4) == 4 * 3
    h1, h2 = activations(1, 3, 4)
    parameters = initial(loss, 3, 4)
    output = loss.value_and_gradients(h1, h2, parameters)
    for i in range(M):
        z2 = reference.head(h2[i].T, parameters[i], 3, mlp=False)
        torch.testing.assert_close(output.value[i], reference.mse(h1[i].T, z2))


def test_auto_adds_nothing_where_widths_may_differ() -> None:
    assert build_loss("cka").parameter_count(4, 3) == 0


def test_unequal_widths_without_a_head_are_refused() -> None:
    loss = build_loss("infonce", {"projection": "none"})
    assert loss.parameter_count(4, 4) == 0
    with pytest.raises(InputError, match="layers have 4 and 3 features and projection is 'none'"):
        loss.parameter_count(4, 3)


def test_initial_parameters_follow_the_generator() -> None:
    loss = build_loss("siglip", {"projection": "mlp"})
    draws = initial(loss, 4, 3, m=2)
    assert torch.equal(draws, initial(loss, 4, 3, m=2))
    assert not torch.equal(draws[0], draws[1])
    # SigLIP's own two come first, and are no draw.
    torch.testing.assert_close(draws[:, :2].exp()[:, 0], torch.full((2,), 10.0).double())
    assert float(draws[:, 2:].abs().max()) <= 3**-0.5


@pytest.mark.parametrize("stopped", ["1", "2"])
@pytest.mark.parametrize("name", ["infonce", "vicreg", "deep_cca"])
def test_one_way_stops_one_side_and_changes_nothing_else(name: str, stopped: str) -> None:
    h1, h2 = activations(2, 4, 3)
    options = {"projection": "linear"}
    both = build_loss(name, options)
    one_way = build_loss(name, {**options, "stop_gradient": stopped})
    parameters = initial(one_way, 4, 3)
    expected = both.value_and_gradients(h1, h2, parameters)
    output = one_way.value_and_gradients(h1, h2, parameters)
    zero = torch.zeros_like
    assert torch.equal(output.grad_1, zero(h1) if stopped == "1" else expected.grad_1)
    assert torch.equal(output.grad_2, zero(h2) if stopped == "2" else expected.grad_2)
    assert torch.equal(output.value, expected.value)
    assert torch.equal(output.grad_parameters, expected.grad_parameters)


SOURCE = """
import torch

def centred_distance(h1, h2, weight=1.0):
    a, b = h1 - h1.mean(0), h2 - h2.mean(0)
    return weight * (a - b).square().mean()

def packed_distance(h1, h2):
    return (h1 - h2).square().mean((1, 2))

def one_sided(h1, h2):
    return h1.square().mean()

def undefined(h1, h2):
    return h1.sum() * float("nan")

def detached(h1, h2):
    return (h1 - h2).detach().square().mean()

def rows(h1, h2):
    return (h1 - h2).square().mean(1)

def a_number(h1, h2):
    return 0.5

NOT_A_FUNCTION = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_losses.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return "my_losses"


def test_a_users_function_is_differentiated_per_member(own: str) -> None:
    h1, h2 = activations(3, 4, 4)
    loss = build_loss(f"{own}:centred_distance", {"weight": 2.0})
    output = loss.value_and_gradients(h1, h2, h1.new_zeros(M, 0))
    difference = (h1 - h1.mean(2, keepdim=True)) - (h2 - h2.mean(2, keepdim=True))
    torch.testing.assert_close(output.value, 2.0 * difference.square().mean((1, 2)))
    torch.testing.assert_close(output.grad_1, 4.0 * difference / (4 * B))


def test_a_packed_function_equals_the_same_one_per_member(own: str) -> None:
    h1, h2 = activations(4, 4, 4)
    packed = build_loss(f"{own}:packed_distance", {"packed": True})
    output = packed.value_and_gradients(h1, h2, h1.new_zeros(M, 0))
    expected = build_loss("mse").value_and_gradients(h1, h2, h1.new_zeros(M, 0))
    torch.testing.assert_close(output.value, expected.value)
    torch.testing.assert_close(output.grad_2, expected.grad_2)


def test_a_users_function_takes_heads_and_one_way(own: str) -> None:
    loss = build_loss(f"{own}:centred_distance", {"projection": "linear", "stop_gradient": "2"})
    h1, h2 = activations(5, 4, 3)
    output = loss.value_and_gradients(h1, h2, initial(loss, 4, 3))
    assert output.grad_1.any()
    assert not output.grad_2.any()


def test_a_users_function_may_ignore_a_side_or_be_undefined(own: str) -> None:
    h1, h2 = activations(6, 4, 4)
    output = build_loss(f"{own}:one_sided").value_and_gradients(h1, h2, h1.new_zeros(M, 0))
    assert not output.grad_2.any()
    output = build_loss(f"{own}:undefined").value_and_gradients(h1, h2, h1.new_zeros(M, 0))
    assert output.value.isnan().all()
    assert not output.grad_1.any()


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("my_losses:", {}, "write package.module:function"),
        ("my losses:f", {}, "write package.module:function"),
        ("no_such_module:f", {}, "cannot import no_such_module"),
        ("my_losses:absent", {}, "my_losses has nothing of that name"),
        ("my_losses:NOT_A_FUNCTION", {}, "my_losses has int; it must be a function"),
        ("my_losses:centred_distance", {"wait": 2.0}, "its signature is centred_distance"),
        ("my_losses:centred_distance", {"packed": 1}, "packed is 1"),
    ],
)
def test_a_wrong_path_is_refused_when_built(
    own: str, path: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build_loss(path, options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("detached", {}, "does not depend on h1 or h2"),
        ("a_number", {}, "returned float"),
        ("rows", {}, r"returned shape \[9\] for inputs \[9, 4\] and \[9, 4\]; it must return one"),
        ("centred_distance", {"packed": True}, r"must return one value per member, shape \[m\]"),
    ],
)
def test_a_wrong_function_is_refused_when_called(
    own: str, name: str, options: dict[str, object], message: str
) -> None:
    h1, h2 = activations(7, 4, 4)
    loss = build_loss(f"{own}:{name}", options)
    with pytest.raises(InputError, match=message):
        loss.value_and_gradients(h1, h2, h1.new_zeros(M, 0))
