"""Study files checked as the command line does it."""

from pathlib import Path

import pytest
from tiny_two_cells import StudyFactory

from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.study import checks
from raysweep.study.reader import StudyFileError, load_study


def faults(study_of: StudyFactory, *overrides: str) -> list[str]:
    with pytest.raises(StudyFileError) as caught:
        study_of(*overrides)
    return [fault.removeprefix(f"--set {overrides[-1]}: ") for fault in caught.value.faults]


def load(path: Path, *overrides: str) -> Study:
    return load_study(path, overrides, checks.check, checks.resolve_files)
