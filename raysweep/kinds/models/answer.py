"""What a study of models says, as tables for the screen."""

import math
from typing import Any

from rich.console import ConsoleRenderable

from raysweep.kinds.fitted_table import Column, FittedTable
from raysweep.text import counted
from raysweep.trials.columns import column_of, named

_MOST = 12


def pair_tables(pairs: Any) -> list[ConsoleRenderable]:
    """The pairs of models, the most alike first: a line each, or a few where it is narrow.

    Args:
        pairs: what `raysweep_analysis.model_pairs` returned.
    """
    return [_table(of, str(name)) for name, of in pairs.groupby("alignment", sort=False)]


def _table(pairs: Any, alignment: str) -> ConsoleRenderable:
    shown = pairs.head(_MOST)
    models = [named("model", side) for side in (1, 2)]
    known = list(pairs.columns)
    axes = known[known.index(named("side", 2)) + 1 : known.index("alignment")]
    axes = [name for name in axes if name not in models]

    def numbers(name: str, title: str, form: str) -> Column:
        return Column(title, "right", [_number(value, form) for value in shown[name]])

    def words(name: str, title: str) -> Column:
        return Column(title, "left", [str(value) for value in shown[name]])

    more = len(pairs) - len(shown)
    return FittedTable(
        f"Which models align? ({column_of(alignment).metric})",
        "by chance: the mean of the same maximum over layers under permuted rows; above chance: 1 "
        "is identity; p: Benjamini-Hochberg over all pairs"
        + (f"; {counted(more, 'more pair')} in the report" if more > 0 else ""),
        [
            [words(name, name.replace("_", " ")) for name in models],
            *([[words(name, name) for name in axes]] if axes else []),
            [words("layers", "layers")],
            [numbers("value", "alignment", "{:.3f}"), numbers("chance", "by chance", "{:.3f}")],
            [numbers("corrected", "above chance", "{:.3f}"), numbers("p_bh", "p", "{:.2g}")],
        ],
    )


def _number(value: Any, form: str) -> str:
    return "" if value is None or math.isnan(value) else form.format(value)
