"""What a person sees of a run: a live table in a terminal, plain lines elsewhere, the verdict."""

import math
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as RichTable

from raysweep.cells import Cell
from raysweep.emergence.plan import EmergenceSweep
from raysweep.emergence.status import family_table
from raysweep.packing import Pack
from raysweep.planning import CellState
from raysweep.sweep import Sweep
from raysweep.table import Row
from raysweep.wording import counted

_REFRESH_S = 0.5
_PLAIN_EVERY_S = 10.0


class RunDisplay:
    """Shows a run while it goes on; an observer for the runners and a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._started = time.monotonic()
        self._shown = -math.inf
        self._before = 0
        self._fresh = 0
        self._sweep: Sweep | None = None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            if self._sweep is not None:
                self._show(self._sweep, force=True)
            self._live.stop()

    def started(self, sweep: Sweep, runner: str, gone_s: float = 0.0) -> None:
        """Say what there is to do; the run began ``gone_s`` ago."""
        self._started = time.monotonic() - gone_s
        self._sweep = sweep
        self._before = _done(sweep)
        have = f", {self._before} already there" if self._before else ""
        self._console.print(
            f"{sweep.study.name}: {counted(len(sweep.cells), 'cell')}, "
            f"{counted(sweep.trials_planned(), 'trial')}{have}; {runner}",
            highlight=False,
        )
        self._show(sweep, force=True)

    def pack_finished(self, sweep: Sweep, pack: Pack, rows: Sequence[Row]) -> None:
        """Count the pack; name members that diverged."""
        self._fresh += len(rows)
        diverged = [str(row["cell"]) for row in rows if row["status"] != "ok"]
        if diverged:
            self._console.print(
                f"{cell_names(sweep, diverged)}: {len(diverged)} of "
                f"{counted(len(rows), 'trial')} diverged",
                highlight=False,
            )
        self._show(sweep)

    def pack_failed(self, sweep: Sweep, pack: Pack, reason: str) -> None:
        """Say that a pack was given up, and the last line of why."""
        last = reason.strip().splitlines()[-1]
        names = cell_names(sweep, [cell.id for cell in pack.cells])
        self._console.print(
            f"{names}: pack {pack.key} failed: {last}",
            highlight=False,
            markup=False,
        )

    def tick(self, sweep: Sweep) -> None:
        """Refresh now and then."""
        self._show(sweep)

    def _show(self, sweep: Sweep, force: bool = False) -> None:
        now = time.monotonic()
        wait = _REFRESH_S if self._live is not None else _PLAIN_EVERY_S
        if not force and now - self._shown < wait:
            return
        self._shown = now
        if self._live is not None:
            shown = Group(status_table(sweep), f"{self._summary(sweep)}\n")
            self._live.update(shown, refresh=True)
        elif not force:
            self._console.print(self._summary(sweep), highlight=False)

    def _summary(self, sweep: Sweep) -> str:
        elapsed = time.monotonic() - self._started
        done, planned = _done(sweep), sweep.trials_planned()
        finished = sum(sweep.state(c) in _ENDED for c in sweep.cells)
        parts = [
            f"{finished} of {counted(len(sweep.cells), 'cell')}",
            f"{done} of {counted(planned, 'trial')}",
            f"{counted(sweep.finished_packs, 'pack')} done",
            *([f"{len(sweep.failures)} failed"] if sweep.failures else []),
            f"{duration(elapsed)} gone",
        ]
        if self._fresh and done < planned:
            rate = self._fresh / elapsed
            parts.append(f"about {duration((planned - done) / rate)} left")
            if not isinstance(sweep, EmergenceSweep):  # where pairs share their encoders
                encoders = sum(cell.modalities for cell in sweep.cells) / len(sweep.cells)
                parts.append(f"{encoders * rate:.1f} encoders/s")
            else:
                parts.append(f"{rate:.1f} trials/s")
        return ", ".join(parts)


_ENDED = (CellState.DONE, CellState.NO_STRENGTH, CellState.NO_RATES, CellState.FAILED)


def status_table(sweep: Sweep) -> RichTable:
    """One row per cell: state, search and confirm progress, the best strength so far.

    Of an emergence study one row per family of data.
    """
    if isinstance(sweep, EmergenceSweep):
        return family_table(sweep)
    table = RichTable(
        title=sweep.study.name,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("cell", "state", "search", "confirm", "best strength"):
        justify: Literal["left", "right"] = "left" if name in ("cell", "state") else "right"
        table.add_column(name, justify=justify, no_wrap=True)
    for cell in sweep.cells:
        table.add_row(*_cell_row(sweep, cell))
    return table


def verdict_table(effects: Any, performance: str) -> RichTable:
    """The verdicts as a table for the screen.

    Args:
        effects: what `analysis.forcing_effects` returned.
        performance: the outcome that was tested.
    """
    table = RichTable(
        title=f"Does forcing alignment help? ({performance})",
        title_justify="left",
        caption="effect: forced - none in points (100 x accuracy) with its confidence interval; "
        "p: Holm-adjusted over all rows; placebo: forced - placebo",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    several = effects["chosen_by"].nunique() > 1
    searched = (effects["options"] != "").any()
    columns = ["cell", *(["chosen by"] if several else []), "strength"]
    columns += [*(["options"] if searched else []), "n"]
    columns += ["effect (interval)", "p", "placebo", "alignment", "verdict"]
    left = ("cell", "chosen by", "options", "verdict")
    for name in columns:
        justify: Literal["left", "right"] = "left" if name in left else "right"
        table.add_column(name, justify=justify, no_wrap=True)
    for _, row in effects.iterrows():
        verdict = str(row["verdict"])
        style = {"helps": "green", "hurts": "red", "equivalent": "cyan"}.get(verdict, "yellow")
        table.add_row(
            str(row["label"]),
            *([str(row["chosen_by"])] if several else []),
            _number(row["strength"], "{:.3g}"),
            *([str(row["options"]).replace(" ", "\n")] if searched else []),
            _number(row["n"], "{:.0f}"),
            f"{_points(row['effect'])} ({_points(row['ci_low'])}, {_points(row['ci_high'])})",
            _number(row["p_adjusted"], "{:.2g}"),
            _points(row["effect_vs_placebo"]),
            f"{_number(row['alignment_none'], '{:.2f}')} to "
            f"{_number(row['alignment_forced'], '{:.2f}')}",
            f"[{style}]{verdict}[/{style}]",
        )
    return table


def emergence_table(summary: Any) -> RichTable:
    """Emergent alignment as a table for the screen.

    Args:
        summary: what `analysis.emergence_summary` returned.
    """
    along = str(summary.columns[1])
    table = RichTable(
        title=f"Does alignment emerge? ({summary['alignment'].iloc[0]})",
        title_justify="left",
        caption="best over models, mean over datasets and seeds; then medians of Pearson's "
        "correlations over models of one dataset and seed",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    shown = {
        "best": "best alignment",
        "chance": "by chance",
        "corrected": "above chance",
        "alignment_performance": "with performance",
        "given_depth": "given depth",
        "performance_depth": "performance, depth",
        "alignment_depth": "alignment, depth",
    }
    names = [name for name in shown if summary[name].notna().any()]
    for name in ("data", along, "draws", "seeds", *(shown[name] for name in names)):
        justify: Literal["left", "right"] = "left" if name == "data" else "right"
        table.add_column(name, justify=justify, no_wrap=name == "data")
    for _, row in summary.iterrows():
        table.add_row(
            str(row["data"]),
            f"{row[along]:g}",
            f"{row['draws']:g}",
            f"{row['seeds']:g}",
            *(_number(row[name], "{:.2f}") for name in names),
        )
    return table


def cell_names(sweep: Sweep, cells: Iterable[str], most: int | None = 3) -> str:
    """Cells by their labels, each once: so many of them, and how many more there are."""
    labels = [sweep.labels[cell] for cell in dict.fromkeys(cells)]
    more = len(labels[most:]) if most is not None else 0
    return ", ".join(labels[:most]) + (f" and {counted(more, 'more cell')}" if more else "")


def _cell_row(sweep: Sweep, cell: Cell) -> list[str]:
    plan = sweep.plans[cell.id]
    study = sweep.study
    confirmed = sum(t.key in sweep.results for t in plan.trials if t.stage == "confirm")
    arms = 1 + 2 * max(len(set(plan.chosen.values())), 1)
    total = arms * len(study.confirm.seeds) * len(cell.draws)
    usable = [o for o in plan.outcomes if not o.failed]
    criterion = "performance" if study.search.objective == "performance" else "alignment"
    best = max(usable, key=lambda o: getattr(o, criterion), default=None)
    return [
        sweep.labels[cell.id],
        sweep.state(cell).value,
        f"{len(plan.outcomes)}/{study.search.trials}",
        f"{confirmed}/{total}",
        str(best.proposal) if best is not None else "",
    ]


def _done(sweep: Sweep) -> int:
    return sum(key in sweep.results for key in sweep.order())


def duration(seconds: float) -> str:
    """A time in words, such as ``2 min 05 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _number(value: Any, form: str) -> str:
    return "" if value is None or math.isnan(value) else form.format(value)


def _points(value: Any) -> str:
    return _number(100 * value, "{:+.2f}")
