"""The report: one file that shows what a deployment costs, what was verified, and where it differs."""

from ranvier.report.page import write_html
from ranvier.report.source import read_verification

__all__ = ["read_verification", "write_html"]
