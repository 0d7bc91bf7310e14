"""The grids of a study: data characteristics and model scale."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from raysweep.study.spec.fields import (
    Clash,
    Depths,
    Names,
    OptionValue,
    Part,
    Scalar,
    Seeds,
    Widths,
    as_tuple,
)

MLP = "mlp"
"""The encoder of a study that names none."""


class DataGrid(BaseModel):
    """One dataset and the grid over its characteristics.

    Every key besides ``dataset`` and ``draws`` is a characteristic of the dataset: one value, or a
    list of values that becomes an axis of the grid.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, BeforeValidator(as_tuple)]]

    dataset: str
    draws: Seeds = (0,)

    @property
    def axes(self) -> dict[str, tuple[Scalar, ...]]:
        """Characteristic -> its values, in the order of the study file."""
        given = self.model_extra or {}
        return {name: v if isinstance(v, tuple) else (v,) for name, v in given.items()}


class ModelGrid(Part):
    """Encoders: depth counts hidden layers or blocks, width the units of each.

    ``encoder`` is one of those that are built in, such as ``mlp``, or the dotted path of a user's
    own, or several of them; which of ``options`` are whose says `raysweep.study.encoders`.
    ``depth`` and ``width`` set all modalities alike; where encoders are trained apart they give
    every pair of their values. ``depth_1``/``depth_2`` and ``width_1``/``width_2`` make separate
    axes, the second of modality 2 and every further one.
    """

    encoder: Names = (MLP,)
    options: dict[str, OptionValue] = Field(default_factory=dict)
    depth: Depths | None = None
    depth_1: Depths | None = None
    depth_2: Depths | None = None
    width: Widths | None = None
    width_1: Widths | None = None
    width_2: Widths | None = None

    @classmethod
    def named_clashes(cls, given: Mapping[str, Any]) -> Iterator[Clash]:
        """Depth or width of both modalities beside that of one, or of one alone."""
        for name in ("depth", "width"):
            one, two = f"{name}_1", f"{name}_2"
            there = [key for key in (one, two, name) if given.get(key) is not None]
            if name in there and len(there) > 1:
                keys = [(key,) for key in there]
                yield Clash(f"give either {name} or {one} and {two}, not both", *keys)
            elif name not in there and len(there) == 1:
                together = f"{one} and {two} go together; or give {name} for both"
                yield Clash(together, (one,), (two,))

    def pairs(
        self, name: Literal["depth", "width"], default: int, crossed: bool = False
    ) -> list[tuple[int, int]]:
        """The (modality 1, modality 2) values of ``depth`` or ``width`` in the grid.

        Args:
            name: ``depth`` or ``width``.
            default: the value of both where the grid gives none.
            crossed: whether values for both modalities stand for all pairs of them, as where
                encoders are trained apart, instead of for equal ones.
        """
        one, two = getattr(self, f"{name}_1"), getattr(self, f"{name}_2")
        if one is not None and two is not None:
            return [(a, b) for a in one for b in two]
        both = getattr(self, name)
        values: tuple[int, ...] = both if both is not None else (default,)
        return list(itertools.product(values, values)) if crossed else [(v, v) for v in values]
