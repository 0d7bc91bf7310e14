"""What strengths are chosen by: the criteria of an objective, and those that a row names.

`BEST` compares best against best: forced with the way of training that suits it, none with its own.
"""

import re
from collections.abc import Sequence

CRITERIA = ("alignment", "performance")
BOTH = "both"
BEST = "best"
CHOSEN_BY = (*CRITERIA, BEST)
"""All that a row may name."""


def criteria_of(objective: str) -> tuple[str, ...]:
    """The criteria that an objective stands for."""
    return CRITERIA if objective == BOTH else (objective,)


def objective_of(criteria: Sequence[str]) -> str:
    """The objective that stands for these criteria; empty for none."""
    criteria = [criterion for criterion in criteria if criterion != BEST]
    return BOTH if len(criteria) > 1 else "".join(criteria)


def joined(criteria: Sequence[str]) -> str:
    """How ``chosen_by`` names the criteria that chose one strength."""
    return "+".join(criteria)


def chosen_by(text: object) -> tuple[str, ...]:
    """The criteria that ``chosen_by`` names; none where it is empty or missing."""
    return tuple(re.findall(r"\w+", text)) if isinstance(text, str) else ()
