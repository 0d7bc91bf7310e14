"""The page: HTML and style, nothing fetched from anywhere."""

from collections.abc import Iterable

from raysweep.text import counted
from raysweep.trials.outcomes import amount, outcome_words, scale_of
from raysweep_analysis.figures.style import css
from raysweep_analysis.report import tables
from raysweep_analysis.report.findings import Findings
from raysweep_analysis.report.pictures import Picture
from raysweep_analysis.report.tables import escape

_STYLE = """
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
 font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;
 overflow-wrap:break-word}
main{max-width:62rem;margin:0 auto;padding:1.5rem 1.1rem 4rem}
header p{color:var(--muted);margin:.2rem 0}
h1{font-size:1.15rem;margin:0;font-weight:600;color:var(--muted)}
h2{font-size:1.3rem;margin:2.6rem 0 .6rem}
h3{font-size:1.02rem;margin:1.2rem 0 .3rem}
.lead{font-size:clamp(1.35rem,4.5vw,1.9rem);line-height:1.3;font-weight:650;margin:.7rem 0 1rem;
 text-wrap:balance}
.answer{border:1px solid var(--grid);border-radius:12px;padding:1rem 1.2rem 1.1rem;
 background:var(--band)}
.answer h3:first-child{margin-top:0}
ul{margin:.3rem 0;padding-left:1.2rem}li{margin:.25rem 0}
.tag{display:inline-block;font-size:.8rem;font-weight:600;padding:.12rem .55rem;
 border-radius:99px;border:1px solid currentColor;margin-right:.5rem}
.tag.yes{color:var(--helps)}.tag.no{color:var(--muted)}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:1.2rem 0 0;font-size:.9rem}
a{color:var(--helps)}
figure{margin:1.6rem 0 2.2rem}
figure h3{margin:0 0 .5rem}
figcaption,.note{color:var(--muted);font-size:.86rem;margin:.5rem 0 0;max-width:48rem}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
figure svg{display:block;width:100%;min-width:35rem;max-width:50rem;height:auto}
table{border-collapse:collapse;font-size:.86rem;white-space:nowrap}
th,td{padding:.36rem .7rem;text-align:left;border-bottom:1px solid var(--grid);vertical-align:top}
th{color:var(--muted);font-weight:600;white-space:normal;vertical-align:bottom;min-width:4.2rem}
.n{text-align:right;font-variant-numeric:tabular-nums}
td:first-child,th:first-child{position:sticky;left:0;background:var(--paper)}
.remark{display:inline-block;white-space:normal;min-width:16rem;max-width:26rem;text-align:left}
.badge{font-weight:600;white-space:nowrap}
.badge.helps{color:var(--helps)}.badge.hurts{color:var(--hurts)}
.badge.equivalent,.badge.inconclusive,.badge.untested{color:var(--muted)}
details{margin:.6rem 0}summary{cursor:pointer;font-weight:600}
pre{overflow-x:auto;background:var(--band);padding:.9rem;border-radius:8px;font-size:.8rem}
code{font-size:.88em}
@media print{nav{display:none}figure,.answer{break-inside:avoid}figure svg{min-width:0}}
"""

_METHOD = """
<p>The search and the test use different runs. A search in every cell chose a regularization
strength on the validation split; the confirm stage then trained three arms on fresh seeds:
<b>none</b> (strength 0), <b>forced</b> (the chosen strength) and <b>placebo</b> (the chosen
strength on shuffled pairs: what plain regularisation does). Arms of one seed share initial weights,
batches and steps, so they are compared in pairs. Only confirm runs enter a test.</p>
<ul>
<li><b>Per cell:</b> paired t test with its t interval. Where a cell has several dataset draws, the
unit is the draw (the mean over its seeds), else the seed.</li>
<li><b>Verdict:</b> <i>helps</i> or <i>hurts</i> if the Holm-adjusted p is below {alpha:g}, adjusted
over the {tests} tested rows of the verdict table; else <i>no difference</i> if two one-sided
t tests place the effect within ±{margin} (at {alpha:g} per cell); else <i>not known</i>.</li>
<li><b>Checks:</b> exact sign-flip test, Hedges-corrected d<sub>z</sub>, smallest detectable effect:
in <code>tables/effects.csv</code>.</li>
<li><b>Across cells:</b> random-effects meta-regression (REML, Knapp-Hartung) over dataset draws;
a boundary is the zero of a fitted line with Fieller's confidence set. Alignment reached is an
outcome of forcing and never a covariate.</li>
<li><b>Strengths:</b> exploratory; max-t sign-flips over all strengths of a cell, two lines on split
seeds for an inverted U.</li>
</ul>
"""

