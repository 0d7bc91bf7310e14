"""All tables of search_spaces/paper/RESULTS.md as one Markdown text."""

import numpy as np
import pandas as pd

from raysweep.trials.columns import named
from raysweep_analysis.examples import measured as ours
from raysweep_analysis.examples import published
from raysweep_analysis.examples.markdown import section, table


def emergence_tables(
    trials: pd.DataFrame,
    drawn: pd.DataFrame,
    one: pd.DataFrame,
    several: pd.DataFrame,
    rng: np.random.Generator | None = None,
) -> str:
    """Write every table of the reproduction, headed as there.

    Args:
        trials: the study in the paper's settings (A).
        drawn: the study of several dataset draws (B).
        one: correlations of A, as from `alignment_performance`.
        several: correlations of B.
        rng: source of the permutations; a fixed seed by default.
    """
    studies = {"A": trials, "B": drawn}
    pairs, draws = ours.measured(trials), drawn["draw"].nunique()
    seeds = _many(pairs["seed"].nunique(), "seed")
    over = f"medians over D_phi and {seeds} (A) or {_many(draws, 'draw')} (B)"
    parts = [
        section(
            "What was run",
            "Axes, pairs of encoders and training time of both studies.",
            table(ours.what_was_run(studies), 0),
        ),
        section(
            "Figure 4: the highest alignment against uniqueness",
            f"Unbiased CKA, best over layers and models, mean over {seeds} (A).",
            table(published.beside_figure_4(pairs)),
            "Spearman's rho of the highest CKA with U:\n",
            table(published.trend_of_figure_4(pairs), 3),
        ),
        section(
            "Figure 7: do better models align more?",
            f"Correlations over the depths of encoder 2, {over}.",
            *(
                f"{pair.replace('-', ' and ').capitalize()}:\n\n"
                + table(ours.correlations_of_pair(pair, one, several, draws))
                for pair in published.FIGURE_7
            ),
            f"With encoders of depth up to {ours.SHALLOW} only, where the tuned rates fit (A, "
            "Pearson):\n",
            table(ours.correlations_to_depth(trials)),
        ),
        section(
            "Accuracy against what is possible",
            f"Expected accuracy over all inputs, mean over {seeds}, the best over depths (A).",
            table(ours.accuracy_against_bayes(trials), 3),
            "Mean accuracy of modality 2 over D_phi at each depth, beside the tuned rates:\n",
            table(ours.accuracy_by_depth(trials), 3),
            "Mean epoch of the checkpoint of encoder 2:\n",
            table(ours.accuracy_by_depth(trials, named("best_epoch", 2)), 0),
        ),
        section(
            "Bands of an honest reimplementation",
            f"A has {seeds}; B has {_many(draws, 'draw')}.",
            table(_bands(pairs, one, ours.measured(drawn), several)),
        ),
        section(
            "Chance",
            "Highest score over models, what shuffled pairs of rows give, and what is left (B, "
            "mean over D_phi and draws).",
            table(ours.against_chance(ours.measured(drawn)), 3),
            "At U = 8. Pairs of a draw share encoder 1, rows and shuffles; only draws are "
            "independent, so the test is over draws:\n",
            table(ours.chance_at(studies), {"mean above chance": 4, "p over draws": 3} | _THREE),
        ),
        section(
            "Draws",
            "Highest corrected CKA of each draw (B, mean over D_phi).",
            table(ours.corrected_by_draw(drawn), 3),
            "The trend with labels permuted within draws, the unit being a draw:\n",
            table(_trends(ours.trends_over_draws(drawn, rng))),
        ),
    ]
    return "# Tables of the paper's figures, run again\n\n" + "\n".join(parts)


_THREE = {"highest CKA": 3, "mean CKA": 3}


def _bands(
    pairs: pd.DataFrame, one: pd.DataFrame, drawn: pd.DataFrame, several: pd.DataFrame
) -> pd.DataFrame:
    large = published.bands(pairs, one).set_index("band")
    small = published.bands(drawn, several).set_index("band")
    small.columns = ["found in the small study", "holds there"]
    return large.join(small, how="left")


def _trends(trends: pd.DataFrame) -> pd.DataFrame:
    """p-values with their four digits, beside rho with two."""
    shown = trends.copy()
    for name in map(str, trends.columns):
        if name.endswith(": p"):
            shown[name] = trends[name].map("{:.4f}".format)
    return shown


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n != 1 else ''}"
