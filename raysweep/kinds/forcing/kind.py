"""What a forcing study does at each step."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.kinds.kind import Kind, StudySize
from raysweep.plugins.options import Option
from raysweep.study.spec import OptionRange, SearchedStudy

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import ConsoleRenderable

    from raysweep.folder.conclusion import Conclusion
    from raysweep.folder.run_folder import RunFolder
    from raysweep.kinds.forcing.plan import ForcingSweep
    from raysweep.kinds.so_far import SoFar
    from raysweep.kinds.sweep import CellPlan, Earlier
    from raysweep.study.yaml_lines import Fault
    from raysweep.tracking.facts import StudyFacts
    from raysweep.tracking.optuna_export import ExportedSearch
    from raysweep.tracking.views import View
    from raysweep.trials.effect_so_far import EffectSoFar
    from raysweep.trials.packing import Pack
    from raysweep.trials.storage import Output
    from raysweep.trials.table import Row
    from raysweep.trials.trial import TrialResult
    from raysweep_analysis.preregistration import AnalysisPlan
    from raysweep_analysis.report import Findings


S = TypeVar("S", bound=SearchedStudy)


class Searching(Kind[S, "ForcingSweep"], Generic[S]):
    """Strengths are searched, and confirmed on fresh seeds against no forcing and a placebo.

    Whatever a trial is: who trains it is left to the kinds that derive from this.
    """

    answer = "verdict"
    first_view = "cells"
    growth = (
        "more trials, seeds, draws or grid values, or a wider range or more choices of what is "
        "searched"
    )

    def check(
        self, raw: Mapping[str, Any], widths: Sequence[tuple[int, int]], folder: Path
    ) -> "list[Fault]":
        """The loss with its options, and what the search maximizes."""
        from raysweep.study.checks.evaluation import check_objective
        from raysweep.study.checks.losses import check_loss

        search = raw.get("search")
        return [
            *check_loss(raw.get("alignment"), search, raw.get("training"), widths),
            *check_objective(search, raw.get("evaluation")),
        ]

    def searched_draws(self, raw: Mapping[str, Any]) -> tuple[int, ...]:
        """The draws that only search."""
        from raysweep.study.partial import read_partial
        from raysweep.study.spec import Search

        searched = read_partial(Search, raw.get("search") or {}).part
        return () if searched is None else searched.listed_draws

    def resolved(self, study: S, folder: Path) -> dict[str, Any]:
        """The loss and the search with the defaults of the loss's options, in their own types."""
        from raysweep.plugins.options import resolve
        from raysweep.study.checks.losses import declared_options

        loss, options = study.alignment.loss, study.alignment.options
        known = declared_options(loss)
        plain = study.model_dump(include={"alignment", "search"})
        if ":" not in loss:
            resolved = resolve(list(known.values()), options, f"loss {loss}")
            # A default that the search replaces is none.
            plain["alignment"]["options"] = {
                name: value for name, value in resolved.items() if name not in study.search.options
            }
        plain["search"]["options"] = {
            name: _searched(known.get(name), wanted)
            for name, wanted in study.search.options.items()
        }
        return plain

    def sweep(
        self, study: S, results: "dict[str, TrialResult]", earlier: "Earlier"
    ) -> "ForcingSweep":
        """See `Kind.sweep`."""
        from raysweep.kinds.forcing.plan import ForcingSweep

        return ForcingSweep(study, results, earlier)

    def trials(self, study: S) -> int:
        """See `Kind.trials`."""
        from raysweep.kinds.forcing.plan import trials_of_cell
        from raysweep.study.cells import expand

        return sum(trials_of_cell(study, cell) for cell in expand(study))

    def plans(
        self,
        study: S,
        cells: Collection[str],
        results_of: "Callable[[str], dict[str, TrialResult]]",
        earlier: "Earlier",
    ) -> "dict[str, CellPlan]":
        """A cell's plan hangs on its own results alone, but for what a budget leaves it."""
        from raysweep.kinds.forcing.plan import ForcingSweep, plan_cell
        from raysweep.study.cells import expand

        if study.confirm.budget is not None:
            of_all = [results_of(cell.id) for cell in expand(study)]
            results = {key: result for of_cell in of_all for key, result in of_cell.items()}
            plans = ForcingSweep(study, results, earlier).plans
            return {cell: plans[cell] for cell in plans if cell in cells}
        return {
            cell.id: plan_cell(study, cell, results_of(cell.id), earlier)
            for cell in expand(study)
            if cell.id in cells
        }

    def extends(self, before: S, after: S) -> bool:
        """See `Kind.extends`."""
        from raysweep.kinds.forcing.extension import extends

        return extends(before, after)

    def moved(self, before: S, after: S) -> str:
        """Why strengths would be searched on other draws."""
        from raysweep.kinds.forcing.extension import search_moved

        return search_moved(before, after)

    def earlier(
        self,
        output: "Output",
        before: Callable[[], S | None],
        study: S,
        results: "dict[str, TrialResult]",
    ) -> "Earlier":
        """See `Kind.earlier`."""
        from raysweep.kinds.forcing.extension import earlier

        return earlier(output, before, study, results)

    def widen(self, output: "Output", before: S, after: S) -> str:
        """See `Kind.widen`."""
        from raysweep.kinds.forcing.extension import widen

        return widen(output, before, after)

    def registered(self, study: S) -> "AnalysisPlan":
        """Cells, seeds, criteria, outcome and level of the tests."""
        from raysweep.kinds.forcing.registration import analysis_plan

        return analysis_plan(study)

    def detectable_effect(self, study: S, power: float = 0.8) -> float:
        """See `raysweep.folder.conclusion.detectable_effect`."""
        from raysweep.kinds.forcing.registration import detectable_effect

        return detectable_effect(study, power)

    def unanswered(
        self, folder: "RunFolder", sweep: "ForcingSweep", waiting: Mapping[str, str]
    ) -> dict[str, str]:
        """Cells without a row: of the others the analysis says why they are untested."""
        seen = {
            cell for cell, p in sweep.plans.items() if any(t.key in sweep.results for t in p.trials)
        }
        return {cell: why for cell, why in waiting.items() if cell not in seen}

    def answered(self, found: "Findings", sweep: "ForcingSweep") -> int:
        """Cells that have a test."""
        effects = found.effects
        return int(effects.loc[effects["verdict"] != "untested", "cell"].nunique())

    def effects(self, study: S, trials: "pd.DataFrame", **options: Any) -> "pd.DataFrame":
        """`raysweep_analysis.forcing_effects` as the study asks for it."""
        from raysweep.trials.outcomes import margin_for
        from raysweep_analysis import forcing_effects

        asked = study.verdict.model_dump(include={"performance", "alpha", "margin"})
        tested = asked["performance"]
        if "margin" not in options:
            wanted = options.get("performance", tested)
            asked["margin"] = margin_for(wanted, tested, asked["margin"])
        asked["looks"] = study.confirm.sequential
        return forcing_effects(trials, **{**asked, **options})

    def tables(self, study: S, conclusion: "Conclusion") -> "list[ConsoleRenderable]":
        """The verdicts."""
        from raysweep.kinds.answer_tables import verdict_table
        from raysweep.text import counted

        effects, tested = conclusion.effects, conclusion.tested
        if not tested.cells:
            return []
        so_far = f"{tested.cells} of {counted(tested.of, 'cell')} tested so far"
        shown = effects[effects["verdict"] != "untested"]
        outcome = study.verdict.performance
        return [verdict_table(shown, outcome, so_far if conclusion.unfinished else "")]

    def best_so_far(self, sweep: "ForcingSweep") -> dict[str, dict[str, str]]:
        """Those that are confirmed, or that the search would choose now."""
        from raysweep.kinds.forcing.status import best_so_far

        return {
            cell: {by: str(proposal) for by, proposal in best_so_far(sweep, plan).items()}
            for cell, plan in sweep.plans.items()
        }

    def effects_so_far(self, study: S, rows: "Sequence[Row]") -> "list[EffectSoFar]":
        """`raysweep_analysis.so_far.effects_so_far` as the study asks for it."""
        import pandas as pd

        from raysweep.trials.effect_so_far import EffectSoFar
        from raysweep_analysis.load import has_outcome
        from raysweep_analysis.so_far import effects_so_far

        outcome, trials = study.verdict.performance, pd.DataFrame(list(rows))
        if not has_outcome(trials, outcome):
            return []
        found = effects_so_far(trials, outcome, study.verdict.alpha, looks=study.confirm.sequential)
        return [
            EffectSoFar(
                chosen_by=str(row["chosen_by"]),
                strength=float(row["strength"]),
                n=int(row["n"]),
                effect=float(row["effect"]),
                low=float(row["ci_low"]),
                high=float(row["ci_high"]),
                outcome=outcome,
            )
            for row in found.to_dict("records")
        ]

    def status_table(
        self, sweep: "ForcingSweep", so_far: "SoFar | None" = None
    ) -> "ConsoleRenderable":
        """One row per cell."""
        from raysweep.kinds.forcing.status import cell_table

        return cell_table(sweep, so_far)

    def searches(self, sweep: "ForcingSweep", place: str) -> "Iterator[ExportedSearch]":
        """One per cell."""
        from raysweep.kinds.forcing.export import searches

        return searches(sweep)

    def views(self, study: S, facts: "StudyFacts") -> "list[View]":
        """See `Kind.views`."""
        from raysweep.kinds.forcing.views import views

        return views(study, facts.varying, facts.axes)

    def note(self, chosen: str) -> str:
        """See `Kind.note`."""
        from raysweep.text import as_markdown

        return (
            f"Chosen strength: {as_markdown(chosen) or 'none yet'}. "
            "Verdicts are in the report, not here: means of runs are not a test."
        )


