"""Studies and their runs: validate, plan, run, resume, analyze, and what a study may name."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from raysweep import __version__
from raysweep.cli.terminal import (
    INTERRUPTED,
    UNTESTED,
    FolderArgument,
    JsonOption,
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
from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.kind import kind_of
from raysweep.study.bundled import bundled_studies
from raysweep.study.spec import StudyBase
from raysweep.text import counted, duration, visible
from raysweep.trials.outcomes import amount
from raysweep.trials.storage import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raysweep.folder.conclusion import Conclusion, PilotSpread
    from raysweep.kinds.display import RunDisplay
    from raysweep.kinds.outlook import Outlook
    from raysweep.runners.study_run import Manner

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
    from raysweep.runners.study_run import Manner

    modules = importable(module)
    manner = Manner(runner, address, workers, modules, pack_limit, wait, mlflow, tracking_uri)
    _run(load(study, overrides), RunFolder(Output(out)), manner)


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
    from raysweep.runners.study_run import Manner
    from raysweep.study.checks import with_code_folders

    place = RunFolder(Output(folder))
    modules = importable(module)
    manner = Manner(runner, address, workers, modules, pack_limit, wait, mlflow, tracking_uri)
    _run(with_code_folders(adopted_study(place), Path.cwd()), place, manner)


@app.command()
def validate(
    study: StudyArgument,
    overrides: SetOption = None,
    try_out: Annotated[
        bool,
        typer.Option(
            "--try", help="Run a short trial of each arm: are they paired, do they differ?"
        ),
    ] = False,
) -> None:
    """Check a study file and try the code that it names; list all its faults at once."""
    resolved = load(study, overrides, _tell_code)
    stdout.print(f"{study}: a valid study ({resolved.name})", highlight=False)
    _tell_notes(resolved, closely=True)
    if try_out:
        for line in kind_of(resolved).try_out(resolved):
            stdout.say(line)


def _tell_notes(study: StudyBase, closely: bool = False) -> None:
    from raysweep.data.own_notes import own_notes

    for line in (*own_notes(study, closely), *kind_of(study).doubts(study)):
        stdout.say(line)


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
    from raysweep.cli.reference import SECTIONS

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
    full: Annotated[
        bool, typer.Option("--full", help="Print the study with all its defaults, too.")
    ] = False,
    as_json: JsonOption = False,
    pilot: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Output folder of a run with few draws: finds effects in points."
        ),
    ] = None,
) -> None:
    """Show a study's size before it is run: cells, trials, packs, models, time."""
    from raysweep.folder.conclusion import detectable_effect, pilot_spread
    from raysweep.kinds.kind import study_size
    from raysweep.study.reader import dump_study

    resolved = load(study, overrides)
    smallest = detectable_effect(resolved)
    spread = None if pilot is None else pilot_spread(RunFolder(Output(pilot)), resolved)
    count = workers or os.cpu_count() or 1
    if as_json:
        from raysweep.cli.as_json import plan_json

        plan_json(study_size(resolved, measure_time=timing), smallest, count, spread)
        return
    if full:
        stdout.print(dump_study(resolved), highlight=False, markup=False)
    _tell_notes(resolved)
    size = study_size(resolved, measure_time=timing)
    lines = [
        f"cells             {size.cells}",
        f"trials            {size.trials}",
        f"packs             {size.packs}",
    ]
    if size.encoders:
        lines.append(f"models to train   {size.encoders} encoders, each with its head")
    lines += [f"a trial needs     {needs}" for needs in size.needs]
    if smallest is not None:
        lines.append(
            f"finds             effects of {smallest:.2f} standard deviations between units with "
            "80 % power, in the worst cell"
            if math.isfinite(smallest)
            else "finds             nothing: one unit per cell has no spread; give more "
            "confirm.seeds"
        )
    if smallest is not None and spread is not None:
        lines.append(_in_its_unit(smallest, spread))
    if size.seconds is not None:
        work = "training" if size.encoders else "measuring"
        lines.append(
            f"estimated time    {duration(size.seconds / count)} of {work} with "
            f"{counted(count, 'worker')} like this machine's cores, and about half a minute to "
            "start"
        )
    lines += [f"doubt             {doubt}" for doubt in size.doubts]
    for line in lines:
        stdout.say(line, indent=18)


