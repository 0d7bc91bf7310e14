"""The command line; the only package that prints or exits."""

from raysweep.plugins import import_path

import_path.put_users_aside()

# isort: split
# Only now: any of these could have been the user's.
import signal

import typer

from raysweep.cli import advice, features, folders, jobs, runs  # noqa: F401 - they add their commands
from raysweep.cli.terminal import INTERRUPTED, app, fail
from raysweep.errors import InputError

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; a user's mistake ends with its message and exit code 2."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        # Typer makes a code of an interrupt, and leaves it to its caller to end with that.
        if app(standalone_mode=False) == INTERRUPTED:
            fail("interrupted", INTERRUPTED)
    except InputError as error:
        fail(str(error), 2)
    except (typer.Abort, KeyboardInterrupt):
        fail("interrupted", INTERRUPTED)
    except (typer.Exit, SystemExit):
        raise
    except Exception as error:
        # Usage errors of the parser (an unknown option, say) carry their exit code.
        code = getattr(error, "exit_code", None)
        if code is None or not hasattr(error, "format_message"):
            raise
        fail(error.format_message(), int(code))


def _terminated(signum: int, frame: object) -> None:
    raise KeyboardInterrupt