_EMERGENCE_METHOD = """
<p>Every encoder was trained alone, on its own modality and the task; the checkpoint is its own best
on the validation split. Alignment was then measured between encoders that never met.</p>
<ul>
<li><b>Best over layers and models</b> grows by selection alone. <i>Chance</i> takes the same best
over shuffled pairs of rows; <i>corrected</i> is 0 there and 1 at the ideal.</li>
<li><b>Trends</b> along a data characteristic: Spearman's rho, Jonckheere and Terpstra's J; labels
are permuted within dataset draws. One draw says nothing of other data with its
characteristics.</li>
<li><b>Correlations</b> over the models of one dataset and seed. Depth drives alignment and
performance both, so the correlation given depth stands beside.</li>
</ul>
"""

_LIMITS = (
    "Verdicts hold for the encoders, the loss and the training that the study file describes.",
    "An interval is for its own row; looking at many rows, some intervals miss.",
    "All seeds of one draw are scored on the same test rows: the interval over seeds does not "
    "cover another test set. Columns of the whole population, where the data have one, are free "
    "of this.",
    "A strength chosen on few validation runs need not be the best one.",
)


def page(found: Findings, drawn: Iterable[Picture]) -> str:
    """The whole report as one HTML text."""
    study = str(found.trials["study"].iloc[0])
    sections = [
        _head(found, study),
        _figures(drawn),
        _tables(found),
        _method(found),
        _limits(found),
        _study(found),
    ]
    body = "\n".join(part for part in sections if part)
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(study)}: '
        f"{_question(found)}</title>"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src data:\">"
        f"<style>{css()}{_STYLE}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def _head(found: Findings, study: str) -> str:
    said = found.answer
    if said is not None:
        lead = said.headline
        blocks = "".join(f"<h3>{escape(h)}</h3>{_list(s)}" for h, s in said.parts)
        if said.beyond:
            blocks += f"<h3>What it depends on</h3>{_list(said.beyond)}"
        if said.limits:
            blocks += f"<h3>What this study cannot say</h3>{_list(said.limits)}"
    else:
        lead = "Nothing was forced in this study: it shows what alignment emerges by itself."
        blocks = _list(found.emergence) if found.emergence else ""
    if said is not None and found.emergence:
        blocks += f"<h3>Alignment that emerges by itself</h3>{_list(found.emergence)}"
    blocks += _list(found.notes) if found.notes else ""
    answer = f"<section class=answer>{blocks}</section>" if blocks else ""
    counts = found.counts
    rows = int(counts["rows"].sum())
    lost = {n: int(counts[n].sum()) for n in ("diverged", "failed", "without_outcome")}
    words = f"{counted(found.trials['cell'].nunique(), 'cell')}, {counted(rows, 'run')}"
    for name, n in lost.items():
        words += f", {n} {name.replace('_', ' ')}" if n else ""
    return (
        f"<header><h1>{escape(study)}: {_question(found)}</h1>"
        f'<p class="lead" style="color:var(--ink)">{escape(lead)}</p></header>{answer}'
        f"{_registered(found)}<p class=note>{words}.</p>"
        "<nav><a href='#figures'>Figures</a><a href='#tables'>Tables</a>"
        "<a href='#method'>Method</a><a href='#limits'>Limits</a><a href='#study'>Study</a></nav>"
    )


def _question(found: Findings) -> str:
    return "does alignment emerge?" if found.answer is None else "does forcing alignment help?"


def _registered(found: Findings) -> str:
    plan = found.plan
    if found.answer is None:
        return ""
    if plan.confirmatory:
        return (
            "<p><span class='tag yes'>confirmatory</span>The plan was registered before the first "
            f"trial and was kept: <code>{plan.digest[:16]}</code></p>"
        )
    why = "; ".join(plan.deviations)
    return f"<p><span class='tag no'>exploratory</span>{escape(why)}.</p>"


def _figures(drawn: Iterable[Picture]) -> str:
    shown = "".join(
        f"<figure><h3>{escape(p.title)}</h3><div class=scroll tabindex=0>"
        f"{p.rendered.inline(f'{p.title}. {p.caption}')}</div>"
        f"<figcaption>{escape(p.caption)} <code>figures/{p.name}.png</code>, "
        f"<code>.svg</code></figcaption></figure>"
        for p in drawn
    )
    return f"<section id=figures><h2>Figures</h2>{shown}</section>" if shown else ""


