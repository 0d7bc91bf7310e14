"""What is said to be missed against the measured table in the README of the benchmarks."""

from pathlib import Path

import pytest

from raysweep.data.missed import MEASURED, missed_at, missed_by_features

README = Path(__file__).parents[1] / "benchmarks" / "README.md"


def test_the_shares_are_those_of_the_measured_table():
    found = {}
    for line in README.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in ("shared", "apart", "exclusive or") and len(cells) == 7:
            exact, estimated = map(float, cells[5:])
            found[cells[0], int(cells[1]), int(cells[2])] = 1 - estimated / exact
    assert len(found) == 3 * len(MEASURED)
    for one in MEASURED:
        said = (one.shared, one.apart, one.exclusive_or)
        for kind, share in zip(("shared", "apart", "exclusive or"), said, strict=True):
            # The table's numbers have two digits.
            measured = max(found[kind, one.rows, one.features], 0.0)
            assert share == pytest.approx(measured, abs=0.03)


def test_between_them_it_is_between_and_beyond_them_at_least():
    assert missed_at(500, 4) == MEASURED[0]
    assert missed_at(1000, 50).apart == pytest.approx((0.35 + 0.12) / 2)
    assert missed_at(1000, 100).shared > missed_at(1000, 50).shared > missed_at(4000, 50).shared
    assert missed_at(100, 4).shared == missed_at(500, 4).shared
    assert "at least" in missed_at(100, 4).words
    assert "at least" in missed_by_features(499)
    assert "at least" not in missed_by_features(500) + missed_at(500, 200).words
