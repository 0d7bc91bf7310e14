"""The registry: parameters match the loaders, and everything given is checked."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.data.registry import DATASETS, load
from raysweep.data.stratify import class_counts, stratified_splits
from raysweep.data.streams import stream
from raysweep.errors import InputError
from raysweep.plugins.options import Option, resolve

SMALL = {"train": 100, "validation": 50, "test": 50}


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_parameters_are_the_arguments_of_the_loader(dataset):
    arguments = dict(inspect.signature(dataset.loader).parameters)
    assert arguments.pop("draw").default == 0
    assert set(arguments) == {parameter.name for parameter in dataset.parameters}
    for parameter in dataset.parameters:
        default = arguments[parameter.name].default
        assert default == (inspect.Parameter.empty if parameter.required else parameter.default)
        assert parameter.meaning
        if parameter.default is not None:
            assert parameter.parse(parameter.default) == parameter.default


def test_all_faults_are_listed_at_once():
    given = {"u": 1, "D_phi": 1.5, "temperature": 0, "transform": "height", "train": True}
    with pytest.raises(InputError) as caught:
        load("synthetic", given)
    message = str(caught.value)
    assert message.startswith(
        "dataset synthetic: no parameter 'u', valid are U, U1, modalities, D_phi"
    )
    for fault in (
        "U is missing, expected an integer in 0..8",
        "D_phi is 1.5, expected an integer in 0..16",
        "temperature is 0, expected a number in 0.02..1000",
        "transform is 'height', expected one of depth, width",
        "train is True, expected an integer >= 8",
    ):
        assert fault in message


def test_unknown_dataset_and_draw():
    with pytest.raises(InputError, match="no dataset 'mnist', valid are arrays, channels, digits"):
        load("mnist", {})
    for draw in (-1, 0.5, True, None):
        with pytest.raises(InputError, match=f"draw is {draw!r}, expected an integer >= 0"):
            load("synthetic", {"U": 1}, draw)


def test_values_are_plain_and_defaults_filled_in():
    values = DATASETS["synthetic"].check({"U": np.int64(3), "temperature": 1})
    assert (values["U"], type(values["U"])) == (3, int)
    assert (values["temperature"], type(values["temperature"])) == (1.0, float)
    assert (values["U1"], values["classes"]) == (None, 4)
    for bad in (float("nan"), float("inf"), "0.1", None):
        with pytest.raises(InputError, match="temperature is"):
            DATASETS["synthetic"].check({"U": 3, "temperature": bad})


def test_an_unbounded_parameter_says_only_what_it_needs():
    free = Option("a", 0.0, "anything")
    assert resolve((free,), {"a": -1e9}, "any") == {"a": -1e9}
    with pytest.raises(InputError, match=r"a is 'x', expected a number$"):
        resolve((free,), {"a": "x"}, "any")


def test_the_same_request_is_answered_from_memory():
    first = load("synthetic", {"U": 3, **SMALL})
    assert load("synthetic", {**SMALL, "U": 3, "D_phi": 1}, 0) is first
    assert load("synthetic", {"U": 3, **SMALL}, 1) is not first


def test_streams_are_independent_and_repeatable():
    names = [("a", 0, "b"), ("a", 1, "b"), ("a", 0, "c"), ("b", 0, "b"), ("a", 10, "b")]
    values = [stream(*name).random() for name in names]
    assert values == [stream(*name).random() for name in names]
    assert len(set(values)) == len(names)
    assert stream("a", 0, "b").integers(0, 2**63) == 6767232263924213527


@settings(max_examples=50)
@given(
    shares=st.lists(st.floats(0, 1), min_size=2, max_size=8).filter(lambda s: sum(s) > 0.01),
    rows=st.integers(0, 5000),
)
def test_class_counts_are_the_shares_rounded(shares, rows):
    proportions = np.array(shares)
    counts = class_counts(proportions, rows)
    assert counts.sum() == rows
    assert np.abs(counts - rows * proportions / proportions.sum()).max() < 1 + 1e-6


@settings(max_examples=30)
@given(
    sizes=st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40)),
    seed=st.integers(0, 99),
)
def test_stratified_splits_are_disjoint_and_of_the_right_size(sizes, seed):
    y = np.random.default_rng(seed).integers(0, 4, size=120)
    splits = stratified_splits(y, *sizes, np.random.default_rng(seed))
    parts = (splits.train, splits.validation, splits.test)
    assert tuple(len(rows) for rows in parts) == sizes
    assert len(np.unique(np.concatenate(parts))) == sum(sizes)


def test_reading_the_parameters_needs_no_heavy_library():
    code = (
        "import sys, raysweep.data.registry as r; assert r.DATASETS;"
        "print([m for m in ('torch', 'sklearn', 'ray') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
