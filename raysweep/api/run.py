"""Runs in Python: begin one, open one, go on with one, and read what it says."""

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.api.study import Study, load_study

if TYPE_CHECKING:
    import pandas as pd

    from raysweep.api.status import Status
    from raysweep.folder.conclusion import Conclusion
    from raysweep.folder.run_folder import RunFolder
    from raysweep.study.spec import StudyBase
    from raysweep_analysis.report import Picture

RESULTS = "results"


def run(
    study: Study | str | Path,
    out: str | Path | None = None,
    runner: str = "ray",
    address: str | None = None,
    workers: int | None = None,
    progress: bool = True,
    tracking_uri: str | None = None,
) -> "Run":
    """Run a study, or what is missing of it, and conclude.

    Interrupted, also by the kernel of a notebook, it keeps what is finished: call it again, or
    `Run.resume`.

    Args:
        study: a study, the path of a study file, or the name of a bundled study.
        out: the output folder, or a URI that `pyarrow.fs` opens; by default ``results/NAME``.
        runner: ``ray``, or ``local``: the same loop in this process, without Ray.
        address: ``HOST:PORT`` of a Ray cluster, or ``auto``. By default a Ray that this process
            has already is used and left running; without one a Ray is started for the run.
        workers: CPUs of a Ray that is started; all by default.
        progress: show how far it is: in a notebook as a live table, else on standard error.
        tracking_uri: also copy the results to MLflow there; by default only where
            ``MLFLOW_TRACKING_URI`` is set.

    Returns:
        The run. Where packs of it failed a warning says so, and `Run.status` which.

    Raises:
        InputError: something that was given is wrong; the words are those of the command line.
        KeyboardInterrupt: interrupted; the message says how to go on.
        RunnerLost: Ray is gone in mid run; the message says how to go on.

    Example:
        >>> import raysweep
        >>> study = raysweep.Study(
        ...     name="tiny",
        ...     data={"dataset": "synthetic", "U": 4, "train": 64, "test": 64},
        ...     training={"epochs": 2, "batch_size": 32},
        ...     search={"trials": 2, "generation": 2, "seeds": 1},
        ...     confirm={"seeds": 3},
        ... )
        >>> raysweep.run(study, runner="local", progress=False)
        Run('.../results/tiny', study='tiny', trials='12 of 12')
    """
    from raysweep.folder.run_folder import RunFolder
    from raysweep.trials.storage import Output

    given = study if isinstance(study, Study) else load_study(study)
    folder = RunFolder(Output(f"{RESULTS}/{given.name}" if out is None else out))
    return _run(given.resolved, folder, runner, address, workers, progress, tracking_uri)


def open_run(folder: str | Path) -> "Run":
    """The run in an output folder, whether it is finished or not.

    Args:
        folder: as `run`'s ``out``.

    Raises:
        InputError: the folder is not the output of a run.

    Example:
        >>> import raysweep
        >>> raysweep.open_run("results/tiny")
        Run('.../results/tiny', study='tiny', trials='12 of 12')
    """
    from raysweep.folder.run_folder import RunFolder
    from raysweep.trials.storage import Output

    place = RunFolder(Output(folder))
    return Run(place, place.existing_study())


