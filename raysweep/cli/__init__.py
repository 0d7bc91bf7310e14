"""The command line; the only package that prints or exits."""

from raysweep.plugins import import_path

import_path.put_users_aside()

# isort: split
# Only now: any of these could have been the user's.
import errno
import signal
import sys

import typer

from raysweep.cli import advice, convert, features, folders, jobs, runs  # noqa: F401 - commands
from raysweep.cli.terminal import GROUPS, INTERRUPTED, app, fail
from raysweep.errors import InputError

__all__ = ["app", "main"]

_OF_PATHS = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM)
"""What is wrong with a path as it was given, wherever it is looked at first."""


def _grouped() -> None:
    """Put every command into its group; one that has none is a fault of this package."""
    groups = {name: group for group, names in GROUPS.items() for name in names}
    order = list(groups)
    for command in app.registered_commands:
        name = str(command.name or getattr(command.callback, "__name__", ""))
        command.name, command.rich_help_panel = name, groups[name]
    app.registered_commands.sort(key=lambda command: order.index(str(command.name)))


_grouped()


def main() -> None:
    """Run the command line; a user's mistake ends with its message and exit code 2."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        # Typer makes a code of an interrupt, and leaves it to its caller to end with that.
        code = app(standalone_mode=False)
        if code == INTERRUPTED:
            fail("interrupted", INTERRUPTED)
        if isinstance(code, int) and code:
            sys.exit(code)
    except InputError as error:
        fail(str(error), 2)
    except (typer.Abort, KeyboardInterrupt):
        fail("interrupted", INTERRUPTED)
    except (typer.Exit, SystemExit):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OF_PATHS and error.filename:
            fail(f"{error.filename}: {error.strerror}", 2)
        # Usage errors of the parser (an unknown option, say) carry their exit code.
        code = getattr(error, "exit_code", None)
        if code is None or not hasattr(error, "format_message"):
            raise
        fail(error.format_message(), int(code))


def _terminated(signum: int, frame: object) -> None:
    raise KeyboardInterrupt
