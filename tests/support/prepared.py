"""The command line as a process of its own, forked where the libraries are imported already.

Importing torch, pandas, SciPy and Matplotlib takes longer than most tests' commands do. Only
libraries are there: what is tested is imported by each process anew, in its folder and environment.
"""

import atexit
import functools
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

LIBRARIES = (
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "numba",
    "optuna",
    "pandas",
    "pyarrow.fs",
    "pyarrow.parquet",
    "pydantic",
    "rich.console",
    "scipy.spatial",
    "scipy.stats",
    "sklearn.linear_model",
    "torch",
    "typer",
    "yaml",
)
_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload(list(LIBRARIES))


def run(
    folder: Path, arguments: list[str], environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """``python -m raysweep ARGUMENTS`` to its end.

    Args:
        folder: the working folder.
        arguments: of the command line.
        environment: all of the process's variables.
        timeout: seconds after which it is killed.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    with tempfile.TemporaryDirectory() as place:
        out, err = Path(place) / "out", Path(place) / "err"
        process = _FORK.Process(
            target=_main, args=(str(folder), arguments, dict(environment), _path(), (out, err))
        )
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, timeout, out.read_bytes(), err.read_bytes())
        code = process.exitcode
        process.close()
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())


@functools.cache
def _path() -> list[str]:
    """Where Python looks for modules on its own account."""
    code = "import sys; print(*sys.path, sep='\\n')"
    command = [sys.executable, "-E", "-P", "-c", code]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n")


def _main(
    folder: str,
    arguments: list[str],
    variables: dict[str, str],
    path: list[str],
    written: tuple[Path, Path],
) -> None:
    for descriptor, name in enumerate((os.devnull, *written)):
        opened = os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    given = filter(None, variables.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = [folder, *map(os.path.abspath, given), *filter(None, path)]
    sys.argv = ["raysweep", *arguments]
    try:
        from raysweep.cli import main

        main()
    finally:
        # Processes that multiprocessing has made leave them out.
        atexit._run_exitfuncs()
