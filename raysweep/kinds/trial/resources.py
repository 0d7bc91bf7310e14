"""What trials of one's own need, also where cells differ in that."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, field_validator

from raysweep.study.spec.fields import Clash, Number, Part, Scalar, listed

GIGABYTE = 10**9
_BUILT_IN = ("cpu", "gpu", "memory")


def _named(value: object) -> object:
    """A mapping with its keys as texts, as YAML has them."""
    return {_word(key): of for key, of in value.items()} if isinstance(value, dict) else value


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Needs(Part):
    """What a trial needs; None what is not said. Memory in GB."""

    cpus_per_trial: Number | None = Field(None, gt=0)
    gpus_per_trial: Number | None = Field(None, ge=0)
    custom: dict[str, Annotated[Number, Field(gt=0)]] = Field(default_factory=dict)
    memory: Number | None = Field(None, gt=0)

    @field_validator("custom")
    @classmethod
    def _not_built_in(cls, value: dict[str, float]) -> dict[str, float]:
        known = [name for name in value if name.lower() in _BUILT_IN]
        if known:
            raise ValueError(
                f"{listed(known)} is no custom resource; give cpus_per_trial, gpus_per_trial or "
                "memory"
            )
        return value

    @field_validator("gpus_per_trial")
    @classmethod
    def _share_or_whole(cls, value: float | None) -> float | None:
        if value is not None and value > 1 and value != int(value):
            raise ValueError("expected a share of one GPU, or a whole number of GPUs")
        return value

    @property
    def said(self) -> dict[str, float]:
        """What is said, by name; of ``custom`` each by itself."""
        plain = {name: getattr(self, name) for name in ("cpus_per_trial", "gpus_per_trial")}
        named = {f"custom.{name}": amount for name, amount in self.custom.items()}
        every = {**plain, "memory": self.memory, **named}
        return {name: amount for name, amount in every.items() if amount is not None}


ByValue = Annotated[dict[str, Needs], BeforeValidator(_named)]


class TrialResources(Needs):
    """What one trial needs, and what those of some cells need instead.

    ``by``: axis -> its value -> what trials with that value need instead of what is said above.
    """

    cpus_per_trial: Number = Field(1.0, gt=0)
    gpus_per_trial: Number = Field(0.0, ge=0)
    by: dict[str, ByValue] = Field(default_factory=dict)

    members_per_pack: ClassVar[int] = 1
    cells_per_pack: ClassVar[int] = 1
    memory_per_pack: ClassVar[float] = math.inf

    @property
    def cpus_per_pack(self) -> float:
        """A pack is one trial."""
        return self.cpus_per_trial

    @property
    def gpus_per_pack(self) -> float:
        """A pack is one trial."""
        return self.gpus_per_trial

    def needs(self) -> dict[str, float]:
        """See `Resources.needs`."""
        memory = {} if self.memory is None else {"memory": self.memory * GIGABYTE}
        return {"CPU": self.cpus_per_trial, "GPU": self.gpus_per_trial, **self.custom, **memory}

    @property
    def placed_by(self) -> tuple[str, ...]:
        """See `Resources.placed_by`."""
        beside = (*(["custom"] if self.custom else []), *(["memory"] if self.memory else []))
        return ("cpus_per_trial", "gpus_per_trial", *beside)

    def of(self, axes: Mapping[str, Any]) -> "TrialResources":
        """See `Resources.of`."""
        found = self.model_dump(exclude={"by"})
        for axis, by_value in self.by.items():
            for word, needs in by_value.items():
                if axis in axes and _means(word, axes[axis]):
                    custom = {**found["custom"], **needs.custom}
                    found |= {**needs.model_dump(exclude_none=True), "custom": custom}
        return TrialResources.model_validate(found)

    def over(self, grid: Mapping[str, tuple[Scalar, ...]]) -> "list[TrialNeeds]":
        """All that trials of a grid need, each once, with the cells that need it."""
        axes = [name for name in self.by if name in grid]
        found: list[TrialNeeds] = []
        for values in itertools.product(*(grid[name] for name in axes)):
            of_cell = dict(zip(axes, values, strict=True))
            needs = self.of(of_cell)
            cells = " ".join(f"{name}={_word(value)}" for name, value in of_cell.items())
            known = next((one for one in found if one.needs == needs), None)
            if known is None:
                found.append(TrialNeeds(needs, [cells]))
            else:
                known.cells.append(cells)
        return found

    def grid_clashes(self, grid: Mapping[str, tuple[Scalar, ...]]) -> Iterator[Clash]:
        """Axes and values that the grid does not have; two axes that say the same of one cell."""
        for axis, by_value in self.by.items():
            if axis not in grid:
                there = listed(grid) or "none"
                yield Clash(f"{axis} is no axis of grid (axes: {there})", ("by", axis))
                continue
            for word in by_value:
                if not any(_means(word, value) for value in grid[axis]):
                    there = listed(map(_word, grid[axis]))
                    message = f"{word} is no value of axis {axis} (values: {there})"
                    yield Clash(message, ("by", axis, word))
        for one, other in itertools.combinations(self.by, 2):
            both = [
                (first, second, name)
                for first, needs in self.by[one].items()
                for second, others in self.by[other].items()
                for name in needs.said
                if name in others.said and needs.said[name] != others.said[name]
            ]
            for first, second, name in both[:1]:
                yield Clash(
                    f"{one}={first} and {other}={second} both say {name}, for a cell that has "
                    "both; say it by one of the two axes",
                    ("by", one, first),
                    ("by", other, second),
                )

    def in_words(self) -> str:
        """What a trial needs, for people: ``4 CPU, 1 GPU, 64 GB``."""
        amounts = [f"{self.cpus_per_trial:g} CPU"]
        amounts += [f"{self.gpus_per_trial:g} GPU"] if self.gpus_per_trial else []
        amounts += [f"{amount:g} {name}" for name, amount in sorted(self.custom.items())]
        amounts += [f"{self.memory:g} GB"] if self.memory is not None else []
        return ", ".join(amounts)


@dataclass(frozen=True)
class TrialNeeds:
    """What trials of some cells need.

    Attributes:
        needs: what one trial needs.
        cells: the values of the axes that this hangs on, such as ``width=512``.
    """

    needs: TrialResources
    cells: list[str]

    def __str__(self) -> str:
        return f"{' or '.join(filter(None, self.cells))}: {self.needs.in_words()}".lstrip(": ")


def _means(word: str, value: Any) -> bool:
    """Whether a key of a mapping is a value of an axis: ``512``, ``1e-3``, ``true``, ``war``."""
    if word == _word(value):
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return float(word) == value
    except ValueError:
        return False
