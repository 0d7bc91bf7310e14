"""How far a study of models is, as a table for the screen: one row per two sides and axis."""

from rich import box
from rich.table import Table
from rich.text import Text

from raysweep.kinds.models.plan import ModelsSweep
from raysweep.kinds.models.study import Pair
from raysweep.kinds.sweep import CellState
from raysweep.text import visible


def pairs_table(sweep: ModelsSweep) -> Table:
    """How many pairs of models are there, for each two sides at each point of the axes."""
    table = Table(
        title=sweep.study.name,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("models", justify="left", no_wrap=True)
    for name in ("pairs", "measured", "failed"):
        table.add_column(name, justify="right", no_wrap=True)
    counts: dict[str, list[int]] = {}
    for cell, pair in zip(sweep.cells, sweep.study.pairs_of_models, strict=True):
        state = sweep.state(cell)
        found = counts.setdefault(_words(pair), [0, 0, 0])
        found[0] += 1
        found[1] += state is CellState.DONE
        found[2] += state is CellState.FAILED
    for words, (pairs, measured, failed) in counts.items():
        # Nothing in a user's text is markup.
        table.add_row(Text(visible(words)), str(pairs), str(measured), str(failed or ""))
    return table


def _words(pair: Pair) -> str:
    at = " ".join(f"{name}={value}" for name, value in pair.axes.items())
    return f"{pair.left.side} x {pair.right.side} {at}".strip()
