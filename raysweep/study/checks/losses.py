"""Checks the alignment loss of a study file, its options, and those that are searched."""

import contextlib
import io
import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from raysweep.errors import InputError
from raysweep.losses import COMMON_OPTIONS, LOSSES, build_loss, check_usable, never_defined
from raysweep.losses.registry import CUSTOM_OPTIONS
from raysweep.plugins.options import Option
from raysweep.plugins.user_code import said, source_of
from raysweep.study.checks.parts import check_options, check_value
from raysweep.study.files import file_digest
from raysweep.study.partial import read_partial
from raysweep.study.reader import unknown_name
from raysweep.study.spec import OptionRange, Search, Training
from raysweep.study.yaml_lines import Fault, Location

_DEFAULT_LOSS = "infonce"
_MOST_TRIED = 1_000
_MOST_CALLED = 50
_MOST_ROWS = 256
"""On which a loss is tried, save that some need more rows than features."""


def declared_options(loss: str) -> dict[str, Option]:
    """The options that raysweep knows of a loss; a user's own takes others besides."""
    own = CUSTOM_OPTIONS if ":" in loss else LOSSES[loss].options
    return {option.name: option for option in (*own, *COMMON_OPTIONS)}


def check_loss(
    part: object, search: object, training: object, widths: Sequence[tuple[int, int]]
) -> list[Fault]:
    """Faults of the loss, of its fixed options and of the searched ones.

    Args:
        part: the study's ``alignment``.
        search: its ``search``.
        training: its ``training``, in whose batches a user's own loss is tried.
        widths: widths of the two encoders, for each shape of the model grid.
    """
    part = part if isinstance(part, Mapping) else {}
    name, options = part.get("loss", _DEFAULT_LOSS), part.get("options")
    options = options if isinstance(options, Mapping) else {}
    at: Location = ("alignment", "loss")
    if not isinstance(name, str):
        return []
    faults: list[Fault] = []
    if ":" not in name:
        if name not in LOSSES:
            own = ", or a function of your own as package.module:function"
            return [Fault(at, unknown_name("loss", name, list(LOSSES)) + own)]
        declared = list(declared_options(name).values())
        faults = check_options(
            options,
            ("alignment", "options"),
            f"option of {name}",
            declared,
        )
        if part.get("negatives") == "all" and not LOSSES[name].negatives:
            having = ", ".join(other for other, entry in LOSSES.items() if entry.negatives)
            message = f"{name} has no negatives; leave this out, or take a loss that has: {having}"
            faults.append(Fault(("alignment", "negatives"), message))
    faults += _check_searched(name, search)
    given = search.get("options") if isinstance(search, Mapping) else None
    valid = read_partial(Search, search)
    if faults or (given and (valid.part is None or valid.lost("options"))):
        return faults
    searched = valid.part.options if given and valid.part is not None else {}
    if any(
        isinstance(v, OptionRange) and any(True for _ in v.clashes()) for v in searched.values()
    ):
        return faults  # a range without two ends has none to build with
    settings = read_partial(Training, training).part or Training()
    return _check_building(name, options, searched, list(dict.fromkeys(widths)), settings)


def loss_doubts(
    name: str,
    options: Mapping[str, object],
    searched: Mapping[str, OptionRange | tuple[Any, ...]],
    widths: Sequence[tuple[int, int]],
    training: Training,
) -> list[str]:
    """Why a user's own loss may force nothing, a sentence for the first widths and options of each.

    Args:
        name: of the loss, a dotted path.
        options: its fixed options.
        searched: options that are searched.
        widths: as `check_loss`.
        training: in whose batches it is tried.
    """
    told: dict[str, str] = {}
    combinations = itertools.islice(_combinations(searched), _MOST_CALLED)
    for (number, tried), pair in itertools.product(enumerate(combinations), widths):
        if number and pair != widths[0]:
            continue
        rows = _rows_tried(pair, training)
        with _quietly():
            loss = build_loss(name, {**options, **tried})
            try:
                why = never_defined(loss, name, pair, rows, getattr(torch, training.dtype))
            except Exception:  # of groups, say, which the user's data need not have
                continue
        words = "".join(f", {key}: {value}" for key, value in tried.items())
        on = f"{rows} rows of {pair[0]} and {pair[1]} features{words}"
        if why:
            told.setdefault(why, f"alignment.loss: loss {name}, tried on {on}: {why}")
    return list(told.values())


