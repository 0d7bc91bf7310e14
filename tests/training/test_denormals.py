"""Denormal floats are taken for 0 in training, kept elsewhere, whatever mode the caller is in."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from one_epoch import ENGINES, one_epoch
from tiny_runs import environment
from tiny_training import make_data, make_members

from raysweep.models.shape import MultimodalShape
from raysweep.training.denormals import are_flushed, denormals
from raysweep.training.engine import PackEngine
from raysweep.training.inputs import TrainSettings

SHAPE = MultimodalShape((4, 4), 3, depths=(2, 1), widths=(6, 6))
CALLERS = pytest.mark.parametrize("before", [False, True], ids=["kept", "flushed"])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    yield
    torch.set_flush_denormal(False)


def are_denormal(values: torch.Tensor) -> torch.Tensor:
    """By their bits: a comparison would take them for 0 in one of the modes."""
    bits = values.numpy().view(f"int{8 * values.itemsize}")
    mantissa = 23 if values.itemsize == 4 else 52
    fraction = bits & ((1 << mantissa) - 1)
    exponent = bits >> mantissa & ((1 << 8 * values.itemsize - 1 - mantissa) - 1)
    return torch.from_numpy((exponent == 0) & (fraction != 0))


def fitted(dtype: str) -> tuple[torch.Tensor, float]:
    """Members sure of class 0, so that what is left of their gradients is denormal."""
    initial = SHAPE.initial_parameters(make_members(5).init_seed)
    size = 90.0 if dtype == "float32" else 710.0
    for head in (*(tower.head for tower in SHAPE.towers), SHAPE.fused_head):
        head.view(initial)[:, :, :-1] = 0.0
        head.view(initial)[:, :, -1] = torch.tensor([size, 0.0, 0.0])
    return initial, size


@ENGINES
@DTYPES
@CALLERS
def test_training_leaves_no_denormals_and_the_callers_mode(
    make: Callable[..., PackEngine], dtype: str, before: bool
) -> None:
    data = make_data(5, SHAPE, rows=32)
    data.y_train[:] = 0
    settings = TrainSettings(1, batch_size=32, dtype=dtype)
    initial, _ = fitted(dtype)
    torch.set_flush_denormal(before)
    engine, _ = one_epoch(make, SHAPE, data, settings, initial)
    assert are_flushed() == before
    engine.validate()
    assert are_flushed() == before
    assert not are_denormal(engine.gradients).any()
    assert not are_denormal(engine.parameters).any()


@DTYPES
def test_otherwise_there_would_be_denormals(dtype: str) -> None:
    initial, _ = fitted(dtype)
    logits = SHAPE.fused_head.view(initial.to(getattr(torch, dtype)))[0, :, -1].requires_grad_()
    value = torch.nn.functional.cross_entropy(
        logits.expand(32, 3), torch.zeros(32, dtype=torch.int64)
    )
    (gradient,) = torch.autograd.grad(value, logits)
    assert are_denormal(gradient)[1:].all()


@ENGINES
@DTYPES
@pytest.mark.parametrize("loss", ["infonce", "cka", "mse"])
def test_results_do_not_depend_on_the_callers_mode(
    make: Callable[..., PackEngine], dtype: str, loss: str
) -> None:
    data = make_data(5, SHAPE, rows=50)
    settings = TrainSettings(1, batch_size=16, dtype=dtype, loss=loss)
    initial, _ = fitted(dtype)
    found = []
    for before in (False, True):
        torch.set_flush_denormal(before)
        engine, log = one_epoch(make, SHAPE, data, settings, initial)
        found.append((engine.parameters.numpy().tobytes(), log.alignment_loss.numpy().tobytes()))
    assert found[0] == found[1]


@CALLERS
def test_the_mode_is_put_back_when_something_fails(before: bool) -> None:
    torch.set_flush_denormal(before)

    @denormals(flushed=not before)
    def fails() -> None:
        assert are_flushed() != before
        raise ValueError("it fails")

    with pytest.raises(ValueError, match="it fails"):
        fails()
    assert are_flushed() == before


THREADS = """
import torch
from raysweep.training.denormals import denormals

torch.set_num_threads(3)

def kept():
    return (torch.full((2**19,), 1e-40) * 0.5 != 0).view(8, -1).all(dim=1).tolist()

with denormals(flushed=True):
    print(kept())
print(kept())
with denormals(flushed=True):
    with denormals(flushed=False):
        print(kept())
    print(kept())
print(kept())
"""


def test_torchs_threads_follow_and_none_is_left_flushing() -> None:
    """In a process of its own: a thread inherits the mode in which it is started."""
    done = subprocess.run(
        [sys.executable, "-c", THREADS], env=environment(), stdout=subprocess.PIPE, check=True
    )
    none, all_ = str([False] * 8), str([True] * 8)
    assert done.stdout.decode().splitlines() == [none, all_, all_, none, all_]
