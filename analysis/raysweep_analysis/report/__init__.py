"""The report: everything that a table says, as one page, figures and tables."""

from raysweep_analysis.report.findings import Findings, find, followed_along
from raysweep_analysis.report.pictures import Picture, pictures
from raysweep_analysis.report.write import ReportFiles, report_contents, write_report

__all__ = [
    "Findings",
    "Picture",
    "ReportFiles",
    "find",
    "followed_along",
    "pictures",
    "report_contents",
    "write_report",
]
