"""Tables as Markdown, so that a document is prose around what was computed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def table(frame: pd.DataFrame, digits: int | Mapping[str, int] = 2) -> str:
    """A table in Markdown; named levels of the index become the first columns.

    Args:
        frame: the table.
        digits: of all numbers that are not whole, or per column (2 where a column is not named).

    Returns:
        Lines that end in a newline. Missing values are empty, truth is `yes` or `**no**`.
    """
    flat = frame.reset_index() if any(frame.index.names) else frame
    for name in filter(None, frame.index.names):
        # a characteristic that is read as a number but counts something
        if pd.api.types.is_float_dtype(flat[name]) and (flat[name] % 1 == 0).all():
            flat[name] = flat[name].astype(int)
    lines = [_row(map(str, flat.columns)), _row(["---"] * flat.shape[1])]
    for _, row in flat.astype(object).iterrows():
        shown = [
            _cell(value, digits if isinstance(digits, int) else digits.get(str(name), 2))
            for name, value in row.items()
        ]
        lines.append(_row(shown))
    return "\n".join(lines) + "\n"


def section(heading: str, words: str, *tables: str) -> str:
    """A headed section: what the tables are, then the tables."""
    return "\n".join([f"## {heading}\n", words + "\n", *tables])


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "**no**"
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    if isinstance(value, int | np.integer):
        return str(value)
    if isinstance(value, float | np.floating):
        # adding zero turns a rounded -0.0 into 0.0
        return f"{round(float(value), digits) + 0.0:.{digits}f}"
    return str(value).replace("|", "\\|")
