"""The grids of a study: data characteristics and model scale."""

import itertools
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator, model_validator

from raysweep.spec.values import (
    Clash,
    Depths,
    Part,
    Scalar,
    Seed,
    Widths,
    as_tuple,
    checked_seeds,
    count_to_seeds,
    distinct,
)


class DataGrid(BaseModel):
    """One dataset and the grid over its characteristics.

    Every key besides ``dataset`` and ``draws`` is a characteristic of the dataset: one value, or a
    list of values that becomes an axis of the grid.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, BeforeValidator(as_tuple)]]

    dataset: str
    draws: tuple[Seed, ...] = (0,)

    @field_validator("draws", mode="before")
    @classmethod
    def _count_or_list(cls, value: object) -> object:
        return count_to_seeds(value, first=0)

    @field_validator("draws")
    @classmethod
    def _draws_distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return checked_seeds(value)

    @property
    def axes(self) -> dict[str, tuple[Scalar, ...]]:
        """Characteristic -> its values, in the order of the study file."""
        given = self.model_extra or {}
        return {name: v if isinstance(v, tuple) else (v,) for name, v in given.items()}


class ModelGrid(Part):
    """Encoders: depth counts hidden layers, width the units of each.

        ``depth`` and ``width`` set all modalities alike; where encoders are trained apart they give
    every pair of their values. ``depth_1``/``depth_2`` and ``width_1``/``width_2`` make separate
    axes, the second of modality 2 and every further one.
    """

    encoder: Literal["mlp"] = "mlp"
    depth: Depths | None = None
    depth_1: Depths | None = None
    depth_2: Depths | None = None
    width: Widths | None = None
    width_1: Widths | None = None
    width_2: Widths | None = None

    @field_validator("depth", "depth_1", "depth_2", "width", "width_1", "width_2")
    @classmethod
    def _values_distinct(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return value if value is None else distinct(value)

    @model_validator(mode="after")
    def _both_or_each(self) -> Self:
        for name in ("depth", "width"):
            both, one, two = (getattr(self, f"{name}{end}") for end in ("", "_1", "_2"))
            if both is not None and (one is not None or two is not None):
                keys = [(f"{name}{end}",) for end in ("_1", "_2", "")]
                raise Clash(f"give either {name} or {name}_1 and {name}_2, not both", *keys)
            if both is None and (one is None) != (two is None):
                raise Clash(
                    f"{name}_1 and {name}_2 go together; or give {name} for both",
                    (f"{name}_1",),
                    (f"{name}_2",),
                )
        return self

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
