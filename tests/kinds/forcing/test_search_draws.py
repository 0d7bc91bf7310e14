"""Which dataset draws a strength is searched on, and why not on those that are tested."""

from typing import Any

import numpy as np
import pytest

from raysweep.folder.stored_study import extends
from raysweep.kinds.forcing.cell_search import search_draws
from raysweep.kinds.forcing.plan import ForcingSweep
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.kinds.kind import kind_of
from raysweep.study.cells import expand
from raysweep.trials.trial import Stage
from raysweep_analysis.inference.paired import paired_t


def study(of_data: Any, /, **search: Any) -> ForcingStudy:
    """One cell; nothing is ever loaded or trained."""
    return ForcingStudy.model_validate(
        {
            "name": "drawn",
            "data": [{"dataset": "synthetic", "U": 4, "draws": of_data}],
            "search": {"trials": 4, "seeds": 1, **search},
        }
    )


@pytest.mark.parametrize(
    ("draws", "asked", "searched"),
    [
        (1, {}, (0,)),
        ([7], {}, (7,)),
        (3, {}, (1000, 1001, 1002)),
        (12, {}, (1000, 1001, 1002, 1003)),
        ([0, 1002], {}, (1003, 1004)),
        (3, {"draws": "own"}, (1000, 1001, 1002)),
        (3, {"draws": "confirmed"}, (0, 1, 2)),
        (3, {"draws": 2}, (1000, 1001)),
        (3, {"draws": [8, 9]}, (8, 9)),
    ],
)
def test_a_search_has_draws_of_its_own(draws: Any, asked: Any, searched: tuple[int, ...]) -> None:
    wanted = study(draws, **asked)
    [cell] = expand(wanted)
    assert search_draws(wanted, cell) == searched
    pack = ForcingSweep(wanted).next_pack()
    assert pack is not None
    assert {t.draw for t in pack.trials if t.stage is Stage.SEARCH} == set(searched)


def test_what_is_no_word_is_told() -> None:
    with pytest.raises(ValueError, match="'own' or 'confirmed'"):
        study(3, draws="mine")


def test_a_folder_from_before_goes_on_as_it_began() -> None:
    before = study(3).as_stored()
    assert before.search.draws == "confirmed"
    assert study(3, draws="own").as_stored().search.draws == "own"
    assert extends(before, study(3, draws="confirmed"))
    assert not extends(before, study(3))
    assert extends(study(1).as_stored(), study(1))  # one draw is one draw


def test_more_draws_are_an_extension_where_those_of_the_search_stay() -> None:
    assert extends(study(3), study(5))
    assert extends(study(5), study(9))
    assert not extends(study(1), study(2))
    assert "confirmed keeps the draws" in kind_of(study(1)).moved(study(1), study(2))
    assert extends(study(1), study(2, draws="confirmed"))


def test_a_strength_that_is_chosen_on_the_tested_draws_is_too_good_for_them() -> None:
    # Nothing helps on the whole; in each dataset some strengths do, neighbours alike.
    rng = np.random.default_rng(0)
    studies, draws, strengths = 4000, 8, 12
    step = np.arange(strengths)
    alike = np.exp(-0.5 * ((step[:, None] - step) / 2) ** 2) + 1e-9 * np.eye(strengths)
    root = np.linalg.cholesky(alike)

    def effects() -> np.ndarray:
        return rng.normal(size=(studies, draws, strengths)) @ root.T

    def seen(truth: np.ndarray) -> np.ndarray:
        return truth + rng.normal(scale=0.5, size=truth.shape)

    tested = effects()
    found = {}
    for where, searched in (("confirmed", tested), ("own", effects()[:, :4])):
        best = seen(searched).mean(axis=1).argmax(axis=1)
        fresh = np.take_along_axis(seen(tested), best[:, None, None], axis=2)[:, :, 0]
        test = paired_t(fresh)
        found[where] = np.mean((test.p_value < 0.05) & (test.mean > 0))
    # Half of .05 is for helping.
    assert 0.018 < found["own"] < 0.032
    assert found["confirmed"] > 0.06
