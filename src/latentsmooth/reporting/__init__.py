"""Tables, certified-accuracy curves and pages for any number of logs side by side."""

from latentsmooth.reporting.cells import plain
from latentsmooth.reporting.confidence import false_certificates_at_most
from latentsmooth.reporting.curve import AccuracyCurve, accuracy_curve, draw_curves, save_curves
from latentsmooth.reporting.formats import TableFormat, render
from latentsmooth.reporting.page import html_page
from latentsmooth.reporting.report import ReportFormat, read_logs, report
from latentsmooth.reporting.summary import DEFAULT_RADII, LogSummary, summarize

__all__ = [
    "DEFAULT_RADII",
    "AccuracyCurve",
    "LogSummary",
    "ReportFormat",
    "TableFormat",
    "accuracy_curve",
    "draw_curves",
    "false_certificates_at_most",
    "html_page",
    "plain",
    "read_logs",
    "render",
    "report",
    "save_curves",
    "summarize",
]
