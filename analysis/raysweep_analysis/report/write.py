"""Write a report: the page, the figures as PNG and SVG, the tables as CSV."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raysweep.errors import InputError
from raysweep.trials.storage import Output
from raysweep_analysis.load import Source
from raysweep_analysis.report.findings import Findings, find
from raysweep_analysis.report.page import page
from raysweep_analysis.report.pictures import pictures
from raysweep_analysis.settings import Settings

REPORT_NAME = "report.html"
_FIGURES, _TABLES = "figures/", "tables/"


@dataclass(frozen=True)
class ReportFiles:
    """What was written.

    Attributes:
        html: the page; needs no other file.
        figures: PNG and SVG files.
        tables: CSV files.
        findings: what they show.
    """

    html: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...]
    findings: Findings


def write_report(
    source: Source | Sequence[Source], out: str | Path, settings: Settings | None = None
) -> ReportFiles:
    """Analyse a trial table and write `report.html`, `figures/` and `tables/` into a folder.

    All is drawn before anything is written, and each file is written whole or not at all.

    Args:
        source: as `load_trials` takes it.
        out: a local folder; made if missing.
        settings: what to test; by default what the study beside the table asks for.

    Raises:
        InputError: see `find`; or ``out`` is no local folder, or has a link in a folder's place.
        OSError: the folder cannot be written.
    """
    output = Output(out)
    if output.local is None:
        raise InputError(f"{out}: is a URI; give a local folder for the report")
    found = find(source, settings)
    contents = report_contents(found)
    for name, content in contents.items():
        output.write(name, content)
    return ReportFiles(
        output.local / REPORT_NAME,
        tuple(output.local / name for name in contents if name.startswith(_FIGURES)),
        tuple(output.local / name for name in contents if name.startswith(_TABLES)),
        found,
    )


def report_contents(found: Findings) -> dict[str, bytes]:
    """The files of a report, the page last: name in its folder -> content."""
    drawn = pictures(found)
    figures = {
        f"{_FIGURES}{picture.name}{suffix}": content
        for picture in drawn
        for suffix, content in picture.rendered.files().items()
    }
    tables = {
        # Half a surrogate pair has no bytes in UTF-8: its escape stands for it.
        f"{_TABLES}{name}.csv": table.to_csv(index=False).encode(errors="backslashreplace")
        for name, table in found.tables.items()
    }
    return {**figures, **tables, REPORT_NAME: page(found, drawn).encode()}
