"""Whether a user's own encoder can be packed: checked on a few rows before anything is trained."""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from raysweep.errors import InputError
from raysweep.models.custom import CustomEncoder

_ROWS = 5
_SEEDS = (1, 2)
_TOLERANCE = 1e-3
"""Of a difference, by the largest number: rounding in float32 is far below, a mistake above."""


def check_packing(encoder: CustomEncoder, dtype: torch.dtype) -> None:
    """Check that members of a pack can be trained as they would be by themselves.

    Args:
        encoder: the user's.
        dtype: in which it will be trained.

    Raises:
        InputError: what it returns, holds or does cannot be packed; says why.
        Exception: whatever the user's code raises.
    """
    place = encoder.place
    first, again, second = (encoder.built(seed) for seed in (_SEEDS[0], *_SEEDS))
    _check_parameters(place, first)
    frozen = [[p.requires_grad for p in module.parameters()] for module in (first, again, second)]
    if not frozen[0] == frozen[1] == frozen[2]:
        raise InputError(
            f"{place}: modules of two seeds freeze other parameters; a pack freezes the same ones "
            "of all members"
        )
    names = [list(module.state_dict()) for module in (first, again, second)]
    if not names[0] == names[1] == names[2] or not _same(first, again, nn.Module.parameters):
        raise InputError(
            f"{place}: two modules of one seed have different initial weights; draw them from "
            "torch's default generator, which is seeded for every member"
        )
    if _same(first, second, nn.Module.parameters):
        raise InputError(
            f"{place}: the initial weights are the same whatever the seed; draw them from torch's "
            "default generator without seeding it"
        )
    if not _same(first, second, nn.Module.buffers):
        raise InputError(
            f"{place}: a buffer differs between two seeds; a pack has one copy of every buffer, "
            "so make it constant, or a parameter"
        )
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(_ROWS, encoder.inputs, generator=generator).to(dtype)
    ran = [_run_alone(encoder, module.to(dtype), x) for module in (first, second)]
    _check_packed(encoder, torch.stack([_flat(module) for module in (first, second)]), x, ran)


def _check_parameters(place: str, module: nn.Module) -> None:
    parameters = dict(module.named_parameters())
    if not any(parameter.requires_grad for parameter in parameters.values()):
        frozen = "only frozen parameters" if parameters else "no parameters"
        raise InputError(f"{place}: the module has {frozen}; there is nothing to train")
    for name, parameter in parameters.items():
        if is_lazy(parameter):
            raise InputError(
                f"{place}: parameter {name} has no shape before the first call; give the layer "
                "its input size instead of a lazy one"
            )
        if not parameter.is_floating_point():
            raise InputError(
                f"{place}: parameter {name} is {parameter.dtype}; a pack trains real floating "
                "numbers only"
            )


def _run_alone(encoder: CustomEncoder, module: nn.Module, x: Tensor) -> list[Tensor]:
    """What one member's module returns, as torch runs it."""
    place = encoder.place
    before = [buffer.clone() for buffer in module.buffers()]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        state = torch.get_rng_state()
        hidden = encoder.hidden(module, x)
        drew = not torch.equal(state, torch.get_rng_state())
        few = None if drew else encoder.hidden(module, x[:2])
    if drew:
        raise InputError(
            f"{place}: the module draws random numbers when it is called, as dropout does; what a "
            "member computes may depend on its weights and its rows alone, so leave that out, or "
            "put that part in evaluation by its eval()"
        )
    changed = [not torch.equal(a, b) for a, b in zip(before, module.buffers(), strict=True)]
    if any(changed):
        names = [name for name, _ in module.named_buffers()]
        words = ", ".join(itertools.compress(names, changed))
        raise InputError(
            f"{place}: the module changes its buffers when it is called ({words}), as BatchNorm "
            "does with its running statistics; freeze it by its eval(), or take a layer without, "
            "such as LayerNorm or GroupNorm"
        )
    if few is not None and not all(_near(h[:2], own) for h, own in zip(hidden, few, strict=True)):
        raise InputError(
            f"{place}: what the module returns for a row depends on the other rows of the batch, "
            "as with BatchNorm; rows are measured in batches of other sizes than in training, so "
            "take a layer that treats every row by itself, such as LayerNorm or GroupNorm"
        )
    return hidden


def _check_packed(
    encoder: CustomEncoder, flat: Tensor, x: Tensor, expected: list[list[Tensor]]
) -> None:
    """Check a pack of two members, forwards and backwards, against each alone."""
    place = encoder.place
    leaf = flat.requires_grad_()
    try:
        with torch.enable_grad():
            hidden = encoder.forward(leaf, x.expand(len(flat), -1, -1))
            trained = [layer for layer in hidden if layer.requires_grad]
            # Behind frozen parameters alone a layer has nothing to be differentiated by.
            differentiable = hidden[-1].requires_grad and (
                len(trained) == len(hidden) or bool(encoder.frozen)
            )
            if differentiable:
                torch.autograd.grad([layer.sum() for layer in trained], leaf)
    except InputError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        raise InputError(
            f"{place}: runs alone, but not packed by torch.func.vmap ({type(error).__name__}: "
            f"{message})"
        ) from error
    if not differentiable:
        raise InputError(
            f"{place}: what the module returns does not depend on the parameters in a way that "
            "torch can differentiate; compute it with torch operations, without detach or item"
        )
    for layers in zip(hidden, *expected, strict=True):
        if not all(_near(layers[0][i].mT, own) for i, own in enumerate(layers[1:])):
            raise InputError(
                f"{place}: members give other numbers packed by torch.func.vmap than alone; the "
                "module must keep nothing between calls besides its parameters"
            )


def _flat(module: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])


def _near(one: Tensor, other: Tensor) -> bool:
    """Equal up to rounding; where neither is finite nothing can be told."""
    scale = float(other.detach().abs().nan_to_num().max())
    return torch.allclose(one, other, rtol=0, atol=_TOLERANCE * scale, equal_nan=True)


def _same(one: nn.Module, other: nn.Module, of: Callable[[nn.Module], object]) -> bool:
    pairs = zip(of(one), of(other), strict=True)  # type: ignore[call-overload]
    return all(torch.equal(a, b) for a, b in pairs)
