"""The page of a run that goes on: numbers so far and no verdict; it fetches nothing, as all pages.

It loads itself anew until the run has ended. No figure is drawn, so that it is written in
milliseconds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raysweep.folder.stored_progress import SO_FAR
from raysweep.text import counted
from raysweep.trials.effect_so_far import EffectSoFar
from raysweep.trials.outcomes import scale_of
from raysweep_analysis.report.rendering import rendered

_MOST_CELLS = 400
_BY = {"best": "best against best", "alignment": "aligns most", "performance": "performs best"}


@dataclass(frozen=True)
class CellSoFar:
    """A cell of a run that goes on.

    Attributes:
        label: its name.
        state: how far it is.
        best: criterion -> the best strength so far, in words.
        effects: of forcing, so far.
    """

    label: str
    state: str
    best: dict[str, str]
    effects: tuple[EffectSoFar, ...] = ()


@dataclass(frozen=True)
class RunSoFar:
    """How far a run is, and what it has found.

    Attributes:
        study: its name.
        cells: in their order.
        finished: cells of which all runs are there.
        done, planned: trials.
        failures: what failed, a sentence each.
        time_left: until the run has ended, in words; empty where that is not known.
        written: when this was true, in words.
        every_s: the page loads itself anew after so many seconds; 0 once the run has ended.
        go_on: how to go on with a run that ended early; empty while it goes on.
    """

    study: str
    cells: Sequence[CellSoFar]
    finished: int
    done: int
    planned: int
    failures: tuple[str, ...]
    time_left: str
    written: str
    every_s: int
    go_on: str = ""


@dataclass(frozen=True)
class _Row:
    """An effect as the page shows it: words, and where its bar lies in per cent of the width."""

    by: str
    strength: str
    n: int
    effect: str
    left: float
    width: float
    at: float


def so_far_page(run: RunSoFar) -> str:
    """The page as one HTML text; no text in it is markup but that of the template."""
    shown = run.cells[:_MOST_CELLS]
    effects = [effect for cell in shown for effect in cell.effects]
    most = _most(effects)
    return rendered(
        "so_far.html",
        by=lambda criterion: _BY.get(criterion, criterion),
        cells=[(cell, [_row(effect, most) for effect in cell.effects]) for cell in shown],
        ends=_ends(effects, most),
        hidden=len(run.cells) - len(shown),
        lead=_lead(run),
        name=SO_FAR,
        run=run,
        share=f"{100 * run.done / max(run.planned, 1):.0f}",
        unit=scale_of(effects[0].outcome)[1] if effects else "",
    )


def _lead(run: RunSoFar) -> str:
    cells = f"{run.finished} of {counted(len(run.cells), 'cell')}"
    if run.go_on:
        return f"Stopped before its end: {cells} finished"
    left = f"; {run.time_left}" if run.time_left else ""
    return f"No answer yet: {cells} finished{left}"


def _most(effects: Sequence[EffectSoFar]) -> float:
    """The end of the scale: the largest effect with its interval, unless that is very wide."""
    sizes = [abs(effect.effect) for effect in effects if math.isfinite(effect.effect)]
    ends = [
        max(abs(e.low), abs(e.high)) for e in effects if math.isfinite(e.low) and e.n > 2
    ] or sizes
    return max([*ends, *sizes], default=0.0)


def _ends(effects: Sequence[EffectSoFar], most: float) -> tuple[str, str]:
    if not effects or not most:
        return "", ""
    factor, _ = scale_of(effects[0].outcome)
    end = f"{factor * most:.3g}"
    return f"\N{MINUS SIGN}{end}", f"+{end}"


def _row(effect: EffectSoFar, most: float) -> _Row:
    def place(value: float) -> float:
        share = value / most if most and math.isfinite(value) else 0.0
        return round(50 + 50 * min(max(share, -1.0), 1.0), 2)

    known = math.isfinite(effect.low)
    low, high = (place(effect.low), place(effect.high)) if known else (0.0, 0.0)
    return _Row(
        by=_BY.get(effect.chosen_by, effect.chosen_by),
        strength=f"{effect.strength:.3g}",
        n=effect.n,
        effect=str(effect).replace("-", "\N{MINUS SIGN}"),
        left=low,
        width=round(high - low, 2),
        at=place(effect.effect),
    )
