"""A trial of one's own as its function is given it, outside of any run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from trial_runs import study

from raysweep.kinds.trial.context import TrialContext
from raysweep.study.cells import expand
from raysweep.trials.storage import Output
from raysweep.trials.trial import Arm, Stage, Trial

Make = Callable[..., TrialContext]


def maker(folder: Path) -> Make:
    """Makes trials whose run is in this folder."""

    def context(
        arm: Arm = Arm.FORCED, strength: float = 0.5, seed: int = 3, **changes: Any
    ) -> TrialContext:
        epochs = changes.pop("epochs", 0)
        wanted = study(**changes)
        given = 0.0 if arm is Arm.NONE else strength
        trial = Trial(expand(wanted)[0], 0, seed, given, arm, Stage.SEARCH, "s", epochs=epochs)
        return TrialContext(wanted, trial, "cpu", Output(str(folder / "out")))

    return context


def pair(b: int = 12, d: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    h1, h2 = (torch.randn(b, d, generator=generator, dtype=torch.float64) for _ in range(2))
    return h1.requires_grad_(), h2.requires_grad_()
