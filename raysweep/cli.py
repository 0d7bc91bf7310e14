"""The command line; the only file that prints or exits.

Exit codes: 0 done, 1 some packs failed, 2 a mistake in what was given, 130 interrupted.
"""

import contextlib
import math
import os
import signal
import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console

from raysweep import __version__
from raysweep.bundled import bundled_studies, find_study
from raysweep.errors import InputError
from raysweep.run_folder import STUDY_NAME, RunFolder
from raysweep.spec import Study
from raysweep.storage import Output

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="When does forcing multimodal representations to align help, and how hard?",
)
_PIPE_WIDTH = 124
_INTERRUPTED = 130
_out = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
_err = Console(stderr=True, width=None if sys.stderr.isatty() else _PIPE_WIDTH)

StudyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study file, or the name of a bundled study.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value, such as search.trials=8."),
]
FolderArgument = Annotated[
    str, typer.Argument(metavar="DIR", help="The output folder of a run (--out).")
]
RunnerOption = Annotated[
    str, typer.Option(help="ray, or local: the same loop in this process, without Ray.")
]
AddressOption = Annotated[
    str, typer.Option(help="local starts a Ray of its own; else HOST:PORT of a cluster, or auto.")
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="CPUs of the local Ray; all by default.")
]
TrackingOption = Annotated[
    str | None,
    typer.Option(help="MLflow's address; else MLFLOW_TRACKING_URI, else sqlite:///mlflow.db here."),
]
MlflowOption = Annotated[bool, typer.Option(help="Copy the results to MLflow, too.")]


@app.command()
def run(
    study: StudyArgument,
    out: Annotated[str, typer.Option(help="Output folder, or a URI that pyarrow.fs opens.")],
    overrides: SetOption = None,
    runner: RunnerOption = "ray",
    address: AddressOption = "local",
    workers: WorkersOption = None,
    tracking_uri: TrackingOption = None,
    mlflow: MlflowOption = True,
) -> None:
    """Run a study, or what is missing of it, and print the verdict."""
    resolved = _load(study, overrides)
    folder = RunFolder(Output(out))
    _run(resolved, folder, runner, address, workers, tracking_uri, mlflow)


@app.command()
def resume(
    folder: FolderArgument,
    runner: RunnerOption = "ray",
    address: AddressOption = "local",
    workers: WorkersOption = None,
    tracking_uri: TrackingOption = None,
    mlflow: MlflowOption = True,
) -> None:
    """Run what is missing in an output folder, and print the verdict."""
    place = RunFolder(Output(folder))
    _run(place.existing_study(), place, runner, address, workers, tracking_uri, mlflow)


@app.command()
def status(folder: FolderArgument) -> None:
    """Show how far a run is."""
    from raysweep.display import status_table

    place = RunFolder(Output(folder))
    sweep = place.open_sweep(place.existing_study())
    _out.print(status_table(sweep))
    done = sum(key in sweep.results for key in sweep.order())
    _out.print(f"{done} of {sweep.trials_planned()} trials are there", highlight=False)


@app.command()
def validate(study: StudyArgument, overrides: SetOption = None) -> None:
    """Check a study file; list all its faults at once."""
    resolved = _load(study, overrides)
    _out.print(f"{study}: a valid study ({resolved.name})", highlight=False)


@app.command()
def studies() -> None:
    """List the bundled studies."""
    for name, description in bundled_studies().items():
        _out.print(f"[bold]{name}[/bold]  {description}", highlight=False)


@app.command()
def describe(
    what: Annotated[str, typer.Argument(help="datasets, metrics, losses or columns.")],
) -> None:
    """List what a study file may name, or the columns of the trial table, as Markdown."""
    from raysweep.guide import SECTIONS

    if what not in SECTIONS:
        raise InputError(f"describe {what}: expected one of {', '.join(SECTIONS)}")
    _out.print(SECTIONS[what](), highlight=False, markup=False, soft_wrap=True)


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
    from raysweep.estimate import study_size
    from raysweep.study_file import dump_study

    resolved = _load(study, overrides)
    _out.print(dump_study(resolved), highlight=False, markup=False)
    size = study_size(resolved, measure_time=timing)
    lines = [
        f"cells             {size.cells}",
        f"trials            {size.trials}",
        f"packs             {size.packs}",
        f"models to train   {size.encoders} encoders, each with its head",
    ]
    smallest = detectable_effect(resolved)
    lines.append(
        f"finds             effects of {smallest:.2f} standard deviations between units with 80 % "
        "power, in the worst cell"
        if math.isfinite(smallest)
        else "finds             nothing: one unit per cell has no spread; give more confirm.seeds"
    )
    if size.seconds is not None:
        count = workers or os.cpu_count() or 1
        lines.append(
            f"estimated time    {duration(size.seconds / count)} of training with {count} workers "
            "like this machine's cores,\n                  and about half a minute to start"
        )
    _out.print("\n".join(lines), highlight=False)


@app.command()
def analyze(folder: FolderArgument) -> None:
    """Print the verdict of a run, and write its report, figures and tables."""
    place = RunFolder(Output(folder))
    with _writable(place):
        _print_verdict(place, place.existing_study())


