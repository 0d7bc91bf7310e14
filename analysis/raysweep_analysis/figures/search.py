"""How the search for a strength went."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from raysweep.trials.columns import named
from raysweep_analysis.figures import style
from raysweep_analysis.load import alignment_column, describe_cells, higher_is_better, values_of

_MOST = 12
_PERFORMANCE = named("performance", "fused", "validation")


def search_figure(
    trials: pd.DataFrame,
    objective: str | None = None,
    performance: str = _PERFORMANCE,
    most: int = _MOST,
) -> Figure:
    """Draw what every proposed strength reached, in the order of proposing, and the best so far.

    Args:
        trials: a trial table with search rows that carry `number`, the order of proposing.
        objective: the column that the search maximized; by default the alignment on validation,
            or `performance` where the table says that the objective was performance.
        performance: the performance column on the validation split.
        most: cells to draw at most, evenly spaced.
    """
    rows = trials[trials["stage"].astype(str) == "search"]
    if rows.empty or "number" not in rows:
        return style.empty_figure("no search in this table")
    column = objective or _objective(rows, performance)
    if column is None:
        return style.empty_figure("the search rows carry no value that a search could maximize")
    rows = rows.assign(value=values_of(rows, column))
    labels = describe_cells(trials).set_index("cell")["label"].to_dict()
    cells = list(dict.fromkeys(rows["cell"]))
    shown = style.spaced(cells, most)
    with style.styled():
        columns = min(3, len(shown))
        figure = style.new_figure(-(-len(shown) // columns) * 1.85 + 0.55)
        axes = style.grid_of_axes(figure, len(shown), columns, share_x=True)
        for i, (axis, cell) in enumerate(zip(axes, shown, strict=True)):
            lost = _cell(axis, rows[rows["cell"] == cell], higher_is_better(column))
            title = style.folded(str(labels.get(cell, cell)))
            axis.set_title(f"{title}\n({lost} diverged)" if lost else title, fontsize=8.5)
            if i >= len(shown) - columns:
                axis.set_xlabel("proposal (in order)")
            if i % columns == 0:
                axis.set_ylabel(style.column_words(column).replace(", ", ",\n"))
        handles = [
            Line2D([], [], marker="o", markersize=5, linewidth=0.8, color=style.ramp(0.6)),
            Line2D([], [], color=style.colour("ink"), drawstyle="steps-post", linewidth=1.2),
            Line2D([], [], color=style.colour("muted"), linewidth=0.9, linestyle=(0, (4, 2))),
        ]
        names = ["mean over seeds ± standard error (darker: stronger)", "best so far", "strength 0"]
        forced = rows[rows["strength"] > 0]
        runs = forced.groupby(["cell", "number"]).size()
        title = style.counted(runs, "runs of each proposal") if len(runs) else ""
        if len(cells) > most:
            title += f"; {len(cells) - len(shown)} more cells in between are not drawn"
        figure.legend(
            handles, names, loc="outside lower center", ncols=3, title=title, title_fontsize=7.5
        )
    return figure


def _objective(rows: pd.DataFrame, performance: str) -> str | None:
    aims = set(rows["objective"].dropna().astype(str)) if "objective" in rows else set()
    if aims == {"performance"} and performance in rows:
        return performance
    return alignment_column(rows, "validation")


def _cell(axis: Axes, rows: pd.DataFrame, higher_better: bool) -> int:
    """Draw one search; returns how many of its proposals lost a run."""
    base = rows.loc[rows["strength"] == 0, "value"]
    if base.notna().any():
        axis.axhline(base.mean(), color=style.colour("muted"), linewidth=0.9, linestyle=(0, (4, 2)))
    proposed = (
        rows[rows["strength"] > 0]
        .groupby("number")
        .agg(
            strength=("strength", "first"),
            mean=("value", "mean"),
            error=("value", "sem"),
            lost=("value", lambda v: v.isna().any()),
        )
    )
    if proposed.empty:
        return 0
    exponent = np.log10(proposed["strength"])
    span = float(np.ptp(exponent)) or 1.0
    shades = [style.ramp(min((e - exponent.min()) / span * 0.8 + 0.15, 0.999)) for e in exponent]
    good = proposed["mean"].where(~proposed["lost"])
    axis.errorbar(
        proposed.index,
        good,
        yerr=proposed["error"].fillna(0.0),
        fmt="none",
        ecolor=style.colour("muted"),
        elinewidth=0.8,
    )
    axis.scatter(
        proposed.index,
        good,
        s=24,
        c=shades,
        zorder=3,
        edgecolors=style.colour("muted"),
        linewidths=0.4,
    )
    best = good.cummax() if higher_better else good.cummin()
    axis.plot(
        proposed.index, best, drawstyle="steps-post", color=style.colour("ink"), linewidth=1.2
    )
    axis.grid(axis="y")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return int(proposed["lost"].sum())
