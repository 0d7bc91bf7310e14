"""Every alignment loss by name, with its options, meaning and source.

Placebo forcing (shuffled pairs) is an arm of the trainer, for any loss; so is the layer the loss
acts on: it is given that layer's activations.
"""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from raysweep.errors import InputError
from raysweep.losses.base import AlignmentLoss, LossEntry
from raysweep.losses.custom import load_custom
from raysweep.losses.heads import Projected
from raysweep.losses.one_way import OneWay
from raysweep.losses.pairwise import members_at_once
from raysweep.plugins.options import Option, Value, resolve

COMMON_OPTIONS = (
    Option(
        "projection",
        "auto",
        "learned heads between the representations and the loss; auto: one linear head from the "
        "wider to the narrower side where the loss needs equal widths and they differ",
        choices=("auto", "none", "linear", "mlp"),
    ),
    Option(
        "projection_dim",
        0,
        "features of the projections of linear and mlp; 0: the narrower width",
        low=0,
        high=65536,
    ),
    Option(
        "stop_gradient",
        "none",
        "one-way alignment: the modality whose encoder gets no gradient; of several modalities the "
        "earlier (1) or the later (2) of each pair",
        choices=("none", "1", "2"),
    ),
)

CUSTOM_OPTIONS = (
    Option(
        "packed",
        False,
        "a user's own function takes the whole pack, [m, b, d], and returns [m]; false: one "
        "member at a time, [b, d], and returns a scalar",
    ),
)

_MODULES = (
    "infonce",
    "siglip",
    "cka",
    "paired",
    "redundancy",
    "deep_cca",
    "soft_knn",
    "gram",
    "uniformity",
)
"""Modules of losses; each says in `ENTRIES` what a study file may name of it."""

LOSSES: Mapping[str, LossEntry] = MappingProxyType(
    {
        entry.name: entry
        for module in _MODULES
        for entry in import_module(f"raysweep.losses.{module}").ENTRIES
    }
)


def build_loss(name: str, options: Mapping[str, object] | None = None) -> AlignmentLoss:
    """Make an alignment loss from what a study file says.

    Args:
        name: A key of `LOSSES`, or "package.module:function" for a function of one's own (see
            `CustomLoss`).
        options: The loss's own options and `COMMON_OPTIONS`, by name. A user's function takes
            `CUSTOM_OPTIONS` besides, and gets any other option as a keyword argument.

    Raises:
        InputError: The name or an option is unknown, or a value is not allowed.

    Example:
        >>> import torch
        >>> from raysweep import losses
        >>> loss = losses.build_loss("cka")
        >>> h = torch.randn(1, 4, 16, generator=torch.Generator().manual_seed(0))
        >>> abs(round(float(loss.value_and_gradients(h, h, torch.empty(1, 0)).value), 6))
        0.0
    """
    place, given = f"loss {name}", dict(options or {})
    if ":" in name:
        declared = (*CUSTOM_OPTIONS, *COMMON_OPTIONS)
        reserved = {option.name for option in declared}
        own = {key: given.pop(key) for key in list(given) if key not in reserved}
        settings = resolve(declared, given, place)
        core: AlignmentLoss = load_custom(name, bool(settings.pop("packed")), own)
        return _with_common(name, core, equal_widths=False, common=settings)
    if name not in LOSSES:
        raise InputError(
            f"{place}: no such loss; the losses are {', '.join(LOSSES)}, "
            "or a function of your own as package.module:function"
        )
    entry = LOSSES[name]
    settings = resolve((*entry.options, *COMMON_OPTIONS), given, place)
    common = {option.name: settings.pop(option.name) for option in COMMON_OPTIONS}
    return _with_common(name, entry.build(**settings), entry.equal_widths, common)


def pairwise_elements(name: str, members: int, batch: int, on_cpu: bool) -> int:
    """Numbers in one samples-by-samples matrix of all members that a loss holds at once.

    The losses here handle a few members at a time (`raysweep.losses.pairwise`); a function of a
    user's own may compare all samples of all members.

    Args:
        name: As for `build_loss`.
        members: Those that have the loss.
        batch: Rows of a batch.
        on_cpu: Whether the device is the CPU.
    """
    if name in LOSSES and not LOSSES[name].pairwise:
        return 0
    at_once = members_at_once(batch, on_cpu) if name in LOSSES else members
    return min(members, at_once) * batch**2


def _with_common(
    name: str, core: AlignmentLoss, equal_widths: bool, common: Mapping[str, Value]
) -> AlignmentLoss:
    projection: Any = common["projection"]
    stopped: Any = common["stop_gradient"]
    dim: Any = common["projection_dim"]
    if dim and projection not in ("linear", "mlp"):
        raise InputError(
            f"loss {name}: projection_dim is {dim} but projection is "
            f"{projection!r}; projection_dim needs projection linear or mlp"
        )
    loss = Projected(name, core, equal_widths, projection, dim)
    return loss if stopped == "none" else OneWay(loss, stopped)