@app.command()
def sync(
    folder: FolderArgument,
    tracking_uri: TrackingOption = None,
    follow: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Copy a run's results to MLflow; what is there already is left alone."""
    from raysweep import tracking

    place = RunFolder(Output(folder))
    place.existing_study()
    if follow:
        tracking.follow_until_input_ends(place, tracking_uri)
        return
    report = tracking.sync(place, tracking_uri)
    _out.print(report.sentence(), highlight=False)


@app.command()
def ui(
    folder: Annotated[str | None, typer.Argument(metavar="DIR")] = None,
    tracking_uri: TrackingOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 5000,
) -> None:
    """Start the MLflow UI on this machine."""
    from raysweep import tracking

    place = RunFolder(Output(folder)) if folder is not None else None
    if place is not None:
        place.existing_study()
    tracking.ui_command(place, tracking_uri, host, port)  # a fault is told before anything else
    page = tracking.ui_page(place, host, port)
    _out.print(f"MLflow UI at {page} in a few seconds (stop it with Ctrl-C)", highlight=False)
    raise typer.Exit(tracking.serve_ui(place, tracking_uri, host, port))


@app.command()
def version() -> None:
    """Print the version."""
    _out.print(__version__, highlight=False)


def main() -> None:
    """Run the command line; a user's mistake ends with its message and exit code 2."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        app(standalone_mode=False)
    except InputError as error:
        _fail(str(error), 2)
    except typer.Abort:
        _fail("interrupted", _INTERRUPTED)
    except KeyboardInterrupt:
        _fail("interrupted", _INTERRUPTED)
    except (typer.Exit, SystemExit):
        raise
    except Exception as error:
        # Usage errors of the parser (an unknown option, say) carry their exit code.
        code = getattr(error, "exit_code", None)
        if code is None or not hasattr(error, "format_message"):
            raise
        _fail(error.format_message(), int(code))


def _load(name: str, overrides: list[str] | None) -> Study:
    from raysweep import vocabulary
    from raysweep.study_file import load_study

    return load_study(find_study(name), overrides or (), vocabulary.check, vocabulary.resolve_files)


def _run(
    study: Study,
    folder: RunFolder,
    runner: str,
    address: str,
    workers: int | None,
    tracking_uri: str | None,
    mlflow: bool,
) -> None:
    if runner not in ("ray", "local"):
        raise InputError(f"--runner {runner}: expected ray or local")
    if runner == "ray" and address != "local":
        from raysweep import ray_cluster

        ray_cluster.check_address(address)
    from raysweep.conclusion import register_plan
    from raysweep.display import RunDisplay

    with _writable(folder), folder.driver_lock():
        folder.adopt(study)
        digest = register_plan(folder, study)
        if digest:
            _err.print(f"plan registered before the first trial: {digest}", highlight=False)
        with _companion(folder, tracking_uri, mlflow):
            try:
                with RunDisplay(_err) as display:
                    if runner == "local":
                        from raysweep import local_runner

                        sweep = local_runner.run(study, folder, display)
                    else:
                        from raysweep import tune_runner

                        sweep = tune_runner.run(study, folder, display, address, workers)
                interrupted = not sweep.finished
            except KeyboardInterrupt:
                interrupted = True
            if not interrupted and sweep.results:
                _print_verdict(folder, study)
        if interrupted:
            _fail(
                f"stopped; everything finished is kept. "
                f"Go on with: raysweep resume {folder.output.location}",
                _INTERRUPTED,
            )
    if sweep.failures:
        _fail(
            f"{len(sweep.failures)} packs failed; why is in "
            f"{folder.output.location}/failures. Try them again with: "
            f"raysweep resume {folder.output.location}",
            1,
        )


@contextlib.contextmanager
def _writable(folder: RunFolder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = folder.output.location
        begun = folder.output.local is None or (folder.output.local / STUDY_NAME).is_file()
        kept = f"what was finished is kept, go on with: raysweep resume {place}"
        raise InputError(
            f"--out {place}: cannot be written ({error.strerror or error}); "
            f"{kept if begun else 'give a folder that can'}"
        ) from error


@contextlib.contextmanager
def _companion(folder: RunFolder, tracking_uri: str | None, mlflow: bool) -> Iterator[None]:
    if not mlflow:
        yield
        return
    from raysweep import tracking

    companion = tracking.start_companion(folder, tracking_uri)
    try:
        yield
    finally:
        _err.print(companion.finish(timeout_s=60.0), highlight=False)


def _print_verdict(folder: RunFolder, study: Study) -> None:
    from raysweep.conclusion import conclude
    from raysweep.display import verdict_table

    conclusion = conclude(folder)
    if len(conclusion.effects):
        _out.print(verdict_table(conclusion.effects, study.verdict.performance))
    for sentence in conclusion.sentences:
        _out.print(sentence, highlight=False, markup=False, soft_wrap=True)
    _out.print(f"Report: {conclusion.report}", highlight=False, soft_wrap=True)


def _terminated(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> None:
    style = "red" if code == 2 else None
    _err.print(message, highlight=False, markup=False, soft_wrap=True, style=style)
    if code == _INTERRUPTED:
        # An interrupt may have come while a library was starting or ending its threads, and some
        # then crash when the interpreter takes them down in order. All files are closed by now.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
