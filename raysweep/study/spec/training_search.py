"""The search of how to train: rates, epochs and the fused head."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from raysweep.study.spec.fields import (
    MOST_EPOCHS,
    MOST_PROPOSALS,
    Part,
    Whole,
    as_list,
    distinct,
)
from raysweep.study.spec.ranges import Decays, LogRange, Rates

_EachOnce = (BeforeValidator(as_list), Field(min_length=1), AfterValidator(distinct))
Epochs = Annotated[tuple[Annotated[Whole, Field(ge=1, le=MOST_EPOCHS)], ...], *_EachOnce]
Fusions = Annotated[tuple[Literal["probe", "joint"], ...], *_EachOnce]
Heads = Annotated[
    Fusions, PlainSerializer(lambda heads: heads[0] if len(heads) == 1 else list(heads))
]
"""Fused heads of a grid; one alone is written as a word, in keys of results, too."""


class TrainingSearch(Part):
    """The search of how to train, for arm none by itself and for forced with its strength.

    Each is a list of choices, rates may be a range. None searches over ``search.trials`` and
    ``trials`` proposals, or all combinations where these are fewer. Forced searches strength and
    training together over ``trials`` proposals, the best of which is tried for none, too; then the
    strength alone over ``search.trials``, at what is best for none. ``epochs`` are by default those
    of `Training`; where that has several fused heads each cell searches with its own.
    """

    learning_rate: Rates = (1e-3, 3e-3, 1e-2)
    weight_decay: Decays = (1e-2, 1e-1)
    epochs: Epochs | None = None
    fusion: Fusions = ("probe", "joint")
    trials: Whole = Field(12, ge=1, le=MOST_PROPOSALS)

    @property
    def space(self) -> Mapping[str, LogRange | tuple[Any, ...]]:
        """Setting -> its range or choices, by name."""
        given = {name: getattr(self, name) for name in sorted(SETTINGS)}
        return {name: values for name, values in given.items() if values is not None}

    @property
    def combinations(self) -> int | None:
        """How many there are; None where there is a range."""
        counts = [None if isinstance(v, LogRange) else len(v) for v in self.space.values()]
        known = [count for count in counts if count is not None]
        return math.prod(known) if len(known) == len(counts) else None


SETTINGS = ("learning_rate", "weight_decay", "epochs", "fusion")
"""What is searched of the training."""
