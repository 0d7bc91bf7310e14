"""What a metric is: its function, its options and its properties."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real

from torch import Tensor

from raysweep.errors import InputError


@dataclass(frozen=True)
class Option:
    """One option of a metric: its default and what values it may take.

    Attributes:
        default: the value when none is given.
        meaning: one line for help texts.
        choices: the allowed texts, for an option that is a text.
        low: smallest allowed number (included), for an option that is a number.
        high: largest allowed number (included).
        integer: whether only whole numbers are allowed.
        optional: whether None is allowed.
    """

    default: object
    meaning: str
    choices: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    integer: bool = False
    optional: bool = False

    def check(self, place: str, value: object) -> object:
        """Returns `value` if allowed; otherwise raises InputError naming `place`."""
        if value is None and self.optional:
            return None
        if isinstance(self.default, bool):
            valid, expected = isinstance(value, bool), "true or false"
        elif self.choices:
            valid, expected = value in self.choices, " or ".join(self.choices)
        else:
            kind = Integral if self.integer else Real
            valid = isinstance(value, kind) and not isinstance(value, bool)
            valid = valid and bool(self.low <= value <= self.high)  # type: ignore[operator]
            expected = f"{'a whole number' if self.integer else 'a number'}"
            expected += f" from {self.low:g} to {self.high:g}" + (" or none" * self.optional)
        if not valid:
            raise InputError(f"{place}: expected {expected}, got {value!r}")
        return value


@dataclass(frozen=True)
class Metric:
    """An alignment metric.

    Attributes:
        name: its name in study files and columns.
        score: (xs, ys, orders, **options) -> [p, m, L1, L2] float64. xs and ys are lists of
            finite layers [m, n, d]; orders [p, n] are orders of the rows of ys (the identity for
            a plain score, permutations for a null distribution).
        options: name -> Option.
        range: smallest and largest value possible.
        higher_is_better: whether a larger value means more alignment.
        symmetric: whether exchanging the two sides leaves the value the same.
        invariances: transformations of either side that leave the value the same, with the
            default options: `rotation`
            (orthogonal), `scale` (one positive factor), `translation`, `row_scale` (a positive
            factor per row), `linear` (any invertible map).
        ideal: the value of perfect alignment, that of a representation with itself when there
            are no ties; None if there is no such value.
        paired: whether the value depends on which rows belong together; if not, permuting rows
            tells nothing.
        equal_widths: whether both sides must have the same number of features.
        undefined: why the value can be NaN for finite features that are not constant.
        cost: leading cost of one pair of layers.
        source: where the definition comes from.
        summary: one line.
    """

    name: str
    score: Callable[..., Tensor]
    summary: str
    source: str
    cost: str
    range: tuple[float, float] = (0.0, 1.0)
    higher_is_better: bool = True
    symmetric: bool = True
    invariances: frozenset[str] = frozenset()
    ideal: float | None = 1.0
    paired: bool = True
    equal_widths: bool = False
    undefined: str = "a side has no variation left"
    options: Mapping[str, Option] = field(default_factory=dict)

    def resolve(self, options: Mapping[str, object]) -> dict[str, object]:
        """Fills in defaults and checks every given option.

        Raises:
            InputError: an unknown option, or a value out of range.
        """
        unknown = sorted(set(options) - set(self.options))
        if unknown:
            known = ", ".join(self.options) or "none"
            raise InputError(f"metric {self.name}: unknown option {unknown[0]!r}; it has: {known}")
        return {
            name: option.check(f"metric {self.name}: {name}", options.get(name, option.default))
            for name, option in self.options.items()
        }
