"""A wheel built from the repository works without the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built, target = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("unpacked")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command += ["--disable-pip-version-check", "-q", "-w", str(built), str(ROOT)]
    subprocess.run(command, check=True, timeout=120)
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(target)
    return target


def call(unpacked: Path, folder: Path, *arguments: str) -> str:
    """Run python with the unpacked wheel ahead of everything, away from the repository."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_both_packages_come_from_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    code = "import raysweep, analysis; print(raysweep.__file__, analysis.__file__)"
    for path in call(unpacked, tmp_path, "-c", code).split():
        assert Path(path).is_relative_to(unpacked)


def test_bundled_studies_are_found_by_name(unpacked: Path, tmp_path: Path) -> None:
    assert "quickstart" in call(unpacked, tmp_path, "-m", "raysweep", "studies")
    assert "a valid study" in call(unpacked, tmp_path, "-m", "raysweep", "validate", "quickstart")


def test_the_command_is_installed(unpacked: Path) -> None:
    entry = next(unpacked.glob("*.dist-info")) / "entry_points.txt"
    assert "raysweep = raysweep.cli:main" in entry.read_text()
