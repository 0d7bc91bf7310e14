"""Names and options of the alignment losses."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.errors import InputError
from raysweep.objective import COMMON_OPTIONS, LOSSES, build_loss
from raysweep.objective.options import Option

EVERY_OPTION = [
    (name, option) for name, entry in LOSSES.items() for option in (*entry.options, *COMMON_OPTIONS)
]


def test_an_unknown_loss_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="loss clip: no such loss; the losses are infonce, siglip"):
        build_loss("clip")


def test_an_unknown_option_lists_the_known_ones() -> None:
    message = "no option named 'temp'; the options are temperature, learned, max_scale, projection"
    with pytest.raises(InputError, match=message):
        build_loss("infonce", {"temp": 0.1})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("infonce", {"temperature": 0.001}, "must be a number from 0.005 to 100"),
        ("infonce", {"temperature": "hot"}, "option temperature is 'hot'"),
        ("infonce", {"temperature": math.nan}, "option temperature is nan"),
        ("infonce", {"temperature": True}, "option temperature is True"),
        ("infonce", {"learned": 1}, "option learned is 1; it must be true or false"),
        ("deep_cca", {"components": 1.5}, "it must be an integer from 0"),
        ("mse", {"projection": "big"}, "one of auto, none, linear, mlp"),
        ("mse", {"stop_gradient": 1}, "option stop_gradient is 1; it must be one of none, 1, 2"),
        ("mse", {"projection_dim": 4}, "projection_dim needs projection linear or mlp"),
        (
            "infonce",
            {"learned": True, "temperature": 0.005},
            "temperature is 0.005, a scale of 200, above max_scale 100",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_right(
    name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build_loss(name, options)


@pytest.mark.parametrize(
    ("name", "option"), EVERY_OPTION, ids=[f"{name}-{option.name}" for name, option in EVERY_OPTION]
)
def test_every_option_accepts_its_default_and_refuses_another_type(
    name: str, option: Option
) -> None:
    build_loss(name, {option.name: option.default})
    for wrong in ("[]", None)[isinstance(option.default, str) and not option.choices :]:
        with pytest.raises(InputError, match=f"option {option.name} is"):
            build_loss(name, {option.name: wrong})
    if not isinstance(option.default, bool | str):
        assert option.low <= option.default <= option.high
        for value in (option.low, option.high):
            option.checked(value, "here")


@given(st.integers(-5, 5))
def test_whole_numbers_are_taken_for_either_kind_of_number(value: int) -> None:
    as_float = Option("a", 1.0, "").checked(value, "here")
    as_int = Option("a", 1, "").checked(float(value), "here")
    assert (as_float, type(as_float)) == (value, float)
    assert (as_int, type(as_int)) == (value, int)


def test_every_entry_is_documented() -> None:
    for name, entry in LOSSES.items():
        assert entry.name == name
        assert entry.meaning
        assert entry.source
        assert entry.favours
