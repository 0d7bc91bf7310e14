"""Checks a study file against the registries of datasets, metrics and losses, and resolves it."""

from raysweep.study.checks.check import check, named_code
from raysweep.study.checks.files import check_files, file_digest
from raysweep.study.checks.resolve import resolve_files, with_code_folders

__all__ = [
    "check",
    "check_files",
    "file_digest",
    "named_code",
    "resolve_files",
    "with_code_folders",
]
