"""Every alignment loss by name, with its options, meaning and source."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from raysweep.errors import InputError
from raysweep.objective.base import AlignmentLoss
from raysweep.objective.cka import LinearCKA
from raysweep.objective.heads import Projected
from raysweep.objective.infonce import InfoNCE
from raysweep.objective.one_way import OneWay
from raysweep.objective.options import Option, OptionValue, resolve


@dataclass(frozen=True)
class LossEntry:
    """One alignment loss a study can name.

    Attributes:
        name: As written in a study file.
        build: Makes the loss from its own options.
        options: Its own options; every loss also takes `COMMON_OPTIONS`.
        equal_widths: Whether both sides must have as many features (see `projection`).
        raises: The metric of `raysweep.metrics` that falls short where this loss is high.
        meaning: What it forces, in a line.
        source: Where it is defined.
    """

    name: str
    build: Callable[..., AlignmentLoss]
    options: tuple[Option, ...]
    equal_widths: bool
    raises: str
    meaning: str
    source: str


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
        "one-way alignment: the modality whose encoder gets no gradient",
        choices=("none", "1", "2"),
    ),
)

_ENTRIES = (
    LossEntry(
        name="infonce",
        build=InfoNCE,
        options=(
            Option(
                "temperature",
                0.07,
                "divides the cosines; below 0.025 computed in float64",
                low=0.005,
                high=100.0,
            ),
        ),
        equal_widths=True,
        raises="mutual_knn",
        meaning="each sample finds its pair among the batch by cosine, in both directions",
        source="van den Oord et al. 2018, arXiv 1807.03748; CLIP, arXiv 2103.00020",
    ),
    LossEntry(
        name="cka",
        build=LinearCKA,
        options=(),
        equal_widths=False,
        raises="cka",
        meaning="1 - linear CKA of the batch",
        source="Kornblith et al. 2019, arXiv 1905.00414",
    ),
    LossEntry(
        name="unbiased_cka",
        build=lambda: LinearCKA(unbiased=True),
        options=(),
        equal_widths=False,
        raises="unbiased_cka",
        meaning="1 - unbiased linear CKA of the batch",
        source="Song et al. 2012, JMLR 13; Nguyen et al. 2021, arXiv 2010.15327",
    ),
)

LOSSES: Mapping[str, LossEntry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})


def build_loss(name: str, options: Mapping[str, object] | None = None) -> AlignmentLoss:
    """Make an alignment loss from what a study file says.

    Args:
        name: A key of `LOSSES`.
        options: The loss's own options and `COMMON_OPTIONS`, by name.

    Raises:
        InputError: The name or an option is unknown, or a value is not allowed.
    """
    place = f"loss {name}"
    if name not in LOSSES:
        raise InputError(f"{place}: no such loss; the losses are {', '.join(LOSSES)}")
    entry = LOSSES[name]
    settings = resolve((*entry.options, *COMMON_OPTIONS), options or {}, place)
    common = {option.name: settings.pop(option.name) for option in COMMON_OPTIONS}
    return _with_common(name, entry.build(**settings), entry.equal_widths, common)


def _with_common(
    name: str, core: AlignmentLoss, equal_widths: bool, common: Mapping[str, OptionValue]
) -> AlignmentLoss:
    projection: Any = common["projection"]
    stopped: Any = common["stop_gradient"]
    if common["projection_dim"] and projection not in ("linear", "mlp"):
        raise InputError(
            f"loss {name}: projection_dim is {common['projection_dim']} but projection is "
            f"{projection!r}; projection_dim needs projection linear or mlp"
        )
    loss: AlignmentLoss = core
    if projection != "none" or equal_widths:
        loss = Projected(name, core, equal_widths, projection, int(common["projection_dim"]))
    return loss if stopped == "none" else OneWay(loss, stopped)
