"""The answers as tables for the screen."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import ConsoleRenderable

from raysweep.kinds.fitted_table import Column, FittedTable, Justify
from raysweep.text import counted
from raysweep.trials.columns import column_of
from raysweep.trials.outcomes import kind_of, scale_of
from raysweep.trials.verdict_words import VERDICT_WORDS

_COLOURS = {
    VERDICT_WORDS["helps"]: "green",
    VERDICT_WORDS["hurts"]: "red",
    VERDICT_WORDS["equivalent"]: "cyan",
    VERDICT_WORDS["inconclusive"]: "yellow",
}


def verdict_table(effects: Any, performance: str, so_far: str = "") -> ConsoleRenderable:
    """The verdicts as a table for the screen: a line each, or a few where the screen is narrow.

    Args:
        effects: the rows of `raysweep_analysis.forcing_effects` that are tested.
        performance: the outcome that was tested.
        so_far: of a run that is not finished, how many cells are tested.
    """
    rows = [row for _, row in effects.iterrows()]
    factor, unit = scale_of(performance)
    points = unit == "points"
    shown, form = unit, "{:+z.2f}" if points else "{:+z.3g}"
    if points:
        shown = f"points (100 x {kind_of(performance)})"
    if column_of(performance).better_is_less:
        shown += ", less is better,"

    def effect(value: Any) -> str:
        return _number(factor * value, form)

    def column(
        name: str,
        justify: Justify,
        value: Callable[[Any], str],
        colours: Mapping[str, str] | None = None,
    ) -> Column:
        return Column(name, justify, [value(row) for row in rows], colours or {})

    where = [column("cell", "left", lambda r: str(r["label"]))]
    if effects["chosen_by"].nunique() > 1:
        where.append(column("chosen by", "left", lambda r: str(r["chosen_by"])))
    if (effects["options"] != "").any():
        where.append(column("options", "left", lambda r: str(r["options"])))
    return FittedTable(
        f"Does forcing alignment help? ({'; '.join(filter(None, (performance, so_far)))})",
        f"effect: forced - none in {shown} with its confidence interval; "
        f"p: Holm-adjusted over {counted(len(rows), 'tested row')}{' so far' if so_far else ''}; "
        "placebo: forced - placebo, tested as a family of its own",
        [
            where,
            [
                column("strength", "right", lambda r: _number(r["strength"], "{:.3g}")),
                column("n", "right", lambda r: _number(r["n"], "{:.0f}")),
            ],
            [
                column(
                    "effect\n(interval)",
                    "right",
                    lambda r: (
                        f"{effect(r['effect'])}\n({effect(r['ci_low'])}, {effect(r['ci_high'])})"
                    ),
                )
            ],
            [
                column("placebo", "right", lambda r: effect(r["effect_vs_placebo"])),
                column(
                    "alignment",
                    "right",
                    lambda r: (
                        f"{_number(r['alignment_none'], '{:.2f}')} to "
                        f"{_number(r['alignment_forced'], '{:.2f}')}"
                        if math.isfinite(r["alignment_none"])
                        else ""
                    ),
                ),
            ],
            [
                column("p", "right", lambda r: _number(r["p_adjusted"], "{:.2g}")),
                column("verdict", "left", lambda r: VERDICT_WORDS[r["verdict"]], _COLOURS),
            ],
        ],
    )


def emergence_table(summary: Any) -> ConsoleRenderable:
    """Emergent alignment as a table for the screen: a line each, or a few where it is narrow.

    Args:
        summary: what `raysweep_analysis.emergence_summary` returned.
    """
    along = str(summary.columns[1])

    def column(name: str, title: str, form: str) -> Column:
        return Column(title, "right", [_number(value, form) for value in summary[name]])

    measured = (
        {"best": "best alignment", "chance": "by chance", "corrected": "above chance"},
        {
            "alignment_performance": "with performance",
            "given_depth": "given depth",
            "performance_depth": "performance, depth",
            "alignment_depth": "alignment, depth",
        },
    )
    stacks = [
        [column(n, title, "{:.2f}") for n, title in names.items() if summary[n].notna().any()]
        for names in measured
    ]
    return FittedTable(
        f"Does alignment emerge? ({summary['alignment'].iloc[0]})",
        "best over models, mean over datasets and seeds; then medians of Pearson's "
        "correlations over models of one dataset and seed",
        [
            [Column("data", "left", [str(name) for name in summary["data"]])],
            [column(name, name, "{:g}") for name in (along, "draws", "seeds")],
            *(stack for stack in stacks if stack),
        ],
    )


def _number(value: Any, form: str) -> str:
    return "" if value is None or math.isnan(value) else form.format(value)
