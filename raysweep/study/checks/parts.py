"""Parts of a study that may be malformed elsewhere, and options against what declares them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from raysweep.errors import InputError
from raysweep.kinds.kind import kind_named
from raysweep.plugins.options import Option
from raysweep.study.cells import DEFAULT_DEPTH, DEFAULT_WIDTH
from raysweep.study.partial import read_partial
from raysweep.study.reader import unknown_name
from raysweep.study.spec import ModelGrid
from raysweep.study.yaml_lines import Fault, Location, shown


def check_options(
    given: object, at: Location, what: str, declared: Sequence[Option]
) -> list[Fault]:
    """Faults of options, each checked by itself.

    Args:
        given: name -> value as in the study file.
        at: the place of ``given``.
        what: what such a name is called, in messages.
        declared: the options there are.
    """
    if not isinstance(given, Mapping):
        return []
    known = {option.name: option for option in declared}
    faults = []
    for name, value in given.items():
        if name in known:
            faults += check_value(known[name], value, (*at, name))
        else:
            faults.append(Fault((*at, name), unknown_name(what, name, sorted(known))))
    return faults


def check_value(option: Option, value: object, at: Location) -> list[Fault]:
    """The fault of a value that the option does not take."""
    try:
        option.parse(value)
    except InputError as error:
        return [Fault(at, f"expected {error}, found {shown(value)}")]
    return []


def pairs_of(raw: Mapping[str, Any], name: Literal["depth", "width"]) -> list[tuple[int, int]]:
    """Depths or widths of the two encoders, for each shape of the grid; none where faulty."""
    names = (name, f"{name}_1", f"{name}_2")
    found = read_partial(ModelGrid, raw.get("model"))
    given = raw["model"] if isinstance(raw.get("model"), Mapping) else {}
    clashing = {key for clash in ModelGrid.named_clashes(given) for key, *_ in clash.keys}
    if found.part is None or clashing & set(names) or any(map(found.lost, names)):
        return []
    default = DEFAULT_DEPTH if name == "depth" else DEFAULT_WIDTH
    return found.part.pairs(name, default, crossed=kind_named(raw.get("kind")).study.every_pair)
