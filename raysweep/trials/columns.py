"""The columns of the trial table: how their names are made, and what a name says.

Names that vary are made by `named` and taken apart by `column_of`: here, and nowhere else. What
columns there are is said in `raysweep.trials.column_entries`.
"""

import re
from dataclasses import replace
from functools import lru_cache
from typing import Any

from raysweep.trials.column import Column as Column
from raysweep.trials.column import Role as Role
from raysweep.trials.column import columns
from raysweep.trials.column_entries import COLUMNS as COLUMNS

SPLITS = ("validation", "test", "population")
MEASURED_SPLITS = ("validation", "test")
"""Those that are made of rows; of the population performance and loss alone are known."""
REQUIRED = ("key", "study", "cell", "draw", "seed", "strength", "arm", "stage", "status")
TIMING_COLUMNS = tuple(column.name for column in COLUMNS if column.role is Role.TIMING)


# Names that an analysis makes of columns, and what part files hold beside the table.
_FURTHER = (
    *columns(
        Role.OUTCOME,
        ("regret_<1|2|3|4|fused>_<split>", "float64", "0..1", "Bayes accuracy minus accuracy"),
    ),
    *columns(Role.CURVE, ("curve_<metric>", "list", "", "what was seen, epoch by epoch")),
)
_CHARACTERISTICS = (
    *("activation", "imbalance", "label_noise", "missing_1", "missing_2", "missing_3"),
    *("missing_4", "modality_1", "modality_2", "modality_3", "modality_4", "noise_1", "noise_2"),
    *("nuisance", "nuisance_bits", "overlap", "prior_tolerance", "private_bits", "synergy"),
    *("scale", "temperature", "transform", "transformed"),
)
_INFORMATION = [c.name for c in COLUMNS if c.role is Role.INFORMATION and "<" not in c.name]
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


_ALL = (*COLUMNS, *_FURTHER)
_FIXED = {
    column.name: replace(column, **_said(_OF_MODALITY.fullmatch(column.name)))
    for column in _ALL
    if "<" not in column.name
}
_VARYING = [
    replace(column, family=_PLACE.sub("", column.name).strip("_"))
    for column in _ALL
    if "<" in column.name
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
    """The column of that name; one that nothing describes is an outcome of unknown unit."""
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
        fields: what fills the places of the family's names, in their order. Without the split it
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


def is_own_metric(name: str) -> bool:
    """Whether only a user's own trial gives such a column: ``f1_test``, which nothing describes."""
    column = column_of(name)
    undescribed = column.role is Role.OUTCOME and not column.meaning
    return undescribed and column.split in MEASURED_SPLITS and name.isidentifier()


def beside(name: str, family: str) -> str:
    """The name of the column of another family that is about the same as a column."""
    return named(family, *(getattr(column_of(name), field) for field in _fields(family)))


CURVE_EPOCHS = named("curve", "epoch")
"""The epochs of all curves of a row, from 1."""
PERFORMANCE = named("performance", "fused", "test")
"""What is tested where nothing else is asked for."""
PERFORMANCE_2 = named("performance", 2, "test")
"""What is followed of encoders that never met: of the modality whose depth varies."""
