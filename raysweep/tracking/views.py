"""Ready-made views of a study for the MLflow UI: filters, columns, sorting and charts.

The UI keeps the views that people save as tags of the experiment, as a name and its own state in
JSON. They are a convenience: a UI that does not understand one leaves it out of its list.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysweep.spec import EmergenceStudy, Study, StudyBase
from raysweep.tracking.facts import StudyFacts, criteria, effect_names

PREFIX = "mlflow.sharedViewState.raysweep-"
# Lists of views are sorted by this time, latest first; a fixed one keeps a second copy silent.
_CREATED_MS = 1_767_225_600_000
_WIDTHS = {"params": 90, "metrics": 230, "tags": 120}
# Three, as MLflow has it, cut off the names of metrics in titles and on axes.
_CHARTS_PER_ROW = 2
_CURVES = ("curve_task_loss", "curve_alignment_loss", "curve_performance_fused")
_SECTIONS = ("The study", "Model metrics", "System metrics")


@dataclass(frozen=True)
class _View:
    """One saved view: runs that match a filter, columns, sort order, charts."""

    id: str
    name: str
    filter: str
    columns: Sequence[str]
    order_by: str
    ascending: bool
    charts: Sequence[Mapping[str, Any]]


def view_tags(study: StudyBase, facts: StudyFacts) -> dict[str, str]:
    """Tags of the experiment that make the views of a study.

    Args:
        study: the study.
        facts: its cells and which of their parameters differ.
    """
    return {
        f"{PREFIX}{view.id}": json.dumps(
            {
                "name": view.name,
                "createdAt": _CREATED_MS - i,
                "updatedAt": _CREATED_MS - i,
                "state": json.dumps(_state(view)),
            },
            sort_keys=True,
        )
        for i, view in enumerate(
            _views(study, facts.varying, facts.axes)
            if isinstance(study, Study)
            else _emergence_views(study, facts.varying, facts.axes)
        )
    }


def _views(study: Study, varying: Sequence[str], axes: Sequence[Sequence[str]]) -> list[_View]:
    validated = f"alignment_{study.metric}_validation"
    aligned = f"alignment_{study.metric}_test"
    performance = study.verdict.performance
    searched = f"{study.search.performance}_validation"
    effects = [
        (names.strength, *(metric for _, _, metric in names.effects))
        for names in (effect_names(study, criterion) for criterion in criteria(study))
    ]
    cell = [_param(name) for name in varying]
    options = [f"option_{name}" for name in sorted(study.search.options)]
    # MLflow's charts are linear; one of logarithms leaves out strength 0.
    strength = "log10_strength" if study.search.strength.scale == "log" else "strength"
    return [
        _View(
            id="cells",
            name="Cells: what forcing did",
            filter="tags.level = 'cell'",
            columns=[*cell, *(_metric(name) for group in effects for name in group)],
            order_by="attributes.start_time",
            ascending=False,
            charts=[
                chart
                for _, performed, placebo, alignment, _ in effects
                for chart in (
                    _bar(performed),
                    _bar(placebo),
                    _bar(alignment),
                    _scatter(alignment, performed),
                )
            ],
        ),
        _View(
            id="search",
            name="Search: every strength",
            filter="tags.stage = 'search'",
            columns=[
                *cell,
                *map(_param, options),
                *map(_metric, ["strength", validated, searched, "seeds", "diverged"]),
            ],
            order_by=_metric(validated),
            ascending=False,
            charts=[
                *_parallels(axes, options, [strength, validated, searched]),
                _scatter(strength, validated),
                _scatter(strength, searched),
                _scatter(validated, searched),
                *map(_curve, _CURVES),
            ],
        ),
        _View(
            id="confirm",
            name="Confirm: none, forced, placebo",
            filter="tags.stage = 'confirm'",
            columns=[
                *cell,
                _param("arm"),
                *map(_param, options),
                *map(_metric, ["strength", performance, f"{performance}_sd", aligned, "seeds"]),
            ],
            # Any order but by time, in which the UI folds runs into their parents.
            order_by="tags.`cell_number`",
            ascending=True,
            charts=[
                _bar(performance),
                _bar(aligned),
                _scatter(aligned, performance),
                *_parallels(axes, ["arm"], [aligned, performance]),
                *map(_curve, _CURVES),
            ],
        ),
    ]


def _emergence_views(
    study: StudyBase, varying: Sequence[str], axes: Sequence[Sequence[str]]
) -> list[_View]:
    assert isinstance(study, EmergenceStudy)
    aligned = [f"alignment_{name}_test" for name in study.evaluation.metrics]
    performed = ["performance_1_test", "performance_2_test"]
    of_chance = [
        f"{prefix}_{name}_test"
        for name in study.evaluation.metrics
        for prefix in ("corrected", "chance", "chance_p")
        if study.evaluation.calibrate
    ]
    layers = [
        f"tags.`alignment_layers_{name}_test`"
        for name in study.evaluation.metrics
        if study.evaluation.layers == "best"
    ]
    rates = ["learning_rate", "weight_decay"]
    both = [f"{name}_{modality}" for modality in (1, 2) for name in rates]
    views = [
        _View(
            id="pairs",
            name="Pairs of independent encoders",
            filter="tags.stage = 'measure'",
            columns=[
                *map(_param, varying),
                *map(_metric, [*aligned, *of_chance, *performed, "seeds"]),
                *layers,
                *map(_param, both),
            ],
            order_by=_metric(aligned[0]),
            ascending=False,
            charts=[
                *_parallels(axes, [], [aligned[0], performed[1]]),
                *(_scatter(name, performed[1]) for name in aligned),
            ],
        )
    ]
    if study.tuning is not None:
        views += [
            _View(
                id=f"tuning-{modality}",
                name=f"Tuning of modality {modality}: every proposal",
                filter=f"tags.stage = 'tune' and params.modality = '{modality}'",
                columns=[
                    *map(_param, varying),
                    *map(_param, rates),
                    *map(_metric, [f"performance_{modality}_validation", "seeds", "diverged"]),
                ],
                order_by=_metric(f"performance_{modality}_validation"),
                ascending=False,
                charts=[
                    *_parallels(axes, rates, [f"performance_{modality}_validation"]),
                    _scatter(f"best_epoch_{modality}", f"performance_{modality}_validation"),
                ],
            )
            for modality in (1, 2)
        ]
    return views


def _state(view: _View) -> dict[str, Any]:
    sections = [
        {
            "uuid": f"{view.id}-{i}",
            "name": name,
            "display": i == 0,
            "isReordered": True,
            "columns": _CHARTS_PER_ROW,
        }
        for i, name in enumerate(_SECTIONS)
    ]
    charts = [
        {
            **chart,
            "uuid": f"{view.id}-chart-{i}",
            "metricSectionId": sections[0]["uuid"],
            "deleted": False,
            "isGenerated": False,
        }
        for i, chart in enumerate(view.charts)
    ]
    return {
        "searchFilter": view.filter,
        "orderByKey": view.order_by,
        "orderByAsc": view.ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(view.columns),
        "columnOrder": list(view.columns),
        "columnWidths": {c: _WIDTHS[c.partition(".")[0]] for c in view.columns},
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": charts,
        "compareRunSections": sections,
        "isAccordionReordered": True,
        "viewMaximized": False,
        "runListHidden": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "globalLineChartConfig": {
            "xAxisKey": "step",
            "lineSmoothness": 0,
            "selectedXAxisMetricKey": "",
        },
    }


def _param(name: str) -> str:
    return f"params.`{name}`"


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _bar(metric: str) -> dict[str, Any]:
    return {
        "type": "BAR",
        "metricKey": metric,
        "dataAccessKey": metric,
        "runsCountToCompare": 100,
    }


def _scatter(x: str, y: str) -> dict[str, Any]:
    return {
        "type": "SCATTER",
        "xaxis": {"key": x, "type": "METRIC", "dataAccessKey": x},
        "yaxis": {"key": y, "type": "METRIC", "dataAccessKey": y},
        "runsCountToCompare": 500,
    }


def _curve(metric: str) -> dict[str, Any]:
    return {
        "type": "LINE",
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "lineSmoothness": 0,
        "range": {"xMin": None, "xMax": None, "yMin": None, "yMax": None},
        "runsCountToCompare": 20,
    }


def _parallels(
    axes: Sequence[Sequence[str]], params: Sequence[str], metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """A chart for each set of axes: a run without one of its axes is not in a chart."""
    return [
        {
            "type": "PARALLEL",
            "selectedParams": [*shared, *params],
            "selectedMetrics": list(metrics),
            "showAllRuns": True,
        }
        for shared in axes
    ]
