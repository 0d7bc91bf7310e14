"""Checks that columns of one modality are not given as a list, which is an axis of the grid."""

from collections.abc import Mapping, Sequence

from raysweep.data.chosen import MODALITIES
from raysweep.data.views import Views
from raysweep.study.spec.fields import Scalar
from raysweep.study.yaml_lines import Fault, Location


def listed_columns(
    axes: Mapping[str, Sequence[Scalar]], views: Sequence[Views], at: Location
) -> list[Fault]:
    """The faults of modalities that have one feature in every cell, and several values.

    Args:
        axes: the values of each parameter of a data block.
        views: of the block's cells.
        at: where the block stands.
    """
    faults = []
    for place, key in enumerate(MODALITIES):
        values = [value for value in axes.get(key, ()) if isinstance(value, str)]
        widths = {v.inputs[place].shape[1] for v in views if len(v.inputs) > place}
        if len(values) > 1 and widths == {1} and not any("*" in value for value in values):
            message = (
                f"a list is an axis, here of {len(values)} cells with one feature each; columns of "
                f'one modality go into one text, {key}: "{", ".join(values)}"'
            )
            faults.append(Fault((*at, key), message))
    return faults
