"""Numbers of arXiv 2502.16282, and our own beside them.

The paper's numbers were read off its figures (about 0.01 on alignment, 0.02 on correlations).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from raysweep.trials.columns import named
from raysweep_analysis.emergence import alignment_by_draw, medians

FIGURE_4 = {
    1: (0.91, 0.81, 0.67, 0.46, 0.43, 0.45, 0.45, 0.38),
    3: (0.87, 0.80, 0.66, 0.49, 0.26, 0.42, 0.42, 0.45),
    5: (0.84, 0.75, 0.68, 0.44, 0.33, 0.42, 0.31, 0.30),
    7: (0.72, 0.68, 0.62, 0.48, 0.34, 0.37, 0.28, 0.12),
    9: (0.78, 0.70, 0.60, 0.37, 0.34, 0.31, 0.29, 0.19),
}
"""D_phi -> the highest unbiased CKA at U = 0 .. 7."""

RHO = {
    1: (-0.929, -0.950),
    3: (-0.762, -0.833),
    5: (-0.976, -0.983),
    7: (-0.976, -0.983),
    9: (-1.000, -1.000),
}
"""D_phi -> Spearman's rho of the paper's highest CKA with U: over U = 0 .. 7, and as printed.

Constants: ties among the digits read off the figure would give other values.
"""

FIGURE_7 = {
    "alignment-performance": (0.68, 0.68, 0.60, 0.33, 0.27, 0.22, 0.17, 0.00, 0.12),
    "performance-depth": (0.73, 0.71, 0.62, 0.69, 0.62, 0.76, 0.53, 0.68, 0.62),
    "alignment-depth": (0.93, 0.87, 0.86, 0.45, 0.25, 0.30, 0.05, -0.01, 0.09),
}
"""Pair -> median correlation at U = 0 .. 8."""

EXACT = {
    "I1": (1.1588, 0.9717, 0.9717, 0.7151, 0.7151, 0.4935, 0.4935, 0.3669, 0.3669),
    "I2": (1.1588, 1.1588, 0.8806, 0.8867, 0.7334, 0.7717, 0.6076, 0.6188, 0.4733),
    "I_shared": (1.1588, 0.9717, 0.7151, 0.4935, 0.3669, 0.2591, 0.1520, 0.0884, 0.0),
    "pid_R": (1.1588, 0.9717, 0.7493, 0.5914, 0.4707, 0.3839, 0.3633, 0.3367, 0.2728),
    "pid_S": (0.0, 0.0, 0.0559, 0.1485, 0.1811, 0.2776, 0.4210, 0.5098, 0.5914),
}
"""Information of draw 0 at U = 0 .. 8, nats, computed for this project."""

CKA = named("alignment", "unbiased_cka", "test")


def highest_alignment(trials: pd.DataFrame, draw: int = 0) -> pd.DataFrame:
    """The highest CKA over models at each U (rows) and D_phi (columns), means over seeds."""
    units = alignment_by_draw(trials[trials["draw"] == draw], "U", alignment=CKA)[0]
    return units.pivot(index="x", columns="D_phi", values="alignment").rename_axis(index="U")


def beside_figure_4(trials: pd.DataFrame) -> pd.DataFrame:
    """Our highest CKA and the paper's, one row per U, two columns per D_phi."""
    ours = highest_alignment(trials)
    found = {}
    for level in (d for d in FIGURE_4 if d in ours):
        paper = dict(enumerate(FIGURE_4[level]))
        found[f"{level}: ours"] = ours[level]
        found[f"{level}: paper"] = pd.Series({u: paper.get(int(u), np.nan) for u in ours.index})
    return pd.DataFrame(found).rename_axis(index="U")


