"""From a data file to a study, and to advice."""

import shlex
from collections.abc import Mapping
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
    str, typer.Argument(metavar="DATA", help="A file with modalities and labels.")
]
ModalityOption = Annotated[
    list[str] | None,
    typer.Option(
        "--modality", metavar="COLUMNS", help="One modality, as a name or, quoted, 'img_*'; repeat."
    ),
]
LabelOption = Annotated[str | None, typer.Option(help="The column of the labels.")]
SplitOption = Annotated[str | None, typer.Option(help="The column with train, validation, test.")]
GroupsOption = Annotated[str | None, typer.Option(help="The column of rows that belong together.")]
TaskOption = Annotated[
    str | None, typer.Option(help="classification, regression, multilabel or ordinal.")
]
ScaleOption = Annotated[str | None, typer.Option(help="standard, robust or none.")]


@app.command()
def init(
    data: DataArgument,
    modality: ModalityOption = None,
    label: LabelOption = None,
    split: SplitOption = None,
    groups: GroupsOption = None,
    task: TaskOption = None,
    scale: ScaleOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The study file, a new one; by default NAME.yaml in this folder."
        ),
    ] = None,
) -> None:
    """Look at a data file, and write a commented study that fits it."""
    from raysweep.advice.study_file import study_file
    from raysweep.advice.subject import DEFAULT_RATES

    folder = out.parent if out is not None else Path()
    columns = dict(label=label, split=split, groups=groups, task=task, scale=scale)
    looked = _looked(data, modality, columns, folder)
    file = out or Path(f"{looked.subject.name}.yaml")
    if file.exists():
        raise InputError(f"{file}: is there already, and may be yours; give another with --out")
    text = study_file(
        looked.subject, looked.seen, looked.chosen, DEFAULT_RATES, "the default, not tuned"
    )
    Output(str(file.parent)).write(file.name, text.encode())
    command = ["raysweep", "run", str(file), "--out", f"results/{looked.subject.name}"]
    stdout.print(f"Study: {file}. Next: {shlex.join(command)}", soft_wrap=True)


@app.command("decompose")
def decompose_data(
    data: DataArgument,
    modality: ModalityOption = None,
    label: LabelOption = None,
    split: SplitOption = None,
    groups: GroupsOption = None,
    task: TaskOption = None,
    scale: ScaleOption = None,
) -> None:
    """Estimate what each modality tells of the label: shared, unique, synergistic; in nats."""
    from raysweep.advice.information import decomposition

    columns = dict(label=label, split=split, groups=groups, task=task, scale=scale)
    looked = _looked(data, modality, columns, Path())
    for sentence in decomposition(looked.views).sentences:
        stdout.say(sentence)


@app.command()
def advise(
    data: DataArgument,
    modality: ModalityOption = None,
    label: LabelOption = None,
    split: SplitOption = None,
    groups: GroupsOption = None,
    task: TaskOption = None,
    scale: ScaleOption = None,
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
    from raysweep.runners.study_run import Manner

    seconds = seconds_of(budget)
    columns = dict(label=label, split=split, groups=groups, task=task, scale=scale)
    looked = _looked(data, modality, columns, Path())
    folder = RunFolder(Output(out or f"results/{looked.subject.name}-advice"))
    manner = Manner(runner, workers=workers, mlflow=mlflow, tracking_uri=tracking_uri)
    advice = advised(looked, folder, seconds, manner, Terminal(None))
    for sentence in advice.sentences:
        stdout.say(sentence)
    stdout.print(f"Report: {advice.report}", highlight=False, soft_wrap=True)


def _looked(
    data: str, modalities: list[str] | None, columns: Mapping[str, str | None], folder: Path
) -> "Looked":
    """Look at the data, and print what is seen."""
    from raysweep.advice.study_file import sights
    from raysweep.advice.subject import look_at
    from raysweep.data.chosen import MODALITIES

    if modalities and not 2 <= len(modalities) <= len(MODALITIES):
        raise InputError(
            f"--modality is given {len(modalities)} times; expected 2 to {len(MODALITIES)} times, "
            "once for each"
        )
    given = dict(zip(MODALITIES, modalities or (), strict=False))
    given.update({name: column for name, column in columns.items() if column is not None})
    looked = look_at(data, given, folder)
    for line in (f"{looked.seen.rows} rows", *sights(looked.seen)):
        stdout.say(line)
    return looked
