"""What all commands share: the application, the screen, common options, and how a command ends.

Exit codes: 0 done, 1 some packs failed, 2 a mistake in what was given, 3 no cell could be tested,
130 interrupted.
"""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from raysweep.errors import InputError
from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.display import Screen
from raysweep.study.bundled import find_study
from raysweep.study.spec import StudyBase

if TYPE_CHECKING:
    from raysweep.study.yaml_lines import Fault

UNTESTED = 3
INTERRUPTED = 130
GROUPS = {
    "Start": ("advise", "decompose", "init", "validate", "plan", "run", "resume"),
    "Look": ("status", "analyze", "failures", "ui", "sync"),
    "Cluster": ("submit", "jobs", "logs", "stop"),
    "More": ("features", "convert", "studies", "describe", "export", "version"),
}
"""Commands as the help shows them, in the order of use."""
_PIPE_WIDTH = 124


app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="When does forcing multimodal representations to align help, and how hard?",
    epilog="Exit codes: 0 done; 1 some packs failed, or the run ended early; 2 a mistake in what "
    "was given; 3 no cell could be tested; 130 interrupted.",
)
stdout = Screen(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
stderr = Screen(stderr=True, width=None if sys.stderr.isatty() else _PIPE_WIDTH)

StudyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study file, or the name of a bundled study.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value, such as search.trials=8."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
FolderArgument = Annotated[
    str, typer.Argument(metavar="DIR", help="The output folder of a run (--out).")
]
TrackingOption = Annotated[
    str | None,
    typer.Option(help="MLflow's address; else MLFLOW_TRACKING_URI, else sqlite:///mlflow.db here."),
]
PackLimitOption = Annotated[
    float | None,
    typer.Option(min=0.001, metavar="SECONDS", help="Give a pack up that trains for longer."),
]
ModuleOption = Annotated[
    list[Path] | None,
    typer.Option(metavar="PATH", exists=True, help="A .py file or package that the study needs."),
]
WaitOption = Annotated[
    float,
    typer.Option(min=0, metavar="SECONDS", help="Wait so long for a node that can hold a pack."),
]


def importable(modules: list[Path] | None) -> tuple[Path, ...]:
    """The modules that a study needs, from now on importable here: it is checked with them.

    Raises:
        InputError: one is neither a ``.py`` file nor a folder.
    """
    from raysweep.plugins.user_code import make_importable

    found = tuple(modules or ())
    for path in found:
        name = path.resolve().stem if path.is_file() else path.resolve().name
        if not (path.is_dir() or path.suffix == ".py") or not name.isidentifier():
            raise InputError(
                f"--module {path}: expected a .py file or the folder of a package, whose name can "
                "be imported"
            )
    make_importable(str(path.resolve().parent) for path in found)
    return found


def load(
    name: str, overrides: list[str] | None, tell: Callable[[str], None] | None = None
) -> StudyBase:
    """The resolved study of a file or a bundled name, all its faults told at once.

    Args:
        name: as the user gave it.
        overrides: of ``--set``.
        tell: given a line for all code that the study names, before any of it is imported.
    """
    from raysweep.study import checks
    from raysweep.study.reader import load_study

    def check(raw: Mapping[str, Any], folder: Path) -> "list[Fault]":
        if tell is not None:
            for line in checks.named_code(raw, folder):
                tell(line)
        return checks.check(raw, folder)

    return load_study(find_study(name), overrides or (), check, checks.resolve_files)


def adopted_study(folder: RunFolder) -> StudyBase:
    """The study that a run's folder belongs to; its file is restored where it is damaged.

    Raises:
        InputError: the folder is not the output of a run, or its study was changed since.
    """
    restored = folder.restore_study()
    if restored:
        stderr.print(restored, highlight=False, soft_wrap=True)
    return folder.existing_study()


def fail(message: str, code: int) -> NoReturn:
    """End with a message and an exit code."""
    style = "red" if code == 2 else None
    stderr.print(message, highlight=False, markup=False, soft_wrap=True, style=style)
    if code == INTERRUPTED:
        # An interrupt may have come while a library was starting or ending its threads, and some
        # then crash when the interpreter takes them down in order. All files are closed by now.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
