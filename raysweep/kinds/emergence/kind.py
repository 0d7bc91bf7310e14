"""What an emergence study does at each step."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from raysweep.kinds.emergence.study import EmergenceStudy
from raysweep.kinds.kind import Kind, StudySize
from raysweep.trials.columns import named

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import ConsoleRenderable

    from raysweep.folder.conclusion import Conclusion
    from raysweep.folder.run_folder import RunFolder
    from raysweep.kinds.emergence.plan import EmergenceSweep
    from raysweep.kinds.so_far import SoFar
    from raysweep.kinds.sweep import Earlier
    from raysweep.study.yaml_lines import Fault, Location
    from raysweep.tracking.facts import StudyFacts
    from raysweep.tracking.optuna_export import ExportedSearch
    from raysweep.tracking.views import View
    from raysweep.trials.packing import Pack
    from raysweep.trials.table import Row
    from raysweep.trials.trial import TrialResult
    from raysweep_analysis.report import Findings


class Emergence(Kind[EmergenceStudy, "EmergenceSweep"]):
    """Encoders are trained without partners, and all pairs of them measured."""

    study = EmergenceStudy
    first_view = "pairs"
    answer = "alignment"
    growth = "more seeds, draws or grid values; its tuning stays as it is"

    def check_data(self, block: Mapping[str, Any], at: "Location") -> "list[Fault]":
        """Two modalities, and no more."""
        from raysweep.study.checks.data import check_pairs

        return check_pairs(block, at)

    def sweep(
        self, study: EmergenceStudy, results: "dict[str, TrialResult]", earlier: "Earlier"
    ) -> "EmergenceSweep":
        """See `Kind.sweep`; its search cannot be widened, so that nothing was proposed earlier."""
        from raysweep.kinds.emergence.plan import EmergenceSweep

        return EmergenceSweep(study, results)

    def size(self, study: EmergenceStudy, measure_time: bool = True) -> StudySize:
        """See `raysweep.kinds.kind.study_size`."""
        from raysweep.kinds.emergence.size import emergence_size

        return emergence_size(study, measure_time)

    def trials(self, study: EmergenceStudy) -> int:
        """See `Kind.trials`."""
        from raysweep.kinds.emergence.families import families
        from raysweep.kinds.emergence.plan import trials_of_family

        return sum(trials_of_family(study, family) for family in families(study))

    def prepare(self) -> None:
        """See `Kind.prepare`."""
        import raysweep.kinds.emergence.run  # noqa: F401

    def run_pack(self, study: EmergenceStudy, pack: "Pack", device: str) -> "list[Row]":
        """See `Kind.run_pack`."""
        from raysweep.kinds.emergence.run import run_family

        return run_family(study, pack, device)

    def pack_bytes(self, study: EmergenceStudy, pack: "Pack", device: str) -> int:
        """See `Kind.pack_bytes`."""
        from raysweep.kinds.emergence.memory import family_bytes

        return family_bytes(study, pack, device)

    def extends(self, before: EmergenceStudy, after: EmergenceStudy) -> bool:
        """See `Kind.extends`."""
        from raysweep.kinds.emergence.extension import extends

        return extends(before, after)

    def moved(self, before: EmergenceStudy, after: EmergenceStudy) -> str:
        """Why rates would be searched on other encoders."""
        from raysweep.kinds.emergence.extension import tuning_moved

        return tuning_moved(before, after)

    def unanswered(
        self, folder: "RunFolder", sweep: "EmergenceSweep", waiting: Mapping[str, str]
    ) -> dict[str, str]:
        """Cells that something went wrong with."""
        return {cell: why for (cell, _), why in folder.causes(sweep).items()}

    def answered(self, found: "Findings", sweep: "EmergenceSweep") -> int:
        """Cells that have a value of the metric."""
        trials, column = found.trials, named("alignment", sweep.metric, "test")
        if column not in trials:
            return 0
        return int(trials.loc[trials[column].notna(), "cell"].nunique())

    def effects(
        self, study: EmergenceStudy, trials: "pd.DataFrame", **options: Any
    ) -> "pd.DataFrame":
        """`raysweep_analysis.emergence_trends`, along what the report follows them along."""
        from raysweep_analysis import emergence_trends
        from raysweep_analysis.report import followed_along

        by = [name for name in ("D_phi",) if name in trials]
        along = followed_along(trials) or "U"
        return emergence_trends(trials, **{"along": along, "by": by, **options})

    def tables(self, study: EmergenceStudy, conclusion: "Conclusion") -> "list[ConsoleRenderable]":
        """Emergent alignment, one row per value of a characteristic."""
        from raysweep.kinds.answer_tables import emergence_table

        return [emergence_table(conclusion.emergence)] if len(conclusion.emergence) else []

    def status_table(
        self, sweep: "EmergenceSweep", so_far: "SoFar | None" = None
    ) -> "ConsoleRenderable":
        """One row per family of data."""
        from raysweep.kinds.emergence.status import family_table

        return family_table(sweep)

    def searches(self, sweep: "EmergenceSweep", place: str) -> "Iterator[ExportedSearch]":
        """One per family of data and modality."""
        from raysweep.kinds.emergence.export import searches

        return searches(sweep, place)

    def views(self, study: EmergenceStudy, facts: "StudyFacts") -> "list[View]":
        """See `Kind.views`."""
        from raysweep.kinds.emergence.views import views

        return views(study, facts.varying, facts.axes)

    def note(self, chosen: str) -> str:
        """See `Kind.note`."""
        return "Encoders were trained without partners; trends and correlations are in the report."


KIND = Emergence()
