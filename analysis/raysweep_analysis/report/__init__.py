"""The report: everything that a table says, as one page, figures and tables."""

from raysweep_analysis.report.findings import Findings as Findings
from raysweep_analysis.report.findings import find as find
from raysweep_analysis.report.findings import followed_along as followed_along
from raysweep_analysis.report.pictures import Picture as Picture
from raysweep_analysis.report.pictures import pictures as pictures
from raysweep_analysis.report.robust import multiverse_contents as multiverse_contents
from raysweep_analysis.report.write import ReportFiles as ReportFiles
from raysweep_analysis.report.write import report_contents as report_contents
from raysweep_analysis.report.write import write_report as write_report
