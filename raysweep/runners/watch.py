"""A run seen from another process: what it has stored so far, and what comes in."""

import time
from pathlib import PurePosixPath

from raysweep.folder.run_folder import FAILURES, Driver, RunFolder, sweep_of
from raysweep.folder.stored_progress import stored_seconds_left
from raysweep.kinds.display import RunDisplay
from raysweep.kinds.outlook import Outlook
from raysweep.kinds.so_far import of_folder
from raysweep.kinds.sweep import Sweep
from raysweep.runners.epochs import Epochs
from raysweep.study.spec import StudyBase
from raysweep.trials.packing import Pack
from raysweep.trials.table import PART_SUFFIX, PARTS, read_parts

EVERY_S = 1.0


def outlook_of(folder: RunFolder, study: StudyBase) -> Outlook:
    """What is known of a run that another process drives, if one does."""

    def told() -> float | None:
        driver = folder.driver()
        return None if driver is None else stored_seconds_left(folder.output, driver.since_ns)

    return Outlook(of_folder(folder, study), told=told)


def watch(folder: RunFolder, display: RunDisplay, outlook: Outlook) -> Sweep:
    """Show a run that another process drives, from its start, until it ends.

    Args:
        folder: the run's folder, on this machine, shared, or far away.
        display: shows what has been stored since the driver started, and what comes in.
        outlook: as from `outlook_of`; told what comes in.

    Returns:
        The sweep as it was at the end: every trial there or given up, or the driver gone.
    """
    study = folder.existing_study()
    driver = folder.driver()
    if driver is None:
        return folder.left(study)
    follower = _Follower(folder, study, driver, display, outlook)
    while True:
        # Asked first: what a driver stores before it ends is then still taken in.
        gone = folder.driver() is None
        follower.take_in()
        if gone or follower.sweep.finished:
            return follower.sweep
        time.sleep(EVERY_S)


class _Follower:
    """Repeats a driver's run from the files that it leaves."""

    def __init__(
        self,
        folder: RunFolder,
        study: StudyBase,
        driver: Driver,
        display: RunDisplay,
        outlook: Outlook,
    ) -> None:
        self._folder, self._display, self._outlook = folder, display, outlook
        self._epochs = Epochs(folder, display)
        output = folder.output
        parts, failures = output.stamps(PARTS, PART_SUFFIX), output.stamps(FAILURES, ".txt")
        since = driver.since_ns
        self._seen = {name: at for name, at in parts.items() if at < since}
        self._failed = {name: at for name, at in failures.items() if at < since}
        self.sweep = sweep_of(
            study, read_parts(output, sorted(self._seen)).results(study.confirmed_columns)
        )
        gone_s = max(time.time() - since / 1e9, 0.0)
        display.started(self.sweep, f"run by {driver.name}", gone_s)

    def take_in(self) -> None:
        """Show what was stored since the last time, in the order in which it was."""
        stamps = self._folder.output.stamps(PARTS, PART_SUFFIX)
        for name, at in sorted(stamps.items(), key=lambda item: item[1]):
            if self._seen.get(name) != at:
                self._seen[name] = at
                self._take_in_part(name)
        stamps = self._folder.output.stamps(FAILURES, ".txt")
        fresh = {name for name, at in stamps.items() if self._failed.get(name) != at}
        if fresh:
            self._failed.update(stamps)
            keys = {PurePosixPath(name).stem for name in fresh}
            for pack in self.sweep.missing():
                if pack.key in keys:
                    reason = self._folder.failure(pack) or ""
                    self.sweep.fail(pack, reason)
                    self._display.pack_failed(self.sweep, pack, reason)
        self._epochs.tick(self.sweep)

    def _take_in_part(self, name: str) -> None:
        parts = read_parts(self._folder.output, [name])
        rows = parts.table.to_pylist()
        self._outlook.so_far.take_in(rows)
        plans = self.sweep.plans
        cells = dict.fromkeys(row["cell"] for row in rows if row["cell"] in plans)
        if not cells:
            return
        planned = {trial.key: trial for cell in cells for trial in plans[cell].trials}
        trials = tuple(planned[row["key"]] for row in rows if row["key"] in planned)
        if trials:
            pack = Pack(trials)
            self.sweep.complete(pack, parts.results(self.sweep.study.confirmed_columns).values())
            self._display.pack_finished(self.sweep, pack, rows)
        else:  # of a generation whose predecessor has not been seen yet
            self.sweep.results.update(parts.results(self.sweep.study.confirmed_columns))