def _check_searched(loss: str, search: object) -> list[Fault]:
    """Names and values of the searched options; the form of a range is the specification's."""
    searched = search.get("options") if isinstance(search, Mapping) else None
    if not isinstance(searched, Mapping):
        return []
    known, faults = declared_options(loss), []
    for name, wanted in searched.items():
        at: Location = ("search", "options", name)
        if name not in known:
            if ":" not in loss:
                faults.append(Fault(at, unknown_name(f"option of {loss}", name, sorted(known))))
            continue
        option = known[name]
        values: list[tuple[Location, object]] = []
        if isinstance(wanted, Mapping):
            if not option.numeric:
                faults.append(
                    Fault(at, f"{name} has no range; list the values to try ({option.expected})")
                )
                continue
            values = [((*at, end), wanted[end]) for end in ("low", "high") if end in wanted]
        elif isinstance(wanted, list):
            values = [((*at, i), value) for i, value in enumerate(wanted)]
        for place, value in values:
            faults += check_value(option, value, place)
    return faults


def _check_building(
    name: str,
    options: Mapping[str, object],
    searched: Mapping[str, OptionRange | tuple[Any, ...]],
    widths: Sequence[tuple[int, int]],
    training: Training,
) -> list[Fault]:
    """Build the loss with its options and with every combination of searched ones."""
    at: Location = ("alignment", "loss")
    alone = _fault_in_building(name, options, widths, training)
    if not searched:
        return [Fault(at, alone)] if alone else []
    for number, tried in enumerate(itertools.islice(_combinations(searched), _MOST_TRIED)):
        used = widths if number == 0 else widths[:1] if number < _MOST_CALLED else ()
        found = _fault_in_building(name, {**options, **tried}, used, training)
        if found == alone and found:
            return [Fault(at, found)]
        if found:
            words = ", ".join(f"{key}: {value}" for key, value in tried.items())
            return [Fault(("search", "options"), f"with {words}: {found}")]
    return []


def _combinations(
    searched: Mapping[str, OptionRange | tuple[Any, ...]],
) -> Iterator[dict[str, object]]:
    """Listed values in all combinations, ranges by their ends."""
    ends = [(v.low, v.high) if isinstance(v, OptionRange) else v for v in searched.values()]
    for values in itertools.product(*ends):
        yield dict(zip(searched, values, strict=True))


def _fault_in_building(
    name: str,
    options: Mapping[str, object],
    widths: Sequence[tuple[int, int]],
    training: Training,
) -> str:
    place, tried = f"loss {name}", "imported"
    try:
        loss = build_loss(name, options)
        for pair in widths:
            loss.parameter_count(*pair)
            if ":" in name:
                rows = _rows_tried(pair, training)
                tried = f"tried on {rows} random rows of {pair[0]} and {pair[1]} features"
                with _quietly():
                    check_usable(loss, place, pair, rows, getattr(torch, training.dtype))
        if ":" in name:
            file_digest(source_of(name))
    except InputError as error:
        return str(error)
    except (Exception, SystemExit) as error:
        # A user's own code may raise anything.
        return f"{place}, {tried}: {said(error, name)}"
    return ""


def _rows_tried(widths: tuple[int, int], training: Training) -> int:
    return min(training.batch_size, max(_MOST_ROWS, 2 * sum(widths)))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """One message, and no features."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
