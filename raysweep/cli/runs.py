"""Studies and their runs: validate, plan, run, resume, analyze, and what a study may name."""

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from raysweep import __version__
from raysweep.bundled import bundled_studies
from raysweep.cli.terminal import (
    INTERRUPTED,
    UNTESTED,
    FolderArgument,
    ModuleOption,
    PackLimitOption,
    SetOption,
    StudyArgument,
    TrackingOption,
    WaitOption,
    adopted_study,
    app,
    fail,
    importable,
    load,
    stderr,
    stdout,
)
from raysweep.errors import InputError, RunnerLost
from raysweep.kinds import kind_of
from raysweep.run_folder import STUDY_NAME, RunFolder
from raysweep.spec import StudyBase
from raysweep.storage import Output
from raysweep.wording import counted, go_on, visible

if TYPE_CHECKING:
    from raysweep.sweep import Sweep
    from raysweep.tracking import Companion

RunnerOption = Annotated[
    str, typer.Option(help="ray, or local: the same loop in this process, without Ray.")
]
AddressOption = Annotated[
    str, typer.Option(help="local starts a Ray of its own; else HOST:PORT of a cluster, or auto.")
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="CPUs of the local Ray; all by default.")
]
MlflowOption = Annotated[bool, typer.Option(help="Copy the results to MLflow, too.")]

_UNTESTED = "no cell is tested, so that there is no verdict; the reasons are above"
_INTERRUPTED_COPY_S = 20.0
"""How long a run that is interrupted still copies: what ends it may not wait for long."""


@app.command()
def run(
    study: StudyArgument,
    out: Annotated[str, typer.Option(help="Output folder, or a URI that pyarrow.fs opens.")],
    overrides: SetOption = None,
    runner: RunnerOption = "ray",
    address: AddressOption = "local",
    workers: WorkersOption = None,
    module: ModuleOption = None,
    pack_limit: PackLimitOption = None,
    wait: WaitOption = 0.0,
    tracking_uri: TrackingOption = None,
    mlflow: MlflowOption = True,
) -> None:
    """Run a study, or what is missing of it, and print the verdict."""
    modules = importable(module)
    how = _How(runner, address, workers, modules, pack_limit, wait, tracking_uri, mlflow)
    _run(load(study, overrides), RunFolder(Output(out)), how)


@app.command()
def resume(
    folder: FolderArgument,
    runner: RunnerOption = "ray",
    address: AddressOption = "local",
    workers: WorkersOption = None,
    module: ModuleOption = None,
    pack_limit: PackLimitOption = None,
    wait: WaitOption = 0.0,
    tracking_uri: TrackingOption = None,
    mlflow: MlflowOption = True,
) -> None:
    """Run what is missing in an output folder, and print the verdict."""
    from raysweep.vocabulary import with_code_folders

    place = RunFolder(Output(folder))
    modules = importable(module)
    how = _How(runner, address, workers, modules, pack_limit, wait, tracking_uri, mlflow)
    _run(with_code_folders(adopted_study(place), Path.cwd()), place, how)


@app.command()
def validate(study: StudyArgument, overrides: SetOption = None) -> None:
    """Check a study file and try the code that it names; list all its faults at once."""
    resolved = load(study, overrides, _tell_code)
    stdout.print(f"{study}: a valid study ({resolved.name})", highlight=False)


def _tell_code(line: str) -> None:
    stdout.print(line, highlight=False, markup=False, soft_wrap=True)


@app.command()
def studies() -> None:
    """List the bundled studies."""
    for name, description in bundled_studies().items():
        stdout.print(Text.assemble((name, "bold"), f"  {visible(description)}"))


@app.command()
def describe(
    what: Annotated[
        str | None, typer.Argument(help="datasets, metrics, losses or columns.")
    ] = None,
) -> None:
    """List what a study file may name, or the columns of the trial table, as Markdown."""
    from raysweep.guide import SECTIONS

    if what is None:
        for name in SECTIONS:
            stdout.print(f"raysweep describe {name}", highlight=False)
        return
    if what not in SECTIONS:
        raise InputError(f"describe {what}: expected one of {', '.join(SECTIONS)}")
    stdout.print(SECTIONS[what](), highlight=False, markup=False, soft_wrap=True)


