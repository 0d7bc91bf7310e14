"""How far a forcing study is, as a table for the screen: one row per cell."""

from typing import Literal

from rich import box
from rich.table import Table

from raysweep.kinds.display import as_it_is
from raysweep.kinds.forcing.plan import ForcingSweep
from raysweep.kinds.forcing.search import choose
from raysweep.kinds.sweep import CellState
from raysweep.study.cells import Cell


def cell_table(sweep: ForcingSweep) -> Table:
    """State, search and confirm progress and the strengths chosen so far, cell by cell."""
    table = Table(
        title=as_it_is(sweep.study.name, "table.title"),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    strengths = [f"strength by {criterion}" for criterion in sweep.study.search.criteria]
    for name in ("cell", "state", "search", "confirm", *strengths):
        justify: Literal["left", "right"] = "left" if name in ("cell", "state") else "right"
        text = name in ("cell", *strengths)  # may be long; the others are never cut
        table.add_column(name, justify=justify, no_wrap=not text, overflow="fold")
    for cell in sweep.cells:
        table.add_row(*map(as_it_is, _cell_row(sweep, cell)))
    return table


def _cell_row(sweep: ForcingSweep, cell: Cell) -> list[str]:
    plan = sweep.plans[cell.id]
    study = sweep.study
    confirmed = sum(t.key in sweep.results for t in plan.trials if t.stage == "confirm")
    arms = 1 + 2 * max(len(set(plan.chosen.values())), 1)
    total = arms * len(study.confirm.seeds) * len(cell.draws)
    if study.confirm.sequential and plan.state is CellState.DONE:
        total = confirmed
    chosen = choose(study.search, plan.outcomes)
    return [
        sweep.labels[cell.id],
        sweep.state(cell).value,
        f"{len(plan.outcomes)}/{study.search.trials}",
        f"{confirmed}/{total}",
        *(str(chosen.get(criterion, "")) for criterion in study.search.criteria),
    ]
