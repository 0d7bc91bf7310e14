"""A column of the trial table: what it is called, holds and is for."""

import re
from dataclasses import dataclass
from enum import StrEnum

from raysweep.trials.outcome_families import (
    ALL_FAMILIES,
    IN_LABEL_UNITS,
    IN_RANKS,
    LESS_IS_BETTER,
)


class Role(StrEnum):
    """What a column is for."""

    IDENTITY = "identity"  # which trial the row is, and why it was run
    CHARACTERISTIC = "characteristic"  # of the data
    INFORMATION = "information"  # what the modalities tell of the label
    INTERVAL = "interval"  # what estimated information may be as well
    SCALE = "scale"  # of the models
    SETTING = "setting"  # how a trial was trained, the same in all of a cell
    RATE = "rate"  # how a trial was trained, the same in all of a cell unless it was searched
    CHOICE = "choice"  # how a trial was trained, as a search may choose it
    COURSE = "course"  # how training went
    OUTCOME = "outcome"  # what was measured afterwards
    TIMING = "timing"  # differs from run to run, unlike everything else
    CURVE = "curve"  # what was seen, epoch by epoch

    @property
    def describes_cells(self) -> bool:
        """Whether such columns say what a cell is."""
        return self in (Role.CHARACTERISTIC, Role.INFORMATION, Role.SCALE, Role.SETTING)


@dataclass(frozen=True)
class Column:
    """A column of the trial table, or all those whose names fill the places of a name.

    Attributes:
        name: of a column, or with places such as ``<split>``.
        kind: a type of Arrow; columns of any other kind have the type of their values.
        unit: of the values, or what they may be.
        meaning: in a line; empty for a column that nothing describes.
        role: what it is for.
        family: what names of its kind begin with: ``alignment``, ``option``, ``width``.
        metric: what is measured; of a column that nothing describes its name without the split.
        split: on what it is measured.
        modality: ``1``, ``fused``, or ``1-2`` of a pair.
        option: name of an option.
    """

    name: str
    kind: str
    unit: str
    meaning: str
    role: Role
    family: str = ""
    metric: str = ""
    split: str = ""
    modality: str = ""
    option: str = ""

    @property
    def is_number(self) -> bool:
        """Whether it is an outcome with a mean over seeds, as far as its kind tells."""
        return self.role is Role.OUTCOME and self.kind not in ("string", "int64", "list")

    @property
    def better_is_less(self) -> bool:
        """Whether less of it is better: of losses, also of a user's own by their name."""
        less = self.family in ("loss", "regret", *LESS_IS_BETTER)
        return less or self._is_own("loss")

    @property
    def is_share(self) -> bool:
        """Whether a whole of it is 1: of accuracy, also of a user's own by its name."""
        shares = ("performance", "regret", *ALL_FAMILIES)
        whole = self.family in shares and self.family not in (*IN_LABEL_UNITS, *IN_RANKS)
        return whole or self._is_own("performance")

    def _is_own(self, kind: str) -> bool:
        """Whether it is a user's own metric, named as such a kind."""
        return not self.meaning and re.match(f"{kind}(_|$)", self.metric) is not None

    @property
    def stem(self) -> str:
        """Its name without the split."""
        return self.name.removesuffix(f"_{self.split}") if self.split else self.name

    def on(self, split: str) -> str:
        """The name of the same column of another split."""
        return f"{self.stem}_{split}"


def columns(role: Role, *rows: tuple[str, str, str, str]) -> list[Column]:
    """Columns of one role, from (name, kind, unit, meaning)."""
    return [Column(*row, role) for row in rows]
