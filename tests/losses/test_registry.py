"""Names and options of the alignment losses."""

import math

import pytest

from raysweep.errors import InputError
from raysweep.losses import COMMON_OPTIONS, LOSSES, build_loss
from raysweep.plugins.options import Option

EVERY_OPTION = [
    (name, option) for name, entry in LOSSES.items() for option in (*entry.options, *COMMON_OPTIONS)
]


def test_an_unknown_loss_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="loss clip: no such loss; the losses are infonce, siglip"):
        build_loss("clip")


def test_an_unknown_option_lists_the_known_ones() -> None:
    message = "no option 'temp', valid are temperature, learned, max_scale, projection"
    with pytest.raises(InputError, match=message):
        build_loss("infonce", {"temp": 0.1})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("infonce", {"temperature": 0.001}, "expected a number in 0.005..100"),
        ("infonce", {"temperature": "hot"}, "temperature is 'hot'"),
        ("infonce", {"temperature": math.nan}, "temperature is nan"),
        ("infonce", {"temperature": True}, "temperature is True"),
        ("infonce", {"learned": 1}, "learned is 1, expected true or false"),
        ("deep_cca", {"components": 1.5}, "expected an integer in 0"),
        ("mse", {"projection": "big"}, "one of auto, none, linear, mlp"),
        ("mse", {"stop_gradient": 1}, "stop_gradient is 1, expected one of none, 1, 2"),
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
    for wrong in ([], None):
        with pytest.raises(InputError, match=f"{option.name} is"):
            build_loss(name, {option.name: wrong})
    if not isinstance(option.default, bool | str):
        assert option.low <= option.default <= option.high
        for value in (option.low, option.high):
            option.parse(value)


def test_every_entry_is_documented() -> None:
    for name, entry in LOSSES.items():
        assert entry.name == name
        assert entry.meaning
        assert entry.source
        assert entry.favours