@app.command()
def plan(
    study: StudyArgument,
    overrides: SetOption = None,
    workers: WorkersOption = None,
    timing: Annotated[bool, typer.Option(help="Train a little to estimate the time.")] = True,
) -> None:
    """Show a study's size before it is run: cells, trials, packs, models, time."""
    from raysweep.conclusion import detectable_effect
    from raysweep.display import duration
    from raysweep.kinds import study_size
    from raysweep.study_file import dump_study

    resolved = load(study, overrides)
    stdout.print(dump_study(resolved), highlight=False, markup=False)
    size = study_size(resolved, measure_time=timing)
    lines = [
        f"cells             {size.cells}",
        f"trials            {size.trials}",
        f"packs             {size.packs}",
        f"models to train   {size.encoders} encoders, each with its head",
    ]
    smallest = detectable_effect(resolved)
    if smallest is not None:
        lines.append(
            f"finds             effects of {smallest:.2f} standard deviations between units with "
            "80 % power, in the worst cell"
            if math.isfinite(smallest)
            else "finds             nothing: one unit per cell has no spread; give more "
            "confirm.seeds"
        )
    if size.seconds is not None:
        count = workers or os.cpu_count() or 1
        lines.append(
            f"estimated time    {duration(size.seconds / count)} of training with "
            f"{counted(count, 'worker')} like this machine's cores,\n"
            "                  and about half a minute to start"
        )
    stdout.print("\n".join(lines), highlight=False)


@app.command()
def analyze(folder: FolderArgument) -> None:
    """Print the verdict of a run, and write its report, figures and tables."""
    place = RunFolder(Output(folder))
    study = adopted_study(place)
    with _writable(place):
        # The parts are what is true: some may have come since the table was made.
        lost = place.renew_table(study)
        if lost:
            _say(lost)
        tested = _print_verdict(place, study)
    if not tested:
        fail(_UNTESTED, UNTESTED)


@app.command()
def version() -> None:
    """Print the version."""
    stdout.print(__version__, highlight=False)


@dataclass(frozen=True)
class _How:
    """What run and resume are told besides the study and its folder."""

    runner: str
    address: str
    workers: int | None
    modules: tuple[Path, ...]
    pack_limit: float | None
    wait: float
    tracking_uri: str | None
    mlflow: bool


def _run(study: StudyBase, folder: RunFolder, how: _How) -> None:
    if how.runner not in ("ray", "local"):
        raise InputError(f"--runner {how.runner}: expected ray or local")
    if how.runner == "local" and how.pack_limit is not None:
        raise InputError(
            "--pack-limit: a pack that hangs is ended with its process, and --runner local has "
            "none but this one; leave one of the two out"
        )
    if how.runner == "ray" and how.address != "local":
        from raysweep import ray_cluster

        ray_cluster.check_address(how.address)
    if how.mlflow:
        from raysweep import tracking

        tracking.resolve_address(folder, how.tracking_uri)  # a fault is told before anything else
    course, place = _Course(), folder.output.argument
    try:
        _drive(study, folder, how, course)
    except KeyboardInterrupt:
        if not _begun(folder):
            raise
        copy = f". Copy the rest to MLflow with: raysweep sync {place}" if course.copying else ""
        fail(f"stopped; {_left(course, place) or 'the results are complete'}{copy}", INTERRUPTED)
    except RunnerLost as error:
        fail(f"{error}; {_left(course, place)}", 1)
    left = _left(course, place)
    if left:
        fail(left, 1)
    if course.untested:
        fail(_UNTESTED, UNTESTED)


@dataclass
class _Course:
    """How far a run has come: what its last words depend on.

    Attributes:
        concluded: the sweep, once nothing of it is left to run and its verdict is printed.
        copying: a copy to MLflow was begun, and what became of it is not told yet.
        untested: the verdict is about no cell at all.
    """

    concluded: "Sweep | None" = None
    copying: bool = False
    untested: bool = False


