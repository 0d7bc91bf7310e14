"""Validates a model as far as it holds, so that one fault hides none of the others.

What is faulty is taken out, of a list item by item, and the rest is validated again, until it
holds. Clashes come last and all at once, so that none hides another; those with a value that was
taken out are no news. Clashes of names alone are told whatever the values are.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from raysweep.study.spec import FIELDS_ONLY, Clash, ItemFaults, Part
from raysweep.study.yaml_lines import Location

M = TypeVar("M", bound=BaseModel)

_MOST_ROUNDS = 10
_TAGS = ("[list]", "[range]")
"""What pydantic puts into a place for the kind that a value of a union has."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        places: the places that it is about, most telling first; relative to what was validated.
        detail: as pydantic tells it: ``type``, ``msg``, ``input`` and, if need be, ``ctx``.
    """

    places: tuple[Location, ...]
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class Partial(Generic[M]):
    """What is left of a malformed value.

    Attributes:
        part: the model, with defaults where something was taken out; None where that leaves none.
        value: what ``part`` was made from.
        findings: what is wrong.
        removed: the places that were taken out.
    """

    part: M | None
    value: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)
    removed: list[Location] = field(default_factory=list)

    def lost(self, *place: str | int) -> bool:
        """Whether something at, in or around the place was taken out."""
        return self.part is None or _touches(self.removed, place)


def read_partial(
    model: type[M], raw: object, stand_ins: Mapping[Location, Any] | None = None
) -> Partial[M]:
    """Validate a raw value, taking out what is faulty.

    Args:
        model: the kind of part that it should be.
        raw: a mapping, malformed or not; it is not changed. None stands for an empty one.
        stand_ins: place -> what is put where a required value is faulty.
    """
    found: Partial[M] = Partial(None, copy.deepcopy(dict(raw)) if isinstance(raw, Mapping) else {})
    if raw is not None and not isinstance(raw, Mapping):
        found.removed.append(())
    for _ in range(_MOST_ROUNDS):
        try:
            part = model.model_validate(found.value, context=FIELDS_ONLY)
        except ValidationError as error:
            _take_out(found, error, stand_ins or {})
            continue
        for at, clash, by_name in _clashes(part, raw):
            places = tuple((*at, *key) for key in clash.keys)
            if by_name or not any(_touches(found.removed, place) for place in places):
                found.findings.append(Finding(places, _told(str(clash), part)))
        return Partial(part, found.value, found.findings, found.removed)
    return found


def _take_out(
    found: Partial[Any], error: ValidationError, stand_ins: Mapping[Location, Any]
) -> None:
    """Take what the error names out of the value, and note it where it is news."""
    faulty: list[Location] = []
    for detail in error.errors(include_url=False):
        for finding in _findings(detail):
            faulty += finding.places
            if not any(_touches(found.removed, place) for place in finding.places):
                found.findings.append(finding)
            if detail["type"] == "missing" and not _stands_in(finding.places[0], stand_ins):
                faulty.append(finding.places[0][:-1])  # what lacks a key cannot be kept
    for place in faulty:
        _mark(found.value, place)
    for place in dict.fromkeys(_holder(found.value, place) for place in faulty if place):
        if not _thin_out(found.value, place):
            found.removed.append(place)
            _remove(found.value, place, stand_ins)


def _findings(detail: Any) -> Iterator[Finding]:
    """What one error of pydantic says: of items, each by itself."""
    # An unknown key comes last and may be called anything.
    end = len(detail["loc"]) - (detail["type"] == "extra_forbidden")
    at = tuple(p for n, p in enumerate(detail["loc"]) if n >= end or p not in _TAGS)
    error = detail.get("ctx", {}).get("error")
    if isinstance(error, ItemFaults):
        for index, (message, value) in error.items.items():
            yield Finding(((*at, index),), _told(message, value))
    elif isinstance(error, Clash):
        yield Finding(tuple((*at, *key) for key in error.keys), detail)
    else:
        yield Finding((at,), detail)


def _told(message: str, value: object) -> dict[str, Any]:
    return {"type": "value_error", "msg": message, "input": value}


def _clashes(
    part: BaseModel, raw: object, at: Location = ()
) -> Iterator[tuple[Location, Clash, bool]]:
    """All clashes of a part and the parts in it: where the part is, and whether names clash."""
    given = raw if isinstance(raw, Mapping) else {}
    if isinstance(part, Part):
        for clash in part.named_clashes(given):
            yield at, clash, True
        for clash in part.clashes():
            yield at, clash, False
    for name in type(part).model_fields:
        value, inside = getattr(part, name), given.get(name)
        inner: dict[Location, Any] = {(name,): value}
        if isinstance(value, dict):
            inner = {(name, key): item for key, item in value.items()}
            inside = None
        for place, item in inner.items():
            if isinstance(item, Part):
                yield from _clashes(item, inside, (*at, *place))


def _touches(removed: Sequence[Location], place: Location) -> bool:
    return any(gone[: len(place)] == place or place[: len(gone)] == gone for gone in removed)


class _Faulty:
    """Stands where a faulty item of a list was, so that the others keep their places."""


def _mark(value: Any, place: Location) -> None:
    """Mark a faulty item of a list of plain values."""
    items = _at(value, place[:-1])
    if isinstance(items, list) and isinstance(place[-1], int) and place[:-1] != ("data",):
        items[place[-1]] = _Faulty


def _thin_out(value: Any, place: Location) -> bool:
    """Take faulty or repeated items out of a list; False where that leaves nothing, or all."""
    items = _at(value, place)
    if place == ("data",) or not isinstance(items, list):
        return False
    good = [item for item in items if item is not _Faulty]
    if len(good) == len(items):
        good = [item for i, item in enumerate(items) if item not in items[:i]]
    if not good or len(good) == len(items):
        return False
    items[:] = good
    return True


def _at(value: Any, place: Location) -> Any:
    """What is at a place; None where there is nothing."""
    for step in place:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _holder(value: Any, place: Location) -> Location:
    """The place of the list that an item is in; blocks of data are no mere items."""
    while isinstance(place[-1], int):
        if place[:-1] == ("data",) and isinstance(_at(value, ("data",)), list):
            break
        place = place[:-1]
    return place


def _stands_in(place: Location, stand_ins: Mapping[Location, Any]) -> Location | None:
    """The place of ``stand_ins`` that a place answers to; in a list any item, as 0."""
    general = tuple(0 if isinstance(step, int) else step for step in place)
    return general if general in stand_ins else None


def _remove(value: Any, place: Location, stand_ins: Mapping[Location, Any]) -> None:
    """Take a faulty value out, or put its stand-in there."""
    target: Any = value
    for step in place[:-1]:
        if isinstance(step, int) and isinstance(target, dict):
            continue  # the one value that stands for a list
        try:
            target = target[step]
        except (KeyError, IndexError, TypeError):
            return  # gone with what held it
    key: Any = place[-1]
    known = _stands_in(place, stand_ins)
    if known is not None and isinstance(target, dict | list):
        target[key] = copy.deepcopy(stand_ins[known])
    elif isinstance(target, dict):
        target.pop(key, None)
