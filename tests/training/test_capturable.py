"""What of a training step a CUDA graph can hold: what is declared against what is found."""

from collections.abc import Callable

import pytest
import torch
from captures import BY_AUTOGRAD, CAPTURABLE, SHAPES, UNASKED, M, Watched, settings, trained
from replay import NotPermitted, OnDevice
from tiny_training import make_members

from raysweep.losses import LOSSES, build_loss
from raysweep.training.engine import AlignedMembers


def allowed(call: Callable[[], object], device: str) -> bool:
    try:
        with torch.no_grad(), OnDevice(device):
            call()
    except (NotPermitted, NotImplementedError, RuntimeError):
        return False
    return True


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: x.__setitem__(x > 0, x[0, 0]),
        lambda x: x.nonzero(),
        lambda x: x * torch.tensor(2.0),
        lambda x: x[[1, 0]],
        lambda x: torch.linalg.svd(x),
        lambda x: torch.linalg.eigh(x @ x.mT),
        lambda x: 1.0 if (x > 0).any() else 0.0,
    ],
)
def test_what_waits_for_the_device_is_refused(call: Callable[[torch.Tensor], object]) -> None:
    assert not allowed(lambda: call(torch.ones(3, 4)), "cpu")
    assert allowed(lambda: torch.ones(3, 4).add_(2.0)[torch.arange(2)], "cpu")


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize(
    ("loss", "options"),
    [
        *((name, {}) for name in LOSSES),
        ("infonce", {"learned": True, "projection": "mlp"}),
        ("infonce", {"temperature": 0.01, "stop_gradient": "1"}),
        ("siglip", {"learned": False, "projection": "linear", "stop_gradient": "2"}),
        ("deep_cca", {"projection": "linear", "stop_gradient": "2"}),
    ],
)
def test_a_loss_is_capturable_where_nothing_in_it_waits_for_the_device(
    loss: str, options: dict[str, object], device: str
) -> None:
    """On `meta` no value is there to be read, and a tensor of the host is another device's."""
    term = build_loss(loss, options)
    own = term.parameter_count(6, 6)
    for rows in (16, 1):
        given = [torch.rand(3, *size, device=device) for size in ((6, rows), (6, rows), (own,))]
        found = allowed(lambda given=given: term.value_and_gradients(*given), device)
        # A batch of one row may end early, before what cannot be captured.
        assert found == term.capturable or (found and rows == 1)


def test_functions_and_encoders_of_a_users_own_are_not_captured_unasked() -> None:
    assert not build_loss("torch.nn.functional:mse_loss").capturable
    assert not build_loss("torch.nn.functional:mse_loss", {"stop_gradient": "1"}).capturable
    assert BY_AUTOGRAD.capturable
    assert not UNASKED.capturable


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loss", CAPTURABLE)
def test_a_step_leaves_no_value_to_the_host(
    loss: str, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    members, graphs = make_members(M), Watched()
    strength, placebo = torch.as_tensor(members.strength), torch.as_tensor(members.placebo)
    here = AlignedMembers.of(strength, placebo)
    assert len(here.placebo)
    there = AlignedMembers(*(x.to("meta") for x in (here.rows, here.strength, here.placebo)))
    monkeypatch.setattr(AlignedMembers, "of", lambda strength, placebo: there)
    # On `meta` there are no values, so that the epoch ends where its sums are read.
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        trained(SHAPES[shape], settings(loss=loss, device="meta"), graphs, monkeypatch)
    assert graphs.steps == 3