class Run:
    """A run of a study: its trials and what they say.

    Made by `run` and `open_run`. In a notebook it shows its answer and its map of verdicts.

    Example:
        >>> import raysweep
        >>> run = raysweep.open_run("results/tiny")
        >>> run.trials["arm"].value_counts().to_dict()
        {'forced': 5, 'none': 4, 'placebo': 3}
    """

    def __init__(
        self, folder: "RunFolder", study: "StudyBase", conclusion: "Conclusion | None" = None
    ) -> None:
        self._folder, self._study, self._concluded = folder, study, conclusion

    @property
    def folder(self) -> str:
        """Where the run is.

        Example:
            >>> import pathlib, raysweep
            >>> pathlib.Path(raysweep.open_run("results/tiny").folder).name
            'tiny'
        """
        return self._folder.output.location

    @property
    def study(self) -> Study:
        """The study, with all defaults filled in.

        Example:
            >>> import raysweep
            >>> raysweep.open_run("results/tiny").study.kind
            'forcing'
        """
        return Study.of(self._study)

    @property
    def trials(self) -> "pd.DataFrame":
        """The trial table: a row per trial (`raysweep describe columns` lists its columns).

        Example:
            >>> import raysweep
            >>> trials = raysweep.open_run("results/tiny").trials
            >>> trials["stage"].value_counts().to_dict()
            {'confirm': 9, 'search': 3}
        """
        from raysweep_analysis import load_trials

        return load_trials(self._folder.output.location)

    def effects(self, **options: Any) -> "pd.DataFrame":
        """What forcing did in every cell, tested; of an emergence study, trends of alignment.

        Of a study of models, how performance goes with alignment.

        Args:
            **options: of `raysweep.analysis.forcing_effects` (``performance``, ``alpha``,
                ``margin``, ``unit``, ``alignment``), by default as the study says; of an emergence
                study those of `raysweep.analysis.emergence_trends`, of one of models those of
                `raysweep.analysis.model_correlations`.

        Example:
            >>> import raysweep
            >>> run = raysweep.open_run("results/tiny")
            >>> effects = run.effects(performance="performance_1_test")
            >>> list(effects["label"])
            ['synthetic']
        """
        from raysweep.kinds.kind import kind_of

        return kind_of(self._study).effects(self._study, self.trials, **options)

    @property
    def verdicts(self) -> "pd.DataFrame":
        """The verdicts, a row per cell and criterion; of an emergence study emergent alignment.

        Of a study of models, its pairs of models.

        Example:
            >>> import raysweep
            >>> verdicts = raysweep.open_run("results/tiny").verdicts
            >>> verdicts[["label", "n"]].values.tolist()
            [['synthetic', 3]]
        """
        found = self._conclusion()
        return found.effects if len(found.effects) else found.emergence

    @property
    def answer(self) -> tuple[str, ...]:
        """The answer in plain words, most important first.

        Example:
            >>> import raysweep
            >>> len(raysweep.open_run("results/tiny").answer) > 0
            True
        """
        return self._conclusion().sentences

    @property
    def report(self) -> str:
        """Where the report is: one page that opens offline; written where there is none yet.

        While the run goes on it is the page of the run so far.

        Example:
            >>> import pathlib, raysweep
            >>> pathlib.Path(raysweep.open_run("results/tiny").report).name
            'report.html'
        """
        from raysweep.folder.conclusion import REPORT_NAME, conclude
        from raysweep.folder.stored_progress import is_so_far

        page = self._folder.output.read(REPORT_NAME)
        if page is None or (is_so_far(page) and self._folder.driver() is None):
            self._concluded = conclude(self._folder, self._study)
        return self._folder.output.place(REPORT_NAME)

    def figure(self, name: str = "verdict_map") -> "Picture":
        """A figure of the report, with its title and caption; a notebook shows it.

        Args:
            name: ``verdict_map``, ``effects``, ``search`` and others, as the run has them.

        Raises:
            InputError: the run has no figure of that name; lists those that it has.

        Example:
            >>> import raysweep
            >>> picture = raysweep.open_run("results/tiny").figure("verdict_map")
            >>> picture.title
            'Where forcing helps, hurts or makes no difference'
            >>> picture.figure.savefig("map.pdf")
        """
        from raysweep.errors import InputError
        from raysweep.study.reader import unknown_name
        from raysweep_analysis.report import pictures

        drawn = {picture.name: picture for picture in pictures(self._conclusion().findings)}
        if name not in drawn:
            raise InputError(unknown_name("figure", name, list(drawn)))
        return drawn[name]

    def resume(
        self,
        runner: str = "ray",
        address: str | None = None,
        workers: int | None = None,
        progress: bool = True,
        tracking_uri: str | None = None,
    ) -> "Run":
        """Run what is missing, and what failed; the arguments are those of `run`.

        Example:
            >>> import raysweep
            >>> raysweep.open_run("results/tiny").resume(runner="local", progress=False)
            Run('.../results/tiny', study='tiny', trials='12 of 12')
        """
        from raysweep.study.checks import with_code_folders

        study = with_code_folders(self._folder.existing_study(), Path.cwd())
        return _run(study, self._folder, runner, address, workers, progress, tracking_uri)

    def status(self) -> "Status":
        """How far the run is, cell by cell, and which packs failed.

        Example:
            >>> import raysweep
            >>> status = raysweep.open_run("results/tiny").status()
            >>> status.done, status.planned, status.finished
            (12, 12, True)
        """
        from raysweep.api.status import status_of

        return status_of(self._folder, self._study)

    def _conclusion(self) -> "Conclusion":
        from raysweep.folder.conclusion import judge

        if self._concluded is None:
            self._folder.renew_table(self._study)
            self._concluded = judge(self._folder, self._study)
        return self._concluded

    def __repr__(self) -> str:
        status = self.status()
        trials = f"{status.done} of {status.planned}"
        return f"Run({self.folder!r}, study={self._study.name!r}, trials={trials!r})"

    def _repr_html_(self) -> str:
        from raysweep.api.page import run_page

        return run_page(self)


def _run(
    study: "StudyBase",
    folder: "RunFolder",
    runner: str,
    address: str | None,
    workers: int | None,
    progress: bool,
    tracking_uri: str | None,
) -> Run:
    import os

    from raysweep.api.progress import listener
    from raysweep.runners.study_run import Manner, run_study
    from raysweep.tracking.address import VARIABLE

    if runner == "ray":
        _check_ray(address, workers)
    copied = tracking_uri is not None or bool(os.environ.get(VARIABLE))
    manner = Manner(runner, address or "local", workers, mlflow=copied, tracking_uri=tracking_uri)
    outcome = run_study(study, folder, manner, listener(progress))
    if outcome.left:
        warnings.warn(outcome.left, RuntimeWarning, stacklevel=3)
    return Run(folder, study, outcome.conclusion)


def _check_ray(address: str | None, workers: int | None) -> None:
    """Faults of what is asked of a Ray that this process has already."""
    from raysweep.errors import InputError

    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return
    for name, value in (("address", address), ("workers", workers)):
        if value is not None:
            raise InputError(
                f"{name}={value!r}: this process has a Ray already, which is used; leave {name} "
                "out, or call ray.shutdown() first"
            )
