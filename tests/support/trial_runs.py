"""Runs of a user's own trials in this process."""

from pathlib import Path
from typing import Any

import yaml
from tiny_runs import opened

from raysweep.kinds.trial.study import TrialStudy
from raysweep.runners import local
from raysweep.study import checks
from raysweep.study.reader import parse_study

SUPPORT = Path(__file__).parents[2]
KNOWN: dict[str, Any] = {
    "name": "mine",
    "kind": "trial",
    "trial": "own_trials:known",
    "grid": {"genre": ["helps", "hurts", "nothing"]},
    "search": {"trials": 6, "seeds": 2, "strength": {"low": 0.3, "high": 3}},
    "confirm": {"seeds": 10},
    "verdict": {"performance": "f1_test", "margin": 0.02},
}


def document(**changes: Any) -> dict[str, Any]:
    """`KNOWN` with other values at its top; None takes one out."""
    found = {**KNOWN, **changes}
    return {key: value for key, value in found.items() if value is not None}


def study(folder: Path = SUPPORT, **changes: Any) -> TrialStudy:
    text = yaml.safe_dump(document(**changes), sort_keys=False)
    found = parse_study(text, "mine", folder, (), checks.check, checks.resolve_files)
    assert isinstance(found, TrialStudy)
    return found


def ran(wanted: TrialStudy, folder: Path) -> Any:
    return local.run(wanted, opened(folder, wanted))
