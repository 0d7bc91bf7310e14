"""Figures on models that are trained already: performance, layers, axes."""

import itertools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from raysweep.trials.columns import beside, named
from raysweep_analysis.figures import style
from raysweep_analysis.load import plain, usable
from raysweep_analysis.models import axes_of_models, model_correlations

_MARKERS = "os^Dv<>Phx"
_COLOURS = ("alignment", "helps", "hurts", "second", "third", "muted")
_MOST_PANELS = 12
_RHO = "\N{GREEK SMALL LETTER RHO}"


def performance_figure(trials: pd.DataFrame, alignment: str) -> Figure:
    """Draw the mean alignment of models against their performance, a panel per side and axis value.

    Args:
        trials: the table of a study of models, some of which have a performance.
        alignment: a column of alignment.

    Returns:
        A marker per family; the band goes from the mean of what permuted rows give to what 95 % of
        them stay below, averaged over pairs. Titles give Spearman's rho and, within families, its
        p-value.
    """
    found = model_correlations(trials, alignment)
    if found.empty:
        return style.empty_figure("fewer than four models of a side have a performance")
    shown = style.spaced(found.to_dict("records"), _MOST_PANELS)
    axes = axes_of_models(trials)
    rows = plain(trials)[usable(trials)]
    with style.styled():
        columns = min(len(shown), 3)
        lines = -(-len(shown) // columns)
        figure = style.new_figure(0.6 + 2.3 * lines)
        panels = style.grid_of_axes(figure, len(shown), columns, share_y=True)
        for panel, said in zip(panels, shown, strict=True):
            here = rows
            for name in axes:
                if name in said and pd.notna(said[name]):
                    here = here[here[name] == said[name]]
            side = 1 if (here[named("side", 1)] == said["side"]).any() else 2
            both = (here[named("side", side)] == said["side"]) & (
                here[named("side", 3 - side)] == said["other"]
            )
            _performance_panel(panel, here[both], side, alignment)
            at = " ".join(f"{n}={said[n]:g}" if isinstance(said[n], float) else f"{n}={said[n]}"
                          for n in axes if n in said and pd.notna(said[n]))  # fmt: skip
            title = [f"{_RHO} = {style.signed(float(str(said['rho'])), 2)}"]
            p = float(str(said["p_within"]))
            title += [f"p within families {p:.2g}"] if np.isfinite(p) else []
            panel.set_title("\n".join([style.folded(at), *title]).strip())
            panel.set_xlabel(style.folded(f"performance ({said['side']})", 32))
        for panel in panels[::columns]:
            panel.set_ylabel(_metric(alignment))
        handles = {label: h for panel in panels for h, label in
                   zip(*panel.get_legend_handles_labels(), strict=True)}  # fmt: skip
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5)
    return figure


def _performance_panel(panel: Axes, rows: pd.DataFrame, side: int, alignment: str) -> None:
    family, performance = named("family", side), named("model_performance", side)
    rows = rows[rows[performance].notna()]
    means = rows.groupby(named("model", side)).agg(
        x=(performance, "first"), y=(alignment, "mean"), family=(family, "first")
    )
    _chance(panel, rows, alignment)
    for number, (name, of) in enumerate(means.groupby("family", sort=True)):
        panel.plot(
            of["x"],
            of["y"],
            _MARKERS[number % len(_MARKERS)],
            color=style.colour(_COLOURS[number % len(_COLOURS)]),
            label=style.folded(name or "models"),
        )


def _chance(panel: Axes, rows: pd.DataFrame, alignment: str) -> None:
    """The band of permuted rows, where it is known."""
    chance, high = beside(alignment, "chance"), beside(alignment, "chance_high")
    if chance in rows and rows[chance].notna().any():
        low = float(rows[chance].mean())
        panel.axhline(low, color=style.colour("muted"), linewidth=0.8, label="by chance")
        if high in rows and rows[high].notna().any():
            panel.axhspan(low, float(rows[high].mean()), color=style.colour("band"), zorder=0)


