"""What a trial of one's own saves, and goes on from."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from trial_contexts import Make, maker, pair

import raysweep
from raysweep.errors import InputError
from raysweep.kinds.trial.context import TrialContext
from raysweep.kinds.trial.state import pack_state, unpack_state
from raysweep.kinds.trial.told import Told
from raysweep.trials.trial import Arm


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return maker(tmp_path)


STATE: dict[str, Any] = {
    "epoch": 3,
    "loss": 0.1 + 0.2,
    "infinite": [math.inf, -math.inf],
    "words": "ünïcode\n",
    "nothing": None,
    "yes": True,
    "large": 2**100,
    "pair": (1, (2.0, "three")),
    7: {"by": "number", ("a", 1): []},
    "bytes": b"\x00\xff",
    "tensors": [
        torch.randn(3, 4, dtype=torch.float64),
        torch.arange(6).reshape(2, 3).T,
        torch.tensor(True),
        torch.randn(5).to(torch.bfloat16),
        torch.zeros(0, 3),
        torch.tensor([1 + 2j]),
    ],
    "arrays": [np.arange(5, dtype=">i2"), np.array(["a", "bc"]), np.float32(0.5)],
}


def same(left: Any, right: Any) -> bool:
    if isinstance(left, Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, np.ndarray | np.generic):
        return left.dtype == right.dtype and np.array_equal(left, right)
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list | tuple):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)


def test_a_state_comes_back_in_every_bit() -> None:
    assert same(unpack_state(pack_state(STATE)), STATE)
    nan = unpack_state(pack_state([math.nan]))
    assert math.isnan(nan[0])


def test_damage_is_noticed_and_nothing_in_a_state_can_run() -> None:
    content = pack_state({"weights": torch.ones(3)})
    for damaged in (b"", content[:-1], content[:40], b"x" + content[1:], content + b"x"):
        with pytest.raises(ValueError, match="not a whole state"):
            unpack_state(damaged)
    middle = bytearray(content)
    middle[len(content) // 2] ^= 1
    with pytest.raises(ValueError, match="not a whole state"):
        unpack_state(bytes(middle))
    for value, said in {
        "model": torch.nn.Linear(1, 1),
        "function": print,
        "set": {1},
        "objects": np.array([None], dtype=object),
    }.items():
        with pytest.raises(InputError, match=rf"state\['a'\]\[1\]\['{value}'\] is a"):
            pack_state({"a": [0, {value: said}]})
    with pytest.raises(InputError, match=r"give its state_dict\(\)"):
        pack_state({"model": torch.nn.Linear(1, 1)})


@pytest.mark.parametrize("name", ["Adam", "SGD", "LBFGS", "RMSprop", "AdamW"])
def test_the_state_of_an_optimizer_goes_on_where_it_was(make: Make, name: str) -> None:
    def fresh() -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        net = torch.nn.Linear(3, 1, dtype=torch.float64)
        extra = {"momentum": 0.9} if name == "SGD" else {}
        return net, getattr(torch.optim, name)(net.parameters(), lr=0.1, **extra)

    x = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def step(net: torch.nn.Linear, optimizer: torch.optim.Optimizer) -> None:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = (net(x) ** 2).mean()
            loss.backward()
            return loss

        optimizer.step(closure)

    net, optimizer = fresh()
    for _ in range(3):
        step(net, optimizer)
    make().save({"net": net.state_dict(), "optimizer": optimizer.state_dict()})
    step(net, optimizer)
    again, its_optimizer = fresh()
    state = make().load()
    again.load_state_dict(state["net"])
    its_optimizer.load_state_dict(state["optimizer"])
    step(again, its_optimizer)
    assert torch.equal(again.weight, net.weight)


def test_what_cannot_be_saved_is_told_by_its_place(make: Make) -> None:
    with pytest.raises(InputError, match=r"^trial\.save: state\['model'\]\[1\] is a Linear"):
        make().save({"model": [1, torch.nn.Linear(1, 1)]})


def test_load_brings_back_what_was_logged_drawn_and_shuffled(make: Make) -> None:
    options = {"temperature": 0.5, "learned": True}

    def begin() -> TrialContext:
        return make(Arm.PLACEBO, alignment={"options": options})

    trial = begin()
    assert trial.load() is None
    [own] = trial.parameters()
    raysweep.seed_everything(trial)
    trial.penalty(*pair())
    trial.log(1, loss=0.5)
    trial.measure("validation", *pair())
    with torch.no_grad():
        own += 1
    trial.save({"epoch": 1})
    expected = (trial.penalty(*pair()).item(), torch.rand(()).item(), np.random.random())
    again = begin()
    [restored] = again.parameters()
    assert again.load() == {"epoch": 1}
    found = (again.penalty(*pair()).item(), torch.rand(()).item(), np.random.random())
    assert found == expected
    assert torch.equal(restored, own)
    told = Told(again, {"f1_test": 1}, "f")
    assert told.logged == {1: {"loss": 0.5}}
    assert "alignment_unbiased_cka_validation" in told.measured
    later = begin()  # the other order: what the loss learns is made after the state is read
    later.load()
    assert torch.equal(later.parameters()[0], own)


def test_a_state_of_later_is_none_for_a_trial_that_stops_earlier(make: Make) -> None:
    trial = make(epochs=4)
    trial.log(4, loss=1.0)
    trial.save({"epoch": 4})
    assert make(epochs=2).load() is None
    assert make(epochs=4).load() == {"epoch": 4}
    assert make().load() == {"epoch": 4}  # the whole trial goes on from there
    assert make(seed=9).load() is None  # and no other does


def test_a_checkpoint_that_is_damaged_is_as_good_as_none(make: Make, tmp_path: Path) -> None:
    make().save({"epoch": 1})
    [file] = (tmp_path / "out" / "trials").glob("*/checkpoint")
    file.write_bytes(file.read_bytes()[:-3])
    assert make().load() is None