def _left(course: _Course, place: str) -> str:
    """What is left to do of a run, and how; empty where its results are complete."""
    if course.concluded is None:
        return go_on(place)
    failed = len(course.concluded.failures)
    if not failed:
        return ""
    return (
        f"{counted(failed, 'pack')} failed; see why with: raysweep failures {place}. "
        f"Try them again with: raysweep resume {place}"
    )


def _drive(study: StudyBase, folder: RunFolder, how: _How, course: _Course) -> None:
    """Run what is missing as the folder's only driver, and print the verdict.

    Raises:
        KeyboardInterrupt: stopped, at any moment, also while the verdict was made.
    """
    from raysweep.ahead import estimates_ahead
    from raysweep.conclusion import register_plan
    from raysweep.display import RunDisplay

    with _writable(folder), contextlib.ExitStack() as ray_here, contextlib.ExitStack() as held:
        held.enter_context(estimates_ahead(study))
        if how.runner == "ray" and not how.wait and folder.output.read(STUDY_NAME) is None:
            from raysweep import ray_cluster

            # A study that cannot be placed leaves no folder behind.
            ray_here.enter_context(ray_cluster.room(study, how.address, how.workers, how.modules))
        held.enter_context(folder.driver_lock(_say))
        for step in (
            folder.restore_study,
            lambda: folder.adopt(study),
            lambda: register_plan(folder, study),
        ):
            line = step()
            if line:
                _say(line)
        with _companion(folder, how, course) as companion:
            with ray_here, RunDisplay(stderr) as display:
                if how.runner == "local":
                    from raysweep import local_runner

                    sweep = local_runner.run(study, folder, display)
                else:
                    from raysweep import tune_runner

                    sweep = tune_runner.run(
                        study,
                        folder,
                        display,
                        how.address,
                        how.workers,
                        how.pack_limit,
                        how.wait,
                        how.modules,
                    )
            if not sweep.finished:
                raise KeyboardInterrupt
            if companion is not None:
                companion.catch_up()
            if sweep.results:
                course.untested = not _print_verdict(folder, study, sweep)
            course.concluded = sweep


def _say(line: str) -> None:
    stderr.print(line, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _writable(folder: RunFolder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = folder.output.location
        finished = (
            "what was finished is kept" if folder.output.local else "a run begun there is kept"
        )
        kept = f"{finished}, go on with: raysweep resume {folder.output.argument}"
        raise InputError(
            f"--out {place}: cannot be written ({error.strerror or error}); "
            f"{kept if _begun(folder) else 'give a folder that can'}"
        ) from error


def _begun(folder: RunFolder) -> bool:
    """Whether the folder has a study to go on with; of a remote one that is assumed."""
    return folder.output.local is None or (folder.output.local / STUDY_NAME).is_file()


@contextlib.contextmanager
def _companion(folder: RunFolder, how: _How, course: _Course) -> Iterator["Companion | None"]:
    if not how.mlflow:
        yield None
        return
    from raysweep import tracking

    companion = tracking.start_companion(folder, how.tracking_uri)
    course.copying = True
    most_s = _INTERRUPTED_COPY_S
    try:
        yield companion
        most_s = math.inf
    except KeyboardInterrupt:
        _say(f"stopping: copying to MLflow, for {most_s:g} s at most; Ctrl-C leaves the rest out")
        raise
    finally:
        outcome = companion.finish(60.0, most_s, _say)
        course.copying = False
        _say(outcome)


def _print_verdict(folder: RunFolder, study: StudyBase, sweep: "Sweep | None" = None) -> bool:
    """Print what the run says; returns whether it says anything: of one cell at least."""
    from raysweep.conclusion import conclude

    conclusion = conclude(folder, study, sweep)
    for table in kind_of(study).tables(study, conclusion):
        stdout.print(table)
    for sentence in conclusion.sentences:
        stdout.print(sentence, highlight=False, markup=False, soft_wrap=True)
    stdout.print(f"Report: {conclusion.report}", highlight=False, soft_wrap=True)
    return conclusion.tested.cells > 0
