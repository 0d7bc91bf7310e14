"""Parts of a study that may be malformed elsewhere, and options against what declares them."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from raysweep.cells import DEFAULT_WIDTH
from raysweep.errors import InputError
from raysweep.spec import ModelGrid
from raysweep.study_file import unknown_name
from raysweep.study_yaml import Fault, Location

P = TypeVar("P", bound=BaseModel)


def check_options(
    given: object,
    at: Location,
    what: str,
    names: Sequence[str],
    resolve_one: Callable[[Mapping[str, object]], object],
) -> list[Fault]:
    """Faults of options, each checked by itself.

    Args:
        given: name -> value as in the study file.
        at: the place of ``given``.
        what: what such a name is called, in messages.
        names: the known names.
        resolve_one: raises InputError for an option whose value is wrong.
    """
    if not isinstance(given, Mapping):
        return []
    faults = []
    for key, value in given.items():
        if key not in names:
            faults.append(Fault((*at, key), unknown_name(what, key, sorted(names))))
            continue
        try:
            resolve_one({key: value})
        except (InputError, OverflowError, TypeError) as error:
            faults.append(Fault((*at, key), str(error)))
    return faults


def widths_of(model: object) -> list[tuple[int, int]]:
    """Widths of the two encoders, for each shape of the model grid; none where it is faulty."""
    grid = part_of(ModelGrid, model)
    return [] if grid is None else grid.pairs("width", DEFAULT_WIDTH)


def part_of(kind: type[P], raw: object) -> P | None:
    """A part of the raw study without its unknown keys; None where it is faulty."""
    given = raw if isinstance(raw, Mapping) else {}
    try:
        return kind.model_validate({k: v for k, v in given.items() if k in kind.model_fields})
    except ValidationError:
        return None
