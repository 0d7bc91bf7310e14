"""An alignment loss with faults to order, for the tests of the runners.

Named in a study as ``misbehaving:loss``. Its options say what to do and where its folder is: it
writes the ids of the processes it ran in to ``processes``, and misbehaves while ``armed`` exists.
"""

import os
import signal
import time
from pathlib import Path

import torch
from torch import Tensor


def loss(h1: Tensor, h2: Tensor, folder: str, fault: str = "", amount: float = 1) -> Tensor:
    """Squared distance of the samples' similarities, [m]; h1 [m, b, d1], h2 [m, b, d2]."""
    place = Path(folder)
    with open(place / "processes", "a") as processes:
        processes.write(f"{os.getpid()}\n")
    if (place / "armed").exists():
        _misbehave(place, fault, amount, h1.shape[0])
    return ((h1 @ h1.mT - h2 @ h2.mT) ** 2).mean(dim=(1, 2))


def _misbehave(place: Path, fault: str, amount: float, members: int) -> None:
    match fault:
        case "raise":
            raise ArithmeticError("the loss was told to raise")
        case "kill":  # once
            (place / "armed").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":  # once
            (place / "armed").unlink()
            time.sleep(600)
        case "slow":  # and stands still while told to
            time.sleep(amount)
            while (place / f"hold-{os.getpid()}").exists():
                time.sleep(0.1)
        case "stumble":  # once, and takes its time
            if not (place / "stumbled").exists():
                (place / "stumbled").touch()
                raise ArithmeticError("the loss was told to stumble")
            time.sleep(amount)
        case "memory":
            if members > amount:
                raise torch.OutOfMemoryError(f"{members} members are too many")
