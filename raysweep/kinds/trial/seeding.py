"""One seed for all that draws at random in a trial, and a process as each trial finds it."""

import contextlib
import os
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from raysweep.seeds import derive_seed

if TYPE_CHECKING:
    from raysweep.kinds.trial.context import TrialContext


def seed_everything(trial: "TrialContext | int") -> int:
    """Seed torch (on all devices), NumPy and Python's random.

    Every trial begins seeded like this, so that the arms of a pair draw alike; it is there for what
    is to draw anew, such as a second model.

    Args:
        trial: the trial, or a seed of one's own.

    Returns:
        The seed that was used, 0 .. 2**63 - 1.

    Example:
        >>> import raysweep, random
        >>> first = (raysweep.seed_everything(3), random.random())
        >>> first == (raysweep.seed_everything(3), random.random())
        True
    """
    parts = (trial,) if isinstance(trial, int) else (trial.draw, trial.seed)
    seed = derive_seed("trial", *parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    return seed


def random_states() -> dict[str, Any]:
    """Where the generators of torch, NumPy and Python stand."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": list(cuda),
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Have the generators stand there again."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])


@contextlib.contextmanager
def as_found() -> Iterator[None]:
    """A block of a user's own code, after which the process is as the next trial expects it."""
    states, folder = random_states(), os.getcwd()
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    strict = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, deterministic = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    environment = dict(os.environ)
    try:
        with torch.enable_grad():
            yield
    finally:
        restore_random_states(states)
        os.chdir(folder)
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        torch.use_deterministic_algorithms(strict, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
        torch.backends.cudnn.deterministic = deterministic
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
