"""Every alignment loss by name, with its options, meaning and source.

Placebo forcing (shuffled pairs) is an arm of the trainer, for any loss; so is the layer the loss
acts on: it is given that layer's activations.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from raysweep.errors import InputError
from raysweep.losses.base import AlignmentLoss
from raysweep.losses.cka import LinearCKA
from raysweep.losses.custom import load_custom
from raysweep.losses.deep_cca import DeepCCA
from raysweep.losses.gram import GramMatching
from raysweep.losses.heads import Projected
from raysweep.losses.infonce import InfoNCE
from raysweep.losses.one_way import OneWay
from raysweep.losses.paired import CosineDistance, MeanSquaredError
from raysweep.losses.pairwise import members_at_once
from raysweep.losses.redundancy import BarlowTwins, VICReg
from raysweep.losses.siglip import SigLIP
from raysweep.losses.soft_knn import SoftKNN
from raysweep.losses.uniformity import Uniformity
from raysweep.plugins.options import Option, Value, resolve


@dataclass(frozen=True)
class LossEntry:
    """One alignment loss a study can name.

    Attributes:
        name: As written in a study file.
        build: Makes the loss from its own options.
        equal_widths: Whether both sides must have as many features (see `projection`).
        favours: The metric nearest to what it optimises: judge it by another one as well.
        meaning: What it forces, in a line.
        source: Where it is defined.
        options: Its own options; every loss also takes `COMMON_OPTIONS`.
        pairwise: Whether it compares all samples of a batch with all, in [b, b] matrices.
    """

    name: str
    build: Callable[..., AlignmentLoss]
    equal_widths: bool
    favours: str
    meaning: str
    source: str
    options: tuple[Option, ...] = ()
    pairwise: bool = False


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

_ENTRIES = (
    LossEntry(
        name="infonce",
        build=InfoNCE,
        equal_widths=True,
        pairwise=True,
        favours="mutual_knn",
        meaning="each sample finds its pair among the batch by cosine, in both directions",
        source="van den Oord et al. 2018, arXiv 1807.03748; CLIP, arXiv 2103.00020",
        options=(
            Option(
                "temperature",
                0.07,
                "divides the cosines; where a learned one starts; float64 below 0.025",
                low=0.005,
                high=100.0,
            ),
            Option("learned", False, "learn the temperature, one per member"),
            Option(
                "max_scale",
                100.0,
                "upper bound of a learned 1 / temperature; float64 above 40",
                low=1.0,
                high=200.0,
            ),
        ),
    ),
    LossEntry(
        name="siglip",
        build=SigLIP,
        equal_widths=True,
        pairwise=True,
        favours="mutual_knn",
        meaning="every pair of the batch classified as matching or not by cosine",
        source="Zhai et al. 2023, arXiv 2303.15343",
        options=(
            Option("scale", 10.0, "multiplies the cosines; where a learned one starts", 0.01, 200),
            Option("bias", -10.0, "added to the logits; where a learned one starts", -100, 100),
            Option("learned", True, "learn scale and bias, one of each per member"),
        ),
    ),
    LossEntry(
        name="cka",
        build=LinearCKA,
        equal_widths=False,
        favours="cka",
        meaning="1 - linear CKA of the batch",
        source="Kornblith et al. 2019, arXiv 1905.00414",
    ),
    LossEntry(
        name="unbiased_cka",
        build=lambda: LinearCKA(unbiased=True),
        equal_widths=False,
        favours="unbiased_cka",
        meaning="1 - unbiased linear CKA of the batch",
        source="Song et al. 2012, JMLR 13; Nguyen et al. 2021, arXiv 2010.15327",
    ),
    LossEntry(
        name="mse",
        build=MeanSquaredError,
        equal_widths=True,
        favours="alignment",
        meaning="mean squared difference of paired features",
        source="classical",
    ),
    LossEntry(
        name="cosine",
        build=CosineDistance,
        equal_widths=True,
        favours="alignment",
        meaning="1 - cosine of paired samples",
        source="Wang and Isola 2020, arXiv 2005.10242 (alignment, halved)",
    ),
    LossEntry(
        name="vicreg",
        build=VICReg,
        equal_widths=True,
        favours="mean_cca",
        meaning="pairs close, every feature varying, features uncorrelated",
        source="Bardes et al. 2022, arXiv 2105.04906",
        options=(
            Option("invariance", 25.0, "weight of the distance of pairs", 0, 1e6),
            Option("variance", 25.0, "weight of the shortfall of deviations below 1", 0, 1e6),
            Option("covariance", 1.0, "weight of the covariances between features", 0, 1e6),
        ),
    ),
    LossEntry(
        name="barlow_twins",
        build=BarlowTwins,
        equal_widths=True,
        favours="mean_cca",
        meaning="cross-correlation of the features driven to the identity",
        source="Zbontar et al. 2021, arXiv 2103.03230",
        options=(Option("redundancy", 0.005, "weight of the off-diagonal", 0, 1e3),),
    ),
    LossEntry(
        name="deep_cca",
        build=DeepCCA,
        equal_widths=False,
        favours="mean_cca",
        meaning="1 - mean canonical correlation of the batch, with a ridge",
        source="Andrew et al. 2013, ICML",
        options=(
            Option(
                "ridge",
                1e-3,
                "added to each covariance's diagonal, in units of the side's mean variance",
                low=1e-6,
                high=10.0,
            ),
            Option(
                "components", 0, "leading correlations averaged; 0: the narrower width", 0, 65536
            ),
        ),
    ),
    LossEntry(
        name="soft_knn",
        build=SoftKNN,
        equal_widths=False,
        pairwise=True,
        favours="mutual_knn",
        meaning="soft neighbourhoods of each sample made the same in both modalities",
        source="Hinton and Roweis 2002 (neighbour distribution); Huh et al. 2024, arXiv 2405.07987",
        options=(
            Option(
                "temperature",
                0.1,
                "divides the cosines: the size of a neighbourhood; float64 below 0.025",
                low=0.005,
                high=100.0,
            ),
        ),
    ),
    LossEntry(
        name="gram",
        build=GramMatching,
        equal_widths=False,
        favours="rsa",
        meaning="cosines between samples made the same in both modalities",
        source="Tung and Mori 2019, arXiv 1907.09682 (variant)",
    ),
    LossEntry(
        name="uniformity",
        build=Uniformity,
        equal_widths=False,
        pairwise=True,
        favours="uniformity",
        meaning="control: spreads each modality over the sphere, aligns nothing",
        source="Wang and Isola 2020, arXiv 2005.10242",
        options=(Option("sharpness", 2.0, "t in exp(-t * squared distance)", 0.01, 100),),
    ),
)

LOSSES: Mapping[str, LossEntry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})


def build_loss(name: str, options: Mapping[str, object] | None = None) -> AlignmentLoss:
    """Make an alignment loss from what a study file says.

    Args:
        name: A key of `LOSSES`, or "package.module:function" for a function of one's own (see
            `CustomLoss`).
        options: The loss's own options and `COMMON_OPTIONS`, by name. A user's function takes
            `CUSTOM_OPTIONS` besides, and gets any other option as a keyword argument.

    Raises:
        InputError: The name or an option is unknown, or a value is not allowed.
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
