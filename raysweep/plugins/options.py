"""Options by name: what a dataset, a metric or a loss takes, and the check against it."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from raysweep.errors import InputError

Value = bool | int | float | str | None


@dataclass(frozen=True)
class Option:
    """One option: its type, range and default in one place.

    Attributes:
        name: as written in a study file.
        default: used when the option is not given; None for a required one.
        meaning: what it does, in a line.
        low: smallest number allowed.
        high: largest number allowed.
        kind: `bool`, `int`, `float` (which takes whole numbers, too), `choice`, `text` or `path`;
            by default that of the default.
        choices: the texts allowed; empty for any.
        required: whether it must be given.
        optional: whether None is allowed; its meaning says what follows.
        unit: of a number.
    """

    name: str
    default: Any
    meaning: str
    low: float = -math.inf
    high: float = math.inf
    kind: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False
    optional: bool = False
    unit: str = ""

    def __post_init__(self) -> None:
        if not self.kind:
            kind = "choice" if self.choices else type(self.default).__name__
            object.__setattr__(self, "kind", "text" if kind == "str" else kind)

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers."""
        return self.kind in ("int", "float")

    @property
    def expected(self) -> str:
        """The valid values, in words: for messages and documentation."""
        if self.numeric:
            words = "an integer" if self.kind == "int" else "a number"
            if math.isfinite(self.low) and math.isfinite(self.high):
                words += f" in {self.low:g}..{self.high:g}"
            elif math.isfinite(self.low):
                words += f" >= {self.low:g}"
        elif self.kind == "choice":
            words = "one of " + ", ".join(self.choices)
        else:
            words = {"bool": "true or false", "path": "the path of a file or folder"}.get(
                self.kind, "text"
            )
        return words + (" or none" if self.optional and self.default is not None else "")

    def parse(self, value: object) -> Value:
        """The value as a plain bool, int, float or str.

        Raises:
            InputError: wrong type, out of range or not among the choices; says only what would be
                right, the caller adds the place.
        """
        if value is None and self.optional:
            return None
        if self.kind == "bool" and isinstance(value, bool):
            return value
        if isinstance(value, str) and (value in self.choices or self.kind in ("text", "path")):
            return value
        if self.numeric and isinstance(value, Real) and not isinstance(value, bool):
            return self._number(value)
        raise InputError(self.expected)

    def _number(self, value: Any) -> int | float:
        whole = isinstance(value, Integral)
        if whole or self.kind == "float":
            with contextlib.suppress(OverflowError):  # an integer beyond all floats
                number = int(value) if whole else float(value)
                if self.low <= number <= self.high and math.isfinite(number):
                    return number if self.kind == "int" else float(number)
        raise InputError(self.expected)


def resolve(
    declared: Sequence[Option], given: Mapping[str, object], place: str, noun: str = "option"
) -> dict[str, Value]:
    """Every declared option with its value: the given ones checked, the others at their defaults.

    Args:
        declared: the options there are.
        given: name -> value.
        place: what takes them, for messages, such as ``loss infonce``.
        noun: what they are called there.

    Raises:
        InputError: lists every unknown, missing and invalid option at once.
    """
    known = {option.name for option in declared}
    valid = ", ".join(option.name for option in declared) or "none"
    faults = [f"no {noun} {name!r}, valid are {valid}" for name in given if name not in known]
    values: dict[str, Value] = {}
    for option in declared:
        if option.name not in given:
            if option.required:
                faults.append(f"{option.name} is missing, expected {option.expected}")
            values[option.name] = option.default
            continue
        try:
            values[option.name] = option.parse(given[option.name])
        except InputError as error:
            faults.append(f"{option.name} is {given[option.name]!r}, expected {error}")
    if faults:
        raise InputError(f"{place}: " + "; ".join(faults))
    return values
