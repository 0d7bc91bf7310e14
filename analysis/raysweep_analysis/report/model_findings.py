"""What the table of a study of models says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from raysweep.text import counted
from raysweep_analysis.figures.style import metric_words, signed
from raysweep_analysis.models import alignments, axis_trends, model_correlations, model_pairs

_ALPHA = 0.05
_PERMUTATIONS = 999


@dataclass(frozen=True)
class ModelFindings:
    """Pairs, performance and axes.

    Attributes:
        pairs, correlations, trends: as from `model_pairs`, `model_correlations`, `axis_trends`.
        alignments: the columns of alignment, the first of the study first.
        sentences: the answer in plain words.
    """

    pairs: pd.DataFrame
    correlations: pd.DataFrame
    trends: pd.DataFrame
    alignments: tuple[str, ...]
    sentences: tuple[str, ...]

    @classmethod
    def of(cls, trials: pd.DataFrame, first: str | None = None) -> "ModelFindings | None":
        """What a table says, of one column of alignment first; None where none is defined."""
        columns = sorted(alignments(trials), key=lambda column: column != first)
        if not columns:
            return None
        pairs, correlations, trends = (
            _in_order(table, columns)
            for table in (
                model_pairs(trials),
                model_correlations(trials, permutations=_PERMUTATIONS),
                axis_trends(trials, permutations=_PERMUTATIONS),
            )
        )
        said = (*_of_pairs(pairs), *_of_performance(correlations), *_of_axes(trends))
        return cls(pairs, correlations, trends, tuple(columns), said)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Name -> table."""
        return {
            "pairs": self.pairs,
            "model_correlations": self.correlations,
            "axis_trends": self.trends,
        }


def _in_order(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """A table with the rows of each column of alignment together, in the order of these."""
    if table.empty:
        return table
    return table.sort_values("alignment", key=lambda of: of.map(columns.index), kind="stable")


def _of_pairs(pairs: pd.DataFrame) -> Iterator[str]:
    for column, of in pairs.groupby("alignment", sort=False):
        best = of.iloc[0]
        known = of[of["p_bh"].notna()]
        tested = ""
        if len(known):
            beyond = int((known["p_bh"] < _ALPHA).sum())
            tested = (
                f"{beyond} of {counted(len(known), 'pair')} of models align beyond chance "
                f"(Benjamini-Hochberg over them, {_ALPHA:g}). "
            )
        chance = "" if pd.isna(best["chance"]) else f", {best['chance']:.3f} by chance"
        layers = f" (layers {best['layers']})" if best["layers"] else ""
        yield (
            f"By {_metric(column)}: {tested}Most alike: {best['model_1']} and "
            f"{best['model_2']}{layers}, {best['value']:.3f}{chance}."
        )


def _of_performance(correlations: pd.DataFrame) -> Iterator[str]:
    if correlations.empty:
        return
    groups = correlations.groupby(["alignment", "side", "other"], sort=False)
    for (column, side, other), of in groups:
        rho = f"Spearman's rho {signed(of['rho'].median(), 2)}"
        tested = of[of["p_within"].notna()]
        below = int((tested["p_within"] < _ALPHA).sum())
        if len(of) > 1:
            rho += f", the median of {len(of)} points of the axes"
            within = f"in {below} of {len(tested)} points p within families is below {_ALPHA:g}"
        else:
            row = of.iloc[0]
            rho += f" ({signed(row['low'], 2)} to {signed(row['high'], 2)})"
            within = f"within families {signed(row['rho_within'], 2)}, p = {row['p_within']:.2g}"
        yield (
            f"Performance of {side} and its alignment with {other} by {_metric(column)}: {rho}; "
            + (within if len(tested) else "no family has two models")
            + "."
        )


def _of_axes(trends: pd.DataFrame) -> Iterator[str]:
    for row in trends.to_dict("records"):
        moves = "rises" if row["rho"] > 0 else "falls"
        found = moves if row["p"] < _ALPHA else "is not shown to rise or fall"
        yield (
            f"Along {row['along']} alignment of {row['side']} with {row['other']} by "
            f"{_metric(row['alignment'])} {found}: Spearman's rho {signed(row['rho'], 2)} over "
            f"{row['levels']} values, p = {row['p']:.2g}."
        )


def _metric(column: object) -> str:
    """A metric in words; of these studies there is one split."""
    return metric_words(str(column)).removesuffix(", test")
