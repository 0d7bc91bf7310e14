"""Where a trial of the user's own keeps what it has come to."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

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

    Attributes:
        name: of its folder in the run's.
        folder: the user's own part of it.
    """

    def __init__(self, output: Output, trial: Trial) -> None:
        self._output = output
        self.name = f"{TRIALS}/{replace(trial, epochs=0).key}"
        local = output.folder(f"{self.name}/files")
        self._temporary = local is None
        self.folder = local or Path(tempfile.mkdtemp(prefix="raysweep-trial-"))

    def leave(self) -> None:
        """Remove the user's part where it is not in the run's folder."""
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
        if self._temporary:
            return
        line = json.dumps({"epoch": epoch, **point})
        path = self.folder.parent / _LOG
        with contextlib.suppress(OSError), open(path, "a", opener=unlinked) as stream:
            stream.write(line + "\n")
