"""The quick look at a table finds every row that the slow one finds at fault."""

import itertools

import pyarrow as pa
import pytest

from raysweep.folder.causes import at_fault, columns
from raysweep.trials.table import suspicious

METRIC = "unbiased_cka"
VALUES = {
    "status": ("ok", "diverged"),
    "arm": ("none", "forced", "placebo"),
    "steps": (4, None),
    "unforced_steps": (0, 4, None),
    "undefined_validation": ("", None),
    "undefined_test": ("", "constant", None),
    "alignment_unbiased_cka_test": (0.5, None),
}


def rows():
    made = [
        dict(zip(VALUES, values, strict=True)) for values in itertools.product(*VALUES.values())
    ]
    return [{"key": str(k), **row} for k, row in enumerate(made)]


@pytest.mark.parametrize("lacking", [(), ("unforced_steps",), ("undefined_test", "steps")])
def test_no_row_at_fault_is_left_out(lacking):
    kept = [{k: v for k, v in row.items() if k not in lacking} for row in rows()]
    table = pa.Table.from_pylist(kept)
    assert set(columns(METRIC)) & set(table.column_names)
    found = {row["key"] for row in suspicious(table)}
    faulty = {row["key"] for row in kept if at_fault(row, METRIC)}
    assert faulty <= found
    assert len(found) < len(kept)