def layer_map_figure(trials: pd.DataFrame, alignment: str) -> Figure:
    """Draw the alignment of every pair of layers, a map for each pair of models.

    Args:
        trials: the table of a study of models.
        alignment: a column of alignment.

    Returns:
        The maps of the twelve pairs that are most alike, or of as many as there are, in one scale;
        a frame marks the best pair of layers.
    """
    maps = layer_maps(trials, alignment)
    if not maps:
        return style.empty_figure("the table has no layers of its own")
    shown = maps[:_MOST_PANELS]
    top = max(float(np.nanmax(grid)) for _, grid in shown)
    bottom = min(0.0, *(float(np.nanmin(grid)) for _, grid in shown))
    with style.styled():
        columns = min(len(shown), 3)
        figure = style.new_figure(0.5 + 2.4 * -(-len(shown) // columns))
        panels = style.grid_of_axes(figure, len(shown), columns, share_y=False)
        for panel, (said, grid) in zip(panels, shown, strict=True):
            image = panel.imshow(
                grid, origin="lower", aspect="auto", cmap="Purples", vmin=bottom, vmax=top
            )
            best = _best(said["layers"], grid)
            frame = Rectangle((best[1] - 0.5, best[0] - 0.5), 1, 1, fill=False)
            frame.set_edgecolor(style.colour("hurts"))
            panel.add_patch(frame)
            panel.set_title(style.folded(said["at"], 40) if said["at"] else "")
            panel.set_ylabel(style.folded(said["model_1"], 24))
            panel.set_xlabel(style.folded(said["model_2"], 24))
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        figure.colorbar(image, ax=panels, label=_metric(alignment), shrink=0.7)
    return figure


def layer_maps(trials: pd.DataFrame, alignment: str) -> list[tuple[dict[str, str], np.ndarray]]:
    """The names of both models and alignment [l1, l2] of their layers, the most alike first."""
    trials = plain(trials)[usable(trials)]
    axes = [name for name in axes_of_models(trials) if trials[name].nunique(dropna=False) > 1]
    column = beside(alignment, "layer_map")
    found = []
    for _, of in trials.groupby("cell", sort=False):
        first = of.iloc[0]
        shape = tuple(int(first[named("layers", side)]) for side in (1, 2))
        if column in of and first[column] is not None:
            flat = np.array(first[column], dtype=float)
            # All layers side by side are one more on both sides.
            more = int(len(flat) != shape[0] * shape[1])
            grid = flat.reshape(shape[0] + more, shape[1] + more)
        elif named("layer", 1) in of and alignment in of:
            table = of.pivot_table(alignment, named("layer", 1), named("layer", 2), dropna=False)
            grid = table.to_numpy(float)
        else:
            continue
        if np.isfinite(grid).any():
            at = " ".join(f"{name}={first[name]}" for name in axes if pd.notna(first[name]))
            said = {name: str(first[name]) for name in (named("model", 1), named("model", 2))}
            layers = beside(alignment, "alignment_layers")
            said["layers"] = str(first[layers]) if len(of) == 1 and layers in of else ""
            corrected = beside(alignment, "corrected")
            above = of[corrected].max() if corrected in of else np.nan
            found.append(
                (
                    float(np.nanmax(grid)) if pd.isna(above) else float(above),
                    said | {"at": at},
                    grid,
                )
            )
    return [(said, grid) for _, said, grid in sorted(found, key=lambda item: -item[0])]


def _best(layers: str, grid: np.ndarray) -> tuple[int, int]:
    """Where the pair of layers is that was reported; where none was, that of the largest value."""
    numbers = layers.split("-")
    if len(numbers) == 2 and all(n == "all" or n.isdecimal() for n in numbers):
        places = zip(numbers, grid.shape, strict=True)
        one, other = (size - 1 if n == "all" else int(n) for n, size in places)
        return one, other
    row, column = np.unravel_index(int(np.nanargmax(grid)), grid.shape)
    return int(row), int(column)


def axis_figure(trials: pd.DataFrame, along: str, alignment: str) -> Figure:
    """Draw alignment along an axis, a line per model of the first side, a panel per other side.

    Args:
        trials: the table of a study of models.
        along: the axis.
        alignment: a column of alignment.

    Returns:
        Means over the models of the other side, a colour and marker per family; the band as in
        `performance_figure`.
    """
    pairs = plain(trials)[usable(trials)]
    pairs = pairs[pairs[along].notna() & pairs[alignment].notna()]
    with style.styled():
        sides = list(dict.fromkeys(zip(pairs["side_1"], pairs["side_2"], strict=True)))
        columns = min(len(sides), 2)
        figure = style.new_figure(0.7 + 2.8 * -(-len(sides) // columns))
        panels = style.grid_of_axes(figure, len(sides), columns, share_y=True)
        for panel, (one, other) in zip(panels, sides, strict=True):
            rows = pairs[(pairs["side_1"] == one) & (pairs["side_2"] == other)]
            _chance(panel, rows, alignment)
            families = {name: i for i, name in enumerate(sorted(rows["family_1"].unique()))}
            for (family, _), of in rows.groupby(["family_1", "model_1"], sort=True):
                line = of.groupby(along)[alignment].mean()
                number = families[family]
                panel.plot(
                    line.index.astype(float),
                    line.to_numpy(),
                    f"{_MARKERS[number % len(_MARKERS)]}-",
                    color=style.colour(_COLOURS[number % len(_COLOURS)]),
                    linewidth=1,
                    label=style.folded(family or one),
                )
            panel.set_title(style.folded(f"{one} with {other}", 40))
            panel.set_xlabel(style.folded(along))
        panels[0].set_ylabel(_metric(alignment))
        handles = dict(
            itertools.chain.from_iterable(
                zip(*reversed(panel.get_legend_handles_labels()), strict=True) for panel in panels
            )
        )
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5)
    return figure


def _metric(alignment: str) -> str:
    """A metric in words; of these studies there is one split."""
    return style.metric_words(alignment).removesuffix(", test")
