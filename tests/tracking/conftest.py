"""A database of MLflow for all tests of a module."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def module_uri(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An empty one, which the tests of the module share."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    shutil.copyfile(empty_database, path)
    return f"sqlite:///{path}"
