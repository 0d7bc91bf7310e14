"""The report: everything that a table says, as one page, figures and tables."""

from analysis.report.findings import Findings, find
from analysis.report.write import ReportFiles, write_report

__all__ = ["Findings", "ReportFiles", "find", "write_report"]
