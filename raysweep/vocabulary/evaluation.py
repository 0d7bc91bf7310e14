"""Checks what a study file measures and what its search maximizes."""

from collections.abc import Mapping, Sequence
from typing import Any

from raysweep.errors import InputError
from raysweep.metrics import REGISTRY
from raysweep.spec import Evaluation, Training
from raysweep.study_file import unknown_name
from raysweep.study_yaml import Fault, Location
from raysweep.vocabulary.parts import check_options, part_of


def check_metrics(part: object, widths: Sequence[tuple[int, int]]) -> list[Fault]:
    """Faults of the metrics, their options, and the widths that they compare."""
    metrics = part.get("metrics") if isinstance(part, Mapping) else None
    if isinstance(metrics, list):
        metrics = dict.fromkeys(str(m) for m in metrics)
    if not isinstance(metrics, Mapping):
        return []
    faults = []
    for name, options in metrics.items():
        at: Location = ("evaluation", "metrics", name)
        if name not in REGISTRY:
            faults.append(Fault(at, unknown_name("metric", name, list(REGISTRY))))
            continue
        metric = REGISTRY[name]
        faults += check_options(options, at, f"option of {name}", metric.options)
        unequal = next((pair for pair in widths if pair[0] != pair[1]), None)
        if metric.equal_widths and unequal is not None:
            sizes = " and ".join(map(str, unequal))
            faults.append(Fault(at, f"compares equal widths only, the model has {sizes}"))
    return faults


def check_objective(search: object, evaluation: object) -> list[Fault]:
    """The search maximizes its metric: it must be one that grows as pairs become more alike."""
    search = search if isinstance(search, Mapping) else {}
    measured = part_of(Evaluation, evaluation)
    name = search.get("metric")
    at: Location = ("search", "metric")
    if name is None and measured is not None:
        name, at = next(iter(measured.metrics)), ("evaluation", "metrics")
    if search.get("objective") == "performance" or not isinstance(name, str):
        return []
    metric = REGISTRY.get(name)
    if metric is None or (metric.higher_is_better and metric.paired):
        return []
    why = "is lower for more alignment" if metric.paired else "does not depend on the pairs"
    good = [n for n, m in REGISTRY.items() if m.higher_is_better and m.paired]
    return [Fault(at, f"the search maximizes {name}, which {why}; choose from {', '.join(good)}")]


def check_calibration(evaluation: object) -> list[Fault]:
    """Chance is what a metric gives for shuffled pairs: it must depend on the pairs."""
    measured = part_of(Evaluation, evaluation)
    if measured is None or not measured.calibrate:
        return []
    faults = []
    for name in measured.metrics:
        metric = REGISTRY.get(name)
        if metric is not None and (not metric.paired or metric.ideal is None):
            good = [n for n, m in REGISTRY.items() if m.paired and m.ideal is not None]
            message = f"has no level of chance; set calibrate: 0, or choose from {', '.join(good)}"
            faults.append(Fault(("evaluation", "metrics", name), message))
    return faults


def check_rows(raw: Mapping[str, Any], smallest: Mapping[str, int]) -> list[Fault]:
    """Faults of what does not fit into the splits; ``smallest`` is split -> fewest rows."""
    faults = []
    training = part_of(Training, raw.get("training"))
    if training is not None and training.batch_size > smallest["train"]:
        faults.append(
            Fault(
                ("training", "batch_size"),
                f"{training.batch_size} rows do not fit into the smallest training split of "
                f"{smallest['train']} rows",
            )
        )
    evaluation = part_of(Evaluation, raw.get("evaluation"))
    if evaluation is None:
        return faults
    rows = min(evaluation.rows, smallest["validation"], smallest["test"])
    for name, options in evaluation.metrics.items():
        try:
            topk = REGISTRY[name].resolve(options).get("topk")
        except (KeyError, InputError):
            continue
        if isinstance(topk, int) and topk >= rows:
            at = ("evaluation", "metrics", name)
            faults.append(
                Fault(
                    (*at, "topk") if "topk" in options else at,
                    f"topk is {topk}, and alignment is measured on {rows} rows (the smallest of "
                    "evaluation.rows, validation and test split); topk must be below that",
                )
            )
    return faults
