"""The faults that a study file is told."""

from pathlib import Path

import pytest

from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.study import checks
from raysweep.study.reader import StudyFileError, parse_study


def parse(text: str, *overrides: str) -> Study:
    return parse_study(text, "s.yaml", Path.cwd(), overrides, checks.check, checks.resolve_files)


def faults_of(text: str, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(StudyFileError) as caught:
        parse(text, *overrides)
    return caught.value.faults


def plainly(text: str, *overrides: str) -> Study:
    """The study without the registries."""
    return parse_study(text, "s.yaml", Path.cwd(), overrides)
