"""What an emergence study measured beside the paper's figures: accuracy, rates, chance, draws."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from raysweep.trials.columns import beside, named
from raysweep_analysis.emergence import (
    alignment_by_draw,
    alignment_performance,
    emergence_trends,
    medians,
)
from raysweep_analysis.emergence_table import emergence_summary
from raysweep_analysis.examples.published import CKA, FIGURE_4, FIGURE_7
from raysweep_analysis.figures.style import spaced

CHANCE, CHANCE_P, CORRECTED = (beside(CKA, of) for of in ("chance", "chance_p", "corrected"))
KNN = named("alignment", "mutual_knn", "test")
PERFORMANCE = named("performance", 2, "population")
GIVEN = "alignment-performance given depth"
SHALLOW = 6
"""Depth up to which rates that were tuned on depths 1 to 4 still fit."""


def measured(trials: pd.DataFrame) -> pd.DataFrame:
    """The rows that hold a pair of encoders, without the tuning."""
    rows: pd.DataFrame = trials[trials["stage"].astype(str) == "measure"]
    return rows


def what_was_run(studies: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per study: its axes, how many pairs and tuned encoders, and the training time.

    Args:
        studies: name -> trial table.
    """
    rows = []
    for name, trials in studies.items():
        pairs = measured(trials)
        seconds = trials["train_seconds"].sum() if "train_seconds" in trials else np.nan
        rows.append(
            {
                "study": name,
                "U": _listed(pairs["U"]),
                "D_phi": _listed(pairs["D_phi"]),
                "depths": _listed(pairs["depth_2"]),
                "seeds": pairs["seed"].nunique(),
                "draws": pairs["draw"].nunique(),
                "pairs": len(pairs),
                "encoders to tune": int((trials["stage"].astype(str) == "tune").sum()),
                "training (min)": seconds / 60,
            }
        )
    return pd.DataFrame(rows)


def correlations_of_pair(
    pair: str, one: pd.DataFrame, several: pd.DataFrame, draws: int
) -> pd.DataFrame:
    """Medians of a pair's correlations at each U: the paper's, ours, and those of several draws.

    Args:
        pair: a key of `published.FIGURE_7`.
        one: as from `alignment_performance`, of the paper's draw.
        several: the same of several draws.
        draws: how many, for the headings.

    Returns:
        Columns `paper`, `Pearson`, `Spearman`, and the latter for the draws; of alignment and
        performance also the partial correlations given depth.
    """
    found = {"paper": pd.Series(dict(enumerate(FIGURE_7[pair])))}
    names = [(pair, "")]
    if pair == "alignment-performance":
        names.append((GIVEN, "given depth: "))
    for name, before in names:
        for table, after in ((one, ""), (several, f", {draws} draws")):
            for kind in ("pearson", "spearman"):
                found[f"{before}{kind.title()}{after}"] = _median(table, name, kind)
    table = pd.DataFrame(found).rename_axis(index="U")
    return table[table.drop(columns="paper").notna().any(axis=1)]


def correlations_to_depth(trials: pd.DataFrame, most: int = SHALLOW) -> pd.DataFrame:
    """Medians (Pearson) at each U over all depths, and over encoder 2 up to a depth only."""
    pairs = measured(trials)
    shallow = alignment_performance(pairs[pairs["depth_2"] <= most], permutations=1)
    every = alignment_performance(pairs, permutations=1)
    found = {}
    for pair in (*FIGURE_7, GIVEN):
        found[f"{pair}: all depths"] = _median(every, pair, "pearson")
        found[f"{pair}: depth to {most}"] = _median(shallow, pair, "pearson")
    return pd.DataFrame(found).rename_axis(index="U")


def accuracy_against_bayes(trials: pd.DataFrame, draw: int = 0) -> pd.DataFrame:
    """Expected accuracy over all inputs beside the Bayes classifier's, at each U.

    Means over seeds, the best over depths; of modality 2 a column for each D_phi that the paper's
    Figure 4 shows (or five of those that there are).
    """
    rows = measured(trials)
    rows = rows[rows["draw"] == draw]
    of_u = rows.groupby("U")
    found = {"Bayes 1": of_u[named("bayes", 1)].first()}
    first = rows.groupby(["U", "D_phi", "depth_1", "depth_2"])[
        named("performance", 1, "population")
    ].mean()
    found["accuracy 1"] = first.groupby("U").max()
    found["Bayes 2"] = of_u[named("bayes", 2)].first()
    second = rows.groupby(["U", "D_phi", "depth_2"])[PERFORMANCE].mean()
    best = second.groupby(["U", "D_phi"]).max().unstack("D_phi")
    levels = [d for d in best.columns if d in FIGURE_4] or spaced(list(best.columns), 5)
    for level in levels:
        found[f"accuracy 2, D_phi {level:g}"] = best[level]
    return pd.DataFrame(found)


