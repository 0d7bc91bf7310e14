"""Where a trial of the user's own keeps what it has come to."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from raysweep.folder.running import Teller
from raysweep.trials.storage import Output, unlinked
from raysweep.trials.trial import Trial

TRIALS = "trials"
_CHECKPOINT = "checkpoint"
_LOG = "log.jsonl"


class Place:
    """The place of one trial in a run's folder; that of the whole trial also where it stops early.

    Args:
        output: the run's folder.
        trial: the trial.
        epochs: that it trains for, if that is known.

    Attributes:
        name: of its folder in the run's.
        folder: the user's own part of it.
    """

    def __init__(self, output: Output, trial: Trial, epochs: int | None = None) -> None:
        self._output = output
        self._teller = Teller(output, trial, epochs)
        self.name = f"{TRIALS}/{replace(trial, epochs=0).key}"
        local = output.folder(f"{self.name}/files")
        self._temporary = local is None
        self.folder = local or Path(tempfile.mkdtemp(prefix="raysweep-trial-"))

    def leave(self) -> None:
        """Remove the user's part where it is not in the run's folder; the trial runs no more."""
        self._teller.end()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def keep(self, content: bytes) -> None:
        """Keep a checkpoint in the place of the one before, whole or not at all."""
        self._output.write(f"{self.name}/{_CHECKPOINT}", content)

    def kept(self) -> bytes | None:
        """The last checkpoint; None without one."""
        return self._output.read(f"{self.name}/{_CHECKPOINT}")

    def note(self, epoch: int, point: Mapping[str, float]) -> None:
        """Write a point of the learning curves down, for who watches; it decides nothing."""
        self._teller.tell(epoch, point)
        if self._temporary:
            return
        line = json.dumps({"epoch": epoch, **point})
        with (
            contextlib.suppress(OSError),
            open(self.folder.parent / _LOG, "a", opener=unlinked) as log,
        ):
            log.write(f"{line}\n")

    def noted_after(self, epoch: int) -> dict[int, dict[str, float]]:
        """The point that was written down next after an epoch, where there is one.

        Of a trial that was lost after it had saved, and before it saved again.
        """
        found: dict[int, dict[str, float]] = {}
        with contextlib.suppress(OSError):
            for line in (self.folder.parent / _LOG).read_text().splitlines():
                with contextlib.suppress(ValueError, KeyError):  # cut short
                    point = json.loads(line)
                    found[point.pop("epoch")] = point
        later = min((noted for noted in found if noted > epoch), default=None)
        return {} if later is None else {later: found[later]}

    def show(self, epoch: int, point: Mapping[str, float]) -> None:
        """Have who watches see a point that is written down elsewhere."""
        self._teller.tell(epoch, point)
