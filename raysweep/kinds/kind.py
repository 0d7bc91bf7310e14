"""The one table of kinds of study, and all that a kind is asked for.

Everything else asks here and knows no kind. A kind is a folder, whose ``kind.py`` says what is said
below, and one line of the table. It is loaded when it is first asked for, and its parts when they
are: a driver needs no torch, and an analysis neither that nor Ray.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from raysweep.errors import InputError
from raysweep.study.cells import expand
from raysweep.study.spec import StudyBase

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import ConsoleRenderable

    from raysweep.folder.conclusion import Conclusion
    from raysweep.folder.run_folder import RunFolder
    from raysweep.kinds.so_far import SoFar
    from raysweep.kinds.sweep import CellPlan, Earlier, Sweep
    from raysweep.study.yaml_lines import Fault, Location
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

_TABLE = {
    "forcing": "raysweep.kinds.forcing.kind",
    "emergence": "raysweep.kinds.emergence.kind",
    "trial": "raysweep.kinds.trial.kind",
    "models": "raysweep.kinds.models.kind",
}

S = TypeVar("S", bound=StudyBase)
W = TypeVar("W", bound="Sweep[Any]")


@dataclass(frozen=True)
class StudySize:
    """What a study consists of.

    Attributes:
        cells, trials, packs: counts of the whole study.
        encoders: models to train: one a modality and trial; those that trials share once; 0 where
            the user's own code trains.
        seconds: estimated time of one worker, s; None if it was not measured.
        doubts: what may be wrong with the plan, a line each.
        needs: what packs need to be placed, a line each where they differ; empty where the study
            says the same of all.
    """

    cells: int
    trials: int
    packs: int
    encoders: int
    seconds: float | None
    doubts: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


class Kind(ABC, Generic[S, W]):
    """What a kind of study does at each step from its file to its verdict.

    Attributes:
        study: the studies of this kind.
        answer: what a cell of it gets, in a word.
        growth: how such a study may be extended, for people.
        logs_epochs: whether its trials log epochs while they run (`raysweep.folder.running`).
        short_of_memory: what to do where a single trial has too little.
        first_view: id of the view that MLflow opens with.
    """

    study: ClassVar[type[StudyBase]]
    answer: ClassVar[str]
    growth: ClassVar[str]
    logs_epochs: ClassVar[bool] = False
    first_view: ClassVar[str]
    short_of_memory: ClassVar[str] = "lower model.width, evaluation.rows or the dataset's sizes"

    # Its file.

    def check(
        self, raw: Mapping[str, Any], widths: Sequence[tuple[int, int]], folder: Path
    ) -> "list[Fault]":
        """Faults of the parts of a raw study that this kind alone has.

        Args:
            raw: the study as read from YAML; it may be malformed elsewhere.
            widths: of the two encoders, for each shape of the model grid.
            folder: what relative paths are relative to.
        """
        return []

    def check_data(self, block: Mapping[str, Any], at: "Location") -> "list[Fault]":
        """Faults of a data block that this kind alone minds."""
        return []

    def searched_draws(self, raw: Mapping[str, Any]) -> tuple[int, ...]:
        """The draws beside those of the data, as far as they are told without a fault."""
        return ()

    def resolved(self, study: S, folder: Path) -> dict[str, Any]:
        """The parts that this kind alone has, with all defaults filled in, as plain values.

        Under ``files`` the files that it depends on, and the digests of what they hold.
        """
        return {}

    def doubts(self, study: S) -> list[str]:
        """What may come to nothing in the user's own code, as trying it tells: a line each."""
        return []

    def try_out(self, study: S) -> list[str]:
        """Run a short trial of each arm, and say how they compare, a line each.

        Raises:
            InputError: the kind runs no code of which nothing is known.
        """
        raise InputError(
            f"--try: studies of kind {study.kind} run raysweep's own trials, which tests try; it "
            "is for trials of your own (kind: trial)"
        )

    # Its plan.

    @abstractmethod
    def sweep(self, study: S, results: "dict[str, TrialResult]", earlier: "Earlier") -> W:
        """The plans of all cells, with these results and earlier proposals."""

    @abstractmethod
    def size(self, study: S, measure_time: bool = True) -> StudySize:
        """See `study_size`."""

    @abstractmethod
    def trials(self, study: S) -> int:
        """Trials of the whole study, at most."""

    def plans(
        self,
        study: S,
        cells: Collection[str],
        results_of: "Callable[[str], dict[str, TrialResult]]",
        earlier: "Earlier",
    ) -> "dict[str, CellPlan]":
        """The plans of some cells.

        Args:
            study: the study.
            cells: ids of the cells.
            results_of: cell id -> its results by key.
            earlier: as `sweep`.
        """
        everything: dict[str, TrialResult] = {}
        for cell in expand(study):
            everything.update(results_of(cell.id))
        plans = self.sweep(study, everything, earlier).plans
        return {cell: plan for cell, plan in plans.items() if cell in cells}

    # Its packs.

    @abstractmethod
    def prepare(self) -> None:
        """Import what runs packs, which takes seconds that are not to count as a pack's."""

    def executor(self, output: "Output") -> "Callable[[S, Pack, str], list[Row]]":
        """What runs the packs of a run in this folder: `run_pack`, where no folder is needed."""
        return self.run_pack

    @abstractmethod
    def run_pack(self, study: S, pack: "Pack", device: str) -> "list[Row]":
        """Train and measure all trials of a pack: one row per trial, in its order."""

    @abstractmethod
    def pack_bytes(self, study: S, pack: "Pack", device: str) -> int:
        """Estimated peak memory of a pack, bytes."""

    # Its folder.

    @abstractmethod
    def extends(self, before: S, after: S) -> bool:
        """Whether ``after`` keeps the meaning of all results of ``before``.

        What all kinds share (name, science, cells, draws) is seen to by
        `raysweep.folder.stored_study`.
        """

    def moved(self, before: S, after: S) -> str:
        """Why some results of ``before`` would come out otherwise in ``after`` all the same."""
        return ""

    def earlier(
        self,
        output: "Output",
        before: Callable[[], S | None],
        study: S,
        results: "dict[str, TrialResult]",
    ) -> "Earlier":
        """What the searches of a folder's study proposed before they were widened.

        Args:
            output: the folder.
            before: gives the study that the folder has adopted, where that is another one.
            study: the study that is to go on.
            results: all results that are there.
        """
        return {}

    def widen(self, output: "Output", before: S, after: S) -> str:
        """Write down what a folder has to remember of ``before``, as ``after`` goes on in it.

        Returns:
            What people should know of it, in one line; mostly empty.
        """
        return ""

    # Its answer.

    def registered(self, study: S) -> "AnalysisPlan | None":
        """What the study commits itself to before its first trial; None if to nothing."""
        return None

    def detectable_effect(self, study: S, power: float = 0.8) -> float | None:
        """See `raysweep.folder.conclusion.detectable_effect`."""
        return None

    @abstractmethod
    def unanswered(
        self, folder: "RunFolder", sweep: W, waiting: Mapping[str, str]
    ) -> dict[str, str]:
        """Cell -> why the tables say nothing of it.

        Args:
            folder: of the run.
            sweep: as the run has left it.
            waiting: cell -> why it is not finished.
        """

    def remarks(self, sweep: W) -> list[str]:
        """What else people should know of how a run went, a sentence each."""
        return []

    @abstractmethod
    def answered(self, found: "Findings", sweep: W) -> int:
        """How many cells have an answer."""

    @abstractmethod
    def effects(self, study: S, trials: "pd.DataFrame", **options: Any) -> "pd.DataFrame":
        """What a trial table says of the study's question, cell by cell."""

    def effects_so_far(self, study: S, rows: "Sequence[Row]") -> "list[EffectSoFar]":
        """What forcing has done in a cell whose confirm rows so far are these; mostly nothing.

        The numbers are those of `effects` on the same rows.
        """
        return []

    def best_so_far(self, sweep: W) -> dict[str, dict[str, str]]:
        """Cell -> criterion -> the best strength so far, in words; mostly nothing."""
        return {}

    @abstractmethod
    def tables(self, study: S, conclusion: "Conclusion") -> "list[ConsoleRenderable]":
        """The answer as tables for the screen."""

    @abstractmethod
    def status_table(self, sweep: W, so_far: "SoFar | None" = None) -> "ConsoleRenderable":
        """How far a study is, for the screen.

        Args:
            sweep: the plans of its cells.
            so_far: what it has found; None where that is not to be shown.
        """

    # Its copies.

    @abstractmethod
    def searches(self, sweep: W, place: str) -> "Iterator[ExportedSearch]":
        """The searches of a run as Optuna keeps them.

        Args:
            sweep: of the run.
            place: where it is, for messages.

        Raises:
            InputError: the study searches nothing.
        """

    @abstractmethod
    def views(self, study: S, facts: "StudyFacts") -> "list[View]":
        """Ready-made views for the MLflow UI."""

    @abstractmethod
    def note(self, chosen: str) -> str:
        """What MLflow says of a cell whose chosen proposals are these, in Markdown."""


def kind_names() -> tuple[str, ...]:
    """All kinds, by the names that study files have for them; the first is the default."""
    return tuple(_TABLE)


def kind_named(name: object) -> Kind[Any, Any]:
    """The kind of that name; the default for what is no name of a kind."""
    return _loaded(_TABLE.get(str(name), next(iter(_TABLE.values()))))


def kind_of(study: S) -> Kind[S, Any]:
    """The kind of a study."""
    return kind_named(study.kind)


@cache
def _loaded(module: str) -> Kind[Any, Any]:
    found: Kind[Any, Any] = importlib.import_module(module).KIND
    return found


def study_size(study: StudyBase, measure_time: bool = True) -> StudySize:
    """Count a study's parts; time it by training a few members for a few epochs.

    Expect the truth within a factor of two.

    Raises:
        InputError: a dataset cannot be loaded.
    """
    return kind_of(study).size(study, measure_time)