def trend_of_figure_4(trials: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rho of the highest CKA with U at each D_phi: ours, and the paper's (`RHO`)."""
    ours = highest_alignment(trials)
    rows = []
    for level in ours.columns:
        line = ours[level].dropna()
        paper, printed = RHO.get(int(level), (np.nan, np.nan))
        rows.append(
            {
                "D_phi": level,
                "ours, U 0-7": _rho(line[line.index <= 7]),
                "paper, U 0-7": paper,
                "ours, U 0-8": _rho(line),
                "paper, printed": printed,
            }
        )
    return pd.DataFrame(rows).set_index("D_phi")


def beside_figure_7(correlations: pd.DataFrame) -> pd.DataFrame:
    """Median correlations at each U: ours by Pearson and Spearman, and the paper's."""
    found = {}
    for pair, paper in FIGURE_7.items():
        for kind in ("pearson", "spearman"):
            middle = medians(correlations, "U", kind)
            found[f"{pair}: {kind}"] = middle[middle["pair"] == pair].set_index("U")["median"]
        found[f"{pair}: paper"] = pd.Series(dict(enumerate(paper)))
    given = medians(correlations, "U")
    given = given[given["pair"] == "alignment-performance given depth"]
    found["given depth: pearson"] = given.set_index("U")["median"]
    return pd.DataFrame(found).rename_axis(index="U")


def bands(trials: pd.DataFrame, correlations: pd.DataFrame) -> pd.DataFrame:
    """What an honest reimplementation should find, and whether it was found.

    Returns:
        Columns `band`, `found` (words) and `holds`; of the U and D_phi that the table has.
    """
    rows: list[tuple[str, str, bool]] = []
    ours = highest_alignment(trials)
    for low, high, width in ((0, 2, 0.10), (3, 7, 0.15)):
        gaps = [
            abs(ours.loc[u, d] - FIGURE_4[int(d)][int(u)])
            for d in ours.columns
            for u in ours.index
            if int(d) in FIGURE_4 and low <= u <= high and np.isfinite(ours.loc[u, d])
        ]
        if not gaps:
            continue
        inside = sum(gap <= width for gap in gaps)
        rows.append(
            (
                f"highest CKA within {width:.2f} of the paper's at U = {low} to {high}",
                f"{inside} of {len(gaps)} points, the farthest {max(gaps):.2f} away",
                inside == len(gaps),
            )
        )
    if 8 in ours.index:
        last = ours.loc[[8]].to_numpy(float)
        last = last[np.isfinite(last)]
        rows.append(
            (
                "highest CKA in -0.02 .. 0.05 at U = 8",
                f"{last.min():.3f} to {last.max():.3f}",
                bool(((last >= -0.02) & (last <= 0.05)).all()),
            )
        )
    rhos = trend_of_figure_4(trials)["ours, U 0-8"]
    rows.append(
        (
            "rho(highest CKA, U) at most -0.80 at each D_phi",
            f"{rhos.min():.2f} to {rhos.max():.2f}",
            bool((rhos <= -0.8).all()),
        )
    )
    if len(correlations):
        rows += _correlation_bands(correlations)
    for head in (1, 2):
        over = (
            trials[named("performance", head, "population")] - trials[named("bayes", head)]
        ).max()
        rows.append(
            (
                f"accuracy of modality {head} at most 0.015 above Bayes",
                f"at most {over:+.4f} (expected over all inputs)",
                bool(over <= 0.015),
            )
        )
    exact = trials[trials["draw"] == 0].drop_duplicates("U").set_index("U")
    gap = max(
        abs(float(exact.loc[u, name]) - values[int(u)])
        for name, values in EXACT.items()
        for u in exact.index
    )
    rows.append(("exact information within 0.002 nats", f"{gap:.4f} at most", gap <= 0.002))
    return pd.DataFrame(rows, columns=["band", "found", "holds"])


def _correlation_bands(correlations: pd.DataFrame) -> list[tuple[str, str, bool]]:
    middle = medians(correlations, "U")
    at = {pair: g.set_index("U")["median"] for pair, g in middle.groupby("pair")}
    aligned = at["alignment-performance"]
    rho = _rho(aligned)
    return [
        _within("alignment-performance at least 0.45 at U = 0, 1", aligned, (0, 1), 0.45, np.inf),
        _within("alignment-performance in -0.25 .. 0.35 at U = 7, 8", aligned, (7, 8), -0.25, 0.35),
        ("alignment-performance falls with U: rho at most -0.8", f"{rho:.2f}", rho <= -0.8),
        _within("performance-depth at least 0.3", at["performance-depth"], range(9), 0.3, np.inf),
        _within(
            "alignment-depth at least 0.7 at U = 0 to 2",
            at["alignment-depth"],
            range(3),
            0.7,
            np.inf,
        ),
    ]


def _within(
    words: str, found: pd.Series, where: Sequence[int], low: float, high: float
) -> tuple[str, str, bool]:
    here = found[found.index.isin(where)]
    text = f"{here.min():.2f} to {here.max():.2f}" if len(here) else "not measured"
    return words, text, bool(len(here) and here.between(low, high).all())


def _rho(line: pd.Series) -> float:
    if len(line) < 3 or line.nunique() < 2:
        return float("nan")
    return float(stats.spearmanr(line.index, line).statistic)