def _tables(found: Findings) -> str:
    parts = []
    if len(found.effects):
        parts.append(f"<h3>Verdicts: {escape(outcome_words(found.settings.performance))}</h3>")
        parts.append(tables.verdict_table(found.effects))
    if len(found.outcomes) and found.outcomes["performance"].nunique() > 1:
        parts.append(
            "<h3>All outcomes</h3>"
            + tables.outcomes_table(found.outcomes, found.settings.performance)
            + "<p class=note>Forced minus not forced, ± half the interval. * the outcome that the "
            "verdicts are about. The others are exploratory; bold: below 0.05 after "
            "Benjamini-Hochberg over all of them. Loss and regret are better when smaller.</p>"
        )
    if len(found.moderators):
        parts.append(
            "<h3>What the effect depends on</h3>"
            + tables.moderator_table(found.moderators)
            + "<p class=note>Exploratory. Alone: one covariate at a time. Jointly: those that "
            "these cells can tell apart.</p>"
        )
    if len(found.boundaries):
        by = list(found.boundaries.columns[3 : found.boundaries.columns.get_loc("performance")])
        columns = ["data", "chosen_by", *by, "along", "statement", "boundary", "set", "low", "high"]
        columns += ["boot_low", "boot_high", "p_slope", "p_curved", "n_units", "n_draws"]
        parts.append("<h3>Boundaries</h3>" + tables.plain_table(found.boundaries, columns, 4))
    if len(found.shapes):
        parts.append("<h3>Over strengths (search runs)</h3>" + tables.shapes_table(found.shapes))
    if len(found.needs):
        factor, unit = scale_of(found.settings.performance)
        needs = found.needs.assign(
            sd=found.needs["sd"] * factor, effect=found.needs["effect"] * factor
        )
        needs = needs.rename(columns={name: f"{name} ({unit})" for name in ("sd", "effect")})
        columns = ["label", "chosen_by", "source", "unit", "n_seen", f"sd ({unit})"]
        columns += [f"effect ({unit})", "n_needed"]
        columns += ["n_needed_family", "n_needed_safe", "n_for_equivalence", "n_more"]
        parts.append(
            "<h3>How many would tell</h3>"
            + tables.plain_table(needs, columns, 4)
            + "<p class=note>Units for 80 % power to find the effect: for one test, as the worst "
            "of the family under Holm, and the latter with a cautious spread; and to show no "
            "difference where there is none.</p>"
        )
    if len(found.summary):
        known = [str(c) for c in found.summary if found.summary[c].notna().any()]
        parts.append(
            f"<h3>Emergent alignment along {escape(found.along)}</h3>"
            + tables.plain_table(found.summary, known)
        )
    if len(found.trends):
        columns = ["data", *[n for n in ("D_phi",) if n in found.trends], "along", "rho", "p_rho"]
        columns += ["J", "p_J", "n_levels", "n_draws", "note"]
        parts.append(
            "<h3>Trends of emergent alignment</h3>" + tables.plain_table(found.trends, columns)
        )
    if len(found.correlation_medians):
        parts.append(
            "<h3>Correlations over models (Pearson)</h3>"
            + tables.correlations_table(found.correlation_medians, found.along)
            + "<p class=note>Median and quartiles over heterogeneity, draws and seeds; Spearman's, "
            "intervals and permutation p-values are in the CSV.</p>"
        )
    parts.append(
        "<h3>What was run</h3>" + tables.plain_table(found.counts, list(found.counts.columns), 2)
    )
    return f"<section id=tables><h2>Tables</h2>{''.join(parts)}</section>"


def _method(found: Findings) -> str:
    settings = found.settings
    if found.answer is None:
        return f"<section id=method><h2>Method</h2>{_EMERGENCE_METHOD}</section>"
    text = _METHOD.format(
        alpha=settings.alpha,
        margin=escape(amount(settings.margin, settings.performance)),
        tests=int((found.effects["verdict"] != "untested").sum()),
    )
    return f"<section id=method><h2>Method</h2>{text}</section>"


def _limits(found: Findings) -> str:
    return f"<section id=limits><h2>Limits</h2>{_list(_LIMITS)}</section>"


def _study(found: Findings) -> str:
    study = found.beside.study
    text = (
        f"<pre>{escape(study)}</pre>"
        if study
        else ("<p class=note>No study file lies beside the table.</p>")
    )
    plan = ""
    if found.beside.plan is not None:
        plan = (
            f"<details><summary>The plan, sha256 {found.plan.digest}</summary>"
            f"<pre>{escape(found.beside.plan.canonical())}</pre></details>"
        )
    return (
        f"<section id=study><h2>The exact study</h2><details><summary>study.yaml</summary>{text}"
        f"</details>{plan}</section>"
    )


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"
