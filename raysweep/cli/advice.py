"""From a data file to a study, and to advice."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysweep.cli.runs import MlflowOption, RunnerOption, Terminal, WorkersOption
from raysweep.cli.terminal import TrackingOption, app, stdout
from raysweep.errors import InputError
from raysweep.folder.run_folder import RunFolder
from raysweep.trials.storage import Output

if TYPE_CHECKING:
    from raysweep.advice.subject import Looked

DataArgument = Annotated[
    str, typer.Argument(metavar="DATA", help="An .npz file with x1, x2 and y.")
]


@app.command()
def init(
    data: DataArgument,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The study file; by default NAME.yaml.")
    ] = None,
) -> None:
    """Look at a data file, and write a commented study that fits it."""
    from raysweep.advice.study_file import sights, study_file
    from raysweep.advice.subject import DEFAULT_RATES

    looked = _looked(data)
    file = out or Path(f"{looked.subject.name}.yaml")
    if file.exists():
        raise InputError(f"{file}: is there already, and may be yours; give another with --out")
    text = study_file(
        looked.subject, looked.seen, looked.chosen, DEFAULT_RATES, "the default, not tuned"
    )
    Output(str(file.parent)).write(file.name, text.encode())
    for line in (f"{looked.seen.rows} rows", *sights(looked.seen)):
        stdout.print(line, highlight=False, markup=False, soft_wrap=True)
    stdout.print(f"Study: {file}. Next: raysweep run {file} --out results/{looked.subject.name}")


@app.command()
def advise(
    data: DataArgument,
    budget: Annotated[
        str, typer.Option(metavar="TIME", help="Time it may take, such as 90s, 10m or 1h.")
    ] = "10m",
    out: Annotated[
        str | None, typer.Option(help="Output folder; by default results/NAME-advice.")
    ] = None,
    runner: RunnerOption = "ray",
    workers: WorkersOption = None,
    tracking_uri: TrackingOption = None,
    mlflow: MlflowOption = False,
) -> None:
    """Say whether to force alignment on these data, and how hard, within a budget of time."""
    from raysweep.advice.advise import advise as advised
    from raysweep.advice.budget import seconds_of
    from raysweep.advice.study_file import sights
    from raysweep.runners.study_run import Manner

    seconds = seconds_of(budget)
    looked = _looked(data)
    for line in (f"{looked.seen.rows} rows", *sights(looked.seen)):
        stdout.print(line, highlight=False, markup=False, soft_wrap=True)
    folder = RunFolder(Output(out or f"results/{looked.subject.name}-advice"))
    manner = Manner(runner, workers=workers, mlflow=mlflow, tracking_uri=tracking_uri)
    advice = advised(looked, folder, seconds, manner, Terminal(None))
    for sentence in advice.sentences:
        stdout.print(sentence, highlight=False, markup=False, soft_wrap=True)
    stdout.print(f"Report: {advice.report}", highlight=False, soft_wrap=True)


def _looked(data: str) -> "Looked":
    from raysweep.advice.subject import look_at

    return look_at(data, {})
