"""Ready-made views of an emergence study for the MLflow UI."""

from collections.abc import Sequence

from raysweep.kinds.emergence.study import EmergenceStudy
from raysweep.tracking.views import View, metric, parallels, param, scatter
from raysweep.trials.columns import named


def views(
    study: EmergenceStudy, varying: Sequence[str], axes: Sequence[Sequence[str]]
) -> list[View]:
    """Pairs of encoders, and what was proposed for each modality."""
    aligned = [named("alignment", name, "test") for name in study.evaluation.metrics]
    performed = [named("performance", modality, "test") for modality in (1, 2)]
    of_chance = [
        named(family, name, "test")
        for name in study.evaluation.metrics
        for family in ("corrected", "chance", "chance_p")
        if study.evaluation.calibrate
    ]
    layers = [
        f"tags.`{named('alignment_layers', name, 'test')}`"
        for name in study.evaluation.metrics
        if study.evaluation.layers == "best"
    ]
    rates = ["learning_rate", "weight_decay"]
    both = [named(name, modality) for modality in (1, 2) for name in rates]
    found = [
        View(
            id="pairs",
            name="Pairs of independent encoders",
            filter="tags.stage = 'measure'",
            columns=[
                *map(param, varying),
                *map(metric, [*aligned, *of_chance, *performed, "seeds"]),
                *layers,
                *map(param, both),
            ],
            order_by=metric(aligned[0]),
            ascending=False,
            charts=[
                *parallels(axes, [], [aligned[0], performed[1]]),
                *(scatter(name, performed[1]) for name in aligned),
            ],
        )
    ]
    if study.tuning is not None:
        found += [
            View(
                id=f"tuning-{modality}",
                name=f"Tuning of modality {modality}: every proposal",
                filter=f"tags.stage = 'tune' and params.modality = '{modality}'",
                columns=[
                    *map(param, varying),
                    *map(param, rates),
                    *map(
                        metric, [named("performance", modality, "validation"), "seeds", "diverged"]
                    ),
                ],
                order_by=metric(named("performance", modality, "validation")),
                ascending=False,
                charts=[
                    *parallels(axes, rates, [named("performance", modality, "validation")]),
                    scatter(
                        named("best_epoch", modality), named("performance", modality, "validation")
                    ),
                ],
            )
            for modality in (1, 2)
        ]
    return found
