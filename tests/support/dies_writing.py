"""The command line, killed as it writes a file: ``python -m dies_writing NAME ARGUMENTS``.

Of a file that gets its name once it is whole, all is written by then but the name.
"""

import os
import signal
import sys
from pathlib import Path

from raysweep.cli import main


def die(event: str, arguments: tuple[object, ...]) -> None:
    match event, arguments:
        case "os.rename", (_, name, *_):
            pass
        case "open", (str(name), str(mode), _) if "w" in mode:
            pass
        case _:
            return
    if Path(str(name)).name == NAME:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    NAME = sys.argv.pop(1)
    sys.addaudithook(die)
    main()
