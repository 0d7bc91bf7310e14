"""Checks that what a study file asks for fits into the rows of its splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysweep.data.registry import DATASETS
from raysweep.errors import InputError
from raysweep.metrics import REGISTRY
from raysweep.study.checks.evaluation import named_metrics
from raysweep.study.partial import read_partial
from raysweep.study.spec import Evaluation, Training
from raysweep.study.yaml_lines import Fault, Location
from raysweep.text import counted

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class BlockRows:
    """What is known of a data block's rows.

    Attributes:
        at: the place of the block.
        rows: split -> the fewest rows of any cell of the block; without those that are not known.
    """

    at: Location
    rows: Mapping[str, int]


def written_rows(block: Mapping[str, Any]) -> dict[str, int]:
    """Split -> the fewest rows that a block asks for, by what is valid of it; loads nothing."""
    dataset = DATASETS.get(str(block.get("dataset")))
    known = {p.name: p for p in dataset.parameters if p.name in SPLITS} if dataset else {}
    sizes = {}
    for split, parameter in known.items():
        given = block.get(split, parameter.default)
        valid = []
        for value in given if isinstance(given, list) else [given]:
            try:
                valid.append(parameter.parse(value))
            except InputError:
                continue  # told at its own place
        numbers = [value for value in valid if isinstance(value, int)]
        if numbers:
            sizes[split] = min(numbers)
    return sizes


def check_rows(raw: Mapping[str, Any], blocks: Sequence[BlockRows]) -> list[Fault]:
    """Faults of what does not fit into the smallest splits."""
    faults = []
    smallest = _smallest(blocks, "train")
    training = read_partial(Training, raw.get("training"))
    if smallest is not None and training.part is not None and not training.lost("batch_size"):
        size, there = training.part.batch_size, smallest.rows["train"]
        given = raw.get("training")
        if size > there and isinstance(given, Mapping) and "batch_size" in given:
            message = f"{size} rows do not fit into the smallest training split of "
            message += counted(there, "row")
            faults.append(Fault(("training", "batch_size"), message))
        elif size > there:
            message = f"batches of {size} rows, the default, do not fit into the training split "
            message += f"of {counted(there, 'row')}; give training.batch_size"
            faults.append(Fault(smallest.at, message))
    return faults + _check_neighbours(raw.get("evaluation"), blocks)


def _check_neighbours(evaluation: object, blocks: Sequence[BlockRows]) -> list[Fault]:
    """Faults of metrics that look for more neighbours than there are rows."""
    faults = []
    found = read_partial(Evaluation, evaluation)
    limits = [
        (block.rows[split], block.at)
        for split in ("validation", "test")
        if (block := _smallest(blocks, split)) is not None
    ]
    if found.part is not None and not found.lost("rows"):
        limits.append((found.part.rows, ("evaluation", "rows")))
    if not limits:
        return []
    rows, bound = min(limits, key=lambda limit: limit[0])
    for name, (at, options) in named_metrics(evaluation).items():
        try:
            topk = REGISTRY[name].resolve(options).get("topk")  # type: ignore[arg-type]
        except (KeyError, TypeError, AttributeError, InputError):
            continue  # told at its own place
        if not isinstance(topk, int) or topk < rows:
            continue
        message = (
            f"topk is {topk}, and alignment is measured on {counted(rows, 'row')} (the smallest of "
            "evaluation.rows, validation and test split); topk must be below that"
        )
        if isinstance(evaluation, Mapping) and "metrics" in evaluation:
            given = isinstance(options, Mapping) and "topk" in options
            faults.append(Fault((*at, "topk") if given else at, message))
        else:
            faults.append(Fault(bound, f"{name} is measured by default: {message}"))
    return faults


def _smallest(blocks: Sequence[BlockRows], split: str) -> BlockRows | None:
    known = [block for block in blocks if split in block.rows]
    return min(known, key=lambda block: block.rows[split], default=None)
