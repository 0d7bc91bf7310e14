"""Shared fixtures: a study so small that all of it trains in about a second."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys

# A shell that starts the tests in the background lets them ignore Ctrl-C, and so would the programs
# that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before numpy and torch are imported: tests share the machine's cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Each of the many programs that the tests start would compile the package for itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

import raysweep.cli  # noqa: F401
from raysweep.kinds.forcing.study import ForcingStudy as Study

# Importing the command line takes off the path what it holds for the user's folder, as this one.
sys.path.insert(0, str(Path(__file__).parent / "support"))

from tiny_runs import SUPPORT
from tiny_two_cells import TINY, StudyFactory, tiny

sys.dont_write_bytecode = False

hypothesis.settings.register_profile("raysweep", deadline=None, derandomize=True)
hypothesis.settings.load_profile("raysweep")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the folder of long tests unread, unless they are asked for: it imports a browser."""
    asked = "faults" in (config.option.markexpr or "")
    return None if asked or collection_path.name != "faults" else True


_AHEAD = pytest.StashKey["subprocess.Popen[bytes]"]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the kernel beside the first tests, which need none: workers would all wait for it."""
    if getattr(session.config.option, "numprocesses", None):
        command = [sys.executable, str(SUPPORT / "compiled.py")]
        session.config.stash[_AHEAD] = subprocess.Popen(command, stdin=subprocess.DEVNULL)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Wait for what still compiles: what is begun lies on disk for the next time."""
    ahead = session.config.stash.get(_AHEAD, None)
    if ahead is not None:
        ahead.wait()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests out, unless they are asked for."""
    for item in items:
        if item.path.parent.name == "faults":
            item.add_marker("faults")
    asked = config.option.markexpr or ""
    left_out = [] if "faults" in asked else ["faults"] if "slow" in asked else ["faults", "slow"]
    long = [item for item in items if any(map(item.get_closest_marker, left_out))]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.fixture
def tiny_yaml(tmp_path: Path) -> Path:
    """The tiny study as a file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def study_of() -> StudyFactory:
    """Makes the tiny study with overrides, see `tiny`."""
    return tiny


@pytest.fixture
def tiny_study(study_of: StudyFactory) -> Study:
    """The tiny study as it is."""
    return study_of()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that MLflow has set up, which takes it seconds."""
    from raysweep.tracking.address import Address
    from raysweep.tracking.store import Store

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    Store(Address(f"sqlite:///{path}", "given"), "unused", "", {}, "", "")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


@pytest.fixture
def uri(empty_database: Path, tmp_path: Path) -> str:
    """The address of a database of MLflow's without runs."""
    path = tmp_path / "mlflow.db"
    shutil.copyfile(empty_database, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def compiled_kernel() -> None:
    """The kernel with all its losses."""
    from compiled import compile_all

    compile_all()


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """One Ray of 2 CPUs for all tests of a file, with a GPU that is declared and not there."""
    from raysweep.runners import ray_cluster  # sets what Ray reads when it is imported

    ray = ray_cluster.ray
    path = list(sys.path)
    sys.path.insert(0, str(SUPPORT))
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=1,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(path)}},
    )
    yield
    ray.shutdown()
    sys.path[:] = path
