"""How far an emergence study is, as a table for the screen: one row per family of data."""

from typing import Literal

from rich import box
from rich.table import Table
from rich.text import Text

from raysweep.kinds.emergence.families import Rates, family_labels
from raysweep.kinds.emergence.plan import EmergenceSweep
from raysweep.kinds.emergence.study import Tuning
from raysweep.kinds.emergence.tuning import at_an_end
from raysweep.kinds.sweep import CellState
from raysweep.text import visible
from raysweep.trials.trial import Stage

_CAPTION = "rates: learning rate and weight decay of modality 1; of modality 2"
_AT_AN_END = "\n*: the least or largest that was tried; better ones may lie beyond"


def _rates(tuning: Tuning | None, rates: Rates) -> str:
    ends = at_an_end(tuning, rates) if tuning is not None else []
    shown = ((name, getattr(rates, name)) for name in ("learning_rate", "weight_decay"))
    return ", ".join(f"{rate:.3g}" + "*" * (name in ends) for name, rate in shown)


def _ends(sweep: EmergenceSweep) -> bool:
    tuning = sweep.study.tuning
    found = [rates for plan in sweep.family_plans.values() for rates in plan.rates]
    return tuning is not None and any(rates and at_an_end(tuning, rates) for rates in found)


def family_table(sweep: EmergenceSweep) -> Table:
    """State, tuning and measuring progress and the rates that were found, family by family."""
    table = Table(
        title=sweep.study.name,
        title_justify="left",
        caption=_CAPTION + (_AT_AN_END if _ends(sweep) else ""),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("data", "cells", "state", "tuned", "measured", "rates"):
        justify: Literal["left", "right"] = (
            "left" if name in ("data", "state", "rates") else "right"
        )
        table.add_column(name, justify=justify, no_wrap=True)
    labels = family_labels(sweep.families)
    for family in sweep.families:
        plan = sweep.family_plans[family.key]
        keys = {stage: {t.key for t in plan.trials if t.stage is stage} for stage in Stage}
        there = {stage: sum(key in sweep.results for key in of) for stage, of in keys.items()}
        pairs = sum(len(cell.draws) for cell in family.cells) * len(sweep.study.seeds)
        rates = [_rates(sweep.study.tuning, r) if r is not None else "?" for r in plan.rates]
        failed = any(sweep.state(cell) is CellState.FAILED for cell in family.cells)
        table.add_row(
            Text(visible(labels[family.key])),  # nothing in a user's text is markup
            str(len(family.cells)),
            (CellState.FAILED if failed else plan.state).value,
            f"{there[Stage.TUNE]}/{len(keys[Stage.TUNE])}" if sweep.study.tuning else "",
            f"{there[Stage.MEASURE]}/{pairs}",
            "; ".join(rates),
        )
    return table
