"""A paragraph on methods with the study's own numbers, for a paper, and its references."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd

from raysweep import __version__
from raysweep.text import counted, visible
from raysweep.trials.columns import column_of
from raysweep.trials.outcomes import amount, outcome_words
from raysweep_analysis.report.findings import Findings
from raysweep_analysis.resplits import SPLIT
from raysweep_analysis.sentences import listed

_REFERENCES = Path(__file__).parent / "templates" / "references.bib"
_CHOSEN_FOR = {
    "best": "performed best, each arm trained as suits it",
    "alignment": "aligned most",
    "performance": "performed best",
}


def methods(found: Findings) -> str:
    """What was done, in one paragraph; every number is of this study's table."""
    return " ".join(_sentences(found))


def references(found: Findings) -> str:
    """BibTeX entries of what the paragraph cites."""
    entries = _entries()
    return "\n\n".join(entries[key] for key in _cited(found))


def _sentences(found: Findings) -> Iterator[str]:
    trials, effects, asked = found.trials, found.effects, found.settings
    tested = effects[effects["verdict"] != "untested"]
    cells = trials["cell"].nunique()
    yield (
        "We tested whether forcing the representations of the modalities to align changes "
        f"{outcome_words(asked.performance)}, with raysweep {__version__}."
    )
    yield from _search(trials, effects, cells)
    yield from _confirm(trials)
    if len(tested):
        yield from _tests(found, tested)
    if found.plan.confirmatory:
        yield (
            "Cells, seeds, outcome, level and margin were registered before the first trial "
            f"(SHA-256 {found.plan.digest[:16]}) and kept."
        )


def _search(trials: pd.DataFrame, effects: pd.DataFrame, cells: int) -> Iterator[str]:
    search = trials[(trials["stage"].astype(str) == "search") & (trials["strength"] > 0)]
    if search.empty:
        return
    strengths = search.groupby("cell")["strength"].nunique()
    seeds = search.groupby(["cell", "draw"])["seed"].nunique()
    low, high = search["strength"].min(), search["strength"].max()
    criteria = [by for by in dict.fromkeys(effects["chosen_by"]) if by]
    chosen = listed([f"the one that {_CHOSEN_FOR.get(by, by)}" for by in criteria])
    losses = sorted(set(search["loss"].dropna().astype(str))) if "loss" in search else []
    of = f" of the alignment loss {visible(listed(losses))}" if losses else ""
    which = f"; it chose {chosen}" if chosen else ""
    yield (
        f"In each of {counted(cells, 'cell')} of the design a search \\cite{{akiba2019optuna}} "
        f"tried {_range(strengths)} strengths{of}, from {low:.3g} to {high:.3g}, on "
        f"{_range(seeds)} seeds each and on the validation split alone{which}."
    )


def _confirm(trials: pd.DataFrame) -> Iterator[str]:
    confirm = trials[trials["stage"].astype(str) == "confirm"]
    if confirm.empty:
        return
    seeds = confirm.groupby(["cell", "draw"])["seed"].nunique()
    draws = confirm.groupby("cell")["draw"].nunique()
    several = f" in each of {_range(draws)} dataset draws" if draws.max() > 1 else ""
    arms = {
        "none": "without forcing",
        "forced": "forced with that strength",
        "placebo": "forced with it on shuffled pairs (placebo)",
    }
    there = [words for arm, words in arms.items() if (confirm["arm"].astype(str) == arm).any()]
    lost = int((confirm["status"].astype(str) != "ok").sum())
    yield (
        f"Models were then trained {listed(there)}, on {_range(seeds)} seeds that the search had "
        f"not seen{several}; the arms of a seed share initial weights, batches and steps. Of "
        f"{len(confirm)} such runs {lost or 'none'} diverged or failed, and only they enter tests."
    )


def _tests(found: Findings, tested: pd.DataFrame) -> Iterator[str]:
    asked = found.settings
    level = f"{100 * (1 - asked.alpha):g} %"
    units = listed([f"{unit}s" for unit in dict.fromkeys(tested["unit"])])
    holm = "\\cite{holm1979simple}"
    yield (
        f"Effects are paired differences, forced minus none, over {units} (n = "
        f"{_range(tested['n'])} per comparison), with {level} t intervals. P-values of two-sided "
        f"paired t tests are adjusted by Holm's method {holm} over {len(tested)} comparisons, "
        f"at a level of {asked.alpha:g}; two one-sided tests \\cite{{schuirmann1987comparison}} "
        f"show no difference within {amount(asked.margin, asked.performance)}."
    )
    if (tested["unit"] == SPLIT).any():
        yield (
            "Splits of the same rows share rows; the variance of their mean is corrected for that "
            "\\cite{nadeau2003inference}."
        )
    words = {
        "helps": "helped",
        "hurts": "hurt",
        "equivalent": "made no difference",
    }
    counts = tested["verdict"].value_counts()
    came = [f"{words[str(verdict)]} in {n}" for verdict, n in counts.items() if verdict in words]
    unknown = counts.get("inconclusive", 0)
    if came:
        yield f"Forcing {listed(came)} of these comparisons."
    if unknown:
        yield f"In {unknown} it is not known whether it makes a difference."


def _cited(found: Findings) -> Iterator[str]:
    if (found.trials["stage"].astype(str) == "search").any():
        yield "akiba2019optuna"
    yield from ("holm1979simple", "schuirmann1987comparison")
    if len(found.effects) and (found.effects["unit"] == SPLIT).any():
        yield "nadeau2003inference"
    measured = {
        column.metric
        for column in map(column_of, map(str, found.trials))
        if column.family == "alignment"
    }
    if any("cka" in metric for metric in measured):
        yield "kornblith2019similarity"
    if any("knn" in metric for metric in measured):
        yield "huh2024platonic"
    yield "tjandrasuwita2025understanding"


@cache
def _entries() -> dict[str, str]:
    """Key -> entry."""
    entries = _REFERENCES.read_text(encoding="utf-8").strip().split("\n\n")
    return {entry.partition("{")[2].partition(",")[0]: entry for entry in entries}


def _range(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"
