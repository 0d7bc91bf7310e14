"""Pre-registration as data: what is to be tested, hashed before the first trial.

Needs the standard library only. `register` makes the text to store beside the results before
anything runs; `check` says afterwards whether an analysis is the one that was planned.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from raysweep.errors import InputError
from raysweep.trials.columns import PERFORMANCE
from raysweep.trials.outcomes import amount

PLAN_NAME = "plan.json"


@dataclass(frozen=True)
class AnalysisPlan:
    """What a confirmatory study commits itself to.

    Attributes:
        study: its name.
        cells: ids of the cells, one hypothesis (forcing changes nothing here) per cell and
            criterion.
        draws: cell id -> dataset draws.
        seeds: of the confirm stage.
        search_seeds: of the search; none of them may confirm.
        criteria: what chooses the strengths: `alignment`, `performance` or both.
        performance: the primary outcome.
        alpha: family-wise error rate.
        margin: of equivalence, in the outcome's unit.
        unit: `auto`, `seed` or `draw` (see `forcing_effects`).
        arms: of the confirm stage.
        test: the primary test, in words.
        family: what the p-values are adjusted over, in words.
        hypotheses: expectations in words, such as "helps where U is small".
        science: digest of what the trials' numbers depend on.
    """

    study: str
    cells: tuple[str, ...]
    draws: Mapping[str, tuple[int, ...]]
    seeds: tuple[int, ...]
    search_seeds: tuple[int, ...]
    criteria: tuple[str, ...] = ("alignment",)
    performance: str = PERFORMANCE
    alpha: float = 0.05
    margin: float = 0.005
    unit: str = "auto"
    arms: tuple[str, ...] = ("none", "forced", "placebo")
    test: str = "paired t, two-sided"
    family: str = "Holm over all cells and criteria of the study"
    hypotheses: tuple[str, ...] = ()
    science: str = ""

    def canonical(self) -> str:
        """The plan as JSON in one fixed form: sorted keys, no blanks, ASCII."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical text, 64 hexadecimal digits."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()


@dataclass(frozen=True)
class PlanCheck:
    """Whether an analysis is the planned one.

    Attributes:
        confirmatory: the hash matches and so does what was run and tested.
        digest: of the plan; empty without one.
        deviations: what differs, in plain words.
    """

    confirmatory: bool
    digest: str
    deviations: tuple[str, ...]


def register(plan: AnalysisPlan, registered: str = "") -> str:
    """The text of `plan.json`: the plan, its hash, and when it was registered (free text)."""
    content = {"plan": asdict(plan), "sha256": plan.digest, "registered": registered}
    return json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"


def read_plan(text: str, name: str = PLAN_NAME) -> tuple[AnalysisPlan, str]:
    """Read the text of `plan.json`.

    Returns:
        The plan and the hash stored with it, whether or not they match (`check` compares).

    Raises:
        InputError: not the text of a plan.
    """
    try:
        content = json.loads(text)
        given, stored = content["plan"], str(content["sha256"])
        known = {field.name for field in fields(AnalysisPlan)}
        if set(given) != known:
            odd = ", ".join(sorted(set(given) ^ known))
            raise InputError(f"{name}: the plan's keys differ from what is expected: {odd}")
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in given.items()
        }
        values["draws"] = {cell: tuple(draws) for cell, draws in given["draws"].items()}
        plan = AnalysisPlan(**values)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{name}: is damaged, expected the plan as it was registered ({error}); restore it, or "
            "remove the file: the report then says that no plan was registered"
        ) from error
    return plan, stored


def check(
    plan: AnalysisPlan | None,
    stored_digest: str = "",
    *,
    performance: str,
    alpha: float,
    margin: float,
    unit: str = "auto",
    runs: Iterable[tuple[str, int, int]] = (),
    other_digest: str | None = None,
    science: str | None = None,
    looks: Sequence[int] = (),
) -> PlanCheck:
    """Compare a plan with the analysis that was made.

    Args:
        plan: the plan found beside the results, or None.
        stored_digest: the hash stored with it.
        performance: outcome analysed.
        alpha: level used.
        margin: margin used.
        unit: unit used.
        runs: (cell, draw, seed) of the confirm rows there are, whatever their status.
        other_digest: the hash as it was noted somewhere safer (printed, committed, in the rows).
        science: digest of what the analysed trials' numbers depend on; None where it is not known.
        looks: units at each look of a sequential study, whose cells may end at any of them.
    """
    if plan is None:
        return PlanCheck(False, "", ("no plan was registered before the first trial",))
    said = []
    if plan.digest != stored_digest:
        said.append("the plan was changed after its hash was taken")
    if other_digest is not None and other_digest != plan.digest:
        said.append("the hash given is not the plan's")
    for what, planned, used in (
        ("outcome", plan.performance, performance),
        ("alpha", plan.alpha, alpha),
        ("margin", amount(plan.margin, plan.performance), amount(margin, performance)),
        ("unit", plan.unit, unit),
    ):
        if planned != used:
            said.append(f"{what} is {used}, planned was {planned}")
    if science is not None and plan.science and science != plan.science:
        said.append(
            "what the trials' numbers depend on (data, models, training, losses, metrics or their "
            f"version) was changed: its digest is {science}, planned was {plan.science}"
        )
    there = set(runs)
    planned_runs = {
        (cell, draw, seed)
        for cell in plan.cells
        for draw in plan.draws.get(cell, ())
        for seed in plan.seeds
    }
    needed = planned_runs
    if looks:
        needed = {run for cell in plan.cells for run in _of_looks(plan, cell, there, looks)}
    if missing := len(needed - there):
        said.append(f"{missing} of {len(planned_runs)} planned confirm runs are missing")
    if extra := len(there - planned_runs):
        said.append(f"{extra} confirm runs were not planned")
    if set(plan.seeds) & set(plan.search_seeds):
        said.append("the plan uses seeds both to search and to confirm")
    return PlanCheck(not said, plan.digest, tuple(said))


def _of_looks(
    plan: AnalysisPlan, cell: str, there: Iterable[tuple[str, int, int]], looks: Sequence[int]
) -> Iterator[tuple[str, int, int]]:
    """The runs of a cell up to the look that it has come to, at least of the first."""
    draws = sorted(plan.draws.get(cell, ()))
    by_draw = len(draws) > 1
    units = {draw if by_draw else seed for of, draw, seed in there if of == cell}
    at = next((n for n in looks if n >= len(units)), looks[-1])
    draws, seeds = (draws[:at], plan.seeds) if by_draw else (draws, sorted(plan.seeds)[:at])
    yield from ((cell, draw, seed) for draw in draws for seed in seeds)