def accuracy_by_depth(
    trials: pd.DataFrame, column: str = PERFORMANCE, draw: int = 0
) -> pd.DataFrame:
    """Mean over D_phi and seeds at each depth of encoder 2, beside the rates tuned at that U.

    Args:
        trials: a trial table.
        column: what to average; `best_epoch_2` says how early the checkpoints are.
        draw: the dataset draw.
    """
    rows = measured(trials)
    rows = rows[rows["draw"] == draw]
    of_u = rows.groupby("U")
    found = {
        f"{name} 2": of_u[f"{name.replace(' ', '_')}_2"].agg(_distinct)
        for name in ("learning rate", "weight decay")
    }
    means = rows.groupby(["U", "depth_2"])[column].mean().unstack("depth_2")
    means.columns = [f"depth {depth:g}" for depth in means.columns]
    return pd.DataFrame(found).join(means)


def against_chance(trials: pd.DataFrame) -> pd.DataFrame:
    """Highest CKA and mutual kNN at each U, what shuffled rows give, and what is left."""
    found = {}
    for name, column in (("CKA", CKA), ("kNN", KNN)):
        if column not in trials:
            continue
        summary = emergence_summary(trials, pd.DataFrame(), alignment=column).set_index("U")
        found[name] = summary["best"]
        found[f"{name}, chance"] = summary["chance"]
        found[f"{name}, corrected"] = summary["corrected"]
    return pd.DataFrame(found)


def corrected_by_draw(trials: pd.DataFrame) -> pd.DataFrame:
    """Highest corrected CKA at each U of each draw, mean over D_phi, and how far draws differ."""
    units = alignment_by_draw(measured(trials), "U", alignment=CORRECTED)[0]
    table = units.groupby(["x", "draw"])["alignment"].mean().unstack("draw").rename_axis(index="U")
    table.columns = [f"draw {draw:g}" for draw in table.columns]
    return table.assign(range=table.max(axis=1) - table.min(axis=1))


def trends_over_draws(trials: pd.DataFrame, rng: np.random.Generator | None = None) -> pd.DataFrame:
    """Spearman's rho and permutation p at each D_phi: along U, chance off, and along I_shared."""
    pairs, found = measured(trials), {}
    for name, along, column in (
        ("highest CKA, U", "U", CKA),
        ("corrected, U", "U", CORRECTED),
        ("corrected, I_shared", "I_shared", CORRECTED),
    ):
        trend = emergence_trends(pairs, along, alignment=column, rng=rng).set_index("D_phi")
        found[f"{name}: rho"], found[f"{name}: p"] = trend["rho"], trend["p_rho"]
    return pd.DataFrame(found)


def chance_at(studies: Mapping[str, pd.DataFrame], u: int = 8, alpha: float = 0.05) -> pd.DataFrame:
    """Whether CKA at one U exceeds what shuffled rows give.

    The pairs of a draw share encoder 1, rows and shuffles, so a count of small p-values has no
    known spread. Chance is the mean over shuffles, so CKA minus chance is 0 on average where
    nothing is shared; its means over the pairs of a draw are independent between draws, and a t
    test asks whether they are above 0. With fewer than three draws nothing is tested.

    Args:
        studies: name -> trial table.
        u: the uniqueness.
        alpha: what counts as a small p-value in the share.
    """
    rows = []
    for name, trials in studies.items():
        here = measured(trials)
        here = here[here["U"] == u]
        if here.empty:
            continue
        excess = here[CKA] - here[CHANCE]
        means = excess.groupby(here["draw"]).mean().dropna()
        tested = len(means) >= 3
        p = stats.ttest_1samp(means, 0, alternative="greater").pvalue if tested else np.nan
        small = here[CHANCE_P] <= alpha
        rows.append(
            {
                "study": name,
                "pairs": len(here),
                f"share with p at most {alpha:g}": float(small.mean()),
                "highest CKA": here[CKA].max(),
                "mean CKA": here[CKA].mean(),
                "mean above chance": means.mean(),
                "draws": len(means),
                "p over draws": float(p),
            }
        )
    return pd.DataFrame(rows)


def _median(correlations: pd.DataFrame, pair: str, kind: str) -> pd.Series:
    if correlations.empty:
        return pd.Series(dtype=float)
    middle = medians(correlations, "U", kind)
    return middle[middle["pair"] == pair].set_index("U")["median"]


def _distinct(values: pd.Series) -> str:
    return " / ".join(f"{v:g}" for v in sorted(values.dropna().unique()))


def _listed(values: pd.Series) -> str:
    found = sorted(values.unique())
    if len(found) > 2 and (np.diff(found) == 1).all():
        return f"{found[0]:g} to {found[-1]:g}"
    return ", ".join(f"{v:g}" for v in found)
