"""What the rows of a table say of the data that they are about."""

import numpy as np

from raysweep.data.chosen import PLACES
from raysweep.data.registry import find_dataset, load_estimate
from raysweep.data.views import Views
from raysweep.errors import InputError
from raysweep.study.cells import FILE, Cell
from raysweep.trials.columns import named
from raysweep.trials.tasks import Task

_OF_CLASSES = (Task.CLASSIFICATION, Task.ORDINAL)


def data_facts(
    cell: Cell, draw: int, view: Views, estimated: bool = True
) -> dict[str, int | float | str]:
    """The columns that describe the data of a cell's draw, with estimated ones or without."""
    # Sizes have columns of their own; where a file lies is no fact about the data in it.
    files = {p.name for p in find_dataset(cell.dataset).parameters if p.kind == "path"}
    hidden = {"train", "validation", "test", *PLACES, *files}
    facts = {k: v for k, v in cell.parameters if k not in hidden}
    return {
        "data": cell.dataset,
        **{name: value for name, value in facts.items() if isinstance(value, int | float | str)},
        **view.characteristics,
        **({FILE: cell.file} if cell.file else {}),
        "n_train": len(view.splits.train),
        "n_validation": len(view.splits.validation),
        "n_test": len(view.splits.test),
        **({"classes": view.classes} if view.task in _OF_CLASSES else {}),
        **(_information(cell, draw, view) if estimated or view.information else {}),
    }


def _information(cell: Cell, draw: int, view: Views) -> dict[str, float]:
    """Exact where the distribution is known, else estimated from the rows and named so."""
    if view.information is not None:
        return view.information.columns()
    try:
        estimate = load_estimate(cell.dataset, dict(cell.parameters), draw)
    except InputError:
        # Too few rows to estimate from, or more than two modalities; nothing else depends on it.
        return {}
    found = estimate.columns()
    facts = {named("estimated", name): v for name, v in found.items() if np.isfinite(v)}
    for name, interval in estimate.intervals.items():
        facts[named("estimated_low", name)] = interval.low
        facts[named("estimated_high", name)] = interval.high
    return facts
