"""Tables of the report, as its page shows them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from raysweep.text import counted, visible
from raysweep.trials.columns import column_of
from raysweep.trials.outcomes import digits_of, outcome_words, scale_of
from raysweep.trials.verdict_words import VERDICT_WORDS
from raysweep_analysis.figures.style import DASH, MINUS, signed

_SIGNS = {"helps": "▲", "hurts": "▼", "equivalent": "■", "inconclusive": "○", "untested": "▫"}
_CRITERIA = {
    "best": "best against best",
    "alignment": "aligns most",
    "performance": "performs best",
    "": "forced",
}
_MOST_ROWS = 400


@dataclass(frozen=True)
class Table:
    """A table of the page: texts, which are escaped, and `Markup`.

    Attributes:
        head: of the columns.
        rows: their cells.
        left: so many columns from the left are words, the others numbers.
        more: rows that are only in the CSV.
        note: what holds of all rows.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1
    more: int = 0
    note: str = ""


def verdict_table(effects: pd.DataFrame) -> Table:
    """The verdicts, one row per cell and criterion."""
    outcome = effects["performance"].iloc[0]
    factor, unit = scale_of(outcome)
    digits = digits_of(outcome, *map(float, effects["effect"]))
    several = effects["chosen_by"].nunique() > 1
    searched = (effects["options"] != "").any()
    units = effects["unit"].unique()
    of_all, remarks = _in_common([str(why) for why in effects["reason"]])
    head = [
        "cell",
        *(["strength that"] if several else []),
        "verdict",
        "strength",
        *(["options"] if searched else []),
        f"effect ({unit})",
        "interval",
        "p (Holm)",
        "net of placebo",
        f"{units[0]}s" if len(units) == 1 else "n",
        "not forced → forced",
        "alignment",
        *(["remark"] if any(remarks) else []),
    ]
    rows = [
        [
            str(row["label"]),
            *([_CRITERIA.get(row["chosen_by"], row["chosen_by"])] if several else []),
            badge(row["verdict"]),
            number(row["strength"], digits=3, general=True),
            *([row["options"]] if searched else []),
            number(row["effect"], factor, sign=True, digits=digits),
            interval(row["ci_low"], row["ci_high"], factor, digits),
            p_value(row["p_adjusted"]),
            _placebo(row, factor, digits),
            str(row["n"]) if len(units) == 1 else counted(row["n"], row["unit"]),
            _change(row, "performance", factor, digits),
            _change(row, "alignment", 1.0, 2),
            *([_remark(why)] if any(remarks) else []),
        ]
        for row, why in zip(effects.head(_MOST_ROWS).to_dict("records"), remarks, strict=False)
    ]
    note = f"Of all rows: {'; '.join(of_all)}." if of_all else ""
    return Table(head, rows, 3 if several else 2, _more(len(effects)), note)


def _in_common(reasons: Sequence[str]) -> tuple[list[str], list[str]]:
    """What limits the verdict in all of several rows, and what else does in each."""
    parts = [reason.split("; ") if reason else [] for reason in reasons]
    common = [part for part in parts[0] if all(part in of for of in parts)] if parts[1:] else []
    return common, ["; ".join(part for part in of if part not in common) for of in parts]


def _change(row: dict[object, object], name: str, factor: float, digits: int) -> str:
    none, forced = (
        number(row[f"{name}_{arm}"], factor, digits=digits) for arm in ("none", "forced")
    )
    return f"{none} → {forced}"


def outcomes_table(outcomes: pd.DataFrame, primary: str) -> Table:
    """Effects on every outcome: a row per cell, a column per outcome."""
    # regret changes as accuracy does, with the other sign: the CSV has it
    names = [n for n in dict.fromkeys(outcomes["performance"]) if column_of(n).family != "regret"]
    wide = {
        (row["label"], row["chosen_by"], row["performance"]): row
        for row in outcomes.to_dict("records")
    }
    places = list(dict.fromkeys(zip(outcomes["label"], outcomes["chosen_by"], strict=True)))
    head = ["cell", "strength that"]
    for name in names:
        unit = scale_of(name)[1]
        words = outcome_words(name).rsplit(",", 1)[0].replace("all modalities fused", "fused")
        head.append(f"{words} ({unit}){'*' if name == primary else ''}")
    rows = []
    for label, criterion in places[:_MOST_ROWS]:
        cells = [str(label), _CRITERIA.get(criterion, str(criterion))]
        for name in names:
            row = wide.get((label, criterion, name))
            if row is None or not np.isfinite(row["effect"]):
                cells.append("?")
                continue
            factor = scale_of(name)[0]
            half = (row["ci_high"] - row["ci_low"]) / 2 * factor
            digits = digits_of(name, float(row["effect"]), float(half))
            found = Markup("<b>{}</b>") if row["p_bh"] < 0.05 else Markup("{}")
            spread = Markup(" <small>± {}</small>") if np.isfinite(half) else Markup("")
            effect = found.format(signed(row["effect"] * factor, digits))
            cells.append(effect + spread.format(f"{half:.{digits}f}"))
        rows.append(cells)
    return Table(head, rows, 2, _more(len(places)))


def not_fitted(moderators: pd.DataFrame) -> Iterator[str]:
    """Of which terms no line was fitted, and why."""
    refused = moderators[moderators["estimate"].isna()]
    for why, terms in refused.groupby("note", sort=False)["term"].unique().items():
        yield f"Not fitted: {', '.join(terms)}: {why}."


