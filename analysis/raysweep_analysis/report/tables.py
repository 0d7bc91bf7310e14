"""Tables of the report as HTML."""

import html
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from raysweep.columns import column_of
from raysweep.outcomes import digits_of, outcome_words, scale_of
from raysweep.wording import visible
from raysweep_analysis.figures.style import DASH, MINUS, signed


def escape(text: str) -> str:
    """A user's text as HTML that shows it as it is."""
    return html.escape(visible(text))


_SIGNS = {"helps": "▲", "hurts": "▼", "equivalent": "■", "inconclusive": "○", "untested": "▫"}
_WORDS = {
    "helps": "helps", "hurts": "hurts", "equivalent": "no difference", "inconclusive": "not known",
    "untested": "not tested",
}  # fmt: skip
_CRITERIA = {"alignment": "aligns most", "performance": "performs best", "": "forced"}
_MOST_ROWS = 400


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Cells are HTML already; the first `left` columns are words, the others numbers."""
    body = "".join(
        "<tr>"
        + "".join(f"<td{'' if i < left else ' class=n'}>{cell}</td>" for i, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    header = "".join(
        f"<th scope=col{'' if i < left else ' class=n'}>{cell}</th>" for i, cell in enumerate(head)
    )
    return (
        f"<div class=scroll tabindex=0><table><thead><tr>{header}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def verdict_table(effects: pd.DataFrame) -> str:
    """The verdicts, one row per cell and criterion."""
    outcome = effects["performance"].iloc[0]
    (factor, unit), digits = scale_of(outcome), digits_of(outcome)
    several = effects["chosen_by"].nunique() > 1
    searched = (effects["options"] != "").any()
    head = [
        "cell",
        *(["strength that"] if several else []),
        "verdict",
        f"effect ({escape(unit)})",
        "interval",
        "p (Holm)",
        "not forced",
        "forced",
        "net of placebo",
        "strength",
        *(["options"] if searched else []),
        "n",
        "alignment",
        "remark",
    ]
    rows = [
        [
            escape(str(row["label"])),
            *([_CRITERIA.get(row["chosen_by"], escape(row["chosen_by"]))] if several else []),
            badge(row["verdict"]),
            number(row["effect"], factor, sign=True, digits=digits),
            interval(row["ci_low"], row["ci_high"], factor, digits),
            p_value(row["p_adjusted"]),
            number(row["performance_none"], factor, digits=digits),
            number(row["performance_forced"], factor, digits=digits),
            _placebo(row, factor, digits),
            number(row["strength"], digits=3, general=True),
            *([escape(row["options"])] if searched else []),
            f"{row['n']} {row['unit']}s" if row["n"] != 1 else f"1 {row['unit']}",
            f"{number(row['alignment_none'], digits=2)} → "
            f"{number(row['alignment_forced'], digits=2)}",
            _remark(row["reason"]),
        ]
        for row in effects.head(_MOST_ROWS).to_dict("records")
    ]
    return html_table(head, rows, left=3 if several else 2) + _rest(len(effects))


def outcomes_table(outcomes: pd.DataFrame, primary: str) -> str:
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
        head.append(f"{escape(words)} ({escape(unit)}){'*' if name == primary else ''}")
    rows = []
    for label, criterion in places[:_MOST_ROWS]:
        cells = [escape(str(label)), _CRITERIA.get(criterion, escape(str(criterion)))]
        for name in names:
            row = wide.get((label, criterion, name))
            if row is None or not np.isfinite(row["effect"]):
                cells.append("?")
                continue
            factor = scale_of(name)[0]
            half = (row["ci_high"] - row["ci_low"]) / 2 * factor
            digits = digits_of(name)
            spread = f" <small>± {half:.{digits}f}</small>" if np.isfinite(half) else ""
            effect = signed(row["effect"] * factor, digits)
            cells.append((f"<b>{effect}</b>" if row["p_bh"] < 0.05 else effect) + spread)
        rows.append(cells)
    return html_table(head, rows, left=2) + _rest(len(places))


def moderator_table(moderators: pd.DataFrame) -> str:
    """What the effect depends on, and in a note what could not be fitted."""
    fitted = moderators["estimate"].notna()
    refused = moderators[~fitted].groupby("note", sort=False)["term"].unique()
    notes = "".join(
        f"<p class=note>Not fitted: {escape(', '.join(terms))}: {escape(str(why))}.</p>"
        for why, terms in refused.items()
    )
    table = moderators[fitted]
    return (_fitted_moderators(table) if len(table) else "") + notes


def _fitted_moderators(table: pd.DataFrame) -> str:
    factor, unit = scale_of(table["performance"].iloc[0])
    head = [
        "data",
        "chosen for",
        "term",
        "model",
        f"per standard deviation ({escape(unit)})",
        f"per unit ({escape(unit)})",
        "interval",
        "p",
        "p (BH)",
        "units",
        "remark",
    ]
    rows = [
        [
            escape(str(row["data"])),
            escape(str(row["chosen_by"])),
            escape(str(row["term"])),
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
    return html_table(head, rows, left=4)


def correlations_table(medians: pd.DataFrame, along: str) -> str:
    """Median correlations with their quartiles: a row per value, a column per pair."""
    pairs = list(dict.fromkeys(medians["pair"]))
    rows = []
    for (data, value), group in medians.groupby(["data", along], sort=True):
        found = {row["pair"]: row for row in group.to_dict("records")}
        cells = [escape(str(data)), number(value, digits=4, general=True)]
        cells.append(number(max(row["n"] for row in found.values()), digits=0))
        for pair in pairs:
            row = found.get(pair)
            cells.append(
                DASH
                if row is None
                else f"{number(row['median'], sign=True, digits=2)} <small>"
                f"{interval(row['q25'], row['q75'], 1.0, digits=2)}</small>"
            )
        rows.append(cells)
    return html_table(["data", escape(along), "n", *map(escape, pairs)], rows)


def shapes_table(shapes: pd.DataFrame) -> str:
    """What happens over strengths, one row per cell."""
    outcome = shapes["performance"].iloc[0]
    (factor, unit), digits = scale_of(outcome), digits_of(outcome)
    unit = escape(unit)
    head = ["cell", "shape", "n", "strengths", "p (any effect)", "best to perform",
            f"effect there ({unit})", "best to align", f"effect there ({unit})", "p (inverted U)",
            "remark"]  # fmt: skip
    rows = [
        [
            escape(str(row["label"])),
            escape(str(row["shape"])),
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
    return html_table(head, rows, left=2) + _rest(len(shapes))


def plain_table(table: pd.DataFrame, columns: Sequence[str], left: int = 1) -> str:
    """Chosen columns as they are, numbers to four digits."""
    rows = [
        [
            number(v, digits=4, general=True)
            if isinstance(v, float | np.floating)
            else escape(str(v))
            if len(str(v)) < 40
            else _remark(v)
            for v in row
        ]
        for row in table[list(columns)].head(_MOST_ROWS).itertuples(index=False, name=None)
    ]
    return html_table([escape(c.replace("_", " ")) for c in columns], rows, left) + _rest(
        len(table)
    )


def badge(verdict: str) -> str:
    """A verdict with its marker and colour."""
    return f'<span class="badge {verdict}">{_SIGNS[verdict]} {_WORDS[verdict]}</span>'


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
    return "&lt; 0.0001" if p < 1e-4 else f"{p:.2g}"


def _remark(words: object) -> str:
    return f"<small class=remark>{escape(str(words))}</small>" if words else ""


def _placebo(row: dict[object, object], factor: float, digits: int) -> str:
    if not row["verdict_vs_placebo"]:
        return DASH
    mark = _SIGNS[str(row["verdict_vs_placebo"])]
    return f"{number(row['effect_vs_placebo'], factor, sign=True, digits=digits)} {mark}"


def _rest(n: int) -> str:
    return f"<p class=note>{n - _MOST_ROWS} more rows are in the CSV.</p>" if n > _MOST_ROWS else ""
