"""The page: one HTML text that fetches nothing, from `templates/page.html`."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from raysweep.text import counted
from raysweep.trials.columns import Role, column_of
from raysweep.trials.outcomes import amount, outcome_words, scale_of
from raysweep_analysis.figures.style import ALL_COLOURS
from raysweep_analysis.report import tables
from raysweep_analysis.report.copying import digest, script
from raysweep_analysis.report.findings import Findings
from raysweep_analysis.report.methods import methods, references
from raysweep_analysis.report.pictures import Picture
from raysweep_analysis.report.rendering import rendered
from raysweep_analysis.report.tables import Table
from raysweep_analysis.resplits import SPLIT
from raysweep_analysis.told import estimates_table, what_estimates_miss

DATA, FILE = "data", "file"


@dataclass(frozen=True)
class _Part:
    """A table of the page under its title."""

    title: str
    table: Table | None
    notes: tuple[str, ...] = ()


def page(found: Findings, drawn: Iterable[Picture]) -> str:
    """The whole report as one HTML text.

    No text in it is markup but that of the template and what is marked as such here and in
    `tables`: Jinja escapes the rest, after what does not print is made visible.
    """
    said, settings = found.answer, found.settings
    return rendered(
        "page.html",
        alpha=f"{settings.alpha:g}",
        answers=list(_answers(found)),
        counts=_counts(found),
        copied=Markup(script()),
        figures=list(drawn),
        light=Markup(json.dumps({name: pair[0] for name, pair in ALL_COLOURS.items()})),
        inline=lambda p: Markup(p.rendered.inline(f"{p.title}. {p.caption}")),
        lead=said.headline
        if said is not None
        else "Nothing was forced in this study: it shows what alignment emerges by itself."
        if found.models is None
        else "Models that were trained by others, and how much their representations align.",
        margin=amount(settings.margin, settings.performance),
        methods=methods(found) if said is not None else "",
        plan=found.plan,
        references=references(found) if said is not None else "",
        script_digest=digest(script()),
        registered=found.beside.plan,
        said=said,
        splits=bool(len(found.effects) and (found.effects["unit"] == SPLIT).any()),
        study=str(found.trials["study"].iloc[0]),
        study_file=found.beside.study,
        tables=list(_tables(found)),
        tested=int((found.effects["verdict"] != "untested").sum()) if said is not None else 0,
    )


def _answers(found: Findings) -> Iterator[tuple[str, Iterable[str]]]:
    """Headings, some of them empty, and the sentences below."""
    said = found.answer
    if said is not None:
        if said.unknown:
            yield "What is not known, and what would tell", said.unknown
        if said.basis:
            yield "What came out" if said.unknown else "", said.basis
        yield from said.parts
        if said.beyond:
            yield "What it depends on", said.beyond
        if said.limits:
            yield "What this study cannot say", said.limits
    if found.emergence:
        yield "Alignment that emerges by itself" if said is not None else "", found.emergence
    if found.notes:
        yield "", found.notes


def _counts(found: Findings) -> str:
    counts = found.counts
    words = [
        counted(found.trials["cell"].nunique(), "cell"),
        counted(int(counts["rows"].sum()), "run"),
    ]
    lost = {name: int(counts[name].sum()) for name in ("diverged", "failed", "without_outcome")}
    words += [f"{n} {name.replace('_', ' ')}" for name, n in lost.items() if n]
    return ", ".join(words)


def _tables(found: Findings) -> Iterator[_Part]:
    primary = found.settings.performance
    if len(found.effects):
        yield _Part(f"Verdicts: {outcome_words(primary)}", tables.verdict_table(found.effects))
    if len(found.outcomes) and found.outcomes["performance"].nunique() > 1:
        yield _Part(
            "All outcomes",
            tables.outcomes_table(found.outcomes, primary),
            (
                "Forced minus not forced, ± half the interval. * the outcome that the verdicts are "
                "about. The others are exploratory; bold: below 0.05 after Benjamini-Hochberg over "
                "all of them. Loss and regret are better when smaller.",
            ),
        )
    if len(found.moderators):
        fitted = tables.moderator_table(found.moderators)
        how = (
            "Exploratory. Alone: one covariate at a time. Jointly: those that these cells can tell "
            "apart.",
        )
        notes = (*(how if fitted else ()), *tables.not_fitted(found.moderators))
        yield _Part("What the effect depends on", fitted, notes)
    if len(found.boundaries):
        by = list(found.boundaries.columns[3 : found.boundaries.columns.get_loc("performance")])
        columns = ["data", "chosen_by", *by, "along", "statement", "boundary", "set", "low", "high"]
        columns += ["boot_low", "boot_high", "p_slope", "p_curved", "n_units", "n_draws"]
        yield _Part("Boundaries", tables.plain_table(found.boundaries, columns, 4))
    if len(found.shapes):
        yield _Part("Over strengths (search runs)", tables.shapes_table(found.shapes))
    if len(found.needs):
        factor, unit = scale_of(primary)
        sized = {name: f"{name} ({unit})" for name in ("sd", "effect")}
        needs = found.needs.assign(**{n: found.needs[n] * factor for n in sized})
        columns = ["label", "chosen_by", "source", "unit", "n_seen", *sized.values(), "n_needed"]
        columns += ["n_needed_family", "n_needed_safe", "n_for_equivalence", "n_more"]
        yield _Part(
            "How many would tell",
            tables.plain_table(needs.rename(columns=sized), columns, 4),
            (
                "Units for 80 % power to find the effect: for one test, as the worst of the family "
                "under Holm, and the latter with a cautious spread; and to show no difference "
                "where there is none.",
            ),
        )
    if len(found.summary):
        known = [str(c) for c in found.summary if found.summary[c].notna().any()]
        yield _Part(
            f"Emergent alignment along {found.along}", tables.plain_table(found.summary, known)
        )
    if len(found.trends):
        columns = ["data", *[n for n in ("D_phi",) if n in found.trends], "along", "rho", "p_rho"]
        columns += ["J", "p_J", "n_levels", "n_draws", "note"]
        yield _Part("Trends of emergent alignment", tables.plain_table(found.trends, columns))
    if len(found.correlation_medians):
        yield _Part(
            "Correlations over models (Pearson)",
            tables.correlations_table(found.correlation_medians, found.along),
            (
                "Median and quartiles over heterogeneity, draws and seeds; Spearman's, intervals "
                "and permutation p-values are in the CSV.",
            ),
        )
    yield from _of_models(found)
    told = estimates_table(found.trials)
    if len(told):
        yield _Part(
            "What the data tell of the label, estimated in nats",
            tables.plain_table(told, list(told.columns)),
            (
                "In brackets 95 % intervals of what the same estimate finds of other rows; the "
                "truth may be more.",
                what_estimates_miss(found.trials),
            ),
        )
    own = _own_data(found.trials)
    if len(own):
        yield _Part("Your own data", tables.plain_table(own, list(own.columns)))
    counts = tables.plain_table(found.counts, list(found.counts.columns), 2)
    yield _Part("What was run", counts)


def _of_models(found: Findings) -> Iterator[_Part]:
    """Pairs of models, correlations over them and along axes."""
    if found.models is None:
        return
    titles = {
        "pairs": (
            "Pairs of models",
            "Chance: the mean of the same maximum over layers under permuted rows. p_bh: after "
            "Benjamini and Hochberg over all pairs of a metric.",
        ),
        "model_correlations": (
            "Performance and alignment",
            "Spearman over models. Interval: models drawn again within families, on both sides. "
            "p_within: performance permuted within families, of the ranks without the means of "
            "families. p permutes over all models: too small where families share both.",
        ),
        "axis_trends": (
            "Along the axes",
            "Spearman of the mean over pairs; p: the values of the axis permuted for all pairs "
            "together.",
        ),
    }
    for name, table in found.models.tables.items():
        if len(table):
            known = [str(c) for c in table if table[c].notna().any()]
            title, note = titles[name]
            yield _Part(title, tables.plain_table(table, known, 4), (note,))


def _own_data(trials: pd.DataFrame) -> pd.DataFrame:
    """What each file was read as, one row for each; empty without files."""
    if FILE not in trials:
        return trials.iloc[:0]
    of_files = trials[trials[FILE].notna()]
    shown = [
        column.name
        for column in map(column_of, map(str, trials.columns))
        if column.role is Role.CHARACTERISTIC and of_files[column.name].notna().any()
    ]
    first = [FILE, *(name for name in shown if name not in (FILE, DATA))]
    rows = of_files[first].drop_duplicates().astype(object)
    return rows.where(rows.notna(), "")
