"""The map of known cells, against cells whose place on it is known."""

import pytest

from raysweep.advice.information import Part
from raysweep.advice.known_cells import NEAREST, nearest
from raysweep_analysis import forcing_effects, load_trials
from raysweep_analysis.examples import FORCING


def parts(**values):
    names = ("pid_R", "pid_U1", "pid_U2", "pid_S")
    return {name: Part(values.get(name, 0.0), 0.0, 1.0) for name in names}


@pytest.fixture(scope="module")
def effects():
    table = forcing_effects(load_trials(FORCING))
    return table[table["chosen_by"] == "performance"]


@pytest.mark.parametrize("end", [0, 8])
def test_data_like_a_cell_lie_beside_it(effects, end):
    cell = effects[effects["U"] == end].iloc[0]
    found = nearest(
        parts(**{name: cell[name] for name in ("pid_R", "pid_U1", "pid_U2", "pid_S")}),
        int(cell["n_train"]),
    )
    assert sum(found.verdicts.values()) == NEAREST
    alike = effects[effects["U"] == end]
    assert found.distance < 0.35
    assert set(found.verdicts) & set(alike["verdict"])


def test_the_unit_of_information_does_not_matter():
    a = nearest(parts(pid_R=0.4, pid_U1=0.1, pid_U2=0.1, pid_S=0.1), 500)
    b = nearest(parts(pid_R=0.8, pid_U1=0.2, pid_U2=0.2, pid_S=0.2), 500)
    assert a == b


def test_where_nothing_tells_anything_there_is_no_place():
    assert nearest(parts(), 500) is None
