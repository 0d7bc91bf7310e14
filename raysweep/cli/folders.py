"""What a run has left: how far it is, what failed, its copies in MLflow and Optuna."""

from typing import Annotated

import typer

from raysweep.cli.terminal import (
    FolderArgument,
    JsonOption,
    TrackingOption,
    adopted_study,
    app,
    stderr,
    stdout,
)
from raysweep.errors import InputError
from raysweep.folder.causes import sentences
from raysweep.folder.run_folder import RunFolder
from raysweep.text import counted
from raysweep.trials.storage import Output

_LAST_LINES = 4
_MOST_CELLS = 20


@app.command()
def status(
    folder: FolderArgument,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow a run that goes on, until it ends.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how far a run is; the exit code is 0 also where it is not finished."""
    from raysweep.kinds.display import RunDisplay, status_table
    from raysweep.kinds.outlook import time_left
    from raysweep.runners import watch as watching

    if watch and as_json:
        raise InputError("status: --watch is for people, --json for programs; give one of them")
    place = RunFolder(Output(folder))
    study = adopted_study(place)
    if as_json:
        from raysweep.api.status import status_of
        from raysweep.cli.as_json import status_json

        status_json(status_of(place, study))
        return
    outlook = watching.outlook_of(place, study)
    if watch:
        try:
            with RunDisplay(stderr, outlook=outlook) as display:
                sweep = watching.watch(place, display, outlook)
        except KeyboardInterrupt:
            stderr.print("stopped watching; the run goes on", highlight=False)
            raise typer.Exit from None
    else:
        sweep = place.left(study)
    stdout.print(status_table(sweep, None if sweep.finished else outlook.so_far))
    done = sum(key in sweep.results for key in sweep.order())
    stdout.print(f"{done} of {counted(sweep.trials_planned(), 'trial')} are there", highlight=False)
    driver, left = place.driver(), outlook.seconds_left(sweep)
    if driver is not None:
        about = "" if left is None else f", {time_left(sweep, left)}"
        stdout.print(f"a run goes on ({driver.name}){about}", highlight=False)
    elif not sweep.finished:
        stdout.print(
            f"no driver runs, and trials are missing. Go on with: raysweep resume "
            f"{place.output.argument}",
            highlight=False,
            soft_wrap=True,
        )
    for sentence in sentences(place.causes(sweep), sweep.labels):
        stdout.say(f"no verdict on {sentence}")
    if sweep.failures:
        stdout.print(
            f"{counted(len(sweep.failures), 'pack')} failed; see why with: "
            f"raysweep failures {place.output.argument}",
            highlight=False,
            soft_wrap=True,
        )


@app.command()
def failures(
    folder: FolderArgument,
    full: Annotated[bool, typer.Option("--full", help="Show everything that is known.")] = False,
) -> None:
    """Show which packs failed, and the last lines of why."""
    from raysweep.kinds.display import cell_names

    place = RunFolder(Output(folder))
    sweep = place.left(adopted_study(place))
    if not sweep.failures:
        stdout.print("no pack of this study has failed", highlight=False)
    for sentence in sentences(place.causes(sweep), sweep.labels, _MOST_CELLS):
        stdout.say(f"no verdict on {sentence}")
    packs = {pack.key: pack for plan in sweep.plans.values() for pack in plan.packs}
    for key, reason in sweep.failures.items():
        cells = [cell.id for cell in packs[key].cells]
        names = cell_names(sweep, cells, None if full else _MOST_CELLS)
        stdout.print(
            f"{names}: pack {key} of {counted(len(packs[key].trials), 'trial')}",
            style="bold",
            highlight=False,
            soft_wrap=True,
        )
        lines = reason.strip().splitlines()
        for line in lines if full else lines[-_LAST_LINES:]:
            stdout.print(f"    {line}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def export(
    folder: FolderArgument,
    optuna: Annotated[
        str,
        typer.Option(metavar="URL", help="A database of Optuna, such as sqlite:///searches.db."),
    ],
) -> None:
    """Write a run's searches as Optuna studies, which optuna-dashboard shows."""
    from raysweep.tracking.optuna_export import export_searches

    report = export_searches(RunFolder(Output(folder)), optuna)
    stdout.print(
        f"{counted(report.studies, 'search')}, "
        f"{counted(report.written + report.unchanged, 'trial')} "
        f"({report.written} written) in {optuna}",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def sync(
    folder: FolderArgument,
    tracking_uri: TrackingOption = None,
    follow: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Copy a run's results to MLflow; what is there already is left alone."""
    from raysweep import tracking

    place = RunFolder(Output(folder))
    adopted_study(place)
    if follow:
        tracking.follow_until_input_ends(place, tracking_uri)
        return
    report = tracking.sync(place, tracking_uri)
    stdout.print(report.sentence(), highlight=False, soft_wrap=True)


@app.command()
def ui(
    folder: Annotated[str | None, typer.Argument(metavar="DIR")] = None,
    tracking_uri: TrackingOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = 5000,
) -> None:
    """Open a run in MLflow: start its UI on this machine, or name the server that has it."""
    from raysweep import tracking
    from raysweep.folder.conclusion import REPORT_NAME

    place = RunFolder(Output(folder)) if folder is not None else None
    if place is not None:
        adopted_study(place)
    served = tracking.server_page(place, tracking_uri)
    if not served:
        # Faults are told before an address is announced.
        tracking.ui_command(place, tracking_uri, host, port)
        tracking.check_free(host, port)
    page = served or tracking.ui_page(place, host, port)
    if place is not None and place.output.read(REPORT_NAME) is not None:
        report = place.output.place(REPORT_NAME)
        stdout.print(f"Report at {report}", highlight=False, soft_wrap=True)
    if served:
        stdout.print(f"MLflow at {served}", highlight=False, soft_wrap=True)
        return
    stdout.print(
        f"MLflow UI at {page} in a few seconds (stop it with Ctrl-C)",
        highlight=False,
        soft_wrap=True,
    )
    raise typer.Exit(tracking.serve_ui(place, tracking_uri, host, port))
