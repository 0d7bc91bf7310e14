"""What axes, values and criteria are called on a figure and in a sentence: short, and no codes."""

import numpy as np
import pandas as pd

from raysweep_analysis.load import shown_name

AXIS_WORDS = {
    "U": "U: unique task features (of 8)",
    "R": "R: redundant task features (of 8)",
    "D_phi": "heterogeneity depth",
    "overlap": "overlap of the two views",
    "n_train": "training rows",
    "width_1": "encoder width (units)",
    "depth_1": "encoder depth (layers)",
    "depth_2": "depth of encoder 2 (layers)",
    "I_shared": "I(shared; Y) (nats)",
}
CRITERION_WORDS = {
    "best": "best against best",
    "alignment": "strength that aligns most",
    "performance": "strength that performs best",
    "": "forced",
}
_SHORT = {"D_phi": "heterogeneity"}


def value_words(cells: pd.DataFrame, name: str, value: object) -> str:
    """`width 12`, `512 rows`, `heterogeneity 1`; empty where a cell has no such value.

    Args:
        cells: a table with the cells' descriptors, to see whether both encoders share a width.
        name: the descriptor.
        value: its value.
    """
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    number = f"{value:g}" if isinstance(value, int | float | np.number) else str(value)
    if name == "n_train":
        return f"{number} rows"
    shown = shown_name(cells, name) if name in cells else name
    return f"{_SHORT.get(shown, shown)} {number}"
