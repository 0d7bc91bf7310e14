"""The specification curve: what every choice of an analysis says."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from raysweep.trials.verdict_words import VERDICT_WORDS
from raysweep_analysis.choices import CHOICES
from raysweep_analysis.figures import style
from raysweep_analysis.figures.words import CRITERION_WORDS
from raysweep_analysis.verdicts import VERDICTS

_TITLES = {
    "chosen_by": CRITERION_WORDS,
    "reference": {"none": "against no forcing", "placebo": "against the placebo"},
}


def specification_curve(judged: pd.DataFrame) -> Figure:
    """Draw all choices side by side, from the least gain to the most.

    At the top the median gain over cells with its quartiles, in margins of equivalence; then the
    verdicts of the cells; below, what was chosen. The study's own choice is marked.

    Args:
        judged: as from `raysweep_analysis.multiverse`.
    """
    if judged.empty:
        return style.empty_figure("no confirmed cell yet: no choices to compare")
    grouped = judged.groupby(list(CHOICES), sort=False)
    curve = pd.DataFrame(
        {
            "low": grouped["gain"].quantile(0.25),
            "gain": grouped["gain"].quantile(0.5),
            "high": grouped["gain"].quantile(0.75),
            "primary": grouped["primary"].any(),
        }
    ).sort_values(["gain", "low"], kind="stable")
    counts = grouped["verdict"].value_counts(normalize=True).unstack().fillna(0.0)
    counts = counts.reindex(curve.index)
    x = np.arange(len(curve))
    values = [(name, value) for name in CHOICES for value in curve.index.unique(name)]
    constant = {name for name in ("alpha", "margins") if curve.index.unique(name).size == 1}
    values = [(name, value) for name, value in values if name not in constant]
    with style.styled():
        figure = style.new_figure(3.6 + 0.17 * len(values))
        top, middle, below = figure.subplots(
            3, 1, sharex=True, height_ratios=[1.6, 1.2, 0.15 * len(values)]
        )
        top.axhspan(-1, 1, color=style.colour("band"), zorder=0)
        top.axhline(0, color=style.colour("muted"), linewidth=0.8)
        top.vlines(x, curve["low"], curve["high"], color=style.colour("grid"), linewidth=2)
        top.plot(x, curve["gain"], "o", markersize=3, color=style.colour("ink"))
        own = curve["primary"].to_numpy(bool)
        top.plot(
            x[own],
            curve.loc[own, "gain"],
            "D",
            markersize=6,
            color=style.colour("alignment"),
            label="the study's own choice",
        )
        top.set_yscale("symlog", linthresh=1)
        top.yaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", style.MINUS))
        top.set_ylabel("gain by forcing\n(margins)")
        bottom = np.zeros(len(curve))
        for verdict in VERDICTS[:4]:
            height = counts[verdict].to_numpy() if verdict in counts else np.zeros(len(curve))
            # What is not known is left open.
            open_ = verdict == "inconclusive"
            middle.bar(
                x,
                height,
                0.9,
                bottom,
                color=style.colour("paper" if open_ else verdict),
                edgecolor=style.colour("grid"),
                linewidth=0.4,
                label=VERDICT_WORDS[verdict],
            )
            bottom += height
        middle.set_ylabel("share of cells")
        for row, (name, value) in enumerate(values):
            there = curve.index.get_level_values(name) == value
            below.plot(
                x[there], np.full(there.sum(), -row), "s", markersize=2.6, color=style.colour("ink")
            )
        below.set_yticks(
            [-row for row in range(len(values))],
            [_word(name, value) for name, value in values],
            parse_math=False,
        )
        below.set_xticks([])
        figure.legend(loc="outside lower center", ncols=3)
        below.set_xlabel(f"{len(curve)} choices, by the median gain")
    return figure


def _word(name: str, value: str | float) -> str:
    if not isinstance(value, str):
        return f"alpha {value:g}" if name == "alpha" else f"margin times {value:g}"
    if name == "performance":
        return style.outcome_words(value)
    return _TITLES.get(name, {}).get(value, value or "forced")
