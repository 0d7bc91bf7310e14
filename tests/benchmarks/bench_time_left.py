"""How steady the time left is, on two studies whose runs are replayed from what their packs took.

    python tests/benchmarks/bench_time_left.py --keep /tmp/time_left

Each study is run once in this process, and the CPU time of every pack is kept, so that other work
on the machine has no say. The packs are then replayed by one worker, and by several, each of which
takes the next pack when it is free. Printed is the time left that was told over the time that was
left: at its least and most from 20 % of the run on, and at 20, 50 and 80 %. With ``--slower 2``
packs take twice as long once half of them have begun, as where other work comes to the machine; and
with ``--slower 0.5`` half as long, as where it goes. Printed is also in which share of what is told
from 20 % on it was within a factor of 1.5, and from which share of the run on always.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from raysweep.folder.run_folder import RunFolder, sweep_of
from raysweep.kinds.pace import Pace
from raysweep.kinds.sweep import Sweep
from raysweep.runners import local
from raysweep.runners.observer import Silent
from raysweep.study import checks
from raysweep.study.bundled import find_study
from raysweep.study.reader import load_study
from raysweep.study.spec import StudyBase
from raysweep.trials.packing import Pack
from raysweep.trials.storage import Output
from raysweep.trials.table import Row, read_parts, results_of
from raysweep.trials.trial import TrialResult

STUDIES = ["quickstart", str(Path(__file__).with_name("mixed_shapes.yaml"))]
SECONDS = "seconds.json"
FROM = 0.2
WITHIN = 1.5
NEARLY = 0.95
"""The last that is told is of one pack, and of a second or two."""
SHOWN = (0.2, 0.5, 0.8)


@dataclass(frozen=True)
class Told:
    """What was told at a moment.

    Attributes:
        share: of the run that had gone, 0..1.
        ratio: time left as told over time left.
    """

    share: float
    ratio: float


@dataclass(frozen=True)
class Recorded:
    """A finished run: what came of its trials, and the CPU time that each of its packs took, s."""

    study: StudyBase
    results: dict[str, TrialResult]
    seconds: dict[str, float]


class Times(Silent):
    """An observer that notes the CPU time of every pack."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.process_time()

    def tick(self, sweep: Sweep) -> None:
        self._began = time.process_time()

    def pack_finished(self, sweep: Sweep, pack: Pack, rows: Sequence[Row]) -> None:
        self.seconds[pack.key] = time.process_time() - self._began


def recorded(name: str, place: Path) -> Recorded:
    """Run a study, or take what was kept of its run."""
    folder, kept = RunFolder(Output(place)), place / SECONDS
    study = load_study(find_study(name), (), checks.check, checks.resolve_files)
    if not kept.is_file():
        times = Times()
        folder.adopt(study)
        local.run(study, folder, times)
        kept.write_text(json.dumps(times.seconds))
    results = results_of(read_parts(folder.output).table.to_pylist())
    return Recorded(study, {r.key: r for r in results}, json.loads(kept.read_text()))


def replay(run: Recorded, workers: int, slower: float = 1.0) -> list[Told]:
    """What is told as every pack ends, and half-way between.

    The second half of the packs takes ``slower`` times as long.
    """
    now, begun = 0.0, 0
    pace = Pace(lambda: now)
    sweep = sweep_of(run.study, {})
    ends: list[tuple[float, Pack]] = []
    told: list[tuple[float, float]] = []

    def tell() -> None:
        left = pace.seconds_left(sweep)
        if left is not None:
            told.append((now, left))

    while True:
        while len(ends) < workers and (pack := sweep.next_pack()) is not None:
            sweep.begin(pack)
            begun += 1
            times = slower if begun > len(run.seconds) / 2 else 1.0
            ends.append((now + times * run.seconds[pack.key], pack))
        pace.look(sweep)
        tell()
        if not ends:
            break
        first = min(ends, key=lambda end: end[0])
        ends.remove(first)
        end, pack = first
        now = (now + end) / 2
        tell()
        now = end
        sweep.complete(pack, [run.results[trial.key] for trial in pack.trials])
        pace.ended(pack)
    return [Told(at / now, left / (now - at)) for at, left in told if at < NEARLY * now]


def within(told: Sequence[Told]) -> tuple[float, float]:
    """The share of what was told that was within a factor of 1.5, and since when all of it was."""
    good = [1 / WITHIN < one.ratio < WITHIN for one in told]
    last = max((i for i, is_good in enumerate(good) if not is_good), default=-1)
    since = told[last + 1].share if last + 1 < len(told) else 1.0
    return sum(good) / len(good), since


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", nargs="+", default=STUDIES)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--slower", type=float, nargs="+", default=[1.0])
    parser.add_argument("--keep", type=Path, help="where runs are kept; a temporary folder if not")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.studies:
            run = recorded(name, (arguments.keep or Path(folder)) / Path(name).stem)
            for slower, workers in product(arguments.slower, arguments.workers):
                told = replay(run, workers, slower)
                late = [one.ratio for one in told if one.share >= FROM]
                share, since = within([one for one in told if one.share >= FROM])
                at = {of: min(told, key=lambda one, of=of: abs(one.share - of)) for of in SHOWN}
                sys.stdout.write(
                    f"{run.study.name}: {len(run.seconds)} packs, {sum(run.seconds.values()):.0f} s"
                    f" of CPU time, {workers} at a time, then {slower:g} times as long: "
                    f"{min(late):.2f} to {max(late):.2f} from {FROM:.0%} on, "
                    f"{share:.0%} of it within {WITHIN}, "
                    f"all from {since:.0%} on; "
                    + ", ".join(f"{one.ratio:.2f} at {of:.0%}" for of, one in at.items())
                    + f"; first told at {told[0].share:.0%}: {told[0].ratio:.2f}\n"
                )


if __name__ == "__main__":
    main()
