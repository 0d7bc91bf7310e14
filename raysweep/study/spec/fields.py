"""The values that a study file may hold, and how their faults are told."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    model_validator,
)

Scalar = int | float | str | bool
CONFIRM_SEEDS_FROM = 1000
MOST_SEEDS = 100_000
# Far beyond any study, and small enough for plans to be counted and clocks not to overflow.
MOST_EPOCHS = 1_000_000
MOST_BATCH = 100_000_000
MOST_PROPOSALS = 100_000
MOST_MEMBERS = 1_000_000
MOST_CELLS = 100_000
# What a column of 64-bit integers and every seeded generator takes.
LARGEST_SEED = 2**31 - 1
# The context of a validation that leaves clashes to the caller, who tells them all.
FIELDS_ONLY: Mapping[str, object] = {"clashes": "left to the caller"}


class Clash(ValueError):
    """Values that are valid each by itself but do not go together.

    Attributes:
        keys: the places that clash, relative to the part that is checked.
    """

    def __init__(self, message: str, *keys: tuple[str | int, ...]) -> None:
        super().__init__(message)
        self.keys = keys


class ItemFaults(ValueError):
    """Items of one value that are wrong, each by itself.

    Attributes:
        items: item's index -> what would be right, and what it is.
    """

    def __init__(self, items: Mapping[int, tuple[str, object]]) -> None:
        super().__init__("; ".join(message for message, _ in items.values()))
        self.items = items


def as_list(value: object) -> object:
    """A value that stands alone, as a list of one."""
    return value if isinstance(value, list | tuple) else [value]


def as_tuple(value: object) -> object:
    """A list as a tuple; anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values, each there once.

    Raises:
        ValueError: a value is there twice.
    """
    repeated = [str(value) for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise ValueError(f"values used twice: {', '.join(repeated)}; give each value once")
    return values


def count_to_seeds(value: object, first: int) -> object:
    """A count as ``first``, ``first + 1`` and so on; a list as a tuple.

    Raises:
        ValueError: neither a count nor a list.
    """
    if isinstance(value, list | tuple):
        return tuple(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_SEEDS:
        raise ValueError(f"give a count of 1 to {MOST_SEEDS}, or a list of whole numbers")
    return tuple(range(first, first + value))


def _option(value: Any) -> Any:
    if value is not None and not isinstance(value, Scalar):
        raise ValueError("expected a number, text, true or false")
    if isinstance(value, int | float) and not abs(value) < 2**63:
        raise ValueError("expected a finite number below 2**63")
    return value


def _layer(value: Any) -> Any:
    if value != "last" and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError("expected last, or the number of a hidden layer, from 1")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**63:
        raise ValueError("expected a finite number below 2**63")
    return value


# Strict, as a quoted number or a truth value in place of a number is a slip.
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]
Truth = Annotated[bool, Field(strict=True)]
Seed = Annotated[int, Field(strict=True, ge=0, le=LARGEST_SEED)]
OptionValue = Annotated[Any, AfterValidator(_option)]
# A whole number stays one, which a float field would turn into a float.
WholeOrNumber = Annotated[Any, AfterValidator(_number)]
Layer = Annotated[Any, AfterValidator(_layer)]
# One value or several, each once.
_LISTED = (BeforeValidator(as_list), Field(min_length=1), AfterValidator(distinct))
Names = Annotated[tuple[str, ...], *_LISTED]
Wholes = Annotated[tuple[Whole, ...], *_LISTED]
Positives = Annotated[tuple[Annotated[Number, Field(gt=0)], ...], *_LISTED]
NotNegatives = Annotated[tuple[Annotated[Number, Field(ge=0)], ...], *_LISTED]
Depths = Annotated[tuple[Annotated[Whole, Field(ge=1, le=64)], ...], *_LISTED]
Widths = Annotated[tuple[Annotated[Whole, Field(ge=1, le=65_536)], ...], *_LISTED]
# Seeds or draws: a list, or a count.
_Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(distinct)]
Seeds = Annotated[_Seeds, BeforeValidator(partial(count_to_seeds, first=0))]
FreshSeeds = Annotated[_Seeds, BeforeValidator(partial(count_to_seeds, first=CONFIRM_SEEDS_FROM))]
# The tags stand in brackets, so that messages leave them out of the place.
SearchDraws = Annotated[
    Annotated[FreshSeeds, Tag("[list]")] | Annotated[Literal["own", "confirmed"], Tag("[word]")],
    Discriminator(lambda value: "[word]" if isinstance(value, str) else "[list]"),
]


class Part(BaseModel):
    """Frozen, and an unknown key is an error.

    What must hold between fields is told by the two methods below, clash by clash, so that a reader
    of study files can tell all of them at once; everybody else gets the first as an error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def named_clashes(cls, given: Mapping[str, Any]) -> Iterator[Clash]:
        """Keys that do not go together, whatever their values; ``given`` may be malformed."""
        return iter(())

    def clashes(self) -> Iterator[Clash]:
        """Values of valid fields that do not go together."""
        return iter(())

    @model_validator(mode="after")
    def _goes_together(self, info: ValidationInfo) -> Self:
        if info.context is not FIELDS_ONLY:
            for clash in (*self.named_clashes(self.model_dump()), *self.clashes()):
                raise clash
        return self


def mapping_in(given: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A mapping of a malformed document; an empty one where there is something else."""
    found = given.get(key)
    return found if isinstance(found, Mapping) else {}


def listed(values: Iterable[object], most: int = 20) -> str:
    """Values in a row, for a message; at most so many of them."""
    words = [str(v) for v in values]
    rest = len(words) - most
    return ", ".join(words[:most]) + (f" and {rest} more" if rest > 0 else "")
