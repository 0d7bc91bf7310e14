"""The first sentence of an answer: should one force alignment, and how hard?"""

from collections.abc import Iterator

import pandas as pd

from raysweep.trials.criteria import BEST
from raysweep.trials.outcomes import amount, digits_of, scale_of
from raysweep_analysis.sentences import listed, share


def decision(tested: pd.DataFrame, margin: float) -> str:
    """What to do, with the strengths at which it was seen and what it changes.

    Best against best alone where all cells have it; two estimands are never mixed in one sentence.

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
        Do not force alignment in some cells: at strength 2 it costs 5.0 points in 1 of 2 cells
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
    """The rows that the answer goes by: those of best against best where all cells have one."""
    best = tested[tested["chosen_by"] == BEST]
    return best if best["cell"].nunique() == tested["cell"].nunique() else tested


def _lead(rows: pd.DataFrame) -> str:
    cells = rows["cell"].nunique()
    helps, hurts, same, unknown = (
        rows[rows["verdict"] == v] for v in ("helps", "hurts", "equivalent", "inconclusive")
    )
    if len(helps) and len(hurts):
        weakly = helps["strength"].max() < hurts["strength"].min()
        return "Force alignment weakly" if weakly else "It depends whether to force alignment"
    if len(hurts):
        return f"Do not force alignment{_in_some(hurts, cells)}"
    if len(helps):
        if _of_placebo(helps) == (0, len(helps)):
            return "It is not shown that alignment is what helps"
        return f"Force alignment{_in_some(helps, cells)}"
    if len(same) > len(unknown):
        return "Forcing alignment makes no difference"
    return f"Not known in {_unknown(rows)}, no difference in the others"


def _in_some(found: pd.DataFrame, cells: int) -> str:
    return "" if 2 * found["cell"].nunique() > cells else " in some cells"


def _unknown(rows: pd.DataFrame) -> str:
    what = "comparisons" if len(rows) > rows["cell"].nunique() else "cells"
    return f"{int((rows['verdict'] == 'inconclusive').sum())} of {len(rows)} {what}"


def _clauses(rows: pd.DataFrame, margin: float) -> Iterator[str]:
    """What forcing does at which strengths; nothing where that is nowhere known."""
    cells = rows["cell"].nunique()
    outcome = str(rows["performance"].iloc[0])
    group = {v: rows[rows["verdict"] == v] for v in ("helps", "hurts", "equivalent")}
    found = len(group["helps"]) + len(group["hurts"])
    for verdict, does in (("helps", "gains"), ("hurts", "costs")):
        here = group[verdict]
        if len(here):
            where = share(here["cell"].nunique(), cells)
            sizes = _sizes(here["effect"].abs(), outcome)
            yield f"{_at(here)}it {does} {sizes} in {where}{_beside_placebo(here, verdict)}"
    same = group["equivalent"]
    if len(same):
        shown = f"shown within {amount(margin, outcome)} in {share(same['cell'].nunique(), cells)}"
        yield f"{_at(same)}it makes no difference ({shown})" if found else f"{_at(same)}{shown}"
    unknown = int((rows["verdict"] == "inconclusive").sum())
    if unknown and (found or len(same) > unknown):
        yield f"{_unknown(rows)} {'is' if unknown == 1 else 'are'} not known"


def _of_placebo(here: pd.DataFrame) -> tuple[int, int]:
    """Rows whose effect is shown beyond that of a placebo, and those that were tested for it."""
    tested = here.loc[here["verdict_vs_placebo"].fillna("") != ""]
    return int((tested["verdict_vs_placebo"] == tested["verdict"]).sum()), len(tested)


def _beside_placebo(here: pd.DataFrame, verdict: str) -> str:
    """A gain that shuffled pairs give as well is no reason to align."""
    beyond, tested = _of_placebo(here)
    if verdict != "helps" or not tested:
        return ""
    if beyond == len(here):
        return ", beyond what shuffled pairs give"
    of = "these" if tested == len(here) else f"the {tested} that have a placebo"
    shown = f"only in {beyond} of {of}" if beyond else f"in none of {of}"
    return f", {shown} shown to be more than shuffled pairs give"


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
    least = float(effects.min()) * factor
    while digits < 3 and least and not float(f"{least:.{digits}f}"):
        digits += 1
    low, high = (f"{float(e) * factor:.{digits}f}" for e in (effects.min(), effects.max()))
    if low == high:
        return f"{low} {unit}"
    return f"{low} to {high} {unit}"


def _main_reason(rows: pd.DataFrame) -> str:
    return str(rows["reason"].str.split(";").str[0].value_counts().index[0])
