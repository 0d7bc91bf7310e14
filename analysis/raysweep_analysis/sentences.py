"""Cells, shares and effects as sentences name them."""

from collections.abc import Sequence

import pandas as pd

from raysweep.trials.outcomes import digits_of, scale_of
from raysweep_analysis.contrasts import cell_columns
from raysweep_analysis.figures.style import signed
from raysweep_analysis.load import axes_of

MOST_NAMED = 6


def signed_effect(effect: float, outcome: str) -> str:
    """An effect with its sign, in the unit in which a person reads the outcome."""
    value = float(effect) * scale_of(outcome)[0]
    return signed(value, digits_of(outcome, value))


def effects_named(rows: pd.DataFrame, unit: str) -> str:
    """The cells with their effects, the strongest first."""
    strongest = rows.reindex(rows["effect"].abs().sort_values(ascending=False).index)
    named = [
        f"{row['label']} ({signed_effect(row['effect'], row['performance'])})"
        for row in strongest.head(MOST_NAMED).to_dict("records")
    ]
    more = len(rows) - len(named)
    return f"{listed(named, more)} {unit}"


def where_only(rows: pd.DataFrame, group: pd.DataFrame) -> str:
    """For cells too many to name: the stretch of each characteristic that they keep to."""
    if len(rows) <= MOST_NAMED or len(rows) == len(group):
        return ""
    names = [n for n in axes_of(group, cell_columns(group)) if n in rows]
    stretches = []
    for name in names:
        here, there = set(rows[name].dropna()), set(group[name].dropna())
        if here < there and pd.api.types.is_numeric_dtype(rows[name]):
            low, high = min(here), max(here)
            stretches.append(f"{name} {low:g}" if low == high else f"{name} {low:g} to {high:g}")
    return f" ({', '.join(stretches)} only)" if stretches else ""


def named(labels: pd.Series) -> str:
    """Names, each once, the first few of them."""
    names = list(dict.fromkeys(labels))
    return listed(names[:MOST_NAMED], max(0, len(names) - MOST_NAMED))


def listed(items: Sequence[str], more: int = 0) -> str:
    """Items in a row: `a, b and c`, and how many more there are."""
    parts = [*items, f"{more} more"] if more else list(items)
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def share(part: int, total: int) -> str:
    """`2 of 5 cells`."""
    if part == total:
        return "the one cell" if total == 1 else f"all {total} cells"
    return f"{part} of {total} cells"