def moderator_table(moderators: pd.DataFrame) -> Table | None:
    """What the effect depends on; None where nothing could be fitted."""
    table = moderators[moderators["estimate"].notna()]
    if not len(table):
        return None
    factor, unit = scale_of(table["performance"].iloc[0])
    head = [
        "data",
        "chosen for",
        "term",
        "model",
        f"per standard deviation ({unit})",
        f"per unit ({unit})",
        "interval",
        "p",
        "p (BH)",
        "units",
        "remark",
    ]
    rows = [
        [
            str(row["data"]),
            str(row["chosen_by"]),
            str(row["term"]),
            "alone" if row["model"] == "single" else "jointly",
            number(row["per_sd"], factor, sign=True, digits=2),
            number(row["estimate"], factor, sign=True, digits=3, general=True),
            interval(row["ci_low"], row["ci_high"], factor, digits=3, general=True),
            p_value(row["p_value"]),
            p_value(row["p_adjusted"]),
            number(row["n_units"], digits=0),
            _remark(row["note"]),
        ]
        for row in table.head(_MOST_ROWS).to_dict("records")
    ]
    return Table(head, rows, left=4)


def correlations_table(medians: pd.DataFrame, along: str) -> Table:
    """Median correlations with their quartiles: a row per value, a column per pair."""
    pairs = list(dict.fromkeys(medians["pair"]))
    rows = []
    for (data, value), group in medians.groupby(["data", along], sort=True):
        found = {row["pair"]: row for row in group.to_dict("records")}
        cells = [str(data), number(value, digits=4, general=True)]
        cells.append(number(max(row["n"] for row in found.values()), digits=0))
        for pair in pairs:
            row = found.get(pair)
            cells.append(
                DASH
                if row is None
                else Markup("{} <small>{}</small>").format(
                    number(row["median"], sign=True, digits=2),
                    interval(row["q25"], row["q75"], 1.0, digits=2),
                )
            )
        rows.append(cells)
    return Table(["data", along, "n", *pairs], rows)


def shapes_table(shapes: pd.DataFrame) -> Table:
    """What happens over strengths, one row per cell."""
    outcome = shapes["performance"].iloc[0]
    factor, unit = scale_of(outcome)
    digits = digits_of(outcome, *map(float, shapes["effect_there"]))
    head = ["cell", "shape", "n", "strengths", "p (any effect)", "best to perform",
            f"effect there ({unit})", "best to align", f"effect there ({unit})", "p (inverted U)",
            "remark"]  # fmt: skip
    rows = [
        [
            str(row["label"]),
            str(row["shape"]),
            number(row["n"], digits=0),
            number(row["n_strengths"], digits=0),
            p_value(row["p_any"]),
            number(row["best_for_performance"], digits=3, general=True),
            number(row["effect_there"], factor, sign=True, digits=digits),
            number(row["best_for_alignment"], digits=3, general=True),
            number(row["effect_at_best_alignment"], factor, sign=True, digits=digits),
            p_value(row["p_inverted_u"]),
            _remark(row["note"]),
        ]
        for row in shapes.head(_MOST_ROWS).to_dict("records")
    ]
    return Table(head, rows, 2, _more(len(shapes)))


def plain_table(table: pd.DataFrame, columns: Sequence[str], left: int = 1) -> Table:
    """Chosen columns as they are, numbers to four digits."""
    rows = [
        [
            number(v, digits=4, general=True)
            if isinstance(v, float | np.floating)
            else str(v)
            if len(str(v)) < 40
            else _remark(v)
            for v in row
        ]
        for row in table[list(columns)].head(_MOST_ROWS).itertuples(index=False, name=None)
    ]
    return Table([c.replace("_", " ") for c in columns], rows, left, _more(len(table)))


def badge(verdict: str) -> str:
    """A verdict with its marker and colour."""
    return Markup('<span class="badge {}">{} {}</span>').format(
        verdict, _SIGNS[verdict], VERDICT_WORDS[verdict]
    )


def number(
    value: object, factor: float = 1.0, sign: bool = False, digits: int = 1, general: bool = False
) -> str:
    """A number for a reader; a dash where there is none."""
    v = float(value) * factor if isinstance(value, int | float | np.number) else float("nan")
    if not np.isfinite(v):
        return DASH
    text = f"{v:.{digits}g}" if general else f"{round(v, digits) + 0.0:.{digits}f}"
    if sign and not text.startswith("-"):
        text = f"+{text}"
    return text.replace("-", MINUS)


def interval(
    low: object, high: object, factor: float, digits: int = 1, general: bool = False
) -> str:
    """`low to high`."""
    return " to ".join(number(v, factor, True, digits, general) for v in (low, high))


def p_value(value: object) -> str:
    """A p-value to two digits."""
    p = float(value) if isinstance(value, int | float | np.number) else float("nan")
    if not np.isfinite(p):
        return DASH
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def _remark(words: object) -> str:
    return Markup("<small class=remark>{}</small>").format(visible(str(words))) if words else ""


def _placebo(row: dict[object, object], factor: float, digits: int) -> str:
    if not row["verdict_vs_placebo"]:
        return DASH
    mark = _SIGNS[str(row["verdict_vs_placebo"])]
    return f"{number(row['effect_vs_placebo'], factor, sign=True, digits=digits)} {mark}"


def _more(n: int) -> int:
    return max(0, n - _MOST_ROWS)
