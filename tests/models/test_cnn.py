"""Packed convolutional encoders: their layers, gradients and sizes, by torch's own modules."""

from typing import Any

import numpy as np
import pytest
import torch
from reference_cnns import TorchCnn
from torch import Tensor

from raysweep.data.images import Images
from raysweep.errors import InputError
from raysweep.models import cnn, held
from raysweep.models.cnn import Cnn

M, N = 3, 20
IMAGES = Images(2, 9, 6)


def encoder(**options: Any) -> Cnn:
    return Cnn(IMAGES, **{"depth": 3, "width": 4, **options})


def rows() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(M, N, IMAGES.columns, generator=generator, dtype=torch.float64)


def weights(of: Cnn) -> Tensor:
    drawn = [of.initial_parameters(np.random.default_rng(seed)) for seed in range(M)]
    return torch.from_numpy(np.stack(drawn))


def layers_and_gradient(of: Cnn) -> list[Tensor]:
    """All layers, and the gradient of a random function of them."""
    parameters = weights(of).requires_grad_()
    layers = of.forward(parameters, rows())
    generator = torch.Generator().manual_seed(2)
    pull = [torch.randn(h.shape, generator=generator, dtype=h.dtype) for h in layers]
    total = sum((p * h).sum() for p, h in zip(pull, layers, strict=True))
    return [*layers, *torch.autograd.grad(total, parameters)]


@pytest.mark.parametrize("pool", ["max", "mean", "none"])
@pytest.mark.parametrize("most", [0, 10**9], ids=["one_after_another", "unfolded"])
def test_both_ways_give_what_torchs_modules_give(
    monkeypatch: pytest.MonkeyPatch, pool: str, most: int
) -> None:
    monkeypatch.setattr(cnn, "_FEW_PIXELS", most)
    monkeypatch.setattr(cnn, "_FEW_NUMBERS", most)
    of = encoder(pool=pool, kernel_size=5 if pool == "mean" else 3)
    *layers, gradient = layers_and_gradient(of)
    generator = torch.Generator().manual_seed(2)
    pull = [torch.randn(h.shape, generator=generator, dtype=h.dtype) for h in layers]
    for member, flat in enumerate(weights(of)):
        module = TorchCnn(of, 1).double()
        module.load(torch.cat((flat, torch.zeros(module.head_size, dtype=flat.dtype))))
        own = module.layers(rows()[member])
        for one, other in zip(layers, own, strict=True):
            torch.testing.assert_close(one[member].mT, other, atol=1e-12, rtol=0)
        total = sum((p[member].mT * h).sum() for p, h in zip(pull, own, strict=True))
        found = torch.autograd.grad(total, module.weights())
        expected = torch.cat([g.flatten() for g in found])
        torch.testing.assert_close(gradient[member], expected, atol=1e-11, rtol=0)


def test_without_a_graph_rows_go_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    of = encoder()
    whole = of.forward(weights(of).requires_grad_(), rows())
    monkeypatch.setattr(held, "_PART_BYTES", 1)
    for one, other in zip(whole, of.forward(weights(of), rows()), strict=True):
        torch.testing.assert_close(one.detach(), other, atol=1e-12, rtol=0)


def test_initial_weights_are_distributed_as_torchs() -> None:
    of = encoder(width=40)
    flat, at = torch.from_numpy(of.initial_parameters(np.random.default_rng(0))), 0
    torch.manual_seed(0)
    for theirs in TorchCnn(of, 1).weights():
        mine = flat[at : at + theirs.numel()]
        at += theirs.numel()
        assert mine.abs().max() <= theirs.abs().max() * 1.2
        if theirs.numel() >= 500:
            assert mine.std().item() == pytest.approx(theirs.std().item(), rel=0.1)
    assert at == len(flat) == of.parameter_count


def test_activations_count_what_the_graph_holds() -> None:
    # Images of four times the pixels keep four times as much.
    small, large = (Cnn(Images(3, side, side), 2, 8).activations for side in (16, 32))
    assert large == pytest.approx(4 * small, rel=0.1)
    assert small > 16 * 16 * 8


def test_a_kernel_has_a_middle() -> None:
    with pytest.raises(InputError, match="kernel_size is 4; expected an odd number, 5, say"):
        encoder(kernel_size=4)
