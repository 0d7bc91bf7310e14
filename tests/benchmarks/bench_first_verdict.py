"""What the way to a first verdict costs, beside an earlier build.

    python tests/benchmarks/bench_first_verdict.py --before FOLDER [--rounds 3]

FOLDER is a checkout of that build, say `git worktree add FOLDER COMMIT`. Both sides run the same
commands in turns, with the same libraries and the kernel compiled, each time with an empty cache of
the user's and from a folder of their own. CPU time is that of the command and of all that it waits
for; memory that of its largest process.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCAL = ("run", "quickstart", "--out", "out", "--runner", "local", "--no-mlflow")
RAY = ("run", "quickstart", "--out", "out", "--no-mlflow")
PLAN = ("plan", "quickstart")
COMMANDS = {"plan": PLAN, "run, one process": LOCAL, "run, Ray": RAY}


@dataclass(frozen=True)
class Cost:
    """Of one command: CPU time and wall-clock time in s, largest resident size in MB."""

    cpu: float
    wall: float
    memory: float


def cost(build: Path, arguments: tuple[str, ...]) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(build), str(build / "analysis"))),
            "XDG_CACHE_HOME": str(Path(folder, "cache")),
            "OMP_NUM_THREADS": "1",
        }
        began = time.perf_counter()
        run = subprocess.Popen(
            [sys.executable, "-m", "raysweep", *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(run.pid, 0)
        wall = time.perf_counter() - began
    if status:
        sys.exit(f"{build}: {' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    return Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss * scale() / 1e6)


def scale() -> int:
    """Bytes in the unit of ru_maxrss."""
    return 1 if sys.platform == "darwin" else 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    given = parser.parse_args()
    builds = (given.before.resolve(), ROOT)
    for build in builds:
        cost(build, PLAN)  # compiles the kernel
    sys.stdout.write(
        "| command | | before | now | now / before |\n| --- | --- | --- | --- | --- |\n"
    )
    for name in given.commands:
        rounds = [
            tuple(cost(build, COMMANDS[name]) for build in builds) for _ in range(given.rounds)
        ]
        for unit in ("cpu", "wall", "memory"):
            pairs = [(getattr(before, unit), getattr(now, unit)) for before, now in rounds]
            old, new = (statistics.median(side) for side in zip(*pairs, strict=True))
            ratio = statistics.median(now / before for before, now in pairs)
            sys.stdout.write(f"| {name} | {unit} | {old:.1f} | {new:.1f} | {ratio:.2f} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
