"""Checks a study file against the registries of datasets, metrics and losses, and resolves it."""

from raysweep.study.checks.check import check, named_code
from raysweep.study.checks.resolve import resolve_files, with_code_folders

__all__ = [
    "check",
    "named_code",
    "resolve_files",
    "with_code_folders",
]
