"""The confirm stage of a cell: all at once, or look by look until the cell is decided."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raysweep.folder.causes import forces_nothing
from raysweep.kinds.forcing.cell_search import CellSearch, Results
from raysweep.study.cells import Cell
from raysweep.study.spec import SearchedStudy
from raysweep.trials.criteria import chosen_by, joined
from raysweep.trials.trial import Arm, Proposal, Stage, Status, Trial

if TYPE_CHECKING:
    from raysweep_analysis.stopping import Rule

Groups = list[list[Trial]]
Place = tuple[int, int]


@dataclass
class Confirmation:
    """The confirm stage of a cell, step by step: what it asks for comes before what that says.

    Without looks there is one step, with all arms in every place. Else a step is a look at the
    criteria that are open: fresh units of arms none and forced. A criterion is closed as soon as
    it is decided, by the cell's own results alone; where forcing helps or hurts, a last step trains
    the placebos of its units, which say what of it is regularisation.

    Attributes:
        search: what the strengths come from.
        chosen: criterion -> proposal.
        allowed: looks that a budget allows so far; None for all.
        looked: looks that are told.
        p_values: open criterion -> how near it is to a verdict (`Standing.p_value`).
        trials: all that were asked for.
    """

    search: CellSearch
    chosen: Mapping[str, Proposal]
    allowed: int | None = None
    looked: int = 0
    p_values: dict[str, float] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    _owed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.p_values = dict.fromkeys(self.chosen, 1.0)

    @property
    def _looks(self) -> tuple[int, ...]:
        return self.search.study.confirm.sequential

    @property
    def _steps(self) -> int:
        """Looks there may be; a stage at once is one."""
        return len(self._looks) or 1

    def ask(self) -> Groups:
        """The trials of the next step, those of one place together; none where it is over."""
        most = self._steps if self.allowed is None else min(self.allowed, self._steps)
        arms: tuple[Arm, ...]
        if self._owed:
            criteria, arms, places = self._owed, (Arm.PLACEBO,), self._places(0, self.looked)
        elif self.p_values and self.looked < most:
            criteria, places = list(self.p_values), self._places(self.looked, self.looked + 1)
            arms = (Arm.FORCED,) if self._looks else (Arm.FORCED, Arm.PLACEBO)
        else:
            return []
        # Two criteria may have one strength, and close at other looks.
        known = {trial.key for trial in self.trials}
        groups = [self._group(place, criteria, arms) for place in places]
        groups = [[trial for trial in group if trial.key not in known] for group in groups]
        self.trials += itertools.chain(*groups)
        return groups

    def tell(self, results: Results) -> None:
        """Take in the results of the step that was asked for."""
        if self._owed:
            self._owed = []
            return
        self.looked += 1
        if not self._looks:
            self.p_values = {}
            return
        decided = {of: self._standing(of, results) for of in self.p_values}
        self._owed = [of for of, (verdict, _) in decided.items() if verdict in ("helps", "hurts")]
        still = ("inconclusive", "untested")
        self.p_values = {of: p for of, (verdict, p) in decided.items() if verdict in still}

    def cost_of_next(self) -> int:
        """Trials of the next look, with all placebos that it may call for; 0 without one."""
        if not self.p_values or self.looked >= self._steps:
            return 0
        fresh = len(self._places(self.looked, self.looked + 1))
        so_far = len(self._places(0, self.looked + 1))
        forced = len({self.chosen[of] for of in self.p_values})
        return fresh * (1 + forced) + so_far * forced

    def still(self) -> list[int]:
        """Trials of the steps after the one that was asked for: see `steps_at_most`."""
        if not self._looks or not self.p_values or self.looked >= self._steps:
            return []
        first = self.looked + (0 if self._owed else 1)
        forced = len({self.chosen[of] for of in self.p_values})
        return steps_at_most(self.search.study, self.search.cell, first, forced)

    def _places(self, first: int, end: int) -> list[Place]:
        return _places(self.search.study, self.search.cell, first, end)

    def _group(self, place: Place, criteria: Sequence[str], arms: Sequence[Arm]) -> list[Trial]:
        proposals: dict[Proposal, list[str]] = {}
        for criterion, proposal in self.chosen.items():
            proposals.setdefault(proposal, []).append(criterion)
        wanted = {self.chosen[criterion] for criterion in criteria}
        first = [] if arms == (Arm.PLACEBO,) else [self.search.none(*place, Stage.CONFIRM)]
        return first + [
            self._trial(place, proposal, arm, joined(of))
            for proposal, of in proposals.items()
            if proposal in wanted
            for arm in arms
        ]

    def _trial(self, place: Place, proposal: Proposal, arm: Arm, by: str) -> Trial:
        return Trial(
            self.search.cell,
            *place,
            proposal.strength,
            arm,
            Stage.CONFIRM,
            self.search.science,
            chosen_by=by,
            options=proposal.options,
            training=proposal.training,
        )

    def _standing(self, criterion: str, results: Results) -> tuple[str, float]:
        """The verdict of a criterion at this look, and how near it is to one."""
        # The analysis takes a second to import, and only looks need it.
        from raysweep_analysis.stopping import PairedRun, standing

        study = self.search.study
        outcome = study.verdict.performance
        runs: dict[Place, dict[Arm, tuple[float | None, Status, float | None]]] = {}
        for trial in self.trials:
            if trial.arm is Arm.NONE or criterion in chosen_by(trial.chosen_by):
                seen = _seen(trial, results, outcome)
                runs.setdefault((trial.draw, trial.seed), {})[trial.arm] = seen
        paired = tuple(
            PairedRun(
                *place,
                of[Arm.FORCED][0],
                of[Arm.NONE][0],
                of[Arm.FORCED][1].value,
                of[Arm.NONE][1].value,
                of[Arm.FORCED][2],
            )
            for place, of in runs.items()
            if Arm.FORCED in of and Arm.NONE in of
        )
        found = standing(paired, rule_of(study))
        return found.verdict, found.p_value


def _places(study: SearchedStudy, cell: Cell, first: int, end: int) -> list[Place]:
    """Draws and seeds between two looks; units come in the order of their numbers."""
    seeds, draws, looks = study.confirm.seeds, cell.draws, study.confirm.sequential
    if not looks:
        return list(itertools.product(draws, seeds))
    low, high = (looks[at - 1] if at else 0 for at in (first, end))
    if len(draws) > 1:
        return list(itertools.product(sorted(draws)[low:high], seeds))
    return list(itertools.product(draws, sorted(seeds)[low:high]))


def steps_at_most(study: SearchedStudy, cell: Cell, first: int, forced: int) -> list[int]:
    """Trials of a cell's confirm stage, step by step, if it is decided at the last look or never.

    Args:
        study: the study.
        cell: one of its cells.
        first: the look that is the next one, from 0.
        forced: strengths that are confirmed.
    """
    looks = range(first, len(study.confirm.sequential))
    if not study.confirm.sequential:
        return [len(_places(study, cell, 0, 0)) * (1 + 2 * forced)]
    fresh = [len(_places(study, cell, look, look + 1)) * (1 + forced) for look in looks]
    return [*fresh, len(_places(study, cell, 0, looks.stop)) * forced]


def rule_of(study: SearchedStudy) -> "Rule":
    """When the cells of a study stop."""
    from raysweep_analysis.stopping import Rule

    tested = study.verdict
    return Rule(
        tested.performance,
        tested.alpha,
        tested.margin,
        study.confirm.sequential,
        sum(block.cells for block in study.blocks()) * len(study.criteria),
    )


def _seen(
    trial: Trial, results: Results, outcome: str
) -> tuple[float | None, Status, float | None]:
    """Outcome, status and tested share of a trial, as the analysis of its row would have them."""
    result = results[trial.key]
    value = result.values.get(outcome)
    facts = {**result.values, "arm": trial.arm}
    usable = result.status is Status.OK and not forces_nothing(facts)
    known = usable and isinstance(value, int | float) and value == value
    tested = None
    if result.values.get("resplit") is not None:
        test, train = result.number("n_test"), result.number("n_train")
        tested = test / (test + train)
    return float(value) if known else None, result.status, tested  # type: ignore[arg-type]


def spent(trials: Iterable[Trial], results: Results) -> tuple[int, float]:
    """Confirm trials that are there, and the minutes that they trained."""
    there = [results[t.key] for t in trials if t.stage is Stage.CONFIRM and t.key in results]
    seconds = (result.number("train_seconds") for result in there)
    return len(there), sum(s for s in seconds if s == s) / 60


def granted(
    study: SearchedStudy,
    trials: Mapping[str, Sequence[Trial]],
    stages: Mapping[str, Confirmation],
    results: Results,
) -> dict[str, int]:
    """Cell -> looks allowed, of those that what is left of the budget lets look once more.

    All cells that are open, where that fits; else those nearest to a verdict first. Minutes are
    counted by what a trial of the cell took so far.

    Args:
        study: with a budget.
        trials: cell -> its trials, all of which are there.
        stages: cell -> its confirm stage, as far as it has come.
        results: of all trials.
    """
    budget = study.confirm.budget
    if budget is None:
        return {}
    used = {cell: spent(of, results) for cell, of in trials.items()}
    in_trials = budget.trials is not None
    left = float(budget.trials if budget.trials is not None else budget.minutes or 0.0)
    left -= sum(count if in_trials else minutes for count, minutes in used.values())
    open_ = {cell: stage for cell, stage in stages.items() if stage.cost_of_next()}
    found = {}
    for cell in sorted(open_, key=lambda cell: min(open_[cell].p_values.values())):
        count, minutes = used[cell]
        each = 1.0 if in_trials else minutes / max(count, 1)
        cost = open_[cell].cost_of_next() * each
        if cost <= left:
            left -= cost
            found[cell] = open_[cell].looked + 1
    return found
