"""An alignment loss with faults to order, for the tests of the runners.

Named in a study as ``misbehaving:loss``. Its options say what to do and where its folder is: it
writes the ids of the processes it ran in to ``processes``, and misbehaves while ``armed`` exists.
Before it misbehaves it writes its process and the members of its pack to ``members``. While a study
is checked, which tries its loss, it behaves and writes nothing.
"""

import contextlib
import os
import resource
import signal
import sys
import time
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor

MEMBER_BYTES = 2 * 2**30  # address space alone: not a page of it is touched
BLOCK_BYTES = 64 * 2**20


def loss(h1: Tensor, h2: Tensor, folder: str, fault: str = "", amount: float = 1) -> Tensor:
    """Squared distance of the samples' similarities, [m]; h1 [m, b, d1], h2 [m, b, d2]."""
    if not is_tried():
        place = Path(folder)
        with open(place / "processes", "a") as processes:
            processes.write(f"{os.getpid()}\n")
        if (place / "armed").exists():
            with open(place / "members", "a") as members:
                members.write(f"{os.getpid()} {h1.shape[0]}\n")
            _misbehave(place, fault, amount, h1.shape[0])
    return ((h1 @ h1.mT - h2 @ h2.mT) ** 2).mean(dim=(1, 2))


def is_tried() -> bool:
    """Whether a study is being checked, and no pack runs."""
    frame: types.FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name != "check_usable":
        frame = frame.f_back
    return frame is not None


def _misbehave(place: Path, fault: str, amount: float, members: int) -> None:
    match fault:
        case "raise":
            raise ArithmeticError("the loss was told to raise")
        case "kill":  # once
            (place / "armed").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        case "kill large":  # as the kernel does where memory runs out
            if members > amount:
                os.kill(os.getpid(), signal.SIGKILL)
        case "hang":  # once
            (place / "armed").unlink()
            time.sleep(600)
        case "slow":  # also in writing results, and stands still while told to
            _write_slowly(place, amount)
            time.sleep(amount)
            while (place / f"hold-{os.getpid()}").exists():
                time.sleep(0.1)
        case "stumble":  # once, and takes its time
            if not (place / "stumbled").exists():
                (place / "stumbled").touch()
                raise ArithmeticError("the loss was told to stumble")
            time.sleep(amount)
        case "memory":  # torch's allocator finds none for more members than so many
            with _address_space(amount):
                _ = [torch.empty(MEMBER_BYTES, dtype=torch.uint8) for _ in range(members)]
        case "array memory":  # and NumPy's
            with _address_space(amount):
                _ = [np.empty(MEMBER_BYTES, dtype=np.uint8) for _ in range(members)]
        case "hog":  # takes real memory until it is stopped, at most half of what there is
            if members > int(amount):
                _take_memory(psutil.virtual_memory().available // 2)


@cache
def _write_slowly(place: Path, wait_s: float) -> None:
    def wait(event: str, arguments: tuple[object, ...]) -> None:
        # A result is whole by now, and has not got its name.
        if event == "os.rename" and str(arguments[1]).endswith(".arrow"):
            time.sleep(wait_s if (place / "armed").exists() else 0)

    sys.addaudithook(wait)


@contextlib.contextmanager
def _address_space(members: float) -> Iterator[None]:
    """Room for so many members, beside what this process had when it first asked."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    # What a piece leaves behind is missing to the next one: the limit stays where it was.
    most = _first_size() + int((members + 0.5) * MEMBER_BYTES)
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@cache
def _first_size() -> int:
    return int(psutil.Process().memory_info().vms)


def _take_memory(most: int) -> None:
    taken = [np.ones(BLOCK_BYTES, dtype=np.uint8) for _ in range(most // BLOCK_BYTES)]
    time.sleep(10)
    del taken
