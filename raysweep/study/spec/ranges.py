"""The ranges and lists that searches look in."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from raysweep.study.spec.fields import (
    Clash,
    NotNegatives,
    Number,
    OptionValue,
    Part,
    Positives,
    WholeOrNumber,
)


def _upside_down(low: float, high: float, *keys: tuple[str, ...]) -> Iterator[Clash]:
    if low >= high:
        message = f"the range is upside down: low = {low:g} must be below high = {high:g}"
        yield Clash(message, *keys)


class LogRange(Part):
    """A range of positive numbers, searched on a log scale."""

    low: Number = Field(gt=0)
    high: Number = Field(gt=0)

    def clashes(self) -> Iterator[Clash]:
        """A range that is upside down."""
        yield from _upside_down(self.low, self.high, ("low",), ("high",))


class StrengthRange(LogRange):
    """The range in which the search looks; strength 0 is always run beside it."""

    low: Number = Field(0.01, gt=0)
    high: Number = Field(10.0, gt=0)
    scale: Literal["log", "linear"] = "log"


class OptionRange(Part):
    """The range of a numeric option of the loss that the search looks in.

    ``low`` and ``high`` are both whole numbers where the option takes whole numbers only.
    """

    # Not required, so that the rest of a study is checked where one is missing.
    low: WholeOrNumber = None
    high: WholeOrNumber = None
    scale: Literal["log", "linear"] = "linear"

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are proposed."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def clashes(self) -> Iterator[Clash]:
        """A range without two ends, upside down, or not above 0 on a log scale.

        They name the whole range: half of one means nothing.
        """
        if self.low is None or self.high is None:
            yield Clash("a range needs low and high", ())
            return
        yield from _upside_down(self.low, self.high, ())
        if self.scale == "log" and self.low <= 0:
            yield Clash(
                f"a log scale starts above 0, low is {self.low:g}; give a higher low, or "
                "scale: linear",
                (),
            )


def _list_or_range(value: object) -> str | None:
    if isinstance(value, list | tuple):
        return "[list]"
    return "[range]" if isinstance(value, dict | OptionRange) else None


# The tags stand in brackets, so that messages leave them out of the place.
SearchedOption = Annotated[
    Annotated[OptionRange, Tag("[range]")]
    | Annotated[tuple[OptionValue, ...], Field(min_length=1), Tag("[list]")],
    Discriminator(
        _list_or_range,
        custom_error_type="searched_option",
        custom_error_message="expected a list of values, or a range with low, high and scale",
    ),
]

_RATES = Discriminator(lambda value: "[range]" if isinstance(value, dict | LogRange) else "[list]")
_Range = Annotated[LogRange, Tag("[range]")]
Rates = Annotated[_Range | Annotated[Positives, Tag("[list]")], _RATES]
Decays = Annotated[_Range | Annotated[NotNegatives, Tag("[list]")], _RATES]
