"""Checks what a study file measures and what its search maximizes."""

from collections.abc import Mapping, Sequence

from raysweep.metrics import REGISTRY
from raysweep.study.checks.parts import check_options
from raysweep.study.partial import read_partial
from raysweep.study.reader import unknown_name
from raysweep.study.spec import Evaluation, metric_names
from raysweep.study.yaml_lines import Fault, Location


def check_metrics(part: object, widths: Sequence[tuple[int, int]]) -> list[Fault]:
    """Faults of the metrics, their options, and the widths that they compare."""
    faults = []
    for name, (at, options) in named_metrics(part).items():
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


def named_metrics(part: object) -> dict[str, tuple[Location, object]]:
    """The metrics that a raw evaluation names, or its defaults -> where, and their options."""
    given = part.get("metrics") if isinstance(part, Mapping) else None
    at: Location = ("evaluation", "metrics")
    names = metric_names(part)
    if isinstance(given, list):
        return {name: ((*at, given.index(name)), {}) for name in names}
    options = given if isinstance(given, Mapping) else Evaluation().metrics
    options = {name: {} if given is None else given for name, given in options.items()}
    return {name: ((*at, name), options[name]) for name in names}


def check_objective(search: object, evaluation: object) -> list[Fault]:
    """The search maximizes its metric: it must be one that grows as pairs become more alike."""
    search = search if isinstance(search, Mapping) else {}
    measured = named_metrics(evaluation)
    name = search.get("metric")
    at: Location = ("search", "metric")
    if name is None and measured:
        name = next(iter(measured))
        at, _ = measured[name]
    if not isinstance(name, str):
        return []
    metric = REGISTRY.get(name)
    if metric is None:
        # Otherwise it is the specification that has something to say, or its place among those
        # that are measured.
        return [] if measured else [Fault(at, unknown_name("metric", name, list(REGISTRY)))]
    if search.get("objective") == "performance" or (metric.higher_is_better and metric.paired):
        return []
    why = "is lower for more alignment" if metric.paired else "does not depend on the pairs"
    good = [n for n, m in REGISTRY.items() if m.higher_is_better and m.paired]
    return [Fault(at, f"the search maximizes {name}, which {why}; choose from {', '.join(good)}")]


def check_calibration(evaluation: object) -> list[Fault]:
    """Chance is what a metric gives for shuffled pairs: it must depend on the pairs."""
    found = read_partial(Evaluation, evaluation)
    if found.part is None or found.lost("calibrate") or not found.part.calibrate:
        return []
    faults = []
    for name, (at, _) in named_metrics(evaluation).items():
        metric = REGISTRY.get(name)
        if metric is not None and (not metric.paired or metric.ideal is None):
            good = [n for n, m in REGISTRY.items() if m.paired and m.ideal is not None]
            message = (
                f"{name} has no level of chance; set calibrate: 0, or choose from {', '.join(good)}"
            )
            faults.append(Fault(at, message))
    return faults
