"""What is left of malformed parts, and what is said of them."""

from typing import Any

import pytest

from raysweep.study.partial import read_partial
from raysweep.study.spec import Evaluation, ModelGrid, Search, Training


def told(found: Any) -> list[tuple[tuple[str | int, ...], str]]:
    return [(finding.places[0], finding.detail["msg"]) for finding in found.findings]


def test_only_what_is_faulty_is_taken_out() -> None:
    raw = {"batch_size": 65, "learning_rate": "x", "epoch": 3}
    found = read_partial(Training, raw)
    assert found.part == Training(batch_size=65)
    assert found.value == {"batch_size": 65}
    assert [found.lost(name) for name in ("batch_size", "learning_rate")] == [False, True]
    assert raw == {"batch_size": 65, "learning_rate": "x", "epoch": 3}


def test_of_a_list_the_faulty_items() -> None:
    found = read_partial(Search, {"seeds": [3, -1, "x", 3, 4]})
    assert found.part is not None
    assert (found.part.seeds, found.lost("seeds")) == ((3, 4), False)
    assert [place for place, _ in told(found)] == [("seeds", 1), ("seeds", 2), ("seeds",)]
    assert "values used twice: 3" in told(found)[2][1]


def test_faults_of_items_are_told_at_their_places() -> None:
    found = read_partial(Evaluation, {"metrics": ["cka", 3, "cka", None]})
    assert found.part is not None
    assert list(found.part.metrics) == ["cka"]
    assert told(found)[:2] == [
        (("metrics", 1), "expected the name of a metric"),
        (("metrics", 3), "expected the name of a metric"),
    ]
    assert "values used twice: cka" in told(found)[2][1]


def test_names_clash_whatever_their_values() -> None:
    found = read_partial(ModelGrid, {"width": 8, "width_1": 0, "depth_2": "x"})
    assert [place for place, _ in told(found)] == [
        ("depth_2", 0),
        ("width_1", 0),
        ("depth_1",),
        ("width_1",),
    ]
    assert told(found)[2][1].startswith("depth_1 and depth_2 go together")
    assert told(found)[3][1].startswith("give either width or width_1 and width_2")


@pytest.mark.parametrize("raw", [3, "x", [1]])
def test_what_is_no_mapping_is_lost_as_a_whole(raw: object) -> None:
    found = read_partial(Training, raw)
    assert found.part == Training()
    assert found.lost("batch_size")
    assert not read_partial(Training, None).lost("batch_size")
