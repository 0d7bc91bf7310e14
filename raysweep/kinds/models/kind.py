"""What a study of models does at each step."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.errors import InputError
from raysweep.kinds.kind import Kind, StudySize
from raysweep.kinds.models.study import ModelRow, ModelsStudy

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import ConsoleRenderable

    from raysweep.folder.conclusion import Conclusion
    from raysweep.folder.run_folder import RunFolder
    from raysweep.kinds.models.plan import ModelsSweep
    from raysweep.kinds.so_far import SoFar
    from raysweep.kinds.sweep import Earlier
    from raysweep.study.yaml_lines import Fault
    from raysweep.tracking.facts import StudyFacts
    from raysweep.tracking.optuna_export import ExportedSearch
    from raysweep.tracking.views import View
    from raysweep.trials.packing import Pack
    from raysweep.trials.table import Row
    from raysweep.trials.trial import TrialResult
    from raysweep_analysis.report import Findings


class Models(Kind[ModelsStudy, "ModelsSweep"]):
    """Models are trained already: the features of all pairs of them are compared."""

    study = ModelsStudy
    first_view = "pairs"
    answer = "alignment"
    growth = "more models, or more values of an axis"
    short_of_memory = "lower resources.members_per_pack, or take fewer rows of the features"

    def check(
        self, raw: Mapping[str, Any], widths: Sequence[tuple[int, int]], folder: Path
    ) -> "list[Fault]":
        """The table of models, and their files of features."""
        from raysweep.kinds.models.check import check_models

        return check_models(raw, folder)

    def resolved(self, study: ModelsStudy, folder: Path) -> dict[str, Any]:
        """The models as rows, also those of a table, and the digests of their features."""
        from raysweep.kinds.models.check import resolved_rows
        from raysweep.kinds.models.table import rows_of_table
        from raysweep.study.files import resolved_path

        rows = study.models
        if study.table is not None:
            given = rows_of_table(resolved_path(study.table, folder))
            rows = tuple(map(ModelRow.model_validate, given))
        models, files = resolved_rows(rows or (), folder)
        return {"models": models, "table": None, "samples": None, "files": files}

    def sweep(
        self, study: ModelsStudy, results: "dict[str, TrialResult]", earlier: "Earlier"
    ) -> "ModelsSweep":
        """See `Kind.sweep`; nothing is searched."""
        from raysweep.kinds.models.plan import ModelsSweep

        return ModelsSweep(study, results)

    def size(self, study: ModelsStudy, measure_time: bool = True) -> StudySize:
        """See `raysweep.kinds.kind.study_size`."""
        from raysweep.kinds.models.size import models_size

        return models_size(study, measure_time)

    def trials(self, study: ModelsStudy) -> int:
        """See `Kind.trials`."""
        return study.trials_at_least()

    def prepare(self) -> None:
        """See `Kind.prepare`."""
        import raysweep.kinds.models.run  # noqa: F401

    def run_pack(self, study: ModelsStudy, pack: "Pack", device: str) -> "list[Row]":
        """See `Kind.run_pack`; on the CPU whatever the device."""
        from raysweep.kinds.models.run import run_pairs

        return run_pairs(study, pack)

    def pack_bytes(self, study: ModelsStudy, pack: "Pack", device: str) -> int:
        """See `Kind.pack_bytes`."""
        from raysweep.kinds.models.size import pack_bytes

        return pack_bytes(study, pack)

    def extends(self, before: ModelsStudy, after: ModelsStudy) -> bool:
        """Whether what is said of a model is still the same; rows of the table hold it."""
        return not any(self._said_otherwise(before, after))

    def unanswered(
        self, folder: "RunFolder", sweep: "ModelsSweep", waiting: Mapping[str, str]
    ) -> dict[str, str]:
        """Pairs that something went wrong with."""
        return {cell: why for (cell, _), why in folder.causes(sweep).items()}

    def answered(self, found: "Findings", sweep: "ModelsSweep") -> int:
        """Pairs that have a value of the first metric."""
        from raysweep.trials.columns import named

        trials, column = found.trials, named("alignment", sweep.metric, "test")
        if column not in trials:
            return 0
        return int(trials.loc[trials[column].notna(), "cell"].nunique())

    def effects(self, study: ModelsStudy, trials: "pd.DataFrame", **options: Any) -> "pd.DataFrame":
        """`raysweep_analysis.model_correlations`: whether models that perform better align more."""
        from raysweep_analysis import model_correlations

        return model_correlations(trials, **options)

    def tables(self, study: ModelsStudy, conclusion: "Conclusion") -> "list[ConsoleRenderable]":
        """The pairs, the most alike first, a table for each metric."""
        from raysweep.kinds.models.answer import pair_tables

        return pair_tables(conclusion.emergence)

    def status_table(
        self, sweep: "ModelsSweep", so_far: "SoFar | None" = None
    ) -> "ConsoleRenderable":
        """One row per two sides and point of the axes."""
        from raysweep.kinds.models.status import pairs_table

        return pairs_table(sweep)

    def searches(self, sweep: "ModelsSweep", place: str) -> "Iterator[ExportedSearch]":
        """None: nothing is searched."""
        raise InputError(
            f"{place}: there is no search to export: {sweep.study.name} is a study of models that "
            "are trained already"
        )

    def views(self, study: ModelsStudy, facts: "StudyFacts") -> "list[View]":
        """See `Kind.views`."""
        from raysweep.kinds.models.views import views

        return views(study)

    def note(self, chosen: str) -> str:
        """See `Kind.note`."""
        return "Models were trained by others; correlations with performance are in the report."

    def _said_otherwise(self, before: ModelsStudy, after: ModelsStudy) -> Iterator[str]:
        said = {(row.side, row.model, *row.axes.items()): row for row in after.models or ()}
        for row in before.models or ():
            now = said.get((row.side, row.model, *row.axes.items()), row)
            for name in ("family", "size", "performance"):
                if getattr(row, name) != getattr(now, name):
                    yield f"{row.place}: {name}"


KIND = Models()
