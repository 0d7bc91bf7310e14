"""One option: what it takes, and how it says what it would take."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.errors import InputError
from raysweep.plugins.options import Option, Value, resolve

WHOLE = Option("k", 3, "", low=1, high=8)
NUMBER = Option("x", 0.5, "", low=0.0)
CHOICE = Option("c", "a", "", choices=("a", "b"))
LEFT_OUT = Option("u", None, "", low=0, kind="int", optional=True)
MOST = Option("m", 10, "", low=1, optional=True)


@pytest.mark.parametrize(
    ("option", "value", "parsed"),
    [
        (WHOLE, np.int64(8), 8),
        (NUMBER, 2, 2.0),
        (NUMBER, np.float32(0.25), 0.25),
        (CHOICE, "b", "b"),
        (Option("b", True, ""), False, False),
        (Option("t", "free", ""), "any text", "any text"),
        (Option("p", None, "", kind="path"), "some/file", "some/file"),
        (LEFT_OUT, None, None),
        (MOST, None, None),
    ],
)
def test_a_value_is_taken_in_the_options_type(option: Option, value: object, parsed: Value) -> None:
    found = option.parse(value)
    assert (found, type(found)) == (parsed, type(parsed))


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (WHOLE, "an integer in 1..8"),
        (NUMBER, "a number >= 0"),
        (CHOICE, "one of a, b"),
        (LEFT_OUT, "an integer >= 0"),
        (MOST, "an integer >= 1 or none"),
        (Option("b", True, ""), "true or false"),
        (Option("t", "free", ""), "text"),
        (Option("y", 1.0, ""), "a number"),
    ],
)
def test_anything_else_is_refused_with_what_is_right(option: Option, expected: str) -> None:
    assert option.expected == expected
    wrong: list[object] = [[], {}, object(), b"a", complex(1, 1)]
    wrong += [math.nan, math.inf, -math.inf, 10**400, -(10**400), True] if option.numeric else [1]
    wrong += ["c"] if option.kind != "text" else []
    wrong += [0, 9, 2.5, 2.0, "2"] if option is WHOLE else []
    wrong += [None] if not option.optional else []
    for value in wrong:
        with pytest.raises(InputError) as caught:
            option.parse(value)
        assert str(caught.value) == expected


@given(st.integers(-3, 12) | st.floats(-3, 12))
def test_a_range_includes_its_ends(value: float) -> None:
    taken = isinstance(value, int) and 1 <= value <= 8
    try:
        assert WHOLE.parse(value) == value
    except InputError:
        assert not taken
    else:
        assert taken


def test_all_faults_are_told_at_once() -> None:
    needed = Option("n", None, "", kind="int", required=True)
    with pytest.raises(InputError) as caught:
        resolve((WHOLE, CHOICE, needed), {"k": 0, "c": "z", "d": 1}, "loss l")
    assert str(caught.value) == (
        "loss l: no option 'd', valid are k, c, n; k is 0, expected an integer in 1..8; "
        "c is 'z', expected one of a, b; n is missing, expected an integer"
    )
    assert resolve((WHOLE, CHOICE), {"c": "b"}, "loss l") == {"k": 3, "c": "b"}
