"""Ready-made views of a study for the MLflow UI: filters, columns, sorting and charts.

The UI keeps the views that people save as tags of the experiment, as a name and its own state in
JSON. They are a convenience: a UI that does not understand one leaves it out of its list.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysweep.kinds.kind import kind_of
from raysweep.study.spec import StudyBase
from raysweep.tracking.facts import StudyFacts

PREFIX = "mlflow.sharedViewState.raysweep-"
# Lists of views are sorted by this time, latest first; a fixed one keeps a second copy silent.
_CREATED_MS = 1_767_225_600_000
_WIDTHS = {"params": 90, "metrics": 230, "tags": 120}
# Three, as MLflow has it, cut off the names of metrics in titles and on axes.
_CHARTS_PER_ROW = 2
_SECTIONS = ("The study", "Model metrics", "System metrics")


@dataclass(frozen=True)
class View:
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
        for i, view in enumerate(kind_of(study).views(study, facts))
    }


def _state(view: View) -> dict[str, Any]:
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


def param(name: str) -> str:
    """A parameter's column."""
    return f"params.`{name}`"


def metric(name: str) -> str:
    """A metric's column."""
    return f"metrics.`{name}`"


def tag(name: str) -> str:
    """A tag's column."""
    return f"tags.`{name}`"


def bar(metric: str) -> dict[str, Any]:
    """A chart of one metric, a bar a run."""
    return {
        "type": "BAR",
        "metricKey": metric,
        "dataAccessKey": metric,
        "runsCountToCompare": 100,
    }


def scatter(x: str, y: str) -> dict[str, Any]:
    """A chart of two metrics, a point a run."""
    return {
        "type": "SCATTER",
        "xaxis": {"key": x, "type": "METRIC", "dataAccessKey": x},
        "yaxis": {"key": y, "type": "METRIC", "dataAccessKey": y},
        "runsCountToCompare": 500,
    }


def curve(metric: str) -> dict[str, Any]:
    """A chart of a metric over epochs, a line a run."""
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


def parallels(
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
