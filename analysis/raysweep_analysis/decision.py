"""The first sentence of an answer: should one force alignment, and how hard?"""

from collections.abc import Iterator

import pandas as pd

from raysweep.trials.criteria import BEST
from raysweep.trials.outcomes import amount, digits_of, scale_of
from raysweep_analysis.sentences import listed, share


def decision(tested: pd.DataFrame, margin: float) -> str:
    """What to do, with the strengths at which it was seen and what it changes.

    Best against best alone where that is known; two estimands are never mixed in one sentence.

    Args:
        tested: effects as from `forcing_effects`, one row at least, none of them untested.
        margin: of equivalence, in the outcome's unit.

    Example:
        >>> import pandas as pd
        >>> tested = pd.DataFrame({
        ...     "cell": ["a", "b"], "chosen_by": "alignment", "verdict": ["hurts", "equivalent"],
        ...     "strength": [2.0, 0.1], "effect": [-0.05, 0.001], "reason": "",
        ...     "verdict_vs_placebo": "", "performance": "performance_fused_test",
        ... })
        >>> for part in decision(tested, margin=0.005).split("; "):
        ...     print(part)
        Do not force alignment: at strength 2 it costs 5.0 points in 1 of 2 cells
        at strength 0.1 it makes no difference (shown within 0.5 points in 1 of 2 cells).
    """
    primary = primary_of(tested)
    words = list(_clauses(primary, margin))
    if not words:
        return f"Not known whether to force alignment: {_main_reason(primary)}."
    best = primary["chosen_by"].iloc[0] == BEST
    return f"{_lead(primary)}: {'best against best, ' if best else ''}{'; '.join(words)}."


def counts(tested: pd.DataFrame) -> str:
    """How many comparisons came out in which way, in one sentence; empty where none did.

    Args:
        tested: as of `decision`.
    """
    rows = primary_of(tested)
    count = rows["verdict"].value_counts()
    total, unknown = len(rows), int(count.get("inconclusive", 0))
    if unknown == total:
        return ""
    what = "comparisons" if rows["chosen_by"].nunique() > 1 else "cells"
    words = {"helps": "helps in", "hurts": "hurts in", "equivalent": "makes no difference in"}
    found = [f"{w} {count[v]}" for v, w in words.items() if count.get(v, 0)]
    if len(found) == 1 and not unknown:
        everywhere = f"in all {total} {what}" if total > 1 else "in the one cell tested"
        return f"Forcing alignment {found[0].replace(f'in {total}', everywhere)}."
    rest = f"; {unknown} {'is' if unknown == 1 else 'are'} not known" if unknown else ""
    return f"Of {total} {what}, forcing alignment {listed(found)}{rest}."


def primary_of(tested: pd.DataFrame) -> pd.DataFrame:
    """The rows that the answer goes by: those of best against best where there are any."""
    best = tested[tested["chosen_by"] == BEST]
    return tested if best.empty else best


def _lead(rows: pd.DataFrame) -> str:
    count = rows["verdict"].value_counts()
    helps, hurts, same = (int(count.get(v, 0)) for v in ("helps", "hurts", "equivalent"))
    if helps and hurts:
        return "It depends whether to force alignment"
    if hurts:
        return "Do not force alignment"
    if helps:
        everywhere = rows.loc[rows["verdict"] == "helps", "cell"].nunique()
        return f"Force alignment{'' if everywhere == rows['cell'].nunique() else ' in some cells'}"
    if 2 * same > len(rows):
        return "Forcing alignment makes no difference"
    return "Not known in most cells, no difference in the others"


def _clauses(rows: pd.DataFrame, margin: float) -> Iterator[str]:
    """What forcing does at which strengths; nothing where that is nowhere known."""
    cells = rows["cell"].nunique()
    outcome = str(rows["performance"].iloc[0])
    unknown = int((rows["verdict"] == "inconclusive").sum())
    group = {v: rows[rows["verdict"] == v] for v in ("helps", "hurts", "equivalent")}
    for verdict, does in (("helps", "gains"), ("hurts", "costs")):
        here = group[verdict]
        if len(here):
            where = share(here["cell"].nunique(), cells)
            sizes = _sizes(here["effect"].abs(), outcome)
            yield f"{_at(here)}it {does} {sizes} in {where}{_beside_placebo(here, verdict)}"
    same = group["equivalent"]
    if len(same):
        least = pd.concat([group["helps"], group["hurts"]])["strength"].min()
        where = share(same["cell"].nunique(), cells)
        at = f"up to strength {_number(same['strength'].max())} "
        apart = len(same) > 1 and same["strength"].max() < least
        does = "" if len(same) + unknown == len(rows) else "it makes no difference ("
        shown = f"shown within {amount(margin, outcome)} in {where}"
        yield f"{at if apart else _at(same)}{does}{shown}{')' if does else ''}"
    if 0 < unknown < len(rows):
        what = "comparisons" if len(rows) > cells else "cells"
        yield f"{unknown} of {len(rows)} {what} {'is' if unknown == 1 else 'are'} not known"


def _beside_placebo(here: pd.DataFrame, verdict: str) -> str:
    """A gain that shuffled pairs give as well is no reason to align."""
    tested = here[here["verdict_vs_placebo"] != ""]
    if verdict != "helps" or tested.empty:
        return ""
    beyond = int((tested["verdict_vs_placebo"] == verdict).sum())
    if beyond == len(here):
        return ", beyond what shuffled pairs give"
    more = f"only in {beyond} of these " if beyond else "in none "
    return f", {more}shown to be more than shuffled pairs give"


def _at(rows: pd.DataFrame) -> str:
    low, high = rows["strength"].min(), rows["strength"].max()
    if pd.isna(low):
        return ""
    if _number(low) == _number(high):
        return f"at strength {_number(low)} "
    return f"at strengths {_number(low)} to {_number(high)} "


def _number(strength: float) -> str:
    return f"{strength:.3g}"


def _sizes(effects: pd.Series, outcome: str) -> str:
    factor, unit = scale_of(outcome)
    digits = digits_of(outcome, float(effects.max()))
    low, high = (f"{float(e) * factor:.{digits}f}" for e in (effects.min(), effects.max()))
    if low == high:
        return f"{low} {unit}"
    return f"{low} to {high} {unit}"


def _main_reason(rows: pd.DataFrame) -> str:
    return str(rows["reason"].str.split(";").str[0].value_counts().index[0])
