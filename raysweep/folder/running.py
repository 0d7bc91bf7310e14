"""What trials that run now have logged last: a small file each, for who watches.

It decides nothing, so it is written without being synced, and not often: a trial that takes less
than a second writes none.
"""

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raysweep.trials.storage import Output, unlinked
from raysweep.trials.trial import Trial, option_words

RUNNING = "running"
_SUFFIX = ".json"
_EVERY_S = 1.0
_EVERY_FAR_S = 20.0
_MOST_SHOWN = 4


@dataclass(frozen=True)
class Epoch:
    """An epoch of a trial that runs.

    Attributes:
        key: the trial's.
        cell: id of its cell.
        about: what tells it from others of its cell, such as ``forced 0.5, seed 3``.
        epoch: epochs trained so far.
        epochs: that it trains for; None where that is not known.
        metrics: what was logged, by name.
    """

    key: str
    cell: str
    about: str
    epoch: int
    epochs: int | None
    metrics: Mapping[str, float]

    def line(self, label: str) -> str:
        """The epoch in a line, of a cell with this label; of many metrics the first few."""
        of = "" if self.epochs is None else f" of {self.epochs}"
        shown = [f"{name} {value:.4g}" for name, value in self.metrics.items()]
        more = ["…"] if len(shown) > _MOST_SHOWN else []
        said = ", ".join([f"epoch {self.epoch}{of}", *shown[:_MOST_SHOWN], *more])
        return f"{label}, {self.about}: {said}"


class Teller:
    """Tells of the epochs of one trial.

    Args:
        output: the run's folder.
        trial: the trial.
        epochs: that it trains for, if that is known.
    """

    def __init__(self, output: Output, trial: Trial, epochs: int | None) -> None:
        self._output, self._name = output, f"{RUNNING}/{trial.key}{_SUFFIX}"
        self._facts = {"key": trial.key, "cell": trial.cell.id, "about": _about(trial)}
        self._epochs = trial.epochs or epochs
        self._every_s = _EVERY_FAR_S if output.local is None else _EVERY_S
        self._told = time.monotonic()
        self._written = False

    def tell(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Tell of an epoch, unless one was told of just before."""
        now = time.monotonic()
        if now - self._told < self._every_s:
            return
        content = {**self._facts, "epoch": epoch, "epochs": self._epochs, "metrics": dict(metrics)}
        with contextlib.suppress(OSError):
            self._write(json.dumps(content).encode())
            self._written = True
        self._told = time.monotonic()

    def end(self) -> None:
        """The trial has ended, one way or another."""
        if self._written:
            with contextlib.suppress(OSError):
                self._output.delete(self._name)

    def _write(self, content: bytes) -> None:
        if self._output.local is None:
            self._output.write(self._name, content)
            return
        folder = self._output.folder(RUNNING)
        assert folder is not None
        place = folder / Path(self._name).name
        unfinished = place.with_suffix(f".{os.getpid()}")
        with open(unfinished, "wb", opener=unlinked) as stream:
            stream.write(content)
        os.replace(unfinished, place)


def running(output: Output) -> list[Epoch]:
    """The epochs that were told of last, of trials that have not ended or whose worker was lost."""
    found = []
    for name in output.names(RUNNING, _SUFFIX):
        with contextlib.suppress(OSError, ValueError, TypeError):
            content = output.read(name)
            if content is not None:
                found.append(Epoch(**json.loads(content)))
    return found


def forget(output: Output) -> None:
    """Forget the trials of runs that were killed: nothing runs now."""
    for name in output.names(RUNNING, ""):
        output.delete(name)


def _about(trial: Trial) -> str:
    forced = [f"{trial.arm} {trial.strength:.3g}"] if trial.strength else [trial.arm.value]
    own = [*option_words(trial.options), *option_words(trial.training)]
    return ", ".join([" ".join([*forced, *own]), f"draw {trial.draw}", f"seed {trial.seed}"])
