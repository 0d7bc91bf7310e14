"""Write a report: the page, the figures as PNG and SVG, the tables as CSV."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raysweep_analysis.load import Source
from raysweep_analysis.report.findings import Findings, find
from raysweep_analysis.report.page import page
from raysweep_analysis.report.pictures import pictures
from raysweep_analysis.settings import Settings


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

    Args:
        source: as `load_trials` takes it.
        out: a local folder; made if missing.
        settings: what to test; by default what the study beside the table asks for.

    Raises:
        InputError: see `find`.
        OSError: the folder cannot be written.
    """
    found = find(source, settings)
    folder = Path(out)
    for part in ("figures", "tables"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    drawn = pictures(found)
    images = [path for p in drawn for path in p.rendered.save(folder / "figures", p.name)]
    sheets = []
    for name, table in found.tables.items():
        path = folder / "tables" / f"{name}.csv"
        table.to_csv(path, index=False)
        sheets.append(path)
    html = folder / "report.html"
    html.write_text(page(found, drawn), encoding="utf-8")
    return ReportFiles(html, tuple(images), tuple(sheets), found)
