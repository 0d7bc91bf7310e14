"""Who a run in Python is told to: a notebook, standard error, or nobody."""

import contextlib
import sys
from collections.abc import Callable
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from raysweep.folder.conclusion import Conclusion
from raysweep.kinds.display import RunDisplay, Screen, as_html
from raysweep.kinds.outlook import Outlook
from raysweep.runners.observer import Observer, Silent
from raysweep.runners.study_run import Listener

_MOST_LINES = 8


def listener(progress: bool) -> Listener:
    """The listener for where this process runs."""
    if not progress:
        return Unheard()
    publish = _notebook()
    return Shown(Screen(stderr=True)) if publish is None else Notebook(publish)


class Unheard:
    """A listener that says nothing."""

    def say(self, line: str) -> None:
        """Say nothing."""

    def watching(self, outlook: Outlook) -> contextlib.AbstractContextManager[Observer]:
        """Show nothing."""
        return contextlib.nullcontext(Silent())

    def concluded(self, conclusion: Conclusion) -> None:
        """Say nothing: the run is returned."""


class Shown(Unheard):
    """A listener that shows a run on a terminal, or in lines."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def say(self, line: str) -> None:
        """Print a line."""
        self._screen.print(line, soft_wrap=True)

    def watching(self, outlook: Outlook) -> contextlib.AbstractContextManager[Observer]:
        """A live table, or lines where there is no terminal."""
        return RunDisplay(self._screen, outlook=outlook)


class Notebook(Unheard):
    """A listener that shows a run as one output of a notebook's cell, which is kept up to date.

    Args:
        publish: puts HTML in the place of what was shown before.
    """

    def __init__(self, publish: Callable[[str], None]) -> None:
        self._publish = publish
        self._lines: list[str] = []
        self._table: RenderableType = ""

    def say(self, line: str) -> None:
        """Show a line below the table, beside the last few."""
        self._lines = [*self._lines, line][-_MOST_LINES:]
        self._show()

    def watching(self, outlook: Outlook) -> contextlib.AbstractContextManager[Observer]:
        """A live table."""
        return RunDisplay(self, self, outlook)

    def print(self, line: RenderableType) -> None:
        """As `say`, for what a display prints."""
        self.say(line.plain if isinstance(line, Text) else str(line))

    def start(self) -> None:
        """Nothing to prepare."""

    def update(self, shown: RenderableType, refresh: bool = True) -> None:
        """Show another state of the table."""
        self._table = shown
        self._show()

    def stop(self) -> None:
        """Leave the last state where it is."""

    def _show(self) -> None:
        self._publish(as_html(self._table, *self._lines))


def _notebook() -> Callable[[str], None] | None:
    """What shows HTML in this process's notebook; None where there is none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import HTML, display  # type: ignore[import-not-found]

    handle: Any = None

    def publish(html: str) -> None:
        nonlocal handle
        if handle is None:
            handle = display(HTML(html), display_id=True)
        else:
            handle.update(HTML(html))

    return publish
