"""What a report has of the choices of an analysis: tables, a figure and sentences."""

from collections.abc import Hashable
from typing import Any

import pandas as pd

from raysweep.trials.verdict_words import VERDICT_WORDS
from raysweep_analysis import figures
from raysweep_analysis.choices import CHOICES, multiverse, robustness
from raysweep_analysis.report.findings import Findings


def multiverse_contents(found: Findings) -> tuple[list[str], dict[str, bytes]]:
    """Judge a table under all choices that its rows allow.

    Returns:
        Sentences, one per cell after the first; and the files: name in a report's folder ->
        content.
    """
    asked = found.settings
    judged = multiverse(
        *(found.trials, asked.performance, asked.alpha, asked.margin),
        unit=asked.unit,
        looks=asked.looks,
        alphas=asked.alphas,
        margins=asked.margins,
    )
    cells = robustness(judged)
    drawn = figures.render(figures.specification_curve(judged), "multiverse")
    contents = {f"figures/multiverse{suffix}": text for suffix, text in drawn.files().items()}
    for name, table in (("multiverse", judged), ("multiverse_cells", cells)):
        contents[f"tables/{name}.csv"] = table.to_csv(index=False).encode(errors="backslashreplace")
    return _sentences(judged, cells), contents


def _sentences(judged: pd.DataFrame, cells: pd.DataFrame) -> list[str]:
    if judged.empty:
        return ["No cell is tested under any choice."]
    choices = judged.groupby(list(CHOICES)).ngroups
    steady, contrary = int((cells["share"] == 1).sum()), int((cells["opposed"] > 0).sum())
    first = (
        f"{choices} choices of criterion, reference, outcome, scale and level: {steady} of "
        f"{len(cells)} cells have one verdict under all of them, {contrary} the contrary under "
        "some."
    )
    told = [
        f"{row['label']}: {VERDICT_WORDS[row['verdict']]} under {row['share']:.0%} of "
        f"{row['choices']} choices ({_came(row)})."
        for row in cells.to_dict("records")
    ]
    return [first, *told]


def _came(row: dict[Hashable, Any]) -> str:
    """How many choices came to which verdict."""
    return ", ".join(f"{row[v]} {words}" for v, words in VERDICT_WORDS.items() if row.get(v))