class Forcing(Searching[ForcingStudy]):
    """Pairs of encoders that raysweep trains itself, many at a time."""

    study = ForcingStudy

    def size(self, study: ForcingStudy, measure_time: bool = True) -> StudySize:
        """See `raysweep.kinds.kind.study_size`."""
        from raysweep.kinds.forcing.size import forcing_size

        return forcing_size(study, measure_time)

    def doubts(self, study: ForcingStudy) -> list[str]:
        """That a loss of the user's own is undefined on all that it is tried on."""
        alignment = study.alignment
        if ":" not in alignment.loss:
            return []
        from raysweep.study.cells import expand
        from raysweep.study.checks.losses import loss_doubts

        widths = list(dict.fromkeys((cell.width_1, cell.width_2) for cell in expand(study)))
        searched = study.search.options
        return loss_doubts(alignment.loss, alignment.options, searched, widths, study.training)

    def prepare(self) -> None:
        """See `Kind.prepare`."""
        import raysweep.kinds.forcing.run_pack  # noqa: F401

    def remarks(self, sweep: "ForcingSweep") -> list[str]:
        """What was best at an end of its range."""
        from raysweep.kinds.forcing.remarks import remarks

        return list(remarks(sweep))

    def run_pack(self, study: ForcingStudy, pack: "Pack", device: str) -> "list[Row]":
        """See `Kind.run_pack`."""
        from raysweep.kinds.forcing.run_pack import run_pack

        return run_pack(study, pack, device)

    def pack_bytes(self, study: ForcingStudy, pack: "Pack", device: str) -> int:
        """See `Kind.pack_bytes`."""
        from raysweep.kinds.forcing.memory import pack_bytes

        return pack_bytes(study, pack, device)


def _searched(option: Option | None, wanted: OptionRange | tuple[Any, ...]) -> Any:
    """A searched option in the option's own type: a range of whole numbers has whole ends."""
    if option is None:
        return wanted

    if isinstance(wanted, OptionRange):
        ends = {"low": option.parse(wanted.low), "high": option.parse(wanted.high)}
        return {**ends, "scale": wanted.scale}
    return [option.parse(value) for value in wanted]


KIND = Forcing()
