"""What studies have in common that search a strength and confirm it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from raysweep.study.spec.base import Block, StudyBase
from raysweep.study.spec.fields import Clash, listed, mapping_in
from raysweep.study.spec.parts import (
    Alignment,
    CellResources,
    Confirm,
    Search,
    Verdict,
    metric_names,
)
from raysweep.trials.columns import column_of, named
from raysweep.trials.criteria import BEST


class SearchedStudy(StudyBase):
    """A study that searches a strength in every cell, and confirms it on fresh seeds."""

    if TYPE_CHECKING:
        alignment: Alignment = Alignment()
        search: Search = Search()
        confirm: Confirm = Confirm()
        verdict: Verdict = Verdict()
        resources: CellResources = CellResources()

    def as_stored(self) -> Self:
        """See `StudyBase.as_stored`: the draws of a search are written out since they are own."""
        if "draws" in self.search.model_fields_set:
            return self
        search = self.search.model_copy(update={"draws": "confirmed"})
        return self.model_copy(update={"search": search})

    @property
    def metric(self) -> str:
        """The alignment metric that the search maximizes."""
        return self.search.metric or next(iter(self.evaluation.metrics))

    @property
    def criteria(self) -> tuple[str, ...]:
        """See `StudyBase.criteria`; best against best where the training is searched, too."""
        own = self.search.training is not None and "performance" in self.search.criteria
        return (*([BEST] if own else []), *self.search.criteria)

    @property
    def loss(self) -> str:
        """See `StudyBase.loss`."""
        return self.alignment.loss

    @property
    def searched_performance(self) -> str:
        """The column that the search goes by where its objective is performance."""
        return column_of(self.search.performance).on("validation")

    @property
    def better_is_less(self) -> bool:
        """Whether less of that column is better."""
        return column_of(self.searched_performance).better_is_less

    @property
    def tested(self) -> Verdict:
        """See `StudyBase.tested`."""
        return self.verdict

    @property
    def confirmed_columns(self) -> tuple[str, ...]:
        """See `StudyBase.confirmed_columns`: what looks at a sequential confirm stage go by."""
        if not self.confirm.sequential:
            return ()
        faults = ("steps", "unforced_steps", "train_seconds")
        return (self.verdict.performance, *faults, "resplit", "n_train", "n_test")

    def forced_with(self) -> dict[str, Any]:
        """See `StudyBase.forced_with`."""
        options = {named("option", name): value for name, value in self.alignment.options.items()}
        return {"loss": self.alignment.loss, **options}

    def trials_at_least(self) -> int:
        """Trials of the search with its baseline, and of the three arms that confirm it."""
        trials = 0
        for block in self.blocks():
            searched = len(self.search.draws_for(block.draws)) * len(self.search.seeds)
            confirmed = len(block.draws) * len(self.confirm.seeds)
            training = self.search.training
            proposed = 1 + self.search.trials + (training.trials if training is not None else 0)
            arms = 3
            if self.confirm.sequential:  # which may end at the first look, without a placebo
                confirmed, arms = confirmed * self.confirm.sequential[0] // self._units(block), 2
            per_cell = searched * proposed + confirmed * arms
            trials += block.cells * per_cell
        return trials

    @classmethod
    def named_clashes(cls, given: Mapping[str, Any]) -> Iterator[Clash]:
        """A metric that is searched and not measured; options that are fixed and searched."""
        search, measured = mapping_in(given, "search"), metric_names(given.get("evaluation"))
        metric = search.get("metric")
        if isinstance(metric, str) and measured and metric not in measured:
            yield Clash(
                f"{metric!r} is not measured; choose one of evaluation.metrics: {listed(measured)}",
                ("search", "metric"),
                ("evaluation", "metrics"),
            )
        fixed = mapping_in(mapping_in(given, "alignment"), "options")
        twice = [name for name in mapping_in(search, "options") if name in fixed]
        if twice:
            yield Clash(
                f"options given twice: {listed(twice)} in both alignment.options and "
                "search.options; an option is either fixed or searched",
                *(("search", "options", name) for name in twice),
                *(("alignment", "options", name) for name in twice),
            )

    def clashes(self) -> Iterator[Clash]:
        """Seeds and draws that are used twice."""
        yield from super().clashes()
        shared = sorted(set(self.search.seeds) & set(self.confirm.seeds))
        if shared:
            yield Clash(
                f"seeds used twice: {listed(shared)} in both search.seeds and confirm.seeds; "
                "the confirm stage needs seeds that the search never saw",
                ("confirm", "seeds"),
                ("search", "seeds"),
            )
        yield from self._looks_clash()
        for block in self.blocks():
            shared = sorted(set(self.search.listed_draws) & set(block.draws))
            if shared:
                yield Clash(
                    f"draws used twice: {listed(shared)} in both search.draws and the draws of the "
                    "data; leave search.draws out for draws of its own, or give confirmed to "
                    "search on those that are tested",
                    ("search", "draws"),
                    block.at,
                )

    def _units(self, block: Block) -> int:
        """What a test of a cell of the block counts: draws, or seeds of one draw."""
        return len(block.draws) if len(block.draws) > 1 else len(self.confirm.seeds)

    def _looks_clash(self) -> Iterator[Clash]:
        """Looks that end elsewhere than the units do, and a budget that is spent before the first.

        The last look is the plan's end: what is spent at each is told by its share of all units.
        """
        confirm, looks = self.confirm, self.confirm.sequential
        if not looks:
            return
        for block in self.blocks():
            several = len(block.draws) > 1
            units, what = self._units(block), "draw" if several else "seed"
            if units != looks[-1]:
                yield Clash(
                    f"the last look is after {looks[-1]} {what}s, and there are {units}; a cell is "
                    f"followed to the last of its {what}s, so let the looks end there",
                    ("confirm", "sequential"),
                    block.at if several else ("confirm", "seeds"),
                )
        budget = confirm.budget
        first = sum(
            block.cells * looks[0] * (len(confirm.seeds) if len(block.draws) > 1 else 1)
            for block in self.blocks()
        ) * (1 + 2 * len(self.criteria))
        if budget is not None and budget.trials is not None and budget.trials < first:
            yield Clash(
                f"the first look at all cells takes up to {first} trials, and the budget is "
                f"{budget.trials}",
                ("confirm", "budget", "trials"),
                ("confirm", "sequential"),
            )
