"""The paper's figures on alignment that emerges by itself (Figures 4, 6, 7 and 9)."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy import stats

from raysweep.trials.columns import PERFORMANCE_2, column_of
from raysweep_analysis.draws import MODEL_SCALE
from raysweep_analysis.emergence import alignment_by_draw, emergence_trends, emergent
from raysweep_analysis.figures import style
from raysweep_analysis.figures.words import AXIS_WORDS

_MARKERS = "os^Dv<>Phx"
_RHO = "\N{GREEK SMALL LETTER RHO}"


def alignment_trend_figure(
    trials: pd.DataFrame,
    along: str = "U",
    by: str = "D_phi",
    alignment: str | None = None,
    reduce: str = "max",
    split: str = "test",
) -> Figure:
    """Draw emergent alignment against uniqueness, a line per heterogeneity (the paper's Figure 4).

    Args:
        trials: a trial table with runs of strength 0.
        along: the characteristic on the horizontal axis.
        by: the characteristic that separates the lines.
        alignment: the alignment column; by default the first of the split.
        reduce: over the models of a dataset, `max` or `mean`.
        split: which split's alignment.

    Returns:
        Means over draws with t intervals; with one draw the points stand alone, and the title says
        that they show one dataset. The legend gives Spearman's rho of each line and its
        permutation p.
    """
    units, measure = alignment_by_draw(trials, along, [by], alignment, reduce, split)
    if units.empty:
        return style.empty_figure("no runs of strength 0 with a measured alignment")
    trend = emergence_trends(trials, along, [by], alignment, reduce, split)
    if by not in units:
        units, trend = units.assign(**{by: 0.0}), trend.assign(**{by: 0.0})
    draws = int(units["draw"].nunique())
    with style.styled():
        names = list(dict.fromkeys(units["data"]))
        lines = int(units.groupby("data")[by].nunique().max())
        columns = 2 if len(names) == 1 else 1
        height = 3.1 + 0.17 * -(-lines // columns)
        figure = style.new_figure(height, width=min(style.WIDTH, 5.4 * len(names) + 0.4))
        axes = style.grid_of_axes(figure, len(names), len(names))
        for axis, data in zip(axes, names, strict=True):
            here = units[units["data"] == data]
            levels = sorted(here[by].unique())
            for i, level in enumerate(levels):
                shade = style.ramp(0.25 + 0.74 * i / max(len(levels) - 1, 1))
                line = here[here[by] == level].groupby("x")["alignment"]
                mean, n = line.mean(), line.count()
                half = stats.t.ppf(0.975, np.maximum(n - 1, 1)) * line.std() / np.sqrt(n)
                row = trend[(trend["data"] == data) & (trend[by] == level)].iloc[0]
                # beside each other, so that no interval hides another
                dodge = 0.04 * (i - (len(levels) - 1) / 2) if draws > 1 else 0.0
                name = f"{_short(by)} {level:g}: " if len(levels) > 1 else ""
                axis.errorbar(
                    mean.index + dodge * style.step_of(mean.index),
                    mean,
                    yerr=half.fillna(0.0),
                    color=shade,
                    markersize=4,
                    marker=_MARKERS[i % len(_MARKERS)],
                    elinewidth=0.9,
                    label=f"{name}{_RHO} = {_rho(row['rho'])}, p = {row['p_rho']:.2g}",
                )
            axis.axhline(0, color=style.colour("muted"), linewidth=0.8)
            axis.set_xlabel(AXIS_WORDS.get(along, along))
            axis.set_title(style.folded(data, 40))
            axis.grid(axis="y")
            axis.legend(
                fontsize=7,
                ncols=columns,
                loc="upper center",
                bbox_to_anchor=(0.5, -0.16),
                columnspacing=1.2,
            )
        several = "95 % interval" if draws > 1 else "one dataset per point"
        axes[0].set_ylabel(
            f"{reduce} over models of\n{style.metric_words(measure)}\n"
            f"(n = {draws} draw{'s' if draws > 1 else ''}, {several})"
        )
    return figure


def depth_map_figure(
    trials: pd.DataFrame,
    outcome: str | None = None,
    along: str = "U",
    depth: str = "depth_2",
    by: str = "D_phi",
    most: int = 9,
) -> Figure:
    """Draw heat maps over encoder depth and heterogeneity, one per uniqueness (Figure 6).

    Args:
        trials: a trial table with runs of strength 0.
        outcome: the column to show; by default the alignment on the test split.
        along: a panel for each value of this.
        depth: horizontal axis.
        by: vertical axis.
        most: panels to draw at most.
    """
    if outcome is None or column_of(outcome).family == "alignment":
        rows, measure = emergent(trials, None, outcome, depth)
    else:
        rows, measure = emergent(trials, outcome, None, depth)[0], outcome
        rows["a"] = rows["p"]
    if rows.empty or along not in rows or by not in rows:
        return style.empty_figure(f"no runs of strength 0 with {along}, {by} and {depth}")
    levels = style.spaced(sorted(rows[along].dropna().unique()), most)
    table = rows.groupby([along, by, "d"])["a"].agg(["mean", "std", "count"])
    low, high = float(table["mean"].min()), float(table["mean"].max())
    with style.styled():
        columns = min(len(levels), 3)
        n_rows = -(-len(levels) // columns)
        figure = style.new_figure(n_rows * 1.75 + 0.7)
        axes = style.grid_of_axes(figure, len(levels), columns, share_x=True)
        xs, ys = sorted(rows["d"].unique()), sorted(rows[by].unique())
        for i, (axis, level) in enumerate(zip(axes, levels, strict=True)):
            here = table.loc[level]
            for (y, x), cell in zip(here.index, here.to_dict("records"), strict=True):
                share = (cell["mean"] - low) / (high - low) if high > low else 0.5
                shade = style.ramp(min(share, 0.999))
                left, bottom = xs.index(x) - 0.5, ys.index(y) - 0.5
                axis.fill_between([left, left + 1], bottom, bottom + 1, color=shade, linewidth=0)
                if len(xs) * columns <= 18:
                    axis.text(
                        left + 0.5,
                        bottom + 0.5,
                        f"{cell['mean']:.2f}",
                        ha="center",
                        va="center",
                        fontsize=6,
                        color=style.ink_on(shade),
                    )
            spread = here["std"].median()
            words = f", ± {spread:.2g}" if np.isfinite(spread) else ""
            axis.set_title(f"{along} = {level:g}{words}", fontsize=8.5)
            axis.set(xlim=(-0.5, len(xs) - 0.5), ylim=(-0.5, len(ys) - 0.5))
            axis.set_xticks(range(len(xs)), [f"{v:g}" for v in xs])
            axis.set_yticks(range(len(ys)), [f"{v:g}" for v in ys])
            axis.tick_params(length=0)
            axis.spines[["left", "bottom"]].set_visible(False)
            if i >= len(levels) - columns:
                axis.set_xlabel(AXIS_WORDS.get(depth, depth))
            if i % columns == 0:
                axis.set_ylabel(AXIS_WORDS.get(by, by))
        _ramp_legend(figure, low, high, measure, table["count"])
    return figure


def correlation_boxes_figure(
    correlations: pd.DataFrame, along: str = "U", kind: str = "pearson"
) -> Figure:
    """Draw boxes of correlations at each uniqueness, with every correlation as a point (Figure 7).

    Args:
        correlations: as from `raysweep_analysis.alignment_performance`.
        along: horizontal axis.
        kind: `pearson` (what the paper's code computes) or `spearman` (what its caption says).
    """
    if correlations.empty or along not in correlations:
        return style.empty_figure("no group of four models or more: no correlations to draw")
    pairs = list(dict.fromkeys(correlations["pair"]))
    levels = sorted(correlations[along].dropna().unique())
    rng = np.random.default_rng(0)
    with style.styled():
        figure = style.new_figure(2.35 * -(-len(pairs) // 2) + 0.2)
        axes = style.grid_of_axes(figure, len(pairs), 2, share_x=True)
        for i, (axis, pair) in enumerate(zip(axes, pairs, strict=True)):
            here = correlations[correlations["pair"] == pair]
            values = [here.loc[here[along] == v, kind].dropna().to_numpy(float) for v in levels]
            ink = style.colour("alignment" if "alignment" in pair else "helps")
            axis.axhline(0, color=style.colour("muted"), linewidth=0.8)
            axis.boxplot(
                values,
                positions=range(len(levels)),
                widths=0.6,
                showfliers=False,
                medianprops={"color": style.colour("ink"), "linewidth": 1.6},
                boxprops={"color": ink},
                whiskerprops={"color": ink},
                capprops={"color": ink},
            )
            for x, group in enumerate(values):
                jitter = rng.uniform(-0.2, 0.2, len(group))
                axis.plot(x + jitter, group, ".", markersize=2.6, color=ink, alpha=0.6)
            axis.set_title(pair, fontsize=8.5)
            axis.set_xticks(range(len(levels)), [f"{v:g}" for v in levels])
            axis.set_ylim(-1.05, 1.05)
            axis.grid(axis="y")
            if i >= len(pairs) - 2:
                axis.set_xlabel(AXIS_WORDS.get(along, along))
            if i % 2 == 0:
                n = max(len(v) for v in values)
                axis.set_ylabel(f"{kind.title()}'s correlation\n(n = {n} per box)")
    return figure


def alignment_performance_figure(
    trials: pd.DataFrame,
    performance: str = PERFORMANCE_2,
    alignment: str | None = None,
    depth: str = "depth_2",
    along: str = "U",
    most: int = 9,
) -> Figure:
    """Draw performance against alignment, a panel per uniqueness, shaded by depth (Figure 9).

    Args:
        trials: a trial table with runs of strength 0.
        performance: vertical axis.
        alignment: horizontal axis; by default the first column of the same split.
        depth: shade.
        along: a panel for each value of this.
        most: panels to draw at most, spread over the values.

    Returns:
        One point per model, means over seeds and draws with standard errors.
    """
    rows, measure = emergent(trials, performance, alignment, depth)
    if rows.empty or along not in rows:
        return style.empty_figure(f"no runs of strength 0 with {along}")
    levels = style.spaced(sorted(rows[along].dropna().unique()), most)
    keys = [
        along,
        *[n for n in ("D_phi",) if n in rows and n != along],
        *[n for n in MODEL_SCALE if n in rows],
        "d",
    ]
    points = rows.groupby(list(dict.fromkeys(keys)), dropna=False)[["a", "p"]]
    mean, error = points.mean().reset_index(), points.sem().reset_index()
    factor, unit = style.scale_of(performance)
    deepest, least = float(rows["d"].max()), float(rows["d"].min())
    with style.styled():
        columns = min(len(levels), 3)
        figure = style.new_figure(-(-len(levels) // columns) * 1.95 + 0.5)
        axes = style.grid_of_axes(figure, len(levels), columns, share_x=True)
        for i, (axis, level) in enumerate(zip(axes, levels, strict=True)):
            here = mean[along] == level
            x, y = mean.loc[here, "a"], mean.loc[here, "p"] * factor
            shades = [
                style.ramp(min((v - least) / max(deepest - least, 1) * 0.85 + 0.12, 0.999))
                for v in mean.loc[here, "d"]
            ]
            axis.errorbar(
                x,
                y,
                xerr=error.loc[here, "a"].fillna(0),
                yerr=error.loc[here, "p"].fillna(0) * factor,
                fmt="none",
                ecolor=style.colour("muted"),
                elinewidth=0.6,
                alpha=0.35,
                zorder=1,
            )
            axis.scatter(
                x, y, s=16, c=shades, edgecolors=style.colour("muted"), linewidths=0.4, zorder=3
            )
            r = stats.pearsonr(x, y).statistic if len(x) > 2 and x.std() and y.std() else np.nan
            rho = stats.spearmanr(x, y).statistic if np.isfinite(r) else np.nan
            axis.set_title(f"{along} = {level:g}", fontsize=8.5)
            axis.text(
                0.98,
                0.03,
                f"r = {_rho(r)}, {_RHO} = {_rho(rho)}, n = {len(x)}",
                ha="right",
                va="bottom",
                transform=axis.transAxes,
                fontsize=7,
                color=style.colour("muted"),
            )
            axis.grid()
            if i >= len(levels) - columns:
                axis.set_xlabel(style.metric_words(measure))
            if i % columns == 0:
                axis.set_ylabel(
                    f"{style.outcome_words(performance).split(',')[0]}\n({_percent(unit)})",
                    fontsize=7.5,
                )
        figure.supxlabel(
            f"shade: {AXIS_WORDS.get(depth, depth)}, {least:g} (pale) to {deepest:g}; "
            "bars: standard error over seeds and draws",
            fontsize=7.5,
            color=style.colour("muted"),
        )
    return figure


def _ramp_legend(figure: Figure, low: float, high: float, column: str, counts: pd.Series) -> None:
    shares = [0.0, 0.33, 0.66, 0.999]
    handles = [Rectangle((0, 0), 1, 1, facecolor=style.ramp(s)) for s in shares]
    # adding zero turns a rounded -0.0 into 0.0
    labels = [f"{round(low + s * (high - low), 2) + 0.0:.2f}" for s in shares]
    labels = [label.replace("-", style.MINUS) for label in labels]
    runs = "one run each"
    if counts.max() > 1:
        mean = style.counted(counts, "runs")
        runs = f"mean of {mean}, ± their median spread in the titles"
    legend = figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=4,
        title_fontsize=7.5,
        title=f"{style.column_words(column)}; {runs}",
    )
    legend.get_title().set_color(style.colour("muted"))


def _short(name: str) -> str:
    return {"D_phi": "depth of heterogeneity"}.get(name, name)


def _rho(value: float) -> str:
    return style.signed(value, 2) if np.isfinite(value) else "?"


def _percent(unit: str) -> str:
    return "%" if unit == "points" else unit