def _in_its_unit(smallest: float, spread: "PilotSpread") -> str:
    found, sd = (amount(v, spread.performance, 2) for v in (smallest * spread.sd_high, spread.sd))
    return (
        f"in its unit       {found} where units spread as in the pilot (standard deviation {sd}; "
        f"{counted(spread.cells, 'cell')}, "
        f"{counted(spread.units, spread.unit)}; sized by its upper 80 % limit)"
    )


@app.command()
def analyze(
    folder: FolderArgument,
    as_json: JsonOption = False,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Write the report as a PDF, too, by an installed browser.")
    ] = False,
    multiverse: Annotated[
        bool,
        typer.Option(
            "--multiverse",
            help="Judge every cell under all choices of criterion, reference, outcome and scale, "
            "too; with tables and a figure.",
        ),
    ] = False,
) -> None:
    """Print the verdict of a run, and write its report, figures and tables."""
    from raysweep.folder.conclusion import REPORT_NAME, conclude, under_all_choices
    from raysweep.folder.printed import find_browser, print_report
    from raysweep.runners.study_run import writable

    place = RunFolder(Output(folder))
    browser = find_browser() if pdf else ""  # told before anything is analysed
    study = adopted_study(place)
    terminal = Terminal(study)
    with writable(place):
        # The parts are what is true: some may have come since the table was made.
        lost = place.renew_table(study)
        if lost:
            terminal.say(lost)
        conclusion = conclude(place, study)
        choices = under_all_choices(place, conclusion) if multiverse else []
        if as_json:
            from raysweep.cli.as_json import answer_json

            answer_json(conclusion, study.name)
        else:
            terminal.concluded(conclusion)
            for sentence in choices:
                stdout.say(sentence)
        if browser:
            printed = print_report(place.output, REPORT_NAME, browser)
            terminal.say(f"PDF: {printed}")
    if not conclusion.tested.cells:
        fail(_UNTESTED, UNTESTED)


@app.command()
def version() -> None:
    """Print the version."""
    stdout.print(__version__, highlight=False)


def _run(study: StudyBase, folder: RunFolder, manner: "Manner") -> None:
    from raysweep.runners.study_run import Stopped, run_study

    try:
        outcome = run_study(study, folder, manner, Terminal(study))
    except Stopped as stopped:
        fail(str(stopped), INTERRUPTED)
    except RunnerLost as error:
        fail(str(error), 1)
    if outcome.left:
        fail(outcome.left, 1)
    if outcome.conclusion is not None and not outcome.conclusion.tested.cells:
        fail(_UNTESTED, UNTESTED)


@dataclass(frozen=True)
class Terminal:
    """Shows a run where it was started.

    Attributes:
        study: whose conclusion is printed; None where it is told in other words.
    """

    study: StudyBase | None

    def say(self, line: str) -> None:
        """Print a line beside what is the command's output."""
        stderr.print(line, highlight=False, soft_wrap=True)

    def watching(self, outlook: "Outlook") -> "RunDisplay":
        """A live table, or lines where there is no terminal."""
        from raysweep.kinds.display import RunDisplay

        return RunDisplay(stderr, outlook=outlook)

    def concluded(self, conclusion: "Conclusion") -> None:
        """Print what the run says."""
        if self.study is None:
            return
        first, *further = conclusion.sentences or ("",)
        if first:
            stdout.say(first, "bold")
        unknown = len(conclusion.unknown)
        self._say_all(further[:unknown])
        for table in kind_of(self.study).tables(self.study, conclusion):
            stdout.print(table)
        self._say_all(further[unknown:])
        stdout.print(f"Report: {conclusion.report}", highlight=False, soft_wrap=True)

    def _say_all(self, sentences: "Sequence[str]") -> None:
        for sentence in sentences:
            stdout.say(sentence)
