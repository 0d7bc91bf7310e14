"""The architecture that a study names."""

from collections.abc import Mapping, Sequence
from typing import Any

from raysweep.data.views import Features
from raysweep.errors import InputError
from raysweep.models.architecture import Architecture
from raysweep.models.cnn import Cnn
from raysweep.models.custom import custom_encoder
from raysweep.models.encoders import EncoderPair
from raysweep.models.layout import NEGATIVE_SLOPE
from raysweep.models.shape import MLP, MultimodalShape
from raysweep.models.stacked import StackedEncoder, StackedEncoders
from raysweep.models.transformer import Transformer
from raysweep.plugins.options import resolve
from raysweep.study.cells import Cell
from raysweep.study.encoders import BUILT_IN, CNN, LINEAR, TRANSFORMER, VIT, options_of
from raysweep.study.spec import ModelGrid
from raysweep.study.spec.fields import listed


def named_architecture(
    model: ModelGrid, cell: Cell, features: Sequence[Features], classes: int
) -> Architecture:
    """The members' architecture in a cell.

    Args:
        model: the study's model grid, which has the encoders' options.
        cell: has the encoder, the depths and the widths.
        features: of modality 1, 2, ...
        classes: number of classes, or 1 where heads predict a number.

    Raises:
        InputError: there is no such encoder, or it cannot be called so.
    """
    further = len(features) - 1
    depths = (cell.depth_1, *[cell.depth_2] * further)
    widths = (cell.width_1, *[cell.width_2] * further)
    options = options_of(model, cell.encoder)
    if cell.encoder in BUILT_IN:
        return built_in(cell.encoder, features, classes, depths, widths, options)
    if ":" not in cell.encoder:
        raise InputError(
            f"no encoder {cell.encoder!r}; there are {listed(BUILT_IN)}, or a function of "
            "your own as package.module:function"
        )
    scales = zip(_rows(cell.encoder, features), depths, widths, strict=True)
    return EncoderPair(
        tuple(custom_encoder(cell.encoder, *scale, options) for scale in scales), classes
    )


def built_in(
    encoder: str,
    features: Sequence[Features],
    classes: int,
    depths: Sequence[int],
    widths: Sequence[int],
    options: Mapping[str, object],
    first: int = 1,
) -> Architecture:
    """Encoders of one kind that is built in.

    Args:
        encoder: its name in `raysweep.study.encoders.BUILT_IN`.
        features: of each modality.
        classes: number of classes, or 1 where heads predict a number.
        depths: hidden layers of each encoder, or blocks.
        widths: units of each layer.
        options: of the encoder.
        first: see `Architecture`.

    Raises:
        InputError: options or sizes that the encoder does not take.
    """
    given: dict[str, Any] = resolve(BUILT_IN[encoder], options, f"encoder {encoder}")
    scales = tuple(zip(features, depths, widths, strict=True))
    stacked: tuple[StackedEncoder, ...] = ()
    if encoder == TRANSFORMER:
        stacked = tuple(Transformer(*scale, **given) for scale in scales)
    elif any(of.images or (of.tokens and encoder == VIT) for of in features):
        of_images = {CNN: _cnn, VIT: _vit}.get(encoder)
        stacked = tuple(of_images(*scale, given) for scale in scales) if of_images else ()
    if stacked:
        return StackedEncoders(stacked, classes, first=first)
    slope = 1.0 if encoder == LINEAR else NEGATIVE_SLOPE
    return MultimodalShape(_rows(encoder, features), classes, depths, widths, first, slope)


def _cnn(of: Features, depth: int, width: int, given: dict[str, Any]) -> StackedEncoder:
    """The encoder of images, or of rows of features beside them."""
    if of.images is None:
        (columns,) = _rows(CNN, [of])
        return MLP(columns, depth, width)
    return Cnn(of.images, depth, width, **given)


def _vit(of: Features, depth: int, width: int, given: dict[str, Any]) -> StackedEncoder:
    """The encoder of images, or of sequences or rows of features beside them."""
    if of.layout is None:
        return MLP(of.columns, depth, width)
    return Transformer(
        of, depth, width, **given | {"feedforward": given["feedforward"] or 4 * width}
    )


def _rows(encoder: str, features: Sequence[Features]) -> list[int]:
    """Features of each modality, none of which is a sequence."""
    for number, of in enumerate(features, start=1):
        if of.tokens is not None:
            raise InputError(of.refused(encoder, f"x{number}"))
    return [of.columns for of in features]
