import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from raysweep.kinds.emergence.study import EmergenceStudy, EncoderTraining
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.study.spec import Clash, Confirm, DataGrid, ModelGrid, Search, StrengthRange

BLOCK = {"dataset": "synthetic", "U": 4}


def study(**parts: object) -> Study:
    return Study.model_validate({"name": "x", "data": [BLOCK], **parts})


def test_counts_stand_for_seeds_apart() -> None:
    assert Search(seeds=3).seeds == (0, 1, 2)  # type: ignore[arg-type]
    assert Confirm(seeds=2).seeds == (1000, 1001)  # type: ignore[arg-type]
    assert DataGrid(dataset="x", draws=2).draws == (0, 1)  # type: ignore[arg-type]
    assert Search(seeds=[7, 3]).seeds == (7, 3)  # type: ignore[arg-type]


@settings(max_examples=50)
@given(
    st.one_of(
        st.booleans(),
        st.text(max_size=3),
        st.floats(),
        st.integers(max_value=0),
        st.integers(min_value=100_001),
        st.none(),
        st.lists(st.one_of(st.integers(max_value=-1), st.booleans(), st.floats()), min_size=1),
        st.just([]),
        st.just([1, 1]),
        st.just([2**31]),
    )
)
def test_only_counts_and_lists_of_seeds_are_seeds(value: object) -> None:
    for part, key in ((Search, "seeds"), (Confirm, "seeds"), (DataGrid, "draws")):
        with pytest.raises(ValidationError):
            part.model_validate({"dataset": "x", key: value} if part is DataGrid else {key: value})


@pytest.mark.parametrize("value", [True, "5", 5.5, None, [5], math.nan, math.inf])
def test_numbers_are_numbers(value: object) -> None:
    for part in ({"training": {"epochs": value}}, {"resources": {"members_per_pack": value}}):
        with pytest.raises(ValidationError):
            study(**part)
    if value != 5.5:
        with pytest.raises(ValidationError):
            study(training={"learning_rate": value})
    assert study(training={"learning_rate": 1}).training.learning_rate == 1.0


def clash_of(**parts: object) -> Clash:
    with pytest.raises(ValidationError) as caught:
        study(**parts)
    [detail] = caught.value.errors()
    error = detail["ctx"]["error"]
    assert isinstance(error, Clash)
    return error


def test_values_that_clash_say_where() -> None:
    upside_down = clash_of(search={"strength": {"low": 2, "high": 1}})
    assert upside_down.keys == (("low",), ("high",))
    assert clash_of(search={"strength": {"low": 1, "high": 1}}).keys == (("low",), ("high",))
    shared = clash_of(search={"seeds": [0, 1000]})
    assert shared.keys == (("confirm", "seeds"), ("search", "seeds"))
    assert "1000" in str(shared)
    assert clash_of(search={"metric": "cka"}).keys[0] == ("search", "metric")
    assert ("depth",) in clash_of(model={"depth": 1, "depth_2": 2}).keys
    assert clash_of(model={"width_1": 8}).keys == (("width_1",), ("width_2",))
    many = [{**BLOCK, "a": list(range(1000)), "b": list(range(1000))}]
    assert clash_of(data=many).keys[0] == ("data",)


@pytest.mark.parametrize(
    ("section", "key", "most"),
    [
        ("training", "epochs", 10**6),
        ("training", "evaluate_every", 10**6),
        ("training", "patience", 10**6),
        ("training", "batch_size", 10**8),
        ("search", "trials", 10**5),
        ("search", "generation", 10**5),
        ("resources", "members_per_pack", 10**6),
    ],
)
def test_absurd_numbers_are_none(section: str, key: str, most: int) -> None:
    assert getattr(getattr(study(**{section: {key: most}}), section), key) == most
    with pytest.raises(ValidationError, match=f"less than or equal to {most}"):
        study(**{section: {key: most + 1}})
    if section == "training":
        with pytest.raises(ValidationError, match=f"less than or equal to {most}"):
            EncoderTraining.model_validate({key: most + 1})


def test_trials_are_counted_before_they_are_planned() -> None:
    search = {"trials": 10**5, "seeds": list(range(100))}
    too_many = clash_of(search=search)
    assert too_many.keys[0] == ("search", "trials")
    # 100 seeds x (100000 strengths and the baseline), 3 arms x 12 seeds.
    assert str(too_many) == "10000136 trials; a study has at most 10000000"
    study(search={**search, "seeds": 99})
    many = {"name": "x", "data": [{**BLOCK, "draws": 1000}], "seeds": 10**5}
    with pytest.raises(ValidationError, match="100000000 trials; a study has at most"):
        EmergenceStudy.model_validate(many)


def test_models_pair_depths_and_widths() -> None:
    grid = ModelGrid(depth_1=[1, 2], depth_2=3, width=[8, 16])  # type: ignore[arg-type]
    assert grid.pairs("depth", 9) == [(1, 3), (2, 3)]
    assert grid.pairs("width", 9) == [(8, 8), (16, 16)]
    assert ModelGrid().pairs("depth", 9) == [(9, 9)]
    assert grid.pairs("depth", 9, crossed=True) == grid.pairs("depth", 9)
    assert grid.pairs("width", 9, crossed=True) == [(8, 8), (8, 16), (16, 8), (16, 16)]
    assert ModelGrid().pairs("depth", 9, crossed=True) == [(9, 9)]


def test_axes_keep_their_order_and_take_single_values() -> None:
    grid = DataGrid.model_validate({"dataset": "x", "b": [1, 2], "a": "t", "draws": 2})
    assert list(grid.axes.items()) == [("b", (1, 2)), ("a", ("t",))]


def test_a_study_cannot_be_changed() -> None:
    one = study()
    with pytest.raises(ValidationError, match="frozen"):
        one.seed = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        StrengthRange().low = 3.0  # type: ignore[misc]


def test_the_first_metric_is_searched_unless_another_is_named() -> None:
    metrics = {"metrics": {"rsa": None, "cka": {}}}
    assert study(evaluation=metrics).metric == "rsa"
    assert study(evaluation=metrics, search={"metric": "cka"}).metric == "cka"
    assert study(evaluation={"metrics": ["cka", "rsa"]}).evaluation.metrics == {
        "cka": {},
        "rsa": {},
    }


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "a" * 101, "ä", "a\n", "../a"])
def test_a_name_is_plain(name: str) -> None:
    with pytest.raises(ValidationError, match="letters, digits"):
        study(name=name)
