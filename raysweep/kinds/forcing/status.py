"""How far a forcing study is, as a table for the screen: one row per cell."""

from dataclasses import replace

from rich.console import ConsoleRenderable

from raysweep.kinds.fitted_table import Column, FittedTable
from raysweep.kinds.forcing.plan import ForcingSweep, SearchedCell
from raysweep.kinds.forcing.search import choose
from raysweep.kinds.so_far import SoFar
from raysweep.kinds.sweep import CellState
from raysweep.study.cells import Cell
from raysweep.trials.criteria import BEST
from raysweep.trials.outcomes import outcome_words, scale_of
from raysweep.trials.trial import Proposal, Stage


def cell_table(sweep: ForcingSweep, so_far: SoFar | None = None) -> ConsoleRenderable:
    """State, progress, and the best strengths so far with the effect of forcing so far."""
    study, cells = sweep.study, sweep.cells
    plans = [sweep.plans[cell.id] for cell in cells]
    best = [best_so_far(sweep, plan) for plan in plans]
    effects = [so_far.by_criterion(cell.id) if so_far is not None else {} for cell in cells]
    stacks = [
        [Column("cell", "left", [sweep.labels[cell.id] for cell in cells])],
        [Column("state", "left", [sweep.state(cell).value for cell in cells])],
        [
            Column("search", "right", [_searched(sweep, plan) for plan in plans]),
            Column("confirm", "right", [_confirmed(sweep, cell) for cell in cells]),
        ],
    ]
    for by in study.criteria:
        # How to train is no answer to how hard to force, and three criteria have no room for it.
        strengths = [replace(found[by], training=()) if by in found else "" for found in best]
        chosen = [str(found).replace(" ", "\n") for found in strengths]
        stack = [Column(f"strength by\n{by}", "right", chosen)]
        if any(by in found for found in effects):
            shown = [str(found.get(by, "")) for found in effects]
            stack.append(Column("effect so far", "right", [e.replace(" ", "\n", 1) for e in shown]))
        stacks.append(stack)
    return FittedTable(study.name, _caption(sweep) if any(effects) else "", stacks)


def _caption(sweep: ForcingSweep) -> str:
    outcome = sweep.study.verdict.performance
    return (
        f"effect so far: forced - none with its interval ({outcome_words(outcome)}, "
        f"{scale_of(outcome)[1]}), from the pairs that are there; no verdict"
    )


def best_so_far(sweep: ForcingSweep, plan: SearchedCell) -> dict[str, Proposal]:
    """The best proposals so far, by criterion; those that are confirmed, once they are."""
    found = dict(plan.chosen) or choose(sweep.study.search, plan.outcomes)
    return {by: proposal for by, proposal in found.items() if by != BEST or plan.chosen}


def _searched(sweep: ForcingSweep, plan: SearchedCell) -> str:
    return f"{len(plan.outcomes)}/{sweep.study.search.trials}"


def _confirmed(sweep: ForcingSweep, cell: Cell) -> str:
    plan = sweep.plans[cell.id]
    confirmed = sum(t.key in sweep.results for t in plan.trials if t.stage is Stage.CONFIRM)
    if sweep.study.confirm.sequential and plan.state is CellState.DONE:
        return f"{confirmed}/{confirmed}"
    arms = 1 + 2 * (len(set(plan.chosen.values())) or len(sweep.study.criteria))
    return f"{confirmed}/{arms * len(sweep.study.confirm.seeds) * len(cell.draws)}"
