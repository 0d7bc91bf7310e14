"""What the labels of a study's data ask of it, and what they leave to be filled in."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from raysweep.data.registry import find_dataset, load
from raysweep.data.views import Views
from raysweep.kinds.kind import kind_named
from raysweep.study.spec import SearchedStudy
from raysweep.study.yaml_lines import Fault, Location
from raysweep.trials.columns import column_of, named
from raysweep.trials.outcomes import MARGIN_OF_SPREAD, default_margin, in_label_units
from raysweep.trials.tasks import Task, task_of


def check_labels(raw: Mapping[str, Any], views: Sequence[Views]) -> list[Fault]:
    """Faults of what does not go with the label, of outcomes above all.

    Args:
        raw: a study as it is written; it may be malformed.
        views: a draw of each of its data.
    """
    tasks = list(dict.fromkeys(view.task for view in views))
    if not tasks:
        return []
    if len(tasks) > 1:
        words = " and ".join(tasks)
        message = f"the labels are of {words}, whose outcomes differ; make a study of each"
        return [Fault(("data",), message)]
    lacking = _check_lacking(raw) if any(view.present is not None for view in views) else ()
    return [*_check_task(raw, tasks[0]), *_check_outcomes(raw, tasks[0]), *lacking]


def _check_lacking(raw: Mapping[str, Any]) -> Iterator[Fault]:
    """What does not go with rows that lack a modality."""
    if not issubclass(kind_named(raw.get("kind")).study, SearchedStudy):
        message = "rows lack a modality, and studies of this kind compare encoders on all rows; "
        yield Fault(("data",), f"{message}take kind: forcing, or leave these rows out")
    training = raw.get("training")
    if isinstance(training, Mapping) and training.get("engine") == "kernel":
        message = "engine kernel trains complete rows, and rows lack a modality; take auto"
        yield Fault(("training", "engine"), message)


def _check_task(raw: Mapping[str, Any], task: Task) -> Iterator[Fault]:
    if task is Task.CLASSIFICATION:
        return
    if not issubclass(kind_named(raw.get("kind")).study, SearchedStudy):
        way = ""
        if task is Task.REGRESSION:
            way = ", such as numpy.digitize(y, numpy.quantile(y, [0.33, 0.67]))"
        yield Fault(
            ("data",),
            f"the label is of {task}, and studies of this kind train encoders on classes; take "
            f"kind: forcing, or save classes{way}",
        )
    training = raw.get("training")
    if isinstance(training, Mapping) and training.get("class_weight", "none") != "none":
        message = f"there are no classes to weight: the label is of {task}; leave it out"
        yield Fault(("training", "class_weight"), message)
    if isinstance(training, Mapping) and training.get("engine") == "kernel":
        message = f"engine kernel trains classification, and the label is of {task}; take auto"
        yield Fault(("training", "engine"), message)


def _check_outcomes(raw: Mapping[str, Any], task: Task) -> Iterator[Fault]:
    """The outcomes that are named and not those of the label."""
    for part in ("verdict", "search"):
        given = raw.get(part)
        name = given.get("performance") if isinstance(given, Mapping) else None
        if isinstance(name, str) and _is_of_another(name, task):
            good = ", ".join(_like(name, family) for family in (*task.always, *task.asked))
            message = f"{name} is no outcome of {task}, which the label is; choose from {good}"
            yield Fault((part, "performance"), message)
    evaluation = raw.get("evaluation")
    given = evaluation.get("outcomes") if isinstance(evaluation, Mapping) else None
    for place, family in enumerate(given if isinstance(given, list) else [given]):
        if isinstance(family, str) and _is_of_another(f"{family}_fused", task):
            at: Location = ("evaluation", "outcomes")
            message = f"{family} is no outcome of {task}; choose from {', '.join(task.asked)}"
            yield Fault((*at, place) if isinstance(given, list) else at, message)


def _is_of_another(name: str, task: Task) -> bool:
    """Whether an outcome is of another task alone; unknown names are told elsewhere."""
    known = any(other.measures(name) for other in Task)
    return known and not task.measures(name)


def _like(name: str, family: str) -> str:
    """The outcome of another family of the same head and split."""
    column = column_of(name)
    return named(family, column.modality, *filter(None, (column.split,)))


def fit_label(
    study: SearchedStudy, plain: dict[str, Any], blocks: Sequence[Mapping[str, Any]]
) -> None:
    """Fill in the outcomes that go with the label, where a study names none.

    Args:
        study: as it was written.
        plain: its plain values, changed.
        blocks: the resolved data blocks.
    """
    others = [
        view for block in blocks for view in _own(block) if view.task is not Task.CLASSIFICATION
    ]
    if not others:
        return
    spreads = [float(view.value_scaling.sd[0]) for view in others if view.values is not None]
    verdict = plain["verdict"]
    if "performance" not in study.verdict.model_fields_set:
        verdict["performance"] = others[0].task.tested
    tested = verdict["performance"]
    if "margin" not in study.verdict.model_fields_set:
        verdict["margin"] = default_margin(tested)
        if in_label_units(tested):
            verdict["margin"] = float(f"{MARGIN_OF_SPREAD * min(spreads):.2g}")
    if "performance" not in study.search.model_fields_set and (
        task_of(tested) is not Task.CLASSIFICATION
    ):
        plain["search"]["performance"] = named(column_of(tested).family, "fused")


def _own(block: Mapping[str, Any]) -> Iterator[Views]:
    """The first cell of a resolved block of a user's own data."""
    dataset = find_dataset(block["dataset"])
    if dataset.own:
        known = {p.name for p in dataset.parameters}
        given = {k: v[0] if isinstance(v, list) else v for k, v in block.items() if k in known}
        yield load(dataset.name, given)
