"""The answer in plain sentences."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from raysweep.folder.causes import LIMITS, UNDEFINED
from raysweep.text import duration
from raysweep.trials.criteria import BEST
from raysweep.trials.outcomes import amount, outcome_words, scale_of
from raysweep_analysis.decision import counts, decision
from raysweep_analysis.figures.style import signed
from raysweep_analysis.figures.words import value_words
from raysweep_analysis.resplits import SPLIT, basis
from raysweep_analysis.sentences import (
    MOST_NAMED,
    effects_named,
    listed,
    named,
    share,
    signed_effect,
    where_only,
)
from raysweep_analysis.verdicts import PENDING, UNTUNED, lost_runs

_AT = {
    "best": " (best against best)",
    "alignment": " (strength that aligns most)",
    "performance": " (strength that performs best)",
}
# boundaries that are worth a sentence each
_LINES = 4


@dataclass(frozen=True)
class Answer:
    """What a study says, most important first.

    Attributes:
        headline: whether to force alignment, and how hard, in one sentence.
        unknown: what is not known, and what would tell.
        parts: (heading, sentences) per criterion that chose a strength.
        basis: of own data what a verdict is over: splits, and the rows tested in each; then how
            many comparisons came out in which way.
        beyond: what the effect depends on and where it turns.
        limits: what the study cannot say.
    """

    headline: str
    parts: tuple[tuple[str, tuple[str, ...]], ...]
    beyond: tuple[str, ...]
    limits: tuple[str, ...]
    basis: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """All sentences as plain text."""
        text = [self.headline, *(f"- {s}" for s in (*self.unknown, *self.basis))]
        for heading, sentences in self.parts:
            text += [heading, *(f"- {s}" for s in sentences)]
        return text + [f"- {s}" for s in (*self.beyond, *self.limits)]


def answer(
    effects: pd.DataFrame,
    needs: pd.DataFrame,
    boundaries: pd.DataFrame,
    moderation: pd.DataFrame,
    margin: float,
    alpha: float,
    planned: int = 0,
    unfinished: bool = False,
    training: Sequence[str] = (),
) -> Answer:
    """Put the tables of a forcing study into sentences.

    Args:
        effects: as from `forcing_effects`.
        needs: as from `power`.
        boundaries: as from `boundary`.
        moderation: as from `moderators`.
        margin: of equivalence, in the outcome's unit.
        alpha: error rate.
        planned: cells of the study, if known; those of the table at least.
        unfinished: whether runs are still to come, if known.
        training: what the runs say of how they were trained (`training_limits`).
    """
    parts = []
    tested = effects[effects["verdict"] != "untested"]
    for criterion, group in tested.groupby("chosen_by", sort=False):
        sentences = tuple(_of_criterion(group, margin))
        parts.append((_heading(str(criterion), effects["performance"].iloc[0]), sentences))
    beyond = [
        *_remains(tested),
        *_boundaries(boundaries, effects),
        *_moderators(moderation, alpha),
    ]
    return Answer(
        _headline(effects, margin, planned, unfinished),
        tuple(parts),
        tuple(beyond),
        (*_limits(effects), *training),
        (*basis(tested), *filter(None, [counts(tested)])) if len(tested) else (),
        tuple(_unknown(tested, needs)),
    )


def _headline(effects: pd.DataFrame, margin: float, planned: int, unfinished: bool) -> str:
    tested = effects[effects["verdict"] != "untested"]
    cells, there = tested["cell"].nunique(), effects["cell"].nunique()
    of = max(planned, there)
    left = effects.loc[~effects["cell"].isin(tested["cell"]), "reason"]
    pending = unfinished or there < of or left.str.startswith(PENDING).any()
    so_far = f"{cells} of {of} cells tested{' so far' if pending else ''}"
    if tested.empty:
        why = f": {left.value_counts().index[0]}" if len(left) else ""
        return f"Whether forcing alignment helps is not known: {so_far}{why}."
    if cells == of and not unfinished:
        return decision(tested, margin)
    return f"{so_far}. {decision(tested, margin)}"


def _heading(criterion: str, performance: str) -> str:
    at = {
        "best": "Best against best, each arm trained as suits it",
        "alignment": "At the strength that aligns most",
        "performance": "At the strength that performs best on validation",
    }.get(criterion, "At the strength that was forced")
    return f"{at} ({outcome_words(performance)})"


def _unknown(tested: pd.DataFrame, needs: pd.DataFrame) -> Iterator[str]:
    """Where nothing is known, and what would tell: units, and the time that they take."""
    unknown = tested[tested["verdict"] == "inconclusive"]
    if unknown.empty:
        return
    # A cell of which nothing is known needs no criterion.
    known = tested.loc[tested["verdict"] != "inconclusive", "cell"]
    at = unknown["chosen_by"].map(_AT).fillna("").where(unknown["cell"].isin(known), "")
    yield f"Not known: {named(unknown['label'] + at)}."
    yield from _more(unknown, needs)


def _of_criterion(group: pd.DataFrame, margin: float) -> Iterator[str]:
    unit = scale_of(group["performance"].iloc[0])[1]
    total = len(group)
    for verdict, words in (("helps", "It helps"), ("hurts", "It hurts")):
        here = group[group["verdict"] == verdict]
        if len(here):
            cells = effects_named(here, unit)
            yield f"{words} in {share(len(here), total)}: {cells}{where_only(here, group)}."
            yield from _net_of_placebo(here, verdict, unit)
    same = group[group["verdict"] == "equivalent"]
    if len(same):
        yield (
            f"It makes no difference beyond {amount(margin, group['performance'].iloc[0])} in "
            f"{share(len(same), total)}: {named(same['label'])}{where_only(same, group)}."
        )
    unknown = group[group["verdict"] == "inconclusive"]
    if len(unknown):
        yield f"It is not known in {share(len(unknown), total)}: {named(unknown['label'])}."
    doubted = group[group["doubt"] != ""]
    for row in doubted.head(MOST_NAMED).to_dict("records"):
        yield f"{row['label']}: {row['doubt']}."
    if len(doubted) > MOST_NAMED:
        yield f"So it is in {len(doubted) - MOST_NAMED} more cells; the table of verdicts says how."
    flat = group[(group["n"] >= 2) & (group["alignment"] != "") & ~(group["alignment_ci_low"] > 0)]
    unmeasured = flat["alignment_ci_low"].isna()
    flat = flat[~(unmeasured & flat["reason"].str.contains(UNDEFINED, regex=False))]
    if len(flat):
        yield (
            f"Forcing is not shown to have raised the alignment in {named(flat['label'])}: "
            "there the verdict is about the loss term, not about alignment."
        )


def _remains(tested: pd.DataFrame) -> Iterator[str]:
    """How much of what forcing gains at the rates of the baseline remains best against best."""
    keys = ["study", "cell"]
    of = {name: tested[tested["chosen_by"] == name] for name in ("performance", BEST)}
    both = of["performance"].merge(of[BEST], on=keys, suffixes=("", "_best"))
    gained = both[both["verdict"] == "helps"]
    if gained.empty:
        return
    outcome = str(gained["performance"].iloc[0])
    unit = scale_of(outcome)[1]
    same = signed_effect(gained["effect"].mean(), outcome)
    remains = signed_effect(gained["effect_best"].mean(), outcome)
    still = int((gained["verdict_best"] == "helps").sum())
    yield (
        f"Where forcing helps at the rates that are best without it "
        f"({share(len(gained), len(both))}), it changes {same} {unit} on average; best against "
        f"best {remains} remain, and it still helps in {still}."
    )


def _net_of_placebo(here: pd.DataFrame, verdict: str, unit: str) -> Iterator[str]:
    tested = here[here["verdict_vs_placebo"] != ""]
    if tested.empty:
        return
    stays = tested[tested["verdict_vs_placebo"] == verdict]
    rest = tested[tested["verdict_vs_placebo"] != verdict]
    if rest.empty:
        yield "A placebo, the same strength on shuffled pairs, does not explain it in any of them."
        return
    if len(rest) == len(tested):
        where = "In that cell" if len(tested) == 1 else f"In none of these {len(tested)} cells"
    else:
        where = f"In {len(rest)} of these {len(tested)}"
    beyond = "is such an effect shown" if where.startswith("In none") else "no such effect is shown"
    yield (
        f"{where} {beyond} against a placebo (the same strength on shuffled pairs), so it may "
        f"come from {'regularisation' if verdict == 'helps' else 'the added loss as such'} rather "
        f"than from alignment: {named(rest['label'])}."
    )
    if len(stays):
        mean = float(stays["effect_vs_placebo"].mean())
        keep, average = ("keeps", "") if len(stays) == 1 else ("keep", " on average")
        size = f"{signed_effect(mean, here['performance'].iloc[0])} {unit}"
        yield f"Net of the placebo {named(stays['label'])} {keep} {size}{average}."


def _more(unknown: pd.DataFrame, needs: pd.DataFrame) -> Iterator[str]:
    keys = ["study", "cell", "chosen_by"]
    needed = unknown[[*keys, "performance"]].merge(needs, on=keys, how="left")
    never = needed["n_more"].isna() & (needed["unit"] == SPLIT) & (needed["sd"] > 0)
    if never.any():
        effect = amount(float(needed["effect"].iloc[0]), needed["performance"].iloc[0])
        yield (
            f"In {named(needed.loc[never, 'label'])} no number of splits of these rows would "
            f"find a true effect of {effect} with 80 % power: that takes more rows."
        )
    needed = needed.dropna(subset=["n_more"])
    for kind, rows in needed.groupby("unit"):
        low, high = int(rows["n_more"].min()), int(rows["n_more"].max())
        many = str(low) if low == high else f"{low} to {high}"
        what = str(kind) + ("s" if high != 1 else "")
        effect = amount(float(rows["effect"].iloc[0]), rows["performance"].iloc[0])
        yield (
            f"About {many} more {what} per cell would find a true effect of {effect} "
            "with 80 % power, judged by the highest spread that the runs so far leave likely"
            f"{_time_of(rows)}."
        )


def _time_of(needs: pd.DataFrame) -> str:
    """What the units that are missing take; criteria of a cell share them."""
    seconds = needs.groupby(["study", "cell"])["seconds_more"].max()
    if seconds.isna().any():
        return ""
    where = "in that cell" if len(seconds) == 1 else f"in these {len(seconds)} cells"
    return f"; {where} they take {duration(float(seconds.sum()))} of training on one core"


def _boundaries(boundaries: pd.DataFrame, effects: pd.DataFrame) -> Iterator[str]:
    if boundaries.empty:
        return
    columns = list(boundaries.columns)
    by = columns[3 : columns.index("performance")]
    fitted = boundaries[boundaries["set"] != "none"]
    for (data, criterion), rows in fitted.groupby(["data", "chosen_by"], sort=False):
        subject = str(data).capitalize() + _AT.get(str(criterion), "")
        if len(rows) > _LINES:
            yield f"{subject}: {_many_lines(rows, effects, by)}."
            continue
        for row in rows.to_dict("records"):
            parts = [subject, *filter(None, (value_words(effects, n, row[n]) for n in by))]
            yield f"{', '.join(parts)}: {row['statement']}."


def _many_lines(rows: pd.DataFrame, effects: pd.DataFrame, by: list[str]) -> str:
    """Boundaries of many combinations of axes in one sentence; the table has each."""
    along, total = rows["along"].iloc[0], len(rows)
    within = rows[rows["crosses"] == "within"].sort_values("boundary")
    nowhere = rows[rows["crosses"] == "nowhere"]
    hurts = int(nowhere["statement"].str.contains("hurts").sum())
    said = []
    if len(within):
        ends = [
            f"{row['boundary']:.2g} ({', '.join(value_words(effects, n, row[n]) for n in by)})"
            for row in within.iloc[[0, -1] if len(within) > 1 else [0]].to_dict("records")
        ]
        said.append(f"the effect changes sign in {len(within)}, at {along} = {' to '.join(ends)}")
    low, high = rows["x_min"].min(), rows["x_max"].max()
    for count, word in ((hurts, "hurts"), (len(nowhere) - hurts, "helps")):
        if count:
            said.append(f"forcing {word} at every {along} from {low:g} to {high:g} in {count}")
    if rest := total - len(within) - len(nowhere):
        said.append(f"no change of sign can be located in {rest}")
    names = [value_words(effects, n, "").strip() for n in by]
    return f"of {total} lines, one for each {listed(names)}, {'; '.join(said)}"


def _moderators(moderation: pd.DataFrame, alpha: float) -> Iterator[str]:
    if moderation.empty:
        return
    single = moderation[(moderation["model"] == "single") & (moderation["p_adjusted"] < alpha)]
    outcome = moderation["performance"].iloc[0]
    unit = scale_of(outcome)[1]
    for (data, criterion), rows in single.groupby(["data", "chosen_by"], sort=False):
        best = rows.sort_values("p_value").head(3)
        found = [
            f"{row['term']} ({signed_effect(row['per_sd'], outcome)} {unit} per standard deviation)"
            for row in best.to_dict("records")
        ]
        at = f" at the strength chosen for {criterion}" if criterion else ""
        at = " best against best" if criterion == BEST else at
        yield (
            f"In {data}{at}, the effect goes with {listed(found)}, each taken alone (exploratory)."
        )


def _limits(effects: pd.DataFrame) -> Iterator[str]:
    tested = effects[effects["n"] >= 2]
    if len(tested) and (tested["n_draws"] <= 1).all():
        yield (
            "Each cell is one dataset: verdicts hold for these datasets, not for all data with "
            "their characteristics (that takes several draws, 5 or more)."
        )
    if len(tested) and "look" in tested:
        yield (
            f"Each cell was looked at up to {tested['looks'].max()} times and stopped once it was "
            f"decided, after {tested['n'].mean():.1f} {tested['unit'].iloc[0]}s on average; "
            "p-values and intervals allow for every look, and a placebo was trained where forcing "
            "was found to help or hurt."
        )
    untested = effects[effects["verdict"] == "untested"]
    if len(untested) == len(effects) and untested["reason"].nunique() == 1:
        untested = untested[:0]  # the headline says it
    several = effects["chosen_by"].nunique() > 1
    for (criterion, reason), rows in untested.groupby(["chosen_by", "reason"], sort=False):
        at = f" at the strength chosen by {criterion}" if several and criterion else ""
        yield f"Not tested{at}: {named(rows['label'])} ({reason})."
    for begins in LIMITS:
        parts = tested["reason"].str.extract(f"({re.escape(begins)}.*?)(?:; |$)")[0]
        for part, rows in tested.groupby(parts, sort=False):
            yield f"In {named(rows['label'])} {part}."
    lost = effects[(effects["n_dropped"] > 0) & (effects["verdict"] != "untested")]
    if len(lost):
        yield (
            f"{int(lost['n_dropped'].sum())} pairs of runs are missing from the tests "
            f"({lost_runs(lost[['n_diverged', 'n_failed', 'n_unforced']].sum().to_dict())}): "
            f"{named(lost['label'])}."
        )
    if len(tested) and tested["reason"].str.contains("no placebo arm", regex=False).all():
        yield "There is no placebo arm: effects may be plain regularisation."
    untuned = tested[tested["reason"].str.contains(UNTUNED, regex=False)]
    if len(untuned):
        where = "" if len(untuned) == len(tested) else f" in {named(untuned['label'])}"
        yield (
            f"The rates of the baseline were not tuned{where}: better rates alone may give what "
            "forcing gives, or more (search.training)."
        )


def emergence_answer(trends: pd.DataFrame, middle: pd.DataFrame) -> list[str]:
    """Sentences on emergent alignment.

    Args:
        trends: as from `emergence_trends`.
        middle: as from `emergence.medians`.
    """
    said = []
    for (data, along), rows in trends.groupby(["data", "along"], sort=False):
        tested = rows[np.isfinite(rows["rho"].astype(float))]
        if tested.empty:
            continue
        falling = (tested["rho"] < 0) & (tested["p_rho"] < 0.05)
        rising = (tested["rho"] > 0) & (tested["p_rho"] < 0.05)
        low, high = tested["rho"].min(), tested["rho"].max()
        said.append(
            f"In {data}, emergent alignment falls with {along} in {int(falling.sum())} and rises "
            f"in {int(rising.sum())} of {len(tested)} settings (Spearman's rho "
            f"{signed(low, 2)} to {signed(high, 2)})."
        )
    pair = middle[middle["pair"] == "alignment-performance"] if len(middle) else middle
    for data, rows in pair.groupby("data", sort=False) if len(pair) else []:
        along = str(middle.columns[2])
        ends = [
            f"{signed(row['median'], 2)} at {along} = {row[along]:g}"
            for row in rows.iloc[[0, -1]].to_dict("records")
        ]
        said.append(
            f"In {data!s}, the median correlation of alignment and performance over models is "
            f"{' and '.join(ends)}."
        )
    return said
