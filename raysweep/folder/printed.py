"""The report as a PDF, by the print function of a browser that is installed."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from raysweep.errors import InputError
from raysweep.text import last_line
from raysweep.trials.storage import Output

PDF_NAME = "report.pdf"
BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    *("microsoft-edge", "msedge", "brave-browser"),
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
_PATIENCE_S = 120.0


def find_browser() -> str:
    """The first browser that is there.

    Raises:
        InputError: there is none that prints without a window.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise InputError(
            "--pdf: no browser that prints without a window is installed (looked for Chromium, "
            "Chrome, Edge and Brave); install one, or open report.html in any browser and print it"
        )
    return found


def print_report(output: Output, name: str, browser: str) -> str:
    """Print a page of a run's folder; returns where the PDF is.

    Args:
        output: the folder.
        name: of the page in it, which needs no other file.
        browser: as from `find_browser`.

    Raises:
        InputError: there is no such page, or the browser prints nothing.
        OSError: the folder cannot be written.
    """
    page = output.read(name)
    if page is None:
        raise InputError(f"--pdf: {output.place(name)} is not there")
    with tempfile.TemporaryDirectory(prefix="raysweep-pdf-") as folder:
        source, printed = Path(folder) / "report.html", Path(folder) / PDF_NAME
        source.write_bytes(page)
        command = [
            *(browser, "--headless", "--disable-gpu", "--no-pdf-header-footer"),
            f"--user-data-dir={folder}/profile",
            # As root its sandbox does not start; the page has no script but its own.
            *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
            f"--print-to-pdf={printed}",
            source.as_uri(),
        ]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_PATIENCE_S, check=False)
            said = last_line(done.stderr.decode(errors="replace"))
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"--pdf: {browser} printed nothing ({error})") from error
        if not printed.is_file() or not printed.stat().st_size:
            raise InputError(f"--pdf: {browser} printed nothing ({said})")
        output.write(PDF_NAME, printed.read_bytes())
    return output.place(PDF_NAME)
