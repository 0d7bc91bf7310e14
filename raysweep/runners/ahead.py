"""Estimates that a run's rows will need, made in a process of its own while packs already train."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

from raysweep.data.registry import find_dataset, load, load_estimate
from raysweep.errors import InputError
from raysweep.study.cells import expand
from raysweep.study.spec import StudyBase


@contextlib.contextmanager
def estimates_ahead(study: StudyBase) -> Iterator[None]:
    """Make the estimates of a study's data on this machine while the block runs.

    Whoever needs one finds it on disk, waits for it, or makes it (`raysweep.data.kept_estimates`),
    so that the process changes when estimates are there, and no number. It ends with the block, or
    with this process.
    """
    wanted = [
        (cell.dataset, dict(cell.parameters), draw)
        for cell in (expand(study) if study.data else ())
        if not find_dataset(cell.dataset).exact
        for draw in cell.draws
    ]
    # Models of several scales learn from the same data.
    asked = list(dict.fromkeys(json.dumps(of_draw) for of_draw in wanted))
    if not asked:
        yield
        return
    process = _start("\n".join(asked) + "\n\n")
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.communicate()


def _start(asked: str) -> subprocess.Popen[bytes] | None:
    """The process; None where none can be started."""
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # it does not see Ctrl-C
        )
        assert process.stdin is not None
        process.stdin.write(asked.encode())
        process.stdin.flush()  # and stays open: its end says that this process is gone
    except OSError:
        return None
    return process


def _main() -> None:
    asked = []
    while line := sys.stdin.readline().strip():
        asked.append(json.loads(line))
    threading.Thread(target=_end_with_the_input, daemon=True).start()
    for dataset, parameters, draw in asked:
        with contextlib.suppress(InputError):  # who needs it is told
            if load(dataset, parameters, draw).information is None:
                load_estimate(dataset, parameters, draw)


def _end_with_the_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _main()
