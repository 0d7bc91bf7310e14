"""The parameters a dataset takes: their types, ranges and defaults, and the check against them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from numbers import Integral, Real

from raysweep.errors import InputError

Value = int | float | str | None


@dataclass(frozen=True)
class Parameter:
    """One parameter of a dataset.

    ``kind`` is int, float, choice or path; ``low`` and ``high`` are inclusive. A parameter that is
    not ``required`` and has no default may be None, and its meaning says what follows.
    """

    name: str
    kind: str
    meaning: str
    default: Value = None
    required: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""

    def expected(self) -> str:
        """The valid values, in words: for messages and documentation."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind == "path":
            return "the path of a file"
        noun = "an integer" if self.kind == "int" else "a number"
        if self.low is not None and self.high is not None:
            return f"{noun} in {self.low:g}..{self.high:g}"
        return f"{noun} >= {self.low:g}" if self.low is not None else noun

    def parse(self, value: object) -> Value:
        """``value`` as a plain int, float or str.

        Raises:
            InputError: wrong type, out of range or not among the choices; says only what would be
                right, the caller adds the place.
        """
        if value is None and self.default is None and not self.required:
            return None
        if self.kind in ("choice", "path"):
            text = str(value) if self.kind == "path" else value
            if isinstance(text, str) and (self.kind == "path" or text in self.choices):
                return text
            raise InputError(self.expected())
        accepted = Integral if self.kind == "int" else Real
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise InputError(self.expected())
        number = int(value) if isinstance(value, Integral) else float(value)
        below = self.low is not None and number < self.low
        above = self.high is not None and number > self.high
        if not isfinite(number) or below or above:
            raise InputError(self.expected())
        return number if self.kind == "int" else float(number)


def check_parameters(
    dataset: str, parameters: tuple[Parameter, ...], given: Mapping[str, object]
) -> dict[str, Value]:
    """Every parameter with its value: the given ones checked, the others at their defaults.

    Raises:
        InputError: lists every unknown, missing and invalid parameter at once.
    """
    known = {parameter.name for parameter in parameters}
    faults = [
        f"no parameter {name!r}, valid are {', '.join(sorted(known))}"
        for name in given
        if name not in known
    ]
    values: dict[str, Value] = {}
    for parameter in parameters:
        if parameter.name not in given:
            if parameter.required:
                faults.append(f"{parameter.name} is missing, expected {parameter.expected()}")
            values[parameter.name] = parameter.default
            continue
        value = given[parameter.name]
        try:
            values[parameter.name] = parameter.parse(value)
        except InputError as error:
            faults.append(f"{parameter.name} is {value!r}, expected {error}")
    if faults:
        raise InputError(f"dataset {dataset}: " + "; ".join(faults))
    return values


def split_sizes(train: int, validation: int, test: int) -> tuple[Parameter, ...]:
    """The three row counts, with these defaults."""
    return tuple(
        Parameter(name, "int", f"rows of the {name} split", default, low=8, unit="rows")
        for name, default in (("train", train), ("validation", validation), ("test", test))
    )
