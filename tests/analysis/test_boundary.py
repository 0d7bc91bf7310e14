"""Boundaries of studies whose effect differs between widths, rows and heterogeneities."""

import re

import numpy as np
import pandas as pd
import pytest
from harmful_trials import harmful, study
from matplotlib.figure import Figure

import raysweep_analysis as analysis
from raysweep_analysis import figures
from raysweep_analysis.boundaries import lines_by
from raysweep_analysis.figures import style
from raysweep_analysis.report import find


@pytest.fixture(scope="module")
def two_widths() -> pd.DataFrame:
    """Crosses zero at U = 2 with width 12, at U = 6 with width 64."""
    return study(lambda u, width: 0.01 * ((2 if width == 12 else 6) - u))


@pytest.fixture(scope="module")
def hurts() -> pd.DataFrame:
    return study(harmful)


def words(figure: Figure) -> list[str]:
    return [t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text"))]


def test_lines_do_not_mix_what_differs(two_widths):
    assert sorted(lines_by(two_widths)) == ["D_phi", "n_train", "width_1"]
    table = analysis.boundary(two_widths, by=lines_by(two_widths))
    assert len(table) == 16
    for row in table.to_dict("records"):
        assert row["crosses"] == "within"
        assert row["boundary"] == pytest.approx(2 if row["width_1"] == 12 else 6, abs=0.5)
    pooled = analysis.boundary(two_widths)
    assert pooled["boundary"].to_numpy() == pytest.approx(4, abs=0.5)  # where neither crosses


def test_an_axis_that_is_the_characteristic_itself_makes_no_lines():
    t = study(harmful)
    narrow = t[(t["U"] == 0) & (t["D_phi"] == 1)]
    three = pd.concat(
        [
            narrow.assign(
                width_1=w, width_2=w, cell=narrow["cell"] + f"-{w}", key=narrow["key"] + str(w)
            )
            for w in (16, 32, 128)
        ]
    )
    assert lines_by(three, "width") == ["n_train"]


def test_an_effect_of_one_sign_has_no_crossing_and_nothing_is_shaded(hurts):
    table = analysis.boundary(hurts, by=lines_by(hurts))
    assert (table["crosses"] == "nowhere").all()
    assert (table["statement"] == "forcing hurts at every U from 0 to 8 (no crossing there)").all()
    assert (table["helps_side"] == "").all()
    figure = figures.boundary_figure(hurts, table)
    said = [text for text in words(figure) if "crossing within" in text]
    assert said == [f"heterogeneity {d}: no crossing within 0{style.DASH}8" for d in (1, 5)] * 8
    # neither a reversed set nor a dashed line at a crossing that is not there
    assert not [p for axis in figure.axes for p in axis.patches]
    assert not [
        line
        for axis in figure.axes
        for line in axis.lines
        if len(line.get_xdata()) == 2 and line.get_linestyle() == "--"
    ]


def test_shades_are_the_sets_within_the_range(two_widths):
    table = analysis.boundary(two_widths, by=lines_by(two_widths))
    figure = figures.boundary_figure(two_widths, table)
    drawn = [(p.get_x(), p.get_x() + p.get_width()) for a in figure.axes for p in a.patches]
    assert len(drawn) == 16
    expected = [tuple(v) for v in table[["low", "high"]].to_numpy()]
    assert sorted(drawn) == pytest.approx(np.array(sorted(expected)))


def test_every_line_is_drawn_in_short_words(two_widths):
    table = analysis.boundary(two_widths, by=lines_by(two_widths))
    figure = figures.boundary_figure(two_widths, table)
    axes = [axis for axis in figure.axes if axis.get_visible()]
    assert len(axes) == 8
    titles = {axis.get_title(loc="left") for axis in axes}
    assert titles == {f"width {w}, {n} rows" for w in (12, 64) for n in (512, 4096)}
    figure.draw_without_rendering()
    for axis in axes:
        left, right = (t.get_window_extent() for t in (axis.title, axis._right_title))
        left = axis._left_title.get_window_extent()
        assert left.x1 < right.x0


@pytest.mark.slow
def test_the_report_keeps_lines_apart_and_sums_them_up(hurts, two_widths):
    found = find(hurts[hurts["chosen_by"] != "performance"])
    assert len(found.boundaries) == 8
    said = "\n".join(found.answer.beyond)
    assert "forcing hurts at every U from 0 to 8 in 8" in said
    found = find(two_widths[two_widths["chosen_by"] != "performance"])
    said = "\n".join(found.answer.beyond)
    ends = re.search(r"changes sign in 8, at U = (\S+) \((.*?)\) to (\S+) \((.*?)\)[;.]", said)
    assert ends is not None
    assert [float(ends[i]) for i in (1, 3)] == pytest.approx([2, 6], abs=0.5)
    assert ("width 12" in ends[2], "width 64" in ends[4]) == (True, True)
    one = find(
        study(lambda u, _: 0.01 * (4 - u), criteria=("alignment",)).query(
            "D_phi == 1 and n_train == 512"
        )
    )
    assert any(
        "Simulated, width 12: forcing helps below U"
        in s.replace(" (strength that aligns most)", "")
        for s in one.answer.beyond
    )
