"""A run folder and the database that it was copied to, for each test to edit."""

from pathlib import Path

import pytest
from copied_run import make_copy, move_copy
from mlflow import MlflowClient

from raysweep.folder.run_folder import RunFolder


@pytest.fixture(scope="session")
def copied(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_copy(tmp_path_factory.mktemp("copied"), empty_database)


@pytest.fixture
def folder(copied: Path, tmp_path: Path) -> RunFolder:
    return move_copy(copied, tmp_path)


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def client(folder: RunFolder, uri: str) -> MlflowClient:
    return MlflowClient(uri)
