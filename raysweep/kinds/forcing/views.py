"""Ready-made views of a forcing study for the MLflow UI."""

from collections.abc import Sequence

from raysweep.study.spec import SearchedStudy
from raysweep.tracking.facts import effect_names, interval_names
from raysweep.tracking.record import verdict_tag
from raysweep.tracking.views import View, bar, curve, metric, parallels, param, scatter, tag
from raysweep.trials.columns import named
from raysweep.trials.tasks import task_of


def views(
    study: SearchedStudy,
    varying: Sequence[str],
    axes: Sequence[Sequence[str]],
    curves: Sequence[str] | None = None,
) -> list[View]:
    """Cells, every strength of the search, and the arms of the confirm stage.

    Without ``curves`` they are those of pairs that raysweep trains.
    """
    if curves is None:
        seen = named(task_of(study.verdict.performance).main, "fused")
        curves = [named("curve", of) for of in ("task_loss", "alignment_loss", seen)]
    validated = named("alignment", study.metric, "validation")
    aligned = named("alignment", study.metric, "test")
    performance = study.verdict.performance
    searched = study.searched_performance
    effects = [
        (names.strength, *(metric for _, _, metric in names.effects))
        for names in (effect_names(study, criterion) for criterion in study.criteria)
    ]
    intervals = [interval_names(criterion, performance) for criterion in study.criteria]
    cell = [param(name) for name in varying]
    options = [named("option", name) for name in sorted(study.search.options)]
    # MLflow's charts are linear; one of logarithms leaves out strength 0.
    strength = "log10_strength" if study.search.strength.scale == "log" else "strength"
    return [
        View(
            id="cells",
            name="Cells: what forcing did",
            filter="tags.level = 'cell'",
            columns=[
                *(tag(verdict_tag(criterion)) for criterion in study.criteria),
                *(
                    metric(name)
                    for (strength_of, effect, *beside), ends in zip(effects, intervals, strict=True)
                    for name in (effect, *ends, strength_of, *beside)
                ),
                *cell,
            ],
            order_by="attributes.start_time",
            ascending=False,
            charts=[
                chart
                for _, performed, placebo, alignment, _ in effects
                for chart in (
                    bar(performed),
                    bar(placebo),
                    bar(alignment),
                    scatter(alignment, performed),
                )
            ],
        ),
        View(
            id="search",
            name="Search: every strength",
            filter="tags.stage = 'search'",
            columns=[
                *cell,
                *map(param, options),
                *map(metric, ["strength", validated, searched, "seeds", "diverged"]),
            ],
            order_by=metric(validated),
            ascending=False,
            charts=[
                *parallels(axes, options, [strength, validated, searched]),
                scatter(strength, validated),
                scatter(strength, searched),
                scatter(validated, searched),
                *map(curve, curves),
            ],
        ),
        View(
            id="confirm",
            name="Confirm: none, forced, placebo",
            filter="tags.stage = 'confirm'",
            columns=[
                *cell,
                param("arm"),
                *map(param, options),
                *map(metric, ["strength", performance, f"{performance}_sd", aligned, "seeds"]),
            ],
            # Any order but by time, in which the UI folds runs into their parents.
            order_by="tags.`cell_number`",
            ascending=True,
            charts=[
                bar(performance),
                bar(aligned),
                scatter(aligned, performance),
                *parallels(axes, ["arm"], [aligned, performance]),
                *map(curve, curves),
            ],
        ),
    ]
