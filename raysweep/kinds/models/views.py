"""Ready-made views of a study of models for the MLflow UI."""

from raysweep.kinds.models.study import ModelsStudy
from raysweep.tracking.views import View, metric, param, scatter, tag
from raysweep.trials.columns import named


def views(study: ModelsStudy) -> list[View]:
    """All pairs, the most alike first, beside how well their models perform."""
    names = list(study.evaluation.metrics)
    families = [
        "alignment",
        *(["chance", "corrected", "chance_p"] * bool(study.evaluation.calibrate)),
    ]
    measured = [named(family, name, "test") for name in names for family in families]
    performed = [named("model_performance", side) for side in (1, 2)]
    models = [named("model", side) for side in (1, 2)]
    first = named("alignment", study.metric, "test")
    return [
        View(
            id="pairs",
            name="Pairs of models",
            filter="tags.stage = 'measure'",
            columns=[
                *map(param, [*models, *(study.axes or ())]),
                *map(metric, [*measured, *performed]),
                *(tag(named("alignment_layers", name, "test")) for name in names),
            ],
            order_by=metric(first),
            ascending=False,
            charts=[scatter(name, first) for name in performed],
        )
    ]
