"""The architecture that a study names."""

from collections.abc import Sequence

from raysweep.errors import InputError
from raysweep.models.architecture import Architecture
from raysweep.models.custom import custom_encoder
from raysweep.models.encoders import EncoderPair
from raysweep.models.shape import MultimodalShape
from raysweep.study.cells import Cell
from raysweep.study.spec import MLP, ModelGrid


def named_architecture(
    model: ModelGrid, cell: Cell, inputs: Sequence[int], classes: int
) -> Architecture:
    """The members' architecture in a cell.

    Args:
        model: the study's model grid, which has the encoder's options.
        cell: has the encoder, the depths and the widths.
        inputs: features of modality 1, 2, ...
        classes: number of classes, or 1 where heads predict a number.

    Raises:
        InputError: there is no such encoder, or it cannot be called so.
    """
    further = len(inputs) - 1
    depths = (cell.depth_1, *[cell.depth_2] * further)
    widths = (cell.width_1, *[cell.width_2] * further)
    if cell.encoder == MLP:
        return MultimodalShape(inputs, classes, depths, widths)
    if ":" not in cell.encoder:
        raise InputError(
            f"no encoder {cell.encoder!r}; there is {MLP}, or a function of your own as "
            "package.module:function"
        )
    scales = zip(inputs, depths, widths, strict=True)
    return EncoderPair(
        tuple(custom_encoder(cell.encoder, *scale, model.options) for scale in scales), classes
    )
