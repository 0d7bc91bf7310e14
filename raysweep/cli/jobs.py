"""Studies on a cluster: send one, list them, listen to one, stop one."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from raysweep.cli.terminal import (
    INTERRUPTED,
    ModuleOption,
    PackLimitOption,
    SetOption,
    StudyArgument,
    WaitOption,
    app,
    fail,
    importable,
    load,
    stderr,
    stdout,
)

AddressOption = Annotated[
    str,
    typer.Option(
        envvar="RAY_API_SERVER_ADDRESS", help="The cluster's job server, http://HEAD:8265."
    ),
]
JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="A job's name, from `raysweep jobs`.")
]
_HERE = "http://127.0.0.1:8265"


@app.command()
def submit(
    study: StudyArgument,
    out: Annotated[
        str, typer.Option(help="Output: a folder that all nodes share, or a URI of pyarrow.fs.")
    ],
    overrides: SetOption = None,
    address: AddressOption = _HERE,
    wheel: Annotated[
        Path | None,
        typer.Option(help="Run this wheel of raysweep, instead of what is installed here."),
    ] = None,
    module: ModuleOption = None,
    pack_limit: PackLimitOption = None,
    wait: WaitOption = 0.0,
    tracking_uri: Annotated[
        str | None,
        typer.Option(help="An MLflow server that the cluster reaches; else MLFLOW_TRACKING_URI."),
    ] = None,
) -> None:
    """Run a study as a job on a cluster, show its progress, and print the verdict."""
    from raysweep.runners import jobs

    modules = importable(module)
    arguments: Sequence[str] = ["--wait", f"{wait:g}"] if wait else []
    if pack_limit is not None:
        arguments = [*arguments, "--pack-limit", f"{pack_limit:g}"]
    job_id = jobs.submit(
        load(study, overrides), out, address, wheel, modules, arguments, tracking_uri
    )
    stderr.print(f"job {job_id} at {address}", highlight=False, soft_wrap=True)
    _listen(address, job_id)


@app.command("jobs")
def list_jobs(address: AddressOption = _HERE) -> None:
    """List the studies that were sent to a cluster."""
    from raysweep.runners import jobs

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("job", "study", "status", "started", "out"):
        table.add_column(name, overflow="fold")
    for job in jobs.jobs(address):
        started = (
            time.strftime("%Y-%m-%d %H:%M", time.localtime(job.started)) if job.started else ""
        )
        table.add_row(job.id, job.study, job.status.lower(), started, job.location)
    stdout.print(table)


@app.command()
def logs(
    job: JobArgument,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the job ends.")] = False,
    address: AddressOption = _HERE,
) -> None:
    """Show what a job has printed; with --follow, end as it ends."""
    from raysweep.runners import jobs

    if follow:
        _listen(address, job)
    else:
        _show(jobs.logs(address, job))


@app.command()
def stop(job: JobArgument, address: AddressOption = _HERE) -> None:
    """Stop a job; everything that it has finished is kept."""
    from raysweep.runners import jobs

    stopped = jobs.stop(address, job)
    told = jobs.job(address, job)
    onward = ", and the same `raysweep submit` goes on with it"
    stdout.print(
        f"{job}: {'is being stopped' if stopped else f'had ended ({told.status.lower()})'}; what "
        f"it finished is in {told.location}{'' if told.status == 'SUCCEEDED' else onward}",
        highlight=False,
        soft_wrap=True,
    )


def _listen(address: str, job_id: str) -> None:
    """Show what a job prints until it ends; exit as it did."""
    from raysweep.runners import jobs

    try:
        for text in jobs.follow(address, job_id):
            _show(text)
        ended = jobs.job(address, job_id)
    except KeyboardInterrupt:
        fail(
            "stopped listening; the job goes on. "
            f"Listen again with: raysweep logs {job_id} --follow --address {address}. "
            f"Stop it with: raysweep stop {job_id} --address {address}",
            INTERRUPTED,
        )
    if ended.status != "SUCCEEDED":
        fail(f"{job_id}: {ended.status.lower()}: {ended.message}", ended.exit_code or 1)


def _show(text: str) -> None:
    stdout.print(text, end="", highlight=False, markup=False, soft_wrap=True)
