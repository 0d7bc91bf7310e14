"""Checks a study file against the registries of datasets, metrics and losses, and resolves it."""

from raysweep.vocabulary.check import check
from raysweep.vocabulary.files import check_files, file_digest
from raysweep.vocabulary.resolve import resolve_files

__all__ = ["check", "check_files", "file_digest", "resolve_files"]
