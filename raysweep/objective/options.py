"""The options of a loss: name, type, range and default in one place, checked on the way in."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raysweep.errors import InputError

OptionValue = bool | int | float | str


@dataclass(frozen=True)
class Option:
    """One setting of a loss.

    The type is the type of the default; a float option also takes an int.

    Attributes:
        name: As written in a study file.
        default: Used when the option is not given.
        meaning: What it does, with its unit.
        low: Smallest value allowed (numbers only).
        high: Largest value allowed (numbers only).
        choices: The values allowed (text only); empty for free text.
    """

    name: str
    default: OptionValue
    meaning: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """`bool`, `int`, `float` or `str`."""
        return type(self.default).__name__

    @property
    def allowed(self) -> str:
        """The allowed values in words, for messages and documentation."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if isinstance(self.default, bool):
            return "true or false"
        if isinstance(self.default, str):
            return "text"
        kind = "an integer" if isinstance(self.default, int) else "a number"
        if math.isfinite(self.low) and math.isfinite(self.high):
            return f"{kind} from {self.low:g} to {self.high:g}"
        return f"{kind} of at least {self.low:g}" if math.isfinite(self.low) else kind

    def checked(self, value: object, place: str) -> OptionValue:
        """Return the value in the option's type.

        Args:
            value: What the user gave.
            place: Names the loss, for the message.

        Raises:
            InputError: The type or the range is wrong.
        """
        accepted: OptionValue | None = None
        if isinstance(self.default, bool):
            accepted = value if isinstance(value, bool) else None
        elif isinstance(self.default, str):
            if isinstance(value, str) and (not self.choices or value in self.choices):
                accepted = value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            whole = isinstance(self.default, float) or float(value).is_integer()
            if whole and self.low <= value <= self.high and math.isfinite(value):
                accepted = float(value) if isinstance(self.default, float) else int(value)
        if accepted is None:
            raise InputError(
                f"{place}: option {self.name} is {value!r}; it must be {self.allowed}"
                f" (default {self.default!r})"
            )
        return accepted


def resolve(
    declared: Sequence[Option], given: Mapping[str, object], place: str
) -> dict[str, OptionValue]:
    """Every declared option with its value, given or default.

    Raises:
        InputError: An option is unknown, or its value is not allowed.
    """
    known = {option.name: option for option in declared}
    unknown = [name for name in given if name not in known]
    if unknown:
        raise InputError(
            f"{place}: no option named {', '.join(map(repr, unknown))}; "
            f"the options are {', '.join(known)}"
        )
    return {
        name: option.checked(given[name], place) if name in given else option.default
        for name, option in known.items()
    }
