"""What a metric is: its function, its options and its properties."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from raysweep.plugins.options import Option, resolve


@dataclass(frozen=True)
class Metric:
    """An alignment metric.

    Attributes:
        name: its name in study files and columns.
        score: (xs, ys, orders, **options) -> [p, m, L1, L2] float64. xs and ys are lists of
            finite layers [m, n, d] float64 of any scale; orders [p, n] are orders of the rows of
            ys (the identity for a plain score, permutations for a null distribution).
        options: what it takes.
        range: smallest and largest value possible.
        higher_is_better: whether a larger value means more alignment.
        symmetric: whether exchanging the two sides leaves the value the same.
        invariances: transformations of either side that leave the value the same, with the
            default options: `rotation`
            (orthogonal), `scale` (one positive factor), `translation`, `row_scale` (a positive
            factor per row), `linear` (any invertible map).
        ideal: the value of perfect alignment, that of a representation with itself when there
            are no ties; None if there is no such value.
        ideal_from_self: whether a representation falls short of ``ideal`` with itself even without
            ties; a calibration then takes what the two sides reach with themselves for ideal.
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
    ideal_from_self: bool = False
    paired: bool = True
    equal_widths: bool = False
    undefined: str = "a side has no variation left"
    options: tuple[Option, ...] = ()

    @property
    def of_neighbours(self) -> bool:
        """Whether it looks at nearest neighbours, which may be tied."""
        return any(option.name == "topk" for option in self.options)

    @property
    def keeps_groups(self) -> bool:
        """Whether it takes groups of rows: as no neighbours of each other, or into one fold."""
        return self.of_neighbours or any(option.name == "folds" for option in self.options)

    def resolve(self, options: Mapping[str, object]) -> dict[str, object]:
        """Fills in defaults and checks every given option.

        Raises:
            InputError: unknown options, or values that are not allowed.
        """
        return dict(resolve(self.options, options, f"metric {self.name}"))
