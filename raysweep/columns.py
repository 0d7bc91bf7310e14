"""The columns of the trial table: how their names are made, and what a name says.

Names that vary are made by `named` and taken apart by `column_of`: here, and nowhere else. What
columns there are is said in `raysweep.column_entries`.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from raysweep.column_entries import COLUMNS as COLUMNS
from raysweep.column_entries import Entry, entries
from raysweep.column_entries import Role as Role

SPLITS = ("validation", "test", "population")
MEASURED_SPLITS = ("validation", "test")
"""Those that are made of rows; of the population performance and loss alone are known."""
REQUIRED = ("key", "study", "cell", "draw", "seed", "strength", "arm", "stage", "status")
TIMING_COLUMNS = tuple(entry.name for entry in COLUMNS if entry.role is Role.TIMING)


@dataclass(frozen=True)
class Column(Entry):
    """A column by its own name, with what the name says.

    Attributes:
        family: what names of its kind begin with: ``alignment``, ``option``, ``width``.
        metric: what is measured; of a column that no entry describes its name without the split.
        split: on what it is measured.
        modality: ``1``, ``fused``, or ``1-2`` of a pair.
        option: name of an option.
    """

    family: str = ""
    metric: str = ""
    split: str = ""
    modality: str = ""
    option: str = ""

    @property
    def is_number(self) -> bool:
        """Whether it is an outcome with a mean over seeds, as far as its kind tells."""
        return self.role is Role.OUTCOME and self.kind not in ("string", "int64")

    @property
    def stem(self) -> str:
        """Its name without the split."""
        return self.name.removesuffix(f"_{self.split}") if self.split else self.name

    def on(self, split: str) -> str:
        """The name of the same column of another split."""
        return f"{self.stem}_{split}"

    def beside(self, family: str) -> str:
        """The name of the column of another family that is about the same."""
        return named(family, *(getattr(self, field) for field in _fields(family)))


# Names that an analysis makes of columns, and what part files hold beside the table.
_FURTHER = (
    *entries(
        Role.OUTCOME,
        ("regret_<1|2|3|4|fused>_<split>", "float64", "0..1", "Bayes accuracy minus accuracy"),
    ),
    *entries(Role.CURVE, ("curve_<metric>", "list", "", "what was seen, epoch by epoch")),
)
_CHARACTERISTICS = (
    *("activation", "imbalance", "label_noise", "missing_1", "missing_2", "noise_1", "noise_2"),
    *("nuisance", "nuisance_bits", "overlap", "prior_tolerance", "private_bits", "synergy"),
    *("temperature", "transform", "transformed"),
)
_INFORMATION = [e.name for e in COLUMNS if e.role is Role.INFORMATION and "<" not in e.name]
# What may stand in the places of a name; a name without its split is the stem of several.
_PLACES = {
    "_<split>": f"(?:_(?P<split>{'|'.join(SPLITS)}))?",
    "<metric>": "(?P<metric>.+?)",
    "<name>": "(?P<option>.+)",
    "<a>-<b>": r"(?P<modality>\d-\d)",
    **{f"<{some}>": f"(?P<modality>{some})" for some in ("1|2", "1|2|3|4", "1|2|3|4|fused")},
    "<information>": f"(?P<metric>{'|'.join(_INFORMATION)})",
    "<characteristic>": "|".join(_CHARACTERISTICS),
}
_PLACE = re.compile("|".join(map(re.escape, _PLACES)))
_OF_MODALITY = re.compile(r"(?P<family>\w+)_(?P<modality>[1-4]|fused)")
# What tables of others say of the machine.
_OF_MACHINE = ("_seconds", "_s", "_gib", "_bytes")


def _said(found: re.Match[str] | None) -> dict[str, Any]:
    return found.groupdict(default="") if found else {}


_FIXED = {
    entry.name: Column(**vars(entry), **_said(_OF_MODALITY.fullmatch(entry.name)))
    for entry in COLUMNS
    if "<" not in entry.name
}
_VARYING = [
    Column(**vars(entry), family=_PLACE.sub("", entry.name).strip("_"))
    for entry in (*COLUMNS, *_FURTHER)
    if "<" in entry.name
]
_PATTERNS = {
    # The longer of two that fit comes first: chance_p before chance.
    family.family: (
        re.compile(_PLACE.sub(lambda at: _PLACES[at[0]], family.name), re.DOTALL),
        family,
    )
    for family in sorted(_VARYING, key=lambda family: -len(family.family))
}


@lru_cache(maxsize=10_000)
def column_of(name: str) -> Column:
    """The column of that name; one that no entry describes is an outcome of unknown unit."""
    if name in _FIXED:
        return _FIXED[name]
    for pattern, family in _PATTERNS.values():
        found = pattern.fullmatch(name)
        if found:
            return replace(family, name=name, **_said(found))
    role = Role.TIMING if name.endswith(_OF_MACHINE) else Role.OUTCOME
    split = next((split for split in SPLITS if name.endswith(f"_{split}")), "")
    column = Column(name, "as measured", "", "", role, split=split)
    return replace(column, metric=column.stem)


@lru_cache(maxsize=10_000)
def named(family: str, *fields: object) -> str:
    """The name of a column: `performance_1_test` of ``named("performance", 1, "test")``.

    Args:
        family: what such names begin with; ``estimated`` what they end with.
        fields: what fills the places of the family's entry, in their order. Without the split it
            is the stem of several names.

    Raises:
        ValueError: there is no such column.
    """
    values = [str(field) for field in fields]
    left = iter(values)

    def filled(place: re.Match[str]) -> str:
        value = next(left, "")
        return f"_{value}" if value and place[0].startswith("_") else value

    template = _PATTERNS[family][1].name if family in _PATTERNS else f"{family}_<1|2|3|4|fused>"
    column = column_of(_PLACE.sub(filled, template))
    found = [getattr(column, field) for field in _fields(family)]
    if column.family != family or found[: len(values)] != values:
        raise ValueError(f"no column of {family} is named by {', '.join(values) or 'nothing'}")
    return column.name


@lru_cache
def _fields(family: str) -> tuple[str, ...]:
    """The fields that fill the places of a family's names."""
    return tuple(_PATTERNS[family][0].groupindex) if family in _PATTERNS else ("modality",)


CURVE_EPOCHS = named("curve", "epoch")
"""The epochs of all curves of a row, from 1."""
PERFORMANCE = named("performance", "fused", "test")
"""What is tested where nothing else is asked for."""
PERFORMANCE_2 = named("performance", 2, "test")
"""What is followed of encoders that never met: of the modality whose depth varies."""
