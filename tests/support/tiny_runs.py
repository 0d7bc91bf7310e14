"""Tiny studies, their runs in process and as processes, and the comparison of their tables."""

import copy
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import prepared
import yaml

from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.study import checks
from raysweep.study.reader import parse_study
from raysweep.trials.columns import TIMING_COLUMNS
from raysweep.trials.storage import Output
from raysweep.trials.table import PART_SUFFIX, PARTS, read_table

SUPPORT = Path(__file__).parent
TINY: Mapping[str, Any] = {
    "name": "tiny",
    "data": {"dataset": "synthetic", "U": [0], "train": 64, "validation": 32, "test": 64},
    "model": {"width": 8},
    "training": {"epochs": 2, "batch_size": 32, "dtype": "float64"},
    "evaluation": {"metrics": {"unbiased_cka": {}}, "rows": 32},
    "search": {"trials": 4, "generation": 2, "seeds": 2},
    "confirm": {"seeds": 4},
    "resources": {"members_per_pack": 3},
}


def tiny(**changes: Any) -> dict[str, Any]:
    """The tiny study as a document, with changes such as ``search__trials=6``."""
    document = copy.deepcopy(dict(TINY))
    for name, value in changes.items():
        *path, last = name.split("__")
        part = document
        for key in path:
            part = part.setdefault(key, {})
        part[last] = value
    return document


def study(**changes: Any) -> Study:
    """The tiny study as the command line resolves it."""
    text = yaml.safe_dump(tiny(**changes), sort_keys=False)
    return parse_study(text, "tiny", SUPPORT, (), checks.check, checks.resolve_files)


def misbehaving(folder: Path, fault: str, amount: float = 1, **changes: Any) -> dict[str, Any]:
    """Changes for a study whose alignment loss can misbehave; ``folder`` holds its switch."""
    folder.mkdir(exist_ok=True)
    options = {"folder": str(folder), "fault": fault, "amount": amount, "packed": True}
    return {"alignment": {"loss": "misbehaving:loss", "options": options}, **changes}


def packed(switch: Path) -> list[tuple[int, int]]:
    """Process and members of every call of a loss that was armed, in order."""
    lines = (switch / "members").read_text().splitlines()
    return [(int(process), int(members)) for process, members in map(str.split, lines)]


def opened(folder: Path | str, wanted: Study) -> RunFolder:
    """The output folder, adopted by the study."""
    place = RunFolder(Output(folder))
    place.adopt(wanted)
    return place


def begun(output: Output) -> None:
    """A part of some pack: from now on the folder's study has results to lose."""
    output.write(f"{PARTS}/some{PART_SUFFIX}", b"")


def write_study(path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump(tiny(**changes), sort_keys=False))
    return path


def table(folder: Path | str) -> pd.DataFrame:
    """The trial table without the columns that tell of time."""
    return read_table(folder).drop(columns=list(TIMING_COLUMNS))


def assert_same_table(left: pd.DataFrame, right: pd.DataFrame) -> None:
    """Same rows, same order, every number equal in every bit."""
    pd.testing.assert_frame_equal(left, right, check_exact=True)


def assert_equal_numbers(left: pd.DataFrame, right: pd.DataFrame) -> None:
    """Same rows, same order, every number equal to 1e-10.

    Members are measured in stacked products, which round by how many there are on some processors.
    """
    pd.testing.assert_frame_equal(left, right, check_exact=False, rtol=0, atol=1e-10)


def command(*arguments: object, module: str = "raysweep") -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]


def environment() -> dict[str, str]:
    path = [str(SUPPORT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in path if p)}


def raysweep(folder: Path, *arguments: object, timeout: float = 240) -> Any:
    """Run the command line to its end, in a process that need not import the libraries."""
    return prepared.run(folder, [str(a) for a in arguments], environment(), timeout)


def started(
    folder: Path, *arguments: object, log: str = "log", module: str = "raysweep"
) -> subprocess.Popen[bytes]:
    """Start the command line in a process group of its own, as a shell does."""
    with open(folder / log, "ab") as stream:
        return subprocess.Popen(
            command(*arguments, module=module),
            cwd=folder,
            env=environment(),
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process that a test started, if it still runs."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait(30)


def words(text: str) -> str:
    """A text without its line breaks, which depend on how long names are."""
    return " ".join(text.split())


def parts(folder: Path) -> list[str]:
    """Names of the part files."""
    return sorted(p.name for p in (folder / "parts").glob(f"*{PART_SUFFIX}"))
